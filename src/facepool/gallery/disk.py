"""What the file system refuses, in facepool's words."""

import errno
from pathlib import Path

from facepool.errors import DiskFull, NotWritable, StorageError

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def storage_error(path: Path, error: OSError) -> StorageError:
    """What a failure of the file system means to the user."""
    what = f"The pool {path} cannot be used"
    if error.errno in _NO_ROOM:
        return DiskFull(what, why="the disk has no room left", fix="Free some space; nothing was lost")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return NotWritable(what, why=error.strerror or "", fix="Check the permissions of the files and their folder")
    return StorageError(what, why=str(error), fix="Check the disk")


def exists(path: Path) -> bool:
    """Whether there is something.

    Raises:
        NotWritable: Its folder may not be entered.
    """
    try:
        return path.exists()
    except OSError as error:
        raise storage_error(path, error) from error
