"""The window: on SDL's own display in memory, and on a real X server where one can be started."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from facepool.errors import DisplayUnavailable
from facepool.types import Image
from facepool.window import Window, WindowEvent, check_display
from support.screen import DISPLAY_VARIABLES, Screen, open_screen, until

on_linux = pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="other systems always have a display")


def picture(height: int = 240, width: int = 320) -> Image:
    return np.full((height, width, 3), (10, 200, 30), np.uint8)


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with Window() as window:
        window.show(picture())
        window.poll()
        yield window


def press(key: int, scancode: int = 0, mod: int = 0) -> None:
    import pygame

    pygame.event.post(pygame.Event(pygame.KEYDOWN, key=key, scancode=scancode, mod=mod, unicode=""))


@pytest.mark.parametrize(
    ("key", "expected"),
    [("q", WindowEvent.QUIT), ("\x1b", WindowEvent.QUIT), ("m", WindowEvent.MIRROR), ("f", WindowEvent.FULL_SCREEN)],
    ids=["q", "escape", "m", "f"],
)
def test_a_key_is_reported_once(window: Window, key: str, expected: WindowEvent) -> None:
    press(ord(key))
    assert window.poll() == (expected,)
    assert window.poll() == ()


def test_ctrl_c_in_the_window_asks_to_cancel(window: Window) -> None:
    import pygame

    press(ord("c"), mod=pygame.KMOD_LCTRL)
    press(ord("с"), pygame.KSCAN_C, mod=pygame.KMOD_RCTRL)  # noqa: RUF001 -- the Cyrillic letter
    press(ord("c"))
    assert window.poll() == (WindowEvent.CANCEL, WindowEvent.CANCEL)


def test_keys_work_on_a_keyboard_without_latin_letters(window: Window) -> None:
    import pygame

    press(ord("й"), pygame.KSCAN_Q)
    assert window.poll() == (WindowEvent.QUIT,)


def test_other_keys_mean_nothing(window: Window) -> None:
    import pygame

    press(ord("a"), pygame.KSCAN_Q)  # a French keyboard has A in the place of Q
    press(pygame.K_UP)
    assert window.poll() == ()


def test_the_close_button_asks_to_quit(window: Window) -> None:
    import pygame

    pygame.event.post(pygame.Event(pygame.QUIT))
    assert window.poll() == (WindowEvent.QUIT,)


def test_the_mirror_is_turned_on_and_off(window: Window) -> None:
    seen = [window.mirrored]
    for _ in range(2):
        press(ord("m"))
        window.poll()
        seen.append(window.mirrored)
    assert seen == [False, True, False]


def test_the_picture_keeps_its_shape_whatever_the_window_s() -> None:
    from facepool.window.sdl import letterbox

    assert letterbox((320, 240), (640, 480)) == (0, 0, 640, 480)
    assert letterbox((320, 240), (1000, 480)) == (180, 0, 640, 480)
    assert letterbox((320, 240), (640, 1000)) == (0, 260, 640, 480)
    assert letterbox((1000, 1), (10, 10)) == (0, 4, 10, 1)


def test_pictures_of_changing_size_are_shown(window: Window) -> None:
    for shape in ((720, 1280), (1, 1), (480, 640)):
        window.show(picture(*shape))
    window.show(picture()[:, ::-1])


def test_only_the_display_is_started_and_the_environment_left_alone(window: Window) -> None:
    import pygame

    assert pygame.mixer.get_init() is None
    assert "PYGAME_HIDE_SUPPORT_PROMPT" not in os.environ
    assert "SDL_NO_SIGNAL_HANDLERS" not in os.environ


def test_closing_twice_is_no_harm_and_the_display_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = Window()
    window.close()
    window.show(picture())
    window.close()
    window.close()
    assert not pygame.display.get_init()
    assert window.poll() == ()


@on_linux
def test_without_a_display_the_error_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DISPLAY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DisplayUnavailable, match="--headless"):
        check_display()
    with pytest.raises(DisplayUnavailable, match="--headless"):
        Window().show(picture())


@on_linux
def test_an_unreachable_display_is_an_error_not_an_invisible_window(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DISPLAY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":987")
    with pytest.raises(DisplayUnavailable, match="--headless"):
        Window().show(picture())


def test_nothing_graphical_is_loaded_before_a_window_opens() -> None:
    code = "import sys, facepool.window, facepool.overlay; sys.exit('pygame' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


SHOW = """
import sys, time, numpy as np
from facepool.window import WindowEvent, Window
picture = np.full((240, 320, 3), (10, 200, 30), np.uint8)
end = time.monotonic() + 30
try:
    with Window() as window:
        while time.monotonic() < end:
            window.show(picture)
            events = window.poll()
            print("events", *[event.name for event in events], flush=True)
            if WindowEvent.QUIT in events:
                sys.exit(0)
            time.sleep(0.02)
except KeyboardInterrupt:
    print("KeyboardInterrupt", flush=True)
    sys.exit(130)
"""


def start(environment: dict[str, str]) -> "subprocess.Popen[str]":
    """A process that shows a window, as soon as it shows one."""
    process = subprocess.Popen(
        [sys.executable, "-c", SHOW], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first.startswith("events"), first
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)], ids=["Ctrl-C", "terminate"]
)
def test_signals_stay_with_python(number: signal.Signals, code: int) -> None:
    process = start({**os.environ, "SDL_VIDEODRIVER": "dummy"})
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == code
    assert "QUIT" not in output


@pytest.fixture
def screen() -> Iterator[Screen]:
    with open_screen("800x600", manager=False) as screen:
        yield screen


def test_a_person_sees_the_picture_and_quits_with_q(screen: Screen) -> None:
    process = start(screen.environment)
    try:
        window = screen.window()
        assert screen.do("getwindowname", window) == "Face Recognition"
        screen.do("windowmove", window, "0", "0")
        screen.do("windowsize", window, "700", "300")
        screen.do("windowfocus", window)
        screen.do("mousemove", "790", "590")

        def letterboxed() -> bool:  # 400 x 300 in the middle of 700 x 300
            picture = screen.grab()
            seen = [picture.getpixel((x, 150)) for x in (145, 155, 545, 555)]
            return seen == [(18, 18, 20), (30, 200, 10), (30, 200, 10), (18, 18, 20)]

        assert until(letterboxed)
        screen.do("key", "m")
        screen.do("key", "q")
        output, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, output
    assert "MIRROR" in output
    assert "QUIT" in output
