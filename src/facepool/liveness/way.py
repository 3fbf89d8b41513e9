"""A turn has to be seen on its way: pictures that are shown one after the other are at its end at once."""

from typing import Literal

import numpy as np

from facepool.liveness.flat import Parallax

Sight = Literal["seen", "jump", "few_pictures"]
"""``seen``: the head was seen between straight ahead and the end of its turn. ``jump``: it was not, although pictures
came often enough to see any head there. ``few_pictures``: it was not, and pictures came too seldom for that."""

# From one picture to the next, no more than this share of a turn is missing. Pictures that are changed miss nearly all.
_MOST_MISSING = 0.6
# Of clear turns a second, more than heads do: 190 degrees to the side.
_QUICKEST = 12.0
# A camera in the dark gives a picture several times; one that is the same for longer shows a head that keeps still.
_SAME_S = 0.3


class Way:
    """The way of one turn after the other, from straight ahead to where it went farthest.

    Args:
        back: Up to which reach it is still straight ahead.
    """

    def __init__(self, back: float) -> None:
        self._back = back
        self._before = np.zeros(2)  # straight ahead
        self._wait_s = self._same_s = 0.0
        self._leap = self._leap_s = self._farthest = 0.0

    def wait(self, passed_s: float) -> None:
        """A picture came, with the face or without it, so long after the one before."""
        self._wait_s = max(self._wait_s, passed_s)

    def add(self, now: Parallax) -> None:
        """Where the head is in the picture that came."""
        if np.array_equal(now.moved, self._before):
            self._same_s, self._wait_s = self._same_s + self._wait_s, 0.0
            return
        if now.turn.reach <= self._back:
            self._leap = self._leap_s = self._farthest = 0.0
        else:
            leap = float(np.linalg.norm(now.moved - self._before))
            if leap > self._leap:
                same_s = self._same_s if self._same_s <= _SAME_S else 0.0
                self._leap, self._leap_s = leap, same_s + self._wait_s
            self._farthest = max(self._farthest, now.turn.reach)
        self._before, self._wait_s, self._same_s = now.moved, 0.0, 0.0

    def judge(self) -> Sight:
        """Whether the head was seen between straight ahead and where it has been since."""
        if self._leap <= _MOST_MISSING * self._farthest:
            return "seen"
        return "jump" if self._leap > _QUICKEST * self._leap_s else "few_pictures"
