"""What lies beside a pool, and in folders that the user names: copies, backups, photo libraries, an index."""

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facepool.errors import FacepoolError, PoolCorrupt
from facepool.gallery import driver
from facepool.gallery.address import FileAddress, PoolAddress, file_of, is_of_collections, key_of, keyed, path_of
from facepool.gallery.connection import explained
from facepool.gallery.driver import sqlite_errors
from facepool.gallery.image import image_of, unfinished_image_of
from facepool.gallery.keys import is_plain, looks_encrypted
from facepool.gallery.notices import logs_beside
from facepool.gallery.schema import APPLICATION_ID, copies_of, uuid_bytes, version_of
from facepool.groups.shelf import FILE_NAME
from facepool.privacy.holdings import Holding, HoldingKind, RetentionLimits, holding

_SQLITE = b"SQLite format 3\0"
_HEAD_BYTES = 100
_PROGRAM = slice(68, 72)
_LOGS = ("-wal", "-shm", "-journal")
_PACKED = frozenset({".gz", ".tgz", ".xz", ".bz2", ".zst", ".lz4", ".zip", ".7z", ".tar", ".gpg", ".age"})
_PAGE_BYTES = 4096
"""Of encrypted pools."""
_FIRST_WITH_IDS = 5
_DEEPEST = 4
"""So many folders below one that is named are looked into."""
_UNFINISHED = ".unfinished"


@dataclass(frozen=True, slots=True)
class Somebody:
    """Whom it is about.

    Attributes:
        name: What they are called, or were.
        person_id: Theirs; empty: it is not known.
    """

    name: str
    person_id: str = ""


def held_in_files(
    pool: PoolAddress, person: Somebody, also: Collection[Path], limits: RetentionLimits, *, whole_paths: bool = True
) -> list[Holding]:
    """What files beside a pool, and in other folders, have of somebody.

    Args:
        pool: Where it is.
        person: Who.
        also: Folders and files to look into, too.
        limits: How long things are kept.
        whole_paths: Whether places are whole paths, or the names of files alone.
    """
    shown = (lambda path: path) if whole_paths else (lambda path: Path(path.name))
    path, key = file_of(pool), key_of(pool)
    found: list[Holding] = []
    own: set[Path] = set()
    stem = "" if path is None else path.stem
    if path is not None:
        copies = copies_of(path)
        own = {path.resolve(), logs_beside(pool).resolve(), *(copy.resolve() for copy in copies)}
        if path.suffix.lower() == ".npy":
            own |= {file.resolve() for file in path.parent.glob("*_ids.npy")}
        found += [_index(path, shown(image_of(path)), limits)]
        found += [
            holding("unfinished", shown(left), 1, limits, detail="nobody looked into it") for left in _unfinished(path)
        ]
        found += [_look_into("copy", keyed(copy, key), shown(copy), person, limits) for copy in copies]
    around = [] if path is None else [path.parent, *_backups_of_collection(path)]
    for file in _files([*around, *also], deep=also):
        if file.resolve() in own or (path is not None and _is_of_another_collection(file, path)):
            continue
        kind = _kind_of(file, stem)
        if kind is not None:
            address = file if is_plain(file) else keyed(file, key)
            found.append(_look_into(kind, address, shown(file), person, limits))
    return found


def files_beside(path: Path) -> list[Path]:
    """The files in which bytes of a pool's people may be: those called like it, and others of facepool's beside it."""
    around = [path.parent, *_backups_of_collection(path)]
    return [file for file in _files(around, deep=()) if _is_its(file, path) or _may_be_its(file, path)]


def _backups_of_collection(pool: Path) -> list[Path]:
    """Beside the pool that has a collection, what backups of it have of that collection: they have folders, too."""
    if not is_of_collections(pool.parent):
        return []
    with suppress(OSError):
        folders = [
            one for one in pool.parent.parent.iterdir() if is_of_collections(one) and one.name != pool.parent.name
        ]
        return sorted(file for folder in folders for file in folder.iterdir() if _is_its(file, pool))
    return []


def _is_of_another_collection(file: Path, pool: Path) -> bool:
    return file.parent == pool.parent and is_of_collections(pool.parent) and not _is_its(file, pool)


def _is_its(file: Path, pool: Path) -> bool:
    return file.name.startswith(f"{pool.stem}.")


def _may_be_its(file: Path, pool: Path) -> bool:
    """Whether a file beside a pool may be a copy of it; one beside a collection is another collection's."""
    return not is_of_collections(pool.parent) and _kind_of(file, pool.stem) is not None


def _files(folders: Iterable[Path], deep: Collection[Path]) -> Iterator[Path]:
    """Files of folders, and of those below some of them; each once."""
    known: set[Path] = set()
    for folder in folders:
        depth = _DEEPEST if folder in deep else 0
        for file in [folder] if folder.is_file() else _walk(folder, depth):
            if file.resolve() not in known:
                known.add(file.resolve())
                yield file


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.is_file():
                yield Path(entry.path)
            elif depth and entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), depth - 1)


def _kind_of(file: Path, stem: str) -> HoldingKind | None:
    """What a file may be that has somebody in it; None: it is nothing of facepool's.

    Args:
        file: Any.
        stem: How packed copies of the pool begin that do not say that they are of a database.
    """
    if file.name == FILE_NAME:
        return "photos"
    if file.name.endswith(_LOGS) or file.name.endswith((".index", ".server.db", ".lock")) or _is_unfinished(file.name):
        return None
    if file.suffix == ".npy" or _is_packed(file, stem):
        return "backup"
    with suppress(OSError), file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES)
        if head.startswith(_SQLITE) and int.from_bytes(head[_PROGRAM], "big") == APPLICATION_ID:
            return "backup"
    return "backup" if looks_encrypted(file) and file.stat().st_size % _PAGE_BYTES == 0 else None


def _is_packed(file: Path, stem: str) -> bool:
    """Whether a file is packed, or encrypted by other means, and its name is that of a copy of a pool."""
    named = ".db" in file.name or (bool(stem) and file.name.startswith(stem))
    return named and file.suffix.lower() in _PACKED


def _index(path: Path, place: Path, limits: RetentionLimits) -> Holding:
    count = sum(image.exists() for image in (image_of(path), unfinished_image_of(path)))
    return holding("index", place, count, limits)


def _is_unfinished(name: str) -> bool:
    return name.startswith(_UNFINISHED) or name.endswith(_UNFINISHED)


def _unfinished(pool: Path) -> list[Path]:
    """Files and folders that somebody is writing just now, or did when they were killed; without the index."""
    index = unfinished_image_of(pool).name
    with suppress(OSError):
        return sorted(one for one in pool.parent.iterdir() if _is_unfinished(one.name) and one.name != index)
    return []


def _look_into(
    kind: HoldingKind, address: FileAddress, place: Path, person: Somebody, limits: RetentionLimits
) -> Holding:
    """What a file has of somebody; that it could not be found out is said, and counts as kept."""
    file = path_of(address)
    if file.name.endswith(_LOGS):
        return holding(kind, place, None, limits, detail="it is the log of a damaged file")
    if file.suffix.lower() in _PACKED:
        return holding(kind, place, None, limits, detail="it is packed, so that nobody can look into it")
    try:
        if kind == "photos":
            count, words = _faces_in_library(address, person), "faces"
        elif file.suffix == ".npy":
            count, words = _rows_of_names(file, person.name), "rows of the name"
        else:
            count, words = _templates_in_pool(address, person), "views"
    except FacepoolError as error:
        return holding(kind, place, None, limits, detail=f"it could not be looked into: {error.why or error.code}")
    return holding(kind, place, count, limits, detail=f"{count} {words}" if count else "")


def _templates_in_pool(address: FileAddress, person: Somebody) -> int:
    """How many templates of somebody a pool has; 1 for somebody without any."""
    with explained(address), closing(_opened(address)) as db:
        version = version_of(db, path_of(address))
        if version == 0:
            return 0
        terms, values = ["name = ?"], list[object]([person.name])
        if version >= _FIRST_WITH_IDS and (uuid := uuid_bytes(person.person_id)) is not None:
            terms.append("uuid = ?")
            values.append(uuid)
        rows = [row for (row,) in db.execute(f"SELECT id FROM persons WHERE {' OR '.join(terms)}", values)]  # noqa: S608
        query = "SELECT count(*) FROM templates JOIN samples ON samples.id = sample_id WHERE person_id = ?"
        counts = [int(db.execute(query, (row,)).fetchone()[0]) for row in rows]
        return sum(max(count, 1) for count in counts)


def _faces_in_library(address: FileAddress, person: Somebody) -> int:
    """How many faces of photos are in groups that were named as somebody."""
    query = "SELECT count(*) FROM faces JOIN groups ON groups.id = faces.group_id WHERE groups.person_id = ?"
    with sqlite_errors(address.name, fix="Look into it by hand"), closing(_opened(address)) as db:
        return int(db.execute(query, (person.person_id,)).fetchone()[0])


def _rows_of_names(file: Path, name: str) -> int:
    """How many rows a file of names has that are somebody's; a file of vectors has none."""
    try:
        names = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise PoolCorrupt(f"{file.name} cannot be read", why=type(error).__name__) from error
    return int(np.count_nonzero(names == name)) if isinstance(names, np.ndarray) and names.dtype.kind == "U" else 0


def _opened(address: FileAddress) -> driver.Connection:
    """A database that nobody changes by being looked at."""
    file = path_of(address)
    has_log = any(file.with_name(file.name + ending).exists() for ending in ("-wal", "-journal"))
    db = driver.connect(file, key_of(address), mode="mode=ro" if has_log else "immutable=1")
    db.execute("PRAGMA trusted_schema = OFF")
    return db
