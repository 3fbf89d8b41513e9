"""The REST interface, with a fake analyzer: what is stored, told, changed and erased."""

import base64
import io
import itertools
import json
import sqlite3
import threading
import time
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from facepool import read_image
from facepool.gallery import SqliteGallery, open_pool
from facepool.recognize.events import Event
from facepool.types import Floats, Sample
from facepool.web.services import Services
from support.fake_analyzer import SPACE, FakeAnalyzer, Scene, view
from support.live_server import serving
from support.web_client import client_of, png

ADA, BOB, EVE = 0, 1, 2
ODD_NAMES = ["李小龍", "AC/DC", "a/samples", "50% off?", "O'Neil; DROP TABLE", "%2F", "%00", "a b#c"]


def services_of(web: TestClient) -> Services:
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    return services


def at(name: str, *more: object) -> str:
    return "/".join(["/v1/persons", quote(name, safe=""), *map(str, more)])


def picture(analyzer: FakeAnalyzer, *faces: Floats, **scene: Any) -> bytes:
    return png(analyzer.frame(*faces, **scene).image_bgr)


def register(web: TestClient, name: str, *pictures: bytes, **query: Any) -> dict[str, Any]:
    files = [("files", (f"{number}.png", data)) for number, data in enumerate(pictures)]
    answer = web.post(at(name, "samples"), files=files, params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def problem(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert "Traceback" not in answer.text
    return answer.status_code, answer.json()["code"]


def names(web: TestClient) -> dict[str, int]:
    return {person["person"]: person["samples"] for person in web.get("/v1/persons").json()["persons"]}


def test_many_pictures_at_once_each_tell_what_became_of_them(web: TestClient, analyzer: FakeAnalyzer) -> None:
    register(web, "Bob", picture(analyzer, view(BOB, 0)))
    told = register(
        web,
        "Ada",
        picture(analyzer, view(ADA, 0)),
        picture(analyzer, view(ADA, 45)),
        picture(analyzer, view(ADA, 5)),
        b"no picture",
        picture(analyzer),
        picture(analyzer, view(ADA, 0), view(BOB, 0)),
        picture(analyzer, view(BOB, 3)),
        picture(analyzer, view(ADA, 60), size=20),
    )
    outcomes = [entry["outcome"] for entry in told["pictures"]]
    assert outcomes == [
        *("known_view", "taken", "taken", "unreadable", "no_face", "several_faces", "other_person", "too_small")
    ]
    assert (told["person"], told["stored"], told["pictures"][6]["rival"]) == ("Ada", 2, "Bob")
    stored = [entry["sample"] for entry in told["pictures"] if entry["sample"] is not None]
    samples = web.get(at("Ada", "samples")).json()
    assert sorted(stored) == [sample["id"] for sample in samples]
    assert {sample["source"] for sample in samples} == {"1.png", "2.png"}
    assert names(web) == {"Ada": 2, "Bob": 1}


def test_pictures_come_in_json_and_as_they_are_too(web: TestClient, analyzer: FakeAnalyzer) -> None:
    data = picture(analyzer, view(ADA, 0))
    text = base64.b64encode(data).decode()
    in_json = {"pictures": [{"name": "a", "data": text}, {"data": f"data:image/png;base64,{text}"}]}
    for body in ({"json": in_json}, {"content": data, "headers": {"content-type": "image/png"}}):
        answer = web.post("/v1/detect", **body)
        assert answer.status_code == 200, answer.text
        assert {len(seen["faces"]) for seen in answer.json()["pictures"]} == {1}
    assert problem(web.post("/v1/detect", json={"pictures": [{"data": "%%%"}]})) == (400, "image_unreadable")
    assert problem(web.post("/v1/detect", json={"pictures": []})) == (422, "request_invalid")
    assert problem(web.post("/v1/detect", json=[1])) == (422, "request_invalid")
    assert problem(web.post("/v1/detect", content=b"{", headers={"content-type": "application/json"}))[0] == 422
    assert problem(web.post("/v1/detect", content=data, headers={"content-type": "text/plain"}))[0] == 415
    assert problem(web.post("/v1/detect", files={"files": ("a.png", b"nothing")})) == (400, "image_unreadable")
    assert problem(web.post("/v1/detect", data={"files": "text"}, files={}))[0] in (400, 415)


def test_faces_are_found_embedded_named_and_compared(web: TestClient, analyzer: FakeAnalyzer) -> None:
    register(web, "Ada", picture(analyzer, view(ADA, 0)))
    both = picture(analyzer, view(ADA, 10), view(EVE, 0), scores=(0.99, 0.95))
    files = {"files": ("both.png", both)}
    (found,) = web.post("/v1/detect", files=files).json()["pictures"]
    assert (found["name"], found["width"], found["height"]) == ("both.png", 4, 4)
    assert [face["score"] for face in found["faces"]] == [0.99, 0.95]
    embedded = web.post("/v1/embed", files=files).json()
    assert embedded["space"] == SPACE.id
    assert embedded["pictures"][0]["faces"][0]["embedding"] == pytest.approx(view(ADA, 10).tolist())
    first, second = web.post("/v1/recognize", files=files).json()["pictures"][0]["faces"]
    assert (first["person"], first["reason"], first["similarity"]) == ("Ada", "match", pytest.approx(0.9848))
    assert (second["person"], second["reason"]) == (None, "below_threshold")
    for angle, same in ((20, True), (80, False)):
        pair = [("first", picture(analyzer, view(ADA, 0))), ("second", picture(analyzer, view(ADA, angle)))]
        compared = web.post("/v1/verify", files=pair).json()
        assert compared["match"] is same
        assert compared["similarity"] == pytest.approx(np.cos(np.radians(angle)), abs=1e-3)
    assert problem(web.post("/v1/verify", files=[("first", both)])) == (400, "input")
    pair = [("first", both), ("second", picture(analyzer))]
    assert problem(web.post("/v1/verify", files=pair)) == (400, "no_face")


def test_how_alive_faces_look_stands_beside_decisions(
    web: TestClient, analyzer: FakeAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(web, "Ada", picture(analyzer, view(ADA, 0)))
    pair = [("first", picture(analyzer, view(ADA, 0))), ("second", picture(analyzer, view(ADA, 1), view(EVE, 0)))]
    assert web.post("/v1/verify", files=pair).json()["passive"] is None
    monkeypatch.setattr(analyzer, "passive_scores", lambda _image, faces: 0.25 * np.arange(1, 1 + len(faces)))
    compared = web.post("/v1/verify", files=pair).json()
    assert (compared["match"], compared["passive"]) == (True, [0.25, 0.25])
    _, second = web.post("/v1/recognize", files=pair).json()["pictures"]
    assert [(face["person"], face["passive"]) for face in second["faces"]] == [("Ada", 0.25), (None, 0.5)]


def test_a_face_whose_landmarks_fit_no_head_is_refused_by_that_reason(web: TestClient, analyzer: FakeAnalyzer) -> None:
    register(web, "Ada", picture(analyzer, view(ADA, 0)))
    bad = png(analyzer.frame_of(Scene(view(ADA, 0), misfit_mm=9)).image_bgr)
    (face,) = web.post("/v1/recognize", files={"files": bad}).json()["pictures"][0]["faces"]
    assert (face["person"], face["reason"]) == (None, "implausible_landmarks")
    pair = [("first", picture(analyzer, view(ADA, 0))), ("second", bad)]
    assert problem(web.post("/v1/verify", files=pair)) == (400, "implausible_landmarks")
    (refused,) = register(web, "Bob", bad)["pictures"]
    assert refused["outcome"] == "implausible_landmarks"


def test_a_person_is_made_without_views_then_renamed_and_merged(web: TestClient, analyzer: FakeAnalyzer) -> None:
    made = web.post("/v1/persons", json={"person": " Ada "})
    assert (made.status_code, made.json()["person"], made.json()["views"]) == (201, "Ada", [])
    assert problem(web.post("/v1/persons", json={"person": "Ada"})) == (409, "person_exists")
    assert problem(web.post("/v1/persons", json={"person": "a\nb"})) == (400, "config_invalid")
    assert problem(web.post("/v1/persons", json={"person": "Bob", "colour": "red"})) == (422, "request_invalid")
    register(web, "Bob", picture(analyzer, view(BOB, 0)))
    assert problem(web.patch(at("Bob"), json={"person": "Ada"})) == (409, "person_exists")
    assert web.patch(at("Bob"), json={"person": "Bobby"}).json()["samples"] == 1
    merged = web.post(at("Bobby", "merge"), json={"into": "Ada"}).json()
    assert merged == {"person": "Ada", "person_id": made.json()["person_id"], "moved": 1}
    assert names(web) == {"Ada": 1}
    for answer in (
        web.get(at("Bob")),
        web.patch(at("Bob"), json={"person": "x"}),
        web.delete(at("Bob")),
        web.get(at("Bob", "samples")),
        web.get(at("Bob", "export")),
        web.post(at("Bob", "merge"), json={"into": "Ada"}),
    ):
        assert problem(answer) == (404, "person_unknown")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_of_any_kind_is_a_part_of_the_path(web: TestClient, analyzer: FakeAnalyzer, name: str) -> None:
    register(web, name, picture(analyzer, view(ADA, 0)))
    person = web.get(at(name)).json()
    assert person["person"] == name
    (sample,) = person["views"]
    assert web.get(at(name, "samples", sample["id"], "picture")).status_code == 200
    export = web.get(at(name, "export"))
    assert json.loads(zipfile.ZipFile(io.BytesIO(export.content)).read("person.json"))["person"] == name
    assert web.patch(at(name), json={"person": name + "!"}).status_code == 200
    assert web.delete(at(name + "!")).json()["samples"] == 1
    assert names(web) == {}


def test_a_person_has_an_id_that_stays_whatever_they_are_called(web: TestClient, analyzer: FakeAnalyzer) -> None:
    registered = register(web, "Ada", picture(analyzer, view(ADA, 0)))
    ada = registered["person_id"]
    assert UUID(ada).version == 4
    shown = web.get(f"/v1/persons/by-id/{ada}").json()
    assert shown == web.get(at("Ada")).json()
    assert (shown["person"], shown["person_id"], UUID(shown["views"][0]["uuid"]).version) == ("Ada", ada, 4)
    renamed = web.patch(at("Ada"), json={"person": "Ada Lovelace"}).json()
    assert (renamed["person"], renamed["person_id"]) == ("Ada Lovelace", ada)
    assert web.get(f"/v1/persons/by-id/{ada.upper()}").json() == renamed
    files = {"files": ("a.png", picture(analyzer, view(ADA, 3)))}
    (face,) = web.post("/v1/recognize", files=files).json()["pictures"][0]["faces"]
    assert (face["person"], face["person_id"], face["candidates"][0]["person_id"]) == ("Ada Lovelace", ada, ada)
    assert [entry["person_id"] for entry in web.get("/v1/audit").json()["entries"]] == [ada, ada]
    nobody = "7f1d0e9e-1111-4222-8333-444455556666"
    assert problem(web.get(f"/v1/persons/by-id/{nobody}")) == (404, "person_unknown")
    web.delete(at("Ada Lovelace"))
    assert problem(web.get(f"/v1/persons/by-id/{ada}")) == (404, "person_unknown")
    assert {entry["person_id"] for entry in web.get("/v1/audit").json()["entries"]} == {None}


def test_a_person_called_by_id_is_a_person(web: TestClient, analyzer: FakeAnalyzer) -> None:
    person_id = register(web, "by-id", picture(analyzer, view(ADA, 0)))["person_id"]
    for odd in ("by-id", f"by-id/{person_id}"):
        if odd != "by-id":
            assert web.post("/v1/persons", json={"person": odd}).status_code == 201
        assert web.get(at(odd)).json()["person"] == odd
        assert web.get(at(odd, "samples")).status_code == 200
    assert web.get(f"/v1/persons/by-id/{person_id}").json()["person"] == "by-id"
    assert web.post(at("by-id", "merge"), json={"into": f"by-id/{person_id}"}).json()["moved"] == 1


def test_who_is_erased_while_people_are_listed_is_left_out(
    web: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("Ada", "Bob"):
        web.post("/v1/persons", json={"person": name})
    look_alikes = SqliteGallery.look_alikes

    def erase_meanwhile(pool: SqliteGallery, person: str) -> frozenset[frozenset[str]]:
        with open_pool(tmp_path / "pool.db", SPACE) as other:
            other.remove_many(["Bob"])
        return look_alikes(pool, person)

    monkeypatch.setattr(SqliteGallery, "look_alikes", erase_meanwhile)
    listed = web.get("/v1/persons")
    assert (listed.status_code, [one["person"] for one in listed.json()["persons"]]) == (200, ["Ada"])


def test_people_are_listed_from_page_to_page_by_a_cursor_and_found_by_how_their_names_begin(web: TestClient) -> None:
    for name in ("Ada", "Bob", "ADAM", "Zoe", "a%b"):
        web.post("/v1/persons", json={"person": name})
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = web.get("/v1/persons", params={"limit": 2, "after": after}).json()
        assert (page["total"], page["size"], len(page["persons"]) <= 2) == (5, 2, True)
        seen += [entry["person"] for entry in page["persons"]]
        after = page["next"]
    assert seen == ["a%b", "Ada", "ADAM", "Bob", "Zoe"]
    found = web.get("/v1/persons", params={"prefix": "AD", "limit": 1}).json()
    assert ([entry["person"] for entry in found["persons"]], found["total"], found["next"]) == (["Ada"], 2, "Ada")
    rest = web.get("/v1/persons", params={"prefix": "AD", "after": found["next"]}).json()
    assert ([entry["person"] for entry in rest["persons"]], rest["next"]) == (["ADAM"], None)
    assert [one["person"] for one in web.get("/v1/persons", params={"search": "%"}).json()["persons"]] == ["a%b"]
    assert web.get("/v1/persons", params={"limit": 501}).status_code == 422
    these = web.get("/v1/persons", params={"name": ["Zoe", "Nobody", "Ada"]}).json()
    assert ([entry["person"] for entry in these["persons"]], these["total"]) == (["Zoe", "Ada"], 2)


def test_people_are_listed_page_by_page_and_found_by_a_part_of_the_name(
    web: TestClient, analyzer: FakeAnalyzer
) -> None:
    for name in ("Ada", "Bob", "ADAM", "Zoe"):
        web.post("/v1/persons", json={"person": name})
    page = web.get("/v1/persons", params={"size": 3, "page": 1}).json()
    assert ([entry["person"] for entry in page["persons"]], page["total"], page["page"]) == (["Zoe"], 4, 1)
    found = web.get("/v1/persons", params={"search": "ada"}).json()
    assert ([entry["person"] for entry in found["persons"]], found["total"]) == (["Ada", "ADAM"], 2)
    assert problem(web.get("/v1/persons", params={"size": 0}))[0] == 422


def test_a_view_has_a_picture_and_is_erased_with_it(web: TestClient, analyzer: FakeAnalyzer, tmp_path: Path) -> None:
    register(web, "Ada", picture(analyzer, view(ADA, 0)), picture(analyzer, view(ADA, 45)))
    register(web, "Bob", picture(analyzer, view(BOB, 0)))
    person = web.get(at("Ada")).json()
    numbers = [sample["id"] for sample in person["views"]]
    assert person["face"] in numbers
    answer = web.get(at("Ada", "samples", numbers[0], "picture"))
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("image/jpeg", "no-store")
    assert read_image(answer.content).shape == (112, 112, 3)
    for method in (web.get, web.delete):
        path = at("Bob", "samples", numbers[0])
        assert problem(method(path + "/picture" if method == web.get else path)) == (404, "template_unknown")
    for number in numbers:
        assert web.delete(at("Ada", "samples", number)).json() == {"person": "Ada", "id": number, "notes": []}
    assert problem(web.get(at("Ada", "samples", numbers[0], "picture"))) == (404, "template_unknown")
    assert names(web) == {"Ada": 0, "Bob": 1}
    assert problem(web.delete(at("Ada", "samples", 10**30)))[0] in (404, 422)


def seen(web: TestClient, analyzer: FakeAnalyzer, person: str | None, kind: str = "recognized", **more: Any) -> None:
    tell_of(services_of(web), analyzer, person, kind, **more)


def tell_of(services: Services, analyzer: FakeAnalyzer, person: str | None, kind: Any, **more: Any) -> None:
    event = Event(
        kind=kind,
        track=1,
        person=person,
        previous=more.get("previous"),
        similarity=0.8,
        threshold=0.4,
        margin=None,
        frames=3,
        time_s=1.0,
        bbox=(0, 0, 10, 10),
        reason="match",
    )
    services.activity.emit("door", analyzer.frame(view(ADA, 0)), [event])


def test_what_was_seen_is_kept_and_follows_names(web: TestClient, analyzer: FakeAnalyzer) -> None:
    ada = register(web, "Ada", picture(analyzer, view(ADA, 0)))["person_id"]
    seen(web, analyzer, None, "appeared")
    seen(web, analyzer, "Ada")
    seen(web, analyzer, "Ada", "lost")
    entries = web.get("/v1/activity").json()["entries"]
    assert [(entry["event"], entry["person"], entry["source"]) for entry in entries] == [
        ("lost", "Ada", "door"),
        ("recognized", "Ada", "door"),
        ("appeared", None, "door"),
    ]
    assert [entry["person_id"] for entry in entries] == [ada, ada, None]
    web.patch(at("Ada"), json={"person": "Ann"})
    about = web.get("/v1/activity", params={"person": "Ann", "limit": 1}).json()["entries"]
    assert [entry["event"] for entry in about] == ["lost"]
    older = web.get("/v1/activity", params={"person": "Ann", "before": about[0]["id"]}).json()["entries"]
    assert [entry["event"] for entry in older] == ["recognized"]
    assert web.get("/v1/activity", params={"person": "Ada"}).json()["entries"] == []
    assert {entry["person_id"] for entry in (*about, *older)} == {ada}
    bob = register(web, "Bob", picture(analyzer, view(BOB, 0)))["person_id"]
    web.post(at("Ann", "merge"), json={"into": "Bob"})
    entries = web.get("/v1/activity", params={"person": "Bob"}).json()["entries"]
    assert [entry["person_id"] for entry in entries] == [bob, bob]


def test_everything_about_a_person_is_exported_and_then_erased(
    web: TestClient, analyzer: FakeAnalyzer, tmp_path: Path
) -> None:
    register(web, "Grace", picture(analyzer, view(ADA, 0)), picture(analyzer, view(ADA, 45)))
    register(web, "Bob", picture(analyzer, view(BOB, 0)))
    seen(web, analyzer, "Grace")
    seen(web, analyzer, "Bob", "changed", previous="Grace")
    export = web.get(at("Grace", "export"))
    assert export.headers["content-disposition"] == "attachment; filename*=UTF-8''Grace.zip"
    archive = zipfile.ZipFile(io.BytesIO(export.content))
    person = json.loads(archive.read("person.json"))
    vectors = np.load(io.BytesIO(archive.read("vectors.npy")))
    assert (person["person"], len(person["samples"]), vectors.shape) == ("Grace", 2, (2, SPACE.dimension))
    assert {sample["picture"] for sample in person["samples"]} <= set(archive.namelist())
    assert len(json.loads(archive.read("activity.json"))) == 2
    assert [entry["action"] for entry in json.loads(archive.read("audit.json"))] == ["registered"]
    erased = web.delete(at("Grace")).json()
    assert erased == {"person": "Grace", "samples": 2, "activity": 2, "still_in_index": 0, "notes": []}
    assert problem(web.get(at("Grace"))) == (404, "person_unknown")
    assert names(web) == {"Bob": 1}
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"Grace" not in left
    assert b"Bob" in left
    newest = web.get("/v1/audit", params={"person": "Grace"}).json()["entries"][0]
    assert newest["action"] == "erased"


def test_what_the_server_knows_of_somebody_who_was_erased_elsewhere_can_be_erased(
    web: TestClient, analyzer: FakeAnalyzer, tmp_path: Path
) -> None:
    register(web, "Ada", picture(analyzer, view(ADA, 0)))
    seen(web, analyzer, "Ada")
    with open_pool(tmp_path / "pool.db") as pool:
        pool.remove("Ada")
    assert web.delete(at("Ada")).json() == {
        "person": "Ada",
        "samples": 0,
        "activity": 1,
        "still_in_index": 0,
        "notes": [],
    }
    assert problem(web.delete(at("Ada"))) == (404, "person_unknown")


def test_the_pool_tells_what_its_threshold_means(web: TestClient, analyzer: FakeAnalyzer) -> None:
    empty = web.get("/v1/pool").json()
    assert (empty["people"], empty["templates"], empty["calibration"]) == (0, 0, None)
    register(web, "Ada", picture(analyzer, view(ADA, 0)), picture(analyzer, view(ADA, 45)))
    pool = web.get("/v1/pool").json()
    assert (pool["name"], pool["people"], pool["templates"], pool["space"]["id"]) == ("pool.db", 1, 2, SPACE.id)
    assert "1.0% of strangers" in pool["meaning"]
    shares = [point["fpir"] for point in pool["curve"]]
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= share <= 1 for share in shares)
    assert problem(web.post("/v1/pool/calibrate")) == (409, "insufficient_data")
    assert web.delete("/v1/pool/calibration").status_code == 204


def test_a_calibration_is_measured_kept_and_forgotten(web: TestClient, tmp_path: Path) -> None:
    crowd = np.random.default_rng(3).normal(size=(200, SPACE.dimension)).astype(np.float32)
    crowd /= np.linalg.norm(crowd, axis=1, keepdims=True)
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        for number, vector in enumerate(crowd):
            pool.register(f"person {number}", [Sample(vector)], SPACE)
    measured = web.post("/v1/pool/calibrate", json={"target_fpir": 0.1, "keep": False})
    assert measured.status_code == 200, measured.text
    assert (measured.json()["kept"], measured.json()["calibration"]["people"]) == (False, 200)
    assert web.get("/v1/pool").json()["calibration"] is None
    assert web.post("/v1/pool/calibrate", json={"target_fpir": 0.1}).json()["kept"] is True
    assert web.get("/v1/pool").json()["calibration"]["target_fpir"] == 0.1
    assert web.delete("/v1/pool/calibration").status_code == 204
    assert web.get("/v1/pool").json()["calibration"] is None
    assert problem(web.post("/v1/pool/calibrate", json={"target_fpir": 0.9}))[0] == 422


def test_a_pool_leaves_as_a_file_and_comes_back(
    web: TestClient, analyzer: FakeAnalyzer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    register(web, "Ada", picture(analyzer, view(ADA, 0)))
    register(web, "Bob", picture(analyzer, view(BOB, 0)))
    web.post("/v1/persons", json={"person": "Eve"})
    copy = web.get("/v1/pool/export").content
    web.delete(at("Ada"))
    with client_of(tmp_path_factory.mktemp("other"), analyzer) as other:
        for client, created, imported in ((web, ["Ada"], 1), (other, ["Ada", "Bob", "Eve"], 2)):
            report = client.post("/v1/pool/import", files={"file": ("pool.db", copy)}).json()
            assert (report["created"], report["imported"]) == (created, imported)
            assert names(client) == {"Ada": 1, "Bob": 1, "Eve": 0}
            number = client.get(at("Ada")).json()["face"]
            assert client.get(at("Ada", "samples", number, "picture")).status_code == 200
    for garbage in (b"no pool" * 100, copy[: len(copy) // 2]):
        assert problem(web.post("/v1/pool/import", files={"file": ("pool.db", garbage)})) == (400, "input")
    assert names(web) == {"Ada": 1, "Bob": 1, "Eve": 0}


def test_settings_change_what_is_decided_from_now_on(web: TestClient, analyzer: FakeAnalyzer) -> None:
    register(web, "Ada", picture(analyzer, view(ADA, 0)))
    probe = {"files": ("a.png", picture(analyzer, view(ADA, 60)))}

    def decided() -> tuple[str | None, float]:
        (face,) = web.post("/v1/recognize", files=probe).json()["pictures"][0]["faces"]
        return face["person"], face["threshold"]

    assert decided()[0] == "Ada"
    assert web.get("/v1/settings").json()["threshold"] is None
    changed = web.patch("/v1/settings", json={"threshold": 0.9})
    assert (changed.status_code, changed.json()["threshold"]) == (200, 0.9)
    assert decided() == (None, 0.9)
    assert "set by you" in web.get("/v1/pool").json()["meaning"]
    assert web.patch("/v1/settings", json={"threshold": None}).json()["threshold"] is None
    assert decided()[0] == "Ada"
    for wrong in ({"threshold": 7}, {"pool": "/etc/passwd"}, {"min_face": None}, {"max_templates": 0}):
        assert problem(web.patch("/v1/settings", json=wrong))[0] == 422
    assert web.patch("/v1/settings", json={"max_templates": 1}).status_code == 200
    told = register(web, "Ada", picture(analyzer, view(ADA, 50)))
    assert told["pictures"][0]["outcome"] == "enough"


def test_what_was_done_is_in_the_audit_log(web: TestClient, analyzer: FakeAnalyzer) -> None:
    register(web, "Ada", picture(analyzer, view(ADA, 0)))
    web.patch(at("Ada"), json={"person": "Ann"})
    web.get(at("Ann", "export"))
    web.get("/v1/pool/export")
    entries = web.get("/v1/audit").json()["entries"]
    assert [(entry["action"], entry["person"]) for entry in reversed(entries)] == [
        ("registered", "Ada"),
        ("renamed", "Ann"),
        ("exported", "Ann"),
        ("exported the pool", ""),
    ]


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("recognize", {"GET people", "recognize"}),
        ("enroll", {"GET people", "recognize", "create", "export", "erase"}),
        ("admin", {"GET people", "recognize", "create", "export", "erase", "GET pool file", "settings", "calibrate"}),
    ],
)
def test_a_key_is_for_its_role_only(web: TestClient, analyzer: FakeAnalyzer, role: str, allowed: set[str]) -> None:
    register(web, "Ada", picture(analyzer, view(ADA, 0)))
    admin = web.post("/v1/keys", json={"name": "first", "role": "admin"}).json()["key"]
    made = web.post("/v1/keys", json={"name": "second", "role": role}, headers={"x-api-key": admin}).json()["key"]
    probe = {"files": ("a.png", picture(analyzer, view(ADA, 0)))}
    asked: dict[str, Any] = {
        "GET people": lambda **key: web.get("/v1/persons", **key),
        "recognize": lambda **key: web.post("/v1/recognize", files=probe, **key),
        "create": lambda **key: web.post("/v1/persons", json={"person": "Eve"}, **key),
        "export": lambda **key: web.get(at("Ada", "export"), **key),
        "erase": lambda **key: web.delete(at("Ada"), **key),
        "GET pool file": lambda **key: web.get("/v1/pool/export", **key),
        "settings": lambda **key: web.patch("/v1/settings", json={"min_margin": 0.1}, **key),
        "calibrate": lambda **key: web.delete("/v1/pool/calibration", **key),
    }
    for what, ask in asked.items():
        assert problem(ask()) == (401, "key_missing"), what
        answer = ask(headers={"x-api-key": made})
        if what in allowed:
            assert answer.status_code < 300, (what, answer.text)
        else:
            assert problem(answer) == (403, "forbidden"), what


def test_who_is_erased_before_a_camera_is_not_told_of_again(
    web: TestClient, analyzer: FakeAnalyzer, tmp_path: Path
) -> None:
    register(web, "Grace", picture(analyzer, view(ADA, 0)))
    seen(web, analyzer, "Grace")
    assert web.delete(at("Grace")).json()["activity"] == 1
    seen(web, analyzer, None, "changed", previous="Grace")
    seen(web, analyzer, "Grace", "lost")
    (entry,) = web.get("/v1/activity").json()["entries"]
    assert (entry["event"], entry["person"], entry["previous"]) == ("changed", None, None)
    assert b"Grace" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_events_are_told_as_they_happen(analyzer: FakeAnalyzer, tmp_path: Path) -> None:
    with serving(tmp_path / "pool.db", analyzer) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        client.post("/v1/persons", json={"person": "Ada"}).raise_for_status()
        with client.stream("GET", "/v1/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            teller = threading.Thread(target=keep_telling, args=(server.services, analyzer))
            teller.start()
            told = dict(line.split(": ", 1) for line in itertools.islice(filter(None, answer.iter_lines()), 3))
        teller.join()
        assert (told["event"], json.loads(told["data"])["person"]) == ("recognized", "Ada")
        assert told["id"] == json.loads(told["data"])["id"]
    assert server.services.limits.sessions == 0


def keep_telling(services: Services, analyzer: FakeAnalyzer) -> None:
    """Again and again, because the first may come before anybody listens."""
    for _ in range(20):
        tell_of(services, analyzer, "Ada", "recognized")
        time.sleep(0.05)


def test_a_name_that_addresses_cannot_have_is_for_nobody_new(web: TestClient) -> None:
    for name in (".", "..", "erased-0123456789abcdef"):
        answer = web.post("/v1/persons", json={"person": name})
        assert (answer.status_code, answer.json()["code"]) == (400, "config_invalid")
        subject = web.post("/api/v1/recognition/subjects", json={"subject": name})
        assert subject.status_code == 400
    assert web.get("/v1/persons").json()["total"] == 0


@pytest.mark.parametrize("name", [".", "..", "erased-0123456789abcdef"])
def test_people_whom_an_earlier_version_called_so_are_shown_renamed_and_erased(
    tmp_path: Path, analyzer: FakeAnalyzer, name: str
) -> None:
    def called_so() -> str:
        """Somebody of that name, as an earlier version made them; their id."""
        with open_pool(tmp_path / "pool.db", SPACE) as pool:
            pool.create("Ada")
            person = pool.person("Ada")
            assert person is not None
        with closing(sqlite3.connect(tmp_path / "pool.db", isolation_level=None)) as db:
            db.execute("UPDATE persons SET name = ? WHERE name = 'Ada'", (name,))
        return person.id

    person_id = called_so()
    with client_of(tmp_path, analyzer) as web:
        by_id = f"/v1/persons/by-id/{person_id}"
        assert web.get(by_id).json()["person"] == name
        assert web.patch(by_id, json={"person": "Eve"}).json()["person"] == "Eve"
        assert web.delete(by_id).json()["person"] == "Eve"
        assert web.delete(by_id).status_code == 404
        called_so()
        assert web.delete(f"/api/v1/recognition/subjects/{quote(name)}".replace(".", "%2E")).json() == {"subject": name}
        called_so()
        gone = web.post("/v1/vision/face/delete", files={"userid": (None, name)})
        assert gone.json()["success"] is True, gone.text
        assert web.get("/v1/persons").json()["total"] == 0


def test_people_have_notes_tags_and_an_external_id(web: TestClient, analyzer: FakeAnalyzer) -> None:
    for name in ("Ada", "Bob"):
        web.post("/v1/persons", json={"person": name})
    sent = {"notes": "Has the key", "tags": ["Family", "guest"], "external_id": "A-1815"}
    ada = web.patch(at("Ada"), json=sent).json()
    assert {key: ada[key] for key in sent} == sent
    assert web.get(at("Ada")).json() == ada
    assert web.patch(at("Ada"), json={"tags": []}).json()["notes"] == "Has the key"
    bob = web.patch(at("Bob"), json={"person": "Bo", "tags": ["FAMILY"]}).json()
    assert (bob["person"], bob["tags"], bob["external_id"]) == ("Bo", ["FAMILY"], None)
    assert [one["person"] for one in web.get("/v1/persons?tag=family").json()["persons"]] == ["Bo"]
    assert web.get("/v1/persons?external_id=A-1815").json()["total"] == 1
    assert problem(web.patch(at("Bo"), json={"external_id": "A-1815"})) == (409, "person_exists")
    assert problem(web.patch(at("Bo"), json={"tags": ["a,b"]})) == (400, "config_invalid")
    assert problem(web.patch(at("Nobody"), json={"notes": "x"})) == (404, "person_unknown")
    assert web.patch(at("Bo"), json={"notes": "x" * 10_001}).status_code in (400, 422)
    actions = [entry["action"] for entry in web.get("/v1/audit").json()["entries"]]
    assert actions.count("described") == 3
