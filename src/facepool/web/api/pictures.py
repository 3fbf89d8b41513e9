"""Pictures of requests: read as files of a form, base64 in JSON or one as the body, and looked at by the engine."""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import UploadFile

from facepool.errors import ImageUnreadable, InputError, SourceEmpty
from facepool.records import Record
from facepool.types import Image, Turn
from facepool.web.api.schemas import BYTES, Body
from facepool.web.problems import UnsupportedBody, schema_of
from facepool.web.services.engine import Engine

MOST_PICTURES = 100
"""In one request."""

Found = TypeVar("Found")
_AT_ONCE = 4
"""Of one request: decoded they take much more room than as files, and others wait, too."""


class NamedPicture(Body):
    """A picture in JSON."""

    name: str = Field("", description="Comes back with the answer")
    data: str = Field(description="The file in base64, with or without `data:image/jpeg;base64,` before it")


class PicturesInJson(Body):
    """Pictures in JSON."""

    pictures: list[NamedPicture] = Field(min_length=1, max_length=MOST_PICTURES)


class PictureFiles(BaseModel):
    """Pictures as files of a form."""

    files: list[bytes]


@dataclass(frozen=True, slots=True)
class SentPicture:
    """A picture that nobody has decoded yet.

    Attributes:
        name: As the client called it.
        data: The file.
    """

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class AnalyzedPicture(Generic[Found]):
    """A picture that was looked at.

    Attributes:
        name: As the client called it.
        width: Upright, in pixels.
        height: Likewise.
        found: What was found in it.
    """

    name: str
    width: int
    height: int
    found: Found

    def record(self, faces: Iterable[Record], turn: Turn) -> Record:
        """The picture with its faces, for an answer.

        Args:
            faces: What is said of each.
            turn: By which they were found upright.
        """
        size = {"width": self.width, "height": self.height, "turn": turn}
        return {"name": self.name, **size, "faces": list(faces)}


REQUEST_BODY = {
    # Not "required": of one that may come in three ways, openapi-python-client 0.29 would make code that does not run.
    "requestBody": {
        "description": "Files of a form (any number of fields, whatever their names), base64 in JSON, or one picture "
        "as it is, whose type may also be that of any image",
        "content": {
            "multipart/form-data": {"schema": schema_of(PictureFiles)},
            "application/json": {"schema": schema_of(PicturesInJson)},
            BYTES: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


async def sent_pictures(request: Request) -> list[SentPicture]:
    """The pictures of a request, undecoded, in order.

    Raises:
        SourceEmpty: There is none.
        ImageUnreadable: One in JSON is no base64.
        RequestValidationError: The JSON is of another shape.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        found = await _from_form(request)
    elif kind == "application/json":
        found = _from_json(await request.body())
    elif kind == BYTES or kind.startswith("image/"):
        found = [SentPicture("", await request.body())]
    else:
        raise UnsupportedBody(
            f"A body of the kind {kind!r} cannot be read", fix="Send files of a form, base64 in JSON, or one image/..."
        )
    if not found:
        raise SourceEmpty("The request has no picture", fix="Send files of a form, or base64 in JSON")
    return found


SentPictures = Annotated[list[SentPicture], Depends(sent_pictures)]


async def _from_form(request: Request) -> list[SentPicture]:
    async with request.form(max_files=MOST_PICTURES, max_fields=MOST_PICTURES) as form:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        return [SentPicture(file.filename or "", await file.read()) for file in files]


def _from_json(body: bytes) -> list[SentPicture]:
    try:
        pictures = PicturesInJson.model_validate_json(body).pictures
    except ValidationError as error:
        found = [{**detail, "loc": ("body", *detail["loc"])} for detail in error.errors()]
        raise RequestValidationError(found) from error
    return [SentPicture(picture.name, _decoded(picture)) for picture in pictures]


def _decoded(picture: NamedPicture) -> bytes:
    data = picture.data.partition(";base64,")[2] if picture.data.startswith("data:") else picture.data
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageUnreadable(
            f"The picture {picture.name!r} cannot be read", why=f"it is no base64 ({error})", fix="Encode the file"
        ) from error


async def looked_at(
    engine: Engine, pictures: Sequence[SentPicture], work: Callable[[Image], Found]
) -> list[AnalyzedPicture[Found]]:
    """Decode pictures and look at them, in their order.

    Args:
        engine: Where that is done.
        pictures: Of a request.
        work: What to do with an upright picture.

    Raises:
        InputError: One of them is no picture, or too large.
        ServerBusy: Too many others wait.
    """
    found = []
    async for picture in looked_at_each(engine, pictures, work):
        if isinstance(picture, InputError):
            raise picture
        found.append(picture)
    return found


async def looked_at_each(
    engine: Engine, pictures: Sequence[SentPicture], work: Callable[[Image], Found]
) -> AsyncIterator[AnalyzedPicture[Found] | InputError]:
    """The same; a picture that cannot be used gives its error in its place."""

    async def look(picture: SentPicture) -> AnalyzedPicture[Found] | InputError:
        try:
            return await engine.look(picture.data, lambda image_bgr: _analyzed(picture, image_bgr, work))
        except InputError as error:
            return error

    for first in range(0, len(pictures), _AT_ONCE):
        for one in await asyncio.gather(*map(look, pictures[first : first + _AT_ONCE])):
            yield one


def _analyzed(picture: SentPicture, image_bgr: Image, work: Callable[[Image], Found]) -> AnalyzedPicture[Found]:
    height, width = image_bgr.shape[:2]
    return AnalyzedPicture(picture.name, width, height, work(image_bgr))
