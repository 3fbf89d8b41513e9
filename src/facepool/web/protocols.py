"""HTTP/1.1 and WebSockets on one connection: uvicorn's, with bounds on what a client may have the server keep.

uvicorn's parsers take whatever was read, and keep what they make of it: heads without an end, requests that were sent
ahead, trailers, messages. Here they get what was read in pieces, and none while an answer or a message is due before.
What they have not got stays as it was read, and until then nothing more is read.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

from starlette.types import Receive, Scope, Send
from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.server import ServerProtocol

from facepool.web.connections import Place
from facepool.web.middleware.address import TARGET_HOST
from facepool.web.problems import HeadTooLarge, RequestError, ServerBusy, TooSlow, problem

_LOG = logging.getLogger(__name__)
_KIB = 1024

MOST_HEAD_BYTES = 64 * _KIB
MOST_LINE_BYTES = 16 * _KIB
MOST_HEADERS = 100
"""Of a request, trailers included."""

_END_OF_HOST = re.compile(rb"[/?#]")
_END_OF_HEAD = b"\r\n\r\n"
_MOST_PIECE_BYTES = 64 * _KIB
_LEAST_PIECE_BYTES = 256
"""Of a body in chunks, whose end is not known before."""

_CHUNK_BYTES = 16
_MOST_EXCESS_BYTES = 16 * _KIB
"""What may stand around a body in chunks beyond 16 bytes a chunk and as much as its data: extensions and trailers."""

_MESSAGES_PIECE_BYTES = 4 * _KIB
_LEAST_FRAGMENT_BYTES = 4 * _KIB

_ALWAYS_ANSWERED = frozenset({"/health"})
_LEAVE_S = 1.0
_MOST_DROPPED_BYTES = 1024 * _KIB
_MOST_LATE_BYTES = 16 * 1024 * _KIB
"""Of messages that a client had sent before it could know that the server has closed."""


class BoundedHTTP(HttpToolsProtocol):
    """HTTP/1.1 on a connection.

    Args:
        place: What the connection holds.
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: Of the application's lifespan.
    """

    def __init__(self, place: Place, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.ws_protocol_class = partial(BoundedWebSocket, place)  # type: ignore[assignment]  # it is only called
        self._place = place
        self._unread = bytearray()
        self._in_head = True
        self._head_bytes = self._header_count = self._excess_bytes = 0
        self._body_left: int | None = 0  # None: it comes in chunks
        self._refusal: RequestError | None = None
        self._stopped = False
        self._farewell: _Farewell | None = None
        self._unwritten_bytes = 0

    # What the connection says

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Somebody has connected."""
        super().connection_made(transport)
        self.flow = self._flow = _Flow(transport, self._take_turns)
        self._place.abort = transport.abort
        self._place.give_up = self._give_up

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._place.release()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Something came."""
        if self._farewell is not None:
            self._farewell.drop(data)
            return
        self._unread += data
        self._parse()

    def pause_writing(self) -> None:
        """An answer waits to be read."""
        super().pause_writing()
        self._unwritten_bytes = self.transport.get_write_buffer_size()
        self._place.wait(self._place.bounds.read_s)

    def resume_writing(self) -> None:
        """It was read."""
        super().resume_writing()
        self._take_turns()

    # What is parsed, and when

    def _parse(self) -> None:
        while self._unread and self._may_parse():
            piece = self._next_piece()
            if self._in_head:
                if not self._head_bytes and self._cycle is not None:  # the first began with the connection
                    self._place.wait(self._place.bounds.head_s)
                self._head_bytes += len(piece)
            else:
                self._excess_bytes += len(piece)
            super().data_received(piece)
            self._check_sizes()
        self._flow.unparsed_bytes = len(self._unread)
        if self._unread:
            self.flow.pause_reading()

    def _may_parse(self) -> bool:
        """Not while a request that has come is not answered."""
        cycle = self._cycle
        answered = cycle is None or cycle.response_complete or cycle.more_body
        return answered and not self._stopped and not self.transport.is_closing()

    @property
    def _cycle(self) -> RequestResponseCycle | None:
        return self.cycle  # uvicorn says that there is always one

    def _next_piece(self) -> bytes:
        size = _MOST_PIECE_BYTES
        if self._in_head or self._body_left is None:
            least = 0 if self._in_head else _LEAST_PIECE_BYTES
            end = self._unread.find(_END_OF_HEAD, least)
            size = end + len(_END_OF_HEAD) if end >= 0 else size
        elif self._body_left > 0:
            size = self._body_left
        size = min(size, _MOST_PIECE_BYTES)
        piece = bytes(self._unread[:size])
        del self._unread[:size]
        return piece

    def _check_sizes(self) -> None:
        if self._stopped:
            return
        if self._in_head and self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(_HEAD_TOO_LARGE)
        elif self._body_left is None and self._excess_bytes > _MOST_EXCESS_BYTES:
            self._refuse(_TOO_MUCH_AROUND_CHUNKS)

    # What the parser finds

    def on_url(self, url: bytes) -> None:
        """A part of the address came."""
        super().on_url(url)
        if len(self.url) > MOST_LINE_BYTES:
            self._refuse_in_parser(_LINE_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came, or a trailer, which nobody wants."""
        self._header_count += 1
        if self._header_count > MOST_HEADERS:
            self._refuse_in_parser(_TOO_MANY_HEADERS)
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse_in_parser(_HEAD_TOO_LARGE)
        headers = dict(self.headers)
        self._body_left = None if b"transfer-encoding" in headers else int(headers.get(b"content-length", b"0"))
        self._in_head, self._excess_bytes = False, 0
        if self._place.spare and self.url.decode("latin-1").partition("?")[0] not in _ALWAYS_ANSWERED:
            self.app = _answer_busy
        if not self.url.startswith((b"/", b"*")):  # a whole address, as a proxy is sent it
            scope = cast("dict[str, object]", self.scope)
            scope[TARGET_HOST] = _END_OF_HOST.split(self.url.partition(b"://")[2], 1)[0].decode("latin-1")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body came."""
        super().on_body(body)
        if self._body_left is None:
            self._excess_bytes = max(0, self._excess_bytes - 2 * len(body) - _CHUNK_BYTES)
        else:
            self._body_left -= len(body)
        if not self.cycle.response_complete:
            self._place.progress(len(body))

    def on_message_complete(self) -> None:
        """The request is complete."""
        super().on_message_complete()
        self._in_head, self._head_bytes, self._header_count, self._body_left = True, 0, 0, 0
        self._take_turns()

    def handle_websocket_upgrade(self) -> None:
        """From now on a WebSocket speaks; it is the server's turn to."""
        if self._place.spare:
            self._refuse(_BUSY)
            return
        self._stop_parsing()
        super().handle_websocket_upgrade()

    # Whose turn it is

    def on_response_complete(self) -> None:
        """The answer was given: what came meanwhile has its turn."""
        super().on_response_complete()
        self._take_turns()
        self._parse()
        if not self._unread and not self.transport.is_closing():
            self.flow.resume_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        super()._start_asgi_task(cycle, app)
        self._take_turns()

    def _take_turns(self) -> None:
        """Say whether the client's time runs."""
        if self.flow.write_paused or self._farewell is not None:
            return
        cycle = self._cycle
        if cycle is None or cycle.response_complete:
            self._place.wait(self._place.bounds.read_s)  # the rest of the answer, of the body, or the next request
        elif cycle.more_body and not self.flow.read_paused:
            self._place.wait(self._place.bounds.body_s)
        else:
            self._place.work()

    def _give_up(self) -> None:
        """The client let the server wait for too long."""
        left = self.transport.get_write_buffer_size()
        if self.flow.write_paused and left <= self._unwritten_bytes - self._place.bounds.least_bytes_s:
            self._unwritten_bytes = left
            self._place.wait(self._place.bounds.read_s)
            return
        cycle = self._cycle
        silent = self._in_head or self._stopped or self.flow.write_paused or self.transport.is_closing()
        if silent or cycle is None or cycle.response_started:
            self.transport.abort()  # over TLS, a polite end would be waited for, too
            return
        stood_s = self._place.bounds.body_s
        self._refuse(
            TooSlow("The request is too slow", why=f"its body stood still for {stood_s:g} s", fix="Send it again")
        )

    # How it is refused

    def _stop_parsing(self) -> None:
        self._stopped = True
        self._unread.clear()

    def _refuse_in_parser(self, error: RequestError) -> None:
        """End parsing; the parser has the last word, `send_400_response`."""
        self._refusal = error
        raise _Refused

    def send_400_response(self, msg: str) -> None:
        """The parser cannot go on."""
        if self._refusal is None:
            self._stop_parsing()
            super().send_400_response(msg)
        else:
            self._refuse(self._refusal)

    def _refuse(self, error: RequestError) -> None:
        """Answer with an error, unless an answer has begun, and end the connection."""
        self._stop_parsing()
        cycle = self._cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
        _LOG.info("A connection ends: %d %s", error.status, error.what)
        self.transport.write(raw_answer(error, self.server_state.default_headers))
        self._farewell = _Farewell(self.transport, self.loop)
        self.flow.resume_reading()


class _Flow(FlowControl):
    """uvicorn's, which reads on only when all that was read is parsed."""

    unparsed_bytes = 0

    def __init__(self, transport: asyncio.Transport, changed: Callable[[], None]) -> None:
        super().__init__(transport)
        self._changed = changed

    def pause_reading(self) -> None:
        super().pause_reading()
        self._changed()

    def resume_reading(self) -> None:
        if self.read_paused and not self.unparsed_bytes:
            super().resume_reading()
            self._changed()


class _Farewell:
    """The end of a connection that something was said on last.

    What still comes is read for a moment: were the connection ended at once, the client would not get to see it.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._dropped_bytes = 0
        self.timer = loop.call_later(_LEAVE_S, transport.abort)
        if transport.can_write_eof():
            transport.write_eof()

    def drop(self, data: bytes) -> None:
        """Something still comes."""
        self._dropped_bytes += len(data)
        if self._dropped_bytes > _MOST_DROPPED_BYTES:
            self._transport.abort()


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket on a connection.

    Messages that the application has not taken yet are bounded; how often it takes some is its own matter. What it does
    not get to see is bounded here: pings, pongs and small fragments.

    Args:
        place: What the connection holds.
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: Of the application's lifespan.
    """

    def __init__(self, place: Place, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.conn = _BoundedFrames(config.ws_max_size)
        self._place = place
        self._unread = bytearray()
        self._unwritten_bytes = self._late_bytes = 0
        self._farewell: _Farewell | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It takes over from HTTP."""
        super().connection_made(transport)
        self._place.give_up = self._give_up
        self._place.work()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._place.release()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Something came."""
        if self._farewell is not None:
            self._farewell.drop(data)
            return
        if self.close_sent:
            self._late_bytes += len(data)
            if self._late_bytes > _MOST_LATE_BYTES:
                self.transport.abort()
                return
        self._unread += data
        self._parse()

    async def send(self, message: ASGISendEvent) -> None:
        """Say something; of a client that was closed for what it did, nothing is heard any more."""
        await super().send(message)
        if message["type"] != "websocket.close" or self.transport.is_closing() or self._farewell is not None:
            return
        if message.get("code") == CloseCode.POLICY_VIOLATION:
            self._unread.clear()
            self._farewell = _Farewell(self.transport, self.loop)
        else:  # what was read may have the client's own close behind it
            self._parse()

    async def receive(self) -> ASGIReceiveEvent:
        """The next message; what was read after it is parsed before anything more is read."""
        message = await self.queue.get()
        self._parse()
        if self.queue.empty():
            self._resume_reading()
        return message

    def pause_writing(self) -> None:
        """A message waits to be read."""
        super().pause_writing()
        self._unwritten_bytes = self.transport.get_write_buffer_size()
        self._place.wait(self._place.bounds.read_s)

    def resume_writing(self) -> None:
        """It was read."""
        super().resume_writing()
        self._place.work()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application has done: what it said last waits to be read."""
        super().on_task_complete(task)
        self._place.wait(self._place.bounds.read_s)

    def handle_events(self) -> None:
        """See what was parsed; uvicorn waits for ever for a request that its parser has refused already."""
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._leave()
        else:
            super().handle_events()

    def handle_parser_exception(self) -> None:
        """Something came that ends the connection."""
        close = self.conn.close_sent
        if close is not None:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.close_sent = True
        self._leave()

    def _leave(self) -> None:
        """Say why, and end the connection."""
        self._unread.clear()
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._resume_reading()
        self._farewell = _Farewell(self.transport, self.loop)
        self.close_timer = self._farewell.timer

    def _resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _parse(self) -> None:
        while self._unread and self._may_parse() and not self.transport.is_closing():
            piece = bytes(self._unread[:_MESSAGES_PIECE_BYTES])
            del self._unread[:_MESSAGES_PIECE_BYTES]
            super().data_received(piece)

    def _may_parse(self) -> bool:
        """Not while messages wait; after the server's close, they are dropped."""
        return self.close_sent or self.queue.qsize() < self.config.ws_max_queue

    def _give_up(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left <= self._unwritten_bytes - self._place.bounds.least_bytes_s:
            self._unwritten_bytes = left
            self._place.wait(self._place.bounds.read_s)
        else:
            self.transport.abort()


class _BoundedFrames(ServerProtocol):
    """Frames, of which a client may send only so many that are small and no message of its own."""

    burst = 256
    """Of these, at once; as many come again within `again_s`."""

    again_s = 10.0

    def __init__(self, most_bytes: int) -> None:
        super().__init__(max_size=most_bytes, logger=logging.getLogger("uvicorn.error"))
        self._left = float(self.burst)
        self._counted_s = time.monotonic()

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame, or end the connection."""
        if _is_small(frame) and not self._count():
            error = _TooManyFrames()
            self.fail(CloseCode.POLICY_VIOLATION, "Too many pings, pongs or small fragments")
            self.parser_exc = error
            return
        super().recv_frame(frame)

    def _count(self) -> bool:
        now_s = time.monotonic()
        self._left = min(self.burst, self._left + (now_s - self._counted_s) * self.burst / self.again_s)
        self._counted_s = now_s
        self._left -= 1
        return self._left >= 0


class _TooManyFrames(Exception):
    pass


def _is_small(frame: Frame) -> bool:
    """Whether it is no message of its own, nor a fragment of a size that browsers make."""
    whole = frame.fin and frame.opcode in (Opcode.TEXT, Opcode.BINARY)
    return not whole and len(frame.data) < _LEAST_FRAGMENT_BYTES


class _Refused(Exception):
    """Ends the parser."""


async def _answer_busy(scope: Scope, receive: Receive, send: Send) -> None:
    answer = problem(_BUSY)
    answer.headers["Connection"] = "close"
    await answer(scope, receive, send)


def raw_answer(error: RequestError, headers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """An answer to a client that no application sees."""
    answer = problem(error)
    lines = [b"%s: %s\r\n" % header for header in (*headers, *answer.raw_headers, (b"connection", b"close"))]
    return b"".join([STATUS_LINE[error.status], *lines, b"\r\n", bytes(answer.body)])


def _too_large(what: str, most: str) -> HeadTooLarge:
    return HeadTooLarge(f"{what} too large", why=f"at most {most} are taken", fix="Send fewer headers and cookies")


_HEAD_TOO_LARGE = _too_large("The head of the request is", f"{MOST_HEAD_BYTES // _KIB} KiB")
_LINE_TOO_LONG = _too_large("The address of the request is", f"{MOST_LINE_BYTES // _KIB} KiB")
_TOO_MANY_HEADERS = _too_large("The number of headers is", f"{MOST_HEADERS}")
_TOO_MUCH_AROUND_CHUNKS = _too_large(
    "What stands around the chunks of the body is", f"{_MOST_EXCESS_BYTES // _KIB} KiB"
)
_BUSY = ServerBusy("The server is busy", why="it has as many connections as it takes", fix="Try again later")
