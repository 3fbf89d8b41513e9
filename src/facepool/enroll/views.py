"""The views of one guided scan: the best frame of each place of the ring, and which of them become templates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from facepool.enroll.ring import AMPLITUDES, Slot
from facepool.types import Floats, Pose, Sample

Keeping = Literal["taken", "better", "not_better"]
"""What became of a view: the first of its place, better than the one there, or not."""

SAME_VIEW = 0.97
"""Two views that resemble each other this much, the cosine of frames a few hundredths of a second apart, are one."""


@dataclass(frozen=True, slots=True)
class View:
    """One captured face and its place.

    Attributes:
        sample: What would be stored.
        offset: Its pose relative to the person's own frontal pose.
        slot: Its place on the ring; None: the middle.
    """

    sample: Sample
    offset: Pose
    slot: Slot | None

    @property
    def quality(self) -> float:
        """0..100; 0 where it was not measured."""
        return self.sample.quality or 0.0

    @property
    def rank(self) -> tuple[float, bytes, float, float]:
        """Orders views by worth. Content settles a tie, so that the order in which frames come does not."""
        return self.quality, self.sample.embedding.tobytes(), self.offset.yaw, self.offset.pitch


@dataclass(slots=True)
class Views:
    """The best view of each place. A place that has one keeps one, and its quality never falls."""

    _best: dict[Slot | None, View] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of places that have a view."""
        return len(self._best)

    def offer(self, view: View) -> Keeping:
        """Keep a view if it is the best of its place."""
        present = self._best.get(view.slot)
        if present is not None and view.rank <= present.rank:
            return "not_better"
        self._best[view.slot] = view
        return "taken" if present is None else "better"

    def forget(self, direction: int) -> None:
        """Give up the views of one direction, so that even worse ones take their place."""
        for slot in [slot for slot in self._best if slot is not None and slot.direction == direction]:
            del self._best[slot]

    def at(self, slot: Slot | None) -> View | None:
        """The view of a place; None where it has none yet."""
        return self._best.get(slot)

    def covers(self, direction: int) -> bool:
        """Whether the person was seen turned that way, near or far."""
        return any(slot is not None and slot.direction == direction for slot in self._best)

    def all(self) -> list[View]:
        """Every view: the frontal one, then around the ring, near before far."""
        return [self._best[slot] for slot in sorted(self._best, key=_around)]


def choose(views: Sequence[View], cap: int, stored: Floats) -> list[View]:
    """The views that tell most about a person.

    The frontal view first; then again and again the one that is least like all that were chosen or are stored already,
    a poor one counting for less (farthest-point sampling weighted by quality). Views that are all but the same as a
    chosen one are left out.

    Args:
        views: In any order, which does not matter.
        cap: How many at most.
        stored: (S, D) float32, embeddings of the person that the pool has; S may be 0.

    Returns:
        At most ``cap`` views, the most telling first.
    """
    left = sorted(views, key=lambda view: view.rank, reverse=True)
    if not left or cap < 1:
        return []
    vectors = np.stack([view.sample.embedding for view in left])
    worth = np.array([0.5 + view.quality / 200 for view in left])
    frontal = np.array([view.slot is None for view in left])
    nearest = (vectors @ stored.T).max(axis=1) if len(stored) else np.full(len(left), -1.0, np.float32)
    chosen: list[int] = []
    while len(chosen) < cap:
        gain = (1 - nearest) * worth + 2 * frontal
        gain[nearest > SAME_VIEW] = -1
        best = int(np.argmax(gain))
        if gain[best] < 0:
            break
        chosen.append(best)
        nearest = np.maximum(nearest, vectors @ vectors[best])
        nearest[best] = 2.0
    return [left[index] for index in chosen]


def _around(slot: Slot | None) -> tuple[int, int]:
    return (-1, 0) if slot is None else (slot.direction, AMPLITUDES.index(slot.amplitude))
