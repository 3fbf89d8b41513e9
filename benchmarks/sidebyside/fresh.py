"""What a fresh process costs: importing, deciding for the first time, and memory while a film is watched."""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sidebyside.clients import Launch, WorkerFailed, run_fresh
from sidebyside.measure import Series, affordable
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


class FreshProcesses:
    """Starts processes in turns, one a library, and reads off what each has cost.

    Args:
        launches: How they are started; of several ways to set up one library the first is taken.
        repetitions: How often.
        budget_s: Seconds that one library may take for one question.
    """

    def __init__(self, launches: Sequence[Launch], repetitions: int, budget_s: float) -> None:
        self._launches = list({launch.peer.environment: launch for launch in reversed(launches)}.values())[::-1]
        self._repetitions = repetitions
        self._budget_s = budget_s

    def imports(self, statement: Callable[[Peer], str], failed: Failed) -> tuple[dict[str, Series], list[str]]:
        """Seconds that a statement takes in a new interpreter, and the engines that facepool's loaded."""
        engines: list[str] = []

        def once(launch: Launch) -> float:
            said = json.loads(_import(launch, statement(launch.peer)).strip().splitlines()[-1])
            if launch.peer.name == "facepool":
                engines[:] = said["engines"]
            return float(said["took"])

        return self._in_turns(once, self._repetitions, failed), engines

    def first_decisions(self, case: Mapping[str, Any], failed: Failed) -> dict[str, Series]:
        """Seconds from starting a process to its end, having said who is on a photo. facepool's is its command."""
        self._make_pool(case)

        def once(launch: Launch) -> float:
            words = ("recognize", case["photo"], "--json")
            command = _command(launch, case["pool_path"], words) or launch.once(case)
            return run_fresh(command, launch.variables()).wall_s

        return self._in_turns(once, self._repetitions, failed)

    def peak_memory(self, case: Mapping[str, Any], failed: Failed) -> dict[str, Series]:
        """MiB at most while a film is watched. facepool's is its command, on the whole film."""
        self._make_pool({**case, "frames": 1})

        def once(launch: Launch) -> float:
            words = ("recognize", "--source", case["video"], "--headless", "--json")
            command = _command(launch, case["pool_path"], words) or launch.once(case)
            peak = run_fresh(command, launch.variables(), watch_memory=True).peak_mib
            if peak is None:
                raise WorkerFailed("this system does not tell a process's peak memory")
            return peak

        return self._in_turns(once, 1, failed)

    def _make_pool(self, case: Mapping[str, Any]) -> None:
        """Have facepool fill the pool of a case, so that its command finds one."""
        for launch in self._launches:
            if launch.peer.name == "facepool":
                with suppress(WorkerFailed):  # what keeps it from that will keep the command from its work: noted then
                    run_fresh(launch.once(case), launch.variables())

    def _in_turns(self, once: Callable[[Launch], float], repetitions: int, failed: Failed) -> dict[str, Series]:
        series = {launch.peer.name: Series() for launch in self._launches}
        rounds = {launch.peer.name: repetitions for launch in self._launches}
        for number in range(-1 if repetitions > 1 else 0, repetitions):  # the first fills the disk's cache
            for launch in self._launches:
                name = launch.peer.name
                if number >= rounds[name]:
                    continue
                began_s = time.monotonic()
                try:
                    value = once(launch)
                except WorkerFailed as reason:
                    failed(name, str(reason))
                    rounds[name] = -1
                    continue
                if number < 0:
                    rounds[name] = affordable(repetitions, time.monotonic() - began_s, self._budget_s)
                else:
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
