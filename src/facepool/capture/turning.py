"""Cameras that are mounted on their side or overhead: their frames are turned upright as they come."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from facepool.geometry import turn_image
from facepool.types import Frame, Image, Turn


class TurnFinder(Protocol):
    """Finds out how one source is mounted, by what is to be seen in its pictures."""

    def look(self, image_bgr: Image) -> Turn | None:
        """Take in one picture, (H, W, 3) uint8 BGR as it comes; None while the turn is not certain."""
        ...

    def settle(self) -> Turn:
        """There are no more pictures: what most speaks for; 0 where nothing speaks for anything."""
        ...


class Turning:
    """Turns the frames of one source.

    Args:
        turn: Degrees clockwise.
        finder: Finds the turn in the first frames, which come as they are until it is certain; then it stays.

    Attributes:
        turn: As above, or what was found.
    """

    def __init__(self, turn: Turn = 0, finder: TurnFinder | None = None) -> None:
        self.turn = turn
        self._finder = finder

    def apply(self, frame: Frame) -> Frame:
        """The frame, turned; in the thread that takes the frames, because finding the turn takes a while."""
        if self._finder is not None:
            found = self._finder.look(frame.image_bgr)
            if found is not None:
                self.turn, self._finder = found, None
        return replace(frame, image_bgr=turn_image(frame.image_bgr, self.turn)) if self.turn else frame


MakeTurnFinder = Callable[[], TurnFinder]
"""Makes one for each source."""
