"""Who was seen by the cameras of browsers and of the server: what is kept of it, and what happens now."""

import asyncio
import json
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from itertools import chain
from typing import Any, TypeGuard

from pydantic import BaseModel, Field

from facepool.errors import DiskFull, FacepoolError, PoolLocked, PoolUnreachable
from facepool.gallery.database import Database
from facepool.gallery.notices import Retold
from facepool.privacy.holdings import RetentionLimits
from facepool.recognize.events import Event
from facepool.records import Record, event_record
from facepool.types import Frame
from facepool.web.services.announcements import Fields, fits
from facepool.web.services.liveness.record import KeptLiveness
from facepool.web.services.processes import OneProcess, Processes
from facepool.web.services.retention import tidy_activity
from facepool.web.services.store import LAST, ServerStore, now
from facepool.web.services.visits import Visit, VisitRow, Visits

_TIDY_EVERY = 1000
_MOST_WAITING = 200
_CAMERAS_PATIENCE_S = 0.2
"""A camera does not stop looking for longer than that because another program writes."""
_MOST_LATE = 2000
_LATE_PAUSE_S = 0.2
_PASSING = (PoolLocked, PoolUnreachable, DiskFull)
"""What keeps events from being written down for a while."""
_LOG = logging.getLogger(__name__)
_INSERT = """
    INSERT INTO server_activity (
        at, event, person, previous, source, similarity, person_id, event_id, sighting, named_at, corrected_at, liveness
    )
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
"""
# That somebody came is kept before anybody knows who it is: it goes with a visit that was theirs alone.
_FORGET_COMING = """
    DELETE FROM server_activity WHERE person IS NULL
        AND visit IN (SELECT visit FROM server_activity WHERE person IN ({people}))
        AND NOT EXISTS (
            SELECT 1 FROM server_activity AS other WHERE other.visit = server_activity.visit
                AND other.person IS NOT NULL AND other.person NOT IN ({people})
        )
"""


class ActivityEntry(BaseModel):
    """Somebody came, was recognized, or went."""

    id: int
    at: str = Field(description="ISO 8601 in UTC")
    event: str = Field(description="`appeared`, `recognized`, `changed` or `lost`")
    person: str | None = Field(description="null: nobody known")
    previous: str | None = Field(description="Who it was taken for before")
    source: str = Field(description="Which camera; `browser` for that of the page")
    similarity: float | None
    person_id: str | None = Field(description="Of the person, whatever they are called; null: nobody known")
    event_id: str | None = Field(description="The `id` of the event; null: it was kept before events had one")
    visit: int = Field(description="The `id` of the visit that it belongs to")
    sighting: str | None = Field(description="The `id` of the sighting, where the face was kept; null: it was not")
    named_at: str | None = Field(description="When the face was named later, ISO 8601 in UTC; null: it never was")
    corrected_at: str | None = Field(description="The same, of when somebody corrected who it was")
    liveness: KeptLiveness


# What comes before it is known that a face is kept has no sighting: it is of the same visit, and nobody's. Where no
# face was kept, all of the visit is told anew.
_RETELL = """
    UPDATE server_activity SET person = ?, person_id = ?, {mark} = ?
    WHERE coalesce(person_id, '') = ? AND {which} AND (
        sighting IN ({each}) OR sighting IS NULL
            AND (person_id IS NULL OR named_at IS NOT NULL OR corrected_at IS NOT NULL)
            AND visit IN (SELECT found.visit FROM server_activity AS found WHERE found.sighting IN ({each}))
        OR visit IN (SELECT found.visit FROM server_activity AS found WHERE found.event_id IN ({each}))
    ) RETURNING id, visit
"""
_CORRECTED = """
    SELECT person, person_id, named_at, corrected_at FROM server_activity
    WHERE visit = ? AND event IN ('recognized', 'changed') ORDER BY id DESC LIMIT 1
"""
_NOBODY = """
    UPDATE server_activity SET person = NULL, person_id = NULL, named_at = NULL, corrected_at = NULL
    WHERE person_id = ?
"""
_RETOLD = """
    SELECT person, person_id, named_at, corrected_at FROM server_activity
    WHERE sighting = ? AND coalesce(named_at, corrected_at) IS NOT NULL LIMIT 1
"""

_COLUMNS = ", ".join(ActivityEntry.model_fields)
_COLUMNS_OF_VISITS = ", ".join(field.name for field in fields(VisitRow))


class Activity:
    """The log of who was seen.

    Args:
        store: Where it is kept.
        id_of: The id of somebody who is in the pool now; None: nobody has that name.
        limits: How long.
        others: Passes an event on to other programs, with the key of the camera.
        processes: Those that serve the same pool: their listeners hear of events, too.
    """

    def __init__(
        self,
        store: ServerStore,
        id_of: Callable[[str], str | None],
        *,
        limits: RetentionLimits = RetentionLimits(),  # noqa: B008 -- it never changes
        others: Callable[[Record, str], None] = lambda _record, _camera: None,
        processes: Processes | None = None,
    ) -> None:
        self._store = store
        self._processes = processes or OneProcess()
        self._announcements = self._processes.announcements
        self._announcements.hear("event", self._hear)
        self._others = others
        self._id_of = id_of
        self._limits = limits
        self._added = 0
        self._late: deque[tuple[Record, str]] = deque(maxlen=_MOST_LATE)
        self._late_lock = threading.Lock()
        self._late_for: FacepoolError | None = None
        self._keeper: threading.Thread | None = None
        self._closing = threading.Event()
        self._visits = Visits()
        self.events = Events()
        """What happens now, for those who listen."""

    def emit(self, source: str, frame: Frame, events: Sequence[Event], *, camera: str = "") -> None:
        """Keep what happened before a camera, and pass it on to listeners; in a thread, because it writes.

        Args:
            source: Which camera, for people; ``browser`` for that of a page.
            frame: With which it happened.
            events: What happened.
            camera: Its key for other programs, where it is one of the server's.
        """
        for event in events:
            record = self._keep_now_or_late({**event_record(frame, event), "source": source})
            self.events.publish(record)
            self._announce(record)
            self._others(record, camera)

    def tell(self, record: Record, camera: str = "") -> None:
        """Pass on news that are of no track and are not kept here, such as that somebody unknown is there again.

        Args:
            record: With ``id``, ``at``, ``event`` and ``source``, as events have them.
            camera: The camera's key for other programs, where it is one of the server's.
        """
        self.events.publish(record)
        self._announce(record)
        self._others(record, camera)

    def close(self) -> None:
        """Keep what waits to be kept, if the file is free now."""
        self._closing.set()
        with self._late_lock:
            keeper = self._keeper
        if keeper is not None:
            keeper.join()

    def add(self, record: Record, at: str | None = None, *, patience_s: float | None = None) -> Record:
        """Keep an event, in any thread; not one of somebody whose name is gone from the pool.

        Somebody who was erased or renamed may still be before a camera, which emits the old name as lost once more.

        Args:
            record: As ``records.event_record`` gives it, with ``source`` for people.
            at: When it happened, as `now` gives it; None: now.
            patience_s: How long to wait for others who write; None: as the store was made.

        Returns:
            What others may hear of it: the record, without the names that are gone.
        """
        at = at or now()
        with self._store.transaction(patience_s=patience_s) as db:
            # Inside the transaction: a name that goes from the pool after this is taken out after it, too.
            person, previous = record.get("person"), record.get("previous")
            person_id = self._id_of(person) if isinstance(person, str) else None
            named_at = corrected_at = None
            if (told := _told_meanwhile(db, record, person, self._visits.visit_of(record))) is not None:
                person, person_id, named_at, corrected_at = told
            if isinstance(previous, str) and self._id_of(previous) is None:
                previous = None
            if person is not None and person_id is None:
                if record["event"] == "lost":
                    self._visits.end(record)
                return {**record, "person": None, "person_id": None, "previous": previous}
            seen = (record["event"], person, previous, record["source"], record.get("similarity"))
            values = (at, *seen, person_id, record.get("id"), record.get("sighting"))
            if _is_kept(db, record):
                return {**record, "previous": previous}
            alive = record.get("liveness")
            alive = None if alive is None else json.dumps(alive)
            row = int(db.execute(_INSERT, (*values, named_at, corrected_at, alive)).fetchone()[0])
            track = self._visits.place(db, row, record | {"at": at, "person_id": person_id})
            if self._added % _TIDY_EVERY == 0:
                tidy_activity(db, self._limits)
        self._visits.keep(record, track)
        self._added += 1
        return {**record, "previous": previous}

    async def entries(
        self, *, person: str | None = None, before: int | None = None, limit: int = 100
    ) -> list[ActivityEntry]:
        """Entries, newest first.

        Args:
            person: Only those of somebody.
            before: Only those with a lower number.
            limit: How many at most.
        """
        theirs, whose = ("", ()) if person is None else (" AND person = ?", (person,))
        query = f"SELECT {_COLUMNS} FROM server_activity WHERE id < ?{theirs} ORDER BY id DESC LIMIT ?"  # noqa: S608
        return await self._read(query, LAST if before is None else before, *whose, limit)

    async def visits(self, *, person: str | None = None, before: int | None = None, limit: int = 100) -> list[Visit]:
        """Visits, newest first.

        Args:
            person: Only those of somebody.
            before: Only those with a lower number.
            limit: How many at most.
        """
        theirs, whose = ("", ()) if person is None else (" AND person = ?", (person,))
        visits = f"SELECT DISTINCT visit FROM server_activity WHERE visit < ?{theirs} ORDER BY visit DESC LIMIT ?"  # noqa: S608
        query = f"SELECT {_COLUMNS_OF_VISITS} FROM server_activity WHERE visit IN ({visits}) ORDER BY id"  # noqa: S608
        values = (LAST if before is None else before, *whose, limit)
        rows = await asyncio.to_thread(self._store.read, query, values)
        shown = [VisitRow(*row) for row in rows]  # type: ignore[arg-type] # STRICT tables
        hidden = {row.visit for row in shown if row.person in self._store.hidden}
        return self._visits.of([self._without_erased(row) for row in shown if row.visit not in hidden])

    def of_event(self, one: str) -> ActivityEntry | None:
        """What is kept of an event, or the latest of a sighting, in any thread.

        Args:
            one: The id of either.

        Returns:
            None: nothing is, or it speaks of somebody who is being erased.
        """
        query = f"SELECT {_COLUMNS} FROM server_activity WHERE event_id = ? OR sighting = ? ORDER BY id DESC LIMIT 1"  # noqa: S608
        return next(iter(self._entries_of(self._store.read(query, (one, one)))), None)

    def open_visits(self) -> list[int]:
        """The visits of those who are before a camera of this process."""
        return sorted(self._visits.open)

    def hear_of_visits(self, theirs: Sequence[object]) -> None:
        """Take note of what the other processes say of theirs."""
        numbers = chain.from_iterable(visits for visits in theirs if isinstance(visits, list))
        self._visits.open_elsewhere = frozenset(number for number in numbers if isinstance(number, int))

    async def of(self, person: str) -> list[dict[str, object]]:
        """Everything about a person, oldest first."""
        query = f"SELECT {_COLUMNS} FROM server_activity WHERE person = ? OR previous = ? ORDER BY id"  # noqa: S608
        found = await self._read(query, person, person)
        return [entry.model_dump() for entry in found]

    def rename(self, db: Database, old: str, new: str, person_id: str) -> None:
        """A person has another name now, or has become another person; as a part of a transaction of the store."""
        db.execute("UPDATE server_activity SET person = ?, person_id = ? WHERE person = ?", (new, person_id, old))
        db.execute("UPDATE server_activity SET previous = ? WHERE previous = ?", (new, old))

    def retell(self, db: Database, retold: Retold, person: str | None, at: str) -> None:
        """Say of sightings who they are, as a part of a transaction of the store.

        Args:
            db: Of the transaction.
            retold: Which, and who they were taken for.
            person: The name of who they are; None: nobody known.
            at: When that was done.
        """
        if retold.gone:
            db.execute(_NOBODY, (retold.before,))
            return
        mark, each = retold.mark, self._store.each_text
        which = "TRUE" if retold.marked else f"{mark} IS NOT NULL"
        values = (person, retold.after or None, at if retold.marked else None, retold.before)
        sightings, events = json.dumps(retold.sightings), json.dumps(retold.events)
        rows = db.execute(_RETELL.format(mark=mark, which=which, each=each), (*values, sightings, sightings, events))
        self._visits.part(db, [(int(row), int(visit)) for row, visit in rows.fetchall()])

    def forget(self, db: Database, people: Collection[str]) -> int:
        """Erase what is known of people, as a part of a transaction of the store.

        Returns:
            How many entries spoke of them.
        """
        names, each = (json.dumps(list(people)),), self._store.each_text
        db.execute(_FORGET_COMING.format(people=each), names * 2)
        gone = db.execute(f"DELETE FROM server_activity WHERE person IN ({each})", names).rowcount  # noqa: S608
        nameless = f"UPDATE server_activity SET previous = NULL WHERE previous IN ({each})"  # noqa: S608
        return gone + db.execute(nameless, names).rowcount

    def names(self) -> set[str]:
        """Everybody whom it speaks of."""
        rows = self._store.read("SELECT person FROM server_activity UNION SELECT previous FROM server_activity")
        return {name for (name,) in rows if isinstance(name, str)} - self._store.hidden

    def _announce(self, record: Record) -> None:
        """Tell the listeners of other processes; an event that is too long for that, by what is kept of it."""
        if fits({"event": record}):
            self._announcements.send("event", {"event": record})
        else:
            self._announcements.send("event", {"event_id": record["id"]})

    def _hear(self, fields: Fields) -> None:
        """Pass on an event that another process has announced; whatever is none may come from anybody."""
        event_id = fields.get("event_id")
        record = self._kept_event(event_id) if isinstance(event_id, str) else fields.get("event")
        if _is_event(record):
            hidden = self._store.hidden
            if record.get("person") not in hidden and record.get("previous") not in hidden:
                self.events.publish(record)

    def _kept_event(self, event_id: str) -> Record | None:
        names = ("id", "at", "event", "person", "previous", "source", "similarity", "person_id", "sighting")
        rows = self._store.read(
            "SELECT event_id, at, event, person, previous, source, similarity, person_id, sighting "
            "FROM server_activity WHERE event_id = ? ORDER BY id DESC LIMIT 1",
            (event_id,),
        )
        return dict(zip(names, rows[0], strict=True)) if rows else None

    def _without_erased(self, row: VisitRow) -> VisitRow:
        return replace(row, previous=None) if row.previous in self._store.hidden else row

    def _keep_now_or_late(self, record: Record) -> Record:
        """`add`; while it cannot be written down, what happens waits in memory and others hear of it."""
        at = now()
        with self._late_lock:
            if not self._late:
                try:
                    return self.add(record, at, patience_s=_CAMERAS_PATIENCE_S)
                except _PASSING as error:
                    self._late_for = error
            if len(self._late) == _MOST_LATE:
                _LOG.warning("the activity cannot be written: the oldest event that waits is left out")
            self._late.append((record, at))
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep_late, name="facepool-activity", daemon=True)
                self._keeper.start()
        return self._without_names_that_are_gone(record)

    def _keep_late(self) -> None:
        """Keep what waits, oldest first, until all is kept or the server ends."""
        while True:
            with self._late_lock:
                if not self._late:
                    self._keeper = None
                    return
                record, at = self._late[0]
            try:
                self.add(record, at)
            except _PASSING as error:
                self._late_for = error
                if self._closing.wait(_LATE_PAUSE_S):
                    _LOG.warning("%d events of the activity could not be written", len(self._late))
                    return
                continue
            except FacepoolError as error:
                _LOG.warning("an event of the activity could not be written: %s", error)
            with self._late_lock:
                if self._late and self._late[0][0] is record:  # else it was left out meanwhile
                    self._late.popleft()

    def _without_names_that_are_gone(self, record: Record) -> Record:
        if isinstance(self._late_for, PoolUnreachable):  # nor can anybody be erased
            return record
        names = [record.get("person"), record.get("previous")]
        person, previous = (name if isinstance(name, str) and self._id_of(name) else None for name in names)
        gone = {"person": None, "person_id": None} if person is None and names[0] is not None else {}
        return {**record, **gone, "previous": previous}

    async def _read(self, query: str, *values: object) -> list[ActivityEntry]:
        return self._entries_of(await asyncio.to_thread(self._store.read, query, values))

    def _entries_of(self, rows: Iterable[Sequence[object]]) -> list[ActivityEntry]:
        hidden, entries = self._store.hidden, []
        for row in rows:
            entry = ActivityEntry.model_validate(dict(zip(ActivityEntry.model_fields, row, strict=True)))
            if entry.previous in hidden:
                entry.previous = None
            if entry.person not in hidden:
                entries.append(entry)
        return entries


class Events:
    """Passes records on to listeners; one that is too slow misses the oldest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[asyncio.Queue[Record], asyncio.AbstractEventLoop] = {}

    def publish(self, record: Record) -> None:
        """Pass a record on to everybody, from any thread."""
        with self._lock:
            listeners = list(self._listeners.items())
        for queue, loop in listeners:
            with suppress(RuntimeError):  # the loop has ended, and with it the listener
                loop.call_soon_threadsafe(_put, queue, record)

    async def listen(self, over: asyncio.Event) -> AsyncIterator[Record]:
        """Records from now on, until the listener stops listening.

        Args:
            over: Set when there is to be no more.
        """
        queue: asyncio.Queue[Record] = asyncio.Queue(_MOST_WAITING)
        with self._lock:
            self._listeners[queue] = asyncio.get_running_loop()
        ending, coming = asyncio.ensure_future(over.wait()), asyncio.ensure_future(queue.get())
        try:
            while True:
                await asyncio.wait((coming, ending), return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    return
                record, coming = coming.result(), asyncio.ensure_future(queue.get())
                yield record
        finally:
            coming.cancel()
            ending.cancel()
            with self._lock:
                del self._listeners[queue]


def _is_event(told: object) -> TypeGuard[Record]:
    """Whether something has what those who listen look at."""
    if not isinstance(told, dict) or not {"id", "event"} <= told.keys():
        return False
    return all(isinstance(told.get(name), str | None) for name in ("id", "event", "person", "previous", "source"))


def _is_kept(db: Database, record: Record) -> bool:
    """Whether an event was kept by an earlier try, of which the database could not tell us any more."""
    event_id = record.get("id")
    query = "SELECT 1 FROM server_activity WHERE event_id = ?"
    return event_id is not None and db.execute(query, (event_id,)).fetchone() is not None


def _told_meanwhile(db: Database, record: Record, person: object, visit: int | None) -> tuple[Any, ...] | None:
    """Who a face is that was named or corrected while it was followed: name, id, and when either was; None: it was not.

    What was named later may turn out to be somebody else; what was corrected stays. Where no face was kept, it is lost
    as whom its visit was corrected to.
    """
    sighting = record.get("sighting")
    if sighting is not None:
        row = db.execute(_RETOLD, (sighting,)).fetchone()
    elif record["event"] == "lost" and visit is not None:
        row = db.execute(_CORRECTED, (visit,)).fetchone()
    else:
        return None
    if row is None or (person is not None and row[3] is None):
        return None
    return tuple(row)


def _put(queue: asyncio.Queue[Record], record: Record) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(record)
