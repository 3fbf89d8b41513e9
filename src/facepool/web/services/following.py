"""Keeps what is in memory of the pool up to date with what other processes do to it, even if nobody searches."""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from pydantic import BaseModel, Field

from facepool.errors import FacepoolError
from facepool.gallery import Pool
from facepool.search import Behind, Outage, behind_teller, follow, outage_teller
from facepool.search.state import BehindReason
from facepool.web.services.announcements import Announcements

EVERY_S = 2.0
_LISTENING_S = 15.0
"""How long to wait where changes are announced: nothing should be missed there, this is a second look."""


class OutageInfo(BaseModel):
    """The pool's database is away; cameras go on with whom they know."""

    since: datetime
    as_of: datetime | None = Field(description="From when the people are; null: nobody can be named until it is back")

    @classmethod
    def of(cls, outage: Outage | None) -> "OutageInfo | None":
        """For the interface; null while all is well."""
        return None if outage is None else cls(since=outage.since, as_of=outage.as_of)


class BehindInfo(BaseModel):
    """The pool's index is not as new as the pool, or is not searched."""

    templates: int = Field(description="How many an answer may miss; 0: the pool is searched without the index")
    since: datetime
    reason: BehindReason = Field(
        description="`following`: the index is not there yet; `index_away`: it cannot be reached; `not_whole`: it has "
        "never been whole, or is of no use"
    )

    @classmethod
    def of(cls, behind: Behind | None) -> "BehindInfo | None":
        """For the interface; null while all is well."""
        return None if behind is None else cls(templates=behind.templates, since=behind.since, reason=behind.reason)


class Follower:
    """Follows what somebody else does to the pool, in a thread of its own: when it is announced, or now and then.

    Changes by this process are followed at once: by `PoolAccess`.

    Args:
        open_pool: Opens the pool.
        every_s: How long to wait in between where nobody announces changes.
        announcements: Of the processes that serve the pool.
    """

    def __init__(
        self, open_pool: Callable[[], Pool], every_s: float = EVERY_S, announcements: Announcements | None = None
    ) -> None:
        self._open_pool = open_pool
        self._every_s = every_s
        self._tell_outage: Callable[[], Outage | None] = lambda: None
        self._tell_behind: Callable[[], Behind | None] = lambda: None
        self._announcements = announcements or Announcements()
        self._changed = threading.Event()
        self._over = False
        self._announcements.hear("pool", lambda _fields: self._changed.set())
        self._announcements.after_gap(self._changed.set)
        self._thread = threading.Thread(target=self._run, name="facepool-follow", daemon=True)
        self._thread.start()

    @property
    def outage(self) -> Outage | None:
        """Whether the pool's database is away, and of when what is in memory of it is."""
        return self._tell_outage()

    @property
    def behind(self) -> Behind | None:
        """Whether the pool's index is behind, or away."""
        return self._tell_behind()

    def close(self) -> None:
        """Look no more."""
        self._over = True
        self._changed.set()
        self._thread.join()

    def _run(self) -> None:
        while self._goes_on():
            # Requests are told what is wrong with the pool; a file that was replaced is opened anew.
            with suppress(FacepoolError), self._open_pool() as pool:
                self._follow(pool)
                while self._goes_on():
                    self._follow(pool)

    def _follow(self, pool: Pool) -> None:
        self._tell_outage, self._tell_behind = outage_teller(pool), behind_teller(pool)
        follow(pool)

    def _goes_on(self) -> bool:
        """Wait until there may be something to follow; False: look no more."""
        if not self._over:
            self._changed.wait(_LISTENING_S if self._announcements.listening else self._every_s)
            self._changed.clear()
        return not self._over
