"""Intervals by bootstrap over people.

Comparisons of one person are not independent: a face that is hard to match fails again and again. So people are
drawn with replacement, not comparisons. A comparison within a person counts as often as the person was drawn, one
between two people as often as the product of both (the pigeonhole bootstrap, Owen 2007), and the figure is taken
again, threshold and all. Percentile intervals.

Where nothing went wrong, every replicate says so too, and percentiles would claim certainty. There the bound is the
exact binomial one (Clopper and Pearson 1934) for as many trials as there are people: no error among 100 people
excludes rates above 3.6 %, at a level of 95 %. Where there are too few people for any of this, the ends are NaN.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facepool.errors import InvalidScores
from facepool.evaluation.metrics import Folds
from facepool.evaluation.open_set import MatedSearches
from facepool.evaluation.ranking import Ranking, Rates, Scores, Values
from facepool.types import Indices, Mask

REPLICATES = 500
LEVEL = 0.95

People = Sequence[str] | npt.NDArray[np.str_] | npt.NDArray[np.integer]
"""Who: names or numbers. Numbers are faster."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a figure would lie if other people of the same kind had taken part.

    Attributes:
        low: Lower end; NaN where too few people took part to say.
        high: Upper end; NaN likewise.
        level: Share of such intervals that hold the true figure, 0.95 by default.
    """

    low: float
    high: float
    level: float = LEVEL

    @property
    def known(self) -> bool:
        """Whether enough people took part."""
        return not math.isnan(self.low)


@dataclass(frozen=True, slots=True)
class VerificationIntervals:
    """Intervals of the figures of ``facepool.evaluation.metrics``.

    Attributes:
        accuracy: Of the folds' mean; None where there are no folds.
        eer: Of the equal error rate.
        tar_at_fmr: False match rate to the interval of the TAR, thresholds chosen anew each time.
        threshold_at_fmr: False match rate to the interval of its threshold.
        people: How many people were drawn from.
        replicates: How many times.
    """

    accuracy: Interval | None
    eer: Interval
    tar_at_fmr: dict[float, Interval]
    threshold_at_fmr: dict[float, Interval]
    people: int
    replicates: int


@dataclass(frozen=True, slots=True)
class IdentificationIntervals:
    """Intervals of the figures of ``facepool.evaluation.open_set``, for the gallery as it is.

    Attributes:
        rank_one: Of the share of probes that are nearest to the right person.
        fnir_at_fpir: False positive identification rate to the interval of the FNIR, thresholds chosen anew each time.
        threshold_at_fpir: False positive identification rate to the interval of its threshold.
        mated_people: How many registered people were drawn from.
        stranger_people: How many strangers.
        replicates: How many times.
    """

    rank_one: Interval
    fnir_at_fpir: dict[float, Interval]
    threshold_at_fpir: dict[float, Interval]
    mated_people: int
    stranger_people: int
    replicates: int


def draws(count: int, replicates: int, seed: int) -> Iterator[Values]:
    """How often each of so many people is drawn: (count,) a replicate, adding up to count. Same seed, same draws.

    Nothing comes of fewer than two people: they would be the same in each replicate, as if there were no doubt.
    """
    random = np.random.default_rng(seed)
    for _ in range(replicates if count > 1 else 0):
        yield np.bincount(random.integers(count, size=count), minlength=count).astype(np.float64)


def percentiles(samples: Sequence[float] | Values, level: float, people: int | None = None) -> Interval:
    """The interval of a figure's replicates.

    Args:
        samples: One a replicate; NaN where a replicate had nothing to measure.
        level: Above 0 and below 1.
        people: For a rate, the number of people that it is over: an interval that is all 0 or all 1 gets the exact
            binomial bound. None for what is no rate.

    Returns:
        Ends of NaN where there is no replicate, or more than half of them measured nothing.
    """
    values = np.asarray(samples, np.float64)
    values = values[~np.isnan(values)]
    if 2 * len(values) < len(samples) or not len(values):
        return Interval(math.nan, math.nan, level)
    low, high = (float(end) for end in np.quantile(values, ((1 - level) / 2, (1 + level) / 2)))
    bound = 1 - ((1 - level) / 2) ** (1 / people) if people else 0.0
    if low == high == 1.0:
        low -= bound
    elif low == high == 0.0:
        high += bound
    return Interval(low, high, level)


def rate_interval(
    wrong: Mask, people: People, *, replicates: int = REPLICATES, seed: int = 0, level: float = LEVEL
) -> Interval:
    """The interval of a plain rate: the share of rows that are true.

    Args:
        wrong: (N,) whether a trial went wrong (or right).
        people: (N,) whose trial it is.
        replicates: How many times people are drawn.
        seed: Of the draws.
        level: See ``Interval``.

    Raises:
        InvalidScores: The columns have different lengths.
    """
    _check_columns(len(wrong), people)
    names, person = np.unique(np.asarray(people), return_inverse=True)
    trials = np.bincount(person, minlength=len(names)).astype(np.float64)
    errors = np.bincount(person, weights=np.asarray(wrong, np.float64), minlength=len(names))
    rates = [float(drawn @ errors / (drawn @ trials)) for drawn in draws(len(names), replicates, seed)]
    return percentiles(rates, level, len(names))


def verification_intervals(
    similarities: Scores,
    same: Mask,
    person_a: People,
    person_b: People,
    fmrs: Sequence[float],
    *,
    fold_of: Indices | None = None,
    weights: Values | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = LEVEL,
) -> VerificationIntervals:
    """Intervals of EER, TAR and accuracy.

    Args:
        similarities: (P,) of all pairs.
        same: (P,) whether a pair shows one person.
        person_a: (P,) who is on the first picture.
        person_b: (P,) who is on the second.
        fmrs: False match rates to take the TAR at.
        fold_of: (P,) number of the fold; None where the protocol has none.
        weights: (P,) how many pairs each one stands for, see ``all_pairs``; None: one. Not together with folds.
        replicates: How many times people are drawn.
        seed: Of the draws.
        level: See ``Interval``.

    Raises:
        NotEnoughScores: One kind of pair is missing.
        InvalidScores: A similarity is NaN or infinitely high, or columns have different lengths.
    """
    count = len(similarities)
    _check_columns(count, same, person_a, person_b)
    names, numbers = np.unique(np.concatenate([np.asarray(person_a), np.asarray(person_b)]), return_inverse=True)
    pairs = _Pairs(np.asarray(similarities), np.asarray(same, np.bool_), numbers[:count], numbers[count:], weights)
    folds = None if fold_of is None else Folds(similarities, same, fold_of)
    rows: list[list[float]] = []
    accuracies: list[float] = []
    for drawn in draws(len(names), replicates, seed):
        rates = pairs.rates(drawn)
        rows.append([rates.equal_error()[0] if rates.usable else np.nan, *_points(rates, fmrs)])
        if folds is not None:
            accuracies.append(_mean(folds.judge(pairs.times(drawn))[0]))
    columns = _columns(rows, fmrs)
    genuine_people = pairs.genuine_people
    return VerificationIntervals(
        accuracy=None if folds is None else percentiles(accuracies, level, len(names)),
        eer=percentiles(columns[0], level, genuine_people),
        tar_at_fmr=_intervals(fmrs, columns[1::2], level, genuine_people),
        threshold_at_fmr=_intervals(fmrs, columns[2::2], level, None),
        people=len(names),
        replicates=replicates,
    )


def identification_intervals(
    mated: MatedSearches,
    strangers: Scores,
    mated_people: People,
    stranger_people: People,
    fpirs: Sequence[float],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = LEVEL,
) -> IdentificationIntervals:
    """Intervals of FNIR and rank-1 over the people who are searched for; the gallery stays as it is.

    Args:
        mated: Probes of registered people.
        strangers: (N,) for each stranger's probe the similarity to whomever it is most like.
        mated_people: (M,) whose probe it is.
        stranger_people: (N,) likewise.
        fpirs: False positive identification rates to take the FNIR at.
        replicates: How many times people are drawn; registered people and strangers each among themselves.
        seed: Of the draws.
        level: See ``Interval``.

    Raises:
        NotEnoughScores: There is no probe of one kind.
        InvalidScores: A similarity is NaN or infinitely high, or columns have different lengths.
    """
    _check_columns(len(mated), mated_people)
    _check_columns(len(strangers), stranger_people)
    ranking = Ranking(mated.found, strangers)
    mated_names, mated_numbers = np.unique(np.asarray(mated_people), return_inverse=True)
    stranger_names, stranger_numbers = np.unique(np.asarray(stranger_people), return_inverse=True)
    replicates = replicates if len(mated_names) > 1 and len(stranger_names) > 1 else 0
    first = (mated.ranks == 1).astype(np.float64)
    rows: list[list[float]] = []
    both = zip(draws(len(mated_names), replicates, seed), draws(len(stranger_names), replicates, seed + 1), strict=True)
    for drawn_mated, drawn_strangers in both:
        times = drawn_mated[mated_numbers]
        rates = ranking.rates(times, drawn_strangers[stranger_numbers])
        rows.append([float(times @ first / times.sum()), *_points(rates, fpirs)])
    columns = _columns(rows, fpirs)
    return IdentificationIntervals(
        rank_one=percentiles(columns[0], level, len(mated_names)),
        fnir_at_fpir=_intervals(fpirs, 1.0 - columns[1::2], level, len(mated_names)),
        threshold_at_fpir=_intervals(fpirs, columns[2::2], level, None),
        mated_people=len(mated_names),
        stranger_people=len(stranger_names),
        replicates=replicates,
    )


class _Pairs:
    """Pairs in order of similarity, and how often each counts for a draw of people.

    Args:
        similarities: (P,).
        same: (P,).
        a: (P,) number of the person on the first picture.
        b: (P,) likewise on the second.
        weights: (P,) or None.
    """

    def __init__(self, similarities: Scores, same: Mask, a: Indices, b: Indices, weights: Values | None) -> None:
        # In order before they are ranked, since in order they are weighted fastest.
        genuine, impostor = (rows[np.argsort(similarities[rows])] for rows in map(np.flatnonzero, (same, ~same)))
        impostor = impostor[::-1]
        self._a, self._b = a, b
        self._ranking = Ranking(similarities[genuine], similarities[impostor])
        self._sides = [(a[rows], b[rows], None if weights is None else weights[rows]) for rows in (genuine, impostor)]

    @property
    def genuine_people(self) -> int:
        """How many people have a genuine pair."""
        return len(np.unique(self._sides[0][0]))

    def times(self, drawn: Values) -> Values:
        """(P,) how often each pair counts, in the order in which they were given."""
        return _times(drawn, self._a, self._b)

    def rates(self, drawn: Values) -> Rates:
        """Error rates of a draw."""
        genuine, impostor = (
            _times(drawn, a, b) if weights is None else _times(drawn, a, b) * weights for a, b, weights in self._sides
        )
        return self._ranking.rates(genuine, impostor)


def _times(drawn: Values, a: Indices, b: Indices) -> Values:
    once = drawn[a]
    return np.where(a == b, once, once * drawn[b])


def _points(rates: Rates, asked: Sequence[float]) -> list[float]:
    """TAR and threshold at each rate, one after the other; NaN where a replicate drew nobody of one kind."""
    if not rates.usable:
        return [np.nan] * (2 * len(asked))
    thresholds = [rates.threshold_at(rate) for rate in asked]
    return [figure for threshold in thresholds for figure in (1.0 - rates.fnmr(threshold), threshold)]


def _columns(rows: list[list[float]], asked: Sequence[float]) -> Values:
    """(1 + 2 per rate, replicates)."""
    return np.array(rows).reshape(len(rows), 1 + 2 * len(asked)).T


def _intervals(asked: Sequence[float], columns: Values, level: float, people: int | None) -> dict[float, Interval]:
    return {rate: percentiles(column, level, people) for rate, column in zip(asked, columns, strict=True)}


def _mean(accuracies: Values) -> float:
    """Over the folds that have a pair left."""
    left = accuracies[~np.isnan(accuracies)]
    return float(left.mean()) if len(left) else float("nan")


def _check_columns(count: int, *columns: People | Mask) -> None:
    if any(len(column) != count for column in columns):
        raise InvalidScores(
            "Columns of an evaluation disagree", why=f"they have {count} and {[len(column) for column in columns]} rows"
        )
