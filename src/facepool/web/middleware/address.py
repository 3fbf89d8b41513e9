"""What a request is for, said in one way only: one host that can be one, and a query that is soon read.

Proxies, browsers and servers that read a request in different ways protect different things. So what could be read in
two ways is refused, before anybody decides by it.
"""

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from facepool.web.problems import AddressInvalid, Refusal, turn_away

TARGET_HOST = "facepool.target_host"
"""In the scope: the host of a request whose first line has a whole address, as it is sent to proxies."""
_HOST = re.compile(r"([\w.~-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{0,5}))?", re.ASCII)
_LARGEST_PORT = 65_535
_MOST_PARAMETERS = 100
_WITHOUT_A_HOST = frozenset({"1.0"})


class OneAddress:
    """Refuses requests whose host is missing, said twice or none, and those of very many parameters.

    Args:
        app: What comes next.
        refusal: Makes the answer to a request that is refused.
    """

    def __init__(self, app: ASGIApp, refusal: Refusal) -> None:
        self._app = app
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it pass, or refuse it."""
        if scope["type"] in ("http", "websocket"):
            try:
                _check_host(scope)
                _check_query(scope)
            except AddressInvalid as error:
                await turn_away(error, scope, receive, send, self._refusal)
                return
        await self._app(scope, receive, send)


def _check_host(scope: Scope) -> None:
    hosts = Headers(scope=scope).getlist("host")
    if not hosts and scope.get("http_version") in _WITHOUT_A_HOST:
        return
    if len(hosts) != 1:
        raise AddressInvalid("The request says no host" if not hosts else "The request says several hosts", fix=_ONE)
    found = _HOST.fullmatch(hosts[0])
    if found is None or int(found["port"] or 0) > _LARGEST_PORT:
        raise AddressInvalid("The host of the request cannot be one", fix=_ONE)
    target: str | None = scope.get(TARGET_HOST)
    if target is not None and target.lower() != hosts[0].lower():
        raise AddressInvalid("The first line of the request names another host than the header Host", fix=_ONE)


def _check_query(scope: Scope) -> None:
    query: bytes = scope.get("query_string", b"")
    if query.count(b"&") >= _MOST_PARAMETERS:
        raise AddressInvalid(
            "The address has too many parameters", why=f"{_MOST_PARAMETERS} are taken", fix="Leave some out"
        )


_ONE = "Send one header Host with the name and port of the server"
