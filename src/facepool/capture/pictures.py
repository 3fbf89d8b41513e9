"""Pictures: read one as upright 8-bit BGR, find them in folders, and take them, or animated ones, for a source."""

import io
import struct
import unicodedata
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import PIL.Image
import PIL.ImageOps

from facepool.capture.source import ClosesOnExit, OnSkip
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
    struct.error,
    zlib.error,
    TOO_LARGE,
)
"""What Pillow raises on damaged data."""

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "TGA", "AVIF")
_HEIF_SUFFIXES = frozenset({".heic", ".heif"})
_SIXTEEN_BIT = 65535.0

PICTURE_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "gif", "webp", "bmp", "dib", "tif", "tiff"),
        *("jp2", "tga", "ppm", "pgm", "pbm", "pnm", "avif", "heic", "heif"),
    )
)
"""What counts as a picture in a folder; those that cannot be decoded are reported, not passed over."""

# In these, further frames are an animation; in a TIFF or MPO they are pages or views.
_ANIMATED_FORMATS = frozenset({"GIF", "PNG", "WEBP"})
_DEFAULT_FRAME_MS = 100.0
_MS_PER_S = 1000.0


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
    order and it stays, no other library's warnings are lost.
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


def _explain(source: str | Path | bytes, error: Exception) -> FacepoolError:
    if isinstance(source, bytes):
        what, suffix, is_empty = "The picture cannot be read", "", not source
    else:
        path = Path(source)
        if isinstance(error, FileNotFoundError):
            return PathMissing(f"There is no picture {path}", fix="Check the spelling of the path")
        what, suffix = f"The picture {path} cannot be read", path.suffix.lower()
        is_empty = path.is_file() and path.stat().st_size == 0
    if (limit := system_limit(what, error)) is not None:
        return limit
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


def find_pictures(folder: str | Path) -> list[Path]:
    """The pictures under a folder, at any depth, sorted by path; hidden files and folders are left out.

    Raises:
        PathMissing: There is no such folder.
    """
    root = _existing_folder(folder)
    found = (path for path in root.rglob("*") if is_picture_name(path) and not _is_hidden(path.relative_to(root)))
    return sorted(path for path in found if path.is_file())


def is_picture_name(path: Path) -> bool:
    """Whether the file's name ends like a picture's."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def iter_person_tree(root: str | Path) -> Iterator[tuple[str, list[Path]]]:
    """People and their pictures: ``root/Person/*.jpg`` (at any depth) and ``root/Person.jpg``, also mixed.

    Yields:
        Name (Unicode NFC) and pictures, sorted by name; a person's folder without a picture comes with an empty
        list, so that it can be reported.

    Raises:
        PathMissing: There is no such folder.
    """
    people: dict[str, list[Path]] = {}
    for entry in sorted(_existing_folder(root).iterdir()):
        if _is_hidden(Path(entry.name)):
            continue
        if entry.is_dir():
            people.setdefault(_person_name(entry.name), []).extend(find_pictures(entry))
        elif is_picture_name(entry):
            people.setdefault(_person_name(entry.stem), []).append(entry)
    yield from sorted(people.items())


def is_person_tree(root: str | Path) -> bool:
    """Whether `root` is a folder that ``iter_person_tree`` finds a picture in."""
    return Path(root).is_dir() and any(paths for _, paths in iter_person_tree(root))


def pictures_or_error(folder: str | Path) -> list[Path]:
    """Like ``find_pictures``.

    Raises:
        PathMissing: There is no such folder.
        SourceEmpty: It holds no picture.
    """
    pictures = find_pictures(folder)
    if not pictures:
        raise SourceEmpty(
            f"The folder {folder} holds no picture",
            why="no file in it or below ends in .jpg, .png, .webp or the like",
            fix="Name a folder with pictures, or a video file itself",
        )
    return pictures


def _existing_folder(folder: str | Path) -> Path:
    path = Path(folder)
    if not path.is_dir():
        raise PathMissing(f"There is no folder {path}", fix="Check the spelling of the path")
    return path


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _person_name(text: str) -> str:
    # macOS hands out file names decomposed; the same name typed elsewhere must be the same person.
    return unicodedata.normalize("NFC", text)


class PictureSource(ClosesOnExit):
    """Picture files, one after the other.

    Unreadable ones are left out and kept in ``skipped``; only when none can be read is that an error. A frame's
    source is its own file, its index the picture's place in the list.

    Args:
        paths: The files.
        name: What the user named; the first file's path by default.
        on_skip: Called at once for each picture that is left out; not for an only one, whose error is raised.

    Raises:
        SourceEmpty: The list is empty.
    """

    live = False
    fps: float | None = None

    def __init__(self, paths: Sequence[str | Path], name: str = "", on_skip: OnSkip | None = None) -> None:
        if not paths:
            raise SourceEmpty("No picture was named", fix="Name at least one picture, or a folder of them")
        self.name = name or str(paths[0])
        self.frame_count: int | None = len(paths)
        self.skipped: list[tuple[Path, InputError]] = []
        self._on_skip = on_skip
        self._left = enumerate(map(Path, paths))
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
            index, path = entry
            try:
                image_bgr = read_image(path)
            except InputError as error:
                self._skip(path, error)
                continue
            self._read += 1
            yield Frame(image_bgr, str(path), index)
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


class AnimationSource(ClosesOnExit):
    """An animated GIF, PNG or WebP as a video.

    Args:
        path: The file, one whose ``picture_kind`` is ``animation``.
        turning: How frames are turned.

    Raises:
        VideoUnreadable: It cannot be opened.
    """

    live = False

    def __init__(self, path: str | Path, turning: Turning | None = None) -> None:
        self.name = str(path)
        self._turning = turning or Turning()
        with quiet_pillow():
            try:
                self._image = open_picture(path)
                self._image.load()  # only now does a WebP state its first frame's duration
                self.frame_count: int | None = _count(self._image)
            except DECODE_ERRORS as error:
                raise VideoUnreadable(f"The animation {path} cannot be opened", why=str(error)) from error
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
                        why=str(error),
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


def picture_kind(path: Path) -> Literal["still", "animation", "none"]:
    """Whether a file is a still picture or an animated one, seen from its content as far as Pillow knows it.

    A damaged picture counts as a still one by its name: its reader says best what is wrong with it.
    """
    with quiet_pillow():
        try:
            with open_picture(path) as image:
                return "animation" if image.format in _ANIMATED_FORMATS and _count(image) > 1 else "still"
        except TOO_LARGE:
            return "still"
        except DECODE_ERRORS:
            return "still" if is_picture_name(path) else "none"


def _count(image: PIL.Image.Image) -> int:
    return int(getattr(image, "n_frames", 1))


def _duration_ms(image: PIL.Image.Image) -> float:
    return float(image.info.get("duration") or _DEFAULT_FRAME_MS)
