import pytest

from facepool.enroll.ring import Slot, largest_gap, next_direction, slot_of
from facepool.faces.facing import place
from facepool.types import Pose

STRAIGHT = Pose(0, 0, 0)


@pytest.mark.parametrize(
    ("yaw", "pitch", "slot"),
    [(0, 0, None), (10, 0, None), (14, 0, Slot(0, "near")), (30, 0, Slot(0, "far")), (0, -9, Slot(9, "near"))],
)
def test_a_turn_has_a_place_on_the_ring(yaw: float, pitch: float, slot: Slot | None) -> None:
    assert slot_of(place(Pose(yaw, pitch, 0))) == slot


@pytest.mark.parametrize(
    ("covered", "gap"),
    [
        ([False] * 4, [0, 1, 2, 3]),
        ([True] * 4, []),
        ([True, False, True, True], [1]),
        ([False, True, False, False], [2, 3, 0]),
        ([False, True, False, True], [2]),
    ],
)
def test_the_largest_gap_goes_around_the_end(covered: list[bool], gap: list[int]) -> None:
    assert largest_gap(covered) == gap


def test_the_person_is_sent_on_from_where_they_are() -> None:
    covered = [True, True, True] + [False] * 9
    assert next_direction(covered, place(Pose(2, 14, 0))) == 3
    assert next_direction(covered, place(Pose(14, -2, 0))) == 11
    assert next_direction(covered, place(STRAIGHT)) == 7
    assert next_direction([True] * 12, None) is None
