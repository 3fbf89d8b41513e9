"""All templates of a pool as one matrix: what the search runs on."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facepool.gallery.codes import Codes, code, extended_codes
from facepool.gallery.cohort import Cohort, changed_cohort, cohort_of, means_of
from facepool.gallery.margins import measured_margins
from facepool.gallery.rows import aligned, ranges, spliced
from facepool.types import Calibration, Floats, Indices

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
        cohort: What its people have in common.
        look_alikes: Pairs of people who need a larger margin to be told apart.
        margins: That margin, for the pairs whose templates suffice to measure it; see ``facepool.gallery.margins``.
        calibration: What was measured of the pool; None: nothing, or in another embedding space.
        codes: The vectors again, in a byte a number, where that makes searching faster: in large pools.
    """

    vectors: Floats
    person_of: Indices
    names: tuple[str, ...]
    template_ids: npt.NDArray[np.int64]
    starts: Indices
    counts: Indices
    revision: int
    cohort: Cohort
    look_alikes: frozenset[LookAlikes]
    margins: Mapping[LookAlikes, float]
    calibration: Calibration | None
    codes: Codes | None

    def __len__(self) -> int:
        """Number of templates."""
        return len(self.vectors)

    def means(self, people: Indices) -> Floats:
        """(..., D) float32: the mean of the templates of each of (...) people, of at least one person."""
        wanted, place = np.unique(people, return_inverse=True)
        rows = self.vectors[ranges(self.starts[wanted], self.counts[wanted])]
        return means_of(rows, self.counts[wanted])[place.reshape(people.shape)]

    def place(self, name: str) -> int:
        """Where a name is among the names, or would be."""
        return bisect_left(self.names, name)

    def has(self, name: str) -> bool:
        """Whether somebody has that name."""
        place = self.place(name)
        return place < len(self.names) and self.names[place] == name

    def end(self, name: str) -> int:
        """The row before which the next template of a person comes, whether they have one yet or not."""
        place = self.place(name)
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
    ordered = aligned(vectors.shape, np.float32)
    np.take(vectors, order, axis=0, out=ordered)
    counts = np.bincount(person_of, minlength=len(names))
    starts = np.cumsum(counts) - counts
    sorted_names = tuple(names[index] for index in by_name)
    return _frozen(
        PoolMatrix(
            vectors=ordered,
            person_of=person_of[order],
            names=sorted_names,
            template_ids=template_ids[order],
            starts=starts,
            counts=counts,
            revision=revision,
            cohort=cohort_of(ordered, starts, counts),
            look_alikes=look_alikes,
            margins=_margins(look_alikes, sorted_names, ordered, starts, counts),
            calibration=calibration,
            codes=code(ordered, starts) if len(ordered) >= _CODED_TEMPLATES else None,
        )
    )


def extended(
    known: PoolMatrix,
    vectors: Floats,
    owners: Sequence[str],
    template_ids: npt.NDArray[np.int64],
    revision: int,
    look_alikes: frozenset[LookAlikes],
    calibration: Calibration | None = None,
) -> PoolMatrix:
    """A matrix with some more rows: nothing else is sorted or computed anew.

    Args:
        known: Not empty.
        vectors: (K, D) float32, the new rows.
        owners: K names, new or known.
        template_ids: (K,) numbers of the new templates, above all known ones.
        revision: That of the pool with the new rows.
        look_alikes: The same, with their margins.
        calibration: The same.
    """
    order = sorted(range(len(owners)), key=lambda row: (owners[row], template_ids[row]))
    sorted_owners = [owners[row] for row in order]
    fresh = [name for name in sorted(set(owners)) if not known.has(name)]
    fresh_at = [known.place(name) for name in fresh]
    names = tuple(sorted([*known.names, *fresh])) if fresh else known.names
    counts = np.insert(known.counts, fresh_at, 0)
    np.add.at(counts, [bisect_left(names, name) for name in sorted_owners], 1)
    at = np.array([known.end(name) for name in sorted_owners], np.intp)
    rows = spliced(known.vectors, at, vectors[order])
    starts = np.cumsum(counts) - counts
    coded = None
    if known.codes is not None:
        coded = extended_codes(known.codes, at, vectors[order], starts)
    elif len(rows) >= _CODED_TEMPLATES:
        coded = code(rows, starts)
    return _frozen(
        PoolMatrix(
            vectors=rows,
            person_of=np.repeat(np.arange(len(counts)), counts),
            names=names,
            template_ids=spliced(known.template_ids, at, template_ids[order]),
            starts=starts,
            counts=counts,
            revision=revision,
            cohort=_extended_cohort(known, sorted(set(owners)), fresh_at, names, rows, starts, counts),
            look_alikes=look_alikes,
            margins=_margins(look_alikes, names, rows, starts, counts),
            calibration=calibration,
            codes=coded,
        )
    )


def _extended_cohort(
    known: PoolMatrix,
    owners: Sequence[str],
    fresh_at: Sequence[int],
    names: Sequence[str],
    vectors: Floats,
    starts: Indices,
    counts: Indices,
) -> Cohort:
    if not owners:
        return known.cohort
    old = np.array([known.place(name) for name in owners if known.has(name)], np.intp)
    people = np.array([bisect_left(names, name) for name in owners], np.intp)
    return changed_cohort(
        known.cohort,
        lengths=np.insert(known.cohort.lengths, fresh_at, 0),
        people=people,
        before=known.means(old) if len(old) else known.vectors[:0],
        after=means_of(vectors[ranges(starts[people], counts[people])], counts[people]),
    )


def _margins(
    pairs: frozenset[LookAlikes], names: Sequence[str], vectors: Floats, starts: Indices, counts: Indices
) -> dict[LookAlikes, float]:
    own = {}
    for name in {name for pair in pairs for name in pair}:
        place = bisect_left(names, name)
        if place < len(names) and names[place] == name:
            own[name] = vectors[starts[place] : starts[place] + counts[place]]
    return measured_margins(pairs, own)


def _frozen(matrix: PoolMatrix) -> PoolMatrix:
    for array in (matrix.vectors, matrix.person_of, matrix.template_ids, matrix.starts, matrix.counts):
        array.setflags(write=False)
    return matrix
