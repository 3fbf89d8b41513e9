"""A server with an index beside its pool: the index follows, and what it cannot do yet is said and done later."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from facepool import extras, open_pool
from facepool.errors import ExtraMissing
from facepool.gallery import SqlGallery
from facepool.search.follower import sync
from facepool.search.index_status import places_of
from facepool.types import Sample
from facepool.web.services import Services, index_keeper, settling
from support.fake_analyzer import SPACE, FakeAnalyzer, view
from support.index_double import ADDRESS, IndexServer
from support.web_client import client_of, png

PATIENCE_S = 30.0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> IndexServer:
    double = IndexServer()
    for place in ("facepool.search.milvus", "facepool.search.beside"):
        monkeypatch.setattr(f"{place}.MilvusIndex", double)
    monkeypatch.setattr(index_keeper, "_EVERY_S", 0.05)
    monkeypatch.setattr(index_keeper, "_OTHERS_TURN_S", 0.05)
    monkeypatch.setattr(settling, "_ANSWER_S", PATIENCE_S)  # this machine may be busy
    return double


@pytest.fixture
def web(tmp_path: Path, analyzer: FakeAnalyzer, server: IndexServer) -> Iterator[TestClient]:
    with client_of(tmp_path, analyzer, settings={"index": str(ADDRESS)}) as client:
        yield client


def services_of(web: TestClient) -> Services:
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    return services


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def register(web: TestClient, analyzer: FakeAnalyzer, name: str, number: int) -> int:
    picture = png(analyzer.frame(view(number, 0)).image_bgr)
    answer = web.post(f"/v1/persons/{name}/samples", files={"file": picture})
    assert answer.json()["stored"] == 1, answer.text
    (sample,) = web.get(f"/v1/persons/{name}").json()["views"]
    return int(sample["id"])


def audited(web: TestClient, person: str) -> list[tuple[str, str]]:
    """What the audit log says of somebody, newest first."""
    entries = web.get("/v1/audit", params={"person": person}).json()["entries"]
    return [(entry["action"], entry["detail"]) for entry in entries]


def test_the_index_follows_what_clients_do_and_others(
    web: TestClient, analyzer: FakeAnalyzer, server: IndexServer, tmp_path: Path
) -> None:
    ada = register(web, analyzer, "Ada", 0)
    until(lambda: server.kept and server.numbers == {ada})
    bob = register(web, analyzer, "Bob", 1)
    until(lambda: server.numbers == {ada, bob})
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        pool.register("Cleo", [Sample(view(2, 0))], SPACE)
    until(lambda: len(server.numbers) == 3)
    assert web.patch("/v1/persons/Ada", json={"person": "Ada L"}).status_code == 200
    assert web.post("/v1/persons/Bob/merge", json={"into": "Cleo"}).status_code == 200
    ready = web.get("/ready").json()
    assert (ready["behind"], ready["owed"]) == (None, [])


def test_a_server_that_has_no_client_for_its_index_does_not_start(
    tmp_path: Path, analyzer: FakeAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "missing", lambda extra: ("pymilvus",) if extra == "milvus" else ())
    with pytest.raises(ExtraMissing, match="pymilvus"), client_of(tmp_path, analyzer, settings={"index": str(ADDRESS)}):
        pass


def test_an_erased_person_has_left_the_index_before_the_answer(
    web: TestClient, analyzer: FakeAnalyzer, server: IndexServer
) -> None:
    ada, bob = (register(web, analyzer, name, number) for number, name in enumerate(("Ada", "Bob")))
    until(lambda: server.kept and server.numbers == {ada, bob})
    erased = web.delete("/v1/persons/Ada").json()
    assert server.numbers == {bob}
    assert (erased["still_in_index"], erased["notes"]) == (0, [])


def test_while_the_index_is_away_changes_are_stored_and_erasing_says_what_is_left(
    web: TestClient, analyzer: FakeAnalyzer, server: IndexServer, caplog: pytest.LogCaptureFixture
) -> None:
    ada, bob = (register(web, analyzer, name, number) for number, name in enumerate(("Ada", "Bob")))
    until(lambda: server.kept and server.numbers == {ada, bob})
    server.away = True
    cleo = register(web, analyzer, "Cleo", 2)
    until(lambda: web.get("/ready").json()["behind"])
    ready = web.get("/ready")
    assert (ready.status_code, ready.json()["behind"]["reason"]) == (200, "index_away")

    erased = web.delete("/v1/persons/Ada").json()
    assert erased["still_in_index"] == 1
    (note,) = erased["notes"]
    assert "1 view that left the pool may still be in the index milvus://index.example:19530" in note
    assert "no server answers there. It is tried again." in note
    until(lambda: web.get("/ready").json()["owed"] == ["milvus://index.example:19530"])
    assert note in web.get("/v1/system").json()["owed"]
    assert audited(web, "Ada")[:2] == [("still in the index", ADDRESS.place), ("erased", "")]

    server.away = False
    until(lambda: server.numbers == {bob, cleo})
    until(lambda: not web.get("/ready").json()["owed"] and not web.get("/v1/system").json()["owed"])
    until(lambda: web.get("/ready").json()["behind"] is None)
    until(lambda: audited(web, "Ada")[0][0] == "left the index")
    assert [action for action, _ in audited(web, "Ada")[:3]] == ["left the index", "still in the index", "erased"]
    assert "Ada" not in web.get("/v1/audit").text
    said = [record.getMessage() for record in caplog.records if record.name == "facepool.web"]
    assert sum("no server answers there" in line for line in said if "left the pool" not in line) == 1, said


def test_a_collection_that_somebody_deleted_is_made_again(
    web: TestClient, analyzer: FakeAnalyzer, server: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = register(web, analyzer, "Ada", 0)
    until(lambda: server.kept and server.numbers == {ada})
    monkeypatch.setattr(index_keeper, "_LOOK_EVERY_S", 0.0)
    server.kept.clear()
    until(lambda: server.kept and server.numbers == {ada})


def test_a_pool_that_has_an_index_and_a_server_without_says_so_when_somebody_is_erased(
    tmp_path: Path, analyzer: FakeAnalyzer, server: IndexServer
) -> None:
    with client_of(tmp_path, analyzer, settings={"index": str(ADDRESS)}) as web:
        ada = register(web, analyzer, "Ada", 0)
        until(lambda: server.kept and server.numbers == {ada})
    with client_of(tmp_path, analyzer) as web:
        erased: dict[str, Any] = web.delete("/v1/persons/Ada").json()
        assert web.get("/ready").json()["owed"] == [ADDRESS.place]
        with services_of(web).pool.open() as pool:
            assert isinstance(pool, SqlGallery)
            assert places_of(pool) == [ADDRESS.place]
            sync(pool, ADDRESS, open_engine=server)
        assert web.get("/ready").json()["owed"] == []
    assert erased["still_in_index"] == 1
    assert "which this server does not follow: facepool index sync" in erased["notes"][0]


def test_the_server_ends_at_once_although_its_index_does_not_answer(
    tmp_path: Path, analyzer: FakeAnalyzer, server: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_keeper, "_CLOSING_S", 0.1)
    with client_of(tmp_path, analyzer, settings={"index": str(ADDRESS)}) as web:
        register(web, analyzer, "Ada", 0)
        until(lambda: server.kept)
        over = time.monotonic() + 60.0
        waits: list[str] = []

        def hang(word: str) -> None:
            if word.startswith("nearest"):  # whoever recognizes waits for seconds at most
                return
            waits.append(word)
            while time.monotonic() < over:
                time.sleep(0.01)

        server.before = hang
        register(web, analyzer, "Bob", 1)
        until(lambda: waits)
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 20.0
    over = 0.0
