"""The original project's two .npy files as a format: read into tables in memory, written as a whole by every change."""

import hashlib
import io
import json
import math
import shutil
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from facepool.errors import ConfigError, PathMissing, PoolCorrupt, PoolError, PoolLocked, PoolTooNew
from facepool.files import PRIVATE, exists, only_writer, storage_error, storage_errors, sync_folders, write_new
from facepool.gallery.base import OpenFiles
from facepool.gallery.checks import check_dimension, check_space, check_vectors, clean_name, find_name, folded
from facepool.gallery.columns import Changes
from facepool.gallery.details import Details
from facepool.gallery.driver import Connection
from facepool.gallery.inbox import Inbox
from facepool.gallery.notices import Notice
from facepool.gallery.rows import calibration_of, read_notices, read_space, write_calibration, write_notice, write_space
from facepool.gallery.schema import (
    derived_person_uuid,
    derived_template_uuid,
    in_memory,
    undone_unless_whole,
)
from facepool.gallery.sqlite import SqliteTables, delete_copies
from facepool.types import Consent, EmbeddingSpace, Floats, Person, Sample, Template

FORMAT = "facepool-pair"
_CONSENTS = "what people have agreed to"
VERSION = 7

Signature = tuple[tuple[int, int, int], ...]
Record = Mapping[str, Any]

_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# A header is a Python literal, which NumPy lets Python parse.
_UNREADABLE_HEADER = (
    ValueError,
    EOFError,
    SyntaxError,
    TokenError,
    TypeError,
    KeyError,
    OverflowError,
    RecursionError,
    MemoryError,
)
_DAMAGED_SIDECAR = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    sqlite3.Error,
)
_SAMPLES = """
    INSERT INTO samples (id, person_id, source, frame, time_s, yaw, pitch, roll, quality, score, size_px, appearance,
        partial, frontal_yaw, frontal_pitch, frontal_roll, learned_from)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_TEMPLATES = "INSERT INTO templates (id, sample_id, embedding, model, created_at, uuid) VALUES (?1, ?1, ?, ?, ?, ?)"


class NpyGallery(SqliteTables):
    """A `Gallery` in ``model_faces.npy`` and ``model_face_ids.npy``.

    A JSON file beside the vectors, the sidecar, keeps embedding space, provenance and ids. A pair without one is taken
    as it is, checked by dimension only, and ids follow from the names; it stays of unknown space when templates are
    added. Every change writes all files anew, and the old ones are deleted, their blocks not overwritten. So large
    galleries belong into ``pool.db``, and so do pictures, which these files do not keep.

    Args:
        vectors_path: The vectors.
        ids_path: The names.
        space: What the caller's embeddings are; None: only what the pool itself says.
        must_exist: Whether files that do not exist are an error.
        timeout_s: How long to wait for other processes.

    Raises:
        ConfigError: The two paths are the same, or one is the sidecar's.
        PathMissing: The files must exist and do not.
        PoolCorrupt: The files are no pool, or contradict each other.
        PoolTooNew: A newer facepool wrote them.
        PoolLocked: Another process kept them locked for `timeout_s`.
        InvalidEmbedding: A row is no unit vector.
        SpaceMismatch: The pool holds embeddings of another space or dimension.
    """

    keeps_images = False
    rows_at_once = 1 << 20  # each change writes all of the files

    def __init__(
        self,
        vectors_path: Path,
        ids_path: Path,
        space: EmbeddingSpace | None = None,
        *,
        must_exist: bool = False,
        timeout_s: float = 5.0,
    ) -> None:
        super().__init__(vectors_path, space)
        # A move onto a link would replace the link.
        self._files = _Files(vectors_path.resolve(), ids_path.resolve())
        self._timeout_s = timeout_s
        self._closed = False
        self._db: Connection | None = None
        self._seen: Signature = ()
        self._open_files = _open_files(self._files)
        if must_exist and not (exists(vectors_path) or exists(ids_path)):
            raise PathMissing(
                f"The pool {vectors_path} does not exist", fix="Register somebody first, or name another pool"
            )
        try:
            check_space(self.path, self.space, space)
            check_dimension(self.path, self.dimension, space)
        except BaseException:
            self.close()
            raise

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the user, one line each."""
        with self._reading() as db:
            (templates,) = db.execute("SELECT count(*) FROM templates").fetchone()
        if self.space or not templates:
            return ()
        if not self._files.sidecar.exists():
            return (f"{self.path.name} has no sidecar: its embedding space is unknown; checked by dimension only.",)
        return (f"{self.path.name} has rows of an unknown embedding space; checked by dimension only.",)

    def describe(self, person: str, details: Details, *, name: str | None = None) -> Person:
        """These files have no place for more than names."""
        if details == Details() and name is not None:
            self.rename(person, name)
            return Person(clean_name(name), len(self.templates(name)))
        raise self._has_no_room("notes, tags and external ids")

    def add_details(self, people: Collection[Person]) -> int:  # noqa: ARG002 -- there is no place for it
        """Nothing: these files have no place for it."""
        return 0

    def register(
        self,
        person: str,
        samples: Sequence[Sample],
        space: EmbeddingSpace,
        *,
        look_alikes: Collection[str] = (),
        expected_revision: int | None = None,
        consent: Consent | None = None,
    ) -> int:
        """Store samples of a new or known person, all or none."""
        if consent is not None:
            raise self._has_no_room(_CONSENTS)
        return super().register(person, samples, space, look_alikes=look_alikes, expected_revision=expected_revision)

    def record_consent(self, person: str, consent: Consent) -> Consent:  # noqa: ARG002 -- there is no place for it
        """These files have no place for it."""
        raise self._has_no_room(_CONSENTS)

    def add_consents(self, consents: Mapping[str, Collection[Consent]]) -> int:  # noqa: ARG002 -- there is no place
        """Nothing: these files have no place for it."""
        return 0

    def _has_no_room(self, what: str) -> ConfigError:
        other = self.path.with_suffix(".db").name
        return ConfigError(
            f"The pool {self.path.name} cannot keep {what}",
            why="a .npy pool has room for templates only",
            fix=f"Copy it into one that has: facepool people export {other} --pool {self.path}",
        )

    @property
    def inbox(self) -> Inbox:
        """These files have no place for it."""
        raise self._has_no_room("who was seen")

    @property
    def open_files(self) -> OpenFiles:
        """The files of these names: their revision tells one content from any other that was there."""
        return self._open_files

    def changes(self, since: int | None = None) -> Changes:  # noqa: ARG002 -- the files do not tell what is new
        """All that the files have."""
        return super().changes()

    def close(self) -> None:
        """Let go of what was read; no file is open between calls."""
        self._closed = True
        self._open_files = OpenFiles()
        self._forget()

    def _forget(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = None

    def _connection(self) -> Connection:
        """What the files say now, read without a lock: again until no other process wrote meanwhile."""
        if self._closed:
            raise ValueError(f"the pool {self.path} is closed")
        while True:
            if self._db is not None and self._db.in_transaction:
                return self._db
            seen = self._files.signature()
            if self._files.interrupted:
                with self._lock():
                    self._files.recover()
                continue
            if self._db is not None and seen == self._seen:
                return self._db
            self._forget()
            self._db = self._read_unless_changed(seen)
            self._seen = seen

    def _read_unless_changed(self, seen: Signature) -> Connection | None:
        """None when another process wrote while the files were read; then what was found wrong may not be."""
        db = in_memory()
        try:
            _read(self._files, db)
            db.execute("UPDATE state SET revision = ?", (hash(seen),))
        except BaseException as error:
            db.close()
            if isinstance(error, (PoolError, FileNotFoundError)) and not self._unchanged(seen):
                return None
            raise
        if self._unchanged(seen):
            return db
        db.close()
        return None

    def _unchanged(self, seen: Signature) -> bool:
        return self._files.signature() == seen and not self._files.interrupted

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep other writers out; the operating system lets go when the process dies."""
        folder = self._files.vectors.parent
        if not folder.is_dir():
            raise PathMissing(
                f"The pool {self.path} cannot be made", why="its folder does not exist", fix=f"Make the folder {folder}"
            )
        busy = PoolLocked(
            f"The pool {self.path} cannot be used",
            why="another process is writing to it",
            fix="Try again, or end the other process",
        )
        with only_writer(self._files.vectors.with_name(self._files.vectors.name + ".lock"), self._timeout_s, busy):
            yield

    @contextmanager
    def _writable(self) -> Iterator[Connection]:
        with self._lock():
            self._files.recover()
            yield self._connection()

    def _before_commit(self) -> None:
        db = self._connection()
        self._files.replace(self._contents(db))
        self._seen = self._files.signature()
        db.execute("UPDATE state SET revision = ?", (hash(self._seen),))

    def _contents(self, db: Connection) -> dict[Path, bytes]:
        """The bytes of the three files."""
        space, calibration, people, templates = read_space(db), self._calibration(db), self.people(), self.templates()
        rows = [template.sample.embedding for template in templates]
        vector_bytes = _npy(np.array(rows, "<f4").reshape(len(rows), self._dimension(db) or 0))
        id_bytes = _npy(np.array([template.person for template in templates], dtype=np.str_))
        last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'templates'").fetchone()
        sidecar = {
            "format": FORMAT,
            "version": VERSION,
            "space": asdict(space) if space else None,
            "vectors_sha256": _sha256(vector_bytes),
            "ids_sha256": _sha256(id_bytes),
            "next_id": last[0] + 1 if last else 1,
            "look_alikes": sorted(sorted(pair) for pair in self.look_alikes()),
            "calibration": asdict(calibration) if calibration else None,
            "people_without_templates": [person.name for person in people if not person.templates],
            "person_ids": {person.name: person.id for person in people},
            "templates": list(map(_row, templates)),
            "notices": [asdict(notice) for notice in read_notices(db)],
        }
        json_bytes = json.dumps(sidecar, ensure_ascii=False, indent=1).encode()
        return {self._files.vectors: vector_bytes, self._files.ids: id_bytes, self._files.sidecar: json_bytes}

    def wipe(self, patience_s: float = 0) -> str:  # noqa: ARG002 -- nobody is waited for
        """The files were written anew: what was kept of them is left."""
        if not self.owed().traces:
            return ""
        why = delete_copies(self.path)
        if not why:
            self._connection().execute("UPDATE state SET wiped = erased")
        return why

    def _remark(self, traces: str) -> None:
        """There is nothing to remark."""


@dataclass(frozen=True, slots=True)
class _Files:
    """Three files that are replaced as if they were one: all or none, whenever the process is killed.

    New content is written beside each file, then a commit record, then everything is moved into place, then the record
    is deleted. A record that exists is complete, because it was itself moved into place; so who finds one finishes the
    moves, and new content without a record is thrown away. Who calls `replace` or `recover` holds a lock.

    Attributes:
        vectors: (T, D) float32, unit rows.
        ids: (T,) unicode, the name of each row.
    """

    vectors: Path
    ids: Path

    def __post_init__(self) -> None:
        """Refuse paths of which one would overwrite another."""
        if self.ids in (self.vectors, self.sidecar):
            raise ConfigError(
                f"The names cannot be kept in {self.ids}",
                why="the vectors are kept there" if self.ids == self.vectors else "the sidecar is kept there",
                fix="Name another file for the names",
            )
        if self.vectors == self.sidecar:
            raise ConfigError(
                f"The vectors cannot be kept in {self.vectors}", why="the sidecar is kept there", fix="End it in .npy"
            )

    @property
    def sidecar(self) -> Path:
        """The JSON file beside the vectors."""
        return self.vectors.with_suffix(".json")

    @property
    def interrupted(self) -> bool:
        """Whether a replacement is under way, or was when its process died."""
        return exists(self._record)

    def signature(self) -> Signature:
        """What differs after a replacement: cheap, from the file system's own records."""
        return tuple(_identity(path) for path in self._all)

    def recover(self) -> None:
        """Finish or undo what another process left behind.

        Raises:
            PoolCorrupt: What it left behind concerns other files than these.
            NotWritable: The files may not be written.
        """
        with storage_errors(self.vectors, "cannot be used"):
            if self.interrupted:
                self._check_record()
                self._finish()
            self._discard()

    def replace(self, contents: Mapping[Path, bytes]) -> None:
        """Replace the files; new ones are readable by their owner only, others keep their permissions.

        Raises:
            DiskFull: There is no room for a second copy. Nothing changed.
            NotWritable: The files may not be written. Nothing changed.
        """
        try:
            with storage_errors(self.vectors):
                for path in self._all:
                    write_new(_pending(path), contents[path], PRIVATE)
                    if path.exists():
                        shutil.copymode(path, _pending(path))
                write_new(_pending(self._record), json.dumps([path.name for path in self._all]).encode(), PRIVATE)
                _pending(self._record).replace(self._record)
        except BaseException:
            if not self.interrupted:  # else committed all the same: who comes next moves the files
                self._discard()
            raise
        self.recover()

    @property
    def _all(self) -> tuple[Path, Path, Path]:
        return (self.vectors, self.ids, self.sidecar)

    @property
    def _record(self) -> Path:
        return self.vectors.with_name(f"{self.vectors.name}.commit")

    def _check_record(self) -> None:
        names = [path.name for path in self._all]
        found = json.loads(self._record.read_bytes())
        if found != names:
            raise PoolCorrupt(
                f"A change of the pool {self.vectors} was interrupted",
                why=f"it concerns {', '.join(found)}, not {', '.join(names)}",
                fix="Open the pool with the files that belong together",
            )

    def _finish(self) -> None:
        for path in self._all:
            if _pending(path).exists():  # else it was moved before the process died
                _pending(path).replace(path)
        sync_folders(self._all)
        self._record.unlink()

    def _discard(self) -> None:
        for path in (*self._all, self._record):
            _pending(path).unlink(missing_ok=True)


def _pending(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


_OPEN_FILES: WeakValueDictionary[_Files, OpenFiles] = WeakValueDictionary()
_OPEN_FILES_LOCK = threading.Lock()


def _open_files(files: _Files) -> OpenFiles:
    """What stands for these files in all galleries of theirs."""
    with _OPEN_FILES_LOCK:
        known = _OPEN_FILES.get(files)
        if known is None:
            known = _OPEN_FILES[files] = OpenFiles()
        return known


def _identity(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    except OSError as error:
        raise storage_error(path, error, "cannot be used") from error
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def _read(files: _Files, db: Connection) -> None:
    """Fill empty tables with what the files say.

    Raises:
        PoolCorrupt: A file is missing, damaged, pickled, or they contradict each other.
        PoolTooNew: A newer facepool wrote the sidecar.
        InvalidEmbedding: A row is no unit vector.
    """
    present = [path for path in (files.vectors, files.ids) if path.exists()]
    sidecar = _sidecar(files.sidecar) if files.sidecar.exists() and len(present) != 1 else None
    if not present:
        return  # the sidecar was read all the same: a file of another program is not to be written over
    if len(present) == 1:
        missing = files.ids if present == [files.vectors] else files.vectors
        raise PoolCorrupt(
            f"{present[0]} cannot be used alone", why=f"{missing} does not exist", fix="Name the two files together"
        )
    vector_bytes, id_bytes = _bytes(files.vectors), _bytes(files.ids)
    vectors = _vectors(files.vectors, vector_bytes)
    names = _names(files.ids, id_bytes)
    if len(vectors) != len(names):
        raise PoolCorrupt(
            f"{files.vectors} and {files.ids.name} do not belong together",
            why=f"they have {len(vectors)} vectors and {len(names)} names",
            fix="Restore both from the same backup",
        )
    if sidecar is None:
        _fill(db, vectors, names, ({"id": number} for number in range(1, len(names) + 1)), {})
        return
    if (sidecar.get("vectors_sha256"), sidecar.get("ids_sha256")) != (_sha256(vector_bytes), _sha256(id_bytes)):
        raise PoolCorrupt(
            f"{files.vectors.name}, {files.ids.name} and {files.sidecar} do not belong together",
            why="another program has changed one of them, or they are of different pools",
            fix=f"Restore all from the same backup, or move {files.sidecar.name} away to use the others without it, "
            "checked by dimension only",
        )
    try:
        _fill(db, vectors, names, sidecar["templates"], sidecar)
    except _DAMAGED_SIDECAR as error:
        raise _damaged_sidecar(files.sidecar, error) from error


def _sidecar(path: Path) -> dict[str, Any]:
    """The content of the JSON file.

    Raises:
        PoolCorrupt: It is not one of ours, or damaged.
        PoolTooNew: A newer facepool wrote it.
    """
    try:
        content: dict[str, Any] = json.loads(_bytes(path))
        ours, version = content["format"] == FORMAT, int(content["version"])
    except _DAMAGED_SIDECAR as error:
        raise _damaged_sidecar(path, error) from error
    if not ours:
        raise _damaged_sidecar(path, f"its format is {content['format']!r}")
    if version > VERSION:
        raise PoolTooNew(
            f"{path} cannot be read",
            why=f"a newer facepool wrote it (version {version}; this one knows {VERSION})",
            fix="Update facepool",
        )
    return content


def _damaged_sidecar(path: Path, why: object) -> PoolCorrupt:
    return PoolCorrupt(
        f"{path} cannot be read",
        why=f"it is no pool's sidecar, or damaged, or does not fit the rows ({why!r})",
        fix="Move it away to use the two .npy files without it, checked by dimension only",
    )


def _fill(db: Connection, vectors: Floats, names: list[str], rows: Iterable[Record], sidecar: Record) -> None:
    """Store what was read; versions of the sidecar before this one, and pairs without one, leave some of it out."""
    if sidecar.get("space"):
        space = EmbeddingSpace(**sidecar["space"])
        if space.dimension != vectors.shape[1]:
            raise ValueError(f"vectors of {vectors.shape[1]} dimensions cannot be of {space}")
        write_space(db, space)
    with undone_unless_whole(db):
        row_of = _fill_people(db, [*names, *sidecar.get("people_without_templates", ())], sidecar.get("person_ids", {}))
        # Version 5 had one for each appearance of a person.
        fronts = {(row_of[name], look): pose for name, look, pose in sidecar.get("frontal_poses", ())}
        _fill_templates(db, vectors, [row_of[name] for name in names], rows, fronts)
        last = int(sidecar.get("next_id", len(names) + 1)) - 1
        db.execute("DELETE FROM sqlite_sequence WHERE name = 'templates'")
        db.execute("INSERT INTO sqlite_sequence VALUES ('templates', ?)", (last,))
        pairs = [sorted(row_of[name] for name in pair) for pair in sidecar.get("look_alikes", ())]
        db.executemany("INSERT INTO look_alikes VALUES (?, ?)", pairs)
        for notice in sidecar.get("notices", ()):
            write_notice(db, Notice(**notice))
        if sidecar.get("calibration"):
            write_calibration(db, calibration_of(sidecar["calibration"]))


def _fill_people(db: Connection, names: Iterable[str], ids: Mapping[str, str]) -> dict[str, int]:
    """Store everybody; gives the row of each."""
    people = [
        (row, name, folded(name), UUID(ids[name]).bytes if name in ids else derived_person_uuid(name))
        for row, name in enumerate(dict.fromkeys(names), start=1)
    ]
    db.executemany("INSERT INTO persons (id, name, folded, uuid) VALUES (?, ?, ?, ?)", people)
    return {name: row for row, name, *_ in people}


def _fill_templates(
    db: Connection,
    vectors: Floats,
    owners: Iterable[int],
    rows: Iterable[Record],
    fronts: Mapping[tuple[int, str], Any],
) -> None:
    samples, templates = [], []
    for vector, owner, row in zip(vectors, owners, rows, strict=True):
        number, embedding = int(row["id"]), vector.astype("<f4").tobytes()
        yaw, pitch, roll = row.get("pose") or (None, None, None)
        measures = (row.get("time_s"), yaw, pitch, roll, row.get("quality"), row.get("score"), row.get("size_px"))
        look = (row.get("appearance", ""), row.get("partial", False))
        front = row.get("frontal_pose") or fronts.get((owner, look[0])) or (None, None, None)
        learned = row.get("learned_from", "")
        samples.append((number, owner, row.get("source", ""), row.get("frame", 0), *measures, *look, *front, learned))
        uuid = UUID(row["uuid"]).bytes if "uuid" in row else derived_template_uuid(number, embedding)
        templates.append((number, embedding, row.get("model", ""), row.get("created_at", ""), uuid))
    db.executemany(_SAMPLES, samples)
    db.executemany(_TEMPLATES, templates)


def _vectors(path: Path, data: bytes) -> Floats:
    array = _array(path, data)
    if array.dtype != np.float32 or array.ndim != 2:
        raise PoolCorrupt(
            f"{path} holds no embeddings",
            why=f"it is {array.dtype} of shape {array.shape}, not float32 of shape (templates, dimensions)",
            fix="Name the file of vectors",
        )
    if not array.size and len(array):
        raise PoolCorrupt(f"{path} holds no embeddings", why="its rows have no numbers", fix="Name the file of vectors")
    vectors = np.ascontiguousarray(array, np.float32)
    check_vectors(vectors, what=f"{path}: row")
    return vectors


def _names(path: Path, data: bytes) -> list[str]:
    array = _array(path, data)
    if array.dtype.kind != "U" or array.ndim != 1:
        raise PoolCorrupt(
            f"{path} holds no names",
            why=f"it is {array.dtype} of shape {array.shape}, not unicode of shape (templates,)",
            fix="Name the file of names",
        )
    try:
        raw: list[str] = array.tolist()
        clean = {name: find_name(name) for name in dict.fromkeys(raw)}
    except (ConfigError, ValueError) as error:  # ValueError: numbers that are no letters
        raise PoolCorrupt(f"{path} holds a name that cannot be used", why=str(error), fix="Correct the name") from error
    return [clean[name] for name in raw]


def _array(path: Path, data: bytes) -> npt.NDArray[np.generic]:
    try:
        shape, dtype, start = _header(data)
    except _UNREADABLE_HEADER as error:
        raise _unreadable(path, f"it is no .npy file ({error})") from error
    if dtype.hasobject:
        raise _unreadable(path, "it holds pickled objects, which could run any code")
    promised, found = math.prod(shape) * dtype.itemsize, len(data) - start
    if promised != found or min(shape, default=0) < 0 or dtype.itemsize == 0:
        raise _unreadable(path, f"it promises {promised} bytes of {dtype} {shape} and holds {found}")
    try:
        return np.asarray(np.lib.format.read_array(io.BytesIO(data), allow_pickle=False))
    except (ValueError, OverflowError) as error:  # more rows of nothing than can be counted
        raise _unreadable(path, f"it is no .npy file ({error})") from error


def _header(data: bytes) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type, and where the numbers begin."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in _HEADER_READERS:
        raise ValueError(f"its version is {version}")
    shape, _, dtype = _HEADER_READERS[version](file)
    return shape, dtype, file.tell()


def _unreadable(path: Path, why: str) -> PoolCorrupt:
    return PoolCorrupt(f"{path} cannot be read", why=why, fix="Restore it from a backup, or name another file")


def _bytes(path: Path) -> bytes:
    with storage_errors(path, "cannot be read"):
        return path.read_bytes()


def _npy(array: npt.NDArray[np.generic]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _row(template: Template) -> Record:
    """A template's entry in the sidecar: everything but name and vector."""
    sample, pose, front = template.sample, template.sample.pose, template.sample.frontal_pose
    return {
        "id": template.id,
        "uuid": template.uuid,
        "model": template.model,
        "created_at": template.created_at,
        "source": sample.source,
        "frame": sample.frame,
        "time_s": sample.time_s,
        "pose": None if pose is None else astuple(pose),
        "quality": sample.quality,
        "score": sample.score,
        "size_px": sample.size_px,
        "appearance": sample.appearance,
        "partial": sample.partial,
        "frontal_pose": None if front is None else astuple(front),
        "learned_from": sample.learned_from,
    }
