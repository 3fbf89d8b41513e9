"""Video files."""

from collections.abc import Iterator
from pathlib import Path

import av
import av.container

from facepool.capture.decoding import Decoder
from facepool.capture.source import ClosesOnExit, Shot
from facepool.errors import PathMissing, VideoUnreadable
from facepool.types import Frame

_TOLERATED_GAP_S = 1.0


class VideoSource(ClosesOnExit):
    """Every frame of a video file, turned as its rotation mark says.

    Args:
        path: Anything that FFmpeg can read: MP4, Matroska, AVI, MPEG-TS, ...
        threads: CPU threads that decode; None leaves their number to FFmpeg.

    Raises:
        PathMissing: There is no such file.
        VideoUnreadable: It is not a video, holds only sound, or was cut off before its index.
    """

    live = False

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        self.name = str(path)
        self._container = _open(Path(path))
        try:
            self._decoder = Decoder(self._container, low_delay=False, threads=threads)
        except LookupError as error:
            self._container.close()
            raise VideoUnreadable(f"The file {path} is not a video", why=error.args[0]) from error
        self._duration_s = self._decoder.duration_s  # not to be asked of a closed container
        self.fps = self._decoder.fps
        self.frame_count = self._decoder.frame_count
        self._shots = self._decoder.shots()
        self._index = 0
        self._closed = False

    @property
    def description(self) -> str:
        """For example ``video party.mp4``."""
        return f"video {self.name}"

    def __iter__(self) -> Iterator[Frame]:
        """The frames; ``time_s`` is when each is shown, counted from the start of the video.

        Raises:
            VideoUnreadable: The file holds no frame, or breaks off.
        """
        while not self._closed:
            shot = self._next_shot()
            if shot is None:
                return
            frame = Frame(shot.image_bgr, self.name, self._index, self._time_s(shot))
            self._index += 1
            yield frame

    def close(self) -> None:
        """Close the file."""
        self._closed = True
        self._container.close()

    def _next_shot(self) -> Shot | None:
        reason = ""
        try:
            shot = next(self._shots, None)
        except av.FFmpegError as error:
            shot, reason = None, str(error.strerror)
        if shot is not None:
            return shot
        self.close()
        self._check_end(reason)
        return None

    def _time_s(self, shot: Shot) -> float | None:
        if shot.time_s is None and self.fps:
            return self._index / self.fps
        return shot.time_s

    def _check_end(self, reason: str) -> None:
        if self._index == 0:
            raise VideoUnreadable(
                f"The video {self.name} holds no frame that can be decoded",
                why=reason or "it is empty, truncated or damaged",
                fix="Copy or record it again",
            )
        missing_s = (self._duration_s or 0.0) - self._decoder.end_s
        if reason or self._decoder.broken or missing_s > _TOLERATED_GAP_S:
            raise VideoUnreadable(
                f"The video {self.name} breaks off after {self._index} frames",
                why=reason or "the file is truncated or damaged",
                fix="These frames were read; copy or record it again for the rest",
            )


def _open(path: Path) -> av.container.InputContainer:
    try:
        # Without the prefix, a colon in the name reads as a protocol. Titles are not always UTF-8.
        return av.open(f"file:{path}", metadata_errors="replace")
    except av.error.FileNotFoundError as error:
        raise PathMissing(f"There is no video {path}", fix="Check the spelling of the path") from error
    except (av.FFmpegError, OSError) as error:
        why = _why_unopenable(path) or f"FFmpeg says: {error.strerror}"
        raise VideoUnreadable(f"The video {path} cannot be opened", why=why, fix="Copy or record it again") from error


def _why_unopenable(path: Path) -> str:
    """A reason that a person understands, where the file's first bytes tell one."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        return error.strerror or ""
    if not head:
        return "it is empty (0 bytes)"
    if head[4:] == b"ftyp":
        return "it was cut off before its index (the moov box) was written"
    return "it is not a video of a known kind, or was cut off near its start"
