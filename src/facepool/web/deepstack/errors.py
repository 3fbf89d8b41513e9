"""What DeepStack answers when something is wrong: ``{"success": false, "error": ..., "code": ...}``.

The status and ``code`` are the same number: clients of DeepStack look at the one, those of CodeProject.AI at the other.
"""

from typing import Literal

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from facepool.errors import FacepoolError, ImageUnreadable, NoFace
from facepool.web.problems import (
    Failure,
    KeyMissing,
    KeyUnknown,
    error_answers,
    error_responses,
    retry_after,
    status_of,
)
from facepool.web.routes import BoundedRoute, Handler


class VisionError(BaseModel):
    """What is wrong, as DeepStack says it."""

    success: Literal[False] = False
    error: str
    code: int


RESPONSES = error_responses(VisionError, "application/json")
ANSWERS = error_answers(VisionError)


class DeepStackError(Exception):
    """A request that DeepStack refuses.

    Args:
        message: DeepStack's own sentence, or one of ours where it has none.
    """


class DeepStackRoute(BoundedRoute):
    """A route whose own errors are DeepStack's; those of the server become that where all are answered."""

    def get_route_handler(self) -> Handler:
        """The route's own handler, with its errors put into DeepStack's words."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except DeepStackError as error:
                return _response(400, str(error))

        return answer


def refusal(error: Failure, _request: Request) -> Response:
    """The server's own error in DeepStack's words, also for a request that gets to no route."""
    if isinstance(error, HTTPException):
        response = _response(error.status_code, str(error.detail))
        response.headers.update(error.headers or {})
        return response
    response = _response(status_of(error), _words(error))
    response.headers.update(retry_after(error))
    return response


def _words(error: FacepoolError) -> str:
    if isinstance(error, KeyMissing):
        return "Incorrect api key: none came in a header, the address, or the first 64 KiB of the form"
    if isinstance(error, KeyUnknown):
        return "Incorrect api key"
    if isinstance(error, ImageUnreadable):
        return f"Invalid image: {error}"
    if isinstance(error, NoFace):
        return f"No face detected: {error}"
    return str(error)


def _response(status: int, message: str) -> JSONResponse:
    return JSONResponse(VisionError(error=message, code=status).model_dump(), status)
