"""Who registered, changed, exported or erased whom."""

import asyncio
import hashlib
import hmac
import secrets
import sqlite3
from dataclasses import dataclass

from facepool.web.keys import Caller
from facepool.web.store import Row, ServerStore, now

_NAME_CHANGES = ("renamed", "merged")
_LAST = (1 << 63) - 1
_SALT = "audit salt"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that was done.

    Attributes:
        id: Counts up.
        at: ISO 8601 in UTC.
        caller: Name of the key, or ``local``.
        action: In one or two words.
        person: Whom it was about; ``erased-`` and digits for who was erased since; empty: nobody in particular.
        detail: What else there is to say; for ``renamed`` and ``merged`` the name that is gone.
    """

    id: int
    at: str
    caller: str
    action: str
    person: str
    detail: str


class Audit:
    """The audit log.

    The name of a person who was erased is no longer in it. In its place stands a keyed digest of the name, so that
    whoever knows the name still finds who erased that person, and when.

    Args:
        store: Where it is kept.
    """

    def __init__(self, store: ServerStore) -> None:
        self._store = store
        self._salt = self._make_salt()

    async def add(self, caller: Caller, action: str, person: str = "", detail: str = "") -> None:
        """Say what was done, after it was."""
        await asyncio.to_thread(self.note, caller, action, person, detail)

    def note(self, caller: Caller, action: str, person: str = "", detail: str = "") -> None:
        """`add` for threads."""
        with self._store.transaction() as db:
            _insert(db, caller, action, person, detail)

    async def erased(self, caller: Caller, person: str) -> None:
        """Say that a person was erased, and take the name out of everything that was said before."""
        await asyncio.to_thread(self._erase, caller, person)

    async def of(self, person: str) -> list[dict[str, object]]:
        """Everything that was done to a person, under earlier names, too; oldest first."""

        def read() -> list[dict[str, object]]:
            with self._store.transaction() as db:
                return [_record(entry) for entry, _ in reversed(_about(db, person))]

        return await asyncio.to_thread(read)

    async def entries(
        self, *, person: str | None = None, before: int | None = None, limit: int = 100
    ) -> list[AuditEntry]:
        """Entries, newest first.

        Args:
            person: Only those about somebody, even if that person was erased.
            before: Only those with a lower number.
            limit: How many at most.
        """
        query = "SELECT * FROM audit WHERE id < ? AND (? IS NULL OR person IN (?, ?)) ORDER BY id DESC LIMIT ?"
        alias = None if person is None else self._pseudonym(person)
        values = (_LAST if before is None else before, person, person, alias, limit)
        return [_entry(row) for row in await asyncio.to_thread(self._store.read, query, values)]

    def _erase(self, caller: Caller, person: str) -> None:
        with self._store.transaction() as db:
            for entry, names in _about(db, person):
                detail = self._pseudonym(entry.detail) if entry.action in _NAME_CHANGES else entry.detail
                alias = self._pseudonym(entry.person) if entry.person in names else entry.person
                db.execute("UPDATE audit SET person = ?, detail = ? WHERE id = ?", (alias, detail, entry.id))
            _insert(db, caller, "erased", self._pseudonym(person), "")
        self._store.wipe()

    def _pseudonym(self, name: str) -> str:
        return f"erased-{hmac.new(self._salt, name.encode(), hashlib.sha256).hexdigest()[:16]}"

    def _make_salt(self) -> bytes:
        found = self._store.kept(_SALT).get("salt")
        if isinstance(found, str):
            return bytes.fromhex(found)
        salt = secrets.token_bytes(32)
        self._store.keep(_SALT, {"salt": salt.hex()})
        return salt


def _insert(db: sqlite3.Connection, caller: Caller, action: str, person: str, detail: str) -> None:
    db.execute(
        "INSERT INTO audit (at, caller, action, person, detail) VALUES (?, ?, ?, ?, ?)",
        (now(), caller.name, action, person, detail),
    )


def _about(db: sqlite3.Connection, person: str) -> "list[tuple[AuditEntry, frozenset[str]]]":
    """Entries about a person, newest first, each with the names that the person had until then."""
    names, found = {person}, []
    for row in db.execute("SELECT * FROM audit ORDER BY id DESC"):
        entry = _entry(row)
        if entry.person in names:
            found.append((entry, frozenset(names)))
            if entry.action in _NAME_CHANGES:
                names.add(entry.detail)
    return found


def _entry(row: Row) -> AuditEntry:
    number, at, caller, action, person, detail = row
    return AuditEntry(int(str(number)), str(at), str(caller), str(action), str(person), str(detail))


def _record(entry: AuditEntry) -> dict[str, object]:
    return {
        "at": entry.at,
        "caller": entry.caller,
        "action": entry.action,
        "person": entry.person,
        "detail": entry.detail,
    }
