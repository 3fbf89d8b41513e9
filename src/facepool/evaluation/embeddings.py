"""From the pictures of a protocol to one face each, with its embedding; a picture without a face is counted, too.

`EmbeddingCache` keeps what was found by the content of the file, so that an evaluation that was interrupted goes on
where it was. These are biometric data, as a pool's are: the file is readable by its owner only, and nothing but
evaluations uses it. It may be deleted at any time.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from facepool.bulk import PictureAnalysis
from facepool.faces.analyze import Faces
from facepool.files import make_private, storage_errors
from facepool.gallery.driver import sqlite_errors
from facepool.types import Floats, Indices, Mask

NO_FACE = "no face was found"
FILE_NAME = "embeddings-1.db"
"""The number rises when the table changes; a file of another number is not looked at."""

_KEPT_TOGETHER = 16
"""Pictures that a run which is killed looks at again, at most."""
_TABLE = """CREATE TABLE IF NOT EXISTS captures (
    recipe TEXT NOT NULL,
    content TEXT NOT NULL,
    faces INTEGER NOT NULL,
    face BLOB NOT NULL,
    PRIMARY KEY (recipe, content)
) WITHOUT ROWID"""
_TIMEOUT_S = 30.0
_QUALITY, _YAW, _EMBEDDING = 5, 6, 8  # columns of a face's numbers; before them its box, and its size


class _Face(NamedTuple):
    """The face that was taken from one picture.

    Attributes:
        found: How many faces were found; with 0 there is no embedding, and the other numbers are NaN.
        numbers: (8 + D,) float32: box xyxy, its shorter side, quality, yaw, pitch, embedding.
    """

    found: int
    numbers: Floats


_NOBODY = _Face(0, np.full(_EMBEDDING, np.nan, np.float32))


@dataclass(frozen=True, slots=True)
class EvaluatedPictures:
    """The pictures of a run and the face that was taken from each, one row a picture.

    Attributes:
        paths: N files.
        people: N names; who a picture shows by its protocol.
        problems: N reasons why there is no face, for people; empty where there is one.
        embeddings: (N, D) float32, L2 norm 1; zeros without a face.
        boxes: (N, 4) float32 xyxy in pixels of the picture; NaN without a face.
        face_counts: (N,) how many faces were found.
        qualities: (N,) float32, 0..100; NaN without a face.
        yaws: (N,) float32, degrees, see ``facepool.types.Pose``; NaN where unknown.
        from_cache: How many were not looked at again because an earlier run had.
    """

    paths: tuple[Path, ...]
    people: tuple[str, ...]
    problems: tuple[str, ...]
    embeddings: Floats
    boxes: Floats
    face_counts: Indices
    qualities: Floats
    yaws: Floats
    from_cache: int = 0

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.paths)

    @property
    def acquired(self) -> Mask:
        """(N,) whether a face was found."""
        return np.asarray(self.face_counts > 0)

    @property
    def person_of(self) -> Indices:
        """(N,) a number for the person of each picture."""
        return np.unique(self.people, return_inverse=True)[1].reshape(-1).astype(np.intp)

    @property
    def failures(self) -> list[int]:
        """Rows of the pictures without a face."""
        return [int(row) for row in np.flatnonzero(~self.acquired)]


class EmbeddingCache:
    """A SQLite file of faces. Several processes may use one at a time; a killed one leaves it whole.

    Args:
        folder: Where the file is, or will be; it is made.
        recipe: Everything beside the picture that the result depends on: models, options, engine.

    Raises:
        StorageError: It cannot be made, or the file is no cache.
    """

    def __init__(self, folder: Path, recipe: str) -> None:
        self.path = folder / FILE_NAME
        self._recipe = recipe
        with storage_errors(self.path, "cannot be used as a cache"):
            folder.mkdir(parents=True, exist_ok=True)
            make_private(self.path)
        with self._explained():
            self._db = sqlite3.connect(self.path, timeout=_TIMEOUT_S)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")  # outlives the process; a power cut costs a batch
            self._db.execute(_TABLE)

    def __enter__(self) -> Self:
        """For ``with``, which closes the file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._db.close()

    def find(self, content: str) -> _Face | None:
        """What is known of a picture, by the sha256 of its file.

        Raises:
            StorageError: The file cannot be read.
        """
        query = "SELECT faces, face FROM captures WHERE recipe = ? AND content = ?"
        with self._explained():
            row = self._db.execute(query, (self._recipe, content)).fetchone()
        return None if row is None else _Face(row[0], np.frombuffer(row[1], "<f4"))

    def contents(self) -> set[str]:
        """The sha256 of every picture that is known.

        Raises:
            StorageError: The file cannot be read.
        """
        with self._explained():
            rows = self._db.execute("SELECT content FROM captures WHERE recipe = ?", (self._recipe,))
            return {content for (content,) in rows}

    def keep(self, faces: Mapping[str, _Face]) -> None:
        """Keep some more, all or none; when it returns, they outlive the process.

        Raises:
            DiskFull: No room.
            StorageError: The file cannot be written.
        """
        rows = [
            (self._recipe, content, face.found, face.numbers.astype("<f4").tobytes()) for content, face in faces.items()
        ]
        with self._explained(), self._db:
            self._db.executemany("INSERT OR REPLACE INTO captures VALUES (?, ?, ?, ?)", rows)

    def _explained(self) -> AbstractContextManager[None]:
        fix = "Delete it, name another folder with --cache, or add --no-cache"
        return sqlite_errors(f"The cache {self.path}", fix=fix)


def embed_pictures(
    paths: Sequence[Path],
    people: Sequence[str],
    analysis: PictureAnalysis,
    cache: EmbeddingCache | None = None,
    on_picture: Callable[[], None] = lambda: None,
) -> EvaluatedPictures:
    """Take one face from each picture.

    Args:
        paths: N files.
        people: N names, passed through.
        analysis: Finds the faces of files.
        cache: Knows pictures that were looked at before; learns the others, batch by batch. None: each is looked at.
        on_picture: Called after each picture, once it is kept.

    Returns:
        N rows. A picture that cannot be read is one without a face, and says why.

    Raises:
        StorageError: The cache's file cannot be used.
    """
    taken: list[_Face] = []
    reasons: list[str] = []
    from_cache = 0
    known = set() if cache is None else cache.contents()
    looked_at: set[str] = set()
    pictures = analysis.analyze(paths, known)
    while batch := list(islice(pictures, _KEPT_TOGETHER)):
        fresh = {one.content: _take_one(one.faces, one.image_wh) for one in batch if one.faces is not None}
        if cache is not None:
            cache.keep(fresh)
            known |= fresh.keys()
            looked_at |= fresh.keys()
        for one in batch:
            face = _NOBODY
            if one.content in fresh:
                face = fresh[one.content]
            elif cache is not None and one.problem is None:
                face = cache.find(one.content) or _NOBODY
                from_cache += one.content not in looked_at
            problem = "" if one.problem is None else one.problem.why or str(one.problem)
            taken.append(face)
            reasons.append(problem or ("" if face.found else NO_FACE))
            on_picture()
    numbers = np.full((len(taken), _EMBEDDING + analysis.space.dimension), np.nan, np.float32)
    numbers[:, _EMBEDDING:] = 0
    for row, face in enumerate(taken):
        numbers[row, : len(face.numbers)] = face.numbers
    return EvaluatedPictures(
        paths=tuple(paths),
        people=tuple(people),
        problems=tuple(reasons),
        embeddings=np.ascontiguousarray(numbers[:, _EMBEDDING:]),
        boxes=numbers[:, :4],
        face_counts=np.array([face.found for face in taken], np.intp),
        qualities=numbers[:, _QUALITY],
        yaws=numbers[:, _YAW],
        from_cache=from_cache,
    )


def choose_face(boxes: Floats, image_wh: tuple[int, int]) -> int:
    """The face that a picture of one person is about: most area, less twice the squared way from the centre.

    The rule by which FaceNet's LFW crops were made (Sandberg, 2016). It does not depend on the picture's scale.

    Args:
        boxes: (N, 4) float32 xyxy, N at least 1.
        image_wh: Of the picture, in pixels.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    ways = (boxes[:, :2] + boxes[:, 2:]) / 2 - np.array(image_wh, np.float32) / 2
    return int(np.argmax(areas - 2 * (ways**2).sum(axis=1)))


def _take_one(faces: Faces, image_wh: tuple[int, int]) -> _Face:
    if len(faces) == 0:
        return _NOBODY
    boxes = faces.detections.boxes
    row = choose_face(boxes, image_wh)
    pose = faces.poses[row]
    angles = (np.nan, np.nan) if pose is None else (pose.yaw, pose.pitch)
    measures = (faces.measures.size_px[row], faces.measures.overall[row], *angles)
    numbers = np.concatenate([boxes[row], np.array(measures, np.float32), faces.embeddings[row]])
    return _Face(len(faces), numbers.astype(np.float32))
