"""What a run found as plain data: the record of ``report.json``, and the tables that terminal and page show.

Nothing here is heavy to import; ``facepool.evaluation.report.page`` needs the packages of the extra ``evaluate``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from facepool.evaluation.bootstrap import LEVEL, Interval
from facepool.evaluation.detection import DetectionResults, FacesOfSize
from facepool.evaluation.embeddings import EvaluatedPictures
from facepool.evaluation.identification import IdentificationResults
from facepool.evaluation.metrics import DefaultThreshold, OperatingPoint
from facepool.evaluation.verification import RangeErrors, VerificationResults

Results = VerificationResults | IdentificationResults | DetectionResults
Record = dict[str, object]

_DIGITS = 6
_WORST = 20
"""So many mistakes of a kind are listed."""
_COLUMNS = ("", ">", "95 % interval", ">threshold", "")


@dataclass(frozen=True, slots=True)
class Run:
    """What was run, on what, so that somebody else can run it again. The fields are those of ``report.json``.

    Attributes:
        command: The whole command line.
        subject: What was evaluated: the path of a pairs file, a folder or ground truth.
        model: What was evaluated of the networks: the embedder, or the detector where nothing was embedded.
        detector: Its name.
        embedder: Its name; None where nothing was embedded.
        space: The embedding space, for people; None where nothing was embedded.
        device: Engine and device.
        detection: What counts as a face: option to value.
        face_choice: How faces were chosen where a picture has several.
        versions: Program to version: facepool, Python, the engines, the machine's system.
        started_at: ISO 8601 in UTC with seconds.
        seconds: How long it took, cached pictures included.
        pictures_from_cache: How many pictures an earlier run had embedded.
        not_read: Folders and files that could not be looked at, and so are in no figure: ``path`` and ``why``.
    """

    command: str
    subject: str
    model: str
    detector: str
    embedder: str | None
    space: str | None
    device: str
    detection: Mapping[str, object]
    face_choice: str
    versions: Mapping[str, str]
    started_at: str
    seconds: float
    pictures_from_cache: int
    not_read: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text.

    Attributes:
        columns: Headings; one that begins with ``>`` is set to the right. All may be empty.
        rows: As many cells each.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def summarize(results: Results) -> tuple[str, list[Table]]:
    """What was measured on, in one line, and the figures that matter."""
    match results:
        case VerificationResults():
            return _verification_summary(results)
        case IdentificationResults():
            return _identification_summary(results)
        case DetectionResults():
            return _detection_summary(results)


def _verification_summary(results: VerificationResults) -> tuple[str, list[Table]]:
    comparisons, intervals, accuracy = results.comparisons, results.intervals, results.accuracy
    rows: list[Sequence[str]] = []
    if accuracy is not None:
        folds = f"{len(accuracy.folds)} folds, sd {percent(accuracy.std)}"
        rows.append(("accuracy", percent(accuracy.mean), interval_text(intervals.accuracy), "", folds))
    rows += [
        _point_row("TAR at FMR", point, point.tar, intervals.tar_at_fmr[point.asked], "too few pairs of two")
        for point in results.points
    ]
    threshold, eer = similarity(results.default.threshold.value), results.eer
    rows += [
        ("equal error rate", percent(eer.rate), interval_text(intervals.eer), similarity(eer.threshold), "FMR = FNMR"),
        ("FMR by default", percent(results.default.false_matches), "", threshold, "facepool verify"),
        ("FNMR by default", percent(results.default.misses), "", threshold, "facepool verify"),
        _failures_row(results.pictures),
    ]
    headline = (
        f"{count(comparisons.genuine_count, 'pair')} of one person, {comparisons.impostor_count:,} of two; "
        f"{count(len(results.pictures), 'picture')} of {count_people(len(set(results.pictures.people)))}"
    )
    return headline, [Table(_COLUMNS, rows)]


def _identification_summary(results: IdentificationResults) -> tuple[str, list[Table]]:
    enrolled, probes, intervals, default = results.enrolled, results.probes, results.intervals, results.default
    threshold, failed = similarity(default.threshold.value), len(enrolled.failed)
    wanted = len(enrolled.people) + failed
    rows = [
        *(
            _point_row("FNIR at FPIR", point, point.misses, intervals.fnir_at_fpir[point.asked], "too few strangers")
            for point in results.points
        ),
        ("rank 1", percent(probes.rank_one), interval_text(intervals.rank_one), "", "nearest is right"),
        ("FPIR by default", percent(default.false_matches), "", threshold, "strangers named"),
        ("FNIR by default", percent(default.misses), "", threshold, "people missed"),
        ("failures to enroll", percent(failed / wanted), "", "", f"{failed:,} of {count_people(wanted)}"),
        _failures_row(results.pictures),
    ]
    headline = (
        f"Gallery of {count_people(len(enrolled.people))}, {count(len(enrolled.rows), 'template')}; "
        f"{int(probes.mated.sum()):,} searches for them, {int((~probes.mated).sum()):,} for "
        f"{intervals.stranger_people:,} strangers"
    )
    return headline, [Table(_COLUMNS, rows)]


def _detection_summary(results: DetectionResults) -> tuple[str, list[Table]]:
    at = f"at score {results.threshold:g}"
    rates = Table(
        ("", ">", "95 % interval", ""),
        [
            ("average precision", percent(results.curve.ap), interval_text(results.interval), "IoU 0.5"),
            ("recall", percent(results.recall), "", f"of the faces, {at}"),
            ("precision", percent(results.precision), "", f"of the boxes, {at}"),
        ],
    )
    by_size = Table(
        ("size of the face", ">faces", ">average precision", ">recall"),
        [
            (
                range_text(size.at_least, size.below, " px"),
                f"{size.faces:,}",
                percent(size.average_precision),
                percent(size.recall),
            )
            for size in results.by_size
            if size.faces
        ],
    )
    return f"{count(results.curve.faces, 'face')} in {count(len(results.pictures), 'picture')}", [rates, by_size]


def _point_row(
    label: str, point: OperatingPoint, figure: float, interval: Interval, unresolved: str
) -> tuple[str, ...]:
    label = f"{label} {point.asked * 100:g}%"
    if not point.resolved:
        return (label, "-", "", "", unresolved)
    return (label, percent(figure), interval_text(interval), similarity(point.threshold), "")


def _failures_row(pictures: EvaluatedPictures) -> tuple[str, ...]:
    failed = len(pictures.failures)
    of = f"{failed:,} of {count(len(pictures), 'picture')}"
    return ("failures to acquire", percent(failed / len(pictures)), "", "", of)


def percent(share: float) -> str:
    """Two digits after the point, more where less than 0.01 % would vanish; ``-`` for NaN."""
    if math.isnan(share):
        return "-"
    return f"{share * 100:.2g}%" if 0 < share < 1e-4 else f"{share:.2%}"


def interval_text(interval: Interval | None) -> str:
    """``98.94% to 99.60%``; empty where it is not known."""
    if interval is None or not interval.known:
        return ""
    return f"{percent(interval.low)} to {percent(interval.high)}"


def range_text(low: float, high: float, unit: str) -> str:
    """``16 to 32 px``, ``256 px and more``."""
    return f"{low:.0f}{unit} and more" if math.isinf(high) else f"{low:.0f} to {high:.0f}{unit}"


def similarity(value: float) -> str:
    """Three digits."""
    return f"{value:.3f}"


def count(number: int, noun: str) -> str:
    """``1 pair``, ``6,000 pairs``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def count_people(number: int) -> str:
    """``1 person``, ``2 people``."""
    return "1 person" if number == 1 else f"{number:,} people"


def to_record(results: Results, run: Run) -> Record:
    """The record of ``report.json`` and ``--json``: keys that stay, numbers that are not rounded away.

    Rates are shares in 0..1; what is unknown is None.
    """
    match results:
        case VerificationResults():
            figures = _verification_record(results)
        case IdentificationResults():
            figures = _identification_record(results)
        case DetectionResults():
            figures = _detection_record(results)
    return {key: _plain(value) for key, value in (_fields(run) | figures).items()}


def _verification_record(results: VerificationResults) -> Record:
    comparisons, intervals, accuracy = results.comparisons, results.intervals, results.accuracy
    return {
        "protocol": "verification",
        "pairs": comparisons.genuine_count + comparisons.impostor_count,
        "genuine_pairs": comparisons.genuine_count,
        "impostor_pairs": comparisons.impostor_count,
        "pairs_left_out": comparisons.left_out,
        **_pictures_record(results.pictures),
        "accuracy": None
        if accuracy is None
        else {
            "mean": accuracy.mean,
            "std": accuracy.std,
            "interval": intervals.accuracy,
            "folds": accuracy.folds.tolist(),
            "thresholds": accuracy.thresholds.tolist(),
        },
        "eer": results.eer.rate,
        "eer_threshold": results.eer.threshold,
        "eer_interval": intervals.eer,
        "tar_at_fmr": {
            _key(point.asked): {
                "tar": point.tar,
                "interval": intervals.tar_at_fmr[point.asked],
                "threshold": _rounded_up(point.threshold),
                "fmr": point.false_matches,
                "resolved": point.resolved,
            }
            for point in results.points
        },
        "default_threshold": _default_record(results.default, ("fmr", "fnmr")),
        "misses_by_yaw": [_fields(errors) for errors in results.by_pose],
        "misses_by_quality": [_fields(errors) for errors in results.by_quality],
        "worst_misses": _worst_pairs(results, same=True),
        "worst_false_matches": _worst_pairs(results, same=False),
        **_intervals_record(intervals.people, intervals.replicates),
    }


def _identification_record(results: IdentificationResults) -> Record:
    enrolled, probes, intervals = results.enrolled, results.probes, results.intervals
    return {
        "protocol": "identification",
        "gallery": {
            "people": len(enrolled.people),
            "templates": len(enrolled.rows),
            "templates_asked": enrolled.templates_asked,
            "failures_to_enroll": enrolled.failed,
        },
        "mated_probes": int(probes.mated.sum()),
        "mated_people": intervals.mated_people,
        "stranger_probes": int((~probes.mated).sum()),
        "stranger_people": intervals.stranger_people,
        **_pictures_record(results.pictures),
        "rank_one": probes.rank_one,
        "rank_one_interval": intervals.rank_one,
        "fnir_at_fpir": {
            _key(point.asked): {
                "fnir": point.misses,
                "interval": intervals.fnir_at_fpir[point.asked],
                "threshold": _rounded_up(point.threshold),
                "fpir": point.false_matches,
                "misnamed": probes.misnamed(point.threshold),
                "resolved": point.resolved,
            }
            for point in results.points
        },
        "default_threshold": _default_record(results.default, ("fpir", "fnir")),
        **_intervals_record(intervals.mated_people + intervals.stranger_people, intervals.replicates),
    }


def _detection_record(results: DetectionResults) -> Record:
    return {
        "protocol": "detection",
        "pictures": len(results.pictures),
        "pictures_not_there": results.missing,
        "pictures_unreadable": {str(path): reason for path, reason in results.unreadable.items()},
        "faces": results.curve.faces,
        "faces_ignored": sum(int(picture.ignored.sum()) for picture in results.pictures),
        "average_precision": results.curve.ap,
        "average_precision_interval": results.interval,
        "at_threshold": {
            "threshold": results.threshold,
            "precision": results.precision,
            "recall": results.recall,
        },
        "by_size_px": [_fields(size) for size in results.by_size],
    }


def _pictures_record(pictures: EvaluatedPictures) -> Record:
    return {
        "pictures": len(pictures),
        "people": len(set(pictures.people)),
        "failures_to_acquire": len(pictures.failures),
        "failures": [{"path": pictures.paths[row], "reason": pictures.problems[row]} for row in pictures.failures],
        "pictures_with_several_faces": int((pictures.face_counts > 1).sum()),
    }


def _default_record(default: DefaultThreshold, rates: tuple[str, str]) -> Record:
    threshold = default.threshold
    figures = dict(zip(rates, (default.false_matches, default.misses), strict=True))
    return {"threshold": threshold.value, "meaning": threshold.meaning, **figures}


def _worst_pairs(results: VerificationResults, *, same: bool) -> list[Record]:
    comparisons, paths = results.comparisons, results.pictures.paths
    rows = np.flatnonzero(comparisons.same == same)
    order = np.argsort(comparisons.similarities[rows] * (1 if same else -1), kind="stable")
    return [
        {
            "first": paths[comparisons.first[row]],
            "second": paths[comparisons.second[row]],
            "similarity": float(comparisons.similarities[row]),
        }
        for row in rows[order[:_WORST]]
    ]


def _intervals_record(people: int, replicates: int) -> Record:
    return {"intervals": {"level": LEVEL, "over_people": people, "replicates": replicates}}


def _fields(data: Run | RangeErrors | FacesOfSize) -> Record:
    return {field.name: getattr(data, field.name) for field in fields(data)}


def _plain(value: object) -> object:
    """For JSON: numbers of six digits, None for those that are unknown or infinite, intervals as two ends."""
    match value:
        case float():
            return round(value, _DIGITS) if math.isfinite(value) else None
        case Interval():
            return [_plain(value.low), _plain(value.high)]
        case Path():
            return str(value)
        case Mapping():
            return {key: _plain(part) for key, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
    return value


def _rounded_up(threshold: float) -> float:
    """A little less would let in the impostor whom the threshold keeps out."""
    return math.ceil(threshold * 10.0**_DIGITS) / 10.0**_DIGITS


def _key(rate: float) -> str:
    """``0.001``; JSON's keys are strings, and 1e-05 is another spelling of 0.00001."""
    return np.format_float_positional(rate, trim="-")
