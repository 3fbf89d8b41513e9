"""Pictures that clients send, decoded within limits."""

import os
import threading
from dataclasses import dataclass

from facepool.capture.pictures import DECODE_ERRORS, TOO_LARGE, open_picture, quiet_pillow, read_image
from facepool.types import Image
from facepool.web.problems import TooLarge


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

# Of the process, as its memory is: each one that is decoded takes up to three times its pixels.
_DECODING = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))


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
