"""Annotated frames to a window, a recording, both or neither."""

import time
from collections.abc import Iterator, Sequence

from facepool.capture import FrameSource, LiveSource, LiveStatus, PictureSource
from facepool.cli.recording import Recording
from facepool.overlay import Label, Painter, mirror
from facepool.types import Frame, Image
from facepool.window import Event, Window

_POLL_S = 0.03
_SILENT_S = 1.0
_KEYS_S = 5.0
_MOVING_KEYS = "Q quits · M mirrors · F full screen"
_STILL_KEYS = "Space shows the next · Q quits"
_MADE_UP_S = 0.5


class Viewer:
    """Hands out the frames of a source, and shows and keeps what became of them.

    Ctrl-C in the window raises KeyboardInterrupt, as in the terminal.

    Args:
        painter: Draws boxes and text.
        window: Where they are shown; None for nowhere.
        recording: Where they are kept; None for nowhere.
    """

    def __init__(self, painter: Painter, window: Window | None = None, recording: Recording | None = None) -> None:
        self._painter = painter
        self._window = window
        self._recording = recording
        self._pace: Pace | None = None
        self._newest: tuple[Image, Sequence[Label], Sequence[str]] | None = None
        self._notice = ""
        self._ended = False
        self._is_still = False
        self._opened_s: float | None = None

    @property
    def ended(self) -> bool:
        """Whether the user has asked to end: ``Q``, Esc, or the window's close button."""
        return self._ended

    def frames(self, source: FrameSource) -> Iterator[Frame]:
        """The frames of a source, until it or the user ends; while there is none, the window stays awake and says so.

        Raises:
            InputError: The source broke.
        """
        self._pace = None if source.live else Pace()
        self._is_still = is_still(source)
        for frame in self._live_frames(source) if isinstance(source, LiveSource) else source:
            yield frame
            if self._ended:
                return

    def show(self, frame: Frame, labels: Sequence[Label], hud: Sequence[str] = ()) -> None:
        """Show and keep one frame; the frames of a file at the speed that they were taken at.

        Args:
            frame: The frame.
            labels: Boxes and names.
            hud: Lines of status; without any, the window says for a while what its keys do.
        """
        if self._recording is not None:
            self._recording.write(self._painter.draw(frame.image_bgr, labels, hud), frame)
        if self._window is None:
            return
        self._keep_pace(frame)
        if self._ended:
            return
        self._newest, self._notice = (frame.image_bgr, labels, hud or self._keys()), ""
        self._paint(self._window, *self._newest)
        self._poll()

    def wait_for_next(self) -> None:
        """Leave a picture on the screen until the user asks for the next or to end."""
        while self._window is not None and not self._ended and Event.NEXT not in (events := self._poll()):
            if Event.MIRROR in events and self._newest is not None:
                self._paint(self._window, *self._newest)
            time.sleep(_POLL_S)

    def _live_frames(self, source: LiveSource) -> Iterator[Frame]:
        frame_at_s = time.monotonic()
        while not (source.ended or self._ended):
            frame = source.poll(_POLL_S)
            if frame is None:
                self._idle(_notice(source.status, time.monotonic() - frame_at_s))
                continue
            yield frame
            frame_at_s = time.monotonic()

    def _idle(self, notice: str) -> None:
        """Keep the window awake; dim the picture that stands still, lest it be taken for what is to be seen now."""
        if self._window is None:
            return
        if notice != self._notice and self._newest is not None:
            image_bgr, _, _ = self._newest
            self._paint(self._window, image_bgr // 2, (), [notice])
            self._notice = notice
        self._poll()

    def _paint(self, window: Window, image_bgr: Image, labels: Sequence[Label], hud: Sequence[str]) -> None:
        if window.mirrored:
            image_bgr, labels = mirror(image_bgr, labels)
        window.show(self._painter.draw(image_bgr, labels, hud))

    def _keys(self) -> Sequence[str]:
        """What the keys do: in the beginning, and as long as a picture waits for one."""
        if self._is_still:
            return (_STILL_KEYS,)
        self._opened_s = self._opened_s or time.monotonic()
        return (_MOVING_KEYS,) if time.monotonic() - self._opened_s < _KEYS_S else ()

    def _keep_pace(self, frame: Frame) -> None:
        if self._pace is None or frame.time_s is None:
            return
        due_s = self._pace.due(frame.time_s, time.monotonic())
        while not self._ended and (left_s := due_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _POLL_S))
            self._poll()

    def _poll(self) -> Sequence[Event]:
        events = self._window.poll() if self._window is not None else ()
        if Event.CANCEL in events:
            raise KeyboardInterrupt
        self._ended = self._ended or Event.QUIT in events
        return events


class Pace:
    """When to show the frames of a file: at its own speed, or slower where looking at them takes longer."""

    def __init__(self) -> None:
        self._started_s: float | None = None

    def due(self, time_s: float, now_s: float) -> float:
        """The moment, on the clock of ``now_s``, at which to show the frame of ``time_s``."""
        # A small delay is made up for; a long one is not, else the film would race after every halt.
        if self._started_s is None or self._started_s + time_s < now_s - _MADE_UP_S:
            self._started_s = now_s - time_s
        return self._started_s + time_s


def is_still(source: FrameSource) -> bool:
    """Whether a source is pictures rather than a video, camera or stream."""
    return isinstance(source, PictureSource)


def _notice(status: LiveStatus | None, silent_s: float) -> str:
    """What to say while a live source gives no frame; empty while that is nothing unusual."""
    if status is not None and status.state == "reconnecting":
        return f"Connection lost: {status.reason}. Trying again, attempt {status.attempt}"
    return f"No picture for {silent_s:.0f} s" if silent_s >= _SILENT_S else ""
