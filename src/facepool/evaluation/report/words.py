"""Rates as people read them."""

import math

_NARROW = "\u202f"
"""Between a number and its unit: narrow, and no line breaks there."""
_WHOLE = 1000
_MOST_DIGITS = 4
_RARE = 0.95


def percent(share: float, digits: int | None = None) -> str:
    """A share as a percentage.

    Args:
        share: 0..1; NaN gives ``n/a``.
        digits: After the point; by default as many as show two figures of the rate or of what it lacks to 100 %.
    """
    if math.isnan(share):
        return "n/a"
    if digits is None:
        nearest = min(abs(share), abs(1 - share)) * 100
        rounded = float(f"{nearest:.1e}")
        digits = min(max(1, 1 - math.floor(math.log10(rounded))), _MOST_DIGITS) if rounded > 0 else 0
    return f"{share * 100:.{digits}f}{_NARROW}%"


def in_a_thousand(share: float, noun: str = "") -> str:
    """``7 in 1,000``; for rarer things ``1 in 10,000``; ``none`` for zero.

    Args:
        share: 0..1; NaN gives ``n/a``.
        noun: Of what, in the plural: ``7 in 1,000 pairs``, ``no pairs``.
    """
    if math.isnan(share):
        words = "n/a"
    elif share <= 0:
        return f"no {noun}" if noun else "none"
    elif share * _WHOLE >= _RARE:
        digits = 0 if share * _WHOLE >= 10 or share == 1 else 1
        words = f"{share * _WHOLE:,.{digits}f}".removesuffix(".0") + f" in {_WHOLE:,}"
    else:
        words = one_in(share)
    return f"{words} {noun}".rstrip()


def one_in(share: float) -> str:
    """``1 in 90,000``, of a share above 0; rounded to two figures."""
    number = 1 / share
    step = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return f"1 in {round(number / step) * step:,.0f}"


def similarity(value: float) -> str:
    """Three digits; what stands for a face that was not found is no similarity."""
    return f"{value:.3f}" if math.isfinite(value) else "none"


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 pair``, ``6,000 pairs``, ``2 people``."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def seconds(value: float) -> str:
    """``4.2 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if value < 60:
        return f"{value:.1f}{_NARROW}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}{_NARROW}min {rest}{_NARROW}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{_NARROW}h {minutes}{_NARROW}min"
