"""Writers in turn: one after the other, in a thread of their own, so that nobody who reads waits behind them."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from facepool.errors import FacepoolError, PoolLocked
from facepool.web.problems import ServerBusy

PATIENCE_S = 2.0
"""How long a request waits for another program that writes to the same file."""

_LOG = logging.getLogger(__name__)
_MOST_WAITING = 256
_MOST_SPARE = 32
_FIX = "Try again, or end the other program"
Result = TypeVar("Result")


class WriteQueue:
    """Lets requests change a file in turn.

    Where another program keeps the file locked, one request finds out, by its own patience; those that have waited
    behind it are refused with it, and do not each wait as long again.

    Args:
        what: What is changed, for messages.
        name: Of the thread.
    """

    def __init__(self, what: str, name: str) -> None:
        self._what = what
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._waiting = 0
        self._locked_at_s = 0.0

    async def do(self, work: Callable[[], Result]) -> Result:
        """Do some work when its turn has come; what it raises is raised.

        What has begun goes on although the request is cut off; what waits then is left out.

        Raises:
            PoolLocked: Another program keeps the file locked.
            ServerBusy: Too many others wait.
        """
        if self._waiting >= _MOST_WAITING:
            raise ServerBusy(
                "The server is busy", why=f"too many wait to change {self._what}", fix="Try again in a moment"
            )
        came_at_s = time.monotonic()
        self._count(1)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._call, work, came_at_s)
        finally:
            self._count(-1)

    def spare(self, work: Callable[[], object]) -> None:
        """Do some work in turn that nobody waits for, and that may be lost where many wait or the file is locked."""
        if self._waiting >= _MOST_SPARE:
            return
        came_at_s = time.monotonic()
        self._count(1)

        def attempt() -> None:
            try:
                self._call(work, came_at_s)
            except FacepoolError as error:
                _LOG.info("left out: %s", error)
            finally:
                self._count(-1)

        self._thread.submit(attempt)

    @property
    def waiting(self) -> int:
        """How many have their turn now, or wait for it."""
        return self._waiting

    def close(self) -> None:
        """Wait for those who have their turn yet."""
        self._thread.shutdown()

    def _call(self, work: Callable[[], Result], came_at_s: float) -> Result:
        if self._locked_at_s > came_at_s:
            raise PoolLocked(f"{self._what} cannot be changed now", why="another program keeps it locked", fix=_FIX)
        try:
            return work()
        except PoolLocked:
            self._locked_at_s = time.monotonic()
            raise

    def _count(self, more: int) -> None:
        with self._lock:
            self._waiting += more
