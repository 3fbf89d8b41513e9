"""Rows of people, templates and what else a gallery has: read, stored and deleted, in words of any `Database`."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, astuple
from typing import Any
from uuid import uuid4

import numpy as np

from facepool.gallery.checks import folded, unknown_person
from facepool.gallery.columns import LookAlikes
from facepool.gallery.consents import delete_consents
from facepool.gallery.database import Database
from facepool.gallery.driver import Connection
from facepool.gallery.listing import names_near
from facepool.gallery.notices import Notice
from facepool.gallery.schema import uuid_bytes, uuid_text
from facepool.types import Calibration, EmbeddingSpace, Pose, Sample, Template

ONE_MORE_ERASED = "UPDATE state SET erased = erased + 1"
TEMPLATES = """
    SELECT templates.id, templates.uuid, persons.name, persons.uuid, templates.embedding, templates.created_at,
        templates.model, samples.source, samples.time_s, samples.yaw, samples.pitch, samples.roll, samples.quality,
        samples.score, samples.size_px, samples.frame, samples.appearance, samples.partial, samples.frontal_yaw,
        samples.frontal_pitch, samples.frontal_roll, samples.learned_from
    FROM templates JOIN samples ON samples.id = templates.sample_id JOIN persons ON persons.id = samples.person_id
"""
PEOPLE = """
    SELECT persons.id, persons.name, persons.uuid, count(templates.id),
        coalesce(min(nullif(templates.created_at, '')), ''), persons.notes, persons.external_id
    FROM persons LEFT JOIN samples ON samples.person_id = persons.id LEFT JOIN templates
        ON templates.sample_id = samples.id
"""
_LOOK_ALIKES = """
    SELECT one.name, other.name FROM look_alikes
    JOIN persons AS one ON one.id = look_alikes.person_id JOIN persons AS other ON other.id = look_alikes.other_id
"""


def columns_of(db: Connection, table: str) -> list[str]:
    """The columns of a table of ours."""
    return [str(name) for _, name, *_ in db.execute(f"PRAGMA table_info({table})").fetchall()]


def insertion(table: str, columns: Sequence[str]) -> str:
    """The statement that stores a row of a table of ours."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 -- tables of ours


def read_space(db: Database) -> EmbeddingSpace | None:
    """The space that a gallery is pinned to; None before its first template, and where its files do not say."""
    row = db.execute("SELECT model, weights_sha256, preprocessing, template, mirrored, dimension FROM space").fetchone()
    if row is None:
        return None
    model, weights_sha256, preprocessing, template, mirrored, dimension = row
    return EmbeddingSpace(model, weights_sha256, preprocessing, template, bool(mirrored), dimension)


def write_space(db: Database, space: EmbeddingSpace) -> None:
    """Pin a gallery that has no space yet."""
    values = (
        space.model,
        space.weights_sha256,
        space.preprocessing,
        space.template,
        int(space.mirrored),
        space.dimension,
    )
    db.execute(
        "INSERT INTO space (id, model, weights_sha256, preprocessing, template, mirrored, dimension) "
        "VALUES (1, ?, ?, ?, ?, ?, ?)",
        values,
    )


def read_notices(db: Database) -> tuple[Notice, ...]:
    """What logs are yet to be told, oldest first."""
    query = "SELECT uuid, at, caller, action, person, person_id, detail, change FROM notices ORDER BY id"
    return tuple(Notice(uuid_text(uuid), *rest) for uuid, *rest in db.execute(query))


def write_notice(db: Database, notice: Notice) -> None:
    """Keep a notice until logs were told."""
    db.execute(
        "INSERT INTO notices (uuid, at, caller, action, person, person_id, detail, change) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (uuid_bytes(notice.uuid), *astuple(notice)[1:]),
    )


def write_calibration(db: Database, calibration: Calibration | None) -> None:
    """Keep a calibration in place of what was kept; None: keep nothing."""
    db.execute("DELETE FROM calibration")
    if calibration is not None:
        db.execute("INSERT INTO calibration VALUES (1, ?)", (json.dumps(asdict(calibration)),))


def calibration_of(record: Mapping[str, Any]) -> Calibration:
    """A calibration from the JSON object that it was stored as.

    Raises:
        ValueError: It is damaged.
        KeyError: Something is missing.
        TypeError: Something is of another kind.
    """
    points = tuple((float(rate), float(similarity)) for rate, similarity in record["points"])
    if len(points) < 2 or any(not 0 < rate <= 1 for rate, _ in points):
        raise ValueError("its calibration has no curve")
    return Calibration(
        threshold=float(record["threshold"]),
        target_fpir=float(record["target_fpir"]),
        low=float(record["low"]),
        high=float(record["high"]),
        points=points,
        people=int(record["people"]),
        templates=int(record["templates"]),
        comparisons=int(record["comparisons"]),
        borrowed=float(record["borrowed"]),
        created_at=str(record["created_at"]),
        space_id=str(record["space_id"]),
    )


def plain_text(value: str) -> str:
    """Text that can be stored, as NUL cannot, nor half characters: so file names come that are no valid Unicode."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", r"\x00")


def plain_number(value: float | None) -> float | None:
    """A Python number in place of a NumPy one, which databases would not take for one; what is no number is nothing."""
    return None if value is None or value != value else float(value)  # SQLite would have it so, PostgreSQL would not


def _angles(pose: Pose | None) -> tuple[float | None, ...]:
    return (None, None, None) if pose is None else (float(pose.yaw), float(pose.pitch), float(pose.roll))


def fits(number: int) -> bool:
    """Whether a database can hold a number; others are nobody's."""
    return 0 < number < 1 << 63


def has_templates(db: Database) -> bool:
    """Whether there is any template."""
    return db.execute("SELECT 1 FROM templates LIMIT 1").fetchone() is not None


def look_alikes_of(db: Database, name: str) -> frozenset[LookAlikes]:
    """The pairs that somebody is one of."""
    row = find_person(db, name)
    pairs = db.execute(f"{_LOOK_ALIKES} WHERE look_alikes.person_id = ? OR look_alikes.other_id = ?", (row, row))
    return frozenset(frozenset(pair) for pair in pairs)


def read_look_alikes(db: Database) -> frozenset[LookAlikes]:
    """All pairs."""
    return frozenset(frozenset(row) for row in db.execute(_LOOK_ALIKES))


def insert_look_alikes(db: Database, person: int, other: int) -> None:
    """Flag a pair; one that is flagged stays so."""
    db.execute("INSERT INTO look_alikes VALUES (?, ?) ON CONFLICT DO NOTHING", sorted((person, other)))


def move_look_alikes(db: Database, leaving: int, staying: int) -> None:
    """Give the pairs of a person to another who takes their place; the pair of the two is not moved."""
    others = db.execute(
        """SELECT other_id FROM look_alikes WHERE person_id = ?
        UNION SELECT person_id FROM look_alikes WHERE other_id = ?""",
        (leaving, leaving),
    ).fetchall()
    for (other,) in others:
        if other != staying:
            insert_look_alikes(db, staying, other)


def find_person(db: Database, name: str) -> int | None:
    """The row of somebody by name; None: nobody has it."""
    row = db.execute("SELECT id FROM persons WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else None


def uuid_of(db: Database, row: int) -> bytes:
    """The id of somebody who is there."""
    return bytes(db.execute("SELECT uuid FROM persons WHERE id = ?", (row,)).fetchone()[0])


def row_of_person(db: Database, name: str) -> int:
    """The row of somebody by name.

    Raises:
        UnknownPerson: Nobody has it.
    """
    row = find_person(db, name)
    if row is None:
        raise unknown_person(name, names_near(db, name))
    return row


def find_or_insert_person(db: Database, name: str, person_id: str, revision: int) -> int:
    """The row of somebody by name, who is made known if nobody has it."""
    row = find_person(db, name)
    return insert_person(db, name, uuid_bytes(person_id), revision) if row is None else row


def insert_person(db: Database, name: str, uuid: bytes | None, revision: int) -> int:
    """Make somebody known, by the id that they had elsewhere if nobody has it here."""
    if uuid is None or db.execute("SELECT 1 FROM persons WHERE uuid = ?", (uuid,)).fetchone():
        uuid = uuid4().bytes
    values = (name, folded(name), uuid, revision)
    query = "INSERT INTO persons (name, folded, uuid, revision) VALUES (?, ?, ?, ?) RETURNING id"
    return int(db.execute(query, values).fetchone()[0])


def delete_person(db: Database, row: int, revision: int) -> int:
    """Delete somebody with all that is theirs; how many templates that were."""
    erased = db.execute(
        """INSERT INTO removed_templates SELECT templates.id, ? FROM templates
        JOIN samples ON samples.id = templates.sample_id WHERE samples.person_id = ?""",
        (revision, row),
    ).rowcount
    forget_journal_of(db, row)
    delete_consents(db, row)
    db.execute("DELETE FROM persons WHERE id = ?", (row,))  # and by this their sightings, and what was suggested
    db.execute(ONE_MORE_ERASED)
    return erased


def forget_journal_of(db: Database, row: int) -> None:
    """Delete what could be undone of somebody."""
    db.execute("DELETE FROM journal WHERE content LIKE ?", (f"%{uuid_text(uuid_of(db, row))}%",))


def insert_template(db: Database, person: int, template: Template, revision: int, *, with_image: bool) -> None:
    """Store a template, by the UUID that it had elsewhere if none has it here."""
    sample = template.sample
    angles = (*_angles(sample.pose), *_angles(sample.frontal_pose))
    measures = map(plain_number, (*angles, sample.time_s, sample.quality, sample.score, sample.size_px))
    (row,) = db.execute(
        """INSERT INTO samples (person_id, source, frame, appearance, partial, yaw, pitch, roll, frontal_yaw,
            frontal_pitch, frontal_roll, time_s, quality, score, size_px, learned_from)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
        (
            person,
            plain_text(sample.source),
            int(sample.frame),
            plain_text(sample.appearance),
            int(sample.partial),
            *measures,
            plain_text(sample.learned_from),
        ),
    ).fetchone()
    uuid = uuid_bytes(template.uuid)
    if uuid is None or db.execute("SELECT 1 FROM templates WHERE uuid = ?", (uuid,)).fetchone():
        uuid = uuid4().bytes
    db.execute(
        "INSERT INTO templates (sample_id, embedding, model, created_at, uuid, revision) VALUES (?, ?, ?, ?, ?, ?)",
        (row, np.ascontiguousarray(sample.embedding, "<f4"), template.model, template.created_at, uuid, revision),
    )
    if sample.picture and with_image:
        db.execute("INSERT INTO pictures VALUES (?, ?)", (row, sample.picture))


def delete_learned_from(db: Database, template_uuid: bytes, person: int, revision: int) -> int:
    """Delete what a person has learned from a template that is theirs no longer; how many templates that were.

    It is nearly the same vector, so whoever erases a wrong face means these, too.
    """
    learned = "SELECT id FROM samples WHERE person_id = ? AND learned_from = ?"
    values = (person, uuid_text(template_uuid))
    db.execute(
        f"INSERT INTO removed_templates SELECT id, ? FROM templates WHERE sample_id IN ({learned})",  # noqa: S608 -- ours
        (revision, *values),
    )
    return db.execute("DELETE FROM samples WHERE person_id = ? AND learned_from = ?", values).rowcount


def read_learned(db: Database, person: int | None) -> list[tuple[str, str, str]]:
    """UUIDs of templates that were learned, with id and name of whose they are; of one person, or of everybody."""
    query = """SELECT templates.uuid, persons.uuid, persons.name FROM templates
        JOIN samples ON samples.id = templates.sample_id JOIN persons ON persons.id = samples.person_id
        WHERE samples.learned_from != ''"""
    only, values = ("", ()) if person is None else (" AND samples.person_id = ?", (person,))
    found = db.execute(f"{query}{only} ORDER BY templates.id", values)
    return [(uuid_text(uuid), uuid_text(owner), str(name)) for uuid, owner, name in found]


def template_of(row: tuple[Any, ...]) -> Template:
    """A template from a row of `TEMPLATES`."""
    number, uuid, person, person_uuid, blob, created_at, model, source, time_s, yaw, pitch, roll, quality, *rest = row
    score, size_px, frame, appearance, partial, *frontal, learned_from = rest
    sample = Sample(
        embedding=np.frombuffer(blob, "<f4").astype(np.float32),
        source=source,
        time_s=time_s,
        pose=None if yaw is None else Pose(yaw, pitch, roll),
        quality=quality,
        score=score,
        size_px=size_px,
        frame=frame,
        appearance=appearance,
        partial=bool(partial),
        frontal_pose=None if frontal[0] is None else Pose(*frontal),
        learned_from=learned_from,
    )
    return Template(number, person, sample, created_at, model, uuid_text(uuid), uuid_text(person_uuid))


def unflag_look_alikes(db: Database, person_id: str, other_ids: Collection[str]) -> None:
    """Let people no longer be pairs that are easily taken for each other; those who are gone are passed over."""
    query = """DELETE FROM look_alikes
        WHERE person_id = (SELECT id FROM persons WHERE uuid = ?)
            AND other_id = (SELECT id FROM persons WHERE uuid = ?)"""
    for other_id in other_ids:
        pair = (uuid_bytes(person_id), uuid_bytes(other_id))
        db.executemany(query, [pair, pair[::-1]])
