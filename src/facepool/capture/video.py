"""What FFmpeg reads: video files, and network streams by RTSP, HTTP, RTMP and other protocols."""

import errno
import math
import socket
import struct
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import av
import av.container
import numpy as np
from av.codec.context import ThreadType
from av.format import Flags
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from facepool.capture.source import (
    CaptureOptions,
    ClosesOnExit,
    Rhythm,
    Shot,
    login_hint,
    mask_credentials,
    url_scheme,
)
from facepool.capture.timeline import LONGEST_PAUSE_OF_A_BROADCAST_S, LONGEST_PAUSE_S, Timeline
from facepool.capture.turning import Turning
from facepool.errors import (
    FacepoolError,
    PathMissing,
    StreamLost,
    StreamUnavailable,
    VideoUnreadable,
    out_of_memory,
    system_limit,
)
from facepool.types import Frame, Image

_MICROSECONDS = 1e6
_NOMINAL_FPS = 25.0  # only for films that state neither times nor a rate
_DISPLAY_MATRIX = struct.Struct("=9i")
_ODDEST_PIXEL = 10  # times as wide as high, or as high as wide; what states more is damaged
# FFmpeg plays these as films of a text terminal, and takes any .txt or .nfo file for one.
_TEXT_FORMATS = frozenset({"tty", "bin", "xbin", "adf", "idf"})
_TOLERATED_GAP_S = 1.0
_AT_ONCE = 2  # pictures that a slow stream sends to whoever connects, before it goes on in its own time
_LONGEST_PATIENCE_S = 60.0
_RTSP_OPTIONS = {"rtsp_transport": "tcp"}  # loses no packets, for a little more delay
_FORMATS_WITHOUT_TIMES = frozenset({"avi"})  # their frames are only counted
_REFUSALS = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)
_FILE_SCHEMES = frozenset({"http", "https"})
_PICTURE_FORMATS = frozenset({"image2", "gif", "apng", "ico"})
_HEIF_BRANDS = frozenset({"heic", "heix", "mif1", "msf1", "avif", "avis"})


class VideoDecoder:
    """Decodes the pictures of a container's first real video stream, past damaged packets, as players show them.

    Turned and mirrored as the display matrix says, with square pixels, and at times that never fall.

    Args:
        container: Opened for reading; stays the caller's.
        low_delay: Give each picture as soon as it is there, rather than decode several at once.
        threads: CPU threads that decode; None leaves their number to FFmpeg.

    Raises:
        LookupError: The container has no video stream that can be decoded; says why.

    Attributes:
        broken: Whether the last packet was damaged, so that a stream that now ends has broken off.
        end_s: When the last picture ceases to be shown, as the container states it.
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
        self._pixel_aspect = _PixelAspect(self._stream)
        self._stamps = _Timestamps(prefer_decoding=container.format.name in _FORMATS_WITHOUT_TIMES)
        times_may_jump = container.format.flags & cast("int", Flags.ts_discont.value)
        self._timeline = Timeline(
            1 / (self.fps or _NOMINAL_FPS), LONGEST_PAUSE_OF_A_BROADCAST_S if times_may_jump else LONGEST_PAUSE_S
        )

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
            MemoryError: There is not enough for a picture.
        """
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.error.MemoryError:
                raise
            except av.FFmpegError:
                self.broken = True
                continue
            if packet.size:
                self.broken = packet.is_corrupt
            for frame in frames:
                if isinstance(frame, VideoFrame):
                    yield self._shot(frame)

    def _packets(self) -> "Iterator[Packet[VideoStream]]":
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except IndexError:
                # Where tracks appeared in the middle, as in joined transport streams, PyAV stumbles over them at the
                # end, when the rest of this one has been handed out.
                return
            yield packet

    def _shot(self, frame: VideoFrame) -> Shot:
        width, height = _square_wh(frame.width, frame.height, self._pixel_aspect.now())
        # One thread changes the format as fast as several that must be started for it.
        pixels = frame.reformat(width=width, height=height, format="bgr24", threads=1).to_ndarray()
        shown = _oriented(np.asarray(pixels, dtype=np.uint8), _display_matrix(frame))
        return Shot(np.ascontiguousarray(shown), self._timeline.place(self._stated_s(frame)))

    def _stated_s(self, frame: VideoFrame) -> float | None:
        stamp = self._stamps.of(frame)
        if stamp is None or frame.time_base is None:
            return None
        stated_s = float((stamp - self._start) * frame.time_base)
        self.end_s = max(self.end_s, stated_s + float((frame.duration or 0) * frame.time_base))
        return stated_s


class _Timestamps:
    """Chooses between the two times that frames come with.

    That of showing is meant to count. Where a container states none, FFmpeg makes one up that may not fit the order of
    showing. Whichever falls less often is right.

    Args:
        prefer_decoding: Take the time of decoding as long as neither falls.
    """

    def __init__(self, *, prefer_decoding: bool) -> None:
        self._last = [-math.inf, -math.inf]
        self._falls = [int(prefer_decoding), 0]

    def of(self, frame: VideoFrame) -> int | None:
        """The frame's time in its ``time_base``; None where it has none."""
        stamps = (frame.pts, frame.dts)
        for which, stamp in enumerate(stamps):
            if stamp is not None:
                self._falls[which] += stamp <= self._last[which]
                self._last[which] = stamp
        shown, decoded = stamps
        is_decoding_known = self._last[1] > -math.inf  # though perhaps not of the last frames
        return decoded if shown is None or (is_decoding_known and self._falls[0] > self._falls[1]) else shown


class _PixelAspect:
    """How much wider than high a stream's pixels are now.

    A container's statement counts more than the codec's, as in players. One that is the codec's own may change in the
    middle, as when a broadcaster goes from 4:3 to 16:9.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._codec = stream.codec_context
        stated = stream.sample_aspect_ratio
        self._of_container = stated if stated != self._codec.sample_aspect_ratio else None

    def now(self) -> Fraction | None:
        """Width by height; None where nothing is stated."""
        return self._of_container or self._codec.sample_aspect_ratio


def _square_wh(width: int, height: int, pixel_aspect: Fraction | None) -> tuple[int, int]:
    """The size with square pixels. The shorter side grows, so that nothing of the picture is lost."""
    if not pixel_aspect or not 1 / _ODDEST_PIXEL <= pixel_aspect <= _ODDEST_PIXEL:
        return width, height
    if pixel_aspect > 1:
        return max(1, round(width * pixel_aspect)), height
    return width, max(1, round(height / pixel_aspect))


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int] | None:
    """The part a, b, c, d of a frame's display matrix that turns and mirrors; None where it has none."""
    for data in cast("SideDataContainer", frame.side_data):  # its annotation is wrong
        if data.type is SideDataType.DISPLAYMATRIX:
            a, b, _, c, d, *_ = _DISPLAY_MATRIX.unpack(bytes(data))
            return a, b, c, d
    return None


def _oriented(image: Image, matrix: tuple[int, int, int, int] | None) -> Image:
    """The picture as a display matrix wants it shown, turned to the nearest quarter; not contiguous.

    A pixel at (x, y) is shown at (a x + c y, b x + d y), both with y downwards.
    """
    if matrix is None:
        return image
    a, b, c, d = matrix
    if abs(a) + abs(d) < abs(b) + abs(c):  # rows become columns
        image, a, d = image.transpose(1, 0, 2), c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _video_stream(container: av.container.InputContainer) -> VideoStream:
    if container.format.name in _TEXT_FORMATS:
        raise LookupError("it is text")
    # The cover picture of an audio file poses as a video stream.
    real = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not real:
        raise LookupError(
            f"it holds no pictures, but only {', '.join(_other_kinds(container)) or 'an empty list of tracks'}"
        )
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
    """Every frame of a video file as players show it: turned, mirrored and with square pixels where it says so.

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

        It never falls: where the file's times fall or jump, as those of joined parts do, the usual interval counts.

        Raises:
            VideoUnreadable: The file holds no frame, or breaks off.
            OutOfMemory: There is no room for a picture.
        """
        while not self._closed:
            reason = ""
            try:
                shot = next(self._shots, None)
            except MemoryError as error:  # FFmpeg's is one, too
                self.close()
                raise out_of_memory(f"The video {self.name} cannot be read beyond {self._index} frames") from error
            except av.FFmpegError as error:
                shot, reason = None, str(error.strerror)
            if shot is None:
                self.close()
                self._check_end(reason)
                return
            frame = Frame(shot.image_bgr, self.name, self._index, shot.time_s)
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
    except MemoryError as error:
        raise out_of_memory(f"The video {path} cannot be opened") from error
    except (av.FFmpegError, OSError) as error:
        raise _why_unopened(path, error) from error


def _why_unopened(path: Path, error: av.FFmpegError | OSError) -> FacepoolError:
    """What FFmpeg's error means to a person, by the file's first bytes where they say more."""
    what = f"The video {path} cannot be opened"
    if (limit := system_limit(what, error)) is not None:
        return limit
    if isinstance(error, FileNotFoundError):
        return PathMissing(f"There is no video {path}", fix="Check the spelling of the path")
    if isinstance(error, PermissionError):
        return VideoUnreadable(what, why="you may not read it", fix="Change its permissions")
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as unreadable:
        return VideoUnreadable(what, why=unreadable.strerror or "", fix="Check the path and the disk")
    if not head:
        why = "it is empty (0 bytes)"
    elif head[4:] == b"ftyp":
        why = "it was cut off before its index (the moov box) was written"
    else:
        why = "it is not a video of a known kind, or was cut off near its start"
    return VideoUnreadable(what, why=why, fix="Copy or record it again")


class StreamConnector:
    """Opens one URL.

    Args:
        url: With its credentials, if it needs any.
        options: Timeouts and threads.
        container: FFmpeg's name of what it sends, where that is known; otherwise FFmpeg looks at it.

    Attributes:
        serves_no_video: Whether it answered the last time with something that FFmpeg takes for no video.
        patience_s: How long it may stay silent now: longer than the options say where its pictures come that seldom.
    """

    def __init__(self, url: str, options: CaptureOptions, container: str | None = None) -> None:
        self.patience_s = options.read_timeout_s
        self.name = mask_credentials(url)
        self.description = f"stream {self.name}"
        self.serves_no_video = False
        self._container = container
        self._url = url
        self._options = options

    def connect(self) -> "StreamConnection":
        """Open it and decode a first picture.

        Raises:
            StreamUnavailable: It does not open, or sends no picture.
        """
        options = self._options
        scheme = url_scheme(self._url)
        self.serves_no_video = False
        try:
            container = av.open(
                scheme + self._url[len(scheme) :],  # FFmpeg knows no RTSP:// in capitals
                format=self._container,
                options=_RTSP_OPTIONS if scheme.startswith("rtsp") else {},
                metadata_errors="replace",  # titles are not always UTF-8
                timeout=(options.open_timeout_s, self.patience_s),
            )
        # FFmpeg's error names the address with its password, so it is not kept as the cause.
        except MemoryError:
            raise out_of_memory(f"The stream {self.name} cannot be opened") from None
        except av.FFmpegError as error:
            self.serves_no_video = isinstance(error, av.error.InvalidDataError)
            raise self._why_closed(error) from None
        if self._container is None and _is_picture(container):
            container.close()
            self.serves_no_video = True
            raise self.unavailable("it serves a picture, not a video")
        try:
            return StreamConnection(container, self, options.threads)
        except (LookupError, StreamLost) as error:
            container.close()
            self.serves_no_video = isinstance(error, LookupError)
            why = error.why if isinstance(error, StreamLost) else error.args[0]
            raise self.unavailable(why) from error

    def read_failure(self, error: av.FFmpegError, pictures: int, rhythm: Rhythm) -> StreamLost:
        """The error for a connection on which reading failed.

        Args:
            error: How.
            pictures: How many it had given.
            rhythm: When they came.
        """
        lost = self.lost(_reason(error, self.patience_s))
        if isinstance(error, av.error.ExitError) and pictures:
            usual_s = rhythm.silent_after(self._options.read_timeout_s)
            longer_s = 2 * self.patience_s if pictures <= _AT_ONCE else usual_s
            self.patience_s = min(longer_s, max(_LONGEST_PATIENCE_S, self._options.read_timeout_s))
        return lost

    def unavailable(self, why: str, *, refused: bool = False) -> StreamUnavailable:
        """The error for a stream that never opened.

        Args:
            why: The reason, without a password.
            refused: Whether it is the user name or password.
        """
        fix = "Check the address, the user name and password in it, and that the camera is on"
        if hint := login_hint(self._url, refused=refused):
            # Where there is room for a reason only, as in a server's list of cameras, it says what to do.
            why, fix = f"{why}; @ / # ? % in a user name or password have to be percent-encoded", hint
        return StreamUnavailable(f"The stream {self.name} cannot be opened", why=why, fix=fix)

    def lost(self, why: str) -> StreamLost:
        """The error for a stream that died."""
        return StreamLost(f"The stream {self.name} was lost", why=why, fix="Check the camera and the network")

    def _why_closed(self, error: av.FFmpegError) -> FacepoolError:
        limit = system_limit(f"The stream {self.name} cannot be opened", error)
        if limit is not None:
            return limit
        why = _reason(error, self._options.open_timeout_s)
        if error.errno == errno.EIO and not _is_host_known(self._url):
            why = "no host of that name is known here"
        return self.unavailable(why, refused=isinstance(error, _REFUSALS))


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
        self._pictures = 0
        self._rhythm = Rhythm()
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
        except MemoryError as error:
            raise out_of_memory(f"The stream {self._connector.name} cannot be read") from error
        except av.FFmpegError as error:
            # As above: it may name the address.
            raise self._connector.read_failure(error, self._pictures, self._rhythm) from None
        if shot is None and (self._decoder.broken or not self._is_finite):
            raise self._connector.lost("the other side stopped sending")
        self._pictures += 1
        self._rhythm.look(time.monotonic())
        return shot


def _is_picture(container: av.container.InputContainer) -> bool:
    """Whether it is what one picture looks like to FFmpeg, which is better read by what reads pictures."""
    brand = container.metadata.get("major_brand", "")
    return container.format.name in _PICTURE_FORMATS or container.format.name.endswith("_pipe") or brand in _HEIF_BRANDS


def _reason(error: av.FFmpegError, timeout_s: float) -> str:
    if isinstance(error, av.error.ExitError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, _REFUSALS):
        return "the user name or password is missing or wrong"
    if isinstance(error, av.error.InvalidDataError):
        return "what it sends is not a video"
    if isinstance(error, av.error.ConnectionRefusedError):
        return "nobody answers at this address"
    if isinstance(error, av.error.ProtocolNotFoundError):
        return "this build of FFmpeg cannot open addresses of this kind"
    return "the connection broke off" if error.errno == errno.EIO else str(error.strerror)


def _is_host_known(url: str) -> bool:
    """Whether the address has a host that can be looked up; FFmpeg calls that and much else an error of input."""
    try:
        host = urlsplit(url).hostname
        return host is None or bool(socket.getaddrinfo(host, None))
    except (OSError, ValueError):  # a name that cannot be one at all is a ValueError
        return False
