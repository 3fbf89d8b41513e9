"""What the follower asks of an index: the double of the tests and Milvus itself do the same."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

import support.milvus
from facepool.errors import IndexUnusable
from facepool.gallery.index_address import index_address
from facepool.search.engine import Engine, OpenEngine, milvus
from facepool.search.follower import rebuild, remove, sync
from facepool.search.index_status import status
from support.index_double import ADDRESS, IndexServer
from support.pools import DIMENSION, opened, samples, space, units


@pytest.fixture(params=["double", "lite", pytest.param("server", marks=pytest.mark.milvus)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, OpenEngine]:
    if request.param == "double":
        return str(ADDRESS), IndexServer()
    return support.milvus.lite_address(tmp_path) if request.param == "lite" else support.milvus.address(), milvus


@pytest.fixture
def engine(place: tuple[str, OpenEngine]) -> Iterator[Engine]:
    engine = place[1](index_address(place[0]), f"facepool_{uuid4().hex}")
    yield engine
    engine.drop()
    engine.close()


def all_numbers(engine: Engine) -> list[int]:
    found: list[int] = []
    while more := engine.numbers(found[-1] if found else 0, 9).tolist():
        found += more
    return found


def test_a_collection_keeps_numbers_vectors_and_a_stamp(engine: Engine) -> None:
    assert not engine.exists()
    for use in (engine.stamp, engine.count, lambda: engine.put(np.array([1]), units(1))):
        with pytest.raises(IndexUnusable):
            use()
    for _ in range(2):
        engine.create(DIMENSION)
    with pytest.raises(IndexUnusable):
        engine.create(DIMENSION + 1)
    assert (engine.exists(), engine.count(), engine.stamp()) == (True, 0, "")
    for stamp in ("first", "second"):
        engine.set_stamp(stamp)
        assert engine.stamp() == stamp
    engine.put(np.array([7, 3, 5]), units(3))
    engine.put(np.array([3]), units(1, seed=1))
    engine.settle()
    engine.finish()
    assert engine.numbers(3, 1).tolist() == [5]
    assert all_numbers(engine) == [3, 5, 7]
    engine.remove(np.array([5, 6]))
    engine.settle()
    assert (engine.count(), all_numbers(engine)) == (2, [3, 7])
    engine.purge()
    for _ in range(2):
        engine.drop()
    assert not engine.exists()


def test_a_pool_is_followed_there(place: tuple[str, OpenEngine], tmp_path: Path) -> None:
    address, open_engine = index_address(place[0]), place[1]
    with opened(tmp_path, "pool.db") as pool:
        pool.register("Ada", samples(1, 2, 3), space())
        pool.register("Bo", samples(4), space())
        sync(pool, address, open_engine=open_engine)
        pool.remove("Ada")
        pool.register("Cy", samples(5, 6), space())
        synced = sync(pool, address, open_engine=open_engine)
        assert (synced.put, synced.removed) == (2, 3)
        stood = status(pool, address, open_engine=open_engine)
        assert (stood.is_current, stood.in_index) == (True, 3)
        assert sync(pool, address, thoroughly=True, open_engine=open_engine).put == 0
        assert rebuild(pool, address, open_engine=open_engine).made
        assert status(pool, address, open_engine=open_engine).in_index == 3
        remove(pool, address, open_engine=open_engine)
