"""The image of an index on the disk: written where it pays, mapped into memory, and made anew where it does not fit.

`ImageKeeper` is what a search has of it. The file begins with a description: which pool at which revision, where its
arrays are, and the sha256 of each part of them; all of that is compared before anything is searched. Where it lies, and
how whoever is erased leaves it, is in ``facepool.gallery.image``.
"""

import atexit
import errno
import hashlib
import math
import mmap
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from facepool.errors import FacepoolError, PoolLocked
from facepool.files import PRIVATE, make_private, only_writer, sync_folders
from facepool.gallery import Gallery, open_pool
from facepool.gallery.image import (
    ImagedGallery,
    Mark,
    Misfit,
    head_of,
    image_of,
    lock_of_image,
    opened_image,
    read_head,
    unfinished_image_of,
)
from facepool.search.index import Index
from facepool.search.shared import SharedIndex
from facepool.threads import allowed_threads

Parts = Mapping[str, npt.NDArray[Any]]

LEAST_TEMPLATES = 1 << 14
"""Smaller pools are read about as fast as an image of them would be."""
_NEW_SHARE = 0.05
"""An image is written anew once so many templates have come: reading them takes as long as all of it does."""
_REST = 20
"""An image is written anew after so many times as long as that took, and not before."""
_PAUSE_S, _TRIES = 2.0, 300
"""As long as another process writes, or what was erased is not wiped yet."""
_PAUSE_AFTER_FAILURE_S = 60.0
_CHUNK = 1 << 22
"""Bytes that have one digest."""
_ALIGNED = 64
_LARGE_PAGE = 1 << 21
"""What begins at a multiple of it is mapped in pages of that size where the system can, and searched a bit faster."""
_NO_DIGEST = "0" * 64
_NUMBERS = "iuf"
"""Kinds of arrays that a file may have: those of others would be pointers."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was read.

    Attributes:
        mark: Which pool at which moment it is of.
        parts: Arrays by name, which may be written to.
        file: Device and number of its file.
        digests: What each stretch of it, from one byte to another, has to be.
    """

    mark: Mark
    parts: Parts
    file: tuple[int, int]
    memory: memoryview = field(repr=False)
    digests: Mapping[tuple[int, int], str] = field(repr=False)

    def index(self) -> Index:
        """What is searched.

        Raises:
            Misfit: It is damaged, or has not what this version of facepool needs.
        """
        chunks = (self.memory[first:end] for first, end in self.digests)
        with ThreadPoolExecutor(allowed_threads()) as threads:  # `hashlib` lets go of the interpreter's lock
            if list(threads.map(_digest_of, chunks)) != list(self.digests.values()):
                raise Misfit("it is damaged")
        return self.unverified_index()

    def unverified_index(self) -> Index:
        """The same, where this process has just written it.

        Raises:
            Misfit: It has not what this version of facepool needs.
        """
        try:
            return Index.of_parts(self.parts)
        except (KeyError, ValueError, TypeError) as error:
            raise Misfit("it has the parts of another facepool") from error


def write_image(path: Path, make: Callable[[], tuple[Mark, Parts]]) -> None:
    """Write the image of a pool, in place of one that is there; as the only process that does.

    Args:
        path: The pool's file.
        make: Gives what is to be written, and of which moment that is. It is called when the file has a name already:
            whoever is erased after that moment takes the file away, under one name or the other.

    Raises:
        OSError: It could not be written, or somebody was erased meanwhile.
    """
    unfinished = unfinished_image_of(path)
    unfinished.unlink(missing_ok=True)  # of a process that was killed
    try:
        with _created(path) as file:
            mark, parts = make()
            _check_room(path, sum(array.nbytes for array in parts.values()))
            _fill(file, mark, {name: np.ascontiguousarray(array) for name, array in parts.items()})
        unfinished.replace(image_of(path))
        sync_folders([path.resolve()])
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _created(path: Path) -> Iterator[BinaryIO]:
    """The unfinished image of a pool."""
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(unfinished_image_of(path), flags, PRIVATE), "wb") as file:
        _give_to_owner(path, unfinished_image_of(path))
        yield file


def _give_to_owner(pool: Path, file: Path) -> None:
    """What the system's administrator makes beside somebody's pool is theirs, as SQLite has it with its log."""
    if os.name == "posix" and os.geteuid() == 0:
        owner = pool.stat()
        os.chown(file, owner.st_uid, owner.st_gid)


def _check_room(path: Path, size: int) -> None:
    """Leave room for a second copy of the pool, which it takes to erase somebody."""
    if shutil.disk_usage(path.resolve().parent).free < size + path.stat().st_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _fill(file: BinaryIO, mark: Mark, arrays: Parts) -> None:
    records: list[dict[str, Any]] = [
        {"name": name, "kind": array.dtype.str, "shape": array.shape, "digests": [_NO_DIGEST] * _chunks(array.nbytes)}
        for name, array in arrays.items()
    ]
    at = len(_head(mark, records, end=sys.maxsize)) + _ALIGNED * len(records)  # saying where they are takes room, too
    for record, array in zip(records, arrays.values(), strict=True):
        step = _ALIGNED if array.nbytes < _LARGE_PAGE else _LARGE_PAGE
        record["at"] = at = -(-at // step) * step
        at += array.nbytes
    file.truncate(at)
    _reserve(file, at)
    for record, array in zip(records, arrays.values(), strict=True):
        file.seek(record["at"])
        content = array.reshape(-1).view(np.uint8).data
        for number in range(len(record["digests"])):
            chunk = content[number * _CHUNK : (number + 1) * _CHUNK]
            file.write(chunk)
            record["digests"][number] = _digest_of(chunk)
    file.seek(0)
    file.write(_head(mark, records, end=at))  # last: without it, the file is none
    file.flush()
    os.fsync(file.fileno())


def _reserve(file: BinaryIO, size: int) -> None:
    """Let a full disk show at once, where the system can."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise


def read_image(path: Path) -> Image:
    """The image of a pool, mapped into memory; nothing is compared with its digests yet.

    Args:
        path: The pool's file.

    Raises:
        Misfit: There is none that can be used.
        OSError: It cannot be read.
    """
    with opened_image(path) as file:
        mark, description = read_head(file)
        status = os.fstat(file.fileno())
        if description["end"] != status.st_size or description["byte_order"] != sys.byteorder:
            raise Misfit("it is cut off, or of another machine")
        if os.name == "nt":  # where what is mapped can be neither deleted nor replaced
            file.seek(0)
            memory: mmap.mmap | bytearray = bytearray(file.read())
        else:  # who is erased is overwritten in memory of this process, never under the hands of others
            memory = mmap.mmap(file.fileno(), status.st_size, access=mmap.ACCESS_COPY)
            if hasattr(mmap, "MADV_WILLNEED"):
                memory.madvise(mmap.MADV_WILLNEED)
    try:
        parts = {record["name"]: _array(memory, record) for record in description["arrays"]}
        digests = dict(_digests(description["arrays"]))
    except (KeyError, ValueError, TypeError) as error:
        raise Misfit("its description is of another version") from error
    return Image(mark, parts, (status.st_dev, status.st_ino), memoryview(memory), digests)


def _digests(records: list[dict[str, Any]]) -> Iterator[tuple[tuple[int, int], str]]:
    for record in records:
        first = record["at"]
        end = first + math.prod(record["shape"]) * np.dtype(record["kind"]).itemsize
        starts = range(first, end, _CHUNK)
        yield from zip(((start, min(start + _CHUNK, end)) for start in starts), record["digests"], strict=True)


def _digest_of(chunk: memoryview) -> str:
    return hashlib.sha256(chunk).hexdigest()


def _array(memory: mmap.mmap | bytearray, record: Mapping[str, Any]) -> npt.NDArray[Any]:
    kind = np.dtype(record["kind"])
    if kind.kind not in _NUMBERS:
        raise Misfit("it has arrays of something else than numbers")
    return np.frombuffer(memory, kind, math.prod(record["shape"]), record["at"]).reshape(record["shape"])


def _chunks(size: int) -> int:
    return -(-size // _CHUNK)


def _head(mark: Mark, records: list[dict[str, Any]], end: int) -> bytes:
    return head_of(mark, {"byte_order": sys.byteorder, "end": end, "arrays": records})


class Held(Protocol):
    """What all who search one pool share: the newest index, and who may make it newer."""

    following: threading.Lock
    newest: SharedIndex


class ImageKeeper:
    """Has the image of one pool written where that pays, in a thread of its own: nobody who searches waits for it."""

    def __init__(self) -> None:
        self._rests_on: tuple[int, int] | None = None
        self._rows = 0
        self._asking = threading.Lock()
        self._is_asked = False
        self._thread: threading.Thread | None = None
        self._not_before_s = 0.0

    def opened(self, gallery: Gallery) -> Index | None:
        """The index from the image of a pool, as of the image's revision; None: there is none that fits."""
        found = _indexed(gallery)
        if found is None:
            return None
        index, self._rests_on = found
        self._rows = len(index)
        return index

    def look(self, gallery: Gallery, index: Index, held_by: Callable[[Gallery], Held | None]) -> None:
        """Have the image written, if that pays. Called with each new index, by one thread at a time.

        Args:
            gallery: The pool.
            index: What is searched now.
            held_by: Gives what those who have a gallery's file open share, if anybody has.
        """
        imaged = gallery.imaged
        if imaged is None or not self._pays(imaged.path, index):
            return
        with self._asking:
            self._is_asked = True
            if self._thread is not None:
                return
            try:
                own = open_pool(imaged.path, must_exist=True)  # now: what is searched lives as long as a file is open
            except FacepoolError:
                return
            arguments = (imaged.path, held_by, own)
            thread = threading.Thread(target=self._run, args=arguments, name="facepool-image", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system has none
                own.close()
                return
            _BUSY.add(thread)
            self._thread = thread

    def _pays(self, path: Path, index: Index) -> bool:
        if len(index) < LEAST_TEMPLATES:
            return False
        new = len(index) - self._rows
        return self._is_other(path) or new > max(LEAST_TEMPLATES, _NEW_SHARE * self._rows)

    def _is_other(self, path: Path) -> bool:
        """Whether the index rests on no image, or on one that is gone: its file's room is free when nobody maps it."""
        try:
            status = image_of(path).stat()
        except OSError:
            return True
        return (status.st_dev, status.st_ino) != self._rests_on

    def _run(self, path: Path, held_by: Callable[[Gallery], Held | None], own: Gallery | None) -> None:
        """Write until nobody asks any more; what goes wrong is nobody's loss but time."""
        tries = _TRIES
        while True:
            wait_s = self._not_before_s - time.monotonic()
            if wait_s > 0:
                if own is not None:
                    own.close()
                    own = None
                if not _slept(wait_s):
                    return
            with self._asking:
                self._is_asked = False
            began_s = time.monotonic()
            try:
                gallery, own = own or open_pool(path, must_exist=True), None
                with gallery:
                    is_done = self._renewed(path, gallery, held_by)
                pause_s = _REST * (time.monotonic() - began_s) if is_done else _PAUSE_S
            except (FacepoolError, OSError, MemoryError, Misfit):
                is_done, pause_s = True, _PAUSE_AFTER_FAILURE_S
            except RuntimeError:  # the interpreter is about to end, and starts no more threads
                return
            self._not_before_s = time.monotonic() + pause_s
            tries = _TRIES if is_done else tries - 1
            with self._asking:
                if not tries or (is_done and not self._is_asked):
                    self._thread = None
                    return

    def _renewed(self, path: Path, gallery: Gallery, held_by: Callable[[Gallery], Held | None]) -> bool:
        """Write an image, or take the one that another process has written; False: later."""
        imaged, held = gallery.imaged, held_by(gallery)
        if imaged is None or held is None or held.newest.index is None:
            return True
        if gallery.owed().traces:  # whoever wipes deletes the image again
            return False
        if self._is_other(path) and (self._took(gallery, held) or _is_of_others(path)):
            return True
        make_private(lock_of_image(path))
        _give_to_owner(path, lock_of_image(path))
        try:
            with only_writer(lock_of_image(path), 0, PoolLocked("Another process writes the image")):
                write_image(path, lambda: _made(imaged, held))
        except PoolLocked:
            return False
        image = read_image(path)
        self._use(gallery, held, image.unverified_index(), image.file)
        return True

    def _took(self, gallery: Gallery, held: Held) -> bool:
        """Use the image of another process, if it is about as new as what is searched."""
        found = _indexed(gallery)
        if found is None or held.newest.index is None:
            return False
        if len(held.newest.index) - len(found[0]) > max(LEAST_TEMPLATES, _NEW_SHARE * len(found[0])):
            return False
        self._use(gallery, held, *found)
        return True

    def _use(self, gallery: Gallery, held: Held, index: Index, file: tuple[int, int]) -> None:
        """Search what is mapped in place of what is in memory, or in a file that is gone."""
        with held.following:
            known = held.newest.index
            is_behind = known is not None and known.revision > index.revision
            held.newest.use(index, gallery.changes(index.revision) if is_behind else None)
            self._rests_on, self._rows = file, len(index)


def _indexed(gallery: Gallery) -> tuple[Index, tuple[int, int]] | None:
    """The index from the image of a pool, and the image's file; None: there is none that fits."""
    imaged = gallery.imaged
    if imaged is None:
        return None
    try:
        image = read_image(imaged.path)
        return (image.index(), image.file) if imaged.has_only_grown_since(image.mark) else None
    except (OSError, Misfit):
        return None


def mapped_image(gallery: Gallery) -> Image | None:
    """The image of a pool, of which nothing is read yet; None: there is none that fits."""
    imaged = gallery.imaged
    if imaged is None or os.name == "nt":  # where it would have to be read
        return None
    try:
        image = read_image(imaged.path)
        return image if imaged.has_only_grown_since(image.mark) else None
    except (OSError, Misfit):
        return None


def _is_of_others(path: Path) -> bool:
    """Whether there is an image that another user keeps for themselves, and would write again."""
    return image_of(path).exists() and not os.access(image_of(path), os.R_OK)


def _made(imaged: ImagedGallery, held: Held) -> tuple[Mark, Parts]:
    """What an image has: the index that is searched, brought to the present moment, without who is gone by now."""
    with held.following:
        index = held.newest.index
        if index is None:
            raise Misfit("nobody searches the pool any more")
        changes, mark = imaged.marked_changes(index.revision)
        return mark, held.newest.cleaned(changes).parts()


_BUSY: WeakSet[threading.Thread] = WeakSet()
"""Threads that write, or are about to: a command that ends at once waits for them."""
_ENDING = threading.Event()


def _slept(for_s: float) -> bool:
    """Wait; whether the process goes on."""
    _BUSY.discard(threading.current_thread())
    if _ENDING.wait(for_s):
        return False
    _BUSY.add(threading.current_thread())
    return True


@atexit.register
def _end() -> None:
    _ENDING.set()
    with suppress(KeyboardInterrupt):  # who is in a hurry gets no image
        for thread in list(_BUSY):
            thread.join()
