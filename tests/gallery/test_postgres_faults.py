"""A PostgreSQL server is killed, cut off and replaced: nothing acknowledged is lost, nothing is there half or twice."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from facepool.errors import PoolChanged, PoolLocked, PoolUnreachable
from facepool.gallery import open_pool
from facepool.search import Search
from support import postgres
from support.pools import samples, space
from support.tcp_proxy import Wire, wire_to

pytestmark = pytest.mark.postgres

VIEWS = 3
COMMIT = b"COMMIT\0"
"""As it is sent the first times; psycopg prepares what comes again and again."""


@dataclass
class Writer:
    """A thread that registers people one after the other, and keeps what it was told.

    Attributes:
        url: Of the pool.
        prefix: Of the names.
        stored: Names that were acknowledged.
        unknown: Names of which the answer was that nobody knows.
    """

    url: str
    prefix: str
    stored: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    ends: threading.Event = field(default_factory=threading.Event)
    errors: list[BaseException] = field(default_factory=list)

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self.errors.append(error)
            raise

    def _run(self) -> None:
        number = 0
        with open_pool(self.url, space(), timeout_s=10) as pool:
            while not self.ends.is_set():
                name = f"{self.prefix}-{number}"
                number += 1
                try:
                    pool.register(name, samples(*range(VIEWS)), space())
                    self.stored.add(name)
                except (PoolUnreachable, PoolLocked) as error:
                    (self.unknown if "Nobody knows" in error.what else self.refused).add(name)
                    time.sleep(0.05)


@contextmanager
def writing(url: str, count: int, prefix: str = "") -> Iterator[list[Writer]]:
    """Threads that write while the block runs; afterwards, what they were told is compared with what there is."""
    writers = [Writer(url, f"{prefix}{number}") for number in range(count)]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: all(writer.stored or writer.errors for writer in writers))  # it can be opened in peace
        yield writers
    finally:
        for writer in writers:
            writer.ends.set()
        for thread in threads:
            thread.join(60)
    assert [error for writer in writers for error in writer.errors] == []
    assert not any(thread.is_alive() for thread in threads)


def check(url: str, writers: list[Writer]) -> None:
    """Whether the pool has what was acknowledged, and nothing of which somebody was told that it was not stored."""
    with open_pool(url, space(), timeout_s=30) as pool:
        there = {person.name: person.templates for person in pool.people()}
        assert len(Search(pool).index()) == len(pool.templates())
        revision = pool.revision()
    stored = {name for writer in writers for name in writer.stored}
    unknown = {name for writer in writers for name in writer.unknown}
    assert stored <= there.keys()
    assert there.keys() <= stored | unknown
    assert set(there.values()) <= {VIEWS}
    assert revision == len(there)


def wait_for(happens: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < ends_at, "it does not happen"
        time.sleep(0.02)


def written(writers: list[Writer]) -> int:
    return sum(len(writer.stored) for writer in writers)


def more_than(writers: list[Writer], count: int) -> Callable[[], bool]:
    goal = written(writers) + count

    def is_reached() -> bool:
        assert [error for writer in writers for error in writer.errors] == []
        return written(writers) >= goal

    return is_reached


def test_a_server_that_is_killed_and_restarted_under_load_has_all_that_it_acknowledged() -> None:
    with postgres.own_server() as server:
        url = server.url("pool")
        with writing(url, 3) as writers:
            for _ in range(2):
                wait_for(more_than(writers, 8))
                server.kill()
                server.start()
            wait_for(more_than(writers, 5))
        check(url, writers)


def test_a_server_that_is_stopped_and_started_is_used_again_without_anybody_noticing() -> None:
    with postgres.own_server() as server, open_pool(server.url("pool"), space()) as pool:
        pool.register("Ada", samples(1), space())
        for mode in ("fast", "immediate"):
            server.stop(mode)
            with pytest.raises(PoolUnreachable):
                pool.people()
            known = Search(pool)
            server.start()
            assert known.index().names == ("Ada",)
            server.stop(mode)
            server.start()  # the connection that was kept is dead, and nobody is told
            assert [person.name for person in pool.people()] == ["Ada"]
        pool.register("Bob", samples(2), space())


def test_connections_that_are_cut_lose_nothing_and_store_nothing_twice() -> None:
    url = postgres.new_database()
    name = url.rpartition("/")[2]
    end_them = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    chance = random.Random(3)
    with wire_to(postgres.server().port) as wire:
        with writing(through(wire, url), 2, "cut-off") as cut_off, writing(url, 2, "ended") as ended:
            for _ in range(15):
                time.sleep(chance.uniform(0.01, 0.1))
                wire.cut()
                time.sleep(chance.uniform(0.01, 0.1))
                postgres.server().execute(end_them)
            wait_for(more_than(cut_off, 2))
            wait_for(more_than(ended, 2))
        check(url, cut_off + ended)


@pytest.mark.parametrize("answer_is_lost", [True, False], ids=["the answer is lost", "the question is lost"])
def test_a_commit_that_is_cut_off_is_looked_for(answer_is_lost: bool) -> None:
    url = postgres.new_database()
    with wire_to(postgres.server().port) as wire, open_pool(through(wire, url), space()) as pool:
        pool.create("Ada")
        lose(wire, COMMIT, answer=answer_is_lost)
        if answer_is_lost:
            assert pool.register("Bob", samples(1, 2), space()) == 2
        else:
            with pytest.raises(PoolUnreachable, match="cannot be used"):
                pool.register("Bob", samples(1, 2), space())
        assert (
            {one.name: one.templates for one in pool.people()} == {"Ada": 0, "Bob": 2} if answer_is_lost else {"Ada": 0}
        )
        assert pool.revision() == 1 + answer_is_lost


def through(wire: Wire, url: str) -> str:
    """The address of a database behind a wire."""
    return url.replace(str(postgres.server().port), str(wire.port))


def lose(wire: Wire, words: bytes, *, answer: bool) -> None:
    if answer:
        wire.answer_to = words
    else:
        wire.swallow = words


def test_a_commit_whose_end_cannot_be_found_out_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facepool.gallery.postgres._FINDING_OUT_S", 0.5)
    url = postgres.new_database()
    with wire_to(postgres.server().port) as wire, open_pool(through(wire, url), space()) as pool:
        pool.create("Ada")
        wire.answer_to, wire.refuses = COMMIT, True
        with pytest.raises(PoolUnreachable, match=r"Nobody knows whether .* was stored"):
            pool.create("Bob")
        wire.refuses = False
        assert [person.name for person in pool.people()] == ["Ada", "Bob"]


class Failover:
    """Two servers, of which the second one takes over with less than the first one had."""

    KEPT: ClassVar[tuple[str, ...]] = ("Ada", "Bob")

    def __init__(self, stack: ExitStack) -> None:
        self.first = stack.enter_context(postgres.own_server("wal_level=replica"))
        with open_pool(self.first.url("pool"), space()) as pool:
            for seed, name in enumerate(self.KEPT):
                pool.register(name, samples(seed), space())
        self.second = postgres.PostgresServer(copy_of=self.first)
        stack.callback(self.second.close)
        self.second.stop()  # what happens from now on it does not get
        ports = f"127.0.0.1:{self.first.port},127.0.0.1:{self.second.port}"
        self.url = f"postgresql://{postgres.SUPERUSER}@{ports}/pool"

    def take_over(self) -> None:
        self.first.kill()
        self.second.start()
        self.second.promote()


@pytest.fixture
def failover() -> Iterator[Failover]:
    with ExitStack() as stack:
        yield Failover(stack)


@pytest.mark.parametrize("changes_there", [0, 1, 3], ids=["fewer changes", "as many changes", "more changes"])
def test_nothing_is_searched_that_the_server_that_took_over_does_not_have(
    failover: Failover, changes_there: int
) -> None:
    with open_pool(failover.url, space()) as pool:
        pool.register("Lost", samples(9), space())
        assert Search(pool).index().names == ("Ada", "Bob", "Lost")
        seen = pool.revision()
        failover.take_over()
        with open_pool(failover.second.url("pool"), space()) as other:
            for number in range(changes_there):
                other.register(f"New {number}", samples(20 + number), space())
        new = tuple(f"New {number}" for number in range(changes_there))
        with pytest.raises(PoolChanged):  # a decision that rests on what is lost
            pool.register("Eve", samples(30), space(), expected_revision=seen)
        assert Search(pool).index().names == ("Ada", "Bob", *new)
        assert pool.register("Eve", samples(30), space(), expected_revision=pool.revision()) == 1
        assert Search(pool).index().names == ("Ada", "Bob", "Eve", *new)


def test_what_a_process_knows_is_still_there_while_the_server_is_away() -> None:
    with postgres.own_server() as server, open_pool(server.url("pool"), space()) as pool:
        pool.register("Ada", samples(1), space())
        files = pool.open_files
        server.stop()
        with open_pool(server.url("pool"), space()) as again:
            assert again.open_files is files
            with pytest.raises(PoolUnreachable):
                again.revision()
            server.start()
            assert Search(again).index().names == ("Ada",)
