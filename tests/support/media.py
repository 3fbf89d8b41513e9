"""Synthetic pictures, videos and servers for the tests of capture."""

import io
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import PIL.Image

from facepool.types import Image

Answer = Callable[[socket.socket], None]
FPS = 25
MJPEG_HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"


def gradient(step: int = 0, size_wh: tuple[int, int] = (96, 64)) -> Image:
    """A diagonal gradient that moves with `step`, bluest at the top left: orientation and order can be told."""
    width, height = size_wh
    y, x = np.mgrid[0:height, 0:width]
    shade = (255 * (x + y) / (width + height)).astype(np.uint8)
    return np.stack([255 - shade, shade // 2, np.full_like(shade, (step * 4) % 256)], axis=2)


def make_video(
    path: Path,
    frames: int = 50,
    *,
    rotation: int = 0,
    matrix: Sequence[int] | None = None,
    pixel_aspect: Fraction | None = None,
    faststart: bool = True,
    times_s: Sequence[float] | None = None,
) -> Path:
    """A video of the moving gradient, a little noisy so that it has some size, with one key frame in ten.

    Args:
        path: Its ending says the container.
        frames: How many; as many as `times_s` if that is given.
        rotation: Degrees counter-clockwise that a player turns it by.
        matrix: In its place, a, b, c, d of a display matrix.
        pixel_aspect: Width by height of its pixels; unsaid by default.
        faststart: Whether an MP4's index is at its beginning.
        times_s: When each frame is shown; at 25 frames a second by default.
    """
    frames = frames if times_s is None else len(times_s)
    noise = np.random.default_rng(0).integers(-8, 9, (frames, 64, 96, 3))
    is_mp4 = path.suffix in {".mp4", ".mov"}
    with av.open(str(path), "w", options={"movflags": "faststart"} if faststart and is_mp4 else {}) as container:
        stream = container.add_stream("mpeg4", rate=FPS, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.bit_rate = 2_000_000
        if rotation:
            stream.set_display_rotation(rotation)
        if matrix:
            a, b, c, d = (value << 16 for value in matrix)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        if pixel_aspect:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if times_s:
            stream.codec_context.time_base = Fraction(1, 1000)
        for step in range(frames):
            image_bgr = np.clip(gradient(step) + noise[step], 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image_bgr, format="bgr24")
            if times_s:
                frame.pts, frame.time_base = round(times_s[step] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def join(path: Path, *parts: Path) -> Path:
    """Files one behind the other, as recorders and shells put transport streams together."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def make_sound(path: Path) -> Path:
    """A file with sound and no pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def make_animation(path: Path, frames: int = 5, *, frame_ms: int = 80) -> Path:
    """An animated picture."""
    first, *rest = (PIL.Image.fromarray(gradient(40 * step)[:, :, ::-1]) for step in range(frames))
    first.save(path, save_all=True, append_images=rest, duration=frame_ms)
    return path


def truncate(path: Path, share: float) -> Path:
    """Cut the file off after that share of its bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def jpeg(step: int = 0) -> bytes:
    """The gradient as a JPEG file."""
    file = io.BytesIO()
    PIL.Image.fromarray(gradient(step)[:, :, ::-1]).save(file, "JPEG")
    return file.getvalue()


def mjpeg_part(step: int = 0) -> bytes:
    """One picture of a motion-JPEG stream."""
    data = jpeg(step)
    return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(data), data)


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """Serve each connection on the loopback with `answer`; gives the address ``127.0.0.1:port``."""
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def serve_one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            answer(connection)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=serve_one, args=(connection,), daemon=True))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=serve, daemon=True)
        accepting.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        for endpoint in (listener, *connections):
            with suppress(OSError):
                endpoint.shutdown(socket.SHUT_RDWR)
    for thread in (accepting, *threads):
        thread.join(5)


def threads_of_this_process() -> int:
    """All that the operating system runs, FFmpeg's included; Linux only."""
    return len(list(Path("/proc/self/task").iterdir()))
