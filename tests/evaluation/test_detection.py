"""Average precision of a detector, by hand."""

import numpy as np
import pytest

from facepool.errors import InvalidScores, NotEnoughScores
from facepool.evaluation.detection import JudgedPicture, average_precision, average_precision_interval
from facepool.types import Floats

Box = tuple[float, float, float, float]
FACE: Box = (0, 0, 10, 10)
OTHER: Box = (100, 0, 110, 10)
BESIDE: Box = (50, 50, 60, 60)


def boxes(*rows: Box) -> Floats:
    return np.array(rows, np.float32).reshape(-1, 4)


def picture(found: Floats, scores: list[float], truth: Floats, ignored: list[bool] | None = None) -> JudgedPicture:
    marks = [False] * len(truth) if ignored is None else ignored
    return JudgedPicture(found, np.array(scores, np.float32), truth, np.array(marks, np.bool_))


def test_every_face_found_and_nothing_else_is_one() -> None:
    result = average_precision([picture(boxes(FACE, OTHER), [0.9, 0.8], boxes(OTHER, FACE))])
    assert (result.ap, result.faces) == (1.0, 2)
    assert result.recall.tolist() == [0.5, 1.0]


def test_nothing_found_is_zero() -> None:
    result = average_precision([picture(boxes(), [], boxes(FACE))])
    assert (result.ap, len(result.scores)) == (0.0, 0)
    assert result.at(0.5) == (1.0, 0.0)


def test_a_false_detection_costs_what_it_outranks() -> None:
    first = average_precision([picture(boxes(BESIDE, FACE), [0.9, 0.8], boxes(FACE))])
    last = average_precision([picture(boxes(FACE, BESIDE), [0.9, 0.8], boxes(FACE))])
    assert (first.ap, last.ap) == (0.5, 1.0)
    assert last.precision.tolist() == [1.0, 0.5]


def test_precision_at_a_recall_is_the_best_that_is_had_at_it_or_beyond() -> None:
    found = boxes(BESIDE, FACE, OTHER)
    result = average_precision([picture(found, [0.9, 0.8, 0.7], boxes(FACE, OTHER))])
    assert result.precision.tolist() == pytest.approx([0, 1 / 2, 2 / 3])
    assert result.ap == pytest.approx(2 / 3)


def test_a_face_is_found_once_by_the_better_detection() -> None:
    near = (0, 0, 10, 9)
    result = average_precision([picture(boxes(near, FACE), [0.7, 0.9], boxes(FACE))])
    assert result.precision.tolist() == [1.0, 0.5]


def test_a_detection_belongs_to_the_face_that_it_overlaps_most() -> None:
    # The second box would pass for the first face as well, which is taken by then: its own is the neighbour.
    truth = boxes((0, 0, 10, 10), (0, 2, 10, 12))
    result = average_precision([picture(boxes((0, 0, 10, 10), (0, 2, 10, 12)), [0.9, 0.8], truth)])
    assert result.ap == 1.0


def test_overlap_of_exactly_the_least_is_enough() -> None:
    half = (0, 0, 10, 5)
    assert average_precision([picture(boxes(half), [0.9], boxes(FACE))]).ap == 1.0
    assert average_precision([picture(boxes(half), [0.9], boxes(FACE))], 0.51).ap == 0.0


def test_a_face_that_is_ignored_is_neither_missed_nor_found() -> None:
    result = average_precision([picture(boxes(OTHER, OTHER, FACE), [0.9, 0.8, 0.7], boxes(FACE, OTHER), [False, True])])
    assert (result.ap, result.faces) == (1.0, 1)
    assert result.scores.tolist() == pytest.approx([0.7])


def test_a_picture_without_faces_tells_of_false_detections() -> None:
    good = picture(boxes(FACE), [0.5], boxes(FACE))
    assert average_precision([good, picture(boxes(FACE), [0.6], boxes())]).ap == 0.5


def test_equal_scores_count_together_whatever_the_order_of_pictures() -> None:
    right, wrong = picture(boxes(FACE), [0.5], boxes(FACE)), picture(boxes(FACE), [0.5], boxes())
    assert average_precision([right, wrong]).ap == average_precision([wrong, right]).ap == 0.5


def test_precision_and_recall_at_a_threshold() -> None:
    result = average_precision([picture(boxes(FACE, BESIDE), [0.75, 0.5], boxes(FACE, OTHER))])
    assert result.at(0.75) == (1.0, 0.5)
    assert result.at(0.5) == (0.5, 0.5)
    assert result.at(0.8) == (1.0, 0.0)


def test_the_interval_is_over_pictures() -> None:
    good, bad = picture(boxes(FACE), [0.5], boxes(FACE)), picture(boxes(), [], boxes(FACE))
    pictures = [good] * 12 + [bad] * 4
    interval = average_precision_interval(pictures, replicates=300)
    assert interval.low < average_precision(pictures).ap == 0.75 < interval.high
    assert interval.low == pytest.approx(0.5625, abs=0.07)
    assert not average_precision_interval([good]).known


def test_without_a_face_that_counts_there_is_nothing_to_measure() -> None:
    for pictures in ([], [picture(boxes(FACE), [0.5], boxes())], [picture(boxes(), [], boxes(FACE), [True])]):
        with pytest.raises(NotEnoughScores):
            average_precision(pictures)
        with pytest.raises(NotEnoughScores):
            average_precision_interval(pictures)


def test_columns_that_disagree_are_refused() -> None:
    with pytest.raises(InvalidScores):
        picture(boxes(FACE), [0.5, 0.4], boxes())
    with pytest.raises(InvalidScores):
        picture(boxes(FACE), [float("nan")], boxes(FACE))
