"""``facepool calibrate``, as a user runs it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from facepool import open_pool
from facepool.models.catalog import CATALOG, space_of
from facepool.types import EmbeddingSpace, Floats, Sample
from support.commands import Commands
from support.crowds import crowd

SFACE = space_of(CATALOG["sface"])
OTHER = EmbeddingSpace("somebody's", "ef" * 32, "rgb-0-1/1", "arcface-112", mirrored=True, dimension=128)


def fill(path: Path, vectors: Floats, space: EmbeddingSpace = SFACE, names: Sequence[str] = ()) -> None:
    """A pool of made-up people; each is stored in one go."""
    with open_pool(path, space) as pool:
        for number, templates in enumerate(vectors):
            name = names[number] if names else f"p{number:03}"
            pool.register(name, [Sample(vector) for vector in templates], space)


def calibration_of(path: Path) -> object:
    with open_pool(path) as pool:
        return pool.calibration()


@pytest.mark.parametrize("file", ["pool.db", "model_faces.npy"])
def test_a_pool_is_calibrated_and_recognition_says_so(facepool: Commands, photos: Path, file: str) -> None:
    pool = facepool.folder / file
    fill(pool, crowd(30, 2, seed=1))
    before = facepool("recognize", photos / "impostor_1.jpg", "--pool", pool)
    assert "; calibrated 2" not in before.err
    outcome = facepool("calibrate", "--pool", pool)
    assert outcome.code == 0, outcome.err
    first, measured, source = outcome.out.splitlines()
    assert "1.00% of strangers would be named (95% interval" in first
    assert measured == "Measured on 30 people with 60 views: 3,480 comparisons of different people"
    assert "LFW" in source
    assert "recognition uses it from now on" in outcome.err
    after = facepool("recognize", photos / "impostor_1.jpg", "--pool", pool)
    assert after.code == 0, after.err
    threshold = first.split()[1].rstrip(":")
    assert f"Threshold {threshold}: about 1.0% of strangers would be named; calibrated 2" in after.err
    assert "on 30 people, 60 templates" in after.err
    fill(pool, crowd(20, 2, seed=2), names=[f"new {number}" for number in range(20)])
    assert "the pool has 100 templates by now" in facepool("recognize", photos / "impostor_1.jpg", "--pool", pool).err


def test_as_json_it_tells_everything_in_one_object(facepool: Commands) -> None:
    vectors = crowd(30, 3, seed=3)
    vectors[29] = vectors[0]
    fill(facepool.pool, vectors)
    outcome = facepool("calibrate", "--json", "--target-fpir", "0.02")
    assert outcome.code == 0, outcome.err
    (record,) = outcome.records
    assert tuple(record) == (
        *("threshold", "target_fpir", "interval", "level", "people", "templates", "comparisons", "borrowed", "cohort"),
        *("created_at", "space", "kept", "look_alikes"),
    )
    assert (record["target_fpir"], record["people"], record["templates"]) == (0.02, 30, 90)
    assert (record["space"], record["kept"]) == (SFACE.id, True)
    (twice,) = [pair for pair in record["look_alikes"] if pair["same_person"]]  # type: ignore[attr-defined]
    assert twice["people"] == ["p000", "p029"]
    assert twice["margin"] > 0.05
    assert "p000 and p029 are as alike as one person" in outcome.err
    with open_pool(facepool.pool) as pool:
        assert frozenset({"p000", "p029"}) in pool.look_alikes()


def test_a_trial_keeps_nothing_and_what_was_kept_can_be_forgotten(facepool: Commands) -> None:
    fill(facepool.pool, crowd(25, 2, seed=4))
    assert "Nothing was kept" in facepool("calibrate", "--dry-run").err
    assert calibration_of(facepool.pool) is None
    assert facepool("calibrate").code == 0
    assert calibration_of(facepool.pool) is not None
    assert facepool("calibrate", "--forget").code == 0
    assert calibration_of(facepool.pool) is None


def test_too_small_a_pool_says_how_many_it_takes(crowd_of_two: Commands) -> None:
    outcome = crowd_of_two("calibrate")
    assert outcome.code == 4
    assert "error [insufficient_data] Insufficient data: have 2 people, need 20" in outcome.error
    assert calibration_of(crowd_of_two.pool) is None


@pytest.fixture
def crowd_of_two(facepool: Commands, crowd: Commands) -> Commands:
    facepool.take_pool_of(crowd)
    return facepool


def test_a_model_that_nobody_measured_takes_more_people(facepool: Commands) -> None:
    fill(facepool.pool, crowd(40, 2, seed=5), OTHER)
    outcome = facepool("calibrate")
    assert (outcome.code, "have 40 people, need 64" in outcome.error) == (4, True)
    fill(facepool.pool, crowd(30, 2, seed=6), OTHER, [f"new {number}" for number in range(30)])
    outcome = facepool("calibrate", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.records[0]["cohort"] is None


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--target-fpir", "0.7"), "at most 50%"),
        (("--target-fpir", "0"), "target_fpir"),
        (("--dry-run", "--forget"), "Leave one out"),
    ],
)
def test_what_cannot_be_asked_is_refused(crowd_of_two: Commands, flags: tuple[str, ...], says: str) -> None:
    outcome = crowd_of_two("calibrate", *flags)
    assert outcome.code == 2
    assert says in outcome.error


def test_a_pool_that_does_not_exist_is_not_made(facepool: Commands) -> None:
    assert facepool("calibrate").code == 3
    assert not facepool.pool.exists()
