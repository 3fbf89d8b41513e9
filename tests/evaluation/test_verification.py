"""All pairs of many faces: what is kept, and what it stands for. Error rates by ranges of a measure, by hand."""

import numpy as np
import pytest

from facepool.errors import InvalidScores
from facepool.evaluation import verification as module
from facepool.evaluation.metrics import NOT_ACQUIRED, error_rates
from facepool.evaluation.verification import Comparisons, all_pairs, misses_by_range
from facepool.types import Floats, Indices


def faces(count: int, people: int, seed: int = 0) -> tuple[Floats, Indices]:
    random = np.random.default_rng(seed)
    person = random.integers(people, size=count)
    vectors = random.normal(size=(people, 16))[person] + 0.6 * random.normal(size=(count, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), person


def compared(vectors: Floats, person: Indices, most: int = 10**9, seed: int = 0) -> Comparisons:
    return all_pairs(vectors, person, np.ones(len(person), np.bool_), most=most, seed=seed)


def test_a_few_faces_are_all_compared_once() -> None:
    vectors, person = faces(7, 3)
    pairs = compared(vectors, person)
    assert sorted(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [
        (first, second) for first in range(7) for second in range(first + 1, 7)
    ]
    np.testing.assert_array_equal(pairs.same, person[pairs.first] == person[pairs.second])
    expected = np.clip(np.einsum("ij,ij->i", vectors[pairs.first], vectors[pairs.second]), -1, 1)
    np.testing.assert_allclose(pairs.similarities, expected, atol=1e-6)
    assert set(pairs.weights) == {1.0}
    assert pairs.genuine_count + pairs.impostor_count == len(pairs) == 21


def test_no_face_or_one_has_no_pair() -> None:
    assert len(compared(np.zeros((0, 4), np.float32), np.zeros(0, np.intp))) == 0
    assert len(compared(np.eye(4, dtype=np.float32)[:1], np.zeros(1, np.intp))) == 0


def test_a_picture_without_a_face_is_like_nothing() -> None:
    vectors, person = faces(6, 2)
    pairs = all_pairs(vectors, person, np.arange(6) != 2)
    without = (pairs.first == 2) | (pairs.second == 2)
    assert (pairs.similarities[without] == NOT_ACQUIRED).all()
    assert (pairs.similarities[~without] > -1).all()


@pytest.mark.parametrize("block", [1 << 22, 1000])
def test_of_many_pairs_the_most_alike_are_all_kept_and_the_rest_is_stood_for(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK_VALUES", block)
    vectors, person = faces(600, 200)
    full, some = compared(vectors, person), compared(vectors, person, most=20_000)
    assert len(full) == 600 * 599 / 2
    assert some.impostor_count == full.impostor_count
    assert some.weights.sum() == pytest.approx(len(full))
    assert 15_000 < (~some.same).sum() < 25_000
    above = full.similarities[~full.same] >= some.exact_from
    assert np.sort(some.similarities[~some.same & (some.similarities >= some.exact_from)]).tolist() == (
        np.sort(full.similarities[~full.same][above]).tolist()
    )
    exact_rates = error_rates(full.genuine, full.impostor)
    kept_rates = error_rates(some.genuine, some.impostor, some.weights[~some.same])
    for fmr in (0.0, 1e-3, 1e-2):
        exact, kept = exact_rates.at(fmr), kept_rates.at(fmr)
        assert kept.tar == exact.tar
        assert kept.threshold == exact.threshold
        assert kept.false_matches == pytest.approx(exact.false_matches)
        assert kept.impostors == exact.impostors
    assert kept_rates.equal_error().rate == pytest.approx(exact_rates.equal_error().rate, rel=0.1)


def test_of_many_pairs_of_few_people_a_sample_of_the_genuine_is_kept() -> None:
    vectors, person = faces(400, 2)
    some = compared(vectors, person, most=5000)
    assert 4500 < some.same.sum() < 5500
    same = np.triu(person[:, None] == person, 1).sum()
    assert some.weights[some.same].sum() == pytest.approx(same)
    assert some.weights[~some.same].sum() == pytest.approx(400 * 399 / 2 - same)


def test_the_same_seed_keeps_the_same_pairs() -> None:
    vectors, person = faces(300, 100)
    one, two = (compared(vectors, person, most=5000, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.first, two.first)
    np.testing.assert_array_equal(one.second, two.second)


def test_each_range_counts_its_own() -> None:
    measures = np.array([0.0, 14.9, 15.0, 40.0, np.nan, 95.0])
    wrong = np.array([False, True, True, False, True, True])
    ranges = misses_by_range(measures, (0, 15, 30, 60), wrong, np.arange(6))
    assert [(each.at_least, each.below, each.pairs, each.fnmr) for each in ranges] == [
        (0, 15, 2, 0.5),
        (15, 30, 1, 1.0),
        (30, 60, 1, 0.0),
    ]


def test_an_empty_range_has_no_rate_and_no_interval() -> None:
    (empty,) = misses_by_range(np.array([5.0]), (10, float("inf")), np.array([True]), ["Ann"])
    assert np.isnan(empty.fnmr)
    assert (empty.pairs, empty.people) == (0, 0)
    assert not empty.interval.known


def test_ranges_have_intervals_over_people() -> None:
    people = np.arange(60) // 2
    (one, other) = misses_by_range(np.arange(60.0) % 2, (0, 1, 2), np.arange(60) % 4 == 0, people)
    assert (one.people, other.people) == (30, 30)
    assert one.interval.low < one.fnmr == 0.5 < one.interval.high
    assert other.interval.low == 0
    assert other.interval.high == pytest.approx(0.116, abs=1e-3)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidScores):
        misses_by_range(np.zeros(2), (0, 1), np.zeros(3, bool), np.zeros(2))
    with pytest.raises(InvalidScores):
        misses_by_range(np.zeros(2), (0, 1), np.zeros(2, bool), ["Ann"])
