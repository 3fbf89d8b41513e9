"""What there is of one picture file, what gives it for many of them, and how one process looks at a few."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from facepool.capture import read_image
from facepool.errors import InputError, PathUnreadable
from facepool.faces.analyze import Analyzer, Faces
from facepool.types import EmbeddingSpace, Image, one_line

PICTURES_AT_ONCE = 8
"""Stills that are in memory together, to run the networks on; photos of 24 megapixels take 72 MB each."""
_PIXELS_AT_ONCE = 50_000_000
_MOST_BYTES = 1 << 30
"""Of a file. An uncompressed picture of as many pixels as are read is no larger."""


@dataclass(frozen=True, slots=True, eq=False)
class PictureFaces:
    """One picture file, whatever became of it.

    Attributes:
        path: The file, as it was named.
        content: sha256 of the file in hexadecimal; empty where it cannot be read.
        image_wh: Of the picture, upright, in pixels; zeros where it was not decoded.
        faces: What was found in it; None: it cannot be read, or its content was said to be known.
        problem: Why it cannot be read.
    """

    path: Path
    content: str = ""
    image_wh: tuple[int, int] = (0, 0)
    faces: Faces | None = None
    problem: InputError | None = None

    def __repr__(self) -> str:
        """How many faces; not which file, whose name may be somebody's."""
        return one_line(self, "unread" if self.faces is None else repr(self.faces))


class PictureAnalysis(Protocol):
    """Finds the faces of picture files."""

    @property
    def space(self) -> EmbeddingSpace:
        """Of the vectors."""

    def analyze(self, paths: Sequence[Path], known: Collection[str] = frozenset()) -> Iterator[PictureFaces]:
        """Look at some files.

        Args:
            paths: The files.
            known: Contents (see ``PictureFaces.content``) that are not to be looked at again.

        Yields:
            One ``PictureFaces`` a path, in their order, as they become ready.
        """


def look_at(
    paths: Iterable[Path], analyzer: Analyzer, known: Collection[str] = frozenset(), *, aligned: bool = False
) -> Iterator[PictureFaces]:
    """Look at some files in this process, a few at a time; what comes of one does not depend on the others.

    Args:
        paths: The files.
        analyzer: Finds the faces.
        known: As of ``PictureAnalysis.analyze``.
        aligned: Whether the faces keep their pixels.

    Yields:
        One ``PictureFaces`` a path, in their order.
    """
    pictures: list[PictureFaces] = []
    images: dict[int, Image] = {}
    pixels = 0
    for path in paths:
        picture, image = _read(path, known)
        if image is not None:
            images[len(pictures)] = image
            pixels += image.size // 3
        pictures.append(picture)
        if len(pictures) == PICTURES_AT_ONCE or pixels >= _PIXELS_AT_ONCE:
            yield from _analyzed(pictures, images, analyzer, aligned=aligned)
            pictures, images, pixels = [], {}, 0
    yield from _analyzed(pictures, images, analyzer, aligned=aligned)


def _read(path: Path, known: Collection[str]) -> tuple[PictureFaces, Image | None]:
    content = ""
    try:
        content = _content(path)
        if content and content in known:
            return PictureFaces(path, content), None
        image = read_image(path)
    except InputError as error:
        return PictureFaces(path, content, problem=error), None
    return PictureFaces(path, content, (image.shape[1], image.shape[0])), image


def _content(path: Path) -> str:
    """The sha256 of a file; empty where it cannot be read: why, its reader says best."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size > _MOST_BYTES:
                raise PathUnreadable(
                    f"{path} was not read",
                    why=f"it has {size / 1e6:,.0f} MB, and no photo has more than {_MOST_BYTES / 1e6:,.0f}",
                    fix="Leave it out",
                )
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _analyzed(
    pictures: Sequence[PictureFaces], images: dict[int, Image], analyzer: Analyzer, *, aligned: bool
) -> list[PictureFaces]:
    found = dict(zip(images, analyzer.analyze_batch(list(images.values())) if images else [], strict=True))
    if not aligned:
        found = {row: replace(faces, aligned=None) for row, faces in found.items()}
    return [replace(picture, faces=found.get(row)) for row, picture in enumerate(pictures)]
