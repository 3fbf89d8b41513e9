"""What FFmpeg reads: video files, and network streams by RTSP, HTTP, RTMP and other protocols."""

import errno
from collections.abc import Iterator
from pathlib import Path

import av
import av.container
import numpy as np
from av.codec.context import ThreadType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from facepool.capture.source import CaptureOptions, ClosesOnExit, Shot, mask_credentials, url_scheme
from facepool.capture.turning import Turning
from facepool.errors import PathMissing, StreamLost, StreamUnavailable, VideoUnreadable
from facepool.types import Frame

_MICROSECONDS = 1e6
_QUARTER_TURN = 90
# FFmpeg plays these as films of a text terminal, and takes any .txt or .nfo file for one.
_TEXT_FORMATS = frozenset({"tty", "bin", "xbin", "adf", "idf"})
_TOLERATED_GAP_S = 1.0
_RTSP_OPTIONS = {"rtsp_transport": "tcp"}  # loses no packets, for a little more delay
_FILE_SCHEMES = frozenset({"http", "https"})


class VideoDecoder:
    """Decodes the pictures of a container's first real video stream, past damaged packets.

    Args:
        container: Opened for reading; stays the caller's.
        low_delay: Give each picture as soon as it is there, rather than decode several at once.
        threads: CPU threads that decode; None leaves their number to FFmpeg.

    Raises:
        LookupError: The container has no video stream that can be decoded; says why.

    Attributes:
        broken: Whether the last packet was damaged, so that a stream that now ends has broken off.
        end_s: When the last picture ceases to be shown.
    """

    def __init__(self, container: av.container.InputContainer, *, low_delay: bool, threads: int | None) -> None:
        self.broken = False
        self.end_s = 0.0
        self._container = container
        self._stream = _video_stream(container)
        # Decoding whole frames in parallel is fastest, but holds back one frame a thread.
        self._stream.thread_type = ThreadType.SLICE if low_delay else ThreadType.AUTO
        self._stream.thread_count = threads or 0
        self._start = self._stream.start_time or 0

    @property
    def fps(self) -> float | None:
        """Frames per second as the container states or implies them."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return float(rate) if rate else None

    @property
    def duration_s(self) -> float | None:
        """When the video ends, as the container states it; None where it does not."""
        stream = self._stream
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        if "DURATION" in stream.metadata:  # Matroska
            return _parse_duration_s(stream.metadata["DURATION"])
        if self._container.duration and len(self._container.streams) == 1:
            return self._container.duration / _MICROSECONDS
        return None  # the container's own duration may be that of its sound

    @property
    def frame_count(self) -> int | None:
        """Number of frames as the container states or implies it."""
        if self._stream.frames:
            return self._stream.frames
        if self.duration_s is None or self.fps is None:
            return None
        return round(self.duration_s * self.fps)

    def shots(self) -> Iterator[Shot]:
        """The pictures in the order of showing.

        Raises:
            av.FFmpegError: Reading (not decoding) failed: a timeout, a lost connection, a damaged container.
        """
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.broken = True
                continue
            if packet.size:
                self.broken = packet.is_corrupt
            for frame in frames:
                if isinstance(frame, VideoFrame):
                    yield self._shot(frame)

    def _shot(self, frame: VideoFrame) -> Shot:
        # One thread changes the format as fast as several that must be started for it.
        image_bgr = np.asarray(frame.reformat(format="bgr24", threads=1).to_ndarray(), dtype=np.uint8)
        if turns := round(frame.rotation / _QUARTER_TURN) % 4:
            image_bgr = np.rot90(image_bgr, turns)
        return Shot(np.ascontiguousarray(image_bgr), self._time_s(frame))

    def _time_s(self, frame: VideoFrame) -> float | None:
        if frame.pts is None or frame.time_base is None:
            return None
        time_s = float((frame.pts - self._start) * frame.time_base)
        self.end_s = max(self.end_s, time_s + float((frame.duration or 0) * frame.time_base))
        return time_s


def _video_stream(container: av.container.InputContainer) -> VideoStream:
    if container.format.name in _TEXT_FORMATS:
        raise LookupError("it is text")
    # The cover picture of an audio file poses as a video stream.
    real = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not real:
        raise LookupError("it holds no pictures, only " + (", ".join(_other_kinds(container)) or "nothing"))
    if getattr(real[0], "codec_context", None) is None:
        raise LookupError("this build of FFmpeg has no decoder for its codec")
    return real[0]


def _other_kinds(container: av.container.InputContainer) -> list[str]:
    return sorted({stream.type for stream in container.streams if stream.type != "video"})


def _parse_duration_s(text: str) -> float | None:
    """Seconds of Matroska's ``HH:MM:SS.fraction``; None for anything else."""
    try:
        hours, minutes, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        return None
    return (hours * 60 + minutes) * 60 + seconds


class VideoSource(ClosesOnExit):
    """Every frame of a video file, turned as its rotation mark says.

    Args:
        path: Anything that FFmpeg can read: MP4, Matroska, AVI, MPEG-TS, ...
        threads: CPU threads that decode; None leaves their number to FFmpeg.
        turning: How frames are turned beside that.

    Raises:
        PathMissing: There is no such file.
        VideoUnreadable: It is not a video, holds only sound, or was cut off before its index.
    """

    live = False

    def __init__(self, path: str | Path, threads: int | None = None, turning: Turning | None = None) -> None:
        self.name = str(path)
        self._container = _open(Path(path))
        try:
            self._decoder = VideoDecoder(self._container, low_delay=False, threads=threads)
        except LookupError as error:
            self._container.close()
            raise VideoUnreadable(f"The file {path} is not a video", why=error.args[0]) from error
        self._duration_s = self._decoder.duration_s  # not to be asked of a closed container
        self.fps = self._decoder.fps
        self.frame_count = self._decoder.frame_count
        self._shots = self._decoder.shots()
        self._turning = turning or Turning()
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
            reason = ""
            try:
                shot = next(self._shots, None)
            except av.FFmpegError as error:
                shot, reason = None, str(error.strerror)
            if shot is None:
                self.close()
                self._check_end(reason)
                return
            time_s = self._index / self.fps if shot.time_s is None and self.fps else shot.time_s
            frame = Frame(shot.image_bgr, self.name, self._index, time_s)
            self._index += 1
            yield self._turning.apply(frame)

    def close(self) -> None:
        """Close the file."""
        self._closed = True
        self._container.close()

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
    """A reason that a person understands, where the file's first bytes give one."""
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


class StreamConnector:
    """Opens one URL.

    Args:
        url: With its credentials, if it needs any.
        options: Timeouts and threads.
        container: FFmpeg's name of what it sends, where that is known; otherwise FFmpeg looks at it.
    """

    def __init__(self, url: str, options: CaptureOptions, container: str | None = None) -> None:
        self.name = mask_credentials(url)
        self.description = f"stream {self.name}"
        self._format = container
        self._url = url
        self._options = options

    def connect(self) -> "StreamConnection":
        """Open it and decode a first picture.

        Raises:
            StreamUnavailable: It does not open, or sends no picture.
        """
        options = self._options
        try:
            container = av.open(
                self._url,
                format=self._format,
                options=_RTSP_OPTIONS if url_scheme(self._url).startswith("rtsp") else {},
                metadata_errors="replace",  # titles are not always UTF-8
                timeout=(options.open_timeout_s, options.read_timeout_s),
            )
        except av.FFmpegError as error:
            # FFmpeg's error names the address with its password, so it is not kept as the cause.
            raise self.unavailable(_reason(error, options.open_timeout_s)) from None
        try:
            return StreamConnection(container, self, options.threads)
        except (LookupError, StreamLost) as error:
            container.close()
            why = error.why if isinstance(error, StreamLost) else error.args[0]
            raise self.unavailable(why) from error

    def read_failure(self, error: av.FFmpegError) -> StreamLost:
        """The error for a connection on which reading failed."""
        return self.lost(_reason(error, self._options.read_timeout_s))

    def unavailable(self, why: str) -> StreamUnavailable:
        """The error for a stream that never opened."""
        return StreamUnavailable(
            f"The stream {self.name} cannot be opened",
            why=why,
            fix="Check the address, the user name and password in it, and that the camera is on",
        )

    def lost(self, why: str) -> StreamLost:
        """The error for a stream that died."""
        return StreamLost(f"The stream {self.name} was lost", why=why, fix="Check the camera and the network")


class StreamConnection:
    """An open stream whose first picture has been decoded.

    Raises:
        LookupError: It carries no video that can be decoded.
        StreamLost: It ends before the first picture.
    """

    def __init__(self, container: av.container.InputContainer, connector: StreamConnector, threads: int | None) -> None:
        self._container = container
        self._connector = connector
        is_finite = container.duration is not None or container.size > 0
        self.every_frame = is_finite and url_scheme(container.name) in _FILE_SCHEMES
        self._is_finite = is_finite
        self._decoder = VideoDecoder(container, low_delay=not self.every_frame, threads=threads)
        self._shots = self._decoder.shots()
        self._first = self._read()
        if self._first is None:
            raise connector.lost("it sends no picture")

    def read(self) -> Shot | None:
        """The next picture; None when a file that was sent has come to its end.

        Raises:
            StreamLost: The connection is dead, or silent for too long.
        """
        first, self._first = self._first, None
        return first or self._read()

    def close(self) -> None:
        """Hang up."""
        self._container.close()

    def _read(self) -> Shot | None:
        try:
            shot = next(self._shots, None)
        except av.FFmpegError as error:
            raise self._connector.read_failure(error) from None  # as above: it may name the address
        if shot is None and (self._decoder.broken or not self._is_finite):
            raise self._connector.lost("the other side stopped sending")
        return shot


def _reason(error: av.FFmpegError, timeout_s: float) -> str:
    if isinstance(error, av.error.ExitError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return "the user name or password is missing or wrong"
    if isinstance(error, av.error.InvalidDataError):
        return "what it sends is not a video"
    if isinstance(error, av.error.ConnectionRefusedError):
        return "nobody answers at this address"
    return "the connection broke off" if error.errno == errno.EIO else str(error.strerror)
