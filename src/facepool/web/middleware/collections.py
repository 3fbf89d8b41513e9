"""Which collection a request is about: found out once, by `InCollection`, and read from the scope by routes.

`?collection=NAME` says it, or the header `Facepool-Collection`, or the key, where it is bound to one. A collection that
a key is not for is answered as one that is not there, before anything is looked for.
"""

from urllib.parse import parse_qs

from fastapi import WebSocket
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from facepool.errors import FacepoolError
from facepool.web.hiding import hidden_folders
from facepool.web.middleware.authentication import caller_of, needs_key
from facepool.web.problems import InvalidRequest, Refusal, refuse
from facepool.web.services import OF_REQUEST
from facepool.web.services.collections import Collections

QUERY = "collection"
HEADER = "Facepool-Collection"
_OF_THE_SERVER = ("/v1/session", "/v1/collections", "/v1/keys", "/metrics")
"""How paths begin that are about the server as a whole, whatever collection is named."""


class InCollection:
    """Puts the services of the collection into the scope, and keeps it open until the request is over.

    Args:
        app: What comes next.
        collections: Those of the server.
        refusal: Makes the answer to a request that is refused.
    """

    def __init__(self, app: ASGIApp, collections: Collections, refusal: Refusal) -> None:
        self._app = app
        self._collections = collections
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, or refuse it."""
        if scope["type"] not in ("http", "websocket") or not names_collection(
            scope["path"], scope.get("method", "GET")
        ):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            name = self._collections.meant(caller_of(connection), named_in(connection))
            services = self._collections.take_open(name)
            if services is None:
                services = await run_in_threadpool(self._collections.take, name)
        except FacepoolError as error:
            if scope["type"] == "websocket":
                await refuse(WebSocket(scope, receive, send), hidden_folders(connection).for_clients(error))
            else:
                await self._refusal(error, Request(scope))(scope, receive, send)
            return
        scope[OF_REQUEST] = services
        try:
            await self._app(scope, receive, send)
        finally:
            self._collections.give_back(services)


def named_in(connection: HTTPConnection) -> str | None:
    """The collection that a request names; None: none.

    Raises:
        InvalidRequest: It names two.
    """
    query: bytes = connection.scope.get("query_string", b"")
    said = connection.headers.getlist(HEADER)
    if QUERY.encode() in query:
        said += parse_qs(query.decode("latin-1"), keep_blank_values=True).get(QUERY, [])
    if len(set(said)) > 1:
        raise InvalidRequest(
            "The request names several collections",
            why=f"by ?{QUERY}= and the header {HEADER}, or one of them several times",
            fix="Name one",
        )
    return said[0] if said else None


def names_collection(path: str, method: str) -> bool:
    """Whether a request is for those with a key, and about what a collection has."""
    return needs_key(path, method) and not path.startswith(_OF_THE_SERVER)
