"""Live sources: a thread reads, the newest frame waits, dead connections are opened again."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Protocol

from facepool.capture.source import (
    ClosesOnExit,
    FrameSource,
    LiveStatus,
    OnStatus,
    ReconnectPolicy,
    Rhythm,
    Shot,
)
from facepool.capture.turning import Turning
from facepool.errors import FacepoolError, InputError
from facepool.types import Frame

# Waits are cut into ticks, because on Windows Ctrl-C is only noticed between two waits.
_TICK_S = 0.1
_CLOSE_GRACE_S = 1.0
_FPS_WINDOW = 30


class Connection(Protocol):
    """An open camera or stream."""

    @property
    def every_frame(self) -> bool:
        """Whether it is a file sent over the network: read all of it, and its end is the end."""
        ...

    def read(self) -> Shot | None:
        """Wait for the next picture; None at the end.

        Raises:
            InputError: The connection is dead.
        """
        ...

    def close(self) -> None:
        """Let go of it; called from the thread that reads."""
        ...


class Connector(Protocol):
    """Knows how to open one camera or stream, again if need be."""

    @property
    def name(self) -> str:
        """What the user named."""
        ...

    @property
    def description(self) -> str:
        """The kind and the name, for people."""
        ...

    def connect(self) -> Connection:
        """Open it and wait until a first picture is there.

        Raises:
            InputError: It cannot be opened.
        """
        ...

    def unavailable(self, why: str) -> InputError:
        """The error for a source that never opened."""
        ...

    def lost(self, why: str) -> InputError:
        """The error for a source that died and did not come back."""
        ...


class LiveSource(ClosesOnExit):
    """A camera or stream, read in a thread of its own.

    Only the newest frame is kept: a loop slower than the camera skips frames and sees it in ``index``, which counts
    frames as they are captured. No frame is given twice. A file that is sent over the network is read whole instead.

    The thread is a daemon and every wait is short, so that neither Ctrl-C nor the end of the program waits for it.

    Args:
        connector: Opens the camera or stream.
        policy: How long to insist when it dies.
        on_status: Called with news, in the thread that takes the frames.
        clock: Seconds of a monotonic clock.
        silent_after_s: After so long without a picture it counts as silent, unless its pictures come that seldom.
        turning: How frames are turned, in the thread that takes them.
    """

    frame_count: int | None = None

    def __init__(
        self,
        connector: Connector,
        policy: ReconnectPolicy | None = None,
        on_status: OnStatus | None = None,
        clock: Callable[[], float] = time.monotonic,
        silent_after_s: float = 5.0,
        turning: Turning | None = None,
    ) -> None:
        self.name = connector.name
        self.description = connector.description
        self.live = True
        self._connector = connector
        self._policy = policy or ReconnectPolicy()
        self._on_status = on_status
        self._clock = clock
        self._silent_after_s = silent_after_s
        self._turning = turning or Turning()
        self._thread = threading.Thread(target=self._run, name=f"capture {self.name}", daemon=True)
        self._stop = threading.Event()
        self._attempts = 0  # the thread's own
        # All below is shared with the thread and guarded by this.
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._news: deque[LiveStatus] = deque()
        self._status: LiveStatus | None = None
        self._captured_at: deque[float] = deque(maxlen=_FPS_WINDOW)
        self._rhythm = Rhythm()
        self._started_at = 0.0
        self._captured = 0
        self._connected = False
        self._settled = False
        self._error: BaseException | None = None

    @property
    def fps(self) -> float | None:
        """Captured frames per second, measured over the last 30; None before the second."""
        with self._changed:
            stamps = list(self._captured_at)
        if len(stamps) < 2 or stamps[-1] <= stamps[0]:
            return None
        return (len(stamps) - 1) / (stamps[-1] - stamps[0])

    @property
    def interval_s(self) -> float:
        """Usual time between two captured frames, lately, whatever halts there were; 0 before the second."""
        with self._changed:
            return self._rhythm.interval_s

    @property
    def silent(self) -> bool:
        """Whether nothing is known of what is before it now: its pictures stay away, for whatever reason.

        That is after ``silent_after_s``, or three usual intervals of a source whose pictures come more seldom. It is
        False before the first picture, and while the newest one waits to be taken.
        """
        with self._changed:
            if not self._captured_at or self._newest is not None or not self.live:
                return False
            silence_s = self._clock() - self._captured_at[-1]
            return silence_s > self._rhythm.silent_after(self._silent_after_s)

    @property
    def ended(self) -> bool:
        """Whether no frame will come any more and no error is left to raise."""
        with self._changed:
            return self._stop.is_set() or (self._settled and self._newest is None and self._error is None)

    @property
    def status(self) -> LiveStatus | None:
        """The latest news; None before the first connection."""
        with self._changed:
            return self._status

    def open(self, timeout_s: float) -> None:
        """Start, and wait until the first picture is there; the loop calls for it by itself without a limit.

        Raises:
            InputError: The source cannot be opened, or does not answer within `timeout_s`.
        """
        self._start()
        try:
            error = self._wait_until_open(timeout_s)
        except BaseException:  # Ctrl-C: the thread would never be stopped
            self.close()
            raise
        if error is not None:
            self.close()
            raise error

    def poll(self, timeout_s: float) -> Frame | None:
        """The newest frame that has not been given yet, waiting for one as long as `timeout_s`.

        For a loop that must stay awake, such as a window's. Passes news on to ``on_status``.

        Returns:
            None if none came in time, or none will (see ``ended``).

        Raises:
            InputError: The source is lost, or could not be opened.
        """
        self._start()
        deadline = self._clock() + timeout_s
        with self._changed:
            while not (self._newest or self._settled or self._news or self._stop.is_set()):
                left_s = deadline - self._clock()
                if left_s <= 0:
                    break
                self._changed.wait(min(left_s, _TICK_S))
            frame, self._newest = self._newest, None
            news = list(self._news)
            self._news.clear()
            error = None
            if frame is None and self._settled:
                error, self._error = self._error, None
            self._changed.notify_all()
        self._report(news)
        if error is not None:
            raise error
        return None if frame is None else self._turning.apply(frame)

    def __iter__(self) -> Iterator[Frame]:
        """Frames until the source ends or is closed; see ``poll``."""
        while not self.ended:
            frame = self.poll(_TICK_S)
            if frame is not None:
                yield frame

    def close(self) -> None:
        """Stop at once; the thread lets go of the device as soon as its read returns."""
        if self._stop.is_set():
            return
        with self._changed:
            self._stop.set()
            self._newest = None
            self._error = None
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_GRACE_S)

    def _start(self) -> None:
        if self._thread.ident is None and not self._stop.is_set():
            self._thread.start()

    def _wait_until_open(self, timeout_s: float) -> BaseException | None:
        deadline = self._clock() + timeout_s
        with self._changed:
            while not (self._connected or self._settled):
                if self._clock() >= deadline:
                    return self._connector.unavailable(f"no answer within {timeout_s:g} s")
                self._changed.wait(_TICK_S)
            return None if self._connected else self._error

    def _report(self, news: list[LiveStatus]) -> None:
        if self._on_status:
            for status in news:
                self._on_status(status)

    # What follows runs in the thread.

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            connection: Connection | None = self._connector.connect()
            while connection is not None:
                connection = self._capture(connection)
        except FacepoolError as known:
            error = known
        except BaseException as bug:  # after any error, the loop that takes frames must not wait for ever
            error = bug
            raise
        finally:
            with self._changed:
                self._settled = True
                self._error = None if self._stop.is_set() else error
                self._changed.notify_all()

    def _capture(self, connection: Connection) -> Connection | None:
        """Read until the end or, when the connection dies, return the next one."""
        with closing(connection):
            self._announce(LiveStatus("connected", self._attempts))
            self.live = not connection.every_frame
            try:
                self._read_all(connection)
            except InputError as error:
                if connection.every_frame:
                    raise
                cause = error
            else:
                return None
        return self._reconnect(cause)

    def _read_all(self, connection: Connection) -> None:
        while not self._stop.is_set():
            shot = connection.read()
            if shot is None:
                return
            self._offer(shot, wait_for_taker=connection.every_frame)

    def _offer(self, shot: Shot, *, wait_for_taker: bool) -> None:
        now = self._clock()
        with self._changed:
            while wait_for_taker and self._newest is not None and not self._stop.is_set():
                self._changed.wait(_TICK_S)
            if self._stop.is_set():
                return
            if self._captured == 0:
                self._started_at = now
            time_s = shot.time_s if wait_for_taker else now - self._started_at
            self._newest = Frame(shot.image_bgr, self.name, self._captured, time_s)
            self._captured += 1
            self._captured_at.append(now)
            self._rhythm.look(now)
            self._connected = True
            self._changed.notify_all()

    def _reconnect(self, cause: InputError) -> Connection | None:
        policy = self._policy
        died_at, wait_s, attempt = self._clock(), policy.first_wait_s, 0
        while not self._stop.is_set():
            self._attempts = attempt = attempt + 1
            if self._clock() - died_at + wait_s > policy.give_up_s:
                reason = f"{_reason(cause)}; {attempt - 1} attempts to reconnect failed"
                self._announce(LiveStatus("lost", reason=reason))
                raise self._connector.lost(reason) from cause
            self._announce(LiveStatus("reconnecting", attempt, wait_s, _reason(cause)))
            if self._stop.wait(wait_s):
                break
            try:
                return self._connector.connect()
            except InputError as error:
                cause = error
            wait_s = min(wait_s * 2, policy.longest_wait_s)
        return None

    def _announce(self, status: LiveStatus) -> None:
        with self._changed:
            self._status = status
            self._news.append(status)
            self._changed.notify_all()


def frames_or_silence(source: FrameSource) -> Iterator[Frame | None]:
    """The frames of any source, and None, again and again, while a live one is silent.

    Raises:
        InputError: The source broke; the frames before it have been yielded.
    """
    if not isinstance(source, LiveSource):
        yield from source
        return
    while not source.ended:
        frame = source.poll(_TICK_S)
        if frame is not None or source.silent:
            yield frame


def _reason(error: InputError) -> str:
    return error.why or error.what
