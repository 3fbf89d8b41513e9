"""The tables of pool.db, and how they came to be."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facepool.errors import NotWritable, PoolCorrupt, PoolTooNew

APPLICATION_ID = 0x66706F6F  # "fpoo", in the header of every pool.db

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE state (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            revision INTEGER NOT NULL,
            rewritten INTEGER NOT NULL
        )""",
        "INSERT INTO state VALUES (1, 0, 0)",
        """CREATE TABLE space (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            model TEXT NOT NULL,
            weights_sha256 TEXT NOT NULL,
            preprocessing TEXT NOT NULL,
            template TEXT NOT NULL,
            mirrored INTEGER NOT NULL,
            dimension INTEGER NOT NULL
        )""",
        """CREATE TABLE persons (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL UNIQUE
        )""",
        """CREATE TABLE samples (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            person_id INTEGER NOT NULL REFERENCES persons ON DELETE CASCADE,
            source TEXT NOT NULL,
            frame INTEGER NOT NULL,
            time_s REAL,
            yaw REAL,
            pitch REAL,
            roll REAL,
            quality REAL,
            score REAL,
            size_px REAL
        )""",
        """CREATE TABLE templates (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            sample_id INTEGER NOT NULL REFERENCES samples ON DELETE CASCADE,
            embedding BLOB NOT NULL,
            model TEXT NOT NULL,
            created_at TEXT NOT NULL
        )""",
        "CREATE INDEX samples_of_person ON samples (person_id)",
        "CREATE INDEX templates_of_sample ON templates (sample_id)",
    ),
    (
        "ALTER TABLE samples ADD COLUMN appearance TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE samples ADD COLUMN partial INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE look_alikes (
            person_id INTEGER NOT NULL REFERENCES persons ON DELETE CASCADE,
            other_id INTEGER NOT NULL REFERENCES persons ON DELETE CASCADE,
            PRIMARY KEY (person_id, other_id),
            CHECK (person_id < other_id)
        ) WITHOUT ROWID""",
        "CREATE INDEX look_alikes_of_other ON look_alikes (other_id)",
    ),
    (
        """CREATE TABLE calibration (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            content TEXT NOT NULL
        )""",
    ),
    (
        """CREATE TABLE pictures (
            sample_id INTEGER PRIMARY KEY REFERENCES samples ON DELETE CASCADE,
            jpeg BLOB NOT NULL
        )""",
    ),
)
"""What takes a pool from version n to n + 1. Append only: pools of every earlier version are out there.

``state.revision`` counts changes; ``state.rewritten`` counts those that did more than append. Numbers are never
used twice, so that rows above the last one seen are the new ones.
"""


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Several queries see the pool at one moment."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:  # SQLite has ended it where the disk failed
            db.execute("ROLLBACK")


def bring_up_to_date(db: sqlite3.Connection, path: Path, *, may_write: bool) -> None:
    """Make the tables, or bring those of an earlier version up to date.

    Raises:
        PoolCorrupt: The file is another program's.
        PoolTooNew: A newer facepool wrote it.
        NotWritable: An earlier one wrote it, and it may not be written.
    """
    with snapshot(db):  # another process may be making the tables just now
        version = _version(db, path)
    if version == len(MIGRATIONS):
        return
    if version and not may_write:
        raise NotWritable(
            f"The pool {path} cannot be used",
            why="an earlier facepool wrote it, and bringing it up to date takes write permission",
            fix="Let its owner open it once, for example: facepool people list",
        )
    db.execute("BEGIN IMMEDIATE")
    try:
        for number in range(_version(db, path), len(MIGRATIONS)):  # another process may have been faster
            for statement in MIGRATIONS[number]:
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _version(db: sqlite3.Connection, path: Path) -> int:
    """The version of the tables; 0 for an empty file."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application, version, tables) != (0, 0, 0):
        raise PoolCorrupt(
            f"The pool {path} cannot be used",
            why="it is a database of another program",
            fix="Name another file",
        )
    if version > len(MIGRATIONS):
        raise PoolTooNew(
            f"The pool {path} cannot be used",
            why=f"a newer facepool wrote it (version {version}; this one knows {len(MIGRATIONS)})",
            fix="Update facepool",
        )
    return int(version)
