"""An index that is behind its pool, or away: every answer about people says so, in every dialect, and none while it is
well."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from facepool.errors import IndexUnreachable
from facepool.gallery.index_address import index_address
from facepool.recognize.live import LiveRecognizer
from facepool.records import event_record, live_records
from facepool.search import Behind
from facepool.search.beside import Beside
from facepool.search.known import known_of
from facepool.types import Sample
from facepool.web.services import Services
from facepool.web.services.following import BehindInfo, Follower
from support.fake_analyzer import SPACE, FakeAnalyzer, view
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer
from support.web_client import HERE, client_of, look, png

SINCE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FOLLOWING = Behind(12, SINCE, "following")
AWAY = Behind(0, SINCE, "index_away")
TOLD = {"templates": 12, "since": "2026-01-02T03:04:05Z", "reason": "following"}


@pytest.fixture
def picture(web: TestClient, analyzer: FakeAnalyzer) -> bytes:
    with services_of(web).pool.open() as pool:
        pool.register("Ada", [Sample(view(0, 0))], SPACE)
    return png(analyzer.frame(view(0, 3)).image_bgr)


def services_of(web: TestClient) -> Services:
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    return services


@contextmanager
def behind(web: TestClient, how: Behind) -> Iterator[None]:
    """Meanwhile what searches and follows has seen that the index is behind."""
    with services_of(web).pool.open() as pool:
        known = known_of(pool)
        known.beside = Beside(index_address("milvus://127.0.0.1:1"))
        known.beside.behind, known.beside.away = how, IndexUnreachable("not asked")
        yield
        known.beside = None


def test_rest_says_so_and_is_ready_all_the_same(web: TestClient, picture: bytes) -> None:
    def answers() -> list[Any]:
        recognized = web.post("/v1/recognize", files={"file": picture}).json()
        assert recognized["pictures"][0]["faces"][0]["person"] == "Ada"
        return [recognized["behind"]]

    assert answers() == [None]
    with behind(web, FOLLOWING):
        assert answers() == [TOLD]
    assert answers() == [None]


def test_ready_system_and_metrics_say_so(web: TestClient, picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for how, told, missed, unused in (
        (FOLLOWING, TOLD, 12.0, 0.0),
        (AWAY, {"templates": 0, "since": TOLD["since"], "reason": "index_away"}, 0.0, 1.0),
        (None, None, 0.0, 0.0),
    ):
        monkeypatch.setattr(Follower, "behind", how)
        ready = web.get("/ready")
        assert (ready.status_code, ready.json()["behind"]) == (200, told)
        assert web.get("/v1/system").json()["behind"] == told
        numbers = dict(line.split(" ") for line in web.get("/metrics").text.splitlines() if not line.startswith("#"))
        assert float(numbers["facepool_index_behind"]) == missed
        assert float(numbers["facepool_index_unused"]) == unused


def test_compreface_and_deepstack_say_so_and_nothing_while_it_is_well(web: TestClient, picture: bytes) -> None:
    def answers() -> tuple[Any, Any, str]:
        named = web.post("/api/v1/recognition/recognize", files={"file": picture}).json()
        rows = {"embeddings": [view(0, 3).tolist()]}
        embedded = web.post("/api/v1/recognition/embeddings/recognize", json=rows).json()
        spoken = web.post("/v1/vision/face/recognize", files={"image": picture}).json()
        assert named["result"][0]["subjects"][0]["subject"] == spoken["predictions"][0]["userid"] == "Ada"
        return named.get("index_behind"), embedded.get("index_behind"), spoken["message"]

    assert answers() == (None, None, "A face was recognised")
    with behind(web, FOLLOWING):
        *told, message = answers()
    assert told == [TOLD, TOLD]
    assert message.endswith("12 views cannot be found yet")


def test_live_says_so_of_each_frame_and_event(tmp_path: Any) -> None:
    analyzer = FakeLiveAnalyzer()
    with client_of(tmp_path, analyzer) as web:
        with services_of(web).pool.open() as pool:
            pool.register("Ada", [Sample(view(0, 0))], SPACE)
        with web.websocket_connect(f"{HERE}/v1/live") as socket:
            assert look(socket, analyzer.frame(Actor(view(0, 5))))["behind"] is None
            with behind(web, FOLLOWING):
                assert look(socket, analyzer.frame(Actor(view(0, 5))))["behind"] == TOLD

        with services_of(web).pool.open() as pool, behind(web, FOLLOWING):
            live = LiveRecognizer(analyzer, pool)
            frames = [analyzer.frame(Actor(view(0, 5))) for _ in range(20)]
            views = [live.process(frame) for frame in frames]
    events = [event_record(frame, event) for frame, seen in zip(frames, views, strict=True) for event in seen.events]
    assert "recognized" in [event["event"] for event in events]
    records = [*events, *live_records(frames[-1], views[-1])]
    assert [record["behind"] for record in records] == [
        {"templates": 12, "since": "2026-01-02T03:04:05.000+00:00", "reason": "following"}
    ] * len(records)
    assert views[-1].notes == (FOLLOWING.words,)


def test_words_say_whom_an_answer_may_miss() -> None:
    assert "12 views cannot be found yet" in FOLLOWING.words
    assert "searched without it" in AWAY.words
    assert replace(FOLLOWING, templates=1).words.endswith("1 view cannot be found yet")
    assert BehindInfo.of(None) is None
