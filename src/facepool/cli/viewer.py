"""Annotated frames to a window, a recording, both or neither."""

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from facepool.capture import FrameSource, VideoWriter, write_image
from facepool.overlay import Label, Painter, mirror
from facepool.types import Frame, Image
from facepool.window import Event, Window

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
_FPS_UNKNOWN = 25.0
_POLL_S = 0.03


class Recording(Protocol):
    """Where annotated frames are kept."""

    def write(self, image_bgr: Image, frame: Frame) -> None:
        """Keep one annotated frame."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class VideoRecording:
    """One video, begun with the first frame, whose size it takes.

    Args:
        path: The video file.
        fps: Rate for frames without a time.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        self._fps = fps
        self._writer: VideoWriter | None = None

    def write(self, image_bgr: Image, frame: Frame) -> None:
        """Add one annotated frame."""
        if self._writer is None:
            self._writer = VideoWriter(self._path, self._fps, (image_bgr.shape[1], image_bgr.shape[0]))
        self._writer.write(image_bgr, frame.time_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, error, trace)


class PictureRecording:
    """One picture a frame, in a folder or as a single file.

    Args:
        path: A picture file, or a folder, which is made if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._file = path if path.suffix.lower() in PICTURE_SUFFIXES else None
        self._folder = path.parent if self._file else path

    def write(self, image_bgr: Image, frame: Frame) -> None:
        """Keep one annotated frame as a picture."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_image(self._file or self._folder / self._name(frame), image_bgr)

    def _name(self, frame: Frame) -> str:
        stem = Path(frame.source).stem or "frame"
        # A picture keeps its name; the frames of a video, and pictures of one name, are told apart by number.
        if frame.time_s is None and not (self._folder / f"{stem}.jpg").exists():
            return f"{stem}.jpg"
        return f"{stem}-{frame.index:06d}.jpg"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held open between frames."""


def open_recording(path: Path, fps: float | None) -> Recording:
    """A recording of the kind that the name asks for: a video, a picture, or a folder of pictures."""
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return VideoRecording(path, fps or _FPS_UNKNOWN)
    return PictureRecording(path)


class Viewer:
    """Paints frames and passes them on.

    Args:
        painter: Draws boxes and text.
        window: Where they are shown; None for nowhere.
        recording: Where they are kept; None for nowhere.
        paced: Show the frames of a file at the speed that they were taken at.
    """

    def __init__(
        self, painter: Painter, window: Window | None = None, recording: Recording | None = None, *, paced: bool = False
    ) -> None:
        self._painter = painter
        self._window = window
        self._recording = recording
        self._paced = paced and window is not None
        self._started_s: float | None = None

    @property
    def needed(self) -> bool:
        """Whether anybody looks at the frames."""
        return self._window is not None or self._recording is not None

    def show(self, frame: Frame, labels: Sequence[Label], hud: Sequence[str] = ()) -> bool:
        """Show one frame.

        Returns:
            False when the user has asked to end: ``Q``, Esc, or the window's close button.
        """
        if not self.needed:
            return True
        if self._recording is not None:
            self._recording.write(self._painter.draw(frame.image_bgr, labels, hud), frame)
        if self._window is None:
            return True
        self._keep_pace(frame)
        image_bgr = frame.image_bgr
        if self._window.mirrored:
            image_bgr, labels = mirror(image_bgr, labels)
        self._window.show(self._painter.draw(image_bgr, labels, hud))
        return Event.QUIT not in self._window.poll()

    def wait_for_next(self) -> bool:
        """Leave a picture on the screen until the user asks for the next (True) or to end (False)."""
        while self._window is not None:
            events = self._window.poll()
            if Event.QUIT in events or Event.NEXT in events:
                return Event.QUIT not in events
            time.sleep(_POLL_S)
        return True

    def _keep_pace(self, frame: Frame) -> None:
        if not self._paced or frame.time_s is None:
            return
        now_s = time.monotonic()
        if self._started_s is None:
            self._started_s = now_s - frame.time_s
        time.sleep(max(0.0, self._started_s + frame.time_s - now_s))


def is_still(source: FrameSource) -> bool:
    """Whether a source is pictures rather than a video, camera or stream."""
    return not source.live and source.fps is None
