"""Geometry of boxes, landmarks and quarter turns: no model.

Boxes are (N, 4) float32 xyxy, points are (..., 2) float32 xy, both in pixels.
"""

import cv2
import numpy as np
import numpy.typing as npt

from facepool.types import Floats, Image, Indices, Turn

ARCFACE_112: Floats = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    dtype=np.float32,
)
"""(5, 2) landmarks of an upright face on a 112x112 picture, in the order of ``Detections.landmarks``.

Source: the alignment of ArcFace (Deng et al., 2019), as used by the whole family of embedders.
"""

_OMZ_128: Floats = np.array(
    [
        [40.3928, 59.0815],
        [87.3757, 59.0815],
        [64.0335, 81.9846],
        [44.7324, 105.5606],
        [83.6398, 105.5606],
    ],
    dtype=np.float32,
)
"""The same on the 128x128 picture of Open Model Zoo's face-reidentification-retail-0095, whose description has them."""

CROP = "arcface-112"
"""The template that faces are cut out on. Networks of another template see a part of that crop, enlarged."""

TEMPLATES: dict[str, tuple[Floats, int]] = {CROP: (ARCFACE_112, 112), "omz-128": (_OMZ_128, 128)}
"""Alignment templates: name to (landmarks, side in pixels). A name is part of the embedding space: change a template,
change its name."""

_POINT = 1e-6
"""Landmarks whose squared distances to their centre sum to less lie on one point (square pixels)."""


_ROTATIONS: dict[Turn, int] = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


def turn_image(image: Image, turn: Turn) -> Image:
    """A picture turned clockwise by quarter turns.

    Args:
        image: (H, W, 3) uint8, of any channel order.
        turn: Degrees.

    Returns:
        (W, H, 3) for 90 and 270 degrees, else (H, W, 3), C-contiguous; the picture itself for 0.
    """
    return image if turn == 0 else np.asarray(cv2.rotate(image, _ROTATIONS[turn]), np.uint8)


def turn_points(points: Floats, size_wh: tuple[int, int], turn: Turn) -> Floats:
    """Where points of a picture come to lie when it is turned clockwise.

    Args:
        points: (..., 2) float32 in pixels of the picture.
        size_wh: Of the picture, before it is turned.
        turn: Degrees.
    """
    width, height = size_wh
    x, y = points[..., 0], points[..., 1]
    turned = {0: (x, y), 90: (height - y, x), 180: (width - x, height - y), 270: (y, width - x)}[turn]
    return np.stack(turned, axis=-1)


def turn_boxes(boxes: Floats, size_wh: tuple[int, int], turn: Turn) -> Floats:
    """The same for (N, 4) boxes."""
    corners = turn_points(boxes.reshape(-1, 2, 2), size_wh, turn)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def turn_size(size_wh: tuple[int, int], turn: Turn) -> tuple[int, int]:
    """Width and height of a picture that is turned."""
    return size_wh if turn % 180 == 0 else (size_wh[1], size_wh[0])


def areas(boxes: Floats) -> Floats:
    """(N,) float32 areas of (N, 4) boxes; 0 for a box that is inside out. Empty in, empty out."""
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return np.asarray(sides[:, 0] * sides[:, 1], dtype=np.float32)


def iou(boxes_a: Floats, boxes_b: Floats) -> Floats:
    """Intersection over union of every pair.

    Returns:
        (A, B) float32 in 0..1; 0 where both boxes are empty. Shape (0, B) or (A, 0) for empty input.
    """
    intersection = _intersections(boxes_a, boxes_b)
    union = areas(boxes_a)[:, None] + areas(boxes_b)[None, :] - intersection
    return np.asarray(
        np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0), dtype=np.float32
    )


def shares_inside(boxes: Floats, others: Floats) -> Floats:
    """How much of each box lies inside each other one.

    Returns:
        (A, B) float32 in 0..1; 0 for a box without area. Shape (0, B) or (A, 0) for empty input.
    """
    intersection = _intersections(boxes, others)
    whole = np.broadcast_to(areas(boxes)[:, None], intersection.shape)
    return np.asarray(
        np.divide(intersection, whole, out=np.zeros_like(intersection), where=whole > 0), dtype=np.float32
    )


def _intersections(boxes_a: Floats, boxes_b: Floats) -> Floats:
    top_left = np.maximum(boxes_a[:, None, :2], boxes_b[None, :, :2])
    bottom_right = np.minimum(boxes_a[:, None, 2:], boxes_b[None, :, 2:])
    sides = np.clip(bottom_right - top_left, 0, None)
    return np.asarray(sides[..., 0] * sides[..., 1], np.float32)


def non_maximum_suppression(boxes: Floats, scores: Floats, iou_threshold: float) -> Indices:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4) float32 xyxy.
        scores: (N,) float32.
        iou_threshold: In 0..1; a box that overlaps a better one by more is dropped.

    Returns:
        (K,) intp rows that stay, best score first; ties keep their input order. Empty for empty input.
    """
    rest = np.argsort(-scores, kind="stable")
    kept = []
    while len(rest):
        best, rest = rest[0], rest[1:]
        kept.append(best)
        rest = rest[iou(boxes[best, None], boxes[rest])[0] <= iou_threshold]
    return np.array(kept, np.intp)


def similarity_transforms(points: Floats, template: Floats) -> Floats:
    """Least-squares rotation, scale and shift that move each face's landmarks onto the template.

    The closed form for two dimensions: with both point sets centred and read as complex numbers, the best factor is
    <p, t> / <p, p>. It equals Umeyama's solution (IEEE PAMI 13(4), 1991, eq. 40-42) without reflection.

    Args:
        points: (N, K, 2) float32 landmarks.
        template: (K, 2) float32 where they should come to lie.

    Returns:
        (N, 2, 3) float32 affine matrices from image to template pixels; (0, 2, 3) for no face. Landmarks that all
        lie on one point have no rotation; they get the matrix that moves that point to the template's centre with
        scale 0.
    """
    source = np.asarray(points, dtype=np.float64)
    target = np.asarray(template, dtype=np.float64)
    source_centre = source.mean(axis=1)
    target_centre = target.mean(axis=0)
    p = _as_complex(source - source_centre[:, None])
    t = _as_complex(target - target_centre)
    energy = (np.abs(p) ** 2).sum(axis=1)
    factor = np.divide(
        (np.conj(p) * t).sum(axis=1), energy, out=np.zeros(len(source), np.complex128), where=energy > _POINT
    )

    matrices = np.empty((len(source), 2, 3), dtype=np.float64)
    matrices[:, 0, 0] = matrices[:, 1, 1] = factor.real
    matrices[:, 0, 1] = -factor.imag
    matrices[:, 1, 0] = factor.imag
    matrices[:, :, 2] = target_centre - np.einsum("nij,nj->ni", matrices[:, :, :2], source_centre)
    return matrices.astype(np.float32)


def transform_points(matrices: Floats, points: Floats) -> Floats:
    """Apply (N, 2, 3) affine matrices to (N, K, 2) points; returns (N, K, 2) float32."""
    moved = np.einsum("nij,nkj->nki", matrices[:, :, :2], points) + matrices[:, None, :, 2]
    return np.asarray(moved, dtype=np.float32)


def _as_complex(points: npt.NDArray[np.float64]) -> npt.NDArray[np.complex128]:
    return points[..., 0] + 1j * points[..., 1]
