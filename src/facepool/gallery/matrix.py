"""All templates of a pool as one matrix: what the search runs on."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facepool.gallery.codes import Codes, code, extended_codes
from facepool.gallery.rows import aligned, spliced
from facepool.types import Floats, Indices

LookAlikes = frozenset[str]
"""The names of two people who are easily taken for each other."""

_CODED_TEMPLATES = 1 << 14
"""From so many on a pool is searched by codes; in smaller ones there is little to gain."""


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
        counts: (P,) intp, how many rows a person has.
        revision: The pool's revision that this is a picture of.
        look_alikes: Pairs of people who need a larger margin to be told apart.
        codes: The vectors again, in a byte a number, where that makes searching faster: in large pools.
    """

    vectors: Floats
    person_of: Indices
    names: tuple[str, ...]
    template_ids: npt.NDArray[np.int64]
    starts: Indices
    counts: Indices
    revision: int
    look_alikes: frozenset[LookAlikes] = frozenset()
    codes: Codes | None = None

    def __len__(self) -> int:
        """Number of templates."""
        return len(self.vectors)

    def has(self, name: str) -> bool:
        """Whether somebody has that name."""
        place = bisect_left(self.names, name)
        return place < len(self.names) and self.names[place] == name

    def end(self, name: str) -> int:
        """The row before which the next template of a person comes, whether they have one yet or not."""
        place = bisect_left(self.names, name)
        if place == len(self.names):
            return len(self)
        return int(self.starts[place] + (self.counts[place] if self.names[place] == name else 0))


def grouped(
    vectors: Floats,
    owner_ids: npt.NDArray[np.int64],
    template_ids: npt.NDArray[np.int64],
    owners: Mapping[int, str],
    revision: int,
    look_alikes: frozenset[LookAlikes] = frozenset(),
) -> PoolMatrix:
    """Bring rows into the order of a `PoolMatrix`: by name, then by template.

    Args:
        vectors: (T, D) float32.
        owner_ids: (T,) number of the person of each row.
        template_ids: (T,) number of the template in each row.
        owners: Name of each person number; people without a row are left out.
        revision: Passed through.
        look_alikes: Passed through.
    """
    present, owner_of = np.unique(owner_ids, return_inverse=True)
    names = [owners[int(owner)] for owner in present]
    by_name = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), np.intp)
    rank[by_name] = np.arange(len(names))
    person_of = rank[owner_of.reshape(-1)]
    order = np.lexsort((template_ids, person_of))
    ordered = aligned(vectors.shape, np.float32)
    np.take(vectors, order, axis=0, out=ordered)
    counts = np.bincount(person_of, minlength=len(names))
    starts = np.cumsum(counts) - counts
    coded = code(ordered, starts) if len(ordered) >= _CODED_TEMPLATES else None
    return _frozen(
        ordered, tuple(names[index] for index in by_name), template_ids[order], counts, revision, look_alikes, coded
    )


def extended(
    known: PoolMatrix,
    vectors: Floats,
    owners: Sequence[str],
    template_ids: npt.NDArray[np.int64],
    revision: int,
    look_alikes: frozenset[LookAlikes],
) -> PoolMatrix:
    """A matrix with some more rows: nothing is sorted or computed anew.

    Args:
        known: Not empty.
        vectors: (K, D) float32, the new rows.
        owners: K names, new or known.
        template_ids: (K,) numbers of the new templates, above all known ones.
        revision: That of the pool with the new rows.
        look_alikes: The same.
    """
    order = sorted(range(len(owners)), key=lambda row: (owners[row], template_ids[row]))
    sorted_owners = [owners[row] for row in order]
    fresh = [name for name in sorted(set(owners)) if not known.has(name)]
    names = tuple(sorted([*known.names, *fresh])) if fresh else known.names
    counts = np.insert(known.counts, [bisect_left(known.names, name) for name in fresh], 0)
    np.add.at(counts, [bisect_left(names, name) for name in sorted_owners], 1)
    at = np.array([known.end(name) for name in sorted_owners], np.intp)
    rows = spliced(known.vectors, at, vectors[order])
    starts = np.cumsum(counts) - counts
    coded = None
    if known.codes is not None:
        coded = extended_codes(known.codes, at, vectors[order], starts)
    elif len(rows) >= _CODED_TEMPLATES:
        coded = code(rows, starts)
    ids = spliced(known.template_ids, at, template_ids[order])
    return _frozen(rows, names, ids, counts, revision, look_alikes, coded)


def _frozen(
    vectors: Floats,
    names: tuple[str, ...],
    template_ids: npt.NDArray[np.int64],
    counts: Indices,
    revision: int,
    look_alikes: frozenset[LookAlikes],
    coded: Codes | None,
) -> PoolMatrix:
    person_of = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    for array in (vectors, person_of, template_ids, starts, counts):
        array.setflags(write=False)
    return PoolMatrix(vectors, person_of, names, template_ids, starts, counts, revision, look_alikes, coded)
