"""Pictures of clients become pixels, each in a process that can be ended, with limits of time, memory and work.

`Decoder` has a few small processes, which are started when they are first needed and do one picture after the other
(`facepool.web.decoder_process`). One that takes too long, or dies of what it was given, costs that picture: another
takes its place. Before a picture is decoded, room in memory is made for it; large ones come one after the other.

A picture may be wanted no larger than its faces need to be found (`Decoder.reduced`). A JPEG is then decoded so, and
anew where small faces need all of it; any other is kept in the process that has decoded it, until it is known whether
they do.
"""

import io
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self, cast

import numpy as np

from facepool.capture.formats import HEAD_BYTES, REQUEST_FORMATS_IN_WORDS, is_refused_in_requests
from facepool.errors import FacepoolError, ImageUnreadable, OutOfMemory
from facepool.threads import default_threads
from facepool.types import Image, ReducedImage
from facepool.web.decoder_process import (
    ANSWER,
    GO_ON,
    MOST_DECODING_BYTES,
    OPENING_CPU_S,
    REQUEST,
    TOO_COSTLY,
    TOO_MANY_PIXELS,
    decoding_cpu_s,
)
from facepool.web.problems import PictureTooCostly, PictureUnsupported, TooLarge
from facepool.web.services.turns import Places, busy, ended

_SMALLER = "Scale it down first; faces of 100 pixels are large enough"
_MOST_PROCESSES = 4
_MOST_BYTES = 160_000_000
"""Of memory, for all pictures together that are no larger than that alone; of larger ones there is one at a time."""
_PIXEL_BYTES = 3
_EXTRA_S = 10.0
_GRACE = 5.0
"""How much longer than the time of a core that a picture is granted may pass, on a computer with other work."""
_PIPE_BYTES = 1024 * 1024
_MOST_ERROR_BYTES = 64 * 1024
_WATCH_S = 0.5


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """How large a picture may be.

    Attributes:
        bytes: As a file.
        pixels: Decoded; 50 million take 150 MB.
        side: Of either side, in pixels.
    """

    bytes: int = 16 * 1024 * 1024
    pixels: int = 50_000_000
    side: int = 20_000


LIMITS = PictureLimits()

FRAME_LIMITS = PictureLimits(bytes=4 * 1024 * 1024, pixels=4_000_000)
"""Of a browser's camera, which comes many times a second: 2560x1440 is one of 3.7 million."""

OnSize = Callable[[int], None]
"""Is told how many pixels a picture has before it is decoded, and raises what is to be raised then."""


def ignore_size(_pixels: int) -> None:
    """Any size will do."""


class PixelAllowance:
    """The pixels that the pictures of one request may have together.

    Args:
        pixels: So many.
    """

    def __init__(self, pixels: int) -> None:
        self._most = pixels
        self._left = pixels
        self._lock = threading.Lock()

    def take(self, pixels: int) -> None:
        """Count a picture.

        Raises:
            TooLarge: It is too much.
        """
        with self._lock:
            if pixels > self._left:
                raise TooLarge(
                    "The pictures of the request are too large together",
                    why=f"they have more than {self._most:,} pixels",
                    fix="Send fewer at once, or scale them down first; faces of 100 pixels are large enough",
                )
            self._left -= pixels


class Decoder:
    """Decodes pictures in processes of its own; for any number of threads.

    Args:
        processes: How many at most. By default one more than there are cores, so that there is one for others when one
            client keeps all cores busy; at most four.
        extra_s: How long a process may take beyond what a picture is granted, on the clock.
    """

    def __init__(self, processes: int | None = None, *, extra_s: float = _EXTRA_S) -> None:
        count = processes or min(_MOST_PROCESSES, max(2, default_threads()) + 1)
        self._all = [_Process(extra_s) for _ in range(count)]
        # The last one that was used comes first, so that none is started which is not needed.
        self._idle: queue.LifoQueue[_Process] = queue.LifoQueue()
        for process in self._all:
            self._idle.put(process)
        self._turns = Places(count, max(1, count - 1))
        self._room = Places(_MOST_BYTES, _MOST_BYTES * 3 // 4)
        self._one_large = Places(1, 1)
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def processes(self) -> list[int]:
        """Numbers of the processes that run."""
        return [number for process in self._all if (number := process.number) is not None]

    def decode(self, data: bytes, limits: PictureLimits = LIMITS) -> Image:
        """Decode a picture; call it in a thread.

        Args:
            data: The file: JPEG, PNG, WebP, BMP, GIF, TIFF, ICO, HEIC, AVIF or JPEG XL.
            limits: Looked at before a pixel is decoded.

        Returns:
            (H, W, 3) uint8 BGR, upright as its EXIF says.

        Raises:
            TooLarge: The file or the picture is.
            PictureUnsupported: It is of a kind that is not taken from strangers.
            PictureTooCostly: To decode it would take more time or memory than pictures do.
            ImageUnreadable: It is no picture, or a damaged one.
            ServerBusy: No process can be started, or the server ends.
        """
        with self.decoded(data, limits) as image_bgr:
            return image_bgr

    @contextmanager
    def decoded(self, data: bytes, limits: PictureLimits = LIMITS, on_size: OnSize = ignore_size) -> Iterator[Image]:
        """The same, while a block works with the picture: until then it takes its room.

        Args:
            data: The file.
            limits: Looked at before a pixel is decoded.
            on_size: Likewise; may refuse it.
        """
        with self.reduced(data, 0, limits, on_size) as picture:
            yield picture.image_bgr

    @contextmanager
    def reduced(
        self, data: bytes, least: int, limits: PictureLimits = LIMITS, on_size: OnSize = ignore_size
    ) -> Iterator[ReducedImage]:
        """The same, no larger than need be; it has to be settled in the thread that it is given to.

        Args:
            data: The file.
            least: Pixels that the picture's long side needs, if it has them; 0: all of them.
            limits: Looked at before a pixel is decoded.
            on_size: Likewise; may refuse it.
        """
        _check_file(data, limits)
        with _Picture(data, limits, self._process, partial(_Room, self._room, self._one_large)) as picture:
            yield picture.decode(least, on_size)

    def close(self) -> None:
        """End the processes."""
        self._ended.set()
        for process in self._all:
            process.close()
        if self._watcher is not None:
            self._watcher.join()

    @contextmanager
    def _process(self) -> Iterator["_Process"]:
        self._watch()
        with self._turns.place():
            process = self._idle.get()
            try:
                with process.at_work():
                    yield process
            finally:
                self._idle.put(process)

    def _watch(self) -> None:
        with self._lock:
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._end_the_late, name="facepool-decoders", daemon=True)
                self._watcher.start()

    def _end_the_late(self) -> None:
        while not self._ended.wait(_WATCH_S):
            for process in self._all:
                process.end_if_late()


class _Announced(NamedTuple):
    """What a process has found in a picture's head.

    Attributes:
        width: Of the picture as it lies in the file.
        height: Likewise.
        takes: Bytes of memory to decode it.
        scale: By how much it is reduced.
        kept: Whether the process keeps it as it is until it is known whether that is needed.
    """

    width: int
    height: int
    takes: int
    scale: int
    kept: int

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def reduced_pixels(self) -> int:
        return -(-self.width // self.scale) * -(-self.height // self.scale)

    @property
    def room(self) -> int:
        """Bytes of memory that it takes altogether."""
        return self.takes + _PIXEL_BYTES * (self.pixels if self.kept else self.reduced_pixels)


class _Pixels(NamedTuple):
    """What a process has made of a picture.

    Attributes:
        image_bgr: (H, W, 3) uint8 BGR, upright.
        on_its_side: It lies so in the file.
    """

    image_bgr: Image
    on_its_side: bool


class _Picture:
    """One picture, from its file to the pixels that are needed of it, and the room that these take.

    Args:
        data: The file.
        limits: Of its size.
        process: Takes a process, for as long as its block lasts.
        make_room: Room that is not taken yet.
    """

    def __init__(
        self,
        data: bytes,
        limits: PictureLimits,
        process: "Callable[[], AbstractContextManager[_Process]]",
        make_room: "Callable[[], _Room]",
    ) -> None:
        self._data = data
        self._limits = limits
        self._take_process = process
        self._room = make_room()
        self._keeps = ExitStack()
        self._process: _Process | None = None
        """That keeps the picture as it is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing more is needed."""
        self._let_go()
        self._room.give_back()

    def decode(self, least: int, on_size: OnSize = ignore_size) -> ReducedImage:
        """Decode it; see ``Decoder.reduced``."""
        found = self._decode(least, on_size)
        if found is None:  # others have their turn in the meantime
            self._room.wait()
            found = self._decode(least, on_size)
        if found is None:
            raise _unreadable("its size is another one when it is read again")
        announced, pixels = found
        if self._process is None:
            self._room.shrink(pixels.image_bgr.nbytes)
        if announced.scale == 1:
            return ReducedImage.whole(pixels.image_bgr)
        size_wh = announced.height, announced.width
        size_wh = size_wh if pixels.on_its_side else size_wh[::-1]
        enlarge, forget = partial(self._whole, announced), partial(self._forget, announced)
        return ReducedImage(pixels.image_bgr, size_wh, announced.scale, enlarge, forget)

    def _whole(self, announced: _Announced) -> Image:
        if self._process is None:  # a JPEG, which is decoded anew
            self._room.give_back()
            return self.decode(0).image_bgr
        process, self._process = self._process, None
        with self._keeps:
            image_bgr = process.whole(announced)
        self._room.shrink(image_bgr.nbytes)
        return image_bgr

    def _decode(self, least: int, on_size: OnSize) -> "tuple[_Announced, _Pixels] | None":
        with ExitStack() as working:
            process = working.enter_context(self._take_process())
            announced = process.announce(self._data, least)
            try:
                _check_size(announced, self._limits)
                may_go_on = self._room.take_now(announced.room)
                if may_go_on:
                    on_size(announced.pixels)
            except FacepoolError:
                process.leave()
                raise
            if not may_go_on:
                process.leave()
                return None
            pixels = process.reduced(announced)
            if announced.kept:
                self._process, self._keeps = process, working.pop_all()
            return announced, pixels

    def _forget(self, announced: _Announced) -> None:
        self._let_go()
        self._room.shrink(_PIXEL_BYTES * announced.reduced_pixels)

    def _let_go(self) -> None:
        """Of the process that keeps the picture; if it has died meanwhile, nobody needs to know."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(FacepoolError), self._keeps:
                process.leave()


class _Process:
    """One process, which is started when it is needed, and anew after its end.

    Args:
        extra_s: How long it may take beyond what is granted, on the clock.
    """

    def __init__(self, extra_s: float) -> None:
        self._extra_s = extra_s
        self._running: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._late_s: float | None = None
        self._was_late = False
        self._closed = False

    @property
    def number(self) -> int | None:
        """Of the process; None: none runs."""
        running = self._running
        return running.pid if running is not None and running.poll() is None else None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While it is used: what goes wrong within ends it."""
        self._start()
        try:
            yield
        except (OSError, EOFError) as error:
            raise self._why_ended() from error
        except BaseException as error:
            if not isinstance(error, FacepoolError):
                self._end()
            raise
        finally:
            self._grant(None)
            if self._closed:
                self._end()

    def announce(self, data: bytes, least: int) -> _Announced:
        """Give it a picture, and hear how large it is.

        Args:
            data: The file.
            least: Pixels that its long side needs, if it has them; 0: all of them.

        Raises:
            FacepoolError: It cannot be read.
        """
        self._grant(OPENING_CPU_S)
        self._write(REQUEST.pack(len(data), least))
        self._write(data)
        announced = _Announced(*self._hear(b"S"))
        if not announced.scale:
            raise EOFError
        return announced

    def leave(self) -> None:
        """Have the picture not decoded, or not kept any longer."""
        self._write(b"n")

    def reduced(self, announced: _Announced) -> _Pixels:
        """Have the picture decoded, which was announced; where it is kept, it is not late until it is needed.

        Raises:
            FacepoolError: It cannot be read.
        """
        pixels = self._pixels(announced, announced.reduced_pixels)
        if announced.kept:
            self._grant(math.inf)
        return pixels

    def whole(self, announced: _Announced) -> Image:
        """The picture as it is, which was kept.

        Raises:
            FacepoolError: The process has died meanwhile.
        """
        return self._pixels(announced, announced.pixels).image_bgr

    def _pixels(self, announced: _Announced, count: int) -> _Pixels:
        self._grant(decoding_cpu_s(announced.pixels))
        self._write(GO_ON)
        width, height, on_its_side, *_ = self._hear(b"P")
        if width * height != count:
            raise EOFError
        image_bgr = np.empty((height, width, 3), np.uint8)
        self._read_into(image_bgr.reshape(-1).data)
        return _Pixels(image_bgr, bool(on_its_side))

    def end_if_late(self) -> None:
        """End it if it has had its time."""
        with self._lock:
            if self._late_s is not None and time.monotonic() > self._late_s and self._running is not None:
                self._was_late = True
                self._running.kill()

    def close(self) -> None:
        """End it for good. Whoever works with it is told."""
        with self._lock:
            self._closed = True
            running, is_used = self._running, self._late_s is not None
            if running is not None:
                running.kill()
        if not is_used:
            self._end()

    def _start(self) -> None:
        if self.number is None:
            self._end()
        with self._lock:
            if self._closed:
                raise ended()
            if self._running is None:
                try:
                    self._running = _start_process()
                except OSError as error:
                    raise busy(f"no process can be started: {error.strerror}") from error
            self._was_late = False
            self._late_s = math.inf

    def _grant(self, cpu_s: float | None) -> None:
        with self._lock:
            self._late_s = None if cpu_s is None else time.monotonic() + _GRACE * cpu_s + self._extra_s

    def _hear(self, wanted: bytes) -> list[int]:
        head = bytearray(ANSWER.size)
        self._read_into(memoryview(head))
        kind, *numbers = ANSWER.unpack(head)
        if kind == wanted:
            return numbers
        if kind != b"E" or numbers[0] > _MOST_ERROR_BYTES:
            raise EOFError
        text = bytearray(numbers[0])
        self._read_into(memoryview(text))
        raise _error_of(bytes(text))

    def _write(self, data: bytes) -> None:
        running = self._running
        if running is None or running.stdin is None:
            raise EOFError
        view, at = memoryview(data), 0
        while at < len(view):
            at += os.write(running.stdin.fileno(), view[at : at + _PIPE_BYTES])

    def _read_into(self, view: memoryview) -> None:
        running = self._running
        if running is None or running.stdout is None:
            raise EOFError
        pipe, at = cast("io.FileIO", running.stdout), 0  # it has no buffer
        while at < len(view):
            count = pipe.readinto(view[at : at + _PIPE_BYTES])
            if not count:
                raise EOFError
            at += count

    def _why_ended(self) -> FacepoolError:
        running = self._running
        self._end()
        if self._closed:
            return ended()
        code = None if running is None else running.returncode
        if self._was_late or (code is not None and code == -getattr(signal, "SIGXCPU", 0)):
            return _too_costly("decoding it takes longer than its pixels are worth")
        return _unreadable("its decoder failed on it")

    def _end(self) -> None:
        with self._lock:
            running, self._running = self._running, None
        if running is None:
            return
        running.kill()
        running.wait()
        for pipe in (running.stdin, running.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


_SECRETIVE = ("FACEPOOL_", "PG", "CREDENTIALS_")
"""How variables begin that may have passwords and keys in them, or say where these are."""
_THRIFTY = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(4 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(16 * 1024 * 1024),
}
"""No threads of linear algebra, and memory of large pictures goes back to the system: names of OpenBLAS and glibc."""


def _start_process() -> "subprocess.Popen[bytes]":
    """One that inherits nothing but its two pipes: no socket of the server, and no settings, which may be secret."""
    code = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import facepool.web.decoder_process as p; p.main()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETIVE)}
    environment |= _THRIFTY
    started = subprocess.Popen(  # noqa: S603 -- this interpreter
        [sys.executable, "-B", "-P", "-c", code, json.dumps(sys.path, default=str)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env=environment,
        start_new_session=sys.platform != "win32",  # Ctrl-C is for the server, which ends it
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # of Windows
    )
    _widen(started)
    return started


def _widen(started: "subprocess.Popen[bytes]") -> None:
    """Larger pipes, where there are: a picture of a camera goes through at once."""
    if sys.platform == "linux":
        import fcntl  # noqa: PLC0415 -- Windows has none

        for pipe in (started.stdin, started.stdout):
            if pipe is not None:
                with suppress(OSError):  # of a user's pipes only so many may be large
                    fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


class _Room:
    """Memory for one picture, out of what there is for all.

    Args:
        all_room: For pictures that fit in together.
        one_large: For the one at a time that is larger than that.
    """

    def __init__(self, all_room: Places, one_large: Places) -> None:
        self._all_room = all_room
        self._one_large = one_large
        self._asked = self._taken = 0
        self._from = all_room

    def take_now(self, count: int) -> bool:
        """Take so many bytes if there are so many free; of a picture that has waited, whether it has enough."""
        if self._taken:
            return count <= self._asked
        self._asked = count
        self._from = self._all_room if count <= _MOST_BYTES else self._one_large
        if self._from.take_now(self._size):
            self._taken = self._size
        return bool(self._taken)

    def wait(self) -> None:
        """Wait for what was asked for."""
        self._from.take(self._size)
        self._taken = self._size

    def shrink(self, count: int) -> None:
        """Give back all but so many bytes; what is large stays that until all is given back."""
        if self._from is self._all_room and self._taken > count:
            self._from.give_back(self._taken - count)
            self._taken = count

    def give_back(self) -> None:
        """Give back what is left."""
        if self._taken:
            self._from.give_back(self._taken)
            self._taken = 0

    @property
    def _size(self) -> int:
        return self._asked if self._from is self._all_room else 1


def _check_file(data: bytes, limits: PictureLimits) -> None:
    if len(data) > limits.bytes:
        raise TooLarge(
            "A picture is too large", why=f"it has {len(data):,} bytes, and {limits.bytes:,} are taken", fix=_SMALLER
        )
    if is_refused_in_requests(data[:HEAD_BYTES].lstrip(b"\r\n")):
        raise PictureUnsupported(
            "A picture is of a kind that is not taken",
            why=f"taken are {REQUEST_FORMATS_IN_WORDS}",
            fix="Save it as JPEG",
        )


def _check_size(announced: _Announced, limits: PictureLimits) -> None:
    most = limits.pixels
    if announced.pixels:
        most = min(most, MOST_DECODING_BYTES * announced.pixels // max(1, announced.takes))
    if announced.pixels > most or max(announced.width, announced.height) > limits.side:
        raise _too_many_pixels(most, limits.side)


def _error_of(text: bytes) -> FacepoolError:
    """An error of a picture, as the process tells it; nothing that it says is taken on trust."""
    try:
        told = dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise EOFError from error
    code, what, why, fix = (str(told.get(name, "")) for name in ("code", "what", "why", "fix"))
    if code == TOO_COSTLY:
        return _too_costly(why)
    if code == TOO_MANY_PIXELS:
        return TooLarge("A picture is too large", why="it has too many pixels", fix=_SMALLER)
    if code == OutOfMemory.code:
        return OutOfMemory(what, why=why, fix=fix)
    return ImageUnreadable(what, why=why, fix=fix)


def _too_many_pixels(pixels: int, side: int) -> TooLarge:
    return TooLarge(
        "A picture is too large", why=f"it has too many pixels: {pixels:,} are taken, {side:,} a side", fix=_SMALLER
    )


def _too_costly(why: str) -> PictureTooCostly:
    return PictureTooCostly("A picture takes too much work", why=why, fix="Save it anew, as an ordinary JPEG or PNG")


def _unreadable(why: str) -> ImageUnreadable:
    return ImageUnreadable("The picture cannot be read", why=why, fix="Copy or export it again")
