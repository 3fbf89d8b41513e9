"""A person's own frontal pose: what a guided scan calls straight ahead."""

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np

from facepool.geometry import iou
from facepool.types import Floats, Pose, Sample

Look = Literal["steady", "collecting", "not_straight", "moving", "another_face"]
"""What a frame does for the reference; ``steady`` completes it."""

_CONTINUES_IOU = 0.4
_PATIENCE = 150
"""After so many good frames that never looked straight, the pose that the person keeps is taken for straight: where a
camera stands, or a face is built, must not keep anybody out."""


@dataclass(frozen=True, slots=True)
class FrontalOptions:
    """What counts as looking straight ahead.

    Attributes:
        frames: So many in a row make the reference.
        steady_deg: By how much yaw, and pitch, may differ among them.
        straight_deg: Largest yaw, pitch and roll as the camera sees them. Wide in pitch: cameras stand on top of
            screens or below them, and five landmarks know pitch up to the shape of the face.
    """

    frames: int = 8
    steady_deg: float = 8.0
    straight_deg: tuple[float, float, float] = (20.0, 40.0, 30.0)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One frame of the row."""

    sample: Sample
    pose: Pose
    box: Floats


@dataclass(frozen=True, slots=True)
class Reference:
    """What poses and faces of a scan are compared with.

    Attributes:
        pose: The median of the row's poses.
        embedding: (D,) float32 of the frame that resembles the others most.
        box: (4,) float32 xyxy where the face was last.
        samples: The frames of the row.
    """

    pose: Pose
    embedding: Floats
    box: Floats
    samples: tuple[Sample, ...]


class FrontalSearch:
    """Waits for a row of frames in which one person looks straight ahead and keeps still.

    Args:
        options: What counts as that.
        same: The similarity from which on two frames of one scan show one person.
    """

    def __init__(self, options: FrontalOptions, same: float) -> None:
        self._options = options
        self._same = same
        self._row: deque[_Seen] = deque(maxlen=options.frames)
        self._waited = 0

    @property
    def progress(self) -> float:
        """0..1, how much of the row is there."""
        return len(self._row) / self._options.frames

    def interrupt(self) -> None:
        """A frame without a usable face ends the row."""
        self._row.clear()

    def offer(self, sample: Sample, pose: Pose, box: Floats) -> Look:
        """Look at a good face. The row begins anew where it breaks."""
        self._waited += 1
        if not self._straight(pose) and self._waited <= _PATIENCE:
            self._row.clear()
            return "not_straight"
        if self._row and not self._continues(sample, box):
            self._row.clear()
            self._row.append(_Seen(sample, pose, box))
            return "another_face"
        self._row.append(_Seen(sample, pose, box))
        if not self._still():
            return "moving"
        return "steady" if len(self._row) == self._options.frames else "collecting"

    def reference(self) -> Reference:
        """The reference, once a frame was ``steady``."""
        poses = np.array([(look.pose.yaw, look.pose.pitch, look.pose.roll) for look in self._row])
        vectors = np.stack([look.sample.embedding for look in self._row])
        yaw, pitch, roll = (float(angle) for angle in np.median(poses, axis=0))
        typical = int(np.argmax((vectors @ vectors.T).sum(axis=1)))
        samples = tuple(look.sample for look in self._row)
        return Reference(Pose(yaw, pitch, roll), vectors[typical], self._row[-1].box, samples)

    def _straight(self, pose: Pose) -> bool:
        yaw, pitch, roll = self._options.straight_deg
        return abs(pose.yaw) <= yaw and abs(pose.pitch) <= pitch and abs(pose.roll) <= roll

    def _continues(self, sample: Sample, box: Floats) -> bool:
        last = self._row[-1]
        alike = all(float(look.sample.embedding @ sample.embedding) >= self._same for look in self._row)
        return alike and bool(iou(last.box[None], box[None])[0, 0] >= _CONTINUES_IOU)

    def _still(self) -> bool:
        turns = np.array([(look.pose.yaw, look.pose.pitch) for look in self._row])
        return bool(np.ptp(turns, axis=0).max() <= self._options.steady_deg)
