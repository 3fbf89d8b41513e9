"""Which ways the stored views of a person look: the ring of a guided scan, told from what the pool keeps."""

from collections.abc import Sequence
from dataclasses import dataclass

from facepool.enroll.ring import AMPLITUDES, RingOptions, Slot, angle_between, direction_angle, place, relative
from facepool.enroll.scan import Bin
from facepool.types import Pose, Template


@dataclass(frozen=True, slots=True)
class StoredRing:
    """The views of a person around the one in their middle.

    Attributes:
        middle: Number of the template that looks most like straight ahead; None where no view has a pose.
        bins: Every place of the ring, inner ring first.
        coverage: 0..1, the share of directions that some view looks to.
    """

    middle: int | None
    bins: tuple[Bin, ...]
    coverage: float


def stored_ring(templates: Sequence[Template], options: RingOptions | None = None) -> StoredRing:
    """Place stored views on the ring.

    What was straight ahead is not stored, and cameras stand high or low; so the ring's middle is the view that is least
    turned away from all the others. Views without a pose do not take part.

    Args:
        templates: Of one person; may be empty.
        options: Where the ring lies.
    """
    options = options or RingOptions()
    posed = [(template, template.sample.pose) for template in templates if template.sample.pose is not None]
    best: dict[Slot, float] = {}
    middle = min(posed, key=lambda view: sum(angle_between(view[1], pose) for _, pose in posed), default=None)
    if middle is not None:
        for template, pose in posed:
            _put(best, template, relative(pose, middle[1]), options)
    slots = [Slot(direction, amplitude) for amplitude in AMPLITUDES for direction in range(options.directions)]
    return StoredRing(
        middle=None if middle is None else middle[0].id,
        bins=tuple(Bin(slot, direction_angle(slot.direction, options), best.get(slot)) for slot in slots),
        coverage=len({slot.direction for slot in best}) / options.directions,
    )


def _put(best: dict[Slot, float], template: Template, offset: Pose, options: RingOptions) -> None:
    slot = place(offset, options).slot
    if slot is not None:
        best[slot] = max(best.get(slot, 0.0), template.sample.quality or 0.0)
