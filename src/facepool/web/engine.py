"""The networks, shared by everybody: one queue each, and what waits runs together."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import TypeVar

import numpy as np

from facepool.faces.analyze import Analyzer, Detector, FaceEmbedder, Faces
from facepool.models.catalog import FmrCurve
from facepool.types import AlignedFaces, Detections, EmbeddingSpace, Floats, Image
from facepool.web.batcher import Batcher
from facepool.web.problems import ServerBusy

Result = TypeVar("Result")
Tell = Callable[[str, int, float], None]
_MOST_PIXELS = 256_000_000
_BATCH = 8


class Engine:
    """The one analyzer of the process behind bounded queues.

    Requests are turned away when too many others wait. Threads that look at one picture after another, such as those
    of cameras, use ``analyzer`` and wait for their turn: there is at most one picture of each.

    Args:
        analyzer: With the networks. Nobody else may use it.
        queue: How many pictures of requests may be here at once.
        batch: How many pictures a network looks at together; None: what suits its device.
        tell: Is told of each run of a network: which, how many items, how long in seconds.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        *,
        queue: int = 64,
        batch: int | None = None,
        tell: Tell = lambda _network, _count, _took_s: None,
    ) -> None:
        self._detecting: _QueuedDetector | None = None
        self._embedding: _QueuedEmbedder | None = None

        def before_detector(detector: Detector) -> Detector:
            self._detecting = _QueuedDetector(detector, batch or _batch_on(detector.device), queue, tell)
            return self._detecting

        def before_embedder(embedder: FaceEmbedder) -> FaceEmbedder:
            self._embedding = _QueuedEmbedder(embedder, batch or _batch_on(embedder.device), queue, tell)
            return self._embedding

        self.analyzer = analyzer.with_stages(before_detector, before_embedder)
        """As an ``Analyzer``, for any number of threads at once."""
        self._most = queue
        self._lock = threading.Lock()
        self._here = 0
        self._pixels = 0
        # They wait most of the time; as many as fill two batches keep the networks busy.
        self._threads = ThreadPoolExecutor(2 * max(batch or _BATCH, 2), thread_name_prefix="facepool-look")

    @property
    def waiting(self) -> int:
        """How many pictures of requests are here."""
        return self._here

    async def analyze(self, image_bgr: Image) -> Faces:
        """Find, align, measure and embed the faces of one image, (H, W, 3) uint8 BGR.

        Raises:
            ServerBusy: Too many others wait.
        """
        return await self._do(self.analyzer.analyze, image_bgr)

    async def find(self, image_bgr: Image) -> Detections:
        """Find the faces of one image, (H, W, 3) uint8 BGR, and nothing else.

        Raises:
            ServerBusy: Too many others wait.
        """
        return await self._do(self.analyzer.find, image_bgr)

    async def embed(self, faces: AlignedFaces) -> Floats:
        """Embed faces that are cut out already, (N, D) float32.

        Raises:
            ServerBusy: Too many others wait.
        """
        with self._admitted(faces.images_bgr):
            return await asyncio.get_running_loop().run_in_executor(self._threads, self.analyzer.embed, faces)

    def close(self) -> None:
        """Take nothing more."""
        for stage in (self._detecting, self._embedding):
            if stage is not None:
                stage.batcher.close()
        self._threads.shutdown()

    async def _do(self, look: Callable[[Image], Result], image_bgr: Image) -> Result:
        with self._admitted(image_bgr):
            return await asyncio.get_running_loop().run_in_executor(self._threads, look, image_bgr)

    @contextmanager
    def _admitted(self, image_bgr: Image) -> Iterator[None]:
        """A place for a picture, unless there are too many, or they are too large together."""
        pixels = image_bgr.size // 3
        with self._lock:
            if self._here >= self._most or (self._here and self._pixels + pixels > _MOST_PIXELS):
                raise ServerBusy(
                    "The server is busy", why=f"{self._here} pictures wait", fix="Try again in a moment, or send fewer"
                )
            self._here += 1
            self._pixels += pixels
        try:
            yield
        finally:
            with self._lock:
                self._here -= 1
                self._pixels -= pixels


class _QueuedDetector:
    """A detector that many threads may use."""

    def __init__(self, detector: Detector, batch: int, queue: int, tell: Tell) -> None:
        self._detector = detector
        self.batcher = Batcher(
            detector.detect, batch=batch, queue=queue, name="facepool-detect", tell=lambda n, s: tell("detector", n, s)
        )

    @property
    def runs_on(self) -> str:
        return self._detector.runs_on

    @property
    def device(self) -> str:
        return self._detector.device

    def detect(self, images_bgr: Sequence[Image]) -> list[Detections]:
        return self.batcher.do(images_bgr)


class _QueuedEmbedder:
    """An embedder that many threads may use; the faces of several pictures run as one batch."""

    def __init__(self, embedder: FaceEmbedder, batch: int, queue: int, tell: Tell) -> None:
        self._embedder = embedder
        self.batcher = Batcher(
            self._embed_together,
            batch=batch,
            queue=queue,
            name="facepool-embed",
            tell=lambda n, s: tell("embedder", n, s),
        )

    @property
    def space(self) -> EmbeddingSpace:
        return self._embedder.space

    @property
    def fmr(self) -> FmrCurve | None:
        return self._embedder.fmr

    @property
    def runs_on(self) -> str:
        return self._embedder.runs_on

    @property
    def device(self) -> str:
        return self._embedder.device

    def embed(self, faces: AlignedFaces) -> Floats:
        if len(faces) == 0:
            return self._embedder.embed(faces)
        (vectors,) = self.batcher.do([faces])
        return vectors

    def _embed_together(self, items: Sequence[AlignedFaces]) -> list[Floats]:
        if len(items) == 1:
            return [self._embedder.embed(items[0])]
        vectors = self._embedder.embed(
            AlignedFaces(np.concatenate([faces.images_bgr for faces in items]), items[0].template)
        )
        ends = np.cumsum([0, *(len(faces) for faces in items)])
        return [vectors[start:end] for start, end in pairwise(ends)]


def _batch_on(device: str) -> int:
    """A CPU gains nothing from batches: the first of a batch would only wait for the last."""
    return 1 if device == "cpu" else _BATCH
