"""Local cameras, through OpenCV: V4L2, DirectShow, AVFoundation."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import cv2.utils.logging as cv2_logging
import numpy as np

from facepool.capture.source import Shot
from facepool.errors import CameraUnavailable, out_of_memory
from facepool.types import Image

_NO_MEMORY = "(-4:"  # how OpenCV's word for it begins
_BACKENDS = {
    "linux": (cv2.CAP_V4L2,),
    "darwin": (cv2.CAP_AVFOUNDATION,),
    "win32": (cv2.CAP_DSHOW, cv2.CAP_MSMF),  # Media Foundation takes many seconds to open
}


class CameraConnector:
    """Opens one camera.

    Args:
        camera: Its number, 0 for the first, or a device of Linux: ``/dev/v4l/by-id/...``, which stays a camera's own
            while numbers change, or any link to a device.
    """

    def __init__(self, camera: int | str) -> None:
        self.name = str(camera)
        self.description = f"camera {camera}"
        self._camera = camera

    def connect(self) -> "CameraConnection":
        """Open it and wait for a first picture.

        Raises:
            CameraUnavailable: It is absent, busy, not permitted, or gives no picture.
            OutOfMemory: There is no room for a picture.
        """
        with self._errors(self.unavailable):
            capture = self._open()
            if capture is None:
                raise self.unavailable(_why_closed(self._camera))
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            is_read, image = capture.read()
            if not is_read:
                capture.release()
                raise self.unavailable("it opens but gives no picture; another program may be using it")
            return CameraConnection(capture, image, self)

    def read_from(self, capture: cv2.VideoCapture) -> Image:
        """The next picture of a camera that is open.

        Raises:
            CameraUnavailable: The camera gives none any more.
            OutOfMemory: There is no room for it.
        """
        with self._errors(self.lost):
            is_read, image = capture.read()
            if not is_read:
                raise self.lost("it gives no picture any more")
            return colour(image)

    def unavailable(self, why: str) -> CameraUnavailable:
        """The error for a camera that never opened."""
        return CameraUnavailable(
            f"Camera {self._camera} cannot be used",
            why=why,
            fix="Plug it in, close other programs that use it, or name another --source: a number, a file or a URL",
        )

    def lost(self, why: str) -> CameraUnavailable:
        """The error for a camera that vanished."""
        return CameraUnavailable(f"Camera {self._camera} was lost", why=why, fix="Check its cable and start again")

    def _open(self) -> cv2.VideoCapture | None:
        for backend in _BACKENDS.get(sys.platform, (cv2.CAP_ANY,)):
            with _quiet_opencv():
                capture = cv2.VideoCapture(_number_of(self._camera), backend)
            if capture.isOpened():
                return capture
        return None

    @contextmanager
    def _errors(self, failure: Callable[[str], CameraUnavailable]) -> Iterator[None]:
        """Turn what OpenCV raises inside the block into facepool's errors."""
        try:
            yield
        except (cv2.error, MemoryError) as error:
            said = str(error).rpartition("error: ")[2].strip()
            if isinstance(error, MemoryError) or said.startswith(_NO_MEMORY):
                raise out_of_memory(f"Camera {self._camera} cannot be read") from error
            raise failure(f"OpenCV says: {said}") from error


class CameraConnection:
    """An open camera."""

    every_frame = False

    def __init__(self, capture: cv2.VideoCapture, first_bgr: object, connector: CameraConnector) -> None:
        self._capture = capture
        self._first: Image | None = colour(first_bgr)
        self._connector = connector

    def read(self) -> Shot:
        """The next picture; errors as ``CameraConnector.read_from``."""
        first, self._first = self._first, None
        return Shot(self._connector.read_from(self._capture) if first is None else first, None)

    def close(self) -> None:
        """Free the camera for others."""
        self._capture.release()


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's warnings off stderr while a camera is tried, and restore its log level, which is the process's."""
    level = cv2_logging.setLogLevel(cv2_logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2_logging.setLogLevel(level)


def colour(image: object) -> Image:
    """What OpenCV gives as (H, W, 3) uint8 BGR, C-contiguous."""
    pixels = np.asarray(image, dtype=np.uint8)
    if pixels.ndim == 2:  # an infrared camera's picture has no channel axis
        pixels = np.repeat(pixels[:, :, np.newaxis], 3, axis=2)
    return np.ascontiguousarray(pixels)


def _number_of(camera: int | str) -> int | str:
    """The number of a device, which every build of OpenCV opens; other names are tried as they are."""
    if isinstance(camera, int):
        return camera
    number = Path(os.path.realpath(camera)).name.removeprefix("video")
    return int(number) if number.isascii() and number.isdigit() else camera


def _why_closed(camera: int | str) -> str:
    if sys.platform == "darwin":
        return "there is none of that number, or System Settings > Privacy > Camera forbids it"
    if sys.platform != "linux":
        return "there is none of that number, it is busy, or the privacy settings forbid it"
    device = Path(f"/dev/video{camera}" if isinstance(camera, int) else camera)
    if not device.exists():
        others = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video*"))
        return f"there is no {device}; " + (
            f"cameras here: {', '.join(others)}" if others else "no camera is plugged in"
        )
    if not os.access(device, os.R_OK | os.W_OK):
        return f"you may not use {device}: add yourself to the group 'video'"
    return f"{device} is busy or is not a camera"
