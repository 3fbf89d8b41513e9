"""Commands that need not import everything anew: that takes most of the second that a small one lasts.

A process with all that commands import (`support.warm_process`) makes a copy of itself for each of them. Nothing but
imports is shared; who wants a process of its own from the first instruction on starts one.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

from support.warm_process import MOST_BYTES

_MAY_DIFFER = (
    *("FACEPOOL_", "XDG_", "PG", "CREDENTIALS_", "DISPLAY", "WAYLAND_", "SDL_", "PYTEST_"),
    *("ORT_", "PYDANTIC_", "LINES", "COLUMNS"),  # which facepool and libraries of tests set themselves
)
"""How variables begin that are read when a command runs, not when something is imported."""
_OF_OUTPUTS = {"PYTHONIOENCODING": "utf-8"}


class WarmCommands:
    """The process, and a way to send it orders; for any number of threads."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = Path(__file__).with_name("warm_process.py")
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, code, str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
        atexit.register(self.close)

    def can_run(self, environment: Mapping[str, str]) -> bool:
        """Whether an environment is one in which the same would have been imported."""
        differing = dict(environment.items() ^ self._environment.items())
        return all(
            name.startswith(_MAY_DIFFER) or environment.get(name, "") == _OF_OUTPUTS.get(name) for name in differing
        )

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        timeout_s: float,
        program: Path | None = None,
    ) -> tuple[int, str, str]:
        """``facepool ARGUMENTS`` or ``python PROGRAM ARGUMENTS``: its exit code, and what it says on both outputs."""
        order = {
            "program": str(program or ""),
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
        }
        message = json.dumps(order).encode()
        assert len(message) < MOST_BYTES
        reading, writing = os.pipe()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, os.fdopen(reading, "rb", 0) as status:
            socket.send_fds(self._orders, [message], [out.fileno(), err.fileno(), writing])
            os.close(writing)
            command = int(status.readline())
            if not select.select([status], [], [], timeout_s)[0]:
                os.kill(command, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(arguments), timeout_s)
            return int(status.readline()), _all_of(out), _all_of(err)

    def close(self) -> None:
        """End the process."""
        self._orders.close()
        self._process.wait()


@cache
def warm_commands() -> WarmCommands | None:
    """The one of this test run; None where processes cannot be copied."""
    return WarmCommands() if sys.platform == "linux" else None


def _all_of(output: BinaryIO) -> str:
    output.seek(0)
    return output.read().decode().replace("\r\n", "\n")
