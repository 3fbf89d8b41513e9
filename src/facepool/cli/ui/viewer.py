"""Annotated frames to a window, a recording, both or neither."""

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TypeVar

from facepool.capture import FrameSource, LiveSource, LiveStatus, Pace, PictureSource
from facepool.cli.ui.recording import Record
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
    """Hands out the frames of one source, and shows and keeps what became of them.

    Ctrl-C in the window raises KeyboardInterrupt, as in the terminal.

    Args:
        painter: Draws what the viewer itself has to say.
        window: Where frames are shown; None for nowhere.
        record: Keeps them; None for no recording.

    Attributes:
        ended: Whether the user has asked to end: ``Q``, Esc, or the window's close button.
    """

    def __init__(self, painter: Painter, window: Window | None = None, record: Record | None = None) -> None:
        self.ended = False
        self._painter = painter
        self._window = window
        self._record = record
        self._pace = Pace()
        self._newest: tuple[Image, Draw] | None = None
        self._notice = ""
        self._next_asked = False
        self._is_still = False
        self._opened_s: float | None = None

    def next_asked(self) -> bool:
        """Whether the user has asked to go on since the last call: space, return or the right arrow."""
        asked, self._next_asked = self._next_asked, False
        return asked

    def pictures(self, source: FrameSource) -> Iterator[Frame]:
        """The pictures of a source, until it or the user ends. In a window each waits until the user goes on.

        Raises:
            InputError: The source broke.
        """
        self._is_still = True
        for frame in source:
            yield frame
            self.wait_for_next()
            if self.ended:
                return

    def play(
        self,
        source: FrameSource,
        work: Callable[[Frame], Result],
        draw: Callable[[Result, Canvas], Image],
        on_silence: Callable[[], None] = lambda: None,
    ) -> Generator[tuple[Frame, Result]]:
        """Work on the frames of something that moves, and show what became of them, until it or the user ends.

        A camera in a window is shown as fast as it gives pictures: work goes on beside that, on the newest frame, and
        what it says is drawn on later frames too. Otherwise every frame is worked on and shown in turn.
        While there is no frame, the window stays awake and says so.

        Args:
            source: No pictures; see ``pictures``.
            work: May be called in another thread, for one frame at a time.
            draw: Called in this thread.
            on_silence: Called in this thread, again and again, while a live source is silent and nothing is worked on.

        Yields:
            Frames with what became of them. Close the iterator if you leave it early.

        Raises:
            InputError: The source broke.
        """
        if isinstance(source, LiveSource) and source.live and self._window is not None:
            yield from self._play_beside(source, self._window, work, draw, on_silence)
            return
        for frame in self._awake(source) if isinstance(source, LiveSource) else source:
            if frame is None:
                if isinstance(source, LiveSource) and source.silent:
                    on_silence()
                continue
            result = work(frame)
            self.show(frame, partial(draw, result))
            yield frame, result
            if self.ended:
                return

    def show(self, frame: Frame, draw: Draw) -> None:
        """Show and keep one frame; the frames of a file at the speed that they were taken at."""
        self._keep(frame, draw)
        if self._window is None:
            return
        self._keep_pace(frame)
        if self.ended:
            return
        self._paint(self._window, frame.image_bgr, draw)
        self._poll()

    def wait_for_next(self, longest_s: float = math.inf) -> None:
        """Leave a picture on the screen until the user asks for the next or to end, or for so long."""
        self._next_asked = False
        end_s = time.monotonic() + longest_s
        while self._window is not None and not self.ended and not self.next_asked() and time.monotonic() < end_s:
            if WindowEvent.MIRROR in self._poll() and self._newest is not None:
                self._paint(self._window, *self._newest)
            time.sleep(_POLL_S)

    def _play_beside(
        self,
        source: LiveSource,
        window: Window,
        work: Callable[[Frame], Result],
        draw: Callable[[Result, Canvas], Image],
        on_silence: Callable[[], None],
    ) -> Iterator[tuple[Frame, Result]]:
        """One thread works on one frame at a time; what comes meanwhile is shown and not worked on."""
        picture: Draw = partial(self._say, ())
        running: tuple[Frame, Future[Result]] | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="facepool-work") as thread:
            for frame in self._awake(source):
                if frame is not None and running is None:
                    running = frame, thread.submit(work, frame)
                done = None
                # Fast work is waited for: what is drawn then is of this very frame, and nothing fights for the cores.
                if running is not None and wait([running[1]], _FAST_S).done:
                    done, running = (running[0], running[1].result()), None
                    picture = partial(draw, done[1])
                    self._keep(done[0], picture)
                if frame is not None:
                    self._paint(window, frame.image_bgr, picture)
                    self._poll()
                if done is not None:
                    yield done
                elif frame is None and running is None and source.silent:
                    on_silence()
            if running is not None:
                frame, result = running[0], running[1].result()
                self._keep(frame, partial(draw, result))
                yield frame, result

    def _awake(self, source: LiveSource) -> Iterator[Frame | None]:
        """The frames of a live source, None while there is none, until it or the user ends."""
        frame_at_s = time.monotonic()
        while not (source.ended or self.ended):
            frame = source.poll(_POLL_S)
            if frame is None:
                self._idle(_notice(source.status, time.monotonic() - frame_at_s, source.interval_s))
            yield frame
            if frame is not None:
                frame_at_s = time.monotonic()

    def _idle(self, notice: str) -> None:
        """Keep the window awake; dim the picture that stands still, lest it be taken for what is to be seen now."""
        if self._window is None:
            return
        if notice != self._notice and self._newest is not None:
            newest = self._newest
            self._paint(self._window, newest[0] // 2, partial(self._say, [notice]))
            self._newest, self._notice = newest, notice
        self._poll()

    def _keep(self, frame: Frame, draw: Draw) -> None:
        if self._record is not None:
            self._record(draw(Canvas(frame.image_bgr)), frame)

    def _paint(self, window: Window, image_bgr: Image, draw: Draw) -> None:
        self._newest, self._notice = (image_bgr, draw), ""
        size_wh = _capped(window.fit_wh((image_bgr.shape[1], image_bgr.shape[0])))
        window.show(draw(Canvas.of(image_bgr, size_wh, mirrored=window.mirrored, keys=self._keys())))

    def _say(self, lines: Sequence[str], canvas: Canvas) -> Image:
        return canvas.paint(self._painter, (), lines)

    def _keys(self) -> str:
        """What the keys do: in the beginning, and as long as a picture waits for one."""
        if self._is_still:
            return _STILL_KEYS
        self._opened_s = self._opened_s or time.monotonic()
        return _MOVING_KEYS if time.monotonic() - self._opened_s < _KEYS_S else ""

    def _keep_pace(self, frame: Frame) -> None:
        if frame.time_s is None:
            return
        due_s = self._pace.due(frame.time_s, time.monotonic())
        while not self.ended and (left_s := due_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _POLL_S))
            self._poll()

    def _poll(self) -> Sequence[WindowEvent]:
        events = self._window.poll() if self._window is not None else ()
        if WindowEvent.CANCEL in events:
            raise KeyboardInterrupt
        self.ended = self.ended or WindowEvent.QUIT in events
        self._next_asked = self._next_asked or WindowEvent.NEXT in events
        return events


def is_still(source: FrameSource) -> bool:
    """Whether a source is pictures rather than a video, camera or stream."""
    return isinstance(source, PictureSource)


def _capped(size_wh: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, _LONGEST_SIDE / max(size_wh))
    return max(1, round(size_wh[0] * scale)), max(1, round(size_wh[1] * scale))


def _notice(status: LiveStatus | None, silent_s: float, usual_s: float) -> str:
    """What to say while a live source gives no frame; empty while that is nothing unusual.

    Args:
        status: The source's latest news.
        silent_s: Since when there is none.
        usual_s: Time between two frames of this source.
    """
    if status is not None and status.state == "reconnecting":
        return f"Connection lost: {status.reason}. Trying again, attempt {status.attempt}"
    return f"No picture for {silent_s:.0f} s" if silent_s >= max(_SILENT_S, 2 * usual_s) else ""
