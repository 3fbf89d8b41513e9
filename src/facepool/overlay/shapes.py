"""Shapes at fractions of a pixel, and ink that lets the picture through."""

import cv2
import numpy as np

from facepool.overlay.painter import Color, Rect, blend
from facepool.overlay.text import Alpha
from facepool.types import Image

SHIFT = 4
"""Bits after the point in coordinates given to OpenCV."""
_TRACK = 60


def draw_bar(canvas: Image, rect: Rect, share: float, color: Color, track: Color) -> None:
    """A bar with round ends, filled from the left on a track that lets the picture through."""
    x, y, length, thickness = rect
    done = round(length * min(max(share, 0.0), 1.0))
    ink(canvas, _pill(length, thickness), x, y, track, _TRACK)
    if done:
        ink(canvas, _pill(max(done, thickness), thickness), x, y, color)


def draw_pill(canvas: Image, rect: Rect, color: Color) -> None:
    """A plate whose left and right ends are round."""
    x, y, width, height = rect
    ink(canvas, _pill(width, height), x, y, color)


def ink(canvas: Image, alpha: Alpha, x: int, y: int, color: Color, opacity: int = 255) -> None:
    """Lay ink on the canvas; what would fall outside is cut off on every side.

    Args:
        canvas: (H, W, 3) uint8, BGR; changed.
        alpha: (h, w) uint8, 255 where the ink is.
        x: Of the ink's left edge.
        y: Of its top edge.
        color: BGR.
        opacity: 0..255.
    """
    alpha = alpha[max(-y, 0) :, max(-x, 0) :]
    if opacity < 255 and alpha.size:
        alpha = np.asarray(cv2.convertScaleAbs(alpha, alpha=opacity / 255), np.uint8)
    blend(canvas, alpha, max(x, 0), max(y, 0), color)


def fixed(point: tuple[float, float]) -> tuple[int, int]:
    """A point, or a size, in OpenCV's fixed-point coordinates with ``SHIFT`` bits."""
    return round(point[0] * (1 << SHIFT)), round(point[1] * (1 << SHIFT))


def _pill(length: int, thickness: int) -> Alpha:
    alpha = np.zeros((max(thickness, 1), max(length, 1)), np.uint8)
    radius = (alpha.shape[0] - 1) / 2
    ends = fixed((radius, radius)), fixed((max(length - 1 - radius, radius), radius))
    cv2.line(alpha, *ends, (255,), alpha.shape[0], cv2.LINE_AA, SHIFT)
    return alpha
