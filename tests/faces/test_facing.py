import pytest
from hypothesis import given
from hypothesis import strategies as st

from facepool.faces.facing import angle_between, direction_words, place, relative
from facepool.types import Pose

STRAIGHT = Pose(0, 0, 0)
ANGLES = st.floats(-40, 40)


@pytest.mark.parametrize(
    ("yaw", "pitch", "zone", "direction"),
    [
        (0, 0, "frontal", 0),
        (10, 0, "between", 0),
        (14, 0, "near", 0),
        (30, 0, "far", 0),
        (0, 9, "near", 3),
        (0, 20, "far", 3),
        (-14, 0, "near", 6),
        (0, -9, "near", 9),
        (14, -1, "near", 0),
        (-12, -5, "near", 7),
    ],
)
def test_a_turn_has_a_direction_and_a_zone(yaw: float, pitch: float, zone: str, direction: int) -> None:
    turn = place(Pose(yaw, pitch, 0))
    assert (turn.zone, turn.direction) == (zone, direction)


@given(ANGLES, ANGLES)
def test_a_pose_relative_to_itself_is_straight_ahead(yaw: float, pitch: float) -> None:
    pose = relative(Pose(yaw, pitch, 3), Pose(yaw, pitch, 3))
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((0, 0, 0), abs=1e-6)


@given(ANGLES, ANGLES, ANGLES, ANGLES)
def test_a_change_of_reference_keeps_how_far_a_head_is_turned(yaw: float, pitch: float, at: float, up: float) -> None:
    pose, reference = Pose(yaw, pitch, 0), Pose(at, up, 0)
    assert angle_between(relative(pose, reference), STRAIGHT) == pytest.approx(angle_between(pose, reference), abs=1e-4)


def test_a_turn_to_the_side_seen_from_above_is_a_turn_to_the_side() -> None:
    # A head that turns by 40 degrees about its own upright axis, seen by a camera 30 degrees above it.
    pose = relative(Pose(44.1, -22.5, 0), Pose(0, -30, 0))
    assert (pose.yaw, pose.pitch) == pytest.approx((40, 0), abs=0.2)


def test_left_is_the_persons_own() -> None:
    assert [direction_words(angle) for angle in (0, 90, 180, 270, 30, 359)] == [
        "left",
        "up",
        "right",
        "down",
        "up and left",
        "left",
    ]
