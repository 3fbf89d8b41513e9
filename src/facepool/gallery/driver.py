"""SQLite databases, plain or encrypted: the one place that opens one, by the driver that it takes.

A file without a key is opened by Python's own ``sqlite3``; one with a key by ``sqlcipher3`` (SQLCipher 4: each page
AES-256 in CBC mode with an HMAC-SHA512 of its own; https://www.zetetic.net/sqlcipher/design/), which is the same module
on another library. So a connection of either is a `Connection` here. Two things are not the same: errors are classes of
their own, see `database_errors`; and there is neither ``setlimit`` nor ``serialize``.

SQLCipher encrypts the file, its journal and its write-ahead log. What SQLite would put into temporary files stays in
the memory.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, cast

from facepool.errors import DiskFull, StorageError
from facepool.extras import require
from facepool.gallery.keys import PoolKey

Connection = sqlite3.Connection
"""Of either driver."""
Mode = Literal["", "mode=rw", "mode=ro", "immutable=1"]
Report = Callable[[int, int], None]
_DRIVER = "sqlcipher3.dbapi2"
_PAGES_AT_ONCE = 4096
_CODES = {
    "file is not a database": sqlite3.SQLITE_NOTADB,
    "database disk image is malformed": sqlite3.SQLITE_CORRUPT,
    "database is locked": sqlite3.SQLITE_BUSY,
    "database or disk is full": sqlite3.SQLITE_FULL,
    "disk I/O error": sqlite3.SQLITE_IOERR,
}
"""By SQLite's own words (``sqlite3_errstr``): what `Connection.backup` of sqlcipher3 raises has no number."""


def connect(
    path: Path | None,
    key: PoolKey | None = None,
    *,
    mode: Mode = "",
    timeout_s: float = 5.0,
    any_thread: bool = False,
    salt: str = "",
) -> Connection:
    """Open a database, in autocommit mode.

    A key is not tried here: it is wrong if the first statement raises ``SQLITE_NOTADB``.

    Args:
        path: The file; None: a database in memory.
        key: Of the file. In memory it encrypts nothing; there it makes a database into which `Connection.backup`
            copies an encrypted one.
        mode: How SQLite opens it: as an address says it. Empty: for reading and writing, and made where it is not.
        timeout_s: How long to wait for other processes, at each step.
        any_thread: Whether several threads use it, one at a time.
        salt: Of a new file, in hex; empty: a random one.

    Raises:
        ExtraMissing: A key was given, and ``facepool[encrypted]`` is not installed.
    """
    name = ":memory:" if path is None else f"{path.resolve().as_uri()}?{mode}" if mode else str(path)
    if key is None:
        return sqlite3.connect(
            name, uri=bool(mode), timeout=timeout_s, isolation_level=None, check_same_thread=not any_thread
        )
    require("encrypted")
    from sqlcipher3 import dbapi2  # noqa: PLC0415 -- of an extra

    db = cast(
        "Connection",
        dbapi2.connect(name, uri=bool(mode), timeout=timeout_s, isolation_level=None, check_same_thread=not any_thread),
    )
    try:
        for pragma in ("cipher_log_level = NONE", f'key = "{key.raw(salt)}"', "cipher_compatibility = 4"):
            db.execute(f"PRAGMA {pragma}").fetchall()
        db.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        db.close()
        raise
    return db


def is_encrypted(db: Connection) -> bool:
    """Whether a connection was opened with a key."""
    return not isinstance(db, sqlite3.Connection)


def copy_database(source: Connection, target: Connection, report: Report = lambda _done, _total: None) -> None:
    """Copy everything of a database into an empty one, as it is at one moment.

    SQLite copies pages where both are encrypted, by whatever keys, or neither is; otherwise rows go one by one, and
    never through a file that is not the target's.

    Args:
        source: Inside a transaction, if others may change it.
        target: Empty.
        report: Is told how much is copied, of how much.
    """
    if is_encrypted(source) == is_encrypted(target):
        source.backup(target, pages=_PAGES_AT_ONCE, progress=lambda _, left, total: report(total - left, total))
        return
    tables = source.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rootpage"
    ).fetchall()
    others = source.execute("SELECT sql FROM sqlite_master WHERE type != 'table' AND sql IS NOT NULL").fetchall()
    has_numbers = source.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone()
    target.execute("BEGIN IMMEDIATE")
    for pragma in ("application_id", "user_version"):
        (value,) = source.execute(f"PRAGMA {pragma}").fetchone()
        target.execute(f"PRAGMA {pragma} = {value}")
    for _, statement in tables:
        target.execute(statement)
    names = [*(name for name, _ in tables), *(["sqlite_sequence"] if has_numbers else [])]
    for done, name in enumerate(names):
        rows = source.execute(f'SELECT * FROM "{name}"')  # noqa: S608 -- its own names
        marks = ", ".join("?" * len(rows.description))
        target.executemany(f'INSERT INTO "{name}" VALUES ({marks})', rows)  # noqa: S608
        report(done + 1, len(names))
    for (statement,) in others:
        target.execute(statement)
    target.execute("COMMIT")


def database_errors() -> tuple[type[sqlite3.DatabaseError], ...]:
    """What either driver raises of a database, for ``except``: a class of ``sqlite3``, and its twin of ``sqlcipher3``.

    Both have ``sqlite_errorcode`` and ``sqlite_errorname``, with the numbers that ``sqlite3`` has names for.
    """
    other = sys.modules.get(_DRIVER)  # who has not loaded it has nothing to fear from it
    return (sqlite3.DatabaseError,) if other is None else (sqlite3.DatabaseError, other.DatabaseError)


def error_code(error: sqlite3.Error) -> int:
    """SQLite's own number of an error; SQLITE_ERROR where it has none."""
    code = getattr(error, "sqlite_errorcode", None)
    return _CODES.get(str(error), sqlite3.SQLITE_ERROR) if code is None else int(code)


@contextmanager
def sqlite_errors(name: object, *, fix: str, when_full: str = "") -> Iterator[None]:
    """Turn what SQLite raises inside the block into facepool's errors, for a small file of our own.

    Args:
        name: What the file is called, for messages.
        fix: What to do.
        when_full: What to do where the disk is full; empty: the same.

    Raises:
        DiskFull: No room.
        StorageError: The file cannot be used.
    """
    try:
        yield
    except database_errors() as error:
        kind = DiskFull if error_code(error) & 0xFF == sqlite3.SQLITE_FULL else StorageError
        remedy = when_full if kind is DiskFull and when_full else fix
        raise kind(f"{name} cannot be used", why=str(error), fix=remedy) from error
