"""A real server with bounds on connections, around any application, in a thread."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from starlette.types import ASGIApp

from facepool.web.connections import Bounds, Places
from facepool.web.server import Server, bind, configure

PATIENCE_S = 60


@contextmanager
def listening(
    app: ASGIApp, bounds: Bounds | None = None, *, certificate: Path | None = None, proxies: Sequence[str] = ()
) -> Iterator[int]:
    """The port at which an application is served until the end of the block."""
    began = threading.Event()
    config = configure(app, tls_certificate=certificate)
    config.timeout_graceful_shutdown = 0
    server = Server(config, began.set, Places(bounds or Bounds(), proxies))
    with bind("127.0.0.1", 0) as listener:
        port: int = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert began.wait(PATIENCE_S), "the server does not start"
            yield port
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)


def connect(port: int, open_ones: ExitStack | None = None) -> socket.socket:
    """A connection, which is closed with others."""
    one = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    return one if open_ones is None else open_ones.enter_context(one)


def until(one: socket.socket, text: bytes, times: int = 1) -> bytes:
    """What comes until a text has come so often."""
    came = b""
    while came.count(text) < times:
        data = one.recv(65536)
        assert data, came
        came += data
    return came


def everything(one: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    came = bytearray()
    try:
        while data := one.recv(65536):
            came += data
    except ConnectionError:
        pass
    return bytes(came)
