"""Decisions: from candidates to a person or unknown, at an error rate that is stated.

A threshold belongs to an error rate and to a pool size: a stranger is compared with every template, so the chance
that one of them matches grows with their number. FMR, FPIR: ISO/IEC 19795-1 and NIST FRTE 1:N.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from facepool.assignment import assign
from facepool.models.catalog import FmrCurve
from facepool.types import Calibration, Candidate, Decision, Reason

TARGET_FPIR = 0.01
"""Share of strangers that may be named, by default."""
VERIFY_FMR = 1e-3
"""False match rate of ``verify``, which compares once."""
SAME_PERSON_FMR = 1e-2
"""False match rate at which two captures are taken to show one person, while registering."""
SAME_SCAN_FMR = 1e-6
"""False match rate at which two frames of one guided scan are taken to show one person. Light and camera are the same
and poses are close: on five clips nobody fell below a similarity of 0.63 to their own views, with SFace, where this
rate stands at 0.53."""
LOOK_ALIKE_MARGIN = 0.1
"""By how much one of two people who are flagged as look-alikes must beat the other, where their templates do not
suffice to measure it: about the standard deviation of similarities between strangers, several times the margin that
other people need."""
OUTGROWN = 1.5
"""How many times as many templates a pool may have as when it was calibrated before the user is told."""
_LEAST_GAIN = 1e-6  # the threshold itself is a match
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
    rates, similarities = _columns(curve.points)
    return _interpolate(np.log10(fmr), rates, similarities)


def fmr_at(curve: FmrCurve, similarity: float) -> float:
    """The rate at which strangers match at a threshold; the inverse of ``similarity_at``, at most 1."""
    rates, similarities = _columns(curve.points)
    return min(1.0, 10 ** _interpolate(similarity, similarities, rates))


class ThresholdPolicy:
    """Chooses the threshold of identification for a pool's size.

    Args:
        curve: The embedder's false match rates; None when nobody has measured them.
        target_fpir: Share of strangers that may be named, above 0 and at most 1; None: what a pool was calibrated for,
            1 % for others.
        fixed: A threshold that the user insists on.
    """

    def __init__(self, curve: FmrCurve | None, target_fpir: float | None = None, fixed: float | None = None) -> None:
        self._curve = curve
        self._target_fpir = target_fpir
        self._fixed = fixed

    def aim(self, target_fpir: float | None, fixed: float | None) -> None:
        """Choose differently from now on, wherever this policy is in use; arguments as for the constructor."""
        self._target_fpir = target_fpir
        self._fixed = fixed

    def identification(self, templates: int, calibration: Calibration | None = None) -> Threshold:
        """The threshold for one probe against a pool of so many templates.

        Args:
            templates: How many there are now.
            calibration: What was measured on the pool, which then speaks instead of the embedder's curve. Where the
                pool has grown or shrunk since, strangers have so many more or fewer chances.
        """
        templates = max(1, templates)
        if self._fixed is not None:
            return Threshold(self._fixed, self._meaning_of_fixed(self._fixed, templates, calibration))
        if calibration is not None:
            return _calibrated(calibration, self._target_fpir or calibration.target_fpir, templates)
        if self._curve is None:
            return Threshold(UNMEASURED_THRESHOLD, _UNMEASURED)
        target_fpir = self._target_fpir or TARGET_FPIR
        value = similarity_at(self._curve, target_fpir / templates)
        return Threshold(
            value,
            f"{_share(target_fpir)} strangers would be named in a pool of {_count(templates, 'template')}",
        )

    def expected_fpir(self, value: float, templates: int, calibration: Calibration | None = None) -> float | None:
        """The share of strangers who would be named at a threshold, 0..1; None: nobody has measured it.

        Args:
            value: The threshold.
            templates: How many the pool has.
            calibration: What was measured of the pool, which then speaks instead of the embedder's curve.
        """
        templates = max(1, templates)
        if calibration is not None:
            rates, similarities = _columns(calibration.points)
            return float(min(1.0, 10 ** _interpolate(value, similarities, rates) * templates / calibration.templates))
        if self._curve is not None:
            return float(1 - (1 - fmr_at(self._curve, value)) ** templates)
        return None

    @property
    def follows_pool(self) -> bool:
        """Whether the threshold is chosen for the pool; one that the user insists on knows no bars."""
        return self._fixed is None

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

    def _meaning_of_fixed(self, value: float, templates: int, calibration: Calibration | None = None) -> str:
        fpir = self.expected_fpir(value, templates, calibration)
        if fpir is None:
            return "set by you; nobody has measured this model's error rates"
        return f"set by you; {_share(fpir)} strangers would be named in a pool of {_count(templates, 'template')}"


def _calibrated(calibration: Calibration, target_fpir: float, templates: int) -> Threshold:
    """The threshold that a pool's own measurement gives for its size of now."""
    growth = templates / calibration.templates
    rates, similarities = _columns(calibration.points)
    meaning = (
        f"{_share(target_fpir)} strangers would be named; calibrated {calibration.date} on "
        f"{_count(calibration.people, 'person', 'people')}, {_count(calibration.templates, 'template')}"
    )
    if target_fpir == calibration.target_fpir:
        meaning += f" (95% interval {calibration.low:.2%} to {calibration.high:.2%})"
    if not 1 / OUTGROWN <= growth <= OUTGROWN:
        meaning += f"; the pool has {templates} templates by now, calibrate it again: facepool calibrate"
    return Threshold(_interpolate(np.log10(target_fpir / growth), rates, similarities), meaning)


_UNMEASURED = "a guess: nobody has measured this model's error rates; set your own with --threshold"


def decide(
    candidates: Sequence[Candidate],
    threshold: float,
    *,
    min_margin: float = 0.0,
    usable: bool = True,
    look_alikes: Collection[frozenset[str]] = (),
    margins: Mapping[frozenset[str], float] = MappingProxyType({}),
    held: str | None = None,
    hysteresis: float = 0.0,
) -> Decision:
    """Name the nearest person, or nobody.

    Args:
        candidates: Best first, one a person.
        threshold: A candidate matches at this similarity or above, once its bar is taken off.
        min_margin: By how much the best must beat a runner-up who also matches; otherwise ``ambiguous``.
        usable: False when the face is too poor to name anybody: ``low_quality``.
        look_alikes: Pairs of people of whom one must beat the other by a margin of its own, matching or not.
        margins: That margin of each pair that was measured; ``LOOK_ALIKE_MARGIN`` for the others.
        held: Who the face has been until now, if it was anybody.
        hysteresis: What that person is ahead by, so that a name does not come and go.
    """
    if not candidates:
        return Decision(None, None, threshold, None, "empty_pool")
    if held is not None:
        candidates = sorted(candidates, key=lambda candidate: -_favoured(candidate, held, hysteresis))
    best, others = candidates[0], candidates[1:]
    margin = best.net - others[0].net if others else None
    favour = hysteresis if best.person == held else 0.0
    criteria = Criteria(threshold, min_margin, look_alikes, margins=margins)
    reason = _reason(best, others, favour, criteria) if usable else "low_quality"
    person = best.person if reason == "match" else None
    return Decision(person, best.similarity, threshold + best.bar, margin, reason, candidates=tuple(candidates))


@dataclass(frozen=True, slots=True)
class Criteria:
    """What it takes to be named; see ``decide``."""

    threshold: float
    min_margin: float = 0.0
    look_alikes: Collection[frozenset[str]] = ()
    hysteresis: float = 0.0
    margins: Mapping[frozenset[str], float] = field(default_factory=dict)

    def margin_between(self, one: str, other: str) -> float:
        """By how much one of two people must beat the other."""
        pair = frozenset((one, other))
        if pair not in self.look_alikes:
            return self.min_margin
        return max(self.min_margin, self.margins.get(pair, LOOK_ALIKE_MARGIN))


@dataclass(frozen=True, slots=True)
class Claim:
    """One of several faces that are in view together.

    Attributes:
        candidates: Best first, one a person.
        usable: False when the face is too poor to name anybody.
        held: Who the face has been until now, if it was anybody.
        frames: Number of frames that the similarities rest on.
    """

    candidates: Sequence[Candidate]
    usable: bool = True
    held: str | None = None
    frames: int = 1


def decide_together(claims: Sequence[Claim], criteria: Criteria) -> list[Decision]:
    """Name the faces of one picture. Nobody is two of them.

    Each face claims the people whom it cannot tell from its best match; people are given to faces so that the
    similarities above the threshold add up to the most (exactly, see ``facepool.assignment``). A face whose person
    went to another one is ``already_in_view``: it is not given somebody whom it resembles less. A face between two
    people of whom one is clearly another face of the picture is the other one.

    Args:
        claims: One a face, in any order.
        criteria: What it takes to be named.

    Returns:
        One decision a claim. Of a single claim it is the plain decision.
    """
    alone = [_decide_claim(claim, claim.candidates, criteria) for claim in claims]
    settled = _settle_all(claims, alone, criteria) if len(claims) > 1 else alone
    return [
        replace(decision, frames=claim.frames, candidates=tuple(claim.candidates))
        for claim, decision in zip(claims, settled, strict=True)
    ]


def _settle_all(claims: Sequence[Claim], alone: Sequence[Decision], criteria: Criteria) -> list[Decision]:
    given = _give_out(claims, criteria)
    clearly = {
        decision.person: index
        for index, decision in enumerate(alone)
        if decision.person is not None and given.get(index) == decision.person
    }
    return [
        _settle(index, claim, decision, clearly, given, criteria)
        for index, (claim, decision) in enumerate(zip(claims, alone, strict=True))
    ]


def _settle(
    index: int,
    claim: Claim,
    alone: Decision,
    clearly: Mapping[str, int],
    given: Mapping[int, str],
    criteria: Criteria,
) -> Decision:
    """What a claim's own decision becomes next to the other claims."""
    if alone.person is not None and clearly.get(alone.person) != index:
        return replace(alone, person=None, reason="already_in_view")
    if alone.reason != "ambiguous":
        return alone
    elsewhere = {person for person, holder in clearly.items() if holder != index}
    left = [candidate for candidate in claim.candidates if candidate.person not in elsewhere]
    resolved = _decide_claim(claim, left, criteria)
    return resolved if resolved.person is not None and resolved.person == given.get(index) else alone


def _decide_claim(claim: Claim, candidates: Sequence[Candidate], criteria: Criteria) -> Decision:
    return decide(
        candidates,
        criteria.threshold,
        min_margin=criteria.min_margin,
        usable=claim.usable,
        look_alikes=criteria.look_alikes,
        margins=criteria.margins,
        held=claim.held,
        hysteresis=criteria.hysteresis,
    )


def _give_out(claims: Sequence[Claim], criteria: Criteria) -> dict[int, str]:
    """Which claim gets whom."""
    wanted = [_wanted(claim, criteria) for claim in claims]
    people = sorted({person for gains in wanted for person in gains})
    gains = np.array([[row.get(person, 0.0) for person in people] for row in wanted], np.float32)
    pairs = assign(gains.reshape(len(claims), len(people)))
    return {index: people[column] for index, column in pairs}


def _wanted(claim: Claim, criteria: Criteria) -> dict[str, float]:
    """What each person whom a face may be is worth to it: above 0, more for more similarity."""
    if not claim.usable or not claim.candidates:
        return {}
    value = {
        candidate.person: _favoured(candidate, claim.held, criteria.hysteresis) - criteria.threshold
        for candidate in claim.candidates
    }
    best = max(value, key=lambda person: value[person])
    return {
        person: worth + _LEAST_GAIN
        for person, worth in value.items()
        if worth >= 0 and (person == best or value[best] - worth < criteria.margin_between(best, person))
    }


def _favoured(candidate: Candidate, held: str | None, hysteresis: float) -> float:
    return candidate.net + (hysteresis if candidate.person == held else 0.0)


def _reason(best: Candidate, others: Sequence[Candidate], favour: float, criteria: Criteria) -> Reason:
    if best.similarity + favour < criteria.threshold + best.bar:
        return "below_threshold"
    for rank, other in enumerate(others):
        flagged = frozenset((best.person, other.person)) in criteria.look_alikes
        rival = flagged or (rank == 0 and other.net >= criteria.threshold)
        if rival and best.net + favour - other.net < criteria.margin_between(best.person, other.person):
            return "ambiguous"
    return "match"


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    points = sorted(points)
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


def _count(number: int, noun: str, nouns: str = "") -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {nouns or noun + 's'}"
