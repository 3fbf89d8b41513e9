"""Files of embeddings that another program computed, to be loaded into a pool: NumPy arrays, CSV, JSON lines.

`open_vectors` reads them block by block, so that they may be larger than the memory: ``.npy`` files are mapped, text is
read line by line. `loaded` puts them into a gallery.
"""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
import numpy.typing as npt

from facepool.errors import ConfigError, PathMissing, TransferIncomplete, VectorsUnreadable
from facepool.files import exists, storage_errors
from facepool.gallery.base import Gallery, Report
from facepool.gallery.batches import SAMPLE_COLUMNS, TemplateBatch, derived_uuids
from facepool.gallery.checks import NORM_TOLERANCE, clean_name
from facepool.types import EmbeddingSpace, Floats, counted

_NAMES = ("person", "name", "subject")
"""What a column, a field or an array may be called that says whose a vector is; the first that is there."""
_VECTORS = ("embedding", "vector", "embeddings", "vectors")
_NOT_MEASURED = (None,) * (len(SAMPLE_COLUMNS) - 5)
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a file.

    Attributes:
        first: The number of the first one, from 0.
        names: N names as they are in the file.
        vectors: (N, D) of whole or fractional numbers.
        done: How much of the file is read with them, in the unit of its size.
    """

    first: int
    names: Sequence[str]
    vectors: npt.NDArray[Any]
    done: int


class VectorFile(Protocol):
    """Vectors with the name of a person each."""

    @property
    def path(self) -> Path:
        """Where the vectors are."""

    @property
    def size(self) -> int:
        """How much there is to read: rows, or bytes of text."""

    def blocks(self, rows_at_once: int) -> Iterator[Block]:
        """All rows, from the first one on each time.

        Args:
            rows_at_once: How many there are in a block, at most.

        Raises:
            VectorsUnreadable: They are none.
        """


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file holds that can be loaded.

    Attributes:
        file: The file.
        rows: How many vectors.
        dimension: Length of each.
        normalize: Whether they are to be divided by their norm.
        names: How pools spell the names in the file.
    """

    file: VectorFile
    rows: int
    dimension: int
    normalize: bool
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading a file did.

    Attributes:
        added: Templates stored.
        skipped: Templates that were there, of an interrupted call before, or that come twice.
        created: How many people became known.
        people: How many people the file has.
    """

    added: int
    skipped: int
    created: int
    people: int


def open_vectors(vectors: Path, names: Path | None = None) -> VectorFile:
    """A file of vectors, and one of the names of their people, one a row in the same order.

    Args:
        vectors: ``.npy``, ``.npz``, ``.csv`` or ``.jsonl``.
        names: ``.npy``, ``.csv`` or text with one name a line; None: they are in the file of vectors.

    Raises:
        PathMissing: One of them is not there.
        ConfigError: They end in something else, or names are missing.
        VectorsUnreadable: They are not what their endings say.
    """
    for path in (vectors, names):
        if path is not None and not exists(path):
            raise PathMissing(f"{path} does not exist", fix="Name a file of vectors, and one of names")
    given = None if names is None else _names_of(names)
    suffix = vectors.suffix.lower()
    if suffix in (".npy", ".npz"):
        array, own = _arrays_of(vectors)
        return _ArrayFile(vectors, array, _as_many(vectors, len(array), given if given is not None else own))
    if suffix in (".csv", ".tsv"):
        return _TextFile(vectors, given, _csv_rows)
    if suffix in (".jsonl", ".ndjson"):
        return _TextFile(vectors, given, _json_rows)
    raise ConfigError(
        f"{vectors} cannot be loaded",
        why=f"its ending is {vectors.suffix!r}",
        fix="Name a .npy or .npz file of NumPy, a .csv or a .jsonl file",
    )


def check_vectors_of(
    file: VectorFile, dimension: int, *, normalize: bool, report: Report = lambda _done, _total: None
) -> Checked:
    """Look at all of a file before any of it is stored.

    Args:
        file: What to look at.
        dimension: What the pool takes.
        normalize: Whether vectors of another norm than 1 are welcome.
        report: Is told how much of the file was read.

    Raises:
        VectorsUnreadable: A vector is none: of another length, not finite, zero, or not of norm 1.
        ConfigError: A name cannot be used.
    """
    rows, names = 0, dict[str, str]()
    for block in file.blocks(_ROWS_AT_ONCE):
        _normalized(file, block, dimension, normalize=normalize)
        _add_clean(names, file, block)
        rows += len(block.names)
        report(block.done, file.size)
    if not rows:
        raise VectorsUnreadable(f"{file.path} cannot be loaded", why="it has no vectors", fix="Name another file")
    return Checked(file, rows, dimension, normalize, names)


def load(
    checked: Checked, gallery: Gallery, space: EmbeddingSpace, report: Report = lambda _done, _total: None
) -> Loaded:
    """Store what is not there yet, in batches that are each whole or not at all; then make sure that all of it is.

    The UUID of each template follows from its person, its numbers and the space. So one that was loaded before is found
    again, whoever has it now, and is not stored twice; after an interruption, loading goes on.

    Args:
        checked: What to store.
        gallery: Where.
        space: Which space the vectors are of.
        report: Is told how many were stored, of how many.

    Raises:
        TransferIncomplete: Not all of them are there at the end.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    added = done = created = 0
    uuids = bytearray()
    for block in checked.file.blocks(gallery.rows_at_once):
        vectors = _normalized(checked.file, block, checked.dimension, normalize=checked.normalize)
        names = [checked.names[name] for name in block.names]
        count = len(names)
        batch = TemplateBatch(
            names=names,
            person_uuids=[b""] * count,
            vectors=vectors,
            uuids=derived_uuids(names, vectors, space.id),
            created_at=[now] * count,
            models=[space.model] * count,
            samples=[(checked.file.path.name, block.first + row, "", 0, *_NOT_MEASURED, "") for row in range(count)],
            derived=True,
        )
        stored = gallery.load(batch, space)
        uuids += b"".join(batch.uuids)
        added, created, done = added + stored.added, created + len(stored.created), done + count
        report(done, checked.rows)
    _verify(gallery, uuids)
    return Loaded(added, checked.rows - added, created, len(set(checked.names.values())))


def _verify(gallery: Gallery, uuids: bytearray) -> None:
    wanted = np.unique(np.frombuffer(uuids, np.uint64).reshape(-1, 2), axis=0)
    found = 0
    for first in range(0, len(wanted), _ROWS_AT_ONCE):
        found += gallery.count_of([row.tobytes() for row in wanted[first : first + _ROWS_AT_ONCE]])
    if found != len(wanted):
        raise TransferIncomplete(
            f"Not everything is in {gallery.address}",
            why=f"of {counted(len(wanted), 'view')} only {found} are there",
            fix="Load the file again, while nobody else changes the pool",
        )


def _add_clean(names: dict[str, str], file: VectorFile, block: Block) -> None:
    """Find out how pools spell the names of a block.

    Raises:
        ConfigError: One cannot be used.
    """
    for row, name in enumerate(block.names):
        if name not in names:
            try:
                names[name] = clean_name(name)
            except ConfigError as error:
                place = f"Row {block.first + row} of {file.path.name} has a name that cannot be used"
                raise ConfigError(place, why=error.why or error.what, fix=error.fix) from error


def _normalized(file: VectorFile, block: Block, dimension: int, *, normalize: bool) -> Floats:
    """The vectors of a block as pools keep them: (N, D) float32 of norm 1."""
    vectors = block.vectors
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise VectorsUnreadable(
            f"{file.path} cannot be loaded",
            why=f"its vectors have {vectors.shape[-1]} numbers, those of the pool {dimension}",
            fix="Name the model that made them: --embedder",
        )
    with np.errstate(all="ignore"):  # what comes of it is looked at
        norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    _check_rows(file, block, ~(np.isfinite(norms) & (norms > 0)), "it is zero, NaN or infinite", "Compute it anew")
    if not normalize:
        off = np.abs(norms - 1) > NORM_TOLERANCE
        norm = f"its L2 norm is {norms[off][0]:.4g}, not 1" if off.any() else ""
        _check_rows(file, block, off, norm, "Say --normalize if only the directions of the vectors mean something")
        return np.asarray(vectors, np.float32)
    return np.asarray(vectors / norms[:, None], np.float32)


def _check_rows(file: VectorFile, block: Block, wrong: npt.NDArray[np.bool_], why: str, fix: str) -> None:
    if wrong.any():
        row = block.first + int(np.argmax(wrong))
        raise VectorsUnreadable(f"Row {row} of {file.path.name} is not an embedding", why=why, fix=fix)


@dataclass(frozen=True, slots=True)
class _ArrayFile:
    """Vectors in an array, which may be larger than the memory.

    Attributes:
        path: Where they are.
        array: (N, D) of numbers.
        names: N names.
    """

    path: Path
    array: npt.NDArray[Any]
    names: Sequence[str] | npt.NDArray[Any]

    @property
    def size(self) -> int:
        """How many rows."""
        return len(self.array)

    def blocks(self, rows_at_once: int) -> Iterator[Block]:
        """All rows."""
        for first in range(0, len(self.array), rows_at_once):
            part = slice(first, first + rows_at_once)
            vectors = np.asarray(self.array[part])
            yield Block(first, _texts(self.names[part]), vectors, first + len(vectors))


def _texts(names: Sequence[str] | npt.NDArray[Any]) -> list[str]:
    return [str(name) for name in (names.tolist() if isinstance(names, np.ndarray) else names)]


Row = tuple[str | None, list[float]]
"""A name, where the file of vectors has it, and numbers."""
Rows = Callable[[TextIO, bool], Iterator[Row]]
"""Reads lines of text, of which it is said whether they have names."""


@dataclass(frozen=True, slots=True)
class _TextFile:
    """Vectors in lines of text.

    Attributes:
        path: Where they are.
        names: One for each line; None: they are in the lines.
        rows: What reads the lines.
    """

    path: Path
    names: Sequence[str] | npt.NDArray[Any] | None
    rows: Rows

    @property
    def size(self) -> int:
        """How many bytes."""
        return self.path.stat().st_size

    def blocks(self, rows_at_once: int) -> Iterator[Block]:
        """All rows."""
        first = 0
        with (
            storage_errors(self.path, "cannot be read"),
            self.path.open("rb") as file,
            io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text,
        ):
            rows = self.rows(text, self.names is None)
            while part := self._next(rows, first, rows_at_once):
                numbers = [vector for _, vector in part]
                if len({*map(len, numbers)}) != 1:
                    raise self._unreadable(first, "its rows have different numbers of numbers")
                vectors = np.array(numbers, np.float64)
                yield Block(first, self._names_of(part, first), vectors, file.tell())
                first += len(part)
        if self.names is not None and first != len(self.names):
            raise _do_not_belong(self.path, first, len(self.names))

    def _next(self, rows: Iterator[Row], first: int, count: int) -> list[Row]:
        part: list[Row] = []
        try:
            for row in islice(rows, count):
                part.append(row)  # noqa: PERF402 -- how many there were tells the row that cannot be read
        except (ValueError, TypeError, KeyError, csv.Error, RecursionError) as error:
            raise self._unreadable(first + len(part), f"{type(error).__name__}: {error}") from error
        return part

    def _names_of(self, part: Sequence[Row], first: int) -> list[str]:
        if self.names is None:
            return [name or "" for name, _ in part]
        names = _texts(self.names[first : first + len(part)])
        if len(names) != len(part):
            raise _do_not_belong(self.path, f"more than {len(self.names)}", len(self.names))
        return names

    def _unreadable(self, row: int, why: str) -> VectorsUnreadable:
        return VectorsUnreadable(
            f"Row {row} of {self.path} cannot be read", why=why, fix="Write a name and the numbers of one vector a row"
        )


def _csv_rows(file: TextIO, named: bool) -> Iterator[Row]:  # noqa: FBT001 -- one of two readers
    """``name,0.1,-0.2,...``; a first line whose numbers are none is a heading."""
    for number, row in enumerate(csv.reader(file, delimiter="\t" if str(file.name).endswith("tsv") else ",")):
        values = row[1:] if named else row
        try:
            numbers = [float(value) for value in values]
        except ValueError:
            if number == 0:
                continue
            raise
        if row:
            yield (row[0] if named else None), numbers


def _json_rows(file: TextIO, named: bool) -> Iterator[Row]:  # noqa: FBT001 -- one of two readers
    """``{"person": "Ada", "embedding": [0.1, -0.2, ...]}``."""
    for line in file:
        if line.strip():
            record = json.loads(line)
            name = record[_first_of(_NAMES, record)] if named else None
            yield name if name is None else str(name), [float(value) for value in record[_first_of(_VECTORS, record)]]


def _first_of(words: Sequence[str], record: Mapping[str, Any]) -> str:
    found = next((word for word in words if word in record), None)
    if found is None:
        raise KeyError(f"none of {', '.join(words)} is there")
    return found


def _arrays_of(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """The vectors of a file of NumPy's, and its names if it has some."""
    with _readable(path):
        if path.suffix.lower() == ".npz" and not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("it is no .npz file")
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(found, np.ndarray):
            arrays = {"": found}
        else:
            with found:
                arrays = dict(found.items())
    vectors = [array for array in arrays.values() if array.ndim == 2 and array.dtype.kind in "fiu"]
    names = [array for array in arrays.values() if array.ndim == 1 and array.dtype.kind in "Uiu"]
    if len(vectors) != 1:
        shapes = ", ".join(f"{array.dtype} {array.shape}" for array in arrays.values())
        raise VectorsUnreadable(
            f"{path} cannot be loaded",
            why=f"it holds {shapes or 'nothing'}, not one array of numbers of shape (views, numbers of each)",
            fix="Save the vectors as one array, a row each",
        )
    return vectors[0], names[0] if len(names) == 1 else None


def _names_of(path: Path) -> Sequence[str] | npt.NDArray[Any]:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        with _readable(path):
            names = np.load(path, mmap_mode="r", allow_pickle=False)
        if names.ndim != 1 or names.dtype.kind not in "Uiu":
            why = f"it holds {names.dtype} {names.shape}, not names"
            raise VectorsUnreadable(f"{path} cannot be loaded", why=why, fix="Save names of text, in one dimension")
        return np.asarray(names) if names.dtype.kind in "iu" else names
    with _readable(path), path.open(encoding="utf-8-sig", newline="") as file:
        if suffix not in (".csv", ".tsv"):
            return file.read().splitlines()
        rows = [row for row in csv.reader(file, delimiter="\t" if suffix == ".tsv" else ",") if row]
    heading = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((heading.index(word) for word in _NAMES if word in heading), None)
    return [row[0] for row in rows] if column is None else [row[column] for row in rows[1:]]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        with storage_errors(path, "cannot be read"):
            yield
    except (ValueError, EOFError, IndexError, csv.Error, zipfile.BadZipFile) as error:
        raise VectorsUnreadable(f"{path} cannot be read", why=str(error), fix="Save it again") from error


def _as_many(
    path: Path, count: int, names: Sequence[str] | npt.NDArray[Any] | None
) -> Sequence[str] | npt.NDArray[Any]:
    if names is None:
        raise ConfigError(
            f"{path} cannot be loaded",
            why="nothing says whose its vectors are",
            fix="Name a file with one name a row, too: facepool people load VECTORS NAMES",
        )
    if len(names) != count:
        raise _do_not_belong(path, count, len(names))
    return names


def _do_not_belong(path: Path, vectors: int | str, names: int) -> VectorsUnreadable:
    return VectorsUnreadable(
        f"{path} and the names do not belong together",
        why=f"there are {vectors} vectors and {names} names",
        fix="Name the two files of the same people",
    )
