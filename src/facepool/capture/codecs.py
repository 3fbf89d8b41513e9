"""Picture formats that Pillow reads through others: HEIF by pillow-heif, JPEG XL by imagecodecs; loaded when met."""

from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFile
from numpy.typing import NDArray

from facepool import extras
from facepool.types import Image

_JXL = "JXL"
_SIGNATURES = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n")
_PICTURE_BOXES = {b"jxlc": 0, b"jxlp": 4}
"""Boxes with the picture, or a part of it, and how many bytes of them come before it: a part has a number."""
_HEAD_BYTES = 64
"""Of the picture: its size is in fewer."""
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_FIRST_TURNED = 5  # EXIF's orientations from here on swap width and height


class CodecMissing(Exception):
    """A format's package is not installed; says which, and what to type."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.why = why
        self.fix = fix


def prepare(format_name: str) -> None:
    """Let Pillow read a format; for those that it reads by itself nothing is to be done.

    Raises:
        CodecMissing: The package for it is not installed.
    """
    if format_name not in _CODECS or format_name in PIL.Image.OPEN:
        return
    extra, register = _CODECS[format_name]
    absent = extras.missing(extra)
    if absent:
        raise CodecMissing(
            f"reading {format_name} takes a package that is not installed: {', '.join(absent)}",
            f"Run: {extras.command(extra)}, or {extras.EXTRAS[extra].instead}",
        )
    register()


def _register_heif() -> None:
    import pillow_heif  # noqa: PLC0415 -- it loads two libraries, and most pictures are of other kinds

    pillow_heif.register_heif_opener(thumbnails=False)


def _register_jpeg_xl() -> None:
    PIL.Image.register_open(_JXL, JpegXlFile, lambda head: head.startswith(_SIGNATURES))


_CODECS: dict[str, tuple[str, Callable[[], None]]] = {
    "HEIF": ("heif", _register_heif),
    _JXL: ("jpegxl", _register_jpeg_xl),
}
"""Formats that Pillow does not read by itself: the extra that brings the reader, and how it is made known."""


class JpegXlFile(PIL.ImageFile.ImageFile):
    """A JPEG XL picture for Pillow, upright; of an animation the first frame.

    Its size is read from the head, so that Pillow's guard against decompression bombs comes before decoding.
    """

    format = _JXL
    format_description = "JPEG XL"

    def _open(self) -> None:
        self._data = self.fp.read() if self.fp is not None else b""
        self._size = _size_wh(_codestream(self._data))
        self._mode = "RGB"
        self._decoded = False

    def load(self) -> Any:  # noqa: ANN401 -- Pillow keeps the type of pixel access to itself
        """Decode it.

        Raises:
            OSError: It is truncated or damaged.
        """
        if not self._decoded:
            import imagecodecs  # noqa: PLC0415 -- large, and only for this

            try:
                pixels = imagecodecs.jpegxl_decode(self._data, index=0)
            except (RuntimeError, ValueError) as error:
                raise OSError(f"truncated or damaged ({error})") from error
            image = PIL.Image.fromarray(_eight_bit(np.asarray(pixels)))
            self.im, self._mode, self._size = image.im, image.mode, image.size
            self._data, self._decoded = b"", True
        return super().load()


def _eight_bit(pixels: NDArray[Any]) -> Image:
    """Pixels of 8 or 16 bits, or from 0 to 1, as 8 bits."""
    if pixels.dtype == np.uint8:
        return pixels
    full_scale = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    scaled = np.nan_to_num(pixels.astype(np.float32)) * (255.0 / full_scale)
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def _codestream(data: bytes) -> bytes:
    """The begin of the picture itself, which may lie in boxes, and in parts of which the first may be empty."""
    if not data.startswith(_SIGNATURES[1]):
        return data
    at, found = 0, b""
    while at + 8 <= len(data) and len(found) < _HEAD_BYTES:
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        end = at + size if size else len(data)
        if kind in _PICTURE_BOXES:
            found += data[at + head + _PICTURE_BOXES[kind] : end][:_HEAD_BYTES]
        if end < at + head:
            break
        at = end
    if not found:
        raise SyntaxError("no picture in it")
    return found


def _size_wh(codestream: bytes) -> tuple[int, int]:
    """Width and height as shown (ISO/IEC 18181-1, size header and the begin of the image metadata)."""
    bits = _Bits(codestream[2:])
    small = bits.take(1)
    height = _length(bits, small=small)
    ratio = bits.take(3)
    if ratio:
        over, under = _RATIOS[ratio - 1]
        width = height * over // under
    else:
        width = _length(bits, small=small)
    turned = not bits.take(1) and bits.take(1) and bits.take(3) + 1 >= _FIRST_TURNED
    return (height, width) if turned else (width, height)


def _length(bits: "_Bits", *, small: int) -> int:
    if small:
        return (bits.take(5) + 1) * 8
    return bits.take((9, 13, 18, 30)[bits.take(2)]) + 1


class _Bits:
    """Bits of bytes, the lowest first."""

    def __init__(self, data: bytes) -> None:
        self._number = int.from_bytes(data[:32], "little")
        self._left = 8 * min(len(data), 32)

    def take(self, count: int) -> int:
        if count > self._left:
            raise SyntaxError("truncated in its head")
        value = self._number & ((1 << count) - 1)
        self._number >>= count
        self._left -= count
        return value
