from dataclasses import replace

import numpy as np
import pytest

from facepool.enroll.ring import RingPart, stored_ring
from facepool.faces.facing import DIRECTIONS
from facepool.types import Pose, Sample, Template
from support.pools import unit


def stored(*poses: Pose | None, quality: float = 80) -> list[Template]:
    return [
        Template(number, "Ada", Sample(unit(number), pose=pose, quality=quality))
        for number, pose in enumerate(poses, start=1)
    ]


def of_scan(templates: list[Template], front: Pose) -> list[Template]:
    return [replace(one, sample=replace(one.sample, frontal_pose=front)) for one in templates]


def around(count: int = 12, yaw: float = 16, pitch: float = 9, lifted: float = 0) -> list[Pose | None]:
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return [Pose(float(yaw * np.cos(a)), float(pitch * np.sin(a)) + lifted, 0) for a in angles]


def test_nobody_has_views_around() -> None:
    for templates in ([], stored(None, None)):
        ring = stored_ring(templates)
        assert (ring.middle, ring.coverage) == (None, 0)
        assert len(ring.parts) == DIRECTIONS
        assert not any(part.covered for part in ring.parts)


def test_one_view_is_the_middle_whatever_way_it_looks() -> None:
    ring = stored_ring(stored(Pose(30, 0, 0)))
    assert (ring.middle, ring.coverage) == (1, 0)


@pytest.mark.parametrize("lifted", [0, 15, -15])
def test_a_full_circle_covers_every_direction_from_wherever_the_camera_looks(lifted: float) -> None:
    ring = stored_ring(stored(*around(lifted=lifted), Pose(0, lifted, 0), None))
    assert (ring.middle, ring.coverage) == (13, 1)
    assert {part.near for part in ring.parts} == {80}


def test_the_best_view_of_a_place_counts_and_the_far_ring_covers_too() -> None:
    templates = [*stored(Pose(0, 0, 0), Pose(1, 0, 0), Pose(0, 1, 0)), *stored(Pose(30, 0, 0), quality=60)]
    templates += stored(Pose(31, 0, 0), quality=70)
    ring = stored_ring(templates)
    assert ring.parts[0] == RingPart(angle_deg=0, near=None, far=70)
    assert not any(part.covered for part in ring.parts[1:])
    assert ring.coverage == 1 / 12


def test_what_was_straight_ahead_in_a_scan_is_the_middle_of_its_views() -> None:
    poses = [Pose(0, 15, 0), Pose(16, 15, 0), Pose(17, 15, 0), Pose(18, 15, 0)]  # a low camera, and one side only
    templates = stored(*poses)
    guessed = stored_ring(templates)
    assert guessed.middle in (2, 3)
    told = stored_ring(of_scan(templates, Pose(0, 15, 0)))
    assert told.middle == 1
    assert [number for number, part in enumerate(told.parts) if part.covered] == [0]


def test_views_of_an_appearance_that_was_not_scanned_have_a_middle_of_their_own() -> None:
    scanned = of_scan(stored(Pose(0, 15, 0), Pose(16, 15, 0)), Pose(0, 15, 0))
    plain = [Template(9, "Ada", Sample(unit(9), pose=Pose(0, -3, 0), quality=80, appearance="hat"))]
    ring = stored_ring([*scanned, *plain])
    assert ring.middle in (1, 9)
    assert [number for number, part in enumerate(ring.parts) if part.covered] == [0]


def test_each_scan_has_a_camera_of_its_own_and_photos_are_taken_for_the_last_one_s() -> None:
    low = of_scan(stored(*around(lifted=15)), Pose(0, 15, 0))
    high = of_scan(stored(Pose(0, -15, 0), Pose(16, -15, 0)), Pose(0, -15, 0))
    assert stored_ring([*low, *high]).coverage == 1
    photo = stored(Pose(-16, -15, 0))
    parts = stored_ring([*high, *photo]).parts
    assert [number for number, part in enumerate(parts) if part.covered] == [0, 6]
