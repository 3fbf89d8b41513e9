"""What a proxy has changed of a request: where it came from, which host and path it was for."""

import re
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from facepool.web.middleware.paths import OF_THE_SERVER

_MARKS = frozenset(
    {
        "ali-cdn-real-ip",
        "client-ip",
        "forwarded",
        "forwarded-for",
        "front-end-https",
        "incap-client-ip",
        "proxy-client-ip",
        "remote-user",
        "ssl-client-cert",
        "surrogate-capability",
        "true-client-ip",
        "via",
        "wl-proxy-client-ip",
        "x-bluecoat-via",
        "x-client-cert",
        "x-client-ip",
        "x-cloud-trace-context",
        "x-cluster-client-ip",
        "x-forward-for",
        "x-forwarded",
        "x-host",
        "x-http-host-override",
        "x-ingress-path",
        "x-nginx-proxy",
        "x-rewrite-url",
        "x-scheme",
        "x-sucuri-clientip",
        "x-url-scheme",
        "x-varnish",
        "x-via",
    }
)
_BEGINNINGS_OF_MARKS = (
    "akamai-",
    "cdn-",
    "cf-",
    "cloudfront-",
    "fastly-",
    "fly-",
    "ngrok-",
    "tailscale-",
    "x-akamai-",
    "x-amz-cf-",
    "x-amzn-",
    "x-appengine-",
    "x-arr-",
    "x-auth-request-",
    "x-authentik-",
    "x-azure-",
    "x-cdn-",
    "x-envoy-",
    "x-forwarded-",
    "x-goog-",
    "x-nf-",
    "x-original-",
    "x-proxy-",
    "x-proxyuser-",
    "x-real-",
    "x-remote-",
    "x-replaced-",
    "x-ssl-",
    "x-vercel-",
)
"""Headers that proxies, tunnels and content networks add to requests, and browsers and ordinary clients do not."""
_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[\w.~-]+)+", re.ASCII)


class Forwarded:
    """Undoes it, as far as a proxy that is trusted says, so that what comes next sees the request as it was made.

    ``X-Forwarded-For`` and ``-Proto`` become the client and the scheme, ``X-Forwarded-Host`` becomes ``Host``. The part
    of the path below which the server lies at the proxy, ``X-Forwarded-Prefix`` or one that is always the same, becomes
    the ``root_path``; it is taken off the path, where the proxy has not done so. Redirects keep to that, and leave host
    and scheme as they are.

    Args:
        app: What comes next.
        proxies: Addresses and networks that are trusted.
        path_prefix: Below which path the server lies, such as ``/faces``; empty: none.
    """

    def __init__(self, app: ASGIApp, proxies: tuple[str, ...], path_prefix: str) -> None:
        self._next: Any = ProxyHeadersMiddleware(cast("Any", app), list(proxies))  # its words for ASGI are its own
        self._path_prefix = path_prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on as it was."""
        if scope["type"] not in ("http", "websocket"):
            await self._next(scope, receive, send)
            return
        prefix = self._path_prefix
        if scope["client"] is not None and scope["client"][0] in self._next.trusted_hosts:
            headers = Headers(scope=scope)
            prefix = prefix_of(headers.get("x-forwarded-prefix", "")) or prefix
            scope = _for_host(scope, headers.get("x-forwarded-host", "").partition(",")[0].strip())
        if prefix and scope["path"] == prefix and scope["type"] == "http":
            await RedirectResponse(f"{prefix}/")(scope, receive, send)
            return
        await self._next(_below(scope, prefix), receive, _redirecting(send, prefix))


def is_proxied(headers: Headers) -> bool:
    """Whether something between the client and the server has left its mark."""
    return any(name in _MARKS or name.startswith(_BEGINNINGS_OF_MARKS) for name in headers)


def prefix_of(text: str) -> str:
    """A prefix without the slash at its end; empty, if it cannot be one.

    One that begins as paths of this server do cannot: behind ``/api``, nobody knows what ``/api/v1`` was.
    """
    prefix = text.partition(",")[0].strip().rstrip("/")
    usable = _PREFIX.fullmatch(prefix) is not None and prefix.split("/")[1] not in OF_THE_SERVER
    return prefix if usable else ""


def _for_host(scope: Scope, host: str) -> Scope:
    if not host:
        return scope
    others = [(name, value) for name, value in scope["headers"] if name != b"host"]
    return {**scope, "headers": [(b"host", host.encode("latin-1")), *others]}


def _below(scope: Scope, prefix: str) -> Scope:
    """The scope with the prefix as its root path, and without it in its path."""
    if not prefix:
        return scope
    scope = {**scope, "root_path": prefix}
    if scope["path"].startswith(f"{prefix}/"):
        scope["path"] = scope["path"].removeprefix(prefix)
        raw: bytes | None = scope.get("raw_path")
        if raw is not None:
            scope["raw_path"] = b"/" + raw.split(b"/", prefix.count("/") + 1)[-1]
    return scope


def _redirecting(send: Send, prefix: str) -> Send:
    """Let redirects name nothing but the path."""

    async def pass_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if "location" in headers:
                _, _, path, query, fragment = urlsplit(headers["location"])
                headers["location"] = urlunsplit(("", "", f"{prefix}/{path.lstrip('/')}", query, fragment))
        await send(message)

    return pass_on
