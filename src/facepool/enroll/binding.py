"""One person only: whether the face of a frame is the one that a guided scan is bound to."""

from collections.abc import Iterable
from typing import Literal

import numpy as np

from facepool.enroll.ring import angle_between
from facepool.enroll.views import View
from facepool.geometry import iou
from facepool.types import Floats, Pose

Verdict = Literal["same", "returning", "other"]
"""``returning``: it looks like the person, but comes out of nowhere, so one more frame has to say so."""

_NEIGHBOURS_DEG = 35.0
"""Views facing this close to a face are compared with it; others would only add chances for a stranger to match."""
_CONTINUES_IOU = 0.25
"""A face that moves on from frame to frame overlaps itself by this; heads seldom do it in one frame's time."""
_RETURN_FRAMES = 2
"""So many frames in a row must show the person before a face that was lost counts again."""


class Binding:
    """The face that a scan belongs to: where it was last, and what it looks like.

    A profile that resembles the front only by way of views between counts once those are there, which they are when a
    head turns; nowhere else does the order of frames matter.

    Args:
        reference: (D,) float32, the face from the front.
        box: (4,) float32 xyxy where it is.
        same: The similarity from which on two frames of one scan show one person.
    """

    def __init__(self, reference: Floats, box: Floats, same: float) -> None:
        self._reference = reference
        self._same = same
        self._box: Floats | None = box
        self._in_a_row = _RETURN_FRAMES

    def judge(self, embedding: Floats, offset: Pose, box: Floats, views: Iterable[View]) -> Verdict:
        """Say whose face it is.

        Args:
            embedding: (D,) float32 of the face.
            offset: Its pose relative to the person's frontal one.
            box: (4,) float32 xyxy.
            views: What was captured so far; those that face nearly the same way are asked beside the frontal one.
        """
        known = [view.sample.embedding for view in views if angle_between(view.offset, offset) <= _NEIGHBOURS_DEG]
        if float(np.max(np.stack([self._reference, *known]) @ embedding)) < self._same:
            self.lose()
            return "other"
        if self._box is None or iou(self._box[None], box[None])[0, 0] < _CONTINUES_IOU:
            self._in_a_row = 0
        self._box = box
        self._in_a_row += 1
        return "same" if self._in_a_row >= _RETURN_FRAMES else "returning"

    def lose(self) -> None:
        """The face is gone, or is not alone: whoever comes next has to show that they are the person."""
        self._box = None
