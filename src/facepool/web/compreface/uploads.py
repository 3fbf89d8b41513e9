"""Pictures as CompreFace takes them: files of a form, or Base64 in JSON under the same names."""

import base64
import binascii
import json
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile

from facepool.types import Image
from facepool.web.compreface.errors import empty_field, missing_part, not_base64, undefined
from facepool.web.images import DECODER

_MOST_FIELDS = 20


def _request_body(*names: str) -> dict[str, Any]:
    """How the two kinds of body stand in the description of the interface."""

    def of(kind: dict[str, str]) -> dict[str, Any]:
        return {"schema": {"type": "object", "properties": dict.fromkeys(names, kind), "required": list(names)}}

    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": of({"type": "string", "format": "binary"}),
                "application/json": of({"type": "string", "description": "The file in Base64"}),
            },
        }
    }


PICTURE = _request_body("file")
TWO_PICTURES = _request_body("source_image", "target_image")


async def read_picture(request: Request) -> Image:
    """The picture ``file`` of a request; errors as `read_pictures`."""
    (image_bgr,) = await read_pictures(request, "file")
    return image_bgr


async def read_pictures(request: Request, *names: str) -> list[Image]:
    """The pictures of some names, decoded and upright, (H, W, 3) uint8 BGR.

    Raises:
        CompreFaceError: One is missing, or in JSON and no Base64.
        InputError: One cannot be decoded, or is too large.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    files = await (_from_json(request, names) if kind == "application/json" else _from_form(request, names))
    return [await DECODER.decode(data) for data in files]


async def _from_form(request: Request, names: tuple[str, ...]) -> list[bytes]:
    async with request.form(max_files=_MOST_FIELDS, max_fields=_MOST_FIELDS) as form:
        files = []
        for name in names:
            file = form.get(name)
            if not isinstance(file, UploadFile):
                raise missing_part(name)
            files.append(await file.read())
        return files


async def _from_json(request: Request, names: tuple[str, ...]) -> list[bytes]:
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise undefined() from error
    if not isinstance(body, dict):
        raise undefined()
    return [_decoded(body.get(name), name) for name in names]


def _decoded(text: object, name: str) -> bytes:
    if not isinstance(text, str) or not text:
        raise empty_field(name)
    # Browsers put the kind of picture before it.
    text = text.partition(";base64,")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise not_base64() from error
