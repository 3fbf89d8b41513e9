"""Annotated frames to a window, a recording, both or neither."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Generic, Self, TypeVar

from facepool.capture import FrameSource, LiveSource, LiveStatus, Pace, PictureSource
from facepool.cli.ui.recording import Recording
from facepool.overlay import Canvas, Painter
from facepool.types import Frame, Image
from facepool.window import Window, WindowEvent

_POLL_S = 0.03
_FAST_S = 0.02
"""Work that takes no longer than this leaves time to draw before the next picture of a camera."""
_SILENT_S = 1.0
_KEYS_S = 5.0
_MOVING_KEYS = "Q quits · M mirrors · F full screen"
_STILL_KEYS = "Space shows the next · Q quits"
_LONGEST_SIDE = 1280
"""Of what is drawn on, in pixels: beyond it drawing costs more than anybody sees."""

Result = TypeVar("Result")
Draw = Callable[[Canvas], Image]


class Viewer:
    """Hands out the frames of a source, and shows and keeps what became of them.

    Ctrl-C in the window raises KeyboardInterrupt, as in the terminal.

    Args:
        painter: Draws what the viewer itself has to say.
        window: Where frames are shown; None for nowhere.
        recording: Where they are kept; None for nowhere.
    """

    def __init__(self, painter: Painter, window: Window | None = None, recording: Recording | None = None) -> None:
        self._painter = painter
        self._window = window
        self._recording = recording
        self._pace: Pace | None = None
        self._newest: tuple[Image, Draw] | None = None
        self._notice = ""
        self._ended = False
        self._next_asked = False
        self._is_still = False
        self._opened_s: float | None = None

    @property
    def ended(self) -> bool:
        """Whether the user has asked to end: ``Q``, Esc, or the window's close button."""
        return self._ended

    def next_asked(self) -> bool:
        """Whether the user has asked to go on since the last call: space, return or the right arrow."""
        asked, self._next_asked = self._next_asked, False
        return asked

    def pictures(self, source: FrameSource) -> Iterator[Frame]:
        """The pictures of a source, until it or the user ends.

        Raises:
            InputError: The source broke.
        """
        self._is_still = True
        for frame in source:
            yield frame
            if self._ended:
                return

    def show(self, frame: Frame, draw: Draw) -> None:
        """Show and keep one frame; the frames of a file at the speed that they were taken at."""
        self._keep(frame, draw)
        if self._window is None:
            return
        self._keep_pace(frame)
        if self._ended:
            return
        self._paint(self._window, frame.image_bgr, draw)
        self._poll()

    def wait_for_next(self) -> None:
        """Leave a picture on the screen until the user asks for the next or to end."""
        self._next_asked = False
        while self._window is not None and not self._ended and not self.next_asked():
            if WindowEvent.MIRROR in self._poll() and self._newest is not None:
                self._paint(self._window, *self._newest)
            time.sleep(_POLL_S)

    def play(
        self, source: FrameSource, work: Callable[[Frame], Result], draw: Callable[[Canvas, Result], Image]
    ) -> Generator[tuple[Frame, Result]]:
        """Work on the frames of something that moves, and show what became of them, until it or the user ends.

        A camera in a window is shown as fast as it gives pictures: work goes on beside that, on the newest frame, and
        what it says is drawn on later frames too. Otherwise every frame is worked on and shown in turn.
        While there is no frame, the window stays awake and says so.

        Args:
            source: No pictures; see ``pictures``.
            work: May be called in another thread, for one frame at a time.
            draw: Called in this thread.

        Yields:
            Frames with what became of them. Close the iterator if you leave it early.

        Raises:
            InputError: The source broke.
        """
        self._pace = None if source.live else Pace()
        if isinstance(source, LiveSource) and source.live and self._window is not None:
            yield from self._beside(source, self._window, work, draw)
            return
        for frame in self._awake(source) if isinstance(source, LiveSource) else source:
            if frame is None:
                continue
            result = work(frame)
            self.show(frame, partial(_drawn, draw, result))
            yield frame, result
            if self._ended:
                return

    def linger(self, seconds: float) -> None:
        """Leave the last frame on the screen for a moment, or until the user ends or goes on."""
        end_s = time.monotonic() + seconds
        while self._window is not None and self._newest is not None and time.monotonic() < end_s:
            self._paint(self._window, *self._newest)
            self._poll()
            if self._ended or self.next_asked():
                return
            time.sleep(_POLL_S)

    def _beside(
        self,
        source: LiveSource,
        window: Window,
        work: Callable[[Frame], Result],
        draw: Callable[[Canvas, Result], Image],
    ) -> Iterator[tuple[Frame, Result]]:
        picture: Draw = self._plain
        with Background(work) as background:
            for frame in self._awake(source):
                if frame is not None:
                    background.offer(frame)
                # Fast work is waited for: what is drawn then is of this very frame, and nothing fights for the cores.
                done = background.take(_FAST_S)
                if done is not None:
                    picture = self._kept(*done, draw)
                if frame is not None:
                    self._paint(window, frame.image_bgr, picture)
                    self._poll()
                if done is not None:
                    yield done
            if (done := background.take(None)) is not None:
                self._kept(*done, draw)
                yield done

    def _awake(self, source: LiveSource) -> Iterator[Frame | None]:
        """The frames of a live source, None while there is none, until it or the user ends."""
        frame_at_s = time.monotonic()
        while not (source.ended or self._ended):
            frame = source.poll(_POLL_S)
            if frame is None:
                self._idle(_notice(source.status, time.monotonic() - frame_at_s))
            yield frame
            if frame is not None:
                frame_at_s = time.monotonic()

    def _idle(self, notice: str) -> None:
        """Keep the window awake; dim the picture that stands still, lest it be taken for what is to be seen now."""
        if self._window is None:
            return
        if notice != self._notice and self._newest is not None:
            newest = self._newest
            self._paint(self._window, newest[0] // 2, partial(self._say, notice))
            self._newest, self._notice = newest, notice
        self._poll()

    def _kept(self, frame: Frame, result: Result, draw: Callable[[Canvas, Result], Image]) -> Draw:
        """Keep what became of a frame, and how to draw it on later ones."""
        picture = partial(_drawn, draw, result)
        self._keep(frame, picture)
        return picture

    def _keep(self, frame: Frame, draw: Draw) -> None:
        if self._recording is not None:
            self._recording.write(draw(Canvas(frame.image_bgr)), frame)

    def _paint(self, window: Window, image_bgr: Image, draw: Draw) -> None:
        self._newest, self._notice = (image_bgr, draw), ""
        size_wh = _capped(window.fit_wh((image_bgr.shape[1], image_bgr.shape[0])))
        window.show(draw(Canvas.of(image_bgr, size_wh, mirrored=window.mirrored, keys=self._keys())))

    def _say(self, line: str, canvas: Canvas) -> Image:
        return canvas.paint(self._painter, (), [line])

    def _plain(self, canvas: Canvas) -> Image:
        return canvas.paint(self._painter, ())

    def _keys(self) -> str:
        """What the keys do: in the beginning, and as long as a picture waits for one."""
        if self._is_still:
            return _STILL_KEYS
        self._opened_s = self._opened_s or time.monotonic()
        return _MOVING_KEYS if time.monotonic() - self._opened_s < _KEYS_S else ""

    def _keep_pace(self, frame: Frame) -> None:
        if self._pace is None or frame.time_s is None:
            return
        due_s = self._pace.due(frame.time_s, time.monotonic())
        while not self._ended and (left_s := due_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _POLL_S))
            self._poll()

    def _poll(self) -> Sequence[WindowEvent]:
        events = self._window.poll() if self._window is not None else ()
        if WindowEvent.CANCEL in events:
            raise KeyboardInterrupt
        self._ended = self._ended or WindowEvent.QUIT in events
        self._next_asked = self._next_asked or WindowEvent.NEXT in events
        return events


class Background(Generic[Result]):
    """Works on the newest frame beside the loop that keeps the window alive.

    One thread with room for one frame: what comes while it works is not worked on.

    Args:
        work: Called in that thread, for one frame at a time.
    """

    def __init__(self, work: Callable[[Frame], Result]) -> None:
        self._work = work
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="facepool-work")
        self._running: tuple[Frame, Future[Result]] | None = None

    def offer(self, frame: Frame) -> bool:
        """Begin with a frame; False while another one is worked on, or waits to be taken."""
        if self._running is not None:
            return False
        self._running = frame, self._thread.submit(self._work, frame)
        return True

    def take(self, timeout_s: float | None = 0.0) -> tuple[Frame, Result] | None:
        """What became of the frame that was begun with, once; None for nothing new. What the work raised is raised.

        Args:
            timeout_s: How long to wait for it; None: until it is done.
        """
        if self._running is None or not wait([self._running[1]], timeout_s).done:
            return None
        (frame, future), self._running = self._running, None
        return frame, future.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        """Waits for the frame that is worked on."""
        self._thread.shutdown(cancel_futures=True)


def is_still(source: FrameSource) -> bool:
    """Whether a source is pictures rather than a video, camera or stream."""
    return isinstance(source, PictureSource)


def _drawn(draw: Callable[[Canvas, Result], Image], result: Result, canvas: Canvas) -> Image:
    return draw(canvas, result)


def _capped(size_wh: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, _LONGEST_SIDE / max(size_wh))
    return max(1, round(size_wh[0] * scale)), max(1, round(size_wh[1] * scale))


def _notice(status: LiveStatus | None, silent_s: float) -> str:
    """What to say while a live source gives no frame; empty while that is nothing unusual."""
    if status is not None and status.state == "reconnecting":
        return f"Connection lost: {status.reason}. Trying again, attempt {status.attempt}"
    return f"No picture for {silent_s:.0f} s" if silent_s >= _SILENT_S else ""
