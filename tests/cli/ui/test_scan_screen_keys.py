import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from facepool.cli.ui.registration import enter_pressed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")

HANG_GUARD_S = 20.0


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What is written here is typed at the terminal."""
    typist, terminal = os.openpty()
    with os.fdopen(terminal, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield typist
    os.close(typist)


def test_enter_is_heard_once_and_nobody_waits_for_it(keys: int) -> None:
    assert not enter_pressed()
    os.write(keys, b"x")
    assert not enter_pressed()
    os.write(keys, b"\n")
    select.select([sys.stdin], [], [], HANG_GUARD_S)  # the terminal takes its time to deliver
    assert enter_pressed()
    assert not enter_pressed()


def test_there_is_no_enter_where_nobody_types(keys: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        assert not enter_pressed()
