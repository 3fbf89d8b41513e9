"""A server of several collections: which is meant, who may use it, what is shared, and what becomes of one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from facepool.config import Settings
from facepool.gallery import open_pool
from facepool.gallery.address import PoolAddress
from facepool.gallery.collections import collections_in, remove_collection
from facepool.recognize.events import Event
from facepool.types import Frame, Sample
from facepool.web.app import create_app
from facepool.web.middleware.authentication import SIGN_IN_AGAIN
from facepool.web.services import ServerOptions, Services, assemble
from facepool.web.services.collections import Collections
from support.fake_analyzer import SPACE, FakeAnalyzer, view
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer
from support.pools import POSTGRES, place
from support.screen import until
from support.web_client import HERE, LOCAL, client_of, look, png

Headers = dict[str, str]
STAFF = {"Facepool-Collection": "staff"}


@pytest.fixture(params=["pool.db", pytest.param(POSTGRES, marks=pytest.mark.postgres)])
def gallery(tmp_path: Path, request: pytest.FixtureRequest) -> PoolAddress:
    """Ada is in the default collection, Bob among the staff, nobody among the guests."""
    gallery = place(tmp_path, request.param)
    for person, (name, collection) in enumerate((("Ada", "default"), ("Bob", "staff"))):
        with open_pool(gallery, SPACE, collection=collection) as pool:
            pool.register(name, [Sample(view(person, 0))], SPACE)
    with open_pool(gallery, SPACE, collection="guests") as pool:
        pool.make_tables()  # type: ignore[attr-defined]
    return gallery


@pytest.fixture
def web(gallery: PoolAddress, tmp_path: Path, analyzer: FakeAnalyzer) -> Iterator[TestClient]:
    with client_of(tmp_path, analyzer, pool=gallery) as client:
        yield client


def collections_of(web: TestClient) -> Collections:
    collections: Collections = web.app.state.collections  # type: ignore[attr-defined]
    return collections


def key_for(web: TestClient, *collections: str, role: Any = "admin") -> Headers:
    keys = collections_of(web).root.keys
    return {"x-api-key": keys.add(f"{role} of {' '.join(collections) or 'all'}", role, collections)}


def people(web: TestClient, headers: Headers | None = None, query: str = "") -> list[str]:
    answer = web.get(f"/v1/persons{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return [person["person"] for person in answer.json()["persons"]]


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def recognized(web: TestClient, picture: bytes, headers: Headers | None = None) -> list[str | None]:
    answer = web.post("/v1/recognize", files={"image": picture}, headers=headers)
    assert answer.status_code == 200, answer.text
    return [face["person"] for image in answer.json()["pictures"] for face in image["faces"]]


def test_the_query_the_header_or_the_key_says_which_is_meant(web: TestClient, analyzer: FakeAnalyzer) -> None:
    both = png(analyzer.frame(view(0, 0), view(1, 0)).image_bgr)
    assert people(web) == people(web, query="?collection=default") == ["Ada"]
    assert (
        people(web, query="?collection=staff")
        == people(web, STAFF)
        == people(web, STAFF, "?collection=staff")
        == ["Bob"]
    )
    assert recognized(web, both) == ["Ada", None]
    assert recognized(web, both, STAFF) == [None, "Bob"]
    assert code(web.get("/v1/persons?collection=guests", headers=STAFF)) == (422, "request_invalid")
    everywhere, staff = key_for(web), key_for(web, "staff")
    two = key_for(web, "guests", "staff")
    assert people(web, everywhere) == ["Ada"]
    assert people(web, staff) == people(web, everywhere | STAFF) == people(web, two | STAFF) == ["Bob"]
    assert people(web, two, "?collection=guests") == []
    assert code(web.get("/v1/persons", headers=two)) == (400, "collection_needed")
    assert people(web, key_for(web, "default", "guests")) == ["Ada"]
    assert recognized(web, both, staff) == [None, "Bob"]


@pytest.mark.parametrize("gallery", ["pool.db"], indirect=True)
def test_programs_of_compreface_and_deepstack_find_their_collection_by_their_key(
    web: TestClient, analyzer: FakeAnalyzer
) -> None:
    both = png(analyzer.frame(view(0, 0), view(1, 0)).image_bgr)
    everywhere, staff = key_for(web), key_for(web, "staff", role="enroll")
    assert web.get("/api/v1/recognition/subjects", headers=everywhere).json() == {"subjects": ["Ada"]}
    assert web.get("/api/v1/recognition/subjects", headers=staff).json() == {"subjects": ["Bob"]}
    found = web.post("/api/v1/recognition/recognize", files={"file": both}, headers=staff).json()["result"]
    assert [face["subjects"][0]["subject"] for face in found if face["subjects"][0]["similarity"] > 0.9] == ["Bob"]
    in_form = {"api_key": staff["x-api-key"]}
    assert web.post("/v1/vision/face/list", data=in_form).json()["faces"] == ["Bob"]
    named = web.post("/v1/vision/face/recognize", data=in_form, files={"image": both}).json()["predictions"]
    assert {face["userid"] for face in named} == {"unknown", "Bob"}


@pytest.mark.parametrize("gallery", ["pool.db"], indirect=True)
def test_a_browser_is_in_the_collection_of_the_key_that_it_signed_in_with(web: TestClient) -> None:
    staff = key_for(web, "staff", role="recognize")
    key_for(web)
    signed_in = web.post("/v1/session", json={"key": staff["x-api-key"]}).json()
    assert (signed_in["collections"], signed_in["collection"]) == (["staff"], "staff")
    assert people(web) == ["Bob"]
    assert code(web.get("/v1/persons?collection=default")) == (404, "collection_unknown")
    assert [one["name"] for one in web.get("/v1/collections").json()["collections"]] == ["staff"]


def test_what_a_camera_of_a_browser_sees_is_named_and_kept_in_its_collection(
    gallery: PoolAddress, tmp_path: Path
) -> None:
    analyzer = FakeLiveAnalyzer()

    def seen(web: TestClient, address: str) -> list[str | None]:
        with web.websocket_connect(f"{HERE}{address}") as socket:
            answers = [look(socket, analyzer.frame(Actor(view(1, 0)))) for _ in range(12)]
        return [face["person"] for face in answers[-1]["faces"]]

    with client_of(tmp_path, analyzer, pool=gallery) as web:
        assert seen(web, "/v1/live?collection=staff") == ["Bob"]
        assert seen(web, "/v1/live") == [None]
        _check_activity_of_staff(web)


def _check_activity_of_staff(web: TestClient) -> None:
    until(lambda: bool(web.get("/v1/activity", headers=STAFF).json()["entries"]))
    named = {entry["person"] for entry in web.get("/v1/activity", headers=STAFF).json()["entries"]}
    assert "Bob" in named
    assert "Bob" not in str(web.get("/v1/activity").json())
    assert web.get("/v1/activity?collection=guests").json()["entries"] == []
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        web.websocket_connect(f"{HERE}/v1/live?collection=nobody") as socket,
    ):
        socket.receive_json()
    assert "There is no collection 'nobody'" in refused.value.reason


def test_logs_settings_and_cameras_are_a_collections_own(web: TestClient) -> None:
    assert web.patch("/v1/settings", json={"threshold": 0.7}, headers=STAFF).json()["threshold"] == 0.7
    assert web.get("/v1/settings").json()["threshold"] is None
    assert web.post("/v1/persons", json={"person": "Cy"}, headers=STAFF).status_code == 201
    added = web.post("/v1/cameras", json={"source": "rtsp://127.0.0.1:9/staff", "name": "Staff door"}, headers=STAFF)
    assert added.status_code == 201
    assert [camera["name"] for camera in web.get("/v1/cameras", headers=STAFF).json()["cameras"]] == ["Staff door"]
    assert web.get("/v1/cameras").json()["cameras"] == []
    assert code(web.get(f"/v1/cameras/{added.json()['id']}")) == (404, "camera_unknown")
    assert "Cy" in str(web.get("/v1/audit", headers=STAFF).json())
    assert "Cy" not in str(web.get("/v1/audit").json())
    numbers = web.get("/metrics").text
    assert 'facepool_cameras{collection="staff"} 1.0' in numbers
    assert "facepool_cameras 0.0" in numbers


@pytest.mark.parametrize("gallery", ["pool.db"], indirect=True)
def test_cameras_are_watched_from_the_start_on(gallery: PoolAddress, tmp_path: Path, analyzer: FakeAnalyzer) -> None:
    with client_of(tmp_path, analyzer, pool=gallery) as web:
        camera = {"source": "rtsp://127.0.0.1:9/staff", "name": "Staff door"}
        assert web.post("/v1/cameras", json=camera, headers=STAFF).status_code == 201
    with client_of(tmp_path, analyzer, pool=gallery) as web:
        assert 'facepool_cameras{collection="staff"} 1.0' in web.get("/metrics").text


@pytest.mark.parametrize("gallery", ["pool.db"], indirect=True)
def test_events_of_one_are_heard_there_alone(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    collections = collections_of(web)
    with collections.using("staff") as staff:
        heard: dict[str, list[object]] = {"staff": [], "default": []}
        monkeypatch.setattr(staff.activity.events, "publish", heard["staff"].append)
        monkeypatch.setattr(collections.root.activity.events, "publish", heard["default"].append)
        event = Event("appeared", 1, None, None, None, None, None, 1, 0.0, (0.0, 0.0, 1.0, 1.0), "low_quality")
        staff.activity.emit("door", Frame(np.zeros((8, 8, 3), np.uint8), "door"), [event])
        assert (len(heard["staff"]), heard["default"]) == (1, [])


def test_they_are_made_listed_and_erased_by_who_may_do_everything(web: TestClient, gallery: PoolAddress) -> None:
    listed = web.get("/v1/collections").json()
    assert listed == {
        "collections": [
            {"name": "default", "people": 1, "templates": 1},
            {"name": "guests", "people": 0, "templates": 0},
            {"name": "staff", "people": 1, "templates": 1},
        ],
        "default": "default",
    }
    everywhere, staff = key_for(web), key_for(web, "staff")
    assert web.post("/v1/collections", json={"name": "site-2"}, headers=everywhere).status_code == 201
    assert code(web.post("/v1/collections", json={"name": "site-2"}, headers=everywhere)) == (409, "collection_exists")
    assert code(web.post("/v1/collections", json={"name": "../x"}, headers=everywhere)) == (400, "config_invalid")
    assert people(web, everywhere, "?collection=site-2") == []
    for method, path, body in (
        ("POST", "/v1/collections", {"name": "mine"}),
        ("DELETE", "/v1/collections/staff", None),
        ("GET", "/v1/keys", None),
        ("POST", "/v1/keys", {"name": "mine", "role": "admin"}),
        ("GET", "/metrics", None),
    ):
        assert code(web.request(method, path, json=body, headers=staff)) == (403, "forbidden"), path
    assert people(web, staff) == ["Bob"]
    assert web.delete("/v1/collections/staff", headers=everywhere).status_code == 204
    assert code(web.get("/v1/persons", headers=staff)) == (404, "collection_unknown")
    assert code(web.delete("/v1/collections/staff", headers=everywhere)) == (404, "collection_unknown")
    assert code(web.delete("/v1/collections/default", headers=everywhere)) == (400, "config_invalid")
    assert collections_in(gallery) == ["default", "guests", "site-2"]
    assert people(web, everywhere) == ["Ada"]
    actions = [entry["action"] for entry in web.get("/v1/audit", headers=everywhere).json()["entries"]]
    assert {"made a collection", "removed a collection"} <= set(actions)


def test_one_that_another_program_removes_is_gone_here_too(web: TestClient, gallery: PoolAddress) -> None:
    assert people(web, STAFF) == ["Bob"]
    with collections_of(web).using("staff") as staff:
        gone = staff.gone
    with web.websocket_connect(f"{HERE}/v1/live?collection=staff") as socket:
        remove_collection(gallery, "staff")
        until(lambda: code(web.get("/v1/persons", headers=STAFF)) == (404, "collection_unknown"))
        until(gone.is_set)
        socket.send_text("{}")  # before a command it is looked at once
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == SIGN_IN_AGAIN
    assert people(web) == ["Ada"]


def test_so_many_are_open_at_once_and_no_more(gallery: PoolAddress, tmp_path: Path, analyzer: FakeAnalyzer) -> None:
    with client_of(tmp_path, analyzer, ServerOptions(most_collections=2), pool=gallery) as web:
        collections = collections_of(web)
        assert people(web, STAFF) == ["Bob"]
        assert people(web, query="?collection=guests") == []  # staff made room
        assert "facepool_collections 2.0" in web.get("/metrics").text
        assert people(web, STAFF) == ["Bob"]
        with collections.using("staff"):
            assert code(web.get("/v1/persons?collection=guests")) == (503, "server_busy")
            assert people(web, STAFF) == ["Bob"]
            assert people(web) == ["Ada"]
        assert people(web, query="?collection=guests") == []


@pytest.mark.parametrize("gallery", ["pool.db"], indirect=True)
def test_another_than_the_default_one_may_be_meant_where_none_is_named(
    gallery: PoolAddress, analyzer: FakeAnalyzer
) -> None:
    settings = Settings.model_validate({"pool": gallery, "collection": "staff"})
    with TestClient(create_app(assemble(settings, analyzer)), base_url=LOCAL) as web:
        assert people(web) == ["Bob"]
        assert people(web, query="?collection=default") == ["Ada"]
        assert web.get("/v1/collections").json()["default"] == "staff"


@pytest.mark.parametrize("gallery", ["pool.db"], indirect=True)
def test_a_key_for_one_that_is_not_there_is_refused(web: TestClient) -> None:
    everywhere = key_for(web)
    made = web.post("/v1/keys", json={"name": "a", "role": "enroll", "collections": ["nobody"]}, headers=everywhere)
    assert code(made) == (404, "collection_unknown")
    made = web.post("/v1/keys", json={"name": "a", "role": "enroll", "collections": ["staff"]}, headers=everywhere)
    assert made.json()["collections"] == ["staff"]
    (bound,) = [key for key in web.get("/v1/keys", headers=everywhere).json()["keys"] if key["name"] == "a"]
    assert bound["collections"] == ["staff"]
    first: Services = collections_of(web).root
    assert first.keys.required


@pytest.mark.postgres
def test_servers_of_one_database_follow_each_other_in_each_collection(tmp_path: Path, analyzer: FakeAnalyzer) -> None:
    gallery = place(tmp_path, POSTGRES)
    for name in ("default", "guests", "staff"):
        with open_pool(gallery, SPACE, collection=name) as pool:
            pool.make_tables()  # type: ignore[attr-defined]
    with client_of(tmp_path, analyzer, pool=gallery) as one, client_of(tmp_path, analyzer, pool=gallery) as other:
        heard: dict[str, list[str]] = {}
        for name in ("guests", "staff"):
            assert people(one, query=f"?collection={name}") == people(other, query=f"?collection={name}") == []
            with collections_of(other).using(name) as services:
                heard[name] = _listen(services)
        assert one.post("/v1/persons", json={"person": "Cy"}, headers=STAFF).status_code == 201
        assert one.patch("/v1/settings", json={"threshold": 0.7}, headers=STAFF).status_code == 200
        until(lambda: {"pool", "settings"} <= set(heard["staff"]))
        until(lambda: other.get("/v1/settings", headers=STAFF).json()["threshold"] == 0.7)
        assert heard["guests"] == []
        assert other.get("/v1/settings?collection=guests").json()["threshold"] is None

        camera = {"source": "rtsp://127.0.0.1:9/guests", "name": "Guests' door"}
        assert one.post("/v1/collections", json={"name": "late"}).status_code == 201
        assert one.post("/v1/cameras?collection=late", json=camera).status_code == 201
        until(lambda: 'facepool_cameras{collection="late"} 1.0' in other.get("/metrics").text)
        assert one.delete("/v1/collections/staff").status_code == 204
        until(lambda: code(other.get("/v1/persons", headers=STAFF)) == (404, "collection_unknown"))
        assert people(other, query="?collection=guests") == []


def _listen(services: Services) -> list[str]:
    """What a server is told in a collection from now on, which grows."""
    heard: list[str] = []
    announcements = services.processes.announcements
    announcements.hear("pool", lambda _fields: heard.append("pool"))
    announcements.hear("settings", lambda _fields: heard.append("settings"))
    until(lambda: announcements.listening)
    return heard
