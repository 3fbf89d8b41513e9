"""What a pool knows of its indexes: a row for each collection at a Milvus server, or in a file of milvus-lite.

The pool is the record, and an index follows it: ``IndexRow.position`` is the revision up to which it has everything.
What is newer stands in ``templates.revision`` and ``removed_templates``, nothing of which is ever deleted: they are the
outbox. `facepool.search.follower` brings an index up to date, and is the only one that writes these rows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from facepool.gallery.database import Database

State = Literal["filling", "whole", "leaving"]
"""``filling``: not everything was put there yet, and nobody searches it. ``whole``: it follows the pool.
``leaving``: another has taken its place, or nobody wants it any more; it is dropped as soon as that can be."""

_COLUMNS = "collection, place, state, dimension, space, position, filled, stamp, at, failure, failed_since"


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One collection of vectors that belongs to a pool.

    Attributes:
        collection: What the engine calls it: a random name, so that two pools, or a copy of one, never share one.
        place: Where it is, as `IndexAddress.place`.
        state: Of what use it is.
        dimension: Length of its vectors.
        space: Id of the embedding space of its vectors; empty: the pool did not say.
        position: The revision of the pool up to which it has everything, and nothing that was gone then.
        filled: While it is filled: the number of the last template that was put there.
        stamp: What the collection itself says, too, when nobody else has changed it: new each time.
        at: When the position was written, ISO 8601 in UTC with seconds.
        failure: Code of what went wrong when it was last to be brought up to date; empty: nothing.
        failed_since: Since when it goes wrong, as ``at``; empty: it does not.
    """

    collection: str
    place: str
    state: State
    dimension: int
    space: str
    position: int = 0
    filled: int = 0
    stamp: str = ""
    at: str = ""
    failure: str = ""
    failed_since: str = ""

    @classmethod
    def new(cls, place: str, dimension: int, space: str, position: int) -> "IndexRow":
        """Of a collection that is to be made, and filled from what the pool has at a revision."""
        return cls(f"facepool_{uuid4().hex}", place, "filling", dimension, space, position, at=moment())


def moment() -> str:
    """Now, ISO 8601 in UTC with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_indexes(db: Database) -> list[IndexRow]:
    """All rows, oldest first."""
    return [IndexRow(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM indexes ORDER BY id").fetchall()]  # noqa: S608 -- ours


def read_index(db: Database, place: str) -> IndexRow | None:
    """The collection at a place that can be searched; None: there is none, or it is not whole yet."""
    query = f"SELECT {_COLUMNS} FROM indexes WHERE place = ? AND state = 'whole' ORDER BY id DESC LIMIT 1"  # noqa: S608 -- ours
    row = db.execute(query, (place,)).fetchone()
    return None if row is None else IndexRow(*row)


def write_index(db: Database, row: IndexRow) -> None:
    """Keep what a row says now, in place of what it said."""
    values = (row.place, row.state, row.dimension, row.space, row.position, row.filled, row.stamp, row.at)
    db.execute(
        """INSERT INTO indexes
            (collection, place, state, dimension, space, position, filled, stamp, at, failure, failed_since)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (collection) DO UPDATE SET
            state = excluded.state, position = excluded.position, filled = excluded.filled, stamp = excluded.stamp,
            at = excluded.at, failure = excluded.failure, failed_since = excluded.failed_since""",
        (row.collection, *values, row.failure, row.failed_since),
    )


def delete_index(db: Database, collection: str) -> None:
    """Forget a collection that is not there any more."""
    db.execute("DELETE FROM indexes WHERE collection = ?", (collection,))
