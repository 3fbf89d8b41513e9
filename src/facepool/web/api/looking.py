"""Pictures of a request, decoded and looked at by the engine, a few at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypedDict, TypeVar

from facepool.errors import InputError
from facepool.types import Image
from facepool.web.api.pictures import SentPicture
from facepool.web.images import DECODER

Found = TypeVar("Found")
_AT_ONCE = 4
"""Of one request: decoded they take much more room than as files, and others wait, too."""


class Described(TypedDict):
    """What every answer says of a picture."""

    name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Seen(Generic[Found]):
    """A picture that was looked at.

    Attributes:
        described: What every answer says of it.
        found: What the engine found.
    """

    described: Described
    found: Found


async def looked_at(
    pictures: Sequence[SentPicture], look: Callable[[Image], Awaitable[Found]]
) -> AsyncIterator[Seen[Found]]:
    """Decode pictures and look at them, in their order.

    Args:
        pictures: Of a request.
        look: What the engine does with an upright picture.

    Raises:
        InputError: One of them is no picture, or too large.
        ServerBusy: Too many others wait.
    """
    async for seen in looked_at_each(pictures, look):
        if isinstance(seen, InputError):
            raise seen
        yield seen


async def looked_at_each(
    pictures: Sequence[SentPicture], look: Callable[[Image], Awaitable[Found]]
) -> AsyncIterator[Seen[Found] | InputError]:
    """The same; a picture that cannot be used gives its error in its place."""
    for first in range(0, len(pictures), _AT_ONCE):
        some = pictures[first : first + _AT_ONCE]
        for seen in await asyncio.gather(*(_look(picture, look) for picture in some)):
            yield seen


async def _look(picture: SentPicture, look: Callable[[Image], Awaitable[Found]]) -> Seen[Found] | InputError:
    try:
        image_bgr = await DECODER.decode(picture.data)
    except InputError as error:
        return error
    height, width = image_bgr.shape[:2]
    return Seen(Described(name=picture.name, width=width, height=height), await look(image_bgr))
