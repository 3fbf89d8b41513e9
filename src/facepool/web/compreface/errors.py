"""What CompreFace answers when something is wrong: ``{"message": ..., "code": ...}``.

The numbers and sentences are those of its REST interface, because clients compare them: Double Take, for one, takes
code 28 for an empty picture and everything else for a failure.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from facepool.errors import ConfigError, FacepoolError, ImageUnreadable, InvalidEmbedding
from facepool.web.api.schemas import PROBLEMS, Answers
from facepool.web.compreface.faces import RULES
from facepool.web.problems import Forbidden, KeyMissing, KeyUnknown, RequestError, status_of

_UNDEFINED = "Something went wrong, please try again"


class WrongBody(BaseModel):
    """What is wrong, as CompreFace says it."""

    message: str
    code: int


_HERE: Answers = {
    status: {"content": {"application/json": {"schema": WrongBody.model_json_schema()}, **PROBLEMS[status]["content"]}}
    for status in (400, 403, 404, 413, 415, 503, 507)
}
ANSWERS: Answers = PROBLEMS | {status: PROBLEMS[status] | described for status, described in _HERE.items()}
"""What every route may answer: CompreFace's words, and the server's own where a request does not get as far."""


class CompreFaceError(Exception):
    """An answer that CompreFace gives.

    Args:
        status: Of HTTP.
        code: CompreFace's own number.
        message: CompreFace's own sentence, or one of ours where it has none.
    """

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def response(self, headers: Mapping[str, str] | None = None) -> JSONResponse:
        """The answer."""
        return JSONResponse({"message": self.message, "code": self.code}, self.status, headers)


def undefined() -> CompreFaceError:
    """For what CompreFace does not tell apart, such as an image id that is no UUID."""
    return CompreFaceError(400, 0, _UNDEFINED)


def empty_field(name: str) -> CompreFaceError:
    """A field of a JSON body is missing or empty."""
    return CompreFaceError(400, 5, f"Field {name} cannot be empty")


def unknown_key(service: str, key: str) -> CompreFaceError:
    """The key is not one of this server."""
    return CompreFaceError(404, 10, f"{service} service with API Key {key} not found")


def missing_key() -> CompreFaceError:
    """A key is needed and none was given."""
    return CompreFaceError(400, 20, "Missing header: x-api-key")


def not_base64() -> CompreFaceError:
    """A picture in a JSON body is not Base64."""
    return CompreFaceError(400, 21, "Provided value is not Base64")


def invalid(message: str) -> CompreFaceError:
    """A value breaks a rule."""
    return CompreFaceError(400, 26, message)


def no_face() -> CompreFaceError:
    """Nobody is in the picture."""
    return CompreFaceError(400, 28, "No face is found in the given image")


def too_many_faces() -> CompreFaceError:
    """A picture that has to show one person shows several."""
    return CompreFaceError(400, 31, "More than one face in the source image")


def forbidden() -> CompreFaceError:
    """The key is known and may not do this; CompreFace itself knows no roles."""
    return CompreFaceError(403, 32, "The API Key does not allow this")


def missing_parameter(name: str) -> CompreFaceError:
    """The address lacks a parameter."""
    return CompreFaceError(400, 33, f"Required parameter {name} is missing")


def missing_part(name: str) -> CompreFaceError:
    """The form lacks a file."""
    return CompreFaceError(400, 34, f"Required part {name} is missing")


def wrong_argument(message: str) -> CompreFaceError:
    """A value is of the right kind, and of no use."""
    return CompreFaceError(400, 36, message)


def wrong_embedding_count(expected: int, given: int) -> CompreFaceError:
    """Too few embeddings to compare."""
    return CompreFaceError(400, 37, f"{expected} embeddings were expected, but {given} were provided")


def subject_not_found(subject: str) -> CompreFaceError:
    """Nobody has that name."""
    return CompreFaceError(404, 42, f"Subject {subject} not found")


def subject_exists() -> CompreFaceError:
    """Somebody has that name."""
    return CompreFaceError(400, 43, "Subject already exists")


def image_not_found(image_id: object) -> CompreFaceError:
    """There is no example of that id."""
    return CompreFaceError(404, 44, f"Image {image_id} not found")


# DOC: """Routes that answer errors as CompreFace does, and not as the rest of the server."""

_SERVICES = ("recognition", "detection", "verification")
_UNREADABLE, _SERVER_FAILS = 21, 41
_OUT_OF_RANGE = frozenset({"greater_than_equal", "less_than_equal", "finite_number"})


class CompreFaceRoute(APIRoute):
    """A route whose errors are CompreFace's."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own handler, with its errors put into CompreFace's words."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except CompreFaceError as error:
                return error.response()
            except RequestValidationError as error:
                return _of_validation(error).response()
            except FacepoolError as error:
                return _of(error, request).response(_headers(error))
            except HTTPException as error:
                return CompreFaceError(error.status_code, 0, str(error.detail)).response(error.headers)

        return answer


def refusal(error: FacepoolError, request: Request) -> Response:
    """The answer to a request that gets to no route."""
    return _of(error, request).response(_headers(error))


def _of(error: FacepoolError, request: Request) -> CompreFaceError:
    if isinstance(error, KeyMissing):
        return missing_key()
    if isinstance(error, KeyUnknown):
        return unknown_key(_service(request.url.path), request.headers.get("x-api-key", ""))
    if isinstance(error, Forbidden):
        return forbidden()
    if isinstance(error, ConfigError):
        return invalid(str(error))
    if isinstance(error, InvalidEmbedding):
        return wrong_argument(str(error))
    if isinstance(error, ImageUnreadable):
        return CompreFaceError(400, _UNREADABLE, str(error))
    status = status_of(error)
    return CompreFaceError(status, _SERVER_FAILS if status >= 500 else 0, str(error))


def _service(path: str) -> str:
    """What CompreFace calls the part of it that an address belongs to."""
    return next((name for name in _SERVICES if f"/{name}/" in path), _SERVICES[0]).capitalize()


def _headers(error: FacepoolError) -> dict[str, str] | None:
    wait_s = error.retry_after_s if isinstance(error, RequestError) else None
    return None if wait_s is None else {"Retry-After": str(wait_s)}


def _of_validation(error: RequestValidationError) -> CompreFaceError:
    first = error.errors()[0]
    where, name, kind = first["loc"][0], str(first["loc"][-1]), first["type"]
    if where == "query" and kind == "missing":
        return missing_parameter(name)
    if where == "query" and kind in _OUT_OF_RANGE and name in RULES:
        return invalid(RULES[name])
    return undefined()
