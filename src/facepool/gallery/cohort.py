"""What the people of a pool have in common: what bars are measured against, kept with the pool's matrix."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facepool.types import Floats, Indices

_PEOPLE_AT_ONCE = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Of each person the mean of their templates, of all people what is left when those are added up.

    Attributes:
        lengths: (P,) float32, read-only: norm of each person's mean.
        total: (D,) float64, read-only: sum of the means.
        squares: Sum of the squared norms.
    """

    lengths: Floats
    total: npt.NDArray[np.float64]
    squares: float

    @property
    def usual(self) -> float:
        """The mean similarity of the means of two different people; 0 where there are no two."""
        pairs = len(self.lengths) * (len(self.lengths) - 1)
        return float(self.total @ self.total - self.squares) / max(1, pairs)


def means_of(vectors: Floats, counts: Indices) -> Floats:
    """(P, D) float32: the mean of the rows of each person.

    Args:
        vectors: (T, D) float32, the rows of the first person, then those of the second, and so on.
        counts: (P,) how many rows each has, 1 or more.
    """
    if len(counts) == len(vectors):
        return vectors
    sums = np.add.reduceat(vectors, np.cumsum(counts) - counts, axis=0)
    return np.asarray(sums / counts[:, None], np.float32)


def cohort_of(vectors: Floats, starts: Indices, counts: Indices) -> Cohort:
    """Measure everybody.

    Args:
        vectors: (T, D) float32 of a `PoolMatrix`.
        starts: (P,) its first row of each person.
        counts: (P,) its number of rows of each person.
    """
    lengths = np.empty(len(counts), np.float32)
    total, squares = np.zeros(vectors.shape[1]), 0.0
    for first in range(0, len(counts), _PEOPLE_AT_ONCE):
        part = slice(first, first + _PEOPLE_AT_ONCE)
        end = starts[part][-1] + counts[part][-1]
        means = means_of(vectors[starts[first] : end], counts[part])
        of_part = _squares(means)
        lengths[part] = np.sqrt(of_part)
        total += means.sum(axis=0, dtype=np.float64)
        squares += of_part.sum()
    return _frozen(lengths, total, squares)


def changed_cohort(known: Cohort, lengths: Floats, people: Indices, before: Floats, after: Floats) -> Cohort:
    """A cohort of which some people have more templates, or are new; nobody else is measured.

    Args:
        known: The cohort so far.
        lengths: (P,) float32 of everybody there is now, right but for `people`; taken over.
        people: (K,) who changed.
        before: (K or fewer, D) float32, their means so far: those of the new ones are missing.
        after: (K, D) float32, their means.
    """
    total = known.total - before.sum(axis=0, dtype=np.float64) + after.sum(axis=0, dtype=np.float64)
    of_people = _squares(after)
    lengths[people] = np.sqrt(of_people)
    return _frozen(lengths, total, known.squares - _squares(before).sum() + of_people.sum())


def _squares(means: Floats) -> npt.NDArray[np.float64]:
    return np.asarray(np.einsum("nd,nd->n", means, means), np.float64)


def _frozen(lengths: Floats, total: npt.NDArray[np.float64], squares: float) -> Cohort:
    lengths.setflags(write=False)
    total.setflags(write=False)
    return Cohort(lengths, total, float(squares))
