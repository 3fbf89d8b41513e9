"""Score offsets: what a face must bring beyond the pool's threshold, for what it has in common with everybody."""

import numpy as np
import pytest

from facepool.search import Index, normalized_scores
from facepool.search.exact import nearest, nearest_merged
from facepool.search.normalization import FEW_PEOPLE
from facepool.types import Floats
from support.pools import unit, units


def pool_of(people: int, templates: int = 2, seed: int = 0) -> Index:
    rows = people * templates
    names = [f"{number:03}" for number in range(people)]
    return Index.of_rows(units(rows, seed=seed), np.repeat(np.arange(people), templates), names)


def scores_by_loop(probe: Floats, pool: Index, left_out: str = "") -> dict[str, float]:
    """The formula, read out."""
    of = {
        name: [row for row, person in zip(pool.vectors, pool.person_of, strict=True) if pool.names[person] == name]
        for name in pool.names
        if name != left_out
    }
    mean = {name: np.mean(rows, axis=0) for name, rows in of.items()}
    best = {name: max(float(probe @ row) for row in rows) for name, rows in of.items()}
    nearest = max(best, key=lambda name: best[name])
    here = np.mean([float(probe @ mean[name]) for name in of if name != nearest])
    usual = np.mean([float(mean[one] @ mean[other]) for one in of for other in of if one != other])
    weight = max(0, len(of) - 10) / (max(0, len(of) - 10) + 8)
    to_mean = {name: float(probe @ mean[name]) / np.linalg.norm(mean[name]) for name in of}
    return {name: float(best[name] - weight * ((best[name] - to_mean[name]) / 2 + here - usual)) for name in of}


@pytest.mark.parametrize("people", [3, FEW_PEOPLE + 1, 30])
def test_the_normalized_score_is_what_the_formula_says(people: int) -> None:
    pool, probe = pool_of(people), unit(900)
    (found,) = normalized_scores((probe @ pool.vectors.T)[None], pool)
    expected = scores_by_loop(probe, pool)
    np.testing.assert_allclose(found, [expected[name] for name in pool.names], atol=1e-5)


@pytest.mark.parametrize("people", [4, 14, 40])
def test_a_search_says_the_same_of_those_whom_it_finds(people: int) -> None:
    pool, probes = pool_of(people, templates=3), units(6, seed=5)
    scores = normalized_scores(probes @ pool.vectors.T, pool)
    for score, plain, candidates in zip(
        scores, nearest(pool, probes, k=people), nearest(pool, probes, k=3, normalize=True), strict=True
    ):
        assert [one.normalized_score for one in candidates] == sorted(
            (one.normalized_score for one in candidates), reverse=True
        )
        similarity = {one.person: one.similarity for one in plain}
        for one in candidates:
            assert one.similarity == similarity[one.person]  # the cosine of the best template, offset or none
            assert one.normalized_score == pytest.approx(score[pool.names.index(one.person)], abs=1e-5)
        assert candidates[0].normalized_score == pytest.approx(score.max(), abs=1e-5)


def test_a_small_pool_has_no_offsets() -> None:
    probes = units(4, seed=7)
    for people in (1, 2, FEW_PEOPLE):
        pool = pool_of(people)
        assert nearest(pool, probes, normalize=True) == nearest(pool, probes)
    assert any(one.score_offset for one in nearest(pool_of(FEW_PEOPLE + 1), probes, normalize=True)[0])


def test_an_empty_pool_has_nobody_to_normalize_for() -> None:
    empty = Index.of_rows(np.zeros((0, 8), np.float32), np.zeros(0, np.intp), ())
    assert nearest(empty, units(2), normalize=True) == [(), ()]


def test_without_a_person_it_is_as_if_they_were_not_there() -> None:
    pool = pool_of(14)
    rows = np.arange(0, len(pool), 5)
    owners = pool.person_of[rows]
    scores = normalized_scores(pool.vectors[rows] @ pool.vectors.T, pool, owners)
    for row, owner, score in zip(rows, owners, scores, strict=True):
        expected = scores_by_loop(pool.vectors[row], pool, left_out=pool.names[owner])
        assert np.isneginf(score[owner])
        others = [number for number in range(len(pool.names)) if number != owner]
        np.testing.assert_allclose(score[others], [expected[pool.names[number]] for number in others], atol=1e-5)


def test_templates_that_cancel_out_have_no_mean() -> None:
    vectors = units(24)
    vectors[1] = -vectors[0]
    pool = Index.of_rows(vectors, np.repeat(np.arange(12), 2), [f"{number:03}" for number in range(12)])
    assert np.isfinite(normalized_scores(vectors @ vectors.T, pool)).all()


def test_several_views_that_are_the_same_have_the_offsets_of_one() -> None:
    pool, probe = pool_of(30), unit(901)

    def mean(similarities: Floats) -> Floats:
        return np.asarray(similarities.mean(axis=0), np.float32)

    (alone,) = nearest(pool, probe[None], k=3, normalize=True)
    together = nearest_merged(pool, np.stack([probe, probe]), mean, k=3, normalize=True)
    assert [one.person for one in together] == [one.person for one in alone]
    assert [one.score_offset for one in together] == pytest.approx([one.score_offset for one in alone], abs=1e-6)
    assert [one.normalized_score for one in together] == pytest.approx(
        [one.normalized_score for one in alone], abs=1e-6
    )
