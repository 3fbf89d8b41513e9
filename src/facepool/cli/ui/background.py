"""Work on the newest frame beside the loop that keeps the window alive."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Generic, Self, TypeVar

from facepool.types import Frame

Result = TypeVar("Result")


class Background(Generic[Result]):
    """One thread with room for one frame: what comes while it works is not worked on.

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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for the frame that is worked on."""
        self._thread.shutdown(cancel_futures=True)
