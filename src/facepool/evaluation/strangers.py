"""A pool's own people as strangers to it: how alike the others are to each of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facepool.search import Index, normalized_scores
from facepool.types import Floats, Indices, Mask

Numbers = npt.NDArray[np.float64]

NOBODY = -1
_DEPTH = 8
"""Nearest others kept of a probe: enough for one of them to be among the people whom a bootstrap draws."""
_MEMBERS = 500
"""So many people tell the spread of similarities as well as more would."""
_BLOCK_VALUES = 1 << 23


@dataclass(frozen=True, slots=True)
class Strangers:
    """The searches of a pool without the person who is searched for.

    Attributes:
        people: How many the pool has.
        comparisons: Similarities of templates of different people that were looked at.
        owners: (R,) intp, whose template each probe is, an index into the pool's names.
        nearest: (R, K) intp, the people who are most alike, best first; ``NOBODY`` where there are fewer.
        similarities: (R, K) float64, how alike they are.
        members: (M,) intp, some of the people, or all.
        first: (M, M) float64, mean similarity of a member's probes to another; 0 on the diagonal.
        second: (M, M) float64, the same for its square.
    """

    people: int
    comparisons: int
    owners: Indices
    nearest: Indices
    similarities: Numbers
    members: Indices
    first: Numbers
    second: Numbers

    def without(self, pairs: Indices) -> "Strangers":
        """The same without what (N, 2) pairs of people have in common, as far as it is the nearest of a probe."""
        codes = np.concatenate([pairs @ [self.people, 1], pairs @ [1, self.people]])
        left_out = np.isin(self.owners[:, None] * self.people + self.nearest, codes)
        return Strangers(
            self.people,
            self.comparisons,
            self.owners,
            np.where(left_out, NOBODY, self.nearest),
            self.similarities,
            self.members,
            self.first,
            self.second,
        )

    def best_among(self, drawn: Mask) -> tuple[Indices, Numbers]:
        """The best similarity of each probe of the people who are drawn to the others who are.

        Args:
            drawn: (P,) bool.

        Returns:
            (Q,) rows of the probes, (Q,) similarities.
        """
        found = drawn[self.nearest] & (self.nearest != NOBODY)
        rows = np.flatnonzero(drawn[self.owners] & found.any(axis=1))
        return rows, self.similarities[rows, found[rows].argmax(axis=1)]

    def spread(self, draws: Numbers) -> tuple[Numbers, Numbers]:
        """Mean and standard deviation of the similarities of different people.

        Args:
            draws: (B, P) how often each person is drawn.

        Returns:
            (B,) and (B,) float64.
        """
        weights = draws[:, self.members]
        pairs = np.maximum(weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1), 1.0)
        mean, square = (
            np.einsum("bp,pq,bq->b", weights, moment, weights, optimize=True) / pairs
            for moment in (self.first, self.second)
        )
        return mean, np.sqrt(np.maximum(square - mean**2, 1e-8))


def leave_one_out(index: Index, rng: np.random.Generator, limit: int = 5000) -> Strangers:
    """Score the pool for each template as recognition does, as if whose template it is were not in it.

    Args:
        index: The pool, of two people or more.
        rng: Draws the probes of a pool that has more templates than the limit.
        limit: The most probes.
    """
    people = len(index.names)
    rows = np.arange(len(index))
    if len(rows) > limit:
        rows = np.sort(rng.choice(len(index), limit, replace=False))
    owners = index.person_of[rows]
    members = np.unique(owners)
    if len(members) > _MEMBERS:
        members = np.sort(rng.choice(members, _MEMBERS, replace=False))
    bulk = _Bulk(members, people)
    nearest, similarities = [], []
    size = max(1, _BLOCK_VALUES // len(index))
    for start in range(0, len(rows), size):
        block = slice(start, start + size)
        scores = normalized_scores(index.vectors[rows[block]] @ index.vectors.T, index, owners[block])
        bulk.add(owners[block], scores)
        best = _best(scores, min(_DEPTH, people - 1))
        nearest.append(best)
        similarities.append(np.take_along_axis(scores, best, axis=1).astype(np.float64))
    first, second = bulk.means()
    comparisons = int((len(index) - index.counts[owners]).sum())
    return Strangers(
        people, comparisons, owners, np.concatenate(nearest), np.concatenate(similarities), members, first, second
    )


class _Bulk:
    """Mean and mean square of the similarities of each two members, block by block.

    Args:
        members: (M,) of whom.
        people: How many there are.
    """

    def __init__(self, members: Indices, people: int) -> None:
        self._members = members
        self._place_of = np.full(people, NOBODY)
        self._place_of[members] = np.arange(len(members))
        self._sums = np.zeros((2, len(members), len(members)))
        self._counts = np.zeros(len(members))

    def add(self, owners: Indices, scores: Floats) -> None:
        """Take in (R, P) similarities of probes of (R,) owners."""
        places = self._place_of[owners]
        among = places != NOBODY
        places, own = places[among], scores[among][:, self._members].astype(np.float64)
        own[np.arange(len(places)), places] = 0.0  # nobody is compared with themselves
        for moment, values in zip(self._sums, (own, own**2), strict=True):
            np.add.at(moment, places, values)
        np.add.at(self._counts, places, 1)

    def means(self) -> tuple[Numbers, Numbers]:
        """(M, M) and (M, M) float64."""
        first, second = self._sums / self._counts[:, None]
        return first, second


def _best(scores: Floats, top: int) -> Indices:
    """(R, top) columns of the highest of (R, P), best first, equal ones by position."""
    least = -np.partition(-scores, top - 1, axis=1)[:, top - 1 : top]
    order = np.argsort(np.where(scores >= least, -scores, np.inf), axis=1, kind="stable")
    return np.asarray(order[:, :top], np.intp)
