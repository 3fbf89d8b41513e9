"""A pool with an index beside it is searched whatever becomes of the index, and every answer says what it is worth."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from facepool.errors import IndexUnreachable, IndexUnusable
from facepool.gallery import Pool, open_pool
from facepool.search import Behind, Nearest, Search, SearchChoice, behind, choose, describe, follow
from facepool.search import beside as beside_module
from facepool.search import known as known_module
from facepool.search.beside import Beside
from facepool.search.follower import sync
from facepool.types import Sample
from support.index_double import ADDRESS, IndexServer
from support.pools import DIMENSION, samples, space, unit

PATIENCE_S = 20.0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> IndexServer:
    server = IndexServer()
    monkeypatch.setattr(beside_module, "MilvusIndex", server)
    monkeypatch.setattr(beside_module, "_TRY_EVERY_S", 0.01)
    monkeypatch.setattr(beside_module, "_TRY_UNUSABLE_S", 0.01)
    return server


@pytest.fixture
def pool(tmp_path: Path, server: IndexServer) -> Iterator[Pool]:
    with open_pool(tmp_path / "pool.db") as pool:
        pool.register("Ada", samples(1, 2, 3), space())
        pool.register("Bo", samples(4, 5), space())
        choose(pool, SearchChoice(index=ADDRESS))
        sync(pool, ADDRESS, open_engine=server)
        yield pool


def asked(pool: Pool, seed: int = 1) -> Nearest:
    return Search(pool, space()).nearest(unit(seed)[None], 1)


def names(found: Nearest) -> list[str]:
    return [one.person for one in found.candidates[0]]


def beside(pool: Pool) -> Beside:
    found = known_module.known_of(pool).beside
    assert found is not None
    return found


def wait_until_asked_again(pool: Pool) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while beside(pool).away is not None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_while_the_index_is_away_the_pool_is_searched_without_and_nobody_waits_twice(
    pool: Pool, server: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside_module, "_TRY_EVERY_S", PATIENCE_S)
    server.away = True
    for _ in range(3):
        found = asked(pool)
        assert names(found) == ["Ada"]
        assert found.state.behind is not None
        assert (found.state.behind.reason, found.state.behind.templates) == ("index_away", 0)
    assert behind(pool) == Search(pool).state().behind == found.state.behind
    assert server.asked.count("nearest") + server.asked.count("nearest settled") <= 2  # and the thread that tries
    assert "without it" in describe(pool)


def test_when_the_index_is_back_it_is_asked_again_and_the_memory_is_free(pool: Pool, server: IndexServer) -> None:
    server.away = True
    asked(pool)
    assert known_module.known_of(pool).index is not None
    server.away = False
    wait_until_asked_again(pool)
    found = asked(pool)
    assert (names(found), found.state.behind, behind(pool)) == (["Ada"], None, None)
    assert known_module.known_of(pool).index is None
    assert "without it" not in describe(pool)


def test_a_pool_that_is_too_large_for_the_memory_is_not_searched_without(
    pool: Pool, server: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_module, "_MOST_IN_MEMORY", 100)
    assert names(asked(pool)) == ["Ada"]
    server.away = True
    for _ in range(2):
        with pytest.raises(IndexUnreachable, match="no server answers there"):
            asked(pool)


def test_an_index_that_was_deleted_is_said_and_used_again_when_it_was_made_anew(
    pool: Pool, server: IndexServer
) -> None:
    server.kept.clear()
    found = asked(pool)
    assert names(found) == ["Ada"]
    assert found.state.behind is not None
    assert found.state.behind.reason == "not_whole"
    sync(pool, ADDRESS, thoroughly=True, open_engine=server)
    wait_until_asked_again(pool)
    server.asked.clear()
    found = asked(pool)
    assert (names(found), found.state.behind) == (["Ada"], None)
    assert server.asked


def test_a_pool_whose_index_is_not_made_yet_is_searched_without(tmp_path: Path, server: IndexServer) -> None:
    with open_pool(tmp_path / "new.db") as pool:
        choose(pool, SearchChoice(index=ADDRESS))
        assert asked(pool).state.behind is None  # nobody is missed: there is nobody
        pool.register("Ada", samples(1), space())
        found = asked(pool)
        assert (names(found), found.state.behind is not None) == (["Ada"], True)
        sync(pool, ADDRESS, open_engine=server)
        assert (names(found := asked(pool)), found.state.behind) == (["Ada"], None)


def test_who_left_the_pool_is_named_no_more_and_who_came_is_named_at_once(pool: Pool, server: IndexServer) -> None:
    pool.remove("Ada")
    assert names(asked(pool)) == ["Bo"]
    assert len(server.numbers) == 5
    pool.register("Cy", samples(1), space())
    found = asked(pool)
    assert (names(found), found.state.behind) == (["Cy"], None)


def test_a_tail_that_is_too_long_is_said_with_how_many_may_be_missed(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, server: IndexServer
) -> None:
    monkeypatch.setattr(beside_module, "LONGEST_TAIL", 4)
    for number in range(10, 16):
        pool.register(f"P{number}", samples(number), space())
    found = asked(pool, 15)
    assert names(found) == ["P15"]  # the newest are compared
    assert found.state.behind is not None
    assert (found.state.behind.reason, found.state.behind.templates) == ("following", 2)
    assert "2 views cannot be found yet" in found.state.behind.words
    assert behind(pool) == found.state.behind
    sync(pool, ADDRESS, open_engine=server)
    assert asked(pool, 10).state.behind is None


def test_an_index_that_nobody_brings_up_to_date_is_said_although_nobody_is_missed(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.register("Cy", samples(9), space())
    assert asked(pool).state.behind is None
    monkeypatch.setattr(beside_module, "_TOLERATED_S", -1.0)
    found = asked(pool, 9)
    assert names(found) == ["Cy"]
    assert found.state.behind is not None
    assert (found.state.behind.reason, found.state.behind.templates) == ("following", 0)
    assert "compared beside it" in found.state.behind.words


def test_what_a_server_may_not_show_yet_is_compared_too(pool: Pool, server: IndexServer) -> None:
    asked(pool)
    pool.register("Cy", samples(9), space())
    sync(pool, ADDRESS, open_engine=server)
    hidden = server.only.vectors.pop(max(server.numbers))  # as of a machine of the server that lags
    assert len(hidden)
    found = asked(pool, 9)
    assert (names(found), found.state.behind) == (["Cy"], None)


def test_right_after_a_change_a_new_process_waits_for_what_the_server_has(pool: Pool, server: IndexServer) -> None:
    server.asked.clear()
    asked(pool)
    assert server.asked == ["nearest settled"]


def test_an_index_of_another_model_is_not_searched(pool: Pool, server: IndexServer) -> None:
    other = space(weights="cd" * 32)
    vectors = {template.id: -template.sample.embedding for template in pool.templates()}
    pool.replace_vectors(vectors, other)
    server.asked.clear()
    found = Search(pool, other).nearest(-unit(1)[None], 1)
    assert names(found) == ["Ada"]
    assert found.state.behind is not None
    assert found.state.behind.reason == "not_whole"
    assert server.asked == []


def test_many_threads_search_while_the_index_comes_and_goes(tmp_path: Path, pool: Pool, server: IndexServer) -> None:
    wrong: list[object] = []
    ended = threading.Event()

    def search() -> None:
        with open_pool(tmp_path / "pool.db") as own:
            choose(own, SearchChoice(index=ADDRESS))
            while not ended.is_set():
                found = asked(own)
                if names(found) != ["Ada"]:
                    wrong.append(found)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(40):
        server.away = number % 2 == 0
        time.sleep(0.01)
    ended.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_whoever_says_where_to_search_is_listened_to(pool: Pool, server: IndexServer) -> None:
    server.asked.clear()
    for choice in (SearchChoice("memory", index=ADDRESS), SearchChoice(exact=True, index=ADDRESS)):
        choose(pool, choice)
        found = asked(pool)
        assert (names(found), found.state.behind) == (["Ada"], None)
    assert server.asked == []


def test_a_pool_of_an_index_can_be_taken_into_the_memory_as_a_whole(pool: Pool) -> None:
    index = Search(pool).index()
    assert index.names == ("Ada", "Bo")
    assert len(np.unique(index.template_ids)) == 5
    pool.register("Cy", [Sample(unit(9), "x")], space())
    assert Search(pool).index().people == 3


def test_who_is_erased_while_the_index_is_away_leaves_all_that_is_in_memory(pool: Pool, server: IndexServer) -> None:
    known = known_module.known_of(pool)
    asked(pool)
    server.away = True
    assert names(asked(pool)) == ["Ada"]
    pool.remove("Ada")
    follow(pool)
    assert known.mirror is not None
    assert known.mirror.state.revision == pool.revision()
    assert (known.mirror.cohort.people, len(known.mirror.cohort)) == (1, 2)


def test_an_index_that_this_pool_has_not_left_as_it_is_is_not_searched(pool: Pool, server: IndexServer) -> None:
    server.only.stamp = "anothers"
    with pytest.raises(IndexUnusable):
        sync(pool, ADDRESS, open_engine=server)
    server.only.vectors.clear()
    found = asked(pool)
    assert names(found) == ["Ada"]
    assert found.state.behind is not None
    assert found.state.behind.reason == "not_whole"


def test_who_began_to_search_before_the_index_went_away_does_not_hide_that(pool: Pool) -> None:
    known = beside(pool)
    with known_module.in_database(pool).reading() as db:
        known.away = IndexUnreachable("The index cannot be reached")
        known.behind = Behind(0, datetime.now(UTC), "index_away")
        known.lists(db, DIMENSION)
    assert known.behind is not None
    assert known.behind.reason == "index_away"


def test_an_index_that_lost_what_it_had_hides_nobody(pool: Pool, server: IndexServer) -> None:
    assert names(asked(pool)) == ["Ada"]
    server.only.vectors.clear()
    found = asked(pool)
    assert names(found) == ["Ada"]
    assert found.state.behind is not None
    assert found.state.behind.reason == "not_whole"
    sync(pool, ADDRESS, thoroughly=True, open_engine=server)
    wait_until_asked_again(pool)
    assert asked(pool).state.behind is None
