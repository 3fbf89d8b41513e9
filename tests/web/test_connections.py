"""Connections that stay open: whose they still are, how many one client has, how long nothing may be said on them."""

import asyncio
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from facepool.errors import ImageUnreadable
from facepool.gallery import open_pool
from facepool.types import ReducedImage
from facepool.web.connections import Bounds
from facepool.web.middleware.authentication import ConnectionCheck
from facepool.web.problems import ServerBusy, TooManyRequests
from facepool.web.services import ServerOptions, Services
from facepool.web.services.activity import Events
from facepool.web.services.engine import Engine
from facepool.web.services.limits import Limits
from support.bounded_server import connect, everything, listening, until
from support.fake_analyzer import FakeAnalyzer
from support.fake_live_analyzer import FakeLiveAnalyzer
from support.fake_scan_analyzer import SPACE, FakeScanAnalyzer, circle, still
from support.live_server import serving
from support.web_client import HERE, client_of, look, png

GUARDED = ServerOptions(keys_always=True)


def services_of(client: TestClient) -> Services:
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    return services


@pytest.fixture
def looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConnectionCheck, "every_s", 0.0)


@pytest.mark.usefixtures("looked_at_each_time")
@pytest.mark.parametrize("ends", ["key", "sign-out"])
def test_live_pictures_end_with_the_key_or_session(tmp_path: Path, ends: str) -> None:
    analyzer = FakeLiveAnalyzer()
    with client_of(tmp_path, analyzer, GUARDED) as client:
        keys = services_of(client).keys
        client.post("/v1/session", json={"key": keys.add("Door", "recognize")})
        cookie = {"cookie": f"facepool_session={client.cookies['facepool_session_8000']}"}
        with client.websocket_connect(f"{HERE}/v1/live", headers=cookie) as live:
            assert look(live, analyzer.frame())["faces"] == []
            if ends == "key":
                keys.remove("Door")
            else:
                keys.sign_out(client.cookies["facepool_session_8000"])
            with pytest.raises(WebSocketDisconnect) as closed:
                look(live, analyzer.frame())
        assert closed.value.code == 4401


def test_a_scan_is_not_saved_with_a_key_that_was_removed(tmp_path: Path) -> None:
    analyzer = FakeScanAnalyzer()
    with client_of(tmp_path, analyzer, GUARDED) as client:
        keys = services_of(client).keys
        key = {"x-api-key": keys.add("Desk", "enroll")}
        with client.websocket_connect(f"{HERE}/v1/enroll", headers=key) as scan:
            scan.send_text(json.dumps({"do": "start", "person": "Ada"}))
            for head in (*still(), *circle()):
                look(scan, analyzer.frame(head))
            scan.send_json({"do": "finish"})
            assert scan.receive_json()["type"] == "report"
            keys.remove("Desk")
            scan.send_json({"do": "store"})
            with pytest.raises(WebSocketDisconnect) as closed:
                scan.receive_json()
        assert closed.value.code == 4401
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        assert pool.people() == []


@pytest.mark.usefixtures("looked_at_each_time")
def test_events_end_with_the_key(tmp_path: Path) -> None:
    with serving(tmp_path / "pool.db", FakeAnalyzer(), GUARDED) as server:
        keys, events = server.services.keys, server.services.activity.events
        key = {"x-api-key": keys.add("Door", "recognize")}
        with (
            httpx.Client(base_url=server.url, timeout=30, headers=key) as client,
            client.stream("GET", "/v1/events") as answer,
            telling(events),
        ):
            lines = answer.iter_lines()
            assert any(line.startswith("data") for line in lines)
            keys.remove("Door")
            assert len(list(itertools.islice(lines, 500))) < 500, "it goes on"


@contextmanager
def telling(events: Events) -> Iterator[None]:
    over = threading.Event()

    def tell() -> None:
        while not over.wait(0.02):
            events.publish({"id": str(uuid4()), "event": "lost"})

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_no_client_takes_the_places_of_all() -> None:
    limits = Limits(sessions=5, sessions_each=2)
    with ExitStack() as open_ones:
        for client in ("a", "a", "b"):
            open_ones.enter_context(limits.session(client))
        with pytest.raises(TooManyRequests, match="too many connections"), limits.session("a"):
            pass
        open_ones.enter_context(limits.session("b"))
        open_ones.enter_context(limits.session("c"))
        with pytest.raises(ServerBusy), limits.session("d"):
            pass
        assert limits.sessions == 5
    assert limits.sessions == 0
    with limits.session("a"):
        assert limits.sessions == 1


def test_live_pictures_and_events_are_counted_by_key(tmp_path: Path) -> None:
    options = ServerOptions(keys_always=True, limits=Limits(sessions_each=1))
    analyzer = FakeLiveAnalyzer()
    with client_of(tmp_path, analyzer, options) as client:
        ada, bob = ({"x-api-key": services_of(client).keys.add(name, "recognize")} for name in ("Ada", "Bob"))
        with client.websocket_connect(f"{HERE}/v1/live", headers=ada):
            with (
                client.websocket_connect(f"{HERE}/v1/live", headers=ada) as other,
                pytest.raises(WebSocketDisconnect) as closed,
            ):
                other.receive_json()
            assert closed.value.code == 1013
            assert client.get("/v1/events", headers=ada).status_code == 429
            with client.websocket_connect(f"{HERE}/v1/live", headers=bob) as other:
                assert look(other, analyzer.frame())["faces"] == []


@pytest.mark.parametrize("path", ["/v1/live", "/v1/enroll"])
def test_a_frame_has_no_more_pixels_than_a_camera(tmp_path: Path, path: str) -> None:
    with client_of(tmp_path, FakeScanAnalyzer()) as client, client.websocket_connect(f"{HERE}{path}") as stream:
        if path == "/v1/enroll":
            stream.send_text(json.dumps({"do": "start", "person": "Ada"}))
        stream.send_bytes(bytes(16) + png(np.zeros((2001, 2000, 3), np.uint8)))
        answer = stream.receive_json()
        assert (answer["code"], answer["frame"]) == ("too_large", 0)


def test_pictures_wait_for_a_few_threads_and_too_many_are_turned_away() -> None:
    may_go_on = threading.Event()

    def size_of(picture: ReducedImage) -> tuple[int, int]:
        return picture.size_wh

    def look(picture: ReducedImage) -> tuple[int, int]:
        may_go_on.wait(60)
        return size_of(picture)

    picture = png(np.zeros((8, 8, 3), np.uint8))

    async def run() -> None:
        engine = Engine(FakeAnalyzer(), queue=2)
        both = [asyncio.ensure_future(engine.look(client, picture, look)) for client in ("Ada", "Bob")]
        await asyncio.sleep(0)
        with pytest.raises(ServerBusy):
            await engine.look("Eve", picture, size_of)
        may_go_on.set()
        assert await asyncio.gather(*both) == [(8, 8)] * 2
        with pytest.raises(ImageUnreadable):
            await engine.look("Eve", b"no picture", size_of)
        assert await engine.look("Eve", picture, size_of) == (8, 8)
        engine.close()

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/v1/detect", "/api/v1/detection/detect"])
def test_pictures_of_requests_are_decoded_apart(tmp_path: Path, path: str) -> None:
    picture = png(np.zeros((8, 8, 3), np.uint8))
    with client_of(tmp_path, FakeAnalyzer(), ServerOptions(queue=0)) as client:
        assert client.post(path, files={"file": ("a.png", picture)}).status_code == 503


IMPATIENT = Bounds(most=3, spare=0, head_s=0.3, yield_s=60)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_who_connects_and_does_not_ask_is_not_waited_for(said: bytes) -> None:
    with listening(PlainTextResponse("here"), IMPATIENT) as port, ExitStack() as open_ones:
        silent = [connect(port, open_ones) for _ in range(6)]
        for one in silent:
            one.sendall(said)
        for one in silent:
            everything(one)  # the second three were turned away
        assert httpx.get(f"http://127.0.0.1:{port}/").text == "here"


@pytest.mark.parametrize("then", [b"\r\n", b"GET / HT"])
def test_nor_who_was_answered_and_begins_again(then: bytes) -> None:
    with listening(PlainTextResponse("here"), IMPATIENT) as port, connect(port) as one:
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        until(one, b"here")
        one.sendall(then)
        assert ended(one)


def test_a_connection_that_asks_again_later_is_kept() -> None:
    with listening(PlainTextResponse("here"), IMPATIENT) as port, connect(port) as one:
        for _ in range(3):
            one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            until(one, b"here")
            time.sleep(0.4)  # longer than a head may take, but nothing has begun


def ended(one: socket.socket) -> bool:
    try:
        return one.recv(100) == b""
    except ConnectionResetError:
        return True


def test_who_is_still_sending_when_the_server_stops_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "http.request":
            pass

    with ExitStack() as running:
        port = running.enter_context(listening(app))
        with connect(port) as one:
            one.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
            time.sleep(0.2)
            running.close()
            assert b"503 Service Unavailable" in one.recv(10_000)
    assert "Exception" not in caplog.text
