"""Parts that reports of every kind share: what was run, pictures without a face, the rows worth showing."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from facepool.evaluation.bootstrap import Interval
from facepool.evaluation.report.page import Card, Picture, Section
from facepool.evaluation.report.pictures import face_picture
from facepool.evaluation.report.words import count, percent, seconds
from facepool.evaluation.results import Captures, Run
from facepool.types import Floats, Indices

MOST_CARDS = 12
"""Photographs are what makes a page heavy: a face is about 8 KB."""
FEW_PEOPLE = 30
"""Below it a bootstrap over people says little about others."""
_OFTEN = 2
_SEARCHED = 500


def facts(run: Run) -> list[tuple[str, str]]:
    """What was run, on what: label to value."""
    rows = [
        ("Detector", run.detector),
        ("Embedder", run.embedder),
        ("Embedding space", run.space),
        ("Runs on", run.runs_on),
        ("Detection", ", ".join(f"{name} {value}" for name, value in run.detection.items())),
        ("Which face", run.face_choice if run.embedder else ""),
        ("Versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
        ("Started", run.started_at),
        ("Took", _took(run)),
    ]
    return [(label, value) for label, value in rows if value]


def interval_words(interval: Interval | None) -> str:
    """``98.9 to 99.6 %``; empty where there is none."""
    if interval is None or not np.isfinite([interval.low, interval.high]).all():
        return ""
    digits = 2 if interval.high - interval.low < 0.02 else 1
    low, high = percent(interval.low, digits), percent(interval.high, digits)
    return f"{low[:-2]} to {high}"


def with_level(interval: Interval | None) -> str:
    """``95 % interval 98.9 to 99.6 %``; empty where there is none."""
    words = interval_words(interval)
    return f"{percent(interval.level, 0)} interval {words}" if interval is not None and words else ""


def short(path: Path) -> str:
    """The last folder and the file: enough to find it, and nothing about whose machine it is."""
    return "/".join(path.parts[-2:])


def face_of(captures: Captures, row: int) -> Picture:
    """The face of one picture, named after who it shows."""
    return Picture(
        face_picture(captures.paths[row], captures.boxes[row]), captures.people[row], _file_of(captures, row)
    )


def _file_of(captures: Captures, row: int) -> str:
    """The file; its folder, too, where that is not the person's name."""
    path = captures.paths[row]
    return path.name if path.parent.name == captures.people[row] else short(path)


def lowest(values: Floats, among: Indices, pictures: Sequence[Indices]) -> list[int]:
    """Rows of the lowest values, no picture more than twice, so that one bad picture does not fill the page.

    Args:
        values: (N,).
        among: (K,) rows to choose from.
        pictures: Columns (N,) of the pictures that each row shows.
    """
    among = among[np.argsort(values[among], kind="stable")[:_SEARCHED]]
    shown: dict[int, int] = {}
    return [int(row) for row in _spread(among, pictures, shown)][:MOST_CARDS]


def failures(captures: Captures, consequence: str) -> Section:
    """The pictures in which no face was found.

    Args:
        captures: All pictures.
        consequence: What became of them.
    """
    rows = captures.failures
    cards = [
        Card([Picture(face_picture(captures.paths[row], None), captures.people[row], _file_of(captures, row))],
             note=captures.problems[row])
        for row in rows[:MOST_CARDS]
    ]  # fmt: skip
    return Section(
        "Pictures without a face",
        lead=f"{share_of(len(rows), len(captures))} pictures. {consequence}" if rows else "",
        cards=cards,
        empty=f"A face was found in each of {count(len(captures), 'picture')}: no failure to acquire.",
        notes=more(len(rows)),
    )


def more(total: int) -> list[str]:
    """A note on those that are not shown."""
    return [f"{total - MOST_CARDS:,} more are not shown."] if total > MOST_CARDS else []


def share_of(part: int, whole: int) -> str:
    """``3 of 7,701 (0.039 %)``."""
    return f"{part:,} of {whole:,} ({percent(part / whole)})" if whole else "0 of 0"


def few_people(people: Iterable[str]) -> list[str]:
    """A warning where there are few."""
    number = len(set(people))
    if number >= FEW_PEOPLE:
        return []
    warning = (
        f"Only {count(number, 'person', 'people')}: the figures describe these photos and say little about others. "
        f"Intervals, which are drawn over people, are too narrow below {FEW_PEOPLE}."
    )
    return [warning]


def _spread(among: Indices, pictures: Sequence[Indices], shown: dict[int, int]) -> Iterator[int]:
    for row in among:
        here = {int(column[row]) for column in pictures}
        if all(shown.get(picture, 0) < _OFTEN for picture in here):
            for picture in here:
                shown[picture] = shown.get(picture, 0) + 1
            yield int(row)


def _took(run: Run) -> str:
    cached = f"; {count(run.from_cache, 'picture')} came from an earlier run" if run.from_cache else ""
    return seconds(run.seconds) + cached
