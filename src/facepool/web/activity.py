"""Who was seen when, by the cameras of browsers and of the server."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from facepool.web.store import Row, ServerStore, now

_LAST = (1 << 63) - 1
_TIDY_EVERY = 1000


@dataclass(frozen=True, slots=True)
class Sighting:
    """Somebody came, was recognized, or went.

    Attributes:
        id: Counts up.
        at: ISO 8601 in UTC.
        event: ``appeared``, ``recognized``, ``changed`` or ``lost``.
        person: Who it is; None: unknown.
        previous: Who it was taken for before.
        source: Which camera; ``browser`` for that of a page.
        similarity: To the person.
    """

    id: int
    at: str
    event: str
    person: str | None
    previous: str | None
    source: str
    similarity: float | None


class Activity:
    """The log of who was seen.

    Args:
        store: Where it is kept.
        knows: Whether somebody is in the pool now.
        days: How long.
    """

    def __init__(self, store: ServerStore, knows: Callable[[str], bool], *, days: float = 30) -> None:
        self._store = store
        self._knows = knows
        self._days = days
        self._added = 0

    def add(self, record: Mapping[str, object]) -> None:
        """Keep an event, in any thread; not one of somebody whose name is gone from the pool.

        Whoever was erased or renamed may still be before a camera, which tells of the old name as lost once more.

        Args:
            record: As ``records.event_record`` gives it, with ``source`` for people.
        """
        with self._store.transaction() as db:
            # Inside the transaction: a name that goes from the pool after this is taken out after it, too.
            if self._is_gone(record.get("person")):
                return
            known = {**record, "previous": None} if self._is_gone(record.get("previous")) else record
            values = [known.get(name) for name in ("event", "person", "previous", "source", "similarity")]
            db.execute(
                "INSERT INTO activity (at, event, person, previous, source, similarity) VALUES (?, ?, ?, ?, ?, ?)",
                (now(), *values),
            )
            if self._added % _TIDY_EVERY == 0:
                oldest = datetime.now(UTC) - timedelta(days=self._days)
                db.execute("DELETE FROM activity WHERE at < ?", (oldest.isoformat(timespec="seconds"),))
            self._added += 1

    async def entries(
        self, *, person: str | None = None, before: int | None = None, limit: int = 100
    ) -> list[Sighting]:
        """Entries, newest first.

        Args:
            person: Only those of somebody.
            before: Only those with a lower number.
            limit: How many at most.
        """
        query = "SELECT * FROM activity WHERE id < ? AND (? IS NULL OR person = ?) ORDER BY id DESC LIMIT ?"
        values = (_LAST if before is None else before, person, person, limit)
        return [_sighting(row) for row in await asyncio.to_thread(self._store.read, query, values)]

    async def of(self, person: str) -> list[dict[str, object]]:
        """Everything about a person, oldest first."""
        query = "SELECT * FROM activity WHERE person = ? OR previous = ? ORDER BY id"
        rows = await asyncio.to_thread(self._store.read, query, (person, person))
        return [asdict(_sighting(row)) for row in rows]

    def rename(self, old: str, new: str) -> None:
        """A person has another name now; in a thread, because it writes."""
        with self._store.transaction() as db:
            db.execute("UPDATE activity SET person = ? WHERE person = ?", (new, old))
            db.execute("UPDATE activity SET previous = ? WHERE previous = ?", (new, old))

    def forget(self, db: sqlite3.Connection, people: Collection[str]) -> int:
        """Erase what is known of people, as a part of a transaction of the store.

        Returns:
            How many entries spoke of them.
        """
        names = (json.dumps(list(people)),)
        gone = db.execute("DELETE FROM activity WHERE person IN (SELECT value FROM json_each(?))", names).rowcount
        nameless = "UPDATE activity SET previous = NULL WHERE previous IN (SELECT value FROM json_each(?))"
        return gone + db.execute(nameless, names).rowcount

    def names(self) -> set[str]:
        """Everybody whom it speaks of."""
        rows = self._store.read("SELECT person FROM activity UNION SELECT previous FROM activity")
        return {name for (name,) in rows if isinstance(name, str)}

    def _is_gone(self, name: object) -> bool:
        return isinstance(name, str) and not self._knows(name)


def _sighting(row: Row) -> Sighting:
    number, at, event, person, previous, source, similarity = row
    return Sighting(
        int(str(number)),
        str(at),
        str(event),
        None if person is None else str(person),
        None if previous is None else str(previous),
        str(source),
        similarity if isinstance(similarity, float) else None,
    )
