"""The cameras that the server watches."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Protocol

import cv2

from facepool.capture import mask_credentials
from facepool.errors import ConfigError
from facepool.overlay import Painter, live_labels
from facepool.web.camera import Camera, Watching
from facepool.web.problems import NotFound

__all__ = ["MOST_CAMERAS", "Camera", "Cameras", "Memory", "NoPicture", "UnknownCamera", "Watching"]

MOST_CAMERAS = 64
_PICTURE_QUALITY = 85
_MEMORY = "cameras"


class UnknownCamera(NotFound):
    """The server has no camera of that id.

    Remedy: `GET /v1/cameras` lists them.
    """

    code = "camera_unknown"


class NoPicture(NotFound):
    """A camera has not shown anything yet.

    Remedy: ask again in a moment; `GET /v1/cameras` says whether it is connected.
    """

    code = "no_picture"


class Memory(Protocol):
    """Keeps something beyond the end of the server, where nobody else can read it: addresses hold passwords."""

    def kept(self, name: str) -> Mapping[str, object]:
        """What was kept under a name; empty if nothing was."""
        ...

    def keep(self, name: str, value: Mapping[str, object]) -> None:
        """Keep something under a name, in place of what was kept."""
        ...


class Cameras:
    """The cameras that the server watches.

    Args:
        watching: What they are watched with.
        memory: Remembers those that are to be watched after the next start, too.
    """

    def __init__(self, watching: Watching, memory: Memory | None = None) -> None:
        self._watching = watching
        self._memory = memory
        self._lock = threading.Lock()
        self._cameras: dict[str, Camera] = {}
        self._numbers = count(1)
        self._painting = threading.Lock()
        self._painter: Painter | None = None  # fonts take time and memory, and most servers have no camera

    def all(self) -> list[Camera]:
        """In the order in which they were added."""
        with self._lock:
            return list(self._cameras.values())

    def get(self, number: str) -> Camera:
        """One of them.

        Raises:
            UnknownCamera: There is none of that id.
        """
        with self._lock:
            camera = self._cameras.get(number)
        if camera is None:
            raise UnknownCamera(f"There is no camera {number!r}", fix="Ask which there are: GET /v1/cameras")
        return camera

    def restore(self) -> None:
        """Watch those that were to be remembered, after a start."""
        for source, name in self._remembered().items():
            if not any(camera.watches(source) for camera in self.all()):
                self.add(source, name)

    def add(self, source: str, name: str = "", *, remember: bool = False) -> Camera:
        """Watch one more. Whether it can be opened, its status tells later; it is tried again and again.

        Args:
            source: Camera number, URL, or a file, which is watched once at its own speed.
            name: For people; by default the source, without what is secret in it.
            remember: Watch it after the next start, too.

        Raises:
            ConfigError: There is one of that source already, or there are too many.
        """
        with self._lock:
            if any(camera.watches(source) for camera in self._cameras.values()):
                raise ConfigError("This camera is watched already", fix="Remove it first to watch it anew")
            if len(self._cameras) >= MOST_CAMERAS:
                raise ConfigError(f"There are {MOST_CAMERAS} cameras already", fix="Remove one first")
            number = str(next(self._numbers))
            camera = Camera(number, source, name.strip() or mask_credentials(source), self._watching)
            self._cameras[number] = camera
        if remember:
            self._remember({**self._remembered(), source: camera.name})
        camera.start()
        return camera

    def remove(self, number: str) -> None:
        """Watch one no more.

        Raises:
            UnknownCamera: There is none of that id.
        """
        camera = self.get(number)
        with self._lock:
            self._cameras.pop(number, None)
        self._remember({source: name for source, name in self._remembered().items() if not camera.watches(source)})
        camera.close()

    def picture(self, number: str) -> bytes:
        """The newest picture of one with boxes and names, as JPEG.

        Raises:
            UnknownCamera: There is none of that id.
            NoPicture: Nothing has been seen yet.
        """
        camera = self.get(number)
        shown = camera.shown
        if shown is None:
            raise NoPicture(f"There is no picture of the camera {camera.name}", why=camera.status.reason or "not yet")
        frame, view = shown
        with self._painting:
            self._painter = self._painter or Painter()
            painted = self._painter.draw(frame.image_bgr, live_labels(view))
        _, data = cv2.imencode(".jpg", painted, [cv2.IMWRITE_JPEG_QUALITY, _PICTURE_QUALITY])
        return data.tobytes()

    def close(self) -> None:
        """Stop watching."""
        with self._lock:
            cameras = list(self._cameras.values())
            self._cameras.clear()
        if cameras:
            with ThreadPoolExecutor(len(cameras)) as together:  # each may take its time to let go
                list(together.map(Camera.close, cameras))

    def _remembered(self) -> dict[str, str]:
        """Name by source."""
        kept = self._memory.kept(_MEMORY) if self._memory is not None else {}
        return {source: str(name) for source, name in kept.items()}

    def _remember(self, cameras: Mapping[str, str]) -> None:
        if self._memory is not None and cameras != self._remembered():
            self._memory.keep(_MEMORY, cameras)
