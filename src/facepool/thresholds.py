"""Thresholds: from an error rate and a pool size to the similarity from which on a face is somebody.

A stranger is compared with every template, so the chance that one of them matches grows with their number.
FMR, FPIR: ISO/IEC 19795-1 and NIST FRTE 1:N.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facepool.models.catalog import FmrCurve
from facepool.types import Calibration

TARGET_FPIR = 0.01
"""Share of strangers that may be named, by default."""
VERIFY_FMR = 1e-3
"""False match rate of ``verify``, which compares once."""
SAME_PERSON_FMR = 1e-2
"""False match rate at which two captures are taken to show one person, while registering."""
JOIN_FPIR = 1e-3
"""Share of strangers who may be taken for another stranger of whom faces are kept, without anybody being asked."""
PROPOSE_FPIR = 1e-2
"""Share of strangers of whom people may be asked whether they are another one."""
FEWEST_KEPT = 100
"""So many faces are reckoned with where fewer are kept: these are of one camera and one light, and resemble each other
more than the faces that the model's error rates were measured on."""
SAME_SCAN_FMR = 1e-6
"""False match rate at which two frames of one guided scan are taken to show one person. Light and camera are the same
and poses are close: on five clips nobody fell below a similarity of 0.63 to their own views, with SFace, where this
rate stands at 0.53."""
OUTGROWN = 1.5
"""How many times as many templates a pool may have as when it was calibrated before the user is told."""
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

    def set_target(self, target_fpir: float | None, fixed: float | None) -> None:
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
        """Whether the threshold is chosen for the pool; one that the user insists on has no score offset."""
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

    def joining(self, faces: int, fpir: float = JOIN_FPIR, calibration: Calibration | None = None) -> Threshold | None:
        """The threshold from which on somebody unknown is one of the unknown people of whom faces are kept.

        A threshold that the user insists on is one for names, and does not count here.

        Args:
            faces: How many faces are kept of all of them: a stranger is compared with every one.
            fpir: Share of strangers who may be taken for another one.
            calibration: What was measured of the pool, whose faces come from the same cameras; the stricter of it and
                the embedder's curve counts.

        Returns:
            None: nobody has measured how similar strangers get, so that nobody can be joined to others by that.
        """
        faces = max(FEWEST_KEPT, faces)
        values = [] if self._curve is None else [similarity_at(self._curve, fpir / faces)]
        if calibration is not None:
            values.append(_calibrated(calibration, fpir, faces).value)
        if not values:
            return None
        return Threshold(max(values), f"{_share(fpir)} strangers would be taken for another of {_count(faces, 'face')}")

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
