"""Floods on real connections: what a client sends after the server has closed is not kept."""

import socket
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from starlette.types import Receive, Scope, Send

from support.bounded_server import connect, listening

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
FLOOD = (b"\x82\x8a" + bytes(14)) * 60_000
"""A megabyte of small masked messages."""


def closing(code: int, *, read: int) -> Callable[[Scope, Receive, Send], object]:
    """An application that closes a WebSocket after so many messages."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(read):
            await receive()
        await send({"type": "websocket.close", "code": code})

    return app


def flooded_bytes(one: socket.socket) -> int:
    """How much the server takes until it ends the connection, or takes nothing for a while."""
    taken = 0
    one.settimeout(3)
    with suppress(ConnectionError, TimeoutError):
        for _ in range(200):
            one.sendall(FLOOD)
            taken += len(FLOOD)
    return taken


@pytest.mark.parametrize("code", [1000, 1008])
def test_who_goes_on_after_the_server_has_closed_is_hung_up_on(code: int) -> None:
    with listening(closing(code, read=3)) as port, connect(port) as one:  # type: ignore[arg-type]  # it is one
        one.sendall(UPGRADE)
        assert one.recv(100).startswith(b"HTTP/1.1 101")
        began_s = time.monotonic()
        assert flooded_bytes(one) < 100_000_000
        assert time.monotonic() - began_s < 60


def test_a_polite_end_is_waited_for() -> None:
    with listening(closing(1000, read=1)) as port, connect(port) as one:  # type: ignore[arg-type]  # it is one
        one.sendall(UPGRADE)
        assert one.recv(4096).startswith(b"HTTP/1.1 101")
        one.sendall(FLOOD[:16] * 40)
        assert one.recv(4096) == b"\x88\x02\x03\xe8"
        one.sendall(b"\x88\x82" + bytes(4) + b"\x03\xe8")
        assert one.recv(100) == b""
