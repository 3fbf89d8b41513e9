"""The geometry of five points before a pinhole camera: those of a plane, however it is held, and those of a head."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facepool.faces.facing import apart
from facepool.liveness.flat import FlatTest, NosePlace, Parallax, nose_place, parallax_of
from facepool.types import Floats

Doubles = npt.NDArray[np.float64]
FOCAL = 500.0
NOSES = st.floats(20, 36)
"""How far noses stand out, in millimetres."""
ANGLES = st.floats(0, 360)
SEEN = settings(max_examples=60, deadline=None)


def face(nose_mm: float) -> Doubles:
    """(5, 3) millimetres; the nose stands out by so much; the origin is where a neck would turn it."""
    points = np.array([[-31.5, 0, 0], [31.5, 0, 0], [0, 37, -nose_mm], [-28, 68, 0], [28, 68, 0]], np.float64)
    return points - (0, 34, 0)


def rotation(yaw_deg: float, pitch_deg: float, roll_deg: float = 0.0) -> Doubles:
    """Of a face that turns to the picture's right, then up, then tilts clockwise."""
    yaw, pitch, roll = np.radians((yaw_deg, pitch_deg, roll_deg))
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return np.asarray(tilt @ nod @ turn)


def seen(points: Doubles, rotated: Doubles, at_mm: tuple[float, float, float] = (0, 0, 600)) -> Floats:
    """(5, 2) where a camera sees them."""
    placed = points @ rotated.T + at_mm
    return np.asarray(placed[:, :2] / placed[:, 2:] * FOCAL + (320, 240), np.float32)


def place(landmarks: Floats) -> NosePlace:
    found = nose_place(0.0, landmarks)
    assert found is not None
    return found


def moved(points: Doubles, rotated: Doubles, at_mm: tuple[float, float, float] = (0, 0, 600)) -> Parallax | None:
    there = nose_place(0.0, seen(points, rotated, at_mm))
    return None if there is None else parallax_of(there, place(seen(points, np.eye(3))))


def turn_to(angle_deg: float, far_deg: float) -> Doubles:
    """A turn to an angle of the ring, less far up and down than to the side."""
    return rotation(far_deg * np.cos(np.radians(angle_deg)), 0.65 * far_deg * np.sin(np.radians(angle_deg)))


@SEEN
@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(-12, 12), st.floats(-150, 150), st.floats(350, 1500))
def test_a_plane_does_not_turn_however_it_is_held(
    yaw: float, pitch: float, roll: float, aside: float, away: float
) -> None:
    parallax = moved(face(0), rotation(yaw, pitch, roll), (aside, -aside / 2, away))
    assert parallax is None or parallax.turn.reach < 0.75


@SEEN
@given(st.floats(-40, 40), st.floats(-40, 40))
def test_a_camera_far_away_sees_no_parallax_of_a_plane_at_all(yaw: float, pitch: float) -> None:
    parallax = moved(face(0), rotation(yaw, pitch), (0, 0, 6000))
    assert parallax is None or parallax.length < 1e-2


@SEEN
@given(NOSES, ANGLES, st.floats(26, 36))
def test_a_head_turns_where_it_turns_and_has_relief(nose_mm: float, angle: float, far: float) -> None:
    parallax = moved(face(nose_mm), turn_to(angle, far))
    assert parallax is not None
    assert apart(parallax.turn.angle_deg, angle) < 20
    assert parallax.turn.reach > 0.8
    assert parallax.length / parallax.tilt > 0.2


@SEEN
@given(NOSES, st.floats(0.3, 3), st.floats(-200, 200), st.floats(0, 360))
def test_where_a_picture_lies_and_how_large_it_is_does_not_matter(
    nose_mm: float, scale: float, shift: float, roll: float
) -> None:
    landmarks = seen(face(nose_mm), rotation(10, 5))
    cos, sin = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    other = (landmarks @ np.array([[cos, sin], [-sin, cos]]) * scale + shift).astype(np.float32)
    assert place(other).nose == pytest.approx(place(landmarks).nose, abs=1e-3)


def test_a_head_on_the_shoulder_is_not_measured() -> None:
    assert moved(face(30), rotation(0, 0, 20)) is None
    assert moved(face(30), rotation(0, 0, 10)) is not None


@pytest.mark.parametrize(
    "landmarks",
    [
        np.zeros((5, 2)),
        np.full((5, 2), np.nan),
        np.array([[0, 0], [10, 0], [5, 0], [0, 0], [10, 0]]),
        np.array([[100, 100], [101, 100], [100, 120], [100, 150], [101, 150]]),
    ],
)
def test_points_that_span_no_face_are_left_out(landmarks: Doubles) -> None:
    assert nose_place(0.0, landmarks.astype(np.float32)) is None


def film(points: Doubles, rotations: list[Doubles], noise: float, seed: int = 0) -> FlatTest:
    """What landmarks with errors say; noise in units of the distance between eyes and mouth."""
    random, test = np.random.default_rng(seed), FlatTest()
    for number, turn in enumerate([np.eye(3)] * 15 + rotations):
        landmarks = seen(points, turn)
        size = np.linalg.norm(landmarks[3:].mean(axis=0) - landmarks[:2].mean(axis=0))
        test.add(number / 15, (landmarks + random.normal(0, noise * size, (5, 2))).astype(np.float32))
        if number == 14:
            test.look_straight(0.0)
    return test


AROUND = [turn_to(angle, 30) for angle in np.linspace(0, 720, 90)]


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05])
def test_a_head_that_looks_around_is_solid_and_its_picture_flat(noise: float) -> None:
    for seed in range(5):
        assert film(face(30), AROUND, noise, seed).measure().verdict == "solid"
        tilted = [turn_to(angle, 45) for angle in np.linspace(0, 720, 90)]
        assert film(face(0), tilted, noise, seed).measure().verdict == "flat"


def test_who_keeps_still_tells_nothing() -> None:
    for points in (face(0), face(30)):
        flatness = film(points, [np.eye(3)] * 60, 0.01).measure()
        assert (flatness.verdict, flatness.relief, flatness.score) == ("not_enough_motion", None, 0.0)
    assert FlatTest().measure().verdict == "not_enough_motion"


def test_a_bent_sheet_has_too_little_relief() -> None:
    bent = face(8)
    far = [turn_to(angle, 45) for angle in (0, 90, 180, 270) for _ in range(8)]
    flatness = film(bent, far, 0.0).measure()
    assert flatness.verdict == "flat"
    assert flatness.relief is not None
    assert flatness.relief < 0.2
    assert flatness.score < 1


def test_without_a_straight_look_the_usual_view_stands_for_it() -> None:
    test = FlatTest()
    for number, turn in enumerate(AROUND):
        test.add(number / 15, seen(face(30), turn))
    assert test.measure().verdict == "solid"
