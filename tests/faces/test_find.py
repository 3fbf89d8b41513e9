"""Faces of still pictures: also where these lie on their side or head, or are large."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from facepool import Analyzer, DetectOptions, ModelStore, load_analyzer, read_image
from facepool.faces.detect import DETECTOR_PRESETS
from facepool.faces.find import Detect
from facepool.faces.pose import NO_HEAD_MM
from facepool.geometry import turn_boxes, turn_image, turn_points
from facepool.types import TURNS, Detections, Image, Turn

BACK: dict[Turn, Turn] = {0: 0, 90: 270, 180: 180, 270: 90}
ON_ITS_SIDE_OR_HEAD = [turn for turn in TURNS if turn]
NAMES = ("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2")


class Looks:
    """Counts how often a detector looks, and how large what it looks at is."""

    def __init__(self, analyzer: Analyzer) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.analyzer = analyzer.with_stages(self._counted, lambda embed, _device: embed)

    def _counted(self, detect: Detect, _device: str) -> Detect:
        def look(images_bgr: Sequence[Image]) -> list[Detections]:
            self.shapes += [image.shape[:2] for image in images_bgr]
            return detect(images_bgr)

        return look


@pytest.fixture(scope="module")
def analyzer(open_store: ModelStore) -> Analyzer:
    return load_analyzer(store=open_store, device="cpu")


@pytest.fixture
def looks(analyzer: Analyzer) -> Looks:
    return Looks(analyzer)


@pytest.fixture(scope="module", params=NAMES)
def photo(request: pytest.FixtureRequest, photos: Path) -> Image:
    return read_image(photos / f"{request.param}.jpg")


def scene(photo: Image, size_wh: tuple[int, int], face_px: float, face_of: Detections) -> Image:
    """A large picture of nothing but a photo's face, so large, in its middle."""
    scale = face_px / float(face_of.sizes[0])
    width, height = size_wh
    middle = face_of.boxes[0].reshape(2, 2).mean(axis=0)
    shift = np.array(size_wh) / 2 - scale * middle
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(photo, matrix, (width, height), flags=flags, borderValue=(96, 104, 96)), np.uint8)


@pytest.mark.parametrize("turn", ON_ITS_SIDE_OR_HEAD)
def test_a_photo_on_its_side_or_head_shows_what_the_upright_one_shows(
    analyzer: Analyzer, photo: Image, turn: Turn
) -> None:
    upright, lying = analyzer.analyze(photo), analyzer.analyze(turn_image(photo, turn))
    assert (upright.detections.turn, lying.detections.turn) == (0, BACK[turn])
    size_wh, within = (photo.shape[1], photo.shape[0]), 0.02 * float(upright.detections.sizes[0])
    boxes = turn_boxes(upright.detections.boxes, size_wh, turn)
    points = turn_points(upright.detections.landmarks, size_wh, turn)
    np.testing.assert_allclose(lying.detections.boxes, boxes, atol=within)
    np.testing.assert_allclose(lying.detections.landmarks, points, atol=within)
    assert float(lying.embeddings[0] @ upright.embeddings[0]) > 0.95
    np.testing.assert_allclose(lying.measures.overall, upright.measures.overall, atol=6)


def test_poses_are_those_of_the_upright_picture(analyzer: Analyzer, photos: Path) -> None:
    photo = read_image(photos / "person_a_1.jpg")
    (expected,) = analyzer.analyze(photo).poses
    assert expected is not None
    assert abs(expected.yaw) > 2
    for turn in ON_ITS_SIDE_OR_HEAD:
        (pose,) = analyzer.analyze(turn_image(photo, turn)).poses
        assert pose is not None
        assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((expected.yaw, expected.pitch, expected.roll), abs=3)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "person_a_1"])  # a thumbnail of 200 pixels
def test_an_ordinary_photo_is_looked_at_once(looks: Looks, photos: Path, name: str) -> None:
    photo = read_image(photos / f"{name}.jpg")
    looks.analyzer.analyze(photo)
    assert looks.shapes == [photo.shape[:2]]


def test_a_picture_without_a_face_is_looked_at_by_each_turn(looks: Looks) -> None:
    assert len(looks.analyzer.analyze(np.full((300, 400, 3), 90, np.uint8))) == 0
    assert sorted(looks.shapes) == [(300, 400), (300, 400), (400, 300), (400, 300)]


def test_what_moves_is_looked_at_once_as_it_lies(looks: Looks, photo: Image) -> None:
    upside_down = turn_image(photo, 180)
    assert looks.analyzer.analyze(upside_down, moving=True).detections.turn == 0
    assert looks.analyzer.find(upside_down, moving=True).misfit_mm is None
    assert len(looks.shapes) == 2


def test_pictures_that_lie_in_different_ways_go_together(analyzer: Analyzer, photos: Path) -> None:
    lying = [turn_image(read_image(photos / f"{name}.jpg"), turn) for name, turn in zip(NAMES, TURNS * 2, strict=False)]
    together, one_by_one = analyzer.embed_batch(lying), [analyzer.analyze(image) for image in lying]
    assert [found.turn for found, _ in together] == [BACK[turn] for turn in (TURNS * 2)[: len(NAMES)]]
    for (found, embeddings), alone in zip(together, one_by_one, strict=True):
        np.testing.assert_allclose(found.boxes, alone.detections.boxes, atol=0.05)
        np.testing.assert_allclose(embeddings, alone.embeddings, atol=2e-3)


@pytest.mark.parametrize("photo", ["person_a_1", "person_b_2"], indirect=True)
@pytest.mark.parametrize("size_wh", [(4000, 3000), (12000, 750), (1600, 4000)], ids=["photo", "panorama", "tall"])
@pytest.mark.parametrize(("part", "turn"), [(40, 0), (20, 180)])
def test_a_small_face_in_a_large_picture_is_found(
    analyzer: Analyzer, photo: Image, size_wh: tuple[int, int], part: int, turn: Turn
) -> None:
    face_px = max(size_wh) / part
    picture = scene(photo, size_wh, face_px, analyzer.find(photo))
    found = analyzer.find(turn_image(picture, turn))
    assert len(found) == 1
    assert found.turn == BACK[turn]
    middle = found.boxes[0].reshape(2, 2).mean(axis=0)
    np.testing.assert_allclose(middle, np.array(size_wh) / 2, atol=face_px / 4)


def test_a_large_photo_of_a_large_face_is_looked_at_once(looks: Looks, photos: Path) -> None:
    photo = read_image(photos / "person_a_1.jpg")
    portrait = scene(photo, (3000, 4000), 500, looks.analyzer.find(photo))
    looks.shapes.clear()
    assert len(looks.analyzer.find(portrait)) == 1
    assert looks.shapes == [portrait.shape[:2]]


@pytest.mark.parametrize("options", [DETECTOR_PRESETS["fast"], DETECTOR_PRESETS["best"]], ids=["fast", "best"])
def test_only_the_usual_preset_looks_closer(open_store: ModelStore, options: DetectOptions) -> None:
    looks = Looks(load_analyzer(store=open_store, device="cpu", detect=options))
    looks.analyzer.find(np.full((1500, 2000, 3), 90, np.uint8))
    assert len(looks.shapes) == 4


def test_what_fits_no_head_says_by_how_much(analyzer: Analyzer, photo: Image) -> None:
    found = analyzer.find(photo)
    assert found.misfit_mm is not None
    assert found.misfit_mm.max() < NO_HEAD_MM / 2
    assert found[:0].misfit_mm is not None


def shrunk(photo: Image, face_px: float, face_of: Detections) -> tuple[Image, float]:
    """The photo so small that its face has so many pixels, and by what it was shrunk."""
    scale = face_px / float(face_of.sizes[0])
    return np.asarray(cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8), scale


@pytest.mark.parametrize("turn", [0, 180])
def test_a_face_of_few_pixels_in_a_small_picture_is_found(analyzer: Analyzer, photo: Image, turn: Turn) -> None:
    large = analyzer.find(photo)
    small, scale = shrunk(photo, 20, large)
    found = analyzer.find(turn_image(small, turn))
    assert (len(found), found.turn) == (1, BACK[turn])
    points = turn_points(large.landmarks * scale, (small.shape[1], small.shape[0]), turn)
    eyes_apart = np.linalg.norm(points[0, 0] - points[0, 1])
    assert np.linalg.norm(found.landmarks - points, axis=2).mean() < 0.12 * eyes_apart


def test_a_small_picture_is_enlarged_for_small_faces_only(analyzer: Analyzer, looks: Looks, photos: Path) -> None:
    photo = read_image(photos / "person_b_1.jpg")
    for face_px, times in ((20, 4), (60, 1)):
        small, _ = shrunk(photo, face_px, analyzer.find(photo))
        looks.shapes.clear()
        looks.analyzer.find(small)
        assert looks.shapes[0] == small.shape[:2]
        assert [max(shape) for shape in looks.shapes[1:]] == [times * max(small.shape)][: times > 1]
