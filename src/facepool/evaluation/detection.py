"""From pictures with annotated faces to the average precision of a detector."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from facepool.capture import read_image
from facepool.errors import InputError, NotEnoughScores
from facepool.evaluation.average_precision import (
    LEAST_OVERLAP,
    ImageFaces,
    average_precision,
    average_precision_interval,
)
from facepool.evaluation.ground_truth import AnnotatedPicture, GroundTruth
from facepool.evaluation.results import DetectionResults, FacesOfSize, PictureOfFaces, Run
from facepool.geometry import iou
from facepool.types import Detections, Floats, Image, Mask

SCORE_FLOOR = 0.02
"""The detector's threshold for an average precision, which needs what it is least sure of, too."""
SIZE_EDGES_PX = (0.0, 16.0, 32.0, 96.0, 256.0, float("inf"))


def evaluate_detection(
    truth: GroundTruth,
    find: Callable[[Image], Detections],
    run: Run,
    threshold: float,
    *,
    ignore_below_px: float = 0.0,
    on_picture: Callable[[], None] = lambda: None,
) -> DetectionResults:
    """Find the faces of every picture and hold them against the annotated ones.

    Args:
        truth: The pictures.
        find: From (H, W, 3) uint8 BGR to faces, with a score threshold of ``SCORE_FLOOR`` or so.
        run: Passed through.
        threshold: The score at which precision and recall are stated.
        ignore_below_px: Annotated faces whose shorter side is less count neither way.
        on_picture: Called after each picture.

    Returns:
        The faces of a picture that cannot be read count as missed.

    Raises:
        NotEnoughScores: No annotated face counts.
    """
    unreadable: dict[Path, str] = {}
    pictures: list[PictureOfFaces] = []
    for annotated in truth.pictures:
        found = Detections.empty()
        try:
            found = find(read_image(annotated.path))
        except InputError as error:
            unreadable[annotated.path] = error.why or str(error)
        ignored = annotated.ignored | (_sides(annotated.boxes) < ignore_below_px)
        pictures.append(_picture(annotated, ignored, found))
        on_picture()
    images = [_image(picture, _none_of(picture)) for picture in pictures]
    curve = average_precision(images)
    precision, recall = curve.at(threshold)
    return DetectionResults(
        run=run,
        pictures=tuple(pictures),
        unreadable=unreadable,
        missing=truth.missing,
        curve=curve,
        interval=average_precision_interval(images),
        threshold=threshold,
        precision=precision,
        recall=recall,
        by_size=tuple(_of_size(pictures, low, high, threshold) for low, high in pairwise(SIZE_EDGES_PX)),
    )


def _picture(annotated: AnnotatedPicture, ignored: Mask, found: Detections) -> PictureOfFaces:
    return PictureOfFaces(
        path=annotated.path,
        truth=annotated.boxes[~ignored],
        ignored=annotated.boxes[ignored],
        boxes=found.boxes,
        scores=found.scores,
    )


def _image(picture: PictureOfFaces, elsewhere: Mask) -> ImageFaces:
    """A picture of which some annotated faces count neither way, beside those that never do."""
    return ImageFaces(
        boxes=picture.boxes,
        scores=picture.scores,
        truth=np.concatenate([picture.truth, picture.ignored]),
        ignored=np.concatenate([elsewhere, np.ones(len(picture.ignored), np.bool_)]),
    )


def _none_of(picture: PictureOfFaces) -> Mask:
    return np.zeros(len(picture.truth), np.bool_)


def _of_size(pictures: Sequence[PictureOfFaces], low: float, high: float, threshold: float) -> FacesOfSize:
    """The faces of one range of sizes. What is found elsewhere counts only if its own size lies in the range."""
    images = []
    for picture in pictures:
        sides = _sides(picture.truth)
        found = _sides(picture.boxes)
        fits = (found >= low) & (found < high)
        image = _image(picture, (sides < low) | (sides >= high))
        images.append(_without(image, ~fits))
    faces = int(sum((~image.ignored).sum() for image in images))
    try:
        curve = average_precision(images)
    except NotEnoughScores:
        return FacesOfSize(low, high, faces, float("nan"), float("nan"))
    return FacesOfSize(low, high, faces, curve.ap, curve.at(threshold)[1])


def _without(image: ImageFaces, misfits: Mask) -> ImageFaces:
    """Less the boxes of other sizes that are on no face that counts."""
    overlaps = iou(image.boxes, image.truth[~image.ignored]).max(axis=1, initial=0.0)
    kept = ~misfits | (overlaps >= LEAST_OVERLAP)
    return ImageFaces(image.boxes[kept], image.scores[kept], image.truth, image.ignored)


def _sides(boxes: Floats) -> Floats:
    return np.asarray(np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]))
