"""What is read of a detector's maps: every number where the network's layout has it, for nobody but candidates."""

import numpy as np
import pytest

from facepool.faces.proposals import read_maps, reader_of
from facepool.models.catalog import RetinaFaceSpec
from facepool.types import Floats

SPEC = RetinaFaceSpec()


def empty_maps(canvas_hw: tuple[int, int]) -> list[Floats]:
    """Nothing is a face, and every number but the scores differs."""
    maps = []
    for stride in SPEC.strides:
        shape = 32, canvas_hw[0] // stride, canvas_hw[1] // stride
        level: Floats = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        level[:4] = 0
        level[[0, 2]] = 20
        maps.append(level)
    return maps


def test_a_prior_gets_the_numbers_of_its_cell_and_square() -> None:
    maps = empty_maps((64, 96))
    maps[1][2:4, 3, 4] = -1, 2  # the second square of row 3, column 4 of stride 16
    maps[0][0:2, 0, 1] = 0, 1
    found = read_maps(maps, 0.6)
    assert found.rows.tolist() == [1 * 2 + 0, 8 * 12 * 2 + (3 * 6 + 4) * 2 + 1]
    np.testing.assert_allclose(found.scores, [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-3))], rtol=1e-6)
    np.testing.assert_array_equal(found.boxes[1], maps[1][8:12, 3, 4])
    np.testing.assert_array_equal(found.landmarks[1], maps[1][22:32, 3, 4])
    np.testing.assert_array_equal(found.boxes[0], maps[0][4:8, 0, 1])
    np.testing.assert_array_equal(found.landmarks[0], maps[0][12:22, 0, 1])


def test_nothing_is_read_where_no_face_is() -> None:
    found = read_maps(empty_maps((64, 32)), 0.6)
    assert (len(found), found.boxes.shape, found.landmarks.shape) == (0, (0, 4), (0, 10))


@pytest.mark.parametrize(("least", "count"), [(0.0, 2 * (8 * 12 + 4 * 6 + 2 * 3)), (1.0, 1)])
def test_every_threshold_has_its_place(least: float, count: int) -> None:
    maps = empty_maps((64, 96))
    maps[2][0:2, 1, 2] = -60, 60
    assert len(read_maps(maps, least)) == count


def test_outputs_go_by_name() -> None:
    maps = empty_maps((64, 64))
    maps[2][2:4, 1, 1] = 0, 5
    read = reader_of(("heads_32", "heads_8", "heads_16"), SPEC)
    found = read([maps[i][np.newaxis] for i in (2, 0, 1)], 0, 0.5)
    assert found.rows.tolist() == [8 * 8 * 2 + 4 * 4 * 2 + 7]
