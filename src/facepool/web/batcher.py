"""Work that many threads ask for and one does: what waits is done together."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from facepool.web.problems import ServerBusy

Item = TypeVar("Item")
Result = TypeVar("Result")

_PATIENCE_S = 30.0


class Batcher(Generic[Item, Result]):
    """A thread that takes what waits, first come first served, up to so many at once.

    Args:
        work: Called with at least one item; gives one result an item, in the same order.
        batch: How many items at most are worked on at once.
        queue: How many items at most wait; who comes then waits for a place.
        name: Of the thread.
        tell: Is told of each batch: how many items, how long it took in seconds.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        batch: int,
        queue: int,
        name: str,
        tell: Callable[[int, float], None] = lambda _count, _took_s: None,
    ) -> None:
        self._work = work
        self._batch = batch
        self._queue = queue
        self._tell = tell
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    def do(self, items: Sequence[Item]) -> list[Result]:
        """Have some items worked on, and wait for the results.

        Raises:
            ServerBusy: No place became free for a long time, or the server ends.
        """
        return [future.result() for future in [self._put(item) for item in items]]

    def close(self) -> None:
        """Take nothing more; who waits is told that the server ends."""
        with self._changed:
            self._closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for _, future in waiting:
            future.set_exception(_ended())
        self._thread.join()

    def _put(self, item: Item) -> Future[Result]:
        future: Future[Result] = Future()
        with self._changed:
            free = self._changed.wait_for(lambda: self._closed or len(self._waiting) < self._queue, _PATIENCE_S)
            if self._closed:
                raise _ended()
            if not free:
                raise ServerBusy("The server is busy", why="too many others wait", fix="Try again in a moment")
            self._waiting.append((item, future))
            self._changed.notify_all()
        return future

    # What follows runs in the thread.

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._waiting))
                if self._closed:
                    return
                some = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
                self._changed.notify_all()
            self._do(some)

    def _do(self, some: Sequence[tuple[Item, "Future[Result]"]]) -> None:
        began = time.perf_counter()
        try:
            results = self._work([item for item, _ in some])
        except BaseException as error:  # noqa: BLE001 -- whatever it is, it belongs to who asked, and the thread goes on
            if len(some) == 1:
                some[0][1].set_exception(error)
                return
            for one in some:  # what is wrong with one must not fail the others
                self._do([one])
            return
        self._tell(len(some), time.perf_counter() - began)
        for (_, future), result in zip(some, results, strict=True):
            future.set_result(result)


def _ended() -> ServerBusy:
    return ServerBusy("The server ends", fix="Try again when it has started anew")
