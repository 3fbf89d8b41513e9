"""What a user can ask of the window."""

from enum import Enum, auto


class Event(Enum):
    """A wish of the user's.

    ``MIRROR`` and ``FULL_SCREEN`` are already done when they are reported.
    """

    QUIT = auto()
    MIRROR = auto()
    FULL_SCREEN = auto()
