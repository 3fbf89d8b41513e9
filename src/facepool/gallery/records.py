"""Rows of a pool.db as facepool's types, and back. Transactions and errors are the caller's."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facepool.gallery.base import plain_number, plain_text
from facepool.gallery.calibrations import calibration_of, record_of
from facepool.gallery.checks import damaged
from facepool.gallery.columns import LookAlikes
from facepool.types import Calibration, EmbeddingSpace, Person, Pose, Sample, Template

_TEMPLATES = """
    SELECT templates.id, persons.name, templates.embedding, templates.created_at, templates.model, samples.source,
        samples.time_s, samples.yaw, samples.pitch, samples.roll, samples.quality, samples.score, samples.size_px,
        samples.frame, samples.appearance, samples.partial
    FROM templates JOIN samples ON samples.id = templates.sample_id JOIN persons ON persons.id = samples.person_id
"""
_PEOPLE = """
    SELECT persons.name, count(templates.id), coalesce(min(nullif(templates.created_at, '')), '')
    FROM persons LEFT JOIN samples ON samples.person_id = persons.id LEFT JOIN templates
        ON templates.sample_id = samples.id
    GROUP BY persons.id
"""
_LOOK_ALIKES = """
    SELECT one.name, other.name FROM look_alikes
    JOIN persons AS one ON one.id = look_alikes.person_id JOIN persons AS other ON other.id = look_alikes.other_id
"""


def read_space(db: sqlite3.Connection) -> EmbeddingSpace | None:
    """The space that the pool is pinned to; None before its first template."""
    row = db.execute("SELECT model, weights_sha256, preprocessing, template, mirrored, dimension FROM space").fetchone()
    if row is None:
        return None
    model, weights_sha256, preprocessing, template, mirrored, dimension = row
    return EmbeddingSpace(model, weights_sha256, preprocessing, template, bool(mirrored), dimension)


def write_space(db: sqlite3.Connection, space: EmbeddingSpace) -> None:
    """Pin the pool."""
    db.execute(
        "INSERT INTO space (id, model, weights_sha256, preprocessing, template, mirrored, dimension) "
        "VALUES (1, ?, ?, ?, ?, ?, ?)",
        (
            space.model,
            space.weights_sha256,
            space.preprocessing,
            space.template,
            space.mirrored,
            space.dimension,
        ),
    )


def read_state(db: sqlite3.Connection, path: Path) -> tuple[int, int]:
    """How often the pool has changed, and how often other than by appending.

    Raises:
        PoolCorrupt: The pool does not say.
    """
    row = db.execute("SELECT revision, rewritten FROM state").fetchone()
    if row is None:
        raise damaged(path, "it does not say its revision")
    return int(row[0]), int(row[1])


def read_people(db: sqlite3.Connection) -> list[Person]:
    """Everybody, sorted by name."""
    return sorted((Person(*row) for row in db.execute(_PEOPLE)), key=lambda person: person.name)


def read_templates(db: sqlite3.Connection, name: str | None, dimension: int, path: Path) -> list[Template]:
    """The templates of one person, or with None of everybody, oldest first.

    Raises:
        PoolCorrupt: A vector does not have that dimension.
    """
    if name is None:
        rows = db.execute(f"{_TEMPLATES} ORDER BY templates.id").fetchall()
    else:
        rows = db.execute(f"{_TEMPLATES} WHERE persons.name = ? ORDER BY templates.id", (name,)).fetchall()
    check_blobs([blob for _, _, blob, *_ in rows], dimension, path)
    return [_template(row) for row in rows]


def read_template(db: sqlite3.Connection, number: int, dimension: int, path: Path) -> Template | None:
    """The template of a number; None: there is none.

    Raises:
        PoolCorrupt: Its vector does not have that dimension.
    """
    row = db.execute(f"{_TEMPLATES} WHERE templates.id = ?", (number,)).fetchone()
    if row is None:
        return None
    check_blobs([row[2]], dimension, path)
    return _template(row)


def read_picture(db: sqlite3.Connection, number: int) -> tuple[bytes | None] | None:
    """The picture of a template, None where it has none, in a row; None: there is no such template."""
    row: tuple[bytes | None] | None = db.execute(
        """SELECT pictures.jpeg FROM templates LEFT JOIN pictures ON pictures.sample_id = templates.sample_id
        WHERE templates.id = ?""",
        (number,),
    ).fetchone()
    return row


def read_pictured(db: sqlite3.Connection, name: str) -> frozenset[int]:
    """Numbers of the templates of a person that have a picture."""
    rows = db.execute(
        """SELECT templates.id FROM persons JOIN samples ON samples.person_id = persons.id
        JOIN pictures ON pictures.sample_id = samples.id JOIN templates ON templates.sample_id = samples.id
        WHERE persons.name = ?""",
        (name,),
    )
    return frozenset(number for (number,) in rows)


def delete_template(db: sqlite3.Connection, number: int, person: str | None) -> str | None:
    """Delete a template and what belongs to it, and tell whose it was; None: there is none, or not that person's."""
    row = db.execute(
        """SELECT samples.id, persons.name FROM templates JOIN samples ON samples.id = templates.sample_id
        JOIN persons ON persons.id = samples.person_id WHERE templates.id = ?""",
        (number,),
    ).fetchone()
    if row is None or (person is not None and row[1] != person):
        return None
    db.execute("DELETE FROM samples WHERE id = ?", (row[0],))
    return str(row[1])


def check_blobs(blobs: Sequence[object], dimension: int, path: Path) -> None:
    """Refuse what cannot be vectors.

    Raises:
        PoolCorrupt: One is no float32 vector of that dimension.
    """
    if any(not isinstance(blob, bytes) or len(blob) != 4 * dimension for blob in blobs):
        raise damaged(path, f"it holds vectors that do not have {dimension} dimensions")


def insert_person(db: sqlite3.Connection, name: str) -> bool:
    """Make somebody known; whether they were not before."""
    return db.execute("INSERT OR IGNORE INTO persons (name) VALUES (?)", (name,)).rowcount > 0


def insert_template(db: sqlite3.Connection, name: str, template: Template) -> None:
    """Store one template of a new or known person."""
    sample = template.sample
    pose = (sample.pose.yaw, sample.pose.pitch, sample.pose.roll) if sample.pose else (None, None, None)
    # sqlite3 would store NumPy's own numbers as bytes.
    measures = [plain_number(value) for value in (sample.time_s, *pose, sample.quality, sample.score, sample.size_px)]
    insert_person(db, name)
    sample_id = db.execute(
        """INSERT INTO samples (person_id, source, frame, appearance, partial, time_s, yaw, pitch, roll, quality, score,
            size_px)
        VALUES ((SELECT id FROM persons WHERE name = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            name,
            plain_text(sample.source),
            int(sample.frame),
            plain_text(sample.appearance),
            bool(sample.partial),
            *measures,
        ),
    ).lastrowid
    db.execute(
        "INSERT INTO templates (sample_id, embedding, model, created_at) VALUES (?, ?, ?, ?)",
        (sample_id, sample.embedding.astype("<f4").tobytes(), template.model, template.created_at),
    )
    if sample.picture:
        db.execute("INSERT INTO pictures VALUES (?, ?)", (sample_id, sample.picture))


def read_look_alikes(db: sqlite3.Connection) -> frozenset[LookAlikes]:
    """The pairs of people who are easily taken for each other."""
    return frozenset(frozenset(row) for row in db.execute(_LOOK_ALIKES))


def insert_look_alikes(db: sqlite3.Connection, person_id: int, other_id: int) -> None:
    """Flag a pair; one that is flagged stays so."""
    db.execute("INSERT OR IGNORE INTO look_alikes VALUES (?, ?)", sorted((person_id, other_id)))


def move_look_alikes(db: sqlite3.Connection, leaving: int, staying: int) -> None:
    """Give the pairs of a person to another who takes their place; the pair of the two is not moved."""
    others = db.execute(
        """SELECT CASE person_id WHEN ?1 THEN other_id ELSE person_id END FROM look_alikes
        WHERE ?1 IN (person_id, other_id)""",
        (leaving,),
    ).fetchall()
    for (other,) in others:
        if other != staying:
            insert_look_alikes(db, staying, other)


def read_calibration(db: sqlite3.Connection, path: Path) -> Calibration | None:
    """What was measured of the pool; None: nothing.

    Raises:
        PoolCorrupt: It is damaged.
    """
    row = db.execute("SELECT content FROM calibration").fetchone()
    if row is None:
        return None
    try:
        return calibration_of(json.loads(row[0]))
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, f"its calibration cannot be read ({type(error).__name__}: {error})") from error


def write_calibration(db: sqlite3.Connection, calibration: Calibration | None) -> None:
    """Keep it in place of what was kept; None: keep nothing."""
    db.execute("DELETE FROM calibration")
    if calibration is not None:
        db.execute("INSERT INTO calibration VALUES (1, ?)", (json.dumps(record_of(calibration)),))


def _template(row: tuple[Any, ...]) -> Template:
    number, person, blob, created_at, model, source, time_s, yaw, pitch, roll, quality, score, size_px, *rest = row
    frame, appearance, partial = rest
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
    )
    return Template(number, person, sample, created_at, model)
