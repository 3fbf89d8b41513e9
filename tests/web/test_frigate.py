"""The people of Frigate's events get their names: a real broker, a stand-in for Frigate's two calls, real pictures."""

import base64
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facepool import Analyzer, read_image
from facepool.errors import ConfigError
from facepool.faces.load import load_analyzer
from facepool.gallery import open_pool
from facepool.models.store import ModelStore
from facepool.recognize.snapshots import face_in_the_middle
from facepool.sinks import Unreachable
from facepool.types import Detections, Frame, Image
from facepool.web.services.frigate import FrigateClient, Report
from support.broker import Listener, broker, listening, until
from support.commands import nobody, shot
from support.live_server import Server, jpeg, serving
from support.ports import free_port

FIELDS = ("after", "before", "type", "id", "camera", "label", "snapshot", "frame_time", "box", "sub_label")
PATHS = re.compile(r"/nvr/api/events/([^/?]+)/(snapshot\.jpg\?crop=1|sub_label)")


class FrigateStandIn:
    """Frigate's snapshots and sub-labels, with what it checks of them."""

    def __init__(self) -> None:
        self.snapshots: dict[str, bytes] = {}
        self.labels: list[tuple[str, str, float | None]] = []
        self.asked: list[str] = []
        self.refusals: list[int] = []
        self.sign_in = ""
        standin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers["Content-Length"])))

            def _answer(self, body: bytes) -> None:
                standin.asked.append(f"{self.command} {self.path}")
                status, content, headers = standin.answer(self.command, self.path, body, dict(self.headers))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *details: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/nvr"

    def answer(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        if path == "/nvr/api/login":
            assert json.loads(body) == {"user": "me", "password": "s/ecret"}
            return 200, b"{}", {"Set-Cookie": "frigate_token=abc; Path=/; HttpOnly"}
        basic = "Basic " + base64.b64encode(b"me:s/ecret").decode()
        if self.sign_in == "frigate" and headers.get("Cookie") != "frigate_token=abc":
            return 401, b"", {}
        if self.sign_in == "basic" and headers.get("Authorization") != basic:
            return 401, b"", {"WWW-Authenticate": 'Basic realm="proxy"'}
        found = PATHS.fullmatch(path)
        assert found, path
        if self.refusals:
            return self.refusals.pop(0), b"", {}
        event = found[1]
        if method == "GET":
            picture = self.snapshots.get(event)
            return (404, b"{}", {}) if picture is None else (200, picture, {"Content-Type": "image/jpeg"})
        told = json.loads(body)
        assert len(told["subLabel"]) <= 100
        score = told.get("subLabelScore")
        assert score is None or 0 < score <= 1
        self.labels.append((event, told["subLabel"], score))
        return 200, b"{}", {}

    def __enter__(self) -> "FrigateStandIn":
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *details: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def message(event: str, kind: str = "update", **after: Any) -> bytes:
    told = {
        "id": event,
        "camera": "front_door",
        "label": "person",
        "sub_label": None,
        "false_positive": False,
        "start_time": 1607123955.4,
        "end_time": None,
        **after,
    }
    return json.dumps({"type": kind, "before": told, "after": told}).encode()


@dataclass
class House:
    """A server that names the people of a Frigate."""

    server: Server
    frigate: FrigateStandIn
    heard: Listener
    taken: int = 0

    def happens(self, event: str, picture: Image | None = None, kind: str = "update", **after: Any) -> None:
        """Frigate has another snapshot, and says so."""
        if picture is not None:
            self.frigate.snapshots[event] = jpeg(picture)
            self.taken += 1
        after = {"snapshot": {"frame_time": float(self.taken), "box": [10, 10, 300, 390]}, **after}
        self.heard.client.publish("frigate/events", message(event, kind, **after), 1)

    def activity(self) -> list[tuple[str, str | None, str]]:
        entries = httpx.get(f"{self.server.url}/v1/activity").json()["entries"][::-1]
        return [(entry["event"], entry["person"], entry["source"]) for entry in entries]

    def idle(self) -> None:
        """Wait until everything was looked at."""
        time.sleep(0.1)
        frigate = self.server.services.frigate
        assert frigate is not None
        until(lambda: frigate.waiting == 0)
        time.sleep(0.2)


@pytest.fixture(scope="module")
def analyzer(open_store: ModelStore) -> Analyzer:
    return load_analyzer(store=open_store)


@pytest.fixture(scope="module")
def people(photos: Path) -> dict[str, Image]:
    return {name: shot(photos / f"{name}.jpg") for name in ("person_a_2", "person_b_2", "impostor_1", "impostor_2")}


@contextmanager
def house_of(analyzer: Analyzer, photos: Path, tmp_path: Path, url: Callable[[str], str] = str) -> Iterator[House]:
    port, path = free_port(), tmp_path / "pool.db"
    with open_pool(path, analyzer.space) as pool:
        for name, photo in (("Ada", "person_a_1"), ("Bob", "person_b_1")):
            image = read_image(photos / f"{photo}.jpg")
            pool.register(name, [analyzer.analyze(image).sample(0, Frame(image, photo))], analyzer.space)
    with broker(port, tmp_path), listening(port) as heard, FrigateStandIn() as frigate:
        settings = {"mqtt": [f"mqtt://127.0.0.1:{port}"], "frigate": url(frigate.url)}
        with serving(path, analyzer, settings=settings) as server:
            until(lambda: heard.kept.get("facepool/available") == b"online")
            time.sleep(0.1)  # until it has subscribed
            yield House(server, frigate, heard)


@pytest.fixture
def house(analyzer: Analyzer, photos: Path, tmp_path: Path) -> Iterator[House]:
    with house_of(analyzer, photos, tmp_path) as house:
        yield house


def test_an_event_gets_the_name_of_its_person_once(house: House, people: dict[str, Image]) -> None:
    house.happens("16.1-abc", people["person_a_2"], "new")
    until(lambda: bool(house.frigate.labels))
    house.happens("16.1-abc")
    house.happens("16.1-abc", kind="end", sub_label=["Ada", 0.9])
    until(lambda: len(house.activity()) == 3)
    ((event, name, score),) = house.frigate.labels
    assert (event, name) == ("16.1-abc", "Ada")
    assert score is not None
    assert 0.5 < score <= 1
    assert house.frigate.asked == [
        "GET /nvr/api/events/16.1-abc/snapshot.jpg?crop=1",
        "POST /nvr/api/events/16.1-abc/sub_label",
    ]
    assert house.activity() == [
        ("appeared", None, "frigate/front_door"),
        ("recognized", "Ada", "frigate/front_door"),
        ("lost", "Ada", "frigate/front_door"),
    ]
    until(lambda: len(house.heard.of("facepool/events")) == 3)
    published = [json.loads(text) for text in house.heard.of("facepool/events")]
    assert [(event["event"], event["person"]) for event in published] == [
        ("appeared", None),
        ("recognized", "Ada"),
        ("lost", "Ada"),
    ]
    assert all(event["person_id"] for event in published[1:])


def test_strangers_and_pictures_without_a_face_get_no_sub_label(house: House, people: dict[str, Image]) -> None:
    httpx.patch(f"{house.server.url}/v1/settings", json={"keep_unknown": True}).raise_for_status()
    house.happens("1-stranger", people["impostor_1"], "new")
    house.happens("2-wall", nobody(1)[0], "new")
    house.happens("3-gone", None, "new")
    house.happens("4-broken", None, "new")
    house.frigate.snapshots["4-broken"] = b"no picture"
    house.happens("4-broken", kind="end")
    house.happens("1-stranger", kind="end")
    until(lambda: len(house.activity()) == 2)
    house.idle()
    assert house.frigate.labels == []
    assert [(event, person) for event, person, _ in house.activity()] == [("appeared", None), ("lost", None)]
    until(lambda: house.server.services.keeper.waiting == 0)
    with open_pool(house.server.services.pool.address) as pool:
        until(lambda: len(pool.inbox.sightings()) == 1)
        (kept,) = pool.inbox.sightings()
        assert (kept.source, kept.person, len(pool.inbox.faces([kept.id])[kept.id])) == ("frigate/front_door", None, 1)


def test_only_people_are_looked_at_and_nothing_but_the_two_calls_is_asked_for(
    house: House, people: dict[str, Image]
) -> None:
    others: list[dict[str, Any]] = [
        {"label": "dog"},
        {"false_positive": True},
        {"id": "../../config"},
        {"id": ".."},
        {"camera": "half of a \ud800"},
        {"id": 7},
        {"camera": "a/b"},
    ]
    for after in others:
        house.happens("1-dog", people["person_a_2"], "new", **after)
    for nonsense in (b"", b"[]", b"{", b'{"after": 3}', b"\xff", message("x" * 300), b"[" * 100_000, b"9" * 9_999):
        house.heard.client.publish("frigate/events", nonsense, 1)
    house.happens("2-person", people["person_b_2"], "new")
    until(lambda: bool(house.frigate.labels))
    assert [(event, name) for event, name, _ in house.frigate.labels] == [("2-person", "Bob")]
    assert all("2-person" in path for path in house.frigate.asked)


def test_several_snapshots_add_up_and_a_better_score_is_told(house: House, people: dict[str, Image]) -> None:
    small = np.full_like(people["person_a_2"], 110)
    small[100:200, 100:180] = people["person_a_2"][::4, ::4]
    house.happens("1-far", small, "new")
    house.idle()
    house.happens("1-far", people["person_a_2"])
    until(lambda: bool(house.frigate.labels))
    house.happens("1-far", np.ascontiguousarray(people["person_a_2"][:, ::-1]))
    house.idle()
    house.happens("1-far", kind="end")
    until(lambda: house.activity()[-1][0] == "lost")
    names = {name for _, name, _ in house.frigate.labels}
    scores = [score or 0 for _, _, score in house.frigate.labels]
    assert names == {"Ada"}
    assert scores == sorted(scores)
    until(lambda: any(b'"lost"' in text for text in house.heard.of("facepool/events")))
    assert json.loads(house.heard.of("facepool/events")[-1])["frames"] >= 2


def test_a_label_that_somebody_else_gave_stays(house: House, people: dict[str, Image]) -> None:
    house.happens("1-named", people["person_a_2"], "new", sub_label=["Grandma", 1.0])
    until(lambda: len(house.activity()) == 2)
    house.idle()
    assert house.frigate.labels == []


def test_a_frigate_that_is_away_or_does_not_know_the_event_yet_is_told_later(
    house: House, people: dict[str, Image], caplog: pytest.LogCaptureFixture
) -> None:
    house.frigate.refusals = [503, 404]  # it is just starting; then there is no snapshot yet
    house.happens("1-early", people["person_a_2"], "new")
    until(lambda: house.frigate.refusals == [], 20)
    house.idle()
    house.frigate.snapshots.clear()
    house.happens("1-early", kind="update")
    house.idle()
    house.happens("1-early", people["person_a_2"])
    until(lambda: bool(house.frigate.labels), 20)
    assert [(event, name) for event, name, _ in house.frigate.labels] == [("1-early", "Ada")]
    assert "503" in caplog.text
    assert "answers again" in caplog.text


def test_after_the_end_only_the_face_inside_the_box_counts(house: House, people: dict[str, Image]) -> None:
    both = np.hstack([people["person_b_2"], people["person_a_2"]])
    height, width = people["person_a_2"].shape[:2]
    box = [width, 0, 2 * width, height]
    house.happens("1-late", both, "end", snapshot={"frame_time": 1.0, "box": box})
    until(lambda: bool(house.frigate.labels))
    assert [(event, name) for event, name, _ in house.frigate.labels] == [("1-late", "Ada")]


def test_what_frigate_was_not_told_is_told_at_the_end(
    analyzer: Analyzer, photos: Path, tmp_path: Path, people: dict[str, Image]
) -> None:
    with house_of(analyzer, photos, tmp_path) as house:
        frigate = house.frigate
        for number in range(5):
            house.happens(f"{number}-guest", people["person_a_2"], "new")
        until(lambda: bool(frigate.asked))
        time.sleep(0.1)
    assert {event for event, _, _ in frigate.labels} == {f"{number}-guest" for number in range(5)}


def test_frigate_is_not_left_with_the_name_of_somebody_who_was_erased(house: House, people: dict[str, Image]) -> None:
    house.happens("1-gone", people["person_a_2"], "new")
    until(lambda: bool(house.frigate.labels))
    assert httpx.delete(f"{house.server.url}/v1/persons/Ada").is_success
    house.happens("1-gone", kind="end")
    until(lambda: len(house.frigate.labels) == 2)
    assert [label[1:] for label in house.frigate.labels][1:] == [("", None)]


@pytest.mark.parametrize("kind", ["frigate", "basic"])
def test_frigate_or_a_proxy_may_ask_who_it_is(
    analyzer: Analyzer, photos: Path, tmp_path: Path, people: dict[str, Image], kind: str
) -> None:
    def with_user(url: str) -> str:
        return url.replace("http://", "http://me:s%2Fecret@")

    with house_of(analyzer, photos, tmp_path, with_user) as house:
        house.frigate.sign_in = kind
        house.happens("1-known", people["person_b_2"], "new")
        until(lambda: bool(house.frigate.labels))
    assert house.frigate.labels[0][:2] == ("1-known", "Bob")


def test_a_frigate_that_trickles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facepool.web.services.frigate._LONGEST_ANSWER_S", 0.1)

    def answer() -> None:
        client, _ = listener.accept()
        with client, suppress(OSError):
            client.recv(10_000)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
            while True:
                client.sendall(b"x")
                time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, daemon=True).start()
        client = FrigateClient(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(Unreachable, match="not there after"):
            client.snapshot("1-slow")
        client.close()


def test_without_a_broker_frigate_cannot_be_read(tmp_path: Path, analyzer: Analyzer) -> None:
    with (
        pytest.raises(ConfigError, match="--mqtt"),
        serving(tmp_path / "pool.db", analyzer, settings={"frigate": "http://frigate:5000"}),
    ):
        pass


@pytest.mark.parametrize("url", ["", "frigate:5000", "ftp://frigate", "http://a..b"])
def test_an_address_of_frigate_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="Frigate"):
        FrigateClient(url)


def test_the_address_is_shown_without_the_password() -> None:
    assert FrigateClient("https://me:secret@[::1]:8971/nvr/?a=b").name == "https://[::1]:8971/nvr"


def test_versions_of_frigate_give_sub_labels_in_two_ways() -> None:
    labels = [None, "Ada", ["Ada", 0.8], [], 3]
    found = [Report.parse(message("1-a", sub_label=label)) for label in labels]
    assert [report.sub_label for report in found if report] == ["", "Ada", "Ada", "", ""]


@pytest.mark.parametrize(
    ("boxes", "inside", "row"),
    [
        ([], None, None),
        ([(0, 0, 40, 40)], None, 0),
        ([(0, 0, 40, 40), (80, 0, 116, 36)], None, 1),  # nearly as large, and in the middle
        ([(0, 0, 90, 90), (95, 0, 105, 10)], None, 0),  # in the middle, and far away
        ([(0, 0, 40, 40), (150, 0, 180, 30)], (140, 0, 200, 100), 1),
        ([(0, 0, 40, 40)], (140, 0, 200, 100), None),
    ],
)
def test_a_picture_is_of_the_large_face_in_the_middle(
    boxes: list[tuple[int, ...]], inside: tuple[float, float, float, float] | None, row: int | None
) -> None:
    count = len(boxes)
    found = Detections(
        np.array(boxes, np.float32).reshape(count, 4), np.ones(count, np.float32), np.zeros((count, 5, 2), np.float32)
    )
    assert face_in_the_middle(found, 200, inside) == row


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=12,
)


@given(JSON)
def test_no_message_of_a_broker_ends_the_reading(told: object) -> None:
    after = {"label": "person", "id": "1-a", "camera": "front", "snapshot": told, "sub_label": told, "box": told}
    for message in (told, {"after": told, "type": told}, {"after": after, "type": told}):
        report = Report.parse(json.dumps(message).encode())
        assert report is None or (report.id, report.camera) == ("1-a", "front")
