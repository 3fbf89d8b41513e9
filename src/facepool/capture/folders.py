"""Find pictures in folders, and people in folder trees."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from facepool.errors import PathMissing, SourceEmpty

PICTURE_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "gif", "webp", "bmp", "dib", "tif", "tiff"),
        *("jp2", "tga", "ppm", "pgm", "pbm", "pnm", "avif", "heic", "heif"),
    )
)
"""What counts as a picture in a folder; those that cannot be decoded are reported, not passed over."""


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
