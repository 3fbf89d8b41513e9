"""What a server tells other programs of its cameras and of browsers: webhooks, a broker, Home Assistant."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from facepool import Analyzer, read_image
from facepool.capture import VideoWriter
from facepool.config import Settings
from facepool.errors import ConfigError
from facepool.faces.load import load_analyzer
from facepool.gallery import open_pool
from facepool.models.store import ModelStore
from facepool.types import Frame, Sample
from facepool.web.services import assemble
from support.broker import broker, listening, until
from support.commands import pan
from support.fake_analyzer import SPACE, FakeAnalyzer
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer
from support.live_server import Server, serving
from support.pools import unit
from support.ports import free_port
from support.web_client import png, sent
from support.webhook import listener

ADA = unit(0, SPACE.dimension)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.db"
    with open_pool(path, SPACE) as opened:
        opened.register("Ada", [Sample(ADA)], SPACE)
    return path


def look(socket: ClientConnection, frame: Frame) -> dict[str, Any]:
    socket.send(sent(frame))
    answer: dict[str, Any] = json.loads(socket.recv(10))
    return answer


def watch(server: Server, analyzer: FakeLiveAnalyzer, frames: int = 12) -> list[dict[str, Any]]:
    """Ada before a browser's camera until the page is closed; the events that the page got."""
    with connect(f"ws://127.0.0.1:{server.port}/v1/live") as socket:
        answers = [look(socket, analyzer.frame(Actor(ADA))) for _ in range(frames)]
    return [event for answer in answers for event in answer["events"]]


@contextmanager
def event_stream(server: Server) -> Iterator[list[dict[str, Any]]]:
    """What the stream of events says."""
    heard: list[dict[str, Any]] = []
    begun = threading.Event()

    def read() -> None:
        with httpx.stream("GET", f"{server.url}/v1/events", timeout=30) as answer:
            begun.set()
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    heard.append(json.loads(line.removeprefix("data: ")))
                    if heard[-1]["event"] == "lost":
                        return

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(10)
    yield heard
    thread.join(10)


def test_an_event_is_the_same_wherever_it_is_told_of(pool: Path, tmp_path: Path) -> None:
    analyzer, port = FakeLiveAnalyzer(), free_port()
    with (
        broker(port, tmp_path),
        listening(port) as heard,
        listener() as (url, posted),
        serving(pool, analyzer, settings={"webhook": [url], "mqtt": [f"mqtt://127.0.0.1:{port}"]}) as server,
    ):
        with event_stream(server) as streamed:
            shown = watch(server, analyzer)
        until(lambda: len(posted) == 3 and len(heard.of("facepool/events")) == 3)
        published = [json.loads(text) for text in heard.of("facepool/events")]
        kept = httpx.get(f"{server.url}/v1/activity").json()["entries"][::-1]
        until(lambda: "facepool_events_delivered 6.0" in httpx.get(f"{server.url}/metrics").text)
        matches = [json.loads(text) for text in heard.of("facepool/matches/Ada")]
    ids = [event["id"] for event in posted]
    assert [(event["event"], event["person"]) for event in posted] == [
        ("appeared", None),
        ("recognized", "Ada"),
        ("lost", "Ada"),
    ]
    assert len(set(ids)) == 3
    assert {event["source"] for event in posted} == {"browser"}
    assert posted == published == streamed
    assert [entry["event_id"] for entry in kept] == ids
    assert [event["id"] for event in shown] == ids[:2]  # the page is gone when its face is lost
    assert matches == [posted[1]]


def test_two_browsers_do_not_use_one_number(pool: Path) -> None:
    analyzer = FakeLiveAnalyzer()
    with listener() as (url, posted), serving(pool, analyzer, settings={"webhook": [url]}) as server:
        for _ in range(2):
            watch(server, analyzer)
        until(lambda: [event["event"] for event in posted].count("lost") == 2)
    tracks = [event["track"] for event in posted if event["event"] == "appeared"]
    assert len(set(tracks)) == 2


def test_what_waits_is_delivered_when_the_server_ends(pool: Path) -> None:
    analyzer = FakeLiveAnalyzer()
    with listener() as (url, posted):
        with serving(pool, analyzer, settings={"webhook": [url]}) as server:
            until(lambda: bool(watch(server, analyzer)))
        assert posted[-1]["event"] == "lost"


def test_a_picture_that_is_sent_to_be_recognized_is_no_event(tmp_path: Path) -> None:
    analyzer = FakeAnalyzer()
    with listener() as (url, posted), serving(tmp_path / "pool.db", analyzer, settings={"webhook": [url]}) as server:
        answer = httpx.post(f"{server.url}/v1/recognize", files={"file": png(analyzer.frame().image_bgr)})
        assert answer.status_code == 200
    assert posted == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"webhook": ["home"]}, "webhook"), ({"mqtt": ["home"]}, "MQTT"), ({"home_assistant": True}, "--mqtt")],
)
def test_an_address_that_cannot_be_one_is_refused_at_the_start(
    tmp_path: Path, settings: dict[str, object], words: str
) -> None:
    given = Settings.model_validate({"pool": tmp_path / "pool.db", **settings})
    with pytest.raises(ConfigError, match=words) as refused:
        assemble(given, FakeAnalyzer())
    assert refused.value.exit_code == 2


@pytest.fixture(scope="module")
def analyzer(open_store: ModelStore) -> Analyzer:
    return load_analyzer(store=open_store)


def test_home_assistant_sees_who_is_before_a_camera_of_the_server(
    analyzer: Analyzer, photos: Path, tmp_path: Path
) -> None:
    port, path = free_port(), tmp_path / "pool.db"
    photo = read_image(photos / "person_a_1.jpg")
    with open_pool(path, analyzer.space) as opened:
        opened.register("Ada", [analyzer.analyze(photo).sample(0, Frame(photo, "photo"))], analyzer.space)
    video = tmp_path / "door.mp4"
    frames = pan(photos / "person_a_2.jpg", 12)
    with VideoWriter(video, 10.0, (frames[0].shape[1], frames[0].shape[0])) as writer:
        for frame in frames:
            writer.write(frame)
    settings = {"mqtt": [f"mqtt://127.0.0.1:{port}/home"], "home_assistant": True, "discovery_prefix": "ha"}
    with broker(port, tmp_path), listening(port) as heard, serving(path, analyzer, settings=settings) as server:
        camera = server.services.cameras.add(str(video), "Front door")

        def sensors() -> list[str]:
            return sorted(
                f"{json.loads(text)['device']['name']} {json.loads(text)['name']}"
                for topic, text in heard.kept.items()
                if topic.startswith("ha/")
            )

        def states() -> list[str]:
            return [json.loads(text)["state"] for topic, text in heard.messages if topic.startswith("home/cameras/")]

        until(lambda: sensors() == ["Front door Ada", "Front door People", "Front door Unknown person again"])
        until(lambda: "Ada" in states() and states()[-1] == "nobody", 20)
        httpx.delete(f"{server.url}/v1/persons/Ada").raise_for_status()
        until(lambda: sensors() == ["Front door People", "Front door Unknown person again"])
        with listening(port) as later:  # it gets what the broker keeps
            until(lambda: "home/available" in later.kept)
            assert not [text for text in later.kept.values() if b"Ada" in text]
        server.services.cameras.remove(camera.id)
        until(lambda: sensors() == [])


def test_other_programs_hear_no_name_of_somebody_who_was_erased(pool: Path) -> None:
    analyzer = FakeLiveAnalyzer()
    with listener() as (url, posted), serving(pool, analyzer, settings={"webhook": [url]}) as server:
        with connect(f"ws://127.0.0.1:{server.port}/v1/live") as socket:
            for _ in range(12):
                look(socket, analyzer.frame(Actor(ADA)))
            httpx.delete(f"{server.url}/v1/persons/Ada").raise_for_status()
            posted.clear()
            look(socket, analyzer.frame(Actor(ADA)))
        until(lambda: any(event["event"] == "lost" for event in posted))
    assert [event["event"] for event in posted] == ["changed", "lost"]
    assert "Ada" not in json.dumps(posted)
