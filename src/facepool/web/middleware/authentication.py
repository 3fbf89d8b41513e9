"""Who makes a request: found out once, by `Authenticate`, and read from the scope by routes.

A caller is known by the key in a header or in the address, or by the session of a browser that signed in; clients of
DeepStack have it in the beginning of a form. While no key is needed, everybody on this machine is the local
administrator.
"""

import asyncio
import base64
import binascii
import ipaddress
import re
import threading
import time
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import Depends, WebSocket
from fastapi.requests import HTTPConnection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from facepool.errors import FacepoolError, PoolUnreachable
from facepool.web.connections import network_of
from facepool.web.hiding import hidden_folders
from facepool.web.middleware import form_key
from facepool.web.middleware.proxies import is_proxied
from facepool.web.patience import is_over_within
from facepool.web.problems import Forbidden, KeyMissing, KeyUnknown, Refusal, refuse, turn_away
from facepool.web.services import OF_REQUEST, Services
from facepool.web.services.keys import LOCAL, SESSION_S, Caller, Keys, Role
from facepool.web.services.limits import Limits

COOKIE = "facepool_session"
"""How the cookie of a session is called; with ``_`` and the port where the server's address has one."""
_PORT = re.compile(r":([0-9]{1,5})$")
SIGN_IN_AGAIN = 4401
"""How a WebSocket is closed whose key or session has ended."""

ENDED = "You are not signed in any more"
_HINT = "Send it as x-api-key, or sign in on the page; facepool keys add makes one"
OF_PROGRAMS = ("/v1/", "/api/", "/metrics")
"""How paths begin that are not of the page, and not for everybody."""
_SESSION = "/v1/session"
_WITHOUT_A_KEY = frozenset({"/api/v1/config", "/api/v1/consistence/status"})
"""CompreFace tells these to everybody; there is nothing of a person in them."""
_WITH_A_KEY_IN_A_FORM = "/v1/vision/"
_ALWAYS_ANSWERED = frozenset({"/health", "/ready"})
"""Whoever watches over the server is to hear that it lives, however long the keys take; nothing of a person is told."""
_PATIENCE_S = 0.5
_KEY_IN_PATH = re.compile("/api/v1/static/([^/]+)/images/")
_QUERY = "api_key"
_CALLER = "facepool.caller"


class Authenticate:
    """Puts the caller into the scope, or refuses the request before anything of its body is read.

    While no key is needed, only the names of the loopback are answered to: a site whose name leads to this machine
    (DNS rebinding) is not, nor is a proxy that says that it is one. A proxy that says nothing cannot be told apart:
    ``--require-keys`` is for it. Which role a request takes, its route says: `Requires`.

    Args:
        app: What comes next.
        keys: Who may do something.
        limits: Counts wrong keys, and requests that are refused.
        refusal: Makes the answer to a request that is refused.
    """

    def __init__(self, app: ASGIApp, keys: Keys, limits: Limits, refusal: Refusal) -> None:
        self._app = app
        self._keys = keys
        self._limits = limits
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its caller, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            receive = await self._find_out(connection, receive)
        except _OtherHost as error:
            await turn_away(error, scope, receive, send, self._refusal)
        except FacepoolError as error:  # also of the file of the keys
            if scope["type"] == "websocket":
                await refuse(WebSocket(scope, receive, send), hidden_folders(connection).for_clients(error))
            else:
                await self._refusal(error, Request(scope))(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _find_out(self, connection: HTTPConnection, receive: Receive) -> Receive:
        """Put the caller into the scope; gives what gives the body."""
        try:
            key, receive = await self._key(connection, receive)
            # In a thread, because it may wait for the file of the keys.
            known = run_in_threadpool(self._authenticate, connection, key)
            if connection.scope["path"] in _ALWAYS_ANSWERED:
                await is_over_within(known, _PATIENCE_S)
            else:
                await known
        except FacepoolError:
            self._limits.count_request(share_in(connection))  # those that pass are counted by their key: `Rates`
            raise
        return receive

    async def _key(self, connection: HTTPConnection, receive: Receive) -> tuple[str | None, Receive]:
        """The key, and what gives the body; no more of that is read than `form_key` says."""
        key, scope = key_of(connection), connection.scope
        of_form = scope["path"].startswith(_WITH_A_KEY_IN_A_FORM) and scope.get("method") == "POST"
        if key is not None or not of_form or session_of(connection) is not None:
            return key, receive
        if not await run_in_threadpool(lambda: self._keys.required):
            return None, receive
        return await form_key.read_key(scope, receive)

    def _authenticate(self, connection: HTTPConnection, key: str | None) -> None:
        takes_a_key = needs_key(connection.scope["path"], connection.scope.get("method", "GET"))
        try:
            required = self._keys.required
        except FacepoolError:
            if takes_a_key:
                raise
            return  # whether the server is well, for example: it says so itself
        if not required:
            _check_local(connection)
        if takes_a_key:
            connection.scope[_CALLER] = identify(connection, key, self._keys, self._limits, required=required)


class _OtherHost(Forbidden):
    """Without keys, a request has to come from this machine."""


def identify(connection: HTTPConnection, key: str | None, keys: Keys, limits: Limits, *, required: bool) -> Caller:
    """Who makes a request, in a thread.

    Args:
        connection: The request or WebSocket.
        key: What it brings; None: none.
        keys: Who may do something.
        limits: Counts wrong keys.
        required: Whether a key is needed.

    Raises:
        KeyMissing: A key is required.
        KeyUnknown: The key is nobody's, or the session has ended.
        TooManyRequests: The address has offered too many wrong keys.
    """
    token = session_of(connection)
    if not key and token is None:
        if required:
            raise KeyMissing("This takes an API key", fix=_HINT)
        return LOCAL
    caller = keys.find(key) if key else keys.session(token or "")
    if caller is not None:
        return caller
    if not required:
        return LOCAL  # clients that know no service without a key send any
    if key:
        limits.count_wrong_key(address_of(connection))
        raise KeyUnknown("There is no such API key", fix=_HINT)
    raise KeyUnknown("You are not signed in any more", fix="Sign in again")


def caller_of(connection: HTTPConnection) -> Caller:
    """Who makes a request that has passed `Authenticate`."""
    caller = connection.scope.get(_CALLER)
    if not isinstance(caller, Caller):
        raise TypeError("the request was not authenticated")
    return caller


class Requires:
    """A dependency of routes that lets only some callers pass, and gives the caller.

    Args:
        role: What the route takes.
        everywhere: It is about the server as a whole, and not for keys that are bound to some collections.
    """

    def __init__(self, role: Role, *, everywhere: bool = False) -> None:
        self.role = role
        self.everywhere = everywhere

    async def __call__(self, connection: HTTPConnection) -> Caller:  # async: it needs no thread
        """The caller.

        Raises:
            Forbidden: Their key is for less.
        """
        return self.check(caller_of(connection))

    def check(self, caller: Caller) -> Caller:
        """The same for a caller who is known already, as `facepool.web.routes` asks before it reads a body."""
        if not caller.may(self.role):
            raise Forbidden(
                "Your key is not for this",
                why=f"it is for {caller.role}, and this takes {self.role}",
                fix="Use another key",
            )
        if self.everywhere and caller.collections:
            raise Forbidden(
                "Your key is not for this",
                why=f"it is for {', '.join(caller.collections)} only, and this is about the server as a whole",
                fix="Use a key that is for all collections",
            )
        return caller


Recognizing = Annotated[Caller, Depends(Requires("recognize"))]
Enrolling = Annotated[Caller, Depends(Requires("enroll"))]
Administering = Annotated[Caller, Depends(Requires("admin"))]
AdministeringAll = Annotated[Caller, Depends(Requires("admin", everywhere=True))]
WatchingAll = Annotated[Caller, Depends(Requires("recognize", everywhere=True))]


class ConnectionCheck:
    """Looks now and then whether the key or session of an open connection is still there.

    Args:
        connection: A WebSocket, or the request for an event stream.
        keys: Who may do what.
        role: What the connection is for.
    """

    every_s = 3.0
    """How long an answer is relied on: what another process has done holds here within five seconds."""

    def __init__(self, connection: HTTPConnection, keys: Keys, role: Role) -> None:
        self._key, self._token = key_of(connection), session_of(connection)
        services = connection.scope.get(OF_REQUEST)
        self._gone = services.gone if isinstance(services, Services) else threading.Event()
        self._keys = keys
        self._role: Role = role
        self._looked_at_s = time.monotonic()

    async def is_valid(self, *, at_once: bool = False) -> bool:
        """Whether the connection may go on; one that was let in without a key does while nobody can say.

        Args:
            at_once: Look now, however short ago it was looked.

        Raises:
            PoolUnreachable: Nobody can say whether its key still holds: the database that has the keys is away.
        """
        if self._gone.is_set():  # the collection was removed
            return False
        if not at_once and time.monotonic() - self._looked_at_s < self.every_s:
            return True
        self._looked_at_s = time.monotonic()
        return await asyncio.to_thread(self._look)

    def _look(self) -> bool:
        if self._key is None and self._token is None:
            try:
                return not self._keys.required
            except PoolUnreachable:
                return True
        # Not by identify: wrong keys from the same address are to end nobody's connection, and hide no key's end.
        caller = self._keys.find(self._key) if self._key is not None else self._keys.session(self._token or "")
        if caller is None:
            return not self._keys.required
        return caller.may(self._role)


def share_of(connection: HTTPConnection, caller: Caller) -> str:
    """Who shares places with whom: all that have a key, or, where none is needed, an address."""
    return f"address {network_of(address_of(connection))}" if caller == LOCAL else f"key {caller.name}"


def share_in(connection: HTTPConnection) -> str:
    """Whose share a request takes from; its address's where it was not asked who makes it."""
    caller = connection.scope.get(_CALLER)
    return share_of(connection, caller if isinstance(caller, Caller) else LOCAL)


async def _share(connection: HTTPConnection) -> str:  # async: it needs no thread
    return share_in(connection)


Share = Annotated[str, Depends(_share)]
"""Whose request it is, where clients take turns."""


def key_of(connection: HTTPConnection) -> str | None:
    """The key that a request brings in its head; None: none.

    A header is the best place. Clients that cannot set one have it in the address: as ``?api_key=``, as the password of
    ``http://NAME:KEY@HOST``, which they send as a header, or, as for CompreFace, in the path of a picture.
    """
    key = connection.headers.get("x-api-key")
    if key:
        return key
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    password = _password(value) if scheme.lower() == "basic" else ""
    return password or _key_in_query(connection.scope) or _key_in_path(connection.scope["path"])


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _key_in_query(scope: Scope) -> str:
    query: bytes = scope.get("query_string", b"")
    if _QUERY.encode() not in query:
        return ""
    return next(iter(parse_qs(query.decode("latin-1")).get(_QUERY, [])), "")


def _key_in_path(path: str) -> str | None:
    found = _KEY_IN_PATH.match(path)
    return found.group(1) if found else None


def address_of(connection: HTTPConnection) -> str:
    """Where a request comes from."""
    return connection.client.host if connection.client is not None else ""


def session_of(connection: HTTPConnection) -> str | None:
    """The session that a browser brings; None: none. Before servers had a name each, all had the same."""
    return connection.cookies.get(_cookie_of(connection)) or connection.cookies.get(COOKIE)


def _cookie_of(connection: HTTPConnection) -> str:
    """What a server's cookie is called: browsers keep those of a host together, whatever the port."""
    port = _PORT.search(connection.headers.get("host", ""))
    return f"{COOKIE}_{port[1]}" if port else COOKIE


def set_cookie(response: Response, token: str, request: Request, *, framed: bool) -> None:
    """Let the browser keep a session, for this server and its path at a proxy only; no script can read it.

    No other site can have it sent, unless it may show the page in a frame: then browsers that are asked over TLS keep
    one for each such site apart. Without TLS they keep none in a frame of another site.
    """
    _put_cookie(response, request, token, int(SESSION_S), framed=framed)


def drop_cookie(response: Response, request: Request, *, framed: bool) -> None:
    """Let the browser forget a session."""
    _put_cookie(response, request, "", 0, framed=framed)


def _put_cookie(response: Response, request: Request, token: str, max_age_s: int, *, framed: bool) -> None:
    secure, path = request.url.scheme == "https", request.scope.get("root_path") or "/"
    parts = [f"{_cookie_of(request)}={token}", f"Max-Age={max_age_s}", f"Path={path}", "HttpOnly"]
    if secure:
        parts.append("Secure")
    parts.append("SameSite=None; Partitioned" if framed and secure else "SameSite=Strict")
    response.headers.append("Set-Cookie", "; ".join(parts))  # Starlette knows Partitioned from Python 3.14 on only


def is_loopback(name: str) -> bool:
    """Whether a host is this machine, by its name or address."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def needs_key(path: str, method: str) -> bool:
    """Whether it is not for everybody. Signing in and out is: it is how a browser gets and gives back a session."""
    if path == _SESSION:
        return method not in ("POST", "DELETE")
    return path not in _WITHOUT_A_KEY and path.startswith(OF_PROGRAMS)


def signs_in(path: str, method: str) -> bool:
    """Whether it offers a key for a session."""
    return path == _SESSION and method == "POST"


def _check_local(connection: HTTPConnection) -> None:
    """Refuse, while no key is needed, what does not come from this machine."""
    host = _host_name(connection.headers.get("host", ""))
    proxied = is_proxied(connection.headers)
    if not proxied and is_loopback(host):
        return
    raise _OtherHost(
        "This server answers no proxy yet" if proxied else f"This server does not answer to the name {host!r}",
        why="it needs no key, and is for this machine only",
        fix="Make a key for an administrator: facepool keys add NAME --role admin",
    )


def _host_name(host: str) -> str:
    """The host without its port, in lower case and without the brackets of IPv6."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
