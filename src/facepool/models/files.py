"""Files that are whole or absent: digests, atomic writes, one writer at a time, the disk's errors in our words."""

import errno
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from facepool.errors import DiskFull, NotWritable

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_TEMPORARY_PREFIX = ".unfinished-"


def digest_of(path: Path) -> str:
    """The sha256 of a file as 64 hex digits. About 20 ms for 40 MB.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file such that, whatever happens, it holds all of the content or does not change.

    Raises:
        DiskFull: No room.
        NotWritable: No permission.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{_TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


def sweep(folder: Path) -> None:
    """Remove what a killed process left unfinished in a folder. Call it as the only writer."""
    for leftover in folder.glob(f"{_TEMPORARY_PREFIX}*"):
        with suppress(OSError):
            leftover.unlink()


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Wait until no other process writes into a folder, then keep the others waiting.

    The lock is SQLite's: the one in the standard library that works alike on Linux, macOS and Windows and goes away
    with its process, however that ends.

    Raises:
        NotWritable: The folder cannot be created or written.
    """
    lock = folder / ".lock"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock.touch()
    with closing(sqlite3.connect(lock, timeout=0.2, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")  # nothing is ever written, so there is nothing to roll back
        while not _try_lock(connection):
            pass  # each try waits 0.2 s, short enough for Ctrl-C
        yield


def _try_lock(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            return False
        raise NotWritable("The model store cannot be locked", why=str(error)) from error
    return True


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors about room and permission into ours; others pass.

    Raises:
        DiskFull: No room.
        NotWritable: No permission.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or path
        if error.errno in _FULL:
            raise DiskFull(
                f"{where} cannot be written", why="the disk is full", fix="Free some space and run it again"
            ) from error
        if error.errno in _FORBIDDEN:
            raise NotWritable(
                f"{where} cannot be written",
                why=error.strerror or "",
                fix="Give yourself the right to write there, or choose another folder for the models",
            ) from error
        raise
