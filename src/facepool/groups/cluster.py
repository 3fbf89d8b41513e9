"""Which faces belong together, without anybody's name: the rule by which photos are grouped.

1. Each face is compared with every other one, block by block, and its nearest neighbours are kept, see `near_pairs`.
2. Every clear face begins as a group of its own. The two groups that are most alike become one, again and again, until
   no two are alike enough. How alike two groups are is the geometric mean of two figures: the mean similarity of all
   pairs of their faces, and the cosine of the means of their faces. The first alone takes a person from different sides
   for several; the second alone lets one face that resembles two people make one group of them.
3. Faces that are not clear (small, blurred, half hidden) join the group that they are most like. They never start a
   group, and never make one of two.

Two faces of one picture are two people, so groups that share a picture stay apart.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facepool.thresholds import Threshold, ThresholdPolicy
from facepool.types import Floats, Indices, Mask, counted, one_line

WRONGLY_JOINED = 0.005
"""Share of faces that may have the face of a stranger among those that are alike enough to join it."""
_LEAST_FACES = 50
"""Fewer faces give strangers no fewer chances: a threshold for ten would be below what two photos of siblings reach."""
NEIGHBOURS = 64
"""So many of the nearest faces are kept of each."""
_BELOW = 0.1
"""By how much the most similar pair of two groups may be less alike than the groups must be."""
_VALUES_AT_ONCE = 1 << 23
"""Similarities held at a time: 32 MiB."""

Progress = Callable[[int, int], None]
"""Told how much is done of how much."""


@dataclass(frozen=True, slots=True)
class LooseFaces:
    """Faces that are to be grouped, one row a face.

    Attributes:
        embeddings: (N, D) float32, L2 norm 1.
        pictures: (N,) a number for the picture that each is in.
        clear: (N,) whether each is clear enough to start a group.
        people: (N,) a number for the person where somebody has said who it is; -1 elsewhere.
    """

    embeddings: Floats
    pictures: Indices
    clear: Mask
    people: Indices

    def __len__(self) -> int:
        """How many faces there are."""
        return len(self.pictures)

    def __repr__(self) -> str:
        """How many faces there are."""
        return one_line(self, counted(len(self), "face"))


def grouping_threshold(policy: ThresholdPolicy, faces: int) -> Threshold:
    """From which likeness on two groups are one person: it rises with the number of faces, as each is one more chance.

    Args:
        policy: Knows how alike strangers get, or what the user insists on.
        faces: How many there are.
    """
    return policy.same_person(WRONGLY_JOINED / max(faces, _LEAST_FACES))


def group_faces(faces: LooseFaces, threshold: float, progress: Progress = lambda _done, _total: None) -> Indices:
    """Put faces into groups.

    Args:
        faces: At least none.
        threshold: How alike two groups must be to become one, see `grouping_threshold`.
        progress: Told how many faces were compared.

    Returns:
        (N,) a number for the group of each face, in the order of their first faces; -1: it is in none. Somebody who was
        named has one group, all others at least two faces.
    """
    first, second = near_pairs(faces, threshold - _BELOW, progress)
    is_start = faces.clear | (faces.people >= 0)
    among = is_start[first] & is_start[second]
    joined = _Groups(faces, is_start)
    joined.join(first[among], second[among], threshold)
    joined.attach(first[~among], second[~among], threshold)
    return joined.labels()


def near_pairs(
    faces: LooseFaces, floor: float, progress: Progress = lambda _done, _total: None
) -> tuple[Indices, Indices]:
    """The pairs of faces that are alike and in two pictures; of each face only its nearest `NEIGHBOURS`.

    Args:
        faces: At least none.
        floor: How similar they must be.
        progress: Told how many faces were compared.

    Returns:
        (K,) and (K,) rows, the first below the second, no pair twice.
    """
    count = len(faces)
    step = max(1, _VALUES_AT_ONCE // max(count, 1))
    found = [np.empty(0, np.int64)]
    for start in range(0, count, step):
        similarities = faces.embeddings[start : start + step] @ faces.embeddings.T
        places = np.flatnonzero(similarities >= floor)
        rows, others = np.divmod(places, count)
        apart = faces.pictures[rows + start] != faces.pictures[others]
        places, rows, others = places[apart], rows[apart], others[apart]
        kept = _nearest(rows, similarities.ravel()[places])
        rows, others = rows[kept] + start, others[kept]
        found.append(np.minimum(rows, others) * count + np.maximum(rows, others))
        progress(min(start + step, count), count)
    first, second = np.divmod(np.unique(np.concatenate(found)), max(count, 1))
    return first, second


def _nearest(rows: Indices, similarities: Floats) -> Indices:
    """Which of some neighbours are among the nearest of their row.

    Args:
        rows: (K,) rising.
        similarities: (K,) of each neighbour.
    """
    order = np.lexsort((-similarities, rows))
    starts = np.searchsorted(rows, rows)  # sorted by row first, so that the place in the order is the place in the row
    return order[np.arange(len(rows)) - starts < NEIGHBOURS]


class _Groups:
    """Groups while they are joined. A group has the number of one of its faces.

    Args:
        faces: All of them.
        is_start: (N,) which of them start as groups.
    """

    def __init__(self, faces: LooseFaces, is_start: Mask) -> None:
        self._faces = faces
        self._group_of = np.where(is_start, np.arange(len(faces)), -1)
        self._people = faces.people.tolist()
        self._sums = faces.embeddings.astype(np.float64)
        self._counts = np.ones(len(faces))
        self._pictures = [{picture} for picture in faces.pictures.tolist()]
        self._members = [[row] for row in range(len(faces))]
        self._neighbours: list[set[int]] = [set() for _ in range(len(faces))]
        self._versions = [0] * len(faces)
        first_of: dict[int, int] = {}
        for row in np.flatnonzero(faces.people >= 0).tolist():
            group = first_of.setdefault(self._people[row], row)
            if group != row:
                self._merge(group, row)
        self._lengths = np.linalg.norm(self._sums, axis=1) / self._counts

    def join(self, first: Indices, second: Indices, threshold: float) -> None:
        """Make one of the two groups that are most alike, until no two are alike enough.

        Args:
            first: (K,) faces.
            second: (K,) faces that they may belong to.
            threshold: How alike is alike enough.
        """
        one, other = self._group_of[first], self._group_of[second]
        pairs = {(min(a, b), max(a, b)) for a, b in zip(one.tolist(), other.tolist(), strict=True) if a != b}
        waiting: list[tuple[float, int, int, int, int]] = []
        for a, b in pairs:
            self._neighbours[a].add(b)
            self._neighbours[b].add(a)
        for a in {a for a, _ in pairs}:
            self._offer(waiting, a, [b for b in self._neighbours[a] if b > a], threshold)
        heapq.heapify(waiting)
        while waiting:
            _, a, b, version_of_a, version_of_b = heapq.heappop(waiting)
            if version_of_a != self._versions[a] or version_of_b != self._versions[b] or not self._may_join(a, b):
                continue
            if len(self._neighbours[a]) < len(self._neighbours[b]):
                a, b = b, a
            self._merge(a, b)
            self._lengths[a] = np.linalg.norm(self._sums[a]) / self._counts[a]
            fresh: list[tuple[float, int, int, int, int]] = []
            self._offer(fresh, a, list(self._neighbours[a]), threshold)
            for offer in fresh:
                heapq.heappush(waiting, offer)

    def attach(self, first: Indices, second: Indices, threshold: float) -> None:
        """Put faces that start no group into the group that each is most like; arguments as for `join`."""
        loose = np.concatenate([first, second])
        beside = np.concatenate([second, first])
        chosen = (self._group_of[loose] < 0) & (self._group_of[beside] >= 0)
        loose, groups = loose[chosen], self._group_of[beside[chosen]]
        alike = np.einsum("kd,kd->k", self._faces.embeddings[loose], self._sums[groups])
        alike /= self._counts[groups] * np.sqrt(self._lengths[groups])
        for place in np.argsort(-alike, kind="stable").tolist():
            if alike[place] < threshold:
                return
            row, group = int(loose[place]), int(groups[place])
            if self._group_of[row] < 0 and not self._pictures[group] & self._pictures[row]:
                self._group_of[row] = group
                self._pictures[group] |= self._pictures[row]

    def labels(self) -> Indices:
        """(N,) as of `group_faces`."""
        groups, first, counts = np.unique(self._group_of, return_index=True, return_counts=True)
        is_group = (groups >= 0) & ((counts > 1) | (np.array(self._people, np.intp)[groups] >= 0))
        numbers = np.full(len(groups), -1, np.intp)
        order = np.argsort(first[is_group], kind="stable")
        numbers[np.flatnonzero(is_group)[order]] = np.arange(len(order))
        return numbers[np.searchsorted(groups, self._group_of)]

    def _may_join(self, a: int, b: int) -> bool:
        strangers = self._people[a] >= 0 and self._people[b] >= 0
        return not strangers and self._pictures[a].isdisjoint(self._pictures[b])

    def _offer(
        self, waiting: list[tuple[float, int, int, int, int]], group: int, others: list[int], threshold: float
    ) -> None:
        """Put the pairs of a group with some others on the list, where they are alike enough."""
        alike = (self._sums[others] @ self._sums[group]) / (self._counts[others] * self._counts[group])
        alike /= np.sqrt(self._lengths[others] * self._lengths[group])
        for place in np.flatnonzero(alike >= threshold).tolist():
            other = others[place]
            waiting.append((-float(alike[place]), group, other, self._versions[group], self._versions[other]))

    def _merge(self, a: int, b: int) -> None:
        """Make one group of two, under the number of the first."""
        self._sums[a] += self._sums[b]
        self._counts[a] += self._counts[b]
        self._pictures[a] |= self._pictures[b]
        self._people[a] = max(self._people[a], self._people[b])
        self._members[a] += self._members[b]
        self._group_of[self._members[b]] = a
        self._members[b] = []
        for other in self._neighbours[b]:
            self._neighbours[other].discard(b)
            if other != a:
                self._neighbours[other].add(a)
                self._neighbours[a].add(other)
        self._neighbours[b] = set()
        self._versions[a] += 1
        self._versions[b] = -1
