"""From an opened container to upright BGR pictures: what video files and network streams share."""

from collections.abc import Iterator

import av
import av.container
import numpy as np
from av.codec.context import ThreadType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from facepool.capture.source import Shot

_MICROSECONDS = 1e6
_QUARTER_TURN = 90
# FFmpeg plays these as films of a text terminal, and takes any .txt or .nfo file for one.
_TEXT_FORMATS = frozenset({"tty", "bin", "xbin", "adf", "idf"})


class Decoder:
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
