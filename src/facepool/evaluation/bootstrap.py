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
from typing import Any

import numpy as np
import numpy.typing as npt

from facepool.errors import InvalidScores
from facepool.evaluation.metrics import Folds, Ranking, Rates, Scores, Values
from facepool.types import Indices, Mask

REPLICATES = 500
LEVEL = 0.95

PersonOf = Sequence[str] | npt.NDArray[Any]
"""Who each row is about: names or numbers. Numbers are faster."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a figure would lie if other people of the same kind had taken part, in 95 of 100 such intervals.

    Attributes:
        low: Lower end; NaN where too few people took part to say.
        high: Upper end; NaN likewise.
    """

    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether enough people took part."""
        return not math.isnan(self.low)


@dataclass(frozen=True, slots=True)
class VerificationIntervals:
    """Intervals of the figures of a verification run.

    Attributes:
        accuracy: Of the folds' mean; None where there are no folds.
        eer: Of the equal error rate.
        tar_at_fmr: False match rate to the interval of the TAR, thresholds chosen anew each time.
        people: How many people were drawn from.
        replicates: How many times.
    """

    accuracy: Interval | None
    eer: Interval
    tar_at_fmr: dict[float, Interval]
    people: int
    replicates: int


@dataclass(frozen=True, slots=True)
class IdentificationIntervals:
    """Intervals of the figures of an identification run, for the gallery as it is.

    Attributes:
        rank_one: Of the share of probes that are nearest to the right person.
        fnir_at_fpir: False positive identification rate to the interval of the FNIR, thresholds chosen anew each time.
        mated_people: How many registered people were drawn from.
        stranger_people: How many strangers.
        replicates: How many times.
    """

    rank_one: Interval
    fnir_at_fpir: dict[float, Interval]
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


def percentiles(samples: Sequence[float] | Values, people: int | None = None) -> Interval:
    """The interval of a figure's replicates.

    Args:
        samples: One a replicate; NaN where a replicate had nothing to measure.
        people: For a rate, the number of people that it is over: an interval that is all 0 or all 1 gets the exact
            binomial bound. None for what is no rate.

    Returns:
        Ends of NaN where there is no replicate, or more than half of them measured nothing.
    """
    values = np.asarray(samples, np.float64)
    values = values[~np.isnan(values)]
    if 2 * len(values) < len(samples) or not len(values):
        return Interval(math.nan, math.nan)
    low, high = (float(end) for end in np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)))
    bound = 1 - ((1 - LEVEL) / 2) ** (1 / people) if people else 0.0
    if low == high == 1.0:
        low -= bound
    elif low == high == 0.0:
        high += bound
    return Interval(low, high)


def rate_interval(wrong: Mask, people: PersonOf, *, replicates: int = REPLICATES, seed: int = 0) -> Interval:
    """The interval of a plain rate: the share of rows that are true.

    Args:
        wrong: (N,) whether a trial went wrong (or right).
        people: (N,) whose trial it is.
        replicates: How many times people are drawn.
        seed: Of the draws.

    Raises:
        InvalidScores: The columns have different lengths.
    """
    _check_columns(len(wrong), people)
    names, person = np.unique(np.asarray(people), return_inverse=True)
    trials = np.bincount(person, minlength=len(names)).astype(np.float64)
    errors = np.bincount(person, weights=np.asarray(wrong, np.float64), minlength=len(names))
    rates = [float(drawn @ errors / (drawn @ trials)) for drawn in draws(len(names), replicates, seed)]
    return percentiles(rates, len(names))


def verification_intervals(
    similarities: Scores,
    same: Mask,
    person_a: PersonOf,
    person_b: PersonOf,
    fmrs: Sequence[float],
    *,
    fold_of: Indices | None = None,
    weights: Values | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> VerificationIntervals:
    """Intervals of EER, TAR and accuracy.

    Args:
        similarities: (P,) of all pairs.
        same: (P,) whether a pair shows one person.
        person_a: (P,) who is on the first picture.
        person_b: (P,) who is on the second.
        fmrs: False match rates to take the TAR at.
        fold_of: (P,) number of the fold; None where the protocol has none.
        weights: (P,) how many pairs each one stands for; None: one. Not together with folds.
        replicates: How many times people are drawn.
        seed: Of the draws.

    Raises:
        NotEnoughScores: One kind of pair is missing.
        InvalidScores: A similarity is NaN or infinitely high, or columns have different lengths.
    """
    count = len(similarities)
    _check_columns(count, same, person_a, person_b)
    names, numbers = np.unique(np.concatenate([np.asarray(person_a), np.asarray(person_b)]), return_inverse=True)
    a, b = numbers[:count], numbers[count:]
    same, weights = np.asarray(same, np.bool_), np.ones(count) if weights is None else weights
    # The pairs are put in order before they are ranked, because in order they are weighted fastest.
    genuine, impostor = (rows[np.argsort(similarities[rows])] for rows in map(np.flatnonzero, (same, ~same)))
    impostor = impostor[::-1]
    ranking = Ranking(similarities[genuine], similarities[impostor])
    folds = None if fold_of is None else Folds(similarities, same, fold_of)
    errors, accuracies = [], []
    for drawn in draws(len(names), replicates, seed):
        rates = ranking.rates(*(_times(drawn, a[rows], b[rows]) * weights[rows] for rows in (genuine, impostor)))
        errors.append([rates.equal_error().rate if rates.usable else math.nan, *_misses_at(rates, fmrs)])
        if folds is not None:
            accuracies.append(_mean(folds.judge(_times(drawn, a, b))[0]))
    columns = np.array(errors).reshape(len(errors), 1 + len(fmrs)).T
    genuine_people = len(np.unique(a[genuine]))
    return VerificationIntervals(
        accuracy=None if folds is None else percentiles(accuracies, len(names)),
        eer=percentiles(columns[0], genuine_people),
        tar_at_fmr=_by_rate(fmrs, 1.0 - columns[1:], genuine_people),
        people=len(names),
        replicates=replicates,
    )


def identification_intervals(
    mated: Scores,
    strangers: Scores,
    mated_people: PersonOf,
    stranger_people: PersonOf,
    fpirs: Sequence[float],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> IdentificationIntervals:
    """Intervals of FNIR and rank 1 over the people who are searched for; the gallery stays as it is.

    Args:
        mated: (M,) for each probe of a registered person the similarity to themselves; minus infinity where somebody
            else is nearer.
        strangers: (N,) for each stranger's probe the similarity to the person that it is most like.
        mated_people: (M,) whose probe it is.
        stranger_people: (N,) likewise.
        fpirs: False positive identification rates to take the FNIR at.
        replicates: How many times people are drawn; registered people and strangers each among themselves.
        seed: Of the draws.

    Raises:
        NotEnoughScores: There is no probe of one kind.
        InvalidScores: A similarity is NaN or infinitely high, or columns have different lengths.
    """
    _check_columns(len(mated), mated_people)
    _check_columns(len(strangers), stranger_people)
    ranking = Ranking(mated, strangers)
    mated_names, mated_numbers = np.unique(np.asarray(mated_people), return_inverse=True)
    stranger_names, stranger_numbers = np.unique(np.asarray(stranger_people), return_inverse=True)
    replicates = replicates if len(mated_names) > 1 and len(stranger_names) > 1 else 0
    first = np.isfinite(mated).astype(np.float64)
    errors = []
    both = zip(draws(len(mated_names), replicates, seed), draws(len(stranger_names), replicates, seed + 1), strict=True)
    for drawn_mated, drawn_strangers in both:
        times = drawn_mated[mated_numbers]
        rates = ranking.rates(times, drawn_strangers[stranger_numbers])
        errors.append([float(times @ first / times.sum()), *_misses_at(rates, fpirs)])
    columns = np.array(errors).reshape(len(errors), 1 + len(fpirs)).T
    return IdentificationIntervals(
        rank_one=percentiles(columns[0], len(mated_names)),
        fnir_at_fpir=_by_rate(fpirs, columns[1:], len(mated_names)),
        mated_people=len(mated_names),
        stranger_people=len(stranger_names),
        replicates=replicates,
    )


def _times(drawn: Values, a: Indices, b: Indices) -> Values:
    """How often pairs count, of people a and b who were drawn so often."""
    once = drawn[a]
    return np.where(a == b, once, once * drawn[b])


def _misses_at(rates: Rates, asked: Sequence[float]) -> list[float]:
    """Misses at each rate of false matches; NaN where a replicate drew nobody of one kind."""
    if not rates.usable:
        return [math.nan] * len(asked)
    return [rates.misses(rates.threshold_at(rate)) for rate in asked]


def _by_rate(asked: Sequence[float], columns: Values, people: int) -> dict[float, Interval]:
    return {rate: percentiles(column, people) for rate, column in zip(asked, columns, strict=True)}


def _mean(accuracies: Values) -> float:
    """Over the folds that have a pair left."""
    left = accuracies[~np.isnan(accuracies)]
    return float(left.mean()) if len(left) else math.nan


def _check_columns(count: int, *columns: PersonOf) -> None:
    if any(len(column) != count for column in columns):
        raise InvalidScores(
            "Columns of an evaluation disagree", why=f"they have {count} and {[len(column) for column in columns]} rows"
        )
