"""Figures of evaluation against scikit-learn, and what must not change them."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from facepool.evaluation.bootstrap import verification_intervals
from facepool.evaluation.detection import JudgedPicture, average_precision
from facepool.evaluation.identification import Probes
from facepool.evaluation.metrics import Values, error_rates, fold_accuracy
from facepool.types import Mask

# Few different values, so that ties are common; sevenths, so that no product is exact.
SCORES = st.lists(st.integers(-7, 7).map(lambda n: n / 7), min_size=1, max_size=30).map(np.array)
RATES = st.floats(0, 1)


# scikit-learn checks its arguments at length, and a busy machine takes its time.


def both(genuine: Values, impostor: Values) -> tuple[Values, Values]:
    return np.concatenate([np.ones(len(genuine)), np.zeros(len(impostor))]), np.concatenate([genuine, impostor])


def rising(scores: Values) -> Values:
    return np.asarray(np.exp(3 * scores) - 5)


@given(SCORES, SCORES)
def test_the_error_curve_is_scikit_learns_roc(genuine: Values, impostor: Values) -> None:
    fpr, tpr, thresholds = roc_curve(*both(genuine, impostor), drop_intermediate=False)
    curve = error_rates(genuine, impostor).curve()
    np.testing.assert_allclose(curve.false_matches[::-1], fpr)
    np.testing.assert_allclose(1 - curve.misses[::-1], tpr)
    np.testing.assert_allclose(curve.thresholds[-2::-1], thresholds[1:])


@given(SCORES, SCORES)
def test_the_area_under_it_is_scikit_learns(genuine: Values, impostor: Values) -> None:
    curve = error_rates(genuine, impostor).curve()
    area = np.trapezoid(1 - curve.misses[::-1], curve.false_matches[::-1])
    assert area == pytest.approx(roc_auc_score(*both(genuine, impostor)))


@given(SCORES, SCORES)
def test_the_equal_error_lies_on_scikit_learns_roc(genuine: Values, impostor: Values) -> None:
    fpr, tpr, _ = roc_curve(*both(genuine, impostor), drop_intermediate=False)
    met = np.interp(0.0, fpr + tpr - 1, fpr)  # along the curve FMR less FNMR rises from -1 to 1
    assert error_rates(genuine, impostor).equal_error().rate == pytest.approx(met)


@given(SCORES, SCORES, RATES)
def test_no_lower_threshold_keeps_to_the_rate(genuine: Values, impostor: Values, fmr: float) -> None:
    point = error_rates(genuine, impostor).at(fmr)
    assert point.false_matches <= fmr + 1e-9
    assert point.false_matches == pytest.approx((impostor >= point.threshold).mean())
    assert point.tar == pytest.approx((genuine >= point.threshold).mean())
    lower = max(impostor[impostor < point.threshold], default=None)
    assert lower is None or (impostor >= lower).mean() > fmr


@given(SCORES, SCORES, RATES, RATES)
def test_a_laxer_rate_never_accepts_fewer(genuine: Values, impostor: Values, a: float, b: float) -> None:
    low, high = sorted((a, b))
    rates = error_rates(genuine, impostor)
    assert rates.at(low).tar <= rates.at(high).tar


@given(SCORES, SCORES, RATES)
def test_a_rising_function_of_all_scores_changes_no_rate(genuine: Values, impostor: Values, fmr: float) -> None:
    plain, bent = error_rates(genuine, impostor), error_rates(rising(genuine), rising(impostor))
    assert (plain.at(fmr).false_matches, plain.at(fmr).tar) == (bent.at(fmr).false_matches, bent.at(fmr).tar)
    assert plain.equal_error().rate == bent.equal_error().rate
    np.testing.assert_array_equal(plain.curve().misses, bent.curve().misses)


@given(SCORES, SCORES, st.randoms(use_true_random=False))
def test_order_changes_nothing(genuine: Values, impostor: Values, random) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    shuffled = np.array(random.sample(list(impostor), len(impostor)))
    rates, of_shuffled = error_rates(genuine, impostor), error_rates(genuine, shuffled)
    assert rates.at(0.1) == of_shuffled.at(0.1)
    assert rates.equal_error() == of_shuffled.equal_error()


@given(st.lists(st.tuples(st.integers(-7, 7), st.booleans(), st.integers(0, 3)), min_size=2, max_size=40))
def test_fold_accuracy_is_what_each_threshold_gives_and_survives_a_rising_function(
    pairs: list[tuple[int, bool, int]],
) -> None:
    similarities, same, fold = (np.array(column) for column in zip(*pairs, strict=True))
    similarities = similarities / 7
    numbers = np.unique(fold)
    assume(len(numbers) > 1)

    def right(threshold: float, rows: Mask) -> float:
        return float(((similarities[rows] >= threshold) == same[rows]).mean())

    accuracy = fold_accuracy(similarities, same, fold)
    for number, threshold, share in zip(numbers, accuracy.thresholds, accuracy.folds, strict=True):
        inside, elsewhere = fold == number, fold != number
        assert share == pytest.approx(right(threshold, inside))
        best = max(right(other, elsewhere) for other in [*similarities[elsewhere], 2.0])
        assert right(threshold, elsewhere) == pytest.approx(best)
    np.testing.assert_array_equal(fold_accuracy(rising(similarities), same, fold).folds, accuracy.folds)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=40))
def test_average_precision_is_the_area_under_scikit_learns_envelope(found: list[tuple[int, bool]]) -> None:
    """Each detection is right or beside its face, each face in a picture of its own: a plain ranking."""
    assume(any(right for _, right in found))
    face, beside = np.array([[0, 0, 10, 10]], np.float32), np.array([[50, 50, 60, 60]], np.float32)
    pictures = [
        JudgedPicture(
            boxes=face if right else beside,
            scores=np.array([score / 10], np.float32),
            truth=face if right else np.zeros((0, 4), np.float32),
            ignored=np.zeros(int(right), np.bool_),
        )
        for score, right in found
    ]
    precision, recall, _ = precision_recall_curve([right for _, right in found], [score for score, _ in found])
    envelope = np.maximum.accumulate(precision)  # from low thresholds to high, so from high recall to low
    area = -np.sum(np.diff(recall) * envelope[:-1])
    assert average_precision(pictures).ap == pytest.approx(area)


@given(st.integers(0, 2**32 - 1))
def test_an_interval_survives_a_rising_function_and_renamed_people(seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.integers(0, 8, (2, 60))
    b[:30] = a[:30]
    same = a == b
    assume(not same.all())
    similarities = np.where(same, random.normal(0.6, 0.2, 60), random.normal(0.1, 0.2, 60))
    plain = verification_intervals(similarities, same, a, b, (0.1,), replicates=30)
    bent = verification_intervals(rising(similarities), same, a, b, (0.1,), replicates=30)
    names = np.array([f"person {number}" for number in range(8)])
    named = verification_intervals(similarities, same, names[a], names[b], (0.1,), replicates=30)
    np.testing.assert_array_equal((plain.eer.low, plain.eer.high), (bent.eer.low, bent.eer.high))
    np.testing.assert_array_equal(
        (plain.tar_at_fmr[0.1].low, plain.tar_at_fmr[0.1].high), (bent.tar_at_fmr[0.1].low, bent.tar_at_fmr[0.1].high)
    )
    assert repr(named) == repr(plain)


@given(st.integers(2, 6), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_a_search_is_missed_or_named_rightly_or_misnamed(people: int, probes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    right, other = random.integers(0, 8, (2, probes)) / 8
    ranks = np.where(right > other, 1, random.integers(2, people + 1, probes))
    rows, strangers = np.zeros(probes + 5, np.intp), random.random(5)
    searched = Probes(
        rows=rows,
        mated=np.arange(probes + 5) < probes,
        right=np.append(right, np.full(5, -np.inf)),
        right_rows=rows,
        other=np.append(other, strangers),
        other_rows=rows,
        ranks=np.append(ranks, np.zeros(5, np.intp)),
    )
    rates = error_rates(searched.found, searched.strangers)
    threshold = rates.threshold_at(0.2)
    assert rates.misses(threshold) == pytest.approx(1 - (searched.found >= threshold).mean())
    assert 0 <= searched.misnamed(threshold) <= rates.misses(threshold)
