"""The window in which people see themselves.

In come images; out go the keys that were pressed. Read `Window` here, then ``sdl``, which is loaded with the first
picture and not before.
"""

import os
import sys
from enum import Enum, auto
from typing import TYPE_CHECKING, Self

from facepool import extras
from facepool.errors import DisplayUnavailable
from facepool.threads import interrupts_wait
from facepool.types import Image

if TYPE_CHECKING:
    from facepool.window.sdl import SdlWindow

__all__ = ["Window", "WindowEvent", "check_display"]

_HINT = "Use --headless, with --output to keep what would be shown"


class WindowEvent(Enum):
    """What a user asked of the window.

    ``QUIT`` ends, and keeps what was done; ``CANCEL``, Ctrl-C, ends and does not; ``NEXT`` asks for the next picture.
    ``MIRROR`` and ``FULL_SCREEN`` are already done when they are reported.
    """

    QUIT = auto()
    CANCEL = auto()
    NEXT = auto()
    MIRROR = auto()
    FULL_SCREEN = auto()


def check_display() -> None:
    """Refuse early where no window can open, before a camera or a model is touched.

    Raises:
        DisplayUnavailable: There is no desktop in this session. Passing is no promise that a window will open.
        ExtraMissing: The packages for it are not installed.
    """
    extras.require("window")
    if sys.platform in {"win32", "darwin"}:
        return
    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")):
        raise DisplayUnavailable("No window can be opened", why="this session has no display", fix=_HINT)


class Window:
    """Shows pictures, scaled to fit, and reports what the user asks for.

    Opens with the first picture. ``Q``, ``Esc`` and the close button ask to save and quit, Ctrl-C to quit without
    saving, space, return and the right arrow for the next picture; ``F`` turns full screen on and off, ``M`` the
    mirror. Use it from the main thread, and call :meth:`poll` with every picture, or at least ten times a second, to
    keep it alive. Ctrl-C in the terminal stays Python's KeyboardInterrupt.

    Args:
        title: In the title bar.
        mirrored: Whether the picture starts as a mirror.

    Attributes:
        mirrored: Whether the user wants the picture as a mirror shows it. The window does not turn it: do so before
            names are drawn on it (:func:`facepool.overlay.mirror`), so that they stay readable.
    """

    def __init__(self, title: str = "Face Recognition", *, mirrored: bool = False) -> None:
        self._title = title
        self._sdl: SdlWindow | None = None
        self.mirrored = mirrored

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def show(self, image_bgr: Image) -> None:
        """Show a picture; it stays until the next.

        Args:
            image_bgr: (H, W, 3) uint8, BGR, at least one pixel.

        Raises:
            DisplayUnavailable: The first picture only: no window can be opened here.
        """
        if self._sdl is None:
            self._sdl = _open(self._title, image_bgr)
        self._sdl.show(image_bgr)

    def fit_wh(self, image_wh: tuple[int, int]) -> tuple[int, int]:
        """The size in pixels at which a picture will be shown: what is drawn at that size is sharp.

        Before the first picture it is the picture's own.
        """
        return image_wh if self._sdl is None else self._sdl.fit_wh(image_wh)

    def poll(self) -> tuple[WindowEvent, ...]:
        """What the user asked for since the last call, oldest first; empty before the first picture."""
        if self._sdl is None:
            return ()
        events = self._sdl.poll()
        for event in events:
            if event is WindowEvent.MIRROR:
                self.mirrored = not self.mirrored
            elif event is WindowEvent.FULL_SCREEN:
                self._sdl.toggle_full_screen()
        return events

    def close(self) -> None:
        """Take the window away; again is no harm."""
        if self._sdl is not None:
            self._sdl.close()
            self._sdl = None


def _open(title: str, image_bgr: Image) -> "SdlWindow":
    check_display()
    with interrupts_wait():  # pygame forgets those that come while it is loaded
        from facepool.window.sdl import SdlError, SdlWindow  # noqa: PLC0415 -- loads pygame, which only a window needs

    try:
        with interrupts_wait():
            return SdlWindow(title, (image_bgr.shape[1], image_bgr.shape[0]))
    except SdlError as error:
        raise DisplayUnavailable("No window can be opened", why=str(error), fix=_HINT) from error
