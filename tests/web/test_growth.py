"""What clients could make grow without end, and does not."""

import asyncio
from collections import deque
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from facepool.config import Settings
from facepool.web.app import create_app
from facepool.web.middleware.authentication import share_in
from facepool.web.middleware.bounds import Bounds
from facepool.web.problems import Failure, TooManyRequests
from facepool.web.services import assemble
from facepool.web.services.limits import Limits
from facepool.web.services.store import SqliteStore
from support.fake_live_analyzer import FakeLiveAnalyzer
from support.web_client import LOCAL, client_of

NEIGHBOURS = [f"2001:db8::{number:x}" for number in range(1, 500)]
"""Addresses that one client has, of its 18 trillion."""


def test_addresses_that_one_client_has_by_the_billion_are_counted_as_one() -> None:
    limits = Limits("100/minute")
    for count in (limits.count_request, limits.count_wrong_key):
        with pytest.raises(TooManyRequests):
            deque(map(count, NEIGHBOURS))
        count("2001:db8:0:1::1")
        count("192.0.2.1")


def test_the_log_of_the_servers_own_file_stays_small(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "pool.server.db")) as store:
        for number in range(300):
            store.keep(f"setting {number}", {"value": "x" * 10_000})
            assert (tmp_path / "pool.server.db-wal").stat().st_size < 1024 * 1024


def test_who_needs_no_key_shares_with_the_rest_of_the_network() -> None:
    def share(address: str) -> str:
        return share_in(HTTPConnection({"type": "http", "headers": [], "client": (address, 1)}))

    assert len({share(address) for address in NEIGHBOURS}) == 1
    assert len({share(address) for address in (NEIGHBOURS[0], "2001:db8:0:1::1", "192.0.2.1", "192.0.2.2")}) == 4


def bounds(app: "Slow", each: int) -> Bounds:
    def refusal(error: Failure, _request: Request) -> Response:
        assert isinstance(error, HTTPException)
        return PlainTextResponse(error.detail, error.status_code)

    middleware = Bounds(app, refusal)
    middleware._held._each = each
    return middleware


class Slow:
    """Reads a body, keeps it, and answers when it may."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.kept = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            self.kept += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        await self.may_answer.wait()
        await PlainTextResponse("done")(scope, receive, send)


async def ask(app: Bounds, address: str, parts: int, part: bytes) -> int:
    left = iter([{"type": "http.request", "body": part, "more_body": number > 0} for number in reversed(range(parts))])
    got: list[int] = []

    async def receive() -> Message:
        await asyncio.sleep(0)
        return next(left)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            got.append(message["status"])

    scope = {"type": "http", "method": "POST", "path": "/v1/recognize", "headers": [], "client": (address, 1)}
    try:
        await app(scope, receive, send)
    except HTTPException as error:
        return error.status_code
    return got[0]


def test_bodies_that_are_read_at_once_have_only_so_much_room_and_one_client_half_of_it() -> None:
    async def run() -> None:
        app, part = Slow(), bytes(1000)
        guarded = bounds(app, each=10_000)
        greedy = [asyncio.create_task(ask(guarded, "192.0.2.1", 10, part)) for _ in range(8)]
        modest = asyncio.create_task(ask(guarded, "192.0.2.2", 5, part))
        while sum(task.done() for task in greedy) < 7:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not modest.done()
        app.may_answer.set()
        told = [await task for task in greedy]
        assert (sorted(told), await modest) == ([200] + [503] * 7, 200)
        assert await ask(guarded, "192.0.2.1", 10, part) == 200

    asyncio.run(run())


def test_two_clients_that_hold_all_the_room_for_bodies_keep_nobody_out_who_sends_little() -> None:
    async def run() -> None:
        app, part = Slow(), bytes(1000)
        guarded = bounds(app, each=10_000)
        greedy = [asyncio.create_task(ask(guarded, f"192.0.2.{number}", 10, part)) for number in (1, 2)]
        while app.kept < 20_000:
            await asyncio.sleep(0)
        modest = asyncio.create_task(ask(guarded, "192.0.2.3", 5, part))
        while app.kept < 25_000 and not modest.done():
            await asyncio.sleep(0)
        assert await ask(guarded, "192.0.2.1", 1, part) == 503, "who holds much gets no more"
        app.may_answer.set()
        assert [await task for task in (*greedy, modest)] == [200, 200, 200]

    asyncio.run(run())


def test_a_face_that_turns_into_another_again_and_again_takes_only_so_much_of_its_past_along(tmp_path: Path) -> None:
    with client_of(tmp_path, FakeLiveAnalyzer()) as client:
        activity = client.app.state.services.activity  # type: ignore[attr-defined]
        record = {"event": "changed", "person": None, "person_id": None, "source": "browser", "track": 7}
        for number in range(250):
            activity.add(record | {"id": str(number)})
        (track,) = activity._visits._open.values()
        assert len(track.rows) == 100


def test_only_so_many_entries_are_kept_of_who_was_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facepool.web.services.activity._TIDY_EVERY", 10)
    settings = Settings.model_validate({"pool": tmp_path / "pool.db", "keep_activity_entries": 20})
    with TestClient(create_app(assemble(settings, FakeLiveAnalyzer())), base_url=LOCAL) as client:
        activity = client.app.state.services.activity  # type: ignore[attr-defined]
        for number in range(100):
            activity.add({"event": "lost", "person": None, "person_id": None, "source": str(number), "id": str(number)})
        sources = [entry["source"] for entry in client.get("/v1/activity").json()["entries"]]
    assert sources[0] == "99"
    assert 20 <= len(sources) <= 30
