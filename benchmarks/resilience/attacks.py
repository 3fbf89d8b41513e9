"""The attacks: what each makes before it begins, and what it does until its time is over.

Those without a key come from addresses of their own, the others have the smallest key that suffices. Attackers read
answers where they would otherwise only wait for themselves.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from resilience import hostile
from resilience.server import ADMIN, SMALL, Furnished
from resilience.watch import GOOD_ADDRESSES
from resilience.wire import (
    ATTACKER,
    Target,
    binary_frame,
    crowd,
    live_message,
    open_websocket,
    ping_frame,
    status_of,
    text_frame,
)

_MIB = 1024 * 1024
_JSON = "application/json"
_FORM = "multipart/form-data; boundary=b"
_SMALL_ROOM = 4096
_HOLD_DB = """
import sqlite3, sys, os, signal
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA busy_timeout = 20000")
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""

Make = Callable[[Furnished], bytes]
Run = Callable[[Target, bytes], None]


@dataclass(frozen=True)
class Attack:
    """One kind of attack.

    Attributes:
        name: For `--only`.
        what: For the table.
        make: What it sends; made before the clock runs.
        run: Does it, until it is done or its time is over.
    """

    name: str
    what: str
    make: Make
    run: Run


ATTACKS: dict[str, Attack] = {}


def attack(name: str, what: str, make: Make = lambda _: b"") -> Callable[[Run], Run]:
    """Put a function among the attacks."""

    def put(run: Run) -> Run:
        ATTACKS[name] = Attack(name, what, make, run)
        return run

    return put


# JSON.


@attack("session-lists", "POST /v1/session: 63 MiB of [[],[],...]", lambda _: hostile.lists(63 * _MIB))
def session_lists(target: Target, body: bytes) -> None:
    _again(target, target.head("POST", "/v1/session", kind=_JSON, length=len(body)), body)


@attack("session-fields", "POST /v1/session: 15 MiB of unknown fields", lambda _: hostile.fields(15 * _MIB))
def session_fields(target: Target, body: bytes) -> None:
    _again(target, target.head("POST", "/v1/session", kind=_JSON, length=len(body)), body)


@attack("json-with-key", "3.7 MiB of JSON to 4 routes, recognize key", lambda _: hostile.lists(3_700_000))
def json_with_key(target: Target, body: bytes) -> None:
    routes = ("POST /v1/pool/calibrate", "POST /v1/recognize", "PATCH /v1/settings", "POST /v1/persons")
    while target.left_s > 0:
        for route in routes:
            target.ask(target.head(*route.split(), key=SMALL, kind=_JSON, length=len(body)), body)


@attack("nesting", "JSON nested 300 to 100,000 deep, to 4 routes")
def nesting(target: Target, _: bytes) -> None:
    bodies = [hostile.nested(depth) for depth in (300, 900, 100_000)]
    bodies += [b'{"key": ' + body + b"}" for body in bodies]
    while target.left_s > 0:
        for body in bodies:
            for path in ("/v1/session", "/v1/recognize", "/v1/persons", "/v1/pool/calibrate"):
                target.ask(target.head("POST", path, key=SMALL, kind=_JSON, length=len(body)), body)


def _again(target: Target, head: bytes, body: bytes) -> None:
    """The same request, one after the other."""
    while target.left_s > 0:
        target.ask(head, body)
        time.sleep(0.05)


# Heads and connections.


@attack("endless-heads", "Heads without an end on 4 sockets")
def endless_heads(target: Target, _: bytes) -> None:
    lines = b"".join(b"X-%07d: %s\r\n" % (number, b"a" * 1000) for number in range(64))

    def send(_: int) -> None:
        while target.left_s > 0:
            with target.noting() as told, target.connect() as connection:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
                while target.left_s > 0:
                    connection.sendall(lines)
                told.append("taken to the end")
            time.sleep(0.01)

    crowd(4, send)


@attack("endless-line", "A header's line without an end on 4 sockets")
def endless_line(target: Target, _: bytes) -> None:
    def send(_: int) -> None:
        while target.left_s > 0:
            with target.noting() as told, target.connect() as connection:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: ")
                while target.left_s > 0:
                    connection.sendall(b"a" * 65536)
                told.append("taken to the end")
            time.sleep(0.01)

    crowd(4, send)


@attack("trailers", "Chunked bodies whose trailers have no end, on 4 sockets")
def trailers(target: Target, _: bytes) -> None:
    head = target.head("POST", "/v1/session", kind=_JSON)[:-2] + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"

    def send(_: int) -> None:
        while target.left_s > 0:
            with target.noting() as told, target.connect() as connection:
                connection.sendall(head)
                while target.left_s > 0:
                    connection.sendall(b"X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 1000)
                told.append("taken to the end")
            time.sleep(0.01)

    crowd(4, send)


@attack("pipelined", "200,000 pipelined requests on one socket, unread")
def pipelined(target: Target, _: bytes) -> None:
    request = target.head("GET", "/health")
    with target.noting() as told, target.connect(room=_SMALL_ROOM) as connection:
        for _number in range(200):
            connection.sendall(request * 1000)
        told.append("taken to the end")
        _wait(target)


@attack("openapi", "/openapi.json on 8 sockets")
def openapi(target: Target, _: bytes) -> None:
    _flood(target, 8, target.head("GET", "/openapi.json"), b"")


@attack("slow-bodies-one", "600 bodies of a byte a second from one address")
def slow_bodies_one(target: Target, _: bytes) -> None:
    _slow_bodies(target, [ATTACKER])


@attack("slow-bodies-20", "600 bodies of a byte a second from 20 addresses")
def slow_bodies_20(target: Target, _: bytes) -> None:
    _slow_bodies(target, [f"127.0.0.{number}" for number in range(60, 80)])


@attack("idle", "600 connections that say nothing, opened anew when closed")
def idle(target: Target, _: bytes) -> None:
    open_: list[socket.socket] = []
    while target.left_s > 0:
        while len(open_) < 600 and target.left_s > 0:
            with target.noting() as told:
                open_.append(target.connect(timeout_s=2))
                told.append("connected")
        time.sleep(0.5)
        open_ = [connection for connection in open_ if not _is_over(connection)]
    for connection in open_:
        connection.close()


def _slow_bodies(target: Target, sources: list[str]) -> None:
    """Bodies whose bytes come one a second, as many as the server takes; those that it ends are begun anew."""
    head = target.head("POST", "/v1/session", kind=_JSON, length=1000)
    open_: list[socket.socket] = []
    number = 0
    while target.left_s > 0:
        while len(open_) < 600 and target.left_s > 0:
            number += 1
            with target.noting() as told:
                connection = target.connect(sources[number % len(sources)], timeout_s=2)
                connection.sendall(head + b"{")
                open_.append(connection)
                told.append("connected")
        time.sleep(1)
        open_ = [connection for connection in open_ if _gave(connection, b" ")]
    for connection in open_:
        connection.close()


def _gave(connection: socket.socket, data: bytes) -> bool:
    """Whether the other side still takes something."""
    if _is_over(connection):
        return False
    try:
        connection.sendall(data)
    except OSError:
        connection.close()
        return False
    return True


def _is_over(connection: socket.socket) -> bool:
    """Whether the server has answered or hung up."""
    connection.settimeout(0)
    try:
        connection.recv(4096)
    except BlockingIOError:
        connection.settimeout(2)
        return False
    except OSError:
        pass
    connection.close()
    return True


# WebSockets.


@attack("ws-pings", "Pings on 4 WebSockets, answers read")
def ws_pings(target: Target, _: bytes) -> None:
    _websockets(target, 4, ping_frame(b"a" * 100) * 500, deaf=False)


@attack("ws-pings-deaf", "Pings on 4 WebSockets, answers unread")
def ws_pings_deaf(target: Target, _: bytes) -> None:
    _websockets(target, 4, ping_frame(b"a" * 100) * 500, deaf=True)


@attack("ws-messages", "Frames that are no pictures on 4 WebSockets, answers read")
def ws_messages(target: Target, _: bytes) -> None:
    _websockets(target, 4, binary_frame(live_message(1, b"no picture")) * 500, deaf=False)


@attack("ws-texts", "Texts on 4 WebSockets, answers read")
def ws_texts(target: Target, _: bytes) -> None:
    _websockets(target, 4, text_frame(b"{}") * 50, deaf=False)


@attack("ws-deaf", "Frames on 4 WebSockets, answers unread")
def ws_deaf(target: Target, _: bytes) -> None:
    _websockets(target, 4, binary_frame(live_message(1, b"no picture")) * 500, deaf=True)


def _websockets(target: Target, count: int, messages: bytes, *, deaf: bool) -> None:
    """Send the same again and again, on connections that are opened anew when they are closed."""

    def talk(_: int) -> None:
        while target.left_s > 0:
            with target.noting() as told:
                with open_websocket(target, "/v1/live", SMALL, room=_SMALL_ROOM if deaf else 0) as connection:
                    _send_and_read(target, connection, messages, deaf=deaf)
                told.append("taken to the end")
            time.sleep(0.02)

    crowd(count, talk)


def _send_and_read(target: Target, connection: socket.socket, messages: bytes, *, deaf: bool) -> None:
    while target.left_s > 0:
        connection.sendall(messages)
        if deaf:
            continue
        connection.settimeout(0)
        with suppress(BlockingIOError):
            while connection.recv(1 << 20):
                pass
        connection.settimeout(max(target.left_s, 0.1))


# Pictures.


@attack("jpeg-scans", "JPEGs of 49 megapixels with 90 scans, on 4 sockets", lambda _: hostile.jpeg_of_scans(80, 7000))
def jpeg_scans(target: Target, picture: bytes) -> None:
    _flood(target, 4, target.head("POST", "/v1/recognize", key=SMALL, kind="image/jpeg", length=len(picture)), picture)


@attack("jpeg-2000-scans", "JPEGs with 2,000 scans, on 4 sockets", lambda _: hostile.jpeg_of_scans(2000))
def jpeg_2000_scans(target: Target, picture: bytes) -> None:
    _flood(target, 4, target.head("POST", "/v1/recognize", key=SMALL, kind="image/jpeg", length=len(picture)), picture)


@attack("jpeg2000", "JPEG 2000 of 1.5 kB and 49 megapixels, on 8 sockets", lambda _: hostile.jpeg2000())
def jpeg2000(target: Target, picture: bytes) -> None:
    _flood(target, 8, target.head("POST", "/v1/recognize", key=SMALL, kind="image/jp2", length=len(picture)), picture)


@attack("png-one", "100 PNGs of 49 megapixels in one request", lambda _: hostile.form_of_files([hostile.png()] * 100))
def png_one(target: Target, form: bytes) -> None:
    _again(target, target.head("POST", "/v1/recognize", key=SMALL, kind=_FORM, length=len(form)), form)


@attack("png-many", "PNGs of 49 megapixels on 8 sockets", lambda _: hostile.png())
def png_many(target: Target, picture: bytes) -> None:
    _flood(target, 8, target.head("POST", "/v1/recognize", key=SMALL, kind="image/png", length=len(picture)), picture)


@attack("png-chunks", "PNGs of 1.3 million empty chunks on 4 sockets", lambda _: hostile.png_of_chunks())
def png_chunks(target: Target, picture: bytes) -> None:
    _flood(target, 4, target.head("POST", "/v1/recognize", key=SMALL, kind="image/png", length=len(picture)), picture)


@attack("flood", "Ordinary recognizing with one small key on 32 sockets", lambda pool: pool.picture)
def flood(target: Target, picture: bytes) -> None:
    _flood(target, 32, target.head("POST", "/v1/recognize", key=SMALL, kind="image/jpeg", length=len(picture)), picture)


@attack("form-parts", "32 MiB of tiny parts of a form", lambda _: hostile.form_of_parts(32 * _MIB))
def form_parts(target: Target, form: bytes) -> None:
    _flood(target, 2, target.head("POST", "/v1/recognize", key=SMALL, kind=_FORM, length=len(form)), form)


@attack("form-line-ends", "A form with 15 MiB of line ends", lambda _: hostile.form_of_line_ends(15 * _MIB))
def form_line_ends(target: Target, form: bytes) -> None:
    _flood(target, 2, target.head("POST", "/v1/recognize", key=SMALL, kind=_FORM, length=len(form)), form)


def _flood(target: Target, count: int, head: bytes, body: bytes) -> None:
    """The same request again and again, on so many connections that are kept."""

    def ask(_: int) -> None:
        while target.left_s > 0:
            with suppress(OSError), target.connect() as connection:
                while target.left_s > 0:
                    with target.noting() as told:
                        with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before
                            connection.sendall(head + body)
                        told.append(status_of(connection))
                    if told[-1] == "closed" or not told[-1].isdigit():
                        break
            time.sleep(0.01)

    crowd(count, ask)


# The pool and its files.


def _hostile_form(pool: Furnished) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return hostile.form_of_files([hostile.endless_pool(pool.folder / "pool.db", Path(folder) / "pool.db")])


@attack("hostile-pool", "4 imports of a pool whose people are an endless view, admin key", _hostile_form)
def hostile_pool(target: Target, form: bytes) -> None:
    head = target.head("POST", "/v1/pool/import", key=ADMIN, kind=_FORM, length=len(form))
    crowd(4, lambda _: _again(target, head, form))


@attack("frozen-writer-pool", "A stopped process holds pool.db; 4 renames wait")
def frozen_writer_pool(target: Target, _: bytes) -> None:
    def rename(number: int) -> None:
        body = json.dumps({"person": f"Renamed {number}"}).encode()
        while target.left_s > 0:
            head = target.head("PATCH", f"/v1/persons/Random%20000{number}", key=ADMIN, kind=_JSON, length=len(body))
            target.ask(head, body)

    _while_held(target.server.pool, rename)


@attack("frozen-writer-store", "A stopped process holds pool.server.db; 4 sign in")
def frozen_writer_store(target: Target, _: bytes) -> None:
    body = json.dumps({"key": target.server.keys[SMALL]}).encode()

    def sign_in(_: int) -> None:
        while target.left_s > 0:
            target.ask(target.head("POST", "/v1/session", kind=_JSON, length=len(body)), body)

    _while_held(target.server.pool.with_suffix(".server.db"), sign_in)


@attack("export-unread", "Copies of the pool on 16 sockets, unread, admin key")
def export_unread(target: Target, _: bytes) -> None:
    def ask(_: int) -> None:
        while target.left_s > 0:
            with target.noting() as told, target.connect(room=_SMALL_ROOM) as connection:
                connection.sendall(target.head("GET", "/v1/pool/export", key=ADMIN))
                told.append(connection.recv(12)[9:].decode() or "closed")
                time.sleep(min(2.0, max(target.left_s, 0)))

    crowd(16, ask)


# Keys.


@attack("wrong-keys", "10 wrong keys a second from the good clients' own addresses")
def wrong_keys(target: Target, _: bytes) -> None:
    """The right key is offered there, too, in a header and to sign in: whether it is refused."""
    right = json.dumps({"key": target.server.keys[SMALL]}).encode()
    wrong = json.dumps({"key": "fp_wrong"}).encode()
    while target.left_s > 0:
        for address in GOOD_ADDRESSES:
            for _number in range(5):
                target.ask(target.head("POST", "/v1/session", kind=_JSON, length=len(wrong)), wrong, source=address)
                head = target.head("GET", "/v1/pool")[:-2] + b"x-api-key: fp_wrong\r\n\r\n"
                target.ask(head, source=address)
            for request in (
                (target.head("POST", "/v1/session", kind=_JSON, length=len(right)), right),
                (target.head("GET", "/v1/pool", key=SMALL), b""),
            ):
                status = target.ask(*request, source=address)
                if status != "200":
                    target.hurt[f"right key: {status}"] += 1
        time.sleep(1)


def _while_held(database: Path, work: Callable[[int], object]) -> None:
    """Do something four times while a stopped process holds the lock of a database's writer."""
    with held(database):
        crowd(4, work)


@contextmanager
def held(database: Path) -> Iterator[None]:
    """A process that holds the lock of a database's writer, and was stopped, until the end of the block."""
    holder = subprocess.Popen([sys.executable, "-c", _HOLD_DB, str(database)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(holder.pid, signal.SIGKILL)
        holder.wait()


def _wait(target: Target) -> None:
    time.sleep(max(target.left_s, 0))
