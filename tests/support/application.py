"""Requests that no client would make, brought to an application itself."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message

_NOTHING: Iterator[bytes] = iter(())


@dataclass
class Answered:
    """What came back, and how much of the body was asked for before."""

    status: int = 0
    body: bytes = b""
    taken: int = 0
    headers: dict[str, str] = field(default_factory=dict)


def ask(
    app: ASGIApp,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: Iterator[bytes] = _NOTHING,
    hosts: Sequence[str] = ("127.0.0.1",),
) -> Answered:
    """Ask an application itself: the parts of the body are made when it asks for them."""
    answered = Answered()
    address, _, query = path.partition("?")
    sent = [*(("host", host) for host in hosts), *headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": address,
        "raw_path": address.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }

    async def receive() -> Message:
        part = next(body, None)
        answered.taken += len(part or b"")
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answered.status = message["status"]
            answered.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        answered.body += message.get("body", b"")

    async def run() -> None:
        await app(scope, receive, send)

    asyncio.run(run())
    return answered
