"""Several files replaced as if they were one: all of them or none, whenever the process is killed.

New content is written beside each file, then a commit record, then everything is moved into place, then the record
is deleted. A record that exists is complete, because it was itself moved into place; so whoever finds one finishes
the moves, and new content without a record is thrown away.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from facepool.errors import PoolCorrupt
from facepool.files import exists, storage_error, storage_errors, sync_folders, write_new


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
        with storage_errors(self._paths[0], "cannot be used"):
            if self.interrupted:
                self._check_record()
                self._finish()
            self._discard()

    def replace(self, contents: Mapping[Path, bytes]) -> None:
        """Replace the files; new ones are readable by their owner only, others keep their permissions.

        Args:
            contents: The new bytes of every file.

        Raises:
            DiskFull: There is no room for a second copy. Nothing changed.
            NotWritable: The files may not be written. Nothing changed.
        """
        try:
            with storage_errors(self._paths[0]):
                self._prepare(contents)
        except BaseException:
            if not self.interrupted:  # else committed all the same: whoever comes next moves the files
                self._discard()
            raise
        self.recover()

    def _prepare(self, contents: Mapping[Path, bytes]) -> None:
        for path in self._paths:
            write_new(_pending(path), contents[path], 0o600)
            if path.exists():
                shutil.copymode(path, _pending(path))
        record = _pending(self._record)
        write_new(record, json.dumps([path.name for path in self._paths]).encode(), 0o600)
        record.replace(self._record)

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
        sync_folders(self._paths)
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
        raise storage_error(path, error, "cannot be used") from error
    return (status.st_ino, status.st_mtime_ns, status.st_size)
