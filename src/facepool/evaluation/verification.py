"""Verification (1:1): from the faces of a pairs file, or of all pairs of a folder, to error rates.

N faces form N²/2 pairs, nearly all of different people and far from any threshold. Those that are most alike are kept
one by one, so that rates at strict thresholds are exact; the rest is sampled, each pair standing for many.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from facepool.errors import InvalidScores
from facepool.evaluation.bootstrap import (
    Interval,
    PersonOf,
    VerificationIntervals,
    rate_interval,
    verification_intervals,
)
from facepool.evaluation.embeddings import EvaluatedPictures
from facepool.evaluation.metrics import (
    NOT_ACQUIRED,
    DefaultThreshold,
    EqualError,
    ErrorCurve,
    FoldAccuracy,
    OperatingPoint,
    Scores,
    Values,
    error_rates,
    fold_accuracy,
)
from facepool.evaluation.protocols import Pairs
from facepool.thresholds import ThresholdPolicy
from facepool.types import Floats, Indices, Mask

FMRS = (1e-2, 1e-3, 1e-4)
YAW_EDGES = (0.0, 10.0, 20.0, 30.0, 45.0, float("inf"))
QUALITY_EDGES = (0.0, 20.0, 40.0, 60.0, 80.0, float("inf"))
MOST_PAIRS = 600_000
"""Impostor pairs, and genuine ones, that are kept: exact up to an FMR of 1.7 % among 30 million impostor pairs."""

_SAMPLED = 1 / 6  # share of the impostor pairs that is sampled
_BLOCK_VALUES = 1 << 22
_PREVIEWED = 2000  # faces that tell where about the cut lies


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Pairs of pictures, one row a pair.

    Attributes:
        first: (P,) rows of ``EvaluatedPictures``.
        second: (P,) likewise; of all pairs always the later one.
        same: (P,) whether both show one person.
        similarities: (P,) float32 in -1..1; ``NOT_ACQUIRED`` where a side has no face.
        weights: (P,) float64, how many pairs each one stands for: 1, but where all pairs of a folder are too many.
        fold_of: (P,) number of the fold; None where the protocol has none.
        left_out: Number of pairs left out because a picture is not there.
        exact_from: Impostor pairs at this similarity or above are all here; minus infinity where all are.
    """

    first: Indices
    second: Indices
    same: Mask
    similarities: Floats
    weights: Values
    fold_of: Indices | None = None
    left_out: int = 0
    exact_from: float = float("-inf")

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.same)

    @property
    def genuine(self) -> Floats:
        """Similarities of the pairs that show one person; they have equal weights."""
        return np.asarray(self.similarities[self.same])

    @property
    def impostor(self) -> Floats:
        """Similarities of the pairs that show two."""
        return np.asarray(self.similarities[~self.same])

    @property
    def genuine_count(self) -> int:
        """Number of pairs that show one person."""
        return round(float(self.weights[self.same].sum()))

    @property
    def impostor_count(self) -> int:
        """Number of pairs that show two."""
        return round(float(self.weights[~self.same].sum()))


@dataclass(frozen=True, slots=True)
class RangeErrors:
    """Misses of the genuine pairs whose measure, such as the yaw or the quality of a face, lies in one range.

    The fields are those of ``report.json``.

    Attributes:
        at_least: From here on.
        below: Up to here, exclusive.
        pairs: Number of pairs.
        people: How many people the pairs are about.
        fnmr: Share of them that is missed; NaN without a pair.
        interval: Of the rate, by bootstrap over people.
    """

    at_least: float
    below: float
    pairs: int
    people: int
    fnmr: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class VerificationResults:
    """1:1: of a pairs file or of all pairs of a folder.

    Attributes:
        pictures: The pictures.
        comparisons: The pairs.
        curve: Both errors at every threshold.
        eer: Where they are equal.
        points: TAR at the false match rates that were asked for.
        accuracy: Of the folds; None where the protocol has none.
        intervals: Of the figures above, by bootstrap over people.
        default: What ``facepool verify`` does here.
        by_pose: Misses at the default threshold by the larger yaw of a genuine pair's faces, in degrees to either side.
        by_quality: Likewise by the lesser of their qualities, 0..100.
    """

    pictures: EvaluatedPictures
    comparisons: Comparisons
    curve: ErrorCurve
    eer: EqualError
    points: tuple[OperatingPoint, ...]
    accuracy: FoldAccuracy | None
    intervals: VerificationIntervals
    default: DefaultThreshold
    by_pose: tuple[RangeErrors, ...]
    by_quality: tuple[RangeErrors, ...]


def evaluate_pairs(pairs: Pairs, pictures: EvaluatedPictures, policy: ThresholdPolicy) -> VerificationResults:
    """Error rates of the pairs of a list.

    Args:
        pairs: The list.
        pictures: A face of each of its pictures, row by row.
        policy: The threshold that ``facepool verify`` would use.

    Raises:
        NotEnoughScores: The list has no pair of one kind, or no face was found anywhere.
    """
    similarities = np.einsum("ij,ij->i", pictures.embeddings[pairs.first], pictures.embeddings[pairs.second])
    both = pictures.acquired[pairs.first] & pictures.acquired[pairs.second]
    comparisons = Comparisons(
        first=pairs.first,
        second=pairs.second,
        same=pairs.same,
        # Rounding takes the product of two unit vectors beyond 1 now and then.
        similarities=np.where(both, np.clip(similarities, -1, 1), np.float32(NOT_ACQUIRED)),
        weights=np.ones(len(pairs.same)),
        fold_of=pairs.fold_of,
        left_out=pairs.left_out,
    )
    return _verification(comparisons, pictures, policy)


def evaluate_all_pairs(pictures: EvaluatedPictures, policy: ThresholdPolicy) -> VerificationResults:
    """Error rates of every picture against every other one. Arguments and errors as ``evaluate_pairs``."""
    comparisons = all_pairs(pictures.embeddings, pictures.person_of, pictures.acquired)
    return _verification(comparisons, pictures, policy)


def _verification(
    comparisons: Comparisons, pictures: EvaluatedPictures, policy: ThresholdPolicy
) -> VerificationResults:
    genuine, weights = comparisons.genuine, comparisons.weights
    rates = error_rates(genuine, comparisons.impostor, weights[~comparisons.same])
    person_of = pictures.person_of
    threshold = policy.verification()
    folds = comparisons.fold_of
    # A genuine pair is as good as its worse face.
    first, second = comparisons.first[comparisons.same], comparisons.second[comparisons.same]
    yaws = np.maximum(np.abs(pictures.yaws[first]), np.abs(pictures.yaws[second]))
    qualities = np.minimum(pictures.qualities[first], pictures.qualities[second])
    missed = genuine < threshold.value
    return VerificationResults(
        pictures=pictures,
        comparisons=comparisons,
        curve=rates.curve(),
        eer=rates.equal_error(),
        points=tuple(rates.at(fmr) for fmr in FMRS),
        accuracy=None if folds is None else fold_accuracy(comparisons.similarities, comparisons.same, folds),
        intervals=verification_intervals(
            comparisons.similarities,
            comparisons.same,
            person_of[comparisons.first],
            person_of[comparisons.second],
            FMRS,
            fold_of=folds,
            weights=weights,
        ),
        default=rates.default(threshold),
        by_pose=misses_by_range(yaws, YAW_EDGES, missed, person_of[first]),
        by_quality=misses_by_range(qualities, QUALITY_EDGES, missed, person_of[first]),
    )


def misses_by_range(
    measures: Scores, edges: Sequence[float], missed: Mask, people: PersonOf
) -> tuple[RangeErrors, ...]:
    """Error rates by ranges of a measure.

    Args:
        measures: (N,) of each genuine pair; NaN where it is not known.
        edges: Rising, at least two: between each and the next lies a range. May be infinite.
        missed: (N,) whether a pair was missed.
        people: (N,) who it shows, for intervals.

    Returns:
        The ranges, in order; pairs whose measure is not known, or lies in no range, are in none.

    Raises:
        InvalidScores: The columns have different lengths.
    """
    people = np.asarray(people)
    if not len(measures) == len(missed) == len(people):
        raise InvalidScores("Columns of a breakdown disagree", why="they have different lengths")
    ranges = []
    for low, high in pairwise(edges):
        inside = (measures >= low) & (measures < high)
        fnmr = float(missed[inside].mean()) if inside.any() else float("nan")
        interval = rate_interval(missed[inside], people[inside])
        ranges.append(RangeErrors(low, high, int(inside.sum()), len(np.unique(people[inside])), fnmr, interval))
    return tuple(ranges)


def all_pairs(
    embeddings: Floats, people: Indices, acquired: Mask, *, most: int = MOST_PAIRS, seed: int = 0
) -> Comparisons:
    """Compare every face with every other one.

    Args:
        embeddings: (N, D) float32, L2 norm 1.
        people: (N,) number of the person of each face.
        acquired: (N,) whether there is a face; the embedding of a row without one does not matter.
        most: About how many pairs of each kind are kept. All are where there are not more.
        seed: Of the sample.

    Returns:
        The pairs that were kept, by their first and then their second face; none for fewer than two faces.
    """
    faces = np.unique(people, return_counts=True)[1]
    genuine = int((faces * (faces - 1) // 2).sum())
    impostors = len(people) * (len(people) - 1) // 2 - genuine
    random = np.random.default_rng(seed)
    kept = _KeptShares(-np.inf, min(1.0, most / max(1, genuine)), 0.0)
    if impostors > most:
        cut = _cut(embeddings, people, acquired, most * (1 - _SAMPLED) / impostors, random)
        kept = _KeptShares(cut, kept.genuine, most * _SAMPLED / impostors)
    size = max(1, _BLOCK_VALUES // max(1, len(people)))
    blocks = [
        (np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.float32)),
        *(
            _pick(embeddings, people, acquired, slice(at, at + size), kept, random)
            for at in range(0, len(people), size)
        ),
    ]
    first, second, similarities = (np.concatenate(column) for column in zip(*blocks, strict=True))
    same = people[first] == people[second]
    sampled = ~same & (similarities < kept.cut)
    weights = np.ones(len(same))
    weights[same] = genuine / max(1, int(same.sum()))
    weights[sampled] = (impostors - int((~same & ~sampled).sum())) / max(1, int(sampled.sum()))
    similarities[~(acquired[first] & acquired[second])] = NOT_ACQUIRED
    return Comparisons(first, second, same, similarities, weights, exact_from=kept.cut)


@dataclass(frozen=True, slots=True)
class _KeptShares:
    """Which pairs are kept.

    Attributes:
        cut: Impostor pairs at this similarity or above all are.
        genuine: Share of the genuine pairs.
        impostors: Share of the impostor pairs below the cut.
    """

    cut: float
    genuine: float
    impostors: float


def _cut(embeddings: Floats, people: Indices, acquired: Mask, share: float, random: np.random.Generator) -> float:
    """About the similarity that this share of the impostor pairs reaches, by those of some faces."""
    some = random.choice(len(people), min(_PREVIEWED, len(people)), replace=False)
    similarities = _compare(embeddings[some], acquired[some], slice(0, len(some)))
    values = similarities[people[some][:, None] != people[some]]
    return float(np.quantile(values, 1 - share)) if len(values) else -np.inf


def _compare(embeddings: Floats, acquired: Mask, rows: slice) -> Floats:
    """Similarities of some faces to themselves and all that follow; the least there is, -1, where one is missing."""
    similarities = embeddings[rows] @ embeddings[rows.start :].T
    similarities[~acquired[rows]] = -1.0
    similarities[:, ~acquired[rows.start :]] = -1.0
    return np.asarray(np.clip(similarities, -1.0, 1.0))


def _pick(
    embeddings: Floats, people: Indices, acquired: Mask, rows: slice, kept: _KeptShares, random: np.random.Generator
) -> tuple[Indices, Indices, Floats]:
    """First faces, second faces and similarities of the pairs that are kept, of some faces with all that follow."""
    similarities = _compare(embeddings, acquired, rows)
    same = people[rows][:, None] == people[rows.start :]
    later = np.arange(similarities.shape[1]) > np.arange(similarities.shape[0])[:, None]
    wanted = np.where(same, kept.genuine == 1.0, similarities >= kept.cut) & later
    spare = random.integers(similarities.size, size=random.binomial(similarities.size, kept.impostors))
    places = np.flatnonzero(wanted)
    if kept.impostors:
        places = np.union1d(places, spare[later.flat[spare] & ~same.flat[spare]])
    if kept.genuine < 1:
        genuine = np.flatnonzero(same & later)
        places = np.union1d(places, genuine[random.random(len(genuine)) < kept.genuine])
    first, second = np.divmod(places, similarities.shape[1])
    return first + rows.start, second + rows.start, similarities.reshape(-1)[places]
