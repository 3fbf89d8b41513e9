"""Erasing leaves no names behind: not where a request is cut off, not where something tells of them later."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from unittest.mock import Mock

import pytest
from fastapi.testclient import TestClient

from facepool.gallery import Pool, open_pool
from facepool.web.services import Services
from facepool.web.services.keys import LOCAL
from facepool.web.services.store import SqliteStore
from support.fake_analyzer import FakeAnalyzer
from support.web_client import client_of

FACES = "/api/v1/recognition/faces"
SUBJECTS = "/api/v1/recognition/subjects"
Result = TypeVar("Result")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path, FakeAnalyzer()) as client:
        yield client


def services_of(web: TestClient) -> Services:
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    return services


def people(web: TestClient, *names: str) -> None:
    """Make them known, and seen."""
    for name in names:
        assert web.post("/v1/persons", json={"person": name}).status_code == 201
        saw(web, name)


def saw(web: TestClient, name: str, event: str = "recognized") -> None:
    services_of(web).activity.add({"event": event, "person": name, "source": "door"})


def kept(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_who_is_erased_leaves_no_face_of_a_liveness_check_that_was_not_used(web: TestClient) -> None:
    people(web, "Grace")
    with services_of(web).store.transaction() as db:
        db.execute(
            "INSERT INTO server_liveness (id, client, drawn_at, ends_at, state, seen) "
            "VALUES ('1', 'Me', ?, ?, 'passed', ?)",
            (time.time(), time.time(), b"face"),
        )
    assert web.delete("/v1/persons/Grace").status_code == 200
    assert services_of(web).store.read("SELECT state, seen FROM server_liveness") == [("used", None)]


class CutOff:
    """Lets requests wait in the middle of work on the pool until they are cut off, as a deadline does it."""

    def __init__(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        self._under_way, self._go_on, self._done = threading.Event(), threading.Event(), threading.Event()
        change = services.pool.change

        async def cut(work: Callable[[Pool], Result]) -> Result:
            def held(pool: Pool) -> Result:
                self._under_way.set()
                assert self._go_on.wait(30)
                try:
                    return work(pool)
                finally:
                    self._done.set()

            request = asyncio.ensure_future(change(held))
            await asyncio.to_thread(self._under_way.wait, 30)
            request.cancel()
            try:
                return await request
            finally:
                self._go_on.set()

        monkeypatch.setattr(services.pool, "change", cut)

    def wait(self) -> None:
        assert self._done.wait(30)


@pytest.mark.parametrize("address", [FACES, SUBJECTS, "/v1/persons/Grace"])
def test_what_was_begun_is_erased_to_the_end_although_the_request_is_cut_off(
    web: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    people(web, "Grace")
    with monkeypatch.context() as patch:
        cut = CutOff(services_of(web), patch)
        assert web.delete(address).is_error
        cut.wait()
    assert web.get("/v1/persons").json()["persons"] == []
    assert web.get("/v1/activity").json()["entries"] == []
    assert web.get("/v1/audit", params={"person": "Grace"}).json()["entries"][0]["action"] == "erased"
    assert b"Grace" not in kept(tmp_path)


def test_many_are_erased_with_two_rewritings_of_files(
    web: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"Grace {number}" for number in range(20)]
    people(web, *names)
    wipe = Mock(wraps=services_of(web).store.wipe)
    monkeypatch.setattr(services_of(web).store, "wipe", wipe)
    with open_pool(tmp_path / "pool.db") as pool:
        before = pool.revision()
        assert web.delete(SUBJECTS).json() == {"deleted": 20}
        assert (pool.revision(), wipe.call_count) == (before + 1, 1)
    assert [entry["action"] for entry in web.get("/v1/audit").json()["entries"][:20]] == ["erased"] * 20


@pytest.mark.parametrize(
    "address", [FACES, SUBJECTS, f"{FACES}?subject=Grace", f"{SUBJECTS}/Grace", "/v1/persons/Grace"]
)
def test_traces_of_somebody_who_is_not_in_the_pool_any_more_are_erased(
    web: TestClient, tmp_path: Path, address: str
) -> None:
    people(web, "Grace")
    with open_pool(tmp_path / "pool.db") as pool:
        pool.remove("Grace")
    assert web.delete(address).status_code == 200
    assert b"Grace" not in kept(tmp_path)


def test_nobody_who_was_erased_or_renamed_is_told_of_by_an_old_name_however_late(
    web: TestClient, tmp_path: Path
) -> None:
    people(web, "Grace", "Bob")
    web.delete("/v1/persons/Grace")
    web.patch("/v1/persons/Bob", json={"person": "Rob"})
    saw(web, "Grace", "lost")
    saw(web, "Bob", "lost")
    saw(web, "Rob", "lost")
    told = [(entry["event"], entry["person"]) for entry in web.get("/v1/activity").json()["entries"]]
    assert told == [("lost", "Rob"), ("recognized", "Rob")]
    assert b"Grace" not in kept(tmp_path)
    people(web, "Grace")
    assert web.get("/v1/activity", params={"person": "Grace"}).json()["entries"] != []


def test_who_is_erased_before_the_audit_log_is_written_is_not_named_in_it(web: TestClient, tmp_path: Path) -> None:
    services_of(web).audit.note(LOCAL, "registered", "Grace", "1 view")
    (entry,) = web.get("/v1/audit", params={"person": "Grace"}).json()["entries"]
    assert entry["action"] == "registered"
    assert b"Grace" not in kept(tmp_path)


def test_what_was_done_to_somebody_under_a_former_name_is_not_taken_for_a_namesakes(web: TestClient) -> None:
    people(web, "Bob")
    web.patch("/v1/persons/Bob", json={"person": "Rob"})
    assert web.delete("/v1/persons/Bob").status_code == 404
    people(web, "Bob")
    web.delete("/v1/persons/Bob")
    told = [(entry["action"], entry["person"]) for entry in reversed(web.get("/v1/audit").json()["entries"])]
    assert told[:2] == [("created", "Bob"), ("renamed", "Rob")]
    assert [action for action, _ in told[2:]] == ["created", "erased"]
    assert {person[:7] for _, person in told[2:]} == {"erased-"}


def test_what_is_done_is_in_the_audit_log_although_the_request_is_cut_off(
    web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        cut = CutOff(services_of(web), patch)
        assert web.post("/v1/persons", json={"person": "Ada"}).is_error
        cut.wait()
    (entry,) = web.get("/v1/audit").json()["entries"]
    assert (entry["action"], entry["person"]) == ("created", "Ada")


def test_traces_that_may_remain_are_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with client_of(tmp_path, FakeAnalyzer()) as web:
        people(web, "Grace")
        with closing(sqlite3.connect(tmp_path / "pool.db")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM persons").fetchone()
            assert web.delete(f"{SUBJECTS}/Grace").status_code == 200
    assert "Traces of what was removed may remain in pool.db" in caplog.text


def test_a_change_that_cannot_be_committed_is_undone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "pool.server.db")

    def add_session_of_nobody() -> None:
        with store.transaction() as db:
            db.execute("PRAGMA defer_foreign_keys = ON")  # looked at by the commit only
            db.execute("INSERT INTO server_sessions VALUES (x'00', 7, 0)")

    with pytest.raises(sqlite3.IntegrityError):
        add_session_of_nobody()
    store.keep("greeting", {"text": "hello"})
    assert store.kept("greeting") == {"text": "hello"}
    store.close()
