"""The route that every interface of the server is made of: the caller's role comes first, then the body.

FastAPI reads and parses a body before it asks dependencies, those of the role included. A route's own signature says
which role it takes (`Requires`) and how large a body (`Takes`); `BoundedRoute` finds both there, and acts on them
before anything is read.
"""

from collections.abc import Callable, Coroutine, Iterator
from email.message import Message
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.params import Form
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from facepool.web.bodies import PLAIN, BoundedRequest, Takes
from facepool.web.middleware.authentication import Requires, caller_of

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class BoundedRoute(APIRoute):
    """A route that refuses a caller of too low a role, and a body of too many bytes or values, before it reads it."""

    def get_route_handler(self) -> Handler:
        """The route's own handler behind both checks."""
        handle, needed = super().get_route_handler(), role_checks(self.dependant)
        bounds = next((part.call.bounds for part in _parts(self.dependant) if isinstance(part.call, Takes)), PLAIN)
        reads_whole = self.body_field is not None and not isinstance(self.body_field.field_info, Form)

        async def answer(request: Request) -> Response:
            for role in needed:
                role.check(caller_of(request))
            bounded = BoundedRequest(request, bounds)
            try:
                if reads_whole:  # here, because FastAPI would have its own words for what is refused
                    await (bounded.json() if _says_json(request) else bounded.body())
                return await handle(bounded)
            except ClientDisconnect as error:
                raise HTTPException(400, "The body broke off") from error

        return answer


def role_checks(dependant: Dependant) -> list[Requires]:
    """What a route's signature says of roles; nothing for one that is open to all."""
    return [part.call for part in _parts(dependant) if isinstance(part.call, Requires)]


def _parts(dependant: Dependant) -> Iterator[Dependant]:
    for part in dependant.dependencies:
        yield part
        yield from _parts(part)


def _says_json(request: Request) -> bool:
    """Whether FastAPI would take the body for JSON."""
    message = Message()
    message["content-type"] = request.headers.get("content-type", "")
    subtype = message.get_content_subtype()
    is_json = subtype == "json" or subtype.endswith("+json")
    return message.get_content_maintype() == "application" and is_json
