"""Liveness checks as clients make them: over a WebSocket, with posted frames, and what their results are used for."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from facepool.errors import NotWritable
from facepool.faces.analyze import AnyImage
from facepool.gallery.address import pool_address
from facepool.types import Detections, Floats, Sample
from facepool.web.services import Services
from facepool.web.services.decoding import Decoder
from facepool.web.services.liveness.record import LivenessRecord
from facepool.web.services.liveness.results import PassedCheck
from support import postgres
from support.fake_scan_analyzer import ME, OTHER, SPACE, FakeScanAnalyzer, Head, circle, embedding, still
from support.liveness import turned
from support.screen import until
from support.web_client import HERE, client_of, png, sent

FPS = 8
STEP_DEG = 6.0
"""Between two frames."""


class Clock:
    """The server's."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def __call__(self) -> float:
        return self.now_s

    def perf_counter(self) -> float:
        return self.now_s


class Person:
    """Somebody who does what they are told, a little at a time, and more slowly when they are told that."""

    def __init__(self, head: Head | None = None, *, far: float = 1.0) -> None:
        self.head = head or Head()
        self.far = far
        self._at = (0.0, 0.0)
        self._step_deg = STEP_DEG

    def next(self, told: dict[str, Any] | None) -> Head:
        hint = (told or {}).get("hint", {})
        angle = hint.get("angle_deg")
        if hint.get("code") in ("more_slowly", "few_pictures"):
            self._step_deg = STEP_DEG / 2
        to = turned(angle, self.far) if angle is not None else (0.0, 0.0)
        self._at = tuple(
            here + max(-self._step_deg, min(self._step_deg, there - here))
            for here, there in zip(self._at, to, strict=True)
        )  # type: ignore[assignment]
        return replace(self.head, yaw=self._at[0], pitch=self._at[1])


class Analyzer(FakeScanAnalyzer):
    """For pictures of requests, too."""

    @property
    def least_side(self) -> int:
        return 1280

    def find(self, image_bgr: AnyImage, *, moving: bool = False) -> Detections:
        return self.analyze(image_bgr, moving=moving).detections

    def embed_batch(self, images_bgr: Sequence[AnyImage]) -> list[tuple[Detections, Floats]]:
        return [(faces.detections, faces.embeddings) for faces in self.analyze_batch(images_bgr)]


@pytest.fixture
def analyzer() -> FakeScanAnalyzer:
    return Analyzer()


class SharedDecoder(Decoder):
    """Its processes go on when a server ends, for that of the next test: to start them takes longer than most."""

    def close(self) -> None:
        """Not yet."""

    def end(self) -> None:
        super().close()


@pytest.fixture(scope="module")
def decoder() -> Iterator[SharedDecoder]:
    decoder = SharedDecoder()
    yield decoder
    decoder.end()


@pytest.fixture(autouse=True)
def _decoders_are_shared(monkeypatch: pytest.MonkeyPatch, decoder: SharedDecoder) -> None:
    monkeypatch.setattr("facepool.web.services.Decoder", lambda _processes: decoder)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("facepool.web.api.live.time", clock)
    return clock


def started(folder: Path, analyzer: FakeScanAnalyzer, clock: Clock, **settings: object) -> Iterator[TestClient]:
    with client_of(folder, analyzer, settings=settings) as client:
        services_of(client).liveness.clock = clock
        yield client


@pytest.fixture
def web(tmp_path: Path, analyzer: FakeScanAnalyzer, clock: Clock) -> Iterator[TestClient]:
    yield from started(tmp_path, analyzer, clock)


@pytest.fixture
def strict(tmp_path: Path, analyzer: FakeScanAnalyzer, clock: Clock) -> Iterator[TestClient]:
    """A server that asks for checks."""
    yield from started(tmp_path, analyzer, clock, require_live=True)


def services_of(web: TestClient) -> Services:
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    return services


class Camera:
    """Shows a person to a server, frame by frame."""

    def __init__(self, socket: WebSocketTestSession, analyzer: FakeScanAnalyzer, clock: Clock) -> None:
        self.socket, self._analyzer, self._clock = socket, analyzer, clock
        self.told: dict[str, Any] | None = None

    def start(self, **wish: object) -> dict[str, Any]:
        self.socket.send_json({"do": "start", **wish})
        begun: dict[str, Any] = self.socket.receive_json()
        return begun

    def show(self, *heads: Head, after_s: float = 1 / FPS) -> dict[str, Any]:
        self._clock.now_s += after_s
        self.socket.send_bytes(sent(self._analyzer.frame(*heads)))
        told: dict[str, Any] = self.socket.receive_json()
        self.told = told
        return told

    def follow(self, person: Person, most: int = 600) -> dict[str, Any]:
        """Until there is a result."""
        for _ in range(most):
            told = self.show(person.next(self.told))
            if told["type"] != "liveness":
                return told
        raise AssertionError(self.told)


@pytest.fixture
def camera(web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock) -> Iterator[Camera]:
    with web.websocket_connect(f"{HERE}/v1/liveness") as socket:
        yield Camera(socket, analyzer, clock)


def checked(web: TestClient, client: str = "address testclient", **found: Any) -> str:
    """The token of a check that somebody (`ME`) has passed."""
    results = services_of(web).liveness.results
    record = {"method": "challenge", "reason": "live", "score": 0.9, "flatness": 0.1, "steps": 3, "steps_passed": 3}
    live = LivenessRecord.model_validate({"passed": True, "passive": None, **record, **found})
    return results.passed(results.draw(client, 3, lambda _steps: 60.0), PassedCheck(embedding(Head()), live))


def brings(token: str) -> dict[str, str]:
    return {"Facepool-Liveness": token}


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def picture(analyzer: FakeScanAnalyzer, *heads: Head) -> dict[str, Any]:
    return {"files": [("files", ("a.png", png(analyzer.frame(*heads).image_bgr)))]}


def register(web: TestClient, name: str, head: Head) -> None:
    with services_of(web).pool.open() as pool:
        pool.register(name, [Sample(embedding(head))], SPACE)


def actions(web: TestClient) -> list[str]:
    return [entry["action"] for entry in web.get("/v1/audit").json()["entries"]]


def test_who_does_as_asked_is_there(camera: Camera, web: TestClient) -> None:
    begun = camera.start()
    assert (begun["type"], begun["steps"], begun["partial"]) == ("challenge", 3, False)
    assert "left" not in json.dumps(begun)  # nor any other way
    ways, person = [], Person()
    for _ in range(600):
        told = camera.show(person.next(camera.told))
        if told["type"] == "result":
            break
        if told["hint"]["angle_deg"] is not None:
            ways.append((told["step"], told["hint"]["angle_deg"]))
    assert [step for step, _ in dict.fromkeys(ways)] == [1, 2, 3]
    assert told["liveness"] | {"score": 1, "flatness": 0} == {
        "passed": True, "method": "challenge", "reason": "live", "score": 1, "flatness": 0,
        "steps": 3, "steps_passed": 3, "passive": None,
    }  # fmt: skip
    assert told["liveness_token"].startswith("fpl_")
    assert camera.socket.receive() == {"type": "websocket.close", "code": 1000, "reason": ""}
    entry = web.get("/v1/audit").json()["entries"][0]
    assert (entry["action"], entry["person"], entry["caller"]) == ("passed a liveness check", "", "local")
    assert entry["liveness"]["reason"] == "live"


@pytest.mark.parametrize("head", [Head(flat=True), None])
def test_what_does_not_move_as_a_head_does_gets_no_token(camera: Camera, head: Head | None, web: TestClient) -> None:
    camera.start()
    told = camera.follow(Person(head, far=1.0 if head else 0.1))
    assert (told["type"], told["liveness"]["passed"], told["liveness_token"]) == ("result", False, None)
    assert told["liveness"]["reason"] != "live"
    assert actions(web)[0] == "failed a liveness check"


def test_a_film_that_is_sent_at_once_or_in_slow_motion_does_not_pass(
    web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock
) -> None:
    """The client's own times count for nothing."""
    for after_s in (1 / 2000, 2.5):
        with web.websocket_connect(f"{HERE}/v1/liveness") as socket:
            camera, person = Camera(socket, analyzer, clock), Person()
            camera.start()
            for _ in range(80):
                told = camera.show(person.next(camera.told), after_s=after_s)
                if told["type"] == "result":
                    break
        assert told.get("liveness", {"passed": False})["passed"] is False, after_s


def test_a_client_who_claims_other_times_gains_nothing(camera: Camera, analyzer: FakeScanAnalyzer) -> None:
    camera.start()
    person = Person()
    for number in range(40):
        frame = analyzer.frame(person.next(camera.told))
        camera.socket.send_bytes(sent(frame, number * 1000.0))
        camera.told = told = camera.socket.receive_json()
        assert told["type"] == "liveness"
        assert told["phase"] == "straight"


def test_two_people_and_somebody_else_do_not_pass(web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock) -> None:
    beside = Head(person=OTHER, at=(60.0, 120.0))
    for swap in ("beside", "instead"):
        with web.websocket_connect(f"{HERE}/v1/liveness") as socket:
            camera, person = Camera(socket, analyzer, clock), Person()
            camera.start()
            told: dict[str, Any] = {"type": "", "phase": ""}
            while told["type"] != "result":
                head = person.next(camera.told)
                if told.get("phase") not in ("turn", "back"):
                    told = camera.show(head)
                elif swap == "beside":
                    told = camera.show(head, beside)
                else:
                    told = camera.show(replace(head, person=OTHER))
        assert told["liveness"]["reason"] == {"beside": "several_faces", "instead": "another_face"}[swap]
        assert told["liveness_token"] is None


def test_frames_that_are_none_are_told_and_change_nothing(camera: Camera) -> None:
    camera.start()
    camera.show(*still(1))
    camera.socket.send_bytes(b"\0" * 16 + b"no picture")
    told = camera.socket.receive_json()
    assert (told["type"], told["fatal"]) == ("error", False)
    assert camera.follow(Person())["liveness"]["passed"]


def test_what_does_not_begin_a_check_ends_it(web: TestClient) -> None:
    for first in ("", "{}", '{"do": "stop"}', '{"do": "start", "steps": 1}', "[" * 100):
        with web.websocket_connect(f"{HERE}/v1/liveness") as socket:
            socket.send_text(first)
            told = socket.receive_json()
            assert (told["type"], told["code"], told["fatal"]) == ("error", "request_invalid", True)


def test_who_gives_up_or_leaves_has_failed(web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock) -> None:
    for leave in (False, True):
        with web.websocket_connect(f"{HERE}/v1/liveness") as socket:
            camera = Camera(socket, analyzer, clock)
            camera.start()
            camera.show(Head())
            if not leave:
                socket.send_json({"do": "stop"})
                assert socket.receive_json()["liveness"]["reason"] == "interrupted"
    assert until(lambda: actions(web) == 2 * ["failed a liveness check"])
    with web.websocket_connect(f"{HERE}/v1/liveness") as socket:
        assert Camera(socket, analyzer, clock).start()["steps"] == 5


@pytest.mark.parametrize("has_begun", [True, False])
def test_who_stays_and_shows_nothing_keeps_no_connection(camera: Camera, clock: Clock, has_begun: bool) -> None:
    if has_begun:
        camera.start()
    clock.now_s += 11
    with pytest.raises(WebSocketDisconnect):
        camera.socket.receive_json()


def test_people_who_cannot_turn_far_pass_a_check_that_says_so(camera: Camera, web: TestClient) -> None:
    assert camera.start(partial=True)["steps"] == 4
    token = camera.follow(Person(far=0.6))["liveness_token"]
    answer = web.post("/v1/recognize", headers=brings(token))
    assert answer.json()["live"]["liveness"]["method"] == "challenge_partial"


def test_who_it_is_that_is_there(web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock) -> None:
    register(web, "Ada", Head())
    token = checked(web)
    answer = web.post("/v1/recognize", headers=brings(token)).json()
    assert (answer["pictures"], answer["live"]["person"], answer["live"]["reason"]) == ([], "Ada", "match")
    assert actions(web)[0] == "recognized live"
    assert problem(web.post("/v1/recognize", headers=brings(token))) == (409, "liveness_over")


def test_a_picture_of_somebody_else_is_not_named_by_it(
    web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock
) -> None:
    register(web, "Ada", Head())
    register(web, "Bob", Head(person=OTHER))
    both = picture(analyzer, Head(at=(100.0, 120.0)), Head(person=OTHER, at=(240.0, 120.0)))
    alone = web.post("/v1/recognize", **both).json()
    assert [face["person"] for face in alone["pictures"][0]["faces"]] == ["Ada", "Bob"]
    assert alone["live"] is None
    token = checked(web)
    faces = web.post("/v1/recognize", headers=brings(token), **both).json()["pictures"][0]["faces"]
    assert [(face["person"], face["reason"]) for face in faces] == [("Ada", "match"), (None, "not_live")]


def test_of_a_picture_of_somebody_else_nothing_is_told_by_it(
    web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock
) -> None:
    """Neither whom it resembles, nor whether the pool has them: a check speaks for the person who has made it."""
    other = picture(analyzer, Head(person=OTHER))
    told = []
    for name in ("Ada", "Bob"):
        register(web, name, Head(person=ME if name == "Ada" else OTHER))
        (found,) = web.post("/v1/recognize", headers=brings(checked(web)), **other).json()["pictures"]
        (face,) = found["faces"]
        told.append({key: face[key] for key in ("person", "person_id", "similarity", "margin", "reason", "candidates")})
    nothing = {"person": None, "person_id": None, "similarity": None, "margin": None}
    assert told == [nothing | {"reason": "not_live", "candidates": []}] * 2


def test_a_photo_is_compared_with_who_is_there(web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock) -> None:
    for person, match in ((ME, True), (OTHER, False)):
        token = checked(web)
        answer = web.post("/v1/verify", params={"liveness": token}, **picture(analyzer, Head(person=person)))
        assert answer.status_code == 200, answer.text
        assert (answer.json()["match"], len(answer.json()["faces"])) == (match, 1)
        assert answer.json()["liveness"]["passed"]
    assert actions(web)[0] == "refused live"


def test_a_picture_that_cannot_be_used_costs_no_check(
    web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock
) -> None:
    token = checked(web)
    for files in (picture(analyzer), {"files": [("files", ("a.png", b"none"))]}, {}):
        assert web.post("/v1/verify", headers=brings(token), **files).status_code in (400, 415)
    assert web.post("/v1/verify", headers=brings(token), **picture(analyzer, Head())).json()["match"]


def test_views_of_nobody_but_who_is_there_are_registered(
    web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock
) -> None:
    token = checked(web)
    files = [
        ("files", (f"{number}.png", png(analyzer.frame(*heads).image_bgr)))
        for number, heads in enumerate([[Head()], [Head(person=OTHER)], [Head(person=OTHER), Head(score=0.1)]])
    ]
    answer = web.post("/v1/persons/Ada/samples", headers=brings(token), files=files).json()
    assert [one["outcome"] for one in answer["pictures"]] == ["taken", "not_live", "not_live"]
    assert (answer["stored"], answer["liveness"]["reason"]) == (1, "live")
    entry = web.get("/v1/audit").json()["entries"][0]
    assert (entry["action"], entry["person"], entry["liveness"]["method"]) == ("registered live", "Ada", "challenge")
    again = web.post("/v1/persons/Ada/samples", headers=brings(token), files=files)
    assert problem(again) == (409, "liveness_over")


def test_a_check_of_another_key_or_collection_is_worth_nothing(
    web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock
) -> None:
    boss = {"x-api-key": web.post("/v1/keys", json={"name": "Boss", "role": "admin"}).json()["key"]}
    door = {"x-api-key": web.post("/v1/keys", json={"name": "Door", "role": "recognize"}, headers=boss).json()["key"]}
    assert web.post("/v1/collections", json={"name": "yard"}, headers=boss).status_code == 201
    token = checked(web, "key Boss")
    assert problem(web.post("/v1/recognize", headers=door | brings(token))) == (403, "liveness_unknown")
    elsewhere = web.post("/v1/recognize", params={"collection": "yard"}, headers=boss | brings(token))
    assert problem(elsewhere) == (403, "liveness_unknown")
    assert web.post("/v1/recognize", headers=boss | brings(token)).status_code == 200


@pytest.mark.postgres
def test_of_two_servers_of_one_database_one_uses_a_check(tmp_path: Path, analyzer: FakeScanAnalyzer) -> None:
    pool = pool_address(postgres.new_database())
    with client_of(tmp_path, analyzer, pool=pool) as one, client_of(tmp_path, analyzer, pool=pool) as other:
        token = checked(one)
        assert other.post("/v1/recognize", headers=brings(token)).json()["live"]["reason"] == "empty_pool"
        assert problem(one.post("/v1/recognize", headers=brings(token))) == (409, "liveness_over")
        begun = one.post("/v1/liveness", json={}).json()
        files = {"f": ("a.png", png(analyzer.frame(Head()).image_bgr))}
        elsewhere = other.post(f"/v1/liveness/{begun['id']}/frames", files=files, headers=brings(begun["token"]))
        assert problem(elsewhere) == (409, "liveness_elsewhere")
        assert [one["action"] for one in other.get("/v1/audit").json()["entries"]] == ["recognized live"]


def test_without_a_token_everything_is_as_before(web: TestClient, analyzer: FakeScanAnalyzer) -> None:
    assert web.post("/v1/recognize", **picture(analyzer, Head())).json()["live"] is None
    assert problem(web.post("/v1/recognize")) == (400, "source_empty")
    assert problem(web.post("/v1/recognize", headers=brings("fpl_x"))) == (403, "liveness_unknown")


def test_a_server_may_ask_for_checks(strict: TestClient, analyzer: FakeScanAnalyzer, clock: Clock) -> None:
    register(strict, "Ada", Head())
    shown = picture(analyzer, Head())
    for path in ("recognize", "verify", "persons/Bob/samples"):
        assert problem(strict.post(f"/v1/{path}", **shown)) == (403, "liveness_needed")
    assert strict.post("/v1/detect", **shown).status_code == 200
    assert "liveness check" in strict.post("/api/v1/recognition/recognize", files={"file": shown["files"][0][1]}).text
    assert "liveness check" in strict.post("/v1/vision/face/recognize", files={"image": shown["files"][0][1]}).text
    token = checked(strict)
    assert strict.post("/v1/recognize", headers=brings(token)).json()["live"]["person"] == "Ada"
    with strict.websocket_connect(f"{HERE}/v1/live") as socket:
        assert "liveness check" in socket.receive()["reason"]


def test_a_guided_scan_takes_the_person_of_the_check_alone(strict: TestClient, analyzer: FakeScanAnalyzer) -> None:
    for person, tokens in ((ME, [""]), (OTHER, [checked(strict)]), (ME, [checked(strict)])):
        with strict.websocket_connect(f"{HERE}/v1/enroll") as socket:
            socket.send_json({"do": "start", "person": "Ada", "liveness": tokens[0]})
            if not tokens[0]:
                assert socket.receive_json()["code"] == "liveness_needed"
                continue
            for head in [*still(10), *circle()]:
                socket.send_bytes(sent(analyzer.frame(replace(head, person=person))))
                told = socket.receive_json()
            assert told["phase"] == "done"
            socket.send_json({"do": "finish"})
            assert socket.receive_json()["type"] == "report"
            socket.send_json({"do": "store"})
            told = socket.receive_json()
            assert (told["type"], told.get("code")) == (("error", "liveness_other") if person else ("stored", None))
    assert actions(strict)[0] == "registered live"


class Poster:
    """Posts frames of a person, one request after another."""

    def __init__(self, web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock) -> None:
        self._web, self._analyzer, self._clock = web, analyzer, clock
        self.begun = web.post("/v1/liveness", json={}).json()
        self.told: dict[str, Any] | None = None

    def post(self, *heads: Head, after_s: float, token: str | None = None) -> Any:
        self._clock.now_s += after_s
        files = [("f", (f"{at}.png", png(self._analyzer.frame(head).image_bgr))) for at, head in enumerate(heads)]
        token = self.begun["token"] if token is None else token
        return self._web.post(f"/v1/liveness/{self.begun['id']}/frames", files=files, headers=brings(token))

    def follow(self, person: Person, together: int = 3) -> dict[str, Any]:
        for _ in range(200):
            heads = [person.next(self.told) for _ in range(together)]
            answer = self.post(*heads, after_s=together / FPS)
            assert answer.status_code == 200, answer.text
            told: dict[str, Any] = answer.json()
            self.told = told
            if told["phase"] == "ended":
                return told
        raise AssertionError(self.told)


def test_frames_may_be_posted_instead(web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock) -> None:
    poster = Poster(web, analyzer, clock)
    assert (poster.begun["steps"], poster.begun["partial"]) == (3, False)
    told = poster.follow(Person())
    assert told["liveness"]["passed"], told
    token = told["liveness_token"]
    assert web.post("/v1/recognize", headers=brings(token)).status_code == 200
    assert problem(web.post("/v1/recognize", headers=brings(token))) == (409, "liveness_over")
    again = poster.post(Head(), after_s=0.1).json()
    assert (again["liveness_token"], again["phase"]) == (token, "ended")


def test_posted_frames_need_the_token_of_their_check(web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock) -> None:
    one, other = Poster(web, analyzer, clock), Poster(web, analyzer, clock)
    assert problem(one.post(Head(), after_s=0, token=other.begun["token"])) == (403, "liveness_unknown")
    assert problem(one.post(Head(), after_s=0, token="")) in ((403, "liveness_unknown"), (422, "request_invalid"))
    assert one.post(Head(), after_s=0).status_code == 200
    one.begun["id"] = "0" * 32
    assert problem(one.post(Head(), after_s=0)) == (403, "liveness_unknown")


def test_nobody_has_time_to_make_frames(web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock) -> None:
    poster, person = Poster(web, analyzer, clock), Person()
    for _ in range(10):
        poster.told = poster.post(*[person.next(poster.told) for _ in range(5)], after_s=5 / FPS).json()
        if poster.told["phase"] == "turn":
            break
    told = poster.post(*[person.next(poster.told) for _ in range(40)], after_s=5.5).json()
    assert told["liveness"]["reason"] == "interrupted"


def test_abandoned_checks_are_forgotten(web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock) -> None:
    posters = [Poster(web, analyzer, clock) for _ in range(16)]
    assert problem(web.post("/v1/liveness", json={})) == (429, "rate_limited")
    clock.now_s += 200
    assert problem(posters[0].post(Head(), after_s=0)) == (409, "liveness_over")
    assert web.post("/v1/liveness").status_code == 201  # without a body: the usual check
    assert len(services_of(web).liveness._posted) == 1


def test_a_check_that_cannot_be_written_down_stands_in_nobodys_way(
    web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise NotWritable("The result cannot be stored", why="the disk is full")

    poster, person = Poster(web, analyzer, clock), Person()
    Poster(web, analyzer, clock)  # nobody goes on with it
    monkeypatch.setattr(services_of(web).liveness.results, "passed", full)
    answer = poster.post(Head(), after_s=0)
    while answer.status_code == 200:
        answer = poster.post(person.next(answer.json()), after_s=1 / FPS)
    assert answer.json()["code"] == "not_writable"
    clock.now_s += 200
    assert web.post("/v1/liveness", json={}).status_code == 201
    assert [entry["liveness"]["reason"] for entry in web.get("/v1/audit").json()["entries"]] == ["interrupted"]


def test_a_check_that_another_process_follows_cannot_go_on_here(
    web: TestClient, analyzer: FakeScanAnalyzer, clock: Clock
) -> None:
    poster = Poster(web, analyzer, clock)
    services_of(web).liveness._posted.clear()
    assert problem(poster.post(Head(), after_s=0)) == (409, "liveness_elsewhere")
