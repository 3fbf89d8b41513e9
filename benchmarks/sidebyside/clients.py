"""Talking to workers: processes that live as long as the comparison, and processes that do one thing and leave."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from sidebyside.roster import Peer

WORKER = Path(__file__).parent / "worker.py"
_PATIENCE_S = 600
_POLL_S = 0.02


class WorkerFailed(Exception):
    """A worker ended, was silent for too long, or says that its library failed."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a peer's processes are started.

    Attributes:
        peer: Who.
        python: The interpreter of its environment.
        options: What its adapter is told.
        environment: Variables beside a clean base.
    """

    peer: Peer
    python: Path
    options: Mapping[str, Any]
    environment: Mapping[str, str]

    def serve(self) -> list[str]:
        """The command of a worker that waits for requests."""
        return [str(self.python), str(WORKER), self.peer.adapter, json.dumps(dict(self.options))]

    def once(self, case: Mapping[str, Any]) -> list[str]:
        """The command of a worker that does one case and leaves."""
        return [*self.serve(), json.dumps(dict(case))]

    def variables(self) -> dict[str, str]:
        """The environment of its processes: the thread budget, and for peers a home of their own."""
        threads = str(self.options["threads"])
        budget = {f"{name}_NUM_THREADS": threads for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
        inherited = dict(os.environ)
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # what was installed has been compiled, so our own source, too
        if self.peer.environment is not None:
            inherited.pop("PYTHONPATH", None)
        return inherited | budget | dict(self.environment)


class Client:
    """One long-lived worker. Closing it ends the process."""

    def __init__(self, launch: Launch) -> None:
        self.name = launch.peer.name
        self._errors: list[str] = []
        self._replies: Queue[str | None] = Queue()
        self._process = subprocess.Popen(
            launch.serve(),
            env=launch.variables(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for listen in (self._hear, self._hear_errors):
            threading.Thread(target=listen, daemon=True).start()
        try:
            self._reply()
        except WorkerFailed:
            self.close()
            raise

    def about(self) -> dict[str, str]:
        """Version, engine and models."""
        return dict(self._ask({"op": "about"}))

    def prepare(self, case: Mapping[str, Any]) -> str | None:
        """Make a case ready; why the library does not do it, or None if it does. Raises WorkerFailed."""
        unsupported: str | None = self._ask({"op": "prepare", "case": dict(case)}).get("unsupported")
        return unsupported

    def run(self, *, warm: bool) -> dict[str, float]:
        """One timed repetition, after one untimed if ``warm``. Raises WorkerFailed."""
        return self._ask({"op": "run", "warm": warm})

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerFailed(self._last_words()) from None
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        try:
            line = self._replies.get(timeout=_PATIENCE_S)
        except Empty:
            self._process.kill()
            raise WorkerFailed(f"no answer in {_PATIENCE_S} s") from None
        if line is None:
            raise WorkerFailed(self._last_words())
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise WorkerFailed(reply["error"])
        return reply

    def _hear(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._replies.put(line)
        self._replies.put(None)

    def _hear_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors = [*self._errors[-9:], line.strip()]

    def _last_words(self) -> str:
        code = self._process.wait()
        return self._errors[-1] if self._errors else f"the process ended with {code}"


@dataclass(frozen=True, slots=True)
class Fresh:
    """What a process that did one thing and left had cost.

    Attributes:
        wall_s: From its start to its end.
        peak_mib: The most memory that it held; None where the system does not tell.
        out: What it printed.
    """

    wall_s: float
    peak_mib: float | None
    out: str


def run_fresh(
    command: Sequence[str],
    variables: Mapping[str, str],
    *,
    watch_memory: bool = False,
    patience_s: float = _PATIENCE_S,
) -> Fresh:
    """Run a command to its end. Raises WorkerFailed."""
    began_s = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    peaks: list[float] = []
    if watch_memory:
        threading.Thread(target=_watch, args=(process, peaks), daemon=True).start()
    try:
        out, errors = process.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise WorkerFailed(f"not done in {patience_s:.0f} s") from None
    wall_s = time.perf_counter() - began_s
    if process.returncode:
        said = errors.strip().splitlines()
        raise WorkerFailed(said[-1] if said else f"the process ended with {process.returncode}")
    return Fresh(wall_s, max(peaks, default=None), out)


def _watch(process: "subprocess.Popen[str]", peaks: list[float]) -> None:
    """Read the high-water mark of a process until it ends. Its resource usage would count the parent's, too."""
    status = Path(f"/proc/{process.pid}/status")
    if sys.platform != "linux":
        return
    while process.poll() is None:
        try:
            mark = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii", errors="replace"))
        except OSError:
            return
        if mark:
            peaks.append(int(mark[1]) / 1024)
        time.sleep(_POLL_S)
