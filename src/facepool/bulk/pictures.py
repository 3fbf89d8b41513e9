"""What there is of one picture file, what gives it for many of them, and how one process looks at a few."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from facepool.capture import read_image
from facepool.errors import InputError, PathMissing, PathUnreadable
from facepool.faces.analyze import Analyzer, Faces
from facepool.types import EmbeddingSpace, Image, one_line

PICTURES_AT_ONCE = 8
"""Stills that are in memory together, to run the networks on; photos of 24 megapixels take 72 MB each."""
_PIXELS_AT_ONCE = 50_000_000
"""150 MB of decoded pictures."""
MOST_BYTES = 1 << 30
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

    @property
    def runs_on(self) -> str:
        """What the networks run on, for people."""

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
        known: As of ``PictureAnalysis.analyze``; asked anew for each file, so that it may grow meanwhile.
        aligned: Whether the faces keep their pixels.

    Yields:
        One ``PictureFaces`` a path, in their order.
    """
    pictures: list[PictureFaces] = []
    images: dict[str, Image] = {}
    for path in paths:
        pictures.append(_read(path, known, images))
        pixels = sum(image.size // 3 for image in images.values())
        if len(pictures) == PICTURES_AT_ONCE or pixels >= _PIXELS_AT_ONCE:
            yield from _analyzed(pictures, images, analyzer, aligned=aligned)
            pictures, images = [], {}
    yield from _analyzed(pictures, images, analyzer, aligned=aligned)


def _read(path: Path, known: Collection[str], images: dict[str, Image]) -> PictureFaces:
    """What is known of a file before the networks run; the picture is added to those by content, once."""
    content = ""
    try:
        data = _data_of(path)
        content = hashlib.sha256(data).hexdigest()
        if content in known:
            return PictureFaces(path, content)
        if content not in images:
            images[content] = read_image(data)
    except InputError as error:
        return PictureFaces(path, content, problem=error)
    image = images[content]
    return PictureFaces(path, content, (image.shape[1], image.shape[0]))


def _data_of(path: Path) -> bytes:
    """A file that is read once, so that its faces are those of its content.

    Raises:
        PathMissing: It is not there.
        PathUnreadable: It cannot be opened, or is larger than any picture.
    """
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise PathUnreadable(
                f"{path} was not read",
                why=f"it has {size / 1e6:,.0f} MB, and no photo has more than {MOST_BYTES / 1e6:,.0f}",
                fix="Leave it out",
            )
        return path.read_bytes()
    except OSError as error:
        kind = PathMissing if isinstance(error, FileNotFoundError) else PathUnreadable
        raise kind(
            f"{path} cannot be read",
            why=(error.strerror or str(error)).lower(),
            fix="Check its permissions, or leave it out",
        ) from error


def _analyzed(
    pictures: Sequence[PictureFaces], images: dict[str, Image], analyzer: Analyzer, *, aligned: bool
) -> list[PictureFaces]:
    found = dict(zip(images, analyzer.analyze_batch(list(images.values())) if images else [], strict=True))
    if not aligned:
        found = {content: replace(faces, aligned=None) for content, faces in found.items()}
    return [replace(picture, faces=found.get(picture.content)) for picture in pictures]
