"""Photographs on paper, flat, bent and folded, and films on screens."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from facepool.types import Floats, Image
from liveness.surfaces import Doubles, Surface, Triangles

Bend = Callable[[Doubles], Doubles]
"""From (V, 2) places on a sheet, in millimetres from its middle, to (V, 3) in its frame."""

_PUPILS_MM = 63.0
_STRIPS = 24


@dataclass(frozen=True)
class Photo:
    """A photograph of one person.

    Attributes:
        name: Whose.
        image_bgr: (H, W, 3) uint8.
        landmarks: (5, 2) of the face in it.
    """

    name: str
    image_bgr: Image
    landmarks: Floats

    @property
    def pupils_px(self) -> float:
        """Between the eyes, as far as the picture's plane shows it."""
        return float(max(np.hypot(*(self.landmarks[1] - self.landmarks[0])), 1))


def flat(places_mm: Doubles) -> Doubles:
    """A plane."""
    return np.column_stack([places_mm, np.zeros(len(places_mm))])


def rolled(curvature_per_mm: float, *, upright: bool = True, apex_mm: float = 0.0) -> Bend:
    """Part of a cylinder, its middle nearest to the camera; a negative curvature has the middle furthest away.

    Args:
        curvature_per_mm: One over the radius.
        upright: Whether the cylinder's axis is.
        apex_mm: Where on the sheet the nearest line is.
    """

    def bend(places_mm: Doubles) -> Doubles:
        if abs(curvature_per_mm) < 1e-6:
            return flat(places_mm)
        along, across = (places_mm[:, 0], places_mm[:, 1]) if upright else (places_mm[:, 1], places_mm[:, 0])
        angle = np.clip((along - apex_mm) * curvature_per_mm, -1.5, 1.5)
        moved = apex_mm + np.sin(angle) / curvature_per_mm
        away = (1 - np.cos(angle)) / curvature_per_mm
        return np.column_stack([moved, across, away] if upright else [across, moved, away])

    return bend


def folded(angle_deg: float, at_mm: float) -> Bend:
    """A tent with an upright ridge towards the camera, each side turned back by an angle."""
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))

    def bend(places_mm: Doubles) -> Doubles:
        along = places_mm[:, 0] - at_mm
        return np.column_stack([along * cos + at_mm, places_mm[:, 1], np.abs(along) * sin])

    return bend


class Sheet:
    """A photo printed on a sheet.

    Args:
        photo: What is on it.
        size: 1 is life-size.
    """

    def __init__(self, photo: Photo, size: float = 1.0) -> None:
        self._photo = photo
        self._mm_per_px = _PUPILS_MM * size / photo.pupils_px
        self._middle_px = photo.landmarks.mean(axis=0)
        height, width = photo.image_bgr.shape[:2]
        self._corners_px = _corners(width, height)
        # A line of places runs through the nose, where a sheet may be folded.
        nose = float(np.clip(photo.landmarks[2, 0], 1, width - 2))
        columns = [*np.linspace(0, nose, _STRIPS // 2), *np.linspace(nose, width - 1, _STRIPS // 2)[1:]]
        x, y = np.meshgrid(columns, np.linspace(0, height - 1, _STRIPS))
        self._places_px = np.stack([x.ravel(), y.ravel()], axis=1)
        self._triangles = _grid(len(columns), _STRIPS)
        self.nose_mm = float(nose - self._middle_px[0]) * self._mm_per_px

    def surface(self, bend: Bend = flat) -> Surface:
        """The sheet as it is held; its origin is the middle of the face."""
        if bend is flat:
            places_px, triangles = self._corners_px, _grid(2, 2)
        else:
            places_px, triangles = self._places_px, self._triangles
        vertices = bend((places_px - self._middle_px) * self._mm_per_px)
        return Surface(vertices, triangles, self._photo.image_bgr, places_px, two_sided=True)


class Screen:
    """A screen that shows a film.

    Args:
        wh: Size of the film's pictures.
        mm_per_px: How large one of its pixels is.
        middle_px: (2,) where in the film the face is, about.
        random: For what glass and panel do to it.
    """

    def __init__(self, wh: tuple[int, int], mm_per_px: float, middle_px: Doubles, random: np.random.Generator) -> None:
        self._wh, self._mm_per_px, self._middle_px = wh, mm_per_px, middle_px
        self._bezel = int(max(wh) * random.uniform(0.02, 0.06))
        x, y = np.meshgrid(np.linspace(-1, 1, wh[0]), np.linspace(-1, 1, wh[1]))
        at, wide = random.uniform(-1, 1, 2), random.uniform(0.2, 0.6)
        glare = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / wide**2)[..., None] * random.uniform(0, 60)
        lines = 1 + 0.03 * np.sin(np.arange(wh[1]) * random.uniform(1.5, 3))[:, None, None]
        self._gain = (random.uniform(0.7, 1.05) * lines * random.uniform(0.92, 1.08, 3)).astype(np.float32)
        self._black = (random.uniform(0, 25) + glare).astype(np.float32)

    def surface(self, picture_bgr: Image) -> Surface:
        """The screen while it shows a picture; its origin is the middle of the face."""
        shown = np.clip(picture_bgr * self._gain + self._black, 0, 255).astype(np.uint8)
        bezel = self._bezel
        framed = cv2.copyMakeBorder(shown, bezel, bezel, bezel, bezel, cv2.BORDER_CONSTANT, value=(12, 12, 12))
        corners = _corners(framed.shape[1], framed.shape[0])
        places_mm = (corners - bezel - self._middle_px) * self._mm_per_px
        return Surface(flat(places_mm), _grid(2, 2), np.asarray(framed, np.uint8), corners, two_sided=True)


def _corners(width: int, height: int) -> Doubles:
    return np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], np.float64)


def _grid(columns: int, rows: int) -> Triangles:
    triangles = []
    for row in range(rows - 1):
        for column in range(columns - 1):
            here = row * columns + column
            below = here + columns
            triangles += [(here, here + 1, below), (here + 1, below + 1, below)]
    return np.array(triangles, np.intp)
