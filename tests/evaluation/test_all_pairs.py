"""All pairs of many faces: what is kept, and what it stands for."""

import numpy as np
import pytest

from facepool.evaluation import all_pairs as module
from facepool.evaluation.all_pairs import all_pairs
from facepool.evaluation.metrics import equal_error, tar_at_fmr
from facepool.types import Floats, Indices


def faces(count: int, people: int, seed: int = 0) -> tuple[Floats, Indices]:
    random = np.random.default_rng(seed)
    person = random.integers(people, size=count)
    vectors = random.normal(size=(people, 16))[person] + 0.6 * random.normal(size=(count, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), person


def test_a_few_faces_are_all_compared_once() -> None:
    vectors, person = faces(7, 3)
    pairs = all_pairs(vectors, person)
    assert sorted(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [
        (first, second) for first in range(7) for second in range(first + 1, 7)
    ]
    np.testing.assert_array_equal(pairs.same, person[pairs.first] == person[pairs.second])
    expected = np.clip(np.einsum("ij,ij->i", vectors[pairs.first], vectors[pairs.second]), -1, 1)
    np.testing.assert_allclose(pairs.similarities, expected, atol=1e-6)
    assert set(pairs.weights) == {1.0}
    assert pairs.genuine + pairs.impostors == len(pairs) == 21


def test_no_face_or_one_has_no_pair() -> None:
    assert len(all_pairs(np.zeros((0, 4), np.float32), np.zeros(0, np.intp))) == 0
    assert len(all_pairs(np.eye(4, dtype=np.float32)[:1], np.zeros(1, np.intp))) == 0


def test_a_picture_without_a_face_is_like_nothing() -> None:
    vectors, person = faces(6, 2)
    pairs = all_pairs(vectors, person, np.arange(6) != 2)
    without = (pairs.first == 2) | (pairs.second == 2)
    assert (pairs.similarities[without] == -1).all()
    assert (pairs.similarities[~without] > -1).all()


@pytest.mark.parametrize("block", [1 << 22, 1000])
def test_of_many_pairs_the_most_alike_are_all_kept_and_the_rest_is_stood_for(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK_VALUES", block)
    vectors, person = faces(600, 200)
    full, some = all_pairs(vectors, person, most=10**9), all_pairs(vectors, person, most=20_000)
    assert len(full) == 600 * 599 / 2
    assert some.impostors == full.impostors
    assert some.weights.sum() == pytest.approx(len(full))
    assert 15_000 < (~some.same).sum() < 25_000
    above = full.similarities[~full.same] >= some.exact_from
    assert np.sort(some.similarities[~some.same & (some.similarities >= some.exact_from)]).tolist() == (
        np.sort(full.similarities[~full.same][above]).tolist()
    )
    for fmr in (0.0, 1e-3, 1e-2):
        exact = tar_at_fmr(full.similarities[full.same], full.similarities[~full.same], fmr)
        kept = tar_at_fmr(
            some.similarities[some.same], some.similarities[~some.same], fmr, weights=some.weights[~some.same]
        )
        assert kept.tar == exact.tar
        assert kept.threshold == exact.threshold
        assert kept.fmr == pytest.approx(exact.fmr)
        assert kept.impostors == exact.impostors
    estimated = equal_error(
        some.similarities[some.same], some.similarities[~some.same], weights=some.weights[~some.same]
    )
    assert estimated.rate == pytest.approx(
        equal_error(*(full.similarities[k] for k in (full.same, ~full.same))).rate, rel=0.1
    )


def test_of_many_pairs_of_few_people_a_sample_of_the_genuine_is_kept() -> None:
    vectors, person = faces(400, 2)
    some = all_pairs(vectors, person, most=5000)
    assert 4500 < some.same.sum() < 5500
    assert some.weights[some.same].sum() == pytest.approx(some.genuine)
    assert some.weights[~some.same].sum() == pytest.approx(some.impostors)


def test_the_same_seed_keeps_the_same_pairs() -> None:
    vectors, person = faces(300, 100)
    one, two = (all_pairs(vectors, person, most=5000, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.first, two.first)
    np.testing.assert_array_equal(one.second, two.second)
