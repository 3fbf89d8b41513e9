"""Asks for a key before anything of a body is taken. Plain ASGI."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from facepool.web.compreface.routing import refusal
from facepool.web.keys import Keys
from facepool.web.limits import Limits
from facepool.web.problems import RequestError, problem
from facepool.web.signin import identify

_OF_COMPREFACE = "/api/"
_ASKED = ("/v1/", _OF_COMPREFACE)
_OPEN = "/v1/session"


class KeyFirst:
    """Refuses requests of nobody known, so that nobody else's bodies cost memory. Which role it takes, routes say.

    Args:
        app: What comes next.
        keys: Who may do something.
        limits: Counts wrong keys.
    """

    def __init__(self, app: ASGIApp, keys: Keys, limits: Limits) -> None:
        self._app = app
        self._keys = keys
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it pass, or refuse it; WebSockets are closed by their own routes."""
        if scope["type"] == "http" and scope["path"].startswith(_ASKED) and scope["path"] != _OPEN:
            request = Request(scope)
            try:
                # In a thread, because it may wait for the file of the keys.
                await run_in_threadpool(identify, request, self._keys, self._limits)
            except RequestError as error:
                of_compreface = scope["path"].startswith(_OF_COMPREFACE)
                answer = refusal(error, request) if of_compreface else problem(error)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)
