"""After a scan: which directions were captured, how well they hold together, and where it is thin."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facepool.enroll.ring import AMPLITUDES, Amplitude, Slot
from facepool.enroll.scan import RingScan, View
from facepool.faces.facing import DIRECTIONS, direction_angle, direction_words
from facepool.liveness.flat import Verdict
from facepool.thresholds import Threshold
from facepool.types import Floats, counted, one_line

THIN_QUALITY = 40.0
"""Below this a direction is to be scanned again; 0..100."""

ABOUT_MISSES = (
    "Share of captured views whose similarity to the nearest stored view, other than themselves, is below the "
    "threshold. Both come from one scan, in one light: recognition on another day misses more."
)


@dataclass(frozen=True, slots=True)
class ViewReport:
    """One captured view.

    Attributes:
        slot: Its place; None for the frontal one.
        quality: 0..100.
        yaw_deg: Turn from the person's frontal pose, positive towards the picture's right side.
        pitch_deg: The same, positive upwards.
        stored: Whether it becomes a template.
        similarity: To the nearest of the other stored views; None where there is no other.
        missed: Whether that is below the threshold.
    """

    slot: Slot | None
    quality: float
    yaw_deg: float
    pitch_deg: float
    stored: bool
    similarity: float | None
    missed: bool


@dataclass(frozen=True, slots=True)
class DirectionReport:
    """One direction of the ring.

    Attributes:
        direction: 0-based, counter-clockwise.
        angle_deg: Of its middle; 0 is the picture's right side, 90 up.
        words: The same for the person: ``left`` is their own left.
        near: The view on the inner ring; None where there is none.
        far: The view on the outer ring; None where there is none.
    """

    direction: int
    angle_deg: float
    words: str
    near: ViewReport | None
    far: ViewReport | None

    @property
    def covered(self) -> bool:
        """Whether the person was seen turned that way."""
        return self.near is not None or self.far is not None

    @property
    def thin(self) -> bool:
        """Whether it is to be scanned again: nothing there, nothing good, or nothing that would be recognized."""
        views = [view for view in (self.near, self.far) if view is not None]
        return not any(view.quality >= THIN_QUALITY and not view.missed for view in views)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The report on one scan.

    Attributes:
        person: Whom it shows.
        appearance: Which look; empty for the usual one.
        partial: Whether it is accepted although too many directions are missing.
        frontal: The view straight ahead; None before there is one.
        directions: All directions, counter-clockwise from the picture's right side.
        similarities: (V, V) float32, cosine of every two captured views: the person's own genuine similarities; in the
            order of ``views``.
        threshold: From which similarity on the person would be named in the pool with this scan in it.
        steady: Whether the person kept still, looking straight ahead, so that their own frontal pose is known. Else the
            view that is nearest to it stands for it, if there is one, or the camera does.
        motion: Whether it moved like a head or like a flat picture; ``not_enough_motion``: it did not turn far enough
            to tell.
    """

    person: str
    appearance: str
    partial: bool
    frontal: ViewReport | None
    directions: tuple[DirectionReport, ...]
    similarities: Floats
    threshold: Threshold
    steady: bool = True
    motion: Verdict = "not_enough_motion"

    def __repr__(self) -> str:
        """Whom it is of, and how much was captured."""
        covered = sum(direction.covered for direction in self.directions)
        captured = f"{covered} of {len(self.directions)} directions, {counted(len(self.views), 'view')}"
        return one_line(self, f"{self.person}, {captured}{', partial' if self.partial else ''}")

    @property
    def views(self) -> tuple[ViewReport, ...]:
        """Every captured view: the frontal one, then around the ring, near before far."""
        around = [view for direction in self.directions for view in (direction.near, direction.far)]
        return tuple(view for view in (self.frontal, *around) if view is not None)

    @property
    def covered(self) -> float:
        """0..1, the share of directions that were captured."""
        return sum(direction.covered for direction in self.directions) / len(self.directions)

    @property
    def thin(self) -> tuple[DirectionReport, ...]:
        """The directions to scan again."""
        return tuple(direction for direction in self.directions if direction.thin)

    def miss_share(self, amplitude: Amplitude | None = None) -> float | None:
        """Predicted share of missed views, of one ring or of all; see ``ABOUT_MISSES``. None without a view to ask."""
        asked = [
            view.missed
            for view in self.views
            if view.similarity is not None
            and (amplitude is None or (view.slot is not None and view.slot.amplitude == amplitude))
        ]
        return sum(asked) / len(asked) if asked else None


def report(scan: RingScan, chosen: Sequence[View], threshold: Threshold, *, person: str, appearance: str) -> Coverage:
    """Report on a scan.

    Args:
        scan: What was captured.
        chosen: What of it becomes templates.
        threshold: Of the pool with the templates in it.
        person: Whom it shows.
        appearance: Which look.
    """
    views = scan.views
    reports = {view.slot: _view_report(view, chosen, threshold.value) for view in views}
    vectors = np.stack([view.sample.embedding for view in views]) if views else np.zeros((0, 1), np.float32)
    directions = []
    for direction in range(DIRECTIONS):
        angle_deg = direction_angle(direction)
        near, far = (reports.get(Slot(direction, amplitude)) for amplitude in AMPLITUDES)
        directions.append(DirectionReport(direction, angle_deg, direction_words(angle_deg), near, far))
    return Coverage(
        person=person,
        appearance=appearance,
        partial=scan.is_partial,
        frontal=reports.get(None),
        directions=tuple(directions),
        similarities=vectors @ vectors.T,
        threshold=threshold,
        steady=scan.steady,
        motion=scan.motion,
    )


def _view_report(view: View, chosen: Sequence[View], threshold: float) -> ViewReport:
    others = [other.sample.embedding for other in chosen if other is not view]
    similarity = float(np.max(np.stack(others) @ view.sample.embedding)) if others else None
    return ViewReport(
        slot=view.slot,
        quality=view.quality,
        yaw_deg=view.offset.yaw,
        pitch_deg=view.offset.pitch,
        stored=any(other is view for other in chosen),
        similarity=similarity,
        missed=similarity is not None and similarity < threshold,
    )
