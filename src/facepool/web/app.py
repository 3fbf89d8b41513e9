"""The application: routers, what requests pass before them, and the page. `facepool.web.server` runs it."""

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

import facepool
from facepool.errors import FacepoolError
from facepool.web import compreface, deepstack, problems
from facepool.web.api import (
    activity,
    cameras,
    enroll,
    keys,
    live,
    liveness,
    persons,
    pool,
    privacy,
    recognition,
    sightings,
    suggestions,
    system,
    unknown,
)
from facepool.web.api import collections as collections_api
from facepool.web.fallbacks import Fallbacks
from facepool.web.hiding import HiddenFolders, usual_folders
from facepool.web.middleware import Deployment, middleware
from facepool.web.middleware.bounds import DEADLINE_S, MOST_BYTES
from facepool.web.openapi import Application, operation_id
from facepool.web.services import Services
from facepool.web.services.collections import Collections

_STATIC = Path(str(files("facepool.web") / "static"))
_ROUTERS = (
    recognition.router,  # asked most; whatever comes before the one that is meant is tried in vain
    persons.router,
    privacy.router,
    pool.router,
    suggestions.router,
    activity.router,
    sightings.router,
    unknown.router,
    cameras.router,
    system.settings_router,
    live.router,
    liveness.router,
    enroll.router,
    compreface.router,
    deepstack.router,
    system.router,
    keys.session,
    keys.router,
    collections_api.router,
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
        services: What it works with, of the default collection; closed when the application ends.
        most_bytes: Largest body of a request.
        deadline_s: How long a request may take until its answer begins.
        deployment: What stands between the server and those who use it; nothing, by default.
    """
    deployment = deployment or Deployment()
    collections = Collections(services)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        services.cameras.restore()
        await run_in_threadpool(collections.start)
        yield
        await run_in_threadpool(collections.close)
        services.close()

    hidden = HiddenFolders(usual_folders(services.settings.pool))

    def refusal(error: problems.Failure, request: Request) -> Response:
        return _refusal(hidden.for_clients(error) if isinstance(error, FacepoolError) else error, request)

    app = Application(
        title="facepool",
        version=facepool.__version__,
        description="Register a face once, from every angle, and recognize it anywhere.",
        docs_url=None,
        redoc_url=None,
        responses=problems.PROBLEMS,
        generate_unique_id_function=operation_id,
        lifespan=lifespan,
        middleware=middleware(collections, deployment, most_bytes=most_bytes, deadline_s=deadline_s, refusal=refusal),
    )
    app.state.services = services
    app.state.collections = collections
    app.state.deployment = deployment
    app.state.most_bytes = most_bytes
    app.state.hidden = hidden
    problems.add_handlers(app, refusal, hidden.for_clients)
    for router in _ROUTERS:
        app.include_router(router)
    app.router.routes.append(Fallbacks(app.router))
    _add_page(app)
    return app


def _refusal(error: problems.Failure, request: Request) -> Response:
    """The answer, in the words of the interface that was asked."""
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
