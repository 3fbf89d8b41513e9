"""The pool's database is stopped and started again under people who are recognized live."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from weakref import ref

import numpy as np
import pytest

from facepool import open_pool
from facepool.errors import PoolUnreachable, SpaceMismatch
from facepool.gallery import Pool
from facepool.recognize.live import LiveRecognizer
from facepool.recognize.pictures import Recognizer
from facepool.search import Outage, Search, SearchChoice, choose, follow, known, outage
from facepool.types import Sample
from support.fake_analyzer import SPACE, view
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer
from support.postgres import PostgresServer, own_server

pytestmark = pytest.mark.postgres
ADA, BOB = 0, 1
PATIENCE_S = 60


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with own_server() as running:
        with open_pool(running.url("pool"), SPACE, timeout_s=60) as pool:
            pool.register("Ada", [Sample(view(ADA, 0))], SPACE)
        yield running


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_TRY_EVERY_S", 0.05)


def opened(server: PostgresServer) -> Pool:
    return open_pool(server.url("pool"), SPACE, timeout_s=20)


class Show:
    """Somebody stands before a camera."""

    def __init__(self, pool: Pool) -> None:
        self.analyzer = FakeLiveAnalyzer()
        self.recognizer = LiveRecognizer(self.analyzer, pool)
        self.frames = count()

    def play(self, person: int, frames: int = 30) -> str | None:
        """Who a new face is after so many frames."""
        self.recognizer.interrupt(next(self.frames) / 25)
        for _ in range(frames):
            self.seen = self.recognizer.process(self.analyzer.frame(Actor(view(person, 5))))
        return self.seen.names[0]

    def outage(self) -> Outage | None:
        return self.seen.outage


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_live_recognition_goes_on_and_says_how_old_it_is(server: PostgresServer) -> None:
    with opened(server) as pool, opened(server) as another:
        show, pictures = Show(pool), Recognizer(FakeLiveAnalyzer(), another)
        assert show.play(ADA) == "Ada"
        assert show.outage() is None
        stopped_at = datetime.now(UTC)
        server.stop("immediate")

        assert show.play(ADA) == "Ada"
        away = show.outage()
        assert away is not None
        assert away.as_of is not None
        assert away.as_of <= away.since
        assert stopped_at <= away.since <= datetime.now(UTC)
        assert outage(another) == away  # of all who have it open
        assert away.words.startswith("People as of ")
        with pytest.raises(PoolUnreachable):
            pictures.decide_embeddings(np.stack([view(ADA, 5)]))
        with pytest.raises(PoolUnreachable):
            follow(another)

        # A camera that was connected anew meanwhile, or a page that was opened.
        with opened(server) as late:
            assert Show(late).play(ADA) == "Ada"
            with pytest.raises(SpaceMismatch):
                Search(
                    late, SPACE.__class__("other", "1" * 64, "x", "y", mirrored=False, dimension=8), live=True
                ).state()

        server.start()
        wait_until(lambda: outage(pool) is None)
        with opened(server) as writer:
            writer.register("Bob", [Sample(view(BOB, 0))], SPACE)
        assert show.play(BOB) == "Bob"
        assert show.outage() is None
        assert len(pictures.decide_embeddings(np.stack([view(ADA, 5)]))) == 1


def test_a_search_in_the_database_names_nobody_while_that_is_away(server: PostgresServer) -> None:
    with opened(server) as pool:
        choose(pool, SearchChoice("database"))
        show = Show(pool)
        assert show.play(ADA) == "Ada"
        server.stop("immediate")
        assert show.play(ADA) is None
        assert show.seen.decisions == (None,)  # not that it is somebody unknown
        away = show.outage()
        assert away is not None
        assert away.words.startswith("Nobody can be named")
        server.start()
        wait_until(lambda: outage(pool) is None)
        assert show.play(ADA) == "Ada"
        assert show.outage() is None


def test_a_face_in_view_keeps_its_name_and_a_killed_server_stops_nobody(server: PostgresServer) -> None:
    with opened(server) as pool:
        show = Show(pool)
        assert show.play(ADA) == "Ada"
        server.kill()
        for _ in range(100):
            assert show.recognizer.process(show.analyzer.frame(Actor(view(ADA, 5)))).names == ("Ada",)
        server.start()
        wait_until(lambda: outage(pool) is None)
        assert show.play(ADA) == "Ada"


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no process can be stopped for a while")
def test_a_database_that_hangs_holds_nobody_up_for_long(server: PostgresServer) -> None:
    with open_pool(server.url("pool"), SPACE, timeout_s=2) as pool:
        show = Show(pool)
        assert show.play(ADA) == "Ada"
        clients = "SELECT pid FROM pg_stat_activity WHERE pid != pg_backend_pid() AND backend_type = 'client backend'"
        pids = [pid for (pid,) in server.execute(clients)]
        pids.append(int((server.folder / "data" / "postmaster.pid").read_text().split()[0]))
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            assert show.play(ADA) == "Ada"
            assert show.outage() is not None
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        wait_until(lambda: outage(pool) is None)
        assert show.play(ADA) == "Ada"


def test_nobody_waits_for_a_database_that_is_known_to_be_away(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(server) as pool:
        search = Search(pool, SPACE, live=True)
        search.state()
        monkeypatch.setattr(known, "_is_back", lambda _open_again: False)
        server.stop("immediate")
        search.state()
        monkeypatch.setattr(type(pool), "revision", None)  # nobody asks
        for _ in range(50):
            assert search.state().outage is not None


def test_whatever_happens_to_who_looks_for_a_database_it_is_asked_again() -> None:
    def fails() -> Pool:
        raise RuntimeError("no news about the database")

    ours = known.Known(SearchChoice())
    ours._away = datetime.now(UTC), PoolUnreachable("The pool cannot be used")
    with pytest.raises(RuntimeError):
        known._wait(ref(ours), fails)
    assert ours.outage is None
