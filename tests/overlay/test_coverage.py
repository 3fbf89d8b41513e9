"""The report on a scan: what its table, its advice and its picture say."""

from dataclasses import replace

import numpy as np
import pytest

from facepool.enroll.coverage import Coverage, DirectionReport, ViewReport
from facepool.enroll.ring import Slot
from facepool.faces.facing import DIRECTIONS, direction_angle, direction_words
from facepool.overlay import COLUMNS, coverage_advice, coverage_picture, coverage_rows, coverage_summary, coverage_title
from facepool.thresholds import Threshold
from facepool.types import Image


def view(slot: Slot | None, quality: float = 80, similarity: float | None = 0.7, *, missed: bool = False) -> ViewReport:
    return ViewReport(slot, quality, 10.0, 0.0, stored=not missed, similarity=similarity, missed=missed)


def coverage(near: dict[int, ViewReport], *, partial: bool = False, appearance: str = "") -> Coverage:
    frontal = view(None) if near else None
    directions = tuple(
        DirectionReport(
            number,
            direction_angle(number),
            direction_words(direction_angle(number)),
            near.get(number),
            None,
        )
        for number in range(DIRECTIONS)
    )
    count = len(near) + (frontal is not None)
    similarities = np.full((count, count), 0.6, np.float32)
    np.fill_diagonal(similarities, 1)
    return Coverage("محمد Ada", appearance, partial, frontal, directions, similarities, Threshold(0.4, ""))


def full(**poor: ViewReport) -> Coverage:
    near = {number: view(Slot(number, "near")) for number in range(12)}
    return coverage(near | {int(name[1:]): report for name, report in poor.items()})


def changed(one: Image, other: Image) -> tuple[float, float]:
    """Middle x and y of what differs."""
    ys, xs = np.nonzero((one != other).any(axis=2))
    return float(xs.mean()), float(ys.mean())


def test_the_table_has_a_row_for_each_direction_and_one_for_straight_ahead() -> None:
    rows = coverage_rows(full(_3=view(Slot(3, "near"), 20, 0.31)))
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert rows[0] == ("straight ahead", "", "80", "-", "0.70", "1", "")
    assert rows[4] == ("up", "90°", "20", "-", "0.31", "1", "scan again")
    assert len(rows) == 13


def test_what_is_missing_says_so() -> None:
    rows = coverage_rows(coverage({}))
    assert {row[-1] for row in rows[1:]} == {"missing"}
    assert coverage_summary(coverage({})) == ["0 of 12 directions, 0 views, 0 to store"]


def test_the_advice_names_thin_directions_once_each() -> None:
    assert coverage_advice(full()) == ""
    assert coverage_advice(full(_0=view(Slot(0, "near"), 10), _1=view(Slot(1, "near"), missed=True))) == (
        "Scan again: left, up and left."
    )
    thin = full(_1=view(Slot(1, "near"), 10), _2=view(Slot(2, "near"), 10))
    assert coverage_advice(thin) == "Scan again: up and left."
    assert coverage_advice(coverage({})) == "Scan again, in all directions."


def test_the_summary_tells_similarities_and_predicted_misses() -> None:
    summary = coverage_summary(full(_1=view(Slot(1, "near"), missed=True)))
    assert summary == [
        "12 of 12 directions, 13 views, 12 to store",
        "Own similarities: lowest 0.60, median 0.60; 0 of 78 pairs below 0.40",
        "Predicted misses: 8% of near views",
    ]
    assert coverage_summary(coverage({0: view(Slot(0, "near"))}, partial=True))[0].endswith("(partial)")


def test_own_similarities_count_each_pair_once() -> None:
    similarities = np.array([[1, 0.2, 0.6], [0.2, 1, 0.7], [0.6, 0.7, 1]], np.float32)
    known = replace(full(), similarities=similarities, threshold=replace(full().threshold, value=0.5))
    summary = coverage_summary(known)
    assert "Own similarities: lowest 0.20, median 0.60; 1 of 3 pairs below 0.50" in summary
    alone = coverage_summary(replace(known, similarities=similarities[:1, :1]))
    assert not any("similarities" in line for line in alone)


def test_a_name_cannot_turn_the_title_round() -> None:
    assert coverage_title(coverage({}, appearance="glas\u202eses")) == "محمد Ada · glasses"


@pytest.mark.parametrize("report", [full(), coverage({}), coverage({5: view(Slot(5, "near"), similarity=None)})])
def test_the_picture_keeps_a_margin(report: Coverage) -> None:
    picture = coverage_picture(report)
    paper = picture[0, 0]
    for border in (picture[:12], picture[-12:], picture[:, :20], picture[:, -20:]):
        assert (border == paper).all()


def test_directions_are_coloured_as_in_a_mirror() -> None:
    plain = coverage_picture(full())
    left = coverage_picture(full(_0=view(Slot(0, "near"), 10)))[:, :820]
    up = coverage_picture(full(_3=view(Slot(3, "near"), 10)))[:, :820]
    assert changed(plain[:, :820], left)[0] < 300
    assert changed(plain[:, :820], up)[1] < 330


def test_poor_views_are_red_and_good_ones_green() -> None:
    for quality, channel in ((0, 2), (100, 1)):
        picture = coverage_picture(full(_0=view(Slot(0, "near"), quality)))
        assert picture[435:455, 303:309].reshape(-1, 3).mean(axis=0).argmax() == channel


def test_thumbnails_stand_in_their_direction_and_are_mirrored() -> None:
    thumbnail = np.zeros((90, 60, 3), np.uint8)
    thumbnail[:, :30, 0] = 255
    picture = coverage_picture(full(), {Slot(3, "near"): thumbnail, None: thumbnail[:, :0]})
    ys, xs = np.nonzero((picture == (255, 0, 0)).all(axis=2))
    assert xs.min() >= 409
    assert ys.max() < 200


def test_a_person_s_own_similarities_below_the_threshold_are_amber() -> None:
    report = full()
    plain = coverage_picture(report)[:, 832:]
    report.similarities[2, 5] = report.similarities[5, 2] = 0.1
    lower = coverage_picture(report)[:, 832:]
    cells = (plain != lower).any(axis=2) & (lower[..., 2] > 200) & (lower[..., 0] < 100)
    assert cells.sum() > 200
