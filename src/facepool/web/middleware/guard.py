"""Protection by browsers: headers that limit what pages may do, and requests of other sites' pages refused."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facepool.web.middleware.authentication import address_of
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


class SecurityHeaders:
    """Limits what the page may do in browsers: nothing that it does not need, and nothing with other hosts.

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
    """Refuses what pages of other sites ask for, and clients that ask too often.

    A browser sends cookies, and reaches the loopback, for every site that it shows. So whatever a page of another
    site asks for is refused, by what the browser itself says of it.

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
        try:
            _refuse_foreign(scope)
            self._limits.count_request(address_of(HTTPConnection(scope)))
        except (Forbidden, TooManyRequests) as error:
            await turn_away(error, scope, receive, send, self._refusal)
            return
        await self._app(scope, receive, send)


def _refuse_foreign(scope: Scope) -> None:
    """Refuse what a browser says that another site's page asks for."""
    headers = Headers(scope=scope)
    site = headers.get("sec-fetch-site")
    if site is not None:
        opens_page = scope.get("method") in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        foreign = site not in ("same-origin", "none") and not opens_page
    else:
        # Browsers that send neither, or programs: a cookie that is for the same site only is what is left to rely on.
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    if foreign:
        raise Forbidden("Pages of other sites may not use this server", fix="Open the server's own page")
