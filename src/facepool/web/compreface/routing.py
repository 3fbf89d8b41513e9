"""Routes that answer errors as CompreFace does, and not as the rest of the server."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from facepool.errors import ConfigError, FacepoolError, ImageUnreadable, InvalidEmbedding
from facepool.web.compreface.errors import (
    CompreFaceError,
    forbidden,
    invalid,
    missing_key,
    missing_parameter,
    undefined,
    unknown_key,
    wrong_argument,
)
from facepool.web.compreface.options import RULES
from facepool.web.problems import Forbidden, KeyMissing, KeyUnknown, RequestError, status_of

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
