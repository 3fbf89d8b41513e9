"""A list of the people in view, at the side of the picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facepool.overlay.painter import SHIFT, Color, Painter, Style, blend, fixed
from facepool.types import Image

_PLATE: Color = (24, 20, 18)
_OPACITY = 0.74
_INK: Color = (245, 245, 245)
_FAINT: Color = (176, 172, 168)
_DOTS: dict[Style, Color] = {"known": (96, 214, 48), "unknown": (70, 66, 235), "neutral": (200, 200, 200)}
_WIDEST = 0.36
"""Share of the picture's width that the list may take."""
_TALLEST = 0.8


@dataclass(frozen=True, slots=True)
class Present:
    """A person in view.

    Attributes:
        name: As it is shown.
        since_s: For how long they have been there, seconds.
        style: ``known`` has a green dot, ``unknown`` a red one, ``neutral`` a grey one.
    """

    name: str
    since_s: float
    style: Style = "known"


class PresencePanel:
    """Draws the list; keeps fonts and drawn text, so make one and use it for all frames.

    Args:
        painter: Draws the text; a new one by default.
    """

    def __init__(self, painter: Painter | None = None) -> None:
        self._painter = painter or Painter()

    def draw(self, image_bgr: Image, people: Sequence[Present]) -> Image:
        """A copy of the picture with the list at its top right; people that find no room are counted in its last line.

        Args:
            image_bgr: (H, W, 3) uint8, BGR; not changed.
            people: Topmost first; without any, no list is drawn.

        Returns:
            (H, W, 3) uint8, BGR, contiguous.
        """
        canvas = np.array(image_bgr, np.uint8, order="C")
        height, width = canvas.shape[:2]
        font = min(max(round(6 + 0.016 * min(height, width)), 11), 60)
        pad, dot = max(3, font // 2), max(3, round(font * 0.5))
        line_h = self._painter.text("Ag", font, width).shape[0]
        rows = int((_TALLEST * height - pad) // line_h)
        widest = int(_WIDEST * width)
        if not people or rows < 1 or widest < 4 * font:
            return canvas
        shown = people if len(people) <= rows else people[: rows - 1]
        times = [self._painter.text(duration(person.since_s), font, widest // 2) for person in shown]
        time_w = max((alpha.shape[1] for alpha in times), default=0)
        room = max(widest - 4 * pad - dot - time_w, 1)
        names = [self._painter.text(person.name, font, room) for person in shown]
        more = self._painter.text(f"+ {len(people) - len(shown)} more", font, widest - 2 * pad)
        hidden = len(shown) < len(people)
        name_w = max([alpha.shape[1] for alpha in names] + [more.shape[1] if hidden else 0])
        plate_w = min(4 * pad + dot + name_w + time_w, widest)
        left, top = width - pad - plate_w, pad
        _draw_plate(canvas, (left, top, plate_w, (len(shown) + hidden) * line_h + pad))
        y = top + pad // 2
        for person, name, since in zip(shown, names, times, strict=True):
            _draw_dot(canvas, left + pad + dot / 2, y + line_h / 2, dot / 2, _DOTS[person.style])
            blend(canvas, _centred(name, line_h), left + 2 * pad + dot, y, _INK)
            blend(canvas, _centred(since, line_h), left + plate_w - pad - since.shape[1], y, _FAINT)
            y += line_h
        if hidden:
            blend(canvas, _centred(more, line_h), left + 2 * pad + dot, y, _FAINT)
        return canvas


def duration(seconds: float) -> str:
    """``now``, ``12 s``, ``3 min``, ``2 h``: so coarse that it seldom changes."""
    if not seconds >= 1:  # true for NaN too
        return "now"
    for length, unit in ((3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def _centred(alpha: Image, height: int) -> Image:
    """The text in a line of one height for every script: what stands out is cut off evenly."""
    above = (alpha.shape[0] - height) // 2
    if above > 0:
        return alpha[above : above + height]
    return np.pad(alpha, ((-above, 0), (0, 0)))


def _draw_plate(canvas: Image, rect: tuple[int, int, int, int]) -> None:
    x, y, width, height = rect
    part = canvas[y : y + height, x : x + width]
    tint = np.full_like(part, _PLATE)
    part[:] = cv2.addWeighted(part, 1 - _OPACITY, tint, _OPACITY, 0)


def _draw_dot(canvas: Image, x: float, y: float, radius: float, color: Color) -> None:
    cv2.circle(canvas, fixed((x, y)), round(radius * (1 << SHIFT)), color, -1, cv2.LINE_AA, SHIFT)
