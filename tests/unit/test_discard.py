"""Error rates by ranges of a measure, by hand."""

import numpy as np
import pytest

from facepool.errors import InvalidScores
from facepool.evaluation.verification import errors_by_range


def test_each_range_counts_its_own() -> None:
    measures = np.array([0.0, 14.9, 15.0, 40.0, np.nan, 95.0])
    wrong = np.array([False, True, True, False, True, True])
    ranges = errors_by_range(measures, (0, 15, 30, 60), wrong, np.arange(6))
    assert [(each.low, each.high, each.count, each.errors) for each in ranges] == [
        (0, 15, 2, 1),
        (15, 30, 1, 1),
        (30, 60, 1, 0),
    ]
    assert [each.rate for each in ranges] == [0.5, 1.0, 0.0]


def test_an_empty_range_has_no_rate_and_no_interval() -> None:
    (empty,) = errors_by_range(np.array([5.0]), (10, float("inf")), np.array([True]), ["Ann"])
    assert np.isnan(empty.rate)
    assert (empty.count, empty.people) == (0, 0)
    assert not empty.interval.known


def test_ranges_have_intervals_over_people() -> None:
    people = np.arange(60) // 2
    (one, other) = errors_by_range(np.arange(60.0) % 2, (0, 1, 2), np.arange(60) % 4 == 0, people)
    assert (one.people, other.people) == (30, 30)
    assert one.interval.low < one.rate == 0.5 < one.interval.high
    assert other.interval.low == 0
    assert other.interval.high == pytest.approx(0.116, abs=1e-3)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidScores):
        errors_by_range(np.zeros(2), (0, 1), np.zeros(3, bool), np.zeros(2))
    with pytest.raises(InvalidScores):
        errors_by_range(np.zeros(2), (0, 1), np.zeros(2, bool), ["Ann"])
