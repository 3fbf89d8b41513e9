"""An index follows its pool: whatever is changed, cut off, put back or away, at the end both have the same."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facepool.errors import ConfigError, IndexUnreachable, IndexUnusable, PoolLocked, UnknownIndex
from facepool.gallery import Pool, SqlGallery, SqliteGallery, open_pool
from facepool.gallery.backup import back_up, opened_backup, restore
from facepool.gallery.index_rows import read_index, read_indexes
from facepool.search import Search, SearchChoice, beside, choose, follower, turn
from facepool.search.follower import IndexFollower, rebuild, remove, sync, use_index
from facepool.search.index_status import places_of, record_of, status, still_there
from facepool.search.turn import Synced
from support.index_double import ADDRESS, IndexServer
from support.pools import BACKENDS, opened, samples, space, unit, units

RECORDS = [backend for backend in BACKENDS if backend != "model_faces.npy"]


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def server() -> IndexServer:
    return IndexServer()


@pytest.fixture(params=RECORDS)
def pool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pool]:
    with opened(tmp_path, request.param) as pool:
        pool.register("Ada", samples(1, 2, 3), space())
        pool.register("Bo", samples(4, 5), space())
        yield pool


def vectors_of(pool: Pool) -> dict[int, bytes]:
    return {template.id: template.sample.embedding.tobytes() for template in pool.templates()}


def check_same(pool: Pool, server: IndexServer) -> None:
    assert {number: vector.tobytes() for number, vector in server.only.vectors.items()} == vectors_of(pool)
    stood = status(pool, ADDRESS, open_engine=server)
    assert stood.is_current, stood
    assert still_there(pool) == {}


def test_an_index_is_made_and_follows_all_changes(pool: Pool, server: IndexServer) -> None:
    assert status(pool, ADDRESS, open_engine=server).state == "none"
    made = sync(pool, ADDRESS, open_engine=server)
    assert made == Synced(put=5, removed=0, position=pool.revision(), made=True)
    check_same(pool, server)
    pool.register("Cy", samples(6), space())
    pool.rename("Ada", "Eve")
    pool.merge("Bo", "Eve")
    gone = pool.templates("Eve")[0].id
    pool.remove_template(gone)
    before = status(pool, ADDRESS, open_engine=server)
    assert (before.state, before.in_index, before.to_remove, before.is_current) == ("whole", 5, 1, False)
    assert still_there(pool) == {ADDRESS.place: 1}
    assert sync(pool, ADDRESS, open_engine=server).removed == 1
    check_same(pool, server)
    assert gone not in server.numbers
    pool.remove("Eve")
    sync(pool, ADDRESS, open_engine=server)
    check_same(pool, server)
    assert len(server.numbers) == 1


def test_nothing_is_asked_for_that_is_done(pool: Pool, server: IndexServer) -> None:
    sync(pool, ADDRESS, open_engine=server)
    pool.rename("Ada", "Eve")
    server.asked.clear()
    assert sync(pool, ADDRESS, open_engine=server) == Synced(position=pool.revision())
    assert server.asked == ["exists", "stamp"]


def test_an_empty_pool_has_an_index_as_soon_as_it_has_somebody(tmp_path: Path, server: IndexServer) -> None:
    with opened(tmp_path, "pool.db") as pool:
        assert sync(pool, ADDRESS, open_engine=server) == Synced()
        assert server.kept == {}
        assert status(pool, ADDRESS, open_engine=server).is_current
        pool.register("Ada", samples(1), space())
        sync(pool, ADDRESS, open_engine=server)
        pool.remove("Ada")
        sync(pool, ADDRESS, open_engine=server)
        check_same(pool, server)


@pytest.mark.parametrize("word", ["create", "put", "remove", "settle", "finish", "set_stamp", "drop"])
@pytest.mark.parametrize("times", [1, 2])
def test_whatever_is_cut_off_is_done_by_the_next(
    tmp_path: Path, server: IndexServer, word: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "_AT_ONCE", 2)
    monkeypatch.setattr(turn, "_WORTH_BUILDING", 0)
    with opened(tmp_path, "pool.db") as pool:
        pool.register("Ada", samples(1, 2, 3), space())
        pool.register("Bo", samples(4, 5), space())
        left = times

        def kill(asked: str) -> None:
            nonlocal left
            if asked == word:
                left -= 1
                if not left:
                    raise Killed

        for work in (sync, rebuild):
            server.before = kill
            try:
                work(pool, ADDRESS, open_engine=server)
                pool.remove_template(pool.templates("Ada")[0].id)
                pool.register("Cy", samples(6, 7, 8), space())
                work(pool, ADDRESS, open_engine=server)
            except Killed:
                server.before = lambda _word: None
            sync(pool, ADDRESS, open_engine=server)
            check_same(pool, server)


def test_while_an_index_is_made_anew_the_other_one_is_searched_and_followed(
    tmp_path: Path, server: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "_AT_ONCE", 1)
    monkeypatch.setattr(turn, "_FOLLOW_EVERY_S", 0.0)
    with opened(tmp_path, "pool.db") as pool, opened(tmp_path, "pool.db") as other:
        assert isinstance(pool, SqlGallery)
        pool.register("Ada", samples(1, 2, 3), space())
        sync(pool, ADDRESS, open_engine=server)
        with pool.reading() as db:
            first = read_index(db, ADDRESS.place)
        assert first is not None
        puts = 0

        def erase(word: str) -> None:
            nonlocal puts
            puts += word == "put"
            if puts == 2 and word == "put":
                other.remove("Ada")
                other.register("Bo", samples(4), space())
            with pool.reading() as db:
                searched = read_index(db, ADDRESS.place)
            assert searched is not None
            if puts == 3:
                assert (searched.collection == first.collection) == (len(server.kept) == 2)

        server.before = erase
        rebuild(pool, ADDRESS, open_engine=server)
        server.before = lambda _word: None
        check_same(pool, server)
        assert first.collection not in server.kept


def test_while_it_is_away_the_pool_knows_what_it_owes(pool: Pool, server: IndexServer) -> None:
    sync(pool, ADDRESS, open_engine=server)
    server.away = True
    erased = len(pool.templates("Ada"))
    pool.remove("Ada")
    for _ in range(2):
        with pytest.raises(IndexUnreachable):
            sync(pool, ADDRESS, open_engine=server)
    stood = status(pool, ADDRESS, open_engine=server)
    assert (stood.in_index, stood.to_remove, stood.is_current) == (None, erased, False)
    assert stood.problem is not None
    assert stood.failed_since
    assert still_there(pool) == {ADDRESS.place: erased}
    server.away = False
    sync(pool, ADDRESS, open_engine=server)
    check_same(pool, server)
    assert not status(pool, ADDRESS, open_engine=server).failed_since


def test_an_address_that_nobody_ever_reached_is_not_remembered(pool: Pool, server: IndexServer) -> None:
    server.away = True
    with pytest.raises(IndexUnreachable):
        sync(pool, ADDRESS, open_engine=server)
    stood = status(pool, ADDRESS, open_engine=server)
    assert (stood.state, stood.to_put, stood.is_current) == ("none", 5, False)
    assert isinstance(stood.problem, IndexUnreachable)
    assert places_of(pool) == []  # mistyped perhaps, and every command would speak of it
    pool.remove("Ada")
    assert still_there(pool) == {}  # it never had anybody
    server.away = False
    sync(pool, ADDRESS, open_engine=server)
    check_same(pool, server)


def test_a_restored_backup_takes_the_index_along(tmp_path: Path, server: IndexServer) -> None:
    with opened(tmp_path, "pool.db") as pool:
        assert isinstance(pool, SqlGallery)
        pool.register("Ada", samples(1, 2), space())
        back_up(pool, tmp_path / "backup.db")
        pool.register("Bo", samples(3, 4), space())
        sync(pool, ADDRESS, open_engine=server)
        with opened_backup(tmp_path / "backup.db", tmp_path) as backup:
            restore(pool, backup)
        assert still_there(pool) == {ADDRESS.place: 1}
        sync(pool, ADDRESS, open_engine=server)
        assert [person.name for person in pool.people()] == ["Ada"]
        check_same(pool, server)


def test_another_model_takes_another_collection_and_the_old_vectors_go(pool: Pool, server: IndexServer) -> None:
    sync(pool, ADDRESS, open_engine=server)
    (before,) = server.kept
    numbers = [template.id for template in pool.templates()]
    pool.replace_vectors(dict(zip(numbers[1:], units(4, 16), strict=True)), space(16, "other-net"))
    sync(pool, ADDRESS, open_engine=server)
    assert before not in server.kept
    assert server.only.dimension == 16
    check_same(pool, server)


def test_a_collection_that_was_deleted_is_made_anew(pool: Pool, server: IndexServer) -> None:
    sync(pool, ADDRESS, open_engine=server)
    server.kept.clear()
    problem = status(pool, ADDRESS, open_engine=server).problem
    assert isinstance(problem, IndexUnusable)
    assert sync(pool, ADDRESS, open_engine=server).made
    check_same(pool, server)


def test_what_others_added_or_deleted_there_is_found_by_numbers(
    pool: Pool, server: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "_AT_ONCE", 2)
    sync(pool, ADDRESS, open_engine=server)
    gone, *_, last = sorted(server.numbers)
    for number in (gone, last):
        del server.only.vectors[number]
    server.only.vectors.update({last + number: unit(9) for number in range(1, 6)})
    assert not status(pool, ADDRESS, open_engine=server).is_current
    healed = sync(pool, ADDRESS, thoroughly=True, open_engine=server)
    assert (healed.put, healed.removed) == (2, 5)
    check_same(pool, server)


def test_a_copy_of_a_pool_does_not_change_the_index_of_the_other(tmp_path: Path, server: IndexServer) -> None:
    with opened(tmp_path, "pool.db") as pool:
        pool.register("Ada", samples(1, 2), space())
        sync(pool, ADDRESS, open_engine=server)
    shutil.copy(tmp_path / "pool.db", tmp_path / "copy.db")
    with SqliteGallery(tmp_path / "pool.db") as pool, open_pool(tmp_path / "copy.db") as copied:
        pool.register("Bo", samples(3), space())
        sync(pool, ADDRESS, open_engine=server)
        copied.register("Cy", samples(4), space())
        with pytest.raises(IndexUnusable, match="a copy of this pool") as refused:
            sync(copied, ADDRESS, open_engine=server)
        assert "index rebuild" in str(refused.value.fix)
        check_same(pool, server)
        (kept,) = server.kept
        assert rebuild(copied, ADDRESS, open_engine=server).abandoned == (kept,)
        assert len(server.kept) == 2
        assert {*server.kept.pop(kept).vectors} == {*vectors_of(pool)}
        check_same(copied, server)


def test_who_changes_a_copy_is_told_what_to_do_and_it_is_not_searched_by_the_others_index(
    tmp_path: Path, server: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "MilvusIndex", server)
    with opened(tmp_path, "pool.db") as pool:
        pool.register("Ada", samples(1, 2), space())
        sync(pool, ADDRESS, open_engine=server)
    shutil.copy(tmp_path / "pool.db", tmp_path / "copy.db")
    with opened(tmp_path, "pool.db") as pool:
        pool.register("Bo", samples(3), space())
        sync(pool, ADDRESS, open_engine=server)
    with open_pool(tmp_path / "copy.db") as copy:
        choose(copy, SearchChoice(index=ADDRESS))
        follows = IndexFollower(record_of(copy), ADDRESS, server)
        copy.register("Cy", samples(4), space())
        assert "facepool index rebuild" in follows.words
        assert "facepool index sync" not in follows.words
        server.asked.clear()
        found = Search(copy, space()).nearest(unit(4)[None], 1)
        assert [one.person for one in found.candidates[0]] == ["Cy"]
        assert found.state.behind is not None
        assert found.state.behind.reason == "not_whole"
        assert server.asked == []


def test_a_server_that_forgot_what_it_had_acknowledged_gets_it_again(pool: Pool, server: IndexServer) -> None:
    sync(pool, ADDRESS, open_engine=server)
    before, vectors = server.only.stamp, dict(server.only.vectors)
    pool.remove_template(pool.templates("Ada")[0].id)
    pool.register("Cy", samples(6), space())
    sync(pool, ADDRESS, open_engine=server)
    server.only.stamp, server.only.vectors = before, vectors
    assert isinstance(status(pool, ADDRESS, open_engine=server).problem, IndexUnusable)
    healed = sync(pool, ADDRESS, open_engine=server)
    assert (healed.put, healed.removed) == (1, 1)
    check_same(pool, server)


def test_an_index_is_removed_with_its_vectors(pool: Pool, server: IndexServer) -> None:
    with pytest.raises(UnknownIndex):
        remove(pool, ADDRESS, open_engine=server)
    sync(pool, ADDRESS, open_engine=server)
    server.away = True
    with pytest.raises(IndexUnreachable):
        remove(pool, ADDRESS, open_engine=server)
    assert still_there(pool) == {ADDRESS.place: 1}
    server.away = False
    remove(pool, ADDRESS, open_engine=server)
    assert (server.kept, places_of(pool), still_there(pool)) == ({}, [], {})
    sync(pool, ADDRESS, open_engine=server)
    server.away = True
    remove(pool, ADDRESS, forget=True, open_engine=server)
    assert places_of(pool) == []


def test_one_process_at_a_time_brings_it_up_to_date(pool: Pool, tmp_path: Path, server: IndexServer) -> None:
    assert isinstance(pool, SqlGallery)
    with open_pool(pool.address) as other, pool.index_turn(1.0), pytest.raises(PoolLocked, match="another process"):
        sync(other, ADDRESS, open_engine=server, patience_s=0.0)
    assert sync(pool, ADDRESS, open_engine=server).made


def test_of_many_changes_not_each_is_waited_for_but_each_erasure(
    pool: Pool, server: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(pool, SqlGallery)
    monkeypatch.setattr(follower, "_PAUSES", 1e9)
    sync(pool, ADDRESS, open_engine=server)
    following = IndexFollower(pool, ADDRESS, server)
    pool.register("Cy", samples(6), space())
    assert (len(server.numbers), following.is_waiting) == (6, False)
    pool.register("Cy", samples(7), space())
    pool.register("Cy", samples(8), space())
    assert (len(server.numbers), following.is_waiting) == (6, True)
    pool.remove("Ada")
    check_same(pool, server)
    pool.register("Cy", samples(9), space())
    following.catch_up()
    check_same(pool, server)
    assert not following.is_waiting


def test_a_program_names_an_index(tmp_path: Path, server: IndexServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facepool.search.milvus.MilvusIndex", server)
    with opened(tmp_path, "pool.db") as pool:
        pool.register("Ada", samples(1), space())
        assert use_index(pool, "milvus://index.example").words == ""
        pool.register("Bo", samples(2), space())
        assert len(server.numbers) == 2
        assert Search(pool).nearest(unit(2)[None], 1).candidates[0][0].person == "Bo"
    with opened(tmp_path, "model_faces.npy") as pair, pytest.raises(ConfigError):
        use_index(pair, ADDRESS)


def test_changes_of_a_program_are_followed_at_once_and_never_fail(pool: Pool, server: IndexServer) -> None:
    assert isinstance(pool, SqlGallery)
    following = IndexFollower(pool, ADDRESS, server)
    pool.register("Cy", samples(6), space())
    assert (following.problem, following.words) == (None, "")
    check_same(pool, server)
    server.away = True
    erased = pool.remove("Ada")
    assert isinstance(following.problem, IndexUnreachable)
    assert f"{erased} views that left the pool may still be in it" in following.words
    asked = len(server.asked)
    pool.register("Di", samples(9), space())
    pool.remove("Bo")
    assert len(server.asked) == asked  # nobody waits twice for a server that is away
    server.away = False
    following.catch_up()
    assert following.words == ""
    check_same(pool, server)
    with pool.reading() as db:
        assert [row.failure for row in read_indexes(db)] == [""]
    assert np.array_equal(sorted(server.numbers), [template.id for template in pool.templates()])


def test_a_new_index_is_searched_when_its_server_shows_everything(pool: Pool, server: IndexServer) -> None:
    def check(word: str) -> None:
        if word in {"put", "settle"}:
            assert isinstance(pool, SqlGallery)
            with pool.reading() as db:
                assert read_index(db, ADDRESS.place) is None

    server.before = check
    sync(pool, ADDRESS, open_engine=server)
    assert server.asked.index("put") < server.asked.index("settle")


def test_what_a_server_forgot_of_very_many_is_built_again(
    pool: Pool, server: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(pool, ADDRESS, open_engine=server)
    monkeypatch.setattr(turn, "_WORTH_BUILDING", 3)
    server.only.vectors.clear()
    server.asked.clear()
    sync(pool, ADDRESS, thoroughly=True, open_engine=server)
    check_same(pool, server)
    assert "finish" in server.asked


def test_who_was_erased_leaves_the_index_before_what_is_new_goes_there(pool: Pool, server: IndexServer) -> None:
    sync(pool, ADDRESS, open_engine=server)
    server.asked.clear()
    pool.remove("Ada")
    pool.register("Cy", samples(6), space())
    sync(pool, ADDRESS, open_engine=server)
    check_same(pool, server)
    assert server.asked.index("remove") < server.asked.index("put")
