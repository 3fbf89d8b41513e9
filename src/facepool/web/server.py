"""A time limit for the heads of requests: who connects and says nothing, or not all, is not waited for.

uvicorn itself has one only for what follows an answer, and connections that wait count among those that it takes.
"""

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class PromptHTTP(HttpToolsProtocol):
    """HTTP/1.1 that hangs up where the head of a request is not complete in time."""

    head_s = 10.0
    """From the connection, or from the first bytes after an answer, to the end of the head."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Somebody has connected."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Something came. After an answer it is another head, whatever it looks like."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # uvicorn says that there is always one
        if self._head_timer is None and (cycle is None or cycle.response_complete):
            self._wait_for_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_s, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _hang_up(self) -> None:
        self._head_timer = None
        self.transport.abort()  # over TLS, a polite end would be waited for, too
