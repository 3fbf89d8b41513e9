"""Vectors are in memory once for all who have a gallery open, and leave it with the change that erased them."""

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from facepool.errors import PoolError, SpaceMismatch
from facepool.gallery import Changes, Pool
from facepool.search import Index, Search, follow
from support.pools import BACKENDS, delete, opened, samples, space, unit


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def pools(tmp_path: Path, backend: str) -> Iterator[list[Pool]]:
    """One file, opened four times."""
    with ExitStack() as stack:
        first = stack.enter_context(opened(tmp_path, backend))
        first.register("Ada", samples(1, 2), space())
        first.register("Bob", samples(3), space())
        yield [first, *(stack.enter_context(opened(tmp_path, backend)) for _ in range(3))]


def arrays_of(index: Index) -> list["weakref.ref[object]"]:
    """Whatever holds numbers of vectors; an array may be a part of another one."""
    arrays: list[npt.NDArray[np.generic]] = []
    for layer in index.layers:
        arrays.append(layer.segment.vectors)
        if layer.segment.codes is not None:
            arrays.append(layer.segment.codes.rows)
    return [weakref.ref(one) for array in arrays for one in (array, array.base) if one is not None]


def test_all_who_have_the_files_open_share_one_index(pools: list[Pool]) -> None:
    assert len({id(Search(pool).index()) for pool in pools}) == 1
    pools[2].register("Eve", samples(4), space())
    assert {Search(pool).index().names for pool in pools} == {("Ada", "Bob", "Eve")}
    assert len({id(Search(pool).index()) for pool in pools}) == 1


@pytest.mark.parametrize("coded", [False, True])
def test_no_copy_of_an_erased_vector_survives(
    pools: list[Pool], monkeypatch: pytest.MonkeyPatch, *, coded: bool
) -> None:
    if coded:
        monkeypatch.setattr("facepool.search.index._CODED_TEMPLATES", 1)
    copies = [copy for pool in pools for copy in arrays_of(Search(pool).index())]
    assert all(copy() is not None for copy in copies)
    pools[0].remove("Ada")
    follow(pools[1])
    gc.collect()
    assert [copy() for copy in copies if copy() is not None] == []
    assert Search(pools[3]).index().vectors.tolist() == [unit(3).tolist()]


def test_nothing_is_read_for_who_never_searched(pools: list[Pool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Index, "of", None)
    for pool in pools:
        follow(pool)


def test_several_at_once_read_the_files_once(pools: list[Pool], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Changes] = []
    of = Index.of

    def count(changes: Changes) -> Index:
        made.append(changes)
        return of(changes)

    monkeypatch.setattr(Index, "of", count)
    together = threading.Barrier(len(pools))

    def search(pool: Pool) -> Index:
        together.wait(10)
        return Search(pool).index()

    with ThreadPoolExecutor(len(pools)) as threads:
        assert len({id(index) for index in threads.map(search, pools)}) == 1
    assert len(made) == 1


def test_many_threads_see_what_each_of_them_wrote(tmp_path: Path, backend: str) -> None:
    def enroll(number: int) -> None:
        with opened(tmp_path, backend, timeout_s=30) as pool:
            for turn in range(5):
                name = f"{number}-{turn}"
                pool.register(name, samples(10 * number + turn), space())
                assert name in Search(pool).index().names
                if turn % 2:
                    pool.remove(name)
                    assert name not in Search(pool).index().names

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(enroll, range(4)))
    with opened(tmp_path, backend) as pool:
        assert len(Search(pool).index()) == len(pool.templates()) == 12


def test_a_file_in_the_place_of_another_is_another_gallery(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with opened(tmp_path / "elsewhere", "pool.db") as other:
        other.register("Zoe", samples(9), space())
    with opened(tmp_path, "pool.db") as before:
        before.register("Ada", samples(1), space())
        assert Search(before).index().names == ("Ada",)
        (tmp_path / "elsewhere" / "pool.db").replace(tmp_path / "pool.db")
        for beside in tmp_path.glob("pool.db-*"):
            beside.unlink()
        with opened(tmp_path, "pool.db") as after:
            assert after.revision() == 1
            assert Search(after).index().names == ("Zoe",)
            with pytest.raises(PoolError):
                Search(before).index()


def test_a_file_that_has_the_number_of_one_that_was_deleted_is_another_gallery(tmp_path: Path, backend: str) -> None:
    kept = []  # galleries that were closed and are not collected yet
    for name in ("Ada", "Bob", "Eve"):
        with opened(tmp_path, backend) as pool:
            pool.register(name, samples(1), space())
            assert Search(pool).index().names == (name,)
            kept.append(pool)
        delete(tmp_path, backend)


def test_nothing_stays_when_the_last_one_closes(pools: list[Pool]) -> None:
    copies = arrays_of(Search(pools[0]).index())
    for pool in pools:
        pool.close()
    gc.collect()
    assert [copy() for copy in copies if copy() is not None] == []


def test_a_search_for_another_space_is_refused_although_others_have_an_index(pools: list[Pool]) -> None:
    Search(pools[0], space()).index()
    with pytest.raises(SpaceMismatch):
        Search(pools[1], space(weights="cd" * 32)).index()
