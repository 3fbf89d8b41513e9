"""Intervals by bootstrap over people."""

import numpy as np
import pytest

from facepool.errors import InvalidScores, NotEnoughScores
from facepool.evaluation.bootstrap import (
    draws,
    identification_intervals,
    percentiles,
    rate_interval,
    verification_intervals,
)
from facepool.evaluation.metrics import Values, error_rates, fold_accuracy
from facepool.types import Indices, Mask

Trial = tuple[Values, Mask, Indices, Indices]


def trial(people: int, seed: int, *, each: int = 3, spread: float = 0.08) -> Trial:
    """Pairs of people some of whom are hard to match."""
    random = np.random.default_rng(seed)
    own = random.normal(0.6, spread, people)
    genuine = np.repeat(np.arange(people), each)
    a = np.concatenate([genuine, random.integers(people, size=4 * people)])
    b = np.concatenate([genuine, (a[len(genuine) :] + random.integers(1, people, 4 * people)) % people])
    same = a == b
    similarities = np.where(same, own[a], 0.1) + random.normal(0, 0.08, len(a))
    return similarities, same, a, b


def test_each_draw_has_as_many_people_as_there_are() -> None:
    drawn = list(draws(50, 20, seed=1))
    assert {float(times.sum()) for times in drawn} == {50.0}
    assert not np.array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn, list(draws(50, 20, seed=1)))
    assert list(draws(1, 20, seed=1)) == []


def test_a_rate_over_independent_people_has_the_interval_of_the_binomial() -> None:
    wrong = np.arange(400) < 80
    interval = rate_interval(wrong, np.arange(400), replicates=2000)
    deviation = np.sqrt(0.2 * 0.8 / 400)
    assert interval.low == pytest.approx(0.2 - 1.96 * deviation, abs=0.006)
    assert interval.high == pytest.approx(0.2 + 1.96 * deviation, abs=0.006)


def test_the_same_trials_of_fewer_people_tell_less() -> None:
    wrong = np.arange(400) < 80
    of_many, of_few = rate_interval(wrong, np.arange(400)), rate_interval(wrong, np.arange(400) // 20)
    assert of_few.high - of_few.low > 2 * (of_many.high - of_many.low)


def test_no_error_among_a_hundred_people_excludes_rates_above_three_and_a_half_percent() -> None:
    interval = rate_interval(np.zeros(300, bool), np.arange(300) // 3)
    assert interval.low == 0
    assert interval.high == pytest.approx(0.0362, abs=1e-4)
    assert rate_interval(np.ones(300, bool), np.arange(300) // 3).low == pytest.approx(1 - 0.0362, abs=1e-4)


def test_one_person_gives_no_interval() -> None:
    assert not rate_interval(np.array([True, False]), ["Ann", "Ann"]).known
    assert not percentiles([]).known
    assert not percentiles([np.nan, np.nan, 0.5]).known
    assert percentiles([np.nan, 0.4, 0.5]).known


def test_intervals_hold_the_figures_they_belong_to() -> None:
    similarities, same, a, b = trial(100, seed=0)
    fold = a % 10
    intervals = verification_intervals(similarities, same, a, b, (0.1, 0.01), fold_of=fold, replicates=100)
    rates = error_rates(similarities[same], similarities[~same])
    assert intervals.eer.low <= rates.equal_error().rate <= intervals.eer.high
    assert intervals.accuracy is not None
    assert intervals.accuracy.low <= fold_accuracy(similarities, same, fold).mean <= intervals.accuracy.high
    for fmr in (0.1, 0.01):
        assert intervals.tar_at_fmr[fmr].low <= rates.at(fmr).tar <= intervals.tar_at_fmr[fmr].high
    assert (intervals.people, intervals.replicates) == (100, 100)


def test_a_replicate_is_the_figure_of_pairs_repeated_as_often_as_their_people_were_drawn() -> None:
    similarities, same, a, b = trial(30, seed=3, spread=0.3)
    tars = []
    for times in draws(30, 40, seed=7):
        count = np.where(same, times[a], times[a] * times[b]).astype(np.intp)
        repeated, kind = np.repeat(similarities, count), np.repeat(same, count)
        tars.append(error_rates(repeated[kind], repeated[~kind]).at(0.05).tar)
    found = verification_intervals(similarities, same, a, b, (0.05,), replicates=40, seed=7)
    tar = found.tar_at_fmr[0.05]
    assert (tar.low, tar.high) == pytest.approx(tuple(np.quantile(tars, (0.025, 0.975))))


def test_a_weight_is_as_many_pairs() -> None:
    similarities, same, a, b = trial(30, seed=4, spread=0.3)
    weights = np.where(same, 1, np.arange(len(same)) % 3 + 1)
    rows = np.repeat(np.arange(len(same)), weights)
    weighted = verification_intervals(
        similarities, same, a, b, (0.05,), weights=weights.astype(np.float64), replicates=30
    )
    repeated = verification_intervals(similarities[rows], same[rows], a[rows], b[rows], (0.05,), replicates=30)
    assert (weighted.eer.low, weighted.eer.high) == pytest.approx((repeated.eer.low, repeated.eer.high))
    assert repr(weighted.tar_at_fmr) == repr(repeated.tar_at_fmr)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    similarities, same, _, _ = trial(20_000, seed=5)
    truth = error_rates(similarities[same], similarities[~same]).at(0.01).tar
    hits = 0
    for seed in range(60):
        interval = verification_intervals(*trial(80, seed=100 + seed), (0.01,), replicates=100).tar_at_fmr[0.01]
        hits += interval.low <= truth <= interval.high
    assert hits >= 53  # 95 % of 60 is 57; people who were drawn twice make such intervals rather too wide


def test_two_people_are_too_few_to_say() -> None:
    intervals = verification_intervals(
        np.array([0.9, 0.1]), np.array([True, False]), ["Ann", "Ann"], ["Ann", "Ann"], (0.1,)
    )
    assert not intervals.eer.known
    assert not intervals.tar_at_fmr[0.1].known


def test_identification_draws_registered_people_and_strangers() -> None:
    random = np.random.default_rng(0)
    right = random.normal(0.6, 0.15, 300)
    mated = np.where(right > 0.2, right, -np.inf)  # somebody else is nearer
    strangers, people = random.normal(0.3, 0.05, 200), np.arange(300) // 3
    found = identification_intervals(mated, strangers, people, np.arange(200), (0.1, 0.01), replicates=200)
    for fpir in (0.1, 0.01):
        point = error_rates(mated, strangers).at(fpir)
        assert found.fnir_at_fpir[fpir].low <= point.misses <= found.fnir_at_fpir[fpir].high
    assert found.rank_one.low < 1
    assert (found.mated_people, found.stranger_people) == (100, 200)
    alone = identification_intervals(mated, strangers[:1], people, ["Zoe"], (0.1,))
    assert not alone.rank_one.known
    assert not alone.fnir_at_fpir[0.1].known


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidScores):
        rate_interval(np.zeros(3, bool), np.arange(2))
    with pytest.raises(InvalidScores):
        verification_intervals(np.zeros(3), np.ones(3, bool), np.arange(3), np.arange(2), (0.1,))
    with pytest.raises(NotEnoughScores):
        verification_intervals(np.zeros(3), np.ones(3, bool), np.arange(3), np.arange(3), (0.1,))
