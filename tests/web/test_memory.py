"""What is erased leaves the memory of the server, whoever erases it and whether anybody looks or not."""

import gc
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx2
import numpy as np
import pytest

from facepool.gallery import Pool, open_pool
from facepool.search import Search
from facepool.types import Sample
from facepool.web.services.following import Follower
from support.fake_analyzer import SPACE, FakeAnalyzer
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer
from support.pools import unit
from support.web_client import HERE, client_of, look, png

ADA, BOB = (unit(seed, SPACE.dimension) for seed in range(2))


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        pool.register("Ada", [Sample(ADA)], SPACE)
        pool.register("Bob", [Sample(BOB)], SPACE)
    return pool


def copies_of(pool: Pool) -> list["weakref.ref[object]"]:
    vectors = Search(pool).index().layers[0].segment.vectors
    return [weakref.ref(array) for array in (vectors, vectors.base) if array is not None]


def survivors(copies: list["weakref.ref[object]"]) -> int:
    gc.collect()
    return sum(copy() is not None for copy in copies)


def large_garbage(ask: Callable[[], httpx2.Response]) -> tuple[int, list[int]]:
    """The status of an answer, and the sizes of what a request has left to be found by the garbage collection."""
    gc.collect()
    gc.disable()
    try:
        answer = ask()  # with which the client keeps what it sent
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kept = [thing for holder in gc.garbage for thing in gc.get_referents(holder)]
        return answer.status_code, [size for thing in kept if (size := size_of(thing)) > LARGE]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def size_of(thing: object) -> int:
    if isinstance(thing, bytes | bytearray):
        return len(thing)
    return thing.nbytes if isinstance(thing, np.ndarray) else 0


def in_time(happens: Callable[[], bool]) -> bool:
    for _ in range(1000):
        if happens():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.usefixtures("pool")
def test_erasing_leaves_no_vector_in_memory_though_sockets_had_searched(tmp_path: Path) -> None:
    analyzer = FakeLiveAnalyzer()
    with client_of(tmp_path, analyzer) as client, ExitStack() as open_pages:
        sockets = [open_pages.enter_context(client.websocket_connect(f"{HERE}/v1/live")) for _ in range(3)]
        for socket in sockets:
            for _ in range(4):
                told = look(socket, analyzer.frame(Actor(BOB)))
            assert told["faces"][0]["person"] == "Bob"
        own = client.app.state.services.pool.open()  # type: ignore[attr-defined]
        with own:
            copies = copies_of(own)
            assert survivors(copies) == len(copies)
            assert client.delete("/v1/persons/Ada").status_code == 200
            assert survivors(copies) == 0
            assert Search(own).index().names == ("Bob",)


def test_what_another_process_erases_leaves_the_memory_though_nobody_searches(tmp_path: Path, pool: Pool) -> None:
    def open_it() -> Pool:
        return open_pool(tmp_path / "pool.db", SPACE)

    with open_it() as searched:
        copies = copies_of(searched)
        follower = Follower(open_it, every_s=0.01)
        try:
            command = f"from facepool.gallery import open_pool; open_pool({str(tmp_path / 'pool.db')!r}).remove('Ada')"
            subprocess.run([sys.executable, "-c", command], check=True, timeout=60)
            assert in_time(lambda: survivors(copies) == 0)
        finally:
            follower.close()


def test_a_pool_that_cannot_be_opened_for_a_while_is_followed_afterwards(tmp_path: Path, pool: Pool) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    (tmp_path / "pool.db").rename(elsewhere)
    (tmp_path / "pool.db").mkdir()
    follower = Follower(lambda: open_pool(tmp_path / "pool.db", SPACE), every_s=0.01)
    try:
        time.sleep(0.05)
        (tmp_path / "pool.db").rmdir()
        elsewhere.rename(tmp_path / "pool.db")
        with open_pool(tmp_path / "pool.db", SPACE) as searched:
            copies = copies_of(searched)
            with open_pool(tmp_path / "pool.db", SPACE) as other:
                other.remove("Ada")
            assert in_time(lambda: survivors(copies) == 0)
    finally:
        follower.close()


NOISE = np.random.default_rng(13).integers(0, 256, (200, 300, 3), np.uint8)
NOISE[0, 0, 0] = 0  # what FakeAnalyzer finds in it is its first scene
LARGE = 100_000
PICTURES = {
    "good": (png(NOISE), 200),
    "cut": (png(NOISE)[: LARGE + 10_000], 400),
    "no picture": (b"GIF89a" + bytes(3 * LARGE), 400),
    "too large": (b"\xff\xd8\xff" + bytes(17_000_000), 413),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_and_its_pixels_leave_the_memory_with_the_answer(tmp_path: Path, kind: str) -> None:
    # Not at the next collection of garbage, which comes after minutes in a large process.
    picture, status = PICTURES[kind]
    analyzer = FakeAnalyzer()
    analyzer.frame(BOB)
    with client_of(tmp_path, analyzer) as client:

        def ask() -> httpx2.Response:
            return client.post("/v1/detect", content=picture, headers={"content-type": "image/png"})

        ask()
        assert large_garbage(ask) == (status, [])
