import cv2
import numpy as np
import pytest

from facepool.geometry import ARCFACE_112
from facepool.pose import estimate_pose
from facepool.quality import FaceMeasures, measure
from facepool.types import AlignedFaces, Detections, Floats

WH = (640, 480)


def textured(seed: int = 0) -> AlignedFaces:
    blocks = np.random.default_rng(seed).integers(40, 220, (28, 28, 1), dtype=np.uint8)
    return AlignedFaces(np.kron(blocks, np.ones((4, 4, 3), np.uint8))[None], "arcface-112")


def detected(size: float) -> Detections:
    return Detections(np.array([[0, 0, size, size * 1.3]], np.float32), np.ones(1, np.float32), ARCFACE_112[None])


def overall(faces: AlignedFaces, size: float = 112) -> float:
    return float(measure(detected(size), faces).overall[0])


def test_no_face_has_no_measures() -> None:
    nothing = measure(Detections.empty(), AlignedFaces(np.zeros((0, 112, 112, 3), np.uint8), "arcface-112"))
    assert len(nothing.overall) == len(nothing.sharpness) == 0


def test_blur_darkness_and_distance_each_cost_quality() -> None:
    good = textured()
    blurred = AlignedFaces(np.asarray(cv2.GaussianBlur(good.images_bgr[0], (0, 0), 6))[None], "arcface-112")
    dark = AlignedFaces((good.images_bgr * 0.15).astype(np.uint8), "arcface-112")
    assert overall(good) > 80
    assert overall(blurred) < overall(good) - 30
    assert overall(dark) < overall(good) - 30
    assert overall(good, size=30) < overall(good) - 30


def test_overall_is_the_worst_measure_on_a_scale_of_a_hundred() -> None:
    def one(value: float) -> Floats:
        return np.array([value], np.float32)

    assert FaceMeasures(one(66), one(1e6), one(128), one(80)).overall[0] == pytest.approx(50)
    assert FaceMeasures(one(1000), one(0), one(128), one(80)).overall[0] == 0
    assert FaceMeasures(one(1000), one(1e6), one(128), one(80)).overall[0] == 100


def projected(yaw: float, pitch: float, roll: float, shift_mm: tuple[float, float, float] = (0, 0, 600)) -> Floats:
    """Landmarks of the model face seen by a pinhole camera, turned in the convention of ``Pose``."""
    from facepool.pose import _FACE_MM

    y, p, r = np.radians([yaw, pitch, roll])
    turn_yaw = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    turn_pitch = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    turn_roll = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    points = _FACE_MM @ (turn_yaw @ turn_pitch @ turn_roll).T + shift_mm
    return np.asarray(points[:, :2] / points[:, 2:] * max(WH) + np.array(WH) / 2, np.float32)


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (30, 0, 0), (-45, 0, 0), (0, 20, 0), (0, -25, 0), (0, 0, 15), (20, 10, 0)]
)
def test_a_projected_head_is_measured_back(angles: tuple[float, float, float]) -> None:
    pose = estimate_pose(projected(*angles)[None], WH)[0]
    assert pose is not None
    np.testing.assert_allclose((pose.yaw, pose.pitch, pose.roll), angles, atol=1.5)


def test_landmarks_that_fit_no_head_have_no_pose() -> None:
    assert estimate_pose(np.zeros((0, 5, 2), np.float32), WH) == []
    assert estimate_pose(np.full((1, 5, 2), np.nan, np.float32), WH) == [None]
    assert estimate_pose(np.full((1, 5, 2), 100, np.float32), WH) == [None]
