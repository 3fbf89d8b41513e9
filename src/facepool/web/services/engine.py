"""The networks, shared by everybody: pictures wait in bounded queues, and what waits runs together.

`Engine` decodes a picture of a request and looks at it in one of its threads. On a CPU these threads run the networks
themselves, as many at a time as there are cores (`Lanes`). Elsewhere a `Batcher` stands before each network, which runs
together what several threads ask for at the same time.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from facepool.faces.analyze import Analyzer, Embed
from facepool.faces.embed import EmbeddedFaces
from facepool.faces.find import Detect
from facepool.types import AlignedFaces, Detections, Floats, ReducedImage
from facepool.web.problems import ServerBusy
from facepool.web.services.decoding import Decoder, OnSize, ignore_size
from facepool.web.services.turns import Line, Places, Workers, ended, whose_turn

Item = TypeVar("Item")
Result = TypeVar("Result")
OnRun = Callable[[str, int, float], None]

_BATCH = 8
_PATIENCE_S = 30.0
_FACES_AT_ONCE = 16
"""So many of one picture are embedded before others have their turn: a crowd is not waited for."""


@dataclass(frozen=True, slots=True)
class ScoredFaces:
    """The faces of a picture, embedded.

    Attributes:
        embedded: N faces and their (N, D) embeddings.
        passive: (N,) how alive each looks to the operator's networks for it; None without any.
    """

    embedded: tuple[Detections, Floats]
    passive: Floats | None

    def passive_of(self, row: int) -> Floats | None:
        """(1,) of one face."""
        return None if self.passive is None else self.passive[row : row + 1]


class Engine:
    """The one analyzer of the process behind bounded queues.

    Requests are turned away when too many others wait. Threads that look at one picture after another, such as those
    of cameras, use ``analyzer`` and wait for their turn: there is at most one picture of each.

    Args:
        analyzer: With the networks. Nobody else may use it.
        decoder: Makes pixels of the pictures; ended with the engine. One of its own by default.
        queue: How many pictures of requests may be here at once.
        batch: How many pictures a network looks at together; None: what suits its device.
        on_run: Is called after each run of a network: which, how many items, how long in seconds.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        decoder: Decoder | None = None,
        *,
        queue: int = 64,
        batch: int | None = None,
        on_run: OnRun = lambda _network, _count, _took_s: None,
    ) -> None:
        self._closing: list[Callable[[], None]] = []
        # Where runs go side by side there is nothing to be won by running together what waits.
        lanes = Lanes(analyzer.runs_at_once) if batch is None and analyzer.runs_at_once > 1 else None
        if lanes is not None:
            self._closing.append(lanes.close)

        def batcher(name: str, work: Callable[[Sequence[Item]], list[Result]], device: str) -> Batcher[Item, Result]:
            made = Batcher(
                work,
                batch=batch or _batch_on(device),
                queue=queue,
                name=f"facepool-{name}",
                on_run=partial(on_run, name),
            )
            self._closing.append(made.close)
            return made

        def queued_detect(detect: Detect, device: str) -> Detect:
            if lanes is None:
                return batcher("detector", detect, device).do
            return lambda images: lanes.run(detect, images, partial(on_run, "detector", len(images)))

        def queued_embed(embed: Embed, device: str) -> Embed:
            if lanes is None:
                together = batcher("embedder", partial(_embed_together, embed), device)
                return _in_parts(embed, lambda faces: together.do([faces])[0])
            return _in_parts(embed, lambda faces: lanes.run(embed, faces, partial(on_run, "embedder", 1)))

        self.analyzer = analyzer.with_stages(queued_detect, queued_embed)
        """As an ``Analyzer``, for any number of threads at once."""
        self.decoder = decoder or Decoder()
        """For pictures that are looked at elsewhere."""
        # They wait most of the time; as many as fill two batches keep the networks busy, whosever they are.
        of_one = 2 * max(batch or _BATCH, 2)
        self._workers = Workers(of_one + of_one // 2, of_one, queue, (queue + 1) // 2, "facepool-look")

    @property
    def waiting(self) -> int:
        """How many pictures of requests are here."""
        return len(self._workers)

    async def look(
        self, client: str, picture: bytes, work: Callable[[ReducedImage], Result], on_size: OnSize = ignore_size
    ) -> Result:
        """Decode a picture of a request and do something with it, both in one of the engine's threads.

        Args:
            client: Whose picture it is. Clients take turns, and one may take half of the places.
            picture: The file, of any kind that the decoder takes.
            work: What to do with it, given no larger than its faces need to be found.
            on_size: Is told how many pixels it has, before it is decoded, and may refuse it.

        Raises:
            ServerBusy: Too many others wait, or too many of this client.
            TooLarge: The file or the picture is.
            PictureUnsupported: It is of a kind that is not taken.
            PictureTooCostly: Decoding it takes too much work.
            ImageUnreadable: It is no picture, or a damaged one.
        """
        # Although its client may be gone, a picture takes its place until it was looked at.
        return await asyncio.wrap_future(self._workers.submit(client, partial(self._look, picture, work, on_size)))

    def embed(self, picture: ReducedImage) -> tuple[Detections, Floats]:
        """Find and embed the faces of one picture, without what it takes to judge them; in a thread."""
        return self.analyzer.embed_batch([picture])[0]

    def embed_and_score(self, picture: ReducedImage) -> ScoredFaces:
        """The same, and how alive the faces look, where the operator has networks for it; in a thread."""
        embedded = self.embed(picture)
        return ScoredFaces(embedded, self.analyzer.passive_scores(picture, embedded[0]))

    def close(self) -> None:
        """Take nothing more."""
        for close in self._closing:
            close()
        self.decoder.close()
        self._workers.close()

    def _look(self, picture: bytes, work: Callable[[ReducedImage], Result], on_size: OnSize) -> Result:
        with self.decoder.reduced(picture, self.analyzer.least_side, on_size=on_size) as reduced:
            return work(reduced)


def _in_parts(embed: Embed, some: Embed) -> Embed:
    """Embed a few faces at a time, in turn with others."""

    def embed_in_turn(faces: AlignedFaces) -> EmbeddedFaces:
        if not len(faces):
            return embed(faces)
        parts = range(0, len(faces), _FACES_AT_ONCE)
        return EmbeddedFaces.joined([some(faces[at : at + _FACES_AT_ONCE]) for at in parts])

    return embed_in_turn


class Lanes:
    """Lets a few threads run networks at a time: of those that wait, clients in turn.

    Where each run has a core of its own, this takes less than a thread for each network that is handed its work.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self._places = Places(count, count)
        self._closed = False

    def __len__(self) -> int:
        """How many threads wait."""
        return len(self._places)

    def run(self, work: Callable[[Item], Result], item: Item, on_run: Callable[[float], None]) -> Result:
        """Do some work in this thread, when it is its turn.

        Args:
            work: Runs a network.
            item: What it is given.
            on_run: Is told how long it took, in seconds.

        Raises:
            ServerBusy: The server ends.
        """
        with self._places.place():
            if self._closed:
                raise ended()
            began = time.perf_counter()
            result = work(item)
            on_run(time.perf_counter() - began)
            return result

    def close(self) -> None:
        """Take nothing more; those that wait get an error that says so."""
        self._closed = True


def _embed_together(embed: Embed, items: Sequence[AlignedFaces]) -> list[EmbeddedFaces]:
    """Embed the faces of several pictures as one batch, where all are embedded in the same way."""
    if len(items) == 1 or len({faces.one_view for faces in items}) > 1:
        return [embed(faces) for faces in items]
    together = replace(items[0], images_bgr=np.concatenate([faces.images_bgr for faces in items]))
    return embed(together).split([len(faces) for faces in items])


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
