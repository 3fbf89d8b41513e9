"""Pose against heads whose pose is known: projected points first, then rendered photographs."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from facepool.faces.detect import RetinaFace
from facepool.faces.pose import estimate_pose, fit_heads
from facepool.geometry import ARCFACE_112
from facepool.types import Floats, Pose
from support.synthetic_camera import SyntheticHead, rotation_of, towards

WH = (640, 480)
Angles = tuple[float, float, float]


def projected(angles: Angles, shift_mm: tuple[float, float, float] = (0, 0, 600)) -> Floats:
    """Landmarks of the average face seen by a pinhole camera."""
    from facepool.faces.pose import _FACE_MM

    shift = np.array(shift_mm, np.float64)
    points = _FACE_MM @ (towards(shift) @ rotation_of(Pose(*angles))).T + shift
    return np.asarray(points[:, :2] / points[:, 2:] * max(WH) + np.array(WH) / 2, np.float32)


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (30, 0, 0), (-45, 0, 0), (0, 20, 0), (0, -25, 0), (0, 0, 15), (20, 10, 0), (25, -10, 20)]
)
@pytest.mark.parametrize("shift", [(0, 0, 600), (150, 0, 600), (-150, 100, 900)])
def test_the_average_face_is_measured_back(angles: Angles, shift: tuple[float, float, float]) -> None:
    pose = estimate_pose(projected(angles, shift)[None], WH)[0]
    assert pose is not None
    np.testing.assert_allclose((pose.yaw, pose.roll), (angles[0], angles[2]), atol=1.5)
    assert abs(pose.pitch - angles[1]) < 1 + 0.2 * abs(angles[1])


def test_faces_together_have_the_poses_that_they_have_alone() -> None:
    faces = np.stack([projected((yaw, pitch, 5)) for yaw in (-30, 0, 30) for pitch in (-15, 15)])
    together = estimate_pose(faces, WH)
    for face, pose in zip(faces, together, strict=True):
        alone = estimate_pose(face[None], WH)[0]
        assert pose is not None
        assert alone is not None
        np.testing.assert_allclose((pose.yaw, pose.pitch, pose.roll), (alone.yaw, alone.pitch, alone.roll), atol=0.2)


def test_a_raised_mouth_does_not_flip_the_pitch() -> None:
    smiling = projected((0, 0, 0))
    smiling[3:, 1] -= 12
    pose = estimate_pose(smiling[None], WH)[0]
    assert pose is not None
    assert abs(pose.pitch) < 20


def test_no_face_has_no_pose() -> None:
    heads = fit_heads(np.zeros((0, 5, 2), np.float32), WH)
    assert list(heads.poses) == []
    assert heads.misfit_mm.shape == (0,)


UPRIGHT = ARCFACE_112 * 2 + 100
NO_HEADS = {
    "not a number": np.full((5, 2), np.nan),
    "infinite": np.full((5, 2), np.inf),
    "all on one point": np.full((5, 2), 100),
    "on a line": np.stack([np.arange(5) * 20, np.full(5, 7)], axis=1),
    "eyes swapped": UPRIGHT[[1, 0, 2, 3, 4]],
    "eyes below the mouth": UPRIGHT[[3, 4, 2, 0, 1]],
    "an eye in place of the nose": UPRIGHT[[2, 1, 0, 3, 4]],
}


@pytest.mark.parametrize("name", NO_HEADS)
def test_landmarks_that_fit_no_head_have_no_pose(name: str) -> None:
    faces = np.stack([UPRIGHT, NO_HEADS[name]]).astype(np.float32)
    heads = fit_heads(faces, WH)
    assert heads.poses[0] is not None
    assert heads.poses[1] is None
    assert heads.misfit_mm[0] < 4 < heads.misfit_mm[1]


PEOPLE = ("person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2")


def seen(head: SyntheticHead, poses: Sequence[Pose], detector: RetinaFace) -> Floats:
    """(K, 2) yaw and pitch as measured, relative to the first."""
    measured = []
    for pose in poses:
        detections = detector.detect([head.render(pose)])[0]
        found = estimate_pose(detections.landmarks[:1], WH)[0]
        assert found is not None
        measured.append((found.yaw, found.pitch))
    return np.array(measured, np.float32) - np.array(measured[0], np.float32)


@pytest.mark.parametrize("name", PEOPLE)
def test_yaw_and_pitch_follow_a_rendered_head(
    name: str, head_of: Callable[[str], SyntheticHead], retinaface: RetinaFace
) -> None:
    yaws = [0, -40, -30, -20, -10, 10, 20, 30, 40]
    pitches = [0, -20, -10, 10, 20]
    turned = seen(head_of(name), [Pose(yaw, 0, 0) for yaw in yaws], retinaface)
    nodded = seen(head_of(name), [Pose(0, pitch, 0) for pitch in pitches], retinaface)

    off = np.abs(turned[:, 0] - yaws)
    assert off.mean() < 6
    assert off[np.abs(yaws) <= 30].max() < 10
    assert np.abs(nodded[:, 1] - pitches).mean() < 6
    assert np.abs(turned[:, 1]).max() < 12
    assert np.abs(nodded[:, 0]).max() < 9
    assert (np.diff(turned[np.argsort(yaws), 0]) > 0).all()
    assert (np.diff(nodded[np.argsort(pitches), 1]) > 0).all()
