"""What a server keeps of who was before its cameras and browsers, and what it tells of it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from facepool.errors import ConfigError
from facepool.gallery import open_pool
from facepool.types import Sample, Sighting
from support.broker import until
from support.fake_analyzer import SPACE, view
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer
from support.live_server import Server, serving
from support.tracks import seen
from support.web_client import sent
from support.webhook import listener

ADA, STRANGER = 0, 1
KEEPING = {"keep_unknown": True}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.db"
    with open_pool(path, SPACE) as opened:
        opened.register("Ada", [Sample(view(ADA, 0))], SPACE)
    return path


def kept(path: Path) -> list[Sighting]:
    with open_pool(path) as opened:
        return opened.inbox.sightings()


def watch(server: Server, analyzer: FakeLiveAnalyzer, *people: int, frames: int = 25) -> list[dict[str, Any]]:
    """People before a browser's camera until the page is closed; the events that the page got."""
    actors = [Actor(view(person, 10), x=100 + 300 * place) for place, person in enumerate(people)]
    events = []
    with connect(f"ws://127.0.0.1:{server.port}/v1/live") as socket:
        for _ in range(frames):
            socket.send(sent(analyzer.frame(*actors)))
            events += json.loads(socket.recv(10))["events"]
    return events


@contextmanager
def told_of_return(server: Server) -> Iterator[list[dict[str, Any]]]:
    """What the stream of events says of strangers who are there again, until it says so once."""
    heard: list[dict[str, Any]] = []
    begun = threading.Event()

    def read() -> None:
        with httpx.stream("GET", f"{server.url}/v1/events", timeout=30) as answer:
            begun.set()
            for line in answer.iter_lines():
                if line.startswith("data: ") and (record := json.loads(line[6:]))["event"] == "unknown_returned":
                    heard.append(record)
                    return

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(10)
    yield heard
    thread.join(10)


def test_strangers_before_a_browser_are_kept_and_those_who_are_known_are_not(pool: Path) -> None:
    analyzer = FakeLiveAnalyzer()
    with serving(pool, analyzer, settings=KEEPING) as server:
        watch(server, analyzer, ADA, STRANGER)
        until(lambda: len(kept(pool)) == 1)
        metrics = httpx.get(f"{server.url}/metrics").text
    (one,) = kept(pool)
    assert (one.source, one.person, one.group) == ("browser", None, 1)
    assert one.since < one.until
    assert "facepool_sightings_kept" in metrics
    assert "facepool_unknown_new" in metrics


def test_nothing_is_kept_unless_it_was_asked_for(pool: Path) -> None:
    analyzer = FakeLiveAnalyzer()
    with serving(pool, analyzer) as server:
        assert watch(server, analyzer, STRANGER)
        assert server.services.keeper.counts.kept == 0
    assert kept(pool) == []


def test_a_stranger_who_is_there_again_is_told_of_everywhere(pool: Path) -> None:
    analyzer = FakeLiveAnalyzer()
    with listener() as (url, posted), serving(pool, analyzer, settings={**KEEPING, "webhook": [url]}) as server:
        server.services.keeper.take("Door", [seen(view(STRANGER, 0), minutes_ago=600)])
        until(lambda: len(kept(pool)) == 1)
        with told_of_return(server) as heard:
            watch(server, analyzer, STRANGER)
        (told,) = heard
        until(lambda: told in posted)
    assert (told["group"], told["times"], told["source"], told["person"]) == (1, 2, "browser", None)


def test_what_is_kept_may_be_asked_for_on_the_page_and_withdrawn_at_once(pool: Path) -> None:
    analyzer = FakeLiveAnalyzer()
    with serving(pool, analyzer) as server:
        settings = f"{server.url}/v1/settings"
        httpx.patch(settings, json={"keep_unknown": True, "keep_recognized": True}).raise_for_status()
        watch(server, analyzer, ADA, STRANGER)
        until(lambda: len(kept(pool)) == 2)
        httpx.patch(settings, json={"keep_unknown": False}).raise_for_status()
        assert [one.person for one in kept(pool)] == ["Ada"]
        watch(server, analyzer, STRANGER)
    assert [one.person for one in kept(pool)] == ["Ada"]


def test_a_withdrawal_that_was_cut_off_is_made_good_at_the_next_start(pool: Path) -> None:
    analyzer = FakeLiveAnalyzer()
    with serving(pool, analyzer, settings=KEEPING) as server:
        server.services.keeper.take("Door", [seen(view(STRANGER, 0))])
        until(lambda: len(kept(pool)) == 1)
        server.services.tuning._listeners.clear()  # as a server that is killed before it could erase
        httpx.patch(f"{server.url}/v1/settings", json={"keep_unknown": False}).raise_for_status()
    assert len(kept(pool)) == 1
    with serving(pool, analyzer):
        until(lambda: kept(pool) == [])


def test_after_a_withdrawal_a_start_leaves_what_can_be_undone(pool: Path) -> None:
    analyzer = FakeLiveAnalyzer()
    with serving(pool, analyzer, settings=KEEPING) as server:
        httpx.patch(f"{server.url}/v1/settings", json={"keep_unknown": False}).raise_for_status()
    with open_pool(pool) as opened:
        number = opened.inbox.note("corrected", "test", {"event": "an event", "before": None, "after": None})
    with serving(pool, analyzer) as server:
        server.services.keeper.start()
        server.services.keeper.close()
    with open_pool(pool) as opened:
        assert [entry.number for entry in opened.inbox.journal()] == [number]


def test_a_pool_without_room_for_it_is_refused_at_the_start_and_on_the_page(tmp_path: Path) -> None:
    path = tmp_path / "pool.npy"
    with open_pool(path, SPACE) as opened:
        opened.register("Ada", [Sample(view(ADA, 0))], SPACE)
    with (
        pytest.raises(ConfigError, match="cannot keep who was seen"),
        serving(path, FakeLiveAnalyzer(), settings=KEEPING),
    ):
        pass
    with serving(path, FakeLiveAnalyzer()) as server:
        answer = httpx.patch(f"{server.url}/v1/settings", json={"keep_unknown": True})
        assert answer.status_code == 400
        assert "a .npy pool has room for templates only" in answer.text
        assert httpx.get(f"{server.url}/v1/settings").json()["keep_unknown"] is False
