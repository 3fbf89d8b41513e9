"""What a body may be: how many bytes a route takes, and how many values, how deep, its JSON may have.

A body is counted while it comes, and JSON is counted as bytes, before objects are made of it: a megabyte of ``[],``
would be hundreds of megabytes of lists. What is large is read in a thread. `facepool.web.routes` sees to it that the
caller's role comes before all this.
"""

import json
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.types import Message, Receive

from facepool.web.problems import InvalidRequest, TooLarge
from facepool.web.spool import SealedForms

ENCODED = "application/x-www-form-urlencoded"

MOST_ESCAPES = 1_000_000
"""As URLs have them: of a large picture in base64, one character in twenty is escaped."""
_KIB = 1024
_MOST_DEPTH = 32
_LARGE = 64 * _KIB
"""Bytes from which on work on a body is done in a thread."""
_LONGEST_VALUE = 64
"""Bytes of a number with the spaces around it, on average: what is longer is no number that anybody means."""
_MOST_DIGITS = 18
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """How much a route takes.

    Attributes:
        bytes: Of the body; None: as much as the server takes at all, `facepool.web.middleware.bounds`.
        values: Of JSON: objects, lists, texts and numbers together.
    """

    bytes: int | None
    values: int = 2000


PLAIN = BodyBounds(64 * _KIB)
"""Of every route that says nothing else: names, settings, ids."""
UP_TO_THE_SERVER = BodyBounds(bytes=None)


class Takes:
    """A dependency of routes whose bodies are of another size; gives the request.

    Args:
        bounds: How much the route takes.
    """

    def __init__(self, bounds: BodyBounds) -> None:
        self.bounds = bounds

    async def __call__(self, request: Request) -> "BoundedRequest":  # async: it needs no thread
        """The request."""
        if not isinstance(request, BoundedRequest):
            raise TypeError("the route is none of facepool.web.routes")
        return request


class BoundedRequest(Request):
    """A request whose body is refused as soon as it is more than its route takes.

    Args:
        request: As it came.
        bounds: How much the route takes.
    """

    def __init__(self, request: Request, bounds: BodyBounds) -> None:
        super().__init__(request.scope, _counted(request.receive, request.headers, bounds.bytes))
        self._most_values = bounds.values
        self._counted_json: bytes | None = None
        self._value: tuple[Any] | None = None

    async def json_bytes(self) -> bytes:
        """The body, which has no more values and is no deeper than the route takes, if it is JSON at all.

        Raises:
            TooLarge: It has too many bytes or values.
            InvalidRequest: It is too deep.
        """
        if self._counted_json is None:
            body = await self.body()
            await off_the_loop(len(body), check_json, body, self._most_values)
            self._counted_json = body
        return self._counted_json

    async def json(self) -> Any:  # noqa: ANN401 -- as in Starlette: whatever the client sent
        """The value of the body.

        Raises:
            TooLarge: It has too many bytes or values.
            InvalidRequest: It is too deep.
            RequestValidationError: It is no JSON.
        """
        if self._value is None:
            body = await self.json_bytes()
            self._value = (await off_the_loop(len(body), _loads, body),)
        return self._value[0]

    async def _get_form(
        self, *, max_files: float = 1000, max_fields: float = 1000, max_part_size: int = 1024 * 1024
    ) -> FormData:
        """As Starlette's, but nobody can read its files on the disk: `facepool.web.spool`."""
        kind, _ = parse_options_header(self.headers.get("content-type"))
        if self._form is None and kind == b"multipart/form-data":
            try:
                async with aclosing(self.stream()) as stream:
                    forms = SealedForms(
                        self.headers,
                        stream,
                        max_files=max_files,
                        max_fields=max_fields,
                        max_part_size=max_part_size,
                    )
                    self._form = await forms.parse()
            except MultiPartException as error:
                raise HTTPException(400, error.message) from error
        return await super()._get_form(max_files=max_files, max_fields=max_fields, max_part_size=max_part_size)


PlainRequest = Annotated[BoundedRequest, Depends(Takes(PLAIN))]
"""Of a route that reads its body itself, where no picture comes."""
PictureRequest = Annotated[BoundedRequest, Depends(Takes(UP_TO_THE_SERVER))]
"""Of a route that takes pictures."""
SignInRequest = Annotated[BoundedRequest, Depends(Takes(BodyBounds(4 * _KIB, values=100)))]
"""Of the one route that reads a body without a key."""
EmbeddingsRequest = Annotated[BoundedRequest, Depends(Takes(BodyBounds(4 * _KIB * _KIB, values=200_000)))]
"""Of a route that takes embeddings: each is some hundreds of numbers."""
PoolRequest = Annotated[BoundedRequest, Depends(Takes(UP_TO_THE_SERVER))]
"""Of the route that takes a whole pool."""


async def off_the_loop(size: int, work: Callable[..., Result], *args: object) -> Result:
    """Do some work on a body: in a thread if there is so much of it that others would wait.

    Args:
        size: Of the body, in bytes.
        work: What to do.
        args: Its arguments.
    """
    if size <= _LARGE:
        return work(*args)
    return await run_in_threadpool(work, *args)


def check_json(body: bytes, most_values: int) -> None:
    """Refuse JSON that would be much larger as objects, or could not be read without end; what is none may pass.

    Nothing is made of it but bytes: texts are cut out, and what is left between them is counted.

    Raises:
        TooLarge: It has too many values.
        InvalidRequest: It is too deep.
    """
    if _marks(body) < _MOST_DEPTH:  # a picture or two, which need not be copied
        return
    without_escapes = body.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in body else body
    if without_escapes.count(b'"') > 4 * most_values:  # a text has two, and a name may stand before each value
        raise _too_many(most_values)
    between_texts = b"".join(without_escapes.split(b'"')[::2])
    if _marks(between_texts) >= most_values or len(between_texts) > _LONGEST_VALUE * most_values:
        raise _too_many(most_values)
    depth = 0
    for bracket in between_texts.translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > _MOST_DEPTH:
            raise InvalidRequest(
                "The body of the request cannot be used",
                why=f"its lists and objects are more than {_MOST_DEPTH} deep",
                fix="The description of the interface is at /docs",
            )


def check_encoded(body: bytes, most_fields: int) -> None:
    """Refuse an encoded form that would take long to read.

    Raises:
        TooLarge: It has too many fields, empty ones included, or too many escapes.
    """
    if body.count(b"&") > 2 * most_fields or body.count(b"%") > MOST_ESCAPES:
        raise TooLarge(
            "The request is too large",
            why=f"a form of {most_fields} fields, with {MOST_ESCAPES:,} escapes, is taken",
            fix="Send pictures as files of a form",
        )


def _marks(data: bytes) -> int:
    """At least as many as there are values but one: each begins after one of these."""
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def _too_many(most_values: int) -> TooLarge:
    return TooLarge(
        "The request is too large", why=f"{most_values:,} values of JSON are taken", fix="Send less at once"
    )


def _loads(body: bytes) -> Any:  # noqa: ANN401 -- whatever the client sent
    try:
        # In UTF-8 only, as RFC 8259 has it: in others, bytes would not show how many values there are.
        return json.loads(body.removeprefix(_BYTE_ORDER_MARK).decode())
    except ValueError as error:
        at = error.pos if isinstance(error, json.JSONDecodeError) else 0
        why = error.msg if isinstance(error, json.JSONDecodeError) else "it is no text in UTF-8, or has a huge number"
        raise RequestValidationError(
            [{"type": "json_invalid", "loc": ("body", at), "msg": f"JSON decode error: {why}", "input": {}}]
        ) from error


def _counted(receive: Receive, headers: Headers, most_bytes: int | None) -> Receive:
    """Receives a body, and refuses to receive more of it than is taken."""
    if most_bytes is None:
        return receive
    length = headers.get("content-length", "")
    too_large = length.isascii() and length.isdigit() and int(length[:_MOST_DIGITS]) > most_bytes
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        if not too_large:
            message = await receive()
            taken += len(message.get("body", b""))
        if too_large or taken > most_bytes:
            raise TooLarge(
                "The request is too large",
                why=f"{most_bytes // _KIB} KiB are taken here",
                fix="Send less at once",
            )
        return message

    return counted
