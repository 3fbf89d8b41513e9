import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facepool.geometry import (
    ARCFACE_112,
    areas,
    iou,
    non_maximum_suppression,
    shares_inside,
    similarity_transforms,
    transform_points,
    turn_boxes,
    turn_image,
    turn_points,
    turn_size,
)
from facepool.types import TURNS, Floats, Turn

coordinates = st.floats(-500, 500, width=32)


@st.composite
def boxes(draw: st.DrawFn, most: int = 12) -> Floats:
    count = draw(st.integers(0, most))
    corners = draw(hnp.arrays(np.float32, (count, 2), elements=coordinates))
    sides = draw(hnp.arrays(np.float32, (count, 2), elements=st.floats(1, 300, width=32)))
    return np.concatenate([corners, corners + sides], axis=1)


@given(boxes(), boxes())
def test_iou_is_symmetric_and_between_zero_and_one(a: Floats, b: Floats) -> None:
    overlap = iou(a, b)
    assert overlap.shape == (len(a), len(b))
    assert np.all((overlap >= 0) & (overlap <= 1 + 1e-5))
    np.testing.assert_allclose(overlap, iou(b, a).T, rtol=1e-5)


@given(boxes())
def test_iou_of_a_box_with_itself_is_one(a: Floats) -> None:
    np.testing.assert_allclose(np.diag(iou(a, a)), np.ones(len(a)), rtol=1e-4)


def test_iou_by_hand() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10], [3, 3, 3, 3]], np.float32)
    np.testing.assert_allclose(iou(a, b), [[50 / 150, 0, 1, 0]], rtol=1e-6)
    assert areas(np.array([[5, 5, 1, 1]], np.float32)) == [0]


def test_shares_inside_by_hand() -> None:
    a = np.array([[0, 0, 10, 10], [5, 5, 5, 5]], np.float32)
    b = np.array([[5, 0, 50, 50], [-5, -5, 20, 20], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(shares_inside(a, b), [[0.5, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert shares_inside(a, b[:0]).shape == (2, 0)


@given(boxes(), st.floats(0, 1))
def test_suppression_keeps_the_best_and_nothing_that_overlaps_it(a: Floats, threshold: float) -> None:
    scores = np.linspace(1, 0.1, len(a), dtype=np.float32)
    kept = non_maximum_suppression(a, scores, threshold)
    assert np.all(np.diff(scores[kept]) <= 0)
    among_kept = iou(a[kept], a[kept]) - np.eye(len(kept), dtype=np.float32) * 2
    assert np.all(among_kept <= threshold)
    dropped = np.setdiff1d(np.arange(len(a)), kept)
    if len(dropped):
        # Everything that was dropped overlaps something better that was kept.
        better = scores[kept][None] >= scores[dropped][:, None]
        assert np.all(((iou(a[dropped], a[kept]) > threshold) & better).any(axis=1))


def test_suppression_of_nothing_is_nothing() -> None:
    assert len(non_maximum_suppression(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5)) == 0


@given(st.floats(-np.pi, np.pi), st.floats(0.1, 20), coordinates, coordinates)
def test_a_rotated_scaled_shifted_template_is_moved_back(angle: float, scale: float, dx: float, dy: float) -> None:
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (ARCFACE_112 @ rotation.T * scale + [dx, dy]).astype(np.float32)[None]
    restored = transform_points(similarity_transforms(points, ARCFACE_112), points)
    np.testing.assert_allclose(restored[0], ARCFACE_112, atol=0.05)


@given(hnp.arrays(np.float32, (3, 5, 2), elements=coordinates))
def test_the_transform_is_the_least_squares_one(points: Floats) -> None:
    matrices = similarity_transforms(points, ARCFACE_112)
    assert np.isfinite(matrices).all()
    np.testing.assert_allclose(matrices[:, 0, 0], matrices[:, 1, 1])
    np.testing.assert_allclose(matrices[:, 0, 1], -matrices[:, 1, 0])
    best = _residual(matrices, points)
    for change in np.eye(6, dtype=np.float32).reshape(6, 2, 3)[[2, 5]]:
        assert np.all(_residual(matrices + change, points) >= best - 1e-2)


def test_landmarks_on_one_point_and_no_landmarks_are_survived() -> None:
    assert similarity_transforms(np.zeros((0, 5, 2), np.float32), ARCFACE_112).shape == (0, 2, 3)
    collapsed = similarity_transforms(np.full((1, 5, 2), 7, np.float32), ARCFACE_112)
    np.testing.assert_allclose(collapsed[0, :, :2], 0)


def _residual(matrices: Floats, points: Floats) -> Floats:
    return np.asarray(((transform_points(matrices, points) - ARCFACE_112) ** 2).sum(axis=(1, 2)))


@pytest.mark.parametrize("turn", TURNS)
def test_pictures_turn_clockwise_by_whole_quarters(turn: Turn) -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    turned = turn_image(picture, turn)
    assert np.array_equal(turned, np.rot90(picture, -turn // 90))
    assert turned.flags.c_contiguous


@given(hnp.arrays(np.float32, (7, 5, 2), elements=coordinates), st.sampled_from(TURNS))
def test_points_turn_with_the_picture(points: Floats, turn: Turn) -> None:
    back: dict[Turn, Turn] = {0: 0, 90: 270, 180: 180, 270: 90}
    size_wh = (640, 480)
    turned = turn_points(points, size_wh, turn)
    np.testing.assert_allclose(turn_points(turned, turn_size(size_wh, turn), back[turn]), points, atol=1e-3)


@pytest.mark.parametrize("turn", TURNS)
def test_what_a_box_holds_it_holds_in_the_turned_picture(turn: Turn) -> None:
    picture = np.zeros((6, 9, 3), np.uint8)
    picture[1:3, 4:8] = 255
    (box,) = turn_boxes(np.array([[4, 1, 8, 3]], np.float32), (9, 6), turn)
    turned = turn_image(picture, turn)
    assert (turned.shape[1], turned.shape[0]) == turn_size((9, 6), turn)
    x1, y1, x2, y2 = box.astype(int)
    assert turned[y1:y2, x1:x2].min() == 255
    assert turned.sum() == turned[y1:y2, x1:x2].sum()
    assert turn_boxes(np.zeros((0, 4), np.float32), (9, 6), turn).shape == (0, 4)
