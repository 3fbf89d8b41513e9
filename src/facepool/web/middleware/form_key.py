"""The key as a field of a form, where clients of DeepStack put it: looked for in the beginning of a body only.

A request is to be refused before its body is read. So no more of it is read than a field takes that stands before the
pictures, and not for long; whoever reads the body afterwards gets it whole. Plain ASGI.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from urllib.parse import unquote_plus

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, QuerystringParser, parse_options_header
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from facepool.web.problems import TimedOut

FIELD = b"api_key"
MOST_BYTES = 64 * 1024
"""Of a body that are looked at."""
PATIENCE_S = 10.0
"""How long they may take to come."""
_LONGEST = 1024  # of a name, a header or a key; what is longer is none that is looked for


async def read_key(scope: Scope, receive: Receive, patience_s: float = PATIENCE_S) -> tuple[str | None, Receive]:
    """The key in the form of a request.

    Args:
        scope: Of a request.
        receive: Gives its body, of which nothing was read yet.
        patience_s: How long the beginning may take.

    Returns:
        The key, None where there is none, and what gives the whole body to the next reader.

    Raises:
        TimedOut: The beginning of the body does not come.
    """
    fields = _fields_of(Headers(scope=scope).get("content-type", ""))
    if fields is None:
        return None, receive
    read: deque[Message] = deque()
    left = MOST_BYTES
    try:
        async with asyncio.timeout(patience_s):
            while left > 0 and fields.found is None:
                message = await receive()
                read.append(message)
                data = message.get("body", b"")
                fields.feed(data[:left])
                left -= len(data)
                if not message.get("more_body", False):
                    fields.end()
                    break
    except TimeoutError as error:
        raise TimedOut(
            "The form did not come in time", why=f"it took {patience_s:g} s", fix="Send it at once"
        ) from error

    async def again() -> Message:
        return read.popleft() if read else await receive()

    return fields.found, again


class _Fields:
    """Takes a form bit by bit, and keeps the value of one field.

    Attributes:
        found: The value, once it is complete.
    """

    found: str | None = None

    def __init__(self) -> None:
        self._name, self._value = bytearray(), bytearray()
        self._write: Callable[[bytes], int] = lambda _data: 0
        self._end: Callable[[], None] = lambda: None

    def feed(self, data: bytes) -> None:
        """Take more of it; what is no form has no fields."""
        try:
            self._write(data)
        except FormParserError:
            self._write = lambda _data: 0

    def end(self) -> None:
        """There is no more."""
        try:
            self._end()
        except FormParserError:
            return

    def _begin(self) -> None:
        self._name.clear()
        self._value.clear()


class _Encoded(_Fields):
    """``application/x-www-form-urlencoded``."""

    def __init__(self) -> None:
        super().__init__()
        parser = QuerystringParser(
            {
                "on_field_start": self._begin,
                "on_field_name": lambda data, start, end: _append(self._name, data[start:end]),
                "on_field_data": lambda data, start, end: _append(self._value, data[start:end]),
                "on_field_end": self._finish,
            }
        )
        self._write, self._end = parser.write, parser.finalize

    def _finish(self) -> None:
        if self.found is None and self._name == FIELD:
            self.found = unquote_plus(self._value.decode("ascii", "replace"))


class _Multipart(_Fields):
    """``multipart/form-data``.

    Args:
        boundary: Between the parts.
    """

    def __init__(self, boundary: bytes) -> None:
        super().__init__()
        self._wanted = False
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_begin": self._begin,
                "on_header_field": lambda data, start, end: _append(self._name, data[start:end]),
                "on_header_value": lambda data, start, end: _append(self._value, data[start:end]),
                "on_header_end": self._look_at_header,
                "on_headers_finished": self._begin,
                "on_part_data": self._take,
                "on_part_end": self._finish,
            },
        )
        self._write, self._end = parser.write, parser.finalize

    def _begin_part(self) -> None:
        self._wanted = False

    def _look_at_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._wanted = options.get(b"name") == FIELD and b"filename" not in options

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._wanted:
            _append(self._value, data[start:end])

    def _finish(self) -> None:
        if self._wanted and self.found is None:
            self.found = self._value.decode("utf-8", "replace").strip()


def _append(text: bytearray, more: bytes) -> None:
    text += more[: _LONGEST - len(text)]


def _fields_of(content_type: str) -> _Fields | None:
    """What takes a form of this type; None: it is no form."""
    kind, options = parse_options_header(content_type)
    if kind == b"application/x-www-form-urlencoded":
        return _Encoded()
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        return None
    try:
        return _Multipart(boundary)
    except FormParserError:
        return None
