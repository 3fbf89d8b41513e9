"""Pools that mean harm: files that are nearly a pool, made from one that is."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from facepool.gallery import open_pool
from facepool.types import EmbeddingSpace, Sample
from support.pools import unit

_, _PICTURE = cv2.imencode(".jpg", np.full((112, 112, 3), 90, np.uint8))
PICTURE = _PICTURE.tobytes()
_ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"


def small_pool(path: Path, space: EmbeddingSpace, people: Sequence[str] = ("Ada", "Bob")) -> Path:
    """A whole pool, without a log."""
    with open_pool(path, space) as pool:
        for number, person in enumerate(people):
            sample = Sample(unit(number, space.dimension), "a.jpg", picture=PICTURE)
            pool.register(person, [sample], space, look_alikes=people[:number])
    return path


def changed(*statements: str) -> Callable[[Path], None]:
    """What changes a pool in SQL, with everything that SQLite lets one do."""

    def change(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA foreign_keys = OFF")
            db.execute("PRAGMA ignore_check_constraints = ON")
            for statement in statements:
                db.execute(statement)
            db.execute("PRAGMA journal_mode = DELETE")

    return change


def rewritten(old: str, new: str) -> Callable[[Path], None]:
    """What changes the schema as it is written in the file."""

    def change(path: Path) -> None:
        changed("PRAGMA writable_schema = ON", f"UPDATE sqlite_master SET sql = replace(sql, '{old}', '{new}')")(path)

    return change


def pages_in_a_circle(path: Path) -> None:
    """Pages that lead to each other: rows without an end, in tables that are as they have to be."""
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[16:18])
    with closing(sqlite3.connect(path)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'persons'").fetchone()
    leaf = len(content) // size + 1
    at = (root - 1) * size
    content += content[at : at + size]  # what was there, as the only leaf
    for depth in range(12):  # each page leads to the next one a hundred times
        child = leaf + depth + 1 if depth < 11 else leaf
        cells = [child.to_bytes(4) + _varint(number) for number in range(1, 100)]
        head, body = bytearray(b"\x05\0\0" + len(cells).to_bytes(2) + b"\0\0\0" + child.to_bytes(4)), bytearray(size)
        end = size
        for cell in cells:
            end -= len(cell)
            body[end : end + len(cell)] = cell
            head += end.to_bytes(2)
        head[5:7] = end.to_bytes(2)
        body[: len(head)] = head
        if depth == 0:
            content[at : at + size] = body
        else:
            content += body
    content[28:32] = (len(content) // size).to_bytes(4)
    path.write_bytes(content)


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([128 | number >> 7, number & 127])


HOSTILE: dict[str, Callable[[Path], None]] = {
    "an endless view for a table": changed(
        "DROP TABLE persons",
        f"CREATE VIEW persons AS {_ENDLESS} "
        "SELECT x AS id, 'p' || x AS name, randomblob(16) AS uuid, 1 AS revision FROM n",
    ),
    "an endless view for the revision": changed(
        "DROP TABLE state", f"CREATE VIEW state AS {_ENDLESS} SELECT x AS revision FROM n WHERE x < 0"
    ),
    "pages in a circle": pages_in_a_circle,
    "a trigger": changed("CREATE TRIGGER more AFTER INSERT ON persons BEGIN DELETE FROM templates; END"),
    "one view more": changed("CREATE VIEW more AS SELECT 1"),
    "one table more": changed("CREATE TABLE more (x)"),
    "one index more": changed("CREATE INDEX more ON persons (length(name))"),
    "an index that is unique no more": changed(
        "DROP INDEX persons_of_uuid", "CREATE INDEX persons_of_uuid ON persons (uuid)"
    ),
    "a virtual table": changed("CREATE VIRTUAL TABLE more USING fts5 (x)"),
    "a column that is computed": changed("ALTER TABLE persons ADD COLUMN more TEXT AS (hex(zeroblob(100000000)))"),
    "a collation": rewritten("name TEXT NOT NULL UNIQUE", "name TEXT NOT NULL COLLATE NOCASE UNIQUE"),
    "a default that is computed": rewritten(
        "uuid BLOB NOT NULL DEFAULT x''''", "uuid BLOB NOT NULL DEFAULT (randomblob(9))"
    ),
    "a schema that is no SQL": rewritten("CREATE TABLE pictures", "CREATE TABEL pictures"),
    "version -5": changed("PRAGMA user_version = -5"),
    "version 0": changed("PRAGMA user_version = 0"),
    "version 3": changed("PRAGMA user_version = 3"),
    "version 99": changed("PRAGMA user_version = 99"),
    "another program's": changed("PRAGMA application_id = 7"),
    "no revision": changed("DELETE FROM state"),
    "a negative revision": changed("UPDATE state SET revision = -5"),
    "a revision that is text": changed("UPDATE state SET revision = 'many'"),
    "no space": changed("DELETE FROM space"),
    "a dimension below nothing": changed("UPDATE space SET dimension = -8"),
    "a dimension beyond all": changed("UPDATE space SET dimension = 4611686018427387904"),
    "a model that is a blob": changed("UPDATE space SET model = x'00'"),
    "a name that is a blob": changed("UPDATE persons SET name = x'41' WHERE id = 1"),
    "a name that is no Unicode": changed("UPDATE persons SET name = CAST(x'FF41' AS TEXT) WHERE id = 1"),
    "an empty name": changed("UPDATE persons SET name = '' WHERE id = 1"),
    "a name of two lines": changed("UPDATE persons SET name = 'a' || char(10) || 'b' WHERE id = 1"),
    "a name that ends in the middle": changed("UPDATE persons SET name = 'a' || char(0) || 'b' WHERE id = 1"),
    "a name without an end": changed("UPDATE persons SET name = printf('%.*c', 2000000, 'x') WHERE id = 1"),
    "an id of three bytes": changed("UPDATE persons SET uuid = x'010203' WHERE id = 1"),
    "an id that is text": changed("UPDATE persons SET uuid = '0123456789abcdef' WHERE id = 1"),
    "a template's id that is a number": changed("UPDATE templates SET uuid = 7 WHERE id = 1"),
    "a template of number -1": changed("UPDATE templates SET id = -1 WHERE id = 1"),
    "a vector of zeros": changed("UPDATE templates SET embedding = zeroblob(length(embedding)) WHERE id = 1"),
    "a vector of NaN": changed(
        "UPDATE templates SET embedding = CAST(replace(hex(zeroblob(length(embedding) / 8)), '00', 'zzzz') AS BLOB)"
    ),
    "a vector of ones": changed(
        "UPDATE templates SET embedding = CAST(printf('%.*c', length(embedding), '~') AS BLOB)"
    ),
    "a vector that is too short": changed("UPDATE templates SET embedding = x'0000803f' WHERE id = 1"),
    "a vector that is text": changed("UPDATE templates SET embedding = 'one' WHERE id = 1"),
    "a time that is a blob": changed("UPDATE templates SET created_at = x'00' WHERE id = 1"),
    "a source that is a blob": changed("UPDATE samples SET source = x'00' WHERE id = 1"),
    "a frame that is text": changed("UPDATE samples SET frame = 'first' WHERE id = 1"),
    "an infinite quality": changed("UPDATE samples SET quality = 9e999 WHERE id = 1"),
    "a pose that is text": changed("UPDATE samples SET yaw = 'left', pitch = 1, roll = 1 WHERE id = 1"),
    "a pose without a part": changed("UPDATE samples SET yaw = 1 WHERE id = 1"),
    "a sample of nobody": changed("UPDATE samples SET person_id = 99 WHERE id = 1"),
    "look-alikes that are not there": changed("UPDATE look_alikes SET other_id = 99"),
    "a picture that is none": changed("UPDATE pictures SET jpeg = x'89504e470d0a1a0a' WHERE sample_id = 1"),
    "a picture without an end": changed("UPDATE pictures SET jpeg = jpeg || zeroblob(3000000) WHERE sample_id = 1"),
    "a picture that says that it is huge": changed(
        "UPDATE pictures SET jpeg = x'ffd8ffc0000b08ffffffff' WHERE sample_id = 1"
    ),
    "a picture that is text": changed("UPDATE pictures SET jpeg = 'smile' WHERE sample_id = 1"),
    "a calibration that is no JSON": changed("INSERT INTO calibration VALUES (1, 'high')"),
    "a calibration of brackets": changed(
        "INSERT INTO calibration VALUES (1, replace(printf('%.*c', 50000, '['), ' ', '['))"
    ),
    "a calibration without an end": changed(
        """INSERT INTO calibration VALUES (1, '{"points": [[1, 0], [0.5, 1]], "threshold": 0.5, "target_fpir": 0.1,
        "low": 0, "high": 1, "people": 1e999, "templates": 1, "comparisons": 1, "borrowed": 0, "created_at": "",
        "space_id": ""}')"""
    ),
}
"""What it is, and what makes a whole pool such a one."""
