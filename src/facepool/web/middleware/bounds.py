"""How large a request may be, and how long it may take. Plain ASGI."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facepool.web.middleware.authentication import share_in
from facepool.web.problems import Refusal, ServerBusy, TimedOut, TooLarge

_MIB = 1024 * 1024
MOST_BYTES = 64 * _MIB
_MOST_BYTES_OF_POOL = 1024 * _MIB
DEADLINE_S = 60.0
_DEADLINE_OF_POOL_S = 600.0
_HELD_EACH = 96 * _MIB
_HELD_BY_SMALL = 4 * _MIB
_HELD_BY_ALL_SMALL = 64 * _MIB
_LATER = {"Retry-After": str(ServerBusy.retry_after_s)}
_POOL = frozenset({"/v1/pool/import", "/v1/pool/export"})
"""What is done with the whole pool may be large and take long; it is for administrators."""


class Bounds:
    """Ends requests that are too large or take too long.

    Args:
        app: What comes next.
        refusal: Makes the answer to a request that is ended.
        most_bytes: Of a body.
        deadline_s: Until the answer begins. What is streamed then may take as long as it likes.
    """

    def __init__(
        self, app: ASGIApp, refusal: Refusal, most_bytes: int = MOST_BYTES, deadline_s: float = DEADLINE_S
    ) -> None:
        self._app = app
        self._refusal = refusal
        self._most_bytes = most_bytes
        self._deadline_s = deadline_s
        self._held = _Held(max(_HELD_EACH, most_bytes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on for so long."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        of_pool = scope["path"] in _POOL
        most_bytes = max(self._most_bytes, _MOST_BYTES_OF_POOL) if of_pool else self._most_bytes
        if _promised(scope) > most_bytes:
            await self._refusal(_too_large(most_bytes), Request(scope))(scope, receive, send)
            return
        deadline_s = max(self._deadline_s, _DEADLINE_OF_POOL_S) if of_pool else self._deadline_s
        # What is done with the whole pool goes to the disk as it comes.
        with nullcontext(receive) if of_pool else self._held.counting(share_in(HTTPConnection(scope)), receive) as held:
            await self._within(deadline_s, scope, _counted(held, most_bytes), send)

    async def _within(self, deadline_s: float, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def pass_on(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                timer.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(deadline_s) as timer:
                await self._app(scope, receive, pass_on)
        except TimeoutError:
            if began or not timer.expired():
                raise
            error = TimedOut("The request was not answered in time", why=f"it took {deadline_s:g} s", fix="Send less")
            await self._refusal(error, Request(scope))(scope, receive, send)


class _Held:
    """Bytes of bodies of all requests that are under way: half of the room is one client's at most.

    Beyond the room there is some for those who hold little, or two clients could keep everybody else out.

    Args:
        each: How much one client may hold.
    """

    def __init__(self, each: int) -> None:
        self._each = each
        self._of: Counter[str] = Counter()

    @contextmanager
    def counting(self, client: str, receive: Receive) -> Iterator[Receive]:
        """Receives a body, whose bytes are held until the block ends; refused are those for which there is no room."""
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            come = len(message.get("body", b""))
            if not self._has_room(client, come):
                # The framework passes on its own kind only; anything else would be a body that cannot be parsed.
                raise HTTPException(ServerBusy.status, "The bodies that come now are too large together", _LATER)
            size += come
            self._of[client] += come
            return message

        try:
            yield counted
        finally:
            self._of -= Counter({client: size})  # which forgets a client without any

    def _has_room(self, client: str, come: int) -> bool:
        own, room = self._of[client] + come, 2 * self._each
        if own <= _HELD_BY_SMALL:
            room += _HELD_BY_ALL_SMALL
        return own <= self._each and self._of.total() + come <= room


def _counted(receive: Receive, most_bytes: int) -> Receive:
    """Receives a body, and refuses to receive too much of it."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most_bytes:
            # The framework passes on its own kind only; anything else would be a body that cannot be parsed.
            raise HTTPException(TooLarge.status, _too_large(most_bytes).why)
        return message

    return counted


def _promised(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def _too_large(most_bytes: int) -> TooLarge:
    return TooLarge(
        "The request is too large", why=f"{most_bytes / _MIB:g} MiB are taken", fix="Send fewer or smaller pictures"
    )
