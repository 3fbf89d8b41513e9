"""How the similarities of strangers fall off: the shape that a pool borrows where it has too few of its own."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from facepool.models.catalog import FmrCurve

Numbers = npt.NDArray[np.float64]

_BULK = 0.8
"""A curve that reaches this rate has the middle of the distribution as well as its tail."""
_ONE_SIGMA = NormalDist().cdf(1.0)
_BEYOND = 60.0


@dataclass(frozen=True, slots=True)
class Shape:
    """The share of comparisons of different people that are more alike than so many standard deviations.

    Attributes:
        deviations: (N,) float64, rising.
        log_rates: (N,) float64, natural logarithm, falling; both ends extended in a straight line.
        of_cohort: Whether it was measured; otherwise it is that of the normal distribution.
        mean_excess: What the tail of pools is expected to be, in units of this one's.
        strength: So many people of the pool's own tail say as much of it as this expectation.
    """

    deviations: Numbers
    log_rates: Numbers
    of_cohort: bool
    mean_excess: float
    strength: float

    def log_rate(self, deviations: Numbers) -> Numbers:
        """(...,) natural logarithm of the share."""
        return np.interp(deviations, self.deviations, self.log_rates)


def shape_of(cohort: FmrCurve | None) -> Shape:
    """The shape of a cohort's distribution, or the normal one where there is none."""
    if cohort is None or max(rate for rate, _ in cohort.points) < _BULK:
        rates = np.concatenate([[0.9, 0.7], np.logspace(-0.3, -9, 60)])
        deviations = np.array([NormalDist().inv_cdf(1 - rate) for rate in rates])
        return _shape(deviations, np.log(rates), of_cohort=False)
    points = sorted(cohort.points, reverse=True)
    log_rates = np.log([rate for rate, _ in points])
    similarities = np.array([similarity for _, similarity in points])
    low, middle, high = np.interp(-np.log([_ONE_SIGMA, 0.5, 1 - _ONE_SIGMA]), -log_rates, similarities)
    return _shape((similarities - middle) / ((high - low) / 2), log_rates, of_cohort=True)


def _shape(deviations: Numbers, log_rates: Numbers, *, of_cohort: bool) -> Shape:
    slope = (log_rates[-1] - log_rates[-2]) / (deviations[-1] - deviations[-2])
    mean_excess, strength = (1.0, 70.0) if of_cohort else (1.25, 8.0)
    return Shape(
        np.concatenate([[-_BEYOND], deviations, [deviations[-1] + _BEYOND]]),
        np.concatenate([[0.0], log_rates, [log_rates[-1] + slope * _BEYOND]]),
        of_cohort,
        mean_excess,
        strength,
    )
