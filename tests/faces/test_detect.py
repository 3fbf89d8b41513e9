"""The detector around its network: a fake graph stands in, so that every number is known."""

import numpy as np
import pytest

from facepool.faces.detect import (
    DETECTOR_PRESETS,
    DetectOptions,
    RetinaFace,
    average_landmarks,
    decode_boxes,
    decode_landmarks,
    prior_boxes,
)
from facepool.models.catalog import RetinaFaceSpec
from facepool.types import Detections, Floats, Image

SPEC = RetinaFaceSpec()
STRIDES, SIZES = SPEC.strides, SPEC.prior_sizes


class OneFaceGraph:
    """Says that one prior is a face, and remembers what it was fed."""

    engine = "fake"
    device = "cpu"
    outputs = ("landmarks", "conf", "loc")  # another order than the spec's: outputs go by name

    def __init__(self, prior: int, score: float = 0.9) -> None:
        self.prior = prior
        self.score = score
        self.batches: list[Image] = []

    def run(self, batch: Floats | Image) -> tuple[Floats, ...]:
        assert batch.dtype == np.uint8
        self.batches.append(batch.astype(np.uint8))
        count = len(prior_boxes(batch.shape[1:3], STRIDES, SIZES))
        conf = np.zeros((len(batch), count, 2), np.float32)
        conf[:, self.prior, 1] = self.score
        return np.zeros((len(batch), count, 10), np.float32), conf, np.zeros((len(batch), count, 4), np.float32)


def test_priors_come_level_by_level_row_by_row_and_size_by_size() -> None:
    priors = prior_boxes((64, 32), STRIDES, SIZES)
    assert len(priors) == 2 * (8 * 4 + 4 * 2 + 2 * 1)
    np.testing.assert_array_equal(priors[:3], [[4, 4, 16, 16], [4, 4, 32, 32], [12, 4, 16, 16]])
    np.testing.assert_array_equal(priors[-1], [16, 48, 512, 512])


def test_zero_deltas_give_the_priors_themselves() -> None:
    priors = np.array([[100, 50, 16, 32]], np.float32)
    np.testing.assert_allclose(decode_boxes(np.zeros((1, 4), np.float32), priors, (0.1, 0.2)), [[92, 34, 108, 66]])
    points = decode_landmarks(np.zeros((1, 10), np.float32), priors, (0.1, 0.2))
    np.testing.assert_allclose(points, np.full((1, 5, 2), [100, 50]))


def test_deltas_move_by_the_prior_and_stretch_exponentially() -> None:
    priors = np.array([[100, 100, 20, 20]], np.float32)
    deltas = np.array([[1, -1, np.log(2) / 0.2, 0]], np.float32)
    np.testing.assert_allclose(decode_boxes(deltas, priors, (0.1, 0.2)), [[82, 88, 122, 108]], rtol=1e-5)


def test_a_picture_that_is_shrunk_reports_in_its_own_pixels() -> None:
    graph = OneFaceGraph(prior=0)
    found = RetinaFace(graph, SPEC, DetectOptions(size=64)).detect([np.zeros((256, 128, 3), np.uint8)])[0]
    assert graph.batches[0].shape == (1, 64, 32, 3)
    np.testing.assert_allclose(found.boxes, [[-16, -16, 48, 48]])  # prior of 16 px at (4, 4), four times as large


def test_a_small_picture_is_padded_with_the_mean_and_not_enlarged() -> None:
    graph = OneFaceGraph(prior=0)
    picture = np.full((33, 20, 3), 255, np.uint8)
    RetinaFace(graph, SPEC).detect([picture])
    batch = graph.batches[0]
    assert batch.shape == (1, 64, 32, 3)
    assert (batch[0, :33, :20] == 255).all()
    assert (batch[0, 33:] == (104, 117, 123)).all()
    assert (batch[0, :, 20:] == (104, 117, 123)).all()


def test_the_padding_of_a_network_that_takes_rgb_is_its_mean_in_bgr() -> None:
    graph = OneFaceGraph(prior=0)
    RetinaFace(graph, RetinaFaceSpec(channel_order="rgb", mean=(1, 2, 3))).detect([np.zeros((20, 32, 3), np.uint8)])
    assert graph.batches[0][0, 31, 31].tolist() == [3, 2, 1]


def test_a_picture_that_fits_is_fed_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    whole = np.zeros((64, 100, 3), np.uint8)
    whole[:, :96] = picture
    for given in (picture, whole[:, :96]):
        graph = OneFaceGraph(prior=0)
        RetinaFace(graph, SPEC).detect([given])
        np.testing.assert_array_equal(graph.batches[0][0], picture)


def test_pictures_of_one_size_share_a_batch_and_keep_their_order() -> None:
    graph = OneFaceGraph(prior=0)
    small, large = np.zeros((32, 32, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    found = RetinaFace(graph, SPEC).detect([small, large, small])
    assert [batch.shape[0] for batch in graph.batches] == [2, 1]
    assert [len(detections) for detections in found] == [1, 1, 1]


class SizedGraph(OneFaceGraph):
    """Sees one face, surer of it in a larger picture, in the first prior of 16 pixels of each."""

    def run(self, batch: Floats | Image) -> tuple[Floats, ...]:
        self.score = 0.7 if batch.shape[2] < 128 else 0.9
        return super().run(batch)


def test_a_second_look_enlarges_a_picture_and_finds_smaller_faces() -> None:
    graph = SizedGraph(prior=0)
    options = DetectOptions(second_size=200, iou_threshold=0.2)
    found = RetinaFace(graph, SPEC, options).detect([np.zeros((64, 64, 3), np.uint8)])[0]
    assert [batch.shape[1:3] for batch in graph.batches] == [(64, 64), (128, 128)]  # enlarged twice at most
    np.testing.assert_allclose(found.scores, [0.9])  # of the surer look, where both see a face
    np.testing.assert_allclose(
        found.boxes, [[-4, -4, 12, 12]]
    )  # the first look has it, unless the other one's size is better


@pytest.mark.parametrize(("first_px", "taken"), [(90, 0), (60, 1), (30, 1)])
def test_of_two_looks_the_one_speaks_that_sees_a_face_at_a_good_size(first_px: float, taken: int) -> None:
    """Landmarks err least between 80 and 224 pixels; within them what the first look says stays."""
    boxes = [np.array([[0, 0, first_px - less, first_px]], np.float32) for less in (0, 1)]
    looks = [
        Detections(box, np.array([score], np.float32), np.full((1, 5, 2), number, np.float32))
        for number, (box, score) in enumerate(zip(boxes, (0.7, 0.9), strict=True))
    ]
    merged = RetinaFace(OneFaceGraph(prior=0), SPEC).merge(looks[0], looks[1], (1.0, 2.0))
    assert merged.scores.tolist() == [np.float32(0.9)]
    assert merged.landmarks[0, 0, 0] == taken
    np.testing.assert_array_equal(merged.boxes, boxes[taken])


def test_looks_that_see_different_faces_both_count() -> None:
    graph = SizedGraph(prior=0)
    options = DetectOptions(second_size=200, iou_threshold=0.3)  # a box of 8 px inside one of 16: 0.25
    found = RetinaFace(graph, SPEC, options).detect([np.zeros((64, 64, 3), np.uint8)])[0]
    np.testing.assert_allclose(found.scores, [0.9, 0.7])
    np.testing.assert_allclose(found.boxes, [[-2, -2, 6, 6], [-4, -4, 12, 12]])


@pytest.mark.parametrize(("score", "found"), [(0.8, [0.9]), (0.95, [0.95, 0.9])])
def test_parts_of_a_face_too_large_for_the_second_look_are_no_faces_unless_surer(
    score: float, found: list[float]
) -> None:
    class LargeFaceGraph(OneFaceGraph):
        def run(self, batch: Floats | Image) -> tuple[Floats, ...]:
            close = batch.shape[2] > 320
            self.prior = 0 if close else -1  # 16 px in a corner; 512 px in the other corner
            self.score = score if close else 0.9
            deltas, conf, landmarks = 2, 1, 0
            raw = list(super().run(batch))
            raw[deltas][:, self.prior, :2] = 300 if close else 0  # at 484 px, inside the large face
            return raw[landmarks], raw[conf], raw[deltas]

    options = DetectOptions(size=320, second_size=1280)
    seen = RetinaFace(LargeFaceGraph(0), SPEC, options).detect([np.zeros((640, 640, 3), np.uint8)])[0]
    np.testing.assert_allclose(seen.scores, found)
    assert seen.sizes[-1] == 1024


def test_a_large_picture_is_shrunk_less_for_the_second_look() -> None:
    graph = OneFaceGraph(prior=0)
    RetinaFace(graph, SPEC, DetectOptions(size=64, second_size=128)).detect([np.zeros((256, 256, 3), np.uint8)])
    assert [batch.shape[1:3] for batch in graph.batches] == [(64, 64), (128, 128)]


def test_a_second_look_that_shows_no_more_is_left_out() -> None:
    graph = OneFaceGraph(prior=0)
    RetinaFace(graph, SPEC, DetectOptions(size=64, second_size=64)).detect([np.zeros((256, 256, 3), np.uint8)])
    assert len(graph.batches) == 1


def test_many_large_pictures_do_not_share_one_run() -> None:
    graph = OneFaceGraph(prior=0)
    RetinaFace(graph, SPEC, DetectOptions(size=1280)).detect([np.zeros((1280, 1280, 3), np.uint8)] * 3)
    assert [len(batch) for batch in graph.batches] == [2, 1]


def test_what_is_asked_for_by_quality_gets_more_thorough() -> None:
    fast, balanced, best = DETECTOR_PRESETS["fast"], DETECTOR_PRESETS["balanced"], DETECTOR_PRESETS["best"]
    assert balanced == DetectOptions()
    assert fast.size < balanced.size < (best.second_size or 0)
    assert fast.second_size is balanced.second_size is None


@pytest.mark.parametrize(("threshold", "faces"), [(0.9, 1), (0.91, 0)])
def test_the_threshold_itself_is_a_face(threshold: float, faces: int) -> None:
    graph = OneFaceGraph(prior=3, score=np.float32(0.9).item())
    found = RetinaFace(graph, SPEC, DetectOptions(threshold=threshold)).detect([np.zeros((64, 64, 3), np.uint8)])[0]
    assert len(found) == faces


def test_no_picture_gives_no_answer() -> None:
    assert RetinaFace(OneFaceGraph(0), SPEC).detect([]) == []


def test_the_landmarks_of_a_face_are_the_mean_of_what_its_boxes_say() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [6, 0, 16, 10], [50, 50, 60, 60]], np.float32)
    landmarks = np.repeat(np.array([1, 4, 100, 7], np.float32), 10).reshape(4, 5, 2)
    scores = np.array([1.0, 0.5, 0.9, 0.8], np.float32)
    averaged = average_landmarks(boxes[[0, 3]], boxes, scores, landmarks)
    np.testing.assert_allclose(averaged[:, 0, 0], [2, 7])  # the third overlaps too little to speak for the first
    assert average_landmarks(boxes[:0], boxes, scores, landmarks).shape == (0, 5, 2)
