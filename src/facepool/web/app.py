"""The application: routers, what requests pass before them, the page, and how uvicorn runs it.

``create_app`` puts it together; ``bind`` and ``run`` listen, and limit how many connect and how slowly they may ask.
"""

import asyncio
import mimetypes
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import cast

import uvicorn
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

import facepool
from facepool.errors import ConfigError
from facepool.web import compreface, deepstack, problems
from facepool.web.api import activity, cameras, enroll, keys, live, persons, pool, recognition, system
from facepool.web.fallbacks import Fallbacks
from facepool.web.middleware import Deployment, middleware
from facepool.web.middleware.bounds import DEADLINE_S, MOST_BYTES
from facepool.web.openapi import Application, operation_id
from facepool.web.problems import ServerBusy
from facepool.web.services import Services

_STATIC = Path(str(files("facepool.web") / "static"))
_ROUTERS = (
    persons.router,
    recognition.router,
    pool.router,
    activity.router,
    cameras.router,
    system.settings_router,
    live.router,
    enroll.router,
    compreface.router,
    deepstack.router,
    system.router,
    keys.session,
    keys.router,
    system.monitoring,
)

_WORDS: dict[str, problems.Refusal] = {"/api/": compreface.refusal, "/v1/vision/": deepstack.refusal}
"""Interfaces of other programs, by how their addresses begin: how they say that something is wrong."""


def create_app(
    services: Services,
    *,
    most_bytes: int = MOST_BYTES,
    deadline_s: float = DEADLINE_S,
    deployment: Deployment | None = None,
) -> FastAPI:
    """Put a server together.

    Args:
        services: What it works with; closed when the application ends.
        most_bytes: Largest body of a request.
        deadline_s: How long a request may take until its answer begins.
        deployment: What stands between the server and those who use it; nothing, by default.
    """
    deployment = deployment or Deployment()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        services.cameras.restore()
        yield
        services.close()

    app = Application(
        title="facepool",
        version=facepool.__version__,
        description="Register a face once, from every angle, and recognize it anywhere.",
        docs_url=None,
        redoc_url=None,
        responses=problems.PROBLEMS,
        generate_unique_id_function=operation_id,
        lifespan=lifespan,
        middleware=middleware(services, deployment, most_bytes=most_bytes, deadline_s=deadline_s, refusal=_refusal),
    )
    app.state.services = services
    app.state.deployment = deployment
    app.state.most_bytes = most_bytes
    problems.add_handlers(app, _refusal)
    for router in _ROUTERS:
        app.include_router(router)
    app.router.routes.append(Fallbacks(app.router))
    _add_page(app)
    return app


def _refusal(error: problems.Failure, request: Request) -> Response:
    """Clients of other programs' interfaces expect the words of these."""
    path = request.scope["path"]
    words = next((words for start, words in _WORDS.items() if path.startswith(start)), problems.refusal_as_problem)
    return words(error, request)


class _Page(StaticFiles):
    """Files that browsers ask about each time: after an update the page fits the server."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD") and self.lookup_path(path)[1] is None:
            raise HTTPException(404)  # or any address that there is not would be one for other methods
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _add_page(app: FastAPI) -> None:
    # Some systems tell other types, and a browser that is told not to guess runs no script of another type.
    for ending, kind in ((".js", "text/javascript"), (".css", "text/css"), (".svg", "image/svg+xml")):
        mimetypes.add_type(kind, ending)
    app.mount("/", _Page(directory=_STATIC, html=True))


_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
_MOST_CONNECTIONS = 512
_GRACE_S = 5
_MOST_FRAME_BYTES = 5 * 1024 * 1024


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
) -> None:
    """Serve an application until the process is asked to end.

    Args:
        app: What answers.
        listener: Bound already.
        started: Called when it listens.
        tls_certificate: Chain in PEM, for https.
        tls_key: Its key, if that is not in the same file.
    """
    config = uvicorn.Config(
        QuietEnd(app),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the application's own middleware reads them
        http=PromptHTTP,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_S,
        ws_max_size=_MOST_FRAME_BYTES,
        ws_per_message_deflate=False,
        ssl_certfile=tls_certificate,
        ssl_keyfile=tls_key,
    )
    _Server(config, started).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says when it listens, and ends as asked: with 0, whatever signal asked for it, also as process 1."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop. Who presses Ctrl-C twice waits for no request, but for what has to be closed."""
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


class PromptHTTP(HttpToolsProtocol):
    """HTTP/1.1 that hangs up where the head of a request is not complete in time.

    uvicorn itself has a limit only for what follows an answer, and connections that wait count among those that it
    takes.
    """

    head_s = 10.0
    """From the connection, or from the first bytes after an answer, to the end of the head."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Somebody has connected."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Something came. After an answer it is another head, whatever it looks like."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # uvicorn says that there is always one
        if self._head_timer is None and (cycle is None or cycle.response_complete):
            self._wait_for_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_s, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _hang_up(self) -> None:
        self._head_timer = None
        self.transport.abort()  # over TLS, a polite end would be waited for, too
