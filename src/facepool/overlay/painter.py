"""Boxes with names, and lines of status, drawn on pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from facepool.overlay.text import Alpha, TextRenderer
from facepool.types import Image

Style = Literal["known", "unknown", "neutral"]
Color = tuple[int, int, int]
Rect = tuple[int, int, int, int]
"""x, y, width, height in whole pixels."""

_SUBPIXEL_BITS = 4
_ARC_STEPS = 6
_CIRCLE = np.array(
    [
        (-math.cos(angle), -math.sin(angle))
        for quarter in range(4)
        for angle in (np.arange(_ARC_STEPS + 1) / _ARC_STEPS + quarter) * math.pi / 2
    ]
)
"""Points of the unit circle, clockwise from the left, those between two quarters twice: a rounded box's corners."""
_QUADRANTS = np.repeat(np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]), _ARC_STEPS + 1, axis=0)
"""The corner that each of them belongs to."""
_HUD_OPACITY = 184  # of 255
_HUD_PLATE: Color = (24, 20, 18)
_HUD_INK: Color = (245, 245, 245)


@dataclass(frozen=True, slots=True)
class Label:
    """A box with a text.

    Attributes:
        box: xyxy in pixels of the picture; may reach beyond it.
        text: Written on a plate beside the box; empty for a box alone.
        style: ``known`` is green, ``unknown`` red, ``neutral`` white.
    """

    box: tuple[float, float, float, float]
    text: str = ""
    style: Style = "neutral"


@dataclass(frozen=True, slots=True)
class _Look:
    """Colours, BGR: the line and plate, the text on the plate, and the hairline that sets both off the picture."""

    line: Color
    ink: Color
    shade: Color


_LOOKS: dict[Style, _Look] = {
    "known": _Look(line=(96, 204, 48), ink=(16, 36, 8), shade=(26, 56, 12)),
    "unknown": _Look(line=(50, 44, 222), ink=(255, 255, 255), shade=(14, 10, 70)),
    "neutral": _Look(line=(240, 240, 240), ink=(30, 30, 30), shade=(50, 50, 50)),
}


@dataclass(frozen=True, slots=True)
class _Metrics:
    """Sizes in pixels that follow the picture's."""

    font: int
    line: int
    pad_x: int
    pad_y: int
    radius: int

    @classmethod
    def of(cls, height: int, width: int) -> "_Metrics":
        font = min(max(round(6 + 0.02 * min(height, width)), 12), 72)
        return cls(
            font=font,
            line=max(2, round(font / 9)),
            pad_x=max(3, round(font * 0.4)),
            pad_y=max(1, round(font * 0.08)),
            radius=max(2, round(font * 0.25)),
        )


class Painter:
    """Draws labels and status lines; keeps fonts and drawn text, so make one and use it for all frames.

    Args:
        text: Draws the text; a new one by default.
    """

    def __init__(self, text: TextRenderer | None = None) -> None:
        self._text = text or TextRenderer()

    def draw(self, image_bgr: Image, labels: Sequence[Label], hud: Sequence[str] = ()) -> Image:
        """A copy of the picture with the labels, and the status lines at its top left.

        A text stands above its box; where there is no room, below it or inside it, and always within the picture.
        Too long a text ends in an ellipsis. A box wholly outside the picture is left out.

        Args:
            image_bgr: (H, W, 3) uint8, BGR; not changed.
            labels: Later ones lie above earlier ones.
            hud: Lines of text, topmost first.

        Returns:
            (H, W, 3) uint8, BGR, contiguous; an exact copy where there is nothing to draw.
        """
        canvas = np.array(image_bgr, np.uint8, order="C")
        height, width = canvas.shape[:2]
        metrics = _Metrics.of(height, width)
        boxes = [(label, box) for label in labels if (box := _clip(label.box, height, width, metrics.line))]
        for label, box in boxes:
            _draw_box(canvas, box, _LOOKS[label.style], metrics)
        taken = self._draw_hud(canvas, [line for line in hud if line], metrics)
        for label, box in boxes:
            if label.text:
                taken.append(self._draw_text(canvas, label, box, metrics, taken))
        return canvas

    def text(self, text: str, size: int, width: int) -> Alpha:
        """Coverage (H, W) uint8 of a line of text, shortened with an ellipsis to ``width`` pixels."""
        return self._text.render(self._text.fit(text, size, width), size)

    def _draw_text(
        self, canvas: Image, label: Label, box: tuple[float, ...], metrics: _Metrics, taken: Sequence[Rect]
    ) -> Rect:
        height, width = canvas.shape[:2]
        look = _LOOKS[label.style]
        alpha = self.text(label.text, metrics.font, width - 2 * metrics.pad_x)
        plate = (alpha.shape[1] + 2 * metrics.pad_x, alpha.shape[0] + 2 * metrics.pad_y)
        x, y = _place(plate, box, (width, height), metrics, taken)
        _draw_plate(canvas, (x, y, *plate), metrics.radius, look.line, look.shade)
        blend(canvas, alpha, x + metrics.pad_x, y + metrics.pad_y, look.ink)
        return (x, y, *plate)

    def _draw_hud(self, canvas: Image, lines: Sequence[str], metrics: _Metrics) -> list[Rect]:
        if not lines:
            return []
        margin, pad = metrics.pad_x, metrics.pad_x
        room = canvas.shape[1] - 2 * (margin + pad)
        drawn = [self.text(line, metrics.font, room) for line in lines]
        width = max(alpha.shape[1] for alpha in drawn) + 2 * pad
        height = sum(alpha.shape[0] for alpha in drawn) + pad
        plate = np.zeros((height, width), np.uint8)
        outline = _rounded((0, 0, width - 1, height - 1), metrics.radius)
        cv2.fillPoly(plate, [_subpixels(outline)], _HUD_OPACITY, cv2.LINE_AA, _SUBPIXEL_BITS)
        blend(canvas, plate, margin, margin, _HUD_PLATE)
        y = margin + pad // 2
        for alpha in drawn:
            blend(canvas, alpha, margin + pad, y, _HUD_INK)
            y += alpha.shape[0]
        return [(margin, margin, width, height)]


def mirror(image_bgr: Image, labels: Sequence[Label]) -> tuple[Image, list[Label]]:
    """The picture as a mirror shows it, with the boxes where they belong; the texts stay readable.

    Args:
        image_bgr: (H, W, 3) uint8, BGR; not changed.
        labels: In pixels of ``image_bgr``.
    """
    width = image_bgr.shape[1]
    flipped = [
        replace(label, box=(width - x2, y1, width - x1, y2)) for label in labels for x1, y1, x2, y2 in [label.box]
    ]
    return np.ascontiguousarray(image_bgr[:, ::-1]), flipped


def _clip(
    box: tuple[float, float, float, float], height: int, width: int, line: int
) -> tuple[float, float, float, float] | None:
    """The part of the box inside the picture, with room for its line; None where there is none."""
    x1, y1, x2, y2 = (float(edge) for edge in box)
    inset = line / 2 + 1
    if not (x1 < width and y1 < height and x2 > 0 and y2 > 0 and x1 < x2 and y1 < y2):  # false for NaN too
        return None
    x1, y1 = min(max(x1, inset), width - 1 - inset), min(max(y1, inset), height - 1 - inset)
    x2, y2 = max(min(x2, width - 1 - inset), x1), max(min(y2, height - 1 - inset), y1)
    return x1, y1, x2, y2


def _draw_box(canvas: Image, box: tuple[float, float, float, float], look: _Look, metrics: _Metrics) -> None:
    """A rounded outline on a hairline of shade, at fractions of a pixel so that it glides rather than jumps."""
    outline = _rounded(box, metrics.radius * 1.5)
    points = _subpixels(outline)
    for color, thickness in ((look.shade, metrics.line + 2), (look.line, metrics.line)):
        cv2.polylines(canvas, [points], True, color, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)  # noqa: FBT003 -- closed


def _rounded(box: tuple[float, float, float, float], radius: float) -> npt.NDArray[np.float64]:
    """(N, 2) outline of a rectangle whose corners are quarter circles, clockwise."""
    x1, y1, x2, y2 = box
    radius = min(radius, (x2 - x1) / 2, (y2 - y1) / 2)
    centre, half = np.array([x1 + x2, y1 + y2]) / 2, np.array([x2 - x1, y2 - y1]) / 2
    return np.asarray(centre + _QUADRANTS * (half - radius) + _CIRCLE * radius)


def _subpixels(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """As OpenCV takes points at fractions of a pixel."""
    return np.round(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _place(
    plate: tuple[int, int], box: tuple[float, ...], size_wh: tuple[int, int], metrics: _Metrics, taken: Sequence[Rect]
) -> tuple[int, int]:
    """Where the plate's top left corner goes: the first place within the picture that no other plate has."""
    (plate_w, plate_h), (width, height) = plate, size_wh
    half = metrics.line / 2 + 1
    left, top, right, bottom = round(box[0] - half), round(box[1] - half), round(box[2] + half), round(box[3] + half)
    beside = ((left, top - plate_h), (left, bottom), (right - plate_w, top - plate_h), (right - plate_w, bottom))
    inside = ((left, top), (left, bottom - plate_h))
    kept = [(min(max(x, 0), max(width - plate_w, 0)), y) for x, y in (*beside, *inside) if 0 <= y <= height - plate_h]
    free = (place for place in kept if not any(_overlap((*place, plate_w, plate_h), other) for other in taken))
    return next(free, kept[0] if kept else (0, 0))


def _overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def _draw_plate(canvas: Image, rect: Rect, radius: int, color: Color, shade: Color) -> None:
    x, y, width, height = rect
    points = _subpixels(_rounded((x, y, x + width - 1, y + height - 1), radius))
    cv2.fillPoly(canvas, [points], color, cv2.LINE_AA, _SUBPIXEL_BITS)
    cv2.polylines(canvas, [points], True, shade, 1, cv2.LINE_AA, _SUBPIXEL_BITS)  # noqa: FBT003 -- closed


def blend(canvas: Image, alpha: Alpha, x: int, y: int, color: Color) -> None:
    """Lay ink on the canvas; what would fall outside is cut off."""
    part = canvas[y : y + alpha.shape[0], x : x + alpha.shape[1]]
    coverage = alpha[: part.shape[0], : part.shape[1], None].astype(np.uint16)
    part[:] = (part * (255 - coverage) + np.array(color, np.uint16) * coverage + 127) // 255
