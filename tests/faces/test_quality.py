from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from facepool.faces.quality import Component, FaceMeasures, Flaw, QualityPolicy, measure
from facepool.geometry import ARCFACE_112
from facepool.types import AlignedFaces, Detections, Floats, Image


def one(value: float) -> Floats:
    return np.array([value], np.float32)


def textured(seed: int = 0) -> Image:
    blocks = np.random.default_rng(seed).integers(40, 220, (28, 28, 1), dtype=np.uint8)
    return np.kron(blocks, np.ones((4, 4, 3), np.uint8))


def measured(face_bgr: Image, size: float = 112, score: float = 1, misfit_mm: float = 1) -> FaceMeasures:
    boxes = np.array([[0, 0, size, size * 1.3]], np.float32)
    faces = AlignedFaces(face_bgr[None], "arcface-112")
    return measure(Detections(boxes, one(score), ARCFACE_112[None]), faces, one(misfit_mm))


def blurred(face: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(face, (0, 0), 6), np.uint8)


def times(factor: float) -> Callable[[Image], Image]:
    return lambda face: (face * factor).astype(np.uint8)


def washed_out(face: Image) -> Image:
    return (120 + face * 0.05).astype(np.uint8)


def white(face: Image) -> Image:
    return (225 + face * 0.13).astype(np.uint8)


def masked(face: Image) -> Image:
    covered = face.copy()
    covered[70:] = 140
    return covered


GOOD = measured(textured())
WORSE: list[tuple[FaceMeasures, Component, Flaw]] = [
    (measured(textured(), score=0.6), "detection_confidence", "uncertain_face"),
    (measured(textured(), size=30), "head_size", "too_small"),
    (measured(times(0.15)(textured())), "under_exposure_prevention", "too_dark"),
    (measured(white(textured())), "over_exposure_prevention", "too_bright"),
    (measured(washed_out(textured())), "dynamic_range", "low_contrast"),
    (measured(blurred(textured())), "sharpness", "blurred"),
    (measured(masked(textured())), "face_occlusion_prevention", "covered"),
    (measured(textured(), misfit_mm=7), "landmark_plausibility", "implausible_landmarks"),
]


def test_no_face_has_no_measures_and_no_flaws() -> None:
    no_faces = AlignedFaces(np.zeros((0, 112, 112, 3), np.uint8), "arcface-112")
    nothing = measure(Detections.empty(), no_faces, np.zeros(0, np.float32))
    assert len(nothing) == len(nothing.overall) == 0
    assert QualityPolicy().flaws(nothing) == []


def test_a_good_face_has_full_marks_and_no_flaw() -> None:
    assert {name: float(values[0]) for name, values in GOOD.components.items()} == dict.fromkeys(GOOD.components, 100)
    assert QualityPolicy().flaws(GOOD) == [()]


@pytest.mark.parametrize(("face", "component", "flaw"), WORSE, ids=[flaw for _, _, flaw in WORSE])
def test_each_flaw_costs_its_component_and_has_its_reason(face: FaceMeasures, component: Component, flaw: Flaw) -> None:
    assert face.components[component][0] < 60
    assert flaw in QualityPolicy().flaws(face)[0]
    assert face.overall[0] <= face.components[component][0]


@pytest.mark.parametrize("flaw", ["uncertain_face", "too_small", "covered", "implausible_landmarks"])
def test_a_single_flaw_is_the_only_reason(flaw: Flaw) -> None:
    face = next(face for face, _, its_flaw in WORSE if its_flaw == flaw)
    assert QualityPolicy().flaws(face) == [(flaw,)]


def test_overall_is_the_worst_component() -> None:
    assert replace(GOOD, size_px=one(66)).overall[0] == pytest.approx(50)
    assert replace(GOOD, sharpness=one(0)).overall[0] == 0
    assert replace(GOOD, misfit_mm=one(np.inf)).overall[0] == 0


def test_overall_is_what_the_embedder_made_of_it_once_that_is_known() -> None:
    small = replace(GOOD, size_px=one(66))
    assert replace(small, unified=one(80)).overall[0] == 80
    assert replace(small, unified=one(np.nan)).overall[0] == pytest.approx(50)


def test_rows_of_measures() -> None:
    both = FaceMeasures(*np.array([[1, 2]] * 7 + [[3, 4]], np.float32))
    assert both[np.array([1])].overall.tolist() == [4]
    assert replace(both, unified=None)[np.array([1])].score.tolist() == [2]


def test_measuring_knows_no_policy() -> None:
    small = measured(textured(), size=30)
    assert QualityPolicy(min_size_px=20).flaws(small) == [()]
    assert QualityPolicy(min_size_px=60).flaws(small) == [("too_small",)]


def test_many_flaws_are_told_in_the_order_in_which_to_mend_them() -> None:
    bad = replace(GOOD, size_px=one(10), sharpness=one(1), score=one(0.5))
    assert QualityPolicy().flaws(bad) == [("uncertain_face", "too_small", "blurred")]
