"""One page of HTML for people: figures, charts, and the photos that went worst. matplotlib and Jinja are imported here.

The page holds everything that it shows, including photos of faces, and asks no host for anything. All text is escaped
by the template.
"""

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, StrictUndefined
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from facepool.capture import read_image
from facepool.errors import InputError
from facepool.evaluation.detection import LEAST_OVERLAP, DetectionResults, JudgedPicture, PrecisionRecall
from facepool.evaluation.embeddings import EvaluatedPictures
from facepool.evaluation.identification import IdentificationResults
from facepool.evaluation.metrics import NOT_ACQUIRED, DefaultThreshold, ErrorCurve, OperatingPoint, Scores, Values
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


_SIZE_IN = (5.6, 3.5)
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # letters stay letters, in the browser's own font
    "svg.hashsalt": "facepool",  # the same figures give the same bytes
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa4af",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dfe3e8",
    "legend.frameon": False,
}
_BLUE, _ORANGE, _MARK = "#1f6fd6", "#c9560a", "#7a3cc0"
_BINS = 60
_LABEL_ROW = 0.09  # height of a label as a share of the chart's
_LEAST_RATE = 1e-5
"""Below it a curve of even 30 million pairs is about wrong names in the data."""
_MOST_POINTS = 800
"""A curve of a million pairs has a million steps; no screen shows many more than these."""


def similarities_chart(
    kinds: Mapping[str, tuple[Scores, Values | None]], points: Sequence[OperatingPoint], rate: str
) -> str:
    """How two kinds of similarities are spread, each as shares of its own number.

    Args:
        kinds: Name to (N,) similarities and how often each counts (None: once); infinite ones are left out.
        points: Thresholds to draw.
        rate: What these keep to, for example ``FMR``.
    """
    with style.context(["default", _STYLE]):
        figure, axes = _chart("similarity", "share")
        everything = np.concatenate([values[np.isfinite(values)] for values, _ in kinds.values()])
        low, high = (everything.min(), everything.max()) if len(everything) else (0.0, 1.0)
        edges = np.linspace(low, max(high, low + 0.05), _BINS + 1)
        for (name, (values, weights)), color in zip(kinds.items(), (_BLUE, _ORANGE), strict=True):
            counts = np.histogram(values, edges, weights=weights)[0]
            shares = counts / max(counts.sum(), 1e-12)
            axes.stairs(shares, edges, fill=True, color=color, alpha=0.25)
            axes.stairs(shares, edges, color=color, linewidth=1.4, label=name)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(0, axes.get_ylim()[1] * (1 + _LABEL_ROW * len(points)))
        for row, point in enumerate(sorted(points, key=lambda point: point.threshold)):
            height = axes.get_ylim()[1] * (0.98 - _LABEL_ROW * row)  # each lower than the one to its left
            axes.vlines(point.threshold, 0, height, color=_MARK, linewidth=1.1, linestyle="dashed")
            axes.annotate(
                f"{rate} {point.asked * 100:g}%", (point.threshold, height), (4, -8), textcoords="offset points",
                color=_MARK,
            )  # fmt: skip
        figure.legend(loc="outside upper center", ncols=2)
        return _address(figure)


def trade_off_chart(
    curve: ErrorCurve, points: Sequence[OperatingPoint], impostors: float, labels: tuple[str, str]
) -> str:
    """What a rate of false matches costs in misses, both on logarithmic scales (DET).

    Args:
        curve: Both errors at every threshold.
        points: To mark.
        impostors: How many comparisons the rate of false matches was taken of.
        labels: Of the x and y axes.
    """
    with style.context(["default", _STYLE]):
        figure, axes = _chart(*labels)
        least = max(1 / max(impostors, 1), _LEAST_RATE)
        least = min(10 ** np.floor(np.log10(least)), 0.01)
        x, y = _steps(curve, least)
        floor = min(10 ** np.floor(np.log10(y[y > 0].min(initial=1.0))), 0.01)
        axes.step(x, np.maximum(y, floor), where="post", color=_BLUE, linewidth=1.8, clip_on=False)
        for point in points:
            place = (point.asked, max(point.misses, floor))
            axes.plot(*place, marker="o", color=_MARK, clip_on=False)
            axes.annotate(f"{point.misses:.2%}", place, (6, 6), textcoords="offset points", color=_MARK)
        axes.set(xscale="log", yscale="log", xlim=(least, 1), ylim=(floor, 1))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value * 100:g}%")
        return _address(figure)


def precision_recall_chart(curve: PrecisionRecall, threshold: float) -> str:
    """How many of the boxes are right where more and more of the faces are found.

    Args:
        curve: Precision and recall at every score.
        threshold: The score to mark.
    """
    with style.context(["default", _STYLE]):
        figure, axes = _chart("found (recall)", "right (precision)")
        axes.step(curve.recall, curve.precision, where="post", color=_BLUE, linewidth=1.8, clip_on=False)
        precision, recall = curve.at(threshold)
        axes.plot(recall, precision, marker="o", color=_MARK, clip_on=False)
        axes.annotate(
            f"score {threshold:g}", (recall, precision), (-7, -14), textcoords="offset points", color=_MARK, ha="right"
        )
        axes.set(xlim=(0, 1), ylim=(0, 1))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        return _address(figure)


def _chart(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    axes = figure.add_subplot(xlabel=x_label, ylabel=y_label)
    return figure, axes


def _steps(curve: ErrorCurve, least: float) -> tuple[Values, Values]:
    """The fewest misses at each rate of false matches or below, from ``least`` to 1; no more points than show."""
    x = np.geomspace(least, 1.0, _MOST_POINTS)
    place = np.searchsorted(curve.false_matches[::-1], x * (1 + 1e-9), side="right") - 1  # the first one is 0
    return x, curve.misses[::-1][place]


def _address(figure: Figure) -> str:
    written = io.BytesIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(written.getvalue()).decode("ascii")
