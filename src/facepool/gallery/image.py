"""Where the image of a pool's index lies, which pool at which moment it is of, and how it goes.

An image has names and vectors of everybody, so that a process need not read and sort the whole pool first. It is never
the truth: ``facepool.search.image`` writes and reads it, and whatever does not fit is made anew. Galleries know of it
because whoever is erased has to leave it, also where nobody searches.
"""

import hashlib
import json
import os
import stat
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from facepool.gallery.columns import Changes
from facepool.gallery.database import Database

FORMAT = 1
"""Of the file; others are not read."""
_MAGIC = b"facepool index\r\n"
_HEAD = struct.Struct("<16sII32s8x")
"""What the file is, its format, the length of its description, and the sha256 of that."""
_LONGEST_DESCRIPTION = 1 << 22
_NEWEST = 64
"""So many of the newest rows tell two pools apart that were one once."""


class Misfit(Exception):
    """An image cannot be used; why."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Which pool an image is of, and at which moment.

    Attributes:
        pool: The pool's own random number, in hex.
        space: Id of the embedding space; empty: the pool does not say.
        revision: Of the pool.
        next_person: Rows of people who come later have this number or a larger one.
        next_template: The same of templates.
        newest: Digest of what was changed last: a copy of the pool that went another way has another one.
    """

    pool: str
    space: str
    revision: int
    next_person: int
    next_template: int
    newest: str


class ImagedGallery(Protocol):
    """A gallery in a file of its own, beside which an image may lie."""

    @property
    def path(self) -> Path:
        """The gallery's file."""

    def marked_changes(self, since: int | None = None) -> tuple[Changes, Mark]:
        """What happened since a revision, as `Gallery.changes` has it, and a mark of what the gallery is after it."""

    def has_only_grown_since(self, mark: Mark) -> bool:
        """Whether all that the gallery was at a mark is still in it, unchanged; more may be."""


def image_of(path: Path) -> Path:
    """Where the image of a pool lies: ``pool.db`` has ``pool.db.index``."""
    return _beside(path, ".index")


def unfinished_image_of(path: Path) -> Path:
    """The name under which an image is written, by one process at a time."""
    return _beside(path, ".index.unfinished")


def lock_of_image(path: Path) -> Path:
    """What is locked by the process that writes an image."""
    return _beside(path, ".index.lock")


def _beside(path: Path, ending: str) -> Path:
    path = path.resolve()
    return path.with_name(path.name + ending)


def delete_image(path: Path) -> str:
    """Delete the image of a pool, also one that is being written just now; why that could not be, or empty."""
    for image in (unfinished_image_of(path), image_of(path)):  # in this order: one becomes the other
        try:
            image.unlink(missing_ok=True)
        except OSError as error:
            return f"{image.name}, which is made of it, cannot be deleted: {error.strerror}"
    return ""


def mark_of(db: Database, space: str, revision: int) -> Mark:
    """The mark of a pool at its present revision."""
    return Mark(_identity(db), space, revision, _next(db, "persons"), _next(db, "templates"), _newest(db, revision))


def has_only_grown(db: Database, space: str, revision: int, mark: Mark) -> bool:
    """Whether all that a pool was at a mark is still in it, unchanged.

    Args:
        db: The pool's tables, at one moment.
        space: Id of its embedding space.
        revision: Its revision.
        mark: From `mark_of` of this pool or any other.
    """
    if (mark.pool, mark.space) != (_identity(db), space) or mark.revision > revision:
        return False
    changed = (
        ("SELECT 1 FROM removed_templates WHERE revision > ? LIMIT 1", (mark.revision,)),
        ("SELECT 1 FROM persons WHERE revision > ? AND id < ? LIMIT 1", (mark.revision, mark.next_person)),
        ("SELECT 1 FROM templates WHERE revision > ? AND id < ? LIMIT 1", (mark.revision, mark.next_template)),
    )
    if any(db.execute(query, values).fetchone() for query, values in changed):
        return False
    return _newest(db, mark.revision) == mark.newest


def _identity(db: Database) -> str:
    return bytes(db.execute("SELECT identity FROM state").fetchone()[0]).hex()


def _next(db: Database, table: str) -> int:
    return int(db.execute(f"SELECT coalesce(max(id), 0) + 1 FROM {table}").fetchone()[0])  # noqa: S608 -- a table of ours


def _newest(db: Database, revision: int) -> str:
    """Of what there is that was last changed at a revision or before."""
    digest = hashlib.sha256()
    for table, columns in (
        ("persons", "id, uuid, name, revision"),
        ("templates", "id, uuid, sample_id, revision"),
        ("removed_templates", "id, revision"),
    ):
        query = f"SELECT {columns} FROM {table} WHERE revision <= ? ORDER BY revision DESC, id DESC LIMIT {_NEWEST}"  # noqa: S608 -- tables of ours
        for row in db.execute(query, (revision,)):
            digest.update(repr(tuple(row)).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def head_of(mark: Mark, description: dict[str, Any]) -> bytes:
    """How the file of an image begins.

    Args:
        mark: What it is of.
        description: What else is to be known of it, for JSON.
    """
    content = json.dumps(description | {"mark": asdict(mark)}).encode()
    return _HEAD.pack(_MAGIC, FORMAT, len(content), hashlib.sha256(content).digest()) + content


def read_head(file: BinaryIO) -> tuple[Mark, dict[str, Any]]:
    """What `head_of` made.

    Raises:
        Misfit: The file is no image, damaged, or of another version of facepool.
    """
    start = file.read(_HEAD.size)
    if len(start) != _HEAD.size:
        raise Misfit("it is cut off")
    magic, version, length, digest = _HEAD.unpack(start)
    if magic != _MAGIC or version != FORMAT or length > _LONGEST_DESCRIPTION:
        raise Misfit("it is none of this version")
    content = file.read(length)
    if hashlib.sha256(content).digest() != digest:
        raise Misfit("its description is damaged")
    try:
        description = json.loads(content)
        return Mark(**description.pop("mark")), description
    except (KeyError, TypeError, ValueError) as error:
        raise Misfit("its description is of another version") from error


def opened_image(path: Path) -> BinaryIO:
    """The file of a pool's image, for reading, and for writing where it may be written.

    Raises:
        Misfit: Somebody else may have written it.
        OSError: There is none, or it cannot be read.
    """
    try:
        file: BinaryIO = image_of(path).open("r+b")
    except OSError:  # of another user, or on a disk that is mounted read-only
        file = image_of(path).open("rb")
    if os.name == "posix" and not _is_trusted(os.fstat(file.fileno()), path.stat()):
        file.close()
        raise Misfit("others may have written it")
    return file


def _is_trusted(image: os.stat_result, pool: os.stat_result) -> bool:
    """Whether a file comes from who could have changed the pool itself."""
    others_write = bool(image.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    return stat.S_ISREG(image.st_mode) and not others_write and image.st_uid in (pool.st_uid, os.geteuid(), 0)


def delete_misfit(gallery: ImagedGallery) -> None:
    """Delete an image of which the gallery has lost something since: by a facepool that knows no images, perhaps."""
    if not image_of(gallery.path).exists():
        return
    try:
        with opened_image(gallery.path) as file:
            mark, _ = read_head(file)
    except (OSError, Misfit):
        fits = False
    else:
        fits = gallery.has_only_grown_since(mark)
    if not fits:
        delete_image(gallery.path)
