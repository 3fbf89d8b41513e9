"""Tells activity and audit log what was done to the pool, from the notices that its changes leave."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from facepool.gallery import Pool
from facepool.gallery.database import Database
from facepool.gallery.notices import NAME_CHANGES, RETELLING, Notice, Retold, erased_names
from facepool.web.services.activity import Activity
from facepool.web.services.audit import Audit
from facepool.web.services.liveness.results import forget_faces
from facepool.web.services.store import ServerStore
from facepool.web.services.writing import PATIENCE_S


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What the logs said of people who were erased.

    Attributes:
        activity: How many entries of the activity.
        audit: How many of the audit log.
    """

    activity: int = 0
    audit: int = 0

    def __bool__(self) -> bool:
        """Whether they said anything."""
        return bool(self.activity or self.audit)


class Logs:
    """Activity and audit log, as those who change the pool see them.

    Args:
        store: Where they are kept.
        activity: Who was seen when.
        audit: Who did what to whom.
    """

    def __init__(self, store: ServerStore, activity: Activity, audit: Audit) -> None:
        self._store = store
        self._activity = activity
        self._audit = audit

    def tell(self, pool: Pool, patience_s: float = PATIENCE_S) -> Mapping[int, Forgotten]:
        """Tell all that a pool has to tell, each notice once however often this is tried, and in their order.

        Args:
            pool: That changed.
            patience_s: How long to wait for others who write to the logs.

        Returns:
            What was forgotten, by the change that erased somebody.

        Raises:
            FacepoolError: One of the two files cannot be written; the rest is still to be told.
        """
        if not pool.owed().notices:
            self._store.hidden = frozenset()
            return {}
        with self._store.transaction(patience_s=patience_s) as db:
            notices = pool.owed().notices  # anew: nobody else tells them now
            known = {uuid for (uuid,) in db.execute("SELECT notice FROM server_told")}
            forgotten = self._write(db, pool, [notice for notice in notices if notice.uuid not in known])
            db.execute("DELETE FROM server_told")
            db.executemany("INSERT INTO server_told (notice) VALUES (?)", [(notice.uuid,) for notice in notices])
        self._store.hidden = frozenset()
        pool.forget_notices([notice.uuid for notice in notices])
        return forgotten

    def hide(self, pool: Pool) -> None:
        """Have readers not see the names that are erased, as long as the logs cannot be told."""
        self._store.hidden = erased_names(pool.owed().notices)

    def forget(self, caller: str, pool: Pool, people: Collection[str]) -> Forgotten:
        """Erase what the logs say of people who are not in the pool.

        Raises:
            FacepoolError: One of the two files cannot be written; nothing was erased.
        """
        self.tell(pool)
        with self._store.transaction() as db:
            forgotten = self._forget(db, people)
            if forgotten:
                self._audit.erased(db, caller, people)
        return forgotten

    def tell_of_index(self, unsaid: Sequence[tuple[Notice, str]], still_in: Collection[str]) -> bool:
        """Say of what was erased that it may still be in an index, and, later, that it has left it.

        Args:
            unsaid: What was erased, and where the index is.
            still_in: Where indexes are that may still have something that was erased.

        Returns:
            Whether all of it has left them.

        Raises:
            FacepoolError: The log cannot be written; all is still to be said.
        """
        with self._store.transaction() as db:
            for notice, place in unsaid:
                self._audit.still_in_index(db, notice, place)
            return self._audit.left_index(db, still_in)

    def _write(self, db: Database, pool: Pool, notices: Sequence[Notice]) -> dict[int, Forgotten]:
        forgotten = {}
        for (change, erasing), several in groupby(notices, lambda notice: (notice.change, notice.action == "erased")):
            if erasing:
                forgotten[change] = self._erase(db, tuple(several))
                continue
            for notice in several:
                if notice.action in NAME_CHANGES:
                    self._activity.rename(db, notice.detail, notice.person, notice.person_id)
                if notice.action in RETELLING:
                    self._retell(db, pool, notice)
                self._audit.keep(db, notice)
        self._forget(db, _who_is_gone(pool, notices))
        return forgotten

    def _retell(self, db: Database, pool: Pool, notice: Notice) -> None:
        """Have the activity say who sightings are; nobody, where that person is gone since."""
        retold = Retold.of(notice)
        if retold.after == notice.person_id:
            person: str | None = notice.person or None
        else:
            known = pool.person_by_id(retold.after)
            person, retold = (known.name, retold) if known else (None, replace(retold, after=""))
        self._activity.retell(db, retold, person, notice.at)

    def _erase(self, db: Database, notices: Sequence[Notice]) -> Forgotten:
        """Several people of one change: the logs are looked through once."""
        forgotten = self._forget(db, [notice.person for notice in notices])
        were_there = [notice for notice in notices if notice.person_id]
        for notice in were_there or (notices if forgotten else ()):
            self._audit.erased(db, notice.caller, [notice.person], notice.at)
        return forgotten

    def _forget(self, db: Database, people: Collection[str]) -> Forgotten:
        if not people:
            return Forgotten()
        forgotten = Forgotten(self._activity.forget(db, people), self._audit.forget(db, people))
        faces = forget_faces(db)
        if forgotten or faces:
            self._store.owe(db)
        return forgotten


def _who_is_gone(pool: Pool, notices: Sequence[Notice]) -> set[str]:
    """Whom notices name although they are in the pool no longer, and no notice says why: no log names them."""
    explained = {notice.detail for notice in notices if notice.action in NAME_CHANGES}
    explained |= {notice.person for notice in notices if notice.action == "erased"}
    named = {(notice.person, notice.person_id) for notice in notices if notice.person_id}
    return {
        name
        for name, person_id in named
        if name not in explained and pool.person_by_id(person_id) is None and pool.person(name) is None
    }
