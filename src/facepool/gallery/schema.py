"""pool.db on the disk: its tables, how they came to be, and what SQLite's errors mean to a user."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facepool.errors import (
    DiskFull,
    FacepoolError,
    NotWritable,
    PathMissing,
    PoolCorrupt,
    PoolLocked,
    PoolTooNew,
    StorageError,
)
from facepool.gallery.disk import storage_error

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
)
"""What takes a pool from version n to n + 1. Append only: pools of every earlier version are out there.

``state.revision`` counts changes; ``state.rewritten`` counts those that did more than append. Numbers are never
used twice, so that rows above the last one seen are the new ones.
"""

# A quota or a limit on file sizes comes as a refused write; the index of the log is the first to miss room.
_NO_ROOM = frozenset({sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})
_READABLE_REASONS: dict[int, tuple[type[FacepoolError], str, str]] = {
    sqlite3.SQLITE_BUSY: (
        PoolLocked,
        "another process is writing to it",
        "Try again, or end the other process",
    ),
    sqlite3.SQLITE_FULL: (DiskFull, "the disk has no room left", "Free some space; nothing was lost"),
    sqlite3.SQLITE_READONLY: (
        NotWritable,
        "there is no write permission",
        "Check the permissions of the file and of its folder",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        NotWritable,
        "it cannot be opened for reading and writing",
        "Check the permissions of the file and of its folder",
    ),
    sqlite3.SQLITE_NOTADB: (
        PoolCorrupt,
        "it is no SQLite file",
        "Name another file, or restore it from a backup",
    ),
    sqlite3.SQLITE_CORRUPT: (
        PoolCorrupt,
        "the file is damaged or cut off",
        "Restore it from a backup",
    ),
    sqlite3.SQLITE_IOERR: (StorageError, "the disk reports an error", "Check the disk"),
}
_READABLE_REASONS[sqlite3.SQLITE_LOCKED] = _READABLE_REASONS[sqlite3.SQLITE_BUSY]
_READABLE_REASONS[sqlite3.SQLITE_PERM] = _READABLE_REASONS[sqlite3.SQLITE_CANTOPEN]


def connect(path: Path, timeout_s: float, *, create: bool) -> sqlite3.Connection:
    """Open a pool.db, creating its tables or bringing them up to date where that is needed.

    Args:
        path: The file.
        timeout_s: How long to wait for other processes, at each step.
        create: Whether a file that does not exist is made, readable and writable by its owner only.

    Returns:
        A connection in autocommit mode.
    """
    with explained(path):
        _check_place(path, create=create)
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=timeout_s, isolation_level=None)
        try:
            _prepare(db, path, timeout_s)
        except BaseException:
            db.close()
            raise
    return db


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite raises inside the block into facepool's errors."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        explanation = explain(path, error)
        if explanation is None:
            raise
        raise explanation from error


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Several queries see the pool at one moment."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:  # SQLite has ended it where the disk failed
            db.execute("ROLLBACK")


def explain(path: Path, error: sqlite3.DatabaseError) -> FacepoolError | None:
    """What an error of SQLite means to the user; None when it is no news about the file."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    primary = sqlite3.SQLITE_FULL if code in _NO_ROOM else code & 0xFF
    if primary not in _READABLE_REASONS:
        return None
    kind, why, fix = _READABLE_REASONS[primary]
    return kind(f"The pool {path} cannot be used", why=why, fix=fix)


def _check_place(path: Path, *, create: bool) -> None:
    if path.is_dir():
        raise PoolCorrupt(f"The pool {path} cannot be used", why="it is a folder", fix="Name a file in it")
    if not path.parent.is_dir():
        raise PathMissing(
            f"The pool {path} cannot be made", why="its folder does not exist", fix=f"Make the folder {path.parent}"
        )
    if create:
        _make_private(path)


def _make_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise storage_error(path, error) from error


def _prepare(db: sqlite3.Connection, path: Path, timeout_s: float) -> None:
    _bring_up_to_date(db, path)
    _use_wal(db, timeout_s)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = ON")


def _bring_up_to_date(db: sqlite3.Connection, path: Path) -> None:
    with snapshot(db):  # another process may be making the tables just now
        version = _version(db, path)
    if version == len(MIGRATIONS):
        return
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


def _use_wal(db: sqlite3.Connection, timeout_s: float) -> None:
    """Switch to write-ahead logging; SQLite does not wait here when another process does the same."""
    deadline = time.monotonic() + timeout_s
    while db.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
