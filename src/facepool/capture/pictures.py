"""Pictures as a source of frames: one after the other, or animated; and `read_image`, which reads one.

How a file becomes pixels, `reading` says.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import PIL.Image

from facepool.capture import codecs
from facepool.capture.formats import is_picture
from facepool.capture.reading import (
    DECODE_ERRORS,
    TOO_LARGE,
    FetchedPicture,
    Picture,
    head_of,
    open_picture,
    quiet_pillow,
    read_picture,
    reason_of,
    to_bgr,
)
from facepool.capture.source import ClosesOnExit, OnSkip, url_scheme
from facepool.capture.turning import Turning
from facepool.errors import ImageUnreadable, InputError, SourceEmpty, VideoUnreadable
from facepool.types import Frame, Image

WEB_SCHEMES = frozenset({"http", "https"})
"""Addresses that may be that of one picture."""

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
    return read_picture(source)


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
                raise VideoUnreadable(f"The animation {self.name} cannot be opened", why=reason_of(error)) from error
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
                        why=reason_of(error),
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
        return is_picture(head_of(picture))
    except OSError:
        return False


def _count(image: PIL.Image.Image) -> int:
    return int(getattr(image, "n_frames", 1))


def _duration_ms(image: PIL.Image.Image) -> float:
    stated_ms = float(image.info.get("duration") or 0.0)
    return stated_ms if stated_ms > _SHORTEST_FRAME_MS else _DEFAULT_FRAME_MS
