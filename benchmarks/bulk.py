"""What Ray costs against one process, and what is left of bulk work when something of it is killed.

    python benchmarks/bulk.py PHOTOS --output bulk                a folder of people, PHOTOS/NAME/*.jpg
    python benchmarks/bulk.py PHOTOS --only cost --rounds 5       costs alone
    python benchmarks/bulk.py PHOTOS --only kills                 kills alone

Two Ray nodes with one core each are started on this machine: two workers, where one process has one thread. Every run
is the whole command, in a process of its own.

**cost**: `facepool evaluate folder` without a cache, in one process and by Ray with its two workers, in turns. From few
and from all pictures follow what a run costs whatever there is to do (start) and what a picture costs more.
What workers send back is measured as it is sent.

**kills**: `facepool evaluate folder` and `facepool group` by Ray, while a worker, a node or the command itself is
killed when a third of the pictures is kept; a killed command is started again. Vectors, groups and report are compared
to the bit with those of one process. Photos are only read; everything else is written into a temporary folder.
"""

import argparse
import json
import os
import pickle
import random
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facepool import load_analyzer
from facepool.bulk import LocalAnalysis
from facepool.capture import walk_folder

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.ray_cluster import RayCluster

FACEPOOL = Path(sys.executable).with_name("facepool")
PATIENCE_S = 900.0
FEW = 16
PART = 64
"""Pictures whose results a worker sends back together, at most."""
UNLIKE = frozenset({"command", "started_at", "seconds", "device", "pictures_from_cache"})
"""Of an evaluation's record, what is not a result."""


@dataclass(frozen=True)
class Timed:
    """One run of a command."""

    engine: str
    pictures: int
    seconds: float


@dataclass(frozen=True)
class Cost:
    """What an engine costs: the straight line through the medians of few and of all pictures."""

    engine: str
    start_s: float
    picture_ms: float


@dataclass(frozen=True)
class Moved:
    """Bytes that come back from a worker for one picture, pickled as Ray carries them."""

    vectors: int
    with_pixels: int
    file: int


@dataclass(frozen=True)
class Survived:
    """What became of one command whose work was disturbed.

    Attributes:
        kept: Pictures that were kept when something was killed.
        seconds: All of its runs together.
        again: Of those kept, how many the second run of a killed command looked at again; 0 for other kills.
        same: Whether vectors, groups and report are those of one process, to the bit.
    """

    command: str
    killed: str
    kept: int
    seconds: float
    again: int
    same: bool


@dataclass(frozen=True)
class Work:
    """A command that is disturbed.

    Attributes:
        name: Of the command.
        arguments: Given the photos and a folder for what is kept.
        kept: How many pictures are kept in that folder.
        result: What came of it, given what it has printed and that folder; comparable.
    """

    name: str
    arguments: Callable[[Path, Path], list[str]]
    kept: Callable[[Path], int]
    result: Callable[[str, Path], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--only", choices=("cost", "kills"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    photos = options.photos.absolute()
    record: dict[str, Any] = {"pictures": len(walk_folder(photos).pictures)}
    cluster = RayCluster()
    with closing(cluster), tempfile.TemporaryDirectory(prefix="bulk-") as folder:
        if options.only != "kills":
            costs = measured(photos, cluster, Path(folder), options.rounds, options.seed)
            record["cost"] = [asdict(cost) for cost in costs]
            record["moved"] = asdict(moved(photos))
        if options.only != "cost":
            record["kills"] = [asdict(row) for row in disturbed(photos, cluster, Path(folder))]
    text = table(record)
    print(text)
    if options.output is not None:
        options.output.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
        options.output.with_suffix(".md").write_text(text + "\n")


def measured(photos: Path, cluster: RayCluster, folder: Path, rounds: int, seed: int) -> list[Cost]:
    """Time each engine on few and on all pictures, in an order that chance decides in each round."""
    few = folder / "few"
    for path in sorted(walk_folder(photos).pictures)[:FEW]:
        target = few / path.relative_to(photos)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    engines = {
        "one process": [],
        "Ray": ["--ray", cluster.address],
    }
    runs = [(engine, tree) for engine in engines for tree in (few, photos)]
    order, times = random.Random(seed), []
    for _ in range(rounds):
        order.shuffle(runs)
        for engine, tree in runs:
            started = time.perf_counter()
            finish(begin(["evaluate", "folder", str(tree), "--no-cache", *engines[engine]]))
            seconds = time.perf_counter() - started
            pictures = len(walk_folder(tree).pictures)
            times.append(Timed(engine, pictures, seconds))
            print(times[-1], file=sys.stderr)
    return [cost_of(engine, times) for engine in engines]


def cost_of(engine: str, times: Sequence[Timed]) -> Cost:
    """The lines of one engine."""
    mine = [one for one in times if one.engine == engine]
    start_s, picture_s = line_of([(one.pictures, one.seconds) for one in mine])
    return Cost(engine, start_s, 1000 * picture_s)


def line_of(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Where the line through the medians of the smallest and the largest number begins, and how it rises."""
    few, many = min(points)[0], max(points)[0]
    low, high = (statistics.median(value for number, value in points if number == size) for size in (few, many))
    rise = (high - low) / (many - few)
    return low - rise * few, rise


def moved(photos: Path) -> Moved:
    """Bytes a picture, of one part."""
    paths = sorted(walk_folder(photos).pictures)[:PART]
    analyzer = load_analyzer(threads=1)
    sizes = [
        len(pickle.dumps(list(LocalAnalysis(analyzer, aligned=aligned).analyze(paths)), pickle.HIGHEST_PROTOCOL))
        for aligned in (False, True)
    ]
    return Moved(*(size // len(paths) for size in sizes), sum(path.stat().st_size for path in paths) // len(paths))


def disturbed(photos: Path, cluster: RayCluster, folder: Path) -> Iterator[Survived]:
    """Each command with everything that can be killed."""
    third = len(walk_folder(photos).pictures) // 3
    for work in WORKS:
        alone = folder / f"{work.name} alone"
        expected = work.result(finish(begin(work.arguments(photos, alone)))[0], alone)
        for killed in ("nothing", "a worker", "a node", "the command"):
            kept = folder / f"{work.name} without {killed}"
            row = survive(work, photos, kept, cluster, killed, third, expected)
            print(row, file=sys.stderr)
            yield row


def survive(
    work: Work, photos: Path, folder: Path, cluster: RayCluster, killed: str, third: int, expected: object
) -> Survived:
    """Run a command by Ray, kill something when a third is kept, and see what comes of it."""
    cluster.mend()
    command = [*work.arguments(photos, folder), "--ray", cluster.address]
    started = time.perf_counter()
    process = begin(command)
    kept = again = 0
    if killed != "nothing":
        kept = wait_until_kept(work, folder, third, process)
        kill(killed, cluster, process)
    if killed == "the command":
        process.communicate()
        kept = work.kept(folder)
        printed, said = finish(begin(command))
        again = max(0, kept - known_before(said))
    else:
        printed, _ = finish(process)
    seconds = time.perf_counter() - started
    return Survived(work.name, killed, kept, seconds, again, work.result(printed, folder) == expected)


def kill(killed: str, cluster: RayCluster, process: "subprocess.Popen[str]") -> None:
    """SIGKILL to the one."""
    if killed == "a node":
        cluster.last.kill()
    elif killed == "a worker":
        workers = [pid for node in reversed(cluster.nodes) for pid in node.workers_of("Worker")]
        os.kill(workers[0], signal.SIGKILL)
    else:
        os.killpg(process.pid, signal.SIGKILL)


def wait_until_kept(work: Work, folder: Path, count: int, process: "subprocess.Popen[str]") -> int:
    """How many pictures are kept, once so many are."""
    deadline = time.monotonic() + PATIENCE_S
    while (kept := work.kept(folder)) < count:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{work.name} ended before anything could be killed: {process.communicate()[1]}")
        time.sleep(0.05)
    return kept


def begin(arguments: Sequence[str]) -> "subprocess.Popen[str]":
    """Start the command, in a session of its own."""
    return subprocess.Popen(
        [str(FACEPOOL), *arguments, "--threads", "1", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """What it has printed, and its remarks; 3 says that a picture could not be read."""
    printed, said = process.communicate(timeout=PATIENCE_S)
    if process.returncode not in (0, 3):
        raise SystemExit(f"{process.args}: {process.returncode}: {said}")
    return printed, said


def known_before(said: str) -> int:
    """Of how many pictures a command has said that an earlier run knew them."""
    match = re.search(r"([\d,]+) (?:of [\d,]+ pictures were|photos?) known", said)
    return int(match[1].replace(",", "")) if match else 0


def rows_of(file: Path, query: str) -> list[tuple[object, ...]]:
    """Rows of a database that another process writes; none where it is not there yet."""
    if not file.exists():
        return []
    with closing(sqlite3.connect(file, timeout=30)) as database, suppress(sqlite3.OperationalError):
        return database.execute(query).fetchall()
    return []


EVALUATE = Work(
    "evaluate",
    lambda photos, kept: ["evaluate", "folder", str(photos), "--cache", str(kept)],
    lambda kept: len(rows_of(kept / "embeddings-1.db", "SELECT content FROM captures")),
    lambda printed, kept: (
        sorted(rows_of(kept / "embeddings-1.db", "SELECT content, faces, face FROM captures")),
        {name: value for name, value in json.loads(printed).items() if name not in UNLIKE},
    ),
)
GROUP = Work(
    "group",
    lambda photos, kept: ["group", "folder", str(photos), "--output", str(kept), "--pool", str(kept / "none.db")],
    lambda kept: len(rows_of(kept / "library-1.db", "SELECT content FROM pictures")),
    lambda printed, kept: (
        sorted(
            rows_of(
                kept / "library-1.db",
                "SELECT content, numbers, embedding, jpeg, group_id FROM faces JOIN pictures ON pictures.id = picture",
            ),
            key=repr,
        ),
        printed,
    ),
)
WORKS = (EVALUATE, GROUP)


def table(record: dict[str, Any]) -> str:
    """The same for people."""
    lines = [f"{record['pictures']:,} pictures"]
    if "cost" in record:
        lines += ["", "| engine | start, s | a picture, ms |", "|---|---|---|"]
        lines += [f"| {one['engine']} | {one['start_s']:.1f} | {one['picture_ms']:.1f} |" for one in record["cost"]]
        sent = record["moved"]
        lines += ["", f"A picture sends back {sent['vectors']:,} bytes, with the pixels of its faces "]
        lines[-1] += f"{sent['with_pixels']:,}; its file has {sent['file']:,}."
    if "kills" in record:
        lines += [
            "",
            "| command | killed | kept by then | s | looked at again | the same |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {one['command']} | {one['killed']} | {one['kept']:,} | {one['seconds']:.1f} | {one['again']:,} "
            f"| {'yes' if one['same'] else '**no**'} |"
            for one in record["kills"]
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
