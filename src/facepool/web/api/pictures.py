"""Pictures of requests: read as files of a form, base64 in JSON or one as the body, and looked at by the engine.

Every interface of the server reads its pictures here, so that all take the same: `decode_base64` and `picture_of_part`.
An address is never one of a picture: the server fetches nothing because a request says so.
"""

import asyncio
import base64
import string
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fastapi import Depends
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from facepool.capture.formats import HEAD_BYTES, is_picture
from facepool.errors import ImageUnreadable, InputError, SourceEmpty
from facepool.records import Record
from facepool.types import ReducedImage, Turn
from facepool.web.api.schemas import BYTES, Body
from facepool.web.bodies import ENCODED, MOST_ESCAPES, BoundedRequest, PictureRequest, check_encoded, off_the_loop
from facepool.web.problems import UnsupportedBody, schema_of
from facepool.web.services.decoding import LIMITS, PixelAllowance
from facepool.web.services.engine import Engine

MOST_PICTURES = 100
"""In one request."""

Found = TypeVar("Found")
_MOST_PIXELS = 300_000_000
"""Of the pictures of one request together: 25 photos of 12 million."""
_AT_ONCE = 4
"""Of one request: decoded they take much more room than as files, and others wait, too."""
MOST_PART_BYTES = LIMITS.bytes * 4 // 3 + 1024
"""Of a part of a form without a file name: a picture, or one in base64."""
_ANY_FILE = frozenset({"", ENCODED})
"""What programs call a body that they know nothing of; the last is what curl says."""
_ESCAPED_IN_URLS = b"+/=-_ \r\n\t"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_ALPHABET = (string.ascii_letters + string.digits + "+/").encode()


class NamedPicture(Body):
    """A picture in JSON."""

    name: str = Field("", description="Comes back with the answer")
    data: str = Field(
        description="The file in base64, of either alphabet, with or without line breaks, padding, or "
        "`data:image/jpeg;base64,` before it"
    )


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


async def sent_pictures(request: PictureRequest) -> list[SentPicture]:
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
        body = await request.json_bytes()
        found = await off_the_loop(len(body), _from_json, body)
    elif kind == BYTES or kind.startswith("image/") or (kind in _ANY_FILE and await _is_picture(request)):
        found = [SentPicture("", await request.body())]
    else:
        raise UnsupportedBody(
            f"A body of the kind {kind!r} cannot be read", fix="Send files of a form, base64 in JSON, or one image/..."
        )
    if not found:
        raise no_picture()
    return found


async def pictures_if_any(request: PictureRequest) -> list[SentPicture]:
    """The same of a route that may do without; empty for a request that has no body at all."""
    headers = request.headers
    announced = "content-type" in headers or "transfer-encoding" in headers
    if headers.get("content-length") == "0" or ("content-length" not in headers and not announced):
        return []
    return await sent_pictures(request)


def no_picture() -> SourceEmpty:
    """Nothing came that could be looked at."""
    return SourceEmpty("The request has no picture", fix="Send files of a form, or base64 in JSON")


SentPictures = Annotated[list[SentPicture], Depends(sent_pictures)]
PicturesIfAny = Annotated[list[SentPicture], Depends(pictures_if_any)]


async def _from_form(request: BoundedRequest) -> list[SentPicture]:
    pictures, others = [], []
    async with open_form(request, most_files=MOST_PICTURES, most_fields=MOST_PICTURES) as form:
        for field, value in form.multi_items():
            data = await picture_of_part(value)
            if data is None:
                others.append(field)
            else:
                pictures.append(SentPicture(value.filename or "" if isinstance(value, UploadFile) else "", data))
    if others and not pictures:
        names = ", ".join(map(repr, others[:3]))
        raise SourceEmpty(
            "The request has no picture",
            why=f"the form has no file, and what it calls {names} is text",
            fix="Send the picture itself, as a file of the form",
        )
    return pictures


@asynccontextmanager
async def open_form(request: BoundedRequest, *, most_files: int, most_fields: int) -> AsyncIterator[FormData]:
    """The form of a request, until the end of the block.

    Raises:
        TooLarge: It has too many bytes or escapes.
        HTTPException: It is damaged, has too many parts, or is in no character set that texts are in.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == ENCODED:
        check_encoded(await request.body(), most_fields)
    try:
        form = await request.form(max_files=most_files, max_fields=most_fields, max_part_size=MOST_PART_BYTES)
    except UnicodeError as error:
        raise HTTPException(400, "The character set of the form cannot be read") from error
    try:
        yield form
    finally:
        await form.close()


async def _is_picture(request: BoundedRequest) -> bool:
    return is_picture((await request.body())[:HEAD_BYTES])


async def picture_of_part(part: UploadFile | str) -> bytes | None:
    """The picture that a part of a form holds, undecoded.

    Args:
        part: A file, or a part without a file name: some programs send a picture so, as it is or in base64.

    Returns:
        What is in a file, whatever it is. Of any other part a picture; None if it is text.
    """
    if isinstance(part, UploadFile):
        return await part.read()
    return await off_the_loop(len(part), _picture_of_text, part)


def _picture_of_text(part: str) -> bytes | None:
    for data in (_raw(part, "latin-1"), _raw(part, "utf-8")):
        if is_picture(data[:HEAD_BYTES]):
            return data
    try:
        data = decode_base64(part)
    except ValueError:
        return None
    return data if is_picture(data[:HEAD_BYTES]) else None


def _raw(text: str, encoding: str) -> bytes:
    """The bytes of a part that the framework took for text: in UTF-8 if they are that, otherwise in Latin 1.

    No picture with a byte beyond ASCII is text in UTF-8 by chance.
    """
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return b""


def decode_base64(text: str) -> bytes:
    """The bytes that a text in base64 stands for.

    Both alphabets are read, with or without padding; white space (lines of a mail) does not count. A ``data:`` URL may
    stand for it.

    Raises:
        ValueError: It is no base64; says why.
    """
    head, comma, rest = text.lstrip().partition(",")
    if head[:5].lower() == "data:":
        if not comma or not head.lower().endswith(";base64"):
            raise ValueError("the data: URL is not in base64")
        text = rest
    data = text.encode("ascii", "replace")
    if data.count(b"%") > MOST_ESCAPES:
        raise ValueError("too much of it is escaped as in a URL")
    data = _without_percent(data)
    data = b"".join(data.split()).translate(_URL_SAFE).rstrip(b"=")
    if data.translate(None, _ALPHABET):
        raise ValueError("it has characters that base64 does not have")
    if len(data) % 4 == 1:
        raise ValueError("its length cannot be right: it is cut off")
    return base64.b64decode(data + b"=" * (-len(data) % 4))


def _without_percent(data: bytes) -> bytes:
    """What of base64 is escaped in URLs, as it was; other escapes stay, and are no base64.

    Each kind is replaced everywhere at once: a million, one after another, would take seconds and gigabytes.
    """
    if b"%" not in data:
        return data
    for mark in _ESCAPED_IN_URLS:
        for escape in (b"%%%02X" % mark, b"%%%02x" % mark):
            data = data.replace(escape, bytes([mark]))
    return data


def _from_json(body: bytes) -> list[SentPicture]:
    try:
        pictures = PicturesInJson.model_validate_json(body).pictures
    except ValidationError as error:
        found = [{**detail, "loc": ("body", *detail["loc"])} for detail in error.errors()]
        raise RequestValidationError(found) from error
    return [SentPicture(picture.name, _decoded(picture)) for picture in pictures]


def _decoded(picture: NamedPicture) -> bytes:
    try:
        return decode_base64(picture.data)
    except ValueError as error:
        raise ImageUnreadable(
            f"The picture {picture.name!r} cannot be read", why=f"it is no base64: {error}", fix="Encode the file"
        ) from error


async def looked_at(
    engine: Engine, share: str, pictures: Sequence[SentPicture], work: Callable[[ReducedImage], Found]
) -> list[AnalyzedPicture[Found]]:
    """Decode pictures and look at them, in their order.

    Args:
        engine: Where that is done.
        share: Whose turn it takes.
        pictures: Of a request.
        work: What to do with an upright picture.

    Raises:
        InputError: One of them is no picture, or too large.
        ServerBusy: Too many others wait.
    """
    found = []
    async for picture in looked_at_each(engine, share, pictures, work):
        if isinstance(picture, InputError):
            raise picture
        found.append(picture)
    return found


async def looked_at_each(
    engine: Engine, share: str, pictures: Sequence[SentPicture], work: Callable[[ReducedImage], Found]
) -> AsyncIterator[AnalyzedPicture[Found] | InputError]:
    """The same; a picture that cannot be used gives its error in its place."""
    allowance = PixelAllowance(_MOST_PIXELS)

    async def look(picture: SentPicture) -> AnalyzedPicture[Found] | InputError:
        try:
            return await engine.look(
                share, picture.data, lambda reduced: _analyzed(picture, reduced, work), allowance.take
            )
        except InputError as error:
            return error

    for first in range(0, len(pictures), _AT_ONCE):
        for one in await asyncio.gather(*map(look, pictures[first : first + _AT_ONCE])):
            yield one


def _analyzed(
    picture: SentPicture, reduced: ReducedImage, work: Callable[[ReducedImage], Found]
) -> AnalyzedPicture[Found]:
    width, height = reduced.size_wh
    return AnalyzedPicture(picture.name, width, height, work(reduced))
