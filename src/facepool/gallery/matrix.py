"""All templates of a pool as one matrix: what the search runs on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from facepool.gallery.margins import measured_margins
from facepool.types import Calibration, Floats, Indices

LookAlikes = frozenset[str]
"""The names of two people who are easily taken for each other."""


@dataclass(frozen=True, slots=True)
class PoolMatrix:
    """A pool's templates at one revision, the rows of a person next to each other.

    The arrays are read-only, and never change: a changed pool has a new matrix.

    Attributes:
        vectors: (T, D) float32, C-contiguous, rows of L2 norm 1. (0, D) for an empty pool; D is 0 where it does not
            know its dimension yet.
        person_of: (T,) intp, index into ``names``, never falling.
        names: P names, sorted; each has at least one row.
        template_ids: (T,) int64, rising within a person.
        starts: (P,) intp, the first row of each person.
        revision: The pool's revision that this is a picture of.
        look_alikes: Pairs of people who need a larger margin to be told apart.
        margins: That margin, for the pairs whose templates suffice to measure it; see ``facepool.gallery.margins``.
        calibration: What was measured of the pool; None: nothing, or in another embedding space.
    """

    vectors: Floats
    person_of: Indices
    names: tuple[str, ...]
    template_ids: npt.NDArray[np.int64]
    starts: Indices
    revision: int
    look_alikes: frozenset[LookAlikes] = frozenset()
    margins: Mapping[LookAlikes, float] = field(default_factory=dict)
    calibration: Calibration | None = None
    lengths: Floats = field(init=False, compare=False)
    likeness: Floats = field(init=False, compare=False)
    total: Floats = field(init=False, compare=False)
    usual: float = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Measure once what each search needs of all templates."""
        means = self.means(np.arange(len(self.names))) if len(self) else self.vectors
        squares = np.einsum("nd,nd->n", means, means)
        total = means.sum(axis=0, dtype=np.float64)
        object.__setattr__(self, "lengths", np.sqrt(squares).astype(np.float32))
        object.__setattr__(self, "likeness", (means @ total - squares).astype(np.float32))
        object.__setattr__(self, "total", total.astype(np.float32))
        pairs = len(self.names) * (len(self.names) - 1)
        object.__setattr__(self, "usual", float((total @ total - squares.sum(dtype=np.float64)) / max(1, pairs)))

    def __len__(self) -> int:
        """Number of templates."""
        return len(self.vectors)

    @property
    def templates_of(self) -> Indices:
        """(P,) how many templates each person has."""
        return np.diff(self.starts, append=len(self))

    def means(self, people: Indices) -> Floats:
        """(..., D) float32: the mean of the templates of each of (...) people, of at least one person."""
        wanted, place = np.unique(people, return_inverse=True)
        following = np.minimum(wanted + 1, len(self.starts) - 1)
        counts = np.where(wanted + 1 < len(self.starts), self.starts[following], len(self)) - self.starts[wanted]
        ends = np.cumsum(counts)
        rows = np.arange(ends[-1]) + np.repeat(self.starts[wanted] - (ends - counts), counts)
        sums = np.add.reduceat(self.vectors[rows], ends - counts, axis=0)
        return np.asarray((sums / counts[:, None])[place.reshape(people.shape)], np.float32)


def grouped(
    vectors: Floats,
    owner_ids: npt.NDArray[np.int64],
    template_ids: npt.NDArray[np.int64],
    owners: Mapping[int, str],
    revision: int,
    look_alikes: frozenset[LookAlikes] = frozenset(),
    calibration: Calibration | None = None,
) -> PoolMatrix:
    """Bring rows into the order of a `PoolMatrix`: by name, then by template.

    Args:
        vectors: (T, D) float32.
        owner_ids: (T,) number of the person of each row.
        template_ids: (T,) number of the template in each row.
        owners: Name of each person number; people without a row are left out.
        revision: Passed through.
        look_alikes: Passed through, with their margins.
        calibration: Passed through.
    """
    present, owner_of = np.unique(owner_ids, return_inverse=True)
    names = [owners[int(owner)] for owner in present]
    by_name = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), np.intp)
    rank[by_name] = np.arange(len(names))
    person_of = rank[owner_of.reshape(-1)]
    order = np.lexsort((template_ids, person_of))
    person_of = person_of[order]
    sorted_names = tuple(names[index] for index in by_name)
    starts = np.searchsorted(person_of, np.arange(len(names)))
    rows = np.ascontiguousarray(vectors[order], dtype=np.float32)
    matrix = PoolMatrix(
        vectors=rows,
        person_of=person_of,
        names=sorted_names,
        template_ids=template_ids[order],
        starts=starts,
        revision=revision,
        look_alikes=look_alikes,
        margins=measured_margins(look_alikes, dict(zip(sorted_names, np.split(rows, starts[1:]), strict=True)))
        if look_alikes
        else {},
        calibration=calibration,
    )
    for array in (matrix.vectors, matrix.person_of, matrix.template_ids, matrix.starts):
        array.setflags(write=False)
    return matrix
