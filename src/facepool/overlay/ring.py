"""The screen of a scan and of a challenge: a face oval, around it the ring, where to turn, and what to do next."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np

from facepool.enroll.ring import RingPart
from facepool.enroll.scan import Phase
from facepool.overlay.painter import SHIFT, Box, Color, Painter, draw_bar, draw_pill, fixed, ink
from facepool.overlay.text import Alpha
from facepool.types import Image

ScreenPhase = Phase | Literal["failed"]
"""Those of a scan; a challenge that was not passed has ``failed``."""
ASPECT = 0.8
"""Width of the oval by its height."""
RING = 0.40
"""How far the ring reaches beyond the oval, as a share of half the oval's height."""

_FACE_SHARE = 0.68  # of a face box's height: half the oval's height
_SMALLEST = 0.6  # of the largest oval
_UNASKED = 0.85  # of the largest oval, before there is a face
_CALM = 0.16  # of half the oval's height: the face may move by so much before the oval follows
_CALM_SIZE = 0.2
_SETTLED = 0.015
_STEP = 0.25  # part of the way that is left, a frame


@dataclass(frozen=True, slots=True)
class Oval:
    """An upright ellipse, in pixels of the picture.

    Attributes:
        x: Of its middle.
        y: Of its middle.
        half_h: Half its height.
    """

    x: float
    y: float
    half_h: float

    @property
    def half_w(self) -> float:
        """Half its width."""
        return self.half_h * ASPECT

    def point(self, angle_deg: float, beyond: float = 0.0) -> tuple[float, float]:
        """The point at an angle (0 to the right, 90 up), ``beyond`` pixels outside the outline."""
        angle = math.radians(angle_deg)
        x, y = self.half_w * math.cos(angle), self.half_h * math.sin(angle)
        normal_x, normal_y = self.half_h * math.cos(angle), self.half_w * math.sin(angle)
        length = math.hypot(normal_x, normal_y) or 1.0
        return self.x + x + beyond * normal_x / length, self.y - y - beyond * normal_y / length


@dataclass(frozen=True, slots=True)
class Room:
    """The part of a picture that oval and ring may use.

    Attributes:
        left: First pixel.
        top: First pixel.
        right: Pixel after the last.
        bottom: Pixel after the last.
    """

    left: float
    top: float
    right: float
    bottom: float

    def around(self, box: Box | None) -> Oval:
        """The oval for a face, or for none: of a size that fits the room, as near to the face as the ring allows."""
        width, height = self.right - self.left, self.bottom - self.top
        largest = max(1.0, min(height / 2 / (1 + RING), width / 2 / (ASPECT + RING)))
        if box is None:
            return Oval((self.left + self.right) / 2, (self.top + self.bottom) / 2, _UNASKED * largest)
        half_h = min(max((box[3] - box[1]) * _FACE_SHARE, _SMALLEST * largest), largest)
        wide, high = half_h * (ASPECT + RING), half_h * (1 + RING)
        x = min(max((box[0] + box[2]) / 2, self.left + wide), self.right - wide)
        y = min(max((box[1] + box[3]) / 2, self.top + high), self.bottom - high)
        return Oval(x, y, half_h)


class Follower:
    """Lets the oval follow a face without trembling: it stays until the face has left its middle, then glides."""

    def __init__(self) -> None:
        self._oval: Oval | None = None
        self._room: Room | None = None
        self._gliding = False

    def follow(self, box: Box | None, room: Room) -> Oval:
        """The oval for the next frame; where no face is seen, it stays where it was."""
        if box is not None and not all(map(math.isfinite, box)):
            box = None
        if self._oval is None or room != self._room:
            self._oval, self._room = room.around(box), room
            return self._oval
        if box is None:
            return self._oval
        wanted = room.around(box)
        away = math.hypot(wanted.x - self._oval.x, wanted.y - self._oval.y) / self._oval.half_h
        growth = abs(wanted.half_h / self._oval.half_h - 1)
        if away > _CALM or growth > _CALM_SIZE:
            self._gliding = True
        elif away < _SETTLED and growth < _SETTLED:
            self._gliding = False
        if self._gliding:
            self._oval = replace(
                self._oval,
                x=self._oval.x + _STEP * (wanted.x - self._oval.x),
                y=self._oval.y + _STEP * (wanted.y - self._oval.y),
                half_h=self._oval.half_h + _STEP * (wanted.half_h - self._oval.half_h),
            )
        return self._oval


_WHITE: Color = (245, 245, 245)
_GREEN: Color = (96, 214, 48)
_DULL_GREEN: Color = (74, 128, 66)
_AMBER: Color = (40, 170, 255)
_RED: Color = (70, 66, 235)
_DARK: Color = (20, 22, 26)
_SURROUNDINGS = 0.38
"""What is left of the light around the oval."""
_DONE_LIGHT = 0.6
"""What is left of it on the face behind the check mark, or the cross."""
_OVER: frozenset[ScreenPhase] = frozenset({"done", "failed"})
_PENDING = 84
_EDGE = 200
_KEYS = 190
_TICKS = 60
"""About so many ticks around the oval; each direction has the same number."""
_SPREAD = 0.86
"""Share of a direction's arc that its ticks take, so that directions can be told apart."""
# Distances from the oval's outline, as shares of half its height.
_NEAR = (0.075, 0.165)
_FAR = (0.205, 0.265)
_TARGET = (0.315, 0.375)
_ARROW = (0.15, 0.395)
"""Where an arrow begins and ends: it is of a challenge, and covers the ring's outer ticks."""
_HURRY = 1 / 3
"""The time that is left is amber below this share of it."""
_HALO_DEG = 16.0
"""Ticks this close to where the head points stand out."""
_FAINTEST = 0.1


@dataclass(frozen=True, slots=True)
class RingView:
    """What the screen shows in one frame. Angles and box are those of the picture as the camera sees it.

    Attributes:
        phase: ``paused`` is amber, ``done`` has a check mark, ``failed`` a red cross, ``frontal`` fills the oval's
            outline with the progress.
        parts: The directions, evenly spread.
        hint: The large line; empty for none.
        person: Stands at the top left; empty for none.
        keys: The small line; empty for none.
        progress: 0..1.
        box: xyxy in pixels of the face that the oval surrounds; None without one.
        heading_deg: Where the head points; None while that is not known.
        reach: How far it points there: 1 is the inner ring.
        target_deg: Where it is to point next; None for nowhere.
        time_left: 0..1, what is left of the time to get there, drawn as the oval's outline, with an arrow at the ring;
            None where there is all the time in the world.
    """

    phase: ScreenPhase
    parts: tuple[RingPart, ...]
    hint: str = ""
    person: str = ""
    keys: str = ""
    progress: float = 0.0
    box: Box | None = None
    heading_deg: float | None = None
    reach: float = 0.0
    target_deg: float | None = None
    time_left: float | None = None


@dataclass(frozen=True, slots=True)
class _ScreenSizes:
    """Sizes in pixels that follow the picture's."""

    hint: int
    small: int
    pad: int
    bar: int

    @classmethod
    def of(cls, height: int, width: int) -> "_ScreenSizes":
        side = min(height, width)
        small = min(max(round(5 + 0.017 * side), 10), 60)
        return cls(hint=round(small * 1.7), small=small, pad=max(3, round(0.018 * side)), bar=max(3, round(side / 100)))


@dataclass(frozen=True, slots=True)
class _Patch:
    """The ring and the oval's outline, drawn once for as long as they do not change.

    Attributes:
        keep: (S, S, 3) uint8, what is left of the picture, 255 for all of it.
        ink_bgr: (S, S, 3) uint8, what is added to that.
    """

    keep: Image
    ink_bgr: Image


class RingPainter:
    """Draws the screen; keeps fonts, drawn parts and where the oval is, so make one for each scan.

    Args:
        painter: Draws the text; a new one by default.
    """

    def __init__(self, painter: Painter | None = None) -> None:
        self._painter = painter or Painter()
        self._follower = Follower()
        self._patch = lru_cache(4)(_draw_patch)

    def draw(self, image_bgr: Image, view: RingView, *, mirrored: bool = False) -> Image:
        """The screen for one frame.

        Args:
            image_bgr: (H, W, 3) uint8, BGR, as the camera gives it; not changed.
            view: What to show.
            mirrored: Show everything but the text as a mirror does.

        Returns:
            (H, W, 3) uint8, BGR, contiguous, of the same size.
        """
        height, width = image_bgr.shape[:2]
        sizes = _ScreenSizes.of(height, width)
        lines = self._lines(view, sizes, width)
        text_h = sum(line.shape[0] for line in lines) + sizes.bar + 7 * sizes.pad // 2
        room = Room(sizes.pad / 2, sizes.pad / 2, width - 1 - sizes.pad / 2, max(height - text_h, height / 2))
        oval = self._follower.follow(view.box, room)
        if mirrored:
            image_bgr, view, oval = image_bgr[:, ::-1], _flip(view), replace(oval, x=width - 1 - oval.x)
        canvas = np.asarray(cv2.convertScaleAbs(image_bgr, alpha=_SURROUNDINGS), np.uint8)
        self._lay_ring(canvas, image_bgr, view, oval)
        if view.phase == "frontal" and view.progress > 0:
            _draw_arc(canvas, oval, min(view.progress, 1.0), _GREEN, 2 * _edge_width(oval))
        _draw_heading(canvas, view, oval)
        if view.phase == "done":
            _draw_check(canvas, oval)
        elif view.phase == "failed":
            _draw_cross(canvas, oval)
        self._draw_lines(canvas, view, sizes, lines)
        return canvas

    def _lines(self, view: RingView, sizes: _ScreenSizes, width: int) -> tuple[Alpha, Alpha]:
        """The hint, smaller where it would not fit, and the keys."""
        room = max(width - 4 * sizes.pad, 1)
        for size in (sizes.hint, round(sizes.hint * 0.85)):
            hint = self._painter.text(view.hint, size, 100 * width)
            if hint.shape[1] <= room:
                break
        else:
            hint = self._painter.text(view.hint, round(sizes.hint * 0.7), room)
        return hint, self._painter.text(view.keys, sizes.small, room)

    def _lay_ring(self, canvas: Image, image_bgr: Image, view: RingView, oval: Oval) -> None:
        """Put the patch on the canvas; what would fall outside is cut off."""
        half_h = max(1, round(oval.half_h))
        patch = self._patch(half_h, view.phase, view.parts)
        size = len(patch.keep)
        left, top = round(oval.x) - size // 2, round(oval.y) - size // 2
        x1, y1 = max(left, 0), max(top, 0)
        x2, y2 = min(left + size, canvas.shape[1]), min(top + size, canvas.shape[0])
        if x1 >= x2 or y1 >= y2:
            return
        inside = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
        kept = cv2.multiply(np.ascontiguousarray(image_bgr[y1:y2, x1:x2]), patch.keep[inside], scale=1 / 255)
        canvas[y1:y2, x1:x2] = cv2.add(kept, patch.ink_bgr[inside])

    def _draw_lines(self, canvas: Image, view: RingView, sizes: _ScreenSizes, lines: tuple[Alpha, Alpha]) -> None:
        height, width = canvas.shape[:2]
        hint, keys = lines
        y = height - sizes.pad - keys.shape[0]
        ink(canvas, keys, (width - keys.shape[1]) // 2, y, _WHITE, _KEYS)
        y -= sizes.pad // 2 + sizes.bar
        length = round(min(width * 0.4, height * 0.6))
        filled = _WHITE if view.phase == "frontal" else _GREEN
        draw_bar(canvas, ((width - length) // 2, y, length, sizes.bar), view.progress, filled, _WHITE)
        y -= sizes.pad + hint.shape[0]
        color = {"paused": _DARK, "done": _GREEN, "enough": _GREEN, "failed": _RED}.get(view.phase, _WHITE)
        x = (width - hint.shape[1]) // 2
        if view.phase == "paused" and hint.shape[1]:
            draw_pill(canvas, (x - sizes.pad, y, hint.shape[1] + 2 * sizes.pad, hint.shape[0]), _AMBER)
        ink(canvas, hint, x, y, color)
        name = self._painter.text(view.person, round(sizes.small * 1.25), max(width // 3, 1))
        ink(canvas, name, sizes.pad, sizes.pad // 2, _WHITE)


def _flip(view: RingView) -> RingView:
    """What a mirror shows. The box has done its work by then."""
    return replace(
        view,
        parts=tuple(replace(part, angle_deg=180 - part.angle_deg) for part in view.parts),
        heading_deg=None if view.heading_deg is None else 180 - view.heading_deg,
        target_deg=None if view.target_deg is None else 180 - view.target_deg,
    )


def _draw_patch(half_h: int, phase: ScreenPhase, parts: tuple[RingPart, ...]) -> _Patch:
    reach = math.ceil(half_h * (1 + RING)) + 2
    oval = Oval(reach, reach, half_h)
    drawn = np.zeros((2 * reach + 1, 2 * reach + 1, 4), np.uint8)  # premultiplied BGRA
    for part in parts:
        for quality, (start, end) in ((part.near, _NEAR), (part.far, _FAR)):
            color = _faded(_GREEN if part.covered else _WHITE, _PENDING) if quality is None else (*_shade(quality), 255)
            for angle_deg in _tick_angles(part.angle_deg, len(parts)):
                _stroke(drawn, oval, angle_deg, start, end, color, _tick_width(oval))
    edges = {"paused": (*_AMBER, 255), "done": (*_GREEN, 255), "failed": (*_RED, 255)}
    edge = edges.get(phase, _faded(_WHITE, _EDGE))
    _draw_arc(drawn, oval, 1.0, edge, _edge_width(oval))
    light = np.full(drawn.shape[:2], round(255 * _SURROUNDINGS), np.uint8)
    inside = round(255 * _DONE_LIGHT) if phase in _OVER else 255
    axes = fixed((oval.half_w, oval.half_h))
    cv2.ellipse(light, fixed((oval.x, oval.y)), axes, 0, 0, 360, (inside,), -1, cv2.LINE_AA, SHIFT)
    blue, green, red, alpha = cv2.split(drawn)
    keep = cv2.multiply(cv2.bitwise_not(alpha), light, scale=1 / 255)
    return _Patch(np.asarray(cv2.merge([keep] * 3), np.uint8), np.asarray(cv2.merge([blue, green, red]), np.uint8))


def _draw_arc(canvas: Image, oval: Oval, share: float, color: tuple[int, ...], width: int) -> None:
    """The oval's outline, or a share of it, clockwise from the top."""
    centre, axes = fixed((oval.x, oval.y)), fixed((oval.half_w, oval.half_h))
    cv2.ellipse(canvas, centre, axes, 0, -90, -90 + 360 * share, color, width, cv2.LINE_AA, SHIFT)


def _draw_heading(canvas: Image, view: RingView, oval: Oval) -> None:
    """Ticks where the head points grow; a chevron stands where it is to point."""
    if view.phase in _OVER or view.phase == "paused":
        return
    if view.heading_deg is not None and view.phase != "frontal":
        for part in view.parts:
            for angle_deg in _tick_angles(part.angle_deg, len(view.parts)):
                away = abs((angle_deg - view.heading_deg + 180) % 360 - 180)
                weight = math.exp(-((away / _HALO_DEG * 2) ** 2)) * min(view.reach, 1.0)
                if away <= _HALO_DEG and weight > _FAINTEST:
                    color = _brighter(_GREEN) if part.covered else _WHITE
                    start, end = _NEAR[0] - 0.03 * weight, _NEAR[1] + 0.03 * weight
                    width = _tick_width(oval) * (1 + 0.5 * weight)
                    _stroke(canvas, oval, angle_deg, start, end, color, round(width))
    if view.time_left is not None:
        draw_challenge(canvas, oval, view.target_deg, view.time_left)
    elif view.target_deg is not None:
        _draw_chevron(canvas, oval, view.target_deg)


def draw_challenge(canvas: Image, oval: Oval, target_deg: float | None, time_left: float) -> None:
    """Where a head is to turn, as an arrow, and what is left of the time for it, as the oval's outline.

    Args:
        canvas: (H, W, 3) uint8, BGR; changed.
        oval: Around the face, in pixels of the canvas.
        target_deg: 0 is the canvas' right side, 90 up; None for straight ahead.
        time_left: 0..1.
    """
    color, width = _WHITE if time_left > _HURRY else _AMBER, 2 * _edge_width(oval)
    _draw_arc(canvas, oval, 1.0, _DARK, width + 2)
    _draw_arc(canvas, oval, min(max(time_left, 0.0), 1.0), color, width)
    if target_deg is not None:
        _draw_arrow(canvas, oval, target_deg, color)


def _draw_chevron(canvas: Image, oval: Oval, angle_deg: float) -> None:
    inner, outer = (share * oval.half_h for share in _TARGET)
    half = math.degrees((outer - inner) / oval.half_h)
    wings = [
        oval.point(angle_deg - half, inner),
        oval.point(angle_deg, outer),
        oval.point(angle_deg + half, inner),
    ]
    points = np.array([fixed(point) for point in wings], np.int32)
    cv2.polylines(canvas, [points], False, _WHITE, max(2, round(oval.half_h * 0.03)), cv2.LINE_AA, SHIFT)  # noqa: FBT003 -- open


def _draw_arrow(canvas: Image, oval: Oval, angle_deg: float, color: Color) -> None:
    """A filled head that points outwards, with a dark edge that sets it off any picture."""
    foot, tip = (share * oval.half_h for share in _ARROW)
    (x1, y1), (x2, y2) = oval.point(angle_deg, foot), oval.point(angle_deg, tip)
    wide_x, wide_y = 0.75 * (y2 - y1), 0.75 * (x1 - x2)
    notch = x1 + 0.3 * (x2 - x1), y1 + 0.3 * (y2 - y1)
    corners = ((x2, y2), (x1 + wide_x, y1 + wide_y), notch, (x1 - wide_x, y1 - wide_y))
    points = np.array([fixed(corner) for corner in corners], np.int32)
    cv2.polylines(canvas, [points], True, _DARK, max(3, round(oval.half_h * 0.035)), cv2.LINE_AA, SHIFT)  # noqa: FBT003 -- closed
    cv2.fillPoly(canvas, [points], color, cv2.LINE_AA, SHIFT)


def _draw_cross(canvas: Image, oval: Oval) -> None:
    size = oval.half_h * 0.32
    width = max(2, round(size * 0.25))
    for rise in (1, -1):
        ends = fixed((oval.x - size, oval.y - rise * size)), fixed((oval.x + size, oval.y + rise * size))
        cv2.line(canvas, *ends, _RED, width, cv2.LINE_AA, SHIFT)


def _draw_check(canvas: Image, oval: Oval) -> None:
    size = oval.half_h * 0.5
    corners = ((-0.75, 0.05), (-0.2, 0.6), (0.8, -0.6))
    points = np.array([fixed((oval.x + x * size, oval.y + y * size)) for x, y in corners], np.int32)
    cv2.polylines(canvas, [points], False, _GREEN, max(2, round(size * 0.16)), cv2.LINE_AA, SHIFT)  # noqa: FBT003 -- open


def _tick_angles(middle_deg: float, directions: int) -> Iterator[float]:
    count = max(1, round(_TICKS / directions))
    arc = 360 / directions * _SPREAD
    return (middle_deg + ((tick + 0.5) / count - 0.5) * arc for tick in range(count))


def _edge_width(oval: Oval) -> int:
    return max(2, round(oval.half_h * 0.019))


def _tick_width(oval: Oval) -> int:
    return max(1, round(oval.half_h * 0.026))


def _stroke(
    canvas: Image, oval: Oval, angle_deg: float, start: float, end: float, color: tuple[int, ...], width: int
) -> None:
    inner, outer = (fixed(oval.point(angle_deg, share * oval.half_h)) for share in (start, end))
    cv2.line(canvas, inner, outer, color, width, cv2.LINE_AA, SHIFT)


def _shade(quality: float) -> Color:
    """Duller for poorer views."""
    share = min(max(quality / 100, 0.0), 1.0)
    blue, green, red = (round(low + share * (high - low)) for low, high in zip(_DULL_GREEN, _GREEN, strict=True))
    return blue, green, red


def _brighter(color: Color) -> Color:
    blue, green, red = (round(value + 0.45 * (255 - value)) for value in color)
    return blue, green, red


def _faded(color: Color, alpha: int) -> tuple[int, int, int, int]:
    """Premultiplied BGRA."""
    blue, green, red = (round(value * alpha / 255) for value in color)
    return blue, green, red, alpha
