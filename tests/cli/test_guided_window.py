"""A guided registration as a person does it: before a camera, in a real window, with its keys."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from facepool import open_pool
from facepool.types import Image
from support.commands import Commands
from support.live_command import INTERRUPTED, Live
from support.loopback_camera import LoopbackCamera, camera_before
from support.screen import Screen, open_screen, until
from support.synthetic_camera import SyntheticCamera, SyntheticHead, head_circle

pytestmark = pytest.mark.slow

RING_GREEN = (48, 214, 96)
BAR_PX = 256
"""Width of the whole progress bar at 640x480."""
A_WHILE_S = 120  # a whole circle on a busy machine
SLOWLY = 4
"""Pictures of each pose."""


@pytest.fixture(scope="module")
def poses(head_of: Callable[[str], SyntheticHead]) -> list[Image]:
    """A head that looks straight ahead, and then 36 steps around, with a blue mark at the picture's left."""
    camera = SyntheticCamera(head_of("person_a_2"), head_circle(30, 36, still=1))
    return [_marked(frame.image_bgr) for frame in camera]


def _marked(picture: Image) -> Image:
    picture[180:300, :60] = (255, 0, 0)
    return picture


@pytest.fixture(scope="module")
def screen() -> Iterator[Screen]:
    with open_screen() as screen:
        yield screen


@pytest.fixture
def camera(poses: list[Image]) -> Iterator[LoopbackCamera]:
    """Before it the head looks straight ahead."""
    with camera_before(poses[:1]) as camera:
        yield camera


class Stand:
    """Ada before a camera, who does what she is told to.

    Args:
        commands: Say where and with which pool and models.
        camera: That she looks at.
        screen: Where the window opens.
        poses: Straight ahead, then around.
    """

    def __init__(self, commands: Commands, camera: LoopbackCamera, screen: Screen, poses: list[Image]) -> None:
        self._commands = commands
        self._camera = camera
        self._screen = screen
        self._poses = poses

    def scan(self, *flags: str) -> Live:
        """Begin, looking straight ahead."""
        self._camera.look_at(self._poses[:1])
        words = ["-m", "facepool", "register", "Ada", "-s", self._camera.url, *flags]
        return Live(self._commands, words, self._screen.environment)

    def turn(self, steps: int) -> None:
        """Keep still until the frontal reference is there, then look around so far, again and again."""
        assert until(lambda: self._screen.where(RING_GREEN) is not None), "the outline never began to fill"
        assert until(lambda: self._screen.where(RING_GREEN) is None), "the frontal reference never came"
        self._camera.look_at([pose for pose in self._poses[1 : 1 + steps] for _ in range(SLOWLY)])


@pytest.fixture
def ada(facepool: Commands, camera: LoopbackCamera, screen: Screen, poses: list[Image]) -> Stand:
    return Stand(facepool, camera, screen, poses)


def is_filled(screen: Screen, share: float) -> bool:
    """Whether the progress bar is green up to this share; nothing else green is so long."""
    found = screen.where(RING_GREEN)
    return found is not None and bool(np.bincount(found[:, 0]).max() >= share * BAR_PX)


def mark_is_right(screen: Screen, *, right: bool) -> bool:
    """On which side of the window the blue mark is, dimmed as everything around the oval."""
    red, green, blue = np.moveaxis(screen.pixels().astype(int), 2, 0)
    columns = np.nonzero((blue > 60) & (red < 40) & (green < 40))[1]
    return len(columns) > 500 and bool(columns.mean() > 640) == right


def test_it_saves_by_itself_when_the_ring_is_closed(facepool: Commands, ada: Stand, screen: Screen) -> None:
    with ada.scan() as live:
        assert screen.do("getwindowname", screen.window()) == "Face Recognition"
        ada.turn(36)
        assert live.ends(A_WHILE_S) == 0, live.said
        assert "12 of 12 directions" in live.said
    assert facepool.people()["Ada"] >= 8


def test_enter_saves_as_soon_as_enough_is_captured_and_not_before(
    facepool: Commands, ada: Stand, screen: Screen
) -> None:
    with ada.scan() as live:
        screen.window()
        screen.press("Return", "space")
        ada.turn(31)
        assert until(lambda: is_filled(screen, 3 / 12))
        screen.press("Return")
        assert until(lambda: is_filled(screen, 10 / 12))
        screen.press("Return")
        assert live.ends() == 0, live.said
    with open_pool(facepool.pool) as pool:
        assert not any(template.sample.partial for template in pool.templates("Ada"))


@pytest.mark.parametrize(
    "leave",
    [lambda screen: screen.press("q"), lambda screen: screen.press("Escape"), Screen.close_window],
    ids=["q", "escape", "close button"],
)
def test_who_leaves_early_is_stored_only_on_purpose(
    facepool: Commands, ada: Stand, screen: Screen, leave: Callable[[Screen], None]
) -> None:
    for flags, code in (([], 3), (["--partial"], 0)):
        with ada.scan(*flags) as live:
            ada.turn(19)
            assert until(lambda: is_filled(screen, 5 / 12))
            leave(screen)
            assert live.ends() == code, live.said
            assert ("--partial" in live.said) == bool(code)
        assert facepool.pool.exists() == (not code)
    assert facepool.people()["Ada"] >= 3


def test_ctrl_c_in_the_window_discards(facepool: Commands, ada: Stand, screen: Screen) -> None:
    with ada.scan("--partial") as live:
        ada.turn(19)
        assert until(lambda: is_filled(screen, 5 / 12))
        screen.press("ctrl+c")
        assert live.ends() == INTERRUPTED
        assert "nothing was stored of Ada" in live.said
    assert not facepool.pool.exists()


def test_a_camera_is_a_mirror_until_m_and_f_fills_the_screen(ada: Stand, screen: Screen) -> None:
    with ada.scan() as live:
        screen.window()
        assert until(lambda: mark_is_right(screen, right=True))
        screen.press("m")
        assert until(lambda: mark_is_right(screen, right=False))
        screen.press("f")
        assert until(lambda: f"Geometry: {screen.size}" in screen.do("getwindowgeometry", screen.window()))
        screen.press("ctrl+c")
        assert live.ends() == INTERRUPTED
