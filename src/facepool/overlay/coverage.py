"""The report on a scan as a picture."""

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from facepool.enroll.coverage import ABOUT_MISSES, THIN_QUALITY, Coverage, DirectionReport, ViewReport
from facepool.enroll.ring import Slot
from facepool.overlay.painter import SHIFT, Color, Painter, fixed, ink
from facepool.overlay.text import clean
from facepool.types import Floats, Image

_PAPER: Color = (250, 251, 252)
_INK: Color = (40, 34, 30)
_FAINT: Color = (132, 122, 114)
_EMPTY: Color = (230, 228, 226)
_SHADES: tuple[Color, ...] = ((70, 90, 235), (80, 190, 245), (120, 205, 150), (84, 180, 40))
"""For qualities from 0 to 100."""
_PALE: Color = (214, 236, 206)
_AMBER: Color = (60, 170, 250)
_WARNING: Color = (20, 100, 205)
_WIDTH, _HEIGHT, _MARGIN = 1280, 860, 40
_CENTRE = (410, 440)
_FRONT = 78
_NEAR = (92, 162)
_FAR = (168, 228)
_AGAIN = (236, 242)
_THUMB_RADIUS, _THUMB_AT = 45, 292
_WORD_AT = 364
_GAP_DEG = 1.2
_TEXT_X = 832
_MATRIX, _ABOUT = 300, 190
"""Room for the similarities, and for the lines below them."""
_FEWEST = 2
"""Views that can be compared."""
_SMALL, _FONT, _TITLE = 15, 18, 30
_KEY = (
    f"Quality 0 to 100 · dot: to store · amber: scan again (nothing there, below {THIN_QUALITY:.0f}, or likely missed)"
)
_ABOUT_MATRIX = (
    "Similarity of every two views, straight ahead first, then clockwise from your left. Green: a match. "
    "Amber: below the threshold."
)
Point = tuple[float, float]


def coverage_picture(
    coverage: Coverage, thumbnails: Mapping[Slot | None, Image] | None = None, *, painter: Painter | None = None
) -> Image:
    """The directions around the face as a mirror shows them, coloured by quality, with figures and advice beside them.

    Args:
        coverage: The report.
        thumbnails: Faces (h, w, 3) uint8 BGR by place, None for the one straight ahead; of any size, as the camera saw
            them. Best are square ones.
        painter: Draws the text; a new one by default.

    Returns:
        (860, 1280, 3) uint8, BGR.
    """
    return _Sheet(painter or Painter()).draw(coverage, thumbnails or {})


class _Sheet:
    """One picture in the making."""

    def __init__(self, painter: Painter) -> None:
        self._painter = painter
        self._canvas: Image = np.full((_HEIGHT, _WIDTH, 3), _PAPER, np.uint8)

    def draw(self, coverage: Coverage, thumbnails: Mapping[Slot | None, Image]) -> Image:
        self._write(coverage_title(coverage), _MARGIN, _MARGIN // 2, _TITLE, _INK, _TEXT_X - 2 * _MARGIN)
        self._draw_front(coverage.frontal, thumbnails.get(None))
        for direction in coverage.directions:
            self._draw_direction(direction, 360 / len(coverage.directions), thumbnails)
        for words, angle_deg in (("left", 180), ("up", 90), ("right", 0), ("down", 270)):
            self._write_centred(words, _at(angle_deg, _WORD_AT), _SMALL, _FAINT)
        self._draw_matrix(coverage, self._draw_text(coverage) + _MARGIN // 2)
        return self._canvas

    def _draw_front(self, view: ViewReport | None, thumbnail: Image | None) -> None:
        color = _EMPTY if view is None else _shade(view.quality)
        _disc(self._canvas, _CENTRE, _FRONT, color)
        if thumbnail is not None:
            _paste_round(self._canvas, thumbnail, _CENTRE, _FRONT - 6)
        elif view is not None:
            self._write_centred(f"{view.quality:.0f}", _CENTRE, _TITLE, _PAPER)

    def _draw_direction(
        self, direction: DirectionReport, width_deg: float, thumbnails: Mapping[Slot | None, Image]
    ) -> None:
        angle_deg = 180 - direction.angle_deg  # as in a mirror
        for view, radii in ((direction.near, _NEAR), (direction.far, _FAR)):
            self._draw_view(view, angle_deg, width_deg, radii)
        if direction.thin:
            _wedge(self._canvas, angle_deg, width_deg, _AGAIN, _AMBER)
        views = [view for view in (direction.near, direction.far) if view is not None]
        shown = [view for view in views if view.slot in thumbnails]
        if shown:
            best = max(shown, key=lambda view: view.quality)
            place = _at(angle_deg, _THUMB_AT)
            radius = min(_THUMB_RADIUS, int(_THUMB_AT * math.radians(width_deg) / 2) - 2)
            _disc(self._canvas, place, radius, _shade(best.quality))
            _paste_round(self._canvas, thumbnails[best.slot], place, radius - 3)

    def _draw_view(self, view: ViewReport | None, angle_deg: float, width_deg: float, radii: tuple[int, int]) -> None:
        _wedge(self._canvas, angle_deg, width_deg, radii, _EMPTY if view is None else _shade(view.quality))
        if view is None:
            return
        middle = (radii[0] + radii[1]) / 2
        self._write_centred(f"{view.quality:.0f}", _at(angle_deg, middle), _SMALL, _INK)
        if view.stored:
            _disc(self._canvas, _at(angle_deg, radii[1] - 8), 3, _INK)

    def _draw_text(self, coverage: Coverage) -> int:
        """Summary and advice; where they end."""
        y = _MARGIN
        for line in coverage_summary(coverage):
            y = self._write_wrapped(line, y, _FONT, _INK)
        advice = coverage_advice(coverage) or "Every direction is well covered."
        self._write(_KEY, _MARGIN, _HEIGHT - _MARGIN, _SMALL, _FAINT, _TEXT_X - 2 * _MARGIN)
        return self._write_wrapped(advice, y + 8, _FONT, _WARNING if coverage.thin else _SHADES[-1])

    def _draw_matrix(self, coverage: Coverage, y: int) -> None:
        """The person's own similarities, in colour where they are a match."""
        count = len(coverage.similarities)
        if count >= _FEWEST:
            cell = max(min(_MATRIX, _HEIGHT - _ABOUT - y) // count, 1)
            colors = _likeness(coverage.similarities, coverage.threshold.value)
            big = np.kron(colors, np.ones((cell, cell, 1), np.uint8))
            big[::cell] = big[:, ::cell] = _PAPER
            self._canvas[y : y + big.shape[0], _TEXT_X : _TEXT_X + big.shape[1]] = big
            y += big.shape[0] + _SMALL // 2
            y = self._write_wrapped(_ABOUT_MATRIX, y, _SMALL, _FAINT)
        if coverage.miss_share() is not None:
            self._write_wrapped(f"Predicted misses: {ABOUT_MISSES[0].lower()}{ABOUT_MISSES[1:]}", y + 4, _SMALL, _FAINT)

    def _write(self, text: str, x: int, y: int, font: int, color: Color, width: int) -> int:
        """One line; where the next one begins."""
        alpha = self._painter.text(text, font, width)
        ink(self._canvas, alpha, x, y, color)
        return y + int(alpha.shape[0])

    def _write_wrapped(self, text: str, y: int, font: int, color: Color) -> int:
        """A paragraph of the right column; where the next one begins."""
        width = _WIDTH - _TEXT_X - _MARGIN
        line = ""
        for word in text.split():
            longer = f"{line} {word}".strip()
            if line and self._painter.text(longer, font, 100 * width).shape[1] > width:
                y = self._write(line, _TEXT_X, y, font, color, width)
                longer = word
            line = longer
        return self._write(line, _TEXT_X, y, font, color, width)

    def _write_centred(self, text: str, point: Point, font: int, color: Color) -> None:
        alpha = self._painter.text(text, font, _WIDTH)
        height, width = alpha.shape
        ink(self._canvas, alpha, round(point[0] - width / 2), round(point[1] - height / 2), color)


def _at(angle_deg: float, radius: float) -> Point:
    angle = math.radians(angle_deg)
    return _CENTRE[0] + radius * math.cos(angle), _CENTRE[1] - radius * math.sin(angle)


def _wedge(canvas: Image, angle_deg: float, width_deg: float, radii: tuple[int, int], color: Color) -> None:
    """Part of a ring, a little narrower than its share so that parts stand apart."""
    half = width_deg / 2 - _GAP_DEG
    angles = np.linspace(angle_deg - half, angle_deg + half, 24)
    outline = [_at(float(angle), radii[1]) for angle in angles] + [
        _at(float(angle), radii[0]) for angle in angles[::-1]
    ]
    cv2.fillPoly(canvas, [np.array([fixed(point) for point in outline], np.int32)], color, cv2.LINE_AA, SHIFT)


def _disc(canvas: Image, centre: Point, radius: float, color: Color) -> None:
    cv2.circle(canvas, fixed(centre), round(radius * (1 << SHIFT)), color, -1, cv2.LINE_AA, SHIFT)


def _paste_round(canvas: Image, image_bgr: Image, centre: Point, radius: int) -> None:
    """The picture as a mirror shows it, its middle in a circle."""
    height, width = image_bgr.shape[:2]
    side = min(height, width)
    if side < 1 or radius < 1:
        return
    top, left = (height - side) // 2, (width - side) // 2
    square = image_bgr[top : top + side, left : left + side][:, ::-1]
    size = 2 * radius + 1
    fitted = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC)
    mask = np.zeros((size, size), np.uint8)
    cv2.circle(mask, fixed((radius, radius)), radius << SHIFT, (255,), -1, cv2.LINE_AA, SHIFT)
    x, y = round(centre[0]) - radius, round(centre[1]) - radius
    part = canvas[y : y + size, x : x + size]
    share = mask[..., None] / 255
    part[:] = np.round(part * (1 - share) + fitted * share)


def _shade(quality: float) -> Color:
    """From red over yellow to green."""
    share = min(max(quality / 100, 0.0), 1.0) * (len(_SHADES) - 1)
    low = min(int(share), len(_SHADES) - 2)
    return _mixed(_SHADES[low], _SHADES[low + 1], share - low)


def _likeness(similarities: Floats, threshold: float) -> Image:
    """(V, V, 3) colours: from the threshold up to 1 ever greener, below it amber, on the diagonal grey."""
    share = np.clip((similarities - threshold) / max(1 - threshold, 1e-6), 0, 1)[..., None]
    colors = np.array(_PALE) + share * (np.array(_SHADES[-1], np.float64) - np.array(_PALE))
    colors[similarities < threshold] = _AMBER
    colors[np.eye(len(similarities), dtype=bool)] = _EMPTY
    return np.asarray(np.round(colors), np.uint8)


def _mixed(low: Color, high: Color, share: float) -> Color:
    blue, green, red = (round(a + share * (b - a)) for a, b in zip(low, high, strict=True))
    return blue, green, red


NONE = "-"
_AHEAD = "straight ahead"
COLUMNS = ("direction", "angle", "near", "far", "similarity", "stored", "")
"""Above the columns of :func:`coverage_rows`: qualities are 0..100, the similarity is that of the view that would be
missed first."""


def coverage_rows(coverage: Coverage) -> list[tuple[str, ...]]:
    """One row a direction, the view straight ahead first; see ``COLUMNS``."""
    front = coverage.frontal
    missing = "missing" if front is None else ""
    first = (_AHEAD, "", _quality(front), NONE, _similarity([front]), _stored([front]), missing)
    return [first, *(_row(direction) for direction in coverage.directions)]


def coverage_summary(coverage: Coverage) -> list[str]:
    """What the table comes to, in a few lines."""
    count = len(coverage.directions)
    covered = sum(direction.covered for direction in coverage.directions)
    stored = sum(view.stored for view in coverage.views)
    lines = [f"{covered} of {count} directions, {len(coverage.views)} views, {stored} to store"]
    if coverage.partial:
        lines[0] += " (partial)"
    if not coverage.steady and coverage.frontal is not None:
        lines.append("Nobody kept still, looking straight ahead: the view that is nearest to it stands for it")
    elif not coverage.steady:
        lines.append("No view looks straight ahead: where the camera stands was taken for it")
    pairs = coverage.similarities[np.triu_indices(len(coverage.similarities), 1)]
    if len(pairs):
        threshold = coverage.threshold.value
        lines.append(
            f"Own similarities: lowest {pairs.min():.2f}, median {np.median(pairs):.2f}; "
            f"{(pairs < threshold).sum()} of {len(pairs)} pairs below {threshold:.2f}"
        )
    shares = {"near": coverage.miss_share("near"), "far": coverage.miss_share("far")}
    misses = [f"{share:.0%} of {ring} views" for ring, share in shares.items() if share is not None]
    if misses:
        lines.append(f"Predicted misses: {', '.join(misses)}")
    return lines


def coverage_advice(coverage: Coverage) -> str:
    """``Scan again: left, up and left.``; empty where nothing is thin."""
    ahead = [] if coverage.frontal is not None else [_AHEAD]
    ways = list(dict.fromkeys(ahead + [direction.words for direction in coverage.thin]))
    if not ways:
        return ""
    if len(coverage.thin) == len(coverage.directions):
        return "Scan again, in all directions."
    return f"Scan again: {', '.join(ways)}."


def coverage_title(coverage: Coverage) -> str:
    """The person and the appearance that it shows."""
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
