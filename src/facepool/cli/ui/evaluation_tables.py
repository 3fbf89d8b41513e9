"""Results of an evaluation as tables in the terminal."""

import math

from facepool.cli.ui.console import Console, counted, people_count
from facepool.evaluation.bootstrap import Interval
from facepool.evaluation.results import (
    Captures,
    DetectionResults,
    IdentificationResults,
    Results,
    VerificationResults,
)

_NAMED = 10
"""So many failures are listed; the report has them all."""
_COLUMNS = ("", ">", "95 % interval", ">threshold", "")


def show(results: Results, console: Console) -> None:
    """Print the figures that matter; nothing in JSON mode."""
    match results:
        case VerificationResults():
            _show_verification(results, console)
        case IdentificationResults():
            _show_identification(results, console)
        case DetectionResults():
            _show_detection(results, console)


def _show_verification(results: VerificationResults, console: Console) -> None:
    comparisons, intervals, default = results.comparisons, results.intervals, results.default
    rows: list[tuple[str, ...]] = []
    if results.accuracy is not None:
        mean = _percent(results.accuracy.mean)
        deviation = f"{len(results.accuracy.folds)} folds, sd {_percent(results.accuracy.std)}"
        rows.append(("accuracy", mean, _interval(intervals.accuracy), "", deviation))
    for point in results.points:
        label = f"TAR at FMR {_rate(point.fmr_asked)}"
        if point.resolved:
            interval = _interval(intervals.tar_at_fmr[point.fmr_asked])
            rows.append((label, _percent(point.tar), interval, f"{point.threshold:.3f}", ""))
        else:
            rows.append((label, "-", "", "", "too few pairs of two"))
    rows.append(
        (
            "equal error rate",
            _percent(results.eer.rate),
            _interval(intervals.eer),
            f"{results.eer.threshold:.3f}",
            "FMR = FNMR",
        )
    )
    threshold = f"{default.threshold.value:.3f}"
    rows.append(("FMR by default", _percent(default.false_matches), "", threshold, "facepool verify"))
    rows.append(("FNMR by default", _percent(default.misses), "", threshold, "facepool verify"))
    rows.append(_failures_row(results.captures))
    console.say(
        f"{counted(comparisons.genuine_count, 'pair')} of one person, {comparisons.impostor_count:,} of two; "
        f"{counted(len(results.captures), 'picture')} of {people_count(len(set(results.captures.people)))}"
    )
    console.table(_COLUMNS, rows)
    _list_failures(results.captures, console)


def _show_identification(results: IdentificationResults, console: Console) -> None:
    gallery, probes, intervals, default = results.gallery, results.probes, results.intervals, results.default
    rows: list[tuple[str, ...]] = []
    for point in results.points:
        label = f"FNIR at FPIR {_rate(point.fpir_asked)}"
        if point.resolved:
            interval = _interval(intervals.fnir_at_fpir[point.fpir_asked])
            rows.append((label, _percent(point.fnir), interval, f"{point.threshold:.3f}", ""))
        else:
            rows.append((label, "-", "", "", "too few strangers"))
    rows.append(("rank 1", _percent(results.rank_one), _interval(intervals.rank_one), "", "nearest is right"))
    threshold = f"{default.threshold.value:.3f}"
    rows.append(("FPIR by default", _percent(default.false_matches), "", threshold, "strangers named"))
    rows.append(("FNIR by default", _percent(default.misses), "", threshold, "people missed"))
    enrolled = len(gallery.people) + len(gallery.failed)
    share = len(gallery.failed) / enrolled
    rows.append(("failures to enroll", _percent(share), "", "", f"{len(gallery.failed):,} of {people_count(enrolled)}"))
    rows.append(_failures_row(results.captures))
    console.say(
        f"Gallery of {people_count(len(gallery.people))}, {counted(len(gallery.rows), 'template')}; "
        f"{int(probes.mated.sum()):,} searches for them, {int((~probes.mated).sum()):,} for "
        f"{intervals.stranger_people:,} strangers"
    )
    console.table(_COLUMNS, rows)
    if gallery.failed:
        console.note(f"Not enrolled: {_listed(gallery.failed)}")
    _list_failures(results.captures, console)


def _show_detection(results: DetectionResults, console: Console) -> None:
    faces = sum(len(picture.truth) for picture in results.pictures)
    console.say(f"{counted(faces, 'face')} in {counted(len(results.pictures), 'picture')}")
    at = f"at score {results.threshold:g}"
    console.table(
        ("", ">", "95 % interval", ""),
        [
            ("average precision", _percent(results.curve.ap), _interval(results.interval), "IoU 0.5"),
            ("recall", _percent(results.recall), "", f"of the faces, {at}"),
            ("precision", _percent(results.precision), "", f"of the boxes, {at}"),
        ],
    )
    console.say("")
    console.table(
        ("size of the face", ">faces", ">average precision", ">recall"),
        [
            (
                _size(each.at_least_px, each.below_px),
                f"{each.faces:,}",
                _percent(each.average_precision),
                _percent(each.recall),
            )
            for each in results.by_size
            if each.faces
        ],
    )
    for path, reason in list(results.unreadable.items())[:_NAMED]:
        console.note(f"Cannot be read, so its faces count as missed: {path}: {reason}")


def _failures_row(captures: Captures) -> tuple[str, ...]:
    failed = len(captures.failures)
    of = f"{failed:,} of {counted(len(captures), 'picture')}"
    return ("failures to acquire", _percent(failed / len(captures)), "", "", of)


def _list_failures(captures: Captures, console: Console) -> None:
    several = int((captures.face_counts > 1).sum())
    if several:
        console.note(
            f"{counted(several, 'picture')} with several faces: the largest and nearest to the centre was taken"
        )
    failures = captures.failures
    for row in failures[:_NAMED]:
        console.note(f"Counted as an error: {captures.paths[row]}: {captures.problems[row]}")
    if len(failures) > _NAMED:
        console.note(f"... and {len(failures) - _NAMED:,} more")


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _size(low: float, high: float) -> str:
    return f"{low:.0f} px and more" if math.isinf(high) else f"{low:.0f} to {high:.0f} px"


def _percent(share: float) -> str:
    """Two digits after the point, more where less than 0.01 % would vanish."""
    if math.isnan(share):
        return "-"
    return f"{share * 100:.2g}%" if 0 < share < 1e-4 else f"{share:.2%}"


def _rate(rate: float) -> str:
    return f"{rate * 100:g}%"


def _interval(interval: Interval | None) -> str:
    if interval is None or math.isnan(interval.low):
        return ""
    return f"{_percent(interval.low)} to {_percent(interval.high)}"
