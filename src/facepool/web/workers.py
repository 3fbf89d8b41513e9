"""Several processes that serve at one address of this machine: `facepool serve --workers`.

The parent has the socket and the terminal, and serves nobody itself. It starts the workers, says when all of them
listen, starts those anew that die, and ends them when it is asked to end. What they share is the pool's database; with
the parent gone, however that came, they end by themselves.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType

_LOG = logging.getLogger(__name__)
_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM") if hasattr(signal, name)]
_LOOK_S = 0.25
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_LASTS_S = 60.0
"""A worker that dies after living for so long is started anew without a longer pause."""
_GRACE_S = 30.0
_ORPHANS_GRACE_S = 15.0

News = Mapping[str, bool]
"""What a worker says when it listens."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker is given.

    Attributes:
        number: From 1.
        listener: The socket, which all workers accept at.
        news: Takes what it says when it listens.
        is_first: Whether it says what is to be said once: not for those that are started beside it, or anew.
    """

    number: int
    listener: socket.socket
    news: Connection
    is_first: bool


Work = Callable[[Place], int]


class _Worker:
    """One of them, in whatever process it lives at the time."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: BaseProcess | None = None
        self.news: Connection | None = None
        self.due_s = 0.0
        self._began_s = 0.0
        self._pause_s = _FIRST_PAUSE_S

    def start(self, work: Work, listener: socket.socket, *, is_first: bool = False) -> None:
        """Begin, in a process of its own."""
        context = multiprocessing.get_context("spawn")
        news, telling = context.Pipe(duplex=False)
        with telling:
            self.process = context.Process(
                target=_live,
                args=(work, Place(self.number, listener, telling, is_first=is_first)),
                name=f"facepool worker {self.number}",
            )
            self.process.start()
        if self.news is not None:
            self.news.close()
        self.news, self._began_s = news, time.monotonic()

    @property
    def exit_code(self) -> int | None:
        """How it has ended; None: it lives, or waits to be started."""
        code = None if self.process is None else self.process.exitcode
        return 128 - code if code is not None and code < 0 else code

    def wait_for_news(self, while_true: Callable[[], bool]) -> News | None:
        """What it tells when it listens; None: it has ended, or it is not waited for any longer."""
        process, news = self.process, self.news
        if process is None or news is None:
            return None
        while while_true():
            wait((news, process.sentinel), _LOOK_S)
            if news.poll():
                try:
                    told: News = news.recv()
                except EOFError:
                    process.join()
                    return None
                return told
            if process.exitcode is not None:
                return None
        return None

    def bury(self) -> None:
        """It has ended, and is to be started anew after a pause that grows."""
        now_s = time.monotonic()
        if now_s - self._began_s > _LASTS_S:
            self._pause_s = _FIRST_PAUSE_S
        _LOG.warning(
            "worker %d has ended with %d; another one is started in %g s", self.number, self.exit_code, self._pause_s
        )
        self.process, self.due_s = None, now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)


class Workers:
    """Starts and watches workers, in the main thread.

    Args:
        work: What a worker does, to its exit code; goes to another process.
        listener: Bound already.
        count: How many there are.
        started: Called when all of them listen, with what the first has told.
    """

    def __init__(
        self, work: Work, listener: socket.socket, count: int, started: Callable[[News], None] = lambda _news: None
    ) -> None:
        self._work = work
        self._listener = listener
        self._started = started
        self._workers = [_Worker(number) for number in range(1, count + 1)]
        self._signals: list[int] = []

    def run(self) -> int:
        """Serve until the process is asked to end.

        Returns:
            The exit code: that of a worker which could not even start, or 0.
        """
        with self._hearing_signals():
            try:
                code = self._start_all()
                return self._watch() if code is None else code
            finally:
                self._end_all()

    def _start_all(self) -> int | None:
        """Start the first, and when it listens, the others; the exit code if that cannot be."""
        first, *others = self._workers
        first.start(self._work, self._listener, is_first=True)
        news = first.wait_for_news(self._goes_on)
        if news is None:
            return self._code_without(first)
        for worker in others:  # now everything is fetched and brought up to date
            worker.start(self._work, self._listener)
        for worker in others:
            if worker.wait_for_news(self._goes_on) is None:
                return self._code_without(worker)
        self._started(news)
        return None

    def _code_without(self, worker: _Worker) -> int:
        """The exit code where a worker does not start: a signal's, or the worker's own."""
        return 128 + self._signals[0] if self._signals else worker.exit_code or 1

    def _watch(self) -> int:
        """Start those anew that die, until everything is to end."""
        while self._goes_on():
            wait([worker.process.sentinel for worker in self._workers if worker.process is not None], _LOOK_S)
            for worker in self._workers:
                if worker.process is None and time.monotonic() >= worker.due_s:
                    worker.start(self._work, self._listener)
                elif worker.exit_code is not None and self._goes_on():
                    worker.bury()
        return 0

    def _goes_on(self) -> bool:
        return not self._signals

    def _end_all(self) -> None:
        """End those that live, and wait for what they have to close."""
        living = [worker.process for worker in self._workers if worker.process is not None]
        for process in living:
            process.terminate()
        ends_s = time.monotonic() + _GRACE_S
        for process in living:
            process.join(max(0.0, ends_s - time.monotonic()))
            if process.exitcode is None:
                _LOG.warning("the process %d does not end, and is killed", process.pid)
                process.kill()
                process.join()

    @contextmanager
    def _hearing_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._hear) for number in _ENDING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        """End; who asks for that twice with Ctrl-C waits for no request. A terminal has told the workers itself."""
        if self._signals and number == signal.SIGINT:
            for worker in self._workers:
                if worker.process is not None and worker.process.pid and worker.process.exitcode is None:
                    os.kill(worker.process.pid, number)
        self._signals.append(number)


def _live(work: Work, place: Place) -> None:
    """What a worker's process does, from its beginning to its end."""
    threading.Thread(target=_end_with_parent, name="facepool-parent", daemon=True).start()
    sys.exit(work(place))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORPHANS_GRACE_S)
    os._exit(1)  # it hangs
