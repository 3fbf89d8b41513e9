"""Sources that Pillow reads: pictures, and animated pictures as videos."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import PIL.Image

from facepool.capture.pictures import DECODE_ERRORS, open_picture, quiet_pillow, read_image, to_bgr
from facepool.capture.source import ClosesOnExit, OnSkip
from facepool.errors import ImageUnreadable, InputError, SourceEmpty, VideoUnreadable
from facepool.types import Frame

# In these, further frames are an animation; in a TIFF or MPO they are pages or views.
_ANIMATED_FORMATS = frozenset({"GIF", "PNG", "WEBP"})
_DEFAULT_FRAME_MS = 100.0
_MS_PER_S = 1000.0


class PictureSource(ClosesOnExit):
    """Picture files, one after the other.

    Unreadable ones are left out and kept in ``skipped``; only when none can be read is that an error. A frame's
    source is its own file, its index the picture's place in the list.

    Args:
        paths: The files.
        name: What the user named; the first file's path by default.
        on_skip: Told at once of each picture that is left out; not of an only one, whose error is raised.

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
        path: The file, one for which ``is_animation`` is true.

    Raises:
        VideoUnreadable: It cannot be opened.
    """

    live = False

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        with quiet_pillow():
            try:
                self._image = open_picture(path)
                self._image.load()  # only now does a WebP tell its first frame's duration
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
            frame = self._next()
            if frame is None:
                self.close()
                return
            yield frame

    def close(self) -> None:
        """Close the file."""
        self._closed = True
        self._image.close()

    def _next(self) -> Frame | None:
        with quiet_pillow():
            try:
                self._image.seek(self._index)
                image_bgr = to_bgr(self._image)
            except EOFError:
                return None
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
        return frame


def is_animation(image: PIL.Image.Image) -> bool:
    """Whether an opened picture has several frames that are meant to be played."""
    return image.format in _ANIMATED_FORMATS and _count(image) > 1


def _count(image: PIL.Image.Image) -> int:
    return int(getattr(image, "n_frames", 1))


def _duration_ms(image: PIL.Image.Image) -> float:
    return float(image.info.get("duration") or _DEFAULT_FRAME_MS)
