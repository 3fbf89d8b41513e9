"""What is kept of a photo library between runs: the faces of each photo, by its content, and their groups.

These are biometric data, as a pool's are: the file is readable by its owner only, names of people are not in it (they
are the pool's, and only ids are kept), and what is erased is overwritten. `Shelf.erase` removes all of it.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from facepool.errors import ConfigError, SpaceMismatch
from facepool.faces.analyze import Faces
from facepool.faces.quality import FaceMeasures
from facepool.files import make_private, storage_errors
from facepool.gallery import driver
from facepool.gallery.driver import Connection, sqlite_errors
from facepool.gallery.keys import PoolKey
from facepool.gallery.schema import undone_unless_whole
from facepool.types import AlignedFaces, Detections, EmbeddingSpace, Floats, Indices, Pose

FILE_NAME = "library-1.db"
"""The number rises when the tables change."""

_TIMEOUT_S = 30.0
_JPEG_QUALITY = 85
_BOX, _LANDMARKS, _SCORE, _MEASURES, _POSE = slice(0, 4), slice(4, 14), 14, slice(15, 21), slice(21, 24)
_UNIFIED = slice(24, 25)
_NUMBERS = 25
_TABLES = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pictures (
    id INTEGER PRIMARY KEY,
    content TEXT NOT NULL UNIQUE,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY,
    bytes INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    content TEXT NOT NULL REFERENCES pictures (content)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS files_of_content ON files (content);
CREATE TABLE IF NOT EXISTS groups (id INTEGER PRIMARY KEY AUTOINCREMENT, person_id TEXT);
CREATE TABLE IF NOT EXISTS faces (
    id INTEGER PRIMARY KEY,
    picture INTEGER NOT NULL REFERENCES pictures (id) ON DELETE CASCADE,
    numbers BLOB NOT NULL,
    embedding BLOB NOT NULL,
    jpeg BLOB NOT NULL,
    group_id INTEGER REFERENCES groups (id)
);
CREATE INDEX IF NOT EXISTS faces_of_picture ON faces (picture);
CREATE TABLE IF NOT EXISTS written (path BLOB PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A photo's file.

    Attributes:
        path: From the library's folder on, with ``/``.
        bytes: Its size.
        modified_ns: When it was changed last.
        content: The sha256 of what is in it; empty while that is not known.
    """

    path: str
    bytes: int
    modified_ns: int
    content: str = ""

    @classmethod
    def of(cls, path: Path, folder: Path) -> Self:
        """The file as it is.

        Raises:
            OSError: It cannot be looked at.
        """
        status = path.stat()
        return cls(path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns)

    def is_as(self, before: "PhotoFile | None") -> bool:
        """Whether it was not changed, as far as size and time tell."""
        return before is not None and replace(before, content="") == replace(self, content="")


@dataclass(frozen=True, slots=True)
class KeptFaces:
    """All faces of a library in columns, one row a face, in the order in which they were found.

    Attributes:
        ids: (N,) the shelf's own numbers.
        pictures: (N,) the number of the picture that each is in.
        sizes: Width and height of each picture by its number.
        numbers: (N, 25) float32: box, landmarks, score, measures, pose, unified quality.
        embeddings: (N, D) float32, L2 norm 1.
        groups: (N,) the number of the group of each; -1: none.
        people: The ids of the people whom groups were registered as, by the group's number.
    """

    ids: Indices
    pictures: Indices
    sizes: Mapping[int, tuple[int, int]]
    numbers: Floats
    embeddings: Floats
    groups: Indices
    people: Mapping[int, str]

    def __len__(self) -> int:
        """How many faces there are."""
        return len(self.ids)

    @property
    def boxes(self) -> Floats:
        """(N, 4) xyxy in pixels of the upright picture."""
        return self.numbers[:, _BOX]

    @property
    def scores(self) -> Floats:
        """(N,) the detector's."""
        return self.numbers[:, _SCORE]

    @property
    def measures(self) -> FaceMeasures:
        """How good each capture is."""
        size_px, sharpness, brightness, contrast, detail, misfit_mm = self.numbers[:, _MEASURES].T
        unified = self.numbers[:, _UNIFIED][:, 0]
        return FaceMeasures(size_px, sharpness, brightness, contrast, detail, misfit_mm, self.scores, unified)

    def person_numbers(self) -> Indices:
        """(N,) a number for whom each face was registered as; -1: nobody."""
        people = sorted(set(self.people.values()))
        number_of = {group: people.index(person) for group, person in self.people.items()}
        return np.array([number_of.get(group, -1) for group in self.groups.tolist()], np.intp)


class Shelf:
    """The file of a library. One process changes it at a time, see `PhotoLibrary`; a killed one leaves it whole.

    Args:
        path: The file; made where there is none. None: nothing is kept beyond this process.
        space: The embedding space of the faces; None: it does not matter, as nothing is looked at.
        key: Of the pool; with one the file is encrypted, too.

    Raises:
        SpaceMismatch: What it has is of another space.
        StorageError: It cannot be made, or is no such file.
    """

    def __init__(self, path: Path | None, space: EmbeddingSpace | None, key: PoolKey | None = None) -> None:
        self._path = path
        self._has_key = key is not None
        if path is not None:
            with storage_errors(path, "cannot be used"):
                path.parent.mkdir(parents=True, exist_ok=True)
                make_private(path)
        self.space = space
        with self._explained():
            self._db = driver.connect(path, None if path is None else key, timeout_s=_TIMEOUT_S)
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
            self._db.execute("PRAGMA journal_mode = TRUNCATE")
            self._db.executescript(_TABLES)
        if space is not None:
            self._check_space(space)

    def __enter__(self) -> Self:
        """For ``with``, which closes the file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._db.close()

    def belong_to(self, folder: Path) -> None:
        """Refuse to mix the photos of two folders; a folder that was moved keeps its library.

        Raises:
            ConfigError: The library is that of another folder, which is still there.
        """
        before = self._about("folder")
        if before is not None and before != str(folder) and Path(before).is_dir():
            raise ConfigError(
                f"{self._path} has the faces of another folder",
                why=f"it is of {before}, not of {folder}",
                fix="Name another --output for this folder",
            )
        with self._changing() as db:
            db.execute("INSERT OR REPLACE INTO about VALUES ('folder', ?)", (str(folder),))

    @property
    def folder(self) -> Path:
        """The folder that the photos are in."""
        return Path(self._about("folder") or "")

    def files(self) -> dict[str, PhotoFile]:
        """All photos that were looked at, by path."""
        with self._explained():
            rows = self._db.execute("SELECT path, bytes, modified_ns, content FROM files").fetchall()
        return {(path := os.fsdecode(row[0])): PhotoFile(path, *row[1:]) for row in rows}

    def paths(self) -> dict[int, list[str]]:
        """The paths of each picture by its number; copies of one photo are one picture."""
        found: dict[int, list[str]] = {}
        with self._explained():
            query = "SELECT pictures.id, path FROM pictures JOIN files USING (content) ORDER BY path"
            for picture, path in self._db.execute(query):
                found.setdefault(picture, []).append(os.fsdecode(path))
        return found

    def contents(self) -> set[str]:
        """The sha256 of the file of every photo of which the faces are known."""
        with self._explained():
            return {content for (content,) in self._db.execute("SELECT content FROM pictures")}

    def put(self, found: Mapping[str, tuple[tuple[int, int], Faces]], files: Iterable[PhotoFile]) -> None:
        """Keep some more, all or none; when it returns, they outlive the process.

        Args:
            found: Width and height of pictures, and their faces, by content.
            files: That have these contents, or others that are kept already.

        Raises:
            DiskFull: No room.
            StorageError: The file cannot be written.
        """
        with self._changing() as db:
            for content, (wh, faces) in found.items():
                query = "INSERT INTO pictures (content, width, height) VALUES (?, ?, ?)"
                picture = db.execute(query, (content, *wh)).lastrowid
                db.executemany(
                    "INSERT INTO faces (picture, numbers, embedding, jpeg) VALUES (?, ?, ?, ?)",
                    ((picture, *_columns(faces, row)) for row in range(len(faces))),
                )
            db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                ((os.fsencode(one.path), one.bytes, one.modified_ns, one.content) for one in files),
            )

    def keep_only(self, paths: set[str]) -> None:
        """Forget photos that are gone, and faces of which no photo is left."""
        gone = [(os.fsencode(path),) for path in self.files().keys() - paths]
        with self._changing() as db:
            db.executemany("DELETE FROM files WHERE path = ?", gone)
            db.execute("DELETE FROM pictures WHERE content NOT IN (SELECT content FROM files)")
            db.execute(_DROP_EMPTY_GROUPS)

    def faces(self) -> KeptFaces:
        """All faces in columns."""
        with self._explained():
            rows = self._db.execute(
                "SELECT id, picture, ifnull(group_id, -1), numbers, embedding FROM faces ORDER BY id"
            ).fetchall()
            sizes = self._db.execute("SELECT id, width, height FROM pictures").fetchall()
            people = self._db.execute("SELECT id, person_id FROM groups WHERE person_id IS NOT NULL").fetchall()
        return KeptFaces(
            ids=np.array([row[0] for row in rows], np.intp),
            pictures=np.array([row[1] for row in rows], np.intp),
            sizes={picture: (width, height) for picture, width, height in sizes},
            numbers=np.array([_numbers_of(row[3]) for row in rows], np.float32).reshape(len(rows), _NUMBERS),
            embeddings=np.frombuffer(b"".join(row[4] for row in rows), "<f4").reshape(len(rows), -1 if rows else 0),
            groups=np.array([row[2] for row in rows], np.intp),
            people=dict(people),
        )

    def jpegs(self, faces: Iterable[int]) -> dict[int, bytes]:
        """The aligned faces as JPEG, by the numbers of faces."""
        query = "SELECT jpeg FROM faces WHERE id = ?"
        with self._explained():
            return {face: self._db.execute(query, (face,)).fetchone()[0] for face in faces}

    @property
    def next_group(self) -> int:
        """A number that no group ever had; neither have those above it."""
        with self._explained():
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'groups'").fetchone()
        return 1 if row is None else int(row[0]) + 1

    def set_groups(self, faces: KeptFaces, groups: Indices) -> None:
        """Keep the group of each face.

        Args:
            faces: All of them.
            groups: (N,) -1: none.
        """
        changed = np.flatnonzero(faces.groups != groups).tolist()
        with self._changing() as db:
            db.executemany(
                "INSERT OR IGNORE INTO groups (id) VALUES (?)",
                ((number,) for number in np.unique(groups[groups >= 0]).tolist()),
            )
            db.executemany(
                "UPDATE faces SET group_id = nullif(?, -1) WHERE id = ?",
                ((int(groups[row]), int(faces.ids[row])) for row in changed),
            )
            db.execute(_DROP_EMPTY_GROUPS)

    def written(self) -> set[str]:
        """Sidecars, links and copies that were written, and may be removed again; absolute paths."""
        with self._explained():
            return {os.fsdecode(path) for (path,) in self._db.execute("SELECT path FROM written")}

    def note_written(self, paths: Iterable[str]) -> None:
        """Note what is about to be written: after a kill it is known as well."""
        with self._changing() as db:
            db.executemany("INSERT OR IGNORE INTO written VALUES (?)", ((os.fsencode(path),) for path in paths))

    def note_removed(self, paths: Iterable[str]) -> None:
        """Note what was removed."""
        with self._changing() as db:
            db.executemany("DELETE FROM written WHERE path = ?", ((os.fsencode(path),) for path in paths))

    def faces_of(self, group: int) -> list[tuple[str, Faces]]:
        """The faces of a group, each with one path of its photo, and as the analyzer has found it."""
        query = (
            "SELECT numbers, embedding, jpeg, (SELECT min(path) FROM files WHERE files.content = pictures.content) "
            "FROM faces JOIN pictures ON pictures.id = picture WHERE group_id = ? ORDER BY faces.id"
        )
        with self._explained():
            rows = self._db.execute(query, (group,)).fetchall()
        return [(os.fsdecode(path), _face_of(*columns)) for *columns, path in rows]

    def erase(self) -> None:
        """Overwrite everything that is kept, and remove the file."""
        with self._changing() as db:
            for table in ("written", "faces", "groups", "files", "pictures", "about"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608 -- names of our own
        self._db.close()
        if self._path is not None:
            with storage_errors(self._path, "cannot be removed"):
                self._path.unlink()
                self._path.with_name(f"{self._path.name}-journal").unlink(missing_ok=True)

    def name_group(self, group: int, person_id: str | None) -> None:
        """Say who a group is, by the person's id in the pool; None: nobody."""
        with self._changing() as db:
            db.execute("UPDATE groups SET person_id = ? WHERE id = ?", (person_id, group))

    def _about(self, key: str) -> str | None:
        with self._explained():
            row = self._db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _check_space(self, space: EmbeddingSpace) -> None:
        before = self._about("space")
        if before is None:
            with self._changing() as db:
                db.execute("INSERT INTO about VALUES ('space', ?)", (space.id,))
        elif before != space.id:
            raise SpaceMismatch(
                f"The faces in {self._path} are of another embedding space",
                why=f"they are of {before}, and the networks in use are {space}",
                fix="Use the networks that it was made with, or name another --output",
            )

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        with self._explained(), undone_unless_whole(self._db):
            yield self._db

    def _explained(self) -> AbstractContextManager[None]:
        name = self._path or "The memory of groups"
        fix = "Delete it, and run it again"
        if self._has_key:
            fix = "Name the --key-file that it was made with; or, if it was made without, delete it, and run it again"
        return sqlite_errors(name, fix=fix, when_full="Free some space and run it again")


_DROP_EMPTY_GROUPS = "DELETE FROM groups WHERE id NOT IN (SELECT group_id FROM faces WHERE group_id IS NOT NULL)"


def _columns(faces: Faces, row: int) -> tuple[bytes, bytes, bytes]:
    """Numbers, embedding and picture of one face."""
    measures, pose = faces.measures, faces.poses[row]
    numbers = np.concatenate(
        [
            faces.detections.boxes[row],
            faces.detections.landmarks[row].ravel(),
            [faces.detections.scores[row]],
            [
                column[row]
                for column in (
                    measures.size_px,
                    measures.sharpness,
                    measures.brightness,
                    measures.contrast,
                    measures.detail,
                    measures.misfit_mm,
                )
            ],
            (np.nan,) * 3 if pose is None else (pose.yaw, pose.pitch, pose.roll),
            [np.nan if measures.unified is None else measures.unified[row]],
        ]
    ).astype("<f4")
    jpeg = b""
    if faces.aligned is not None:
        jpeg = cv2.imencode(".jpg", faces.aligned.images_bgr[row], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[
            1
        ].tobytes()
    return numbers.tobytes(), faces.embeddings[row].astype("<f4").tobytes(), jpeg


def _numbers_of(blob: bytes) -> Floats:
    """The numbers of one face; older files have none of the unified quality."""
    read = np.frombuffer(blob, "<f4")
    return np.concatenate([read, np.full(_NUMBERS - len(read), np.nan)]).astype(np.float32)


def _face_of(numbers: bytes, embedding: bytes, jpeg: bytes) -> Faces:
    """The inverse of `_columns`: one face."""
    values = _numbers_of(numbers)
    size_px, sharpness, brightness, contrast, detail, misfit_mm = values[_MEASURES].reshape(-1, 1)
    score = values[_SCORE : _SCORE + 1]
    measures = FaceMeasures(size_px, sharpness, brightness, contrast, detail, misfit_mm, score, values[_UNIFIED])
    pose = values[_POSE]
    image_bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    return Faces(
        Detections(
            values[_BOX].reshape(1, 4),
            score,
            values[_LANDMARKS].reshape(1, 5, 2),
            misfit_mm=misfit_mm,
        ),
        np.frombuffer(embedding, "<f4").astype(np.float32)[None],
        measures,
        [None if np.isnan(pose).any() else Pose(*pose.tolist())],
        None if image_bgr is None else AlignedFaces(np.asarray(image_bgr, np.uint8)[None], ""),
    )
