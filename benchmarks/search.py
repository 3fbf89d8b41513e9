"""Searching pools of growing size: facepool beside NumPy, faiss (flat, SQ8 re-ranked, HNSW) and usearch.

    python benchmarks/search.py --output results            10 k, 100 k and 1 M templates of 128 and 512 numbers
    python benchmarks/search.py --quick                     a smoke test of some seconds: facepool and NumPy only
    python benchmarks/search.py --size 1000000 --dimension 128

Each way to search has a process of its own; repetitions take turns (A, B, C, B, C, A, …), so only ratios within one run
mean something. The peers come from an environment with the versions of ``benchmarks/peers/search.txt``, made in
``--cache`` at the first run; where they cannot be installed, they are left out and the report says why. The pools are
random, with four templates a person; half of the probes are of people in the pool, half of strangers, which are the
hardest to search for: nobody stands out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
from platformdirs import user_cache_path
from sidebyside import machine
from sidebyside.environments import InstallFailed, python_of
from sidebyside.measure import quantiles, ratio

WORKER = Path(__file__).with_name("search_worker.py")
PINS = Path(__file__).parent / "peers" / "search.txt"
OWN = ("facepool", "numpy")
PEERS = ("faiss-flat", "faiss-sq8", "faiss-hnsw", "usearch-f32", "usearch-i8")
EXACT = ("faiss-flat", "usearch-f32")
TITLES = {
    "facepool": "facepool",
    "numpy": "NumPy float32",
    "faiss-flat": "faiss flat",
    "faiss-sq8": "faiss SQ8, re-ranked",
    "faiss-hnsw": "faiss HNSW",
    "usearch-f32": "usearch exact",
    "usearch-i8": "usearch int8",
}
SIZES, DIMENSIONS, TOGETHER = (10_000, 100_000, 1_000_000), (128, 512), (1, 32)
PROBES = 256
_PEAKS = ("gflops", "cpu_gflops")
_ROWS_AT_ONCE = 1 << 16
_BUDGET_S = 30.0
_PAUSE_S = 0.02
"""Engines' threads spin for a while after their work, and would take the next one's cores."""
_SPREAD = 0.75
"""Length of what a template has of its own beside its person: two of one person have a cosine of 0.64."""


class WorkerFailed(Exception):
    """A process ended, or says that its library failed."""


class Worker:
    """One way to search. Closing it ends the process."""

    def __init__(self, method: str, python: Path, threads: int) -> None:
        self.method = method
        budget = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "OPENBLAS", "MKL")}
        self._process = subprocess.Popen(
            [str(python), str(WORKER), method, str(threads)],
            env=os.environ | budget,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )

    def ask(self, **request: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerFailed(f"the process ended with {self._process.wait()}") from None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerFailed(f"the process ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def make_pool(folder: Path, size: int, dimension: int) -> None:
    """Write ``vectors.npy`` and ``probes.npy``, float32 rows of norm 1."""
    rng = np.random.default_rng(size + dimension)
    own = _SPREAD / np.sqrt(dimension)

    def unit(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    shape = (size, dimension)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", mode="w+", dtype=np.float32, shape=shape)
    for first in range(0, size, _ROWS_AT_ONCE):
        rows = min(_ROWS_AT_ONCE, size - first)
        people = unit(rng.standard_normal((-(-rows // 4), dimension), dtype=np.float32)).repeat(4, axis=0)[:rows]
        vectors[first : first + rows] = unit(people + own * rng.standard_normal((rows, dimension), dtype=np.float32))
    probes = rng.standard_normal((PROBES, dimension), dtype=np.float32)
    known = vectors[rng.integers(0, size, PROBES // 2)]
    probes[::2] = known + own * probes[::2]
    np.save(folder / "probes.npy", unit(probes))
    vectors.flush()


class Comparison:
    """Every size and dimension, one after the other."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self.left_out: dict[str, str] = {}
        self.cases: list[dict[str, Any]] = []

    def run(self) -> None:
        pythons = dict.fromkeys(OWN, Path(sys.executable)) | self._peers()
        for dimension in self._arguments.dimension:
            for size in self._arguments.size:
                print(f"{size:,} x {dimension} …", flush=True)
                with tempfile.TemporaryDirectory(dir=self._arguments.work) as folder, ExitStack() as stack:
                    make_pool(Path(folder), size, dimension)
                    loaded = dict(self._load(pythons, Path(folder), size * dimension, stack))
                    workers = [worker for worker, _ in loaded.values()]
                    for together in TOGETHER:
                        found, peaks = self._measure(workers, together)
                        for method in found:
                            found[method] |= loaded[method][1]
                        self.cases.append(
                            {"size": size, "dimension": dimension, "probes": together, "methods": found, "peaks": peaks}
                        )

    def _peers(self) -> dict[str, Path]:
        if self._arguments.quick:
            return {}
        try:
            python = python_of(PINS, self._arguments.cache)
        except InstallFailed as reason:
            self.left_out |= dict.fromkeys(PEERS, str(reason))
            return {}
        return dict.fromkeys(PEERS, python)

    def _load(
        self, pythons: Mapping[str, Path], folder: Path, numbers: int, stack: ExitStack
    ) -> Iterator[tuple[str, tuple[Worker, dict[str, Any]]]]:
        for method, python in pythons.items():
            if method == "faiss-hnsw" and numbers > self._arguments.hnsw_limit:
                self.left_out[f"{method}, {numbers:,} numbers"] = "its index takes too long to build"
                continue
            worker = stack.enter_context(Worker(method, python, self._arguments.threads))
            try:
                yield method, (worker, worker.ask(load=str(folder)))
            except WorkerFailed as reason:
                self.left_out[method] = str(reason)

    def _measure(
        self, workers: Sequence[Worker], together: int
    ) -> tuple[dict[str, dict[str, Any]], list[dict[str, float]]]:
        """A record a method; and what BLAS does at best, measured in turn with them."""
        peaks: list[dict[str, float]] = []
        walls: dict[str, list[float]] = {worker.method: [] for worker in workers}
        cpus: dict[str, list[float]] = {worker.method: [] for worker in workers}
        rows: dict[str, dict[int, int]] = {worker.method: {} for worker in workers}
        for number in range(-2, self._arguments.repetitions):  # the first two warm caches
            shift = number % len(workers)
            for worker in [*workers[shift:], *workers[:shift]]:
                if sum(walls[worker.method]) > _BUDGET_S and len(walls[worker.method]) >= 5:
                    continue
                first = number % (PROBES // together) * together
                time.sleep(_PAUSE_S)
                reply = worker.ask(run=[first, first + together])
                rows[worker.method] |= dict(enumerate(reply["rows"], first))
                if worker.method == "numpy" and together > 1:
                    time.sleep(_PAUSE_S)
                    peaks.append(worker.ask(peak=True))
                if number >= 0:
                    walls[worker.method].append(reply["wall_s"])
                    cpus[worker.method].append(reply["cpu_s"])
        right = rows["numpy"]
        records = {
            method: {
                **quantiles(walls[method]),
                "cpu_median": float(np.median(cpus[method])),
                "agrees": float(np.mean([row == right[probe] for probe, row in found.items() if probe in right])),
                "of_numpy": ratio(walls[method], walls["numpy"]),
                "cpu_of_numpy": float(np.median(cpus[method]) / np.median(cpus["numpy"])),
                "values": [round(value, 7) for value in walls[method]],
            }
            for method, found in rows.items()
        }
        return records, peaks

    def targets(self) -> list[dict[str, Any]]:
        """What was to be reached, as ``sidebyside.targets.Verdict`` takes it."""
        verdicts: list[dict[str, Any]] = []
        for case in self.cases:
            size, dimension, methods = case["size"], case["dimension"], case["methods"]
            if size < max(SIZES):
                continue
            where = f"{case['probes']} in {size:,} x {dimension}"
            ours = methods["facepool"]
            if case["probes"] == 1:
                verdicts.append(
                    {
                        "title": f"search of {where}, of NumPy's time",
                        "limit": 0.35,
                        "unit": "",
                        **ours["of_numpy"],
                        "cpu": ours["cpu_of_numpy"],
                    }
                )
                exact = [methods[name] for name in EXACT if name in methods]
                if exact:
                    best = min(exact, key=lambda record: record["median"])
                    beside = ratio(ours["values"], best["values"])
                    cpu = ours["cpu_median"] / best["cpu_median"]
                    title = f"search of {where}, of the fastest exact peer's time"
                    verdicts.append({"title": title, "limit": 1.0, "unit": "", **beside, "cpu": cpu})
            else:
                work = 2e-9 * size * dimension * case["probes"]
                peak, cpu_peak = (float(np.median([one[name] for one in case["peaks"]])) for name in _PEAKS)
                verdicts.append(
                    {
                        "title": f"search of {where}, as a share of BLAS's peak",
                        "limit": 0.7,
                        "unit": "",
                        "value": work / ours["median"] / peak,
                        "low": work / ours["p75"] / peak,
                        "high": work / ours["p25"] / peak,
                        "at_least": True,
                        "cpu": work / ours["cpu_median"] / cpu_peak,
                    }
                )
        return verdicts


def markdown(comparison: Comparison) -> str:
    how = (
        "Milliseconds, median (quartiles); then the share of NumPy's time by the clock and by processor time. Exact "
        "ones name the same template as NumPy for every probe; of the others, how often they do.\n"
    )
    lines = ["### Search\n", how]
    methods = [name for name in TITLES if any(name in case["methods"] for case in comparison.cases)]
    lines.append("| pool | probes | " + " | ".join(TITLES[name] for name in methods) + " |")
    lines.append("|---|---|" + "---|" * len(methods))
    for case in comparison.cases:
        cells = [_cell(case["methods"].get(name)) for name in methods]
        lines.append(f"| {case['size']:,} x {case['dimension']} | {case['probes']} | " + " | ".join(cells) + " |")
    lines += ["", "To build, and memory, of the largest pools:", ""]
    lines += ["| pool | " + " | ".join(TITLES[name] for name in methods) + " |", "|---|" + "---|" * len(methods)]
    for case in comparison.cases:
        if case["probes"] == 1 and case["size"] == max(found["size"] for found in comparison.cases):
            cells = [_build(case["methods"].get(name)) for name in methods]
            lines.append(f"| {case['size']:,} x {case['dimension']} | " + " | ".join(cells) + " |")
    peaks = [one["gflops"] for case in comparison.cases for one in case["peaks"]]
    lines += ["", f"BLAS at its best, in turn with the searches: {np.median(peaks):.0f} GFLOP/s."]
    lines += [f"Left out: {name}: {reason}." for name, reason in comparison.left_out.items()]
    return "\n".join(lines) + "\n"


def _cell(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return ""
    time_ms = f"{record['median'] * 1e3:.3g} ({record['p25'] * 1e3:.3g} to {record['p75'] * 1e3:.3g})"
    agrees = "" if record["agrees"] == 1 else f" · {record['agrees']:.1%}"
    return f"{time_ms} · {record['of_numpy']['value']:.2f} / {record['cpu_of_numpy']:.2f}{agrees}"


def _build(record: Mapping[str, Any] | None) -> str:
    return "" if record is None else f"{record['built_s']:.1f} s, {record['mib']:.0f} MiB"


def draw(comparison: Comparison, path: Path) -> None:
    """Time by size of the pool: one panel a dimension and number of probes."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- only where a plot is wanted

    dimensions = sorted({case["dimension"] for case in comparison.cases})
    panels = [(dimension, together) for dimension in dimensions for together in TOGETHER]
    figure = Figure(figsize=(11, 4.2 * (len(panels) // 2)), dpi=130, layout="constrained")
    for place, (dimension, together) in enumerate(panels):
        axes = figure.add_subplot(len(panels) // 2, 2, place + 1)
        cases = [case for case in comparison.cases if (case["dimension"], case["probes"]) == (dimension, together)]
        for name, title in TITLES.items():
            there = [case for case in cases if name in case["methods"]]
            if not there:
                continue
            ours = name == "facepool"
            axes.plot(
                [case["size"] for case in there],
                [case["methods"][name]["median"] * 1e3 for case in there],
                marker="o",
                linewidth=2.8 if ours else 1.4,
                linestyle="--" if name == "faiss-hnsw" else "-",
                color="#0b6e4f" if ours else None,
                label=title + (" (approximate)" if name == "faiss-hnsw" else ""),
            )
        axes.set(xscale="log", yscale="log", title=f"{together} probe{'s' * (together > 1)}, {dimension} numbers")
        axes.set_xlabel("templates in the pool")
        axes.set_ylabel("milliseconds (median)")
        axes.grid(visible=True, which="both", alpha=0.25)
        if place == 0:
            axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--output", type=Path, help="folder for search.json, search.md and search.png")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--size", type=int, action="append")
    parser.add_argument("--dimension", type=int, action="append")
    limit = "numbers in a pool up to which HNSW builds its index; more take many minutes (default: %(default)s)"
    parser.add_argument("--hnsw-limit", type=int, default=1 << 24, help=limit)
    parser.add_argument("--cache", type=Path, default=user_cache_path("facepool-benchmarks"))
    parser.add_argument("--work", type=Path, help="folder for the pools, up to 2 GB; the system's by default")
    parser.add_argument("--quick", action="store_true", help="small pools, without peers")
    arguments = parser.parse_args()
    arguments.size = arguments.size or ([2_000, 20_000] if arguments.quick else SIZES)
    arguments.dimension = arguments.dimension or ([128] if arguments.quick else DIMENSIONS)
    arguments.repetitions = min(arguments.repetitions, 3) if arguments.quick else arguments.repetitions

    before = machine.load_average()
    comparison = Comparison(arguments)
    comparison.run()
    results = {
        "machine": machine.describe(),
        "threads": arguments.threads,
        "load_average": {"before": before, "after": machine.load_average()},
        "cases": comparison.cases,
        "left_out": comparison.left_out,
        "targets": comparison.targets(),
        "markdown": markdown(comparison),
    }
    print(results["markdown"])
    for verdict in comparison.targets():
        print(
            f"{verdict['title']}: {verdict['value']:.2f}, by processor time {verdict['cpu']:.2f} ({verdict['limit']})"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(results), encoding="utf-8")
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "search.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
        (arguments.output / "search.md").write_text(str(results["markdown"]), encoding="utf-8")
        draw(comparison, arguments.output / "search.png")


if __name__ == "__main__":
    main()
