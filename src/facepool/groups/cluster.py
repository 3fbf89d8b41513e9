"""Which faces belong together, without anybody's name: the rule by which photos are grouped.

1. Each face is compared with every other one, block by block, and its nearest neighbours are kept, see `near_pairs`.
2. Every clear face begins as a group of its own. Two groups that are most like each other become one, again and again,
   until no two are alike enough.
3. Faces that are not clear (small, blurred, half hidden) join the group that they are most like. They never start a
   group, and never make one of two.
4. All of it is done twice. The second time it is known which people there are, and a face that has much in common with
   all of them has to be more alike (score normalization, as ``facepool.search.normalization`` does it for a pool).

Two groups are as alike as the means of their faces are (the cosine), a little less where their faces differ much from
each other: a group of many faces then needs no face that is like all others, and one face that is like two people does
not make one of them. Two faces of one picture are two people, so groups that share a picture stay apart.

``benchmarks/grouping.py`` measures it; ``docs/adr/0048-photos-in-groups.md`` says what else was tried.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facepool.search.normalization import FEW_PEOPLE
from facepool.thresholds import Threshold, ThresholdPolicy
from facepool.types import Floats, Indices, Mask, counted, one_line

WRONGLY_JOINED = 0.004
"""Share of faces that may have the face of a stranger among those that are alike enough to join it."""
_LEAST_FACES = 50
"""Fewer faces give strangers no fewer chances: a threshold for ten would be below what two photos of siblings reach."""
NEIGHBOURS = 64
"""So many of the nearest faces are kept of each."""
_LOOSENESS = 0.75
"""0.5 would be the mean similarity of all pairs of faces and the cosine of the means, in equal parts; 1 the cosine."""
_COMMON = 1.25
"""How much what a face has in common with other people counts."""
_PRIOR_PEOPLE = 50.0
"""How many people, beyond those too few to know what is usual, it takes until half of that counts."""
_BEYOND_DOUBT = 0.1
"""How much more than enough it is beyond doubt: strangers get there a hundred times less often."""
_BELOW = 0.1
"""By how much the most similar pair of two groups may be less alike than the groups must be."""
_VALUES_AT_ONCE = 1 << 23
"""Similarities held at a time: 32 MiB."""
_PAIRS_AT_ONCE = 1 << 14
"""Pairs of groups compared at a time: their means take 32 MiB."""

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

    def joined(common: Floats) -> Indices:
        groups = _Groups(faces, is_start, common)
        groups.join(first[among], second[among], threshold)
        groups.attach(first[~among], second[~among], threshold)
        return groups.labels()

    return joined(_in_common(faces.embeddings, joined(np.zeros(len(faces), np.float32))))


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


def _in_common(embeddings: Floats, labels: Indices) -> Floats:
    """How much more alike each face is to the other people than faces usually are, as it counts.

    Args:
        embeddings: (N, D) float32.
        labels: (N,) who the people are; -1: each such face is one.

    Returns:
        (N,) float32, about -0.1..0.1; 0 among few people.
    """
    alone = labels < 0
    people = labels.copy()
    people[alone] = labels.max(initial=-1) + 1 + np.arange(np.count_nonzero(alone))
    count = int(people.max(initial=-1)) + 1
    more = max(0, count - FEW_PEOPLE)
    if not more:
        return np.zeros(len(labels), np.float32)
    means = np.zeros((count, embeddings.shape[1]))
    np.add.at(means, people, embeddings)
    means /= np.bincount(people)[:, None]
    own = np.einsum("nd,nd->n", embeddings, means[people])
    common = (embeddings @ means.sum(axis=0) - own) / (count - 1)
    usual = float((np.bincount(people, common) / np.bincount(people)).mean())
    return np.asarray((common - usual) * _COMMON * more / (more + _PRIOR_PEOPLE), np.float32)


class _Groups:
    """Groups while they are joined. A group has the number of one of its faces.

    Args:
        faces: All of them.
        is_start: (N,) which of them start as groups.
        common: (N,) what each has in common with other people, see `_in_common`.
    """

    def __init__(self, faces: LooseFaces, is_start: Mask, common: Floats) -> None:
        self._faces = faces
        self._own_common = common
        self._common = common.astype(np.float64)
        self._group_of = np.where(is_start, np.arange(len(faces)), -1)
        self._people = faces.people.copy()
        self._sums = faces.embeddings.astype(np.float64)
        self._counts = np.ones(len(faces), np.intp)
        self._pictures = [{picture} for picture in faces.pictures.tolist()]
        named = np.flatnonzero(faces.people >= 0)
        _, places = np.unique(faces.people[named], return_index=True)
        first_of = dict(zip(faces.people[named[places]].tolist(), named[places].tolist(), strict=True))
        into = np.array([first_of[person] for person in faces.people[named].tolist()], np.intp)
        for group, row in zip(into.tolist(), named.tolist(), strict=True):
            if group != row:
                self._merge(group, row)
        self._group_of[named] = into
        self._lengths = np.linalg.norm(self._sums, axis=1) / self._counts

    def join(self, first: Indices, second: Indices, threshold: float) -> None:
        """Make one of two groups that are most alike to each other, until no two are alike enough.

        Args:
            first: (K,) faces.
            second: (K,) faces that they may belong to.
            threshold: How alike is alike enough.
        """
        pairs = _pairs(self._group_of[first], self._group_of[second])
        alike = self._alike(*pairs)
        while True:
            places = _most_alike(*pairs, alike, threshold)
            if not len(places):
                return
            into = np.arange(len(self._counts))
            for place in places.tolist():
                one, other = _last(into, int(pairs[0][place])), _last(into, int(pairs[1][place]))
                if one == other:
                    continue
                if self._may_join(one, other):
                    self._merge(one, other)
                    into[other] = one
                else:
                    alike[place] = -np.inf
            while (further := into[into] != into).any():
                into[further] = into[into[further]]
            changed = np.flatnonzero(into != np.arange(len(into)))
            touched = np.zeros(len(into), bool)
            touched[into[changed]] = True
            self._lengths[into[changed]] = (
                np.linalg.norm(self._sums[into[changed]], axis=1) / self._counts[into[changed]]
            )
            self._group_of = np.where(self._group_of >= 0, into[self._group_of], -1)
            pairs, alike = self._followed(pairs, alike, into, touched)

    def attach(self, first: Indices, second: Indices, threshold: float) -> None:
        """Put faces that start no group into the group that each is most like; arguments as for `join`."""
        loose, beside = np.concatenate([first, second]), np.concatenate([second, first])
        chosen = (self._group_of[loose] < 0) & (self._group_of[beside] >= 0)
        loose, groups = _pairs_in_order(loose[chosen], self._group_of[beside[chosen]], len(self._counts))
        alike = np.einsum("kd,kd->k", self._faces.embeddings[loose], self._sums[groups])
        alike /= self._counts[groups] * self._lengths[groups] ** _LOOSENESS
        alike -= (self._own_common[loose] + self._common[groups] / self._counts[groups]) / 2
        for place in np.argsort(-alike, kind="stable").tolist():
            if alike[place] < threshold:
                return
            row, group = int(loose[place]), int(groups[place])
            if self._group_of[row] < 0 and self._pictures[group].isdisjoint(self._pictures[row]):
                self._group_of[row] = group
                self._pictures[group] |= self._pictures[row]

    def labels(self) -> Indices:
        """(N,) as of `group_faces`."""
        groups, first, counts = np.unique(self._group_of, return_index=True, return_counts=True)
        is_group = (groups >= 0) & ((counts > 1) | (self._people[groups] >= 0))
        numbers = np.full(len(groups), -1, np.intp)
        order = np.argsort(first[is_group], kind="stable")
        numbers[np.flatnonzero(is_group)[order]] = np.arange(len(order))
        return numbers[np.searchsorted(groups, self._group_of)]

    def _may_join(self, a: int, b: int) -> bool:
        strangers = self._people[a] >= 0 and self._people[b] >= 0
        return not strangers and self._pictures[a].isdisjoint(self._pictures[b])

    def _merge(self, a: int, b: int) -> None:
        """Add the second group to the first; whose faces are whose, and how long means are, is for the caller."""
        self._sums[a] += self._sums[b]
        self._counts[a] += self._counts[b]
        self._common[a] += self._common[b]
        self._people[a] = max(self._people[a], self._people[b])
        small, large = sorted((self._pictures[a], self._pictures[b]), key=len)
        large |= small
        self._pictures[a] = large

    def _alike(self, a: Indices, b: Indices) -> Floats:
        """(K,) how alike the groups of K pairs are."""
        alike = np.empty(len(a), np.float32)
        for start in range(0, len(a), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            one, other = a[part], b[part]
            products = np.einsum("kd,kd->k", self._sums[one], self._sums[other])
            products /= self._counts[one] * self._counts[other]
            products /= (self._lengths[one] * self._lengths[other]) ** _LOOSENESS
            alike[part] = (
                products - (self._common[one] / self._counts[one] + self._common[other] / self._counts[other]) / 2
            )
        return alike

    def _followed(
        self, pairs: tuple[Indices, Indices], alike: Floats, into: Indices, touched: Mask
    ) -> tuple[tuple[Indices, Indices], Floats]:
        """The pairs after some groups became one, and how alike they are now.

        Args:
            pairs: (K,) and (K,) groups.
            alike: (K,) how alike they were; minus infinity for those that may never be one.
            into: What has become of each group.
            touched: Which groups have others in them now.
        """
        one, other = into[pairs[0]], into[pairs[1]]
        stale = touched[one] | touched[other]
        still = ~stale & (alike > -np.inf)
        fresh = _pairs(one[stale], other[stale])
        followed = np.concatenate([one[still], fresh[0]]), np.concatenate([other[still], fresh[1]])
        return followed, np.concatenate([alike[still], self._alike(*fresh)])


def _pairs(a: Indices, b: Indices) -> tuple[Indices, Indices]:
    """Pairs of two different numbers, the smaller one first, each once."""
    apart = a != b
    low, high = np.minimum(a[apart], b[apart]), np.maximum(a[apart], b[apart])
    return _pairs_in_order(low, high, int(high.max(initial=0)) + 1)


def _pairs_in_order(a: Indices, b: Indices, end: int) -> tuple[Indices, Indices]:
    """Each pair once, in rising order; no number is ``end`` or above."""
    first, second = np.divmod(np.unique(a * end + b), end)
    return first, second


def _last(into: Indices, group: int) -> int:
    """What has become of a group, step by step."""
    while into[group] != group:
        group = int(into[group])
    return group


def _most_alike(a: Indices, b: Indices, alike: Floats, threshold: float) -> Indices:
    """Places of pairs that may become one in a round: those of which neither group is more like another.

    Where two groups are alike beyond doubt, it is enough that one of them is not more like another: many faces join a
    large group in one round.
    """
    enough = np.flatnonzero(alike >= threshold)
    order = enough[np.argsort(-alike[enough], kind="stable")]
    both = np.stack([a[order], b[order]], axis=1).ravel()  # the best pair of each group is where it comes first
    best = np.unique(both, return_index=True)[1] // 2
    places, times = np.unique(best, return_counts=True)
    return np.asarray(order[places[(times > 1) | (alike[order[places]] >= threshold + _BEYOND_DOUBT)]], np.intp)
