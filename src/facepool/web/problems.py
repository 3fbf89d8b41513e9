"""What goes wrong with a request, as the client gets it: ``application/problem+json`` (RFC 9457).

The words and the code are those of the error; the status follows from its kind. Nothing else of the server's inside
goes out.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from facepool.errors import (
    CollectionExists,
    ConfigError,
    DiskFull,
    FacepoolError,
    GroupChanged,
    GroupGone,
    IdentityConflict,
    IndexUnreachable,
    IndexUnusable,
    InputError,
    InsufficientData,
    OutOfMemory,
    PathMissing,
    PersonExists,
    PersonFull,
    PoolChanged,
    PoolGone,
    PoolLocked,
    PoolUnreachable,
    SpaceMismatch,
    SuggestionOutdated,
    SystemLimit,
    UndoOutdated,
    UndoUnknown,
    UnknownCollection,
    UnknownPerson,
    UnknownSighting,
    UnknownSuggestion,
    UnknownTemplate,
)

MEDIA_TYPE = "application/problem+json"
_SIGN_IN_AGAIN = 4401
_FORBIDDEN = 4403
_OTHER_MODEL = 4409
TRY_LATER = 1013
"""How a WebSocket is closed that is to be opened again."""
_REFUSED = 1008
_MOST_REASON_BYTES = 123
_MOST_SHOWN = 200


class RequestError(FacepoolError):
    """Something is wrong with a request, or with its moment.

    Remedy: the message says what can be done.
    """

    code = "request"
    status: ClassVar[int] = 400
    closes_with: ClassVar[int | None] = None
    """How a WebSocket is closed for it, where that does not follow from the status."""
    retry_after_s: ClassVar[int | None] = None


class AddressInvalid(RequestError):
    """The host of a request is missing, said twice or cannot be one, or its address has too many parameters.

    Remedy: send one header `Host` with the name and port of the server; the message says what else is wrong.
    """

    code = "address_invalid"


class InvalidRequest(RequestError):
    """A field or parameter is missing, or of another kind than it has to be.

    Remedy: correct the field that the message names; `/docs` describes each.
    """

    code = "request_invalid"
    status = 422


class KeyMissing(RequestError):
    """The server asks for a key, and none was given.

    Remedy: send a key as `x-api-key`; `facepool keys add` makes one.
    """

    code = "key_missing"
    status = 401


class KeyUnknown(RequestError):
    """The key is none of this server, or the session has ended.

    Remedy: sign in again, or ask the administrator for a key.
    """

    code = "key_unknown"
    status = 401


class Forbidden(RequestError):
    """The key is not for this, or the request comes from another site.

    Remedy: use a key with a higher role, and call from the server's own page.
    """

    code = "forbidden"
    status = 403


class NotFound(RequestError):
    """There is no such thing.

    Remedy: check the address; `/docs` lists all of them.
    """

    code = "not_found"
    status = 404


class TooLarge(RequestError):
    """The request or its picture is larger than the server takes.

    Remedy: send a smaller picture, or raise `--max-request`.
    """

    code = "too_large"
    status = 413


class HeadTooLarge(RequestError):
    """The address or the headers of the request are larger, or more, than the server takes.

    Remedy: send fewer headers and cookies, and what is long in the body.
    """

    code = "head_too_large"
    status = 431


class TooSlow(RequestError):
    """The body of the request stood still.

    Remedy: send it again, over a better connection.
    """

    code = "too_slow"
    status = 408


class UnsupportedBody(RequestError):
    """The body is of a kind that the server does not read.

    Remedy: send a form with files, or JSON, as `/docs` says.
    """

    code = "body_unsupported"
    status = 415


class PictureUnsupported(RequestError):
    """A picture is of a kind that the server does not read from others, such as JPEG 2000 or TGA.

    Remedy: save it as JPEG or PNG; the message lists all that are taken. The command line reads the others, too.
    """

    code = "picture_unsupported"
    status = 415


class PictureTooCostly(RequestError):
    """To decode a picture takes far more time or memory than pictures of its size do.

    Remedy: open it in another program, and save it anew as an ordinary JPEG or PNG.
    """

    code = "picture_too_costly"
    status = 413


class TooManyRequests(RequestError):
    """One client asks too often.

    Remedy: wait as long as `Retry-After` says, or raise `--rate-limit`.
    """

    code = "rate_limited"
    status = 429
    retry_after_s = 10


class ServerBusy(RequestError):
    """Everybody together asks for more than the server bears.

    Remedy: wait as long as `Retry-After` says.
    """

    code = "server_busy"
    status = 503
    retry_after_s = 1


class TimedOut(RequestError):
    """The request was not answered in time.

    Remedy: send fewer pictures at once, or raise `--request-timeout`.
    """

    code = "timed_out"
    status = 504


_STATUS: tuple[tuple[type[FacepoolError], int], ...] = (
    (UnknownPerson, 404),
    (UnknownTemplate, 404),
    (UnknownSighting, 404),
    (UnknownSuggestion, 404),
    (SuggestionOutdated, 409),
    (UnknownCollection, 404),
    (GroupGone, 404),
    (GroupChanged, 409),
    (UndoUnknown, 404),
    (UndoOutdated, 409),
    (PersonExists, 409),
    (CollectionExists, 409),
    (PoolChanged, 409),
    (IdentityConflict, 409),
    (PersonFull, 409),
    (SpaceMismatch, 409),
    (InsufficientData, 409),
    (PoolLocked, 503),
    (PoolGone, 503),
    (PoolUnreachable, 503),
    (IndexUnreachable, 503),
    (IndexUnusable, 503),
    (DiskFull, 507),
    (SystemLimit, 503),
    (PathMissing, 404),
    (ConfigError, 400),
    (InputError, 400),
)
"""The first that fits counts; what is not here is the server's own trouble."""

_CODES = {404: NotFound.code, 405: "method_not_allowed", 413: TooLarge.code}
"""Of what the framework says by itself."""


Failure = FacepoolError | HTTPException
"""What a request fails with; the second kind is the framework's own, for example an address that is none."""

Refusal = Callable[[Failure, Request], Response]
"""Makes the answer to a request that fails, in the words of the interface that was asked."""

Answers = dict[int | str, dict[str, Any]]
"""What a route may answer beside what it returns, for the OpenAPI document."""


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
    413: "It is too large, or takes too much work",
    415: "It is of a kind that is not taken",
    422: "A field is missing or cannot be used",
    429: "Too much was asked for in a short time",
    500: "The server failed",
    503: "The server is busy, short of memory or files, the pool is locked by another program, or its database is away",
    504: "It took too long",
    507: "The disk has no room left",
}


def schema_of(model: type[BaseModel]) -> dict[str, str]:
    """A shape, where a route's description names it in words of OpenAPI; `facepool.web.openapi` has to know it, too."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def error_responses(shape: type[BaseModel], media_type: str) -> dict[str, dict[str, Any]]:
    """What the OpenAPI document says once of each error of an interface, by name: the shape's and the status."""
    content = {media_type: {"schema": schema_of(shape)}}
    return {f"{shape.__name__}{status}": {"description": words, "content": content} for status, words in _WHEN.items()}


def error_answers(shape: type[BaseModel]) -> Answers:
    """What every route of an interface may answer when something is wrong."""
    return {status: {"$ref": f"#/components/responses/{shape.__name__}{status}"} for status in _WHEN}


RESPONSES = error_responses(Problem, MEDIA_TYPE)
PROBLEMS = error_answers(Problem)


def status_of(error: FacepoolError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, RequestError):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def retry_after(error: FacepoolError) -> dict[str, str]:
    """The header that says when to ask again; none where that would not help."""
    if isinstance(error, PoolLocked | PoolGone | PoolUnreachable | IndexUnreachable):
        return {"Retry-After": "1"}
    wait_s = error.retry_after_s if isinstance(error, RequestError) else None
    return {} if wait_s is None else {"Retry-After": str(wait_s)}


def problem(error: FacepoolError) -> JSONResponse:
    """The answer to a request that fails."""
    status = status_of(error)
    content = {"status": status, "code": error.code, "message": error.what, "why": error.why, "fix": error.fix}
    return JSONResponse(content, status, _headers(error), MEDIA_TYPE)


def problem_of_the_framework(error: HTTPException) -> JSONResponse:
    """The answer to a request that the framework itself refuses."""
    code = _CODES.get(error.status_code, f"http_{error.status_code}")
    content = {"status": error.status_code, "code": code, "message": error.detail}
    headers = {**(error.headers or {}), "Cache-Control": "no-store"}
    return JSONResponse({**content, "why": "", "fix": ""}, error.status_code, headers, MEDIA_TYPE)


def refusal_as_problem(error: Failure, _request: Request) -> Response:
    """The `Refusal` of facepool's own interface."""
    return problem(error) if isinstance(error, FacepoolError) else problem_of_the_framework(error)


def add_handlers(app: FastAPI, refusal: Refusal, for_clients: Callable[[FacepoolError], FacepoolError]) -> None:
    """Let an application answer every error, those of WebSockets included.

    Args:
        app: The application.
        refusal: Makes the answer.
        for_clients: Takes out of an error what only the log is to have.
    """

    async def known(connection: Request | WebSocket, error: FacepoolError) -> Response | None:
        if isinstance(connection, WebSocket):
            await refuse(connection, for_clients(error))
            return None
        return refusal(error, connection)

    async def out_of_memory(connection: Request | WebSocket, _error: MemoryError) -> Response | None:
        return await known(connection, _OUT_OF_MEMORY)

    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return refusal(_invalid(error), request)

    async def of_the_framework(request: Request, error: HTTPException) -> Response:
        return refusal(error, request)

    async def unknown(request: Request, _error: Exception) -> Response:
        return refusal(_INTERNAL, request)

    handlers: dict[type[Exception], Any] = {  # of requests; of WebSockets, too, where it says so
        FacepoolError: known,
        MemoryError: out_of_memory,
        RequestValidationError: invalid,
        HTTPException: of_the_framework,
        Exception: unknown,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def turn_away(error: FacepoolError, scope: Scope, receive: Receive, send: Send, refusal: Refusal) -> None:
    """Answer a request, or a WebSocket that is not opened for it, with an error, whatever it came for."""
    if scope["type"] == "websocket":
        socket = WebSocket(scope, receive, send)
        if "websocket.http.response" in scope.get("extensions", {}):
            await socket.send_denial_response(problem(error))
        else:
            await socket.close(_REFUSED, error.what)
        return
    await refusal(error, Request(scope))(scope, receive, send)


async def refuse(socket: WebSocket, error: FacepoolError) -> None:
    """Open a WebSocket and close it for an error, with a reason that the client can read."""
    await socket.accept()  # the reason of one that was never open reaches no browser
    status = status_of(error)
    by_status = {401: _SIGN_IN_AGAIN, 403: _FORBIDDEN, 429: TRY_LATER, 503: TRY_LATER}
    own = error.closes_with if isinstance(error, RequestError) else None
    number = own or (_OTHER_MODEL if isinstance(error, SpaceMismatch) else by_status.get(status, _REFUSED))
    await socket.close(number, str(error).encode()[:_MOST_REASON_BYTES].decode(errors="ignore"))


def _headers(error: FacepoolError) -> dict[str, str]:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    headers |= retry_after(error)
    if status_of(error) == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def _invalid(error: RequestValidationError) -> InvalidRequest:
    first = error.errors()[0]
    where, *path = first["loc"]
    name = _short(".".join(str(part) for part in path))
    what = f"The {where} of the request cannot be used" if not name else f"{name!r} of the {where} cannot be used"
    return InvalidRequest(what, why=_short(first["msg"]), fix="The description of the interface is at /docs")


def _short(text: str) -> str:
    """What a client may have written itself, for an answer."""
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


_OUT_OF_MEMORY = OutOfMemory("The server cannot answer", why="there is not enough memory", fix="Send less at once")
_INTERNAL = FacepoolError("The server failed", why="an internal error, which is in its log", fix="Tell whoever runs it")
"""Nothing of the error itself goes out."""
