"""Error rates of verification, by hand."""

import numpy as np
import pytest

from facepool.errors import InputError, InvalidScores, NotEnoughScores
from facepool.evaluation.metrics import Scores, error_rates, fold_accuracy

GENUINE = np.array([0.9, 0.8, 0.7, 0.4])
IMPOSTOR = np.array([0.1, 0.2, 0.3, 0.5])
NOTHING = np.zeros(0)


def test_the_threshold_lies_just_above_the_first_impostor_who_may_not_pass() -> None:
    point = error_rates(GENUINE, IMPOSTOR).at(0.25)
    assert 0.3 < point.threshold < 0.3000001
    assert (point.false_matches, point.tar, point.impostors) == (0.25, 1.0, 4)


def test_at_a_rate_of_zero_nobody_passes() -> None:
    point = error_rates(GENUINE, IMPOSTOR).at(0.0)
    assert (point.false_matches, point.tar) == (0.0, 0.75)


def test_at_a_rate_of_one_everybody_passes() -> None:
    point = error_rates(GENUINE, IMPOSTOR).at(1.0)
    assert (point.threshold, point.false_matches, point.tar) == (0.1, 1.0, 1.0)


def test_impostors_of_one_similarity_pass_together_or_not_at_all() -> None:
    point = error_rates(np.array([0.5, 0.6]), np.array([0.1, 0.5, 0.5, 0.5])).at(0.5)
    assert (point.false_matches, point.tar) == (0.0, 0.5)


@pytest.mark.parametrize(("fmr", "count", "matches"), [(0.001, 3000, 3), (0.29, 100, 29), (0.0001, 3000, 0)])
def test_a_share_of_the_impostors_is_a_whole_number_of_them(fmr: float, count: int, matches: int) -> None:
    point = error_rates(np.ones(1), np.arange(count) / count).at(fmr)
    assert point.false_matches == matches / count
    assert point.resolved == (matches > 0)


def test_a_pair_without_a_face_is_a_miss_and_never_a_false_match() -> None:
    genuine, impostor = np.append(GENUINE, -np.inf), np.append(IMPOSTOR, -np.inf)
    point = error_rates(genuine, impostor).at(1.0)
    assert (point.false_matches, point.tar) == (0.8, 0.8)
    assert np.isfinite(point.threshold)


def test_a_weighted_impostor_counts_as_many_times() -> None:
    weights = np.array([1.0, 3.0, 1.0, 1.0])
    repeated = np.array([0.1, 0.2, 0.2, 0.2, 0.3, 0.5])
    for fmr in (0.0, 0.2, 0.4, 0.7, 1.0):
        assert error_rates(GENUINE, IMPOSTOR, weights).at(fmr) == error_rates(GENUINE, repeated).at(fmr)


def test_the_curve_has_every_threshold_that_makes_a_difference() -> None:
    curve = error_rates(GENUINE, IMPOSTOR).curve()
    assert curve.thresholds[:-1].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9]
    assert curve.false_matches.tolist() == [1, 0.75, 0.5, 0.25, 0.25, 0, 0, 0, 0]
    assert curve.misses.tolist() == [0, 0, 0, 0, 0.25, 0.25, 0.5, 0.75, 1]


def test_errors_are_equal_where_the_curves_meet() -> None:
    error = error_rates(GENUINE, IMPOSTOR).equal_error()
    assert (error.rate, error.threshold) == (0.25, 0.5)


def test_between_two_thresholds_the_equal_error_is_linear() -> None:
    # FMR falls from 1/2 to 0 while FNMR stays 0 and then rises to 1/3.
    assert error_rates(np.array([0.5, 0.7, 0.8]), np.array([0.1, 0.5])).equal_error().rate == pytest.approx(0.2)


def test_scores_without_overlap_have_no_equal_error() -> None:
    assert error_rates(np.array([0.8, 0.9]), np.array([0.1, 0.2])).equal_error().rate == 0


def test_scores_that_tell_nothing_have_an_equal_error_of_a_half() -> None:
    assert error_rates(np.full(5, 0.3), np.full(7, 0.3)).equal_error().rate == 0.5


def test_faces_that_are_mostly_missing_have_an_equal_error_all_the_same() -> None:
    error = error_rates(np.array([-np.inf, -np.inf, 0.5]), np.array([-np.inf, 0.1])).equal_error()
    assert 0.25 < error.rate < 1
    assert np.isfinite(error.threshold)


@pytest.mark.parametrize(
    ("genuine", "impostor", "error"),
    [
        (NOTHING, IMPOSTOR, NotEnoughScores),
        (GENUINE, NOTHING, NotEnoughScores),
        (np.full(2, -np.inf), np.full(2, -np.inf), NotEnoughScores),
        (np.array([0.5, np.nan]), IMPOSTOR, InvalidScores),
        (GENUINE, np.array([np.inf]), InvalidScores),
        (GENUINE, np.zeros((2, 2)), InvalidScores),
    ],
)
def test_scores_that_give_no_rate_are_refused(genuine: Scores, impostor: Scores, error: type[InputError]) -> None:
    with pytest.raises(error) as refusal:
        error_rates(genuine, impostor)
    assert refusal.value.code in {"not_enough_scores", "scores_invalid"}


def test_a_rate_above_one_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="rate of false matches"):
        error_rates(GENUINE, IMPOSTOR).at(1.5)


def test_each_fold_is_judged_with_the_threshold_of_the_others() -> None:
    similarities = np.array([0.8, 0.2, 0.6, 0.1, 0.5, 0.55])
    same = np.array([True, False, True, False, True, False])
    fold = np.array([1, 1, 2, 2, 3, 3])
    accuracy = fold_accuracy(similarities, same, fold)
    # For folds 1 and 2 either 0.5 (one impostor passes) or 0.6 or 0.8 (one genuine pair fails); for fold 3, 0.6.
    assert accuracy.thresholds[2] == 0.6
    assert accuracy.folds[2] == 0.5
    assert accuracy.folds[0] == 1.0
    assert accuracy.mean == pytest.approx(accuracy.folds.mean())
    assert accuracy.std == pytest.approx(np.std(accuracy.folds))


def test_the_fold_that_is_judged_does_not_help_to_choose_its_threshold() -> None:
    similarities = np.array([0.9, 0.1, 0.9, 0.1, 0.2, 0.3])
    same = np.array([True, False, True, False, True, False])
    accuracy = fold_accuracy(similarities, same, np.array([0, 0, 1, 1, 2, 2]))
    assert accuracy.thresholds[2] == 0.9
    assert accuracy.folds.tolist() == [1, 1, 0.5]


def test_equally_good_thresholds_give_the_middle_one() -> None:
    similarities = np.array([0.1, 0.5, 0.6, 0.7, 0.75, 0.8, 0.2, 0.3])
    same = np.array([False, True, False, True, False, True, False, True])
    # In the first fold 0.5, 0.7 and 0.8 each judge four of six pairs rightly.
    assert fold_accuracy(similarities, same, np.array([0, 0, 0, 0, 0, 0, 1, 1])).thresholds[1] == 0.7


def test_where_the_other_folds_have_no_genuine_pair_nothing_matches() -> None:
    accuracy = fold_accuracy(np.array([0.1, 0.2, 0.3, 0.4]), np.array([False] * 3 + [True]), np.array([0, 0, 0, 1]))
    assert accuracy.thresholds[1] > 0.4
    assert accuracy.folds[1] == 0


def test_folds_need_pairs_in_two_of_them() -> None:
    with pytest.raises(NotEnoughScores, match="one fold"):
        fold_accuracy(np.array([0.1, 0.9]), np.array([False, True]), np.array([3, 3]))
    with pytest.raises(NotEnoughScores):
        fold_accuracy(NOTHING, np.zeros(0, bool), np.zeros(0, np.intp))
    with pytest.raises(InvalidScores, match="2 similarities"):
        fold_accuracy(np.array([0.1, 0.9]), np.array([True]), np.array([0, 1]))
