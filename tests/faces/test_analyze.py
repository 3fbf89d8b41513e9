"""The default pack on the demo's photos: boxes, landmarks, vectors, same against different people."""

from typing import Any

import numpy as np
import pytest

from facepool import Analyzer, Faces, Frame, ModelChoice, ModelStore, load_analyzer, read_image, verify
from facepool.errors import ImageUnreadable
from facepool.faces.detect import DETECTOR_PRESETS, DetectorPreset
from facepool.models.catalog import DEMO_PHOTOS

NAMES = ("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2")
SAME = {("person_a_1", "person_a_2"): 0.62, ("person_b_1", "person_b_2"): 0.786}

BOXES = {
    "person_a_1": (64.3, 47.5, 138.7, 150.7),
    "person_b_2": (212.8, 126.1, 488.3, 526.7),
    "impostor_1": (222.0, 166.5, 454.7, 501.3),
}
LANDMARKS_OF_PERSON_A_1 = ((85.7, 90.2), (118.5, 86.0), (105.6, 108.2), (93.0, 126.7), (119.9, 123.3))
FIRST_VALUES = {
    "person_a_1": (0.0708, 0.0309, 0.0456, 0.0113),
    "person_b_1": (0.0573, 0.0358, -0.0043, -0.0357),
    "impostor_2": (-0.0820, 0.0147, 0.0923, 0.0539),
}


@pytest.fixture(scope="module")
def analyzer(open_store: ModelStore) -> Analyzer:
    return load_analyzer(store=open_store, device="cpu")


@pytest.fixture(scope="module")
def frames(open_store: ModelStore) -> dict[str, Frame]:
    folder = open_store.pull_asset(DEMO_PHOTOS)
    return {name: Frame(read_image(folder / f"{name}.jpg"), name) for name in NAMES}


@pytest.fixture(scope="module")
def faces(analyzer: Analyzer, frames: dict[str, Frame]) -> dict[str, Faces]:
    return {name: analyzer.analyze(frame.image_bgr) for name, frame in frames.items()}


def test_each_photo_has_one_face(faces: dict[str, Faces]) -> None:
    assert [len(found) for found in faces.values()] == [1] * len(NAMES)
    assert all(found.detections.scores[0] > 0.99 for found in faces.values())


@pytest.mark.parametrize("name", BOXES)
def test_boxes_are_where_they_were(name: str, faces: dict[str, Faces]) -> None:
    np.testing.assert_allclose(faces[name].detections.boxes[0], BOXES[name], atol=1.5)


def test_landmarks_are_where_they_were(faces: dict[str, Faces]) -> None:
    np.testing.assert_allclose(faces["person_a_1"].detections.landmarks[0], LANDMARKS_OF_PERSON_A_1, atol=1.0)


def test_faces_that_are_not_judged_are_the_same(
    analyzer: Analyzer, frames: dict[str, Frame], faces: dict[str, Faces]
) -> None:
    unjudged = analyzer.embed_batch([frame.image_bgr for frame in frames.values()])
    for (detections, embeddings), judged in zip(unjudged, faces.values(), strict=True):
        np.testing.assert_allclose(detections.boxes, judged.detections.boxes, atol=1e-3)
        np.testing.assert_allclose(embeddings, judged.embeddings, atol=1e-5)


def test_the_fastest_precision_gives_the_vectors_of_float32(
    open_store: ModelStore, frames: dict[str, Frame], faces: dict[str, Faces]
) -> None:
    exact = load_analyzer(ModelChoice(precision="float32"), store=open_store, device="cpu")
    assert "bfloat16" not in exact.runs_on
    for (_, embeddings), found in zip(
        exact.embed_batch([frame.image_bgr for frame in frames.values()]), faces.values(), strict=True
    ):
        assert np.sum(embeddings * found.embeddings, axis=1).min() > 0.99


@pytest.mark.parametrize("name", FIRST_VALUES)
def test_vectors_are_what_they_were(name: str, faces: dict[str, Faces]) -> None:
    vector = faces[name].embeddings[0]
    np.testing.assert_allclose(np.linalg.norm(vector), 1, rtol=1e-5)
    np.testing.assert_allclose(vector[:4], FIRST_VALUES[name], atol=0.01)


@pytest.mark.parametrize("first", NAMES)
@pytest.mark.parametrize("second", NAMES)
def test_people_are_like_themselves_and_unlike_others(first: str, second: str, faces: dict[str, Faces]) -> None:
    if first >= second:
        return
    similarity = float(faces[first].embeddings[0] @ faces[second].embeddings[0])
    if (first, second) in SAME:
        assert similarity == pytest.approx(SAME[first, second], abs=0.03)
    else:
        assert similarity < 0.25


def test_a_batch_gives_what_single_pictures_give(
    analyzer: Analyzer, frames: dict[str, Frame], faces: dict[str, Faces]
) -> None:
    twice = [frames[name].image_bgr for name in NAMES] * 2
    for found, name in zip(analyzer.analyze_batch(twice), NAMES * 2, strict=True):
        np.testing.assert_allclose(found.detections.boxes, faces[name].detections.boxes, atol=0.05)
        np.testing.assert_allclose(found.embeddings, faces[name].embeddings, atol=2e-3)


def test_a_picture_without_a_face_has_empty_columns(analyzer: Analyzer) -> None:
    nothing = analyzer.analyze(np.full((480, 640, 3), 90, np.uint8))
    assert len(nothing) == 0
    assert nothing.embeddings.shape == (0, 128)
    assert nothing.poses == []


def test_a_face_of_twenty_pixels_in_a_640_frame_is_found(analyzer: Analyzer, frames: dict[str, Frame]) -> None:
    canvas = np.full((480, 640, 3), 110, np.uint8)
    small = _shrunk(frames["person_b_2"], 20 / 275.5)  # its face is 275.5 px wide
    canvas[200 : 200 + small.shape[0], 300 : 300 + small.shape[1]] = small
    found = analyzer.analyze(canvas).detections
    assert len(found) == 1
    assert 15 < found.sizes[0] < 26


@pytest.mark.parametrize("quality", DETECTOR_PRESETS)
def test_a_face_that_fills_the_frame_is_found(
    quality: DetectorPreset, open_store: ModelStore, frames: dict[str, Frame]
) -> None:
    x1, y1, x2, y2 = (int(edge) for edge in BOXES["person_b_2"])
    filled = np.ascontiguousarray(frames["person_b_2"].image_bgr[y1:y2, x1:x2])
    large = filled.repeat(3, axis=0).repeat(3, axis=1)
    found = load_analyzer(store=open_store, device="cpu", detect=DETECTOR_PRESETS[quality]).find(large)
    assert len(found) == 1
    assert found.sizes[0] > 0.8 * large.shape[1]


def test_verification_tells_the_people_apart(analyzer: Analyzer, frames: dict[str, Frame]) -> None:
    images = {name: frame.image_bgr for name, frame in frames.items()}
    assert verify(images["person_a_1"], images["person_a_2"], analyzer).match
    assert not verify(images["person_a_1"], images["impostor_1"], analyzer).match


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((48, 64, 3), np.float32),
        np.zeros((48, 64, 3), np.uint16),
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((0, 64, 3), np.uint8),
        None,
    ],
)
def test_an_image_that_would_be_looked_at_wrongly_is_refused(analyzer: Analyzer, image: Any) -> None:
    with pytest.raises(ImageUnreadable, match="uint8"):
        analyzer.analyze(image)


def _shrunk(frame: Frame, scale: float) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    import cv2

    return np.asarray(cv2.resize(frame.image_bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def test_the_best_quality_finds_a_face_that_the_default_is_too_coarse_for(
    open_store: ModelStore, analyzer: Analyzer, frames: dict[str, Frame]
) -> None:
    canvas = np.full((480, 640, 3), 110, np.uint8)
    tiny = _shrunk(frames["person_b_2"], 8 / 275.5)
    canvas[200 : 200 + tiny.shape[0], 300 : 300 + tiny.shape[1]] = tiny
    thorough = load_analyzer(store=open_store, device="cpu", detect=DETECTOR_PRESETS["best"])
    assert len(analyzer.find(canvas)) == 0
    found = thorough.find(canvas)
    assert len(found) == 1
    assert 5 < found.sizes[0] < 12


@pytest.mark.parametrize("quality", ["fast", "best"])
def test_every_quality_finds_the_photos_faces_where_they_are(
    quality: DetectorPreset, open_store: ModelStore, frames: dict[str, Frame], faces: dict[str, Faces]
) -> None:
    analyzer = load_analyzer(store=open_store, device="cpu", detect=DETECTOR_PRESETS[quality])
    for name in BOXES:
        seen = analyzer.analyze(frames[name].image_bgr)
        assert len(seen) == 1
        assert seen.embeddings[0] @ faces[name].embeddings[0] > 0.9
