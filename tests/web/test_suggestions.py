"""``/v1/suggestions``: what is proposed, who may answer, what an answer does, and what the audit log says of it."""

import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from facepool.gallery import open_pool
from facepool.groups.learn import Learning
from facepool.recognize.sightings import TrackSighting
from facepool.thresholds import ThresholdPolicy
from facepool.types import Candidate, Decision, Sample
from support.fake_analyzer import CURVE, SPACE, view
from support.looks import FRONTAL, NOW, keep_seen, sighted

ADA, BOB = 0, 1
LOOK_DEG = 48.0
"""A cosine of 0.67 to a face at 0 degrees."""


@pytest.fixture
def number(tmp_path: Path, web: TestClient) -> int:
    """A suggestion for Ada."""
    assert web.get("/v1/suggestions").json() == {"suggestions": [], "accepted": 0}
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        for name, person in (("Ada", ADA), ("Bob", BOB)):
            samples = [Sample(view(person, -degrees), pose=FRONTAL, quality=90) for degrees in (0, 1, 2, 3)]
            pool.register(name, samples, SPACE)
        return suggest(tmp_path, LOOK_DEG)


def suggest(folder: Path, degrees: float) -> int:
    learning = Learning(ThresholdPolicy(CURVE), CURVE)
    with open_pool(folder / "pool.db", SPACE) as pool:
        for day in (2, 1, 0):
            sighting = keep_seen(pool, "Ada", view(ADA, degrees), days_ago=day)
            found = learning.look(pool, sighting, pool.inbox.faces([sighting.id])[sighting.id])
    assert found is not None
    return found.suggestion.number


def audited(web: TestClient) -> list[tuple[str, str, str]]:
    entries = web.get("/v1/audit").json()["entries"]
    return [(entry["action"], entry["person"], entry["caller"]) for entry in entries]


def test_what_is_proposed_says_why(web: TestClient, number: int) -> None:
    (found,) = web.get("/v1/suggestions", params={"person": "Ada"}).json()["suggestions"]
    assert (found["id"], found["person"], found["reason"]) == (number, "Ada", "appearance")
    assert (found["sightings"], found["days"]) == (3, 3)
    assert found["similarity"] == pytest.approx(0.6691, abs=1e-3)
    assert web.get("/v1/suggestions", params={"person": "Bob"}).json()["suggestions"] == []
    assert web.get("/v1/suggestions", params={"person": "Eve"}).json()["code"] == "person_unknown"


def test_a_yes_makes_a_view_and_can_be_taken_back(web: TestClient, number: int) -> None:
    answer = web.post(f"/v1/suggestions/{number}/accept").json()
    views = web.get("/v1/persons/Ada").json()["views"]
    (learned,) = [view for view in views if view["learned_from"]]
    assert answer["sample"] == learned["id"]
    assert learned["learned_from"] == views[0]["uuid"]
    assert learned["picture"]
    assert web.get("/v1/suggestions").json()["accepted"] == 1
    assert ("accepted a suggestion", "Ada", "local") in audited(web)
    again = web.post(f"/v1/suggestions/{number}/accept")
    assert (again.status_code, again.json()["code"]) == (404, "suggestion_unknown")
    gone = web.post("/v1/suggestions/take-back", json={"person": "Ada"}).json()
    assert gone == {"people": [{"person": "Ada", "samples": 1}], "notes": []}
    assert len(web.get("/v1/persons/Ada").json()["views"]) == 4
    assert audited(web)[0] == ("took back what was learned", "Ada", "local")


def test_a_no_stores_nothing(web: TestClient, number: int) -> None:
    assert web.post(f"/v1/suggestions/{number}/decline").json()["id"] == number
    assert web.get("/v1/suggestions").json()["suggestions"] == []
    assert len(web.get("/v1/persons/Ada").json()["views"]) == 4
    assert audited(web)[0] == ("declined a suggestion", "Ada", "local")


def test_everything_learned_goes_at_once(web: TestClient, number: int, tmp_path: Path) -> None:
    web.post(f"/v1/suggestions/{number}/accept")
    other = suggest(tmp_path, -52)
    web.post(f"/v1/suggestions/{other}/accept")
    assert web.post("/v1/suggestions/take-back", json={}).json()["people"] == [{"person": "Ada", "samples": 2}]
    assert web.post("/v1/suggestions/take-back", json={}).json()["people"] == []


def test_erasing_somebody_leaves_nothing_to_answer_or_to_undo(web: TestClient, number: int) -> None:
    web.post(f"/v1/suggestions/{number}/accept")
    assert web.delete("/v1/persons/Ada").status_code == 200
    assert web.get("/v1/suggestions").json() == {"suggestions": [], "accepted": 0}
    assert not [entry for entry in audited(web) if entry[1] == "Ada"]


def test_who_may_only_recognize_sees_and_does_not_answer(web: TestClient, number: int) -> None:
    admin = web.post("/v1/keys", json={"name": "Me", "role": "admin"}).json()["key"]
    reader = web.post("/v1/keys", json={"name": "You", "role": "recognize"}, headers={"x-api-key": admin}).json()["key"]
    headers = {"x-api-key": reader}
    assert len(web.get("/v1/suggestions", headers=headers).json()["suggestions"]) == 1
    for path in (f"{number}/accept", f"{number}/decline", "take-back"):
        assert web.post(f"/v1/suggestions/{path}", headers=headers, json={}).status_code == 403


def test_a_server_proposes_what_its_cameras_saw_once_that_is_wanted(web: TestClient, tmp_path: Path) -> None:
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        for name, person in (("Ada", ADA), ("Bob", BOB)):
            samples = [Sample(view(person, -degrees), pose=FRONTAL, quality=90) for degrees in (0, 1, 2, 3)]
            pool.register(name, samples, SPACE)
        ada = pool.person("Ada")
    assert ada is not None
    candidate = Candidate("Ada", 0.67, 1, person_id=ada.id)
    decision = Decision("Ada", 0.67, 0.4, None, "match", candidates=(candidate,))
    assert web.patch("/v1/settings", json={"refresh": "suggest"}).status_code == 200
    services = web.app.state.services  # type: ignore[attr-defined]
    for day in (2, 1, 0):
        at = NOW - timedelta(days=day)
        seen = TrackSighting(str(uuid4()), decision, at, at, 0.0, 1.0, 9, sighted(view(ADA, LOOK_DEG)), ended=True)
        services.keeper.take("Front door", [seen])
    for _ in range(200):
        found = web.get("/v1/suggestions").json()["suggestions"]
        if found:
            break
        time.sleep(0.05)
    assert [(one["person"], one["source"]) for one in found] == [("Ada", "Front door")]
    assert "facepool_suggestions_made 1.0" in web.get("/metrics").text
