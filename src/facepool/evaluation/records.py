"""Results as plain data for ``report.json`` and ``--json``: keys that stay, numbers that are not rounded away."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facepool.evaluation.bootstrap import Interval
from facepool.evaluation.discard import Breakdown
from facepool.evaluation.results import (
    Captures,
    DefaultThreshold,
    DetectionResults,
    IdentificationResults,
    Results,
    Run,
    VerificationResults,
)

Record = dict[str, object]

_DIGITS = 6
_WORST = 20
"""So many mistakes of a kind are listed."""


def to_record(results: Results) -> Record:
    """The figures of a run, with what they were measured on. Rates are shares in 0..1; what is unknown is None."""
    match results:
        case VerificationResults():
            return _run(results.run) | _verification(results)
        case IdentificationResults():
            return _run(results.run) | _identification(results)
        case DetectionResults():
            return _run(results.run) | _detection(results)


def _run(run: Run) -> Record:
    return {
        "command": run.command,
        "subject": run.subject,
        "model": run.embedder or run.detector,
        "detector": run.detector,
        "embedder": run.embedder or None,
        "space": run.space or None,
        "device": run.runs_on,
        "detection": dict(run.detection),
        "face_choice": run.face_choice,
        "versions": dict(run.versions),
        "started_at": run.started_at,
        "seconds": _number(run.seconds),
        "pictures_from_cache": run.from_cache,
    }


def _verification(results: VerificationResults) -> Record:
    comparisons, intervals = results.comparisons, results.intervals
    accuracy: Record | None = None
    if results.accuracy is not None:
        accuracy = {
            "mean": _number(results.accuracy.mean),
            "std": _number(results.accuracy.std),
            "interval": _interval(intervals.accuracy),
            "folds": [_number(value) for value in results.accuracy.folds],
            "thresholds": [_number(value) for value in results.accuracy.thresholds],
        }
    return {
        "protocol": "verification",
        "pairs": comparisons.genuine_count + comparisons.impostor_count,
        "genuine_pairs": comparisons.genuine_count,
        "impostor_pairs": comparisons.impostor_count,
        "pairs_left_out": comparisons.left_out,
        **_captures(results.captures),
        "accuracy": accuracy,
        "eer": _number(results.eer.rate),
        "eer_threshold": _number(results.eer.threshold),
        "eer_interval": _interval(intervals.eer),
        "tar_at_fmr": {
            _key(point.fmr_asked): {
                "tar": _number(point.tar),
                "interval": _interval(intervals.tar_at_fmr[point.fmr_asked]),
                "threshold": _threshold(point.threshold),
                "fmr": _number(point.fmr),
                "resolved": point.resolved,
            }
            for point in results.points
        },
        "default_threshold": _default(results.default, ("fmr", "fnmr")),
        "misses_by_yaw": _bins(results.by_pose),
        "misses_by_quality": _bins(results.by_quality),
        "worst_misses": _worst_pairs(results, same=True),
        "worst_false_matches": _worst_pairs(results, same=False),
        **_intervals_over(intervals.people, intervals.replicates),
    }


def _identification(results: IdentificationResults) -> Record:
    gallery, probes, intervals = results.gallery, results.probes, results.intervals
    return {
        "protocol": "identification",
        "gallery": {
            "people": len(gallery.people),
            "templates": len(gallery.rows),
            "templates_asked": gallery.templates_asked,
            "failures_to_enroll": list(gallery.failed),
        },
        "mated_probes": int(probes.mated.sum()),
        "mated_people": intervals.mated_people,
        "stranger_probes": int((~probes.mated).sum()),
        "stranger_people": intervals.stranger_people,
        **_captures(results.captures),
        "rank_one": _number(results.rank_one),
        "rank_one_interval": _interval(intervals.rank_one),
        "fnir_at_fpir": {
            _key(point.fpir_asked): {
                "fnir": _number(point.fnir),
                "interval": _interval(intervals.fnir_at_fpir[point.fpir_asked]),
                "threshold": _threshold(point.threshold),
                "fpir": _number(point.fpir),
                "misnamed": _number(point.misnamed),
                "resolved": point.resolved,
            }
            for point in results.points
        },
        "default_threshold": _default(results.default, ("fpir", "fnir")),
        **_intervals_over(intervals.mated_people + intervals.stranger_people, intervals.replicates),
    }


def _detection(results: DetectionResults) -> Record:
    return {
        "protocol": "detection",
        "pictures": len(results.pictures),
        "pictures_not_there": results.missing,
        "pictures_unreadable": {str(path): reason for path, reason in results.unreadable.items()},
        "faces": sum(len(picture.truth) for picture in results.pictures),
        "faces_ignored": sum(len(picture.ignored) for picture in results.pictures),
        "average_precision": _number(results.curve.ap),
        "average_precision_interval": _interval(results.interval),
        "at_threshold": {
            "threshold": _number(results.threshold),
            "precision": _number(results.precision),
            "recall": _number(results.recall),
        },
        "by_size_px": [
            {
                "at_least": _number(faces.at_least_px),
                "below": _number(faces.below_px),
                "faces": faces.faces,
                "average_precision": _number(faces.average_precision),
                "recall": _number(faces.recall),
            }
            for faces in results.by_size
        ],
    }


def _captures(captures: Captures) -> Record:
    return {
        "pictures": len(captures),
        "people": len(set(captures.people)),
        "failures_to_acquire": len(captures.failures),
        "failures": [{"path": str(captures.paths[row]), "reason": captures.problems[row]} for row in captures.failures],
        "pictures_with_several_faces": int((captures.face_counts > 1).sum()),
    }


def _default(default: DefaultThreshold, rates: tuple[str, str]) -> Record:
    return {
        "threshold": _number(default.threshold.value),
        "meaning": default.threshold.meaning,
        rates[0]: _number(default.false_matches),
        rates[1]: _number(default.misses),
    }


def _bins(breakdown: Breakdown) -> list[Record]:
    return [
        {
            "at_least": _number(each.low),
            "below": _number(each.high),
            "pairs": each.count,
            "people": each.people,
            "fnmr": _number(each.rate),
            "interval": _interval(each.interval),
        }
        for each in breakdown.bins
    ]


def _worst_pairs(results: VerificationResults, *, same: bool) -> list[Record]:
    comparisons = results.comparisons
    rows = np.flatnonzero(comparisons.same == same)
    order = np.argsort(comparisons.similarities[rows] * (1 if same else -1), kind="stable")
    paths: Sequence[Path] = results.captures.paths
    return [
        {
            "first": str(paths[comparisons.first[row]]),
            "second": str(paths[comparisons.second[row]]),
            "similarity": _number(float(comparisons.similarities[row])),
        }
        for row in rows[order[:_WORST]]
    ]


def _intervals_over(people: int, replicates: int) -> Record:
    return {"intervals": {"level": 0.95, "over_people": people, "replicates": replicates}}


def _interval(interval: Interval | None) -> list[float | None] | None:
    return None if interval is None else [_number(interval.low), _number(interval.high)]


def _number(value: float) -> float | None:
    return round(float(value), _DIGITS) if math.isfinite(value) else None


def _threshold(value: float) -> float:
    """Rounded up: a little less would let in the impostor whom the threshold keeps out."""
    scale = 10.0**_DIGITS
    return math.ceil(value * scale) / scale


def _key(rate: float) -> str:
    """``0.001``; JSON's keys are strings, and 1e-05 is another spelling of 0.00001."""
    return np.format_float_positional(rate, trim="-")
