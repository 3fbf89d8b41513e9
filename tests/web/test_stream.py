"""Frames and commands over a WebSocket: how they come in, what waits, what is given up."""

import asyncio
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from starlette.types import Message
from starlette.websockets import WebSocket

from facepool.config import Settings
from facepool.web.api.live import MESSAGES_A_SECOND, BadMessage, Budget, FrameStream, SentFrame, converse, parse_frame
from facepool.web.app import create_app
from facepool.web.services import Services, assemble
from facepool.web.services.keys import LOCAL
from support.fake_analyzer import FakeAnalyzer


def frame(number: int, time_s: float = 0.5, picture: bytes = b"jpeg") -> bytes:
    return struct.pack(">Qd", number, time_s) + picture


def test_a_frame_has_a_number_a_time_and_a_picture() -> None:
    assert parse_frame(frame(7, 1.25, b"picture")) == SentFrame(7, 1.25, b"picture")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"short",
        struct.pack(">Qd", 1, 0),
        frame(1, float("nan")),
        frame(1 << 63),
        frame(1, picture=bytes(5_000_000)),
    ],
)
def test_what_is_no_frame_is_refused(message: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_frame(message)


def test_what_has_to_be_done_is_done_although_the_client_was_cut_off(tmp_path: Path) -> None:
    """A server that ends, and the framework's test client, cancel tasks that wait, while the thread has other work."""
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    class Busy:
        over = False

        def take(self, _item: SentFrame | str) -> None:
            begun.set()
            go_on.wait(10)

        def idle(self) -> None:
            """It has no patience that could end."""

        def close(self) -> None:
            done.set()

    async def cut_off(services: Services) -> None:
        client = Client()
        client.send("anything")
        socket = client.socket()
        socket.scope["app"] = create_app(services)
        task = asyncio.create_task(converse(socket, services, LOCAL, "recognize", Busy))
        await asyncio.to_thread(begun.wait, 10)
        for _ in range(2):  # once while it waits for the answer, once while it waits for the end
            task.cancel()
            await asyncio.sleep(0.01)
        with suppress(asyncio.CancelledError):
            await task
        go_on.set()

    services = assemble(Settings.model_validate({"pool": tmp_path / "pool.db"}), FakeAnalyzer())
    asyncio.run(cut_off(services))
    assert done.wait(10)
    services.close()


class Client:
    """The other end of a WebSocket."""

    def __init__(self) -> None:
        self._to_server: asyncio.Queue[Message] = asyncio.Queue()
        self.got: list[Message] = []
        self._to_server.put_nowait({"type": "websocket.connect"})

    def send(self, data: bytes | str) -> None:
        kind = "bytes" if isinstance(data, bytes) else "text"
        self._to_server.put_nowait({"type": "websocket.receive", kind: data})

    def leave(self) -> None:
        self._to_server.put_nowait({"type": "websocket.disconnect", "code": 1000})

    def socket(self) -> WebSocket:
        return WebSocket({"type": "websocket", "path": "/v1/live", "headers": []}, self._to_server.get, self._take)

    async def _take(self, message: Message) -> None:
        self.got.append(message)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[FrameStream]:
        socket = self.socket()
        await socket.accept()
        async with FrameStream.of(socket) as stream:
            yield stream


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_the_newest_frame_waits_and_those_before_are_answered_as_dropped() -> None:
    async def run() -> None:
        client = Client()
        async with client.stream() as stream:
            for number in (1, 2, 3):
                client.send(frame(number))
            await settle()
            assert await anext(aiter(stream)) == SentFrame(3, 0.5, b"jpeg")
            told = [message["text"] for message in client.got[1:]]
            assert told == ['{"frame":1,"dropped":true}', '{"frame":2,"dropped":true}']

    asyncio.run(run())


def test_commands_are_all_kept_and_come_first() -> None:
    async def run() -> None:
        client = Client()
        async with client.stream() as stream:
            for message in (frame(1), "one", "two"):
                client.send(message)
            await settle()
            messages = aiter(stream)
            assert [await anext(messages) for _ in range(3)] == ["one", "two", SentFrame(1, 0.5, b"jpeg")]

    asyncio.run(run())


def test_it_ends_when_the_client_leaves_and_nothing_is_sent_any_more() -> None:
    async def run() -> None:
        client = Client()
        async with client.stream() as stream:
            client.leave()
            assert [item async for item in stream] == []
            await stream.send({"frame": 1})
            assert [message["type"] for message in client.got] == ["websocket.accept"]

    asyncio.run(run())


def test_a_budget_is_what_comes_in_and_what_was_saved_and_never_more() -> None:
    now_s = 0.0
    budget = Budget(10, lambda: now_s)
    assert [budget.spend(1) for _ in range(21)] == [True] * 20 + [False]
    now_s = 0.5
    assert [budget.spend(1) for _ in range(6)] == [True] * 5 + [False]
    now_s = 1000.0
    assert not budget.spend(21)
    assert budget.spend(20)


@pytest.mark.parametrize("message", [frame(1), "rubbish"])
def test_a_flood_of_messages_ends_the_connection(message: bytes | str) -> None:
    async def run() -> None:
        client = Client()
        async with client.stream() as stream:
            for _ in range(10_000):
                client.send(message)
            async with asyncio.timeout(30):
                taken = [item async for item in stream]
            assert client.got[-1]["type"] == "websocket.close"
            assert client.got[-1]["code"] == 1008
            assert len(taken) + len(client.got) < 1000

    asyncio.run(run())


def test_a_flood_of_bytes_ends_the_connection() -> None:
    async def run() -> None:
        client, large = Client(), frame(1, picture=bytes(4_000_000))
        async with client.stream() as stream:
            for _ in range(200):
                client.send(large)
            async with asyncio.timeout(30):
                assert len([item async for item in stream]) < 100
            assert (client.got[-1]["type"], client.got[-1]["code"]) == ("websocket.close", 1008)

    asyncio.run(run())


def test_sixty_frames_a_second_and_commands_beside_them_are_no_flood() -> None:
    now_s = 0.0
    budget = Budget(MESSAGES_A_SECOND, lambda: now_s)
    for _ in range(60 * 60):
        now_s += 1 / 60
        assert budget.spend(1)
        assert budget.spend(1)


@pytest.mark.parametrize("frames", [1, 3])
def test_who_does_not_read_the_answers_is_let_go_of(monkeypatch: pytest.MonkeyPatch, frames: int) -> None:
    """One frame waits for its answer, of three the reader answers two as dropped: both must have an end."""
    monkeypatch.setattr("facepool.web.api.live._UNREAD_S", 0.05)
    monkeypatch.setattr("facepool.web.api.live._GOODBYE_S", 0.05)

    class Deaf(Client):
        async def _take(self, message: Message) -> None:
            await super()._take(message)
            if message["type"] != "websocket.accept":
                await asyncio.Event().wait()

    async def run() -> None:
        client = Deaf()
        async with client.stream() as stream:
            for number in range(frames):
                client.send(frame(number))
            async with asyncio.timeout(30):
                async for item in stream:
                    if isinstance(item, SentFrame):
                        await stream.send({"frame": item.number})
            assert [message["type"] for message in client.got].count("websocket.send") <= 2
            assert client.got[-1]["type"] == "websocket.close"

    asyncio.run(run())


def test_events_that_are_not_read_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facepool.web.api.activity._UNREAD_S", 0.05)
    services = assemble(Settings.model_validate({"pool": tmp_path / "pool.db"}), FakeAnalyzer())
    app, told = create_app(services), list[Message]()
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "server": ("127.0.0.1", 8000),
        "path": "/v1/events",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 50_000),
    }

    async def silent() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def deaf(message: Message) -> None:
        told.append(message)
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def run() -> None:
        answer = asyncio.create_task(app(scope, silent, deaf))
        async with asyncio.timeout(30):
            while not answer.done():
                services.activity.events.publish({"id": "1", "event": "lost"})
                await asyncio.sleep(0.01)
            await answer
        assert [message["type"] for message in told] == ["http.response.start", "http.response.body"]
        assert told[0]["status"] == 200
        assert services.limits.sessions == 0

    asyncio.run(run())
    services.close()


@pytest.mark.parametrize("message", [b"no frame", "x" * 20_000])
def test_nonsense_ends_the_connection_with_a_reason(message: bytes | str) -> None:
    async def run() -> None:
        client = Client()
        async with client.stream() as stream:
            client.send(message)
            assert [item async for item in stream] == []
            assert client.got[-1]["type"] == "websocket.close"
            assert (client.got[-1]["code"], bool(client.got[-1]["reason"])) == (1008, True)

    asyncio.run(run())
