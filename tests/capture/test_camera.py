"""Local cameras: by number, by device, by a link to one; with a stand-in for OpenCV's camera."""

import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import cv2
import numpy as np
import pytest

from facepool.capture import CaptureOptions, ReconnectPolicy, is_picture_file, kind_of_source, open_source
from facepool.errors import CameraUnavailable, OutOfMemory, PathMissing, VideoUnreadable

ONCE = CaptureOptions(reconnect=ReconnectPolicy(give_up_s=0.0))
PICTURE = np.full((48, 64, 3), 90, np.uint8)
NO_ROOM = "OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 6 bytes in function 'alloc'"
BAD_FRAME = "OpenCV(5.0.0) color.cpp:199: error: (-215:Assertion failed) !_src.empty() in function 'cvtColor'"

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="devices of Linux")


class StandIn:
    """What ``cv2.VideoCapture`` is to us."""

    opened: ClassVar[list[object]] = []
    raises: ClassVar[list[Exception]] = []

    def __init__(self, camera: object, _backend: int) -> None:
        self.opened.append(camera)
        self._pictures = 3

    def isOpened(self) -> bool:  # noqa: N802 -- OpenCV's name
        return True

    def set(self, _setting: int, _value: float) -> None:
        pass

    def read(self) -> tuple[bool, object]:
        self._pictures -= 1
        if self._pictures < 2 and self.raises:
            raise self.raises[0]
        return self._pictures >= 0, PICTURE

    def release(self) -> None:
        pass


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What OpenCV is asked to open."""
    monkeypatch.setattr(cv2, "VideoCapture", StandIn)
    monkeypatch.setattr(StandIn, "opened", [])
    monkeypatch.setattr(StandIn, "raises", [])
    return StandIn.opened


@pytest.fixture
def video_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that the system calls a device of Video4Linux, and a link to it, as udev makes them."""
    device, link = tmp_path / "video7", tmp_path / "usb-Maker_Camera_1234-video-index0"
    device.touch()
    link.symlink_to(device)
    truth = Path.stat

    def like_a_device(path: Path, **options: bool) -> object:
        if path in {device, link}:
            return SimpleNamespace(st_mode=stat.S_IFCHR | 0o660, st_rdev=os.makedev(81, 7))
        return truth(path, **options)

    monkeypatch.setattr(Path, "stat", like_a_device)
    return link


def test_a_number_is_opened_as_one(opened: list[object]) -> None:
    with open_source("2", ONCE) as source:
        assert next(iter(source)).image_bgr.shape == PICTURE.shape
        assert (source.name, source.description) == ("2", "camera 2")
    assert opened == [2]


@linux_only
@pytest.mark.parametrize("spec", ["/dev/video3", 3])
def test_a_device_with_a_number_is_the_camera_of_that_number(opened: list[object], spec: str | int) -> None:
    open_source(spec, ONCE).close()
    assert opened == [3]


@linux_only
def test_a_link_to_a_device_is_a_camera_that_keeps_its_name(opened: list[object], video_device: Path) -> None:
    assert not is_picture_file(str(video_device))
    with open_source(video_device, ONCE) as source:
        assert source.live
        assert next(iter(source)).source == source.name == str(video_device)
    assert opened == [7]


@linux_only
def test_a_device_of_another_name_is_opened_by_it(
    opened: list[object], video_device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "realpath", lambda _: "/dev/front-door")
    open_source(video_device, ONCE).close()
    assert opened == [str(video_device)]


@linux_only
def test_a_camera_that_is_unplugged_is_no_missing_file() -> None:
    with pytest.raises(CameraUnavailable, match="there is no /dev/v4l/by-id/usb-Nobody"):
        open_source("/dev/v4l/by-id/usb-Nobody-video-index0", ONCE)


@pytest.mark.parametrize(
    ("raised", "expected", "why"),
    [
        (cv2.error(NO_ROOM), OutOfMemory, "not enough memory"),
        (MemoryError(), OutOfMemory, "not enough memory"),
        (cv2.error(BAD_FRAME), CameraUnavailable, "Assertion failed"),
    ],
    ids=["OpenCV's memory", "memory", "OpenCV"],
)
def test_what_opencv_raises_gets_a_type_of_our_own(
    opened: list[object], raised: Exception, expected: type[Exception], why: str
) -> None:
    StandIn.raises.append(raised)
    with open_source(0, ONCE) as source, pytest.raises(expected, match=why):
        list(source)
    assert opened


@linux_only
@pytest.mark.parametrize(("path", "kind"), [("/dev/null", "a device, but no camera")])
def test_what_else_a_path_may_be_is_named(path: str, kind: str) -> None:
    with pytest.raises(VideoUnreadable, match=f"it is {kind}"):
        open_source(path)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such things as files")
def test_pipes_and_links_to_nothing_are_called_that(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VideoUnreadable, match="it is a pipe"):
        open_source(tmp_path / "pipe")
    (tmp_path / "link.mp4").symlink_to("nowhere.mp4")
    with pytest.raises(PathMissing, match=r"it is a link to nowhere\.mp4, which does not exist"):
        open_source(tmp_path / "link.mp4")


def test_a_name_that_is_too_long_for_any_file_is_called_that() -> None:
    name = "a" * 300 + ".mp4"
    assert not is_picture_file(name)
    assert kind_of_source(name, ONCE) == "absent"
    with pytest.raises(PathMissing, match="no file or folder can have so long a name"):
        open_source(name)
