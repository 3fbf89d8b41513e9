"""The ring around a person's frontal pose: which way a head is turned, how far, which way is missing, what is stored.

Pure geometry. Angles on the ring are those of the picture, counter-clockwise, in degrees: 0 is a face turned towards
the picture's right side (the person's own left), 90 one that looks up. A head turns less far up and down than
sideways, and five landmarks see it less well there, so the ring is an ellipse in yaw and pitch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from facepool.types import Pose, Template

Zone = Literal["frontal", "between", "near", "far"]
"""How far a head is turned; ``between`` is too far for frontal and not far enough for the ring."""
Amplitude = Literal["near", "far"]
AMPLITUDES: tuple[Amplitude, ...] = ("near", "far")
Doubles = npt.NDArray[np.float64]

DIRECTIONS = 12
"""Into how many equal parts the ring is divided; the first is centred on angle 0."""
# Degrees from the person's own frontal pose, as (yaw, pitch). Turned less than the first counts as frontal; from the
# second on a direction is covered; from the third on a view is of the outer ring, which nobody has to reach.
# Landmarks show 0.78 of a pitch and all of a yaw (a pose network on a film of a turning head), hence the ellipse.
_FRONTAL_DEG = (8.0, 4.7)
_NEAR_DEG = (12.0, 8.3)
_FAR_DEG = (22.0, 14.2)

_STRAIGHT = Pose(0.0, 0.0, 0.0)
_WORDS = ("left", "up and left", "up", "up and right", "right", "down and right", "down", "down and left")


@dataclass(frozen=True, slots=True)
class Slot:
    """One place of the ring that keeps one view.

    Attributes:
        direction: 0-based, counter-clockwise.
        amplitude: Which of the two rings.
    """

    direction: int
    amplitude: Amplitude


@dataclass(frozen=True, slots=True)
class Turn:
    """A head's pose as seen from the ring's centre.

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

    @property
    def slot(self) -> Slot | None:
        """The place that keeps such a view; None inside the ring."""
        if self.zone == "near" or self.zone == "far":
            return Slot(self.direction, self.zone)
        return None


@dataclass(frozen=True, slots=True)
class RingPart:
    """One direction of the ring, to draw. Mirror its angle with the picture.

    Attributes:
        angle_deg: Of its middle: 0 is the picture's right side, 90 up.
        near: 0..100, quality of the view on the inner ring; None while there is none.
        far: The same on the outer ring.
    """

    angle_deg: float
    near: float | None = None
    far: float | None = None

    @property
    def covered(self) -> bool:
        """Whether there is a view on either ring."""
        return self.near is not None or self.far is not None


@dataclass(frozen=True, slots=True)
class StoredRing:
    """The stored views of a person around the one in their middle.

    Attributes:
        middle: Number of the template that looks most like straight ahead; None where no view has a pose.
        parts: Every direction.
    """

    middle: int | None
    parts: tuple[RingPart, ...]

    @property
    def coverage(self) -> float:
        """0..1, the share of directions that some view looks to."""
        return sum(part.covered for part in self.parts) / DIRECTIONS


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


def place(offset: Pose) -> Turn:
    """Where on the ring a relative pose lies."""
    width = 360 / DIRECTIONS
    yaw, pitch = _NEAR_DEG
    angle = float(np.degrees(np.arctan2(offset.pitch / pitch, offset.yaw / yaw))) % 360
    direction = int((angle + width / 2) // width) % DIRECTIONS
    return Turn(angle, _reach(offset, _NEAR_DEG), direction, _zone(offset))


def direction_angle(direction: int) -> float:
    """The angle of a direction's middle, 0 up to 360."""
    return direction * 360 / DIRECTIONS


def direction_words(angle_deg: float) -> str:
    """The way as the person feels it: ``left`` is the person's own left, the picture's right."""
    return _WORDS[round(angle_deg / 45) % 8]


def largest_gap(covered: Sequence[bool]) -> list[int]:
    """The longest run of directions that are not covered, in order; the first of several. Empty when all are."""
    count = len(covered)
    if not any(covered):
        return list(range(count))
    runs: list[list[int]] = []
    first_covered = list(covered).index(True)
    for step in range(count):
        direction = (first_covered + step) % count
        if covered[direction]:
            runs.append([])
        else:
            runs[-1].append(direction)
    return max(runs, key=len)


def next_direction(covered: Sequence[bool], turn: Turn | None) -> int | None:
    """Where to send the person: into the largest gap, at its end that is nearest to where the head is now.

    Returns:
        None when nothing is missing.
    """
    gap = largest_gap(covered)
    if not gap:
        return None
    if turn is None or turn.zone == "frontal":
        return gap[0] if len(gap) == DIRECTIONS else gap[len(gap) // 2]
    return min(gap, key=lambda direction: (_apart(direction_angle(direction), turn.angle_deg), direction))


def ring_parts(quality: Mapping[Slot, float]) -> tuple[RingPart, ...]:
    """Every direction of the ring, with the qualities of the views that it has."""
    return tuple(
        RingPart(direction_angle(way), quality.get(Slot(way, "near")), quality.get(Slot(way, "far")))
        for way in range(DIRECTIONS)
    )


def stored_ring(templates: Sequence[Template]) -> StoredRing:
    """Place stored views on the ring.

    The middle is what was straight ahead in the scan that a view comes from: each has a camera of its own. For a photo
    it is that of the last scan of the same appearance. Where no scan tells, cameras may stand high or low: there it is
    the view that is least turned away from all the others. Views without a pose do not take part.

    Args:
        templates: Of one person; may be empty.
    """
    scans = {one.sample.appearance: one.sample.frontal_pose for one in templates if one.sample.frontal_pose is not None}
    posed = [
        (template, template.sample.pose, template.sample.frontal_pose or scans.get(template.sample.appearance))
        for template in templates
        if template.sample.pose is not None
    ]
    if not posed:
        return StoredRing(None, ring_parts({}))
    untold = [pose for _, pose, frontal in posed if frontal is None]
    central = min(untold, key=lambda pose: sum(angle_between(pose, other) for other in untold), default=_STRAIGHT)
    offsets = [(template, relative(pose, frontal or central)) for template, pose, frontal in posed]
    middle, _ = min(offsets, key=lambda view: angle_between(view[1], _STRAIGHT))
    best: dict[Slot, float] = {}
    for template, offset in offsets:
        slot = place(offset).slot
        if slot is not None:
            best[slot] = max(best.get(slot, 0.0), template.sample.quality or 0.0)
    return StoredRing(middle.id, ring_parts(best))


def _apart(angle_a: float, angle_b: float) -> float:
    return abs((angle_a - angle_b + 180) % 360 - 180)


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
