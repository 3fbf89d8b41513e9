"""Local cameras, through OpenCV: V4L2, DirectShow, AVFoundation."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import cv2.utils.logging as cv2_logging
import numpy as np

from facepool.capture.source import Shot
from facepool.errors import CameraUnavailable
from facepool.types import Image

_BACKENDS = {
    "linux": (cv2.CAP_V4L2,),
    "darwin": (cv2.CAP_AVFOUNDATION,),
    "win32": (cv2.CAP_DSHOW, cv2.CAP_MSMF),  # Media Foundation takes many seconds to open
}


class CameraConnector:
    """Opens the camera of a number.

    Args:
        number: 0 for the first.
    """

    def __init__(self, number: int) -> None:
        self.name = str(number)
        self.description = f"camera {number}"
        self._number = number

    def connect(self) -> "CameraConnection":
        """Open it and wait for a first picture.

        Raises:
            CameraUnavailable: It is absent, busy, not permitted, or gives no picture.
        """
        capture = self._open()
        if capture is None:
            raise self.unavailable(_why_closed(self._number))
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        is_read, image = capture.read()
        if not is_read:
            capture.release()
            raise self.unavailable("it opens but gives no picture; another program may be using it")
        return CameraConnection(capture, image, self)

    def unavailable(self, why: str) -> CameraUnavailable:
        """The error for a camera that never opened."""
        return CameraUnavailable(
            f"Camera {self._number} cannot be used",
            why=why,
            fix="Plug it in, close other programs that use it, or name another --source: a number, a file or a URL",
        )

    def lost(self, why: str) -> CameraUnavailable:
        """The error for a camera that vanished."""
        return CameraUnavailable(f"Camera {self._number} was lost", why=why, fix="Check its cable and start again")

    def _open(self) -> cv2.VideoCapture | None:
        for backend in _BACKENDS.get(sys.platform, (cv2.CAP_ANY,)):
            with _quiet_opencv():
                capture = cv2.VideoCapture(self._number, backend)
            if capture.isOpened():
                return capture
        return None


class CameraConnection:
    """An open camera."""

    every_frame = False

    def __init__(self, capture: cv2.VideoCapture, first_bgr: object, connector: CameraConnector) -> None:
        self._capture = capture
        self._first: Shot | None = Shot(_colour(first_bgr), None)
        self._connector = connector

    def read(self) -> Shot:
        """The next picture.

        Raises:
            CameraUnavailable: The camera gives none any more.
        """
        if self._first is not None:
            first, self._first = self._first, None
            return first
        is_read, image = self._capture.read()
        if not is_read:
            raise self._connector.lost("it gives no picture any more")
        return Shot(_colour(image), None)

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


def _colour(image: object) -> Image:
    pixels = np.asarray(image, dtype=np.uint8)
    if pixels.ndim == 2:  # an infrared camera's picture has no channel axis
        pixels = np.repeat(pixels[:, :, np.newaxis], 3, axis=2)
    return np.ascontiguousarray(pixels)


def _why_closed(number: int) -> str:
    if sys.platform == "darwin":
        return "there is none of that number, or System Settings > Privacy > Camera forbids it"
    if sys.platform != "linux":
        return "there is none of that number, it is busy, or the privacy settings forbid it"
    device = Path(f"/dev/video{number}")
    if not device.exists():
        others = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video*"))
        return f"there is no {device}; " + (
            f"cameras here: {', '.join(others)}" if others else "no camera is plugged in"
        )
    if not os.access(device, os.R_OK | os.W_OK):
        return f"you may not use {device}: add yourself to the group 'video'"
    return f"{device} is busy or is not a camera"
