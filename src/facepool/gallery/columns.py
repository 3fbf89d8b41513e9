"""A gallery's templates as columns: what has changed since a revision, which is what a search follows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facepool.types import Calibration, Floats, Indices, counted, one_line

LookAlikes = frozenset[str]
"""The names of two people who are easily taken for each other."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened to a gallery since a revision, one row a template that is new or belongs to another person now.

    Attributes:
        revision: The revision that these changes lead to.
        template_ids: (T,) int64.
        person_of: (T,) intp, index into ``person_ids`` and ``names``.
        vectors: (T, D) float32, C-contiguous, rows of L2 norm 1; D is 0 where the gallery does not know its dimension.
        person_ids: Ids of everybody who owns a row here, is new or has another name now.
        names: Their names.
        removed: (R,) int64, ids of templates that are gone; those that were never known may be among them.
        look_alikes: All pairs of people who need a larger margin to be told apart, new or not.
        calibration: What was measured of the gallery; None: nothing, or in another embedding space.
        whole: Whether this is everything that the gallery has: all that was known before is void.
    """

    revision: int
    template_ids: Numbers
    person_of: Indices
    vectors: Floats
    person_ids: tuple[str, ...]
    names: tuple[str, ...]
    removed: Numbers
    look_alikes: frozenset[LookAlikes] = frozenset()
    calibration: Calibration | None = None
    whole: bool = False

    def __repr__(self) -> str:
        """How much happened."""
        new = f"{counted(len(self.template_ids), 'template')} of {counted(len(self.names), 'name')}"
        return one_line(self, f"{new}, {len(self.removed)} removed, up to revision {self.revision}")


@dataclass(frozen=True, slots=True)
class Grouping:
    """How templates are ordered by the names of their people, then by their own number.

    Attributes:
        order: (T,) intp, the row that comes first, second, ...
        people: P indices of the people who have a row, in the order of their names.
        person_of: (T,) intp, index into ``people`` of each row in its new place, never falling.
        starts: (P,) intp, the first row of each person in its new place.
        counts: (P,) intp, how many rows a person has, at least one.
    """

    order: Indices
    people: tuple[int, ...]
    person_of: Indices
    starts: Indices
    counts: Indices


def grouping(person_of: Indices, names: Sequence[str], template_ids: Numbers) -> Grouping:
    """The order of rows in which each person's are next to each other.

    Args:
        person_of: (T,) index into ``names`` of each row.
        names: One a person; people without a row may be among them.
        template_ids: (T,) number of the template in each row.
    """
    present, owner_of = np.unique(person_of, return_inverse=True)
    present_names = [names[person] for person in present.tolist()]
    by_name = sorted(range(len(present)), key=present_names.__getitem__)
    rank = np.empty(len(present), np.intp)
    rank[by_name] = np.arange(len(present))
    ranks = rank[owner_of.reshape(-1)]
    order = np.lexsort((template_ids, ranks))
    counts = np.bincount(ranks, minlength=len(present))
    people = tuple(int(person) for person in present[by_name])
    return Grouping(order, people, ranks[order], np.cumsum(counts) - counts, counts)


@dataclass(frozen=True, slots=True)
class PoolMatrix:
    """A pool's templates at one revision, the rows of a person next to each other: what ``Pool.matrix()`` gives.

    The arrays are read-only.

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
        calibration: What was measured of the pool; None: nothing, or in another embedding space.
    """

    vectors: Floats
    person_of: Indices
    names: tuple[str, ...]
    template_ids: Numbers
    starts: Indices
    counts: Indices
    revision: int
    look_alikes: frozenset[LookAlikes]
    calibration: Calibration | None

    def __repr__(self) -> str:
        """How much there is."""
        return one_line(self, f"{counted(len(self.vectors), 'template')} of {counted(len(self.names), 'name')}")

    @classmethod
    def of(cls, changes: Changes) -> "PoolMatrix":
        """The matrix of a gallery, from all that it has."""
        rows = grouping(changes.person_of, changes.names, changes.template_ids)
        arrays = (changes.vectors[rows.order], rows.person_of, changes.template_ids[rows.order])
        for array in (*arrays, rows.starts, rows.counts):
            array.setflags(write=False)
        return cls(
            *arrays[:2],
            tuple(changes.names[person] for person in rows.people),
            arrays[2],
            rows.starts,
            rows.counts,
            changes.revision,
            changes.look_alikes,
            changes.calibration,
        )

    def __len__(self) -> int:
        """Number of templates."""
        return len(self.vectors)
