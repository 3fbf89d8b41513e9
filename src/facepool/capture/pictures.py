"""Pictures: read one as upright 8-bit BGR, and take them, or animated ones, for a source."""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import PIL.Image
import PIL.ImageOps

from facepool.capture import codecs
from facepool.capture.formats import HEAD_BYTES, FileKind, is_picture, kind_of
from facepool.capture.source import ClosesOnExit, OnSkip, url_scheme
from facepool.capture.turning import Turning
from facepool.errors import (
    FacepoolError,
    ImageUnreadable,
    InputError,
    PathMissing,
    SourceEmpty,
    VideoUnreadable,
    system_limit,
)
from facepool.types import Frame, Image

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

WEB_SCHEMES = frozenset({"http", "https"})
"""Addresses that may be that of one picture."""

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "TGA", "AVIF", "ICO", "HEIF", "JXL")
_INTEGER_SCALES = (255, 1023, 4095, 16383, 65535, 2**24 - 1, 2**31 - 1)
"""Full white of whole numbers: a 12-bit sensor's picture comes in a file of 16 bits a pixel."""
_MOST_STOPS_OVER = 16.0
"""Floating-point pictures end at 1, or, with highlights beyond white, somewhat above; or at 255."""

PICTURE_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "gif", "webp", "bmp", "dib", "tif", "tiff", "ico"),
        *("jp2", "j2k", "j2c", "jpf", "jpx", "tga", "ppm", "pgm", "pbm", "pnm", "avif", "avifs"),
        *("heic", "heif", "heics", "heifs", "hif", "jxl"),
    )
)
"""What counts as a picture in a folder; those that cannot be decoded are reported, not passed over."""

# In these, further frames are an animation; in a TIFF or MPO they are pages or views.
_ANIMATED_FORMATS = frozenset({"GIF", "PNG", "WEBP"})
_DEFAULT_FRAME_MS = 100.0
_SHORTEST_FRAME_MS = 10.0  # or less is shown for the time above by browsers: it was never meant
_MS_PER_S = 1000.0
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


def read_image(source: Picture) -> Image:
    """Read a picture.

    What it is, its content says, whatever its name. The EXIF orientation is applied, gray and CMYK become colour, 16
    bits a channel become 8, what is transparent becomes white; of several frames the first is taken. Of a JPEG whose
    last part is missing (a quarter of its rows at most) the rest is read.

    Args:
        source: Path of a file, the file's bytes, or the address of one picture (a ``str`` that begins with
            ``http://`` or ``https://``), which is fetched.

    Returns:
        (H, W, 3) uint8 BGR, C-contiguous.

    Raises:
        PathMissing: There is no such file.
        ImageUnreadable: It is not a picture, is truncated, or has more pixels than Pillow's guard against
            decompression bombs allows (about 179 million), or than there is memory for.
        StreamUnavailable: The address does not answer, or has no picture.
    """
    if isinstance(source, str) and url_scheme(source) in WEB_SCHEMES:
        from facepool.capture.snapshots import fetch_picture  # noqa: PLC0415 -- HTTP takes long to import

        source = fetch_picture(source)
    with quiet_pillow():
        try:
            with open_picture(source) as image:
                return to_bgr(image)
        except (TOO_LARGE, MemoryError) as error:
            raise _explain(source, error) from error
        except DECODE_ERRORS as error:
            mended = None
            with suppress(*DECODE_ERRORS):  # the first error says what is wrong with it
                mended = _read_mended(source) if _may_be_mended(source) else None
            if mended is None:
                raise _explain(source, error) from error
            return mended


def open_picture(source: Picture) -> PIL.Image.Image:
    """Read a picture's header with Pillow; its errors and warnings are Pillow's.

    What is wrong with it that harms no pixel is passed by, so that the size is known of whatever is read later.
    """
    PIL.Image.init()  # loads the readers, once; Pillow's build decides which there are
    kind = kind_of(_head(source))
    if kind is not None and kind.format:
        codecs.prepare(kind.format)
    data = _in_memory(source)
    try:
        return _open(Path(str(source)) if data is None else io.BytesIO(data))
    except (TOO_LARGE, MemoryError):
        raise
    except DECODE_ERRORS:
        repaired = _repaired(_content(source)) if _may_be_mended(source) else None
        if repaired is None:
            raise
        return _open(io.BytesIO(repaired))


def _open(file: Path | io.BytesIO) -> PIL.Image.Image:
    _refuse_large_icon(file)
    return PIL.Image.open(file, formats=[name for name in _FORMATS if name in PIL.Image.OPEN])


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
    return _head(source).startswith((b"\r", b"\n", _PNG_SIGNATURE, _JPEG_START))


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


def to_bgr(image: PIL.Image.Image) -> Image:
    """Decode an opened picture (its current frame) to (H, W, 3) uint8 BGR, upright; errors are Pillow's."""
    _refuse_preview(image)
    image.load()
    rgb = np.asarray(_to_rgb(_upright(image)))
    return np.ascontiguousarray(rgb[:, :, ::-1])


class _RawFile(ValueError):
    """A camera's raw file, of which Pillow would read the small preview."""


def _refuse_preview(image: PIL.Image.Image) -> None:
    tags = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and tags is not None and (_DNG_VERSION in tags or int(tags.get(_SUBFILE_TYPE) or 0) & 1):
        raise _RawFile


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    try:
        return PIL.ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except DECODE_ERRORS:
        return image  # the pixels are fine; only the note on how to turn them is not


def _to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bit(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = PIL.Image.new("RGBA", image.size, "white")
    return PIL.Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _eight_bit(image: PIL.Image.Image) -> PIL.Image.Image:
    # Pillow's own conversion clips at 255 instead of scaling: a 16-bit picture would turn white.
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    full_scale = _full_scale(float(values.max(initial=0.0)), whole_numbers=image.mode != "F")
    return PIL.Image.fromarray(np.clip(values * (255.0 / full_scale), 0, 255).astype(np.uint8))


def _full_scale(most: float, *, whole_numbers: bool) -> float:
    """The value that is white, by the largest that there is."""
    if not whole_numbers and most <= _MOST_STOPS_OVER:
        return max(1.0, most)
    return float(next((scale for scale in _INTEGER_SCALES if most <= scale), most))


def _read_mended(source: Picture) -> Image | None:
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
    with open_picture(picture + _JPEG_END if is_jpeg else picture) as image:
        image.load()
        return None if is_jpeg and _missing_share(image) > _MOST_MISSING else to_bgr(image)


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


def _head(source: Picture) -> bytes:
    data = _in_memory(source)
    if data is not None:
        return data[:HEAD_BYTES]
    with Path(str(source)).open("rb") as file:
        return file.read(HEAD_BYTES)


def _explain(source: Picture, error: Exception) -> FacepoolError:
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
    return ImageUnreadable(what, why=_reason(error), fix="Copy or export it again")


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
        kind = kind_of(_head(source))
    except OSError:  # its own error is the better reason
        return None
    if kind is not None and not kind.format:
        return f"it is {kind.name}, not a picture", kind.fix
    if kind is not None:
        return f"it is {kind.name}, truncated or damaged ({_reason(error)})", "Copy or export it again"
    if isinstance(error, PIL.UnidentifiedImageError):
        return "it is not a picture of a known kind", "Save it as JPEG or PNG"
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, PIL.UnidentifiedImageError):
        return "it cannot be decoded"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def is_picture_name(path: Path) -> bool:
    """Whether the file's name ends like a picture's."""
    return path.suffix.lower() in PICTURE_SUFFIXES


class PictureSource(ClosesOnExit):
    """Pictures, one after the other.

    Unreadable ones are left out and kept in ``skipped``; only when none can be read is that an error. A frame's
    source is its own file, its index the picture's place in the list.

    Args:
        pictures: The files, or what was fetched.
        name: What the user named; the first picture's name by default.
        on_skip: Called at once for each picture that is left out; not for an only one, whose error is raised.

    Raises:
        SourceEmpty: The list is empty.

    Attributes:
        skipped: What was left out so far, and why.
        remarks: What else there is to say of where the pictures come from, one line each.
    """

    live = False
    fps: float | None = None
    remarks: tuple[str, ...] = ()

    def __init__(
        self, pictures: Sequence[str | Path | FetchedPicture], name: str = "", on_skip: OnSkip | None = None
    ) -> None:
        if not pictures:
            raise SourceEmpty("No picture was named", fix="Name at least one picture, or a folder of them")
        self.name = name or _name_of(pictures[0])
        self.frame_count: int | None = len(pictures)
        self.skipped: list[tuple[Path, InputError]] = []
        self._on_skip = on_skip
        self._left = enumerate(pictures)
        self._read = 0
        self._closed = False

    @property
    def description(self) -> str:
        """For example ``3 pictures of holidays/``."""
        return f"picture {self.name}" if self.frame_count == 1 else f"{self.frame_count} pictures of {self.name}"

    def __iter__(self) -> Iterator[Frame]:
        """The pictures that can be read.

        Raises:
            ImageUnreadable: None of them can be.
            PathMissing: The only one does not exist.
        """
        while not self._closed and (entry := next(self._left, None)):
            index, picture = entry
            try:
                image_bgr = read_image(picture)
            except InputError as error:
                self._skip(Path(_name_of(picture)), error)
                continue
            self._read += 1
            yield Frame(image_bgr, _name_of(picture), index)
        if not self._closed and not self._read:
            self._closed = True
            raise self._nothing_readable()

    def close(self) -> None:
        """End the loop before its next picture."""
        self._closed = True

    def _skip(self, path: Path, error: InputError) -> None:
        self.skipped.append((path, error))
        if self._on_skip and self.frame_count != 1:
            self._on_skip(path, error)

    def _nothing_readable(self) -> InputError:
        first = self.skipped[0][1]
        if len(self.skipped) == 1:
            return first
        return ImageUnreadable(
            f"None of the {len(self.skipped)} pictures of {self.name} can be read",
            why=f"the first: {first.what}: {first.why}" if first.why else f"the first: {first.what}",
            fix=first.fix,
        )


def _name_of(picture: str | Path | FetchedPicture) -> str:
    return picture.name if isinstance(picture, FetchedPicture) else str(picture)


class AnimationSource(ClosesOnExit):
    """An animated GIF, PNG or WebP as a video.

    Args:
        picture: One whose ``picture_kind`` is ``animation``.
        turning: How frames are turned.

    Raises:
        VideoUnreadable: It cannot be opened.
    """

    live = False

    def __init__(self, picture: str | Path | FetchedPicture, turning: Turning | None = None) -> None:
        self.name = _name_of(picture)
        self._turning = turning or Turning()
        with quiet_pillow():
            try:
                self._image = open_picture(picture)
                self._image.load()  # only now does a WebP state its first frame's duration
                self.frame_count: int | None = _count(self._image)
            except DECODE_ERRORS as error:
                raise VideoUnreadable(f"The animation {self.name} cannot be opened", why=_reason(error)) from error
        self.fps: float | None = _MS_PER_S / _duration_ms(self._image)
        self._index = 0
        self._time_ms = 0.0
        self._closed = False

    @property
    def description(self) -> str:
        """For example ``animation wave.gif``."""
        return f"animation {self.name}"

    def __iter__(self) -> Iterator[Frame]:
        """The frames, with the time at which each is shown.

        Raises:
            VideoUnreadable: The file breaks off.
        """
        while not self._closed:
            with quiet_pillow():
                try:
                    self._image.seek(self._index)
                    image_bgr = to_bgr(self._image)
                except EOFError:
                    self.close()
                    return
                except DECODE_ERRORS as error:
                    self.close()
                    raise VideoUnreadable(
                        f"The animation {self.name} breaks off after {self._index} frames",
                        why=_reason(error),
                        fix="Copy or export it again",
                    ) from error
            frame = Frame(image_bgr, self.name, self._index, self._time_ms / _MS_PER_S)
            self._index += 1
            self._time_ms += _duration_ms(self._image)
            yield self._turning.apply(frame)

    def close(self) -> None:
        """Close the file."""
        self._closed = True
        self._image.close()


def picture_kind(picture: Path | FetchedPicture) -> Literal["still", "animation", "none"]:
    """Whether something is a still picture or an animated one, seen from its content as far as Pillow knows it.

    A damaged picture counts as a still one by its first bytes or its name: its reader says best what is wrong with it.
    """
    with quiet_pillow():
        try:
            with open_picture(picture) as image:
                return "animation" if image.format in _ANIMATED_FORMATS and _count(image) > 1 else "still"
        except (TOO_LARGE, codecs.CodecMissing):
            return "still"
        except DECODE_ERRORS:
            return "still" if is_picture_name(Path(_name_of(picture))) or _begins_as_picture(picture) else "none"


def _begins_as_picture(picture: Path | FetchedPicture) -> bool:
    try:
        return is_picture(_head(picture))
    except OSError:
        return False


def _count(image: PIL.Image.Image) -> int:
    return int(getattr(image, "n_frames", 1))


def _duration_ms(image: PIL.Image.Image) -> float:
    stated_ms = float(image.info.get("duration") or 0.0)
    return stated_ms if stated_ms > _SHORTEST_FRAME_MS else _DEFAULT_FRAME_MS
