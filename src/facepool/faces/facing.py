"""Which way a head is turned, and how far, as seen from the person's own frontal pose. Pure geometry.

Angles around a face are those of the picture, counter-clockwise, in degrees: 0 is a face turned towards the picture's
right side (the person's own left), 90 one that looks up. A head turns less far up and down than sideways, and five
landmarks see it less well there, so what counts as equally far is an ellipse in yaw and pitch.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from facepool.types import Pose

Zone = Literal["frontal", "between", "near", "far"]
"""How far a head is turned; ``between`` is too far for frontal and not far enough for the ring."""
Doubles = npt.NDArray[np.float64]

DIRECTIONS = 12
"""Into how many equal parts the ring is divided; the first is centred on angle 0."""
# Degrees from the person's own frontal pose, as (yaw, pitch). Turned less than the first counts as frontal; from the
# second on a direction is covered; from the third on a view is of the outer ring, which nobody has to reach.
# Landmarks show 0.78 of a pitch and all of a yaw (a pose network on a film of a turning head), hence the ellipse.
_FRONTAL_DEG = (8.0, 4.7)
_NEAR_DEG = (12.0, 8.3)
_FAR_DEG = (22.0, 14.2)

_WORDS = ("left", "up and left", "up", "up and right", "right", "down and right", "down", "down and left")


@dataclass(frozen=True, slots=True)
class HeadTurn:
    """A head's pose as seen from the person's own frontal pose.

    Attributes:
        angle_deg: 0 up to 360, the way that it is turned.
        reach: How far: 1 is the near ring's inner edge.
        direction: The part of the ring that the angle lies in.
        zone: How far, in words.
    """

    angle_deg: float
    reach: float
    direction: int
    zone: Zone


def relative(pose: Pose, reference: Pose) -> Pose:
    """A pose as the reference pose's owner feels it: (0, 0, 0) is the reference itself.

    The reference is undone as a rotation. Subtracting its angles would bend the ring of a person who is seen from
    above or below, whose turns to the side the camera sees as turns to the side and upwards.
    """
    x, y, z = _upright(reference) @ _facing(pose)
    return Pose(
        yaw=float(np.degrees(np.arctan2(x, z))),
        pitch=float(np.degrees(np.arcsin(np.clip(y, -1, 1)))),
        roll=(pose.roll - reference.roll + 180) % 360 - 180,
    )


def angle_between(pose_a: Pose, pose_b: Pose) -> float:
    """Degrees between the directions that two heads face, 0 to 180; roll does not count."""
    return float(np.degrees(np.arccos(np.clip(_facing(pose_a) @ _facing(pose_b), -1, 1))))


def place(offset: Pose) -> HeadTurn:
    """Which way a relative pose is turned, and how far."""
    yaw, pitch = _NEAR_DEG
    angle = float(np.degrees(np.arctan2(offset.pitch / pitch, offset.yaw / yaw))) % 360
    return HeadTurn(angle, _reach(offset, _NEAR_DEG), _direction(angle), _zone(offset))


def turn_of(right: float, up: float) -> HeadTurn:
    """A turn by how far it goes to the picture's right and upwards, where 1 is as far as the near ring's inner edge."""
    angle = float(np.degrees(np.arctan2(up, right))) % 360
    reach = float(np.hypot(right, up))
    frontal, far = _FRONTAL_DEG[0] / _NEAR_DEG[0], _FAR_DEG[0] / _NEAR_DEG[0]
    zone: Zone = "far" if reach >= far else "near" if reach >= 1 else "frontal" if reach < frontal else "between"
    return HeadTurn(angle, reach, _direction(angle), zone)


def direction_angle(direction: int) -> float:
    """The angle of a direction's middle, 0 up to 360."""
    return direction * 360 / DIRECTIONS


def direction_words(angle_deg: float) -> str:
    """The way as the person feels it: ``left`` is the person's own left, the picture's right."""
    return _WORDS[round(angle_deg / 45) % 8]


def apart(angle_a: float, angle_b: float) -> float:
    """Degrees between two angles around a face, 0 to 180."""
    return abs((angle_a - angle_b + 180) % 360 - 180)


def _direction(angle_deg: float) -> int:
    width = 360 / DIRECTIONS
    return int((angle_deg + width / 2) // width) % DIRECTIONS


def _reach(offset: Pose, radii: tuple[float, float]) -> float:
    return float(np.hypot(offset.yaw / radii[0], offset.pitch / radii[1]))


def _zone(offset: Pose) -> Zone:
    if _reach(offset, _FAR_DEG) >= 1:
        return "far"
    if _reach(offset, _NEAR_DEG) >= 1:
        return "near"
    return "frontal" if _reach(offset, _FRONTAL_DEG) < 1 else "between"


def _facing(pose: Pose) -> Doubles:
    """The way a head faces as a unit vector: x to the picture's right, y up, z towards the camera."""
    yaw, pitch = np.radians((pose.yaw, pose.pitch))
    return np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])


def _upright(pose: Pose) -> Doubles:
    """The rotation that turns a pose's facing to the z axis: pitch undone after yaw."""
    yaw, pitch = np.radians((pose.yaw, pose.pitch))
    undo_yaw = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    undo_pitch = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return np.asarray(undo_pitch @ undo_yaw)
