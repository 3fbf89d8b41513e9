"""A camera that tests hold in their hands: a motion-JPEG stream on the loopback, fed from photos that move a little."""

import io
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import cycle
from pathlib import Path

import av
import cv2
import numpy as np
import PIL.Image

from facepool.types import Image
from support.media import MJPEG_HEAD

FPS = 20


def moving(photo_bgr: Image, size_wh: tuple[int, int] = (640, 480), frames: int = 30) -> list[Image]:
    """The photo before a slowly moving camera whose exposure changes; the last picture leads back to the first."""
    width, height = size_wh
    fit = 0.9 * min(width / photo_bgr.shape[1], height / photo_bgr.shape[0])
    pictures = []
    for angle in np.linspace(0, 2 * np.pi, frames, endpoint=False):
        scale = fit * (1 + 0.1 * np.sin(angle))
        x = width / 2 - scale * photo_bgr.shape[1] / 2 + 0.08 * width * np.cos(angle)
        y = height / 2 - scale * photo_bgr.shape[0] / 2 + 0.02 * height * np.sin(2 * angle)
        placed = cv2.warpAffine(photo_bgr, np.array([[scale, 0, x], [0, scale, y]]), size_wh, borderValue=(90, 80, 70))
        lit = placed * (0.95 + 0.15 * np.sin(angle + 1))
        pictures.append(np.clip(lit, 0, 255).astype(np.uint8))
    return pictures


def write_video(path: Path, pictures: Sequence[Image], fps: int = FPS, *, pixel_aspect: Fraction | None = None) -> Path:
    """The pictures as a video file; `pixel_aspect` is width by height of their pixels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        if pixel_aspect:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        for picture_bgr in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture_bgr, format="bgr24")))
        container.mux(stream.encode(None))
    return path


class LoopbackCamera:
    """Sends its pictures over and over to whoever connects.

    Args:
        pictures: What is before it, in order.
        fps: Pictures a second.
    """

    def __init__(self, pictures: Sequence[Image], fps: float = FPS) -> None:
        self.silent = threading.Event()
        self.visits = 0
        self._period_s = 1 / fps
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._address = self._listener.getsockname()
        self._clients: list[socket.socket] = []
        self._off = threading.Event()
        self.look_at(pictures)
        self._start()

    @property
    def url(self) -> str:
        """Where to look; the same after ``unplug`` and ``plug_in``."""
        return f"http://127.0.0.1:{self._address[1]}/"

    def look_at(self, pictures: Sequence[Image]) -> None:
        """Put something else before the camera."""
        self._parts = cycle([_part(picture) for picture in pictures])

    def unplug(self) -> None:
        """Hang up on everybody, and answer nobody."""
        self._off.set()
        for end in (self._listener, *self._clients):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._accepting.join()
        self._clients.clear()

    def plug_in(self) -> None:
        """Answer again."""
        self._off.clear()
        self._listener = socket.create_server(self._address)
        self._start()

    def _start(self) -> None:
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._off.is_set():
                client, _ = self._listener.accept()
                self._clients.append(client)
                self.visits += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            client.recv(4096)
            client.sendall(MJPEG_HEAD)
            while not self._off.is_set():
                time.sleep(self._period_s)
                if not self.silent.is_set():
                    client.sendall(next(self._parts))


@contextmanager
def camera_before(pictures: Sequence[Image], fps: float = FPS) -> Iterator[LoopbackCamera]:
    """A camera that is on until the end of the block."""
    camera = LoopbackCamera(pictures, fps)
    try:
        yield camera
    finally:
        camera.unplug()


def _part(picture_bgr: Image) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(picture_bgr[:, :, ::-1]).save(file, "JPEG", quality=90)
    data = file.getvalue()
    return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(data), data)
