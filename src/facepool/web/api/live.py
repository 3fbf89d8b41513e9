"""Conversations with browsers over WebSockets: frames, of which only the newest waits, and commands, which all wait.

A frame is one binary message: 8 bytes big-endian number, 8 bytes big-endian float64 of the time in seconds by the
client's clock, then the picture. A client is to have no more than two frames unanswered. If it sends a third, that one
takes the place of the one that waits, which is answered with ``{"frame": number, "dropped": true}``. A frame that
cannot be used is answered with ``{"type": "error", "frame": 7, "code": ..., "message": ...}``. A client that sends more
than its budget, or does not read what it is told, is closed with 1008.

``/v1/live`` is here, too: a browser sends what its camera sees, and gets who is there. The answer to each frame::

    {"frame": 7, "time_s": 12.5, "size": [640, 480], "faces": [...], "events": [...], "took_ms": 31.0}

Boxes are in pixels of the frame. Faces that are not ``told`` are not confirmed yet, and may be none; ``reason`` is
``undecided`` for one that was not looked at often enough yet. ``sighting`` is what to say who it really is of
(``/v1/sightings/{id}/correct``), where faces are kept; elsewhere the ``id`` of the face's latest event is.
"""

import asyncio
import math
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, Self

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from facepool.capture import Rhythm
from facepool.errors import FacepoolError, InputError, PoolUnreachable
from facepool.recognize.events import LiveView
from facepool.recognize.live import LiveSession
from facepool.recognize.sightings import TrackSighting
from facepool.records import event_record, live_records
from facepool.types import Frame
from facepool.web.api.proof import NO_CHECK_NEEDED
from facepool.web.hiding import hidden_folders
from facepool.web.middleware.authentication import ENDED, SIGN_IN_AGAIN, ConnectionCheck, Recognizing, share_of
from facepool.web.problems import TRY_LATER, ServerBusy
from facepool.web.services import CurrentServices, Services, live_recognizer
from facepool.web.services.decoding import FRAME_LIMITS
from facepool.web.services.following import BehindInfo, OutageInfo
from facepool.web.services.keeping import BROWSERS
from facepool.web.services.keys import Caller, Role
from facepool.web.services.turns import work_for

Message = dict[str, object]

_HEAD = struct.Struct(">Qd")
_LARGEST_NUMBER = (1 << 63) - 1
_MOST_FRAME_BYTES = 4 * 1024 * 1024
_MOST_COMMAND_CHARACTERS = 10_000
_MOST_COMMANDS = 100
MESSAGES_A_SECOND = 120
"""Of any kind, for as long as it likes; twice as many at once. A camera of 60 frames a second sends half."""
_BYTES_A_SECOND = 64 * 1024 * 1024
_UNREAD_S = 10.0
"""Somebody who has read nothing for so long is not told anything any more."""
_IDLE_S = 1.0
_SILENT_S = 5.0
"""Who was before a camera that sends nothing for so long is lost, unless its pictures come that seldom."""
_GONE_AFTER_S = 600.0
"""Somebody who has sent nothing for so long has left the page open and gone."""

_REFUSED = 1008
_GOODBYE_S = 1.0


class BadMessage(InputError):
    """A client sent something over a WebSocket that is neither a frame nor a command.

    Remedy: send what the interface's description says; its own page does.
    """

    code = "message_invalid"


@dataclass(frozen=True, slots=True)
class SentFrame:
    """A frame as it was sent.

    Attributes:
        number: The client's own, for the answer.
        time_s: When it was captured, by the client's clock.
        picture: JPEG, or any other format that pictures may have.
        came_s: When it was here, by the server's monotonic clock, which no client sets.
    """

    number: int
    time_s: float
    picture: bytes = field(repr=False)
    came_s: float = field(default=0.0, compare=False)


def parse_frame(message: bytes) -> SentFrame:
    """Take a binary message apart.

    Raises:
        BadMessage: It is no frame, or too large.
    """
    if not _HEAD.size < len(message) <= _MOST_FRAME_BYTES:
        raise BadMessage(
            f"A frame of {len(message)} bytes cannot be taken",
            why=f"it is not between {_HEAD.size + 1} and {_MOST_FRAME_BYTES} bytes",
            fix="Send smaller pictures",
        )
    number, time_s = _HEAD.unpack_from(message)
    if number > _LARGEST_NUMBER:
        raise BadMessage("A frame has no usable number", why=f"it is {number}", fix="Count from 0")
    if not math.isfinite(time_s):
        raise BadMessage("A frame has no time", why=f"it is {time_s}", fix="Send seconds as a 64-bit float")
    return SentFrame(number, time_s, message[_HEAD.size :], time.monotonic())


class Budget:
    """What a client may spend: so much a second, and what it saves, up to two seconds' worth (a token bucket).

    Args:
        a_second: How much, 1 or more.
        clock: Seconds of a monotonic clock.
    """

    def __init__(self, a_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_second = a_second
        self._clock = clock
        self._saved = 2 * a_second
        self._counted_s = clock()

    def spend(self, amount: float) -> bool:
        """Whether there is so much, which then is spent."""
        now_s = self._clock()
        self._saved = min(2 * self._a_second, self._saved + (now_s - self._counted_s) * self._a_second)
        self._counted_s = now_s
        if amount > self._saved:
            return False
        self._saved -= amount
        return True


class Conversation(Protocol):
    """What answers one browser; made, used and closed in one thread."""

    over: bool

    def take(self, item: SentFrame | str) -> Message | None:
        """The answer to a frame or to the text of a command; None: nothing."""
        ...

    def idle(self) -> None:
        """Nothing has come for a second."""
        ...

    def close(self) -> None:
        """The browser is gone, or the conversation is over."""
        ...


async def converse(
    socket: WebSocket, services: Services, caller: Caller, role: Role, begin: Callable[[], Conversation]
) -> None:
    """Answer one browser until it is gone, the conversation is over, or its key or session has ended.

    Args:
        socket: Not accepted yet.
        services: Of the server.
        caller: Who it is, for the share of connections.
        role: What the conversation takes.
        begin: Called in the conversation's own thread.

    Raises:
        TooManyRequests: The client has its share of connections already.
        ServerBusy: There are too many connections.
    """
    check, hidden = ConnectionCheck(socket, services.keys, role), hidden_folders(socket)
    run = asyncio.get_running_loop().run_in_executor
    share = share_of(socket, caller)
    with services.limits.session(share), _own_thread(f"facepool-{role}", share) as thread:
        conversation = await run(thread, begin)
        try:
            await socket.accept()
            async with FrameStream.of(socket) as stream:
                async for item in stream:
                    if item is None:
                        await run(thread, conversation.idle)
                        if conversation.over:
                            await stream.close()
                        continue
                    # At once before a command: it may be the one that saves.
                    try:
                        if not await check.is_valid(at_once=isinstance(item, str)):
                            await stream.close(SIGN_IN_AGAIN, ENDED)
                            break
                    except PoolUnreachable:
                        await stream.close(TRY_LATER, "The database does not answer, so nobody knows who may go on")
                        break
                    message = await run(thread, conversation.take, item)
                    if message is not None:
                        await stream.send(hidden.of_message(message))
                    if conversation.over:
                        await stream.close()
        finally:
            # It is closed even if the task that waits for it is cancelled.
            await asyncio.shield(run(thread, conversation.close))


@contextmanager
def _own_thread(name: str, share: str) -> Iterator[ThreadPoolExecutor]:
    """A thread for one client, which is not waited for at the end: a pool is used in one thread only."""
    thread = ThreadPoolExecutor(1, thread_name_prefix=name, initializer=partial(work_for, share))
    try:
        yield thread
    finally:
        thread.shutdown(wait=False)


def dropped(frame: int) -> Message:
    """The answer to a frame that was given up for a newer one."""
    return {"frame": frame, "dropped": True}


def error_message(error: FacepoolError) -> Message:
    """What went wrong, for the page."""
    return {"type": "error", "code": error.code, "message": error.what, "why": error.why, "fix": error.fix}


class FrameStream:
    """Messages of a client, read beside the work on them.

    Iterating gives frames and the texts of commands, commands first, until the client is gone; None each second that
    nothing comes.

    Args:
        socket: Accepted.
    """

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._frame: SentFrame | None = None
        self._commands: deque[str] = deque()
        self._news = asyncio.Event()
        self._gone = False
        self._messages, self._bytes = Budget(MESSAGES_A_SECOND), Budget(_BYTES_A_SECOND)

    @classmethod
    @asynccontextmanager
    async def of(cls, socket: WebSocket) -> AsyncIterator[Self]:
        """The messages of an accepted WebSocket, read until the block ends."""
        stream = cls(socket)
        reader = asyncio.create_task(stream._read())
        try:
            yield stream
        finally:
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader

    async def __aiter__(self) -> AsyncIterator[SentFrame | str | None]:
        while not self._gone:
            if self._commands:
                yield self._commands.popleft()
            elif self._frame is not None:
                frame, self._frame = self._frame, None
                yield frame
            else:
                self._news.clear()
                try:
                    async with asyncio.timeout(_IDLE_S):
                        await self._news.wait()
                except TimeoutError:
                    yield None

    async def send(self, message: Message) -> None:
        """Answer, unless the client is gone, or lets its answers lie."""
        if self._gone:
            return
        try:
            async with asyncio.timeout(_UNREAD_S):
                await self._socket.send_json(message)
        except (WebSocketDisconnect, RuntimeError):  # the second where it was closed, and nobody has read that yet
            self._end()
        except TimeoutError:
            await self._refuse("Answers are not read")
            self._end()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Nothing is left to be said, but why."""
        if not self._gone:
            self._end()
            await self._say_goodbye(code, reason)

    def forget_frame(self) -> int | None:
        """Give up the frame that waits, and return its number."""
        frame, self._frame = self._frame, None
        return None if frame is None else frame.number

    async def _read(self) -> None:
        try:
            while True:
                async with asyncio.timeout(_GONE_AFTER_S):
                    message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                await self._take(message)
        except TimeoutError:
            await self._refuse("Nothing was sent for a long time")
        except BadMessage as error:
            await self._refuse(error.what)
        finally:
            self._end()

    async def _take(self, message: Mapping[str, object]) -> None:
        data, text = message.get("bytes"), message.get("text")
        size = len(data) if isinstance(data, bytes) else len(text) if isinstance(text, str) else 0
        if not self._messages.spend(1):
            raise BadMessage(f"More than {MESSAGES_A_SECOND} messages a second were sent")
        if not self._bytes.spend(size):
            raise BadMessage(f"More than {_BYTES_A_SECOND:,} bytes a second were sent")
        if isinstance(data, bytes):
            given_up = self.forget_frame()
            self._frame = parse_frame(data)
            if given_up is not None:
                await self.send(dropped(given_up))
        elif isinstance(text, str):
            if len(text) > _MOST_COMMAND_CHARACTERS or len(self._commands) >= _MOST_COMMANDS:
                raise BadMessage("Too much was sent at once")
            self._commands.append(text)
        self._news.set()

    async def _refuse(self, why: str) -> None:
        await self._say_goodbye(_REFUSED, why)

    async def _say_goodbye(self, code: int, reason: str) -> None:
        """Close; who reads nothing is not waited for: the connection ends with the conversation."""
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._socket.close(code, reason)

    def _end(self) -> None:
        self._gone = True
        self._news.set()


router = APIRouter(tags=["live"])

_SOURCE = "browser"
_FACE_FIELDS = ("track", "bbox", "score", "person", "person_id", "similarity", "threshold", "margin", "reason")
_EVENT_FIELDS = (
    "id",
    "at",
    "event",
    "track",
    "person",
    "person_id",
    "previous",
    "similarity",
    "threshold",
    "reason",
    "time_s",
)


@router.websocket("/v1/live", dependencies=[NO_CHECK_NEEDED])
async def live(socket: WebSocket, services: CurrentServices, caller: Recognizing) -> None:
    """Recognize the people before a browser's camera."""
    await converse(socket, services, caller, "recognize", lambda: _BrowserCamera(services))


class _BrowserCamera:
    """One browser's camera."""

    over = False

    def __init__(self, services: Services) -> None:
        self._decoder = services.engine.decoder
        self._pool = services.pool.open_for_live()
        recognizer = live_recognizer(services.engine, services.tuning, services.tracks, self._pool)
        self._keeper, self._place = services.keeper, f"{_SOURCE} {next(BROWSERS)}"
        self._session = LiveSession(recognizer, partial(services.activity.emit, _SOURCE), self._keep)
        self._now_s = 0.0
        self._rhythm = Rhythm()
        self._came_s = time.monotonic()

    def take(self, item: SentFrame | str) -> Message | None:
        if isinstance(item, str):
            return None
        began_s = time.perf_counter()
        self._came_s = time.monotonic()
        self._rhythm.look(self._came_s)
        try:
            image_bgr = self._decoder.decode(item.picture, FRAME_LIMITS)
            self._now_s = max(self._now_s, item.time_s)  # time does not go back, whatever a client says
            frame = Frame(image_bgr, _SOURCE, item.number, self._now_s)
            view = self._session.look(frame)
        except ServerBusy:
            return dropped(item.number)
        except FacepoolError as error:
            return error_message(error) | {"frame": item.number}
        return _view_message(frame, view) | {"took_ms": round(1000 * (time.perf_counter() - began_s), 1)}

    def _keep(self, _frame: Frame, sightings: Sequence[TrackSighting]) -> None:
        self._keeper.take(_SOURCE, sightings, place=self._place)

    def idle(self) -> None:
        """A page in the background, or a computer that sleeps, shows nobody any more, and keeps its connection."""
        if time.monotonic() - self._came_s > self._rhythm.silent_after(_SILENT_S):
            self._session.interrupt()

    def close(self) -> None:
        self._session.close()
        self._pool.close()


def _view_message(frame: Frame, view: LiveView) -> Message:
    height, width = frame.image_bgr.shape[:2]
    return {
        "frame": frame.index,
        "time_s": view.time_s,
        "size": [width, height],
        "faces": [
            {name: record[name] for name in _FACE_FIELDS}
            | {"told": bool(confirmed), "sighting": record.get("sighting")}
            for record, confirmed in zip(live_records(frame, view), view.confirmed, strict=True)
        ],
        "outage": None if (away := OutageInfo.of(view.outage)) is None else away.model_dump(mode="json"),
        "behind": None if (behind := BehindInfo.of(view.behind)) is None else behind.model_dump(mode="json"),
        "events": [
            {name: event_record(frame, event)[name] for name in _EVENT_FIELDS} | {"sighting": event.sighting}
            for event in view.events
        ],
    }
