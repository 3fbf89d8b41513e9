"""All pairs of many faces, in bounded memory.

N faces form N²/2 pairs, nearly all of different people and far from any threshold. Those that are most alike are
kept one by one, so that rates at strict thresholds are exact; the rest is sampled, each pair standing for many.
"""

from dataclasses import dataclass

import numpy as np

from facepool.evaluation.ranking import Values
from facepool.types import Floats, Indices, Mask

MOST_PAIRS = 600_000
"""Impostor pairs, and genuine ones, that are kept: exact up to an FMR of 1.7 % among 30 million impostor pairs."""
_SAMPLED = 1 / 6  # share of the impostor pairs that is sampled
_NOT_ACQUIRED = -1.0
_BLOCK_VALUES = 1 << 22
_GLANCE = 2000  # faces that tell where about the cut lies


@dataclass(frozen=True, slots=True)
class AllPairs:
    """Pairs of faces, one row a pair that was kept.

    Attributes:
        first: (K,) row of the first face.
        second: (K,) row of the second face, always the later one.
        same: (K,) whether both are of one person.
        similarities: (K,) float32; -1 where a face was not acquired.
        weights: (K,) float64, how many pairs each one stands for. They add up to the number of all pairs.
        exact_from: Impostor pairs at this similarity or above are all there; minus infinity: all of them are.
        genuine: Number of all genuine pairs.
        impostors: Number of all impostor pairs.
    """

    first: Indices
    second: Indices
    same: Mask
    similarities: Floats
    weights: Values
    exact_from: float
    genuine: int
    impostors: int

    def __len__(self) -> int:
        """Number of pairs that were kept."""
        return len(self.same)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which pairs are kept.

    Attributes:
        cut: Impostor pairs at this similarity or above all are.
        genuine: Share of the genuine pairs.
        impostors: Share of the impostor pairs below the cut.
        random: Decides.
    """

    cut: float
    genuine: float
    impostors: float
    random: np.random.Generator


def all_pairs(
    embeddings: Floats, people: Indices, acquired: Mask | None = None, *, most: int = MOST_PAIRS, seed: int = 0
) -> AllPairs:
    """Compare every face with every other one.

    Args:
        embeddings: (N, D) float32, L2 norm 1.
        people: (N,) number of the person of each face.
        acquired: (N,) whether there is a face; the embedding of a row without one does not matter. None: all.
        most: About how many pairs of each kind are kept. All are where there are not more.
        seed: Of the sample.

    Returns:
        The pairs that were kept, by their first and then their second face; none for fewer than two faces.
    """
    acquired = np.ones(len(people), np.bool_) if acquired is None else acquired
    genuine, impostors = _count(people)
    random = np.random.default_rng(seed)
    plan = _Plan(-np.inf, min(1.0, most / max(1, genuine)), 0.0, random)
    if impostors > most:
        cut = _cut(embeddings, people, acquired, most * (1 - _SAMPLED) / impostors, random)
        plan = _Plan(cut, plan.genuine, most * _SAMPLED / impostors, random)
    size = max(1, _BLOCK_VALUES // max(1, len(people)))
    kept = [
        _pick(embeddings, people, acquired, slice(start, start + size), plan) for start in range(0, len(people), size)
    ]
    first, second = (np.concatenate([np.zeros(0, np.intp), *(rows[side] for *rows, _ in kept)]) for side in (0, 1))
    similarities = np.concatenate([np.zeros(0, np.float32), *(values for *_, values in kept)])
    same = people[first] == people[second]
    weights = _weights(same, similarities >= plan.cut, genuine, impostors)
    return AllPairs(first, second, same, similarities, weights, plan.cut, genuine, impostors)


def _count(people: Indices) -> tuple[int, int]:
    """How many genuine and how many impostor pairs there are."""
    faces = np.unique(people, return_counts=True)[1]
    genuine = int((faces * (faces - 1) // 2).sum())
    return genuine, len(people) * (len(people) - 1) // 2 - genuine


def _cut(embeddings: Floats, people: Indices, acquired: Mask, share: float, random: np.random.Generator) -> float:
    """About the similarity that this share of the impostor pairs reaches, by a glance at some faces."""
    some = random.choice(len(people), min(_GLANCE, len(people)), replace=False)
    similarities = _compare(embeddings[some], acquired[some], slice(0, len(some)))
    values = similarities[people[some][:, None] != people[some]]
    return float(np.quantile(values, 1 - share)) if len(values) else -np.inf


def _compare(embeddings: Floats, acquired: Mask, rows: slice) -> Floats:
    """Similarities of some faces to themselves and all that follow."""
    similarities = embeddings[rows] @ embeddings[rows.start :].T
    similarities[~acquired[rows]] = _NOT_ACQUIRED
    similarities[:, ~acquired[rows.start :]] = _NOT_ACQUIRED
    return np.asarray(np.clip(similarities, -1.0, 1.0))


def _pick(
    embeddings: Floats, people: Indices, acquired: Mask, rows: slice, plan: _Plan
) -> tuple[Indices, Indices, Floats]:
    """First faces, second faces and similarities of the pairs that are kept, of some faces with all that follow."""
    similarities = _compare(embeddings, acquired, rows)
    same = people[rows][:, None] == people[rows.start :]
    later = np.arange(similarities.shape[1]) > np.arange(similarities.shape[0])[:, None]
    wanted = np.where(same, plan.genuine == 1.0, similarities >= plan.cut) & later
    spare = plan.random.integers(similarities.size, size=plan.random.binomial(similarities.size, plan.impostors))
    places = np.flatnonzero(wanted)
    if plan.impostors:
        places = np.union1d(places, spare[later.flat[spare] & ~same.flat[spare]])
    if plan.genuine < 1:
        genuine = np.flatnonzero(same & later)
        places = np.union1d(places, genuine[plan.random.random(len(genuine)) < plan.genuine])
    first, second = np.divmod(places, similarities.shape[1])
    return first + rows.start, second + rows.start, similarities.reshape(-1)[places]


def _weights(same: Mask, exact: Mask, genuine: int, impostors: int) -> Values:
    """What each kept pair stands for."""
    above, rest = ~same & exact, ~same & ~exact
    weights = np.ones(len(same))
    weights[same] = genuine / max(1, int(same.sum()))
    weights[rest] = (impostors - int(above.sum())) / max(1, int(rest.sum()))
    return weights
