"""What a browser sends over a WebSocket: frames, of which only the newest waits, and commands, which all wait.

A frame is one binary message: 8 bytes big-endian number, 8 bytes big-endian float64 of the time in seconds by the
client's clock, then the picture. A client is to have no more than two frames unanswered. If it sends a third, that one
takes the place of the one that waits, which is answered with ``{"frame": number, "dropped": true}``.
"""

import asyncio
import math
import struct
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from fastapi import WebSocket, WebSocketDisconnect

from facepool.errors import InputError

_HEAD = struct.Struct(">Qd")
_LARGEST_NUMBER = (1 << 63) - 1
_MOST_FRAME_BYTES = 4 * 1024 * 1024
_MOST_COMMAND_CHARACTERS = 10_000
_MOST_COMMANDS = 100
_GONE_AFTER_S = 600.0
"""Somebody who has sent nothing for so long has left the page open and gone."""

_REFUSED = 1008


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
    """

    number: int
    time_s: float
    picture: bytes = field(repr=False)


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
    return SentFrame(number, time_s, message[_HEAD.size :])


class FrameStream:
    """Messages of a client, read beside the work on them.

    Iterating gives frames and the texts of commands, commands first, until the client is gone.

    Args:
        socket: Accepted.
    """

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._frame: SentFrame | None = None
        self._commands: deque[str] = deque()
        self._news = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._gone = False

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SentFrame | str:
        while not self._gone:
            if self._commands:
                return self._commands.popleft()
            if self._frame is not None:
                frame, self._frame = self._frame, None
                return frame
            self._news.clear()
            await self._news.wait()
        raise StopAsyncIteration

    async def send(self, message: dict[str, object]) -> None:
        """Answer, unless the client is gone."""
        if self._gone:
            return
        try:
            await self._socket.send_json(message)
        except (WebSocketDisconnect, RuntimeError):  # the second where it was closed, and nobody has read that yet
            self._end()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Nothing is left to be said, but why."""
        if not self._gone:
            self._end()
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._socket.close(code, reason)

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
        if isinstance(data, bytes):
            dropped = self.forget_frame()
            self._frame = parse_frame(data)
            if dropped is not None:
                await self.send({"frame": dropped, "dropped": True})
        elif isinstance(text, str):
            if len(text) > _MOST_COMMAND_CHARACTERS or len(self._commands) >= _MOST_COMMANDS:
                raise BadMessage("Too much was sent at once")
            self._commands.append(text)
        self._news.set()

    async def _refuse(self, why: str) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            await self._socket.close(_REFUSED, why)

    def _end(self) -> None:
        self._gone = True
        self._news.set()
