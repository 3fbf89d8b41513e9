"""Calibration on made-up crowds: what is promised holds on strangers who took no part."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from facepool.errors import InsufficientData
from facepool.evaluation.calibration import MIN_PEOPLE, Measured, calibrate
from facepool.models.catalog import FmrCurve
from facepool.search import Index
from facepool.thresholds import ThresholdPolicy
from facepool.types import Calibration, Floats
from support.crowds import cohort, crowd, pool_of, share_named

NOW = datetime(2026, 11, 23, tzinfo=UTC)
COHORT = cohort()


def calibrated(matrix: Index, cohort: FmrCurve | None = COHORT, target_fpir: float = 0.01) -> Measured:
    return calibrate(matrix, cohort, target_fpir, space_id="s", now=NOW, replicates=100)


@pytest.fixture(scope="module")
def strangers() -> Floats:
    return crowd(6000, 1, seed=10_000)


@pytest.mark.parametrize(
    ("people", "templates", "cohort", "target_fpir"),
    [
        (20, 4, COHORT, 0.01),
        (60, 1, COHORT, 0.01),
        (60, 4, COHORT, 0.01),
        (60, 4, COHORT, 0.1),
        (80, 4, None, 0.01),
        (250, 2, COHORT, 0.01),
    ],
)
def test_the_share_of_strangers_named_lies_in_its_interval(
    people: int, templates: int, cohort: FmrCurve | None, target_fpir: float, strangers: Floats
) -> None:
    inside, shares = 0, []
    for seed in range(8):
        matrix = pool_of(crowd(people, templates, seed))
        found = calibrated(matrix, cohort, target_fpir).calibration
        share = share_named(matrix, strangers, found.threshold)
        inside += found.low <= share <= found.high
        shares.append(share)
    assert inside >= 7
    assert target_fpir / 2 < np.mean(shares) < 2 * target_fpir


def test_a_site_whose_people_resemble_each_other_more_gets_its_own_threshold() -> None:
    matrix = pool_of(crowd(60, 4, seed=1, common=0.5))
    strangers = crowd(4000, 1, seed=2, common=0.5)
    assert share_named(matrix, strangers, ThresholdPolicy(COHORT).identification(len(matrix)).value) > 0.1
    found = calibrated(matrix).calibration
    assert found.low <= share_named(matrix, strangers, found.threshold) <= found.high


def test_it_says_what_it_rests_on() -> None:
    matrix = pool_of(crowd(40, 3, seed=3))
    found = calibrated(matrix).calibration
    assert (found.people, found.templates, found.comparisons) == (40, 120, 120 * 117)
    assert (found.created_at, found.date, found.space_id) == ("2026-11-23T00:00:00+00:00", "2026-11-23", "s")
    assert found.low < found.target_fpir < found.high
    assert 0 < calibrated(pool_of(crowd(200, 1, seed=3))).calibration.borrowed < found.borrowed < 1
    assert dict(found.points)[0.01] == found.threshold


def test_more_people_make_the_interval_narrower() -> None:
    few, many = (calibrated(pool_of(crowd(people, 2, seed=4))).calibration for people in (30, 300))
    assert many.high / many.low < few.high / few.low / 2


def test_the_same_pool_gives_the_same_calibration_whatever_its_people_are_called() -> None:
    vectors = crowd(30, 2, seed=5)
    order = np.random.default_rng(0).permutation(30)
    shuffled = pool_of(vectors[order], [f"p{number:03}" for number in order])
    assert calibrated(shuffled) == calibrated(pool_of(vectors))


def test_too_few_people_are_told_how_many_it_takes() -> None:
    with pytest.raises(InsufficientData, match=f"have 2 people, need {MIN_PEOPLE}"):
        calibrated(pool_of(crowd(2, 4, seed=6)))
    few = pool_of(crowd(MIN_PEOPLE, 2, seed=6))
    assert calibrated(few).calibration.people == MIN_PEOPLE
    with pytest.raises(InsufficientData, match=r"have 20 people, need \d\d:"):
        calibrated(few, cohort=None)


def test_a_rarer_event_takes_more_people() -> None:
    matrix = pool_of(crowd(MIN_PEOPLE, 2, seed=7))
    needed = []
    for target_fpir in (1e-4, 1e-5):
        with pytest.raises(InsufficientData, match="have 20 people, need") as refusal:
            calibrated(matrix, target_fpir=target_fpir)
        needed.append(int(str(refusal.value).split("need ")[1].split(":")[0]))
    assert MIN_PEOPLE < needed[0] < needed[1] < 1000


def test_an_empty_pool_has_insufficient_data() -> None:
    with pytest.raises(InsufficientData, match="have 0 people"):
        calibrated(pool_of(crowd(1, 1, seed=8)[:0]))


def test_a_pool_of_one_face_under_many_names_is_refused() -> None:
    one = np.repeat(crowd(1, 1, seed=9), 40, axis=0)
    with pytest.raises(InsufficientData, match="as alike as one person"):
        calibrated(pool_of(one))


def test_a_person_who_is_there_twice_is_found_and_spoils_nothing() -> None:
    vectors = crowd(60, 4, seed=11)
    clean = calibrated(pool_of(vectors[:59]))
    vectors[59] = crowd(60, 4, seed=11)[0][:, :]  # the same pictures under another name
    found = calibrated(pool_of(vectors))
    assert found.too_alike == (frozenset({"p000", "p059"}),)
    assert found.look_alikes[0] in found.too_alike
    assert found.calibration.threshold == pytest.approx(clean.calibration.threshold, abs=0.01)
    assert clean.too_alike == ()


def test_people_who_would_be_taken_for_each_other_are_named() -> None:
    vectors = crowd(40, 2, seed=12)
    blend = vectors[3, 0] + 0.55 * vectors[4, 0]
    vectors[3, 0] = blend / np.linalg.norm(blend)
    assert frozenset({"p003", "p004"}) in calibrated(pool_of(vectors)).look_alikes


def test_a_cohort_without_the_middle_of_its_distribution_is_none() -> None:
    tail_only = FmrCurve(((1e-2, 0.303), (1e-5, 0.477)), "somewhere")
    matrix = pool_of(crowd(70, 2, seed=13))
    assert calibrated(matrix, tail_only) == calibrated(matrix, None)


@pytest.fixture(scope="module")
def of_sixty() -> Calibration:
    return calibrated(pool_of(crowd(60, 4, seed=14))).calibration


def test_recognition_uses_the_calibration_and_says_so(of_sixty: Calibration) -> None:
    threshold = ThresholdPolicy(COHORT).identification(240, of_sixty)
    assert threshold.value == pytest.approx(of_sixty.threshold, abs=1e-9)
    assert "calibrated 2026-11-23 on 60 people, 240 templates" in threshold.meaning
    assert "about 1.0% of strangers" in threshold.meaning
    assert "interval" in threshold.meaning
    assert "facepool calibrate" not in threshold.meaning


@pytest.mark.parametrize(("templates", "told"), [(300, False), (361, True), (240, False), (150, True)])
def test_the_threshold_grows_with_the_pool_and_a_pool_that_has_changed_much_is_told_of(
    of_sixty: Calibration, templates: int, told: bool
) -> None:
    threshold = ThresholdPolicy(COHORT).identification(templates, of_sixty)
    assert np.sign(threshold.value - of_sixty.threshold).item() == np.sign(templates - 240) or templates == 240
    assert (f"the pool has {templates} templates by now" in threshold.meaning) is told


def test_a_target_of_the_users_own_is_read_off_the_calibration(of_sixty: Calibration) -> None:
    strict = ThresholdPolicy(COHORT, target_fpir=0.001).identification(240, of_sixty)
    assert strict.value == pytest.approx(dict(of_sixty.points)[0.001])
    assert "about 0.1% of strangers" in strict.meaning
    assert "interval" not in strict.meaning  # it was measured for another target


def test_the_target_of_the_calibration_stands_where_the_user_sets_none(of_sixty: Calibration) -> None:
    for_two = replace(of_sixty, target_fpir=0.02, threshold=dict(of_sixty.points)[0.02])
    assert ThresholdPolicy(COHORT).identification(240, for_two).value == pytest.approx(for_two.threshold)


def test_a_threshold_of_the_users_own_stands_and_its_meaning_is_read_off_the_calibration(of_sixty: Calibration) -> None:
    threshold = ThresholdPolicy(None, fixed=of_sixty.threshold).identification(240, of_sixty)
    assert threshold.value == of_sixty.threshold
    assert "set by you; about 1.0% of strangers" in threshold.meaning
