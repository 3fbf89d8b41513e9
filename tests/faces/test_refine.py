"""A second look at a face alone: what is cut out for it, and what it says in pixels of the picture."""

import numpy as np
import pytest

from facepool.faces.refine import FaceCrop
from facepool.types import Detections

MIDDLE = np.array([160, 160], np.float32)


def found(landmarks: list[list[float]], box: tuple[int, int, int, int] = (80, 80, 240, 240)) -> Detections:
    return Detections(np.array([box], np.float32), np.ones(1, np.float32), np.array([landmarks], np.float32))


@pytest.mark.parametrize("clockwise", [0, 90, 180, -30])
@pytest.mark.parametrize("side", [20, 160, 900])
def test_a_point_of_the_crop_lies_where_it_was_in_the_picture(side: int, clockwise: float) -> None:
    picture = np.zeros((1200, 1000, 3), np.uint8)
    box = np.array([40, 60, 40 + side, 60 + side], np.float32)
    mark = np.round([40 + 0.7 * side, 60 + 0.4 * side]).astype(int)
    thick = max(1, side // 20)
    picture[mark[1] - thick : mark[1] + thick + 1, mark[0] - thick : mark[0] + thick + 1] = 255
    crop = FaceCrop.cut(picture, box, clockwise)
    assert crop.image_bgr.shape == (320, 320, 3)
    white = (crop.image_bgr == 255).all(axis=2)
    seen = np.argwhere(white).mean(axis=0)[::-1]
    landmarks = crop.landmarks(found([list(seen)] * 5))
    assert landmarks is not None
    np.testing.assert_allclose(landmarks, np.tile(mark, (5, 1)), atol=1 + side / 100)


def test_a_face_lies_upright_in_the_middle() -> None:
    crop = FaceCrop.cut(np.full((200, 300, 3), 9, np.uint8), np.array([100, 20, 180, 100], np.float32), 90)
    np.testing.assert_allclose(crop.from_picture @ (140, 60, 1), MIDDLE)
    np.testing.assert_allclose(crop.from_picture @ (140, 20, 1), (240, 160))  # the top turns to the right
    assert (crop.image_bgr[0, 0] == (9, 9, 9)).all()
    assert (crop.image_bgr[0, 319] == (104, 117, 123)).all()  # beyond the picture's upper border


def test_what_is_found_elsewhere_is_not_the_face() -> None:
    crop = FaceCrop.cut(np.zeros((200, 300, 3), np.uint8), np.array([100, 50, 180, 130], np.float32), 0)
    assert crop.landmarks(found([[0, 0]] * 5, (0, 0, 60, 60))) is None
    assert crop.landmarks(Detections.empty()) is None
