"""The pool for everybody: threads that read, one that writes, and one of its own for what takes long."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from facepool.errors import (
    ConfigError,
    FacepoolError,
    OutcomeUnknown,
    PathMissing,
    PoolError,
    PoolGone,
    PoolUnreachable,
)
from facepool.files import PrivateFolder, exists, sweep_folders
from facepool.gallery import Pool, SqlGallery, open_pool
from facepool.gallery.address import PoolAddress, file_of, folder_of, make_folder_of
from facepool.search import SearchChoice, choose, follow
from facepool.types import EmbeddingSpace
from facepool.web.problems import ServerBusy
from facepool.web.services.writing import PATIENCE_S, WriteQueue

Result = TypeVar("Result")
_LONG_PATIENCE_S = 15.0
"""Of those that use the pool for long, and have more to lose than a request that is asked again."""
_MOST_APART = 2


class PoolAccess:
    """Opens one pool for several threads: those who read do not wait for those who write.

    A pool whose file is deleted while it is used does not become an empty one: everything raises `PoolGone` until
    there is a file again.

    Args:
        address: Where the pool is.
        space: What the embeddings are.
        threads: How many read at once.
        queue: How many requests may wait for one.
        patience_s: How long a request waits for other programs that write.
        search: How the pool is searched.
        after_change: Is called after each change that this process makes, in the thread that made it.
        must_exist: It is there, and where it is not any more, it is not made anew: a collection that was removed.
    """

    def __init__(
        self,
        address: PoolAddress,
        space: EmbeddingSpace,
        *,
        threads: int = 3,
        queue: int = 256,
        patience_s: float = PATIENCE_S,
        search: SearchChoice | None = None,
        after_change: Callable[[], None] | None = None,
        must_exist: bool = False,
    ) -> None:
        self.address = address
        self._space = space
        self._queue = queue
        self._patience_s = patience_s
        self._must_exist = must_exist
        self._search = search or SearchChoice()
        self._after_change = after_change
        self._under_way = 0
        self._places_apart = threading.BoundedSemaphore(_MOST_APART)
        self._was_there = False
        self._own = threading.local()
        self._opened: list[Pool] = []
        self._asking = threading.Lock()
        self._asked: Pool | None = None
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="facepool-pool")
        self._writers = WriteQueue("the pool", "facepool-pool-change")

    async def run(self, work: Callable[[Pool], Result]) -> Result:
        """Read in the pool in a thread; what it raises is raised.

        Args:
            work: Must not keep the pool, nor change it. It is done again where the pool was replaced meanwhile.

        Raises:
            ServerBusy: Too many others wait.
            PoolGone: The pool's file was deleted.
        """
        if self._under_way >= self._queue:
            raise ServerBusy("The server is busy", why="too many wait for the pool", fix="Try again in a moment")
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)
        finally:
            self._under_way -= 1

    async def change(self, work: Callable[[Pool], Result]) -> Result:
        """Change the pool, in turn with others, in the thread of those who write; what it raises is raised.

        What has begun goes on to its end although the request is cut off; what waits then is left out.

        Args:
            work: Must not keep the pool, nor take long.

        Raises:
            PoolLocked: Another program keeps the pool locked.
            ServerBusy: Too many others wait.
            PoolGone: The pool's file was deleted or replaced; what `work` had not stored before is not stored.
            OutcomeUnknown: The database went away while `work` stored something, or after that.
        """
        return await self._writers.do(lambda: self._call(partial(_changed, work)))

    async def apart(self, work: Callable[[Pool], Result]) -> Result:
        """Do something that takes long, in a thread and with a pool of its own, which nobody waits for at the end.

        Raises:
            ServerBusy: Others do so already.
            PoolGone: The pool's file was deleted or replaced.
        """
        if not self._places_apart.acquire(blocking=False):
            raise ServerBusy("The server is busy", why="others do something that takes long", fix="Try again later")
        done: Future[Result] = Future()

        def call() -> None:
            try:
                with self.open() as pool:
                    result = work(pool)
                    _follow(pool)
            except BaseException as error:  # noqa: BLE001 -- it is raised where it is waited for
                done.set_exception(error)
            else:
                done.set_result(result)
            finally:
                self._places_apart.release()

        done.set_running_or_notify_cancel()
        try:
            threading.Thread(target=call, name="facepool-pool-apart", daemon=True).start()
        except RuntimeError as error:  # the system has none
            self._places_apart.release()
            raise ServerBusy("The server is busy", why="no thread can be started", fix="Try again later") from error
        return await asyncio.wrap_future(done)

    def open(self) -> Pool:
        """The pool for a thread that uses it for long, which closes it.

        Raises:
            PoolError: It cannot be opened.
            PoolGone: Its file was deleted.
        """
        return self._open(_LONG_PATIENCE_S)

    def open_for_live(self) -> Pool:
        """The pool for a thread that recognizes live, which closes it: it never waits long, and can do without.

        Raises:
            PoolError: It cannot be opened.
            PoolGone: Its file was deleted.
        """
        return self._open(self._patience_s)

    def private_folder(self) -> PrivateFolder:
        """A folder for a copy of the pool; beside it, so that no other place has anybody's face."""
        make_folder_of(self.address)
        return PrivateFolder(folder_of(self.address).absolute())

    def sweep(self) -> None:
        """Remove copies of pools that a killed server has left: who was erased since is in them."""
        with suppress(ConfigError):  # a user without a home has no such folder
            sweep_folders(folder_of(self.address).absolute())

    def check(self) -> None:
        """Make sure that the pool did not vanish.

        Raises:
            PoolGone: Its file was deleted, and there is no other.
        """
        file = file_of(self.address)
        if file is None:
            return
        is_there = exists(file)
        if self._was_there and not is_there:
            raise PoolGone(
                "The pool cannot be used",
                why="its file was deleted or moved away while the server ran",
                fix="Put it back, or restore it from a backup; for an empty pool, start the server again",
            )
        self._was_there = is_there

    def person_id(self, name: str) -> str | None:
        """The id of somebody who is in the pool now; None: nobody has that name. In any thread."""
        with self._asking:
            for last in (False, True):
                try:
                    self.check()
                    self._asked = self._asked or self._open(self._patience_s)
                    person = self._asked.person(name)
                except PoolError as error:
                    self._let_go()
                    if last or not isinstance(error, PoolGone):
                        raise
                else:
                    return person.id if person else None
        return None

    def close(self) -> None:
        """Wait for what is under way, but not for what takes long; then let go of the files."""
        self._writers.close()
        self._readers.shutdown()
        with self._asking:
            self._let_go()
        for pool in self._opened:
            pool.close()

    def _open(self, patience_s: float) -> Pool:
        self.check()
        try:
            pool = open_pool(self.address, self._space, must_exist=self._must_exist, timeout_s=patience_s)
        except PathMissing as error:
            raise PoolGone("The pool cannot be used", why="it was removed while the server ran") from error
        choose(pool, self._search)
        if isinstance(pool, SqlGallery):
            pool.after_change = self._after_change
        return pool

    def _let_go(self) -> None:
        if self._asked is not None:
            self._asked.close()
        self._asked = None

    def _read(self, work: Callable[[Pool], Result]) -> Result:
        try:
            return self._call(work)
        except PoolGone:  # perhaps another one is there now
            return self._call(work)

    def _call(self, work: Callable[[Pool], Result]) -> Result:
        self.check()
        pool: Pool | None = getattr(self._own, "pool", None)
        if pool is None:
            pool = self._own.pool = self._open(self._patience_s)
            self._opened.append(pool)
        try:
            result = work(pool)
        except PoolGone:  # the next one gets the new one
            self._own.pool = None
            self._opened.remove(pool)
            pool.close()
            raise
        _follow(pool)
        return result


def _follow(pool: Pool) -> None:
    """Let vectors that were erased leave the memory before anybody is told that they are gone."""
    with suppress(FacepoolError):  # what was asked for is done; who searches next hears what is wrong
        follow(pool)


def _changed(work: Callable[[Pool], Result], pool: Pool) -> Result:
    """Do some work that changes a pool and looks at it afterwards: what was stored is not refused because of that."""
    before = pool.changes_made
    try:
        return work(pool)
    except PoolUnreachable as error:
        if pool.changes_made == before:
            raise
        raise OutcomeUnknown(
            "The change was stored, but not all that belongs to it may be done",
            why=f"the database went away after it: {error.why}",
            fix="Look what is there before you repeat it",
        ) from error
