"""Head pose from five landmarks: a pinhole camera fitted to a face that may differ from the average one.

A rigid face is not enough. Five points of an almost flat face look nearly alike from above and from below, so a mouth
that sits a little high, or smiles, flips the pitch of perspective-n-point by 60 degrees. Here the nose and the mouth
may move as they do between people and with expression, at a cost (maximum a posteriori, by the method of Levenberg and
Marquardt). ``benchmarks/pose.py`` shows how well it measures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facepool.geometry import turn_points, turn_size
from facepool.types import Detections, Floats, Mask, Pose, Turn

Doubles = npt.NDArray[np.float64]

# Millimetres; x to the image's right, y downwards, z away from the camera, origin between the eyes. Widths and
# heights are the alignment template's at 63 mm between the pupils; depths are anthropometric means.
_FACE_MM: Doubles = np.array([[-31.5, 0, 0], [31.5, 0, 0], [0, 37, -31], [-28, 68, 3], [28, 68, 3]], np.float64)
# How faces differ, one standard deviation each: the nose's height, the mouth's height, the mouth's width.
_SHAPES_MM: Doubles = np.zeros((3, 5, 3))
_SHAPES_MM[0, 2, 1] = 2.5
_SHAPES_MM[1, 3:, 1] = 10.0
_SHAPES_MM[2, 3:, 0] = -4.0, 4.0

_LANDMARK_MM = 5.0
"""Deviation of a landmark: the detector's error and all that the shapes do not cover."""
_UPRIGHT = np.radians([60.0, 60.0])
"""Deviation of yaw and pitch before anything was measured."""
NO_HEAD_MM = 8.0
"""Landmarks that are further off fit no head. Faces reach 4, half-hidden ones and strict profiles 7; points that are
none start at 5, with a median of 17. What a detector makes of an upside-down face is mostly beyond it."""

_STEPS = 12
_SETTLED = 1e-3  # squared standard deviations
_YAW, _PITCH, _ROLL, _X, _Y, _SCALE = range(6)
_PARAMETERS = 6 + len(_SHAPES_MM)
_DIAGONAL = np.arange(_PARAMETERS)
_NUDGE = 1e-4
_NUDGES = _NUDGE * np.eye(1 + _PARAMETERS, _PARAMETERS, -1)[:, None]
"""Nothing first, then each parameter by itself."""


@dataclass(frozen=True, slots=True)
class Heads:
    """What the landmarks of an image show, one row a face.

    Attributes:
        poses: N poses; None where the landmarks fit no head.
        misfit_mm: (N,) float32, root mean square distance of the landmarks from those of the fitted head, at the
            scale of an adult's face; infinite where nothing could be fitted.
    """

    poses: Sequence[Pose | None]
    misfit_mm: Floats


def fit_a_head(detections: Detections) -> Mask:
    """Whether the landmarks of each face may be those of a head, (N,) bool; where it was not measured they may."""
    if detections.misfit_mm is None:
        return np.ones(len(detections), np.bool_)
    return np.asarray(detections.misfit_mm <= NO_HEAD_MM)


def estimate_pose(landmarks: Floats, image_wh: tuple[int, int]) -> list[Pose | None]:
    """The poses of ``fit_heads`` alone."""
    return list(fit_heads(landmarks, image_wh).poses)


def fit_heads(landmarks: Floats, image_wh: tuple[int, int], turn: Turn = 0) -> Heads:
    """Fit a head to each face's landmarks.

    The camera is taken to be as long in focus as the picture is wide, which fits webcams within a few degrees; poses
    are good for comparing views of one person, less for absolute angles.

    Args:
        landmarks: (N, 5, 2) float32 in pixels.
        image_wh: Width and height of the image in pixels.
        turn: Degrees clockwise by which the image has to be turned to be upright; poses are those in the upright one.

    Returns:
        Poses relative to the line of sight: a face at the picture's edge that looks at the camera is frontal. Nothing
        in each column for no face.
    """
    points = turn_points(landmarks, image_wh, turn).astype(np.float64)
    image_wh = turn_size(image_wh, turn)
    poses: list[Pose | None] = [None] * len(points)
    misfits = np.full(len(points), np.inf, np.float32)
    usable = np.flatnonzero(_spread_out(points))
    if len(usable) == 0:
        return Heads(poses, misfits)
    focal = float(max(image_wh))
    seen = _seen_straight(points[usable], np.array(image_wh) / 2, focal)
    fits = _fit(seen, focal)
    away_mm = (_project(fits, focal) - seen) / np.exp(fits[:, _SCALE])[:, None, None]
    misfits[usable] = np.sqrt((away_mm**2).sum(axis=2).mean(axis=1))
    for row, fit in zip(usable, fits, strict=True):
        if misfits[row] <= NO_HEAD_MM:
            poses[row] = _as_pose(fit)
    return Heads(poses, misfits)


def _spread_out(points: Doubles) -> npt.NDArray[np.bool_]:
    """Which faces have five finite points that do not lie on a line along an axis; the fit needs some extent."""
    finite = np.asarray(np.isfinite(points).all(axis=(1, 2)))
    tame = np.where(finite[:, None, None], points, 0)
    extent = (tame.max(axis=1) - tame.min(axis=1)).min(axis=1)
    return np.asarray(finite & (extent >= 1))


def _seen_straight(points: Doubles, middle: Doubles, focal: float) -> Doubles:
    """The points as a camera sees them that looks straight at each face, relative to its picture's centre."""
    rays = np.concatenate([points - middle, np.full((*points.shape[:2], 1), focal)], axis=2)
    forward = rays.mean(axis=1)
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    x, y, z = forward.T
    level = np.hypot(x, z)
    # The camera's own right and down, square to each other: np.cross takes a seventh of the whole fit.
    right = np.stack([z / level, np.zeros(len(z)), -x / level], axis=1)
    down = np.stack([-x * y / level, level, -y * z / level], axis=1)
    turned = rays @ np.stack([right, down, forward], axis=2)
    return np.asarray(turned[..., :2] / turned[..., 2:] * focal)


def _fit(points: Doubles, focal: float) -> Doubles:
    """(N, P) parameters that make each head likeliest, starting from one that looks straight ahead."""
    fits = _start(points)
    residuals, slopes = _linearized(fits, points, focal)
    costs = (residuals**2).sum(axis=1)
    damping = np.full(len(fits), 1e-2)
    for _ in range(_STEPS):
        uphill = np.swapaxes(slopes, 1, 2)
        normal = uphill @ slopes
        normal[:, _DIAGONAL, _DIAGONAL] *= 1 + damping[:, None]
        tried = fits - np.linalg.solve(normal, uphill @ residuals[..., None])[..., 0]
        tried_residuals, tried_slopes = _linearized(tried, points, focal)
        tried_costs = (tried_residuals**2).sum(axis=1)
        settled = bool((np.abs(tried_costs - costs) < _SETTLED).all())
        better = tried_costs < costs
        fits[better], residuals[better], slopes[better] = tried[better], tried_residuals[better], tried_slopes[better]
        costs = np.where(better, tried_costs, costs)
        damping *= np.where(better, 0.1, 10)
        if settled:
            break
    return fits


def _linearized(fits: Doubles, points: Doubles, focal: float) -> tuple[Doubles, Doubles]:
    """(N, R) residuals and (N, R, P) slopes: each parameter is nudged, and all of them in one evaluation."""
    probed = _residuals(fits + _NUDGES, points, focal)
    return probed[0], ((probed[1:] - probed[0]) / _NUDGE).transpose(1, 2, 0)


def _start(points: Doubles) -> Doubles:
    eyes, mouth = points[:, 1] - points[:, 0], points[:, 3:].mean(axis=1) - points[:, :2].mean(axis=1)
    fits = np.zeros((len(points), _PARAMETERS))
    fits[:, _ROLL] = np.arctan2(eyes[:, 1], eyes[:, 0])
    # A turned head narrows the one, a nodding head the other.
    px_per_mm = np.maximum(np.hypot(*eyes.T) / 63, np.hypot(*mouth.T) / 68)
    fits[:, _SCALE] = np.log(np.maximum(px_per_mm, 1e-3))
    return fits


def _residuals(fits: Doubles, points: Doubles, focal: float) -> Doubles:
    """(..., N, R): what is unlikely about each head, in standard deviations."""
    px_per_mm = np.exp(fits[..., _SCALE])[..., None, None]
    away = (_project(fits, focal) - points) / (px_per_mm * _LANDMARK_MM)
    flat = away.reshape(*away.shape[:-2], -1)
    return np.concatenate([flat, fits[..., :2] / _UPRIGHT, fits[..., 6:]], axis=-1)


def _project(fits: Doubles, focal: float) -> Doubles:
    """(..., N, 5, 2) where the landmarks of each head appear."""
    shapes = fits[..., 6:] @ _SHAPES_MM.reshape(len(_SHAPES_MM), -1)
    head = _FACE_MM + shapes.reshape(*shapes.shape[:-1], *_FACE_MM.shape)
    turned = head @ np.swapaxes(_rotation(fits), -1, -2)
    px_per_mm = np.exp(fits[..., _SCALE])[..., None, None]
    nearer = 1 + turned[..., 2:] * (px_per_mm / focal)
    return np.asarray(px_per_mm * turned[..., :2] / nearer + fits[..., None, _X : _Y + 1])


def _rotation(fits: Doubles) -> Doubles:
    """(..., 3, 3): the head nods, turns, and is tilted in the picture's plane."""
    cos, sin = np.cos(fits[..., :3]), np.sin(fits[..., :3])
    cy, cp, cr = cos[..., _YAW], cos[..., _PITCH], cos[..., _ROLL]
    sy, sp, sr = sin[..., _YAW], sin[..., _PITCH], sin[..., _ROLL]
    turn = np.empty((*fits.shape[:-1], 3, 3))
    turn[..., 0, 0], turn[..., 0, 1], turn[..., 0, 2] = cr * cy, cr * sy * sp - sr * cp, -cr * sy * cp - sr * sp
    turn[..., 1, 0], turn[..., 1, 1], turn[..., 1, 2] = sr * cy, sr * sy * sp + cr * cp, -sr * sy * cp + cr * sp
    turn[..., 2, 0], turn[..., 2, 1], turn[..., 2, 2] = sy, -cy * sp, cy * cp
    return turn


def _as_pose(fit: Doubles) -> Pose:
    """Yaw and pitch of where the face points to, at any tilt; roll is what is left."""
    rotation = _rotation(fit)
    facing = -rotation[:, 2]
    yaw = np.arctan2(facing[0], -facing[2])
    pitch = np.arcsin(np.clip(-facing[1], -1, 1))
    level = np.array([np.cos(yaw), 0.0, np.sin(yaw)])  # the head's x axis before it was tilted
    roll = np.arctan2(-rotation[:, 1] @ level, rotation[:, 0] @ level)
    return Pose(*(float(np.degrees(angle)) for angle in (yaw, pitch, roll)))
