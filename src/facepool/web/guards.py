"""What a request has to pass before anything looks at it. Plain ASGI, so that WebSockets pass the same."""

import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facepool.errors import FacepoolError
from facepool.web.limits import Limits
from facepool.web.problems import Forbidden, TooManyRequests, problem
from facepool.web.signin import address_of

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
}
_A_YEAR = "max-age=31536000"
_REFUSED = 1008
_OF_PROXIES = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


class SecurityHeaders:
    """Tells browsers what the page may do: nothing that it does not need, and nothing with other hosts.

    Args:
        app: What comes next.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add them to every answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                # What is about people is not to lie in caches; the page's own files say otherwise.
                headers.setdefault("Cache-Control", "no-store")
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", _A_YEAR)
            await send(message)

        await self._app(scope, receive, add)


class Guard:
    """Turns away what comes from other sites, from other names of this machine, and too often.

    A browser sends cookies, and reaches the loopback, for every site that it shows. So whatever a page of another
    site asks for is refused, by what the browser itself says of it. As long as no key is needed, only the names of the
    loopback are answered to: a site whose name leads to this machine (DNS rebinding) is not, nor is a proxy that
    says that it is one. A proxy that says nothing cannot be told apart: ``--require-keys`` is for it.

    Args:
        app: What comes next.
        limits: Counts requests.
        keyless: Whether no key is needed now.
    """

    def __init__(self, app: ASGIApp, limits: Limits, keyless: Callable[[], bool]) -> None:
        self._app = app
        self._limits = limits
        self._keyless = keyless

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it pass, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope, keyless=await run_in_threadpool(self._keyless))
        except (Forbidden, TooManyRequests) as error:
            await _refuse(error, scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope, *, keyless: bool) -> None:
        headers = Headers(scope=scope)
        if keyless and any(name in headers for name in _OF_PROXIES):
            raise Forbidden(
                "This server answers no proxy yet",
                why="it needs no key, and is for this machine only",
                fix="Make a key for an administrator: facepool keys add NAME --role admin",
            )
        if keyless and not is_loopback(_host_name(headers.get("host", ""))):
            raise Forbidden(
                f"This server does not answer to the name {_host_name(headers.get('host', ''))!r}",
                why="it needs no key, and is for this machine only",
                fix="Make a key for an administrator: facepool keys add NAME --role admin",
            )
        if _is_foreign(scope, headers):
            raise Forbidden("Pages of other sites may not use this server", fix="Open the server's own page")
        self._limits.count_request(address_of(HTTPConnection(scope)))


def is_loopback(name: str) -> bool:
    """Whether a host is this machine, by its name or address."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _host_name(host: str) -> str:
    """The host without its port, in lower case and without the brackets of IPv6."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_foreign(scope: Scope, headers: Headers) -> bool:
    """Whether a browser says that another site's page asks."""
    site = headers.get("sec-fetch-site")
    opens_page = scope.get("method") in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
    if site is not None:
        return site not in ("same-origin", "none") and not opens_page
    origin = headers.get("origin")
    # Browsers that send neither, or programs: a cookie that is for the same site only is what is left to rely on.
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


async def _refuse(error: FacepoolError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": _REFUSED, "reason": error.what})
        return
    await problem(error)(scope, receive, send)
