"""Average precision of a face detector against annotated boxes.

The convention of WIDER FACE (Yang et al., 2016): each detection, best score first, belongs to the annotated face that
it overlaps most. If the overlap is enough and the face counts, the first detection finds it and each further one is
false; if the face does not count, neither does the detection. The area lies under the precision envelope, as in
PASCAL VOC since 2010, over every score that occurs rather than over WIDER's thousand steps. Overlaps are those of
continuous boxes; WIDER's program counts pixels and makes each side one longer, which forgives more of small faces:
two points of average precision on pictures of which half of the faces are below 16 pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from facepool.capture import read_image
from facepool.errors import InputError, InvalidScores, NotEnoughScores
from facepool.evaluation.bootstrap import REPLICATES, Interval, draws, percentiles
from facepool.evaluation.metrics import Values
from facepool.evaluation.protocols import GroundTruth
from facepool.geometry import iou
from facepool.types import Detections, Floats, Image, Indices, Mask

LEAST_OVERLAP = 0.5
"""Intersection over union from which on a box is said to be on a face."""
SCORE_FLOOR = 0.02
"""The detector's threshold for an average precision, which needs what it is least sure of, too."""
SIZE_EDGES_PX = (0.0, 16.0, 32.0, 96.0, 256.0, float("inf"))


@dataclass(frozen=True, slots=True)
class JudgedPicture:
    """What was found in one picture, and what is in it.

    Attributes:
        boxes: (D, 4) float32 xyxy, detections in any order.
        scores: (D,) float32.
        truth: (G, 4) float32 xyxy, annotated faces.
        ignored: (G,) which of them count neither way: too small, say, or marked invalid.
        path: The file.
    """

    boxes: Floats
    scores: Floats
    truth: Floats
    ignored: Mask
    path: Path = Path()

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
class FacesOfSize:
    """Detection of the faces of some range of sizes; those of other sizes count neither way.

    The fields are those of ``report.json``.

    Attributes:
        at_least: Shorter side of the annotated box in pixels, from here on.
        below: Up to here, exclusive; infinite for the largest.
        faces: How many are annotated.
        average_precision: 0..1; NaN where none is annotated.
        recall: Share of them that is found at the detector's threshold; NaN likewise.
    """

    at_least: float
    below: float
    faces: int
    average_precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class DetectionResults:
    """Faces that were found against faces that are annotated.

    Attributes:
        pictures: Those that were looked at.
        unreadable: Path to reason of those that could not be decoded; their faces count as missed.
        missing: How many pictures of the ground truth are not there; they are left out.
        curve: Precision and recall at every score, and the average precision.
        interval: Of the average precision, by bootstrap over pictures.
        threshold: The detector's threshold in the settings.
        precision: At that threshold.
        recall: At that threshold.
        by_size: The same by the size of the annotated face.
    """

    pictures: tuple[JudgedPicture, ...]
    unreadable: Mapping[Path, str]
    missing: int
    curve: PrecisionRecall
    interval: Interval
    threshold: float
    precision: float
    recall: float
    by_size: tuple[FacesOfSize, ...]


def evaluate_detection(
    truth: GroundTruth,
    find: Callable[[Image], Detections],
    threshold: float,
    *,
    ignore_below_px: float = 0.0,
    on_picture: Callable[[], None] = lambda: None,
) -> DetectionResults:
    """Find the faces of every picture and hold them against the annotated ones.

    Args:
        truth: The pictures.
        find: From (H, W, 3) uint8 BGR to faces, with a score threshold of ``SCORE_FLOOR`` or so.
        threshold: The score at which precision and recall are stated.
        ignore_below_px: Annotated faces whose shorter side is less count neither way.
        on_picture: Called after each picture.

    Returns:
        The faces of a picture that cannot be read count as missed.

    Raises:
        NotEnoughScores: No annotated face counts.
    """
    unreadable: dict[Path, str] = {}
    pictures: list[JudgedPicture] = []
    for annotated in truth.pictures:
        found = Detections.empty()
        try:
            found = find(read_image(annotated.path))
        except InputError as error:
            unreadable[annotated.path] = error.why or str(error)
        ignored = annotated.ignored | (_sides(annotated.boxes) < ignore_below_px)
        order = np.argsort(ignored, kind="stable")  # of two faces in one place a box belongs to the one that counts
        truth_boxes = annotated.boxes[order]
        pictures.append(JudgedPicture(found.boxes, found.scores, truth_boxes, ignored[order], annotated.path))
        on_picture()
    curve = average_precision(pictures)
    precision, recall = curve.at(threshold)
    return DetectionResults(
        pictures=tuple(pictures),
        unreadable=unreadable,
        missing=truth.missing,
        curve=curve,
        interval=average_precision_interval(pictures),
        threshold=threshold,
        precision=precision,
        recall=recall,
        by_size=tuple(_of_size(pictures, low, high, threshold) for low, high in pairwise(SIZE_EDGES_PX)),
    )


def limited_to_size(picture: JudgedPicture, low_px: float, high_px: float) -> JudgedPicture:
    """The faces of a range of sizes count; a box of another size counts only where it is on one of them."""
    truth, found = _sides(picture.truth), _sides(picture.boxes)
    ignored = picture.ignored | (truth < low_px) | (truth >= high_px)
    on_face = iou(picture.boxes, picture.truth[~ignored]).max(axis=1, initial=0.0) >= LEAST_OVERLAP
    kept = on_face | ((found >= low_px) & (found < high_px))
    return JudgedPicture(picture.boxes[kept], picture.scores[kept], picture.truth, ignored, picture.path)


def average_precision(pictures: Sequence[JudgedPicture], least_overlap: float = LEAST_OVERLAP) -> PrecisionRecall:
    """Precision, recall and average precision over pictures.

    Args:
        pictures: Those without a face tell of false detections.
        least_overlap: Above 0, at most 1.

    Returns:
        Empty columns and an average precision of 0 where nothing was detected.

    Raises:
        NotEnoughScores: No annotated face counts.
    """
    ranked = _rank(pictures, least_overlap)
    ends, recall, precision = ranked.rates(np.ones(len(pictures)))
    return PrecisionRecall(ranked.scores[ends], recall, precision, _area(recall, precision), int(ranked.faces.sum()))


def average_precision_interval(
    pictures: Sequence[JudgedPicture], *, replicates: int = REPLICATES, seed: int = 0
) -> Interval:
    """The interval of the average precision, by bootstrap over pictures: faces of one picture fail together.

    Raises:
        NotEnoughScores: No annotated face counts.
    """
    ranked = _rank(pictures, LEAST_OVERLAP)
    areas = [
        _area(*ranked.rates(drawn)[1:]) if drawn @ ranked.faces else np.nan
        for drawn in draws(len(pictures), replicates, seed)
    ]
    return percentiles(areas, len(pictures))


def _of_size(pictures: Sequence[JudgedPicture], low: float, high: float, threshold: float) -> FacesOfSize:
    limited = [limited_to_size(picture, low, high) for picture in pictures]
    faces = int(sum((~picture.ignored).sum() for picture in limited))
    if not faces:
        return FacesOfSize(low, high, 0, float("nan"), float("nan"))
    curve = average_precision(limited)
    return FacesOfSize(low, high, faces, curve.ap, curve.at(threshold)[1])


@dataclass(frozen=True, slots=True)
class _RankedDetections:
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

    def rates(self, times: Values) -> tuple[Indices, Values, Values]:
        """Where each score ends, and recall and precision there, a picture counting so many (P,) times."""
        counts = times[self.picture]
        found, kept = np.cumsum(counts * self.right), np.cumsum(counts)
        ends = np.flatnonzero(np.diff(self.scores, append=-np.inf))
        precision = np.divide(found, kept, out=np.ones(len(kept)), where=kept > 0)
        return ends, (found / (times @ self.faces))[ends], precision[ends]


def _rank(pictures: Sequence[JudgedPicture], least_overlap: float) -> _RankedDetections:
    faces = np.array([int((~picture.ignored).sum()) for picture in pictures], np.intp)
    if not faces.sum():
        raise NotEnoughScores("No annotated face counts", why="none is there or all are ignored")
    judged = [_judge(picture, least_overlap) for picture in pictures]
    counts = np.concatenate([counting for _, counting in judged])
    scores = np.concatenate([np.asarray(picture.scores, np.float64) for picture in pictures])[counts]
    right = np.concatenate([hits for hits, _ in judged])[counts]
    number = np.repeat(np.arange(len(pictures)), [len(picture.scores) for picture in pictures])[counts]
    order = np.argsort(-scores, kind="stable")
    return _RankedDetections(scores[order], right[order], number[order], faces)


def _judge(picture: JudgedPicture, least_overlap: float) -> tuple[Mask, Mask]:
    """For each detection whether it finds a face, and whether it counts."""
    hits = np.zeros(len(picture.scores), np.bool_)
    counts = np.ones(len(picture.scores), np.bool_)
    if not len(picture.truth) or not len(picture.scores):
        return hits, counts
    overlaps = iou(picture.boxes, picture.truth)
    nearest, enough = overlaps.argmax(axis=1), overlaps.max(axis=1) >= least_overlap
    counts[enough & picture.ignored[nearest]] = False
    open_to_finding = ~picture.ignored
    for row in np.argsort(-picture.scores, kind="stable"):
        if enough[row] and open_to_finding[nearest[row]]:
            hits[row], open_to_finding[nearest[row]] = True, False
    return hits, counts


def _area(recall: Values, precision: Values) -> float:
    """Under the envelope: precision at a recall is the best that is had at that recall or a higher one."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())


def _sides(boxes: Floats) -> Floats:
    return np.asarray(np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]))
