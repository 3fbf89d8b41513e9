"""Read one picture, from a file or from bytes, as upright 8-bit BGR.

`read_picture` is for pictures of the user's own. `open_picture` and `load` are its two halves, for programs that look
at a picture's size in between. No library but Pillow and NumPy is loaded here: the server decodes pictures of others
in small processes of their own.
"""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.ExifTags
import PIL.Image

from facepool.capture import codecs
from facepool.capture.costs import TooCostly, refuse_costly
from facepool.capture.formats import HEAD_BYTES, FileKind, kind_of
from facepool.errors import FacepoolError, ImageUnreadable, InputError, PathMissing, system_limit
from facepool.types import Floats, Image

TOO_LARGE = PIL.Image.DecompressionBombError
DECODE_ERRORS = (
    OSError,
    MemoryError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    TOO_LARGE,
    codecs.CodecMissing,
)
"""What Pillow and its readers raise on damaged data, and on more of it than there is memory for."""
_FINAL = (TOO_LARGE, MemoryError, TooCostly)
"""Of these, what no mending helps against."""

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "TGA", "AVIF", "ICO", "HEIF", "JXL")
_COMMON = frozenset({"JPEG", "PNG", "GIF", "BMP"})
_INTEGER_SCALES = (255, 1023, 4095, 16383, 65535, 2**24 - 1, 2**31 - 1)
"""Full white of whole numbers: a 12-bit sensor's picture comes in a file of 16 bits a pixel."""
_MOST_STOPS_OVER = 16.0
"""Floating-point pictures end at 1, or, with highlights beyond white, somewhat above; or at 255."""

_MOST_MISSING = 0.25
"""Share of a JPEG's rows that a broken copy may lack: the rest is as good as ever."""
_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_UNWRITTEN = 128
"""The gray that a JPEG decoder leaves where the data ended."""
_ICON_START = b"\0\0\1\0"
_LARGEST_ICON = 1024
"""In pixels a side; those of Windows have 256 at most."""
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT", b"eXIf"})
_DNG_VERSION, _SUBFILE_TYPE = 50706, 254
_BAND_BYTES = 512 * 1024
_SCALES = (8, 4, 2)
"""By which libjpeg reduces a picture while it decodes it."""

_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by EXIF's number of how it lies."""
_ON_ITS_SIDE = frozenset({_TURNS[5], _TURNS[6], _TURNS[7], _TURNS[8]})
_FROM_THE_END = frozenset({_TURNS[3], _TURNS[4], _TURNS[7], _TURNS[8]})
"""Those whose first row upright is the last row or column of the file."""


@dataclass(frozen=True, slots=True)
class FetchedPicture:
    """A picture that came over the network.

    Attributes:
        name: Its address, without what is secret in it.
        data: The file.
    """

    name: str
    data: bytes


Picture = str | Path | bytes | FetchedPicture


def read_picture(source: Picture) -> Image:
    """Read a picture; the same as ``read_image``, which fetches addresses, too.

    Args:
        source: Path of a file, or its bytes.

    Raises:
        PathMissing: There is no such file.
        ImageUnreadable: It is not a picture, is truncated, or has too many pixels.
    """
    with quiet_pillow():
        try:
            with open_picture(source) as image:
                picture = load(image, source)
        except DECODE_ERRORS as error:
            raise explain(source, error) from error
        return picture.bgr()


def open_picture(source: Picture, formats: Collection[str] = _FORMATS) -> PIL.Image.Image:
    """Read a picture's header with Pillow; its errors and warnings are Pillow's.

    What is wrong with it that harms no pixel is passed by, so that the size is known of whatever is read later.

    Args:
        source: The picture.
        formats: Pillow's names of those that may be read.
    """
    kind = kind_of(head_of(source))
    if kind is not None and kind.format in _COMMON:
        PIL.Image.preinit()  # all of Pillow's readers take longer to load than a face to recognize
    else:
        PIL.Image.init()  # loads them, once; Pillow's build decides which there are
    if kind is not None and kind.format:
        codecs.prepare(kind.format)
    data = _in_memory(source)
    try:
        return _open(Path(str(source)) if data is None else io.BytesIO(data), formats)
    except _FINAL:
        raise
    except DECODE_ERRORS:
        repaired = _repaired(_content(source)) if _may_be_mended(source) else None
        if repaired is None:
            raise
        return _open(io.BytesIO(repaired), formats)


def _open(file: Path | io.BytesIO, formats: Collection[str]) -> PIL.Image.Image:
    _refuse_large_icon(file)
    if isinstance(file, io.BytesIO):  # which anybody may have sent; a file on the disk is the user's own
        refuse_costly(file.getvalue())
    return PIL.Image.open(file, formats=[name for name in formats if name in PIL.Image.OPEN])


def _refuse_large_icon(file: Path | io.BytesIO) -> None:
    """Refuse an icon in which a picture is larger than icons are.

    Pillow decodes an icon as it opens it, so that nobody could look at its size before; and what the icon says of its
    sizes need not be true.
    """
    with file.open("rb") if isinstance(file, Path) else nullcontext(file) as stream:
        is_icon = stream.read(4) == _ICON_START
        count = int.from_bytes(stream.read(2), "little") if is_icon else 0
        places = [int.from_bytes(stream.read(16)[12:], "little") for _ in range(count)]
        for place in dict.fromkeys(places):
            stream.seek(place)
            size_wh = _size_in_icon(stream.read(24))
            if max(size_wh) > _LARGEST_ICON:
                raise TOO_LARGE(f"an icon of {size_wh[0]} x {size_wh[1]} pixels")
        stream.seek(0)


def _size_in_icon(head: bytes) -> tuple[int, int]:
    """Of a picture in an icon, which is a PNG or a bitmap without its first header, whose height counts its mask."""
    if head.startswith(_PNG_SIGNATURE):
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    width, height = (abs(int.from_bytes(head[at : at + 4], "little", signed=True)) for at in (4, 8))
    return width, height // 2


def _may_be_mended(source: Picture) -> bool:
    """Whether it begins as what `_repaired` and `_read_mended` are for: nothing else is read whole in vain."""
    return head_of(source).startswith((b"\r", b"\n", _PNG_SIGNATURE, _JPEG_START))


def _repaired(data: bytes) -> bytes | None:
    """A picture without a line end before it, and without the notes of a PNG; None where that changes nothing."""
    picture = data.lstrip(b"\r\n")  # servers that end their head with one line too many
    if picture.startswith(_PNG_SIGNATURE):
        picture = _without_notes(picture)
    return picture if picture != data else None


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings (odd EXIF, large pictures) to itself: what matters becomes an error.

    Warning filters belong to the process. This one names Pillow only, so that when two threads leave in the wrong
    order and it stays, no other library's warnings are lost.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A picture as Pillow has decoded it, of any mode, and how it has to be turned.

    Attributes:
        image: As it lies in the file.
        turn: Pillow's name of what makes it upright; None: it is.
        white: The value that is white, where pixels have more than 8 bits.
    """

    image: PIL.Image.Image
    turn: PIL.Image.Transpose | None
    white: float | None

    @property
    def on_its_side(self) -> bool:
        """Whether its rows are columns when it is upright."""
        return self.turn in _ON_ITS_SIDE

    @property
    def size_wh(self) -> tuple[int, int]:
        """Upright."""
        width, height = self.image.size
        return (height, width) if self.on_its_side else (width, height)

    def reduced_wh(self, scale: int) -> tuple[int, int]:
        """What ``bands`` makes of that size."""
        width, height = self.size_wh
        return -(-width // scale), -(-height // scale)

    def bgr(self) -> Image:
        """(H, W, 3) uint8 BGR, upright, C-contiguous."""
        width, height = self.size_wh
        pixels, first = np.empty((height, width, 3), np.uint8), 0
        for band in self.bands():
            rows = len(band) // (3 * width)
            pixels[first : first + rows] = np.frombuffer(band, np.uint8).reshape(rows, width, 3)
            first += rows
        return pixels

    def bands(self, scale: int = 1) -> Iterator[bytes]:
        """The same, some rows at a time: what is made of a picture on the way takes no room worth mentioning.

        Args:
            scale: Makes one pixel of the mean of so many, along each side.
        """
        width, height = self.size_wh
        rows = scale * max(1, _BAND_BYTES // (3 * scale * max(1, width)))
        for first in range(0, height, rows):
            band = self._band(first, min(height, first + rows))
            yield (band if scale == 1 else band.reduce(scale)).tobytes("raw", "BGR")

    def _band(self, first: int, end: int) -> PIL.Image.Image:
        image = self.image.crop(self._place(first, end))
        if self.turn is not None:
            image = image.transpose(self.turn)
        return _to_rgb(image, self.white)

    def _place(self, first: int, end: int) -> tuple[int, int, int, int]:
        """Where some rows of the upright picture lie in the file's."""
        width, height = self.image.size
        if self.turn in _FROM_THE_END:
            length = self.size_wh[1]
            first, end = length - end, length - first
        return (first, 0, end, height) if self.on_its_side else (0, first, width, end)


def scale_for(size_wh: tuple[int, int], least: int) -> int:
    """By how much a picture may be reduced so that its long side keeps so many pixels: 1, 2, 4 or 8.

    Args:
        size_wh: Of the picture.
        least: Pixels; 0: it is wanted as it is.
    """
    fitting = (scale for scale in _SCALES if max(size_wh) // scale >= least and min(size_wh) >= scale)
    return next(fitting, 1) if least else 1


def reduce(image: PIL.Image.Image, scale: int) -> int:
    """Have an opened picture reduced while it is decoded, which takes a fraction of the work: a JPEG can be.

    Args:
        image: Opened, not decoded yet.
        scale: By how much; see `scale_for`.

    Returns:
        By how much it will be: ``scale``, or 1.
    """
    width, height = image.size
    if scale > 1:
        image.draft(None, (width // scale, height // scale))
    return scale if image.size != (width, height) else 1


def load(image: PIL.Image.Image, source: Picture, scale: int = 1) -> DecodedPicture:
    """Decode an opened picture, or, where it breaks off, what is left of it; errors are Pillow's.

    Args:
        image: Opened by `open_picture`.
        source: Of which it was opened.
        scale: What `reduce` has made of it.
    """
    try:
        return decoded(image)
    except _FINAL:
        raise
    except DECODE_ERRORS as error:
        if not _may_be_mended(source):
            raise
        image.close()  # the error keeps it, and with it the memory of its pixels
        mended = None
        with suppress(*DECODE_ERRORS):  # the first error says what is wrong with it
            mended = _load_mended(source, str(image.format), scale)
        if mended is None:
            raise error from None
        return mended


def decoded(image: PIL.Image.Image) -> DecodedPicture:
    """Decode the current frame of an opened picture; errors are Pillow's."""
    _refuse_preview(image)
    image.load()
    return DecodedPicture(image, _turn(image), _white(image))


def to_bgr(image: PIL.Image.Image) -> Image:
    """Decode an opened picture (its current frame) to (H, W, 3) uint8 BGR, upright; errors are Pillow's."""
    return decoded(image).bgr()


class _RawFile(ValueError):
    """A camera's raw file, of which Pillow would read the small preview."""


def _refuse_preview(image: PIL.Image.Image) -> None:
    tags = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and tags is not None and (_DNG_VERSION in tags or int(tags.get(_SUBFILE_TYPE) or 0) & 1):
        raise _RawFile


def _turn(image: PIL.Image.Image) -> PIL.Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(PIL.ExifTags.Base.Orientation, 1))
    except MemoryError:
        raise
    except DECODE_ERRORS:
        return None  # the pixels are fine; only the note on how to turn them is not


def _to_rgb(image: PIL.Image.Image, white: float | None) -> PIL.Image.Image:
    if white is not None:
        image = _eight_bit(image, white)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    background = PIL.Image.new("RGBA", image.size, "white")
    return PIL.Image.alpha_composite(background, image.convert("RGBA")).convert("RGB")


def _white(image: PIL.Image.Image) -> float | None:
    """The value that is white; None for pixels of 8 bits."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return None
    width, height = image.size
    rows = max(1, _BAND_BYTES // (4 * max(1, width)))
    bands = (image.crop((0, first, width, min(height, first + rows))) for first in range(0, height, rows))
    most = max((float(_values(band).max(initial=0.0)) for band in bands), default=0.0)
    return _full_scale(most, whole_numbers=image.mode != "F")


def _values(image: PIL.Image.Image) -> Floats:
    return np.nan_to_num(np.asarray(image, dtype=np.float32))


def _eight_bit(image: PIL.Image.Image, white: float) -> PIL.Image.Image:
    # Pillow's own conversion clips at 255 instead of scaling: a 16-bit picture would turn white.
    return PIL.Image.fromarray(np.clip(_values(image) * (255.0 / white), 0, 255).astype(np.uint8))


def _full_scale(most: float, *, whole_numbers: bool) -> float:
    """The value that is white, by the largest that there is."""
    if not whole_numbers and most <= _MOST_STOPS_OVER:
        return max(1.0, most)
    return float(next((scale for scale in _INTEGER_SCALES if most <= scale), most))


def _load_mended(source: Picture, kind: str, scale: int) -> DecodedPicture | None:
    """What can be read of a picture that opens and then breaks off; None where that is nothing good.

    Raises:
        Exception: One of `DECODE_ERRORS`: it cannot be read in this way either.
    """
    data = _content(source)
    repaired = _repaired(data)
    picture = data if repaired is None else repaired
    is_jpeg = picture.startswith(_JPEG_START)
    if repaired is None and not is_jpeg:
        return None
    with open_picture(picture + _JPEG_END if is_jpeg else picture, (kind,)) as image:
        reduce(image, scale)
        mended = decoded(image)
        return None if is_jpeg and _missing_share(image) > _MOST_MISSING else mended


def _missing_share(image: PIL.Image.Image) -> float:
    """The share of a JPEG's rows, from the bottom, that its decoder had nothing for."""
    pixels = np.asarray(image)
    rows = pixels.reshape(len(pixels), -1)
    written = (np.abs(rows.astype(np.int16) - _UNWRITTEN) > 1).any(axis=1)
    last = int(np.flatnonzero(written)[-1]) if written.any() else -1
    return 1 - (last + 1) / len(rows)


def _without_notes(data: bytes) -> bytes:
    """A PNG without texts and other notes, of which one may be damaged or larger than Pillow reads."""
    kept, at = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] in _PNG_PIXELS:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _in_memory(source: Picture) -> bytes | None:
    if isinstance(source, FetchedPicture):
        return source.data
    return source if isinstance(source, bytes) else None


def _content(source: Picture) -> bytes:
    data = _in_memory(source)
    return Path(str(source)).read_bytes() if data is None else data


def head_of(source: Picture) -> bytes:
    """The first bytes, which tell what it is."""
    data = _in_memory(source)
    if data is not None:
        return data[:HEAD_BYTES]
    with Path(str(source)).open("rb") as file:
        return file.read(HEAD_BYTES)


def explain(source: Picture, error: Exception) -> FacepoolError:
    """Why a picture cannot be read, for people; of what `open_picture` and `load` raise."""
    if isinstance(source, bytes):
        what = "The picture cannot be read"
    else:
        what = f"The picture {source.name if isinstance(source, FetchedPicture) else source} cannot be read"
    if (limit := system_limit(what, error)) is not None:
        return limit
    for found in (_about_the_file, _about_its_kind):
        reason = found(source, error)
        if reason is not None:
            return reason if isinstance(reason, InputError) else ImageUnreadable(what, why=reason[0], fix=reason[1])
    return ImageUnreadable(what, why=reason_of(error), fix="Copy or export it again")


Reason = tuple[str, str]
"""Why a picture cannot be read, and what to do."""


def _about_the_file(source: Picture, error: Exception) -> Reason | InputError | None:
    if isinstance(error, FileNotFoundError):
        return PathMissing(f"There is no picture {error.filename}", fix="Check the spelling of the path")
    if isinstance(error, PermissionError):
        return "you may not read it", "Change its permissions"
    if isinstance(error, IsADirectoryError):
        return "it is a folder", "Name a picture in it"
    data = _in_memory(source)
    if data == b"" or (data is None and Path(str(source)).is_file() and Path(str(source)).stat().st_size == 0):
        return "it is empty (0 bytes)", "Copy or export it again"
    return None


def _about_its_kind(source: Picture, error: Exception) -> Reason | None:
    if isinstance(error, TOO_LARGE):
        numbers = [int(number) / 1e6 for number in re.findall(r"\d{6,}", str(error))]
        counts = f": {numbers[0]:,.0f} million, and {numbers[1]:,.0f} are read" if len(numbers) == 2 else ""
        return f"it has too many pixels to be safe{counts}", "Scale it down first"
    if isinstance(error, codecs.CodecMissing):
        return error.why, error.fix
    if isinstance(error, _RawFile):
        return "it is a camera's raw file with a small preview", "Export it as JPEG"
    kind: FileKind | None = None
    try:
        kind = kind_of(head_of(source))
    except OSError:  # its own error is the better reason
        return None
    if kind is not None and not kind.format:
        return f"it is {kind.name}, not a picture", kind.fix
    if kind is not None:
        return f"it is {kind.name}, truncated or damaged ({reason_of(error)})", "Copy or export it again"
    if isinstance(error, PIL.UnidentifiedImageError):
        return "it is not a picture of a known kind", "Save it as JPEG or PNG"
    return None


def reason_of(error: Exception) -> str:
    """What the decoder says, in a few words."""
    if isinstance(error, PIL.UnidentifiedImageError):
        return "it cannot be decoded"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
