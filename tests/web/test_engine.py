"""The queue before the networks: what waits runs together, and nobody's trouble is another one's."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from facepool import Analyzer, load_analyzer, read_image
from facepool.faces.analyze import Faces
from facepool.models.store import ModelStore
from facepool.types import Image
from facepool.web.problems import ServerBusy
from facepool.web.services.engine import Batcher, Engine
from support.web_client import png


class Gate:
    """Work that waits until it is let through, and knows what it was given."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.begun.set()
        assert self.open.wait(10)
        if 13 in items:
            raise ValueError("13")
        return [item * item for item in items]


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_what_waits_runs_together_up_to_a_batch_in_the_order_of_coming(gate: Gate) -> None:
    batcher = Batcher(gate, batch=3, queue=10, name="test")
    with ThreadPoolExecutor(6) as threads:
        first = threads.submit(batcher.do, [0])
        assert gate.begun.wait(10)
        others = batch_of(threads, batcher, range(1, 6))
        gate.open.set()
        assert first.result() == [0]
        assert [other.result() for other in others] == [[1], [4], [9], [16], [25]]
    assert gate.batches == [[0], [1, 2, 3], [4, 5]]
    batcher.close()


def batch_of(threads: ThreadPoolExecutor, batcher: Batcher[int, int], items: range) -> list[Future[list[int]]]:
    """Ask for each, the next one only when the one before is in the queue."""
    asked = []
    for count, item in enumerate(items, 1):
        asked.append(threads.submit(batcher.do, [item]))
        while len(batcher) < count:
            pass
    return asked


def test_what_fails_fails_for_who_asked_alone(gate: Gate) -> None:
    batcher = Batcher(gate, batch=8, queue=10, name="test")
    with ThreadPoolExecutor(4) as threads:
        threads.submit(batcher.do, [0])
        assert gate.begun.wait(10)
        asked = batch_of(threads, batcher, range(12, 15))
        gate.open.set()
        assert asked[0].result() == [144]
        with pytest.raises(ValueError, match="13"):
            asked[1].result()
        assert asked[2].result() == [196]
    batcher.close()


def test_who_waits_when_the_server_ends_is_told_so(gate: Gate) -> None:
    batcher = Batcher(gate, batch=1, queue=10, name="test")
    with ThreadPoolExecutor(2) as threads:
        working = threads.submit(batcher.do, [2])
        assert gate.begun.wait(10)
        (waiting,) = batch_of(threads, batcher, range(3, 4))
        gate.open.set()
        batcher.close()
        with pytest.raises(ServerBusy):
            waiting.result()
        assert working.result() == [4]
    with pytest.raises(ServerBusy):
        batcher.do([1])


@pytest.fixture(scope="module")
def networks(open_store: ModelStore) -> Analyzer:
    return load_analyzer(store=open_store)


@pytest.fixture(scope="module")
def engine(networks: Analyzer) -> Iterator[Engine]:
    engine = Engine(networks, batch=4)
    yield engine
    engine.close()


def test_many_at_once_see_what_one_sees(engine: Engine, networks: Analyzer, photos: Path) -> None:
    images = [read_image(path) for path in sorted(photos.glob("*.jpg"))] * 4
    alone = [networks.analyze(image) for image in images[:6]] * 4
    with ThreadPoolExecutor(12) as threads:
        together = list(threads.map(engine.analyzer.analyze, images))
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)


def assert_same(one: Faces, other: Faces) -> None:
    np.testing.assert_allclose(one.detections.boxes, other.detections.boxes, atol=0.01)
    np.testing.assert_allclose(one.embeddings, other.embeddings, atol=1e-4)


def test_a_picture_to_recognize_is_not_measured(engine: Engine, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (photos / "person_a_1.jpg").read_bytes()
    measured = asyncio.run(engine.look(data, engine.analyzer.analyze))
    monkeypatch.setattr("facepool.faces.analyze.measure", None)
    detections, embeddings = asyncio.run(engine.look(data, engine.embed))
    np.testing.assert_allclose(detections.boxes, measured.detections.boxes, atol=0.01)
    np.testing.assert_allclose(embeddings, measured.embeddings, atol=1e-4)


def test_requests_are_turned_away_when_too_many_wait(networks: Analyzer) -> None:
    engine = Engine(networks, queue=3)
    picture = png(np.zeros((480, 640, 3), np.uint8))

    async def ask() -> list[object]:
        looks = (engine.look(picture, engine.analyzer.find) for _ in range(5))
        return await asyncio.gather(*looks, return_exceptions=True)

    told = asyncio.run(ask())
    engine.close()
    assert [isinstance(answer, ServerBusy) for answer in told] == [False] * 3 + [True] * 2
    assert engine.waiting == 0


def test_large_pictures_are_looked_at_one_after_the_other(networks: Analyzer) -> None:
    engine = Engine(networks, queue=64)
    picture = png(np.zeros((4000, 8000, 3), np.uint8))
    at_work: list[int] = []

    def look(image_bgr: Image) -> int:
        at_work.append(1)
        engine.analyzer.find(image_bgr)
        at_work.append(-1)
        return int(np.cumsum(at_work).max())

    async def ask() -> list[object]:
        return await asyncio.gather(*(engine.look(picture, look) for _ in range(3)), return_exceptions=True)

    told = asyncio.run(ask())
    engine.close()
    assert [answer for answer in told if not isinstance(answer, ServerBusy)]  # who waits for too long is told so
    assert {answer for answer in told if isinstance(answer, int)} == {1}
