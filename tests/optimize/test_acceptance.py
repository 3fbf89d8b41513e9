"""When an optimized graph is accepted: what it may change, and what it may not."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from facepool.faces.align import Aligner
from facepool.faces.detect import DetectOptions, RetinaFace
from facepool.faces.embed import Embedder
from facepool.geometry import ARCFACE_112
from facepool.optimize.acceptance import AcceptanceReport, compare_detectors, compare_embedders, processor_time_ratio
from facepool.types import AlignedFaces, Detections, Floats, Image
from support.fake_analyzer import SPACE, unit

FACES = AlignedFaces(np.zeros((24, 112, 112, 3), np.uint8), "arcface-112")
IMAGES = [np.zeros((480, 640, 3), np.uint8)] * 4


class Vectors(Embedder):
    """Gives every face the vector of its row, with a little noise."""

    def __init__(self, noise: float) -> None:
        self.space = SPACE
        random = np.random.default_rng(0)
        clean = random.normal(size=(len(FACES), SPACE.dimension))
        self._vectors = clean + noise * np.random.default_rng(1).normal(size=clean.shape)

    def embed(self, faces: AlignedFaces) -> Floats:
        rows = self._vectors[: len(faces)]
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


class SeesNothing(Embedder):
    """Gives every face the same vector, however it was cut out."""

    def __init__(self) -> None:
        self.space = SPACE

    def embed(self, faces: AlignedFaces) -> Floats:
        return np.tile(unit(1), (len(faces), 1))


class Finds(RetinaFace):
    """Finds the same faces in every picture, and the first of them moved in moved pictures."""

    def __init__(self, *scores: float, shift_px: float = 0.0, unsteady_px: float = 0.0, side_px: float = 112) -> None:
        self.options = DetectOptions()
        starts = np.arange(len(scores), dtype=np.float32)[:, None] * side_px
        self._boxes = np.concatenate([starts, starts, starts + side_px, starts + side_px], axis=1)
        self._scores = np.array(scores, np.float32)
        self._landmarks = ARCFACE_112 * side_px / 112 + starts[:, None] + shift_px
        self._unsteady_px = unsteady_px

    def detect(self, images_bgr: Sequence[Image]) -> list[Detections]:
        return [self._in(image) for image in images_bgr]

    def _in(self, image: Image) -> Detections:
        moved_px = image.shape[0] - IMAGES[0].shape[0]
        landmarks = self._landmarks + moved_px + (self._unsteady_px if moved_px else 0)
        return Detections(self._boxes + moved_px, self._scores, np.asarray(landmarks, np.float32))


def values(report: AcceptanceReport) -> dict[str, float]:
    return {metric.name: metric.value for metric in report.metrics}


def broken(report: AcceptanceReport) -> set[str]:
    """The bounds that are not kept."""
    return {metric.name for metric in report.metrics if not metric.passed}


def half(before: Callable[[], object], after: Callable[[], object]) -> float:
    """In place of measuring: the optimized graph takes half the time."""
    return 0.5


def compared(before: RetinaFace, after: RetinaFace, embedder: Embedder | None = None) -> AcceptanceReport:
    return compare_detectors(before, after, before, Aligner(), embedder or SeesNothing(), IMAGES, half)


def test_equal_vectors_are_accepted() -> None:
    report = compare_embedders(Vectors(0), Vectors(0), Vectors(0), FACES, 4, half)
    assert broken(report) == set()
    assert values(report)["worst_vector"] == pytest.approx(0, abs=1e-6)
    assert (report.faces, report.pictures) == (len(FACES), 4)


def test_vectors_that_moved_too_far_are_refused() -> None:
    report = compare_embedders(Vectors(0), Vectors(0.5), Vectors(0), FACES, 4, half)
    assert broken(report) == {"worst_vector", "worst_pair", "usual_pair"}
    assert not report.accepted


def test_vectors_that_are_no_numbers_are_refused() -> None:
    report = compare_embedders(Vectors(0), Vectors(np.nan), Vectors(0), FACES, 4, half)
    assert broken(report) >= {"worst_vector", "worst_pair"}


def test_one_face_is_judged_without_pairs() -> None:
    one = AlignedFaces(FACES.images_bgr[:1], FACES.template)
    assert values(compare_embedders(Vectors(0), Vectors(0), Vectors(0), one, 1, half))["worst_pair"] == 0


def test_the_same_faces_in_the_same_places_are_accepted() -> None:
    report = compared(Finds(0.9, 0.7), Finds(0.95, 0.65))
    assert broken(report) == set()
    assert report.faces == 2 * len(IMAGES)


def test_a_clear_face_may_neither_be_lost_nor_added() -> None:
    assert values(compared(Finds(0.9, 0.9), Finds(0.9)))["faces_lost"] == len(IMAGES)
    assert values(compared(Finds(0.9), Finds(0.9, 0.9)))["faces_added"] == len(IMAGES)
    assert broken(compared(Finds(0.9, 0.9), Finds(0.9))) == {"faces_lost"}


def test_a_doubtful_face_may_be_lost_or_added() -> None:
    assert broken(compared(Finds(0.9, 0.7), Finds(0.9))) == set()
    assert broken(compared(Finds(0.9), Finds(0.9, 0.7))) == set()


def test_small_faces_do_not_count() -> None:
    assert values(compared(Finds(0.9, 0.9, side_px=30), Finds(0.9, side_px=30)))["faces_lost"] == 0


def test_landmarks_are_measured_in_pixels_of_the_aligned_face() -> None:
    report = compared(Finds(0.9, side_px=224), Finds(0.9, side_px=224, shift_px=6))
    assert values(report)["landmarks"] == pytest.approx(3 * 2**0.5, rel=1e-3)
    assert broken(report) == {"landmarks"}


def test_landmarks_may_move_as_far_as_those_of_float32_do_when_the_picture_moves() -> None:
    assert broken(compared(Finds(0.9, unsteady_px=4), Finds(0.9, shift_px=3))) == set()
    assert broken(compared(Finds(0.9, unsteady_px=2), Finds(0.9, shift_px=3))) == {"landmarks"}


def test_nothing_found_by_either_is_no_difference() -> None:
    assert broken(compared(Finds(), Finds())) == set()


@pytest.mark.parametrize(("ratio", "accepted"), [(0.9, True), (0.91, False), (float("nan"), False)])
def test_a_graph_that_is_not_a_tenth_faster_is_refused(ratio: float, accepted: bool) -> None:
    reports = (
        compare_embedders(Vectors(0), Vectors(0), Vectors(0), FACES, 4, lambda *_: ratio),
        compare_detectors(Finds(0.9), Finds(0.9), Finds(0.9), Aligner(), SeesNothing(), IMAGES, lambda *_: ratio),
    )
    for report in reports:
        assert report.accepted is accepted
        assert broken(report) == (set() if accepted else {"time"})


def test_time_is_the_processors_and_a_slow_run_among_many_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = [0.0]
    durations = {"before": iter([9.0, 9.0, 2.0] + [4.0] * 12), "after": iter([50.0] + [3.0] * 13 + [70.0])}

    def run(which: str) -> None:
        spent[0] += next(durations[which])

    monkeypatch.setattr(time, "process_time", lambda: spent[0])
    assert processor_time_ratio(lambda: run("before"), lambda: run("after")) == 0.75
