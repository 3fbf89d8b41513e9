"""Who passes the liveness challenge before a rendered camera: attack detection as ISO/IEC 30107-3 measures it.

    python benchmarks/pad.py                                   the whole table; goes on where a run was stopped
    python benchmarks/pad.py --processes 2 --output pad        two at a time; pad.json and pad.md
    python benchmarks/pad.py --only print head --share 0.1     a tenth of two instruments
    python benchmarks/pad.py --replay FOLDER                   clips of another digest before the session as it is now
    python benchmarks/pad.py --rate 15 7 5 4 --only head "prints in turn"    slow cameras with uneven frames
    python benchmarks/pad.py --sheet "prints in turn" --output sheet    pictures of six attempts, to look at
    python benchmarks/pad.py --document docs/liveness.md       ... and put the table there

Needs LFW and the films of ../shared, and fetches the face mesh of `liveness/heads.py` (Apache-2.0) through the package
index. Every attempt follows its number: the same in each run. The challenge is drawn for it, and what stands before the
camera reacts to what the session asks. Clips are kept under the user's cache as landmarks, embeddings and results, by a
digest of the code that they depend on; pictures are not kept.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from liveness.attempts import REPORT, TUNING, Casting, People
from liveness.films import REAL_HEADS, WINDOW_S, verdict_of, windows
from liveness.heads import HeadMaker
from liveness.intervals import clopper_pearson
from liveness.trial import Clip, attempt_a_challenge, replay, same_person
from platformdirs import user_cache_path
from sidebyside import machine, marks

from facepool import load_analyzer
from facepool.faces.analyze import Analyzer
from facepool.liveness.flat import Verdict
from facepool.types import Floats, Image

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"
ATTEMPTS: Mapping[str, int] = {
    "head": 300,
    "print": 400,
    "bent": 60,
    "bent actively": 60,
    "folded": 30,
    "screen": 400,
    "turns": 120,
    "prints in turn": 60,
    "screen, operated": 30,
    "head, partial": 60,
    "screen, partial": 60,
}
WORDS: Mapping[str, str] = {
    "head": "genuine heads",
    "print": "prints, flat",
    "bent": "prints, bent and held so",
    "bent actively": "prints, bent while they are turned",
    "folded": "prints, folded along the nose",
    "screen": "screens: films in another order",
    "turns": "two people in turn",
    "prints in turn": "nine prints of one person in turn",
    "screen, operated": "screens: an operator has a film of each direction",
    "head, partial": "genuine heads that cannot turn far, `--partial`",
    "screen, partial": "screens: films in another order, `--partial`",
}
_CODE = (
    "benchmarks/liveness/*.py",
    "src/facepool/liveness/*.py",
    "src/facepool/faces/*.py",
    "src/facepool/thresholds.py",
    "src/facepool/geometry.py",
)
_OTHERS = ("__init__.py", "passive.py", "films.py", "intervals.py")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        instrument: Its key.
        attempts: How many there were.
        people: Of how many people.
        unseen: Attempts in which no face was found at all.
        passed: Who passed.
        wrong: Who passed and is an attack, or did not and is genuine.
        rate: Of ``wrong``, 0..1: APCER, or BPCER.
        low, high: Its 95 % interval (Clopper and Pearson).
        reasons: How often the session gave each.
        median_s: How long an attempt took at the median.
    """

    instrument: str
    attempts: int
    people: int
    unseen: int
    passed: int
    wrong: int
    rate: float
    low: float
    high: float
    reasons: dict[str, int]
    median_s: float


@dataclass(frozen=True)
class FlatRow:
    """What the flat check says by itself, without a challenge.

    Attributes:
        what: Whose films.
        films: How many.
        verdicts: How often it gave each verdict.
        wrong: ``flat`` for heads, ``solid`` for what is flat.
        low, high: The 95 % interval of their rate.
    """

    what: str
    films: int
    verdicts: dict[str, int]
    wrong: int
    low: float
    high: float


def main() -> None:
    arguments = _arguments()
    names = arguments.only or list(ATTEMPTS)
    if arguments.sheet:
        sheet = contact_sheet(arguments.sheet, arguments.first, arguments.half)
        cv2.imwrite(f"{arguments.output or 'sheet'}.png", sheet)
        return
    folder = (
        (arguments.work or user_cache_path("facepool") / "benchmarks" / "liveness") / digest() / str(arguments.half)
    )
    wanted = [(name, number) for name in names for number in range(max(round(ATTEMPTS[name] * arguments.share), 1))]
    if arguments.filmed:
        wanted = [task for task in wanted if path_of(folder, *task).is_file()]
        names = [name for name in names if any(task[0] == name for task in wanted)]
    if arguments.rate:
        print(_by_rate(arguments.rate, wanted, names, folder, arguments))
        return
    if arguments.replay:
        rows = list(_replayed(arguments.replay, names))
    else:
        film_all(wanted, folder, arguments.half, arguments.processes)
        rows = [judge(name, list(_clips(folder, [task for task in wanted if task[0] == name]))) for name in names]
    alone = list(_flat_alone(folder, wanted, arguments.half, films="head" in names) if not arguments.replay else [])
    text = table(rows) + ("\n" + flat_table(alone) if alone else "")
    print(text)
    if arguments.output:
        found = {
            "machine": machine.describe(),
            "half": arguments.half,
            "code": digest(),
            "rows": [asdict(row) for row in rows],
            "flat_alone": [asdict(row) for row in alone],
        }
        Path(f"{arguments.output}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        Path(f"{arguments.output}.md").write_text(text, encoding="utf-8")
    if arguments.document:
        marks.insert(arguments.document, "benchmarks/pad.py", text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Who passes the liveness challenge.")
    parser.add_argument("--only", nargs="+", choices=list(ATTEMPTS), help="some instruments")
    parser.add_argument("--share", type=float, default=1.0, help="this part of the attempts")
    parser.add_argument("--filmed", action="store_true", help="only what was filmed before, by a run that was stopped")
    parser.add_argument("--half", type=int, choices=(TUNING, REPORT), default=REPORT, help="of the people")
    parser.add_argument("--rate", nargs="+", type=float, help="uneven frames, so many a second, in place of the usual")
    parser.add_argument("--processes", type=int, default=1, help="how many film at once, each on one core")
    parser.add_argument("--work", type=Path, help="where clips are kept; the user's cache by default")
    parser.add_argument("--replay", type=Path, help="judge the clips of this folder anew, without filming")
    parser.add_argument("--output", help="name of the files to write, without suffix")
    parser.add_argument("--document", type=Path, help="put the table between the marks of this document")
    parser.add_argument("--sheet", choices=list(ATTEMPTS), help="film six attempts, and write a contact sheet")
    parser.add_argument("--first", type=int, default=0, help="number of the first attempt of the contact sheet")
    return parser.parse_args()


def _by_rate(
    rates: Sequence[float],
    wanted: Sequence[tuple[str, int]],
    names: Sequence[str],
    folder: Path,
    arguments: argparse.Namespace,
) -> str:
    """The rows of some instruments at each rate; every second attempt, so that each is somebody else."""
    wanted = [(name, 2 * number) for name, number in wanted if 2 * number < ATTEMPTS[name]]
    lines = [
        "| frames a second | before the camera | attempts | wrong | 95 % interval | reasons | median |",
        "|---:|---|---:|---:|---|---|---:|",
    ]
    for rate in rates:
        at_rate = folder / f"{rate:g}"
        film_all(wanted, at_rate, arguments.half, arguments.processes, rate)
        for name in names:
            row = judge(name, list(_clips(at_rate, [task for task in wanted if task[0] == name])))
            said = ", ".join(f"{count} {reason}" for reason, count in row.reasons.items())
            lines.append(
                f"| {rate:g} | {WORDS[name]} | {row.attempts} | {row.wrong} ({row.rate:.1%}) "
                f"| {row.low:.1%} to {row.high:.1%} | {said} | {row.median_s:.0f} s |"
            )
    return "\n".join(lines) + "\n"


@cache
def _cast(half: int) -> tuple[Casting, Analyzer]:
    """One a process."""
    cv2.setNumThreads(1)
    analyzer = load_analyzer(threads=1)
    return Casting(People(SHARED / "lfw", analyzer, HeadMaker(analyzer), half), SHARED / "videos", analyzer), analyzer


def film_all(
    wanted: Sequence[tuple[str, int]], folder: Path, half: int, processes: int, rate: float | None = None
) -> None:
    """Film what is not there yet; whatever stops it, what is done is done."""
    missing = [task for task in wanted if not path_of(folder, *task).is_file()]
    # One of each instrument after the other, so that an unfinished run has something of all.
    missing.sort(key=lambda task: (task[1] / ATTEMPTS[task[0]], task[0]))
    began = time.monotonic()
    for done, _ in enumerate(_filmed(missing, folder, half, processes, rate), 1):
        if done % 50 == 0 or done == len(missing):
            spent = time.monotonic() - began
            print(f"{done} of {len(missing)} attempts, {spent:.0f} s", file=sys.stderr, flush=True)


def _filmed(
    tasks: Sequence[tuple[str, int]], folder: Path, half: int, processes: int, rate: float | None
) -> Iterator[None]:
    if processes == 1:
        for task in tasks:
            film(*task, folder, half, rate)
            yield
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(film, *task, folder, half, rate) for task in tasks]):
            future.result()
            yield


def film(instrument: str, number: int, folder: Path, half: int, rate: float | None = None) -> None:
    """One attempt, kept."""
    casting, analyzer = _cast(half)
    clip = attempt_a_challenge(casting.make(instrument, number), number, analyzer, rate=rate)
    clip.save(path_of(folder, instrument, number))


def path_of(folder: Path, instrument: str, number: int) -> Path:
    """Where a clip is kept."""
    return folder / f"{instrument.replace(', ', '_').replace(' ', '_')}-{number:04d}.npz"


def _clips(folder: Path, tasks: Sequence[tuple[str, int]]) -> Iterator[Clip]:
    return (Clip.load(path_of(folder, *task)) for task in tasks)


def _flat_alone(folder: Path, wanted: Sequence[tuple[str, int]], half: int, *, films: bool) -> Iterator[FlatRow]:
    if films:
        analyzer = _cast(half)[1]
        parts = [part for name in REAL_HEADS for part in windows(SHARED / "videos" / name, analyzer)]
        yield _flat_row(
            f"shared films of {len(REAL_HEADS)} scenes with real heads, {WINDOW_S:.0f} s each", parts, "flat"
        )
    for name, wrong in (("head", "flat"), ("print", "solid"), ("bent", "solid"), ("bent actively", "solid")):
        clips = list(_clips(folder, [task for task in wanted if task[0] == name]))
        if clips:
            yield _flat_row(WORDS[name], [(clip.times_s, clip.landmarks) for clip in clips], wrong)


def _flat_row(what: str, parts: Sequence[tuple[Floats, Floats]], wrong: str) -> FlatRow:
    verdicts = Counter(verdict_of(*part) for part in parts)
    count = verdicts[cast("Verdict", wrong)]
    return FlatRow(what, len(parts), dict(verdicts.most_common()), count, *clopper_pearson(count, len(parts)))


def _replayed(folder: Path, names: Sequence[str]) -> Iterator[Row]:
    same = same_person(load_analyzer(threads=1))
    clips = [replay(Clip.load(path), same) for path in sorted(folder.rglob("*.npz"))]
    for name in names:
        of_it = [clip for clip in clips if clip.instrument == name]
        if of_it:
            yield judge(name, of_it)


def digest() -> str:
    """Of all code that a clip depends on."""
    files = sorted(file for pattern in _CODE for file in REPOSITORY.glob(pattern) if file.name not in _OTHERS)
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def judge(instrument: str, clips: Sequence[Clip]) -> Row:
    """The line of one instrument."""
    passed = sum(clip.passed for clip in clips)
    genuine = clips[0].kind == "genuine"
    wrong = len(clips) - passed if genuine else passed
    low, high = clopper_pearson(wrong, len(clips))
    return Row(
        instrument=instrument,
        attempts=len(clips),
        people=len({clip.person for clip in clips}),
        unseen=sum(not clip.seen for clip in clips),
        passed=passed,
        wrong=wrong,
        rate=wrong / len(clips),
        low=low,
        high=high,
        reasons=dict(Counter(clip.reason for clip in clips).most_common()),
        median_s=float(np.median([clip.seconds for clip in clips])),
    )


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [
        "| before the camera | attempts | people | no face found | wrong | rate | 95 % interval | reasons | median |",
        "|---|---:|---:|---:|---:|---|---|---|---:|",
    ]
    for row in rows:
        name = "BPCER" if row.instrument.startswith("head") else "APCER"
        why = ", ".join(f"{reason} {count}" for reason, count in row.reasons.items())
        interval = f"{100 * row.low:.2f} to {100 * row.high:.2f} %"
        lines.append(
            f"| {WORDS[row.instrument]} | {row.attempts} | {row.people} | {row.unseen} | {row.wrong} "
            f"| {name} {100 * row.rate:.2f} % | {interval} | {why} | {row.median_s:.1f} s |"
        )
    return "\n".join(lines) + "\n"


def flat_table(rows: Sequence[FlatRow]) -> str:
    """Markdown."""
    lines = ["| the flat check alone | films | verdicts | wrong | 95 % interval |", "|---|---:|---|---:|---|"]
    for row in rows:
        verdicts = ", ".join(f"{verdict} {count}" for verdict, count in row.verdicts.items())
        interval = f"{100 * row.low:.2f} to {100 * row.high:.2f} %"
        lines.append(f"| {row.what} | {row.films} | {verdicts} | {row.wrong} | {interval} |")
    return "\n".join(lines) + "\n"


def contact_sheet(instrument: str, first: int, half: int) -> Image:
    """Six attempts, ten frames of each, with landmarks, what was asked, and what came of it."""
    casting, analyzer = _cast(half)
    strips = []
    for number in range(first, first + 6):
        frames: list[Image] = []
        clip = attempt_a_challenge(casting.make(instrument, number), number, analyzer, keep=frames)
        chosen = np.linspace(0, len(frames) - 1, 10).round().astype(int)
        strips.append(np.hstack([_labelled(frames[row], clip, row) for row in chosen]))
    return np.vstack(strips)


def _labelled(frame: Image, clip: Clip, row: int) -> Image:
    picture = frame.copy()
    for point in clip.landmarks[row]:
        if np.isfinite(point).all():
            cv2.circle(picture, (int(point[0]), int(point[1])), 2, (0, 255, 0), -1)
    heard = "ahead" if np.isnan(clip.heard[row]) else f"{clip.heard[row]:.0f} deg"
    end = f" {clip.reason} {clip.variant}" if row == len(clip.times_s) - 1 else ""
    cv2.putText(
        picture, f"{clip.times_s[row]:.1f} s {heard}{end}", (6, 350), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 255, 255), 2
    )
    return np.asarray(cv2.resize(picture, (240, 180), interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == "__main__":
    main()
