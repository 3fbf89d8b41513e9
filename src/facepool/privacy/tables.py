"""What the tables of a pool have of a person."""

from collections.abc import Sequence
from typing import Any

from facepool.gallery.database import Database
from facepool.gallery.index_rows import IndexRow, gone_from, read_indexes
from facepool.gallery.rows import find_person
from facepool.gallery.schema import uuid_bytes
from facepool.privacy.holdings import Holding, HoldingKind, RetentionLimits, holding

_NOBODY = -1
_COUNTS: dict[HoldingKind, str] = {
    "consents": "SELECT count(*), min(given_at), max(given_at) FROM consents WHERE person_id = ?",
    "templates": """SELECT count(*), min(nullif(templates.created_at, '')), max(templates.created_at) FROM templates
        JOIN samples ON samples.id = templates.sample_id WHERE samples.person_id = ?""",
    "pictures": """SELECT count(*), '', '' FROM pictures
        JOIN samples ON samples.id = pictures.sample_id WHERE samples.person_id = ?""",
    "look_alikes": "SELECT count(*), '', '' FROM look_alikes WHERE ? IN (person_id, other_id)",
    "sightings": "SELECT count(*), min(began_at), max(ended_at) FROM sightings WHERE person_id = ?",
    "taken_for": """SELECT count(*), min(began_at), max(ended_at) FROM sightings
        WHERE first_person_id = ? AND (person_id IS NULL OR person_id != first_person_id)""",
    "suggestions": "SELECT count(*), min(made_at), max(made_at) FROM suggestions WHERE person_id = ?",
}
_DETAILS: dict[HoldingKind, tuple[str, str]] = {
    "templates": (
        "SELECT count(*) FROM samples WHERE learned_from != '' AND person_id = ?",
        "{} of them learned later",
    ),
    "sightings": (
        """SELECT count(*) FROM sighting_faces JOIN sightings ON sightings.id = sighting_faces.sighting_id
        WHERE sightings.person_id = ?""",
        "with {} faces",
    ),
}
_UNDO = "SELECT count(*), min(at), max(at) FROM journal WHERE content LIKE ?"
_NOTICES = "SELECT count(*), min(at), max(at) FROM notices WHERE person = ? OR person_id = ? OR detail = ?"


def held_in_tables(db: Database, place: object, name: str, person_id: str, limits: RetentionLimits) -> list[Holding]:
    """All that the tables of a pool have of somebody.

    Args:
        db: The pool's, at one moment.
        place: Where it is, in words.
        name: What the person is called, or was.
        person_id: Of the person, who may be gone.
        limits: How long things are kept.
    """
    row = _row_of(db, name, person_id)
    found = [_person(db, place, row, limits), _details(db, place, row, limits)]
    for kind, query in _COUNTS.items():
        count, since, until = db.execute(query, (row,)).fetchone()
        detail = _detail(db, kind, row) if count else ""
        found.append(holding(kind, place, int(count), limits, detail=detail, since=since, until=until))
    logs: list[tuple[HoldingKind, str, Sequence[object]]] = [("notices", _NOTICES, (name, person_id or name, name))]
    if person_id:
        logs.append(("undo", _UNDO, (f"%{person_id}%",)))
    for kind, query, values in logs:
        count, since, until = db.execute(query, values).fetchone()
        found.append(holding(kind, place, int(count), limits, since=since, until=until))
    return found


def held_in_indexes(
    db: Database, name: str, person_id: str, limits: RetentionLimits, *, whole_places: bool = True
) -> list[Holding]:
    """What indexes of Milvus have of somebody, as far as the pool's tables know.

    Of somebody who is gone, it is what they may have of anybody who has left: nobody knows any more what was whose.

    Args:
        db: The pool's, at one moment.
        name: What the person is called, or was.
        person_id: Of the person, who may be gone.
        limits: How long things are kept.
        whole_places: Whether the report says where they are.
    """
    row = _row_of(db, name, person_id)
    found = []
    for index in read_indexes(db):
        place = index.place if whole_places else "an index of Milvus"
        if row != _NOBODY:
            found.append(holding("milvus", place, _put_there(db, index, row), limits))
            continue
        left = gone_from(db, index)
        detail = "templates that have left the pool; facepool index sync removes them" if left else ""
        found.append(holding("milvus", place, left, limits, detail=detail))
    return found


def _put_there(db: Database, index: IndexRow, row: int) -> int:
    """How many templates of a person went to an index."""
    which = "templates.id <= ?" if index.state == "filling" else "templates.revision <= ?"
    (count,) = db.execute(
        f"""SELECT count(*) FROM templates JOIN samples ON samples.id = templates.sample_id
        WHERE samples.person_id = ? AND {which}""",  # noqa: S608 -- words of ours
        (row, index.filled if index.state == "filling" else index.position),
    ).fetchone()
    return int(count)


def _row_of(db: Database, name: str, person_id: str) -> int:
    """Of somebody by id, or of whoever has the name; a row that nobody has."""
    uuid = uuid_bytes(person_id)
    by_id = None if uuid is None else db.execute("SELECT id FROM persons WHERE uuid = ?", (uuid,)).fetchone()
    if by_id is not None:
        return int(by_id[0])
    found = find_person(db, name)
    return _NOBODY if found is None else found


def _person(db: Database, place: object, row: int, limits: RetentionLimits) -> Holding:
    (count,) = db.execute("SELECT count(*) FROM persons WHERE id = ?", (row,)).fetchone()
    return holding("person", place, int(count), limits)


def _details(db: Database, place: object, row: int, limits: RetentionLimits) -> Holding:
    said: Any = db.execute("SELECT notes != '', external_id != '' FROM persons WHERE id = ?", (row,)).fetchone()
    notes, external_id = said or (False, False)
    (tags,) = db.execute("SELECT count(*) FROM tags WHERE person_id = ?", (row,)).fetchone()
    parts = [("notes", int(bool(notes))), ("tags", int(tags)), ("external id", int(bool(external_id)))]
    there = ", ".join(word if count == 1 and word != "tags" else f"{count} {word}" for word, count in parts if count)
    return holding("details", place, sum(count for _, count in parts), limits, detail=there)


def _detail(db: Database, kind: HoldingKind, row: int) -> str:
    if kind not in _DETAILS:
        return ""
    query, words = _DETAILS[kind]
    (count,) = db.execute(query, (row,)).fetchone()
    return words.format(count) if count else ""
