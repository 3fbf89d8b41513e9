"""Protection by browsers: headers that limit what pages may do, and requests of other sites' pages refused."""

from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facepool.web.middleware.authentication import OF_PROGRAMS, needs_key, share_in, signs_in
from facepool.web.problems import Forbidden, Refusal, TooManyRequests, turn_away
from facepool.web.services.limits import Limits

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
    )
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
}
_A_YEAR = "max-age=31536000"
_PORTS = {"http": 80, "https": 443}
_MOST_SHOWN = 200
_HEALTH = "/health"


class SecurityHeaders:
    """Limits what the page may do in browsers: nothing that it does not need, and nothing with other hosts.

    Args:
        app: What comes next.
        frames: Pages of other sites that may show it in a frame, by their origins.
        insist_on_tls: Tell browsers that came over TLS never to come without. One that was told so lets nobody accept
            a certificate that it does not trust.
    """

    def __init__(self, app: ASGIApp, frames: Sequence[str], *, insist_on_tls: bool) -> None:
        self._app = app
        framed_by = " ".join(["'self'", *frames]) if frames else "'none'"
        self._headers = {"Content-Security-Policy": f"{_POLICY}; frame-ancestors {framed_by}", **_HEADERS}
        if not frames:
            self._headers["X-Frame-Options"] = "DENY"  # which cannot name others
        self._insist_on_tls = insist_on_tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add them to every answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                # What is about people is not to lie in caches; the page's own files say otherwise.
                headers.setdefault("Cache-Control", "no-store")
                if scope["scheme"] == "https" and self._insist_on_tls:
                    headers.setdefault("Strict-Transport-Security", _A_YEAR)
            await send(message)

        await self._app(scope, receive, add)


class RefuseForeign:
    """Refuses what pages of other sites ask for, except those that may.

    A browser sends cookies, and reaches the loopback, for every site that it shows. So whatever a page of another
    site asks for is refused, by what the browser itself says of it; a link may lead to the server's own page. A page
    that may ask comes with a key of its own: somebody's session with the server's page does not count for it.

    Args:
        app: What comes next.
        origins: Pages of other sites that may, by their origins.
        refusal: Makes the answer to a request that is refused.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str], refusal: Refusal) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it pass, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if headers.get("origin", "").lower() in self._origins and not _is_own(headers):
            without = [(name, value) for name, value in scope["headers"] if name != b"cookie"]
            await self._app({**scope, "headers": without}, receive, send)
            return
        try:
            _refuse_foreign(scope, headers)
        except Forbidden as error:
            await turn_away(error, scope, receive, send, self._refusal)
            return
        await self._app(scope, receive, send)


class Rates:
    """Refuses clients that ask too often: by their key, so that others behind the same proxy take nothing from them.

    What is open to all, as the page's files are, is counted apart from what takes a key, and two things are not counted
    at all: whether the process lives, which who watches over it asks from any address, and signing in, where wrong keys
    are counted by `Limits.count_wrong_key` and a right one is to be taken from any address.

    Args:
        app: What comes next.
        limits: Counts requests.
        refusal: Makes the answer to a request that is refused.
    """

    def __init__(self, app: ASGIApp, limits: Limits, refusal: Refusal) -> None:
        self._app = app
        self._limits = limits
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it pass, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path, method = scope["path"], scope.get("method", "GET")
        share = share_in(HTTPConnection(scope))
        try:
            if needs_key(path, method):
                self._limits.count_request(share)
            elif path != _HEALTH and not signs_in(path, method):
                self._limits.count_request(f"{share}, open to all")
        except TooManyRequests as error:
            await turn_away(error, scope, receive, send, self._refusal)
            return
        await self._app(scope, receive, send)


def _refuse_foreign(scope: Scope, headers: Headers) -> None:
    """Refuse what a browser says that another site's page asks for."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    # A link may lead to the page and its files, but to nothing that exports, or writes who has looked.
    opens_page = (
        scope.get("method") in ("GET", "HEAD")
        and headers.get("sec-fetch-mode") == "navigate"
        and not scope["path"].startswith(OF_PROGRAMS)
    )
    if site in ("same-origin", "none") or (site is not None and opens_page):
        return
    # Browsers that do not say which site it is, as they do not without TLS, or programs: a cookie that is for the same
    # site only is what is left to rely on.
    if site is None and (origin is None or _is_own(headers)):
        return
    page = (origin or "null")[:_MOST_SHOWN]
    allow = "" if page == "null" else f"; if {page} may use this server, start it with --allow-origin {page}"
    if site is not None:
        raise Forbidden(
            "Pages of other sites may not use this server",
            why=f"the browser says that the page, {page}, is of another one",
            fix=f"Open the server's own page{allow}",
        )
    raise Forbidden(
        "Pages of other sites may not use this server",
        why=f"the page is {page} by the header Origin, and the server {headers.get('host', '')[:_MOST_SHOWN]!r} by the "
        "header Host",
        fix="If that is the server's own page, let the proxy before it pass the header Host on as it came (nginx: "
        f"proxy_set_header Host $http_host){allow}",
    )


def _is_own(headers: Headers) -> bool:
    """Whether a page that says its origin is the server's own, by the name under which the server was asked."""
    origin, host = headers.get("origin", ""), headers.get("host", "")
    usual = _PORTS.get(origin.partition(":")[0])
    with suppress(ValueError):
        page, server = urlsplit(origin), urlsplit(f"//{host}")
        return (page.hostname, page.port or usual) == (server.hostname, server.port or usual) != (None, None)
    return False
