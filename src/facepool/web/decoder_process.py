"""The process in which pictures of clients are decoded: it may be ended at any moment, and costs one request then.

`facepool.web.services.decoding` starts it and talks with it: bytes of a picture come through standard input, its size
and then its pixels go out through standard output. Nothing is imported that decoding does not need.

    server    length of the picture, what its long side needs at least or 0 for all of it (8 bytes each), the picture
    process   ``S``, width, height, memory that decoding takes, by how much it is reduced, whether it is kept as it is
    server    ``g``: go on; ``n``: leave it
    process   ``P``, width, height, whether it lies on its side, then the pixels: (H, W, 3) uint8 BGR, upright, reduced

    where it is kept as it is:
    server    ``g``: it is needed; ``n``: it is not
    process   ``P`` as above, not reduced

Answers are a letter and five numbers of 8 bytes each. In place of any of them there may be ``E`` and the length of a
JSON object with ``code``, ``what``, ``why`` and ``fix``.
"""

import json
import os
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import PIL.Image

if sys.platform != "win32":
    import resource

from facepool.capture.costs import TooCostly, decoding_bytes, is_cheaper_reduced, webp_size
from facepool.capture.formats import REQUEST_FORMATS, kind_of
from facepool.capture.reading import (
    DECODE_ERRORS,
    TOO_LARGE,
    DecodedPicture,
    explain,
    head_of,
    load,
    open_picture,
    quiet_pillow,
    reduce,
    scale_for,
)

REQUEST = struct.Struct(">QQ")
ANSWER = struct.Struct(">cQQQQQ")
_NUMBERS = 5
GO_ON = b"g"
MOST_DECODING_BYTES = 400_000_000
"""Of memory, to decode one picture: 50 million pixels of a JPEG or PNG take 200 MB."""
TOO_COSTLY = "picture_too_costly"
TOO_MANY_PIXELS = "too_large"

OPENING_CPU_S = 3.0
_DECODING_CPU_S = 3.0
_CPU_S_OF_A_MEGAPIXEL = 0.25
"""Ten times what the slowest format takes on a slow computer: this ends attacks, no pictures."""
_MIB = 1024 * 1024
_ROOM_TO_WORK = 128 * _MIB
_ROOM_FOR_LIBRARIES = {"HEIF": 512 * _MIB, "JXL": 512 * _MIB, "AVIF": 256 * _MIB, "WEBP": 64 * _MIB}
"""Address space that the libraries of a format and their threads take beside the pixels."""


def main() -> None:
    """Decode pictures until the server has no more, or is gone."""
    _forbid_files()
    PIL.Image.init()
    channel = _Channel()
    with quiet_pillow():
        while (asked := channel.picture()) is not None:
            _answer(channel, *asked)


def decoding_cpu_s(pixels: int) -> float:
    """How long decoding may take a core."""
    return _DECODING_CPU_S + _CPU_S_OF_A_MEGAPIXEL * pixels / 1e6


class _Channel:
    """Standard input and output; whatever else writes there writes nowhere."""

    def __init__(self) -> None:
        self._in, self._out = os.dup(0), os.dup(1)
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0)
        os.dup2(nowhere, 1)
        os.close(nowhere)

    def picture(self) -> tuple[bytes, int] | None:
        """The next one, and what its long side needs at least; None: there is none any more."""
        head = self._read(REQUEST.size)
        if head is None:
            return None
        length, least = REQUEST.unpack(head)
        picture = self._read(length)
        return None if picture is None else (picture, least)

    def may_go_on(self) -> bool:
        """Whether the server wants what was announced."""
        return self._read(len(GO_ON)) == GO_ON

    def tell(self, kind: bytes, *numbers: int, then: Iterable[bytes] = ()) -> None:
        """Answer."""
        self._write(ANSWER.pack(kind, *numbers, *[0] * (_NUMBERS - len(numbers))))
        for part in then:
            self._write(part)

    def _read(self, count: int) -> bytes | None:
        data, filled = bytearray(count), 0
        view = memoryview(data)
        while filled < count:
            part = os.read(self._in, min(count - filled, _MIB))
            if not part:
                return None
            view[filled : filled + len(part)] = part
            filled += len(part)
        return bytes(data)

    def _write(self, data: bytes) -> None:
        view, at = memoryview(data), 0
        while at < len(view):
            at += os.write(self._out, view[at:])


def _answer(channel: _Channel, picture: bytes, least: int) -> None:
    """Decode a picture, or say why not."""
    try:
        kind = kind_of(head_of(picture.lstrip(b"\r\n")))
        name = kind.format if kind is not None else ""
        width, height = webp_size(picture) if name == "WEBP" else (0, 0)
        takes = decoding_bytes(picture, name, width * height)
        if takes > MOST_DECODING_BYTES:
            channel.tell(b"S", width, height, takes, 1)
            channel.may_go_on()
            return
        _allow(OPENING_CPU_S, takes + len(picture) + _room_to_work(name))
        with open_picture(picture, (name,) if name else REQUEST_FORMATS) as image:
            width, height = image.size
            takes = decoding_bytes(picture, name, width * height)
            scale = scale_for(image.size, least)
            first = reduce(image, scale) if is_cheaper_reduced(picture) else 1
            takes //= first * first
            kept = scale > first
            channel.tell(b"S", width, height, takes, scale, kept)
            if not channel.may_go_on():
                return
            _allow(decoding_cpu_s(width * height), 2 * takes + 3 * len(picture) + _room_to_work(name))
            decoded = load(image, picture, first)
    except DECODE_ERRORS as error:
        error.__traceback__ = None
        text = json.dumps(_told(picture, error)).encode()
        channel.tell(b"E", len(text), then=[text])
        return
    _hand_over(channel, decoded, scale // first)
    if kept and channel.may_go_on():
        _hand_over(channel, decoded)


def _hand_over(channel: _Channel, decoded: DecodedPicture, scale: int = 1) -> None:
    channel.tell(b"P", *decoded.reduced_wh(scale), decoded.on_its_side, then=decoded.bands(scale))


def _room_to_work(kind: str) -> int:
    return _ROOM_TO_WORK + _ROOM_FOR_LIBRARIES.get(kind, 0)


def _told(picture: bytes, error: Exception) -> dict[str, str]:
    if isinstance(error, MemoryError):
        return {"code": TOO_COSTLY, "why": "decoding it takes more memory than its pixels are worth"}
    if isinstance(error, TooCostly):
        return {"code": TOO_COSTLY, "why": str(error)}
    if isinstance(error, TOO_LARGE):
        return {"code": TOO_MANY_PIXELS}
    told = explain(picture, error)
    return {"code": told.code, "what": told.what, "why": told.why, "fix": told.fix}


def _forbid_files() -> None:
    if sys.platform != "win32":
        _limit(resource.RLIMIT_CORE, 0)  # it would have somebody's picture in it
        _limit(resource.RLIMIT_FSIZE, 0)


def _allow(cpu_s: float, more_bytes: int) -> None:
    """Grant so much beyond what was used so far, where systems grant by process; else the server's patience is all.

    Args:
        cpu_s: Of all cores together.
        more_bytes: Of memory, beside what the process has.
    """
    if sys.platform != "win32":
        _limit(resource.RLIMIT_CPU, int(time.process_time() + cpu_s) + 1)
        has = _address_space()
        if has:
            _limit(resource.RLIMIT_AS, has + more_bytes)


def _limit(what: int, most: int) -> None:
    """Set a limit of this process, below what is granted to whoever started it."""
    if sys.platform != "win32":
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _address_space() -> int:
    """Of this process, in bytes; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
