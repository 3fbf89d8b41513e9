"""Write videos and pictures so that a half-written one is never seen."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np
import PIL.Image

from facepool.errors import ConfigError, InputError, StorageError
from facepool.files import appearing, storage_errors, unfinished_name
from facepool.types import Image

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_PICTURE_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF"}
_VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
_JPEG_QUALITY = 95
# MPEG-4 allows no finer clock than 65535; this one divides evenly by the usual frame rates.
_TICKS_PER_S = 60_000


def write_image(path: str | Path, image_bgr: Image) -> None:
    """Write a picture; its kind follows from the name: .jpg, .png, .webp, .bmp, .tif.

    Args:
        path: The file, which appears whole or not at all and replaces one of that name.
        image_bgr: (H, W, 3) uint8 BGR.

    Raises:
        ConfigError: The name ends in nothing that is known.
        NotWritable: The file may not be written, or its folder does not exist.
        DiskFull: There is no room.
    """
    target = Path(path)
    kind = _PICTURE_FORMATS.get(target.suffix.lower())
    if kind is None:
        raise ConfigError(f"{target} is not a name for a picture", fix=f"End it in {', '.join(_PICTURE_FORMATS)}")
    encoded = io.BytesIO()
    rgb = np.ascontiguousarray(image_bgr[:, :, ::-1])
    PIL.Image.fromarray(rgb).save(encoded, format=kind, quality=_JPEG_QUALITY)
    with appearing(target) as temporary:
        temporary.write_bytes(encoded.getbuffer())


class VideoWriter:
    """Writes an H.264 video (MPEG-4 Part 2 where the encoder is missing).

    The file appears when the ``with`` block ends: normally, by Ctrl-C, or because the source of the frames broke
    (``InputError``), since what was recorded until then is good. Any other error leaves no file, nor does a
    recording without a frame.

    Args:
        path: .mp4, .m4v, .mov or .mkv; replaces a file of that name.
        fps: Rate for frames that come without a time.
        size_wh: Size of the video; an odd side gets one row or column more, frames of another size are fitted in.
        threads: CPU threads that encode; None leaves their number to the encoder.

    Raises:
        ConfigError: The name ends in nothing that is known.
        NotWritable: The file may not be written, or its folder does not exist.
        ValueError: `fps` or `size_wh` is not positive.
    """

    def __init__(self, path: str | Path, fps: float, size_wh: tuple[int, int], threads: int | None = None) -> None:
        import av  # noqa: PLC0415 -- writing pictures needs no video codecs

        if fps <= 0 or min(size_wh) <= 0:
            raise ValueError(f"a video needs a positive rate and size, not {fps} and {size_wh}")
        self.path = Path(path)
        if self.path.suffix.lower() not in _VIDEO_SUFFIXES:
            raise ConfigError(f"{path} is not a name for a video", fix=f"End it in {', '.join(_VIDEO_SUFFIXES)}")
        self._size_wh = size_wh
        self._ticks_a_frame = max(1, round(_TICKS_PER_S / fps))
        self._first_time_s: float | None = None
        self._last_pts = -1
        self._is_open = True
        self._temporary = unfinished_name(self.path)
        with storage_errors(self.path):
            self._temporary.touch(exist_ok=False)  # FFmpeg would notice a missing permission at the first frame only
            self._container = av.open(f"file:{self._temporary}", "w")
        self._stream = self._add_stream(fps)
        self._stream.thread_count = threads or 0

    def write(self, image_bgr: Image, time_s: float | None = None) -> None:
        """Add a frame.

        Args:
            image_bgr: (H, W, 3) uint8 BGR.
            time_s: When it is to be shown; the first frame's time becomes 0. None for one frame interval later.

        Raises:
            DiskFull: There is no room; the recording is abandoned.
            NotWritable: The file can no longer be written; the recording is abandoned.
            ValueError: The writer is closed.
        """
        import av  # noqa: PLC0415 -- as above

        if not self._is_open:
            raise ValueError(f"the recording {self.path} is closed")
        frame = av.VideoFrame.from_ndarray(_fit(image_bgr, (self._stream.width, self._stream.height)), format="bgr24")
        frame.pts = self._pts(time_s)
        frame.time_base = Fraction(1, _TICKS_PER_S)
        frame.duration = self._ticks_a_frame
        self._last_pts = frame.pts
        with self._abandoned_on_error():
            self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Complete the file and let it appear; no more frames can be added. May be called again.

        Raises:
            DiskFull: There is no room; the recording is abandoned.
            NotWritable: The file cannot be written; the recording is abandoned.
        """
        if not self._is_open:
            return
        if self._last_pts < 0:
            self.abandon()
            return
        with self._abandoned_on_error():
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._temporary.replace(self.path)
        self._is_open = False

    def abandon(self) -> None:
        """Throw away what was recorded. May be called again, and does nothing after ``finish``."""
        if not self._is_open:
            return
        self._is_open = False
        with suppress(OSError):  # the disk that failed fails again at the file's end
            self._container.close()
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, (KeyboardInterrupt, InputError)):
            self.finish()
        else:
            self.abandon()

    def _add_stream(self, fps: float) -> "VideoStream":
        import av  # noqa: PLC0415 -- as above

        has_h264 = "libx264" in av.codecs_available
        options = {"preset": "veryfast", "crf": "20"} if has_h264 else {"qscale": "4"}
        rate = Fraction(fps).limit_denominator(1001)
        if has_h264:
            stream = self._container.add_stream("libx264", rate=rate, options=options)
        else:
            stream = self._container.add_stream("mpeg4", rate=rate, options=options)
        width, height = self._size_wh
        stream.width, stream.height = width + width % 2, height + height % 2  # yuv420p halves both sides
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS_PER_S)
        return stream

    def _pts(self, time_s: float | None) -> int:
        if time_s is None:
            return 0 if self._last_pts < 0 else self._last_pts + self._ticks_a_frame
        if self._first_time_s is None:
            self._first_time_s = time_s - max(self._last_pts, 0) / _TICKS_PER_S
        # Two frames of the same time, or a clock that stepped back, must not stop a recording.
        return max(round((time_s - self._first_time_s) * _TICKS_PER_S), self._last_pts + 1)

    @contextmanager
    def _abandoned_on_error(self) -> Iterator[None]:
        try:
            with storage_errors(self.path):
                yield
        except StorageError:
            self.abandon()
            raise


def _fit(image_bgr: Image, size_wh: tuple[int, int]) -> Image:
    """The picture at the given size: odd sides grow by repeating the edge, other sizes are scaled into black bars."""
    height, width = image_bgr.shape[:2]
    right, below = size_wh[0] - width, size_wh[1] - height
    if right in (0, 1) and below in (0, 1):
        return np.pad(image_bgr, ((0, below), (0, right), (0, 0)), mode="edge")
    scale = min(size_wh[0] / width, size_wh[1] / height)
    scaled_wh = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    x, y = (size_wh[0] - scaled_wh[0]) // 2, (size_wh[1] - scaled_wh[1]) // 2
    canvas[y : y + scaled_wh[1], x : x + scaled_wh[0]] = cv2.resize(image_bgr, scaled_wh)
    return canvas
