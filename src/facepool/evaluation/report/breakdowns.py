"""What misses depend on: pose, quality, and how many of the poorest pairs are left out."""

import math
from collections.abc import Callable

import numpy as np

from facepool.evaluation.discard import Bin, Breakdown
from facepool.evaluation.report.charts import Bar, Curve, bars, share_curves
from facepool.evaluation.report.page import Chart, Section
from facepool.evaluation.report.words import count, percent, similarity
from facepool.evaluation.results import VerificationResults

_MOST_DISCARDED = 0.3
_INTERVALS = (
    "Lines through the bars are 95 % intervals, cut off where they are very long; where they overlap, chance may be "
    "all there is."
)
_MISSED = "same person refused (FNMR)"


def where_it_goes_wrong(results: VerificationResults) -> Section:
    """Misses by pose and quality, at the threshold that is set."""
    threshold = results.default.threshold.value
    return Section(
        "When the right person is refused",
        lead=f"Shares of the pairs of one person that stay below {similarity(threshold)}, the threshold that is set.",
        charts=[
            Chart(
                "By pose",
                bars(_rows(results.by_pose, _yaw), _MISSED),
                f"The larger yaw of the two faces, to either side. {_unmeasured(results.by_pose)}",
            ),
            Chart(
                "By quality",
                bars(_rows(results.by_quality, _quality), _MISSED),
                f"The lesser quality of the two faces, 0 to 100. {_unmeasured(results.by_quality)}",
            ),
            _discard(results),
        ],
        notes=[_INTERVALS],
    )


def _rows(breakdown: Breakdown, label: Callable[[Bin], str]) -> list[Bar]:
    return [Bar(label(each), each.rate, each.count, *_ends(each)) for each in breakdown.bins]


def _ends(each: Bin) -> tuple[float | None, float | None]:
    """The interval; of fewer than two people there is none."""
    interval = each.interval
    if interval is None or not np.isfinite([interval.low, interval.high]).all():
        return None, None
    return interval.low, interval.high


def _yaw(each: Bin) -> str:
    if math.isinf(each.high):
        return f"from {each.low:g}°"
    return f"{each.low:g}° to {each.high:g}°"


def _quality(each: Bin) -> str:
    if math.isinf(each.high) or each.high > 100:
        return f"from {each.low:g}"
    return f"{each.low:g} to {each.high:g}" if each.low > 0 else f"below {each.high:g}"


def _unmeasured(breakdown: Breakdown) -> str:
    pairs = count(breakdown.unmeasured, "pair")
    return f"{pairs}, most of them without a face in one picture, could not be placed." if breakdown.unmeasured else ""


def _discard(results: VerificationResults) -> Chart:
    curve = results.discard
    shown = curve.discarded <= _MOST_DISCARDED
    x = np.append(curve.discarded[shown], _MOST_DISCARDED)
    curves = [
        Curve("by quality", x, np.append(curve.fnmr[shown], curve.fnmr[shown][-1])),
        Curve("at best", x, np.append(curve.best[shown], curve.best[shown][-1])),
    ]
    return Chart(
        "If the poorest pairs were left out",
        share_curves(curves, labels=("pairs left out", _MISSED)),
        "A quality that foretells misses makes the line fall. The lower line is a quality that knew each of them. "
        + _worth(results),
    )


def _worth(results: VerificationResults) -> str:
    curve = results.discard
    last = int(np.searchsorted(curve.discarded, 0.05, side="right")) - 1
    if last <= 0 or not curve.fnmr[0]:
        return ""
    return (
        f"Without the poorest {percent(float(curve.discarded[last]))} of the pairs, "
        f"{percent(float(curve.fnmr[last]))} of the others are refused instead of {percent(float(curve.fnmr[0]))}."
    )
