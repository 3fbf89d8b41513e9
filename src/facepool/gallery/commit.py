"""Several files replaced as if they were one: all of them or none, whenever the process is killed.

New content is written beside each file, then a commit record, then everything is moved into place, then the record
is deleted. A record that exists is complete, because it was itself moved into place; so whoever finds one finishes
the moves, and new content without a record is thrown away.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from facepool.errors import PoolCorrupt
from facepool.gallery.disk import exists, storage_error


class FileSet:
    """Files that change together. Whoever calls `replace` or `recover` holds a lock on them.

    Args:
        paths: The files, in any folders. The first one's name leads to the commit record.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._record = _with_ending(paths[0], ".commit")

    @property
    def interrupted(self) -> bool:
        """Whether a replacement is under way, or was when its process died."""
        return exists(self._record)

    def signature(self) -> tuple[tuple[int, int, int], ...]:
        """What differs after a replacement: cheap, from the file system's own records."""
        return tuple(_identity(path) for path in self._paths)

    def recover(self) -> None:
        """Finish or undo what another process left behind.

        Raises:
            PoolCorrupt: What it left behind concerns other files than these.
            NotWritable: The files may not be written.
        """
        try:
            if self.interrupted:
                self._check_record()
                self._finish()
            self._discard()
        except OSError as error:
            raise storage_error(self._paths[0], error) from error

    def replace(self, contents: Mapping[Path, bytes]) -> None:
        """Replace the files; new ones are readable by their owner only, others keep their permissions.

        Args:
            contents: The new bytes of every file.

        Raises:
            DiskFull: There is no room for a second copy. Nothing changed.
            NotWritable: The files may not be written. Nothing changed.
        """
        try:
            for path in self._paths:
                _write(_pending(path), contents[path], like=path)
            record = _pending(self._record)
            _write(record, json.dumps([path.name for path in self._paths]).encode(), like=self._record)
            record.replace(self._record)
        except BaseException as error:
            if self.interrupted:  # committed all the same: whoever comes next moves the files
                raise
            self._discard()
            if isinstance(error, OSError):
                raise storage_error(self._paths[0], error) from error
            raise
        self.recover()

    def _check_record(self) -> None:
        names = [path.name for path in self._paths]
        found = json.loads(self._record.read_bytes())
        if found != names:
            raise PoolCorrupt(
                f"A change of the pool {self._paths[0]} was interrupted",
                why=f"it concerns {', '.join(found)}, not {', '.join(names)}",
                fix="Open the pool with the files that belong together",
            )

    def _finish(self) -> None:
        for path in self._paths:
            pending = _pending(path)
            if pending.exists():  # else it was moved before the process died
                pending.replace(path)
        _sync_folders(self._paths)
        self._record.unlink()

    def _discard(self) -> None:
        for path in (*self._paths, self._record):
            _pending(path).unlink(missing_ok=True)


def _with_ending(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _pending(path: Path) -> Path:
    return _with_ending(path, ".new")


def _identity(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    except OSError as error:
        raise storage_error(path, error) from error
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def _write(path: Path, content: bytes, *, like: Path) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(
        os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600), "wb"
    ) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if like.exists():
        shutil.copymode(like, path)


def _sync_folders(paths: Sequence[Path]) -> None:
    """Make the moves survive a power cut, where a folder can be opened for that (not on Windows)."""
    if os.name == "nt":
        return
    for folder in {path.parent for path in paths}:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
