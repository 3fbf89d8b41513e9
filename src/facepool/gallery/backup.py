"""Backups of a pool: one verified file of all people, made and restored while others use the pool.

`back_up` copies whatever the pool is kept in into one SQLite file. `opened_backup` verifies such a file in a copy of
its own, so that nobody changes it meanwhile; `compared` says what restoring it would do, and `restore` does it, as one
change of the pool like any other: who has it open sees the pool of before or of after, and follows it.
"""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facepool.errors import ConfigError, FacepoolError, InvalidEmbedding, PathMissing, PoolCorrupt, PoolLocked
from facepool.files import PRIVATE, appearing, exists, storage_errors, sweep, sync_folders, write_new
from facepool.gallery import driver
from facepool.gallery.address import FileAddress, PoolAddress, at, file_of, key_of, path_of
from facepool.gallery.base import Report
from facepool.gallery.checks import check_space, check_vectors, find_name
from facepool.gallery.connection import explained
from facepool.gallery.consents import delete_consents
from facepool.gallery.database import Database
from facepool.gallery.driver import Connection, copy_database
from facepool.gallery.image import delete_image
from facepool.gallery.keys import PoolKey
from facepool.gallery.rows import forget_journal_of, read_space
from facepool.gallery.schema import (
    APPLICATION_ID,
    CONTENT,
    SEEN,
    brought_up_to_date,
    count_of,
    damaged_of,
    snapshot,
    uuid_text,
    version_of,
)
from facepool.gallery.sighting_rows import read_faces
from facepool.gallery.sql import TRACES, SqlGallery
from facepool.gallery.sqlite import SqliteGallery
from facepool.types import EmbeddingSpace

_UNFINISHED = ".unfinished-restore-"
_FINISHED_AFTER_S = 3600.0
_ROWS_AT_ONCE = 8192
_SIGHTINGS_AT_ONCE = 500
_FIRST_WITH_IDS = 5
"""Of earlier formats people keep the ids that they have in the pool; those in a backup are derived from names."""
_SEVERAL = 1000
"""So many templates tell whether two pools were one once."""
_SQLITE = b"SQLite format 3\0"
_HEAD_BYTES = 100
_PROGRAM = slice(68, 72)
"""Where SQLite keeps whose database it is."""
_SHARED_BYTES = (510, 0x40000002)
"""What everybody who has a database open keeps locked in its file: how many bytes, from where."""
_LOGS = ("-wal", "-journal")
_KINDS = {"TEXT": ("text",), "INTEGER": ("integer",), "REAL": ("real",), "BLOB": ("blob",)}
"""What may stand in a column that is declared so."""


def _nobody_hears(_done: int, _total: int) -> None:
    """Nothing is told."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup has.

    Attributes:
        people: How many.
        templates: How many of them all.
        images: How many of these have a picture.
        space: What the vectors are; None: the pool did not say.
        version: Of the format in which the file was written.
    """

    people: int
    templates: int
    images: int
    space: EmbeddingSpace | None
    version: int


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was verified.

    Attributes:
        path: The file that the user named.
        db: A copy of it that nobody else knows, in the format of today.
        contents: What it has.
    """

    path: Path
    db: Connection
    contents: Contents


@dataclass(frozen=True, slots=True)
class Comparison:
    """What becomes of a pool that a backup is restored to.

    Attributes:
        coming: Names of people whom only the backup has, sorted.
        going: Names of people whom only the pool has, sorted.
        renamed: Who is called otherwise in the pool (first) than in the backup.
        erased: Names of people of the backup who were erased from the pool since, sorted.
        erased_templates: How many templates of the backup were.
    """

    coming: tuple[str, ...]
    going: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    erased: tuple[str, ...]
    erased_templates: int


def back_up(
    gallery: SqlGallery,
    target: FileAddress,
    *,
    replace: bool = False,
    with_sightings: bool = True,
    report: Report = _nobody_hears,
) -> Contents:
    """Copy everybody into a file that only its owner may read; it is verified, and on the disk when the call returns.

    The copy shows the pool at one moment; others may read and write it meanwhile. It has people and who was seen,
    nothing of what is owed to logs.

    Args:
        gallery: The pool.
        target: The file, with a key if it is to be encrypted: that of the pool or another one.
        replace: Whether it may take the place of one that is there.
        with_sightings: Whether what is kept of who was seen is copied, too.
        report: Is told how many pages were copied.

    Raises:
        ConfigError: The file is there already, or cannot be one.
        DiskFull: No room; nothing is left behind.
        PoolCorrupt: The pool is damaged.
    """
    path = path_of(target)
    _check_target(gallery.address, path, replace=replace)
    sweep(path.parent, _FINISHED_AFTER_S)
    with appearing(path) as unfinished:
        write_new(unfinished, b"", PRIVATE)
        with explained(target), closing(driver.connect(unfinished, key_of(target))) as db:
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "secure_delete = ON"):
                db.execute(f"PRAGMA {pragma}")
            gallery.copy_to(db, report)
            db.execute("PRAGMA journal_mode = DELETE")
            _leave_out(db, with_sightings=with_sightings)
            contents = _verified(db, gallery.address, version_of(db, path), _nobody_hears)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        _check_target(gallery.address, path, replace=replace)  # again: it took a while
    with storage_errors(path):
        sync_folders([path])
    return contents


@contextmanager
def opened_backup(
    address: FileAddress, folder: Path, report: Report = _nobody_hears, *, secret: bool = False
) -> Iterator[Backup]:
    """A backup, copied, verified and brought up to date; the file itself is not changed.

    Args:
        address: The file, with its key if it is encrypted.
        folder: Where the copy may be; it goes with the block.
        report: Is told how many templates were looked at.
        secret: Whether the copy is encrypted although the file is not: it is to be restored to an encrypted pool. Its
            key is one that nobody knows.

    Raises:
        PathMissing: There is no such file.
        PoolCorrupt: It is no pool, or damaged.
        PoolTooNew: A newer facepool wrote it.
        KeyNeeded: It is encrypted, and no key was given.
        WrongKey: It is encrypted with another key.
    """
    path = path_of(address)
    _sweep(folder)
    if not exists(path):
        raise PathMissing(f"There is no backup {path}", fix="Check the spelling of the path")
    if path.is_dir():
        raise PoolCorrupt(f"{path} is no backup", why="it is a folder", fix="Name a file in it")
    with storage_errors(folder), tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as private:
        copy = Path(private) / "copy.db"
        write_new(copy, b"", PRIVATE)
        key = PoolKey.new() if secret or key_of(address) is not None else None
        with _refused(address), closing(driver.connect(copy, key)) as db:
            for pragma in ("trusted_schema = OFF", "cell_size_check = ON"):
                db.execute(f"PRAGMA {pragma}")
            with closing(_opened_to_read(address)) as source, snapshot(source):
                copy_database(source, db)
            for pragma in ("journal_mode = OFF", "synchronous = OFF"):  # nobody needs the copy after a crash
                db.execute(f"PRAGMA {pragma}")
            if os.name == "posix":  # it holds faces: whatever ends this process takes it away
                copy.unlink()
            version = version_of(db, path)
            if version == 0:
                raise PoolCorrupt(f"{path} is no backup", why="it is empty")
            brought_up_to_date(db, version)
            db.execute("PRAGMA foreign_keys = ON")
            yield Backup(path, db, _verified(db, path, version, report))


def compared(gallery: SqlGallery, backup: Backup, erased_names: Collection[str] = ()) -> Comparison:
    """What becomes of a pool that a backup is restored to.

    Args:
        gallery: The pool.
        backup: What would be restored.
        erased_names: Of people of whom a log says that they were erased.

    Raises:
        SpaceMismatch: The two hold embeddings of different models.
    """
    with gallery.reading() as live:
        if live.execute("SELECT 1 FROM templates LIMIT 1").fetchone():
            check_space(gallery.address, read_space(live), backup.contents.space)
        people, templates = _erased(live, backup.db, erased_names)
        here = dict(live.execute("SELECT uuid, name FROM persons").fetchall())
        there = dict(backup.db.execute("SELECT uuid, name FROM persons").fetchall())
    erased = {name for _, name in people}
    renamed = [(here[uuid], there[uuid]) for uuid in here.keys() & there.keys() if here[uuid] != there[uuid]]
    of_both = {name for pair in renamed for name in pair}
    names_here, names_there = set(here.values()), set(there.values())
    return Comparison(
        coming=tuple(sorted(names_there - names_here - erased - of_both)),
        going=tuple(sorted(names_here - names_there - of_both)),
        renamed=tuple(sorted(renamed)),
        erased=tuple(sorted(erased)),
        erased_templates=len(templates),
    )


def restore(
    gallery: SqlGallery,
    backup: Backup,
    *,
    erased_names: Collection[str] = (),
    with_erased: bool = False,
    before: Callable[[], None] | None = None,
    report: Report = _nobody_hears,
) -> None:
    """Put the people of a backup into the place of those of a pool, in one change.

    Args:
        gallery: The pool.
        backup: What to restore.
        erased_names: As for `compared`.
        with_erased: Whether people and templates that were erased since the backup come back, too.
        before: Called when nobody else can change the pool any more; what it raises leaves the pool as it is.
        report: Is told how many templates were stored.
    """

    def leave_out(live: Database) -> None:
        # Inside the change: nobody else can be erased meanwhile.
        if before is not None:
            before()
        if backup.contents.version < _FIRST_WITH_IDS:
            for uuid, name in live.execute("SELECT uuid, name FROM persons"):
                backup.db.execute("UPDATE OR IGNORE persons SET uuid = ? WHERE name = ?", (uuid, name))
        if with_erased:
            return
        people, templates = _erased(live, backup.db, erased_names)
        for row, _ in people:
            forget_journal_of(backup.db, row)
            delete_consents(backup.db, row)
            backup.db.execute("DELETE FROM persons WHERE id = ?", (row,))
        for number in templates:
            backup.db.execute(
                "DELETE FROM samples WHERE id = (SELECT sample_id FROM templates WHERE id = ?)", (number,)
            )

    gallery.take_over(backup.db, leave_out, report)


def replace_damaged(
    address: FileAddress, backup: Backup, error: PoolCorrupt, *, report: Report = _nobody_hears
) -> Path:
    """Put the people of a backup into the place of a file that can be read no more, which stays beside it.

    Args:
        address: The pool.
        backup: What to restore.
        error: What is wrong with the pool.
        report: Is told how many templates were stored.

    Returns:
        Where the damaged file is now.

    Raises:
        PoolLocked: Somebody has the pool open.
        PoolCorrupt: It is another program's file, or none of a kind that can be replaced.
    """
    path = path_of(address).resolve()
    if path.suffix.lower() == ".npy" or not path.is_file() or _is_of_another_program(path):
        raise error
    _check_unused(path)
    aside = damaged_of(path)
    with storage_errors(path), tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=path.parent) as private:
        fresh = Path(private) / path.name
        with SqliteGallery(at(fresh, address)) as gallery:
            gallery.take_over(backup.db, lambda _live: None, report)
        aside.unlink(missing_ok=True)
        os.link(path, aside)
        # The log first: SQLite would take it for that of the new file. Of the damaged one, it may hold what was lost.
        for ending in _LOGS:
            _beside(aside, ending).unlink(missing_ok=True)
            if _beside(path, ending).exists():
                _beside(path, ending).replace(_beside(aside, ending))
        _beside(path, "-shm").unlink(missing_ok=True)
        _check_unused(path)
        fresh.replace(path)
        delete_image(path)
        sync_folders([path])
    return aside


def _is_of_another_program(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return head.startswith(_SQLITE) and int.from_bytes(head[_PROGRAM], "big") != APPLICATION_ID


def _check_unused(path: Path) -> None:
    """Refuse to replace a file under those who have it open: at their end, they would delete the new one's log.

    Raises:
        PoolLocked: Somebody has.
    """
    if os.name != "posix":  # elsewhere it cannot be replaced
        return
    import fcntl  # noqa: PLC0415 -- not on Windows

    with path.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *_SHARED_BYTES)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            raise PoolLocked(
                f"The damaged pool {path} cannot be replaced",
                why="another process has it open",
                fix="End that process, a server for example, and start it again afterwards",
            ) from error


def _check_target(pool: PoolAddress, target: Path, *, replace: bool) -> None:
    what = f"The backup {target} cannot be made"
    if target.is_dir():
        raise ConfigError(what, why="it is a folder", fix="Name a file in it")
    if not exists(target):
        _check_logs(what, target)
        return
    file = file_of(pool)
    if file is not None and file.exists() and target.samefile(file):
        raise ConfigError(what, why="it is the pool itself", fix="Name another file")
    if not replace:
        raise ConfigError(what, why="there is a file of that name already", fix="Name another file, or add --force")
    _check_logs(what, target)


def _check_logs(what: str, target: Path) -> None:
    """Refuse to write beside an old log, which SQLite would take for that of the new file."""
    for ending in _LOGS:
        log = _beside(target, ending)
        if log.exists():
            raise ConfigError(
                what, why=f"a log lies beside it, {log.name}, that belongs to another file", fix="Name another file"
            )


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _opened_to_read(address: FileAddress) -> Connection:
    """A backup may lie where nothing can be written; it may also be the pool of a server, with its log beside it."""
    path = path_of(address)
    has_log = any(_beside(path.resolve(), ending).exists() for ending in _LOGS)
    return driver.connect(path, key_of(address), mode="mode=ro" if has_log else "immutable=1")


@contextmanager
def _refused(address: FileAddress) -> Iterator[None]:
    """What is wrong with a backup, without the advice to restore the file from one."""
    try:
        with explained(address):
            yield
    except PoolCorrupt as error:
        raise PoolCorrupt(
            f"The backup {address} cannot be used", why=error.why or error.what, fix="Name another backup"
        ) from error


def _sweep(folder: Path) -> None:
    """Remove what a killed process has left; one that still works has begun lately."""
    for leftover in folder.glob(f"{_UNFINISHED}*"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _FINISHED_AFTER_S:
                shutil.rmtree(leftover, ignore_errors=True)


def _leave_out(db: Connection, *, with_sightings: bool) -> None:
    """Delete from a copy what logs are yet to be told, and traces of erased people: names of people who are gone."""
    seen = SEEN if with_sightings else SEEN[:1]
    owed = [table for table in _tables(db) - {*CONTENT, *seen, "state", "removed_templates"} if count_of(db, table)]
    for table in owed:
        db.execute(f"DELETE FROM {table}")  # noqa: S608 -- tables of ours
    (traces,) = db.execute(TRACES).fetchone()
    if owed or traces:
        db.execute("VACUUM")
    db.execute("UPDATE state SET rewritten = erased, wiped = erased")
    db.execute("UPDATE inbox SET wiped = erased")
    if not with_sightings:
        db.execute("UPDATE inbox SET kept = 0, dropped = 0")


def _tables(db: Connection) -> set[str]:
    rows = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {str(name) for (name,) in rows}


def _verified(db: Connection, path: PoolAddress, version: int, report: Report) -> Contents:
    """What a pool has, after all of it was looked at.

    Raises:
        PoolCorrupt: Something in it cannot be.
    """
    (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise _damaged(path, str(verdict))
    if db.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise _damaged(path, "something in it belongs to nobody")
    for table in (*CONTENT, *SEEN, "state"):
        _check_kinds(db, path, table)
    if (count_of(db, "state"), count_of(db, "inbox")) != (1, 1):
        raise _damaged(path, "it does not say its revision")
    try:
        for (name,) in db.execute("SELECT name FROM persons"):
            find_name(name)
        _check_embeddings(db, report)
        _check_faces(db)
    except FacepoolError as error:
        raise _damaged(path, error.why or error.what) from error
    people, templates, images = (count_of(db, table) for table in ("persons", "templates", "pictures"))
    return Contents(people, templates, images, read_space(db), version)


def _check_kinds(db: Connection, path: PoolAddress, table: str) -> None:
    """Refuse what a column would never hold: SQLite itself lets anything into nearly every one."""
    flaws = []
    for _, name, kind, not_null, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
        kinds = ", ".join(repr(known) for known in (*_KINDS[kind], *(() if not_null else ("null",))))
        flaws.append(f"typeof({name}) NOT IN ({kinds})" + (f" OR length({name}) != 16" if name == "uuid" else ""))
    query = f"SELECT 1 FROM {table} WHERE {' OR '.join(flaws)} LIMIT 1"  # noqa: S608 -- tables of ours
    if db.execute(query).fetchone() is not None:
        raise _damaged(path, f"its table {table} has values of another kind")


def _check_embeddings(db: Connection, report: Report) -> None:
    total, space, done = count_of(db, "templates"), read_space(db), 0
    rows = db.execute("SELECT embedding FROM templates")
    length = 4 * space.dimension if space else None
    while part := rows.fetchmany(_ROWS_AT_ONCE):
        length = length or len(part[0][0])
        if length % 4 or any(len(blob) != length for (blob,) in part):
            raise InvalidEmbedding("It has vectors of several lengths")
        vectors = np.frombuffer(b"".join(blob for (blob,) in part), "<f4").reshape(len(part), length // 4)
        check_vectors(vectors.astype(np.float32), what="Its row")
        done += len(part)
        report(done, total)


def _check_faces(db: Connection) -> None:
    """Of who was seen: they are compared with whoever comes."""
    sightings = [uuid_text(uuid) for (uuid,) in db.execute("SELECT uuid FROM sightings")]
    for first in range(0, len(sightings), _SIGHTINGS_AT_ONCE):
        for faces in read_faces(db, sightings[first : first + _SIGHTINGS_AT_ONCE]).values():
            check_vectors(faces.embeddings, what="Of who was seen, row")


def _damaged(path: PoolAddress, why: str) -> PoolCorrupt:
    return PoolCorrupt(f"{path} is damaged", why=why, fix="Restore an older backup")


def _erased(
    live: Database, copy: Connection, names: Collection[str]
) -> tuple[Sequence[tuple[int, str]], Sequence[int]]:
    """Who, and which templates, of a copy were erased from a pool since.

    A pool remembers the numbers of templates that were erased from it, which are never used twice; that says something
    of a copy only if it is one of this pool.

    Returns:
        Rows in the copy and names of people; numbers of templates.
    """
    gone = {number for (number,) in live.execute("SELECT id FROM removed_templates")} if _akin(live, copy) else set()
    held = copy.execute(
        """SELECT persons.id, persons.name, persons.uuid, templates.id FROM persons
        LEFT JOIN samples ON samples.person_id = persons.id LEFT JOIN templates ON templates.sample_id = samples.id"""
    ).fetchall()
    templates = [number for *_, number in held if number in gone]
    left = {row for row, _, _, number in held if number is not None and number not in gone}
    had = {row for row, _, _, number in held if number is not None}
    uuids_here = {uuid for (uuid,) in live.execute("SELECT uuid FROM persons")}
    names_here = {name for (name,) in live.execute("SELECT name FROM persons")}
    people = {
        row: name
        for row, name, uuid, _ in held
        if uuid not in uuids_here and ((row in had - left) or (name in names and name not in names_here))
    }
    return sorted(people.items()), templates


def _akin(live: Database, copy: Connection) -> bool:
    """Whether nothing speaks against one pool being a copy of the other: numbers of templates mean the same in both."""
    query = "SELECT id, embedding FROM templates ORDER BY id LIMIT ?"
    here, there = (dict(db.execute(query, (_SEVERAL,)).fetchall()) for db in (live, copy))
    return all(here[number] == there[number] for number in here.keys() & there.keys())
