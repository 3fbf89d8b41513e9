"""The ring around a person's frontal pose: its places, which of them are covered, which way is missing, what is stored.

Pure geometry; which way a head is turned is told by ``facepool.faces.facing``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from facepool.faces.facing import DIRECTIONS, HeadTurn, angle_between, apart, direction_angle, place, relative
from facepool.types import Pose, Template

Amplitude = Literal["near", "far"]
AMPLITUDES: tuple[Amplitude, ...] = ("near", "far")

_STRAIGHT = Pose(0.0, 0.0, 0.0)


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


def slot_of(turn: HeadTurn) -> Slot | None:
    """The place that keeps a view turned like this; None inside the ring."""
    if turn.zone == "near" or turn.zone == "far":
        return Slot(turn.direction, turn.zone)
    return None


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


def next_direction(covered: Sequence[bool], turn: HeadTurn | None) -> int | None:
    """Where to send the person: into the largest gap, at its end that is nearest to where the head is now.

    Returns:
        None when nothing is missing.
    """
    gap = largest_gap(covered)
    if not gap:
        return None
    if turn is None or turn.zone == "frontal":
        return gap[0] if len(gap) == DIRECTIONS else gap[len(gap) // 2]
    return min(gap, key=lambda direction: (apart(direction_angle(direction), turn.angle_deg), direction))


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
        slot = slot_of(place(offset))
        if slot is not None:
            best[slot] = max(best.get(slot, 0.0), template.sample.quality or 0.0)
    return StoredRing(middle.id, ring_parts(best))
