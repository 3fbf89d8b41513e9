"""How the application is served: sockets, TLS, who is let in, and how it ends.

``bind`` and ``run`` are all that a command needs. Connections are accepted here and not by uvicorn, because who is let
in has to be known before TLS is spoken with them.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE

from facepool.errors import ConfigError
from facepool.web import problems
from facepool.web.allocator import giving_back
from facepool.web.connections import Bounds, Place, Places
from facepool.web.problems import ServerBusy
from facepool.web.protocols import BoundedHTTP, raw_answer

_LOG = logging.getLogger(__name__)

_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
_GRACE_S = 5
_MOST_FRAME_BYTES = 5 * 1024 * 1024
_MOST_MESSAGES = 32
_ACCEPT_AGAIN_S = 0.1
_MOST_AT_ONCE = 64
_MOST_BYTES_OF_A_REFUSED = 64 * 1024


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address, for ``run``: made before time is spent on loading networks.

    Raises:
        ConfigError: The address cannot be listened at.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        if os.name == "posix":  # on Windows it would let two servers listen at one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigError(
            f"The server cannot listen on {host}:{port}", why=error.strerror or str(error), fix="Choose another --port"
        ) from error
    return listener


def run(
    app: ASGIApp,
    listener: socket.socket,
    started: Callable[[], None],
    *,
    tls_certificate: Path | None = None,
    tls_key: Path | None = None,
    proxies: Sequence[str] = (),
    bounds: Bounds | None = None,
) -> None:
    """Serve an application until the process is asked to end.

    Args:
        app: What answers.
        listener: Bound already.
        started: Called when it listens.
        tls_certificate: Chain in PEM, for https.
        tls_key: Its key, if that is not in the same file.
        proxies: Addresses and networks of proxies that are believed; each may have as many connections as it likes.
        bounds: What connections may hold.
    """
    config = configure(app, tls_certificate=tls_certificate, tls_key=tls_key)
    with giving_back():
        Server(config, started, Places(bounds or Bounds(), proxies)).run(sockets=[listener])


def configure(app: ASGIApp, *, tls_certificate: Path | None = None, tls_key: Path | None = None) -> uvicorn.Config:
    """How uvicorn is to serve an application."""
    return uvicorn.Config(
        QuietEnd(app),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the application's own middleware reads them
        timeout_graceful_shutdown=_GRACE_S,
        ws_max_size=_MOST_FRAME_BYTES,
        ws_max_queue=_MOST_MESSAGES,
        ws_per_message_deflate=False,
        ssl_certfile=tls_certificate,
        ssl_keyfile=tls_key,
    )


class Server(uvicorn.Server):
    """Says when it listens, lets in as many as there are places for, and ends as asked.

    It ends with 0, whatever signal asked for it, also as process 1.

    Args:
        config: uvicorn's.
        started: Called when it listens.
        places: Of connections.
    """

    def __init__(self, config: uvicorn.Config, started: Callable[[], None], places: Places) -> None:
        super().__init__(config)
        self._started = started
        self._places = places
        self._tasks: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen at sockets that are bound."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        self.servers = []
        for listener in sockets or []:
            listener.settimeout(0)
            listener.listen(self.config.backlog)
            self._keep(asyncio.create_task(self._accept(listener)))
        self.started = True
        self._started()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: end connections that let the server wait for too long."""
        self._places.end_overdue()
        return await super().on_tick(counter)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
                self._let_in(connection, address[0])
                # Many may have come at once, and between two turns of the loop others have their say.
                for _ in range(_MOST_AT_ONCE):
                    connection, address = listener.accept()
                    self._let_in(connection, address[0])
            except BlockingIOError:
                continue
            except OSError as error:  # the client has gone already, or there are no more files
                _LOG.warning("A connection could not be accepted: %s", error)
                await asyncio.sleep(_ACCEPT_AGAIN_S)

    def _let_in(self, connection: socket.socket, host: str) -> None:
        connection.settimeout(0)
        place = self._places.take(host, connection.close)
        if place is None:
            _turn_away(connection, secure=self.config.ssl is not None)
            return
        task = asyncio.create_task(self._speak(connection, place))
        place.abort = place.give_up = partial(_abandon, task, place)
        self._keep(task)

    async def _speak(self, connection: socket.socket, place: Place) -> None:
        """Agree on TLS, if it is spoken; then the protocol has the connection."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: BoundedHTTP(place, self.config, self.server_state, self.lifespan.state),
                connection,
                ssl=self.config.ssl,
            )
        except (OSError, asyncio.CancelledError):  # it took too long, or the client speaks no TLS or has gone
            place.release()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop. Who presses Ctrl-C twice waits for no request, but for what has to be closed."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let signals end the server, without raising them anew once it has ended, as uvicorn does."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _ENDING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _abandon(task: asyncio.Task[None], place: Place) -> None:
    task.cancel()
    place.release()  # the task may not have begun


_TURNED_AWAY = raw_answer(
    ServerBusy(
        "There are too many connections",
        why="your address, or the server, has no place left",
        fix="Close some, or try again later",
    )
)


def _turn_away(connection: socket.socket, *, secure: bool) -> None:
    """Say that there is no place, where that can be said without waiting."""
    with connection, suppress(OSError):
        if not secure:
            with suppress(BlockingIOError):
                connection.recv(_MOST_BYTES_OF_A_REFUSED)  # unread, it would take the answer back
            connection.send(_TURNED_AWAY)


class QuietEnd:
    """Ends requests quietly that are still under way when the server's patience with them ends.

    uvicorn cancels them, and would log each as an error with its traceback.

    Args:
        app: What comes next.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on; answer that the server stops, if it is cancelled before its answer began."""
        began = False

        async def note(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except asyncio.CancelledError:  # of a request that nobody else would cancel
            if scope["type"] == "http" and not began:
                stops = ServerBusy("The server stops", fix="Ask again when it is back")
                await problems.problem(stops)(scope, receive, send)
