"""Talks to a server in ways that no HTTP library would: raw sockets from chosen addresses of the loopback."""

import base64
import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from resilience.server import Server

ATTACKER = "127.0.0.66"
_FIN_TEXT, _FIN_BINARY, _FIN_PING = 0x81, 0x82, 0x89


@dataclass
class Target:
    """A server under attack.

    Attributes:
        until_s: When the attack is to end, by `time.monotonic`.
        saw: What the attacker was answered, by status or exception.
        hurt: What good clients suffered that only the attack itself could see, by what it was.
    """

    server: Server
    picture: bytes
    until_s: float
    saw: Counter[str] = field(default_factory=Counter)
    hurt: Counter[str] = field(default_factory=Counter)

    @property
    def left_s(self) -> float:
        return self.until_s - time.monotonic()

    def connect(self, source: str = ATTACKER, *, timeout_s: float | None = None, room: int = 0) -> socket.socket:
        """A connection from an address of the loopback.

        Args:
            source: Where it comes from.
            timeout_s: Of each call; by default until the attack ends.
            room: For what comes from the server, in bytes; 0: as usual.
        """
        made = socket.socket()
        if room:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        made.settimeout(max(self.left_s, 0.1) if timeout_s is None else timeout_s)
        made.bind((source, 0))
        made.connect(("127.0.0.1", self.server.port))
        return made

    def head(self, method: str, path: str, *, key: str = "", kind: str = "", length: int | None = None) -> bytes:
        """The head of a request, with the key of that name."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.server.port}"]
        lines += [f"x-api-key: {self.server.keys[key]}"] if key else []
        lines += [f"Content-Type: {kind}"] if kind else []
        lines += [f"Content-Length: {length}"] if length is not None else []
        return "\r\n".join([*lines, "", ""]).encode()

    def ask(self, head: bytes, body: bytes = b"", *, source: str = ATTACKER, timeout_s: float | None = None) -> str:
        """One request over a connection of its own: the status of its answer, or what became of it."""
        with self.noting() as told, self.connect(source, timeout_s=timeout_s) as connection:
            with suppress(ConnectionError):  # it may have answered before it has read everything
                connection.sendall(head + body)
            told.append(status_of(connection))
        return told[0]

    @contextmanager
    def noting(self) -> Iterator[list[str]]:
        """Notes what became of something: the word that is put into the list, or the exception."""
        told: list[str] = []
        try:
            yield told
        except OSError as error:
            told.append(type(error).__name__)
        self.saw[told[0] if told else "nothing"] += 1


def status_of(connection: socket.socket) -> str:
    """Read one answer, whole if it tells its length."""
    data = b""
    while b"\r\n\r\n" not in data and (part := connection.recv(65536)):
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    if not head:
        return "closed"
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0]) - len(rest) if lengths else 0
    while missing > 0 and (part := connection.recv(min(missing, 1 << 20))):
        missing -= len(part)
    return head.split(b" ", 2)[1].decode("latin-1")


def crowd(count: int, work: Callable[[int], object]) -> None:
    """Do something that many times at once, each in a thread; to the end of all."""
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def open_websocket(target: Target, path: str, key: str, *, room: int = 0) -> socket.socket:
    """A connection that has become a WebSocket.

    Raises:
        ConnectionError: The server did not want it.
    """
    connection = target.connect(room=room)
    nonce = base64.b64encode(os.urandom(16)).decode()
    head = target.head("GET", path, key=key)[:-2]
    upgrade = (
        f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\n"
    )
    connection.sendall(head + upgrade.encode() + b"\r\n")
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(4096)
        if not part:
            break
        data += part
    if not data.startswith(b"HTTP/1.1 101"):
        connection.close()
        raise ConnectionRefusedError(data[:40].decode("latin-1"))
    return connection


def text_frame(text: bytes) -> bytes:
    return _frame(_FIN_TEXT, text)


def ping_frame(data: bytes = b"") -> bytes:
    return _frame(_FIN_PING, data)


def binary_frame(data: bytes) -> bytes:
    return _frame(_FIN_BINARY, data)


def live_message(number: int, picture: bytes) -> bytes:
    """What `/v1/live` takes: a number and the time before a picture."""
    return struct.pack(">Qd", number, time.monotonic()) + picture


def _frame(kind: int, data: bytes) -> bytes:
    """A frame of a client, masked with zeros, which leave the data as they are."""
    size = len(data)
    if size < 126:
        length = struct.pack(">B", 0x80 | size)
    elif size < 1 << 16:
        length = struct.pack(">BH", 0x80 | 126, size)
    else:
        length = struct.pack(">BQ", 0x80 | 127, size)
    return bytes([kind]) + length + bytes(4) + data
