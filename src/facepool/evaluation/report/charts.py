"""Charts as SVG that sits inside the page: its letters are the page's, its colours follow the page's light or dark.

Charts hold no word of the user's: names stand in the page's text, where the browser has fonts for them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from facepool.evaluation.report.svg import INKS, SIZE_IN, Values, canvas, drawing, linear_percent, log_percent, svg_of
from facepool.evaluation.report.words import percent

_BAR_IN = 0.34
_BAR_TICKS = 4
_LABEL_ROW = 0.09
"""Height of a label as a share of the chart's."""
_RIGHT_ABOVE, _RIGHT_BELOW, _LEFT_BELOW = (6, 6), (7, -12), (-70, -12)
"""Where a label stands beside its point, in points: off the line."""
_BINS = 60
_FEWEST_DECADES = 2
_LEAST_RATE = 1e-5
"""Below it a curve of even 30 million pairs is about wrong names in the data."""
_WIDEST = 3.0
"""Intervals are cut off at so many times the largest bar: one of a few trials would leave no room for the others."""
_MOST_POINTS = 400
"""A curve of a million pairs has a million steps; no screen shows many more than these."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on a chart that has a name.

    Attributes:
        x: Where, in the chart's units.
        label: Short, ours.
        y: None for a line across the chart.
    """

    x: float
    label: str
    y: float | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a bar chart.

    Attributes:
        label: Short, ours.
        value: A share, 0..1.
        count: What the share was taken of.
        low: Lower end of its interval; None where there is none.
        high: Upper end.
    """

    label: str
    value: float
    count: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """One hill of a histogram.

    Attributes:
        name: What it is of; short, ours.
        values: (N,) similarities; those of faces that were not found, which are infinite, are left out.
        weights: (N,) how often each one counts; None: once.
    """

    name: str
    values: Values
    weights: Values | None = None

    @property
    def finite(self) -> Values:
        """(M,) the values that can be drawn."""
        return np.asarray(self.values[np.isfinite(self.values)])

    def shares(self, edges: Values) -> Values:
        """Share of it between each two edges; zeros where there is nothing to draw."""
        weights = None if self.weights is None else self.weights[np.isfinite(self.values)]
        counts = np.histogram(self.finite, edges, weights=weights)[0]
        return np.asarray(counts / max(counts.sum(), 1e-12))


def histogram(hills: tuple[Spread, Spread], marks: Sequence[Mark], of: str) -> str:
    """How two kinds of similarities are spread, each as shares of its own number.

    Args:
        hills: The two kinds; either may be empty.
        marks: Thresholds.
        of: What is counted, for example ``pairs``.
    """
    with drawing():
        figure, axes = canvas()
        everything = np.concatenate([hill.finite for hill in hills])
        low, high = (everything.min(), everything.max()) if len(everything) else (0.0, 1.0)
        edges = np.linspace(low, max(high, low + 0.05), _BINS + 1)
        for hill, ink in zip(hills, "ab", strict=True):
            shares = hill.shares(edges)
            axes.stairs(shares, edges, fill=True, color=INKS[ink], alpha=0.25)
            axes.stairs(shares, edges, color=INKS[ink], linewidth=1.4, label=hill.name)
        axes.set_ylim(0, axes.get_ylim()[1] * (1 + _LABEL_ROW * len(marks)))
        _mark_lines(axes, marks)
        axes.set_xlabel("similarity")
        axes.set_ylabel(f"share of the {of}")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))
        return svg_of(figure, legend=axes)


def rate_curve(
    rates: Values,
    misses: Values,
    *,
    labels: tuple[str, str],
    as_hits: bool = False,
    marks: Sequence[Mark] = (),
    least: float,
) -> str:
    """What a rate of false alarms costs in misses; the first has a logarithmic scale.

    Args:
        rates: (N,) shares of false alarms, 0..1, in any order.
        misses: (N,) shares of misses at the same thresholds.
        labels: Of the x and y axes.
        as_hits: Draw the share that is not missed, on a plain scale, instead of the misses on a logarithmic one.
        marks: Points to name; their y is what is drawn.
        least: The smallest rate that the data can show, one of all trials, above 0. The x axis begins below it.
    """
    with drawing():
        figure, axes = canvas()
        floor = min(10.0 ** math.floor(math.log10(max(least, _LEAST_RATE))), 10.0**-_FEWEST_DECADES)
        x, y = _steps(rates, misses, floor)
        y_floor = 10.0 ** min(-_FEWEST_DECADES, math.floor(math.log10(np.min(y[y > 0], initial=1.0))))
        shown = 1 - y if as_hits else np.maximum(y, y_floor)
        axes.step(x, shown, where="post", color=INKS["a"], linewidth=1.8, clip_on=False)
        log_percent(axes, "x", floor)
        if as_hits:
            linear_percent(axes, shown)
        else:
            log_percent(axes, "y", y_floor, 10.0 ** math.ceil(math.log10(np.max(shown, initial=10 * y_floor))))
        below = _RIGHT_BELOW if as_hits else _RIGHT_ABOVE
        _mark_points(axes, [mark for mark in marks if mark.x >= floor], 0.0 if as_hits else y_floor, below)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        return svg_of(figure)


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart.

    Attributes:
        name: Short, ours; for the legend where there are several.
        x: (N,) in 0..1, ascending.
        y: (N,) in 0..1, which holds until the next x.
    """

    name: str
    x: Values
    y: Values


def share_curves(
    curves: Sequence[Curve], *, labels: tuple[str, str], marks: Sequence[Mark] = (), whole: bool = False
) -> str:
    """Shares over a share, on plain scales that begin at 0.

    Args:
        curves: One or two.
        labels: Of the x and y axes.
        marks: Points to name.
        whole: Whether both axes end at 100 %, rather than fit the curves.
    """
    with drawing():
        figure, axes = canvas()
        for curve, ink in zip(curves, ("a", "faint"), strict=False):
            axes.step(curve.x, curve.y, where="post", color=INKS[ink], linewidth=1.8, label=curve.name, clip_on=False)
        linear_percent(axes, np.concatenate([[0.0, 1.0 if whole else 0.0], *(curve.y for curve in curves)]))
        axes.set_xlim(0, 1.0 if whole else max(max((curve.x.max(initial=0.0) for curve in curves), default=0.0), 0.01))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))
        _mark_points(axes, marks, 0.0, _LEFT_BELOW)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        return svg_of(figure, legend=axes if len(curves) > 1 else None)


def bars(rows: Sequence[Bar], label: str) -> str:
    """One bar a row, with its share and what it was taken of written beside it.

    Args:
        rows: From top to bottom; none make an empty chart.
        label: Of the x axis.
    """
    with drawing():
        figure, axes = canvas((SIZE_IN[0], 0.75 + _BAR_IN * max(len(rows), 1)))
        places = np.arange(len(rows))
        axes.barh(places, np.nan_to_num([row.value for row in rows]), height=0.62, color=INKS["a"], alpha=0.55)
        values = np.nan_to_num([row.value for row in rows])
        ends = np.maximum(values, [row.high or 0.0 for row in rows])
        widest = _WIDEST * np.max(values, initial=0.0) or np.inf
        ends = np.minimum(ends, widest)
        reach = max(float(np.max(ends, initial=0.0)), 1e-3)
        for place, row, end in zip(places, rows, ends, strict=True):
            if row.low is not None:
                axes.plot([min(row.low, end), end], [place, place], color=INKS["ink"], linewidth=1.2)
            words = f"{percent(row.value)} of {row.count:,}" if row.count else "none"
            axes.text(end + 0.02 * reach, float(place), words, va="center")
        axes.set_yticks(places, [row.label for row in rows])
        axes.set_ylim(-0.5, max(len(rows), 1) - 0.5)
        axes.tick_params(axis="y", length=0, labelcolor=INKS["ink"])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlim(0, reach * 1.45)
        ticks = [tick for tick in MaxNLocator(_BAR_TICKS).tick_values(0, reach) if tick <= min(1.0, 1.3 * reach)]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        digits = max(0, -2 - math.floor(math.log10(ticks[-1] / _BAR_TICKS)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, digits)))
        axes.set_xlabel(label)
        return svg_of(figure)


def _steps(rates: Values, misses: Values, floor: float) -> tuple[Values, Values]:
    """The fewest misses at each rate of false alarms or below, from ``floor`` to 1; no more points than can be seen."""
    if not len(rates):
        return np.array([floor, 1.0]), np.ones(2)
    order = np.argsort(rates, kind="stable")
    fewest = np.minimum.accumulate(misses[order])
    x = np.unique(np.clip(np.concatenate([np.geomspace(floor, 1.0, _MOST_POINTS), rates]), floor, 1.0))
    if len(x) > 2 * _MOST_POINTS:
        x = np.geomspace(floor, 1.0, 2 * _MOST_POINTS)
    rows = np.searchsorted(rates[order], x, side="right") - 1
    return x, np.where(rows >= 0, fewest[np.maximum(rows, 0)], 1.0)


def _mark_lines(axes: Axes, marks: Sequence[Mark]) -> None:
    """Dashed lines, each lower than the one to its left, so that no label is crossed."""
    top = axes.get_ylim()[1]
    for row, mark in enumerate(sorted(marks, key=lambda mark: mark.x)):
        height = top * (0.98 - _LABEL_ROW * row)
        axes.plot([mark.x, mark.x], [0, height], color=INKS["mark"], linewidth=1.1, linestyle=(0, (4, 3)))
        axes.annotate(
            mark.label, (mark.x, height), xytext=(4, 1), textcoords="offset points", va="top", color=INKS["mark"]
        )


def _mark_points(axes: Axes, marks: Sequence[Mark], floor: float, beside: tuple[int, int]) -> None:
    for mark in marks:
        y = max(mark.y or 0.0, floor)
        axes.plot([mark.x], [y], marker="o", markersize=6, color=INKS["mark"], clip_on=False)
        axes.annotate(mark.label, (mark.x, y), xytext=beside, textcoords="offset points", color=INKS["mark"])
