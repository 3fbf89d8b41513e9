"""What it takes to open, search, change and keep in memory pools of 10 thousand to 10 million templates.

    python benchmarks/scale.py --output scale                          10 k, 100 k and 1 M of 128 numbers
    python benchmarks/scale.py --size 10000000 --work /big/disk        10 M: 13 GB of memory, 30 GB of disk
    python benchmarks/scale.py --dimension 384 --dimension 512
    python benchmarks/scale.py --tree ../base                          another checkout beside this one
    python benchmarks/scale.py --quick                                 a smoke test of some seconds

Each figure comes from a process of its own. Pools have four templates a person, who differ within and between people as
those of LFW do. Cold: without an image of the index beside the pool; warm: with one. Pools of 128 numbers are used by
``facepool recognize photo.jpg`` and by ``facepool serve`` with 32 clients, too, beside a pool of one person.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import websockets.asyncio.client
import websockets.exceptions
from serve_load import fitted
from sidebyside import machine

from facepool import read_image
from facepool.models.catalog import DEMO_PHOTOS
from facepool.models.store import ModelStore, default_root

OWN = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("scale_worker.py")
SIZES, DIMENSIONS = (10_000, 100_000, 1_000_000), (128,)
SMALLEST = 4
"""Templates of the pool that others are compared with: one person's."""
REAL_DIMENSION = 128
SOCKETS = 32
_LARGEST_MATRIX = 8 << 30
"""Bytes that NumPy's product may take beside the pool's own memory."""
_START_S = 900.0
_SOCKETS_OF_ONE = 8
"""A server lets one client have so many."""
_FRAMES = 5
_HEAD = ">Qd"
"""Of a frame: its number and its time."""
CURVES = (
    ("cold_s", "opening without an image, s"),
    ("warm_s", "opening with one, s"),
    ("seen_p50_s", "a registration, until all threads see it, s"),
    ("probe_p50_s", "one probe, s"),
    ("memory_mib", "memory of one process, MiB"),
    ("server_mib", f"memory of a server with {SOCKETS} sockets, MiB"),
)


class WorkerFailed(Exception):
    """A process ended with an error; the end of what it said."""


_FAILURES = (
    WorkerFailed,
    AssertionError,
    OSError,
    httpx.HTTPError,
    websockets.exceptions.WebSocketException,
)


def worker(tree: Path, *words: object) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, str(WORKER), str(tree), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkerFailed((done.stderr or done.stdout)[-500:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class Case:
    """A pool of one size, measured by one checkout."""

    def __init__(self, tree: Path, folder: Path, size: int, dimension: int, arguments: argparse.Namespace) -> None:
        self.tree, self.size, self.dimension = tree, size, dimension
        self.figures: dict[str, Any] = {"tree": tree.name, "size": size, "dimension": dimension}
        self._pool, self._one = folder / "pool.db", folder / "one.db"
        self._arguments = arguments

    def run(self) -> None:
        """All figures; what fails is said, and the others go on."""
        for step in (self._make, self._open, self._command, self._serve, self._change):
            print(f"{self.tree.name}: {self.size:,} x {self.dimension}, {step.__name__[1:]} …", flush=True)
            try:
                step()
            except (
                WorkerFailed,
                AssertionError,
                OSError,
                httpx.HTTPError,
                websockets.exceptions.WebSocketException,
            ) as reason:
                self.figures.setdefault("failed", {})[step.__name__[1:]] = str(reason)
                print(f"  {reason}", flush=True)

    def _make(self) -> None:
        made = worker(self.tree, "make", self._pool, self.size, self.dimension)
        worker(self.tree, "make", self._one, SMALLEST, self.dimension)
        self.figures |= {"made_s": made["made_s"], "pool_mib": made["mib"]}

    def _open(self) -> None:
        repetitions = self._arguments.repetitions
        with_numpy = "yes" if self.size * self.dimension * 4 <= _LARGEST_MATRIX else "no"
        cold = worker(self.tree, "open", self._pool, 4, "no")
        self.figures |= {"cold_s": cold["first_s"], "cold_peak_mib": cold["after_mib"].get("VmHWM")}
        image = self._pool.with_name(f"{self._pool.name}.index")
        self.figures["image_mib"] = image.stat().st_size / 2**20 if image.exists() else 0.0
        warm = [worker(self.tree, "open", self._pool, 4, "no") for _ in range(self._arguments.openings)]
        search = worker(self.tree, "open", self._pool, repetitions, with_numpy)
        before, after = search["before_mib"], search["after_mib"]
        least = self.size * self.dimension * 5 / 2**20  # float32 rows and their codes
        memory = sum(after[name] - before[name] for name in ("RssAnon", "RssFile") if name in after)
        self.figures |= {
            "warm_s": float(np.median([one["first_s"] for one in warm])),
            "warm_all_s": [one["first_s"] for one in warm],
            "listed_s": search["listed_s"],
            "memory_mib": memory,
            "memory_of_rows": memory / least,
            "probe_p50_s": float(np.quantile(search["probe_s"], 0.5)),
            "probe_p95_s": float(np.quantile(search["probe_s"], 0.95)),
        }
        if search["numpy_s"]:
            ratios = np.array(search["probe_s"]) / np.array(search["numpy_s"])
            self.figures |= {
                "numpy_p50_s": float(np.quantile(search["numpy_s"], 0.5)),
                "probe_of_numpy": float(np.median(ratios)),
                "probe_of_numpy_p25": float(np.quantile(ratios, 0.25)),
                "probe_of_numpy_p75": float(np.quantile(ratios, 0.75)),
            }

    def _command(self) -> None:
        """``facepool recognize photo.jpg``, in turn with a pool of one person."""
        if self.dimension != REAL_DIMENSION:
            return
        photo = ModelStore(default_root()).pull_asset(DEMO_PHOTOS) / "person_a_2.jpg"
        took: dict[Path, list[float]] = {self._one: [], self._pool: []}
        for _ in range(self._arguments.openings):
            for pool, times in took.items():
                began_s = time.perf_counter()
                words = ("facepool", "recognize", photo, "--pool", pool, "--headless")
                command = [sys.executable, str(WORKER), str(self.tree), *map(str, words)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                times.append(time.perf_counter() - began_s)
                if done.returncode not in (0, 1):
                    raise WorkerFailed(done.stderr[-500:])
        self.figures |= {
            "command_s": float(np.median(took[self._pool])),
            "command_of_one_s": float(np.median(took[self._one])),
        }

    def _serve(self) -> None:
        """Memory of a server, beside that of one with a pool of one person; both have recognized for all clients."""
        if self.dimension != REAL_DIMENSION or self._arguments.no_server:
            return
        photo = ModelStore(default_root()).pull_asset(DEMO_PHOTOS) / "person_a_2.jpg"
        _, encoded = cv2.imencode(".jpg", fitted(read_image(photo)), [cv2.IMWRITE_JPEG_QUALITY, 80])
        used: list[float] = []
        for pool in (self._one, self._pool):
            with serving(self.tree, pool) as (address, process):
                used.append(asyncio.run(_all_look(address, encoded.tobytes(), process)))
        least = self.size * self.dimension * 5 / 2**20
        self.figures |= {
            "server_one_mib": used[0],
            "server_mib": used[1],
            "server_of_rows": (used[1] - used[0]) / least,
        }

    def _change(self) -> None:
        registered = worker(self.tree, "register", self._pool, self._arguments.changes)
        seen = registered["seen_s"][1:] or registered["seen_s"]
        self.figures |= {
            "register_s": float(np.median(registered["register_s"])),
            "seen_p50_s": float(np.quantile(seen, 0.5)),
            "seen_max_s": max(seen),
            "seen_first_s": registered["seen_s"][0],
        }
        erased = worker(self.tree, "erase", self._pool, 1)
        self.figures |= {
            "erase_s": erased["erase_s"][0],
            "erase_seen_s": erased["seen_s"][0],
            "erase_image_s": erased["image_s"][0],
        }


async def _all_look(address: str, picture: bytes, process: int) -> float:
    """Memory of a server when all sockets are open, and have been answered some times."""
    async with AsyncExitStack() as stack:
        sockets = []
        for number in range(SOCKETS):
            own = f"127.0.0.{11 + number // _SOCKETS_OF_ONE}"
            url = f"{address.replace('http', 'ws', 1)}/v1/live"
            connection = websockets.asyncio.client.connect(url, compression=None, local_addr=(own, 0))
            sockets.append(await stack.enter_async_context(connection))
        for frame in range(_FRAMES):
            for one in sockets:
                await one.send(struct.pack(_HEAD, frame, time.perf_counter()) + picture)
            for one in sockets:
                await one.recv()
        return memory_of(process)


@contextmanager
def serving(tree: Path, pool: Path) -> Iterator[tuple[str, int]]:
    """A server: its address, and its process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = ("facepool", "serve", "--port", str(port), "--pool", str(pool), "--rate-limit", "1000000/minute")
    command = [sys.executable, str(WORKER), str(tree), *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            address, until = f"http://127.0.0.1:{port}", time.monotonic() + _START_S
            while not _answers(address):
                if server.poll() is not None or time.monotonic() > until:
                    raise WorkerFailed("the server does not start")
                time.sleep(0.1)
            yield address, server.pid
        finally:
            server.terminate()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/ready", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def memory_of(process: int) -> float:
    """Resident MiB of a process; what it maps of files counts."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


def markdown(cases: Sequence[dict[str, Any]]) -> str:
    """A row a case."""
    columns = (
        ("cold_s", "cold, s", "{:.2f}"),
        ("warm_s", "warm, s", "{:.2f}"),
        ("command_s", "recognize photo.jpg, s", "{:.2f}"),
        ("command_of_one_s", "with one person, s", "{:.2f}"),
        ("seen_p50_s", "seen by all threads, ms", "{:.1f}"),
        ("seen_max_s", "at most, ms", "{:.1f}"),
        ("erase_s", "erase, s", "{:.2f}"),
        ("listed_s", "first page of people, ms", "{:.1f}"),
        ("probe_p50_s", "probe, ms", "{:.2f}"),
        ("probe_p95_s", "p95, ms", "{:.2f}"),
        ("probe_of_numpy", "of NumPy's", "{:.2f}"),
        ("memory_mib", "memory, MiB", "{:.0f}"),
        ("memory_of_rows", "of rows and codes", "{:.2f}"),
        ("server_mib", "server, MiB", "{:.0f}"),
        ("server_of_rows", "of rows and codes", "{:.2f}"),
    )
    head = " | ".join(title for _, title, _ in columns)
    lines = [f"| pool | checkout | {head} |", "|---|---|" + "---|" * len(columns)]
    for case in cases:
        cells = [
            form.format(case[name] * (1e3 if title.endswith("ms") else 1)) if case.get(name) is not None else ""
            for name, title, form in columns
        ]
        lines.append(f"| {case['size']:,} x {case['dimension']} | {case['tree']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(cases: Sequence[dict[str, Any]], path: Path) -> None:
    """The curves over the size of the pool; a line for each checkout and dimension."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- only where a plot is wanted

    figure = Figure(figsize=(12, 7.5), dpi=130, layout="constrained")
    kinds = list(dict.fromkeys((case["tree"], case["dimension"]) for case in cases))
    for place, (name, title) in enumerate(CURVES):
        axes = figure.add_subplot(2, 3, place + 1)
        for tree, dimension in kinds:
            points = sorted(
                (case["size"], case[name])
                for case in cases
                if (case["tree"], case["dimension"]) == (tree, dimension) and case.get(name) is not None
            )
            own = tree == cases[0]["tree"]
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    marker="o",
                    linestyle="-" if own else "--",
                    linewidth=2.6 if own else 1.5,
                    label=f"{tree}, {dimension} numbers",
                )
        axes.set(xscale="log", yscale="log", title=title, xlabel="templates in the pool")
        axes.grid(visible=True, which="both", alpha=0.25)
        if place == 0:
            axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, action="append", help=f"templates; by default {SIZES}")
    parser.add_argument("--dimension", type=int, action="append", help=f"numbers; by default {DIMENSIONS}")
    parser.add_argument("--tree", type=Path, action="append", default=[], help="another checkout; may be repeated")
    parser.add_argument("--not-own", action="store_true", help="only the other checkouts")
    parser.add_argument("--repetitions", type=int, default=200, help="probes (default: %(default)s)")
    parser.add_argument("--openings", type=int, default=5, help="warm openings (default: %(default)s)")
    parser.add_argument("--changes", type=int, default=20, help="registrations (default: %(default)s)")
    parser.add_argument("--no-server", action="store_true", help="without the memory of a server")
    parser.add_argument("--work", type=Path, help="folder for the pools; the system's by default")
    parser.add_argument("--output", type=Path, help="folder for scale.json, scale.md and scale.png")
    parser.add_argument("--quick", action="store_true", help="small pools, few repetitions")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repetitions, arguments.openings, arguments.changes = 8, 1, 2
    sizes = arguments.size or ([2_000, 20_000] if arguments.quick else SIZES)
    trees = [*([] if arguments.not_own else [OWN]), *(tree.resolve() for tree in arguments.tree)]
    before, cases = machine.load_average(), []
    for dimension in arguments.dimension or DIMENSIONS:
        for size in sizes:
            for tree in trees:
                folder = Path(tempfile.mkdtemp(prefix="facepool-scale-", dir=arguments.work))
                try:
                    case = Case(tree, folder, size, dimension, arguments)
                    case.run()
                finally:
                    shutil.rmtree(folder)
                cases.append(case.figures)
                if arguments.output:  # after each: the largest take long
                    _save(arguments.output, cases, before)
    print(markdown(cases))


def _save(folder: Path, cases: Sequence[dict[str, Any]], load_before: float | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    results = {
        "machine": machine.describe(),
        "load_average": {"before": load_before, "after": machine.load_average()},
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cases": cases,
    }
    (folder / "scale.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    (folder / "scale.md").write_text(markdown(cases), encoding="utf-8")
    draw(cases, folder / "scale.png")


if __name__ == "__main__":
    main()
