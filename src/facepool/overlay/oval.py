"""Where the face oval of the enrollment screen lies: calmly on the face, and with its ring within the picture."""

import math
from dataclasses import dataclass, replace

Box = tuple[float, float, float, float]
"""xyxy in pixels."""

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
        """The oval for a face, or for nobody: of a size that fits the room, as near to the face as the ring allows."""
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
        """The oval for the next frame; where nobody is seen, it stays where it was."""
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
