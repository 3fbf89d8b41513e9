"""Pools that are sent to be imported: whatever is in them, the answer is the client's, and the server goes on."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from support.fake_analyzer import SPACE, FakeAnalyzer
from support.hostile_pools import HOSTILE, small_pool
from support.web_client import client_of


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client_of(tmp_path_factory.mktemp("server"), FakeAnalyzer()) as client:
        yield client


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    return small_pool(tmp_path / "sent.db", SPACE)


def send(web: TestClient, content: bytes) -> Any:
    return web.post("/v1/pool/import", files={"file": ("pool.db", content)})


def test_a_whole_pool_is_imported_once(web: TestClient, sent: Path) -> None:
    assert send(web, sent.read_bytes()).json()["created"] == ["Ada", "Bob"]
    assert send(web, sent.read_bytes()).json()["imported"] == 0


@pytest.mark.parametrize("harm", HOSTILE)
def test_harm_is_refused_and_nothing_of_it_is_stored(web: TestClient, sent: Path, harm: str) -> None:
    before = web.get("/v1/persons").json()
    HOSTILE[harm](sent)
    answer = send(web, sent.read_bytes())
    assert (answer.status_code, answer.json()["code"]) == (400, "input")
    assert str(sent.parent.parent) not in answer.text
    assert ".db " not in answer.text, "no file of the server"
    assert web.get("/v1/persons").json() == before


def test_flipped_bytes_are_refused_or_do_no_harm(web: TestClient, sent: Path) -> None:
    content, chance = sent.read_bytes(), random.Random(13)
    told = set()
    for _ in range(100):
        flipped = bytearray(content)
        for _ in range(chance.choice((1, 1, 8))):
            flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        told.add(send(web, bytes(flipped)).status_code)
    assert told <= {200, 400, 409}, "409: of another embedding space"
    assert 400 in told
    assert web.get("/v1/persons").status_code == 200
