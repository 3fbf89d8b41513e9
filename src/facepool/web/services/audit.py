"""Who registered, changed, exported or erased whom."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable, Collection

from pydantic import BaseModel, Field

from facepool.gallery.database import Database
from facepool.gallery.notices import NAME_CHANGES, RETELLING, Notice, Retold
from facepool.web.services.keys import Caller
from facepool.web.services.liveness.record import KeptLiveness, LivenessRecord
from facepool.web.services.store import LAST, Row, ServerStore, insert_entry

STILL_IN_INDEX, LEFT_INDEX = "still in the index", "left the index"
"""Of these, the detail is where the index is."""

_SALT = "audit salt"
_WAITING = """
    SELECT caller, person, person_id, detail FROM server_audit AS said WHERE action = ? AND NOT EXISTS (
        SELECT 1 FROM server_audit AS later WHERE later.id > said.id AND later.action = ?
        AND later.person = said.person AND later.detail = said.detail
    ) ORDER BY id
"""


class AuditEntry(BaseModel):
    """Something that was done."""

    # For ``renamed`` and ``merged``, the detail is the name that is gone.
    id: int
    at: str
    caller: str = Field(description="Name of the key, or `local`")
    action: str
    person: str = Field(description="`erased-` and digits for who was erased since; empty: nobody in particular")
    detail: str
    person_id: str | None = Field(description="Of the person, whatever they are called; null: nobody who is there")
    liveness: KeptLiveness


_COLUMNS = ", ".join(AuditEntry.model_fields)


class Audit:
    """The audit log.

    The name of a person who was erased is no longer in it. In its place stands a keyed digest of the name, so that
    those who know the name still find who erased that person, and when.

    Args:
        store: Where it is kept.
        id_of: The id of somebody who is in the pool now; None: nobody has that name.
    """

    def __init__(self, store: ServerStore, id_of: Callable[[str], str | None]) -> None:
        self._store = store
        self._id_of = id_of
        self._salt = self._make_salt()

    async def add(self, caller: Caller, action: str, person: str = "", detail: str = "") -> None:
        """Say what was done, after it was."""
        await self._store.queue.do(lambda: self.note(caller, action, person, detail))

    def note(
        self,
        caller: Caller,
        action: str,
        person: str = "",
        detail: str = "",
        liveness: LivenessRecord | None = None,
    ) -> None:
        """`add` for threads. Somebody who was erased meanwhile is not named."""
        with self._store.transaction() as db:
            # Inside the transaction: who is erased from the pool after this is taken out after it, too.
            person_id = self._id_of(person) if person else None
            if person and person_id is None:
                person = self._pseudonym(person)
            alive = None if liveness is None else liveness.model_dump_json()
            insert_entry(db, caller.name, action, person, detail, person_id, liveness=alive)

    def keep(self, db: Database, notice: Notice) -> None:
        """Say what was done to the pool, as a part of a transaction of the store, which takes out who is erased."""
        person_id = notice.person_id or None
        detail = Retold.of(notice).words if notice.action in RETELLING else notice.detail
        insert_entry(db, notice.caller, notice.action, notice.person, detail, person_id, notice.at)

    def forget(self, db: Database, people: Collection[str]) -> int:
        """Take the names of people out of everything that was said, as a part of a transaction of the store.

        Returns:
            How many entries spoke of them.
        """
        entries = _about(db, people)
        for entry in entries:
            detail = self._pseudonym(entry.detail) if entry.action in NAME_CHANGES else entry.detail
            values = (self._pseudonym(entry.person), detail, entry.id)
            db.execute("UPDATE server_audit SET person = ?, detail = ?, person_id = NULL WHERE id = ?", values)
        return len(entries)

    def erased(self, db: Database, caller: str, people: Collection[str], at: str | None = None) -> None:
        """Say that people were erased, without naming them, as a part of a transaction of the store."""
        for person in people:
            insert_entry(db, caller, "erased", self._pseudonym(person), at=at)

    def still_in_index(self, db: Database, notice: Notice, place: str) -> None:
        """Say that an index may still have what was erased, as a part of a transaction of the store."""
        is_gone = notice.action == "erased"
        person = self._pseudonym(notice.person) if is_gone else notice.person
        person_id = None if is_gone else notice.person_id or None
        insert_entry(db, notice.caller, STILL_IN_INDEX, person, place, person_id)

    def left_index(self, db: Database, still_in: Collection[str]) -> bool:
        """Say what has left an index since, as a part of a transaction of the store.

        Args:
            db: Of the transaction.
            still_in: Where indexes are that may still have something that was erased.

        Returns:
            Whether that was all.
        """
        waiting = dict.fromkeys(db.execute(_WAITING, (STILL_IN_INDEX, LEFT_INDEX)).fetchall())
        gone = [one for one in waiting if one[-1] not in still_in]
        for caller, person, person_id, place in gone:
            insert_entry(db, caller, LEFT_INDEX, person, place, person_id)
        return len(gone) == len(waiting)

    def erased_of(self, people: Collection[str]) -> frozenset[str]:
        """Who of some people was erased, by the digests of their names."""
        rows = self._store.read("SELECT DISTINCT person FROM server_audit WHERE action = 'erased'")
        digests = {digest for (digest,) in rows}
        return frozenset(name for name in people if self._pseudonym(name) in digests)

    def names(self) -> set[str]:
        """Everybody who is named in it."""
        rows = self._store.read("SELECT DISTINCT person FROM server_audit WHERE substr(person, 1, 7) != 'erased-'")
        return {str(name) for (name,) in rows if name} - self._store.hidden

    async def of(self, person: str) -> list[dict[str, object]]:
        """Everything that was done to a person, under earlier names, too; oldest first."""
        found = await asyncio.to_thread(self.about, person)
        return [entry.model_dump(exclude={"id"}) for entry in found]

    def about(self, person: str) -> list[AuditEntry]:
        """The same in any thread."""
        with self._store.reading() as db:
            return [self._without_erased(entry) for entry in reversed(_about(db, [person]))]

    def times_of_erased(self, person: str) -> list[str]:
        """When something was done, oldest first, to somebody who was erased and was called so."""
        query = "SELECT at FROM server_audit WHERE person = ? ORDER BY id"
        return [str(at) for (at,) in self._store.read(query, (self._pseudonym(person),))]

    async def entries(
        self, *, person: str | None = None, before: int | None = None, limit: int = 100
    ) -> list[AuditEntry]:
        """Entries, newest first.

        Args:
            person: Only those about somebody, even if that person was erased.
            before: Only those with a lower number.
            limit: How many at most.
        """
        about, whom = ("", ()) if person is None else (" AND person IN (?, ?)", (person, self._pseudonym(person)))
        query = f"SELECT {_COLUMNS} FROM server_audit WHERE id < ?{about} ORDER BY id DESC LIMIT ?"  # noqa: S608
        values = (LAST if before is None else before, *whom, limit)
        rows = await asyncio.to_thread(self._store.read, query, values)
        return [self._without_erased(_entry(row)) for row in rows]

    def _without_erased(self, entry: AuditEntry) -> AuditEntry:
        """An entry without names that are erased although the log could not be told yet."""
        hidden = self._store.hidden
        if entry.person in hidden:
            entry.person, entry.person_id = self._pseudonym(entry.person), None
        if entry.action in NAME_CHANGES and entry.detail in hidden:
            entry.detail = self._pseudonym(entry.detail)
        return entry

    def _pseudonym(self, name: str) -> str:
        return f"erased-{hmac.new(self._salt, name.encode(), hashlib.sha256).hexdigest()[:16]}"

    def _make_salt(self) -> bytes:
        kept = self._store.kept(_SALT) or self._store.keep_first(_SALT, {"salt": secrets.token_hex(32)})
        return bytes.fromhex(str(kept["salt"]))


def _about(db: Database, people: Collection[str]) -> list[AuditEntry]:
    """Entries about people under the names that they had at the time, newest first."""
    names, found = set(people), []
    for row in db.execute(f"SELECT {_COLUMNS} FROM server_audit ORDER BY id DESC"):  # noqa: S608
        entry = _entry(row)
        theirs = entry.person in names
        if theirs:
            found.append(entry)
        if entry.action in NAME_CHANGES:  # before it, they had that name
            (names.add if theirs else names.discard)(entry.detail)
    return found


def _entry(row: Row) -> AuditEntry:
    return AuditEntry.model_validate(dict(zip(AuditEntry.model_fields, row, strict=True)))
