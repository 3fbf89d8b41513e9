"""The report on finding faces."""

import math

import numpy as np

from facepool.evaluation.average_precision import LEAST_OVERLAP
from facepool.evaluation.report.charts import Bar, Curve, Mark, bars, share_curves
from facepool.evaluation.report.page import Card, Chart, Page, Picture, Section, Table, Tile
from facepool.evaluation.report.parts import MOST_CARDS, facts, more, short, with_level
from facepool.evaluation.report.pictures import FALSE, FOUND, MISSED, scene_picture
from facepool.evaluation.report.words import count, percent
from facepool.evaluation.results import DetectionResults, FacesOfSize, PictureOfFaces
from facepool.geometry import iou
from facepool.types import Floats, Mask

_MOST_SCENES = 8
_FEW_PICTURES = 500


def detection_page(results: DetectionResults) -> Page:
    """A page on found and annotated faces."""
    faces = sum(len(picture.truth) for picture in results.pictures)
    return Page(
        title="Detection: are the faces found?",
        subject=results.run.subject,
        warnings=_warnings(results),
        summary=[_summary(results)],
        tiles=[
            Tile("Average precision", percent(results.curve.ap), with_level(results.interval)),
            Tile("Found (recall)", percent(results.recall), f"at score {results.threshold:g}"),
            Tile("Right (precision)", percent(results.precision), f"at score {results.threshold:g}"),
            Tile("Annotated faces", f"{faces:,}", f"in {count(len(results.pictures), 'picture')}"),
        ],
        sections=[_curve(results), _by_size(results), _worst(results), _unreadable(results)],
        command=results.run.command,
        facts=facts(results.run),
    )


def _summary(results: DetectionResults) -> str:
    return (
        f"At a score of {results.threshold:g}, the detector's threshold, {_in_a_hundred(results.recall)} annotated "
        f"faces are found, and {_in_a_hundred(results.precision)} boxes that are drawn are faces."
    )


def _in_a_hundred(share: float) -> str:
    return "n/a" if math.isnan(share) else f"{share * 100:.0f} of 100"


def _warnings(results: DetectionResults) -> list[str]:
    warnings = []
    if results.missing:
        warnings.append(
            f"{count(results.missing, 'picture')} of the ground truth are not there and were left out: the average "
            "precision cannot be compared with published ones."
        )
    elif len(results.pictures) < _FEW_PICTURES:
        warnings.append(f"Only {count(len(results.pictures), 'picture')}: good for comparing two detectors on them.")
    return warnings


def _curve(results: DetectionResults) -> Section:
    here = Mark(results.recall, f"score {results.threshold:g}", results.precision)
    marks = [here] if np.isfinite([results.recall, results.precision]).all() else []
    return Section(
        "Found against right",
        charts=[
            Chart(
                "Precision and recall",
                share_curves([Curve("", results.curve.recall, results.curve.precision)],
                             labels=("found (recall)", "right (precision)"), marks=marks, whole=True),
                "A lower score finds more faces and draws more boxes where there are none. The area below the line, "
                f"ragged edges smoothed upwards, is the average precision: {percent(results.curve.ap)}.",
            )
        ],
        notes=[f"A face is found if its box and the annotated one share {percent(LEAST_OVERLAP, 0)} of their union."],
    )  # fmt: skip


def _by_size(results: DetectionResults) -> Section:
    rows = [
        [_size(sizes), f"{sizes.faces:,}", percent(sizes.recall), percent(sizes.average_precision)]
        for sizes in results.by_size
    ]
    return Section(
        "By the size of the face",
        lead="The shorter side of the annotated box, in pixels of the picture.",
        tables=[Table(("Size", "Faces", "Found", "Average precision"), rows)] if rows else [],
        charts=[
            Chart(
                "Faces found",
                bars([Bar(_size(sizes), sizes.recall, sizes.faces) for sizes in results.by_size], "found (recall)"),
            )
        ]
        if rows
        else [],
        empty="No face is annotated.",
    )


def _size(sizes: FacesOfSize) -> str:
    low, high = f"{sizes.at_least_px:g}", f"{sizes.below_px:g}"
    if math.isinf(sizes.below_px):
        return f"from {low} px"
    return f"{low} to {high} px" if sizes.at_least_px > 0 else f"below {high} px"


def _worst(results: DetectionResults) -> Section:
    ranked = sorted(results.pictures, key=lambda picture: _errors(picture, results.threshold), reverse=True)
    worst = [picture for picture in ranked if _errors(picture, results.threshold) > 0]
    return Section(
        "Pictures with most errors",
        lead="Green: found. Orange: missed. Purple: not a face, as annotated." if worst else "",
        cards=[_scene(picture, results.threshold) for picture in worst[:_MOST_SCENES]],
        empty="None: every face was found, and nothing else.",
        wide=True,
    )


def _errors(picture: PictureOfFaces, threshold: float) -> int:
    found, right = _matches(picture, threshold)
    return int((~found).sum() + (~right).sum())


def _scene(picture: PictureOfFaces, threshold: float) -> Card:
    found, right = _matches(picture, threshold)
    drawn = picture.boxes[picture.scores >= threshold]
    boxes = [(picture.truth[found], FOUND), (picture.truth[~found], MISSED), (drawn[~right], FALSE)]
    missed, false = int((~found).sum()), int((~right).sum())
    note = f"{missed:,} of {count(len(picture.truth), 'face')} missed, {count(false, 'box', 'boxes')} without one"
    return Card([Picture(scene_picture(picture.path, boxes), "", short(picture.path))], note=note)


def _matches(picture: PictureOfFaces, threshold: float) -> tuple[Mask, Mask]:
    """Which annotated faces have a box, and which boxes have a face or lie on one that does not count."""
    drawn = picture.boxes[picture.scores >= threshold]
    found = _best(picture.truth, drawn) >= LEAST_OVERLAP
    right = (_best(drawn, picture.truth) >= LEAST_OVERLAP) | (_best(drawn, picture.ignored) >= LEAST_OVERLAP)
    return found, right


def _best(boxes: Floats, others: Floats) -> Floats:
    """(N,) each box's largest overlap; 0 where there are no others."""
    return np.asarray(iou(boxes, others).max(axis=1, initial=0.0))


def _unreadable(results: DetectionResults) -> Section:
    rows = [[short(path), reason] for path, reason in results.unreadable.items()]
    return Section(
        "Pictures that cannot be read",
        lead="Their faces count as missed." if rows else "",
        tables=[Table(("Picture", "Why"), rows[:MOST_CARDS], words=1)] if rows else [],
        empty="None.",
        notes=more(len(rows)),
    )
