"""Annotated frames kept on the disk: one video, one picture, or a folder of pictures."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

from facepool.capture import VideoWriter, write_image
from facepool.errors import ConfigError
from facepool.files import safe_stem, storage_errors
from facepool.types import Frame, Image

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
_UNWRITTEN_SUFFIXES = frozenset(
    (".avi", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".ogv", ".gif", ".tiff", ".heic", ".avif")
)
"""Endings that mean a file to everybody, and would otherwise name a folder."""
_NOMINAL_FPS = 25.0  # only for frames without a time; all others are shown when they were taken

Record = Callable[[Image, Frame], None]
"""Keeps an annotated picture (BGR) of a frame."""


def open_recording(path: Path, threads: int | None = None) -> AbstractContextManager[Record]:
    """A recording of the kind that the name asks for: a video, a picture, or a folder of pictures.

    Args:
        path: A folder is made if it is missing; a file of the same name from an earlier run is replaced.
        threads: CPU threads that encode a video; None leaves their number to the encoder.

    Raises:
        ConfigError: The name is of a kind of file that is not made here, or a file's that is no folder. When a picture
            is to be kept: it would lie among those that are looked at, and could replace one.
    """
    suffix = path.suffix.lower()
    if suffix in _UNWRITTEN_SUFFIXES:
        raise ConfigError(
            f"{path} cannot be written",
            why=f"{suffix} is not a kind of file that is made here",
            fix=f"Name a folder, or end it in {', '.join((*VIDEO_SUFFIXES, *PICTURE_SUFFIXES))}",
        )
    if suffix in VIDEO_SUFFIXES:
        return _open_video(path, threads)
    if suffix not in PICTURE_SUFFIXES and path.is_file():
        raise ConfigError(
            f"{path} cannot hold pictures",
            why="it is a file, and its name is not that of a video or picture",
            fix=f"Name a folder, or end it in {', '.join((*VIDEO_SUFFIXES, *PICTURE_SUFFIXES))}",
        )
    return nullcontext(_picture_file(path) if suffix in PICTURE_SUFFIXES else _picture_folder(path))


@contextmanager
def _open_video(path: Path, threads: int | None) -> Iterator[Record]:
    """One video, begun with the first frame, whose size it takes."""
    writer: VideoWriter | None = None
    with ExitStack() as stack:

        def record(image_bgr: Image, frame: Frame) -> None:
            nonlocal writer
            if writer is None:
                size_wh = (image_bgr.shape[1], image_bgr.shape[0])
                with storage_errors(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                writer = stack.enter_context(VideoWriter(path, _NOMINAL_FPS, size_wh, threads))
            writer.write(image_bgr, frame.time_s)

        yield record


def _picture_file(path: Path) -> Record:
    def record(image_bgr: Image, _frame: Frame) -> None:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, image_bgr)

    return record


class NewNames:
    """Names for the files of one run: every file system takes them, and none is given twice."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def is_given(self, name: str) -> bool:
        """Whether a file of this run has that name."""
        return name.casefold() in self._given  # on Windows, macOS and sticks, names that differ in case are one

    def new(self, stem: str, suffix: str) -> str:
        """The name made of stem and ending, with a number if there is one already."""
        name, number = f"{stem}{suffix}", 1
        while self.is_given(name):
            number += 1
            name = f"{stem}-{number}{suffix}"
        self._given.add(name.casefold())
        return name


def stem_of(source: str, unnamed: str = "frame") -> str:
    """How files are called that are made of a source: a path, an address, or a camera's number."""
    return safe_stem(Path(source).stem, unnamed)


def _picture_folder(folder: Path) -> Record:
    names = NewNames()

    def record(image_bgr: Image, frame: Frame) -> None:
        if folder.resolve() == Path(frame.source).resolve().parent:
            raise ConfigError(
                f"Annotated pictures cannot be kept in {folder}",
                why="the pictures that are looked at lie there, and one could replace another",
                fix="Name another folder with --output",
            )
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        stem = stem_of(frame.source)
        # A picture keeps its name; the frames of a video, and pictures of one name, are told apart by number.
        if frame.time_s is not None or names.is_given(f"{stem}.jpg"):
            stem = f"{stem}-{frame.index:06d}"
        write_image(folder / names.new(stem, ".jpg"), image_bgr)

    return record
