"""Who was seen while the people of a pool are replaced by those of a backup: links to people by their ids, not rows."""

from dataclasses import dataclass

from facepool.gallery.database import Database
from facepool.gallery.rows import read_space
from facepool.gallery.sighting_rows import delete_empty_groups, next_revision
from facepool.types import EmbeddingSpace

_LINKS = ("person_id", "first_person_id")


@dataclass(frozen=True, slots=True)
class Seen:
    """Whose sightings were, before people are replaced.

    Attributes:
        ever: Whether a sighting was ever kept here.
        space: What the vectors are.
        links: By column, rows of sightings with the ids of people.
    """

    ever: bool
    space: EmbeddingSpace | None
    links: dict[str, list[tuple[int, bytes]]]


def read_seen(db: Database) -> Seen:
    """Remember whose sightings are, and let go of the people, so that these can be deleted without them."""
    ever = bool(db.execute("SELECT kept FROM inbox").fetchone()[0])
    links: dict[str, list[tuple[int, bytes]]] = {}
    for column in _LINKS:
        query = f"SELECT sightings.id, persons.uuid FROM sightings JOIN persons ON persons.id = sightings.{column}"  # noqa: S608 -- columns of ours
        links[column] = [(int(row), bytes(uuid)) for row, uuid in db.execute(query).fetchall()]
    db.execute("UPDATE sightings SET person_id = NULL, first_person_id = NULL")
    return Seen(ever, read_space(db), links)


def put_seen_back(db: Database, seen: Seen, space: EmbeddingSpace | None) -> None:
    """Give sightings to their people again; those of people who are not there any more go.

    Args:
        db: Of the change that has replaced the people.
        seen: What `read_seen` has remembered.
        space: Of the vectors now: faces of another one are of no use.
    """
    if seen.space is not None and (space is None or space.id != seen.space.id):
        db.execute("DELETE FROM sightings")
    there = {bytes(uuid): int(row) for row, uuid in db.execute("SELECT id, uuid FROM persons").fetchall()}
    lost = [(row,) for row, uuid in seen.links["person_id"] if uuid not in there]
    db.executemany("DELETE FROM sightings WHERE id = ?", lost)
    for column, links in seen.links.items():
        values = [(there[uuid], row) for row, uuid in links if uuid in there]
        db.executemany(f"UPDATE sightings SET {column} = ? WHERE id = ?", values)  # noqa: S608 -- columns of ours
    db.execute("DELETE FROM suggestions")  # people may have other templates now
    db.execute("DELETE FROM journal")  # nor can anything be undone that was done to others
    delete_empty_groups(db)
    next_revision(db)
