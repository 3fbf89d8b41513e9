"""What becomes of a request whose path or method no route takes as it is, before a file of the page is looked for.

`Fallbacks` tries two readings: a name whose slashes a proxy has decoded, and HEAD as the head of GET. Else it says
which methods the path takes.
"""

import itertools
from collections.abc import Iterator

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Router
from starlette.types import Message, Receive, Scope, Send

from facepool.web.middleware.paths import with_slash_in_name

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Fallbacks(BaseRoute):
    """The route behind all others, and before the page.

    Args:
        router: Whose routes come before this one.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether some reading of the request leads to a route."""
        known = scope["type"] == "http" and any(self._is_known(reading) for reading in _readings(scope))
        return (Match.FULL if known else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it.

        Raises:
            HTTPException: The path is for other methods, or for a WebSocket.
        """
        # In place, because what logs and counts requests looks there for the route.
        scope["path"] = next(reading["path"] for reading in _readings(scope) if self._is_known(reading))
        methods = self._methods(scope)
        if not methods:
            raise HTTPException(426, "This path takes a WebSocket", {"Upgrade": "websocket", "Connection": "Upgrade"})
        if self._has_route(scope):
            await self._router(scope, receive, send)
        elif scope["method"] == "HEAD" and "HEAD" in methods:
            await self._head(scope, receive, send)
        else:
            await _tell(methods, scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = {**scope, "method": "GET"}
        await self._router(asked, receive, _head_only(send))
        scope["route"] = asked.get("route")

    def _is_known(self, scope: Scope) -> bool:
        return bool(self._methods(scope)) or self._has_route({**scope, "type": "websocket"})

    def _methods(self, scope: Scope) -> list[str]:
        methods = [name for name in _METHODS if self._has_route({**scope, "method": name})]
        return [*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"] if methods else []

    def _has_route(self, scope: Scope) -> bool:
        before = itertools.takewhile(lambda route: route is not self, self._router.routes)
        return any(route.matches(scope)[0] is Match.FULL for route in before)


def _readings(scope: Scope) -> Iterator[Scope]:
    yield scope
    for path in with_slash_in_name(scope["path"]):
        yield {**scope, "path": path}


async def _tell(methods: list[str], scope: Scope, receive: Receive, send: Send) -> None:
    """Say which methods a path takes.

    Raises:
        HTTPException: That was not the question.
    """
    allow = {"Allow": ", ".join(methods)}
    if scope["method"] != "OPTIONS":
        raise HTTPException(405, f"This path does not take {scope['method']}, but {allow['Allow']}", allow)
    await Response(status_code=204, headers=allow)(scope, receive, send)


def _head_only(send: Send) -> Send:
    """Pass on the head of an answer and then nothing more; what would go on and on takes that for the client's end."""

    async def pass_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body"})

    return pass_on
