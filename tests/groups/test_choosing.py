from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facepool.enroll.identity import IdentityCheck
from facepool.faces.quality import FaceMeasures, QualityPolicy
from facepool.gallery import Pool, open_pool
from facepool.groups.choosing import choose_faces, middle_first, samples_of
from facepool.thresholds import ThresholdPolicy
from facepool.types import Pose, Sample
from support.fake_scan_analyzer import CURVE
from support.strangers import SPACE, faces, samples

BO, ADA = 1, 2
QUALITY = QualityPolicy()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        yield pool


def identity(pool: Pool, name: str = "Bo", *, force: bool = False) -> IdentityCheck:
    return IdentityCheck(name, pool, SPACE, ThresholdPolicy(CURVE), novelty=0.8, most=16, force=force)


def chosen(pool: Pool, kept: list[Sample], room: int = 16) -> list[int]:
    return choose_faces(kept, identity(pool), QUALITY, room)


def test_nothing_is_chosen_of_nothing(pool: Pool) -> None:
    assert chosen(pool, []) == []
    assert middle_first([], identity(pool)) == []


def test_faces_that_differ_are_chosen_and_those_alike_are_not(pool: Pool) -> None:
    alike = samples_of(faces(BO, range(5), likeness=0.95), "door")
    assert len(chosen(pool, alike)) == 1
    kept = [*alike, *samples_of(faces(BO, range(10, 14)), "yard")]
    rows = chosen(pool, kept)
    assert set(rows) >= {5, 6, 7, 8}
    vectors = np.stack([kept[row].embedding for row in rows])
    similarities = vectors @ vectors.T - 2 * np.eye(len(rows))
    assert similarities.max() < 0.8


def test_no_more_are_chosen_than_there_is_room_for_and_every_way_comes_first(pool: Pool) -> None:
    poses = [Pose(yaw, 0.0, 0.0) for yaw in (0, 1, 2, 3, 30, -30)]
    kept = samples_of(faces(BO, range(6), poses=poses), "door")
    rows = chosen(pool, kept, room=3)
    assert len(rows) == 3
    assert set(rows) >= {4, 5}


def test_poor_faces_are_not_chosen(pool: Pool) -> None:
    assert chosen(pool, samples_of(faces(BO, range(3), size_px=20), "door")) == []
    assert chosen(pool, samples_of(faces(BO, range(3), quality=5), "door")) == []


def test_a_face_that_is_just_good_enough_in_everything_is_chosen(pool: Pool) -> None:
    limits = [
        QUALITY.min_size_px, QUALITY.min_sharpness, QUALITY.min_brightness, QUALITY.min_contrast, QUALITY.min_detail,
        QUALITY.max_misfit_mm, QUALITY.min_score,
    ]  # fmt: skip
    measures = FaceMeasures(*(np.array([limit], np.float32) for limit in limits))
    assert QUALITY.flaws(measures) == [()]
    overall = float(measures.overall[0])
    assert QUALITY.least_overall <= overall
    assert chosen(pool, samples_of(faces(BO, [1], quality=overall), "door")) == [0]


def test_a_face_of_somebody_else_in_the_group_is_left_out(pool: Pool) -> None:
    kept = [*samples_of(faces(BO, range(4)), "door"), *samples_of(faces(ADA, [1]), "door")]
    assert 4 not in chosen(pool, kept)
    pool.register("Ada", samples(ADA, range(2, 6)), SPACE)
    assert 4 not in chosen(pool, kept)
    assert 4 in choose_faces(kept, identity(pool, force=True), QUALITY, 16)


def test_what_is_stored_already_is_not_chosen_again_and_counts_for_the_room(pool: Pool) -> None:
    pool.register("Bo", samples(BO, range(14)), SPACE)
    kept = samples_of(faces(BO, range(10, 20)), "door")
    rows = chosen(pool, kept, room=2)
    assert len(rows) == 2
    assert min(rows) >= 4


def test_a_face_in_the_middle_says_whether_they_are_the_person(pool: Pool) -> None:
    kept = [*samples_of(faces(ADA, [1]), "door"), *samples_of(faces(BO, range(3)), "door")]
    assert middle_first(kept, identity(pool))[-1] == 0  # the least typical one is the last
    pool.register("Ada", samples(ADA, [1]), SPACE)  # whom one face of four is
    order = middle_first(kept, identity(pool, "Ada"))
    assert order[0] != 0
    assert sorted(order) == [0, 1, 2, 3]
