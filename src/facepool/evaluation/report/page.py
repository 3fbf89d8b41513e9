"""One page of HTML for people: figures, charts, and the photos that went worst. matplotlib and Jinja are imported here.

The page holds everything that it shows, including photos of faces, and asks no host for anything. All text is escaped
by the template.
"""

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, StrictUndefined

from facepool.capture import read_image
from facepool.errors import InputError
from facepool.evaluation.detection import LEAST_OVERLAP, DetectionResults, JudgedPicture
from facepool.evaluation.embeddings import EvaluatedPictures
from facepool.evaluation.identification import IdentificationResults
from facepool.evaluation.metrics import NOT_ACQUIRED, DefaultThreshold
from facepool.evaluation.report.charts import precision_recall_chart, similarities_chart, trade_off_chart
from facepool.evaluation.report.summary import (
    Results,
    Run,
    Table,
    count,
    count_people,
    interval_text,
    percent,
    range_text,
    similarity,
    summarize,
)
from facepool.evaluation.verification import RangeErrors, VerificationResults
from facepool.files import write_whole
from facepool.geometry import iou
from facepool.types import Floats, Image, Indices, Mask

_MOST_CARDS = 12
"""Photographs are what makes a page heavy: a face is about 8 KB."""
_MOST_SCENES = 8
_OFTEN = 2
_FACE_PX = 160
"""Side of a face: twice what a phone gives it on the page."""
_SCENE_PX = 720
_AROUND = 1.5
"""How much of a face's surroundings is shown, as a multiple of its box."""
_JPEG_QUALITY = 82
_FOUND, _MISSED, _FALSE = (90, 190, 60), (30, 120, 255), (220, 60, 170)
"""Colours (BGR) of the boxes in a scene."""


@dataclass(frozen=True, slots=True)
class Card:
    """Photographs that belong together.

    Attributes:
        photos: ``data:`` address (empty where the picture cannot be shown) and caption of each.
        note: What happened.
    """

    photos: Sequence[tuple[str, str]]
    note: str


def html_report(results: Results, run: Run) -> str:
    """The page as text.

    Args:
        results: What was found. Photos are read again from their files; one that is gone stays blank.
        run: What was run.
    """
    match results:
        case VerificationResults():
            kind, parts = "verification", _verification_parts(results)
        case IdentificationResults():
            kind, parts = "identification", _identification_parts(results)
        case DetectionResults():
            kind, parts = "detection", _detection_parts(results)
    headline, tables = summarize(results)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = files(__package__).joinpath("page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        kind=kind,
        run=run,
        results=results,
        headline=headline,
        tables=tables,
        most=_MOST_CARDS,
        counted=count,
        counted_people=count_people,
        **parts,
    )


def write_html_report(results: Results, run: Run, path: Path) -> None:
    """Write the page to a file, whole or not at all.

    Args:
        results: What was found; see ``html_report``.
        run: What was run.
        path: The file; its folder is made.

    Raises:
        StorageError: It cannot be written.
    """
    write_whole(path, html_report(results, run).encode("utf-8", "replace"))  # a path may hold bytes that are no text


def _verification_parts(results: VerificationResults) -> dict[str, object]:
    comparisons, pictures, default = results.comparisons, results.pictures, results.default
    marked = [point for point in results.points if point.resolved]
    impostor_weights = comparisons.weights[~comparisons.same]
    pairs = (comparisons.first, comparisons.second)
    acquired = comparisons.similarities > NOT_ACQUIRED

    def cards(among: Mask, sign: int, *verdicts: str) -> list[Card]:
        rows = lowest(sign * comparisons.similarities, np.flatnonzero(among & acquired), pairs)
        return _face_cards(pictures, rows, pairs, comparisons.similarities, default, verdicts)

    return {
        "similarities": similarities_chart(
            {
                "same person": (comparisons.genuine, None),
                "different people": (comparisons.impostor, impostor_weights),
            },
            marked,
            "FMR",
        ),
        "trade_off": trade_off_chart(
            results.curve,
            marked,
            comparisons.impostor_count,
            ("different people that pass (FMR)", "same person refused (FNMR)"),
        ),
        "by_pose": _ranges(results.by_pose, "°"),
        "by_quality": _ranges(results.by_quality, ""),
        "refused": cards(comparisons.same, 1, "refused", "passes"),
        "mistaken": cards(~comparisons.same, -1, "told apart", "taken for one"),
        "people": len(set(pictures.people)),
        "failures": _failures(pictures),
    }


def _ranges(ranges: Sequence[RangeErrors], unit: str) -> Table:
    rows = [
        (
            range_text(each.at_least, each.below, unit),
            f"{each.pairs:,}",
            f"{each.people:,}",
            percent(each.fnmr),
            interval_text(each.interval),
        )
        for each in ranges
    ]
    return Table(("", ">pairs", ">people", ">refused (FNMR)", "95 % interval"), rows)


def _identification_parts(results: IdentificationResults) -> dict[str, object]:
    probes, pictures, default = results.probes, results.pictures, results.default
    marked = [point for point in results.points if point.resolved]

    def cards(among: Mask, sign: int, scores: Floats, templates: Indices, above: str) -> list[Card]:
        rows = lowest(sign * scores, np.flatnonzero(among & (scores > NOT_ACQUIRED)), (probes.rows,))
        return _face_cards(pictures, rows, (probes.rows, templates), scores, default, ("unknown", above))

    return {
        "similarities": similarities_chart(
            {
                "registered, to themselves": (probes.right[probes.mated], None),
                "strangers, to the nearest": (probes.strangers, None),
            },
            marked,
            "FPIR",
        ),
        "trade_off": trade_off_chart(
            results.curve,
            marked,
            len(probes.strangers),
            ("strangers named (FPIR)", "registered missed (FNIR)"),
        ),
        "hardest": cards(probes.mated & (probes.ranks == 1), 1, probes.right, probes.right_rows, "named rightly"),
        "misnamed": cards(probes.mated & (probes.ranks != 1), -1, probes.other, probes.other_rows, "named wrongly"),
        "strangers": cards(~probes.mated, -1, probes.other, probes.other_rows, "named wrongly"),
        "people": len(results.enrolled.people),
        "failures": _failures(pictures),
    }


def _detection_parts(results: DetectionResults) -> dict[str, object]:
    judged = [(picture, *_matches(picture, results.threshold)) for picture in results.pictures]
    wrong = np.array([(~found).sum() + (~right).sum() for _, found, right in judged])
    worst = [row for row in np.argsort(-wrong, kind="stable") if wrong[row]]
    return {
        "curve": precision_recall_chart(results.curve, results.threshold),
        "scenes": [_scene(judged[row], results.threshold) for row in worst[:_MOST_SCENES]],
        "unreadable": [(_short(path), reason) for path, reason in results.unreadable.items()],
    }


def _scene(judged: tuple[JudgedPicture, Mask, Mask], threshold: float) -> Card:
    picture, found, right = judged
    truth, drawn = picture.truth[~picture.ignored], picture.boxes[picture.scores >= threshold]

    def draw(image_bgr: Image) -> Image:
        shrunk = _shrunk(image_bgr, _SCENE_PX)
        scale = shrunk.shape[1] / image_bgr.shape[1]
        for boxes, color in ((truth[found], _FOUND), (truth[~found], _MISSED), (drawn[~right], _FALSE)):
            for left, top, right_, bottom in np.round(boxes * scale).astype(int).tolist():
                cv2.rectangle(shrunk, (left, top), (right_, bottom), color, 2, cv2.LINE_AA)
        return shrunk

    missed, false = int((~found).sum()), int((~right).sum())
    boxes_ = "1 box" if false == 1 else f"{false:,} boxes"
    note = f"{missed:,} of {count(len(truth), 'face')} missed, {boxes_} without one"
    return Card([(_photo(picture.path, draw), _short(picture.path))], note)


def _matches(picture: JudgedPicture, threshold: float) -> tuple[Mask, Mask]:
    """Which faces that count have a box, and which boxes have a face or lie on one that does not count."""
    on_face: Mask = iou(picture.boxes[picture.scores >= threshold], picture.truth) >= LEAST_OVERLAP
    return np.any(on_face[:, ~picture.ignored], axis=0), np.any(on_face, axis=1)


def lowest(values: Floats, among: Indices, pictures: Sequence[Indices]) -> list[int]:
    """Rows of the lowest values, no picture more than twice, so that one bad picture does not fill the page.

    Args:
        values: (N,).
        among: (K,) rows to choose from.
        pictures: Columns (N,) of the pictures that each row shows.
    """
    times: dict[int, int] = {}
    rows: list[int] = []
    for row in among[np.argsort(values[among], kind="stable")]:
        here = {int(column[row]) for column in pictures}
        if len(rows) == _MOST_CARDS:
            break
        if all(times.get(picture, 0) < _OFTEN for picture in here):
            times |= {picture: times.get(picture, 0) + 1 for picture in here}
            rows.append(int(row))
    return rows


def _face_cards(
    pictures: EvaluatedPictures,
    rows: Iterable[int],
    columns: Sequence[Indices],
    scores: Floats,
    default: DefaultThreshold,
    verdicts: Sequence[str],
) -> list[Card]:
    """Faces beside each other, with their similarity and what it means below and above the threshold."""
    return [
        Card(
            [_face_of(pictures, int(column[row])) for column in columns],
            f"similarity {similarity(scores[row])}: {verdicts[int(scores[row] >= default.threshold.value)]}",
        )
        for row in rows
    ]


def _failures(pictures: EvaluatedPictures) -> list[Card]:
    """The pictures in which no face was found."""
    return [Card([_face_of(pictures, row)], pictures.problems[row]) for row in pictures.failures[:_MOST_CARDS]]


def _face_of(pictures: EvaluatedPictures, row: int) -> tuple[str, str]:
    """The face of one picture, or the whole of it where there is none, and who it shows."""
    path, person = pictures.paths[row], pictures.people[row]
    caption = _short(path) if path.parent.name == person else f"{person}: {_short(path)}"
    return face_photo(path, pictures.boxes[row]), caption


def _short(path: Path) -> str:
    """The last folder and the file: enough to find it, and nothing about whose machine it is."""
    return "/".join(path.parts[-2:])


def face_photo(path: Path, box: Floats) -> str:
    """A square around one face, as a ``data:`` address; empty where the file cannot be read.

    Args:
        path: The photograph.
        box: (4,) float32 xyxy, the face's box in its pixels; NaN for the whole photograph.
    """

    def cut(image_bgr: Image) -> Image:
        if not np.isfinite(box).all():
            return _shrunk(image_bgr, 2 * _FACE_PX)
        side = max(1, round(float(max(box[2] - box[0], box[3] - box[1])) * _AROUND))
        center = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
        shift = np.array([[1, 0, side / 2 - center[0]], [0, 1, side / 2 - center[1]]])
        grey = (128, 128, 128)  # where the square reaches beyond the picture
        square = cv2.warpAffine(image_bgr, shift, (side, side), borderMode=cv2.BORDER_CONSTANT, borderValue=grey)
        return _shrunk(np.asarray(square, np.uint8), _FACE_PX)

    return _photo(path, cut)


def _photo(path: Path, change: Callable[[Image], Image]) -> str:
    try:
        image_bgr = read_image(path)
    except InputError:
        return ""
    _, jpeg = cv2.imencode(".jpg", change(image_bgr), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")


def _shrunk(image_bgr: Image, longest_px: int) -> Image:
    scale = min(1.0, longest_px / max(image_bgr.shape[:2]))
    wh = (max(1, round(image_bgr.shape[1] * scale)), max(1, round(image_bgr.shape[0] * scale)))
    return np.asarray(cv2.resize(image_bgr, wh, interpolation=cv2.INTER_AREA), np.uint8)
