"""Photographs small enough to sit inside the page, as ``data:`` addresses."""

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from facepool.capture import read_image
from facepool.errors import InputError
from facepool.types import Floats, Image

_FACE_PX = 160
"""Side of a face: twice what a phone gives it on the page."""
_SCENE_PX = 720
_AROUND = 1.5
"""How much of a face's surroundings is shown, as a multiple of its box."""
_JPEG_QUALITY = 82
_PAD_GREY = (128, 128, 128)
FOUND, MISSED, FALSE = (90, 190, 60), (30, 120, 255), (220, 60, 170)
"""Colours (BGR) of the boxes in a scene."""


def face_picture(path: Path, box: Floats | None) -> str:
    """A square around one face.

    Args:
        path: The photograph.
        box: (4,) float32 xyxy, the face's box in its pixels; None, or NaN, for the whole photograph.

    Returns:
        A ``data:`` address; empty where the file cannot be read.
    """
    try:
        image_bgr = read_image(path)
    except InputError:
        return ""
    if box is None or not np.isfinite(box).all():
        return _address(_shrunk(image_bgr, 2 * _FACE_PX))
    side = max(1, round(float(max(box[2] - box[0], box[3] - box[1])) * _AROUND))
    left, top = (round(float(box[i] + box[i + 2]) / 2 - side / 2) for i in (0, 1))
    return _address(_shrunk(_cut(image_bgr, left, top, side), _FACE_PX))


def scene_picture(path: Path, boxes: Sequence[tuple[Floats, tuple[int, int, int]]]) -> str:
    """A whole photograph with boxes drawn in.

    Args:
        path: The photograph.
        boxes: Groups of (N, 4) float32 xyxy boxes in its pixels, each with its colour (BGR).

    Returns:
        A ``data:`` address; empty where the file cannot be read.
    """
    try:
        image_bgr = read_image(path)
    except InputError:
        return ""
    shrunk = _shrunk(image_bgr, _SCENE_PX)
    scale = shrunk.shape[1] / image_bgr.shape[1]
    for group, color in boxes:
        for box in group:
            left, top, right, bottom = (round(float(edge) * scale) for edge in box)
            cv2.rectangle(shrunk, (left, top), (right, bottom), color, 2, cv2.LINE_AA)
    return _address(shrunk)


def _cut(image_bgr: Image, left: int, top: int, side: int) -> Image:
    """A square that may reach beyond the picture; grey is there."""
    height, width = image_bgr.shape[:2]
    square: Image = np.full((side, side, 3), _PAD_GREY, np.uint8)
    x, y = max(left, 0), max(top, 0)
    seen = image_bgr[y : max(min(top + side, height), y), x : max(min(left + side, width), x)]
    square[y - top : y - top + seen.shape[0], x - left : x - left + seen.shape[1]] = seen
    return square


def _shrunk(image_bgr: Image, longest_px: int) -> Image:
    scale = min(1.0, longest_px / max(image_bgr.shape[:2]))
    wh = (max(1, round(image_bgr.shape[1] * scale)), max(1, round(image_bgr.shape[0] * scale)))
    return np.asarray(cv2.resize(image_bgr, wh, interpolation=cv2.INTER_AREA), np.uint8)


def _address(image_bgr: Image) -> str:
    _, jpeg = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")
