"""Files that are whole or absent: the disk's errors in our words, atomic writes, one writer at a time, digests."""

import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import platformdirs
from filelock import FileLock, Timeout

from facepool.errors import ConfigError, DiskFull, FacepoolError, NotWritable, StorageError, system_limit

_NO_ROOM = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
_NOT_ALLOWED = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
)
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})
_UNFINISHED = ".unfinished-"
_PRIVATE_FOLDER = f"{_UNFINISHED}folder-"
_LONGEST_SECRET = 1 << 16
_LONGEST_NAME = 255  # bytes, on nearly every file system
_LONGEST_STEM = 180  # leaves room for numbers, an ending and the prefix above
_CUT_STEM = 60  # file systems that encrypt names take 143 bytes
# Those that Windows, its file systems on sticks and shares, or a terminal do not take; and bytes that are no UTF-8.
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\ud800-\udfff]')
_DEVICES_OF_WINDOWS = re.compile(r"^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|$)", re.IGNORECASE)
PRIVATE = 0o600
"""Mode of files that only their owner may read: people, keys, embeddings.

Windows has no such modes. There a file gets the permissions of its folder, and the default folders lie in the user's
profile, which other users may not enter; ``docs/platforms.md`` says so.
"""


def storage_error(path: Path, error: OSError, what: str = "cannot be written") -> FacepoolError:
    """What a failure of the file system means to the user.

    Args:
        path: What was to be read or written, for the message.
        error: The failure.
        what: The message's verb.
    """
    message = f"{path} {what}"
    if (limit := system_limit(message, error)) is not None:
        return limit
    if error.errno in _NO_ROOM:
        return DiskFull(message, why="the disk is full", fix="Free some space and try again")
    if error.errno == errno.ENAMETOOLONG:
        return NotWritable(message, why="its name is longer than the file system takes", fix="Choose a shorter name")
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
        SystemLimit: Too many files are open, or memory is short.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(path, error, what) from error


_USERS_FOLDERS = {
    "data": platformdirs.user_data_path,
    "config": platformdirs.user_config_path,
    "cache": platformdirs.user_cache_path,
}


def users_folder(kind: Literal["data", "config", "cache"]) -> Path:
    """The folder in the user's home where facepool keeps files of a kind.

    A service or a container may run under a user id without a home. For it the folder begins with ``~``: a name that
    can be shown, and that `in_a_home` refuses before anything is kept there.
    """
    try:
        return _USERS_FOLDERS[kind]("facepool", appauthor=False)
    except RuntimeError:
        return Path("~", "facepool", kind)


def in_a_home(path: Path, option: str) -> Path:
    """The path, with ``~`` written out.

    Args:
        path: Where something is to be kept.
        option: What to set to keep it elsewhere, for the message.

    Raises:
        ConfigError: It begins with ``~``, and the user has no home.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"{path} cannot be used",
            why="this user has no home folder: HOME is not set, and the system knows none for the user id",
            fix=f"Set HOME to a folder that may be written, or {option} to another place",
        ) from error


def exists(path: Path) -> bool:
    """Whether there is something.

    Raises:
        NotWritable: Its folder may not be entered.
    """
    with storage_errors(path, "cannot be used"):
        return path.exists()


def read_secret(path: Path, named: str = "") -> str:
    """What a file says that has one value, as containers and services are given secrets; no error shows it.

    Args:
        path: The file, of 64 KiB at most.
        named: What named it, for the message: ``FACEPOOL_POOL_FILE names ``.

    Raises:
        ConfigError: It cannot be read, is empty or no text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_SECRET + 1)
        text = content.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror or str(error) if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ConfigError(
            f"{named}{path}, which cannot be read" if named else f"{path} cannot be read",
            why=why,
            fix="Check the path, and who may read it",
        ) from None
    if not text or len(content) > _LONGEST_SECRET:
        why = "it is too long" if text else "it is empty"
        raise ConfigError(f"{named}{path}, which cannot be used" if named else f"{path} cannot be used", why=why)
    return text


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
    name = f"{_UNFINISHED}{os.getpid()}-{path.name}"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f"{_UNFINISHED}{os.getpid()}-{_short_digest(path.name)}{path.suffix[:_CUT_STEM]}"
    return path.with_name(name)


def safe_stem(text: str, empty: str) -> str:
    """A file's name, without its ending, that every file system takes, for something that has a name of its own.

    What no file name may hold becomes ``_``; what is too long is cut, and told apart by some digits of its digest.

    Args:
        text: The name of its own.
        empty: What to say if nothing of it is left.
    """
    stem = _NOT_IN_NAMES.sub("_", text).strip(". ")
    stem = _DEVICES_OF_WINDOWS.sub(lambda found: f"{found[0]}_", stem, count=1) if stem else empty
    encoded = stem.encode()
    if len(encoded) <= _LONGEST_STEM:
        return stem
    return f"{encoded[:_CUT_STEM].decode(errors='ignore')}-{_short_digest(text)}"


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:12]


def sweep(folder: Path, idle_s: float = 0.0) -> None:
    """Remove files that killed processes left unfinished in a folder. Call it as the only writer, or with a time.

    Args:
        folder: Where to look.
        idle_s: Leave those that somebody has written to since so many seconds.
    """
    for leftover in folder.glob(f"{_UNFINISHED}*"):
        with suppress(OSError):
            if not idle_s or time.time() - leftover.stat().st_mtime > idle_s:
                leftover.unlink()


class PrivateFolder:
    """A folder that only its owner may enter, for what is needed for a while; as a context it ends with the block.

    Where its process is killed, `sweep_folders` removes it: as long as it is in use, a file in it is locked.

    Args:
        parent: Where to make it.

    Attributes:
        path: The folder.

    Raises:
        DiskFull: No room.
        NotWritable: It cannot be made there.
    """

    def __init__(self, parent: Path) -> None:
        with storage_errors(parent / _PRIVATE_FOLDER):
            self.path = Path(tempfile.mkdtemp(prefix=_PRIVATE_FOLDER, dir=parent))
            self._lock = _use_of(self.path)
            try:
                self._lock.acquire()
            except BaseException:
                shutil.rmtree(self.path, ignore_errors=True)
                raise

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove it with all that is in it."""
        _remove_used(self.path, self._lock)


def sweep_folders(parent: Path) -> None:
    """Remove the private folders of processes that were killed."""
    for leftover in parent.glob(f"{_PRIVATE_FOLDER}*"):
        lock = _use_of(leftover)
        with suppress(OSError, NotImplementedError):  # one of those is that its process still lives
            lock.acquire()
            _remove_used(leftover, lock)


def _use_of(folder: Path) -> FileLock:
    return FileLock(folder / "in-use", timeout=0, thread_local=False)


def _remove_used(folder: Path, lock: FileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)  # on Windows, what is locked stays until here


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


def locks_work(folder: Path) -> bool:
    """Whether files in a folder can be locked as SQLite does it; where they cannot, it says that they are in use.

    Where that cannot be tried, because nothing may be written there or the system has other locks, the answer is yes.
    """
    if os.name == "nt":
        return True
    import fcntl  # noqa: PLC0415 -- not on Windows

    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=_UNFINISHED) as probe:
            try:
                fcntl.lockf(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                return error.errno not in _NO_LOCKS
    except OSError:
        return True
    return True


def _without_locks(path: Path) -> StorageError:
    return StorageError(
        f"{path} cannot be locked",
        why=f"{path.parent.absolute()} lies on a file system without file locks",
        fix="Use a folder on a disk of this machine, or mount that file system with locks",
    )


@contextmanager
def only_writer(lock_path: Path, timeout_s: float, busy: FacepoolError) -> Iterator[None]:
    """Keep other processes out of the block; the operating system lets go when this one dies, however that happens.

    Args:
        lock_path: A file for the lock alone, in a folder that exists. It stays.
        timeout_s: How long to wait for others.
        busy: What to raise when they take longer.

    Raises:
        NotWritable: The lock's file may not be written.
        StorageError: The file system has no locks.
    """
    lock = FileLock(lock_path, timeout=timeout_s)
    with storage_errors(lock_path):
        try:
            lock.acquire()
        except Timeout as error:  # an OSError, too
            raise busy from error
        except NotImplementedError as error:  # filelock's word for ENOSYS
            raise _without_locks(lock_path) from error
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise _without_locks(lock_path) from error
            raise
    try:
        yield
    finally:
        lock.release()
