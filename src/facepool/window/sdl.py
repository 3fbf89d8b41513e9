"""A window by SDL2, which comes inside pygame-ce: no graphics library of the system is needed.

Only :mod:`facepool.window` imports this module, when a window opens.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from facepool.overlay import Canvas
from facepool.types import Image
from facepool.window import WindowEvent


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Settings that SDL reads from the environment, inside the block; afterwards they are what they were."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


with environment({"PYGAME_HIDE_SUPPORT_PROMPT": "1"}):
    import pygame

SdlError = pygame.error

_BACKDROP = (18, 18, 20)
_SCREEN_PART = 0.8
_SMALLEST_SIDE = 480
# SDL would push the same pixels through OpenGL, whose drivers take 85 MB and more of memory.
_PLAIN_SURFACE = {"x11": {"SDL_FRAMEBUFFER_ACCELERATION": "0"}}
_INVISIBLE_DRIVERS = frozenset({"offscreen", "dummy"})
_HINTS = {
    "SDL_NO_SIGNAL_HANDLERS": "1",  # else SIGTERM would arrive as a request to save
    "SDL_WINDOWS_DPI_AWARENESS": "permonitorv2",
    "SDL_VIDEO_X11_WMCLASS": "facepool",
    "SDL_VIDEO_WAYLAND_WMCLASS": "facepool",
}
# By the letter on the key; on keyboards without Latin letters, by its place on a US keyboard.
_KEYS = {
    pygame.K_q: WindowEvent.QUIT,
    pygame.K_ESCAPE: WindowEvent.QUIT,
    pygame.K_SPACE: WindowEvent.NEXT,
    pygame.K_RETURN: WindowEvent.NEXT,
    pygame.K_RIGHT: WindowEvent.NEXT,
    pygame.K_f: WindowEvent.FULL_SCREEN,
    pygame.K_m: WindowEvent.MIRROR,
}
_PLACES = {
    pygame.KSCAN_Q: WindowEvent.QUIT,
    pygame.KSCAN_F: WindowEvent.FULL_SCREEN,
    pygame.KSCAN_M: WindowEvent.MIRROR,
}
_LAST_LATIN = 0x024F
_FIRST_NAMED_KEY = 1 << 30  # SDLK_SCANCODE_MASK: arrows, function keys and others that write nothing
_REDRAW = frozenset({pygame.WINDOWEXPOSED, pygame.WINDOWSIZECHANGED, pygame.WINDOWRESTORED})


class SdlWindow:
    """One open window. Only the display part of pygame is started, never sound.

    Args:
        title: In the title bar.
        image_wh: Size of the pictures to come; the window opens in their shape.

    Raises:
        pygame.error: SDL finds no display, or only one that cannot be seen.
    """

    def __init__(self, title: str, image_wh: tuple[int, int]) -> None:
        with environment(_HINTS):
            pygame.display.init()
        try:
            _refuse_invisible_driver()
            self._window = pygame.Window(title, _opening_size(image_wh), resizable=True, allow_high_dpi=True)
            with environment(_PLAIN_SURFACE.get(pygame.display.get_driver(), {})):
                self._window.get_surface()  # which kind it is, is decided now
        except pygame.error:
            pygame.display.quit()
            raise
        self._window.set_icon(_icon())
        self._full_screen = False
        self._image_bgr: Image | None = None

    def show(self, image_bgr: Image) -> None:
        """Show a picture (H, W, 3) uint8 BGR; it must not change until the next."""
        self._image_bgr = image_bgr
        self._present()

    def fit_wh(self, image_wh: tuple[int, int]) -> tuple[int, int]:
        """The size at which a picture of some size fills the window as it is now."""
        _, _, width, height = letterbox(image_wh, self._window.get_surface().get_size())
        return width, height

    def poll(self) -> tuple[WindowEvent, ...]:
        """What the user asked for since the last call; the picture is drawn anew where the window has changed."""
        events = pygame.event.get()
        if any(event.type in _REDRAW for event in events):
            self._present()
        return tuple(asked for event in events if (asked := _meaning(event)) is not None)

    def toggle_full_screen(self) -> None:
        """Fill the screen, or go back to the window as it was."""
        self._full_screen = not self._full_screen
        if self._full_screen:
            self._window.set_fullscreen(desktop=True)
        else:
            self._window.set_windowed()
        self._present()

    def close(self) -> None:
        """Give the window and the display back."""
        self._window.destroy()
        pygame.display.quit()

    def _present(self) -> None:
        if self._image_bgr is None:
            return
        surface = self._window.get_surface()
        x, y, width, height = letterbox((self._image_bgr.shape[1], self._image_bgr.shape[0]), surface.get_size())
        scaled_bgr = Canvas.of(self._image_bgr, (width, height)).image_bgr
        surface.fill(_BACKDROP)
        surface.blit(pygame.image.frombuffer(scaled_bgr.tobytes(), (width, height), "BGR"), (x, y))
        self._window.flip()


def letterbox(image_wh: tuple[int, int], window_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """x, y, width, height in pixels of the picture within the window: as large as fits, in shape, in the middle."""
    scale = min(window_wh[0] / image_wh[0], window_wh[1] / image_wh[1])
    width, height = max(1, round(image_wh[0] * scale)), max(1, round(image_wh[1] * scale))
    return (window_wh[0] - width) // 2, (window_wh[1] - height) // 2, width, height


def _refuse_invisible_driver() -> None:
    """SDL falls back to a display in memory without a word; it is refused unless the environment asks for it."""
    driver = pygame.display.get_driver()
    if driver in _INVISIBLE_DRIVERS and not os.environ.get("SDL_VIDEODRIVER"):
        raise pygame.error("the display of this session cannot be reached")


def _opening_size(image_wh: tuple[int, int]) -> tuple[int, int]:
    """The picture's own size, made smaller for the screen or larger for the eye."""
    screen_w, screen_h = pygame.display.get_desktop_sizes()[0]
    largest = min(_SCREEN_PART * screen_w / image_wh[0], _SCREEN_PART * screen_h / image_wh[1])
    scale = min(max(1.0, _SMALLEST_SIDE / min(image_wh)), largest)
    return max(1, round(image_wh[0] * scale)), max(1, round(image_wh[1] * scale))


def _meaning(event: pygame.Event) -> WindowEvent | None:
    if event.type == pygame.QUIT:
        return WindowEvent.QUIT
    if event.type != pygame.KEYDOWN:
        return None
    by_place = _LAST_LATIN < event.key < _FIRST_NAMED_KEY
    is_c = event.scancode == pygame.KSCAN_C if by_place else event.key == pygame.K_c
    if is_c and event.mod & pygame.KMOD_CTRL:
        return WindowEvent.CANCEL
    return _PLACES.get(event.scancode) if by_place else _KEYS.get(event.key)


def _icon() -> pygame.Surface:
    """A green frame round a head."""
    icon = pygame.Surface((64, 64), pygame.SRCALPHA)
    pygame.draw.circle(icon, (235, 235, 235), (32, 28), 11)
    pygame.draw.ellipse(icon, (235, 235, 235), (14, 42, 36, 26))
    pygame.draw.rect(icon, (48, 204, 96), (3, 3, 58, 58), width=6, border_radius=12)
    return icon
