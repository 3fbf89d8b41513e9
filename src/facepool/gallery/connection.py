"""The connection to a pool.db: opened for writing or reading, and what SQLite's errors mean to a user."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from weakref import WeakValueDictionary

from facepool.errors import (
    ConversionUnfinished,
    DiskFull,
    FacepoolError,
    KeyNeeded,
    NotWritable,
    PathMissing,
    PoolCorrupt,
    PoolGone,
    PoolLocked,
    PoolNotEncrypted,
    StorageError,
    WrongKey,
    system_limit,
)
from facepool.files import PRIVATE, locks_work, storage_error, storage_errors
from facepool.gallery import driver
from facepool.gallery.address import EncryptedFile, FileAddress, is_of_collections, key_of, make_folder_of, path_of
from facepool.gallery.base import OpenFiles
from facepool.gallery.checks import damaged
from facepool.gallery.driver import Connection, database_errors, error_code
from facepool.gallery.keys import is_plain, looks_encrypted
from facepool.gallery.logs import check_log
from facepool.gallery.schema import VERSION, bring_up_to_date, in_memory, version_of

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
# Of reading, writing and sizing the index of the write-ahead log, which processes share as memory.
_NO_SHARED_MEMORY = frozenset({sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMLOCK})
_FILES_OF_A_POOL = 4
"""The pool, its log, the log's index, and a journal."""
SMALL_LOG = ("wal_autocheckpoint = 100", "journal_size_limit = 524288")
"""The log takes 0.4 MiB until it goes to the file, in place of 4, and 0.5 at most after a large change."""
_SIGNS_OF_DAMAGE = ("no such table", "malformed database schema", "Could not decode to UTF-8")
"""How errors begin that have no code of their own."""
_ANOTHER_PLACE = "Keep the pool on a disk of this machine and name it with --pool"
_OPEN_FILES: WeakValueDictionary[tuple[tuple[int, int], bool], OpenFiles] = WeakValueDictionary()
"""By file, and whether it was opened with a key."""
_OPEN_FILES_LOCK = threading.Lock()
_READABLE_REASONS[sqlite3.SQLITE_LOCKED] = _READABLE_REASONS[sqlite3.SQLITE_BUSY]
_READABLE_REASONS[sqlite3.SQLITE_PERM] = _READABLE_REASONS[sqlite3.SQLITE_CANTOPEN]


@dataclass(frozen=True, slots=True)
class Link:
    """A connection to a pool.db, and which file it was opened on.

    Attributes:
        db: In autocommit mode.
        path: The file.
        file: Its device and number: the same as long as nobody deletes or replaces it.
        frozen: What it looked like when it was opened as a file that nobody changes, or read into memory; None: SQLite
            sees changes itself.
        kept: The copy of the pool as an earlier facepool wrote it, if this opening brought it up to date.
        is_copy: Whether it is a copy in memory of a pool that an earlier facepool wrote and that may not be written.
        open_files: Shared by all links to the file; by none where this one does not see what others write.
    """

    db: Connection
    path: Path
    file: tuple[int, int]
    frozen: tuple[int, ...] | None = None
    kept: Path | None = None
    is_copy: bool = False
    open_files: OpenFiles = field(default_factory=OpenFiles)

    def check(self) -> None:
        """Refuse to go on with a file that nobody can find any more: what is written there is lost.

        Raises:
            PoolGone: The file was deleted or replaced.
        """
        if file_number(self.path) == self.file:
            return
        raise PoolGone(
            f"The pool {self.path} cannot be used",
            why="its file was deleted or replaced while it was open",
            fix="Open it again",
        )

    @property
    def outdated(self) -> bool:
        """Whether the file has to be opened again to see what others have written."""
        return self.frozen is not None and self.frozen != _looks(self.path)


def connect(address: FileAddress, timeout_s: float, *, create: bool) -> Link:
    """Open a pool.db, creating its tables or bringing them up to date where that is needed.

    A file that may not be written, or whose folder may not, is opened for reading; if an earlier facepool wrote it, it
    is read into memory and brought up to date there.

    Args:
        address: The file, with its key if it is encrypted.
        timeout_s: How long to wait for other processes, at each step.
        create: Whether a file that does not exist is made, readable and writable by its owner only.
    """
    path, key = path_of(address), key_of(address)
    if create and is_of_collections(path.parent):
        make_folder_of(path)
    with explained(address):
        _check_place(path, create=create)
        _check_conversion(path)
        _check_other_driver(address)
        if _size(log_of(path)) > 0:
            check_log(address, log_of(path))
        mode = _mode(path)
        looks = _looks(path)
        file = file_number(path)  # before it is opened: if it is replaced meanwhile, that shows at the first use
        # A gallery asks for one thread at a time, not always the same.
        db = driver.connect(path, key, mode=mode, timeout_s=timeout_s, any_thread=True)
        try:
            # A pool may come from elsewhere: nothing that its tables say is to be run, and no page is taken on trust.
            db.execute("PRAGMA trusted_schema = OFF")
            db.execute("PRAGMA cell_size_check = ON")
            if mode != "mode=rw" and 0 < version_of(db, path) < VERSION:
                copy = in_memory(db)
                copy.execute("PRAGMA query_only = ON")
                db.close()
                return Link(copy, path, file, looks, is_copy=True)
            kept = bring_up_to_date(db, address)
            if mode == "mode=rw":
                _prepare_for_writing(db, timeout_s)
        except BaseException:
            db.close()
            raise
    if mode == "immutable=1":
        return Link(db, path, file, looks, kept=kept)
    return Link(db, path, file, kept=kept, open_files=_open_files(file, has_key=key is not None))


def _open_files(file: tuple[int, int], *, has_key: bool) -> OpenFiles:
    """What stands for a file that was just opened: no other can get its number while it is."""
    with _OPEN_FILES_LOCK:
        known = _OPEN_FILES.get((file, has_key))
        if known is None:
            known = _OPEN_FILES[file, has_key] = OpenFiles()
        return known


def _check_other_driver(address: FileAddress) -> None:
    """Refuse a file that this process has open by the other driver: closing it would let go of that one's locks."""
    has_key = key_of(address) is not None
    with _OPEN_FILES_LOCK:
        is_open = (file_number(path_of(address)), not has_key) in _OPEN_FILES
    if is_open:
        raise _not_encrypted(address) if has_key else _key_needed(address)


def journal_of(path: Path) -> Path:
    """What lies beside a pool while it is being encrypted or decrypted, from when its copies count until they are used.

    Args:
        path: The pool, or one of its collections: they are converted together.
    """
    path = path.absolute()
    root = (path.parent.with_suffix(path.suffix) if is_of_collections(path.parent) else path).resolve()
    return root.with_name(f"{root.name}.conversion")


def _check_conversion(path: Path) -> None:
    """Refuse files of which some may be encrypted already, and others not yet."""
    if journal_of(path).exists():
        raise ConversionUnfinished(
            f"The pool {path} cannot be used yet",
            why="encrypting or decrypting it was interrupted, or goes on just now",
            fix="Run any command of facepool on this pool, such as facepool people list: it goes on where it was",
        )


@contextmanager
def explained(address: FileAddress) -> Iterator[None]:
    """Turn what SQLite raises inside the block into facepool's errors."""
    try:
        yield
    except database_errors() as error:
        explanation = explain(address, error)
        if explanation is None:
            raise
        raise explanation from error
    except UnicodeDecodeError as error:  # what SQLite says of a damaged file may quote it
        raise damaged(address, "it has text that is none") from error


def explain(address: FileAddress, error: sqlite3.DatabaseError) -> FacepoolError | None:
    """What an error of SQLite means to the user; None when it is no news about the file."""
    code = error_code(error)
    primary = sqlite3.SQLITE_FULL if code in _NO_ROOM else code & 0xFF
    if (reason := _of_the_place(path_of(address), code)) is not None:
        return reason
    if primary == sqlite3.SQLITE_NOTADB and (reason := _of_the_key(address)) is not None:
        return reason
    if str(error).startswith(_SIGNS_OF_DAMAGE):
        return damaged(address, str(error))
    if primary not in _READABLE_REASONS:
        return None
    kind, why, fix = _READABLE_REASONS[primary]
    if primary == sqlite3.SQLITE_IOERR:
        why += f" ({getattr(error, 'sqlite_errorname', error)})"
    return kind(f"The pool {address} cannot be used", why=why, fix=fix)


def _of_the_key(address: FileAddress) -> FacepoolError | None:
    """What is wrong with the key where SQLite takes a file for no database; None: nothing, it is none."""
    if not isinstance(address, EncryptedFile):
        return _key_needed(address) if looks_encrypted(address) else None
    if is_plain(address.path):
        return _not_encrypted(address)
    return WrongKey(
        f"The pool {address} cannot be opened with this key",
        why=f"it was encrypted with another one (this one has the fingerprint {address.key.fingerprint}), or is "
        "damaged from its first page on",
        fix="Name the key of this pool with --key-file; without it nobody can read the pool, and only a backup whose "
        "key you have brings people back",
    )


def _key_needed(address: FileAddress) -> KeyNeeded:
    return KeyNeeded(
        f"The pool {address} cannot be opened without its key",
        why="it is encrypted, or no pool at all, and no key was given",
        fix="Name the file of its key with --key-file, or unlock the keyring that has it",
    )


def _not_encrypted(address: FileAddress) -> PoolNotEncrypted:
    return PoolNotEncrypted(
        f"The pool {address} is not encrypted, and a key was given",
        why="with a key, nothing is to be kept that can be read without it",
        fix="Encrypt it: facepool pool encrypt; or use it without a key: no --key-file, no key_file in the settings, "
        "no FACEPOOL_KEY, no credential facepool-key",
    )


def _of_the_place(path: Path, code: int) -> FacepoolError | None:
    """The reasons that SQLite reports under another name, because the system's own answer does not reach it."""
    what, folder = f"The pool {path} cannot be used", path.parent.absolute()
    if code == sqlite3.SQLITE_IOERR_NOMEM:
        return system_limit(what, MemoryError())
    if code in _NO_SHARED_MEMORY:
        return StorageError(
            what,
            why=f"{folder} lies on a file system without memory that processes share, which its log needs",
            fix=_ANOTHER_PLACE,
        )
    if code & 0xFF == sqlite3.SQLITE_CANTOPEN:
        return _limit_on_opening(folder, what)
    if code & 0xFF == sqlite3.SQLITE_BUSY and not locks_work(folder):
        return StorageError(
            what,
            why=f"{folder} lies on a file system without file locks",
            fix=f"{_ANOTHER_PLACE}, or mount that file system with locks",
        )
    return None


def _limit_on_opening(folder: Path, what: str) -> FacepoolError | None:
    """The limit of the system that keeps this process from opening the files of a pool, if one does."""
    opened: list[int] = []
    try:
        opened.extend(os.open(folder, os.O_RDONLY) for _ in range(_FILES_OF_A_POOL))
    except OSError as error:
        return system_limit(what, error)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return None


def _mode(path: Path) -> Literal["mode=rw", "mode=ro", "immutable=1"]:
    """How SQLite is to open a file.

    Readers of a write-ahead log take part in its index, a file beside the pool. Where they may not make one and there
    is none, because nobody has the pool open, only a file that counts as unchangeable can be read.
    """
    if may_write(path) and may_write(path.parent):
        return "mode=rw"
    if _beside(path, "-shm").exists():
        return "mode=ro"
    if _size(_beside(path, "-wal")) > 0:
        raise NotWritable(
            f"The pool {path} cannot be used",
            why="its write-ahead log is not merged yet, which takes write permission",
            fix="Let its owner open it once, for example: facepool people list",
        )
    return "immutable=1"


def may_write(path: Path) -> bool:
    """Whether a file or folder may be written by this user."""
    # Not by opening it: closing the file would let go of the locks that other connections of this process hold.
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def log_of(path: Path) -> Path:
    """Where SQLite keeps the write-ahead log of a file."""
    return _beside(path, "-wal")


def _beside(path: Path, ending: str) -> Path:
    path = path.resolve()
    return path.with_name(path.name + ending)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def file_number(path: Path) -> tuple[int, int]:
    """Device and number of a file, which stay until somebody deletes or replaces it; zeros where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return (0, 0)
    except OSError as error:
        raise storage_error(path, error, "cannot be used") from error
    return (status.st_dev, status.st_ino)


def _looks(path: Path) -> tuple[int, ...]:
    """What differs after somebody has written to the file or its log."""
    with storage_errors(path, "cannot be used"):
        status = path.stat()
        return (status.st_mtime_ns, status.st_size, _size(_beside(path, "-wal")))


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
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE))
    except FileExistsError:
        return
    except OSError as error:
        raise storage_error(path, error, "cannot be used") from error


def _prepare_for_writing(db: Connection, timeout_s: float) -> None:
    _use_wal(db, timeout_s)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = ON")
    for pragma in SMALL_LOG:
        db.execute(f"PRAGMA {pragma}")


def _use_wal(db: Connection, timeout_s: float) -> None:
    """Switch to write-ahead logging; SQLite does not wait here when another process does the same."""
    deadline = time.monotonic() + timeout_s
    while db.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != ("wal",):
                raise StorageError(
                    "The pool cannot be used",
                    why=f"SQLite keeps no write-ahead log in this place; its journal stays {mode[0]!r}",
                    fix=_ANOTHER_PLACE,
                )
        except database_errors() as error:
            if error_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
