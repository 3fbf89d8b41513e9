"""Which faces of a picture count for clients of CompreFace."""

import numpy as np
import pytest

from facepool.types import Detections
from facepool.web.compreface.errors import CompreFaceError
from facepool.web.compreface.faces import FaceOptions, chosen


def found(*misfits_mm: float) -> Detections:
    """Faces of which each is larger than the one before."""
    count = len(misfits_mm)
    sides = 10 * np.arange(1, count + 1, dtype=np.float32)
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], axis=1)
    landmarks = np.zeros((count, 5, 2), np.float32)
    return Detections(boxes, np.full(count, 0.99, np.float32), landmarks, misfit_mm=np.array(misfits_mm, np.float32))


def test_faces_count_from_the_largest_but_what_fits_no_head() -> None:
    assert chosen(found(1, 2, 9, 3), FaceOptions.model_validate({})).tolist() == [3, 1, 0]
    assert chosen(found(1, 2, 9, 3), FaceOptions.model_validate({"limit": 1})).tolist() == [3]


def test_where_nothing_fits_a_head_there_is_no_face() -> None:
    with pytest.raises(CompreFaceError, match="No face is found"):
        chosen(found(9), FaceOptions.model_validate({}))
