"""Files that are whole or absent: the disk's errors in our words, atomic writes, one writer at a time, digests."""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from facepool.errors import DiskFull, FacepoolError, NotWritable, StorageError

_NO_ROOM = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
_NOT_ALLOWED = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
)
_UNFINISHED = ".unfinished-"
PRIVATE = 0o600
"""Mode of files that only their owner may read: people, keys, embeddings.

Windows has no such modes. There a file gets the permissions of its folder, and the default folders lie in the user's
profile, which other users may not enter; ``docs/platforms.md`` says so.
"""


def storage_error(path: Path, error: OSError, what: str = "cannot be written") -> StorageError:
    """What a failure of the file system means to the user.

    Args:
        path: What was to be read or written, for the message.
        error: The failure.
        what: The message's verb.
    """
    message = f"{path} {what}"
    if error.errno in _NO_ROOM:
        return DiskFull(message, why="the disk is full", fix="Free some space and try again")
    elsewhere = error.filename is not None and str(error.filename) != str(path)
    why = f"{error.strerror or error}{f' ({error.filename})' if elsewhere else ''}"
    if error.errno in _NOT_ALLOWED or isinstance(error, PermissionError):
        return NotWritable(message, why=why, fix="Check that its folder exists and that you may write there")
    return StorageError(message, why=why, fix="Check the disk")


@contextmanager
def storage_errors(path: Path, what: str = "cannot be written") -> Iterator[None]:
    """Turn what the file system raises inside the block into facepool's errors; arguments as `storage_error`.

    Raises:
        DiskFull: No room.
        NotWritable: No permission, or no such folder.
        StorageError: The disk fails.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(path, error, what) from error


def exists(path: Path) -> bool:
    """Whether there is something.

    Raises:
        NotWritable: Its folder may not be entered.
    """
    with storage_errors(path, "cannot be used"):
        return path.exists()


def digest_of(path: Path) -> str:
    """The sha256 of a file as 64 hex digits. About 20 ms for 40 MB.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_new(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file down to the disk, in place of one of that name, which may be seen half-written.

    Args:
        path: The file.
        content: All of it.
        mode: Its permissions, less those that the user's mask takes away.

    Raises:
        OSError: The file cannot be written.
    """
    path.unlink(missing_ok=True)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file such that in any event it holds all of the content or does not change; makes its folder.

    Arguments as `write_new`, errors as `storage_errors`.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path) as unfinished:
        write_new(unfinished, content, mode)


def make_private(path: Path) -> None:
    """Make an empty file that only its owner may read, where there is none yet; see `PRIVATE`.

    Raises:
        OSError: It cannot be made, or the one that is there may not be written.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, PRIVATE))


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A name beside a file to write to, which becomes the file if all goes well. Errors as `storage_errors`."""
    unfinished = unfinished_name(path)
    try:
        with storage_errors(path):
            yield unfinished
            unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def unfinished_name(path: Path) -> Path:
    """The name beside a file that this process writes it under; of the same ending."""
    return path.with_name(f"{_UNFINISHED}{os.getpid()}-{path.name}")


def sweep(folder: Path) -> None:
    """Remove what killed processes left unfinished in a folder. Call it as the only writer."""
    for leftover in folder.glob(f"{_UNFINISHED}*"):
        with suppress(OSError):
            leftover.unlink()


def sync_folders(paths: Iterable[Path]) -> None:
    """Make the moves of files survive a power cut, where a folder can be opened for that (not on Windows).

    Raises:
        OSError: The disk fails.
    """
    if os.name == "nt":
        return
    for folder in {path.parent for path in paths}:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def only_writer(lock_path: Path, timeout_s: float, busy: FacepoolError) -> Iterator[None]:
    """Keep other processes out of the block; the operating system lets go when this one dies, however that happens.

    Args:
        lock_path: A file for the lock alone, in a folder that exists. It stays.
        timeout_s: How long to wait for others.
        busy: What to raise when they take longer.

    Raises:
        NotWritable: The lock's file may not be written.
    """
    lock = FileLock(lock_path, timeout=timeout_s)
    with storage_errors(lock_path):
        try:
            lock.acquire()
        except Timeout as error:  # an OSError, too
            raise busy from error
    try:
        yield
    finally:
        lock.release()
