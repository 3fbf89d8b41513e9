"""What was found in pictures, kept by their content, so that an evaluation that was interrupted goes on where it was.

These are biometric data, as a pool's are: the file is readable by its owner only, and nothing but evaluations uses it.
It may be deleted at any time.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from facepool.errors import DiskFull, StorageError
from facepool.files import storage_errors
from facepool.types import Floats

FILE_NAME = "embeddings-1.db"
"""The number rises when the table changes; a file of another number is not looked at."""

_TABLE = """CREATE TABLE IF NOT EXISTS captures (
    recipe TEXT NOT NULL,
    content TEXT NOT NULL,
    faces INTEGER NOT NULL,
    face BLOB NOT NULL,
    PRIMARY KEY (recipe, content)
) WITHOUT ROWID"""
_AT_ONCE = 500  # SQLite's limit of parameters is 999 in old builds
_HEAD = 8  # the numbers of a face that stand before its embedding
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Capture:
    """The face that was taken from one picture.

    Attributes:
        faces: How many were found; with 0 there is nothing else.
        embedding: (D,) float32, L2 norm 1; (0,) without a face.
        box: (4,) float32 xyxy, pixels of the picture; NaN without a face.
        size_px: Shorter side of the box; NaN without a face.
        quality: 0..100; NaN without a face.
        yaw: Degrees; NaN where unknown.
        pitch: Likewise.
    """

    faces: int
    embedding: Floats
    box: Floats
    size_px: float
    quality: float
    yaw: float
    pitch: float

    @classmethod
    def nobody(cls) -> Self:
        """A picture without a face."""
        nan = float("nan")
        return cls(0, np.zeros(0, np.float32), np.full(4, nan, np.float32), nan, nan, nan, nan)


class Memory(Protocol):
    """Where captures are kept between runs. All calls are for one recipe of analysis."""

    def find(self, contents: Iterable[str]) -> dict[str, Capture]:
        """Those that are known, by the sha256 of the picture's file."""

    def keep(self, captures: Mapping[str, Capture]) -> None:
        """Keep some more; when it returns, they outlive the process."""


class NoMemory:
    """Keeps nothing."""

    def find(self, contents: Iterable[str]) -> dict[str, Capture]:
        """Nothing is known."""
        del contents
        return {}

    def keep(self, captures: Mapping[str, Capture]) -> None:
        """Forgets them."""


class EmbeddingCache:
    """A SQLite file of captures. Several processes may use one at a time; a killed one leaves it whole.

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
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        with self._explained():
            self._db = sqlite3.connect(self.path, timeout=_TIMEOUT_S, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")  # outlives the process; a power cut costs a batch
            self._db.execute(_TABLE)

    def __enter__(self) -> Self:
        """Nothing happens; for ``with``."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._db.close()

    def find(self, contents: Iterable[str]) -> dict[str, Capture]:
        """Those that are known, by the sha256 of the picture's file.

        Raises:
            StorageError: The file cannot be read.
        """
        wanted = sorted(set(contents))
        found: dict[str, Capture] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(part))
            query = f"SELECT content, faces, face FROM captures WHERE recipe = ? AND content IN ({marks})"  # noqa: S608 -- question marks
            with self._explained():
                rows = self._db.execute(query, (self._recipe, *part)).fetchall()
            found |= {content: _unpacked(faces, face) for content, faces, face in rows}
        return found

    def keep(self, captures: Mapping[str, Capture]) -> None:
        """Keep some more, all or none.

        Raises:
            DiskFull: No room.
            StorageError: The file cannot be written.
        """
        rows = [(self._recipe, content, capture.faces, _packed(capture)) for content, capture in captures.items()]
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("INSERT OR REPLACE INTO captures VALUES (?, ?, ?, ?)", rows)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            kind = DiskFull if code & 0xFF == sqlite3.SQLITE_FULL else StorageError
            raise kind(
                f"The cache {self.path} cannot be used",
                why=str(error),
                fix="Delete it, name another folder with --cache, or add --no-cache",
            ) from error


def _packed(capture: Capture) -> bytes:
    head = [*capture.box, capture.size_px, capture.quality, capture.yaw, capture.pitch]
    return np.concatenate([np.array(head, "<f4"), capture.embedding.astype("<f4")]).tobytes()


def _unpacked(faces: int, face: bytes) -> Capture:
    values = np.frombuffer(face, "<f4").astype(np.float32)
    size_px, quality, yaw, pitch = (float(value) for value in values[4:_HEAD])
    return Capture(faces, values[_HEAD:], values[:4], size_px, quality, yaw, pitch)
