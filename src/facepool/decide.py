"""Decisions: from candidates to a person or unknown, at an error rate that is stated.

A threshold belongs to an error rate and to a pool size: a stranger is compared with every template, so the chance
that one of them matches grows with their number. FMR, FPIR: ISO/IEC 19795-1 and NIST FRTE 1:N.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from facepool.models.specs import FmrCurve
from facepool.types import Candidate, Decision

TARGET_FPIR = 0.01
"""Share of strangers that may be named, by default."""
VERIFY_FMR = 1e-3
"""False match rate of ``verify``, which compares once."""
SAME_PERSON_FMR = 1e-2
"""False match rate at which two captures are taken to show one person, while registering."""
SAME_SCAN_FMR = 1e-5
"""False match rate at which two frames of one guided scan are taken to show one person: light and camera are the same
and poses are close, so that a person resembles themselves far more than here."""
LOOK_ALIKE_MARGIN = 0.1
"""By how much one of two people who are flagged as look-alikes must beat the other: about the standard deviation of
similarities between strangers, several times the margin that other people need."""
UNMEASURED_THRESHOLD = 0.5
"""For an embedder whose false match rate nobody has measured. A guess, and shown as one."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A similarity threshold and what it stands for.

    Attributes:
        value: Cosine similarity in -1..1.
        meaning: One sentence for people.
    """

    value: float
    meaning: str


def similarity_at(curve: FmrCurve, fmr: float) -> float:
    """The threshold at which strangers match at a rate, log-linear between and beyond the measured points.

    Args:
        curve: Measured points.
        fmr: Above 0, at most 1.
    """
    rates, similarities = _columns(curve)
    return _interpolate(np.log10(fmr), rates, similarities)


def fmr_at(curve: FmrCurve, similarity: float) -> float:
    """The rate at which strangers match at a threshold; the inverse of ``similarity_at``, at most 1."""
    rates, similarities = _columns(curve)
    return min(1.0, 10 ** _interpolate(similarity, similarities, rates))


class ThresholdPolicy:
    """Chooses the threshold of identification for a pool's size.

    Args:
        curve: The embedder's false match rates; None when nobody has measured them.
        target_fpir: Share of strangers that may be named, above 0 and at most 1.
        fixed: A threshold that the user insists on.
    """

    def __init__(self, curve: FmrCurve | None, target_fpir: float = TARGET_FPIR, fixed: float | None = None) -> None:
        self._curve = curve
        self._target_fpir = target_fpir
        self._fixed = fixed

    def identification(self, templates: int) -> Threshold:
        """The threshold for one probe against a pool of so many templates."""
        templates = max(1, templates)
        if self._fixed is not None:
            return Threshold(self._fixed, self._meaning_of_fixed(self._fixed, templates))
        if self._curve is None:
            return Threshold(UNMEASURED_THRESHOLD, _UNMEASURED)
        value = similarity_at(self._curve, self._target_fpir / templates)
        return Threshold(
            value,
            f"{_share(self._target_fpir)} strangers would be named in a pool of {_count(templates, 'template')}",
        )

    def verification(self) -> Threshold:
        """The threshold for comparing two faces once."""
        if self._fixed is not None:
            return Threshold(self._fixed, self._meaning_of_fixed(self._fixed, 1))
        if self._curve is None:
            return Threshold(UNMEASURED_THRESHOLD, _UNMEASURED)
        value = similarity_at(self._curve, VERIFY_FMR)
        return Threshold(value, f"{VERIFY_FMR:.1%} of pairs of different people would pass (FMR)")

    def same_person(self, fmr: float = SAME_PERSON_FMR) -> Threshold:
        """The threshold at which two captures of one registration are taken to show one person."""
        if self._curve is None:
            return Threshold(UNMEASURED_THRESHOLD, _UNMEASURED)
        return Threshold(similarity_at(self._curve, fmr), f"{_share(fmr)} pairs of different people would pass (FMR)")

    def _meaning_of_fixed(self, value: float, templates: int) -> str:
        if self._curve is None:
            return "set by you; nobody has measured this model's error rates"
        fpir = 1 - (1 - fmr_at(self._curve, value)) ** templates
        return f"set by you; {_share(fpir)} strangers would be named in a pool of {_count(templates, 'template')}"


_UNMEASURED = "a guess: nobody has measured this model's error rates; set your own with --threshold"


def decide(
    candidates: Sequence[Candidate],
    threshold: float,
    *,
    min_margin: float = 0.0,
    usable: bool = True,
    look_alikes: Collection[frozenset[str]] = (),
) -> Decision:
    """Name the nearest person, or nobody.

    Args:
        candidates: Best first, one a person.
        threshold: A candidate matches at this similarity or above.
        min_margin: By how much the best must beat a runner-up who also matches; otherwise ``ambiguous``.
        usable: False when the face is too poor to name anybody: ``low_quality``.
        look_alikes: Pairs of people of whom one must beat the other by ``LOOK_ALIKE_MARGIN``, matching or not.
    """
    if not candidates:
        return Decision(None, None, threshold, None, "empty_pool")
    best = candidates[0]
    margin = best.similarity - candidates[1].similarity if len(candidates) > 1 else None
    if not usable:
        return Decision(None, best.similarity, threshold, margin, "low_quality", candidates=tuple(candidates))
    if best.similarity < threshold:
        return Decision(None, best.similarity, threshold, margin, "below_threshold", candidates=tuple(candidates))
    if margin is not None and margin < min_margin and candidates[1].similarity >= threshold:
        return Decision(None, best.similarity, threshold, margin, "ambiguous", candidates=tuple(candidates))
    if _near_look_alike(best, candidates[1:], look_alikes):
        return Decision(None, best.similarity, threshold, margin, "ambiguous", candidates=tuple(candidates))
    return Decision(best.person, best.similarity, threshold, margin, "match", candidates=tuple(candidates))


def _near_look_alike(best: Candidate, others: Sequence[Candidate], look_alikes: Collection[frozenset[str]]) -> bool:
    return any(
        best.similarity - other.similarity < LOOK_ALIKE_MARGIN and frozenset((best.person, other.person)) in look_alikes
        for other in others
    )


def _columns(curve: FmrCurve) -> tuple[list[float], list[float]]:
    points = sorted(curve.points)
    return [float(np.log10(rate)) for rate, _ in points], [similarity for _, similarity in points]


def _interpolate(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Piecewise linear, the outer pieces extended; xs in either direction."""
    if xs[0] > xs[-1]:
        xs, ys = xs[::-1], ys[::-1]
    piece = int(np.clip(np.searchsorted(xs, x) - 1, 0, len(xs) - 2))
    slope = (ys[piece + 1] - ys[piece]) / (xs[piece + 1] - xs[piece])
    return float(ys[piece] + slope * (x - xs[piece]))


def _share(share: float) -> str:
    """``about 1.0% of``, or ``about 1 in 90,000``: a rate of 0.0% would promise too much."""
    if share >= 0.001:
        return f"about {share:.1%} of"
    return f"about 1 in {1 / share:,.0f}" if share >= 1e-9 else "fewer than 1 in a billion"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
