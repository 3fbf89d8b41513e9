"""Who was seen when, by the cameras of browsers and of the server."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from facepool.web.store import Row, ServerStore, now

_LAST = (1 << 63) - 1
_TIDY_EVERY = 1000
_FORGOTTEN_S = 60.0


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
        days: How long.
    """

    def __init__(self, store: ServerStore, *, days: float = 30) -> None:
        self._store = store
        self._days = days
        self._added = 0
        self._forgotten: dict[str, float] = {}

    def add(self, record: Mapping[str, object]) -> None:
        """Keep an event, in any thread.

        Args:
            record: As ``pipelines.records.event_record`` gives it, with ``source`` for people.
        """
        with self._store.transaction() as db:
            if self._was_forgotten(record.get("person")):
                return
            known = {**record, "previous": None} if self._was_forgotten(record.get("previous")) else record
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

    async def rename(self, old: str, new: str) -> None:
        """A person has another name now."""

        def change() -> None:
            with self._store.transaction() as db:
                db.execute("UPDATE activity SET person = ? WHERE person = ?", (new, old))
                db.execute("UPDATE activity SET previous = ? WHERE previous = ?", (new, old))

        await asyncio.to_thread(change)

    async def forget(self, person: str) -> int:
        """Erase what is known of a person, and wipe the bytes.

        Returns:
            How many entries spoke of them.
        """

        def erase() -> int:
            with self._store.transaction() as db:
                self._forgotten[person] = time.monotonic()
                gone = db.execute("DELETE FROM activity WHERE person = ?", (person,)).rowcount
                gone += db.execute("UPDATE activity SET previous = NULL WHERE previous = ?", (person,)).rowcount
            self._store.wipe()
            return gone

        return await asyncio.to_thread(erase)

    def _was_forgotten(self, person: object) -> bool:
        """Whether somebody was erased just now: a camera that they are before tells of them once more, as lost."""
        self._forgotten = {name: at for name, at in self._forgotten.items() if time.monotonic() - at < _FORGOTTEN_S}
        return person in self._forgotten


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
