"""A live source's connection that the test writes itself, and a clock that stands still."""

import queue
import threading

import numpy as np

from facepool.capture.source import Shot
from facepool.errors import InputError, StreamLost, StreamUnavailable

HANG_GUARD_S = 20.0
END = None


class FakeConnection:
    def __init__(self, *, every_frame: bool = False) -> None:
        self.every_frame = every_frame
        self.is_closed = threading.Event()
        self._script: queue.Queue[Shot | InputError | None] = queue.Queue()
        self._drained = threading.Event()

    def send(self, *values: int) -> None:
        """Give pictures of these gray values, and wait until the source has taken all of them."""
        for value in values:
            self._drained.clear()
            self._script.put(Shot(np.full((2, 2, 3), value, np.uint8), float(value)))
        assert self._drained.wait(HANG_GUARD_S)

    def stop(self, how: InputError | None) -> None:
        self._script.put(how)

    def read(self) -> Shot | None:
        if self._script.empty():
            self._drained.set()
        item = self._script.get(timeout=HANG_GUARD_S)
        if isinstance(item, InputError):
            raise item
        return item

    def close(self) -> None:
        self.is_closed.set()


class FakeConnector:
    name = "fake"
    description = "fake camera"

    def __init__(self, *outcomes: FakeConnection | InputError) -> None:
        self._outcomes = iter(outcomes)

    def connect(self) -> FakeConnection:
        outcome = next(self._outcomes)
        if isinstance(outcome, InputError):
            raise outcome
        return outcome

    def unavailable(self, why: str) -> StreamUnavailable:
        return StreamUnavailable("unavailable", why=why)

    def lost(self, why: str) -> StreamLost:
        return StreamLost("lost", why=why)


class ManualClock:
    now = 100.0

    def __call__(self) -> float:
        return self.now
