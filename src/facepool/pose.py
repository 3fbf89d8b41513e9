"""Head pose from five landmarks: perspective-n-point on a rigid, average face."""

import cv2
import numpy as np
import numpy.typing as npt

from facepool.types import Floats, Pose

Doubles = npt.NDArray[np.float64]

# Millimetres; x to the image's right, y downwards, z away from the camera, origin between the eyes. Widths and
# heights are the alignment template's at 63 mm between the pupils; depths are anthropometric means.
_FACE_MM = np.array(
    [[-31.5, 0.0, 0.0], [31.5, 0.0, 0.0], [0.0, 36.0, -26.0], [-26.0, 73.0, -4.0], [26.0, 73.0, -4.0]], np.float64
)


def estimate_pose(landmarks: Floats, image_wh: tuple[int, int]) -> list[Pose | None]:
    """Estimate each head's pose.

    The camera is taken to be as long in focus as the picture is wide, which fits webcams within a few degrees; poses
    are good for comparing views of one person, less for absolute angles.

    Args:
        landmarks: (N, 5, 2) float32 in pixels.
        image_wh: Width and height of the image in pixels.

    Returns:
        One pose a face; None where the landmarks fit no head. An empty list for no face.
    """
    focal = float(max(image_wh))
    camera = np.array([[focal, 0, image_wh[0] / 2], [0, focal, image_wh[1] / 2], [0, 0, 1]], np.float64)
    return [_solve(points.astype(np.float64), camera) for points in landmarks]


def _solve(points: Doubles, camera: Doubles) -> Pose | None:
    if not np.isfinite(points).all() or np.ptp(points, axis=0).min() < 1:
        return None
    solved, rotation_vector, shift = cv2.solvePnP(_FACE_MM, points, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    if not solved or shift[2, 0] <= 0:
        return None
    rotation = cv2.Rodrigues(rotation_vector)[0]
    # Seen from the head, not from the camera: a face at the picture's edge that looks at the camera is frontal.
    rotation = _towards(np.asarray(shift[:, 0], np.float64)).T @ rotation
    facing = -rotation[:, 2]
    yaw = np.degrees(np.arctan2(facing[0], -facing[2]))
    pitch = np.degrees(np.arcsin(np.clip(-facing[1], -1, 1)))
    roll = np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0]))
    return Pose(float(yaw), float(pitch), float(roll))


def _towards(direction: Doubles) -> Doubles:
    """Rotation that turns the optical axis towards a direction without rolling."""
    forward = direction / np.linalg.norm(direction)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward], axis=1)
