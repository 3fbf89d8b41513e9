"""What a user can ask of the window."""

from enum import Enum, auto


class Event(Enum):
    """A wish of the user's.

    ``QUIT`` ends, and keeps what was done; ``CANCEL``, Ctrl-C, ends and does not; ``NEXT`` asks for the next picture.
    ``MIRROR`` and ``FULL_SCREEN`` are already done when they are reported.
    """

    QUIT = auto()
    CANCEL = auto()
    NEXT = auto()
    MIRROR = auto()
    FULL_SCREEN = auto()
