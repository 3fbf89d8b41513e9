"""Keeps what changes of the pool promise: the logs are told of them, and nobody's bytes stay who was erased.

Pool and logs are two files. A change is done when the pool has it; its notices (`facepool.gallery.notices`) lie in the
pool until the logs have them. Bytes of what was erased are wiped from both files as soon as nobody reads them. What
cannot be done at once is remembered in the files, tried again every few seconds and at every start, and shown.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from facepool.errors import FacepoolError
from facepool.gallery import Pool
from facepool.gallery.driver import database_errors
from facepool.gallery.notices import ERASING, Notice
from facepool.gallery.sqlite import traces_remain
from facepool.search.index_status import still_there
from facepool.web.hiding import without_paths
from facepool.web.problems import ServerBusy
from facepool.web.services.activity import Activity
from facepool.web.services.audit import Audit
from facepool.web.services.index_keeper import IndexKeeper
from facepool.web.services.logs import Forgotten, Logs
from facepool.web.services.pool import PoolAccess
from facepool.web.services.store import ServerStore, name_of_store, open_store

_LOG = logging.getLogger("facepool.web")
_AGAIN_S = 3.0
_TIDY_EVERY_S = 3600.0
_ANSWER_S = 2.0
"""How long an answer waits for the logs, and for bytes to be wiped."""
_FIRST_TRY_S = 0.5
_QUICK_TRY_S = 0.05
"""Who waits for readers keeps writers waiting, too."""
_MOST_REMEMBERED = 1000


def _failures() -> tuple[type[Exception], ...]:
    return (FacepoolError, OSError, *database_errors())


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a change's promises.

    Attributes:
        forgotten: What the logs said of those who were erased.
        notes: What is owed still, for users, one line each.
        still_in_index: How many templates that left the pool an index may still have.
    """

    forgotten: Forgotten
    notes: tuple[str, ...]
    still_in_index: int = 0


class Settling:
    """Tells the logs, wipes, and tries again in a thread of its own.

    Args:
        logs: Activity and audit log.
        store: Where they are kept.
        access: The pool.
        index: Keeps the index beside the pool up to date.
        tidy: Lets go of what the logs have kept for long enough; called at the start, and every hour.
    """

    def __init__(
        self,
        logs: Logs,
        store: ServerStore,
        access: PoolAccess,
        index: IndexKeeper,
        tidy: Callable[[], object] = lambda: None,
    ) -> None:
        self._logs = logs
        self._store = store
        self._access = access
        self._index = index
        self._tidy = tidy
        self._tidy_at_s = 0.0
        self._telling = threading.Lock()
        self._forgotten: dict[int, Forgotten] = {}
        self._to_say_of_index: list[tuple[Notice, str]] = []
        self._index_owes = True  # an earlier process may have said so
        self._behind = ""
        self._traces: dict[str, str] = {}
        self._changed = threading.Condition()
        self._asked = self._done = 0
        self._closing = False
        self._pool: Pool | None = None
        self._thread = threading.Thread(target=self._run, name="facepool-settling", daemon=True)

    def start(self) -> None:
        """Tell what an earlier process has left to be told, then go on in a thread."""
        with self._access.open() as pool:
            self._tell(pool)
            if pool.owed().traces or self._store.owes():
                self._asked += 1
        self._thread.start()

    def close(self) -> None:
        """End the thread, and let go of the pool."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def owed(self) -> list[str]:
        """The files and indexes in which traces may remain of what was erased, and files that are yet to tell logs."""
        names = set(self._unwiped())
        if self._behind:
            names.add(self._store.name)
        if self._store.hidden:  # until the logs are told, the pool keeps the names that they have to forget
            names.add(self._access.address.name)
        return sorted(names | self._index.owed.keys())

    @property
    def notes(self) -> tuple[str, ...]:
        """What is owed, for users, one line each."""
        left = (self._index.note_on(place, count) for place, count in self._index.owed.items())
        return (*self._notes_on_logs(), *self._notes_on_traces(), *left)

    def settle(self, pool: Pool, noted: Sequence[Notice]) -> Settled:
        """Do what a change has promised, as far as that can be done now.

        Args:
            pool: That of the thread.
            noted: What the change left.
        """
        told = self._tell(pool)
        notes = () if told else self._notes_on_logs()
        still_in: dict[str, int] = {}
        erasing = [notice for notice in noted if notice.action in ERASING]
        if erasing:
            notes += self._wipe_now()
            still_in = self._index.still_in(pool, _ANSWER_S)
            self._say_of_index(erasing, still_in)
            notes += tuple(self._index.note_on(place, count) for place, count in still_in.items())
        changes = {notice.change for notice in noted}
        forgotten = [self._forgotten.pop(change) for change in changes if change in self._forgotten]
        for note in notes:
            _LOG.warning("%s", note)
        return Settled(forgotten[0] if forgotten else Forgotten(), notes, sum(still_in.values()))

    def forget(self, caller: str, pool: Pool, people: Collection[str]) -> Settled:
        """Erase what the logs say of people who are not in the pool.

        Raises:
            FacepoolError: They cannot be written; nothing was erased.
        """
        if not self._telling.acquire(timeout=_ANSWER_S):
            raise ServerBusy("The server is busy", why="its logs are being written", fix="Try again in a moment")
        try:
            forgotten = self._logs.forget(caller, pool, people)
        finally:
            self._telling.release()
        return Settled(forgotten, self._wipe_now() if forgotten else ())

    def _tell(self, pool: Pool) -> bool:
        """Tell the logs; whether they know everything now."""
        patience_s = _QUICK_TRY_S if self._behind else _FIRST_TRY_S
        if not self._telling.acquire(timeout=patience_s):
            self._behind = self._behind or "other changes are being told just now"
            self._hide(pool)
            return False
        try:
            forgotten = self._logs.tell(pool, patience_s)
            if forgotten:
                self._ask()  # first: whoever looks now is not told that nothing is owed
            self._forgotten |= forgotten
            while len(self._forgotten) > _MOST_REMEMBERED:
                del self._forgotten[next(iter(self._forgotten))]
            self._behind = ""
        except _failures() as error:
            self._behind = _reason(error)
            self._hide(pool)
        finally:
            self._telling.release()
        return not self._behind

    def _say_of_index(self, erasing: Sequence[Notice], still_in: Collection[str]) -> None:
        """Have the audit log say that indexes may still have what was erased, and later that it has left them."""
        if still_in:
            self._to_say_of_index += [(notice, place) for notice in erasing for place in still_in]
            self._index_owes = True
            self._tell_of_index(still_in)

    def _tell_of_index(self, still_in: Collection[str]) -> None:
        with self._telling:
            said, self._index_owes = list(self._to_say_of_index), False
            try:
                is_all = self._logs.tell_of_index(said, still_in)
            except _failures():  # the next round says it
                is_all = False
            else:
                del self._to_say_of_index[: len(said)]
            self._index_owes = self._index_owes or not is_all

    def _hide(self, pool: Pool) -> None:
        with suppress(*_failures()):
            self._logs.hide(pool)

    def _wipe_now(self) -> tuple[str, ...]:
        """Have the thread wipe, and wait a moment for it; what it could not."""
        mine = self._ask()
        with self._changed:
            self._changed.wait_for(lambda: self._done >= mine or self._closing, _ANSWER_S)
        return self._notes_on_traces()

    def _ask(self) -> int:
        """Ask the thread for a round; the number that `_done` has when it is over."""
        with self._changed:
            self._asked += 1
            self._changed.notify_all()
            return self._asked

    def _unwiped(self) -> dict[str, str]:
        """In which files traces may remain, and why."""
        if self._asked == self._done:
            return self._traces
        names = (self._access.address.name, self._store.name)
        return dict.fromkeys(names, "they are being wiped just now") | self._traces

    def _notes_on_logs(self) -> tuple[str, ...]:
        if not self._behind:
            return ()
        return (f"Activity and audit log follow as soon as {self._store.name} can be written: {self._behind}.",)

    def _notes_on_traces(self) -> tuple[str, ...]:
        return tuple(f"{traces_remain(name, why)} It is tried again." for name, why in sorted(self._unwiped().items()))

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._asked > self._done, _AGAIN_S)
                if self._closing:
                    break
                asked = self._asked
            self._tidy_now_and_then()
            self._round(is_asked=asked > self._done)
            with self._changed:
                self._done = asked
                self._changed.notify_all()
        self._let_go()

    def _tidy_now_and_then(self) -> None:
        if time.monotonic() < self._tidy_at_s:
            return
        self._tidy_at_s = time.monotonic() + _TIDY_EVERY_S
        try:
            self._tidy()
        except _failures() as error:
            _LOG.warning("what the logs have kept for long enough is still there: %s", _reason(error))

    def _round(self, *, is_asked: bool) -> None:
        """Do what is owed, whoever has promised it: other processes change the pool, too.

        Args:
            is_asked: Somebody was erased just now, so that whatever goes wrong leaves traces.
        """
        patience_s = _FIRST_TRY_S if is_asked else _QUICK_TRY_S
        traces: dict[str, str] = {}
        for name, wipe in ((self._access.address.name, self._settle_pool), (self._store.name, self._store.wipe)):
            try:
                why = wipe(patience_s)
            except _failures() as error:
                why = _reason(error) if is_asked or name in self._traces else ""
            if why:
                traces[name] = why
        self._traces = traces

    def _settle_pool(self, patience_s: float) -> str:
        """Tell what the pool has to tell, then wipe it; why that could not be, or empty."""
        try:
            self._pool = self._pool or self._access.open()
            if self._pool.owed().notices or self._behind:
                self._tell(self._pool)
            if self._index_owes:
                self._tell_of_index(still_there(self._pool))
            return self._pool.wipe(patience_s)
        except _failures():  # it was moved away, perhaps: the next one is another
            self._let_go()
            raise

    def _let_go(self) -> None:
        if self._pool is not None:
            self._pool.close()
        self._pool = None


def settle_once(pool: Pool) -> tuple[str, ...]:
    """Do what a pool owes to the logs beside it, for a command, which has no thread that would try again.

    Returns:
        What is still owed, for users, one line each; the server's next try, or its next start, does it.
    """
    name, notes = name_of_store(pool.address), []
    try:
        with closing(open_store(pool.address)) as store:
            # What commands tell has the ids of people in it.
            logs = Logs(store, Activity(store, lambda _name: None), Audit(store, lambda _name: None))
            logs.tell(pool)
            if why := store.wipe(_FIRST_TRY_S):
                notes.append(traces_remain(name, why))
    except _failures() as error:
        notes.append(f"The logs in {name} were not told yet: {_reason(error)}.")
    if why := pool.wipe(_FIRST_TRY_S):
        notes.append(traces_remain(pool.address.name, why))
    return tuple(notes)


def _reason(error: Exception) -> str:
    """Why something failed, without paths of this machine."""
    return without_paths(error.why if isinstance(error, FacepoolError) else "") or type(error).__name__
