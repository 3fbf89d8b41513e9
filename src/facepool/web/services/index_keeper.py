"""Brings the index beside the pool up to date, in a thread of its own: after each change, and now and then.

Several processes may do so: the pool says whose turn it is. What the index does not have yet is remembered by the pool,
so nothing is lost while the index is away, or when the server ends in between.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from facepool.errors import FacepoolError, IndexUnreachable, IndexUnusable, PoolLocked
from facepool.gallery import Pool
from facepool.gallery.index_address import IndexAddress
from facepool.search import Behind, follow
from facepool.search.engine import OpenEngine, milvus
from facepool.search.follower import sync
from facepool.search.index_status import still_there
from facepool.types import counted
from facepool.web.services.announcements import Announcements

_LOG = logging.getLogger("facepool.web")
_EVERY_S = 2.0
"""How often the pool is looked at where nobody announces changes."""
_LISTENING_S = 15.0
_LOOK_EVERY_S = 60.0
"""How often the index is looked at although the pool has not changed: somebody else may have deleted it."""
_OTHERS_TURN_S = 0.3
_CLOSING_S = 2.0
"""How long the end of the server waits for an index that does not answer."""


class IndexKeeper:
    """Keeps the index beside a pool as new as the pool.

    Args:
        address: Of the index; None: there is none, and nothing is done.
        open_engine: Gives the collections of the index.
    """

    def __init__(self, address: IndexAddress | None, open_engine: OpenEngine = milvus) -> None:
        self._address = address
        self._announcements = Announcements()
        self._open_engine = open_engine
        self._pool: Pool | None = None
        self._left: dict[str, int] = {}
        self._revision: int | None = None
        self._looked_at_s = 0.0
        self._problem: tuple[FacepoolError, datetime] | None = None
        self._changed = threading.Condition()
        self._asked = self._done = 0
        self._over = False
        self._thread: threading.Thread | None = None

    def start(self, open_pool: Callable[[], Pool], announcements: Announcements | None = None) -> None:
        """Begin.

        Args:
            open_pool: Opens the pool.
            announcements: Of the processes that serve the pool.
        """
        if self._address is None:
            return
        self._announcements = announcements or self._announcements
        self._announcements.hear("pool", lambda _fields: self.ask())
        self._announcements.after_gap(self.ask)
        self.ask()
        arguments = (self._address, open_pool)
        self._thread = threading.Thread(target=self._run, args=arguments, name="facepool-index-keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more; what is left to be done is done by whoever comes next."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_CLOSING_S)

    def ask(self) -> None:
        """The pool has changed."""
        with self._changed:
            self._asked += 1
            self._changed.notify_all()

    @property
    def problem(self) -> FacepoolError | None:
        """Why the index does not have the last changes; None: it has, or will in a moment."""
        problem = self._problem
        return None if problem is None else problem[0]

    @property
    def owed(self) -> dict[str, int]:
        """By place, how many templates that left the pool indexes may still have, as of the last look."""
        return dict(self._left)

    @property
    def behind(self) -> Behind | None:
        """The same for those who ask what answers may lack."""
        problem = self._problem
        if problem is None:
            return None
        return Behind(0, problem[1], "not_whole" if isinstance(problem[0], IndexUnusable) else "index_away")

    def look(self, pool: Pool) -> None:
        """Note what indexes may still have of whoever was erased, where no thread of this server follows one.

        Args:
            pool: That of the calling thread.
        """
        if self._address is None:
            self._left = still_there(pool)

    def still_in(self, pool: Pool, patience_s: float) -> dict[str, int]:
        """Wait until what left the pool has left its indexes, too, unless one is known to be away.

        Args:
            pool: That of the calling thread.
            patience_s: How long to wait.

        Returns:
            By place, how many templates indexes may still have that the pool has no more.
        """
        if not still_there(pool):
            return {}
        if self._address is not None and self._problem is None:
            with self._changed:
                mine = self._asked
                self._changed.wait_for(lambda: self._done >= mine or self._over, patience_s)
        return still_there(pool)

    def note_on(self, place: str, templates: int) -> str:
        """What users are told of templates that may still be in an index."""
        told = f"{counted(templates, 'view')} that left the pool may still be in the index {place}"
        if self._address is None or self._address.place != place:
            return f"{told}, which this server does not follow: facepool index sync"
        why = self.problem.why if self.problem is not None else "they are being removed just now"
        return f"{told}: {self._address.without_secrets(why)}. It is tried again."

    def _run(self, address: IndexAddress, open_pool: Callable[[], Pool]) -> None:
        wait_s = 0.0
        while self._waited(wait_s):
            asked = self._asked
            is_done = self._round(address, open_pool, is_asked=asked > self._done)
            wait_s = _LISTENING_S if self._announcements.listening and self._problem is None else _EVERY_S
            with self._changed:
                if is_done:
                    self._done = asked
                    self._changed.notify_all()
                else:
                    wait_s = _OTHERS_TURN_S
        self._let_go()

    def _waited(self, wait_s: float) -> bool:
        """Wait until there may be something to do; False: look no more."""
        with self._changed:
            if self._problem is None and wait_s != _OTHERS_TURN_S:
                self._changed.wait_for(lambda: self._over or self._asked > self._done, wait_s)
            else:  # each change would ask an index that is away
                self._changed.wait_for(lambda: self._over, wait_s)
            return not self._over

    def _round(self, address: IndexAddress, open_pool: Callable[[], Pool], *, is_asked: bool) -> bool:
        """Bring the index up to date; False: another process has its turn, which may be doing that."""
        try:
            pool = self._pool = self._pool or open_pool()
            revision = pool.revision()
            is_old = time.monotonic() - self._looked_at_s > _LOOK_EVERY_S
            if is_asked or is_old or self._problem is not None or revision != self._revision:
                self._bring(pool, address)
                self._revision, self._looked_at_s = revision, time.monotonic()
        except PoolLocked:
            return False
        except (IndexUnreachable, IndexUnusable) as error:
            self._note(error)
            with suppress(FacepoolError):
                self._left = still_there(pool)
        except FacepoolError:  # of the pool: requests are told what is wrong with it
            self._let_go()
        return True

    def _bring(self, pool: Pool, address: IndexAddress) -> None:
        done = sync(pool, address, open_engine=self._open_engine, patience_s=0.0)
        if done.made:
            _LOG.info("The index %s was made: %s", address, counted(done.put, "view"))
        if self._problem is not None:
            self._problem = None
            _LOG.info("The index %s is up to date again", address)
        self._left = still_there(pool)
        with suppress(FacepoolError):  # whoever searches next hears what is wrong
            follow(pool)

    def _note(self, error: FacepoolError) -> None:
        before = self._problem
        if before is None or before[0].code != error.code:
            _LOG.warning("%s: %s. It is tried again.", error.what, error.why)
        self._problem = error, before[1] if before is not None else datetime.now(UTC)

    def _let_go(self) -> None:
        if self._pool is not None:
            self._pool.close()
        self._pool = None
