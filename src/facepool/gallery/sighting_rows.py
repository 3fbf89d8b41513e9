"""Rows of sightings, of their faces and of groups, in words of any `Database`; `inbox` says what they are for."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

import numpy as np

from facepool.errors import GroupGone, UnknownPerson, UnknownSighting
from facepool.gallery.database import Database
from facepool.gallery.rows import fits, forget_journal_of, plain_number, plain_text
from facepool.gallery.schema import uuid_bytes, uuid_text
from facepool.gallery.sealing import new_key, sealed
from facepool.gallery.sightings import GroupState, InboxBounds, InboxUsage, InboxVectors, UnknownGroup
from facepool.types import Floats, Pose, SightedFaces, Sighting

_ROW_BYTES = 256
"""What a row of a sighting or of a face takes beside its vector and its picture."""
_AT_ONCE = 500
"""Values of one query: SQLite's own limit was 999 once."""
_FACES_SHOWN = 8
"""Of a group, in lists."""
_SIGHTINGS = """
    SELECT sightings.id, sightings.uuid, sightings.source, sightings.began_at, sightings.ended_at, persons.name,
        persons.uuid, sightings.similarity, sightings.threshold, sightings.frames, sightings.group_id,
        sightings.named_at, firsts.uuid
    FROM sightings LEFT JOIN persons ON persons.id = sightings.person_id
    LEFT JOIN persons AS firsts ON firsts.id = sightings.first_person_id
"""
_FACES = """
    SELECT sightings.uuid, sighting_keys.key, sighting_faces.uuid, sighting_faces.embedding, sighting_faces.jpeg,
        sighting_faces.quality, sighting_faces.score, sighting_faces.size_px, sighting_faces.yaw, sighting_faces.pitch,
        sighting_faces.roll
    FROM sighting_faces JOIN sightings ON sightings.id = sighting_faces.sighting_id
    JOIN sighting_keys ON sighting_keys.sighting_id = sightings.id
"""
_GROUPS = """
    SELECT unknown_groups.id, unknown_groups.state, count(*), min(sightings.began_at), max(sightings.ended_at),
        unknown_groups.revision
    FROM unknown_groups JOIN sightings ON sightings.group_id = unknown_groups.id
"""
_BEST_FACES = """
    SELECT sightings.group_id, sighting_faces.uuid FROM sighting_faces
    JOIN sightings ON sightings.id = sighting_faces.sighting_id WHERE {which}
    ORDER BY sighting_faces.place, sighting_faces.quality DESC, sighting_faces.id
"""
_VECTORS = """
    SELECT sightings.id, sightings.group_id, sighting_keys.key, sighting_faces.uuid, sighting_faces.embedding,
        sighting_faces.quality
    FROM sighting_faces JOIN sightings ON sightings.id = sighting_faces.sighting_id
    JOIN sighting_keys ON sighting_keys.sighting_id = sightings.id
    WHERE sighting_faces.sighting_id IN (SELECT id FROM sightings WHERE {which})
    ORDER BY sighting_faces.id
"""
_OLDEST = """
    SELECT id, bytes FROM sightings WHERE id != ?
    ORDER BY CASE WHEN group_id IS NULL THEN 0
        WHEN (SELECT state FROM unknown_groups WHERE id = group_id) = 'ignored' THEN 3
        WHEN (SELECT count(*) FROM sightings AS others WHERE others.group_id = sightings.group_id) = 1 THEN 1
        ELSE 2 END, ended_at, id
"""
"""First those that are in no group, then strangers who were seen once, which nobody would miss; those who are to be
ignored go last, for they would be new again."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sightings are wanted.

    Attributes:
        person: Row of whom; None: of anybody.
        group: Number of their group; None: any, or none.
        ungrouped: Only those of unnamed people who are in no group.
        before: Those that ended before this moment; empty: all.
    """

    person: int | None = None
    group: int | None = None
    ungrouped: bool = False
    before: str = ""

    def condition(self) -> tuple[str, list[Any]]:
        """The part of a query that selects them, and its values."""
        terms, values = ["1 = 1"], list[Any]()
        if self.person is not None:
            terms.append("sightings.person_id = ?")
            values.append(self.person)
        if self.group is not None:
            terms.append("sightings.group_id = ?" if fits(self.group) else "1 = 0")
            values += [self.group] if fits(self.group) else []
        if self.ungrouped:
            terms.append("sightings.group_id IS NULL AND sightings.person_id IS NULL")
        if self.before:
            terms.append("sightings.ended_at < ?")
            values.append(self.before)
        return " AND ".join(terms), values


def unknown_sighting() -> UnknownSighting:
    """The error for a sighting, or a face of one, that is not there."""
    return UnknownSighting(
        "Nothing is kept of that sighting",
        why="it has expired, was deleted, or never was",
        fix="`facepool sightings list` shows those that are kept",
    )


def group_gone(number: int) -> GroupGone:
    """The error for a group that is not there."""
    return GroupGone(
        f"There is no stranger {number}",
        why="they were named, joined to another, deleted, or have expired",
        fix="`facepool unknown list` shows who there is",
    )


def clean_time(text: str) -> str:
    """A moment as it is kept, so that later ones come later in the alphabet: in UTC with milliseconds."""
    return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="milliseconds")


def read_revision(db: Database) -> int:
    """How many changes of the inbox there were."""
    return int(db.execute("SELECT revision FROM inbox").fetchone()[0])


def next_revision(db: Database) -> int:
    """Count a change of the inbox."""
    db.execute("UPDATE inbox SET revision = revision + 1")
    return read_revision(db)


def find_sighting(db: Database, sighting_id: str) -> int | None:
    """The row of a sighting."""
    row = db.execute("SELECT id FROM sightings WHERE uuid = ?", (uuid_bytes(sighting_id),)).fetchone()
    return None if row is None else int(row[0])


def was_named(db: Database, row: int) -> bool:
    """Whether somebody has named or corrected a sighting."""
    return bool(db.execute("SELECT named_at FROM sightings WHERE id = ?", (row,)).fetchone()[0])


def group_of_sighting(db: Database, row: int) -> int | None:
    """The group that a sighting is in."""
    number: int | None = db.execute("SELECT group_id FROM sightings WHERE id = ?", (row,)).fetchone()[0]
    return number


def new_group(db: Database, revision: int) -> int:
    """A group without a sighting yet."""
    query = "INSERT INTO unknown_groups (state, revision) VALUES ('open', ?) RETURNING id"
    return int(db.execute(query, (revision,)).fetchone()[0])


def touch_group(db: Database, number: int, revision: int) -> None:
    """Count a change of a group.

    Raises:
        GroupGone: It is not there.
    """
    query = "UPDATE unknown_groups SET revision = ? WHERE id = ?"
    if not fits(number) or not db.execute(query, (revision, number)).rowcount:
        raise group_gone(number)


def group_for(db: Database, row: int | None, wanted: int | Literal["new"] | None, revision: int) -> int | None:
    """The group that a sighting is to be in, which is made if it is to be a new one."""
    before = None if row is None else group_of_sighting(db, row)
    if wanted is None:
        return before
    number = new_group(db, revision) if wanted == "new" else wanted
    touch_group(db, number, revision)
    if before not in (None, number):
        touch_group(db, before or 0, revision)
    return number


def prolong(db: Database, row: int, sighting: Sighting, revision: int) -> None:
    """Somebody who was named meanwhile is still in view."""
    values = (clean_time(sighting.until), int(sighting.frames), revision, row)
    db.execute("UPDATE sightings SET ended_at = ?, frames = ?, revision = ? WHERE id = ?", values)


def store_sighting(db: Database, row: int | None, sighting: Sighting, group: int | None, revision: int) -> int:
    """Store a sighting, in place of what was known of it in a row.

    Raises:
        UnknownPerson: Its person is not there any more.
    """
    person = None if sighting.person_id is None else row_of_id(db, sighting.person_id)
    values = (
        plain_text(sighting.source),
        clean_time(sighting.since),
        clean_time(sighting.until),
        person,
        group,
        plain_number(sighting.similarity),
        plain_number(sighting.threshold),
        int(sighting.frames),
        revision,
    )
    if row is not None:
        db.execute(
            """UPDATE sightings SET source = ?, began_at = ?, ended_at = ?, person_id = ?, group_id = ?,
                similarity = ?, threshold = ?, frames = ?, revision = ? WHERE id = ?""",
            (*values, row),
        )
        delete_empty_groups(db)
        return row
    (row,) = db.execute(
        """INSERT INTO sightings (source, began_at, ended_at, person_id, group_id, similarity, threshold, frames,
            revision, uuid, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
        (*values, UUID(sighting.id).bytes, _ROW_BYTES),
    ).fetchone()
    db.execute("INSERT INTO sighting_keys (sighting_id, key) VALUES (?, ?)", (row, new_key()))
    db.execute("UPDATE inbox SET kept = kept + 1")
    return int(row)


def is_owed(db: Database) -> bool:
    """Whether something is left to be wiped of sightings that are gone."""
    return bool(db.execute("SELECT erased != wiped FROM inbox").fetchone()[0])


def name_of(db: Database, row: int) -> str:
    """The name of somebody who is there."""
    return str(db.execute("SELECT name FROM persons WHERE id = ?", (row,)).fetchone()[0])


def row_of_id(db: Database, person_id: str) -> int:
    """The row of somebody by id.

    Raises:
        UnknownPerson: They are not there.
    """
    row = db.execute("SELECT id FROM persons WHERE uuid = ?", (uuid_bytes(person_id),)).fetchone()
    if row is None:
        raise UnknownPerson(
            "The person of a sighting is not in the pool", why="they were removed meanwhile", fix="Keep nothing of it"
        )
    return int(row[0])


def fitting(faces: SightedFaces, bounds: InboxBounds) -> SightedFaces:
    """The best faces, as many as there is room for if nothing else is kept."""
    room, count = bounds.bytes - _ROW_BYTES, 0
    for picture in faces.pictures:
        room -= _bytes_of(faces.embeddings.shape[1], picture)
        if room < 0:
            break
        count += 1
    return faces[:count]


def _bytes_of(dimension: int, picture: bytes) -> int:
    return _ROW_BYTES + 4 * dimension + len(picture)


def store_faces(db: Database, row: int, faces: SightedFaces) -> None:
    """Put faces in the place of those of a sighting; those of the same embedding stay."""
    (key,) = db.execute("SELECT key FROM sighting_keys WHERE sighting_id = ?", (row,)).fetchone()
    query = "SELECT id, uuid, embedding FROM sighting_faces WHERE sighting_id = ?"
    held = {sealed(blob, key, uuid, "embedding"): face for face, uuid, blob in db.execute(query, (row,)).fetchall()}
    stored: set[bytes] = set()
    for place in range(len(faces)):
        embedding = np.ascontiguousarray(faces.embeddings[place], "<f4").tobytes()
        if embedding in stored:
            continue
        stored.add(embedding)
        if embedding in held:
            db.execute("UPDATE sighting_faces SET place = ? WHERE id = ?", (place, held.pop(embedding)))
        else:
            _insert_face(db, row, key, faces, place)
    db.executemany("DELETE FROM sighting_faces WHERE id = ?", [(face,) for face in held.values()])
    size = _ROW_BYTES + sum(_bytes_of(faces.embeddings.shape[1], picture) for picture in faces.pictures)
    db.execute("UPDATE sightings SET bytes = ? WHERE id = ?", (size, row))


def _insert_face(db: Database, row: int, key: bytes, faces: SightedFaces, place: int) -> None:
    uuid, pose = uuid4().bytes, faces.poses[place]
    angles = (None, None, None) if pose is None else (float(pose.yaw), float(pose.pitch), float(pose.roll))
    db.execute(
        """INSERT INTO sighting_faces (uuid, sighting_id, place, embedding, jpeg, quality, score, size_px, yaw, pitch,
            roll) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            uuid,
            row,
            place,
            sealed(np.ascontiguousarray(faces.embeddings[place], "<f4").tobytes(), key, uuid, "embedding"),
            sealed(faces.pictures[place], key, uuid, "picture"),
            float(faces.qualities[place]),
            float(faces.scores[place]),
            float(faces.sizes_px[place]),
            *angles,
        ),
    )


def expired(db: Database, before: str, kept: int) -> list[int]:
    """Sightings that ended before a moment, but for one."""
    query = "SELECT id FROM sightings WHERE ended_at < ? AND id != ?"
    return [row for (row,) in db.execute(query, (before, kept)).fetchall()]


def crowded_out(db: Database, bounds: InboxBounds, kept: int) -> list[int]:
    """Sightings for which there is no room, but for one: the oldest of those in no group, then of those in one."""
    count, size = db.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM sightings").fetchone()
    going: list[int] = []
    for row, of_row in db.execute(_OLDEST, (kept,)) if count > bounds.sightings or size > bounds.bytes else ():
        if count <= bounds.sightings and size <= bounds.bytes:
            break
        going.append(row)
        count, size = count - 1, size - of_row
    return going


def delete_sightings(db: Database, sightings: Sequence[int]) -> None:
    """Delete sightings with their faces, and groups of which nothing is left."""
    for part in parts(sightings):
        db.execute(f"DELETE FROM sightings WHERE id IN ({places(part)})", part)  # noqa: S608 -- places of values
    if sightings:
        delete_empty_groups(db)


def delete_empty_groups(db: Database) -> None:
    """Delete groups without a sighting."""
    db.execute(
        "DELETE FROM unknown_groups WHERE NOT EXISTS (SELECT 1 FROM sightings WHERE group_id = unknown_groups.id)"
    )


def sightings_of_group(db: Database, number: int) -> list[int]:
    """The rows of a group's sightings.

    Raises:
        GroupGone: It is not there.
    """
    query = "SELECT id FROM sightings WHERE group_id = ?"
    found = [row for (row,) in db.execute(query, (number,)).fetchall()] if fits(number) else []
    if not found:
        raise group_gone(number)
    return found


def unnamed_sightings(db: Database) -> list[int]:
    """The rows of all sightings of unnamed people."""
    return [row for (row,) in db.execute("SELECT id FROM sightings WHERE person_id IS NULL").fetchall()]


def move_sightings(db: Database, leaving: int, staying: int) -> None:
    """Give what was seen of a person to another who takes their place."""
    for table, column in (("sightings", "person_id"), ("sightings", "first_person_id"), ("suggestions", "person_id")):
        query = f"UPDATE {table} SET {column} = ? WHERE {column} = ?"  # noqa: S608 -- tables of ours
        db.execute(query, (staying, leaving))
    forget_journal_of(db, leaving)


def read_usage(db: Database) -> InboxUsage:
    """How much is kept."""
    row = db.execute(
        """SELECT (SELECT count(*) FROM sightings), (SELECT count(*) FROM sighting_faces),
            (SELECT count(*) FROM unknown_groups), (SELECT coalesce(sum(bytes), 0) FROM sightings), kept, dropped
        FROM inbox"""
    ).fetchone()
    return InboxUsage(*map(int, row))


def count_dropped(db: Database, count: int) -> None:
    """Count sightings that went because of bounds."""
    db.execute("UPDATE inbox SET dropped = dropped + ?", (count,))


def read_sightings(db: Database, wanted: Wanted, limit: int) -> list[Sighting]:
    """Sightings, the one that ended last first; a few more than the limit where several ended at the same moment."""
    where, values = wanted.condition()
    latest = "ORDER BY sightings.ended_at DESC, sightings.id DESC"
    found = db.execute(f"{_SIGHTINGS} WHERE {where} {latest} LIMIT ?", (*values, limit)).fetchall()
    if len(found) == limit > 0:
        same = f"{where} AND sightings.ended_at = ? AND sightings.id < ?"
        last = (found[-1][4], found[-1][0])
        found += db.execute(f"{_SIGHTINGS} WHERE {same} {latest}", (*values, *last)).fetchall()
    return list(map(_sighting, found))


def read_sighting(db: Database, sighting_id: str) -> Sighting:
    """One sighting.

    Raises:
        UnknownSighting: It is not there.
    """
    row = db.execute(f"{_SIGHTINGS} WHERE sightings.uuid = ?", (uuid_bytes(sighting_id),)).fetchone()
    if row is None:
        raise unknown_sighting()
    return _sighting(row)


def _sighting(row: tuple[Any, ...]) -> Sighting:
    _, uuid, source, since, until, person, person_uuid, similarity, threshold, frames, group, named_at, first = row
    return Sighting(
        id=uuid_text(uuid),
        source=source,
        since=since,
        until=until,
        person=person,
        person_id=None if person_uuid is None else uuid_text(person_uuid),
        similarity=similarity,
        threshold=threshold,
        frames=frames,
        group=group,
        named_at=named_at,
        first_person_id=None if first is None else uuid_text(first),
    )


def read_faces(db: Database, sighting_ids: Collection[str]) -> dict[str, SightedFaces]:
    """The faces of those of some sightings that are there."""
    uuids = [uuid for uuid in map(uuid_bytes, dict.fromkeys(sighting_ids)) if uuid is not None]
    found: dict[str, list[tuple[Any, ...]]] = {}
    for part in parts(uuids):
        there = f"SELECT uuid FROM sightings WHERE uuid IN ({places(part)})"  # noqa: S608 -- places of values
        found.update((uuid_text(uuid), []) for (uuid,) in db.execute(there, part).fetchall())
        for row in db.execute(f"{_FACES} WHERE sightings.uuid IN ({places(part)}) ORDER BY sighting_faces.place", part):
            found[uuid_text(row[0])].append(row[1:])
    return {sighting_id: _sighted_faces(rows) for sighting_id, rows in found.items()}


def _sighted_faces(rows: Sequence[tuple[Any, ...]]) -> SightedFaces:
    if not rows:
        return SightedFaces.empty()
    embeddings = [sealed(blob, key, uuid, "embedding") for key, uuid, blob, *_ in rows]
    measures = np.array([row[4:7] for row in rows], np.float32)
    return SightedFaces(
        embeddings=_matrix(embeddings),
        pictures=tuple(sealed(jpeg, key, uuid, "picture") for key, uuid, _, jpeg, *_ in rows),
        qualities=measures[:, 0],
        scores=measures[:, 1],
        sizes_px=measures[:, 2],
        poses=tuple(None if row[7] is None else Pose(*row[7:10]) for row in rows),
        ids=tuple(uuid_text(row[1]) for row in rows),
    )


def _matrix(embeddings: Sequence[bytes]) -> Floats:
    return np.frombuffer(b"".join(embeddings), "<f4").reshape(len(embeddings), -1).astype(np.float32)


def read_picture(db: Database, face_id: str) -> bytes:
    """The JPEG of a face.

    Raises:
        UnknownSighting: It is not there.
    """
    row = db.execute(f"{_FACES} WHERE sighting_faces.uuid = ?", (uuid_bytes(face_id),)).fetchone()
    if row is None:
        raise unknown_sighting()
    _, key, uuid, _, jpeg, *_ = row
    return sealed(jpeg, key, uuid, "picture")


def read_groups(db: Database, state: GroupState, before: str, limit: int) -> list[UnknownGroup]:
    """Groups of a state, the one that was seen last first; a few more than the limit where some were seen together."""
    having = " HAVING max(sightings.ended_at) < ?" if before else ""
    found = db.execute(
        f"{_GROUPS} WHERE unknown_groups.state = ? GROUP BY unknown_groups.id{having} "
        "ORDER BY max(sightings.ended_at) DESC, unknown_groups.id DESC",
        (state, *([before] if before else [])),
    ).fetchall()
    page = found[:limit]
    page += [row for row in found[limit:] if page and row[4] == page[-1][4]]
    return _groups(db, page)


def read_group(db: Database, number: int) -> UnknownGroup:
    """One group.

    Raises:
        GroupGone: It is not there.
    """
    query = f"{_GROUPS} WHERE unknown_groups.id = ? GROUP BY unknown_groups.id"
    found = db.execute(query, (number,)).fetchall() if fits(number) else []
    if not found:
        raise group_gone(number)
    return _groups(db, found)[0]


def count_groups(db: Database, state: GroupState) -> int:
    """How many groups there are of a state."""
    return int(db.execute("SELECT count(*) FROM unknown_groups WHERE state = ?", (state,)).fetchone()[0])


def _groups(db: Database, found: Sequence[tuple[Any, ...]]) -> list[UnknownGroup]:
    sources: dict[int, set[str]] = {row[0]: set() for row in found}
    faces: dict[int, list[str]] = {row[0]: [] for row in found}
    for part in parts(list(sources)):
        which = f"group_id IN ({places(part)})"
        for number, source in db.execute(f"SELECT DISTINCT group_id, source FROM sightings WHERE {which}", part):  # noqa: S608 -- places of values
            sources[number].add(source)
        for number, uuid in db.execute(_BEST_FACES.format(which=which), part):
            if len(faces[number]) < _FACES_SHOWN:
                faces[number].append(uuid_text(uuid))
    return [
        UnknownGroup(number, state, count, since, until, tuple(sorted(sources[number])), tuple(faces[number]), revision)
        for number, state, count, since, until, revision in found
    ]


def read_vectors(db: Database, known: InboxVectors) -> InboxVectors:
    """The faces of all groups, of which some are known; only what is newer is read."""
    revision = read_revision(db)
    if revision == known.revision:
        return known
    ignored = frozenset(number for (number,) in db.execute("SELECT id FROM unknown_groups WHERE state = 'ignored'"))
    newer = _VECTORS.format(which="group_id IS NOT NULL AND revision > ?")
    added = _vectors(db.execute(newer, (known.revision,)).fetchall(), revision, ignored)
    query = "SELECT id FROM sightings WHERE group_id IS NOT NULL AND revision <= ?"
    there = np.array(db.execute(query, (known.revision,)).fetchall(), np.int64).reshape(-1)
    stays = np.isin(known.sightings, there)
    if not stays.any():
        return added
    if not len(added):
        added = InboxVectors.empty(known.embeddings.shape[1])
    return InboxVectors(
        revision,
        np.concatenate([known.embeddings[stays], added.embeddings]),
        np.concatenate([known.groups[stays], added.groups]),
        np.concatenate([known.qualities[stays], added.qualities]),
        np.concatenate([known.sightings[stays], added.sightings]),
        ignored,
    )


def read_embeddings(db: Database, groups: Collection[int]) -> dict[int, Floats]:
    """The faces of some groups, (F, D) float32 by the number of each; those that are not there are passed over."""
    found: dict[int, list[bytes]] = {}
    for part in parts([number for number in groups if fits(number)]):
        which = f"group_id IN ({places(part)})"
        for _, number, key, uuid, blob, _ in db.execute(_VECTORS.format(which=which), part):
            found.setdefault(number, []).append(sealed(blob, key, uuid, "embedding"))
    return {number: _matrix(vectors) for number, vectors in found.items()}


def _vectors(rows: Sequence[tuple[Any, ...]], revision: int, ignored: frozenset[int]) -> InboxVectors:
    if not rows:
        return replace(InboxVectors.empty(), revision=revision, ignored=ignored)
    return InboxVectors(
        revision,
        _matrix([sealed(blob, key, uuid, "embedding") for _, _, key, uuid, blob, _ in rows]),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[5] for row in rows], np.float32),
        np.array([row[0] for row in rows], np.int64),
        ignored,
    )


def parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """So many values at a time as one query may have."""
    for first in range(0, len(values), _AT_ONCE):
        yield values[first : first + _AT_ONCE]


def places(values: Sequence[Any]) -> str:
    """A place in a query for each value."""
    return ", ".join("?" * len(values))
