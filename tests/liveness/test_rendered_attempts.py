"""The virtual camera of ``benchmarks/pad.py`` shows planes as planes, and its intervals are exact."""

import sys

import cv2
import numpy as np
import pytest

from facepool.types import Pose
from support.paths import ROOT

sys.path.append(str(ROOT / "benchmarks"))
from liveness.intervals import clopper_pearson  # type: ignore[import-not-found]
from liveness.motion import Follower, Habit, Instruction  # type: ignore[import-not-found]
from liveness.sheets import Photo, Sheet, folded, rolled  # type: ignore[import-not-found]
from liveness.surfaces import Camera, Placement, draw, in_room, project  # type: ignore[import-not-found]

CAMERA = Camera((480, 360), 430.0)
TURNED = Placement(Pose(32, -18, 7), np.array([20.0, -10.0, 520.0]), np.array([5.0, 30.0, 0.0]))
FACE = np.array([[80, 90], [140, 92], [111, 125], [88, 160], [134, 161]], np.float32)


def sheet_with_dots() -> Sheet:
    picture = np.zeros((250, 220, 3), np.uint8)
    for x, y in FACE.astype(int).tolist():
        cv2.circle(picture, (x, y), 4, (255, 255, 255), -1)
    return Sheet(Photo("nobody", picture, FACE))


def test_dots_on_a_turned_print_are_seen_where_a_pinhole_sees_them() -> None:
    sheet = sheet_with_dots()
    picture = np.zeros((360, 480, 3), np.uint8)
    draw(picture, CAMERA, sheet.surface(), TURNED)
    _, _, _, centres = cv2.connectedComponentsWithStats((picture[..., 0] > 128).astype(np.uint8))
    mm_per_px = 63 / float(np.hypot(*(FACE[1] - FACE[0])))
    places = np.column_stack([(FACE - FACE.mean(axis=0)) * mm_per_px, np.zeros(5)])
    expected = project(in_room(places, TURNED), CAMERA)
    gaps = np.linalg.norm(centres[1:, None] - expected[None], axis=2)
    assert gaps.shape == (5, 5)
    assert gaps.min(axis=0).max() < 0.7


@pytest.mark.parametrize("bend", [rolled(1 / 90), rolled(-1 / 90, upright=False), folded(30, 0.0)])
def test_bent_sheets_keep_their_lengths_and_leave_the_plane(bend: object) -> None:
    assert callable(bend)
    places = np.array([[-60.0, 0.0], [-59.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 59.0], [0.0, 60.0]])
    bent = bend(places)
    for first, second in ((0, 1), (2, 3), (4, 5)):
        assert np.linalg.norm(bent[first] - bent[second]) == pytest.approx(1, abs=0.01)
    assert np.ptp(bent[:, 2]) > 5


def test_a_follower_turns_late_then_to_where_it_is_asked_and_corrects_itself() -> None:
    random = np.random.default_rng(1)
    habit = Habit.of_a_person(random)
    follower = Follower(habit, random)
    early = follower.step(habit.reaction_s / 2, Instruction(0.0))
    assert abs(early.yaw_deg - habit.rest_deg[0]) < 4
    for frame in range(1, 40):
        place = follower.step(frame / 10, Instruction(0.0))
    assert place.yaw_deg > 12
    before = place.pitch_deg
    for frame in range(40, 60):
        place = follower.step(frame / 10, Instruction(0.0, off_deg=40.0))
    assert place.pitch_deg < before - 3


@pytest.mark.parametrize(
    ("errors", "trials", "low", "high"), [(0, 400, 0, 0.00918), (7, 300, 0.00944, 0.04749), (5, 5, 0.4782, 1)]
)
def test_intervals_are_those_of_clopper_and_pearson(errors: int, trials: int, low: float, high: float) -> None:
    assert clopper_pearson(errors, trials) == pytest.approx((low, high), abs=5e-5)
