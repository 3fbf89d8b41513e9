"""What moved between two frames, on a small grey copy of the picture: cheap enough to do without a detector in between.

Faces are followed by the median flow of a grid of points (Kalal, Mikolajczyk, Matas: "Forward-Backward Error: Automatic
Detection of Tracking Failures", ICPR 2010; pyramidal Lucas-Kanade): points that do not come back to where they began
say that the face was not followed. Change elsewhere is what no shift by a pixel of a still smaller copy explains, so
that a camera held in a hand does not count as change.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from facepool.types import Floats, Image, Mask

_FLOW_SIDE = 320
"""Long side of the copy that faces are followed in, in pixels; smaller pictures are taken as they are."""
_CHANGE_SIDE = 160
_GRID = 4
"""Points across and down a face."""
_INNER = 0.8
"""Share of the box that the points cover: at its edge is background."""
_WINDOW = (9, 9)
_LEVELS = 2
_LOST = 0.08
"""A face is not followed whose points come back this far from where they began, in sides of the face, or farther."""
_LEAST_ERROR_PX = 0.5
"""Such an error in pixels of the copy proves nothing of a small face."""
_CHANGED = 24
"""Grey levels by which a pixel is beyond its old neighbourhood before it has changed: above noise and compression."""
_CUT = 0.25
"""Share of the picture that changes at once when it is another one."""
_BLOB = 5
_BLOB_SHARE = 0.5
"""Something came into view where half of such a square of the smaller copy changed: 3 % of its long side."""
_NEIGHBOURHOOD = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Motion:
    """What happened since the last frame, and since the last detection.

    Attributes:
        moves: (N, 2) float32, pixels of the picture that the centre of each face moved since the last frame.
        scales: (N,) float32, how many times as large each face has become.
        followed: (N,) bool, whether that is known of it.
        cut: Whether the picture is another one than at the last detection.
        elsewhere: Whether something came into view, or changed, where no face is, since the last detection.
    """

    moves: Floats
    scales: Floats
    followed: Mask
    cut: bool
    elsewhere: bool


class MotionEstimator:
    """Compares each frame of a source with the last one, and with the last in which faces were sought."""

    def __init__(self) -> None:
        self._size_hw: tuple[int, ...] = ()
        self._grey: Image | None = None
        self._bounds: tuple[Image, Image] | None = None

    def forget(self) -> None:
        """What comes is compared with nothing of before."""
        self._grey = self._bounds = None

    def begin(self, image_bgr: Image) -> bool:
        """Faces are sought in this frame, (H, W, 3) uint8 BGR: what comes is compared with it.

        Returns:
            Whether it is another picture than when they were sought last.
        """
        same_size, self._size_hw = self._size_hw == image_bgr.shape[:2], image_bgr.shape[:2]
        self._grey = _small_grey(image_bgr)
        still_smaller = _still_smaller(self._grey)
        before, self._bounds = self._bounds, _bounds(still_smaller)
        if before is None:
            return False
        if not same_size:  # what was seen lies elsewhere, even if the small copies look alike
            return True
        return bool(_changed(still_smaller, before).mean() > _CUT)

    def compare(self, image_bgr: Image, boxes: Floats) -> Motion | None:
        """What happened to faces since the last frame.

        Args:
            image_bgr: (H, W, 3) uint8 BGR.
            boxes: (N, 4) xyxy where the faces were in the last frame, in pixels.

        Returns:
            One row a box; None where there is no frame of that size to compare with.
        """
        grey = _small_grey(image_bgr)
        before, self._grey = self._grey, grey
        if before is None or self._bounds is None or self._size_hw != image_bgr.shape[:2]:
            return None
        scale = grey.shape[1] / image_bgr.shape[1]
        changed = _changed(_still_smaller(grey), self._bounds)
        cut = bool(changed.mean() > _CUT)
        moves, scales, followed = _flow(before, grey, boxes * scale)
        elsewhere = cut or _came_into_view(changed, boxes * (changed.shape[1] / image_bgr.shape[1]))
        return Motion(moves / np.float32(scale), scales, followed, cut, elsewhere)


def _small_grey(image_bgr: Image) -> Image:
    height, width = image_bgr.shape[:2]
    scale = min(1.0, _FLOW_SIDE / max(height, width))
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Linear: of a large picture it reads a few pixels only. What that lets through moves as the picture does.
    small = image_bgr if scale == 1.0 else cv2.resize(image_bgr, size_wh, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)


def _still_smaller(grey: Image) -> Image:
    height, width = grey.shape
    scale = min(1.0, _CHANGE_SIDE / max(height, width))
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _bounds(still_smaller: Image) -> tuple[Image, Image]:
    """The darkest and the brightest of each pixel's neighbourhood."""
    darkest, brightest = cv2.erode(still_smaller, _NEIGHBOURHOOD), cv2.dilate(still_smaller, _NEIGHBOURHOOD)
    return np.asarray(darkest, np.uint8), np.asarray(brightest, np.uint8)


def _changed(still_smaller: Image, bounds: tuple[Image, Image]) -> Mask:
    """(H, W) bool: what is darker or brighter than all that was within a pixel of it."""
    beyond = cv2.max(cv2.subtract(bounds[0], still_smaller), cv2.subtract(still_smaller, bounds[1]))
    return np.asarray(beyond > _CHANGED)


def _flow(before: Image, after: Image, boxes: Floats) -> tuple[Floats, Floats, Mask]:
    """Of each box of the copy: (N, 2) move of its centre in pixels, (N,) growth, (N,) whether it was followed."""
    count, points = len(boxes), _GRID * _GRID
    if not count:
        return np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty(0, np.bool_)
    sides = np.sqrt(np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1.0))
    begin = _grids(boxes)
    flat = begin.reshape(-1, 1, 2)
    end, found = _follow_points(before, after, flat)
    again, found_again = _follow_points(after, before, end)
    errors = np.linalg.norm((again - flat).reshape(count, points, 2), axis=2)
    errors[~(found & found_again).reshape(count, points)] = np.inf
    followed: Mask = np.asarray(np.median(errors, axis=1) <= np.maximum(_LOST * sides, _LEAST_ERROR_PX))
    best = np.argsort(errors, axis=1)[:, : points // 2, np.newaxis]
    was = np.take_along_axis(begin, best, axis=1)
    now = np.take_along_axis(end.reshape(begin.shape), best, axis=1)
    moves = np.where(followed[:, np.newaxis], np.median(now - was, axis=1), 0)
    scales = np.where(followed, np.median(_distances(now) / np.maximum(_distances(was), 1e-3), axis=1), 1)
    return moves.astype(np.float32), scales.astype(np.float32), followed


def _distances(points: Floats) -> Floats:
    """(N, P * (P - 1) / 2) between each two of (N, P, 2) points."""
    one, other = np.triu_indices(points.shape[1], 1)
    return np.asarray(np.linalg.norm(points[:, one] - points[:, other], axis=2), np.float32)


def _follow_points(before: Image, after: Image, points: Floats) -> tuple[Floats, Mask]:
    """Where (P, 1, 2) points have moved, and (P, 1) whether they were found there."""
    place = np.empty_like(points)
    found, there, _ = cv2.calcOpticalFlowPyrLK(before, after, points, place, winSize=_WINDOW, maxLevel=_LEVELS)
    return np.asarray(found, np.float32), np.asarray(there > 0)


def _grids(boxes: Floats) -> Floats:
    """(N, _GRID², 2) float32 points spread over each box."""
    steps = (np.arange(_GRID, dtype=np.float32) / (_GRID - 1) - 0.5) * _INNER
    offsets = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(1, -1, 2)
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return np.asarray(centres[:, None] + offsets * sides[:, None], np.float32)


def _came_into_view(changed: Mask, boxes: Floats) -> bool:
    """Whether a patch of the picture changed that is neither a face nor the body below it.

    Args:
        changed: (H, W) bool.
        boxes: (N, 4) faces in pixels of that.
    """
    left_over = changed.astype(np.float32)
    for left, top, right, bottom in boxes.tolist():
        width, height = right - left, bottom - top
        rows = slice(max(0, int(top - height / 2)), max(0, int(bottom + 4 * height) + 1))
        columns = slice(max(0, int(left - 1.5 * width)), max(0, int(right + 1.5 * width) + 1))
        left_over[rows, columns] = 0
    return bool(cv2.blur(left_over, (_BLOB, _BLOB)).max() > _BLOB_SHARE)
