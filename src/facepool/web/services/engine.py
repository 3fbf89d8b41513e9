"""The networks, shared by everybody: pictures wait in bounded queues, and what waits runs together.

`Engine` decodes a picture of a request and looks at it in one of its threads. Before each network stands a `Batcher`,
which runs together what several threads ask for at the same time.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np

from facepool.capture.pictures import DECODE_ERRORS, TOO_LARGE, open_picture, quiet_pillow, read_image
from facepool.faces.analyze import Analyzer, Embed
from facepool.faces.find import Detect
from facepool.types import AlignedFaces, Detections, Floats, Image
from facepool.web.problems import ServerBusy, TooLarge
from facepool.web.services.turns import Line, Places, Workers, ended, whose_turn

Item = TypeVar("Item")
Result = TypeVar("Result")
OnRun = Callable[[str, int, float], None]

_CORES = max(2, os.cpu_count() or 2)
_MOST_PIXELS = 256_000_000
_BATCH = 8
_PATIENCE_S = 30.0
_SMALLER = "Scale it down first; faces of 100 pixels are large enough"
_FACES_AT_ONCE = 32
"""So many of one picture are embedded before others have their turn: a crowd is not waited for."""
# Of the process, as its memory is: each picture that is decoded takes up to three times its pixels. One client may keep
# all cores busy, and there is always one place more, for the others.
_DECODING = Places(_CORES + 1, _CORES)
_PIXELS = Places(_MOST_PIXELS, _MOST_PIXELS * 3 // 4)


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


class Engine:
    """The one analyzer of the process behind bounded queues.

    Requests are turned away when too many others wait. Threads that look at one picture after another, such as those
    of cameras, use ``analyzer`` and wait for their turn: there is at most one picture of each.

    Args:
        analyzer: With the networks. Nobody else may use it.
        queue: How many pictures of requests may be here at once.
        batch: How many pictures a network looks at together; None: what suits its device.
        on_run: Is called after each run of a network: which, how many items, how long in seconds.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        *,
        queue: int = 64,
        batch: int | None = None,
        on_run: OnRun = lambda _network, _count, _took_s: None,
    ) -> None:
        self._close_batchers: list[Callable[[], None]] = []

        def batcher(name: str, work: Callable[[Sequence[Item]], list[Result]], device: str) -> Batcher[Item, Result]:
            made = Batcher(
                work,
                batch=batch or _batch_on(device),
                queue=queue,
                name=f"facepool-{name}",
                on_run=partial(on_run, name),
            )
            self._close_batchers.append(made.close)
            return made

        def queued_detect(detect: Detect, device: str) -> Detect:
            return batcher("detector", detect, device).do

        def queued_embed(embed: Embed, device: str) -> Embed:
            together = batcher("embedder", partial(_embed_together, embed), device)

            def embed_in_turn(faces: AlignedFaces) -> Floats:
                if not len(faces):
                    return embed(faces)
                parts = range(0, len(faces), _FACES_AT_ONCE)
                return np.concatenate([together.do([faces[at : at + _FACES_AT_ONCE]])[0] for at in parts])

            return embed_in_turn

        self.analyzer = analyzer.with_stages(queued_detect, queued_embed)
        """As an ``Analyzer``, for any number of threads at once."""
        # They wait most of the time; as many as fill two batches keep the networks busy, whosever they are.
        of_one = 2 * max(batch or _BATCH, 2)
        self._workers = Workers(of_one + of_one // 2, of_one, queue, (queue + 1) // 2, "facepool-look")

    @property
    def waiting(self) -> int:
        """How many pictures of requests are here."""
        return len(self._workers)

    async def look(self, client: str, picture: bytes, work: Callable[[Image], Result]) -> Result:
        """Decode a picture of a request and do something with it, both in one of the engine's threads.

        Args:
            client: Whose picture it is. Clients take turns, and one may take half of the places.
            picture: The file, of any kind that ``decode_image`` reads.
            work: What to do with it, given as (H, W, 3) uint8 BGR, upright.

        Raises:
            ServerBusy: Too many others wait, or too many of this client.
            TooLarge: The file or the picture is.
            ImageUnreadable: It is no picture, or a damaged one.
        """
        # Although its client may be gone, a picture takes its place until it was looked at.
        return await asyncio.wrap_future(self._workers.submit(client, partial(_look, picture, work)))

    def embed(self, image_bgr: Image) -> tuple[Detections, Floats]:
        """Find and embed the faces of one image, without what it takes to judge them; in a thread."""
        return self.analyzer.embed_batch([image_bgr])[0]

    def close(self) -> None:
        """Take nothing more."""
        for close in self._close_batchers:
            close()
        self._workers.close()


def _look(picture: bytes, work: Callable[[Image], Result]) -> Result:
    with _PIXELS.place(_checked_pixels(picture, LIMITS)):
        return work(_decode(picture))


def decode_image(data: bytes, limits: PictureLimits = LIMITS) -> Image:
    """Decode a picture; call it in a thread.

    Args:
        data: The file: JPEG, PNG, WebP and whatever else ``read_image`` reads.
        limits: Looked at before a pixel is decoded.

    Returns:
        (H, W, 3) uint8 BGR, upright as its EXIF says.

    Raises:
        TooLarge: The file or the picture is.
        ImageUnreadable: It is no picture, or a damaged one.
    """
    _checked_pixels(data, limits)
    return _decode(data)


def _decode(data: bytes) -> Image:
    with _DECODING.place():
        return read_image(data)


def _checked_pixels(data: bytes, limits: PictureLimits) -> int:
    """How many pixels a picture within the limits has, by its head; 0 where reading it will say what is wrong."""
    if len(data) > limits.bytes:
        raise TooLarge(
            "A picture is too large", why=f"it has {len(data):,} bytes, and {limits.bytes:,} are taken", fix=_SMALLER
        )
    try:
        with quiet_pillow(), open_picture(data) as picture:
            width, height = picture.size
    except TOO_LARGE as error:  # Pillow's own limit, which is higher
        raise _too_many_pixels(limits) from error
    except DECODE_ERRORS:
        return 0
    if width * height > limits.pixels or max(width, height) > limits.side:
        raise _too_many_pixels(limits)
    return width * height


def _too_many_pixels(limits: PictureLimits) -> TooLarge:
    return TooLarge(
        "A picture is too large",
        why=f"it has too many pixels: {limits.pixels:,} are taken, {limits.side:,} a side",
        fix=_SMALLER,
    )


def _embed_together(embed: Embed, items: Sequence[AlignedFaces]) -> list[Floats]:
    """Embed the faces of several pictures as one batch."""
    if len(items) == 1:
        return [embed(items[0])]
    vectors = embed(AlignedFaces(np.concatenate([faces.images_bgr for faces in items]), items[0].template))
    ends = np.cumsum([0, *(len(faces) for faces in items)])
    return [vectors[start:end] for start, end in pairwise(ends)]


def _batch_on(device: str) -> int:
    """A CPU gains nothing from batches: the first of a batch would only wait for the last."""
    return 1 if device == "cpu" else _BATCH


class Batcher(Generic[Item, Result]):
    """A thread that takes what waits, up to so many at once: of each client in turn, the first that came.

    Args:
        work: Called with at least one item; gives one result an item, in the same order.
        batch: How many items at most are worked on at once.
        queue: How many items at most wait; those that come then wait for a place.
        name: Of the thread.
        on_run: Is called after each batch: how many items, how long it took in seconds.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        batch: int,
        queue: int,
        name: str,
        on_run: Callable[[int, float], None] = lambda _count, _took_s: None,
    ) -> None:
        self._work = work
        self._batch = batch
        self._queue = queue
        self._on_run = on_run
        self._changed = threading.Condition()
        self._waiting: Line[tuple[Item, Future[Result]]] = Line()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    def do(self, items: Sequence[Item]) -> list[Result]:
        """Have some items worked on, and wait for the results.

        Raises:
            ServerBusy: No place became free for a long time, or the server ends.
        """
        return [future.result() for future in [self._put(item) for item in items]]

    def close(self) -> None:
        """Take nothing more; those that wait get an error that says so."""
        with self._changed:
            self._closed = True
            waiting = self._waiting.clear()
            self._changed.notify_all()
        for _, future in waiting:
            future.set_exception(ended())
        self._thread.join()

    def _put(self, item: Item) -> Future[Result]:
        future: Future[Result] = Future()
        with self._changed:
            free = self._changed.wait_for(lambda: self._closed or len(self._waiting) < self._queue, _PATIENCE_S)
            if self._closed:
                raise ended()
            if not free:
                raise ServerBusy("The server is busy", why="too many others wait", fix="Try again in a moment")
            self._waiting.put(whose_turn(), (item, future))
            self._changed.notify_all()
        return future

    # What follows runs in the thread.

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._waiting))
                if self._closed:
                    return
                some = [one[1] for _ in range(self._batch) if (one := self._waiting.take())]
                self._changed.notify_all()
            self._do(some)

    def _do(self, some: Sequence[tuple[Item, "Future[Result]"]]) -> None:
        began = time.perf_counter()
        try:
            results = self._work([item for item, _ in some])
        except BaseException as error:  # noqa: BLE001 -- it is raised where the work was asked for, and the thread goes on
            if len(some) == 1:
                some[0][1].set_exception(error)
                return
            for one in some:  # what is wrong with one must not fail the others
                self._do([one])
            return
        self._on_run(len(some), time.perf_counter() - began)
        for (_, future), result in zip(some, results, strict=True):
            future.set_result(result)
