"""The application: routers, what requests pass before them, and the page."""

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

import facepool
from facepool.web import compreface, enroll, live, problems
from facepool.web.api import activity, cameras, health, keys, persons, pool, recognition, session, settings, system
from facepool.web.api.described import PROBLEMS
from facepool.web.bounds import DEADLINE_S, MOST_BYTES, Bounds
from facepool.web.guards import Guard, SecurityHeaders
from facepool.web.key_first import KeyFirst
from facepool.web.paths import KeepSlashes
from facepool.web.services import Services
from facepool.web.traffic import Traffic

_STATIC = Path(str(files("facepool.web") / "static"))
_ROUTERS = (
    persons.router,
    recognition.router,
    pool.router,
    activity.router,
    cameras.router,
    settings.router,
    live.router,
    enroll.router,
    compreface.router,
    system.router,
    session.router,
    keys.router,
    health.router,
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
        responses=PROBLEMS,
        lifespan=lifespan,
    )
    app.state.services = services
    problems.add_handlers(app)
    for router in _ROUTERS:
        app.include_router(router)
    _add_page(app)
    # The last one is passed first.
    app.add_middleware(Bounds, most_bytes=most_bytes, deadline_s=deadline_s)
    app.add_middleware(KeyFirst, keys=services.keys, limits=services.limits)
    app.add_middleware(Guard, limits=services.limits, keyless=lambda: not services.keys.required)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Traffic, metrics=services.metrics)
    app.add_middleware(KeepSlashes)
    return app


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
