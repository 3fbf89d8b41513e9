"""Charts of a report: SVG pictures as ``data:`` addresses, drawn by matplotlib.

Charts hold no word of the user's: names stand in the page's text, where the browser has fonts for them.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from facepool.evaluation.detection import PrecisionRecall
from facepool.evaluation.metrics import ErrorCurve, OperatingPoint, Scores, Values

_SIZE_IN = (5.6, 3.5)
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # letters stay letters, in the browser's own font
    "svg.hashsalt": "facepool",  # the same figures give the same bytes
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa4af",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dfe3e8",
    "legend.frameon": False,
}
_BLUE, _ORANGE, _MARK = "#1f6fd6", "#c9560a", "#7a3cc0"
_BINS = 60
_LABEL_ROW = 0.09  # height of a label as a share of the chart's
_LEAST_RATE = 1e-5
"""Below it a curve of even 30 million pairs is about wrong names in the data."""
_MOST_POINTS = 800
"""A curve of a million pairs has a million steps; no screen shows many more than these."""


def similarities_chart(
    kinds: Mapping[str, tuple[Scores, Values | None]], points: Sequence[OperatingPoint], rate: str
) -> str:
    """How two kinds of similarities are spread, each as shares of its own number.

    Args:
        kinds: Name to (N,) similarities and how often each counts (None: once); infinite ones are left out.
        points: Thresholds to draw.
        rate: What these keep to, for example ``FMR``.
    """
    with style.context(["default", _STYLE]):
        figure, axes = _chart("similarity", "share")
        everything = np.concatenate([values[np.isfinite(values)] for values, _ in kinds.values()])
        low, high = (everything.min(), everything.max()) if len(everything) else (0.0, 1.0)
        edges = np.linspace(low, max(high, low + 0.05), _BINS + 1)
        for (name, (values, weights)), color in zip(kinds.items(), (_BLUE, _ORANGE), strict=True):
            counts = np.histogram(values, edges, weights=weights)[0]
            shares = counts / max(counts.sum(), 1e-12)
            axes.stairs(shares, edges, fill=True, color=color, alpha=0.25)
            axes.stairs(shares, edges, color=color, linewidth=1.4, label=name)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(0, axes.get_ylim()[1] * (1 + _LABEL_ROW * len(points)))
        for row, point in enumerate(sorted(points, key=lambda point: point.threshold)):
            height = axes.get_ylim()[1] * (0.98 - _LABEL_ROW * row)  # each lower than the one to its left
            axes.vlines(point.threshold, 0, height, color=_MARK, linewidth=1.1, linestyle="dashed")
            axes.annotate(
                f"{rate} {point.asked * 100:g}%", (point.threshold, height), (4, -8), textcoords="offset points",
                color=_MARK,
            )  # fmt: skip
        figure.legend(loc="outside upper center", ncols=2)
        return _address(figure)


def trade_off_chart(
    curve: ErrorCurve, points: Sequence[OperatingPoint], impostors: float, labels: tuple[str, str]
) -> str:
    """What a rate of false matches costs in misses, both on logarithmic scales (DET).

    Args:
        curve: Both errors at every threshold.
        points: To mark.
        impostors: How many comparisons the rate of false matches was taken of.
        labels: Of the x and y axes.
    """
    with style.context(["default", _STYLE]):
        figure, axes = _chart(*labels)
        least = max(1 / max(impostors, 1), _LEAST_RATE)
        least = min(10 ** np.floor(np.log10(least)), 0.01)
        x, y = _steps(curve, least)
        floor = min(10 ** np.floor(np.log10(y[y > 0].min(initial=1.0))), 0.01)
        axes.step(x, np.maximum(y, floor), where="post", color=_BLUE, linewidth=1.8, clip_on=False)
        for point in points:
            place = (point.asked, max(point.misses, floor))
            axes.plot(*place, marker="o", color=_MARK, clip_on=False)
            axes.annotate(f"{point.misses:.2%}", place, (6, 6), textcoords="offset points", color=_MARK)
        axes.set(xscale="log", yscale="log", xlim=(least, 1), ylim=(floor, 1))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value * 100:g}%")
        return _address(figure)


def precision_recall_chart(curve: PrecisionRecall, threshold: float) -> str:
    """How many of the boxes are right where more and more of the faces are found.

    Args:
        curve: Precision and recall at every score.
        threshold: The score to mark.
    """
    with style.context(["default", _STYLE]):
        figure, axes = _chart("found (recall)", "right (precision)")
        axes.step(curve.recall, curve.precision, where="post", color=_BLUE, linewidth=1.8, clip_on=False)
        precision, recall = curve.at(threshold)
        axes.plot(recall, precision, marker="o", color=_MARK, clip_on=False)
        axes.annotate(
            f"score {threshold:g}", (recall, precision), (-7, -14), textcoords="offset points", color=_MARK, ha="right"
        )
        axes.set(xlim=(0, 1), ylim=(0, 1))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        return _address(figure)


def _chart(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    axes = figure.add_subplot(xlabel=x_label, ylabel=y_label)
    return figure, axes


def _steps(curve: ErrorCurve, least: float) -> tuple[Values, Values]:
    """The fewest misses at each rate of false matches or below, from ``least`` to 1; no more points than show."""
    x = np.geomspace(least, 1.0, _MOST_POINTS)
    place = np.searchsorted(curve.false_matches[::-1], x * (1 + 1e-9), side="right") - 1  # the first one is 0
    return x, curve.misses[::-1][place]


def _address(figure: Figure) -> str:
    written = io.BytesIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(written.getvalue()).decode("ascii")
