"""How answers that are no JSON, and answers when something is wrong, stand in the OpenAPI document."""

from typing import Any
from urllib.parse import quote

from pydantic import BaseModel

from facepool.web.problems import MEDIA_TYPE

Answers = dict[int | str, dict[str, Any]]


class Problem(BaseModel):
    """What is wrong: RFC 9457, with the library's stable code and its words."""

    status: int
    code: str
    message: str
    why: str
    fix: str


_WHEN = {
    400: "What was sent cannot be used",
    401: "A key is needed",
    403: "The key does not allow this",
    404: "It is not there",
    409: "It contradicts what is there",
    413: "It is too large",
    415: "It is of a kind that is not taken",
    422: "A field is missing or cannot be used",
    429: "Too much was asked for in a short time",
    503: "The server is busy, or the pool is locked by another program",
    504: "It took too long",
    507: "The disk has no room left",
}
PROBLEMS: Answers = {
    status: {"description": words, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    for status, words in _WHEN.items()
}
"""What every route may answer."""


def file_of(media_type: str, words: str) -> Answers:
    """An answer that is a file."""
    return {200: {"description": words, "content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}}


JPEG = file_of("image/jpeg", "The picture")
ZIP = file_of("application/zip", "The archive")
DATABASE_TYPE = "application/vnd.sqlite3"
DATABASE = file_of(DATABASE_TYPE, "The pool.db")


def attachment(name: str) -> dict[str, str]:
    """Headers that make a browser keep the answer under a name, in any script (RFC 6266)."""
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}", "Cache-Control": "no-store"}
