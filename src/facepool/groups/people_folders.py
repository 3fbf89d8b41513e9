"""A folder for each person with their photos, as links or copies, beside the groups of a photo library.

What was made is noted in the library's shelf, so that the next run removes what no longer belongs there, and nothing
that somebody else has put into these folders.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Literal

from facepool.errors import ConfigError
from facepool.files import appearing, safe_stem, storage_errors
from facepool.groups.library import PhotoGroup
from facepool.groups.shelf import Shelf

Kind = Literal["link", "copy"]

FOLDER_NAME = "people"
_PRIVATE_FOLDER = 0o700


def place_photos(
    groups: Iterable[PhotoGroup],
    photos: Path,
    output: Path,
    kind: Kind,
    shelf: Shelf,
    on_photo: Callable[[], None] = lambda: None,
) -> int:
    """Make the folders as the groups are now; what is there already stays.

    Args:
        groups: Each with a folder.
        photos: Folder that their paths begin in.
        output: Where the folder of all people is, or will be.
        kind: Link to the photos, or copy them.
        shelf: Knows what earlier runs made.
        on_photo: Called after each photo.

    Returns:
        How many photos are in the folders.

    Raises:
        ConfigError: Links cannot be made here.
        DiskFull: No room; what was made stays, and the next run goes on.
        StorageError: A photo cannot be read, or its copy not be written.
    """
    root = output.resolve() / FOLDER_NAME
    wanted = _wanted(groups, root)
    before = {path for path in shelf.written() if Path(path).is_relative_to(root)}
    remove_placed(before - wanted.keys(), root, shelf)
    for path, photo in wanted.items():
        target, source = Path(path), photos.resolve() / photo
        if not _is_placed(target, source, kind):
            with storage_errors(target):
                target.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
            if path not in before and os.path.lexists(target):
                target = _refuse(target)
            shelf.note_written([path])
            _place(target, source, kind)
        on_photo()
    return len(wanted)


def remove_placed(paths: Iterable[str], root: Path, shelf: Shelf) -> None:
    """Remove links and copies that were made, and folders that are empty then.

    Args:
        paths: What was made.
        root: The folder of all people.
        shelf: Where that is noted.
    """
    removed = sorted(paths)
    for path in removed:
        with storage_errors(Path(path), "cannot be removed"):
            Path(path).unlink(missing_ok=True)
    shelf.note_removed(removed)
    for folder in {Path(path).parent for path in removed}:
        with suppress(OSError):  # others have put something there
            folder.rmdir()
    with suppress(OSError):
        root.rmdir()


def folder_names(groups: Iterable[PhotoGroup]) -> dict[int, str]:
    """A folder's name for each group that every file system takes; two people never share one.

    Returns:
        Names by the group's number. Groups of one person have one; who has no name is ``group-12``.
    """
    names: dict[int, str] = {}
    owners: dict[str, str] = {}
    for group in sorted(groups, key=lambda group: group.id):
        owner = group.person_id or f"group {group.id}"
        name = safe_stem(group.person, f"group-{group.id}") if group.person else f"group-{group.id}"
        key = name.casefold()  # many file systems tell no case
        if owners.setdefault(key, owner) != owner:
            name = f"{name} (group {group.id})"
            owners[name.casefold()] = owner
        names[group.id] = name
    return names


def _wanted(groups: Iterable[PhotoGroup], root: Path) -> Mapping[str, str]:
    """The photo that belongs at each place."""
    groups = list(groups)
    names = folder_names(groups)
    files = _file_names({face.path for group in groups for face in group.faces})
    return {str(root / names[group.id] / files[face.path]): face.path for group in groups for face in group.faces}


def _file_names(photos: Iterable[str]) -> Mapping[str, str]:
    """A name for each photo, of any depth; those that would have the same one are told apart by digits of a digest."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for photo in sorted(photos):
        path = PurePosixPath(photo)
        stem = safe_stem(" - ".join((*path.parent.parts, path.stem)), "photo")
        name = stem + path.suffix
        if name.casefold() in taken:  # many file systems tell no case
            name = f"{stem} ({sha256(os.fsencode(photo)).hexdigest()[:12]}){path.suffix}"
        taken.add(name.casefold())
        names[photo] = name
    return names


def _is_placed(target: Path, source: Path, kind: Kind) -> bool:
    try:
        if kind == "link":
            return target.is_symlink() and target.readlink() == source
        there, wanted = target.lstat(), source.stat()
    except OSError:
        return False
    same = (there.st_size, there.st_mtime_ns // 1_000_000_000) == (wanted.st_size, wanted.st_mtime_ns // 1_000_000_000)
    return same and not target.is_symlink()


def _refuse(target: Path) -> Path:
    raise ConfigError(
        f"{target} is there already", why="it was not made by facepool group", fix="Move it away, and run it again"
    )


def _place(target: Path, source: Path, kind: Kind) -> None:
    with appearing(target) as unfinished:
        if kind == "copy":
            shutil.copy2(source, unfinished)
            return
        try:
            unfinished.symlink_to(source)
        except (OSError, NotImplementedError) as error:
            if os.name != "nt" and not isinstance(error, NotImplementedError):
                raise
            raise ConfigError(
                "Links to photos cannot be made here", why=str(error), fix="Use --folders copy"
            ) from error
