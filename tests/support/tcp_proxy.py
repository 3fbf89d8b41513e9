"""A wire between a client and a server on this machine that can be cut, or left open with nothing coming through."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_MOST_BYTES = 1 << 16


class Wire:
    """Listens on a port of its own and hands on what comes.

    Args:
        port: Of the server.

    Attributes:
        swallow: What makes it cut the connection when the client sends it, which the server then does not get.
        answer_to: What makes it cut the connection when the server answers to it, which the client then does not get.
        refuses: Whether it lets nobody in any more.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.swallow: bytes | None = None
        self.answer_to: bytes | None = None
        self.refuses = False
        self._flows = threading.Event()
        self._flows.set()
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> None:
        """Keep connections open, and hand nothing on any more."""
        self._flows.clear()

    def release(self) -> None:
        """Hand on what has come since, and all that comes."""
        self._flows.set()

    def cut(self) -> None:
        """Close all connections."""
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        """Close everything."""
        self._listener.close()
        self.cut()
        self._flows.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refuses:
                    client.close()
                    continue
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                self._ends += [client, server]
                waits = threading.Event()
                for source, target, is_client in ((client, server, True), (server, client, False)):
                    arguments = (source, target, waits, is_client)
                    threading.Thread(target=self._hand_on, args=arguments, daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket, waits: threading.Event, is_client: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_MOST_BYTES):
                self._flows.wait()
                if is_client and self.swallow is not None and self.swallow in data:
                    self.swallow = None
                    break
                if is_client and self.answer_to is not None and self.answer_to in data:
                    self.answer_to = None
                    waits.set()
                elif not is_client and waits.is_set():
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """A wire to a server."""
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()
