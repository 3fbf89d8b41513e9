"""The process in which pictures of clients are decoded: it may be ended at any moment, and costs one request then.

`facepool.web.services.decoding` starts it and talks with it: bytes of a picture come through standard input, its size
and then its pixels go out through standard output. Nothing is imported that decoding does not need.

    server    length of the picture (8 bytes), the picture
    process   ``S``, width, height, memory that decoding takes (8 bytes each)
    server    ``g``: go on; ``n``: leave it
    process   ``P``, width, height, 0, then the pixels: (H, W, 3) uint8 BGR, upright

or, in place of either answer, ``E`` and the length of a JSON object with ``code``, ``what``, ``why`` and ``fix``.
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

from facepool.capture.costs import TooCostly, decoding_bytes, webp_size
from facepool.capture.formats import REQUEST_FORMATS, kind_of
from facepool.capture.reading import DECODE_ERRORS, TOO_LARGE, explain, head_of, load, open_picture, quiet_pillow

LENGTH = struct.Struct(">Q")
ANSWER = struct.Struct(">cQQQ")
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
        while _answer(channel, channel.picture()):
            pass


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

    def picture(self) -> bytes | None:
        """The next one; None: there is none any more."""
        head = self._read(LENGTH.size)
        return None if head is None else self._read(LENGTH.unpack(head)[0])

    def may_go_on(self) -> bool:
        """Whether the server wants what was announced."""
        return self._read(len(GO_ON)) == GO_ON

    def tell(self, kind: bytes, *numbers: int, then: Iterable[bytes] = ()) -> None:
        """Answer."""
        self._write(ANSWER.pack(kind, *numbers, *[0] * (3 - len(numbers))))
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


def _answer(channel: _Channel, picture: bytes | None) -> bool:
    """Decode a picture, or say why not; False: there is none any more."""
    if picture is None:
        return False
    try:
        kind = kind_of(head_of(picture.lstrip(b"\r\n")))
        name = kind.format if kind is not None else ""
        width, height = webp_size(picture) if name == "WEBP" else (0, 0)
        takes = decoding_bytes(picture, name, width * height)
        if takes > MOST_DECODING_BYTES:
            channel.tell(b"S", width, height, takes)
            channel.may_go_on()
            return True
        _allow(OPENING_CPU_S, takes + len(picture) + _room_to_work(name))
        with open_picture(picture, (name,) if name else REQUEST_FORMATS) as image:
            width, height = image.size
            takes = decoding_bytes(picture, name, width * height)
            channel.tell(b"S", width, height, takes)
            if not channel.may_go_on():
                return True
            _allow(decoding_cpu_s(width * height), 2 * takes + 3 * len(picture) + _room_to_work(name))
            decoded = load(image, picture)
    except DECODE_ERRORS as error:
        error.__traceback__ = None
        text = json.dumps(_told(picture, error)).encode()
        channel.tell(b"E", len(text), then=[text])
        return True
    channel.tell(b"P", *decoded.size_wh, then=decoded.bands())
    return True


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
