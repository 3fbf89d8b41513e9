"""The queue before the networks: what waits runs together, and nobody's trouble is another one's."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pytest

from facepool import Analyzer, load_analyzer, read_image
from facepool.faces.analyze import Embed, Faces
from facepool.faces.embed import EmbeddedFaces
from facepool.models.store import ModelStore
from facepool.threads import default_threads
from facepool.types import AlignedFaces, ReducedImage
from facepool.web.problems import ServerBusy
from facepool.web.services.engine import Batcher, Engine, Lanes
from facepool.web.services.turns import work_for
from support.fake_analyzer import FakeAnalyzer
from support.web_client import png

SMALL = png(np.zeros((8, 8, 3), np.uint8))


LARGE = png(np.zeros((4000, 6000, 3), np.uint8))


def size_of(picture: ReducedImage) -> tuple[int, int]:
    return picture.size_wh


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


def test_where_runs_go_side_by_side_each_thread_runs_the_networks_itself(networks: Analyzer, photos: Path) -> None:
    assert networks.runs_at_once in (1, default_threads())  # by the engine
    ran: list[str] = []
    engine = Engine(networks, on_run=lambda network, count, _took_s: ran.append(f"{network} {count}"))
    images = [read_image(path) for path in sorted(photos.glob("*.jpg"))[:2]] * 3
    alone = [networks.analyze(image) for image in images[:2]] * 3
    with ThreadPoolExecutor(6) as threads:
        for one, other in zip(alone, threads.map(engine.analyzer.analyze, images), strict=True):
            assert_same(one, other)
    assert ran.count("embedder 1") == 6
    assert ran.count("detector 1") >= 6
    engine.close()
    with pytest.raises(ServerBusy, match="ends"):
        engine.analyzer.analyze(images[0])


def test_clients_take_turns_for_the_lanes(gate: Gate) -> None:
    lanes = Lanes(1)

    def ask(client: str, number: int) -> int:
        work_for(client)
        return lanes.run(gate, [number], lambda _took_s: None)[0]

    def asked(client: str, number: int, waiting: int) -> Future[int]:
        future = threads.submit(ask, client, number)
        while len(lanes) < waiting:
            pass
        return future

    with ThreadPoolExecutor(5) as threads:
        first = threads.submit(ask, "greedy", 0)
        assert gate.begun.wait(10)
        others = [asked("greedy", 1, 1), asked("greedy", 2, 2), asked("modest", 3, 3)]
        gate.open.set()
        assert [future.result() for future in (first, *others)] == [0, 1, 4, 9]
        assert gate.batches.index([3]) <= 2
        with pytest.raises(ValueError, match="13"):
            ask("anybody", 13)
        assert ask("anybody", 4) == 16
        lanes.close()
        with pytest.raises(ServerBusy):
            ask("anybody", 5)


def assert_same(one: Faces, other: Faces) -> None:
    np.testing.assert_allclose(one.detections.boxes, other.detections.boxes, atol=0.01)
    np.testing.assert_allclose(one.embeddings, other.embeddings, atol=1e-4)


def test_a_picture_to_recognize_is_not_measured(engine: Engine, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (photos / "person_a_1.jpg").read_bytes()
    measured = asyncio.run(engine.look("me", data, engine.analyzer.analyze))
    monkeypatch.setattr("facepool.faces.analyze.measure", None)
    detections, embeddings = asyncio.run(engine.look("me", data, engine.embed))
    np.testing.assert_allclose(detections.boxes, measured.detections.boxes, atol=0.01)
    np.testing.assert_allclose(embeddings, measured.embeddings, atol=1e-4)


def test_requests_are_turned_away_when_too_many_wait(networks: Analyzer) -> None:
    engine = Engine(networks, queue=3)
    picture = png(np.zeros((480, 640, 3), np.uint8))

    async def ask() -> list[object]:
        looks = (engine.look(f"client {number}", picture, engine.analyzer.find) for number in range(5))
        return await asyncio.gather(*looks, return_exceptions=True)

    told = asyncio.run(ask())
    engine.close()
    assert [isinstance(answer, ServerBusy) for answer in told] == [False] * 3 + [True] * 2
    assert engine.waiting == 0


def test_one_client_is_turned_away_while_there_is_room_for_others() -> None:
    engine, gate = Engine(FakeAnalyzer(), queue=8), threading.Event()

    async def ask() -> None:
        many = [asyncio.ensure_future(engine.look("greedy", SMALL, lambda _: gate.wait(60))) for _ in range(6)]
        await asyncio.sleep(0)
        refused = [look.exception() for look in many if look.done()]
        assert [isinstance(error, ServerBusy) and "of yours" in error.why for error in refused] == [True, True]
        assert await asyncio.wait_for(engine.look("modest", SMALL, size_of), 60) == (8, 8)
        gate.set()
        await asyncio.gather(*many, return_exceptions=True)

    asyncio.run(ask())
    engine.close()


def test_a_flood_of_large_pictures_of_one_client_keeps_nobody_else_waiting() -> None:
    """The attack: pictures that take long, more of them than there are threads, and than fit into memory."""
    may_go_on = threading.Event()

    def look(picture: ReducedImage) -> tuple[int, int]:
        may_go_on.wait(60)
        return picture.size_wh

    engine = Engine(FakeAnalyzer())

    async def ask() -> None:
        flood = [asyncio.ensure_future(engine.look("attacker", LARGE, look)) for _ in range(32)]
        await asyncio.sleep(0.05)
        for client in ("Ada", "Bob"):
            answers = (engine.look(client, SMALL, size_of) for _ in range(4))
            assert await asyncio.wait_for(asyncio.gather(*answers), 30) == [(8, 8)] * 4
        assert not any(look.done() for look in flood)
        may_go_on.set()
        for look_at_one in flood[2:]:
            look_at_one.cancel()
        assert await asyncio.gather(*flood[:2]) == [(6000, 4000)] * 2

    asyncio.run(ask())
    engine.close()


def test_large_pictures_are_looked_at_one_after_the_other() -> None:
    now, most, lock = 0, 0, threading.Lock()

    def look(_: ReducedImage) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1

    engine = Engine(FakeAnalyzer())

    async def ask() -> None:
        await asyncio.gather(*(engine.look("me", LARGE, look) for _ in range(3)))

    asyncio.run(ask())
    engine.close()
    assert most == 1


def test_a_crowd_is_embedded_in_parts_so_that_others_have_their_turn() -> None:
    class Crowd(FakeAnalyzer):
        """Its stages are networks that say how much they were given."""

        given: ClassVar[list[int]] = []

        def with_stages(self, *stages: object) -> Analyzer:
            stage_embed = cast("Callable[[Embed, str], Embed]", stages[1])

            def embed(faces: AlignedFaces) -> EmbeddedFaces:
                self.given.append(len(faces))
                numbers = np.full((len(faces), 2), len(self.given), np.float32)
                return EmbeddedFaces(numbers, numbers[:, 0])

            self.embed_crowd = stage_embed(embed, "cpu")
            return self

    analyzer = Crowd()
    engine = Engine(analyzer)
    embedded = analyzer.embed_crowd(AlignedFaces(np.zeros((100, 2, 2, 3), np.uint8), "arcface-112"))
    engine.close()
    assert analyzer.given == [16] * 6 + [4]
    assert embedded.vectors[:, 0].tolist() == [1 + face // 16 for face in range(100)]
    assert embedded.qualities.tolist() == embedded.vectors[:, 0].tolist()


def test_clients_take_turns_before_a_network(gate: Gate) -> None:
    batcher = Batcher(gate, batch=1, queue=10, name="test")

    def ask(client: str, items: Sequence[int]) -> list[int]:
        work_for(client)
        return batcher.do(items)

    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(ask, "greedy", [0, 1, 2, 3])
        assert gate.begun.wait(10)
        while len(batcher) < 3:
            pass
        other = threads.submit(ask, "modest", [9])
        while len(batcher) < 4:
            pass
        gate.open.set()
        assert (first.result(), other.result()) == ([0, 1, 4, 9], [81])
    assert gate.batches.index([9]) <= 2
    batcher.close()
