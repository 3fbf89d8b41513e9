"""The WebSockets of the page: a guided scan from the first message to the pool, live pictures, who may use them."""

import json
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from facepool.gallery import open_pool
from facepool.types import Sample
from facepool.web.services import ServerOptions
from facepool.web.services.limits import Limits
from support.fake_analyzer import SPACE as LIVE_SPACE
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer
from support.fake_scan_analyzer import SPACE, FakeScanAnalyzer, circle, still
from support.pools import unit
from support.web_client import HERE, client_of, look, sent


@contextmanager
def enrolling(client: TestClient, person: str = "Ada", **wishes: object) -> Iterator[WebSocketTestSession]:
    with client.websocket_connect(f"{HERE}/v1/enroll") as socket:
        socket.send_text(json.dumps({"do": "start", "person": person, **wishes}))
        yield socket


def test_a_scan_goes_from_the_first_message_to_the_pool(tmp_path: Path) -> None:
    analyzer = FakeScanAnalyzer()
    with client_of(tmp_path, analyzer) as client, enrolling(client) as socket:
        told = [look(socket, analyzer.frame(head)) for head in (*still(), *circle())]
        assert [message["frame"] for message in told] == list(range(len(told)))
        assert told[-1]["phase"] == "done"
        socket.send_json({"do": "finish"})
        report = socket.receive_json()
        assert (report["type"], report["person"]) == ("report", "Ada")
        assert look(socket, analyzer.frame(*still(1))) == {"frame": len(told), "dropped": True}
        socket.send_json({"do": "store"})
        assert socket.receive_json() == {"type": "stored", "person": "Ada", "stored": report["views"]}
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()
        (entry,) = client.get("/v1/audit").json()["entries"]
        assert (entry["action"], entry["person"], entry["caller"]) == ("registered", "Ada", "local")
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        assert len(pool.templates("Ada")) == report["views"]


def test_who_leaves_before_saving_has_stored_nothing(tmp_path: Path) -> None:
    analyzer = FakeScanAnalyzer()
    with client_of(tmp_path, analyzer) as client, enrolling(client) as socket:
        for head in (*still(), *circle()):
            look(socket, analyzer.frame(head))
        socket.send_json({"do": "finish"})
        assert socket.receive_json()["type"] == "report"
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        assert pool.people() == []


@pytest.mark.parametrize(
    "first", ["{}", "no json", '{"do": "start", "person": ""}', '{"do": "start", "person": "\\n"}']
)
def test_a_scan_that_cannot_begin_says_why_and_ends(tmp_path: Path, first: str) -> None:
    with client_of(tmp_path, FakeScanAnalyzer()) as client, client.websocket_connect(f"{HERE}/v1/enroll") as socket:
        socket.send_text(first)
        answer = socket.receive_json()
        assert (answer["type"], answer["fatal"], bool(answer["message"])) == ("error", True, True)
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()


def test_a_wrong_command_or_picture_is_told_and_the_scan_goes_on(tmp_path: Path) -> None:
    analyzer = FakeScanAnalyzer()
    with client_of(tmp_path, analyzer) as client, enrolling(client) as socket:
        for wrong, code in (("dance", "request_invalid"), ('{"do": "finish"}', "scan_incomplete")):
            socket.send_text(wrong)
            answer = socket.receive_json()
            assert (answer["code"], answer["fatal"]) == (code, False)
        socket.send_bytes(struct.pack(">Qd", 7, 0.0) + b"no picture")
        answer = socket.receive_json()
        assert (answer["frame"], answer["code"]) == (7, "image_unreadable")
        assert look(socket, analyzer.frame(*still(1)))["phase"] == "frontal"


def test_live_pictures_are_answered_and_what_happened_is_kept(tmp_path: Path) -> None:
    analyzer = FakeLiveAnalyzer()
    with open_pool(tmp_path / "pool.db", LIVE_SPACE) as pool:
        pool.register("Ada", [Sample(unit(0, LIVE_SPACE.dimension))], LIVE_SPACE)
    with client_of(tmp_path, analyzer) as client:
        with client.websocket_connect(f"{HERE}/v1/live") as socket:
            told = [look(socket, analyzer.frame(Actor(unit(0, LIVE_SPACE.dimension)))) for _ in range(12)]
        (face,) = told[-1]["faces"]
        assert (face["person"], face["reason"], face["told"]) == ("Ada", "match", True)
        assert face["bbox"] == [44, 44, 156, 156]
        assert [event["event"] for message in told for event in message["events"]] == ["appeared", "recognized"]
        for _ in range(500):  # that nobody looks any more is noted after the page has gone
            entries = client.get("/v1/activity").json()["entries"]
            if len(entries) == 3:
                break
            time.sleep(0.01)
        assert [(entry["event"], entry["person"], entry["source"]) for entry in entries] == [
            ("lost", "Ada", "browser"),
            ("recognized", "Ada", "browser"),
            ("appeared", None, "browser"),
        ]


def test_who_is_before_a_browser_that_sends_nothing_any_more_is_lost_and_appears_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facepool.web.api.live._SILENT_S", 0.5)
    monkeypatch.setattr("facepool.web.api.live._IDLE_S", 0.05)
    analyzer = FakeLiveAnalyzer()
    with open_pool(tmp_path / "pool.db", LIVE_SPACE) as pool:
        pool.register("Ada", [Sample(unit(0, LIVE_SPACE.dimension))], LIVE_SPACE)
    ada = Actor(unit(0, LIVE_SPACE.dimension))
    with (
        client_of(tmp_path, analyzer) as client,
        client.websocket_connect(f"{HERE}/v1/live") as socket,
    ):
        for _ in range(4):
            look(socket, analyzer.frame(ada))
        entries = []
        for _ in range(500):
            entries = client.get("/v1/activity").json()["entries"]
            if len(entries) == 3:
                break
            time.sleep(0.01)
        assert [entry["event"] for entry in entries] == ["lost", "recognized", "appeared"]
        told = [look(socket, analyzer.frame(ada)) for _ in range(4)]
        assert [event["event"] for message in told for event in message["events"]] == ["appeared", "recognized"]


def test_time_does_not_go_back_whatever_a_client_says(tmp_path: Path) -> None:
    analyzer = FakeLiveAnalyzer()
    with client_of(tmp_path, analyzer) as client, client.websocket_connect(f"{HERE}/v1/live") as socket:
        for time_s, counted in ((5.0, 5.0), (1.0, 5.0), (6.0, 6.0)):
            socket.send_bytes(sent(analyzer.frame(), time_s))
            assert socket.receive_json()["time_s"] == counted


def test_a_key_is_needed_where_keys_are(tmp_path: Path) -> None:
    with client_of(tmp_path, FakeScanAnalyzer(), ServerOptions(keys_always=True)) as client:
        for path in ("/v1/live", "/v1/enroll"):
            with client.websocket_connect(f"{HERE}{path}") as socket, pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_json()
            assert closed.value.code == 4401


def test_a_pool_of_another_model_is_no_reason_to_try_again(tmp_path: Path) -> None:
    with client_of(tmp_path, FakeScanAnalyzer()) as client:
        with open_pool(tmp_path / "pool.db") as pool:
            pool.replace_vectors({}, LIVE_SPACE)
        with client.websocket_connect(f"{HERE}/v1/live") as socket, pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 4409


def test_there_are_only_so_many_at_once(tmp_path: Path) -> None:
    options = ServerOptions(limits=Limits(sessions=1))
    with client_of(tmp_path, FakeScanAnalyzer(), options) as client, client.websocket_connect(f"{HERE}/v1/live"):
        with client.websocket_connect(f"{HERE}/v1/live") as other, pytest.raises(WebSocketDisconnect) as closed:
            other.receive_json()
        assert closed.value.code == 1013


def test_a_page_of_another_site_gets_nothing(tmp_path: Path) -> None:
    with client_of(tmp_path, FakeScanAnalyzer()) as client, pytest.raises(WebSocketDisconnect):
        client.websocket_connect(f"{HERE}/v1/live", headers={"origin": "https://elsewhere.example"}).__enter__()
