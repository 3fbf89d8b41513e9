"""An SVG drawing that takes its letters and colours from the page around it.

matplotlib draws with stand-in colours, which become CSS variables afterwards, and leaves letters as letters.
"""

import hashlib
import io
import math
import re
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from facepool.evaluation.report.words import percent

Values = npt.NDArray[np.floating]

SIZE_IN = (5.0, 3.3)
"""At 72 points an inch 360 wide: about the width of a phone, so that letters stay readable there."""
_FONT = 10.5
INKS = {"ink": "#010203", "faint": "#020304", "grid": "#030405", "a": "#040506", "b": "#050607", "mark": "#060708"}
"""CSS variable to the colour that stands for it while matplotlib draws."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "facepool",
    "font.size": _FONT,
    "text.color": INKS["ink"],
    "axes.edgecolor": INKS["grid"],
    "axes.labelcolor": INKS["faint"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INKS["grid"],
    "grid.linewidth": 0.6,
    "xtick.color": INKS["grid"],
    "ytick.color": INKS["grid"],
    "xtick.labelcolor": INKS["faint"],
    "ytick.labelcolor": INKS["faint"],
    "legend.frameon": False,
}
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
_FONT_FAMILY = re.compile(r" font-family: [^;\"]+;")
_REFERRED = re.compile(r'(?<=[#"])[a-z][0-9a-f]{10}(?=[")])')
"""Names of clip paths and markers, which the chart itself refers to; others would only repeat in the next chart."""
_UNUSED_NAME = re.compile(r' id="(?![a-z][0-9a-f]{10}")[^"]*"')
_STYLE_ELEMENT = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)


def drawing() -> AbstractContextManager[None]:
    """Draw inside this block, for the style to apply, whatever the user's own ``matplotlibrc`` says."""
    return style.context(["default", _STYLE])


def canvas(size_in: tuple[float, float] = SIZE_IN) -> tuple[Figure, Axes]:
    """An empty chart without a background."""
    figure = Figure(figsize=size_in, layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    return figure, axes


def log_percent(axes: Axes, which: str, low: float, high: float = 1.0) -> None:
    """A logarithmic axis of percentages, x or y, from a power of ten to another."""
    decades = range(round(math.log10(low)), round(math.log10(high)) + 1)
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    axis.set_major_locator(FixedLocator([10.0**decade for decade in decades]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, max(0, -round(math.log10(value)) - 2))))


def linear_percent(axes: Axes, y: Values) -> None:
    """A plain y axis of percentages that fits the values, with as many digits as it takes."""
    finite = y[np.isfinite(y)]
    low = float(finite.min()) if len(finite) else 0.0
    high = float(finite.max()) if len(finite) else 1.0
    spread = max(high - low, 0.005)
    axes.set_ylim(max(0.0, low - 0.08 * spread), min(1.0, high + 0.08 * spread))
    digits = 0 if spread > 0.1 else 1 if spread > 0.01 else 2
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, digits)))


def svg_of(figure: Figure, legend: Axes | None = None) -> str:
    """The figure as one ``<svg>`` element without size, names, metadata or anything to fetch."""
    if legend is not None and legend.get_legend_handles_labels()[0]:
        legend.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, handlelength=1.4)
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata=_NO_METADATA, transparent=True)
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', svg, count=1)
    svg = _STYLE_ELEMENT.sub("", svg)
    svg = _FONT_FAMILY.sub("", svg)
    svg = _UNUSED_NAME.sub("", svg)
    chart = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = _REFERRED.sub(lambda match: f"{match[0]}-{chart}", svg)
    for name, stand_in in INKS.items():
        svg = svg.replace(stand_in, f"var(--{name})")
    return svg
