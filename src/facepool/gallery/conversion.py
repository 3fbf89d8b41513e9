"""A pool in files encrypted, decrypted, or given another key: as a whole or not at all, whatever happens meanwhile.

Everything that belongs to the pool goes along: what a server keeps of it, its collections, and the copies that are kept
of earlier times. Each file is copied under another name, and the copies are verified; until then nothing has changed.
Then a small file beside the pool says that the copies count (`journal_of`): from here on nobody opens the pool until
they all are in their places, which takes no key, and which `finish` does, also after the process was killed.

What was there is overwritten before it is deleted. Whether that reaches the bytes on the disk is up to the file system
and the disk: those that write changes elsewhere (btrfs, ZFS, SSDs) may keep them for a while.
"""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from facepool.errors import ConfigError, NotWritable, PoolCorrupt, PoolLocked
from facepool.files import PRIVATE, only_writer, storage_errors, sync_folders, write_new, write_whole
from facepool.gallery import driver
from facepool.gallery.address import FileAddress, at, file_of, key_of, path_of
from facepool.gallery.collections import collection_address, collections_in
from facepool.gallery.connection import explained, journal_of, log_of, may_write
from facepool.gallery.driver import Connection, Report, copy_database, database_errors, error_code
from facepool.gallery.image import delete_image
from facepool.gallery.keys import PoolKey, is_plain, promote_keyring
from facepool.gallery.logs import check_log
from facepool.gallery.notices import logs_beside
from facepool.gallery.schema import copies_of, damaged_of, snapshot

_CONVERTED = ".converted"
_FORMER = ".former"
_LOCK = ".conversion.lock"
_LOGS = ("-wal", "-shm", "-journal")
_PATIENCE_S = 2.0
_WIPED_AT_ONCE = 1 << 20


def files_of(pool: FileAddress) -> list[Path]:
    """The databases that belong to a pool: its own, those of its collections, what a server keeps, and kept copies.

    Where the pool is named by a symbolic link, those beside the link and those beside its file; each as what it is.
    """
    found: list[Path] = []
    for name in collections_in(pool):
        path = file_of(collection_address(pool, name))
        if path is not None:
            kept = [copy for copy in copies_of(path) if not copy.name.startswith(damaged_of(path).name)]
            found += [path, logs_beside(path), *kept]
    target = path_of(pool).resolve()
    linked = files_of(at(target, pool)) if target != path_of(pool).absolute() else []
    return list(dict.fromkeys(path.resolve() for path in (*found, *linked) if path.exists()))


def convert(
    pool: FileAddress,
    key: PoolKey | None,
    *,
    in_keyring: bool = False,
    report: Report = lambda _done, _total: None,
) -> int:
    """Give a pool another key, take its key away, or encrypt one that has none.

    Files of it that are not encrypted although the pool is, a collection that was copied there for example, go along.

    Args:
        pool: The file of its default collection, with its present key if it is encrypted.
        key: The key afterwards, which has to be on the disk already; None: it is not encrypted then.
        in_keyring: Whether the new key waits in the keyring to become that of the pool.
        report: Is told how many files are copied, of how many.

    Returns:
        How many files were converted.

    Raises:
        PoolLocked: Somebody has the pool open, a server for example; nothing was changed.
        PoolCorrupt: One of the files is damaged; nothing was changed.
        WrongKey: The present key is not that of one of the files; nothing was changed.
        DiskFull: No room for the copies; nothing was changed.
    """
    path = path_of(pool).resolve()
    with _alone(path):
        _put_in_place(path)
        files = files_of(pool)
        _drop_copies(files)
        _check_damaged(files)
        with ExitStack() as held:
            try:
                for done, file in enumerate(files):
                    db = held.enter_context(_held(file if is_plain(file) else at(file, pool)))
                    if key is not None:
                        _check_no_index(db, file)
                    _copy(db, file, key)
                    report(done + 1, len(files))
                _commit(path, files, in_keyring=in_keyring)
            except BaseException:
                if not journal_of(path).exists():
                    with suppress(OSError):
                        _drop_copies(files)
                raise
            if os.name == "nt":  # there, nothing replaces an open file
                held.close()
            _put_in_place(path)
    return len(files)


def is_unfinished(path: Path) -> bool:
    """Whether a conversion of a pool was interrupted, or goes on just now."""
    path = path.resolve()
    return journal_of(path).exists() or _converted(path).exists()


def finish(path: Path) -> None:
    """Bring an interrupted conversion to its end; no key is needed, and it may be done again.

    Copies that were complete are put in their places; others are deleted, and the pool stays as it was.

    Args:
        path: The file of the pool's default collection.

    Raises:
        PoolLocked: Another process does it just now, for longer than we wait.
    """
    target = path.resolve()
    with _alone(target):
        _put_in_place(target)
        _drop_copies(files_of(path))


def _drop_copies(files: Sequence[Path]) -> None:
    """Delete what a killed process has left; it may be plain copies of encrypted files."""
    with storage_errors(files[0] if files else Path(), "cannot be converted"):
        for file in reversed(files):  # that of the pool itself goes last: by it the others are found
            _wipe(_converted(file))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    busy = PoolLocked(
        f"The pool {path} is being encrypted or decrypted", why="another process does it", fix="Wait until it is done"
    )
    lock = path.with_name(f"{path.name}{_LOCK}")
    with only_writer(lock, _PATIENCE_S, busy):
        if path.exists():  # so that whoever owns the pool may do it, also after root has
            _give(lock, path.stat(), writable=True)
        yield


def _check_damaged(files: Sequence[Path]) -> None:
    """Refuse to leave anybody behind in a file that nothing can read, and that so cannot be encrypted."""
    for file in files:
        damaged = damaged_of(file)
        if damaged.exists():
            raise ConfigError(
                "The pool cannot be converted yet",
                why=f"{damaged.name} beside it is damaged, so that it cannot go along",
                fix=f"Delete {damaged} if a backup took its place and all is well",
            )


def _check_no_index(db: Connection, file: Path) -> None:
    """Refuse to encrypt a pool whose vectors lie elsewhere as they are.

    Raises:
        ConfigError: They do, in an index.
    """
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'indexes'").fetchone():
        return
    for (place,) in db.execute("SELECT place FROM indexes LIMIT 1").fetchall():
        raise ConfigError(
            f"The pool {file.name} cannot be encrypted yet",
            why=f"its vectors lie in the index at {place}, which is not encrypted",
            fix="Delete the index first: facepool index remove",
        )


@contextmanager
def _held(file: FileAddress) -> Iterator[Connection]:
    """A database that nobody else opens until the block ends, with what was in its log in it."""
    path = path_of(file)
    if not may_write(path):
        raise NotWritable(f"{path} cannot be converted", why="it may not be written", fix="Check its permissions")
    if log_of(path).exists():
        check_log(file, log_of(path))
    with (
        explained(file),
        closing(driver.connect(path, key_of(file), mode="mode=rw", timeout_s=1.0)) as db,
        overwriting(log_of(path)),
    ):
        try:
            (mode,) = db.execute("PRAGMA journal_mode = DELETE").fetchone()
            db.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
            db.execute("BEGIN EXCLUSIVE")
            db.execute("COMMIT")
        except database_errors() as error:
            if error_code(error) & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            raise _in_use(file) from error
        if mode != "delete":
            raise _in_use(file)
        yield db


@contextmanager
def overwriting(file: Path) -> Iterator[None]:
    """Overwrite a file after the block, if somebody has deleted it there: the log of a database, for example."""
    if os.name != "posix" or not file.exists():  # elsewhere nobody deletes what is open
        yield
        return
    with file.open("rb+") as stream:
        yield
        if not file.exists():
            _overwrite(stream)


def _in_use(file: FileAddress) -> PoolLocked:
    return PoolLocked(
        f"{file} cannot be converted",
        why="another process has it open",
        fix="End that process, a server for example, and start it again afterwards",
    )


def _copy(db: Connection, file: Path, key: PoolKey | None) -> None:
    """Copy a database under its other name, and make sure that it is whole, here and there."""
    target = _converted(file)
    _check(db, file)
    with storage_errors(target):
        write_new(target, b"", PRIVATE)
        _give(target, file.stat())
        with closing(driver.connect(target, key)) as copy, snapshot(db):
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "secure_delete = ON"):
                copy.execute(f"PRAGMA {pragma}")
            copy_database(db, copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        with closing(driver.connect(target, key)) as copy:
            _check(copy, file)
            if _counts(copy) != _counts(db):
                raise PoolCorrupt(f"{file} cannot be copied", why="rows are missing", fix="Restore it from a backup")
        with target.open("rb+") as written:
            os.fsync(written.fileno())


def _check(db: Connection, file: Path) -> None:
    (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise PoolCorrupt(f"{file} is damaged", why=str(verdict), fix="Restore it from a backup")


def _counts(db: Connection) -> dict[str, int]:
    tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall()
    return {name: db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name,) in tables}  # noqa: S608


def _give(file: Path, like: os.stat_result, *, writable: bool = False) -> None:
    """Leave a file to the owner of another one, with its permissions; ``writable``: its owner may write it anyway."""
    if os.name != "posix":
        return
    with suppress(PermissionError):  # it is another user's, or the owner is to be
        file.chmod(like.st_mode & 0o777 | (PRIVATE if writable else 0))
        if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(file, like.st_uid, like.st_gid)


def _commit(path: Path, files: Sequence[Path], *, in_keyring: bool) -> None:
    """From here on the copies count."""
    journal = journal_of(path)
    content = {"files": [os.path.relpath(file, journal.parent) for file in files], "in_keyring": in_keyring}
    with storage_errors(journal):
        sync_folders(files)
        write_whole(journal, json.dumps(content).encode(), PRIVATE)
        sync_folders([path])


def _put_in_place(path: Path) -> None:
    """Do what a journal says, if there is one; whatever of it is done already is passed over."""
    journal = journal_of(path)
    if not journal.exists():
        return
    files, in_keyring = _read_journal(journal)
    with storage_errors(path):
        for file in files:
            _replace(file)
        if in_keyring:
            promote_keyring(path)
        sync_folders(files)
        for file in files:
            delete_image(file)
            _wipe(_former(file))
        journal.unlink()
        sync_folders([path])


def _read_journal(journal: Path) -> tuple[list[Path], bool]:
    """Which files are converted, and whether their key waits in the keyring."""
    try:
        content = json.loads(journal.read_text(encoding="utf-8"))
        return [journal.parent / name for name in content["files"]], bool(content["in_keyring"])
    except (ValueError, KeyError, TypeError) as error:
        raise PoolCorrupt(
            f"{journal} is damaged",
            why="it does not say which files of the pool were converted",
            fix=f"Put the files that end in {_CONVERTED} in the places of those without it, and delete {journal.name}",
        ) from error


def _replace(file: Path) -> None:
    converted, former = _converted(file), _former(file)
    if not converted.exists():
        return
    if not former.exists():
        with suppress(OSError):  # file systems without hard links: then nothing is left to be overwritten
            os.link(file, former)
    for ending in _LOGS:  # before, as SQLite would take them for those of the new one
        file.with_name(f"{file.name}{ending}").unlink(missing_ok=True)
    converted.replace(file)


def _wipe(file: Path) -> None:
    """Overwrite a file, as far as its file system lets us, and delete it."""
    if not file.exists():
        return
    with file.open("rb+") as stream:
        _overwrite(stream)
    file.unlink()


def _overwrite(stream: BinaryIO) -> None:
    left = os.fstat(stream.fileno()).st_size
    stream.seek(0)
    while left > 0:
        left -= stream.write(bytes(min(left, _WIPED_AT_ONCE)))
    stream.flush()
    os.fsync(stream.fileno())


def _converted(file: Path) -> Path:
    return file.with_name(f"{file.name}{_CONVERTED}")


def _former(file: Path) -> Path:
    return file.with_name(f"{file.name}{_FORMER}")


def room_needed(pool: FileAddress) -> tuple[int, int]:
    """How many bytes the copies of a pool take, and how many are free where they are made."""
    files = files_of(pool)
    return sum(file.stat().st_size for file in files), shutil.disk_usage(path_of(pool).resolve().parent).free
