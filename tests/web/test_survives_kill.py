"""A server killed in the middle of registrations under load: the pool holds exactly what was acknowledged."""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from facepool.gallery import open_pool
from facepool.search import Search
from support.commands import Commands
from support.paths import ROOT
from support.ports import free_port

pytestmark = pytest.mark.slow

ROUNDS = 4
CLIENTS = 4
_PATIENCE_S = 60


@dataclass
class Tally:
    """What clients know."""

    acknowledged: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)  # sent, and never answered
    refused: int = 0


@contextmanager
def serving(commands: Commands, port: int) -> Iterator["subprocess.Popen[str]"]:
    server = commands.start("-m", "facepool", "serve", "--port", str(port), "--no-open")
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", server)
        yield server
    finally:
        server.kill()
        server.communicate()


def wait_until_ready(address: str, server: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        assert server.poll() is None, server.communicate()
        with suppress(httpx.TransportError):
            if httpx.get(f"{address}/ready").status_code == 200:
                return
        time.sleep(0.05)
    pytest.fail("the server did not become ready")


def register_until_it_dies(address: str, photo: bytes, prefix: str, tally: Tally, lock: threading.Lock) -> None:
    with httpx.Client(base_url=address, timeout=_PATIENCE_S) as client:
        for number in range(10_000):
            name = f"{prefix}-{number}"
            with lock:
                tally.open.add(name)
            try:
                answer = client.post(
                    f"/v1/persons/{name}/samples", params={"force": True}, files={"files": ("a.jpg", photo)}
                )
            except httpx.TransportError:
                return
            with lock:
                tally.open.discard(name)
                if answer.status_code == 200 and answer.json()["stored"] == 1:
                    tally.acknowledged.add(name)
                else:
                    tally.refused += 1


def stored(pool: Path) -> dict[str, int]:
    with open_pool(pool, must_exist=True) as opened:
        assert len(Search(opened).index()) == len(opened.templates())
        for person in opened.people():
            assert len(opened.template_ids_with_image(person.name)) == person.templates
        return {person.name: person.templates for person in opened.people()}


def test_the_pool_holds_exactly_the_acknowledged_registrations(facepool: Commands, photos: Path) -> None:
    """What was under way when the server died is there as a whole or not at all; nothing else may differ."""
    chance = random.Random(11)
    photo = (photos / "person_a_1.jpg").read_bytes()
    tally, lock, unanswered = Tally(), threading.Lock(), 0
    for round_number in range(ROUNDS):
        port = free_port()
        before = len(tally.acknowledged)
        with serving(facepool, port) as server:
            clients = [
                threading.Thread(
                    target=register_until_it_dies,
                    args=(f"http://127.0.0.1:{port}", photo, f"r{round_number}c{client}", tally, lock),
                )
                for client in range(CLIENTS)
            ]
            for client in clients:
                client.start()
            ends_s = time.monotonic() + _PATIENCE_S
            while len(tally.acknowledged) == before:
                assert time.monotonic() < ends_s, "nothing was registered before the kill"
                time.sleep(0.02)
            time.sleep(chance.uniform(0, 1.5))
            server.kill()
            for client in clients:
                client.join(_PATIENCE_S)
        kept = stored(facepool.pool)
        assert tally.acknowledged <= kept.keys()
        assert kept.keys() - tally.acknowledged <= tally.open
        assert set(kept.values()) == {1}
        unanswered += CLIENTS
        assert len(tally.open) <= unanswered
    extra = len(stored(facepool.pool)) - len(tally.acknowledged)
    print(
        f"{ROUNDS} kills, {len(tally.acknowledged)} acknowledged, all there; {len(tally.open)} under way, "
        f"of which {extra} are there as a whole; {tally.refused} refused"
    )
    assert tally.refused == 0


@pytest.mark.parametrize("operation", ["merge", "import", "calibrate", "rename", "erase", "key"])
def test_what_is_acknowledged_is_stored_and_audited_once_and_who_is_erased_is_nowhere(
    tmp_path: Path, operation: str
) -> None:
    """Pool and logs are two files: no kill between their commits may leave one without the other."""
    table = tmp_path / "kill.json"
    subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "kill.py", "--only", operation, "--rounds", "2", "--output", table],
        check=True,
        timeout=10 * _PATIENCE_S,
        stdout=subprocess.DEVNULL,
    )
    (row,) = json.loads(table.read_text(encoding="utf-8"))
    assert row["violations"] == []
    assert row["acknowledged"] > 0
    assert row["acknowledged"] <= row["stored"] == row["audited"]
