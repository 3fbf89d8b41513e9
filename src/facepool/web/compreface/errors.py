"""What CompreFace answers when something is wrong: ``{"message": ..., "code": ...}``.

The numbers and sentences are those of its REST interface, because clients compare them: Double Take, for one, takes
code 28 for an empty picture and everything else for a failure. `refusal` puts the server's own errors into these
words.
"""

from collections.abc import Mapping

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from facepool.errors import ConfigError, FacepoolError, ImageUnreadable, InvalidEmbedding
from facepool.web.middleware.authentication import key_of
from facepool.web.problems import (
    Failure,
    Forbidden,
    KeyMissing,
    KeyUnknown,
    error_answers,
    error_responses,
    retry_after,
    status_of,
)
from facepool.web.routes import BoundedRoute, Handler

_UNDEFINED = "Something went wrong, please try again"
_SERVICES = ("recognition", "detection", "verification")
_UNREADABLE, _SERVER_FAILS = 21, 41
_OUT_OF_RANGE = frozenset({"greater_than_equal", "less_than_equal", "finite_number"})
_RULES = {
    "limit": "Limit should be equal or greater than 0; ",
    "det_prob_threshold": "det_prob_threshold should be between 0.0 and 1.0; ",
    "prediction_count": "prediction_count should be equal or greater than 1; ",
}
"""What is said when a number breaks its rule; of the score, CompreFace itself says nothing and finds nobody."""


class WrongBody(BaseModel):
    """What is wrong, as CompreFace says it."""

    message: str
    code: int


RESPONSES = error_responses(WrongBody, "application/json")
ANSWERS = error_answers(WrongBody)


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


def invalid(message: str) -> CompreFaceError:
    """A value breaks a rule."""
    return CompreFaceError(400, 26, message)


def no_face() -> CompreFaceError:
    """Nobody is in the picture."""
    return CompreFaceError(400, 28, "No face is found in the given image")


def too_many_faces() -> CompreFaceError:
    """A picture that has to show one person shows several."""
    return CompreFaceError(400, 31, "More than one face in the source image")


def missing_parameter(name: str) -> CompreFaceError:
    """A value that has to be there is not."""
    return CompreFaceError(400, 33, f"Required parameter {name} is missing")


def forbidden(message: str = "The API Key does not allow this") -> CompreFaceError:
    """The key is known and may not do this; CompreFace itself knows no roles."""
    return CompreFaceError(403, 32, message)


def wrong_argument(message: str) -> CompreFaceError:
    """A value is of the right kind, and of no use."""
    return CompreFaceError(400, 36, message)


def subject_not_found(subject: str) -> CompreFaceError:
    """Nobody has that name."""
    return CompreFaceError(404, 42, f"Subject {subject} not found")


def subject_exists() -> CompreFaceError:
    """Somebody has that name."""
    return CompreFaceError(400, 43, "Subject already exists")


class CompreFaceRoute(BoundedRoute):
    """A route whose own errors are CompreFace's; those of the server become that where all are answered."""

    def get_route_handler(self) -> Handler:
        """The route's own handler, with its errors put into CompreFace's words."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except CompreFaceError as error:
                return error.response()
            except RequestValidationError as error:
                return _of_validation(error).response()

        return answer


def refusal(error: Failure, request: Request) -> Response:
    """The server's own error in CompreFace's words, also for a request that gets to no route."""
    if isinstance(error, HTTPException):
        return CompreFaceError(error.status_code, 0, str(error.detail)).response(error.headers)
    return _of(error, request).response(retry_after(error))


def _of(error: FacepoolError, request: Request) -> CompreFaceError:
    if isinstance(error, KeyMissing):
        return CompreFaceError(400, 20, "Missing header: x-api-key")
    if isinstance(error, KeyUnknown):
        service, key = _service(request.url.path), key_of(request) or ""
        return CompreFaceError(404, 10, f"{service} service with API Key {key} not found")
    if isinstance(error, Forbidden):
        return forbidden(str(error))
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


def _of_validation(error: RequestValidationError) -> CompreFaceError:
    first = error.errors()[0]
    where, name, kind = first["loc"][0], str(first["loc"][-1]), first["type"]
    if where == "query" and kind == "missing":
        return missing_parameter(name)
    if where == "query" and kind in _OUT_OF_RANGE and name in _RULES:
        return invalid(_RULES[name])
    return undefined()
