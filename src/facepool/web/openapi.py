"""What the server says of its interface, ``/openapi.json``, so that programs can make clients of it.

FastAPI describes the routes. What several of them share stands once, under ``components``, and they point there:
errors, pictures in bodies, and the ways in which a key comes. Names are those of the classes, and operations have the
names of their functions, so both have to be distinct: `tests/web/test_openapi.py`.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from facepool.web import problems
from facepool.web.api.pictures import PictureFiles, PicturesInJson
from facepool.web.compreface import errors as compreface
from facepool.web.compreface.faces import PictureFile, PictureInBase64, TwoPictureFiles, TwoPicturesInBase64
from facepool.web.deepstack import errors as deepstack
from facepool.web.deepstack import forms as vision
from facepool.web.middleware.authentication import COOKIE, needs_key

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


class Application(FastAPI):
    """An application whose description is complete."""

    def openapi(self) -> Document:
        """The description; made once."""
        if self.openapi_schema is None:
            _complete(super().openapi())
        return self.openapi_schema or {}


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
    for path, method, operation in _operations(document):
        answers = operation["responses"]
        # FastAPI describes in words of its own what points elsewhere.
        operation["responses"] = {
            status: {"$ref": answer["$ref"]} if "$ref" in answer else answer for status, answer in answers.items()
        }
        operation["security"] = [{name: []} for name in _KEYS] if needs_key(path, method) else []


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method.upper(), operation
