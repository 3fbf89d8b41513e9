"""Read one picture of any common kind as upright 8-bit BGR."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps

from facepool.errors import ImageUnreadable, InputError, PathMissing
from facepool.types import Image

TOO_LARGE = PIL.Image.DecompressionBombError
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    struct.error,
    zlib.error,
    TOO_LARGE,
)
"""What Pillow raises on damaged data."""

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "TGA", "AVIF")
_HEIF_SUFFIXES = frozenset({".heic", ".heif"})
_SIXTEEN_BIT = 65535.0


def read_image(source: str | Path | bytes) -> Image:
    """Read a picture.

    The EXIF orientation is applied, gray and CMYK become colour, 16 bits a channel become 8, what is transparent
    becomes white; of several frames the first is taken.

    Args:
        source: Path of a file, or the file's bytes.

    Returns:
        (H, W, 3) uint8 BGR, C-contiguous.

    Raises:
        PathMissing: There is no such file.
        ImageUnreadable: It is not a picture, is truncated, or has more pixels than Pillow's guard against
            decompression bombs allows (about 179 million).
    """
    with quiet_pillow():
        try:
            with open_picture(source) as image:
                return to_bgr(image)
        except DECODE_ERRORS as error:
            raise _explain(source, error) from error


def open_picture(source: str | Path | bytes) -> PIL.Image.Image:
    """Read a picture's header with Pillow; its errors and warnings are Pillow's."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    PIL.Image.init()  # loads the readers, once; Pillow's build decides which there are
    return PIL.Image.open(file, formats=[kind for kind in _FORMATS if kind in PIL.Image.OPEN])


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings (odd EXIF, large pictures) to itself: what matters becomes an error.

    Warning filters belong to the process. This one names Pillow only, so that when two threads leave in the wrong
    order and it stays, nobody else's warnings are lost.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def to_bgr(image: PIL.Image.Image) -> Image:
    """Decode an opened picture (its current frame) to (H, W, 3) uint8 BGR, upright; errors are Pillow's."""
    image.load()
    rgb = np.asarray(_to_rgb(_upright(image)))
    return np.ascontiguousarray(rgb[:, :, ::-1])


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    try:
        return PIL.ImageOps.exif_transpose(image)
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
    full_scale = _SIXTEEN_BIT
    if image.mode == "F":
        full_scale = 1.0 if values.max(initial=0.0) <= 1.0 else 255.0
    return PIL.Image.fromarray(np.clip(values * (255.0 / full_scale), 0, 255).astype(np.uint8))


def _explain(source: str | Path | bytes, error: Exception) -> InputError:
    if isinstance(source, bytes):
        what, suffix, is_empty = "The picture cannot be read", "", not source
    else:
        path = Path(source)
        if isinstance(error, FileNotFoundError):
            return PathMissing(f"There is no picture {path}", fix="Check the spelling of the path")
        what, suffix = f"The picture {path} cannot be read", path.suffix.lower()
        is_empty = path.is_file() and path.stat().st_size == 0
    if isinstance(error, TOO_LARGE):
        return ImageUnreadable(what, why="it has too many pixels to be safe", fix="Scale it down first")
    if isinstance(error, PermissionError):
        return ImageUnreadable(what, why="you may not read it", fix="Change its permissions")
    if is_empty:
        return ImageUnreadable(what, why="it is empty (0 bytes)", fix="Copy or export it again")
    if suffix in _HEIF_SUFFIXES:
        return ImageUnreadable(what, why="HEIF pictures are not supported", fix="Save it as JPEG or PNG")
    if isinstance(error, PIL.UnidentifiedImageError):
        return ImageUnreadable(what, why="it is not a picture of a known kind", fix="Save it as JPEG or PNG")
    return ImageUnreadable(what, why=_reason(error), fix="Copy or export it again")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
