"""A real Ray cluster for tests: two nodes on this machine, started as an operator starts them, each of which can be
killed with everything that runs on it.

It is started by the first test that asks for it and serves all of a session. It is gone with its files when the
process ends, however that ends: an undertaker waits for that in a process of its own.
"""

import atexit
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from support.ports import free_port

NODES = 2
_STARTED = "Ray runtime started"
_PATIENCE_S = 120.0
_STORE_BYTES = 80 << 20
"""Of each node's shared memory; Ray takes no less than 75 MB."""
_UNDERTAKER = """
import os, pathlib, shutil, signal, sys
pids = sys.stdin.read().split()
for pid in map(int, pids):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""
_SETTINGS = {
    "RAY_AUTH_MODE": "disabled",  # whatever the user of this machine has set up for clusters of their own
    "RAY_USAGE_STATS_ENABLED": "0",
    # Workers see what lies here, too: the analyzers that tests hand to them.
    "PYTHONPATH": str(Path(__file__).parents[1]),
    # A node that was killed is known to be gone after a second or two, not after half a minute.
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "400",
    "RAY_health_check_failure_threshold": "4",
}


@cache
def missing() -> str:
    """Why there can be no cluster here; empty: there can."""
    if sys.platform != "linux":
        return "nodes are told apart by /proc"
    return "" if importlib.util.find_spec("ray") is not None else "ray is not installed"


class RayNode:
    """One node of the cluster, with everything that it starts in a session of processes of its own."""

    def __init__(self, arguments: tuple[str, ...], log: Path, environment: dict[str, str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name("ray"), "start", "--block", "--disable-usage-stats", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | _SETTINGS | environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the process that leads its session."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it does."""
        return self._process.poll() is None

    def wait(self) -> None:
        """Wait until it says that it runs."""
        deadline = time.monotonic() + _PATIENCE_S
        while _STARTED not in self._log.read_text(errors="replace"):
            if not self.runs or time.monotonic() > deadline:
                raise RuntimeError(f"A Ray node did not start: {self._log.read_text(errors='replace')}")
            time.sleep(0.05)

    def workers(self) -> list[int]:
        """The processes on it that compute, or may: their numbers, oldest first."""
        return [pid for pid in self._processes() if _title_of(pid).startswith("ray::")]

    def workers_of(self, word: str) -> list[int]:
        """Those of `workers` whose titles, by which Ray tells what they do, have a word in them."""
        return [pid for pid in self.workers() if word in _title_of(pid)]

    def kill(self) -> None:
        """Kill it at once with all that runs on it, as a machine ends that loses its power."""
        while pids := self._processes():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
            time.sleep(0.02)

    def _processes(self) -> list[int]:
        """All that run in its session; those that are dead already are not among them."""
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
        return sorted(pid for pid in pids if _session_of(pid) == self.pid)


class RayCluster:
    """Two nodes with one processor each.

    Args:
        environment: Further variables for all processes of the cluster.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        # The paths of Ray's sockets may have no more than 107 characters; those that pytest gives are too long.
        self.folder = Path(tempfile.mkdtemp(prefix="fp-ray-"))
        self._environment = environment or {}
        self._undertaker = subprocess.Popen(
            [sys.executable, "-c", _UNDERTAKER, str(self.folder)], stdin=subprocess.PIPE, start_new_session=True
        )
        atexit.register(self.close)
        self._port = free_port()
        self._started = 0
        head = ("--head", f"--port={self._port}", f"--temp-dir={self.folder}", "--include-dashboard=false")
        self.nodes = [self._start(*head)]
        self.mend()

    @property
    def address(self) -> str:
        """What a driver connects to."""
        return f"127.0.0.1:{self._port}"

    @property
    def last(self) -> RayNode:
        """The node that may be killed; without the first there is no cluster."""
        return self.nodes[-1]

    def mend(self) -> None:
        """Start another node for each that was killed."""
        self.nodes = [node for node in self.nodes if node.runs]
        while len(self.nodes) < NODES:
            self.nodes.append(self._start(f"--address={self.address}"))

    def close(self) -> None:
        """End it, and remove its files."""
        atexit.unregister(self.close)
        for node in reversed(self.nodes):
            node.kill()
        self._undertaker.communicate()

    def _start(self, *arguments: str) -> RayNode:
        self._started += 1
        size = ("--num-cpus=1", "--num-gpus=0", f"--object-store-memory={_STORE_BYTES}")
        node = RayNode((*arguments, *size), self.folder / f"node-{self._started}.log", self._environment)
        assert self._undertaker.stdin is not None
        self._undertaker.stdin.write(f"{node.pid}\n".encode())
        self._undertaker.stdin.flush()
        node.wait()
        return node


@cache
def cluster() -> RayCluster:
    """The one of this process, as it was left: see `RayCluster.mend`."""
    return RayCluster()


def _title_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _session_of(pid: int) -> int | None:
    """The session of a process that is not dead."""
    try:
        state, _, _, session = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[:4]
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else int(session)
