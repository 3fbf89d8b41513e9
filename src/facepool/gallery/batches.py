"""Many templates at once, as columns: read from one gallery, stored in another, or loaded from arrays.

A `TemplateBatch` holds everything that a gallery keeps of its templates, so that millions of them go from one kind of
gallery into another without an object for each.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from typing import Any
from uuid import UUID

from facepool.gallery.checks import folded
from facepool.gallery.database import Database, parts_of, select
from facepool.types import Floats, counted, one_line

SAMPLE_COLUMNS = (
    "source",
    "frame",
    "appearance",
    "partial",
    "yaw",
    "pitch",
    "roll",
    "frontal_yaw",
    "frontal_pitch",
    "frontal_roll",
    "time_s",
    "quality",
    "score",
    "size_px",
    "learned_from",
)
"""Of the table ``samples``, where a template comes from and what was measured of its face."""
"""Of one query: SQLite's own limit was 999 once."""
_LOADED = UUID("6f0b5f54-2a0f-4b39-9d43-6f5f0d6c0b57")
"""What the ids of templates are derived in that were loaded from arrays."""
_BATCH = f"""
    SELECT templates.id, templates.uuid, persons.name, persons.uuid, templates.embedding, templates.created_at,
        templates.model, {", ".join(f"samples.{column}" for column in SAMPLE_COLUMNS)}
    FROM templates JOIN samples ON samples.id = templates.sample_id JOIN persons ON persons.id = samples.person_id
    WHERE templates.id > ? ORDER BY templates.id LIMIT ?
"""  # noqa: S608 -- columns of ours
_PICTURES = """
    SELECT templates.id, pictures.jpeg FROM templates JOIN pictures ON pictures.sample_id = templates.sample_id
    WHERE templates.id > ? AND templates.id <= ?
"""
_SAME_UUID = """
    SELECT templates.uuid, persons.name, templates.embedding, samples.id FROM templates
    JOIN samples ON samples.id = templates.sample_id JOIN persons ON persons.id = samples.person_id
    WHERE templates.uuid IN ({})
"""
_VIEWS_OF_ROWS = """
    SELECT samples.person_id, templates.embedding, samples.id FROM samples
    JOIN templates ON templates.sample_id = samples.id WHERE samples.person_id IN ({})
"""
_VIEWS_OF_NAMES = """
    SELECT persons.name, templates.embedding, pictures.jpeg FROM persons
    LEFT JOIN samples ON samples.person_id = persons.id LEFT JOIN templates ON templates.sample_id = samples.id
    LEFT JOIN pictures ON pictures.sample_id = samples.id WHERE persons.name IN ({})
"""

NextIds = Callable[[str, int], Sequence[int]]
"""Gives so many free ids of a table."""
InsertRows = Callable[[str, Sequence[str], Sequence[Sequence[Any]]], None]
"""Stores rows in some columns of a table."""


@dataclass(frozen=True, slots=True)
class TemplateBatch:
    """Templates of any people, one row each.

    Attributes:
        names: N names.
        person_uuids: N times 16 bytes, the ids of the people; empty where they have none yet.
        vectors: (N, D) float32, rows of L2 norm 1.
        uuids: N times 16 bytes.
        created_at: N times, ISO 8601 in UTC; empty where it is not known.
        models: N names of embedders; empty where it is not known.
        samples: N rows of `SAMPLE_COLUMNS`.
        pictures: JPEG of the aligned face, by row, where there is one.
        last_id: The number of the last one in the gallery that they were read from, to go on after it.
        derived: The UUIDs follow from the people and the vectors: one that is there is this very view, whoever has it.
    """

    names: Sequence[str]
    person_uuids: Sequence[bytes]
    vectors: Floats
    uuids: Sequence[bytes]
    created_at: Sequence[str]
    models: Sequence[str]
    samples: Sequence[tuple[Any, ...]]
    pictures: Mapping[int, bytes] = field(default_factory=dict)
    last_id: int = 0
    derived: bool = False

    def __len__(self) -> int:
        """How many templates."""
        return len(self.names)

    def __repr__(self) -> str:
        """How many there are."""
        return one_line(self, counted(len(self), "template"))


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch.

    Attributes:
        added: How many templates were stored.
        skipped: How many were there already.
        created: Names of people who were not there before.
        extended: Names of people who were, and got templates.
    """

    added: int = 0
    skipped: int = 0
    created: frozenset[str] = frozenset()
    extended: frozenset[str] = frozenset()


def derived_uuids(names: Sequence[str], vectors: Floats, space_id: str) -> list[bytes]:
    """A UUID for each template that follows from whose it is, its numbers and their embedding space.

    Args:
        names: N names.
        vectors: (N, D).
        space_id: Of the embedding space.
    """
    salt = sha1(_LOADED.bytes + space_id.encode(), usedforsecurity=False)
    uuids = []
    for name, row in zip(names, vectors.astype("<f4"), strict=True):
        digest = salt.copy()
        digest.update(row.tobytes())
        digest.update(name.encode())
        uuids.append(_uuid(digest.digest(), 5))
    return uuids


def _uuid(content: bytes, version: int) -> bytes:
    """The bytes of a UUID as RFC 9562 has it, made of others; Python's own take several times as long."""
    marks = bytes((content[6] & 0x0F | version << 4, content[7], content[8] & 0x3F | 0x80))
    return content[:6] + marks + content[9:16]


def read_rows(db: Database, after: int, limit: int) -> list[Any]:
    """The next templates: number, UUID, name, UUID of the person, embedding, time, model, `SAMPLE_COLUMNS`."""
    return db.execute(_BATCH, (after, limit)).fetchall()


def read_pictures(db: Database, ids: Sequence[int], after: int) -> dict[int, bytes]:
    """The pictures of templates that come one after another, by their place."""
    place_of = {number: place for place, number in enumerate(ids)}
    return {place_of[number]: bytes(jpeg) for number, jpeg in db.execute(_PICTURES, (after, ids[-1]))}


def count_of_uuids(db: Database, uuids: Collection[bytes]) -> int:
    """How many templates there are of some UUIDs."""
    return sum(1 for _ in select(db, "SELECT DISTINCT uuid FROM templates WHERE uuid IN ({})", uuids))


def read_views(db: Database, names: Collection[str]) -> dict[str, dict[bytes, bytes]]:
    """For each of some people who are there, digests: of each vector that of its picture, empty where there is none."""
    views: dict[str, dict[bytes, bytes]] = {}
    for part, marks in parts_of(sorted(names)):
        for name, embedding, jpeg in db.execute(_VIEWS_OF_NAMES.format(marks), part):
            of_person = views.setdefault(name, {})
            if embedding is not None:
                picture = sha256(jpeg).digest() if jpeg else b""
                key = sha256(embedding).digest()
                of_person[key] = of_person.get(key) or picture
    return views


def store(
    db: Database, batch: TemplateBatch, revision: int, next_ids: NextIds, insert: InsertRows, *, with_images: bool
) -> tuple[Stored, bool]:
    """Store what is not there yet, as a part of a change.

    Args:
        db: The tables.
        batch: Names are as `clean_name` spells them.
        revision: That the change leads to.
        next_ids: How this kind of database gives ids.
        insert: How it takes many rows.
        with_images: Whether it has room for pictures.

    Returns:
        What was stored, and whether anything was: a picture of a view that is there counts, too.
    """
    row_of = dict(select(db, "SELECT name, id FROM persons WHERE name IN ({})", dict.fromkeys(batch.names)))
    there, taken = _there(db, batch, row_of)
    new = [row for row in range(len(batch)) if row not in there]
    created = _store_people(
        db, [(batch.names[row], batch.person_uuids[row]) for row in new], row_of, revision, next_ids, insert
    )
    sample_of = dict(zip(new, next_ids("samples", len(new)), strict=True))
    samples = [(sample_of[row], row_of[batch.names[row]], *batch.samples[row]) for row in new]
    insert("samples", ("id", "person_id", *SAMPLE_COLUMNS), samples)
    insert("templates", _TEMPLATE_COLUMNS, list(_templates(batch, new, sample_of, taken, revision, next_ids)))
    pictures = []
    if with_images:
        owners = {row: sample for row, sample in there.items() if sample} | sample_of
        pictures = _missing_pictures(db, [(owners[row], jpeg) for row, jpeg in batch.pictures.items() if row in owners])
        insert("pictures", ("sample_id", "jpeg"), pictures)
    touched = {batch.names[row] for row in new}
    stored = Stored(len(new), len(batch) - len(new), frozenset(created), frozenset(touched - created))
    return stored, bool(new or pictures)


_TEMPLATE_COLUMNS = ("id", "sample_id", "embedding", "model", "created_at", "uuid", "revision")


def _templates(
    batch: TemplateBatch,
    new: Sequence[int],
    sample_of: Mapping[int, int],
    taken: Collection[bytes],
    revision: int,
    next_ids: NextIds,
) -> Iterator[tuple[Any, ...]]:
    """Rows of the table; a UUID that another template has is not given again."""
    blobs = batch.vectors.astype("<f4")
    used = set(taken)
    for row, number in zip(new, next_ids("templates", len(new)), strict=True):
        uuid = batch.uuids[row]
        if not uuid or uuid in used:
            uuid = _uuid(os.urandom(16), 4)
        used.add(uuid)
        yield number, sample_of[row], blobs[row].tobytes(), batch.models[row], batch.created_at[row], uuid, revision


def _there(db: Database, batch: TemplateBatch, row_of: Mapping[str, int]) -> tuple[dict[int, int | None], set[bytes]]:
    """Which rows of a batch are stored already, with their sample, or come twice (None); and which UUIDs are taken."""
    taken: dict[bytes, tuple[str, bytes, int]] = {
        bytes(uuid): (name, bytes(embedding), sample)
        for uuid, name, embedding, sample in select(db, _SAME_UUID, [uuid for uuid in batch.uuids if uuid])
    }
    there: dict[int, int | None] = {}
    if batch.derived:
        seen: set[bytes] = set()
        for row, uuid in enumerate(batch.uuids):
            if uuid in taken:
                there[row] = taken[uuid][2]
            elif uuid in seen:
                there[row] = None
            seen.add(uuid)
        return there, set(taken)
    blobs = [row.tobytes() for row in batch.vectors.astype("<f4")]
    for row, uuid in enumerate(batch.uuids):
        if uuid in taken and taken[uuid][:2] == (batch.names[row], blobs[row]):
            there[row] = taken[uuid][2]
    left = {row_of[batch.names[row]] for row in range(len(batch)) if row not in there and batch.names[row] in row_of}
    known: dict[tuple[int | str, bytes], int | None] = {
        (person, bytes(embedding)): sample for person, embedding, sample in select(db, _VIEWS_OF_ROWS, left)
    }
    for row, name in enumerate(batch.names):
        key = (row_of.get(name, name), blobs[row])
        if row not in there and key in known:
            there[row] = known[key]
        known.setdefault(key, None)
    return there, set(taken)


def _store_people(
    db: Database,
    people: Sequence[tuple[str, bytes]],
    row_of: dict[str, int],
    revision: int,
    next_ids: NextIds,
    insert: InsertRows,
) -> set[str]:
    """Make those known who are not, by the ids that they had elsewhere if nobody has them here; adds to ``row_of``."""
    uuid_of: dict[str, bytes] = {}
    for name, uuid in people:
        if name not in row_of:
            uuid_of[name] = uuid_of.get(name) or uuid
    taken = {
        bytes(uuid)
        for (uuid,) in select(db, "SELECT uuid FROM persons WHERE uuid IN ({})", set(uuid_of.values()) - {b""})
    }
    rows = []
    for (name, uuid), number in zip(uuid_of.items(), next_ids("persons", len(uuid_of)), strict=True):
        own = _uuid(os.urandom(16), 4) if not uuid or uuid in taken else uuid
        taken.add(own)
        rows.append((number, name, folded(name), own, revision))
        row_of[name] = number
    insert("persons", ("id", "name", "folded", "uuid", "revision"), rows)
    return set(uuid_of)


def _missing_pictures(db: Database, pictures: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Those whose samples have none; of one sample, once."""
    by_sample = dict(pictures)
    query = "SELECT sample_id FROM pictures WHERE sample_id IN ({})"
    have = {sample for (sample,) in select(db, query, by_sample)}
    return [(sample, jpeg) for sample, jpeg in by_sample.items() if sample not in have]
