"""Error rates of open-set identification, by hand."""

import numpy as np
import pytest

from facepool.errors import InvalidScores, NotEnoughScores
from facepool.evaluation.open_set import (
    MatedSearches,
    at_threshold,
    fnir_at_fpir,
    open_set_curve,
    rank_one,
    searches,
)

# Rows: found, found weakly, taken for somebody else, without a face.
MATED = MatedSearches(
    right=np.array([0.9, 0.4, 0.5, -np.inf]),
    other=np.array([0.1, 0.3, 0.7, -np.inf]),
    ranks=np.array([1, 1, 2, 0]),
)
STRANGERS = np.array([0.6, 0.2, 0.2, 0.1])


def test_a_point_counts_strangers_named_and_registered_people_missed() -> None:
    point = fnir_at_fpir(MATED, STRANGERS, 0.25)
    assert 0.2 < point.threshold < 0.2000001
    assert (point.fpir, point.fnir, point.misnamed, point.strangers) == (0.25, 0.5, 0.25, 4)
    assert point.resolved


def test_with_no_false_positive_more_are_missed() -> None:
    point = fnir_at_fpir(MATED, STRANGERS, 0.0)
    assert (point.fpir, point.fnir, point.misnamed) == (0.0, 0.75, 0.25)


def test_somebody_who_is_not_first_is_missed_at_every_threshold() -> None:
    assert at_threshold(MATED, STRANGERS, -1.0).fnir == 0.5
    assert open_set_curve(MATED, STRANGERS).fnir.min() == 0.5


def test_a_threshold_from_elsewhere_says_what_it_does() -> None:
    point = at_threshold(MATED, STRANGERS, 0.65)
    assert (point.fpir_asked, point.fpir, point.fnir, point.misnamed) == (0.0, 0.0, 0.75, 0.25)


def test_the_curve_agrees_with_every_point() -> None:
    curve = open_set_curve(MATED, STRANGERS)
    for threshold, fpir, fnir in zip(curve.thresholds, curve.fpir, curve.fnir, strict=True):
        point = at_threshold(MATED, STRANGERS, threshold)
        assert (point.fpir, point.fnir) == (fpir, fnir)
    assert len(curve.thinned(4)) <= len(curve)


def test_rank_one_asks_for_no_threshold() -> None:
    assert rank_one(MATED) == 0.5
    assert np.isnan(rank_one(MatedSearches(np.zeros(0), np.zeros(0), np.zeros(0, np.intp))))


def test_searches_are_read_off_similarities_to_people() -> None:
    people = np.array([[0.9, 0.1, 0.2], [0.5, 0.4, 0.6], [0.3, 0.3, 0.1]])
    mated = searches(people, np.array([0, 1, 0]))
    assert mated.right.tolist() == [0.9, 0.4, 0.3]
    assert mated.other.tolist() == [0.2, 0.6, 0.3]
    assert mated.ranks.tolist() == [1, 3, 2]  # a draw is no success


def test_in_a_gallery_of_one_there_is_nobody_else() -> None:
    mated = searches(np.array([[0.2]]), np.array([0]))
    assert (mated.ranks[0], mated.other[0]) == (1, -np.inf)


def test_both_kinds_of_probes_are_needed() -> None:
    with pytest.raises(NotEnoughScores):
        fnir_at_fpir(MATED, np.zeros(0), 0.01)
    with pytest.raises(NotEnoughScores):
        fnir_at_fpir(MatedSearches(np.zeros(0), np.zeros(0), np.zeros(0, np.intp)), STRANGERS, 0.01)
    with pytest.raises(InvalidScores):
        MatedSearches(np.zeros(1), np.zeros(2), np.zeros(1, np.intp))
    with pytest.raises(ValueError, match="false positive"):
        fnir_at_fpir(MATED, STRANGERS, 2)
