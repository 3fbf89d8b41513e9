"""Error versus discard, and error rates by ranges, by hand."""

import numpy as np
import pytest

from facepool.errors import InvalidScores, NotEnoughScores
from facepool.evaluation.discard import breakdown, errors_versus_discard


def test_leaving_out_the_poorest_leaves_fewer_misses() -> None:
    curve = errors_versus_discard(np.array([30.0, 10, 20, 40]), np.array([0.9, 0.1, 0.8, 0.2]), 0.5)
    assert curve.qualities.tolist() == [10, 20, 30, 40]
    assert curve.discarded.tolist() == [0, 0.25, 0.5, 0.75]
    assert curve.fnmr.tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 2, 1])
    assert curve.best.tolist() == pytest.approx([1 / 2, 1 / 3, 0, 0])


def test_equal_qualities_are_left_out_together() -> None:
    curve = errors_versus_discard(np.array([1.0, 1, 2]), np.array([0.1, 0.9, 0.9]), 0.5)
    assert curve.discarded.tolist() == pytest.approx([0, 2 / 3])
    assert curve.fnmr.tolist() == pytest.approx([1 / 3, 0])


def test_a_pair_without_a_face_is_a_miss_that_its_quality_foretells() -> None:
    curve = errors_versus_discard(np.array([0.0, 50, 60, 70]), np.array([-np.inf, 0.9, 0.9, 0.9]), 0.5)
    assert curve.fnmr.tolist() == [0.25, 0, 0, 0]


def test_a_measure_that_tells_nothing_has_the_area_of_a_flat_line() -> None:
    flat = errors_versus_discard(np.ones(10), np.linspace(0, 1, 10), 0.5)
    assert flat.area() == flat.fnmr[0] == 0.5
    telling = errors_versus_discard(np.arange(10.0), np.linspace(0, 1, 10), 0.5)
    assert telling.area() == pytest.approx((0.5 + 4 / 9) / 2)
    assert telling.area(1.0) < telling.area(0.2) < 0.5


def test_qualities_must_be_numbers_and_as_many() -> None:
    with pytest.raises(InvalidScores, match="no numbers"):
        errors_versus_discard(np.array([np.nan]), np.array([0.5]), 0.5)
    with pytest.raises(InvalidScores, match="belong together"):
        errors_versus_discard(np.ones(2), np.ones(1), 0.5)
    with pytest.raises(NotEnoughScores):
        errors_versus_discard(np.zeros(0), np.zeros(0), 0.5)


def test_each_range_counts_its_own() -> None:
    measures = np.array([0.0, 14.9, 15.0, 40.0, np.nan, 95.0])
    wrong = np.array([False, True, True, False, True, True])
    result = breakdown(measures, (0, 15, 30, 60), wrong)
    assert [(each.low, each.high, each.count, each.errors) for each in result.bins] == [
        (0, 15, 2, 1),
        (15, 30, 1, 1),
        (30, 60, 1, 0),
    ]
    assert [each.rate for each in result.bins] == [0.5, 1.0, 0.0]
    assert result.unmeasured == 2
    assert result.bins[0].interval is None


def test_an_empty_range_has_no_rate_and_no_interval() -> None:
    (empty,) = breakdown(np.array([5.0]), (10, float("inf")), np.array([True]), ["Ann"]).bins
    assert np.isnan(empty.rate)
    assert (empty.count, empty.people) == (0, 0)
    assert empty.interval is not None
    assert not empty.interval.known


def test_ranges_have_intervals_over_people() -> None:
    people = np.arange(60) // 2
    (one, other) = breakdown(np.arange(60.0) % 2, (0, 1, 2), np.arange(60) % 4 == 0, people).bins
    assert (one.people, other.people) == (30, 30)
    assert one.interval is not None
    assert one.interval.low < one.rate == 0.5 < one.interval.high
    assert other.interval is not None
    assert other.interval.low == 0
    assert other.interval.high == pytest.approx(0.116, abs=1e-3)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidScores):
        breakdown(np.zeros(2), (0, 1), np.zeros(3, bool))
    with pytest.raises(InvalidScores):
        breakdown(np.zeros(2), (0, 1), np.zeros(2, bool), ["Ann"])
