"""In which frames faces are sought, and in which those that are known of are followed only.

Detection is what most frames cost. A face that is followed (``motion``) needs none, and nobody who comes is to be
missed for long: so faces are sought five times a second at least, and at once where anything happens that following
cannot answer.

Where frames go by that nobody had time for, less is spent on each: faces are sought more seldom the more of them go by,
and followed over longer gaps, so that a source gets slower by as much as there is too little, and not at once by far.
"""

from collections import deque
from typing import Literal

import numpy as np

from facepool.recognize.motion import Motion

DetectEvery = int | Literal["auto"]
"""Faces are sought in every k-th frame; ``auto``: as often as it takes."""

LONGEST_S = 0.2
"""Nobody who comes into view is missed for longer than this."""
_SLOW_S = 0.11
"""Faces are sought in every frame where frames are farther apart than this: they move too far to be followed."""
_CALM_S = 0.1
"""After change elsewhere that brought nobody, as of trees and screens, the next such change is looked at so much later
at the earliest."""
_LONGEST_STRETCH = 10.0
"""Nobody who comes into view is missed for longer than so many times as long, however short time is."""
_STRETCH = 8.0
"""By so much more for all of the frames that go by."""


class Backlog:
    """How many of a source's frames nobody had time for, lately; ``Frame.index`` counts them, too.

    A source that sends few has none: what is far apart there is so by nature.
    """

    _RECENT = 15

    def __init__(self) -> None:
        self._last: int | None = None
        self._steps: deque[int] = deque(maxlen=self._RECENT)

    def look(self, index: int) -> None:
        """One more frame, by its number in the source; numbers that go back tell nothing."""
        if self._last is not None and index > self._last:
            self._steps.append(index - self._last)
        self._last = index

    @property
    def share(self) -> float:
        """0..1, of the frames that the source has sent lately those that were not looked at; a single halt is none."""
        if len(self._steps) < 2:
            return 0.0
        return 1 - (len(self._steps) - 1) / (sum(self._steps) - max(self._steps))

    @property
    def stretch(self) -> float:
        """How many times as long as usual faces may not be sought: 1 where all frames are looked at."""
        return min(_LONGEST_STRETCH, 1 + _STRETCH * self.share)


class DetectionCadence:
    """Says of each frame whether faces are to be sought in it.

    Args:
        every: In every k-th frame, or ``auto``.
    """

    def __init__(self, every: DetectEvery = "auto") -> None:
        self._every = every
        self._frames = 0
        self._detected_s = -np.inf
        self._restless = True
        self._in_vain_s = -np.inf

    @property
    def follows(self) -> bool:
        """Whether there are frames at all in which faces are not sought."""
        return self._every != 1

    def is_due(self, time_s: float, interval_s: float, *, pressing: bool, stretch: float = 1.0) -> bool:
        """Whether faces have to be sought in the next frame, whatever it shows.

        Args:
            time_s: Of the frame.
            interval_s: Usual seconds between frames.
            pressing: Whether a face is in view that has to be embedded.
            stretch: Of the ``Backlog``.
        """
        self._frames += 1
        if self._every != "auto":
            return (self._frames - 1) % self._every == 0
        # A clock that stands still, or goes back, does not tell how long nobody has looked.
        slow = stretch == 1 and interval_s > _SLOW_S
        late = not 0 < time_s - self._detected_s < stretch * LONGEST_S
        return slow or late or pressing or self._restless

    def is_called_for(self, motion: Motion | None, time_s: float, *, stretch: float = 1.0) -> bool:
        """Whether faces have to be sought in a frame for what moved in it."""
        if motion is None or motion.cut or not motion.followed.all():
            return True
        return self._every == "auto" and motion.elsewhere and time_s - self._in_vain_s >= stretch * _CALM_S

    def detected(self, time_s: float, *, news: bool, motion: Motion | None) -> None:
        """Faces were sought.

        Args:
            time_s: Of the frame.
            news: Whether other faces are in view than were followed. Then the next frame is looked at, too.
            motion: What called for it; None: nothing did.
        """
        self._detected_s = time_s
        self._restless = news
        if motion is not None and motion.elsewhere and not news:
            self._in_vain_s = time_s
