"""Servers of a pool in PostgreSQL: what one of them does, the others know, and nothing of it is lost or said twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from facepool.cli.context import CommandContext
from facepool.cli.main import cli
from facepool.gallery import open_pool
from facepool.gallery.address import PostgresAddress, pool_address
from facepool.gallery.notices import COMMAND_LINE
from facepool.types import Frame
from facepool.web.middleware.authentication import ConnectionCheck
from facepool.web.services import Services
from facepool.web.services.settling import settle_once
from facepool.web.services.store import open_store
from support import postgres
from support.fake_analyzer import SPACE, FakeAnalyzer, view
from support.web_client import HERE, client_of, png, sent

pytestmark = pytest.mark.postgres

PATIENCE_S = 60


@pytest.fixture
def address() -> PostgresAddress:
    found = pool_address(postgres.new_database())
    assert isinstance(found, PostgresAddress)
    return found


@pytest.fixture
def analyzer() -> FakeAnalyzer:
    return FakeAnalyzer()


@pytest.fixture
def web(tmp_path: Path, analyzer: FakeAnalyzer, address: PostgresAddress) -> Iterator[TestClient]:
    with client_of(tmp_path, analyzer, pool=address) as client:
        yield client


@pytest.fixture
def other(tmp_path: Path, analyzer: FakeAnalyzer, address: PostgresAddress) -> Iterator[TestClient]:
    with client_of(tmp_path, analyzer, pool=address) as client:
        yield client


def services_of(web: TestClient) -> Services:
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    return services


def until(condition: Callable[[], bool]) -> None:
    ends_at_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_at_s
        time.sleep(0.05)


def register(web: TestClient, analyzer: FakeAnalyzer, name: str, person: int = 0) -> None:
    picture = png(analyzer.frame(view(person, 0)).image_bgr)
    answer = web.post(f"/v1/persons/{name}/samples", files={"files": ("a.png", picture)})
    assert (answer.status_code, answer.json()["stored"]) == (200, 1), answer.text


def recognized(web: TestClient, analyzer: FakeAnalyzer, person: int = 0) -> list[str | None]:
    picture = png(analyzer.frame(view(person, 5)).image_bgr)
    answer = web.post("/v1/recognize", files={"files": ("a.png", picture)})
    return [face["person"] for face in answer.json()["pictures"][0]["faces"]]


def audited(web: TestClient) -> list[tuple[str, str, str]]:
    entries = web.get("/v1/audit").json()["entries"]
    return [(entry["action"], entry["person"], entry["detail"]) for entry in reversed(entries)]


def seen(web: TestClient) -> list[str | None]:
    return [entry["person"] for entry in web.get("/v1/activity").json()["entries"]]


def tables_with(address: PostgresAddress, *words: str) -> list[str]:
    """Which tables have one of several words in any column."""
    with psycopg.connect(address.url, autocommit=True) as connection:
        names = [name for (name,) in connection.execute("SELECT relname FROM pg_stat_user_tables")]
        return sorted(
            name
            for name in names
            for (content,) in connection.execute(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {name} AS t")
            if any(word in content for word in words)
        )


def test_what_one_server_does_the_others_know_and_the_next_ones(
    web: TestClient, other: TestClient, analyzer: FakeAnalyzer, address: PostgresAddress, tmp_path: Path
) -> None:
    register(web, analyzer, "Ada")
    until(lambda: recognized(other, analyzer) == ["Ada"])
    services_of(web).activity.add({"event": "recognized", "person": "Ada", "track": 1, "source": "door"})
    assert seen(other) == ["Ada"]
    until(lambda: [visit["until"] for visit in other.get("/v1/activity/visits").json()["visits"]] == [None])
    assert web.patch("/v1/settings", json={"min_face": 71}).status_code == 200
    until(lambda: other.get("/v1/settings").json()["min_face"] == 71)
    key = {"x-api-key": web.post("/v1/keys", json={"name": "Me", "role": "admin"}).json()["key"]}
    until(lambda: other.get("/v1/persons").status_code == 401)
    assert other.get("/v1/persons", headers=key).status_code == 200
    web.cookies.update(other.post("/v1/session", json={"key": key["x-api-key"]}).cookies)
    assert web.get("/v1/session").json()["name"] == "Me"
    web.cookies.clear()
    other.cookies.clear()
    assert [action for action, _, _ in audited_with(other, key)] == [
        "registered",
        "changed settings",
        "made a key",
        "signed in",
    ]
    desk = {"x-api-key": web.post("/v1/keys", json={"name": "Desk", "role": "admin"}, headers=key).json()["key"]}
    assert other.get("/v1/persons", headers=desk).status_code == 200, "a new key is good everywhere"
    assert web.delete("/v1/keys/Me", headers=desk).status_code == 204
    until(lambda: other.get("/v1/persons", headers=key).status_code == 401)
    web.close()
    with client_of(tmp_path, analyzer, pool=address) as later:
        later.headers.update(desk)
        assert recognized(later, analyzer) == ["Ada"]
        assert later.get("/v1/settings").json()["min_face"] == 71
        assert seen(later) == ["Ada"]


def audited_with(web: TestClient, headers: dict[str, str]) -> list[tuple[str, str, str]]:
    entries = web.get("/v1/audit", headers=headers).json()["entries"]
    return [(entry["action"], entry["person"], entry["detail"]) for entry in reversed(entries)]


def test_who_is_erased_by_one_server_is_in_no_table_and_no_answer_of_another(
    web: TestClient, other: TestClient, analyzer: FakeAnalyzer, address: PostgresAddress
) -> None:
    register(web, analyzer, "Grace")
    services_of(other).activity.add({"event": "appeared", "track": 1, "source": "door"})
    services_of(other).activity.add({"event": "recognized", "person": "Grace", "track": 1, "source": "door"})
    assert web.patch("/v1/persons/Grace", json={"person": "Hopper"}).status_code == 200
    assert seen(other) == ["Hopper", None]
    assert tables_with(address, "Grace", "Hopper") != []
    answer = web.delete("/v1/persons/Hopper")
    assert (answer.status_code, answer.json()["samples"], answer.json()["activity"]) == (200, 1, 1)
    assert seen(other) == []
    assert {person[:7] for _, person, _ in audited(other)} == {"erased-"}
    assert recognized(other, analyzer) == [None]
    assert tables_with(address, "Grace", "Hopper") == []
    until(lambda: bool(web.get("/ready").json()["owed"] == other.get("/ready").json()["owed"] == []))


def test_a_camera_with_a_login_is_known_to_all_servers_and_nothing_shows_its_password(
    web: TestClient, other: TestClient, address: PostgresAddress
) -> None:
    camera = {"source": "rtsp://127.0.0.1:9/door", "name": "Door", "user": "me", "password": "s3cret"}
    assert web.post("/v1/cameras", json=camera).status_code == 201
    until(lambda: len(other.get("/v1/cameras").json()["cameras"]) == 1)
    with services_of(other).store.reading() as db:
        assert list(services_of(other).store.secrets.read(db).values()) == ["rtsp://me:s3cret@127.0.0.1:9/door"]
    assert tables_with(address, "s3cret") == ["server_secrets"]
    for path in ("cameras", "audit", "settings", "system", "pool", "pool/export"):
        assert b"s3cret" not in web.get(f"/v1/{path}").content


def test_a_command_that_changes_the_pool_tells_the_logs_of_its_servers(
    web: TestClient, analyzer: FakeAnalyzer, address: PostgresAddress
) -> None:
    register(web, analyzer, "Grace")
    services_of(web).activity.add({"event": "recognized", "person": "Grace", "track": 1, "source": "door"})
    with CommandContext({"pool": address}).changing_pool() as pool:
        pool.rename("Grace", "Hopper")
    assert audited(web)[-1] == ("renamed", "Hopper", "Grace")
    assert web.get("/v1/audit").json()["entries"][0]["caller"] == COMMAND_LINE
    with CommandContext({"pool": address}).changing_pool() as pool:
        pool.remove("Hopper")
    assert (seen(web), tables_with(address, "Grace", "Hopper")) == ([], [])


def test_a_text_that_the_database_cannot_keep_is_refused(web: TestClient) -> None:
    assert web.get("/v1/audit?person=%00").status_code == 400


def test_a_pool_that_no_server_has_worked_on_keeps_no_notices(address: PostgresAddress) -> None:
    with CommandContext({"pool": address}).changing_pool(must_exist=False) as pool:
        pool.create("Grace")
        assert not pool.owed()
        assert not pool.has_logs


def run(*words: str) -> str:
    outcome = CliRunner().invoke(cli, words)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def test_keys_are_made_listed_and_removed_by_commands(web: TestClient, address: PostgresAddress) -> None:
    key = run("keys", "add", "Me", "--role", "admin", "--pool", address.url).splitlines()[0]
    until(lambda: web.get("/v1/persons").status_code == 401)
    assert web.get("/v1/persons", headers={"x-api-key": key}).status_code == 200
    assert "Me" in run("keys", "list", "--pool", address.url)
    run("keys", "remove", "Me", "--pool", address.url)
    until(lambda: web.get("/v1/persons").status_code == 200)


def test_each_notice_is_told_once_although_several_processes_settle(address: PostgresAddress) -> None:
    open_store(address).close()
    with open_pool(address, SPACE) as pool, pool.noting("Desk"):
        for number in range(30):
            pool.create(f"Person {number}")
            pool.rename(f"Person {number}", f"Somebody {number}")
    ready = threading.Barrier(6)

    def settle(_: int) -> tuple[str, ...]:
        with open_pool(address, SPACE) as pool:
            ready.wait(PATIENCE_S)
            return settle_once(pool)

    with ThreadPoolExecutor(6) as threads:
        assert not any(note for notes in threads.map(settle, range(6)) for note in notes if "told" in note)
    with closing(open_store(address)) as store, open_pool(address, SPACE) as pool:
        actions = [action for (action,) in store.read("SELECT action FROM server_audit ORDER BY id")]
        assert actions == ["created", "renamed"] * 30
        assert pool.owed().notices == ()


_SETTLER = """
import random, sys
from facepool.gallery import open_pool
from facepool.gallery.address import pool_address
from facepool.web.services.settling import settle_once
from support.fake_analyzer import SPACE
from facepool.types import Sample
from support.pools import unit
address, number = pool_address(sys.argv[1]), int(sys.argv[2])
chance = random.Random(number)
with open_pool(address, SPACE) as pool:
    for turn in range(100_000):
        name = f"Person {number}-{turn}"
        with pool.noting(f"Desk {number}"):
            pool.create(name)
            pool.rename(name, f"Renamed {number}-{turn}")
        if chance.random() < 0.5:
            with pool.noting(f"Desk {number}"):
                pool.remove(f"Renamed {number}-{turn}")
            print("erased", name, flush=True)
        else:
            print("kept", name, flush=True)
        if chance.random() < 0.7:
            settle_once(pool)
"""


@pytest.mark.skipif(os.name != "posix", reason="processes are killed by a signal")
def test_processes_that_are_killed_while_they_settle_lose_nothing_and_tell_nothing_twice(
    address: PostgresAddress,
) -> None:
    open_store(address).close()
    with open_pool(address, SPACE) as pool:
        pool.create("Somebody who stays")
    said: dict[str, str] = {}
    for round_number in range(2):
        settlers = [
            subprocess.Popen(
                [sys.executable, "-c", _SETTLER, address.url, str(10 * round_number + number)],
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[1],
            )
            for number in range(2)
        ]
        for settler in settlers:
            assert settler.stdout is not None
            for _ in range(10):
                what, _, name = settler.stdout.readline().strip().partition(" ")
                said[name] = what
        for settler in settlers:
            settler.send_signal(signal.SIGKILL)
            rest, _ = settler.communicate()
            for line in rest.splitlines():
                what, _, name = line.partition(" ")
                said[name] = what
    with open_pool(address, SPACE) as pool:
        assert not any("told" in note for note in settle_once(pool))
        assert pool.owed().notices == ()
        people = {person.name for person in pool.people()}
    renamed = {name: name.replace("Person", "Renamed") for name in said}
    assert {renamed[name] for name, what in said.items() if what == "kept"} <= people
    assert not {renamed[name] for name, what in said.items() if what == "erased"} & people
    with closing(open_store(address)) as store:
        rows = store.read("SELECT action, person, detail FROM server_audit WHERE caller LIKE 'Desk%'")
        told = [(action, person) for action, person, _ in rows if action in ("created", "renamed")]
        named = {str(person) for _, person, _ in rows if not str(person).startswith("erased-")}
        assert len(told) == len(set(told)), "something was told twice"
        assert named <= people | {name.replace("Renamed", "Person") for name in people}
    erased = [f'"{word}"' for name, what in said.items() if what == "erased" for word in (name, renamed[name])]
    assert tables_with(address, *erased) == []


def test_a_change_whose_server_cannot_tell_is_hidden_until_another_tells(
    web: TestClient, other: TestClient, analyzer: FakeAnalyzer, address: PostgresAddress
) -> None:
    register(web, analyzer, "Grace")
    services = services_of(web)
    services.activity.add({"event": "recognized", "person": "Grace", "track": 1, "source": "door"})
    with services.store.transaction(), ThreadPoolExecutor(1) as thread:  # others cannot write
        answer = thread.submit(lambda: web.delete("/v1/persons/Grace")).result(PATIENCE_S)
        assert (answer.status_code, answer.json()["samples"]) == (200, 1)
        assert any("Activity and audit log follow" in note for note in answer.json()["notes"])
        assert seen(web) == []
        until(lambda: seen(other) == [])
        assert other.get("/ready").json()["owed"] != []
    until(lambda: bool(web.get("/ready").json()["owed"] == other.get("/ready").json()["owed"] == []))
    assert tables_with(address, "Grace") == []


def view_of(socket: WebSocketTestSession, face: Frame) -> dict[str, Any]:
    """What a browser is told of a picture that it sends now."""
    socket.send_bytes(sent(face, time.monotonic()))
    answer: dict[str, Any] = socket.receive_json()
    return answer


def test_a_live_session_without_a_key_goes_on_while_the_database_is_away_and_one_with_a_key_is_to_try_again(
    tmp_path: Path, analyzer: FakeAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConnectionCheck, "every_s", 0.0)
    with postgres.own_server() as server, client_of(tmp_path, analyzer, pool=pool_address(server.url("pool"))) as web:
        register(web, analyzer, "Ada")
        face = analyzer.frame(view(0, 5))
        with web.websocket_connect(f"{HERE}/v1/live") as socket:
            until(lambda: bool(view_of(socket, face)["faces"][0]["similarity"]))
            server.stop("immediate")
            until(lambda: view_of(socket, face)["outage"] is not None)
            assert view_of(socket, face)["faces"][0]["similarity"] > 0.9
            answer = web.get("/v1/persons")
            assert (answer.status_code, answer.json()["code"]) == (503, "pool_unreachable")
            assert "Retry-After" in answer.headers
            server.start()
            until(lambda: view_of(socket, face)["outage"] is None)
        until(lambda: web.get("/v1/persons").status_code == 200)
        key = {"x-api-key": web.post("/v1/keys", json={"name": "Me", "role": "admin"}).json()["key"]}
        with web.websocket_connect(f"{HERE}/v1/live", headers=key) as socket:
            view_of(socket, face)
            server.stop("immediate")
            with pytest.raises(WebSocketDisconnect) as closed:
                until(lambda: not view_of(socket, face))
            assert closed.value.code == 1013
            assert web.get("/v1/persons", headers=key).status_code == 503
            assert web.get("/health").status_code == 200
            assert web.get("/ready").json()["ready"] is False
            server.start()
            until(lambda: web.get("/v1/persons", headers=key).status_code == 200)
