"""Annotated frames kept on the disk: one video, one picture, or a folder of pictures."""

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from facepool.capture import VideoWriter, write_image
from facepool.errors import ConfigError
from facepool.types import Frame, Image

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
_UNWRITTEN_SUFFIXES = frozenset(
    (".avi", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".ogv", ".gif", ".tiff", ".heic", ".avif")
)
"""Endings that mean a file to everybody, and would otherwise name a folder."""
_NOMINAL_FPS = 25.0  # only for frames without a time; all others are shown when they were taken


class Recording(Protocol):
    """Where annotated frames are kept."""

    def write(self, image_bgr: Image, frame: Frame) -> None:
        """Keep one annotated frame."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class VideoRecording:
    """One video, begun with the first frame, whose size it takes.

    Args:
        path: The video file.
        threads: CPU threads that encode; None leaves their number to the encoder.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._path = path
        self._threads = threads
        self._writer: VideoWriter | None = None

    def write(self, image_bgr: Image, frame: Frame) -> None:
        """Add one annotated frame."""
        if self._writer is None:
            self._writer = VideoWriter(
                self._path, _NOMINAL_FPS, (image_bgr.shape[1], image_bgr.shape[0]), self._threads
            )
        self._writer.write(image_bgr, frame.time_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, error, trace)


class PictureRecording:
    """One picture a frame, in a folder or as a single file.

    Args:
        path: A picture file, or a folder, which is made if it is missing. A picture of the same name from an earlier
            run is replaced.
    """

    def __init__(self, path: Path) -> None:
        self._file = path if path.suffix.lower() in PICTURE_SUFFIXES else None
        self._folder = path.parent if self._file else path
        self._written: set[str] = set()

    def write(self, image_bgr: Image, frame: Frame) -> None:
        """Keep one annotated frame as a picture.

        Raises:
            ConfigError: It would lie among the pictures that are looked at, and could replace one.
        """
        if self._file is None and self._folder.resolve() == Path(frame.source).resolve().parent:
            raise ConfigError(
                f"Annotated pictures cannot be kept in {self._folder}",
                why="the pictures that are looked at lie there, and one could replace another",
                fix="Name another folder with --output",
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        write_image(self._file or self._folder / self._name(frame), image_bgr)

    def _name(self, frame: Frame) -> str:
        stem = Path(frame.source).stem or "frame"
        name = f"{stem}.jpg"
        # A picture keeps its name; the frames of a video, and pictures of one name, are told apart by number.
        if frame.time_s is not None or name in self._written:
            name = f"{stem}-{frame.index:06d}.jpg"
        self._written.add(name)
        return name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held open between frames."""


def open_recording(path: Path, threads: int | None = None) -> Recording:
    """A recording of the kind that the name asks for: a video, a picture, or a folder of pictures.

    Raises:
        ConfigError: The name is of a kind of file that is not made here.
    """
    suffix = path.suffix.lower()
    if suffix in _UNWRITTEN_SUFFIXES:
        raise ConfigError(
            f"{path} cannot be written",
            why=f"{suffix} is not a kind of file that is made here",
            fix=f"Name a folder, or end it in {', '.join((*VIDEO_SUFFIXES, *PICTURE_SUFFIXES))}",
        )
    return VideoRecording(path, threads) if suffix in VIDEO_SUFFIXES else PictureRecording(path)
