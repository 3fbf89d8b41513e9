"""Workers at one socket: started, started anew, and ended with their parent however that ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.little_workers import ask

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers share a socket, which Windows cannot")
_PATIENCE_S = 60.0
_TESTS = Path(__file__).parents[1]


@contextmanager
def workers(*arguments: int) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "support.little_workers", *map(str, arguments)]
    parent = subprocess.Popen(
        command, cwd=_TESTS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True
    )
    try:
        yield parent
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.communicate()


def port_of(parent: "subprocess.Popen[str]") -> int:
    assert parent.stdout is not None
    return int(parent.stdout.readline())


def eventually(true: Callable[[], object]) -> None:
    ends_s = time.monotonic() + _PATIENCE_S
    while not true():
        assert time.monotonic() < ends_s
        time.sleep(0.05)


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def everybody(port: int, count: int) -> dict[int, int]:
    """The processes of all workers, by number; asked until each has answered."""
    found: dict[int, int] = {}
    ends_s = time.monotonic() + _PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < ends_s, found
        number, process = ask(port)
        if number:
            found[number] = process
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_workers_answer_at_one_port_and_end_with_their_parent(number: signal.Signals) -> None:
    with workers(3) as parent:
        processes = everybody(port_of(parent), 3)
        assert parent.pid not in processes.values()
        parent.send_signal(number)
        assert parent.wait(_PATIENCE_S) == 0
        assert not any(map(lives, processes.values()))


def test_a_worker_that_dies_is_replaced() -> None:
    with workers(2) as parent:
        port = port_of(parent)
        before = everybody(port, 2)
        os.kill(before[2], signal.SIGKILL)
        eventually(lambda: everybody(port, 2)[2] != before[2])
        assert everybody(port, 2)[1] == before[1]


def test_nobody_is_left_when_the_parent_is_killed() -> None:
    with workers(2) as parent:
        processes = everybody(port_of(parent), 2)
        parent.kill()
        parent.wait()
        eventually(lambda: not any(map(lives, processes.values())))


def test_where_one_cannot_start_all_end_with_its_exit_code() -> None:
    with workers(3, 5) as parent:
        out, _ = parent.communicate(timeout=_PATIENCE_S)
        assert (parent.returncode, out) == (5, "")
