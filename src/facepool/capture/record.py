"""Write videos and pictures so that a half-written one is never seen."""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np
import PIL.Image

from facepool.capture.timeline import Timeline
from facepool.errors import ConfigError, FacepoolError, StorageError, out_of_memory
from facepool.files import appearing, storage_error, unfinished_name
from facepool.types import Image

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_PICTURE_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF"}
_VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
_JPEG_QUALITY = 95
_LONGEST_SIDE = 16384  # of H.264
# MPEG-4 allows no finer clock than 65535; this one divides evenly by the usual frame rates.
_TICKS_PER_S = 60_000
# With B-frames, an MP4 whose frames are shown for unequal times would state a length other than that of its pictures.
_H264 = {"preset": "veryfast", "crf": "20", "bf": "0"}
# An MP4 that can be played as far as it is written, in parts of so many microseconds; it ends as an ordinary one.
_PLAYABLE_MEANWHILE = {"movflags": "hybrid_fragmented", "frag_duration": "5000000"}
_MOST_TICKS = 2**30  # five hours; FFmpeg reads no MP4 in which a frame lasts for ten


def write_image(path: str | Path, image_bgr: Image) -> None:
    """Write a picture; its kind follows from the name: .jpg, .png, .webp, .bmp, .tif.

    Args:
        path: The file, which appears whole or not at all and replaces one of that name.
        image_bgr: (H, W, 3) uint8 BGR.

    Raises:
        ConfigError: The name ends in nothing that is known.
        NotWritable: The file may not be written, or its folder does not exist.
        DiskFull: There is no room.
        StorageError: It is too large for its kind.
    """
    target = Path(path)
    kind = _PICTURE_FORMATS.get(target.suffix.lower())
    if kind is None:
        raise ConfigError(f"{target} is not a name for a picture", fix=f"End it in {', '.join(_PICTURE_FORMATS)}")
    encoded = io.BytesIO()
    height, width = image_bgr.shape[:2]
    try:
        rgb = np.ascontiguousarray(image_bgr[:, :, ::-1])
        PIL.Image.fromarray(rgb).save(encoded, format=kind, quality=_JPEG_QUALITY)
    except MemoryError as error:
        raise out_of_memory(f"{target} cannot be written") from error
    except (OSError, ValueError) as error:  # nothing was written yet: it is the encoder that refuses
        raise StorageError(
            f"{target} cannot be written",
            why=f"a picture of {width}x{height} pixels cannot be a {kind}: {str(error).rstrip('.')}",
            fix="End its name in .png",
        ) from error
    with appearing(target) as temporary:
        temporary.write_bytes(encoded.getbuffer())


class VideoWriter:
    """Writes an H.264 video (MPEG-4 Part 2 where the encoder is missing).

    The file appears when the ``with`` block ends: normally, by Ctrl-C, or because of an error that facepool knows, such
    as a source that broke, since what was recorded until then is good. Any other error leaves no file, nor does a
    recording without a frame. Where the disk fails or is full, what it holds of the recording appears, and the error
    says so; that lacks the last seconds.

    It lasts as long as what was shown, the last frame for the usual interval. Times that fall, and unusual pauses of
    more than an hour, become the usual interval.

    Args:
        path: .mp4, .m4v, .mov or .mkv; replaces a file of that name.
        fps: Rate for frames that come without a time, until an interval is measured.
        size_wh: Size of the video; an odd side gets one row or column more, frames of another size are fitted in. What
            has a side of more than 16384 pixels is scaled down.
        threads: CPU threads that encode; None leaves their number to the encoder.

    Raises:
        ConfigError: The name ends in nothing that is known.
        NotWritable: The file may not be written, or its folder does not exist.
        StorageError: FFmpeg cannot write it.
        ValueError: `fps` or `size_wh` is not positive.
    """

    def __init__(self, path: str | Path, fps: float, size_wh: tuple[int, int], threads: int | None = None) -> None:
        if fps <= 0 or min(size_wh) <= 0:
            raise ValueError(f"a video needs a positive rate and size, not {fps} and {size_wh}")
        self.path = Path(path)
        if self.path.suffix.lower() not in _VIDEO_SUFFIXES:
            raise ConfigError(f"{path} is not a name for a video", fix=f"End it in {', '.join(_VIDEO_SUFFIXES)}")
        self._size_wh = _encodable(size_wh)
        self._timeline = Timeline(1 / fps)
        self._first_s: float | None = None
        self._last_pts = -1
        self._newest: VideoFrame | None = None  # how long it is shown, the next one tells
        self._is_open = True
        self._temporary = unfinished_name(self.path)
        with recording_errors(self.path):
            import av  # noqa: PLC0415 -- writing pictures needs no video codecs

            if self.path.is_dir():  # it would be noticed at the end only, when all is recorded
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self._temporary.touch(exist_ok=False)  # FFmpeg would notice a missing permission at the first frame only
            try:
                options = {} if self.path.suffix.lower() == ".mkv" else _PLAYABLE_MEANWHILE
                self._container = av.open(f"file:{self._temporary}", "w", options=options)
                self._stream = self._add_stream(fps)
            except BaseException:
                self._temporary.unlink(missing_ok=True)
                raise
        self._stream.thread_count = threads or 0

    def write(self, image_bgr: Image, time_s: float | None = None) -> None:
        """Add a frame.

        Args:
            image_bgr: (H, W, 3) uint8 BGR.
            time_s: When it is to be shown; the first frame's time becomes 0. None for one frame interval later.

        Raises:
            DiskFull: There is no room.
            NotWritable: The file can no longer be written.
            StorageError: FFmpeg cannot go on.
            SystemLimit: Memory is short.
            ValueError: The writer is closed.
        """
        import av  # noqa: PLC0415 -- as above

        if not self._is_open:
            raise ValueError(f"the recording {self.path} is closed")
        with self._kept_on_error():
            pixels = _fit(image_bgr, (self._stream.width, self._stream.height))
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            frame.pts, frame.time_base = self._pts(time_s), Fraction(1, _TICKS_PER_S)
            self._encode_newest(frame.pts - self._last_pts)
        self._last_pts, self._newest = frame.pts, frame

    def finish(self) -> None:
        """Complete the file and let it appear; no more frames can be added. May be called again.

        Raises:
            DiskFull: There is no room.
            NotWritable: The file cannot be written.
            StorageError: FFmpeg cannot complete it.
        """
        if not self._is_open:
            return
        if self._last_pts < 0:
            self.abandon()
            return
        with self._kept_on_error():
            self._encode_newest(max(1, round(self._timeline.usual_s * _TICKS_PER_S)))
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._temporary.replace(self.path)
        self._is_open = False

    def abandon(self) -> None:
        """Throw away what was recorded. May be called again, and does nothing after ``finish``."""
        if not self._is_open:
            return
        self._close()
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, FacepoolError) or not issubclass(kind, Exception):
            self.finish()
        else:
            self.abandon()

    def _add_stream(self, fps: float) -> "VideoStream":
        import av  # noqa: PLC0415 -- as above
        from av.codec.context import Flags  # noqa: PLC0415 -- as above

        rate = Fraction(fps).limit_denominator(1001)
        stream: VideoStream
        if "libx264" in av.codecs_available:
            stream = self._container.add_stream("libx264", rate=rate, options=_H264)
        elif "mpeg4" in av.codecs_available:
            stream = self._container.add_stream("mpeg4", rate=rate, options={"qscale": "4"})
        else:
            raise StorageError(
                f"{self.path} cannot be written",
                why="this build of FFmpeg has an encoder for neither H.264 nor MPEG-4",
                fix="Install PyAV as a wheel of its own project, or name a folder, which keeps pictures",
            )
        stream.width, stream.height = self._size_wh
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS_PER_S)
        stream.codec_context.flags |= Flags.frame_duration.value
        return stream

    def _pts(self, time_s: float | None) -> int:
        shown_s = self._timeline.place(time_s)
        if self._first_s is None:
            self._first_s = shown_s
        pts = round((shown_s - self._first_s) * _TICKS_PER_S)
        # Every frame is shown, if only for a tick, and none for longer than files can say.
        return min(max(pts, self._last_pts + 1), max(self._last_pts, 0) + _MOST_TICKS)

    def _encode_newest(self, ticks: int) -> None:
        if self._newest is None:
            return
        frame, self._newest = self._newest, None
        frame.duration = ticks
        self._container.mux(self._stream.encode(frame))

    @contextmanager
    def _kept_on_error(self) -> Iterator[None]:
        try:
            with recording_errors(self.path):
                yield
        except FacepoolError as error:
            if (kept := self._keep_what_there_is()) is not None:
                error.fix = f"{error.fix}; {kept} holds what was recorded until then"
            raise

    def _keep_what_there_is(self) -> Path | None:
        """Close a recording that failed. Returns where it lies, if a player can show it."""
        self._close()
        if not _is_playable(self._temporary):
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)
            return None
        try:
            self._temporary.replace(self.path)
        except OSError:
            return self._temporary
        return self.path

    def _close(self) -> None:
        self._is_open = False
        with suppress(FacepoolError), recording_errors(self.path):  # what failed fails again at the file's end
            self._container.close()


def _is_playable(path: Path) -> bool:
    import av  # noqa: PLC0415 -- as above

    try:
        with av.open(f"file:{path}") as container:
            return any(True for _ in container.decode(video=0))
    except (OSError, MemoryError, av.FFmpegError):
        return False


@contextmanager
def recording_errors(path: Path) -> Iterator[None]:
    """Turn what the disk and FFmpeg raise inside the block into facepool's errors.

    Raises:
        DiskFull: No room.
        NotWritable: No permission, or no such folder.
        StorageError: The disk or FFmpeg fails.
        SystemLimit: Memory is short, or too many files are open.
    """
    import av  # noqa: PLC0415 -- as above

    try:
        yield
    except OSError as error:  # FFmpeg's own names the temporary file
        raise storage_error(path, OSError(error.errno, error.strerror)) from error
    except (MemoryError, cv2.error) as error:  # what OpenCV is asked for here fails for nothing else
        raise out_of_memory(f"{path} cannot be written") from error
    except av.FFmpegError as error:
        raise StorageError(
            f"{path} cannot be written", why=f"FFmpeg says: {error.strerror}", fix="Try another kind of file, .mkv"
        ) from error


def _encodable(size_wh: tuple[int, int]) -> tuple[int, int]:
    """The size with even sides, because yuv420p halves both, and none longer than what encoders take."""
    scale = min(1.0, _LONGEST_SIDE / max(size_wh))
    width, height = (max(1, round(side * scale)) for side in size_wh)
    return width + width % 2, height + height % 2


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
