"""What one client may have the server keep or wait for: heads, bodies, answers, connections, frames."""

import asyncio
import json
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from facepool.web.certificates import keep_certificate
from facepool.web.connections import Bounds, Places, network_of
from support.bounded_server import connect, everything, listening, until

SHORT = Bounds(head_s=0.3, body_s=0.3, read_s=0.3, yield_s=0.1)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
CHUNKS = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
HERE = PlainTextResponse("here")
MIB = 1024 * 1024


async def length(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of the body, and with the headers that there are then."""
    request = Request(scope, receive)
    size = len(await request.body())
    await PlainTextResponse(f"{size} {len(request.headers)}")(scope, receive, send)


class Held:
    """Answers nothing until it may; counts what it was asked, and keeps what it was told."""

    def __init__(self) -> None:
        self.asked = 0
        self.taken: list[object] = []
        self.may_answer = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        self.asked += 1
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
        while not self.may_answer.is_set():
            await asyncio.sleep(0.01)
        if scope["type"] == "http":
            await HERE(scope, receive, send)
            return
        while (message := await receive())["type"] == "websocket.receive":
            self.taken.append(message.get("text"))


def sent(one: socket.socket, data: bytes) -> None:
    """Send as much of it as the server takes."""
    with suppress(ConnectionError):
        one.sendall(data)


def refused(answer: bytes) -> tuple[int, str]:
    """Status and code of the last answer."""
    head, _, body = answer.rpartition(b"\r\n\r\n")
    return int(head.rpartition(b"HTTP/1.1 ")[2][:3]), json.loads(body)["code"]


def ends(use: Callable[[], object]) -> bool:
    """Whether the server ends a connection that is used without an end."""
    deadline_s = time.monotonic() + 30
    try:
        while time.monotonic() < deadline_s:
            use()
    except ConnectionError:
        return True
    return False


def eventually(true: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * MIB,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a" * MIB,
        b"GET /" + b"a" * MIB,
        b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: %s\r\n" % (b"b" * 1000) * 70 + b"\r\n",
    ],
    ids=["value", "name", "endless address", "address", "headers", "all"],
)
def test_a_head_has_a_size(head: bytes) -> None:
    with listening(HERE) as port, connect(port) as one:
        sent(one, head)
        assert refused(everything(one)) == (431, "head_too_large")


def test_an_ordinary_head_is_taken_in_any_pieces() -> None:
    head = b"GET /%s HTTP/1.1\r\nHost: x\r\n" % (b"a" * 8000) + b"Cookie: %s\r\n" % (b"c" * 500) * 98 + b"\r\n"
    with listening(HERE) as port, connect(port) as one:
        for start in range(0, len(head), 1000):
            one.sendall(head[start : start + 1000])
        until(one, b"here")
        for byte in GET:
            one.sendall(bytes([byte]))
        until(one, b"here")


@pytest.mark.parametrize(
    "more",
    [
        b"5;" + b"a" * MIB,
        b"5\r\nabcde\r\n0\r\n" + b"A: b\r\n" * 200,
        b"5\r\nabcde\r\n0\r\nA: " + b"b" * MIB,
        b"1;abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\r\na\r\n" * 2000,
    ],
    ids=["extension", "trailers", "trailer", "extensions"],
)
def test_what_stands_around_chunks_has_a_size(more: bytes) -> None:
    with listening(length) as port, connect(port) as one:
        sent(one, CHUNKS + more)
        assert refused(everything(one)) == (431, "head_too_large")


def test_chunks_are_a_body_and_trailers_are_no_headers() -> None:
    body = b"a\r\n0123456789\r\n" * 20_000 + b"0\r\nX-Api-Key: a\r\n\r\n"
    with listening(length) as port, connect(port) as one:
        one.sendall(CHUNKS + body)
        until(one, b"200000 2")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_ends_of_heads_is_a_body(chunked: bool) -> None:
    body = b"\r\n\r\n" * 5000
    if chunked:
        request = CHUNKS + b"".join(b"%x\r\n%s\r\n" % (size, body[:size]) for size in (1, 2, 19_997)) + b"0\r\n\r\n"
    else:
        request = POST.replace(b"100", b"%d" % len(body)) + body
    with listening(length) as port, connect(port) as one:
        one.sendall(request * 3)
        until(one, b"20000 2", 3)


def test_requests_sent_ahead_are_not_parsed_before_their_turn() -> None:
    app = Held()
    with listening(app) as port, connect(port) as one, connect(port) as other:
        one.settimeout(0.5)
        with pytest.raises(TimeoutError):
            one.sendall(GET * 500_000)  # more than sockets hold: the server does not read on
        eventually(lambda: app.asked)
        other.sendall(GET)
        eventually(lambda: app.asked > 1)
        assert app.asked == 2
        app.may_answer.set()
        one.settimeout(30)
        until(one, b"here", 1000)


def test_a_body_may_be_as_long_as_it_goes_on() -> None:
    with listening(length, Bounds(body_s=0.5, least_bytes_s=10)) as port, connect(port) as one:
        one.sendall(POST)
        for _ in range(10):
            one.sendall(b"0123456789")
            time.sleep(0.1)
        until(one, b"100 2")


def test_who_does_not_leave_after_the_last_word_ends_nothing_but_the_connection() -> None:
    with listening(length, SHORT) as port, ExitStack() as open_ones:
        for _ in range(20):
            connect(port, open_ones).sendall(POST)
        time.sleep(2)
        assert httpx.get(f"http://127.0.0.1:{port}/").text.startswith("0 ")


@pytest.mark.parametrize("slowly", [False, True])
def test_a_body_that_stands_still_is_not_waited_for(slowly: bool) -> None:
    with listening(length, SHORT) as port, connect(port) as one:
        one.sendall(POST + b"abc")
        one.settimeout(0.05)
        answer = b""
        for _ in range(90):
            try:
                answer = one.recv(10_000)
                break
            except TimeoutError:
                if slowly:
                    one.sendall(b"a")
        assert refused(answer + everything(one)) == (408, "too_slow")


def test_a_body_that_the_server_does_not_take_yet_is_not_late() -> None:
    app = Held()
    body = bytes(4 * MIB)
    with listening(app, SHORT) as port, connect(port) as one:
        one.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
        sender = threading.Thread(target=sent, args=(one, body))
        sender.start()
        time.sleep(1)
        app.may_answer.set()
        until(one, b"200 OK")
        sender.join(30)


def test_the_rest_of_a_body_that_was_answered_is_not_read_for_ever() -> None:
    with listening(HERE, SHORT) as port, connect(port) as one:
        one.sendall(CHUNKS)
        until(one, b"here")
        assert ends(lambda: one.sendall(b"a\r\n0123456789\r\n" * 100))


def test_an_answer_that_nobody_reads_does_not_hold_a_place() -> None:
    large = Response(bytes(32 * MIB))
    with listening(large, SHORT) as port, connect(port) as one:
        one.sendall(GET)
        time.sleep(1.5)
        assert len(everything(one)) < 32 * MIB


def test_an_answer_that_is_read_slowly_is_sent_whole() -> None:
    large = Response(bytes(8 * MIB))
    with listening(large, SHORT) as port, connect(port) as one:
        one.sendall(GET)
        taken = 0
        while taken < 8 * MIB:
            taken += len(one.recv(MIB))
            time.sleep(0.05)


def test_an_address_has_so_many_places_and_others_have_theirs() -> None:
    app = Held()
    with listening(app, Bounds(most_each=3, spare_each=1, yield_s=60)) as port, ExitStack() as open_ones:
        for _ in range(3):
            connect(port, open_ones).sendall(GET)
        eventually(lambda: app.asked == 3)
        spare = connect(port, open_ones)
        assert refused(everything(connect(port, open_ones))) == (503, "server_busy")
        spare.sendall(GET)
        assert refused(everything(spare)) == (503, "server_busy")
        other = open_ones.enter_context(socket.create_connection(("127.0.0.1", port), 30, ("127.0.0.2", 0)))
        other.sendall(GET)
        app.may_answer.set()
        until(other, b"here")


def test_who_waits_gives_way_to_who_asks() -> None:
    with listening(HERE, Bounds(most_each=3, yield_s=0.1)) as port, ExitStack() as open_ones:
        silent, half, slow = (connect(port, open_ones) for _ in range(3))
        half.sendall(GET[:10])
        slow.sendall(POST)
        for _ in range(3):
            time.sleep(0.3)
            assert httpx.get(f"http://127.0.0.1:{port}/").text == "here"
        assert everything(silent) == b""


def test_addresses_of_a_proxy_have_as_many_places_as_there_are() -> None:
    app = Held()
    with (
        listening(app, Bounds(most_each=1, yield_s=60), proxies=["127.0.0.0/8"]) as port,
        ExitStack() as open_ones,
    ):
        for _ in range(5):
            connect(port, open_ones).sendall(GET)
        eventually(lambda: app.asked == 5)


@pytest.mark.parametrize(
    "bounds", [Bounds(most=3, yield_s=60), Bounds(most_each=3, yield_s=60)], ids=["all", "address"]
)
def test_whether_the_server_lives_is_told_when_no_place_is_left(bounds: Bounds) -> None:
    app = Held()

    async def some(scope: Scope, receive: Receive, send: Send) -> None:
        await (HERE if scope["path"] == "/health" else app)(scope, receive, send)

    with listening(_with_lifespan(some), bounds) as port, ExitStack() as open_ones:
        for _ in range(3):
            connect(port, open_ones).sendall(GET)
        eventually(lambda: app.asked == 3)
        assert httpx.get(f"http://127.0.0.1:{port}/health").text == "here"
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 503
        sent(one := connect(port, open_ones), UPGRADE)
        assert refused(everything(one)) == (503, "server_busy")


def _with_lifespan(app: ASGIApp) -> ASGIApp:
    async def passed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)

    return passed


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("somewhere", "somewhere"),
    ],
)
def test_which_addresses_are_one(host: str, network: str) -> None:
    assert network_of(host) == network


def test_places_are_taken_from_whoever_holds_most() -> None:
    ended: list[str] = []
    places = Places(Bounds(most=4, spare=1, yield_s=0))
    for host in ("192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.3"):
        assert places.take(host, partial(ended.append, host)) is not None
    time.sleep(0.001)
    newcomer = places.take("192.0.2.4", lambda: None)
    assert newcomer is not None
    assert not newcomer.spare
    assert ended == ["192.0.2.2"]
    assert len(places) == 4


def test_a_newcomer_has_a_place_at_once_where_others_hold_more() -> None:
    ended: list[str] = []
    places = Places(Bounds(most=6, spare=1, yield_s=60))

    def spare(host: str) -> bool | None:
        time.sleep(0.001)
        place = places.take(host, partial(ended.append, host))
        return None if place is None else place.spare

    assert [spare(host) for host in ("192.0.2.1", "192.0.2.2") for _ in range(3)] == [False] * 6
    assert [spare("192.0.2.3") for _ in range(2)] == [False] * 2
    assert sorted(ended) == ["192.0.2.1", "192.0.2.2"], "now each has two"
    assert [spare("192.0.2.3") for _ in range(2)] == [True, None]
    assert spare("192.0.2.4") is False
    assert len(ended) == 3


def test_nobody_gives_way_while_it_is_the_servers_turn() -> None:
    places = Places(Bounds(most=3, spare=1, yield_s=60))
    for _ in range(3):
        place = places.take("192.0.2.1", lambda: None)
        assert place is not None
        place.work()
    newcomer = places.take("192.0.2.2", lambda: None)
    assert newcomer is not None
    assert newcomer.spare


def test_a_place_beyond_the_bound_is_a_spare_one_and_they_end() -> None:
    places = Places(Bounds(most=1, spare=1))
    taken = [places.take("192.0.2.1", lambda: None) for _ in range(3)]
    assert [place and place.spare for place in taken] == [False, True, None]
    for place in (taken[0], taken[0], taken[1]):
        assert place is not None
        place.release()
    assert len(places) == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keep_certificate(tmp_path_factory.mktemp("tls") / "own.pem", ["127.0.0.1"]).path


@contextmanager
def encrypted(port: int) -> Iterator[socket.socket]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connect(port) as one, context.wrap_socket(one) as secure:
        yield secure


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
def test_who_does_not_speak_tls_is_not_waited_for(certificate: Path, said: bytes) -> None:
    with (
        listening(HERE, Bounds(most_each=2, head_s=0.3, yield_s=60), certificate=certificate) as port,
        connect(port) as one,
        connect(port) as two,
    ):
        one.sendall(said)
        two.sendall(said)
        everything(one)
        everything(two)
        with encrypted(port) as three:
            three.sendall(GET)
            until(three, b"here")
            three.sendall(GET[:10])
            everything(three)


def test_bounds_hold_over_tls(certificate: Path) -> None:
    with listening(length, SHORT, certificate=certificate) as port:
        with encrypted(port) as one:
            one.sendall(POST)
            assert refused(everything(one)) == (408, "too_slow")
        with encrypted(port) as one:
            one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100 + b"\r\n")
            assert refused(everything(one)) == (431, "head_too_large")


def frame(opcode: int, data: bytes = b"", *, last: bool = True) -> bytes:
    """A frame of a client; masked with zeros."""
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
    return bytes([0x80 * last | opcode]) + size + bytes(4) + data


TEXT, PING, PONG, CONTINUED = 1, 9, 10, 0


@contextmanager
def web_socket(port: int) -> Iterator[socket.socket]:
    with connect(port) as one:
        one.sendall(UPGRADE)
        until(one, b"\r\n\r\n")
        yield one


@pytest.mark.parametrize(
    "flood",
    [
        frame(PING) * 10_000,
        frame(PONG) * 10_000,
        frame(PING, bytes(125)) * 10_000,
        frame(TEXT, last=False) + frame(CONTINUED, last=False) * 10_000,
        (frame(TEXT, b"a", last=False) + frame(CONTINUED)) * 10_000,
    ],
    ids=["pings", "pongs", "large pings", "fragments", "messages of fragments"],
)
def test_a_web_socket_of_nothing_but_frames_ends(flood: bytes) -> None:
    app = Held()
    app.may_answer.set()
    with listening(app) as port, web_socket(port) as one:
        sent(one, flood)
        assert everything(one).partition(b"Too many")[0][-2:] == struct.pack(">H", 1008)


@pytest.mark.parametrize("header", [b"Cookie: " + b"a" * 9000, b"Content-Length: 5", b"Sec-WebSocket-Key: short"])
def test_a_web_socket_that_cannot_begin_is_not_waited_for(header: bytes) -> None:
    with listening(HERE) as port, connect(port) as one:
        one.sendall(UPGRADE[:-2] + header + b"\r\n\r\n")
        assert b" 101 " not in everything(one)


def test_a_web_socket_of_some_pings_and_large_fragments_goes_on() -> None:
    app = Held()
    app.may_answer.set()
    with listening(app) as port, web_socket(port) as one:
        one.sendall(frame(PING) * 100)
        one.sendall(frame(TEXT, b"a" * 5000, last=False) + frame(CONTINUED, b"a" * 5000, last=False) * 500)
        one.sendall(frame(CONTINUED, b"a"))
        eventually(lambda: app.taken)
        assert app.taken == ["a" * (501 * 5000 + 1)]


def test_messages_that_nobody_takes_are_not_read() -> None:
    app = Held()
    with listening(app) as port, web_socket(port) as one, connect(port) as other:
        one.settimeout(0.5)
        with pytest.raises(TimeoutError):
            one.sendall(frame(TEXT, b"a" * 10) * 1_000_000)
        app.may_answer.set()
        eventually(lambda: len(app.taken) > 10_000)
        other.sendall(GET)
        until(other, b"here")


def test_answers_of_a_web_socket_that_nobody_reads_do_not_hold_a_place() -> None:
    over = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": os.urandom(65536)})
        finally:
            over.set()

    with listening(app, SHORT) as port, web_socket(port):
        assert over.wait(30)
