"""Names in paths: a name may have a slash in it, which a client writes as ``%2F``.

Servers hand on the path decoded, where such a slash looks like one between two parts. This brings the difference back:
`KeepSlashes` decodes the path anew and puts a character in its place that no name has, and the convertor ``name`` of
a route turns that into the slash again. Some proxies decode the path, too; `with_slash_in_name` guesses what it was.
"""

from collections.abc import Iterator
from urllib.parse import unquote

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

NAME = "{name:name}"
"""A name in the path of a route."""

OF_THE_SERVER = frozenset(
    {"api", "docs", "health", "metrics", "openapi.json", "ready", "v1", "views", "words"}  # the last two: of the page
)
"""How paths of this server begin that have more than one part."""

_SLASH = "\0"
_MOST_SLASHES = 8
"""In a name that is guessed: each one is another reading of the path, and all routes are tried with it."""
_BEFORE_NAMES = ("/v1/persons/", "/v1/keys/", "/api/v1/recognition/subjects/")


class NameConvertor(StringConvertor):
    """A part of a path that is a name: ``/persons/{name:name}``."""

    def convert(self, value: str) -> str:
        """The name with its slashes."""
        return value.replace(_SLASH, "/")

    def to_string(self, value: str) -> str:
        """The name as a part of a path."""
        return value.replace("/", _SLASH)


register_url_convertor("name", NameConvertor())


class KeepSlashes:
    """Middleware that keeps a slash of a name apart from one between two parts of the path.

    Args:
        app: What comes next.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decode the path part by part, and take off it what routers would: nobody else is to see another path."""
        raw: bytes | None = scope.get("raw_path")
        if raw is not None and b"%" in raw:
            parts = raw.split(b"?")[0].decode("ascii", "replace").split("/")
            scope = {**scope, "path": "/".join(unquote(part).replace("/", _SLASH) for part in parts)}
        root: str = scope.get("root_path", "")
        while root and scope["path"].startswith(f"{root}/"):
            scope = {**scope, "path": scope["path"].removeprefix(root)}
        await self._app(scope, receive, send)


def with_slash_in_name(path: str) -> Iterator[str]:
    """What a path may have been before a proxy decoded the slashes of a name in it, the shortest name first."""
    before = next((start for start in _BEFORE_NAMES if path.startswith(start)), None)
    parts = path.removeprefix(before).split("/") if before else []
    if "" in parts:
        return
    for count in range(2, min(len(parts), _MOST_SLASHES + 1) + 1):
        yield "/".join([f"{before}{_SLASH.join(parts[:count])}", *parts[count:]])
