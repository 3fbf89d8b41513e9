"""Exact intervals of rates."""

import math
from collections.abc import Callable

_HALVINGS = 60


def clopper_pearson(errors: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval of a rate (Clopper and Pearson, Biometrika 26, 1934), 0..1."""
    tail = (1 - level) / 2
    low = 0.0 if errors == 0 else _root(lambda rate: 1 - _at_most(errors - 1, trials, rate) - tail)
    high = 1.0 if errors == trials else _root(lambda rate: tail - _at_most(errors, trials, rate))
    return low, high


def _at_most(errors: int, trials: int, rate: float) -> float:
    return math.fsum(math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(errors + 1))


def _root(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
