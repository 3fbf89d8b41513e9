"""Paints a portrait of nobody: what ``tools/page_picture.py`` puts before the camera in place of a person.

The detector takes it for a face, so pictures of the page need no photograph of anybody.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float32]
Point = tuple[float, float]

PX_PER_MM = 4.0
_WIDTH_MM, _HEIGHT_MM = 320, 400
_MIDDLE = (160.0, 170.0)  # between the eyes
LANDMARKS_MM = ((-31.5, 0.0), (31.5, 0.0), (0.0, 37.0), (-25.0, 73.0), (25.0, 73.0))
"""Eyes, tip of the nose and corners of the mouth, in millimetres from between the eyes."""

_SKIN, _SHADE, _LIGHT = (128, 166, 214), (78, 112, 166), (170, 205, 242)
_HAIR, _SHINE, _DARK = (28, 38, 58), (60, 84, 122), (26, 26, 34)
_LIP, _LOWER_LIP, _BLUSH = (78, 82, 168), (98, 104, 190), (112, 128, 214)
_SHIRT, _WALL = (122, 96, 62), (206, 204, 196)


@dataclass(frozen=True, slots=True)
class Portrait:
    """A painted face.

    Attributes:
        image_bgr: (H, W, 3) uint8 BGR.
        landmarks: (5, 2) float32 in its pixels.
    """

    image_bgr: npt.NDArray[np.uint8]
    landmarks: npt.NDArray[np.float32]


def paint_portrait() -> Portrait:
    """Paint it; the same pixels each time."""
    canvas = _Canvas()
    canvas.light((-90, -60), 170, (232, 230, 224), 0.9)
    _body(canvas)
    _head(canvas)
    for side in (-1, 1):
        _eye(canvas, side)
    _nose(canvas)
    _mouth(canvas)
    _fringe(canvas)
    grain = np.random.default_rng(7).normal(0, 3.0, canvas.image.shape[:2]).astype(np.float32)
    image = np.clip(canvas.image + cv2.GaussianBlur(grain, (0, 0), 1.2)[..., None] * 2, 0, 255)
    landmarks = (np.array(LANDMARKS_MM, np.float32) + np.array(_MIDDLE, np.float32)) * np.float32(PX_PER_MM)
    return Portrait(image.astype(np.uint8), landmarks)


class _Canvas:
    """Millimetres from between the eyes, x to the right and y downwards; each stroke is blurred and laid over."""

    def __init__(self) -> None:
        size = (int(_HEIGHT_MM * PX_PER_MM), int(_WIDTH_MM * PX_PER_MM), 3)
        self.image: Pixels = np.full(size, _WALL, np.float32)

    def ellipse(
        self, at: Point, radii: Point, colour: tuple[int, int, int], blur_mm: float = 0.4, alpha: float = 1.0
    ) -> None:
        """A filled ellipse."""
        angles = np.linspace(0, 2 * np.pi, 180)
        outline = np.stack([at[0] + radii[0] * np.cos(angles), at[1] + radii[1] * np.sin(angles)], axis=1)
        self.shape(outline, colour, blur_mm, alpha)

    def shape(
        self, outline: npt.ArrayLike, colour: tuple[int, int, int], blur_mm: float = 0.4, alpha: float = 1.0
    ) -> None:
        """A filled polygon."""
        mask = np.zeros(self.image.shape[:2], np.float32)
        points = (np.asarray(outline, np.float64) + _MIDDLE) * PX_PER_MM
        cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
        cover = cv2.GaussianBlur(mask, (0, 0), blur_mm * PX_PER_MM)[..., None] * np.float32(alpha)
        self.image += (np.array(colour, np.float32) - self.image) * cover

    def light(self, at: Point, radius: float, colour: tuple[int, int, int], alpha: float) -> None:
        """A soft spot."""
        self.ellipse(at, (radius * 0.6, radius * 0.6), colour, radius * 0.3, alpha)

    def line(self, points: list[Point], width: float, colour: tuple[int, int, int], blur_mm: float = 0.4) -> None:
        """A curve through three points, thick in its middle."""
        (x0, y0), (x1, y1), (x2, y2) = points
        t = np.linspace(0, 1, 60)
        x = (1 - t) ** 2 * x0 + 2 * t * (1 - t) * (2 * x1 - (x0 + x2) / 2) + t**2 * x2
        y = (1 - t) ** 2 * y0 + 2 * t * (1 - t) * (2 * y1 - (y0 + y2) / 2) + t**2 * y2
        half = width / 2 * np.sin(np.pi * np.clip(t, 0.06, 0.94))
        there, back = np.stack([x, y - half], axis=1), np.stack([x, y + half], axis=1)[::-1]
        self.shape(np.concatenate([there, back]), colour, blur_mm)


def _body(canvas: _Canvas) -> None:
    canvas.ellipse((0, -14), (80, 110), _HAIR, 1.5)
    canvas.shape([(-40, 80), (40, 80), (46, 170), (-46, 170)], _SHADE, 3.0)
    canvas.ellipse((0, 262), (158, 110), _SHIRT, 1.5)
    canvas.ellipse((0, 150), (44, 26), _SHADE, 3.0)
    canvas.light((60, 230), 90, (150, 122, 84), 0.6)


def _head(canvas: _Canvas) -> None:
    jaw = np.linspace(0, np.pi, 80)
    canvas.shape(np.stack([76 * np.cos(jaw), 122 * np.sin(jaw)], axis=1), _SHADE, 1.2)  # what turns into view
    for side in (-1, 1):
        canvas.ellipse((side * 67, 14), (7, 18), _SHADE, 1.5)
    angles = np.linspace(0, 2 * np.pi, 240)
    across = 65 * np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** 0.92
    chin = np.where(np.sin(angles) > 0, 1 - 0.24 * np.sin(angles) ** 3, 1)
    down = np.where(np.sin(angles) > 0, 116, 112) * np.sin(angles)
    face = np.stack([across * chin, down], axis=1)
    canvas.shape(face, _SHADE, 1.2)
    canvas.shape(face * (0.9, 0.93), _SKIN, 7.0)
    canvas.ellipse((-8, -48), (38, 26), _LIGHT, 12, 0.7)
    canvas.ellipse((0, 100), (18, 10), _LIGHT, 6, 0.5)
    for side in (-1, 1):
        canvas.ellipse((side * 38, 38), (17, 13), _LIGHT, 7, 0.55)
        canvas.ellipse((side * 40, 46), (15, 11), _BLUSH, 7, 0.45)
        canvas.ellipse((side * 31, -3), (21, 15), _SHADE, 5, 0.55)


def _eye(canvas: _Canvas, side: int) -> None:
    x = side * 31.5
    inner, outer = x - side * 14.5, x + side * 15
    canvas.line([(inner, -19), (x, -25.5), (outer + side * 4, -17)], 6.5, _HAIR, 0.8)
    white = [(x + 14.5 * np.cos(a), 1 + (7.2 if np.sin(a) < 0 else 5.4) * np.sin(a)) for a in np.linspace(0, 6.28, 60)]
    canvas.shape(white, (232, 236, 238), 0.5)
    canvas.ellipse((x, 0), (6.6, 6.6), (70, 88, 66), 0.4)
    canvas.ellipse((x, 0), (3.2, 3.2), _DARK, 0.3)
    canvas.ellipse((x - 2, -2.4), (1.4, 1.4), (250, 250, 250), 0.2)
    canvas.line([(inner, 2.5), (x, -6.6), (outer, 1.5)], 3.2, _DARK, 0.4)
    canvas.line([(inner, 3), (x, 7), (outer, 2)], 1.2, _SHADE, 0.5)
    canvas.line([(inner, -5), (x, -12.5), (outer, -6)], 1.6, _SHADE, 0.7)


def _nose(canvas: _Canvas) -> None:
    canvas.shape([(5, -8), (9, 24), (14, 40), (4, 44), (3, 10)], _SHADE, 3.0, 0.55)
    canvas.shape([(-4, -6), (2, -6), (3, 30), (-5, 30)], _LIGHT, 2.5, 0.6)
    canvas.ellipse((0, 36), (7, 6), _LIGHT, 2.5, 0.7)
    for side in (-1, 1):
        canvas.ellipse((side * 11, 40), (4.5, 5), _SHADE, 1.6, 0.5)
        canvas.ellipse((side * 6, 44.5), (3.4, 1.6), (48, 62, 104), 0.8)
    canvas.ellipse((0, 51), (10, 3.5), _SHADE, 2.5, 0.5)


def _mouth(canvas: _Canvas) -> None:
    canvas.ellipse((0, 86), (18, 4), _SHADE, 3, 0.6)
    canvas.shape([(-25, 73), (-8, 66.5), (0, 68.5), (8, 66.5), (25, 73), (0, 75)], _LIP, 0.8)
    canvas.shape([(-25, 73), (0, 74), (25, 73), (12, 81.5), (0, 83), (-12, 81.5)], _LOWER_LIP, 0.8)
    canvas.ellipse((2, 78.5), (9, 1.6), (150, 156, 222), 1.2, 0.7)
    canvas.line([(-26, 72.6), (0, 74.6), (26, 72.6)], 1.8, (48, 44, 96), 0.4)


def _fringe(canvas: _Canvas) -> None:
    angles = np.linspace(np.pi, 2 * np.pi, 80)
    top = np.stack([80 * np.cos(angles), -2 + 122 * np.sin(angles)], axis=1)
    low = [
        (72, 6),
        (62, -10),
        (57, -44),
        (40, -66),
        (12, -78),
        (-22, -68),
        (-46, -56),
        (-58, -38),
        (-62, -10),
        (-72, 6),
    ]
    canvas.shape(np.concatenate([top, np.array(low, np.float64)]), _HAIR, 1.4)
    for x, y, reach in ((-40, -92, 26), (6, -104, 30), (44, -90, 22)):
        canvas.line([(x - reach, y + 12), (x, y - 4), (x + reach, y + 10)], 5, _SHINE, 2.0)
