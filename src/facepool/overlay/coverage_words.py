"""The report on a scan in words: a table, a summary, and what to scan again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facepool.enroll.coverage import Coverage, DirectionReport, ViewReport
from facepool.overlay.text import clean
from facepool.types import Floats

NONE = "-"
COLUMNS = ("direction", "angle", "near", "far", "similarity", "stored", "")
"""Above the columns of :func:`coverage_rows`: qualities are 0..100, the similarity is that of the view that would be
missed first."""


@dataclass(frozen=True, slots=True)
class Genuine:
    """A person's own similarities, over all pairs of captured views.

    Attributes:
        lowest: Of any pair.
        median: Half the pairs are below.
        below: Number of pairs below the threshold.
        pairs: Number of pairs.
    """

    lowest: float
    median: float
    below: int
    pairs: int


def genuine(similarities: Floats, threshold: float) -> Genuine | None:
    """Figures for a (V, V) matrix of similarities; None for fewer than two views."""
    pairs = similarities[np.triu_indices(len(similarities), 1)]
    if not len(pairs):
        return None
    return Genuine(float(pairs.min()), float(np.median(pairs)), int((pairs < threshold).sum()), len(pairs))


def coverage_rows(coverage: Coverage) -> list[tuple[str, ...]]:
    """One row a direction, the view straight ahead first; see ``COLUMNS``."""
    front = coverage.frontal
    first = ("straight ahead", "", _quality(front), NONE, _similarity([front]), _stored([front]), "")
    return [first, *(_row(direction) for direction in coverage.directions)]


def coverage_summary(coverage: Coverage) -> list[str]:
    """What the table comes to, in a few lines."""
    count = len(coverage.directions)
    covered = sum(direction.covered for direction in coverage.directions)
    stored = sum(view.stored for view in coverage.views)
    lines = [f"{covered} of {count} directions, {len(coverage.views)} views, {stored} to store"]
    if coverage.partial:
        lines[0] += " (partial)"
    figures = genuine(coverage.similarities, coverage.threshold.value)
    if figures is not None:
        lines.append(
            f"Own similarities: lowest {figures.lowest:.2f}, median {figures.median:.2f}; "
            f"{figures.below} of {figures.pairs} pairs below {coverage.threshold.value:.2f}"
        )
    shares = {"near": coverage.miss_share("near"), "far": coverage.miss_share("far")}
    told = [f"{share:.0%} of {ring} views" for ring, share in shares.items() if share is not None]
    if told:
        lines.append(f"Predicted misses: {', '.join(told)}")
    return lines


def coverage_advice(coverage: Coverage) -> str:
    """``Scan again: left, up and left.``; empty where nothing is thin."""
    ways = list(dict.fromkeys(direction.words for direction in coverage.thin))
    if not ways:
        return ""
    if len(coverage.thin) == len(coverage.directions):
        return "Scan again, in all directions."
    return f"Scan again: {', '.join(ways)}."


def coverage_title(coverage: Coverage) -> str:
    """Whom it shows, and in which appearance."""
    return clean(" · ".join(filter(None, (coverage.person, coverage.appearance))))


def _row(direction: DirectionReport) -> tuple[str, ...]:
    views = [direction.near, direction.far]
    note = "missing" if not direction.covered else "scan again" if direction.thin else ""
    return (
        direction.words,
        f"{direction.angle_deg:.0f}°",
        _quality(direction.near),
        _quality(direction.far),
        _similarity(views),
        _stored(views),
        note,
    )


def _quality(view: ViewReport | None) -> str:
    return NONE if view is None else f"{view.quality:.0f}"


def _similarity(views: Sequence[ViewReport | None]) -> str:
    known = [view.similarity for view in views if view is not None and view.similarity is not None]
    return f"{min(known):.2f}" if known else NONE


def _stored(views: Sequence[ViewReport | None]) -> str:
    count = sum(view is not None and view.stored for view in views)
    return str(count) if count else NONE
