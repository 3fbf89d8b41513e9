"""Who was seen when: what is kept of it, and what happens now."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from facepool.errors import PoolUnreachable
from facepool.gallery import find_name
from facepool.web.api.schemas import ActivityPage, VisitPage
from facepool.web.middleware.authentication import ConnectionCheck, Recognizing, share_of
from facepool.web.problems import Answers
from facepool.web.routes import BoundedRoute
from facepool.web.services import CurrentServices, Services

router = APIRouter(prefix="/v1", tags=["activity"], route_class=BoundedRoute)

_STREAM: Answers = {
    200: {
        "description": "An event as it happens: its kind, and a record like those of `facepool recognize --json`",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
_PING_S = 15
_GRACE_S = 2
_UNREAD_S = 10.0
"""Somebody who has read nothing for so long is not told anything any more."""


class _EventStream(EventSourceResponse):
    """Server-sent events until the client is gone, or reads nothing any more, which is no error of the server."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(SendTimeoutError):
            await super().__call__(scope, receive, send)


@router.get("/activity")
async def list_activity(
    services: CurrentServices,
    _: Recognizing,
    person: Annotated[str | None, Query(description="Only about somebody")] = None,
    before: Annotated[int | None, Query(ge=1, lt=1 << 63, description="Only entries with a lower id")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ActivityPage:
    """Who was seen when by the cameras of browsers and of the server, newest first."""
    name = find_name(person) if person else None
    found = await services.activity.entries(person=name, before=before, limit=limit)
    return ActivityPage(entries=found)


@router.get("/activity/visits")
async def list_visits(
    services: CurrentServices,
    _: Recognizing,
    person: Annotated[str | None, Query(description="Only those of somebody")] = None,
    before: Annotated[int | None, Query(ge=1, lt=1 << 63, description="Only visits with a lower id")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> VisitPage:
    """Who was before which camera from when to when, newest first: the activity, one entry a visit."""
    name = find_name(person) if person else None
    return VisitPage(visits=await services.activity.visits(person=name, before=before, limit=limit))


async def _place(request: Request, services: CurrentServices, caller: Recognizing) -> AsyncIterator[None]:
    """One of a limited number of listeners, until the answer ends."""
    with services.limits.session(share_of(request, caller)):
        yield


@router.get("/events", response_class=EventSourceResponse, responses=_STREAM, dependencies=[Depends(_place)])
async def listen(request: Request, services: CurrentServices, _: Recognizing) -> EventSourceResponse:
    """What happens before the cameras, from now on, as server-sent events."""
    over = asyncio.Event()  # set when the server stops: a stream that is cut off instead would be an error in its log
    events = _events(services, ConnectionCheck(request, services.keys, "recognize"), over)
    return _EventStream(
        events,
        ping=_PING_S,
        send_timeout=_UNREAD_S,
        shutdown_event=cast("Any", over),
        shutdown_grace_period=_GRACE_S,
    )


async def _events(services: Services, check: ConnectionCheck, over: asyncio.Event) -> AsyncIterator[ServerSentEvent]:
    async for record in services.activity.events.listen(over):
        try:
            if not await check.is_valid():
                return
        except PoolUnreachable:  # the client connects anew
            return
        yield ServerSentEvent(json.dumps(record, ensure_ascii=False), event=str(record["event"]), id=str(record["id"]))
