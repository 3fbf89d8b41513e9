"""Sightings over REST: looking at them, correcting who it was, deleting them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient

from facepool.gallery import Pool, open_pool
from facepool.gallery.sightings import InboxBounds
from facepool.types import Floats, Pose, Sample, SightedFaces, Sighting
from facepool.web.services import Services
from facepool.web.services.keys import LOCAL
from support.fake_analyzer import SPACE, FakeAnalyzer, unit
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer
from support.web_client import HERE, client_of, look


def between(degrees: float, beside: float = 0.0) -> Floats:
    """A face on the way from Ada, at 0 degrees, to Bo, at 80."""
    angle = np.radians(degrees)
    return unit(float(np.cos(angle)), beside, 0, float(np.sin(angle)))


ADA = [between(0, beside) for beside in (0.1, -0.1, 0.2, -0.2)]
BO = [between(80, beside) for beside in (0.1, -0.1, 0.2, -0.2)]
MISTAKEN = between(38)
"""A face of Bo's that is nearer to Ada."""
JPEG = b"\xff\xd8 a jpeg \xff\xd9"


def services_of(web: TestClient) -> Services:
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    return services


@pytest.fixture
def pool(web: TestClient, tmp_path: Path) -> Iterator[Pool]:
    """The pool of the server, with two people in it."""
    assert web.get("/v1/system").status_code == 200
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        for name, vectors in (("Ada", ADA), ("Bo", BO)):
            pool.register(name, [Sample(vector) for vector in vectors], SPACE)
        yield pool


def see(pool: Pool, *faces: Floats, person: str | None = "Ada", minutes: int = 0) -> str:
    known = None if person is None else pool.person(person)
    until = (datetime.now(UTC) - timedelta(days=1) + timedelta(minutes=minutes)).isoformat(timespec="milliseconds")
    rows = np.full(len(faces), 1, np.float32)
    vectors = np.stack(faces) if faces else np.zeros((0, SPACE.dimension), np.float32)
    pictures, poses = (JPEG,) * len(faces), (Pose(1.26, -2, 0),) * len(faces)
    sighting = Sighting(str(uuid4()), "door", until, until, person, known.id if known else None, 0.7, 0.4, 9)
    seen = SightedFaces(vectors, pictures, rows * 80, rows * 0.99, rows * 90, poses)
    pool.inbox.keep(sighting, seen, InboxBounds(), "new" if known is None else None)
    return sighting.id


def happens(web: TestClient, person: str | None, *, sighting: str | None = None, track: int = 1) -> str:
    """Somebody is recognized; the id of the event."""
    event_id = str(uuid4())
    record = {"event": "recognized", "track": track, "person": person, "source": "door", "id": event_id}
    services_of(web).activity.add(record | {"sighting": sighting})
    return event_id


def correct(web: TestClient, one: str, person: str | None, **more: Any) -> dict[str, Any]:
    answer = web.post(f"/v1/sightings/{one}/correct", json={"person": person, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def entries(web: TestClient) -> list[tuple[str | None, bool]]:
    found = web.get("/v1/activity").json()["entries"]
    return [(entry["person"], entry["corrected_at"] is not None) for entry in reversed(found)]


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_sightings_come_page_by_page(web: TestClient, pool: Pool) -> None:
    ids = [see(pool, MISTAKEN, person=person, minutes=at) for at, person in enumerate(("Ada", "Bo", None, "Ada"))]
    page = web.get("/v1/sightings", params={"limit": 3}).json()
    assert [one["id"] for one in page["sightings"]] == ids[:0:-1]
    following = web.get("/v1/sightings", params={"before": page["next"]}).json()
    assert ([one["id"] for one in following["sightings"]], following["next"]) == (ids[:1], None)
    of_ada = web.get("/v1/sightings", params={"person": "Ada"}).json()["sightings"]
    assert [one["id"] for one in of_ada] == [ids[3], ids[0]]
    (stranger,) = web.get("/v1/sightings", params={"group": page["sightings"][1]["group"]}).json()["sightings"]
    assert (stranger["id"], stranger["person"]) == (ids[2], None)
    assert problem(web.get("/v1/sightings", params={"person": "Dee"})) == (404, "person_unknown")


def test_a_sighting_shows_its_faces(web: TestClient, pool: Pool) -> None:
    one = see(pool, MISTAKEN, ADA[0])
    shown = web.get(f"/v1/sightings/{one}").json()
    assert (shown["person"], shown["similarity"], shown["named_at"]) == ("Ada", 0.7, None)
    assert [(face["quality"], face["pose"]["yaw"]) for face in shown["faces"]] == [(80, 1.3)] * 2
    picture = web.get(f"/v1/faces/{shown['faces'][0]['id']}/picture")
    assert (picture.content, picture.headers["content-type"]) == (JPEG, "image/jpeg")
    assert picture.headers["cache-control"] == "no-store"
    assert problem(web.get(f"/v1/faces/{uuid4()}/picture")) == (404, "sighting_unknown")
    assert problem(web.get(f"/v1/sightings/{uuid4()}")) == (404, "sighting_unknown")
    assert "embedding" not in str(shown)


def test_a_correction_is_previewed_made_and_told(web: TestClient, pool: Pool) -> None:
    one = see(pool, MISTAKEN)
    happens(web, "Ada", sighting=one)
    told = correct(web, one, "Bo", preview=True)
    assert (told["person"], told["previous"], told["template"], told["undo"]) == ("Bo", "Ada", True, None)
    assert entries(web) == [("Ada", False)]
    assert len(pool.templates("Bo")) == 4
    done = correct(web, one, "Bo")
    assert {**told, "undo": done["undo"]} == done
    assert done["undo"] is not None
    assert done["look_alikes"] == ["Ada", "Bo"]
    assert entries(web) == [("Bo", True)]
    assert len(pool.templates("Bo")) == 5
    assert web.get(f"/v1/sightings/{one}").json()["person"] == "Bo"
    audit = web.get("/v1/audit").json()["entries"][0]
    assert (audit["action"], audit["person"], audit["caller"]) == ("corrected", "Bo", LOCAL.name)
    (pair,) = web.get("/v1/pool").json()["look_alikes"]
    assert pair["people"] == ["Ada", "Bo"]
    assert pair["margin"] == pytest.approx(done["margin"], abs=1e-4)


def test_a_correction_is_taken_back_with_what_the_activity_says(web: TestClient, pool: Pool) -> None:
    one = see(pool, MISTAKEN)
    happens(web, "Ada", sighting=one)
    event = happens(web, "Ada", track=2)
    numbers = [correct(web, which, "Bo")["undo"] for which in (one, event)]
    assert entries(web) == [("Bo", True)] * 2
    shown = web.get("/v1/undo").json()["entries"]
    assert [(entry["id"], entry["what"]) for entry in shown] == [
        (number, "Ada was corrected to Bo") for number in reversed(numbers)
    ]
    for number in numbers:
        assert web.post(f"/v1/undo/{number}").status_code == 200
    assert entries(web) == [("Ada", False)] * 2
    assert (len(pool.templates("Bo")), pool.look_alikes(), pool.inbox.sighting(one).person) == (4, frozenset(), "Ada")
    assert problem(web.post(f"/v1/undo/{numbers[0]}")) == (404, "undo_unknown")


def test_an_event_is_corrected_by_its_sighting(web: TestClient, pool: Pool) -> None:
    one = see(pool, MISTAKEN)
    event = happens(web, "Ada", sighting=one)
    assert web.get(f"/v1/sightings/{event}").json()["id"] == one
    assert correct(web, event, "Bo")["sighting"] == one
    assert entries(web) == [("Bo", True)]


def test_where_no_face_was_kept_the_activity_alone_is_corrected(web: TestClient, pool: Pool) -> None:
    event = happens(web, "Ada")
    told = correct(web, event, "Bo", preview=True)
    assert entries(web) == [("Ada", False)]
    done = correct(web, event, "Bo")
    assert {**told, "undo": done["undo"]} == done
    assert (done["sighting"], done["template"], done["outcome"], done["look_alikes"]) == (None, False, "no_face", None)
    assert "--keep-recognized" in done["message"]
    assert entries(web) == [("Bo", True)]
    assert len(pool.templates("Bo")) == 4
    assert correct(web, event, "Bo")["undo"] is None
    assert problem(web.get(f"/v1/sightings/{event}")) == (404, "sighting_unknown")


def test_a_sighting_that_has_expired_is_corrected_in_the_activity(web: TestClient, pool: Pool) -> None:
    one = see(pool, MISTAKEN)
    happens(web, "Ada", sighting=one)
    pool.inbox.delete_sighting(one)
    done = correct(web, one, None)
    assert (done["person"], done["previous"], done["sighting"]) == (None, "Ada", None)
    assert entries(web) == [(None, True)]


def test_nobody_known_goes_where_strangers_are_not_kept(web: TestClient, pool: Pool) -> None:
    one = see(pool, MISTAKEN)
    happens(web, "Ada", sighting=one)
    done = correct(web, one, None)
    assert (done["person"], done["look_alikes"], done["template"]) == (None, None, False)
    assert entries(web) == [(None, True)]
    assert web.get("/v1/sightings").json()["sightings"] == []


def test_what_the_pool_speaks_against_is_asked_about(web: TestClient, pool: Pool) -> None:
    one = see(pool, ADA[0])
    for preview in (True, False):
        answer = web.post(f"/v1/sightings/{one}/correct", json={"person": "Bo", "preview": preview})
        assert problem(answer) == (409, "identity_conflict")
    assert correct(web, one, "Bo", template=False)["template"] is False
    assert pool.inbox.sighting(one).person == "Bo"
    assert len(pool.templates("Bo")) == 4


def test_who_else_is_named_differently_is_told(web: TestClient, pool: Pool) -> None:
    one, other = see(pool, MISTAKEN), see(pool, between(37), minutes=5)
    told = correct(web, one, "Bo", preview=True)
    assert told["changes"] == [{"sighting": other, "before": "Ada", "after": None}]  # look-alikes are told apart less
    told = correct(web, one, "Bo", preview=True, look_alikes=False)
    assert told["changes"] == [{"sighting": other, "before": "Ada", "after": "Bo"}]
    assert told["looked_at"] == 1
    assert correct(web, one, "Bo", preview=True, last=0)["looked_at"] == 0


def test_what_cannot_be_corrected_says_why(web: TestClient, pool: Pool) -> None:
    one = see(pool, MISTAKEN)
    assert problem(web.post(f"/v1/sightings/{uuid4()}/correct", json={"person": "Bo"})) == (404, "sighting_unknown")
    assert problem(web.post(f"/v1/sightings/{one}/correct", json={"person": "Dee"})) == (404, "person_unknown")
    for body in ({}, {"person": ""}, {"person": "Bo", "last": 6000}, {"person": "Bo", "who": 1}, {"person": 7}):
        assert web.post(f"/v1/sightings/{one}/correct", json=body).status_code == 422
    assert pool.inbox.sighting(one).person == "Ada"


def test_a_sighting_is_deleted_with_its_faces(web: TestClient, pool: Pool) -> None:
    one = see(pool, MISTAKEN)
    happens(web, "Ada", sighting=one)
    (face,) = pool.inbox.faces([one])[one].ids
    assert web.delete(f"/v1/sightings/{one}").json() == {"id": one, "notes": []}
    assert problem(web.delete(f"/v1/sightings/{one}")) == (404, "sighting_unknown")
    assert problem(web.get(f"/v1/faces/{face}/picture")) == (404, "sighting_unknown")
    assert entries(web) == [("Ada", False)]
    (audit, *_) = web.get("/v1/audit").json()["entries"]
    assert (audit["action"], audit["person"], audit["detail"]) == ("deleted", "Ada", "1 sighting")
    assert not pool.owed(), "its bytes are wiped, too"


def test_erasing_somebody_erases_their_sightings(web: TestClient, pool: Pool) -> None:
    one, other = see(pool, MISTAKEN), see(pool, ADA[0])
    happens(web, "Ada", sighting=one)
    correct(web, one, "Bo")
    assert web.delete("/v1/persons/Bo").status_code == 200
    assert [found["id"] for found in web.get("/v1/sightings").json()["sightings"]] == [other]
    assert entries(web) == []
    assert "Bo" not in web.get("/v1/audit").text


def test_a_face_in_view_is_corrected_by_its_sighting(tmp_path: Path) -> None:
    analyzer = FakeLiveAnalyzer()
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        for name, vectors in (("Ada", ADA), ("Bo", BO)):
            pool.register(name, [Sample(vector) for vector in vectors], SPACE)
    with client_of(tmp_path, analyzer) as web:
        assert web.patch("/v1/settings", json={"keep_recognized": True}).status_code == 200
        with web.websocket_connect(f"{HERE}/v1/live") as socket:
            told = [look(socket, analyzer.frame(Actor(MISTAKEN))) for _ in range(12)]
            (face,) = told[-1]["faces"]
            assert {event["sighting"] for message in told for event in message["events"]} == {face["sighting"]}
            for _ in range(500):  # it is kept beside the picture
                if web.get(f"/v1/sightings/{face['sighting']}").status_code == 200:
                    break
                time.sleep(0.01)
            done = correct(web, face["sighting"], "Bo")
            assert (face["person"], done["previous"], done["sighting"]) == ("Ada", "Ada", face["sighting"])
        for _ in range(500):  # that the page is gone is noted after it
            if len(entries(web)) == 3:
                break
            time.sleep(0.01)
        assert entries(web)[1:] == [("Bo", True)] * 2


def test_looking_takes_another_role_than_correcting(tmp_path: Path, analyzer: FakeAnalyzer) -> None:
    with client_of(tmp_path, analyzer) as web:
        keys = {role: web.post("/v1/keys", json={"name": role, "role": role}).json()["key"] for role in ("admin",)}
        web.headers["x-api-key"] = keys["admin"]
        for role in ("recognize", "enroll"):
            keys[role] = web.post("/v1/keys", json={"name": role, "role": role}).json()["key"]
        with open_pool(tmp_path / "pool.db", SPACE) as pool:
            pool.register("Ada", [Sample(vector) for vector in ADA], SPACE)
            pool.register("Bo", [Sample(vector) for vector in BO], SPACE)
            one = see(pool, MISTAKEN)
        web.headers["x-api-key"] = keys["recognize"]
        assert web.get("/v1/sightings").status_code == 200
        assert web.get(f"/v1/sightings/{one}").status_code == 200
        assert web.post(f"/v1/sightings/{one}/correct", json={"person": "Bo"}).status_code == 403
        assert web.delete(f"/v1/sightings/{one}").status_code == 403
        web.headers["x-api-key"] = keys["enroll"]
        assert web.post(f"/v1/sightings/{one}/correct", json={"person": "Bo"}).status_code == 200
        del web.headers["x-api-key"]
        assert web.get("/v1/sightings").status_code == 401
