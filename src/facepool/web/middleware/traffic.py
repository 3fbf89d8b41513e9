"""Counts and logs requests, without names: paths have people's names in them, so their route stands for them."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facepool.web.services.metrics import Metrics

_LOG = logging.getLogger(__name__)
_NO_ROUTE = "other"


class Traffic:
    """Counts and logs every request.

    Args:
        app: What comes next.
        metrics: Counts them.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on; count and log it when it is over."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            took_s = time.perf_counter() - began
            route = _route_of(scope)
            self._metrics.request(route, scope["method"], status, took_s)
            _LOG.info("%s %s %d %.0f ms", scope["method"], route, status, 1000 * took_s)


def _route_of(scope: Scope) -> str:
    """The pattern of the path; where a router lies in another one, its own pattern is the path's last parts."""
    pattern = getattr(scope.get("route"), "path_format", None)
    if not isinstance(pattern, str):
        return _NO_ROUTE
    before = scope["path"].split("/")[: -pattern.count("/")]
    return "/".join(before) + pattern
