"""Dark pictures for the detector, dark faces for the embedder; everything else stays as it is."""

import numpy as np
import pytest

from facepool import Analyzer, ModelStore, load_analyzer, read_image
from facepool.faces.light import brighten_faces, brighten_picture
from facepool.models.catalog import DEMO_PHOTOS
from facepool.types import AlignedFaces, Floats, Image


def at_night(image: Image, share: float = 0.1, noise: float = 6.0) -> Image:
    random = np.random.default_rng(0)
    return np.clip(np.round(image * share + random.normal(0, noise, image.shape)), 0, 255).astype(np.uint8)


def wall(level: float, shape: tuple[int, ...] = (120, 160, 3)) -> Image:
    return np.full(shape, level, np.uint8)


@pytest.fixture(scope="module")
def analyzer(open_store: ModelStore) -> Analyzer:
    return load_analyzer(store=open_store, device="cpu")


@pytest.fixture(scope="module")
def by_day(open_store: ModelStore) -> dict[str, Image]:
    folder = open_store.pull_asset(DEMO_PHOTOS)
    return {name: read_image(folder / f"{name}.jpg") for name in ("person_a_1", "person_a_2", "impostor_1")}


@pytest.fixture(scope="module")
def vectors(analyzer: Analyzer, by_day: dict[str, Image]) -> dict[str, Floats]:
    return {name: analyzer.analyze(image).embeddings[0] for name, image in by_day.items()}


def test_an_ordinary_picture_is_not_even_copied(by_day: dict[str, Image]) -> None:
    assert all(brighten_picture(image) is image for image in by_day.values())


def test_a_dark_picture_with_a_lit_part_stays_as_it_is() -> None:
    picture = wall(5)
    picture[40:80, 40:80] = 150
    assert brighten_picture(picture) is picture


@pytest.mark.parametrize("brightest", [240, 120, 70])
def test_a_lit_face_before_a_dark_background_does_not_turn_white(brightest: int) -> None:
    picture = at_night(wall(60, (720, 1280, 3)), noise=2)
    picture[300:400, 600:700] = np.linspace(brightest / 3, brightest, 100, dtype=np.uint8)[None, :, None]
    face, seen = (image[310:390, 610:690, 0].astype(int) for image in (picture, brighten_picture(picture)))
    assert (seen == 255).mean() < 0.25
    assert seen.std() >= face.std()


def test_a_dark_picture_is_brighter_and_no_noisier_than_its_brightening_allows() -> None:
    dark = at_night(wall(100))
    bright = brighten_picture(dark)
    assert bright.shape == dark.shape
    assert bright.dtype == np.uint8
    gain = bright.mean() / dark.mean()
    assert gain > 3
    assert bright.std() < 0.25 * gain * dark.std()


def test_a_dark_picture_without_noise_keeps_its_edges() -> None:
    dark = wall(4)
    dark[:, 80:] = 20
    bright = brighten_picture(dark)
    assert abs(int(bright[60, 79, 0]) - int(bright[60, 82, 0])) > 100


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 700, 3), (480, 640, 3)])
def test_black_pictures_stay_black(shape: tuple[int, int, int]) -> None:
    assert brighten_picture(wall(0, shape)).max() == 0


def test_only_dark_faces_change() -> None:
    faces = np.stack([wall(90, (112, 112, 3)), at_night(wall(120, (112, 112, 3)))])
    lit = brighten_faces(faces)
    np.testing.assert_array_equal(lit[0], faces[0])
    assert lit[1].mean() > 4 * faces[1].mean()
    assert lit[1].std() < 4


def test_lit_faces_are_not_even_copied() -> None:
    lit, none = np.full((2, 112, 112, 3), 60, np.uint8), np.empty((0, 112, 112, 3), np.uint8)
    assert brighten_faces(lit) is lit
    assert brighten_faces(none) is none


def test_a_face_at_the_limit_does_not_jump() -> None:
    below = np.full((1, 112, 112, 3), 39, np.uint8)
    assert abs(float(brighten_faces(below).mean()) - 40) < 2


def test_faces_are_brightened_each_for_itself() -> None:
    faces = np.stack([at_night(wall(level, (112, 112, 3))) for level in (60, 120, 240)])
    together = brighten_faces(faces)
    alone = np.concatenate([brighten_faces(face[None]) for face in faces])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("moving", [False, True])
def test_a_face_at_night_is_found_and_recognized(
    analyzer: Analyzer, by_day: dict[str, Image], vectors: dict[str, Floats], moving: bool
) -> None:
    faces = analyzer.analyze(at_night(by_day["person_a_2"]), moving=moving)
    assert len(faces) == 1
    assert float(faces.embeddings[0] @ vectors["person_a_1"]) > 0.4
    assert float(faces.embeddings[0] @ vectors["impostor_1"]) < 0.3


def test_what_is_measured_and_kept_is_as_captured(analyzer: Analyzer, by_day: dict[str, Image]) -> None:
    faces = analyzer.analyze(at_night(by_day["person_a_2"]))
    assert faces.aligned is not None
    assert faces.measures.brightness[0] < 30
    assert faces.aligned.images_bgr.mean() < 30


def test_a_kept_face_is_embedded_as_it_was(analyzer: Analyzer, by_day: dict[str, Image]) -> None:
    faces = analyzer.analyze(at_night(by_day["person_a_2"]))
    assert faces.aligned is not None
    again = analyzer.embed(AlignedFaces(faces.aligned.images_bgr, faces.aligned.template))
    np.testing.assert_allclose(again, faces.embeddings, atol=1e-3)
