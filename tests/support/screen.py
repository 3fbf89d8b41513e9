"""A screen in memory with a window manager, on which tests see, type and click; Linux with a few tools only."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import PIL.Image
import pytest
from PIL import ImageGrab, features

from facepool.types import Image, Indices

DISPLAY_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
PATIENCE_S = 30
GREEN = (48, 204, 96)
RED = (222, 44, 50)
_ENOUGH_PIXELS = 200


def until(condition: Callable[[], object]) -> bool:
    """Whether the condition comes true in time."""
    end = time.monotonic() + PATIENCE_S
    while not (met := bool(condition())) and time.monotonic() < end:
        time.sleep(0.1)
    return met


class Screen:
    """A running X server.

    Args:
        display: Its name, such as ``:7``.
        size: Its width and height, such as ``800x600``.
    """

    def __init__(self, display: str, size: str) -> None:
        self.size = size
        self.environment = {name: value for name, value in os.environ.items() if name not in DISPLAY_VARIABLES}
        self.environment["DISPLAY"] = self.display = display

    def grab(self) -> PIL.Image.Image:
        """What is to be seen now."""
        return ImageGrab.grab(xdisplay=self.display)

    def pixels(self) -> Image:
        """The same, (H, W, 3) uint8 RGB."""
        return np.asarray(self.grab().convert("RGB"))

    def where(self, colour: tuple[int, int, int]) -> Indices | None:
        """(N, 2) y and x of the pixels of exactly this colour; None where they are too few for a box."""
        red, green, blue = np.moveaxis(self.pixels(), 2, 0)
        found = np.argwhere((red == colour[0]) & (green == colour[1]) & (blue == colour[2]))
        return found if len(found) >= _ENOUGH_PIXELS else None

    def shows(self, colour: tuple[int, int, int]) -> bool:
        """Whether a box of this colour comes into sight in time."""
        return until(lambda: self.where(colour) is not None)

    def do(self, *words: str) -> str:
        """``xdotool WORDS``; what it prints."""
        command = ["xdotool", *words]
        done = subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True, timeout=20)
        return done.stdout.strip()

    def window(self) -> str:
        """The number of the window of facepool, waited for."""
        assert until(self._windows), "no window has opened"
        return self._windows()[0]

    def press(self, *keys: str) -> None:
        """Press keys in the window, which takes the focus."""
        self.do("windowfocus", "--sync", self.window())
        self.do("key", *keys)

    def close_window(self) -> None:
        """What a click on the close button does."""
        self.press("alt+F4")

    def _windows(self) -> list[str]:
        command = ["xdotool", "search", "--onlyvisible", "--class", "^facepool$"]
        done = subprocess.run(command, env=self.environment, check=False, stdout=subprocess.PIPE, text=True, timeout=20)
        return done.stdout.split()


@contextmanager
def open_screen(size: str = "1280x1024", *, manager: bool = True) -> Iterator[Screen]:
    """A screen until the end of the block; skips the test where the tools are missing."""
    tools = ["Xvfb", "xdotool", *(["openbox"] if manager else [])]
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing or not features.check("xcb"):
        pytest.skip(f"needs {' and '.join(missing) or 'a Pillow that can read an X screen'}")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{size}x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as numbers:
        screen = Screen(f":{numbers.readline().strip()}", size)
    processes = [server]
    if manager:
        processes.append(subprocess.Popen(["openbox"], env=screen.environment, stderr=subprocess.DEVNULL))
    try:
        yield screen
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=10)
