"""Lets go of what a server's logs have kept for longer than they may, or more than there is room for."""

import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from facepool.gallery.address import PoolAddress
from facepool.gallery.database import Database
from facepool.privacy.holdings import RetentionLimits
from facepool.web.services.store import ServerStore, open_store

_CHECKS_S = 3600.0
"""Liveness checks are looked back at for so long; each new one lets older ones go, too."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """What went.

    Attributes:
        activity: How many entries of who was seen when.
        audit: How many of who did what to whom.
    """

    activity: int = 0
    audit: int = 0

    def __bool__(self) -> bool:
        """Whether anything did."""
        return bool(self.activity or self.audit)


def tidy_logs(store: ServerStore, limits: RetentionLimits) -> Tidied:
    """Delete what is beyond its limits, and remember that its bytes are to be wiped.

    Raises:
        FacepoolError: The store cannot be written; nothing went.
    """
    checks, audit_days = (time.time() - _CHECKS_S,), limits.audit_days or None
    with store.reading() as db:
        old_checks = db.execute("SELECT count(*) FROM server_liveness WHERE drawn_at < ?", checks).fetchone()[0]
        old_activity = _is_beyond(db, "server_activity", limits.activity_days, limits.activity_entries)
        if not (old_checks or old_activity or _is_beyond(db, "server_audit", audit_days, limits.audit_entries)):
            return Tidied()
    with store.transaction() as db:
        db.execute("DELETE FROM server_liveness WHERE drawn_at < ?", checks)
        audit = _tidy(db, "server_audit", audit_days, limits.audit_entries)
        tidied = Tidied(tidy_activity(db, limits), audit)
        if tidied or old_checks:
            store.owe(db)
    return tidied


def tidy_beside(pool: PoolAddress, limits: RetentionLimits) -> Tidied:
    """The same for a command: in what a server keeps beside a pool; bytes are wiped, or the next server wipes them.

    Raises:
        FacepoolError: It cannot be written; nothing went.
    """
    with closing(open_store(pool)) as store:
        tidied = tidy_logs(store, limits)
        store.wipe()
    return tidied


def tidy_activity(db: Database, limits: RetentionLimits) -> int:
    """Delete entries of the activity that are beyond their limits, as a part of a transaction; how many."""
    return _tidy(db, "server_activity", limits.activity_days, limits.activity_entries)


def _is_beyond(db: Database, table: str, days: float | None, entries: int) -> bool:
    oldest, first, last = db.execute(f"SELECT min(at), min(id), max(id) FROM {table}").fetchone()  # noqa: S608 -- ours
    if oldest is None:
        return False
    return (days is not None and oldest < _days_ago(days)) or bool(entries and last - first >= entries)


def _tidy(db: Database, table: str, days: float | None, entries: int) -> int:
    gone = 0
    if days is not None:
        gone += db.execute(f"DELETE FROM {table} WHERE at < ?", (_days_ago(days),)).rowcount  # noqa: S608 -- ours
    if entries:
        query = f"DELETE FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - ?"  # noqa: S608 -- ours
        gone += db.execute(query, (entries,)).rowcount
    return gone


def _days_ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
