"""What the server says of its interface, ``/openapi.json``, so that programs can make clients of it.

FastAPI describes the routes. What several of them share stands once, under ``components``, and they point there:
errors, pictures in bodies, and the ways in which a key comes. Names are those of the classes, and operations have the
names of their functions, so both have to be distinct: `tests/web/test_openapi.py`.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.concurrency import run_in_threadpool

from facepool.web import problems
from facepool.web.api.pictures import PictureFiles, PicturesInJson
from facepool.web.compreface import errors as compreface
from facepool.web.compreface.faces import PictureFile, PictureInBase64, TwoPictureFiles, TwoPicturesInBase64
from facepool.web.deepstack import errors as deepstack
from facepool.web.deepstack import forms as vision
from facepool.web.middleware.authentication import COOKIE, needs_key
from facepool.web.middleware.collections import HEADER, QUERY, names_collection

Document = dict[str, Any]

_SCHEMAS: tuple[type[BaseModel], ...] = (
    problems.Problem,
    PictureFiles,
    PicturesInJson,
    compreface.WrongBody,
    PictureFile,
    PictureInBase64,
    TwoPictureFiles,
    TwoPicturesInBase64,
    deepstack.VisionError,
    *vision.FORMS,
)
"""Those that routes name with `problems.schema_of`."""

_MOST_PLACES = 8
_RESPONSES = problems.RESPONSES | compreface.RESPONSES | deepstack.RESPONSES
_KEYS = {
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "A key that `facepool keys add` made",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same key, as a bearer token"},
    "password": {"type": "http", "scheme": "basic", "description": "The same key, as the password of any name"},
    "query": {"type": "apiKey", "in": "query", "name": "api_key", "description": "The same key, in the address"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "A browser that signed in at `POST /v1/session`; browsers get it with `_` and the port, "
        "where the address has one",
    },
}
"""How a key may come; any one is enough."""


_NAME = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,39}$"}
_MEANT = "The collection that is meant; a key that is bound to one need not say it, and others mean `default`"
_PARAMETERS = {
    "CollectionInQuery": {
        "name": QUERY,
        "in": "query",
        "required": False,
        "description": _MEANT,
        "schema": _NAME,
    },
    "CollectionInHeader": {
        "name": HEADER,
        "in": "header",
        "required": False,
        "description": "The same, in a header",
        "schema": _NAME,
    },
}
"""How a collection is named; either is enough."""


class Application(FastAPI):
    """An application whose description is complete, and ready as bytes."""

    def setup(self) -> None:
        """Add the address of the description, in place of FastAPI's own, which writes it anew for everybody."""
        self._described: dict[str, tuple[bytes, str]] = {}
        self._describing = threading.Lock()
        self.add_route("/openapi.json", self._description, include_in_schema=False)

    def openapi(self) -> Document:
        """The description; made once."""
        if self.openapi_schema is None:
            _complete(super().openapi())
        return self.openapi_schema or {}

    async def _description(self, request: Request) -> Response:
        """The description, or that the client has it already."""
        below = request.scope.get("root_path", "")
        described = self._described.get(below)
        data, tag = await run_in_threadpool(self._describe, below) if described is None else described
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        known = request.headers.get("if-none-match", "")
        if known.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in known.split(",")]:
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers, media_type="application/json")

    def _describe(self, below: str) -> tuple[bytes, str]:
        """Write the description of a server that lies below a path of a proxy; of the last few paths it is kept."""
        with self._describing:
            document = self.openapi()
            if below:
                document = {**document, "servers": [{"url": below}]}
            data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
            described = dict([*self._described.items()][-_MOST_PLACES:])
            made = data, f'"{hashlib.sha256(data).hexdigest()[:32]}"'
            self._described = {**described, below: made}
            return made


def operation_id(route: APIRoute) -> str:
    """The name of an operation: that of its function, after the client's whose interface it is."""
    other = [str(tag).lower() for tag in route.tags if not str(tag).islower()]
    return "_".join([*other, route.name])


def _complete(document: Document) -> None:
    components = document["components"]
    _, shared = models_json_schema(
        [(model, "validation") for model in _SCHEMAS], ref_template="#/components/schemas/{model}"
    )
    components["schemas"] = dict(sorted((components["schemas"] | shared["$defs"]).items()))
    components["responses"] = _RESPONSES
    components["securitySchemes"] = _KEYS
    components["parameters"] = _PARAMETERS
    for path, method, operation in _operations(document):
        answers = operation["responses"]
        # FastAPI describes in words of its own what points elsewhere.
        operation["responses"] = {
            status: {"$ref": answer["$ref"]} if "$ref" in answer else answer for status, answer in answers.items()
        }
        operation["security"] = [{name: []} for name in _KEYS] if needs_key(path, method) else []
        if names_collection(path, method):
            named = [{"$ref": f"#/components/parameters/{name}"} for name in _PARAMETERS]
            operation["parameters"] = [*operation.get("parameters", []), *named]


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method.upper(), operation
