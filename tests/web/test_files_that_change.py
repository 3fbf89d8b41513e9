"""Files that others lock, delete or replace under the server: who reads is answered, nothing acknowledged is lost."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from facepool.errors import PoolLocked
from facepool.gallery import open_pool
from facepool.recognize.events import Event
from facepool.types import Frame, Image, Sample
from facepool.web.services import Services
from facepool.web.services.store import SqliteStore, StoreGone
from support.fake_analyzer import SPACE, FakeAnalyzer
from support.pools import unit
from support.web_client import client_of, png

PATIENCE_S = 30
NOBODY: Image = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path, FakeAnalyzer()) as client:
        assert client.post("/v1/persons", json={"person": "Ada"}).status_code == 201
        yield client


def services_of(web: TestClient) -> Services:
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    return services


@contextmanager
def locked(*paths: Path) -> Iterator[None]:
    """Another program writes to files, and does not come to an end."""
    others = [sqlite3.connect(path, isolation_level=None) for path in paths]
    try:
        for other in others:
            other.execute("BEGIN IMMEDIATE")
        yield
    finally:
        for other in others:
            other.close()


def until(condition: Callable[[], bool]) -> None:
    ends_at_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_at_s
        time.sleep(0.02)


def happened(web: TestClient, track: int = 1) -> None:
    event = Event("appeared", track, None, None, None, None, None, 1, 0.0, (0.0, 0.0, 1.0, 1.0), "low_quality")
    services_of(web).activity.emit("door", Frame(NOBODY, "door"), [event])


READING = ["/v1/persons", "/v1/persons/Ada", "/v1/pool", "/v1/activity", "/v1/audit", "/v1/keys", "/ready"]


def test_who_reads_does_not_wait_for_those_who_wait_to_write(web: TestClient, tmp_path: Path) -> None:
    key = {"x-api-key": web.post("/v1/keys", json={"name": "Me", "role": "admin"}).json()["key"]}

    def write(number: int) -> tuple[int, bool]:
        path, body = ("keys", {"name": f"Key {number}", "role": "admin"})
        if number % 2:
            path, body = ("persons", {"person": f"Person {number}"})
        answer = web.post(f"/v1/{path}", json=body, headers=key)
        return answer.status_code, "Retry-After" in answer.headers

    with locked(tmp_path / "pool.db", tmp_path / "pool.server.db"), ThreadPoolExecutor(24) as writers:
        began_at_s = time.monotonic()
        writing = [writers.submit(write, number) for number in range(24)]
        until(lambda: services_of(web).store.queue.waiting > 0)
        read = [web.get(path, headers=key).status_code for path in READING for _ in range(4)]
        still_waiting = sum(not one.done() for one in writing)
        refused = [one.result() for one in writing]
        took_s = time.monotonic() - began_at_s
    assert set(read) == {200}
    assert still_waiting > 0, "they were to read while others wait"
    assert set(refused) == {(503, True)}
    assert took_s < 12, "nobody waits for the patience of those before"
    assert web.post("/v1/persons", json={"person": "Bob"}, headers=key).status_code == 201


@pytest.mark.skipif(os.name != "posix", reason="processes are stopped by a signal")
def test_a_writer_that_is_frozen_keeps_nobody_from_reading(web: TestClient, tmp_path: Path) -> None:
    script = """
import sqlite3, sys
others = [sqlite3.connect(path, isolation_level=None) for path in sys.argv[1:]]
for other in others:
    other.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""
    files = [str(tmp_path / name) for name in ("pool.db", "pool.server.db")]
    with subprocess.Popen(
        [sys.executable, "-c", script, *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        os.kill(other.pid, signal.SIGSTOP)
        try:
            assert web.post("/v1/persons", json={"person": "Bob"}).status_code == 503
            assert web.post("/v1/keys", json={"name": "Me", "role": "admin"}).status_code == 503
            assert {web.get(path).status_code for path in READING} == {200}
        finally:
            other.kill()
    assert web.post("/v1/persons", json={"person": "Bob"}).status_code == 201


def test_a_key_lets_in_although_its_use_cannot_be_written_down(web: TestClient, tmp_path: Path) -> None:
    key = services_of(web).keys.add("Me", "admin")
    began_at_s = time.monotonic()
    with locked(tmp_path / "pool.server.db"):
        assert services_of(web).keys.find(key) is not None
        assert time.monotonic() - began_at_s < 1
    until(lambda: services_of(web).store.queue.waiting == 0)
    assert web.get("/v1/persons", headers={"x-api-key": key}).status_code == 200


def test_what_cameras_see_while_others_write_is_told_at_once_and_kept_later(web: TestClient, tmp_path: Path) -> None:
    services = services_of(web)
    told: list[object] = []
    services.activity.events.publish = told.append  # type: ignore[method-assign,assignment]
    with locked(tmp_path / "pool.server.db"):
        for track in range(50):
            happened(web, track)
        assert len(told) == 50
        assert services.store.read("SELECT count(*) FROM server_activity") == [(0,)]
    until(lambda: services.store.read("SELECT count(*) FROM server_activity") == [(50,)])
    happened(web, 50)
    visits = [int(str(visit)) for (visit,) in services.store.read("SELECT visit FROM server_activity ORDER BY id")]
    assert visits == sorted(visits)


def test_what_waits_to_be_kept_is_kept_when_the_server_ends(tmp_path: Path) -> None:
    with client_of(tmp_path, FakeAnalyzer()) as web, closing(sqlite3.connect(tmp_path / "pool.server.db")) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        for track in range(3):
            happened(web, track)
        other.execute("ROLLBACK")
    with closing(sqlite3.connect(tmp_path / "pool.server.db")) as left:
        assert left.execute("SELECT count(*) FROM server_activity").fetchone() == (3,)


def test_many_read_while_one_writes(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "pool.server.db")) as store:
        store.keep("greeting", {"text": "hello"})
        with store.transaction() as db, ThreadPoolExecutor(4) as readers:
            db.execute("UPDATE server_kept SET value = '{}'")
            read = [readers.submit(store.kept, "greeting") for _ in range(40)]
            assert all(one.result(PATIENCE_S) == {"text": "hello"} for one in read)
            changes = store.changes()
        assert store.changes() != changes
        assert store.kept("greeting") == {}


def test_a_writer_waits_for_another_of_its_process_only_so_long(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "pool.server.db", patience_s=0.1)) as store, ThreadPoolExecutor(1) as other:
        with store.transaction(), pytest.raises(PoolLocked):
            other.submit(store.keep, "greeting", {}).result(PATIENCE_S)
        other.submit(store.keep, "greeting", {}).result(PATIENCE_S)


def test_no_key_is_acknowledged_that_would_be_lost(web: TestClient, tmp_path: Path) -> None:
    key = {"x-api-key": web.post("/v1/keys", json={"name": "Me", "role": "admin"}).json()["key"]}
    (tmp_path / "pool.server.db").unlink()
    answer = web.post("/v1/keys", json={"name": "You", "role": "admin"}, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (503, "store_gone")
    ready = web.get("/ready")
    assert (ready.status_code, ready.json()["store"], ready.json()["why"]) == (503, False, ["store_gone"])
    assert web.get("/health").status_code == 200


@pytest.mark.parametrize("path", ["/v1/persons", "/v1/audit", "/v1/session", "/api/v1/recognition/subjects"])
def test_without_the_file_of_the_keys_nobody_is_let_in(web: TestClient, tmp_path: Path, path: str) -> None:
    web.post("/v1/keys", json={"name": "Me", "role": "admin"})
    (tmp_path / "pool.server.db").unlink()
    assert web.get(path).status_code == 503
    SqliteStore(tmp_path / "pool.server.db").close()  # as `facepool keys list` makes one
    assert web.get(path).status_code == 503
    assert web.delete("/v1/persons/Ada").status_code == 503


def test_the_file_of_the_keys_that_is_back_is_used_again(web: TestClient, tmp_path: Path) -> None:
    store, elsewhere = tmp_path / "pool.server.db", tmp_path / "elsewhere.db"
    store.rename(elsewhere)
    assert web.get("/v1/keys").status_code == 503
    elsewhere.rename(store)
    assert web.get("/v1/keys").status_code == 200


def test_a_change_is_undone_where_the_file_vanishes_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "pool.server.db"
    store = SqliteStore(path)

    def change() -> None:
        with store.transaction() as db:
            db.execute("INSERT INTO server_kept VALUES ('greeting', '{}')")
            path.rename(tmp_path / "elsewhere.db")

    with pytest.raises(StoreGone):
        change()
    (tmp_path / "elsewhere.db").rename(path)
    assert store.read("SELECT * FROM server_kept") == []
    store.close()


def register(path: Path, *people: str) -> None:
    with open_pool(path, SPACE) as pool:
        for number, person in enumerate(people):
            pool.register(person, [Sample(unit(number, SPACE.dimension))], SPACE)


def test_a_pool_that_was_deleted_is_not_an_empty_one(web: TestClient, tmp_path: Path) -> None:
    face = services_of(web).engine.analyzer.frame(unit(0, SPACE.dimension))  # type: ignore[attr-defined]
    picture = {"file": ("face.png", png(face.image_bgr))}
    assert web.post("/v1/recognize", files=picture).status_code == 200
    (tmp_path / "pool.db").unlink()
    for _ in range(8):  # each thread that reads has its own
        answer = web.get("/v1/persons")
        assert (answer.status_code, answer.json()["code"]) == (503, "pool_gone")
        assert "Retry-After" in answer.headers
    assert web.post("/v1/recognize", files=picture).status_code == 503
    assert web.post("/v1/persons", json={"person": "Bob"}).status_code == 503
    assert (web.get("/ready").status_code, web.get("/ready").json()["why"]) == (503, ["pool_gone"])
    for left in tmp_path.glob("pool.db-*"):
        left.unlink()
    register(tmp_path / "back.db", "Eve")
    (tmp_path / "back.db").rename(tmp_path / "pool.db")
    assert web.get("/ready").status_code == 200
    assert [person["person"] for person in web.get("/v1/persons").json()["persons"]] == ["Eve"]
    assert web.post("/v1/persons", json={"person": "Bob"}).status_code in (201, 503)
    assert web.post("/v1/persons", json={"person": "Cleo"}).status_code == 201


def test_a_pool_that_was_never_there_is_an_empty_one(tmp_path: Path) -> None:
    with client_of(tmp_path, FakeAnalyzer()) as web:
        assert web.get("/ready").status_code == 200
        assert web.get("/v1/persons").json()["total"] == 0


def test_what_takes_long_keeps_nobody_from_reading_and_changing(web: TestClient) -> None:
    go_on, begun = threading.Event(), threading.Barrier(3)

    def take_long(_pool: object) -> bool:
        begun.wait(PATIENCE_S)
        return go_on.wait(PATIENCE_S)

    portal = web.portal
    assert portal is not None
    access = services_of(web).pool
    long = [portal.start_task_soon(access.apart, take_long) for _ in range(2)]
    begun.wait(PATIENCE_S)
    assert web.get("/v1/pool/export").status_code == 503
    assert web.post("/v1/persons", json={"person": "Bob"}).status_code == 201
    assert web.get("/v1/persons").json()["total"] == 2
    go_on.set()
    assert all(one.result(PATIENCE_S) for one in long)
    assert web.get("/v1/pool/export").status_code == 200


def test_a_system_without_a_thread_left_takes_no_place_from_what_takes_long(
    web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if thread.name == "facepool-pool-apart":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        for _ in range(3):
            assert web.get("/v1/pool/export").status_code == 503
    assert web.get("/v1/pool/export").status_code == 200
