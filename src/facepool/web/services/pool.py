"""The pool for everybody: a few threads, each with a pool of its own on the same files."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from facepool.errors import FacepoolError, PoolError
from facepool.gallery import Pool, open_pool
from facepool.search import follow
from facepool.types import EmbeddingSpace
from facepool.web.problems import ServerBusy

Result = TypeVar("Result")
_PATIENCE_S = 15.0


class PoolAccess:
    """Opens one pool for several threads: those who read do not wait for those who write.

    Args:
        path: The pool's file.
        space: What the embeddings are.
        threads: How many at once.
        queue: How many requests may wait for one.
    """

    def __init__(self, path: Path, space: EmbeddingSpace, *, threads: int = 3, queue: int = 256) -> None:
        self.path = path
        self._space = space
        self._queue = queue
        self._under_way = 0
        self._own = threading.local()
        self._opened: list[Pool] = []
        self._asking = threading.Lock()
        self._asked: Pool | None = None
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="facepool-pool")

    async def run(self, work: Callable[[Pool], Result]) -> Result:
        """Do something with the pool in a thread; what it raises is raised.

        Args:
            work: Must not keep the pool.

        Raises:
            ServerBusy: Too many others wait.
        """
        if self._under_way >= self._queue:
            raise ServerBusy("The server is busy", why="too many wait for the pool", fix="Try again in a moment")
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._call, work)
        finally:
            self._under_way -= 1

    def open(self) -> Pool:
        """The pool for a thread that uses it for long, which closes it.

        Raises:
            PoolError: It cannot be opened.
        """
        return open_pool(self.path, self._space, timeout_s=_PATIENCE_S)

    def person_id(self, name: str) -> str | None:
        """The id of somebody who is in the pool now; None: nobody has that name. In any thread."""
        with self._asking:
            try:
                self._asked = self._asked or self.open()
                person = self._asked.person(name)
            except PoolError:  # its file was replaced, perhaps: the next one gets the new one
                self._let_go()
                raise
        return person.id if person else None

    def close(self) -> None:
        """Wait for what is under way, then let go of the files."""
        self._threads.shutdown()
        with self._asking:
            self._let_go()
        for pool in self._opened:
            pool.close()

    def _let_go(self) -> None:
        if self._asked is not None:
            self._asked.close()
        self._asked = None

    def _call(self, work: Callable[[Pool], Result]) -> Result:
        pool: Pool | None = getattr(self._own, "pool", None)
        if pool is None:
            pool = self._own.pool = self.open()
            self._opened.append(pool)
        try:
            result = work(pool)
        except PoolError as error:
            if type(error) is PoolError:  # its file was replaced: the next one gets the new one
                self._own.pool = None
                self._opened.remove(pool)
                pool.close()
            raise
        with suppress(FacepoolError):  # what was asked for is done; who searches next hears what is wrong
            follow(pool)  # vectors that were erased leave the memory before anybody is told that they are gone
        return result
