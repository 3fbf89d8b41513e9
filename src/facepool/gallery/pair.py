"""The original two files, ``model_faces.npy`` and ``model_face_ids.npy``, and their sidecar: bytes to templates."""

import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from facepool.errors import ConfigError, PoolCorrupt
from facepool.files import storage_errors
from facepool.gallery import sidecar
from facepool.gallery.checks import check_vectors, clean_name
from facepool.gallery.columns import LookAlikes
from facepool.types import Calibration, EmbeddingSpace, Floats, Sample, Template

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


@dataclass(frozen=True, slots=True)
class PairPaths:
    """Where the files are.

    Attributes:
        vectors: (T, D) float32, unit rows.
        ids: (T,) unicode, the name of each row.
    """

    vectors: Path
    ids: Path

    @property
    def sidecar(self) -> Path:
        """The JSON file beside the vectors."""
        return self.vectors.with_suffix(".json")

    @property
    def all(self) -> tuple[Path, Path, Path]:
        """Vectors, ids, sidecar."""
        return (self.vectors, self.ids, self.sidecar)

    def check_distinct(self) -> None:
        """Refuse paths of which one would overwrite another.

        Raises:
            ConfigError: Two of the three are the same file.
        """
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


@dataclass(frozen=True, slots=True)
class PairContent:
    """What the files say.

    Attributes:
        space: None where they do not tell.
        templates: In the order of the rows.
        next_id: The number that the next template gets.
        labelled: Whether there is a sidecar.
        look_alikes: Pairs of people who are easily taken for each other.
        calibration: What was measured of the pool.
        bare: Names of people without templates.
    """

    space: EmbeddingSpace | None
    templates: tuple[Template, ...]
    next_id: int
    labelled: bool
    look_alikes: frozenset[LookAlikes] = frozenset()
    calibration: Calibration | None = None
    bare: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """Everybody, with templates and without."""
        return self.bare.union(template.person for template in self.templates)

    @property
    def dimension(self) -> int | None:
        """Length of a vector; None where nothing says it."""
        if self.space:
            return self.space.dimension
        return self.templates[0].sample.embedding.size if self.templates else None


NO_PAIR = PairContent(space=None, templates=(), next_id=1, labelled=True)


def read(paths: PairPaths) -> PairContent:
    """Read and check the files.

    Raises:
        PoolCorrupt: A file is missing, damaged, pickled, or they contradict each other.
        PoolTooNew: A newer facepool wrote the sidecar.
        InvalidEmbedding: A row is no unit vector.
    """
    present = [path for path in (paths.vectors, paths.ids) if path.exists()]
    if not present:
        return _no_pair(paths)
    if len(present) == 1:
        missing = paths.ids if present == [paths.vectors] else paths.vectors
        raise PoolCorrupt(
            f"{present[0]} cannot be used alone", why=f"{missing} does not exist", fix="Name the two files together"
        )
    vector_bytes, id_bytes = _bytes(paths.vectors), _bytes(paths.ids)
    vectors = _vectors(paths.vectors, vector_bytes)
    names = _names(paths.ids, id_bytes)
    if len(vectors) != len(names):
        raise PoolCorrupt(
            f"{paths.vectors} and {paths.ids.name} do not belong together",
            why=f"they have {len(vectors)} vectors and {len(names)} names",
            fix="Restore both from the same backup",
        )
    if not paths.sidecar.exists():
        return _unlabelled(vectors, names)
    label = sidecar.load(_bytes(paths.sidecar), paths.sidecar)
    if (label.vectors_sha256, label.ids_sha256) != (_sha256(vector_bytes), _sha256(id_bytes)):
        raise PoolCorrupt(
            f"{paths.vectors.name}, {paths.ids.name} and {paths.sidecar} do not belong together",
            why="another program has changed one of them, or they are of different pools",
            fix=f"Restore all from the same backup, or move {paths.sidecar.name} away to use the others without it, "
            "checked by dimension only",
        )
    if label.space and label.space.dimension != vectors.shape[1]:
        raise PoolCorrupt(
            f"{paths.vectors} and {paths.sidecar.name} do not belong together",
            why=f"vectors of {vectors.shape[1]} dimensions cannot be of {label.space}",
            fix="Restore all from the same backup",
        )
    templates = sidecar.templates_of(label, names, vectors, paths.sidecar)
    return PairContent(
        space=label.space,
        templates=templates,
        next_id=label.next_id,
        labelled=True,
        look_alikes=label.look_alikes,
        calibration=label.calibration,
        bare=label.bare - set(names),
    )


def contents(paths: PairPaths, content: PairContent) -> dict[Path, bytes]:
    """The bytes of the three files."""
    rows = [template.sample.embedding for template in content.templates]
    names = [template.person for template in content.templates]
    vector_bytes = _npy(np.array(rows, "<f4").reshape(len(rows), content.dimension or 0))
    id_bytes = _npy(np.array(names, dtype=np.str_))
    label = sidecar.Sidecar(
        space=content.space,
        vectors_sha256=_sha256(vector_bytes),
        ids_sha256=_sha256(id_bytes),
        next_id=content.next_id,
        rows=tuple(sidecar.row_of(template) for template in content.templates),
        look_alikes=content.look_alikes,
        calibration=content.calibration,
        bare=content.bare,
    )
    return {paths.vectors: vector_bytes, paths.ids: id_bytes, paths.sidecar: sidecar.dump(label)}


def _no_pair(paths: PairPaths) -> PairContent:
    if paths.sidecar.exists():
        sidecar.load(_bytes(paths.sidecar), paths.sidecar)  # a file of another program is not to be written over
    return NO_PAIR


def _unlabelled(vectors: Floats, names: Sequence[str]) -> PairContent:
    templates = tuple(
        Template(number, name, Sample(embedding=vector))
        for number, (name, vector) in enumerate(zip(names, vectors, strict=True), start=1)
    )
    return PairContent(None, templates, len(templates) + 1, labelled=False)


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
        clean = {name: clean_name(name) for name in dict.fromkeys(raw)}
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
