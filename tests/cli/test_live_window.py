"""Registering and recognizing live, as a person does it: in a window, before a camera that comes and goes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facepool import read_image
from facepool.models.store import ModelStore
from facepool.types import Image
from support.commands import Commands
from support.live_command import IN_MEMORY, INTERRUPTED, Live
from support.loopback_camera import LoopbackCamera, camera_before, moving, write_video
from support.paths import ROOT
from support.screen import GREEN, RED, Screen, open_screen, until


@pytest.fixture(scope="module")
def ada(photos: Path) -> list[Image]:
    """One of the two people of the pool ``crowd``, on another photo than there, left of the middle."""
    return [np.roll(picture, -100, axis=1) for picture in moving(read_image(photos / "person_a_2.jpg"))]


@pytest.fixture(scope="module")
def stranger(photos: Path) -> list[Image]:
    return moving(read_image(photos / "impostor_1.jpg"))


@pytest.fixture
def film(tmp_path: Path, ada: list[Image]) -> Path:
    return write_video(tmp_path / "ada.mp4", ada * 2)


@pytest.fixture
def camera(ada: list[Image]) -> Iterator[LoopbackCamera]:
    with camera_before(ada) as camera:
        yield camera


@pytest.fixture(scope="module")
def screen() -> Iterator[Screen]:
    with open_screen() as screen:
        yield screen


@pytest.fixture
def at_crowd(tmp_path: Path, crowd: Commands, open_store: ModelStore) -> Commands:
    """Commands in a folder of their own that see the pool of Ada and Bob."""
    commands = Commands(tmp_path, open_store.root)
    commands.env["FACEPOOL_POOL"] = str(crowd.pool)
    return commands


def test_ctrl_c_leaves_no_pool_behind(facepool: Commands, camera: LoopbackCamera) -> None:
    with Live(facepool, ["-m", "facepool", "register", "Ada", "-s", camera.url], IN_MEMORY) as live:
        assert live.says("Looking at")
        live.interrupt()
        assert live.ends() == INTERRUPTED
    assert not facepool.pool.exists()


def test_ctrl_c_ends_it_while_the_camera_is_silent(at_crowd: Commands, camera: LoopbackCamera) -> None:
    with Live(at_crowd, ["-m", "facepool", "recognize", "-s", camera.url], IN_MEMORY) as live:
        assert live.says("Ada")
        camera.silent.set()
        live.interrupt()
        assert live.ends() == INTERRUPTED


def test_the_end_of_a_film_saves_as_q_does(facepool: Commands, film: Path) -> None:
    with Live(facepool, ["-m", "facepool", "register", "Ada", "--window", "--partial", film], IN_MEMORY) as live:
        assert live.ends() == 0, live.said
    assert facepool.people() == {"Ada": 1}


def test_the_known_are_green_and_strangers_red_even_after_the_camera_was_off(
    at_crowd: Commands, camera: LoopbackCamera, stranger: list[Image], screen: Screen
) -> None:
    with Live(at_crowd, ["-m", "facepool", "recognize", "-s", camera.url], screen.environment) as live:
        assert screen.shows(GREEN)
        assert live.says("Ada")
        camera.unplug()
        assert live.says("Connection lost")
        assert until(lambda: screen.where(GREEN) is None), "the last picture still passes for the present"
        camera.look_at(stranger)
        camera.plug_in()
        assert live.says("Connected again")
        assert screen.shows(RED)
        assert live.says("unknown")
        camera.unplug()
        assert live.says("Connection lost", times=2)
        screen.press("q")
        assert live.ends() == 0, live.said


def test_m_mirrors_the_picture_and_f_fills_the_screen(
    at_crowd: Commands, camera: LoopbackCamera, screen: Screen
) -> None:
    with Live(at_crowd, ["-m", "facepool", "recognize", "-s", camera.url], screen.environment) as live:
        assert screen.shows(GREEN)
        screen.do("windowmove", "--sync", screen.window(), "100", "100")
        assert until(lambda: box_is(screen, left_of=320 + 100))
        screen.press("m")
        assert until(lambda: box_is(screen, right_of=320 + 100))
        screen.press("f")
        assert until(lambda: f"Geometry: {screen.size}" in screen.do("getwindowgeometry", screen.window()))
        screen.press("q")
        assert live.ends() == 0, live.said


def box_is(screen: Screen, left_of: float = np.inf, right_of: float = -np.inf) -> bool:
    found = screen.where(GREEN)
    return found is not None and right_of < found[:, 1].mean() < left_of


def test_the_original_commands_show_a_film_to_its_end(facepool: Commands, film: Path, screen: Screen) -> None:
    register: list[str | Path] = [ROOT / "register.py", "--register_name", "Ada", "-c", film]
    with Live(facepool, register, screen.environment) as live:
        assert screen.do("getwindowname", screen.window()) == "Face Recognition"
        assert live.ends() == 0, live.said
    assert (facepool.folder / "model_face_ids.npy").exists()
    with Live(facepool, [ROOT / "recognize.py", "-c", film], screen.environment) as live:
        assert screen.shows(GREEN)
        assert live.ends() == 0, live.said
        assert "Ada" in live.said
