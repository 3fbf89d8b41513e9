"""A collection of Milvus lists the templates nearest to a face; what goes wrong there is said in our words."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

import support.milvus
from facepool.errors import IndexUnreachable, IndexUnusable
from facepool.gallery.index_address import index_address
from facepool.search import milvus
from facepool.search.milvus import MilvusIndex
from support.pools import units
from support.ports import free_port

DIMENSION = 16


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> str:
    return support.milvus.lite_address(tmp_path_factory.mktemp("lite"))


@pytest.fixture(params=["lite", pytest.param("server", marks=pytest.mark.milvus)])
def index(request: pytest.FixtureRequest) -> Iterator[MilvusIndex]:
    place = support.milvus.address() if request.param == "server" else request.getfixturevalue("lite")
    made = MilvusIndex(index_address(place), f"facepool_{uuid4().hex}")
    made.create(DIMENSION)
    yield made
    made.drop()
    made.close()


def test_what_is_stored_is_listed_nearest_first(index: MilvusIndex) -> None:
    vectors = units(300, DIMENSION)
    index.put(np.arange(300)[::-1] + 1, vectors[::-1])
    index.settle()
    assert index.count() == 300
    for view, (numbers, similarities) in zip(vectors[:3], index.nearest(vectors[:3], 7), strict=True):
        expected = vectors @ view
        assert numbers.tolist() == (np.argsort(-expected)[:7] + 1).tolist()
        assert similarities == pytest.approx(np.sort(expected)[::-1][:7], abs=1e-5)
    assert index.nearest(vectors[:0], 7) == []


def test_a_number_is_there_once_and_may_be_removed_twice(index: MilvusIndex) -> None:
    vectors = units(3, DIMENSION)
    index.put(np.array([5, 6, 7]), vectors)
    index.put(np.array([5]), -vectors[:1])
    index.settle()
    assert index.numbers(0, 9).tolist() == [5, 6, 7]
    assert index.nearest(-vectors[:1], 1)[0][0].tolist() == [5]
    for _ in range(2):
        index.remove(np.array([5, 99]))
        index.settle()
        assert index.numbers(0, 9).tolist() == [6, 7]
        assert index.count() == 2
    index.put(np.zeros(0, np.int64), vectors[:0])
    index.remove(np.zeros(0, np.int64))
    assert index.count() == 2


@pytest.mark.parametrize("index", ["lite"], indirect=True)  # a server takes half a second for each look
def test_numbers_come_rising_whatever_lies_between_them(index: MilvusIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "LONGEST_LIST", 8)
    numbers = np.array([3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 5_000, *range(6_000, 6_012), (1 << 62) + 1])
    index.put(np.random.default_rng(0).permutation(numbers), units(len(numbers), DIMENSION))
    found: list[int] = []
    while len(part := index.numbers(found[-1] if found else -1, 8)):
        found += part.tolist()
    assert found == numbers.tolist()


def test_making_it_again_changes_nothing_and_another_dimension_is_refused(index: MilvusIndex) -> None:
    index.put(np.array([1]), units(1, DIMENSION))
    index.create(DIMENSION)
    assert index.exists()
    assert index.count() == 1
    with pytest.raises(IndexUnusable, match="16 dimensions, those of the pool 32"):
        index.create(32)
    for wrong in (lambda: index.nearest(units(1, 8), 1), lambda: index.put(np.array([1]), units(1, 8))):
        with pytest.raises(IndexUnusable, match="not as facepool makes it"):
            wrong()


def test_a_collection_that_was_dropped_says_so(index: MilvusIndex) -> None:
    index.drop()
    assert not index.exists()
    index.drop()
    for use in (index.count, lambda: index.nearest(units(1, DIMENSION), 1), lambda: index.remove(np.array([1]))):
        with pytest.raises(IndexUnusable, match=r"no collection facepool_.*index rebuild"):
            use()


def test_a_collection_of_somebody_else_is_refused(index: MilvusIndex) -> None:
    index.drop()
    for other in ("vector", "face"):
        index._client().create_collection(index._name, dimension=DIMENSION, vector_field_name=other)
        with pytest.raises(IndexUnusable, match="other fields"):
            index.create(DIMENSION)
        index.drop()


def test_a_server_that_is_not_there_is_said_at_once_and_no_password_is() -> None:
    pytest.importorskip("pymilvus")
    index = MilvusIndex(index_address(f"milvus://me:s3cret@127.0.0.1:{free_port()}"), "facepool_test")
    with pytest.raises(IndexUnreachable, match="no server answers there") as raised:
        index.count()
    assert "s3cret" not in f"{raised.value} {index!r}"
    assert "me:***@127.0.0.1" in str(raised.value)


@pytest.mark.milvus
def test_a_login_that_is_refused_is_said_apart_from_a_server_that_is_away() -> None:
    running = support.milvus.server()
    for login in ("root:s3cret", ""):
        index = MilvusIndex(index_address(running.address(login=login)), "facepool_test")
        with pytest.raises(IndexUnreachable, match=r"does not accept the login[\s\S]*[Cc]heck the user") as raised:
            index.count()
        assert "s3cret" not in str(raised.value)


@pytest.mark.milvus
def test_a_server_without_tls_and_one_without_the_database_are_said_as_what_they_are() -> None:
    running = support.milvus.server()
    plain = MilvusIndex(index_address(f"milvus+tls://localhost:{running.port}"), "facepool_test")
    with pytest.raises(IndexUnreachable, match=r"does not speak TLS[\s\S]*milvus://"):
        plain.create(DIMENSION)
    nowhere = MilvusIndex(index_address(running.address(database="nowhere")), "facepool_test")
    with pytest.raises(IndexUnusable, match="its server has no database nowhere"):
        nowhere.create(DIMENSION)


def test_a_file_that_cannot_be_opened_is_no_server_that_is_away(tmp_path: Path) -> None:
    support.milvus.lite_address(tmp_path)
    (tmp_path / "other.db").write_bytes(b"something else")
    for path in (tmp_path / "other.db", tmp_path / "missing" / "index.db"):
        index = MilvusIndex(index_address(f"milvus+lite:{path}"), "facepool_test")
        with pytest.raises(IndexUnreachable, match=r"its file cannot be opened[\s\S]*name another file"):
            index.create(DIMENSION)


def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pymilvus")
    monkeypatch.setattr(milvus, "_SEARCH_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = MilvusIndex(index_address(f"milvus://127.0.0.1:{silent.getsockname()[1]}"), "facepool_test")
        with pytest.raises(IndexUnreachable):
            index.count()


def test_a_stamp_is_the_last_one_that_was_left(tmp_path: Path) -> None:
    index = MilvusIndex(index_address(support.milvus.lite_address(tmp_path)), "facepool_test")
    _stamp_twice(index)
    index.drop()
    assert not index.exists()


@pytest.mark.milvus
def test_a_frozen_server_is_given_up_in_time_and_a_killed_one_still_has_the_stamp(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert milvus._CHANGE_S <= 10.0
    with support.milvus.own_server() as running:
        index = MilvusIndex(index_address(running.address()), "facepool_test")
        _stamp_twice(index)
        monkeypatch.setattr(milvus, "_CHANGE_S", 0.5)
        running.freeze()
        began_s = time.monotonic()
        for ask in (index.exists, index.count, index.stamp, lambda: index.remove(np.array([1]))):
            with pytest.raises(IndexUnreachable):
                ask()
        assert time.monotonic() - began_s < 10.0
        running.thaw()
        monkeypatch.undo()
        running.kill()
        running.start()
        assert index.stamp() == "second"
        index.drop()


def _stamp_twice(index: MilvusIndex) -> None:
    index.create(DIMENSION)
    assert index.stamp() == ""
    for text in ("first", "second", "second"):
        index.set_stamp(text)
        assert index.stamp() == text
