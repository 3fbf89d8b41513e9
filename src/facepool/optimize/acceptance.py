"""Whether a graph of 8 bits does what the float32 graph does: differences, each with the bound that it must keep.

Accepted means: the same embedding space. What the bounds allow is small beside what tells people apart: with SFace two
strangers' similarities deviate by 0.087 from their mean, and 0.056 lie between a false match rate of 1e-3 and 1e-4.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from facepool.faces.align import Aligner
from facepool.faces.detect import RetinaFace
from facepool.faces.embed import Embedder
from facepool.geometry import ARCFACE_112, iou, similarity_transforms
from facepool.types import AlignedFaces, Detections, Floats, Image

CLEAR = 0.8
"""Detector score from which on a face must be found by both graphs; between the threshold and this, either may err."""

_SAME_FACE = 0.5
_SMALL_PX = 32
"""Nobody is recognized by smaller faces, so that their landmarks do not matter."""

_HALF_STRIDE = 8
_RUNS = 15


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured difference between two graphs.

    Attributes:
        name: For people and programs.
        value: As measured.
        bound: The largest value that is accepted.
        meaning: What was measured, in which unit.
    """

    name: str
    value: float
    bound: float
    meaning: str

    @property
    def passed(self) -> bool:
        """Whether it is within its bound; not a number never is."""
        return self.value <= self.bound


@dataclass(frozen=True, slots=True)
class AcceptanceReport:
    """What comparing two graphs showed.

    Attributes:
        metrics: The differences.
        faces: How many faces they were compared on.
        pictures: On how many pictures, variants included.
    """

    metrics: tuple[Metric, ...]
    faces: int
    pictures: int

    @property
    def accepted(self) -> bool:
        """Whether every difference is within its bound."""
        return all(metric.passed for metric in self.metrics)


TimeRatio = Callable[[Callable[[], object], Callable[[], object]], float]
"""How much time the second of two calls takes, as a share of what the first takes."""


def processor_time_ratio(before: Callable[[], object], after: Callable[[], object]) -> float:
    """Measure two calls in turns; processor time, so that other programs do not decide."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(_RUNS):
        for run, times in zip((before, after), spent, strict=True):
            began = time.process_time()
            run()
            times.append(time.process_time() - began)
    return float(np.median(spent[1][2:]) / max(float(np.median(spent[0][2:])), 1e-9))


def compare_embedders(
    before: Embedder,
    after: Embedder,
    baseline: Embedder,
    faces: AlignedFaces,
    pictures: int,
    time_ratio: TimeRatio = processor_time_ratio,
) -> AcceptanceReport:
    """Compare an optimized embedder with the one that it was made from.

    Args:
        before: The float32 one.
        after: The optimized one.
        baseline: What runs where there is no optimized one, to be faster than: in float32 or bfloat16.
        faces: (N, S, S, 3), N of at least 1, of captures that the optimized graph was not made with.
        pictures: How many pictures they come from.
        time_ratio: Measures the time of one face.
    """
    one = AlignedFaces(faces.images_bgr[:1], faces.template)
    vectors = _compare_vectors(before.embed(faces), after.embed(faces))
    speed = _speed(time_ratio(lambda: baseline.embed(one), lambda: after.embed(one)))
    return AcceptanceReport((*vectors, speed), len(faces), pictures)


def compare_detectors(
    before: RetinaFace,
    after: RetinaFace,
    baseline: RetinaFace,
    aligner: Aligner,
    embedder: Embedder,
    images_bgr: Sequence[Image],
    time_ratio: TimeRatio = processor_time_ratio,
) -> AcceptanceReport:
    """Compare an optimized detector with the one that it was made from.

    Landmarks that differ turn a face into another vector. How much of that a pool tolerates anyhow is measured, too:
    the float32 detector is shown the same pictures moved by some pixels, and the optimized one may differ from it no
    more than it then differs from itself.

    Args:
        before: The float32 one.
        after: The optimized one.
        baseline: What runs where there is no optimized one, to be faster than: in float32 or bfloat16.
        aligner: Cuts faces out by the landmarks of either.
        embedder: Turns them into vectors.
        images_bgr: (H, W, 3) uint8 BGR each, with faces, of which the optimized graph was made with none.
        time_ratio: Measures the time of one picture.
    """
    optimized, moved = _Differences(aligner, embedder), _Differences(aligner, embedder)
    faces = 0
    for image in images_bgr:
        wanted = before.detect([image])[0]
        larger_bgr, by_px = _moved(image, before.options.size)
        optimized.add(image, wanted, after.detect([image])[0])
        moved.add(image, wanted, _move_back(before.detect([larger_bgr])[0], by_px))
        faces += len(wanted)
    one = list(images_bgr[:1])
    return AcceptanceReport(
        (
            Metric("faces_lost", optimized.lost, 0, f"faces with a score of {CLEAR} or more that only float32 finds"),
            Metric("faces_added", optimized.added, 0, f"faces with a score of {CLEAR} or more that only int8 finds"),
            Metric("worst_box", _largest(1 - np.array(optimized.overlaps)), 0.25, "1 - overlap of a face's two boxes"),
            Metric(
                *("landmarks", _rms(np.array(optimized.shifts)), _rms(np.array(moved.shifts))),
                "root mean square shift, px of 112; bound: float32 on moved pictures",
            ),
            Metric(
                *("vectors", _rms(np.array(optimized.apart)), _rms(np.array(moved.apart))),
                "root mean square of 1 - cosine by that shift; bound: float32 on moved pictures",
            ),
            _speed(time_ratio(lambda: baseline.detect(one), lambda: after.detect(one))),
        ),
        faces,
        len(images_bgr),
    )


class _Differences:
    """What differs between two detectors' faces, picture by picture.

    Args:
        aligner: Cuts faces out by the landmarks of either.
        embedder: Turns them into vectors.
    """

    def __init__(self, aligner: Aligner, embedder: Embedder) -> None:
        self.lost = self.added = 0
        self.overlaps: list[float] = []
        self.shifts: list[float] = []
        self.apart: list[float] = []
        self._aligner = aligner
        self._embedder = embedder

    def add(self, image_bgr: Image, wanted: Detections, given: Detections) -> None:
        """Compare what the two found in a picture."""
        pairs = _pairs(wanted, given)
        self.lost += _clear_without(wanted, [row for row, _, _ in pairs])
        self.added += _clear_without(given, [row for _, row, _ in pairs])
        for row, other, overlap in pairs:
            if wanted.scores[row] >= CLEAR and wanted.sizes[row] >= _SMALL_PX:
                both = np.stack([wanted.landmarks[row], given.landmarks[other]])
                first, second = self._embedder.embed(self._aligner.align(image_bgr, both))
                self.overlaps.append(overlap)
                self.shifts.append(_shift_px(*both))
                self.apart.append(float(1 - first @ second))


def _moved(image_bgr: Image, size: int) -> tuple[Image, int]:
    """A picture with a border at the left and above, and its width: half a stride where faces are looked for."""
    by_px = round(_HALF_STRIDE * max(1.0, max(image_bgr.shape[:2]) / size))
    return np.pad(image_bgr, ((by_px, 0), (by_px, 0), (0, 0)), mode="edge"), by_px


def _move_back(faces: Detections, by_px: int) -> Detections:
    return Detections(faces.boxes - by_px, faces.scores, faces.landmarks - by_px)


def _compare_vectors(wanted: Floats, given: Floats) -> tuple[Metric, Metric, Metric]:
    """What a pool sees of two graphs: (N, D) vectors of the same faces."""
    upper = np.triu_indices(len(wanted), 1)
    among = wanted @ wanted.T
    # A pool may hold vectors of either graph, so probes of the one meet templates of the other, too.
    change = np.concatenate([(given @ given.T - among)[upper], (given @ wanted.T - among)[upper]])
    return (
        Metric(
            "worst_vector", _largest(1 - np.sum(wanted * given, axis=1)), 0.02, "1 - cosine of a face's two vectors"
        ),
        Metric("worst_pair", _largest(np.abs(change)), 0.05, "change of the similarity of two faces"),
        Metric("usual_pair", _rms(change), 0.01, "root mean square change of similarities"),
    )


def _pairs(wanted: Detections, given: Detections) -> list[tuple[int, int, float]]:
    """Rows of faces that are the same in both, with their overlap."""
    if len(wanted) == 0 or len(given) == 0:
        return []
    overlaps = iou(wanted.boxes, given.boxes)
    best = overlaps.argmax(axis=1)
    return [
        (row, int(best[row]), float(overlaps[row, best[row]]))
        for row in range(len(wanted))
        if overlaps[row, best[row]] >= _SAME_FACE and overlaps[:, best[row]].argmax() == row
    ]


def _clear_without(faces: Detections, paired: Sequence[int]) -> int:
    clear = (faces.scores >= CLEAR) & (faces.sizes >= _SMALL_PX)
    clear[list(paired)] = False
    return int(np.count_nonzero(clear))


def _shift_px(wanted: Floats, given: Floats) -> float:
    """Mean distance of five landmarks, in pixels of the aligned face."""
    (matrix,) = similarity_transforms(wanted[np.newaxis], ARCFACE_112)
    return float(np.linalg.norm(given - wanted, axis=1).mean() * np.hypot(*matrix[:, 0]))


def _speed(ratio: float) -> Metric:
    return Metric("time", ratio, 0.9, "processor time of one picture or face, as a share of what it takes without int8")


def _largest(values: Floats) -> float:
    return float(values.max()) if len(values) else 0.0


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else 0.0
