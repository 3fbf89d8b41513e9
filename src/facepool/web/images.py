"""Pictures that clients send, decoded within limits."""

import asyncio
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from facepool.capture.pictures import DECODE_ERRORS, TOO_LARGE, open_picture, quiet_pillow, read_image
from facepool.types import Image
from facepool.web.problems import ServerBusy, TooLarge


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """How large a picture may be.

    Attributes:
        bytes: As a file.
        pixels: Decoded; 50 million take 150 MB.
        side: Of either side, in pixels.
    """

    bytes: int = 16 * 1024 * 1024
    pixels: int = 50_000_000
    side: int = 20_000


LIMITS = PictureLimits()

FRAME_LIMITS = PictureLimits(bytes=4 * 1024 * 1024, pixels=4_000_000)
"""Of a browser's camera, which comes many times a second: 2560x1440 is one of 3.7 million."""

# Of the process, as its memory is: each one that is decoded takes up to three times its pixels.
_AT_ONCE = max(2, os.cpu_count() or 2)
_DECODING = threading.BoundedSemaphore(_AT_ONCE)


def decode_image(data: bytes, limits: PictureLimits = LIMITS) -> Image:
    """Decode a picture; call it in a thread.

    Args:
        data: The file: JPEG, PNG, WebP and whatever else ``read_image`` reads.
        limits: Looked at before a pixel is decoded.

    Returns:
        (H, W, 3) uint8 BGR, upright as its EXIF says.

    Raises:
        TooLarge: The file or the picture is.
        ImageUnreadable: It is no picture, or a damaged one.
    """
    if len(data) > limits.bytes:
        raise TooLarge(
            "A picture is too large", why=f"it has {len(data):,} bytes, and {limits.bytes:,} are taken", fix=_SMALLER
        )
    _check_pixels(data, limits)
    with _DECODING:
        return read_image(data)


class Decoder:
    """Decodes pictures of requests in threads of its own: those that everything else shares stay free.

    Args:
        threads: How many are decoded at once.
        most: How many may be under way, those that wait included.
    """

    def __init__(self, threads: int, most: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="facepool-decode")
        self._most = most
        self._lock = threading.Lock()
        self._under_way = 0

    async def decode(self, data: bytes, limits: PictureLimits = LIMITS) -> Image:
        """As ``decode_image``.

        Raises:
            ServerBusy: Too many wait.
        """
        with self._lock:
            if self._under_way >= self._most:
                raise ServerBusy("The server is busy", why=f"{self._under_way} pictures wait", fix="Try again later")
            self._under_way += 1
        future = self._executor.submit(decode_image, data, limits)
        future.add_done_callback(self._done)  # not when who waits is gone: until then it takes its room
        return await asyncio.wrap_future(future)

    def _done(self, _: Future[Image]) -> None:
        with self._lock:
            self._under_way -= 1


DECODER = Decoder(_AT_ONCE, most=64)
"""Of the process, for the same reason."""

_SMALLER = "Scale it down first; faces of 100 pixels are large enough"


def _check_pixels(data: bytes, limits: PictureLimits) -> None:
    try:
        with quiet_pillow(), open_picture(data) as picture:
            width, height = picture.size
    except TOO_LARGE as error:  # Pillow's own limit, which is higher
        raise _too_many_pixels(limits) from error
    except DECODE_ERRORS:
        return  # reading it will say what is wrong
    if width * height > limits.pixels or max(width, height) > limits.side:
        raise _too_many_pixels(limits)


def _too_many_pixels(limits: PictureLimits) -> TooLarge:
    return TooLarge(
        "A picture is too large",
        why=f"it has too many pixels: {limits.pixels:,} are taken, {limits.side:,} a side",
        fix=_SMALLER,
    )
