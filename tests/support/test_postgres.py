"""The PostgreSQL servers of the tests go with the process that started them."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import postgres

pytestmark = pytest.mark.postgres

_KILLED = """
import os, signal
from support import postgres
running = postgres.PostgresServer()
print(running.folder, (running.folder / "data" / "postmaster.pid").read_text().split()[0], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_fresh_database_has_the_extension() -> None:
    url = postgres.new_database()
    name = url.rpartition("/")[2]
    assert postgres.server().execute("SELECT '[1,2]'::vector::text", name) == [("[1,2]",)]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the process in /proc")
def test_a_killed_process_leaves_no_server_behind() -> None:
    command, tests = [sys.executable, "-c", _KILLED], Path(postgres.__file__).parents[1]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tests)
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder, pid = done.stdout.split()
    deadline = time.monotonic() + 30
    while Path(folder).exists() or Path("/proc", pid).exists():
        assert time.monotonic() < deadline, "the server is still there"
        time.sleep(0.05)
