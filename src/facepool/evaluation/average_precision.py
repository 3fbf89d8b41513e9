"""Average precision of a face detector against annotated boxes.

The convention of WIDER FACE (Yang et al., 2016): each detection, best score first, belongs to the annotated face that
it overlaps most. If the overlap is enough and the face counts, the first detection finds it and each further one is
false; if the face does not count, neither does the detection. The area lies under the precision envelope, as in
PASCAL VOC since 2010, over every score that occurs rather than over WIDER's thousand steps. Overlaps are those of
continuous boxes; WIDER's program counts pixels and makes each side one longer, which forgives more of small faces:
two points of average precision on pictures of which half of the faces are below 16 pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facepool.errors import InvalidScores, NotEnoughScores
from facepool.evaluation.bootstrap import LEVEL, REPLICATES, Interval, draws, percentiles
from facepool.evaluation.ranking import Values
from facepool.geometry import iou
from facepool.types import Floats, Indices, Mask

LEAST_OVERLAP = 0.5
"""Intersection over union from which on a box is said to be on a face."""


@dataclass(frozen=True, slots=True)
class ImageFaces:
    """What was found in one picture, and what is in it.

    Attributes:
        boxes: (D, 4) float32 xyxy, detections in any order.
        scores: (D,) float32.
        truth: (G, 4) float32 xyxy, annotated faces.
        ignored: (G,) which of them count neither way: too small, say, or marked invalid.
    """

    boxes: Floats
    scores: Floats
    truth: Floats
    ignored: Mask

    def __post_init__(self) -> None:
        """Refuse columns that do not describe the same boxes."""
        found, there = len(self.scores), len(self.ignored)
        if self.boxes.shape != (found, 4) or self.truth.shape != (there, 4):
            raise InvalidScores(
                "Boxes of a picture disagree",
                why=f"{found} scores belong to {self.boxes.shape} boxes, {there} marks to {self.truth.shape}",
            )
        if np.isnan(self.scores).any():
            raise InvalidScores("A detection's score is no number")


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Precision and recall at every score.

    Attributes:
        scores: (S,) float64, falling, every score that occurs: what is found at it or above counts.
        recall: (S,) share of the faces that is found; never falling.
        precision: (S,) share of the detections that is right.
        ap: Average precision, 0..1.
        faces: Number of annotated faces that count.
    """

    scores: Values
    recall: Values
    precision: Values
    ap: float
    faces: int

    def at(self, threshold: float) -> tuple[float, float]:
        """Precision and recall at a threshold. With no detection left nothing is wrong: precision 1, recall 0."""
        place = int(np.searchsorted(-self.scores, -threshold, side="right")) - 1
        return (float(self.precision[place]), float(self.recall[place])) if place >= 0 else (1.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Judged:
    """Detections that count, best score first, and the faces of each picture.

    Attributes:
        scores: (D,).
        right: (D,).
        picture: (D,) number of the picture.
        faces: (P,) faces that count in each picture.
    """

    scores: Values
    right: Mask
    picture: Indices
    faces: Indices

    def rates(self, times: Values | None = None) -> tuple[Indices, Values, Values]:
        """Where each score ends, and recall and precision there, a picture counting as often as said."""
        times = np.ones(len(self.faces)) if times is None else times
        counts = times[self.picture]
        found, kept = np.cumsum(counts * self.right), np.cumsum(counts)
        ends = np.flatnonzero(np.diff(self.scores, append=-np.inf))
        precision = np.divide(found, kept, out=np.ones(len(kept)), where=kept > 0)
        return ends, (found / (times @ self.faces))[ends], precision[ends]


def average_precision(images: Sequence[ImageFaces], least_overlap: float = LEAST_OVERLAP) -> PrecisionRecall:
    """Precision, recall and average precision over pictures.

    Args:
        images: The pictures; those without a face tell of false detections.
        least_overlap: Above 0, at most 1.

    Returns:
        Empty columns and an average precision of 0 where nothing was detected.

    Raises:
        NotEnoughScores: No annotated face counts.
    """
    judged = _judge(images, least_overlap)
    ends, recall, precision = judged.rates()
    return PrecisionRecall(judged.scores[ends], recall, precision, _area(recall, precision), int(judged.faces.sum()))


def average_precision_interval(
    images: Sequence[ImageFaces],
    least_overlap: float = LEAST_OVERLAP,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """The interval of the average precision, by bootstrap over pictures: faces of one picture fail together.

    Raises:
        NotEnoughScores: No annotated face counts.
    """
    judged = _judge(images, least_overlap)
    areas = [
        _area(*judged.rates(drawn)[1:]) if drawn @ judged.faces else np.nan
        for drawn in draws(len(images), replicates, seed)
    ]
    return percentiles(areas, level, len(images))


def _judge(images: Sequence[ImageFaces], least_overlap: float) -> _Judged:
    faces = np.array([int((~image.ignored).sum()) for image in images], np.intp)
    if not faces.sum():
        raise NotEnoughScores("No annotated face counts", why="none is there or all are ignored")
    judged = [_judge_image(image, least_overlap) for image in images]
    counts = np.concatenate([counting for _, counting in judged])
    scores = np.concatenate([np.asarray(image.scores, np.float64) for image in images])[counts]
    right = np.concatenate([hits for hits, _ in judged])[counts]
    picture = np.repeat(np.arange(len(images)), [len(image.scores) for image in images])[counts]
    order = np.argsort(-scores, kind="stable")
    return _Judged(scores[order], right[order], picture[order], faces)


def _judge_image(image: ImageFaces, least_overlap: float) -> tuple[Mask, Mask]:
    """For each detection whether it finds a face, and whether it counts."""
    hits = np.zeros(len(image.scores), np.bool_)
    counts = np.ones(len(image.scores), np.bool_)
    if not len(image.truth) or not len(image.scores):
        return hits, counts
    overlaps = iou(image.boxes, image.truth)
    nearest, enough = overlaps.argmax(axis=1), overlaps.max(axis=1) >= least_overlap
    counts[enough & image.ignored[nearest]] = False
    open_to_finding = ~image.ignored
    for row in np.argsort(-image.scores, kind="stable"):
        if enough[row] and open_to_finding[nearest[row]]:
            hits[row], open_to_finding[nearest[row]] = True, False
    return hits, counts


def _area(recall: Values, precision: Values) -> float:
    """Under the envelope: precision at a recall is the best that is had at that recall or a higher one."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())
