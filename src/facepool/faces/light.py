"""Light: dark pictures made brighter for the detector, dark faces for the embedder.

Both networks have learned daylight. What a sensor gives in the dark is not only dark but noisy, and brightening alone
makes it worse: noise as large as a face's own contrast is what strangers in the dark have in common. So both are
smoothed as far as the noise after brightening demands, and no further; colour, which a face needs less, four times as
wide. Bright pictures and faces are given back as they are, at the cost of a look at a few of their pixels:
``docs/adr/0052-dark-and-small-faces.md``.
"""

import math

import cv2
import numpy as np
from cv2.typing import MatLike

from facepool.types import Floats, Image

_DARK_PICTURE = 80.0
"""Grey level that 19 of 20 pixels of a dark picture do not reach. 4 of 5 photos reach 180, the darkest of 850 114."""
_LIT_PICTURE = 160.0
"""The level that they reach when it is brightened."""
_DARK_FACE = 40.0
"""Mean grey level below which a face is dark: that of 3 of 1,000 photos."""
_LIT_FACE = 100.0
"""The level up to which a dark one is brightened."""
_LARGEST_GAIN = 16.0
_WORTH_IT = 1.2
"""Gain from which on a picture is brightened at all."""
_LIT_PART = 500
"""What one of so many pixels reaches stays below white: a lit face before a dark background would lose its features."""

_NOISE_LEFT_IN_PICTURE = 5.0
_NOISE_LEFT_IN_FACE = 3.0
"""Standard deviation in grey levels that is left of the noise after smoothing."""
_WIDEST = 2.5
"""Standard deviation in pixels of the widest smoothing."""
_NARROWEST = 0.3
"""Likewise of the narrowest that changes anything."""
_WIDER_COLOR = 4.0

_SAMPLES = 48
"""Pixels that a picture is judged by, along each side."""
_WINDOW = 256
"""Side in pixels of the middle of a picture, in which its noise is measured."""
_WITHOUT_STRUCTURE: Floats = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def brighten_picture(image_bgr: Image) -> Image:
    """A picture as the detector should see it.

    Args:
        image_bgr: (H, W, 3) uint8 BGR.

    Returns:
        The picture itself, unless it is dark as a whole, without a lit part; else a brightened and smoothed copy.
    """
    height, width = image_bgr.shape[:2]
    few = image_bgr[:: max(1, height // _SAMPLES), :: max(1, width // _SAMPLES)].max(axis=2)
    places = few.size * 19 // 20, few.size - 1 - few.size // _LIT_PART
    level, brightest = (max(float(value), 1.0) for value in np.partition(few, places, axis=None)[list(places)])
    gain = min(_LARGEST_GAIN, _LIT_PICTURE / level, 255 / brightest)
    if level >= _DARK_PICTURE or gain < _WORTH_IT:
        return image_bgr
    top, left = max(0, height - _WINDOW) // 2, max(0, width - _WINDOW) // 2
    middle = image_bgr[top : top + _WINDOW, left : left + _WINDOW, 1]
    bright = cv2.convertScaleAbs(image_bgr, alpha=gain)
    return np.asarray(_smoothed(bright, _width(_noise(middle) * gain, _NOISE_LEFT_IN_PICTURE)), np.uint8)


def brighten_faces(faces_bgr: Image) -> Image:
    """Aligned faces as the embedder should see them.

    Args:
        faces_bgr: (N, S, S, 3) uint8 BGR.

    Returns:
        The array itself where no face is dark; else a copy in which the dark ones are brightened and smoothed. An
        empty array for an empty array.
    """
    side = faces_bgr.shape[1]
    inside = faces_bgr[:, side // 4 : side * 7 // 8 : 2, side // 4 : side * 3 // 4 : 2]
    levels = inside.reshape(len(faces_bgr), math.prod(inside.shape[1:])).mean(axis=1)
    dark = np.flatnonzero(levels < _DARK_FACE)
    if not len(dark):
        return faces_bgr
    lit = faces_bgr.copy()
    for row in dark:
        lit[row] = _brighten_face(faces_bgr[row], float(levels[row]))
    return lit


def _brighten_face(face_bgr: Image, level: float) -> Image:
    # The square makes the gain begin at 1, so that a face at the limit does not jump.
    level = max(level, 1.0)
    gain = min((_DARK_FACE / level) ** 2, _LIT_FACE / level, _LARGEST_GAIN)
    parts = cv2.cvtColor(face_bgr.astype(np.float32) * np.float32(gain / 255), cv2.COLOR_BGR2YCrCb)
    luma, color = np.ascontiguousarray(parts[:, :, 0]), np.ascontiguousarray(parts[:, :, 1:])
    width = _width(_noise(luma) * 255, _NOISE_LEFT_IN_FACE)
    parts[:, :, 0], parts[:, :, 1:] = _smoothed(luma, width), _smoothed(color, width * _WIDER_COLOR)
    return np.asarray(cv2.convertScaleAbs(cv2.cvtColor(parts, cv2.COLOR_YCrCb2BGR).clip(0, 1), alpha=255), np.uint8)


def _width(noise: float, left: float) -> float:
    """Standard deviation in pixels of the Gaussian that leaves so much of white noise, at most ``_WIDEST``."""
    return min(_WIDEST, noise / (2 * math.sqrt(math.pi) * left))


def _smoothed(plane: MatLike, width: float) -> MatLike:
    return plane if width < _NARROWEST else cv2.GaussianBlur(plane, (0, 0), width)


def _noise(plane: MatLike) -> float:
    """Standard deviation of the noise of a plane (Immerkaer, "Fast noise variance estimation", CVIU 64(2), 1996)."""
    ripples = cv2.filter2D(plane, cv2.CV_32F, _WITHOUT_STRUCTURE)
    return float(np.abs(ripples).mean() * math.sqrt(math.pi / 2) / 6)
