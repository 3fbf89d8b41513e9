"""What a fresh process costs: importing, deciding for the first time, and memory while a film is watched."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sidebyside.cases import Catalogue, Scale
from sidebyside.clients import Launch, WorkerFailed, run_fresh
from sidebyside.measure import Series
from sidebyside.roster import Peer

_IMPORT = """
import json, sys, time
began = time.perf_counter()
{statement}
took = time.perf_counter() - began
engines = [name for name in ("openvino", "onnxruntime", "torch", "cv2") if name in sys.modules]
print(json.dumps({{"took": took, "engines": engines}}))
"""

Failed = Callable[[str, str], None]


def imports(
    launches: Sequence[Launch], statement: Callable[[Peer], str], repetitions: int, failed: Failed
) -> tuple[dict[str, Series], list[str]]:
    """Seconds that a statement takes in a new interpreter, and the engines that facepool's loaded."""
    engines: list[str] = []

    def once(launch: Launch) -> float:
        said = json.loads(_import(launch, statement(launch.peer)).strip().splitlines()[-1])
        if launch.peer.name == "facepool":
            engines[:] = said["engines"]
        return float(said["took"])

    one_each = list({launch.peer.environment: launch for launch in reversed(launches)}.values())[::-1]
    return _in_turns(one_each, once, repetitions, failed), engines


def first_decisions(
    launches: Sequence[Launch], catalogue: Catalogue, repetitions: int, failed: Failed
) -> dict[str, Series]:
    """Seconds from starting a process to its end, having said who is on a photo. facepool's is its command."""
    case = catalogue.first_decision()
    _make_pool(launches, case)

    def once(launch: Launch) -> float:
        words = ("recognize", case["photo"], "--json")
        command = _command(launch, case["pool_path"], words) or launch.once(case)
        return run_fresh(command, launch.variables()).wall_s

    return _in_turns(launches, once, repetitions, failed)


def peak_memory(launches: Sequence[Launch], catalogue: Catalogue, scale: Scale, failed: Failed) -> dict[str, Series]:
    """MiB at most while a film is watched with a large pool. facepool's is its command, on the whole film."""
    case = catalogue.watched_film(scale.memory_frames)
    _make_pool(launches, {**case, "frames": 1})

    def once(launch: Launch) -> float:
        words = ("recognize", "--source", case["video"], "--headless", "--json")
        command = _command(launch, case["pool_path"], words) or launch.once(case)
        peak = run_fresh(command, launch.variables(), watch_memory=True).peak_mib
        if peak is None:
            raise WorkerFailed("this system does not tell a process's peak memory")
        return peak

    return _in_turns(launches, once, 1, failed)


def _make_pool(launches: Sequence[Launch], case: Mapping[str, Any]) -> None:
    """Have facepool fill the pool of a case, so that its command finds one."""
    for launch in launches:
        if launch.peer.name == "facepool":
            with suppress(WorkerFailed):  # what keeps it from that will keep the command from its work, and be noted
                run_fresh(launch.once(case), launch.variables())


def _in_turns(
    launches: Sequence[Launch], once: Callable[[Launch], float], repetitions: int, failed: Failed
) -> dict[str, Series]:
    series = {launch.peer.name: Series() for launch in launches}
    out: set[str] = set()
    for number in range(-1, repetitions):
        for launch in launches:
            name = launch.peer.name
            if name in out or (number < 0 and repetitions == 1):
                continue
            try:
                value = once(launch)
            except WorkerFailed as reason:
                failed(name, str(reason))
                out.add(name)
                continue
            if number >= 0:  # the first fills the disk's cache
                series[name].walls.append(value)
    return {name: found for name, found in series.items() if found.walls}


def _import(launch: Launch, statement: str) -> str:
    code = _IMPORT.format(statement=statement)
    return run_fresh([str(launch.python), "-c", code], launch.variables()).out


def _command(launch: Launch, pool_path: str, words: Sequence[str]) -> list[str] | None:
    """facepool's own command; None for a peer."""
    if launch.peer.name != "facepool":
        return None
    flags = [part for name in ("threads", "device", "models_dir") for part in _flag(name, launch.options[name])]
    return [sys.executable, "-m", "facepool", *words, "--pool", pool_path, *flags]


def _flag(name: str, value: object) -> tuple[str, str]:
    return f"--{name.replace('_', '-')}", str(value)
