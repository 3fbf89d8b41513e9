"""What a pool knows of its indexes: a row for each collection at a Milvus server, or in a file of milvus-lite.

The pool is the record, and an index follows it: ``IndexRow.position`` is the revision up to which it has everything.
What is newer stands in ``templates.revision`` and ``removed_templates``, nothing of which is ever deleted: they are the
outbox. `facepool.search.turn` brings an index up to date, and is the only one that writes these rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

import numpy as np

from facepool.errors import PoolCorrupt
from facepool.gallery.columns import Numbers
from facepool.gallery.database import Database
from facepool.types import Floats

State = Literal["filling", "whole", "leaving"]
"""``filling``: not everything was put there yet, and nobody searches it. ``whole``: it follows the pool.
``leaving``: another has taken its place, or nobody wants it any more; it is dropped as soon as that can be."""

_STAMP_LETTERS, _STAMPS_KEPT = 16, 40
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
        stamp: Words that were left with the collection one after the other, the newest last, with a space between. If
            it has another one than the newest, somebody else has changed it, or it was put back to what it was.
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
        return cls(
            f"facepool_{uuid4().hex}", place, "filling", dimension, space, position, stamp=uuid4().hex, at=moment()
        )

    @property
    def newest_stamp(self) -> str:
        """What the collection has, too, unless somebody else has changed it, or it was put back."""
        return self.stamp.rpartition(" ")[2]

    def with_new_stamp(self) -> "IndexRow":
        """The row of a collection that is to get another stamp."""
        earlier = self.stamp.split()[-_STAMPS_KEPT:]
        return replace(self, stamp=" ".join([*earlier, uuid4().hex[:_STAMP_LETTERS]]))

    def has_left(self, stamp: str) -> bool:
        """Whether a collection with such a stamp is as this pool has left it, now or once.

        A server that was killed may have forgotten the last one, or all: empty is never somebody else's.
        """
        return not stamp or stamp in self.stamp.split()


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


@dataclass(frozen=True, slots=True)
class Pending:
    """What an index does not have yet of a pool.

    Attributes:
        revision: Of the pool.
        to_put: How many of its templates the index does not have, or not as they are now.
        to_remove: How many the pool has no more, and the index may have.
        replaced: Whether nothing is left of what there was at the index's position, as after a restored backup: then
            nothing says what is gone but a comparison.
    """

    revision: int
    to_put: int
    to_remove: int
    replaced: bool

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.to_put or self.to_remove or self.replaced)


def gone_from(db: Database, row: IndexRow) -> int:
    """How many templates a collection may still have that the pool has no more; 1 where nobody can say how many."""
    pending = pending_of(db, row)
    return max(pending.to_remove, int(pending.replaced or row.state == "leaving"))


def pending_of(db: Database, row: IndexRow) -> Pending:
    """What an index does not have yet, at one moment; as quick as that is little."""
    revision = revision_of(db)
    (oldest,) = db.execute("SELECT min(revision) FROM templates").fetchone()
    is_new = "revision > ?" if row.state == "whole" else "(revision > ? OR id > ?)"
    since = (row.position,) if row.state == "whole" else (row.position, row.filled)
    (to_put,) = db.execute(f"SELECT count(*) FROM templates WHERE {is_new}", since).fetchone()  # noqa: S608 -- ours
    (to_remove,) = db.execute("SELECT count(*) FROM removed_templates WHERE revision > ?", since[:1]).fetchone()
    replaced = revision > row.position and (oldest is None or oldest > row.position)
    return Pending(revision, int(to_put), int(to_remove), replaced)


def revision_of(db: Database) -> int:
    """The pool's revision, as its tables have it."""
    return int(db.execute("SELECT revision FROM state").fetchone()[0])


def dimension_of(db: Database) -> int:
    """The length of the pool's vectors; 0: it has none."""
    row = db.execute("SELECT embedding FROM templates LIMIT 1").fetchone()
    return 0 if row is None else len(row[0]) // 4


Vectors = tuple[Numbers, Floats]
"""(N,) numbers of templates, rising but for those of `newer_vectors`, and their (N, D) vectors."""


def vectors_after(db: Database, number: int, limit: int) -> Vectors:
    """Those of the templates whose numbers follow a number, at most so many."""
    query = "SELECT id, embedding FROM templates WHERE id > ? ORDER BY id LIMIT ?"
    return _vectors(db.execute(query, (number, limit)).fetchall())


def vectors_between(db: Database, first: int, last: int) -> Vectors:
    """Those of the templates with numbers from one to another."""
    query = "SELECT id, embedding FROM templates WHERE id >= ? AND id <= ? ORDER BY id"
    return _vectors(db.execute(query, (first, last)).fetchall())


def newer_vectors(
    db: Database, after: tuple[int, int], revision: int, limit: int
) -> tuple[Vectors, tuple[int, int] | None]:
    """Those of the templates that changed after a point and not after a revision.

    Args:
        db: Of the pool.
        after: Revision and number of the last one that is known.
        revision: The last one that counts.
        limit: How many, at most.

    Returns:
        The vectors; and the point that they lead to, None: there are no more.
    """
    query = """SELECT id, embedding, revision FROM templates
        WHERE (revision, id) > (?, ?) AND revision <= ? ORDER BY revision, id LIMIT ?"""
    rows = db.execute(query, (*after, revision, limit)).fetchall()
    return _vectors([row[:2] for row in rows]), (rows[-1][2], rows[-1][0]) if len(rows) == limit else None


def removed_after(db: Database, position: int, revision: int) -> Numbers:
    """Numbers of templates that are gone since a position, up to a revision."""
    query = "SELECT id FROM removed_templates WHERE revision > ? AND revision <= ? ORDER BY id"
    return np.array(db.execute(query, (position, revision)).fetchall(), np.int64).reshape(-1)


def numbers_after(db: Database, number: int, limit: int) -> Numbers:
    """The numbers of templates that follow a number, rising, at most so many."""
    rows = db.execute("SELECT id FROM templates WHERE id > ? ORDER BY id LIMIT ?", (number, limit)).fetchall()
    return np.array(rows, np.int64).reshape(-1)


def _vectors(rows: Sequence[Any]) -> Vectors:
    if not rows:
        return np.empty(0, np.int64), np.empty((0, 0), np.float32)
    numbers, blobs = zip(*rows, strict=True)
    length = len(blobs[0])
    if length % 4 or any(len(blob) != length for blob in blobs):
        raise PoolCorrupt(
            "The pool is damaged", why="it holds vectors of several lengths", fix="Restore it from a backup"
        )
    vectors = np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), length // 4)
    return np.array(numbers, np.int64), vectors.astype(np.float32)
