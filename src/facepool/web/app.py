"""The application: routers, what requests pass before them, and the page."""

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

import facepool
from facepool.errors import FacepoolError
from facepool.web import compreface, problems
from facepool.web.api import activity, cameras, enroll, keys, live, persons, pool, recognition, system
from facepool.web.middleware import middleware
from facepool.web.middleware.bounds import DEADLINE_S, MOST_BYTES
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
    system.router,
    keys.session,
    keys.router,
    system.monitoring,
)


def create_app(services: Services, *, most_bytes: int = MOST_BYTES, deadline_s: float = DEADLINE_S) -> FastAPI:
    """Put a server together.

    Args:
        services: What it works with; closed when the application ends.
        most_bytes: Largest body of a request.
        deadline_s: How long a request may take until its answer begins.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        services.cameras.restore()
        yield
        services.close()

    app = FastAPI(
        title="facepool",
        version=facepool.__version__,
        description="Register a face once, from every angle, and recognize it anywhere.",
        docs_url=None,
        redoc_url=None,
        responses=problems.PROBLEMS,
        lifespan=lifespan,
        middleware=middleware(services, most_bytes=most_bytes, deadline_s=deadline_s, refusal=_refusal),
    )
    app.state.services = services
    problems.add_handlers(app)
    for router in _ROUTERS:
        app.include_router(router)
    _add_page(app)
    return app


def _refusal(error: FacepoolError, request: Request) -> Response:
    """Clients of CompreFace expect its words."""
    of_compreface = request.url.path.startswith("/api/")
    return compreface.refusal(error, request) if of_compreface else problems.problem(error)


class _Page(StaticFiles):
    """Files that browsers ask about each time: after an update the page fits the server."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _add_page(app: FastAPI) -> None:
    # Some systems tell other types, and a browser that is told not to guess runs no script of another type.
    for ending, kind in ((".js", "text/javascript"), (".css", "text/css"), (".svg", "image/svg+xml")):
        mimetypes.add_type(kind, ending)
    app.mount("/", _Page(directory=_STATIC, html=True))
