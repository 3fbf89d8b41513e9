"""Folders of pictures, as NAS, phones, archives and links leave them: the one walk through them.

Everything that a walk leaves out is in its result, so that it can be said: system folders by the list below, links to
what is looked at already, files that are no pictures by their names, and what cannot be read, which is an error.
"""

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from facepool.capture.pictures import PictureSource, is_picture_name
from facepool.capture.source import OnSkip
from facepool.errors import InputError, PathMissing, PathUnreadable, SourceEmpty
from facepool.types import Frame

SYSTEM_FOLDERS = frozenset(
    {
        "#recycle",  # Synology: what was deleted
        "#snapshot",
        "@eadir",  # Synology: thumbnails, in a folder named like the picture
        "@tmp",
        "@recycle",  # QNAP
        "@recently-snapshot",
        "~snapshot",  # NetApp
        "$recycle.bin",  # Windows: what was deleted
        "recycler",
        "recycled",
        "system volume information",
        "found.000",
        "lost+found",  # Linux: what a repair of the disk found
        "__macosx",  # archives packed on a Mac
        "network trash folder",
        "temporary items",
    }
)
"""Folders that are never walked through, in either case; so is every folder whose name begins with a dot."""

SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
"""Files that are passed over; so is every file whose name begins with a dot, such as ``.DS_Store`` and ``._x.jpg``."""

_NAMED = 3  # so many are named in a remark
_FIX = "Change its permissions, or leave it out"


@dataclass(frozen=True, slots=True)
class PictureFolder:
    """What a walk through a folder found.

    Attributes:
        root: The folder.
        pictures: Files whose names end like a picture's, sorted by path.
        folders: The folders directly in it that were walked through, by name.
        unreadable: What should have been looked at and could not be, with the reason; sorted by path.
        system: System folders that were passed over.
        repeated: Links to what is looked at in another place already.
        other_files: How many files are no pictures by their names, by ending (empty for none).
    """

    root: Path
    pictures: tuple[Path, ...]
    folders: tuple[str, ...]
    unreadable: tuple[tuple[Path, InputError], ...]
    system: tuple[Path, ...]
    repeated: tuple[Path, ...]
    other_files: Mapping[str, int]

    def people(self) -> dict[str, list[Path]]:
        """People and their pictures: ``root/Person/*.jpg`` (at any depth) and ``root/Person.jpg``, also mixed.

        Returns:
            Pictures by name (Unicode NFC), both sorted; a person's folder without a picture has an empty list.
        """
        people: dict[str, list[Path]] = {_person_name(name): [] for name in self.folders}
        for path in self.pictures:
            people.setdefault(self.person_of(path), []).append(path)
        return dict(sorted(people.items()))

    def person_of(self, path: Path) -> str:
        """Whose folder or picture it is, by its place."""
        first, *rest = path.relative_to(self.root).parts
        return _person_name(first if rest or is_folder(path) else Path(first).stem)

    def remarks(self) -> list[str]:
        """What was passed over that is no error, for people, one line each."""
        remarks = []
        if self.other_files:
            files = sum(self.other_files.values())
            by_ending = sorted(self.other_files.items(), key=lambda entry: (-entry[1], entry[0]))
            kinds = ", ".join(f"{count} {ending or 'without an ending'}" for ending, count in by_ending)
            remarks.append(f"{_count(files, 'file')} of {self.root} left out as no picture by the name: {kinds}")
        if self.system:
            remarks.append(f"{_count(len(self.system), 'system folder')} passed over: {self._named(self.system)}")
        if self.repeated:
            links = _count(len(self.repeated), "link")
            remarks.append(f"{links} passed over, to what is looked at in another place: {self._named(self.repeated)}")
        return remarks

    def _named(self, paths: tuple[Path, ...]) -> str:
        named = ", ".join(str(path.relative_to(self.root)) for path in paths[:_NAMED])
        return f"{named} and {len(paths) - _NAMED} more" if len(paths) > _NAMED else named


def walk_folder(folder: str | Path) -> PictureFolder:
    """Look for pictures in a folder, at any depth.

    A folder is looked at once: at its own place where it lies in the walk, otherwise through the first link to it. The
    same holds for pictures. Links to a folder above are not followed. The folder itself may have any name.

    Raises:
        PathMissing: There is no such folder.
        PathUnreadable: It may not be opened.
    """
    root = Path(folder)
    if root.is_file():
        raise PathMissing(f"{root} is a file, not a folder", fix="Name the folder that it is in")
    if not root.is_dir():
        raise PathMissing(f"There is no folder {root}", fix="Check the spelling of the path")
    walk = _Walk()
    walk.keep_below(root)
    walk.enter(root)
    if walk.unreadable and walk.unreadable[0][0] == root:
        raise walk.unreadable[0][1]
    walk.follow_links()
    tops = sorted({path.relative_to(root).parts[0] for path in walk.folders if path != root})
    return PictureFolder(
        root,
        tuple(sorted(walk.pictures)),
        tuple(tops),
        tuple(sorted(walk.unreadable, key=lambda entry: entry[0])),
        tuple(sorted(walk.system)),
        tuple(sorted(walk.repeated)),
        walk.other_files,
    )


def pictures_or_error(folder: str | Path) -> PictureFolder:
    """The same, of a folder that has to hold a picture.

    Raises:
        PathMissing: There is no such folder.
        PathUnreadable: It, or what could hold a picture, may not be opened.
        SourceEmpty: It holds no picture.
    """
    found = walk_folder(folder)
    if found.pictures:
        return found
    if found.unreadable:
        path, error = found.unreadable[0]
        raise PathUnreadable(
            f"The folder {folder} holds no picture that can be read", why=f"{path}: {error.why}", fix=error.fix
        )
    remarks = found.remarks()
    raise SourceEmpty(
        f"The folder {folder} holds no picture",
        why="; ".join(remarks) or "no file in it or below ends in .jpg, .png, .webp or the like",
        fix="Name a folder with pictures, or a video file itself",
    )


def is_folder(path: Path) -> bool:
    """Whether it is one, or a link to one; False also for what may not be looked at."""
    try:
        return path.is_dir()
    except OSError:
        return False


class FolderSource(PictureSource):
    """The pictures of a folder, one after the other.

    What could not be looked at counts as left out, too: it is in ``skipped`` and told as the loop begins.

    Args:
        folder: With at least one picture.
        on_skip: As for `PictureSource`.
    """

    def __init__(self, folder: PictureFolder, on_skip: OnSkip | None = None) -> None:
        super().__init__(folder.pictures, str(folder.root), on_skip)
        self.remarks = tuple(folder.remarks())
        self._unreadable = list(folder.unreadable)
        self._on_unreadable = on_skip

    def __iter__(self) -> Iterator[Frame]:
        """As of `PictureSource`."""
        while self._unreadable:
            path, error = self._unreadable.pop(0)
            self.skipped.append((path, error))
            if self._on_unreadable is not None:
                self._on_unreadable(path, error)
        yield from super().__iter__()


@dataclass(slots=True)
class _Walk:
    """A walk under way; links wait until everything at its own place was seen."""

    pictures: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    unreadable: list[tuple[Path, InputError]] = field(default_factory=list)
    system: list[Path] = field(default_factory=list)
    repeated: list[Path] = field(default_factory=list)
    other_files: Counter[str] = field(default_factory=Counter)
    _links: list[Path] = field(default_factory=list)
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def keep_below(self, root: Path) -> None:
        """Take what the root lies in for seen: a link up there would lead through half of the disk."""
        for above in root.resolve().parents:
            with suppress(OSError):
                self._is_new(above.stat())

    def enter(self, folder: Path, *, linked: bool = False) -> None:
        """Walk through a folder, at any depth, without following links.

        Args:
            folder: Where to begin.
            linked: Whether the way there was a link, so that what is below may have been seen at its own place.
        """
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            try:
                if not self._is_new(here.stat()):
                    self.repeated.append(here)
                    continue
                self.folders.append(here)
                with os.scandir(here) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                self.unreadable.append((here, _unreadable("folder", here, error)))
                continue
            for entry in entries:
                path = here / entry.name
                try:
                    if self._is_way(path, entry, linked=linked):
                        waiting.append(path)
                except OSError as error:
                    self.unreadable.append((path, _unreadable("file", path, error)))

    def follow_links(self) -> None:
        """Look at what links lead to, unless that was looked at already; links behind them, too."""
        while self._links:
            self._links.sort()
            link = self._links.pop(0)
            try:
                status = link.stat()
            except OSError as error:
                self.unreadable.append((link, _unreadable("link", link, error)))
                continue
            if stat.S_ISDIR(status.st_mode):
                self.enter(link, linked=True)
            elif is_picture_name(link):
                self._take(link, status, linked=True)
            else:
                self.other_files[link.suffix.lower()] += 1

    def _is_way(self, path: Path, entry: "os.DirEntry[str]", *, linked: bool) -> bool:
        """Put an entry of a folder where it belongs; whether it is a folder to walk through."""
        name = entry.name.lower()
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder and name in SYSTEM_FOLDERS:
            self.system.append(path)
            return False
        if name.startswith(".") or name in SYSTEM_FILES | SYSTEM_FOLDERS:
            return False
        if entry.is_symlink():
            self._links.append(path)
        elif not is_folder and not is_picture_name(path):
            self.other_files[path.suffix.lower()] += 1
        elif not is_folder:
            self._take(path, entry.stat(follow_symlinks=False), linked=linked)
        return is_folder

    def _take(self, path: Path, status: os.stat_result, *, linked: bool) -> None:
        """A file whose name ends like a picture's. Two names of one file (hard links) are two pictures."""
        if not stat.S_ISREG(status.st_mode):
            why = "it is neither a file nor a folder"  # a pipe would be waited for without an end
            self.unreadable.append((path, PathUnreadable(f"{path} cannot be read", why=why, fix="Leave it out")))
        elif not self._is_new(status) and linked:
            self.repeated.append(path)
        else:
            self.pictures.append(path)

    def _is_new(self, status: os.stat_result) -> bool:
        """Whether something was not looked at yet; from now on it was."""
        place = (status.st_dev, status.st_ino)
        if not status.st_ino:  # some network drives number nothing
            return True
        if place in self._seen:
            return False
        self._seen.add(place)
        return True


def _unreadable(what: str, path: Path, error: OSError) -> PathUnreadable:
    if isinstance(error, PermissionError):
        why = "you may not open it"
    elif isinstance(error, FileNotFoundError):
        why = "it is a link that leads nowhere" if what == "link" else "it vanished meanwhile"
    elif what == "link":
        why = f"it is a link that cannot be followed ({error.strerror})"
    else:
        why = error.strerror or str(error)
    fix = "Mend or remove the link" if what == "link" and not isinstance(error, PermissionError) else _FIX
    return PathUnreadable(f"The {what} {path} cannot be read", why=why, fix=fix)


def _person_name(text: str) -> str:
    # macOS hands out file names decomposed; the same name typed elsewhere must be the same person.
    return unicodedata.normalize("NFC", text)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
