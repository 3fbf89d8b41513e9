"""What corrections of who was seen need of a gallery beside its `Inbox`: parts of a change, given its tables."""

from collections.abc import Collection

from facepool.gallery.columns import LookAlikes
from facepool.gallery.database import Database
from facepool.gallery.naming_rows import owner_of_template
from facepool.gallery.rows import row_of_person, uuid_of
from facepool.gallery.schema import uuid_bytes, uuid_text
from facepool.gallery.sighting_rows import find_sighting, new_group, next_revision, unknown_sighting


def owners_of(db: Database, faces: Collection[str]) -> dict[str, str]:
    """Of those faces that are templates just as they were seen: the id of whose."""
    rows = {face: owner_of_template(db, face) for face in faces if not _is_learned(db, face)}
    return {face: uuid_text(uuid_of(db, row)) for face, row in rows.items() if row is not None}


def _is_learned(db: Database, face: str) -> bool:
    query = "SELECT samples.learned_from FROM samples JOIN templates ON templates.sample_id = samples.id WHERE uuid = ?"
    row = db.execute(query, (uuid_bytes(face),)).fetchone()
    return row is not None and bool(row[0])


def drop_suggestions(db: Database, sighting_id: str) -> None:
    """Faces of a sighting that turns out to be of somebody else are suggested for nobody any more."""
    faces = "SELECT id FROM sighting_faces WHERE sighting_id = (SELECT id FROM sightings WHERE uuid = ?)"
    db.execute(f"DELETE FROM suggestions WHERE state = 'open' AND face_id IN ({faces})", (uuid_bytes(sighting_id),))  # noqa: S608 -- ours


def unflagged(db: Database, pair: LookAlikes | None) -> list[str]:
    """The ids of two people who are no look-alikes yet; empty, where they are, or there is no pair.

    Raises:
        UnknownPerson: One of them is not there.
    """
    if pair is None:
        return []
    rows = sorted(row_of_person(db, name) for name in pair)
    if db.execute("SELECT 1 FROM look_alikes WHERE person_id = ? AND other_id = ?", rows).fetchone():
        return []
    return [uuid_text(uuid_of(db, row)) for row in rows]


def make_stranger(db: Database, sighting_id: str) -> None:
    """Put a sighting of nobody known into a group of its own.

    Raises:
        UnknownSighting: It is not there.
    """
    row = find_sighting(db, sighting_id)
    if row is None:
        raise unknown_sighting()
    revision = next_revision(db)
    db.execute("UPDATE sightings SET group_id = ?, revision = ? WHERE id = ?", (new_group(db, revision), revision, row))
