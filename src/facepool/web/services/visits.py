"""Which events of the activity belong together: one visit is somebody's stay before one camera."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, Field

from facepool.gallery.database import Database
from facepool.records import Record

AGAIN_WITHIN_S = 120
"""Somebody who is before the same camera again within this time has not left."""
_MOST_ROWS = 100
"""Of a face that is followed, which go over to another visit with it: two faces that take turns would make no end."""


class Visit(BaseModel):
    """Somebody's stay before one camera, from when to when; who is back within two minutes has not left."""

    id: int
    person: str | None = Field(description="null: nobody known")
    person_id: str | None = Field(description="Of the person, whatever they are called; null: nobody known")
    previous: str | None = Field(description="Who it was taken for before")
    source: str = Field(description="Which camera; `browser` for that of the page")
    since: str = Field(description="ISO 8601 in UTC")
    until: str | None = Field(description="The same, of when they were seen last; null: they are in view")
    similarity: float | None = Field(description="The highest at which they were recognized")
    event_id: str | None = Field(
        description="The `id` of the event that says who it is; null: it was kept before events had one"
    )
    sighting: str | None = Field(description="The `id` of the latest sighting, where faces were kept; null: none were")
    named_at: str | None = Field(description="When the face was named later, ISO 8601 in UTC; null: it never was")
    corrected_at: str | None = Field(description="The same, of when somebody corrected who it was")


@dataclass(frozen=True, slots=True)
class VisitRow:
    """What a visit is made of.

    Attributes:
        visit: Its number.
        at: ISO 8601 in UTC.
        event: As of the activity.
        person: Who it is; None: nobody known.
        person_id: Of the person.
        previous: Who it was taken for before.
        source: Which camera.
        similarity: Of the person; None where nothing was compared.
        event_id: Of the event; None: it was kept before events had one.
        sighting: Of the face, where it was kept.
        named_at: When the face was named later.
        corrected_at: When somebody corrected who it was.
    """

    visit: int
    at: str
    event: str
    person: str | None
    person_id: str | None
    previous: str | None
    source: str
    similarity: float | None
    event_id: str | None
    sighting: str | None
    named_at: str | None
    corrected_at: str | None


@dataclass(frozen=True, slots=True)
class Track:
    """A face that is followed.

    Attributes:
        visit: Its visit.
        rows: Its events that go over to another visit with it.
    """

    visit: int
    rows: tuple[int, ...]


class Visits:
    """Gives each event of the activity the number of its visit."""

    def __init__(self) -> None:
        self._open: dict[object, Track] = {}
        """By the number of the track, of which a server has no two alike."""
        self.open_elsewhere: frozenset[int] = frozenset()
        """Those before cameras that other processes watch."""

    @property
    def open(self) -> frozenset[int]:
        """The visits of those who are before a camera of this process."""
        return frozenset(track.visit for track in list(self._open.values()))  # others write meanwhile

    def place(self, db: Database, row: int, record: Record) -> Track:
        """Find the visit of an event that was kept just now.

        A face is of a visit of its own until it is known; then it goes on with a visit of the same person before the
        same camera, if that is not long ago. Who turns out to be somebody else takes what was said of the face along.

        Args:
            db: Of the transaction.
            row: The event's number.
            record: What happened, ``at`` what time and to whom, as it was kept.

        Returns:
            What `keep` is to be told once that is committed.
        """
        number, event = record.get("track"), record["event"]
        track = None if number is None else self._open.get(number)
        rows = (*(track.rows if track else ()), row)[-_MOST_ROWS:]
        visit = row if track is None or event == "changed" else track.visit
        if record["person_id"] is not None and (track is None or event != "lost"):
            visit = self._going_on(db, record, visit) or visit
        db.executemany("UPDATE server_activity SET visit = ? WHERE id = ?", [(visit, kept) for kept in rows])
        return Track(visit, rows)

    def visit_of(self, record: Record) -> int | None:
        """The visit of a face that is followed; None: it is not."""
        track = self._open.get(record.get("track"))
        return None if track is None else track.visit

    def part(self, db: Database, told: Sequence[tuple[int, int]]) -> None:
        """Entries that turned out to be of somebody else are a visit of their own, where somebody is left of theirs.

        Args:
            db: Of the transaction.
            told: The numbers of the entries, and of their visits.
        """
        rows_of: dict[int, list[int]] = {}
        for row, visit in told:
            rows_of.setdefault(visit, []).append(row)
        for visit, rows in rows_of.items():
            everybody = db.execute("SELECT id, person_id FROM server_activity WHERE visit = ?", (visit,)).fetchall()
            others = any(person_id is not None and row not in rows for row, person_id in everybody)
            own = next((row for row in sorted(rows) if row != visit), None)
            if others and own is not None:
                db.executemany("UPDATE server_activity SET visit = ? WHERE id = ?", [(own, row) for row in rows])

    def keep(self, record: Record, track: Track) -> None:
        """A face is followed, until it is lost."""
        if record["event"] == "lost":
            self.end(record)
        elif record.get("track") is not None:
            self._open[record["track"]] = track

    def end(self, record: Record) -> None:
        """Somebody is gone, whether or not that was kept."""
        self._open.pop(record.get("track"), None)

    def of(self, rows: Sequence[VisitRow]) -> list[Visit]:
        """The visits that rows make, newest first.

        Args:
            rows: All rows of each visit, oldest first.
        """
        by_visit: dict[int, list[VisitRow]] = {}
        for row in rows:
            by_visit.setdefault(row.visit, []).append(row)
        present = self.open | self.open_elsewhere
        return [_visit(by_visit[number], number in present) for number in sorted(by_visit, reverse=True)]

    def _going_on(self, db: Database, record: Record, visit: int) -> int | None:
        """The visit of the same person before the same camera that an event belongs to."""
        found = db.execute(
            """SELECT visit, at FROM server_activity WHERE person_id = ? AND source = ? AND visit != ?
            ORDER BY id DESC LIMIT 1""",
            (record["person_id"], record["source"], visit),
        ).fetchone()
        if found is None:
            return None
        earlier, (last, at) = int(found[0]), (datetime.fromisoformat(str(when)) for when in (found[1], record["at"]))
        is_open = earlier in self.open or earlier in self.open_elsewhere
        return earlier if is_open or at - last <= timedelta(seconds=AGAIN_WITHIN_S) else None


def _visit(rows: Sequence[VisitRow], present: bool) -> Visit:  # noqa: FBT001 -- private
    told = [row for row in rows if row.event in ("recognized", "changed")] or list(rows)
    last = told[-1]
    similarities = [row.similarity for row in rows if row.person == last.person and row.similarity is not None]
    return Visit(
        id=last.visit,
        person=last.person,
        person_id=last.person_id,
        previous=last.previous,
        source=last.source,
        since=rows[0].at,
        until=None if present else rows[-1].at,
        similarity=max(similarities, default=None) if last.person is not None else None,
        event_id=last.event_id,
        sighting=next((row.sighting for row in reversed(rows) if row.sighting is not None), None),
        named_at=last.named_at,
        corrected_at=last.corrected_at,
    )
