"""Strangers over REST: looking, naming, putting in order, forgetting, undoing; and what activity and audit say then."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from facepool.cli.context import CommandContext
from facepool.gallery import Pool, open_pool
from facepool.gallery.sightings import InboxBounds
from facepool.groups.unknown import UnknownPeople
from facepool.thresholds import ThresholdPolicy
from facepool.types import EmbeddingSpace
from facepool.web.services import Services
from support.fake_scan_analyzer import CURVE, FakeScanAnalyzer
from support.strangers import SPACE, faces, samples, sighting
from support.web_client import client_of

BO, ADA, CY = 1, 2, 3
BOUNDS = InboxBounds(days=36500)


class Analyzer(FakeScanAnalyzer):
    """Networks that make faces of the kind that `support.strangers` has."""

    @property
    def space(self) -> EmbeddingSpace:
        return SPACE


@pytest.fixture
def web(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path, Analyzer()) as client:
        yield client


@pytest.fixture
def pool(web: TestClient) -> Iterator[Pool]:
    """The pool, as another process has it."""
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    with services.pool.open() as pool:
        yield pool


def seen(web: TestClient, pool: Pool, person: int, number: int, group: int | None = None) -> int:
    """Somebody unknown comes and goes before a camera that keeps their face; the number of their group."""
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    one, shown = sighting(number), {"track": number, "person": None, "source": "door", "sighting": sighting(number).id}
    views = range(10 * number, 10 * number + 3)
    kept = pool.inbox.keep(one, faces(person, views), BOUNDS, "new" if group is None else group)
    for event in ("appeared", "lost"):
        services.activity.add({"event": event, **shown})
    assert kept.group is not None
    return kept.group


@pytest.fixture
def bo(web: TestClient, pool: Pool) -> int:
    """A stranger who was seen twice."""
    return seen(web, pool, BO, 2, seen(web, pool, BO, 1))


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def post(web: TestClient, path: str, **body: object) -> Any:
    return web.post(f"/v1/{path}", json=body)


def names(web: TestClient) -> list[str | None]:
    """Whom the activity names, newest first."""
    return [entry["person"] for entry in web.get("/v1/activity").json()["entries"]]


def audited(web: TestClient) -> list[tuple[str, str, str]]:
    return [(one["action"], one["person"], one["detail"]) for one in web.get("/v1/audit").json()["entries"]]


def test_nobody_is_kept(web: TestClient) -> None:
    page = web.get("/v1/unknown").json()
    assert (page["groups"], page["proposals"], page["total"], page["next"]) == ([], [], 0, None)
    assert page["kept"]["sightings"] == page["kept"]["faces"] == 0
    assert page["kept"]["most_sightings"] == 5000
    assert web.get("/v1/undo").json() == {"entries": []}
    assert web.delete("/v1/unknown").json() == {"sightings": 0, "notes": []}


def test_strangers_are_shown_with_times_cameras_and_faces(web: TestClient, pool: Pool, bo: int) -> None:
    cy = seen(web, pool, CY, 3)
    pool.inbox.propose(bo, cy, 0.41)
    page = web.get("/v1/unknown").json()
    assert [group["id"] for group in page["groups"]] == [cy, bo]
    stranger = page["groups"][1]
    assert (stranger["sightings"], stranger["sources"], stranger["state"]) == (2, ["door"], "open")
    assert stranger["looks_like"] == []
    assert page["proposals"] == [{"groups": [bo, cy], "similarity": 0.41}]
    detail = web.get(f"/v1/unknown/{bo}").json()
    assert [time["source"] for time in detail["times"]] == ["door", "door"]
    assert {face for time in detail["times"] for face in time["faces"]} >= set(stranger["faces"])
    first = web.get("/v1/unknown", params={"limit": 1}).json()
    assert [group["id"] for group in first["groups"]] == [cy]
    following = web.get("/v1/unknown", params={"limit": 1, "after": first["next"]}).json()
    assert [group["id"] for group in following["groups"]] == [bo]


def test_a_named_stranger_is_named_in_the_activity_of_the_time_kept(web: TestClient, pool: Pool, bo: int) -> None:
    seen(web, pool, CY, 3)
    named = post(web, f"unknown/{bo}/name", person="Bo").json()
    assert (named["person"], named["sightings"]) == ("Bo", 2)
    assert named["templates"] >= 3
    assert names(web) == [None, None, "Bo", "Bo", "Bo", "Bo"]
    visits = web.get("/v1/activity/visits", params={"person": "Bo"}).json()["visits"]
    assert {(visit["person_id"], bool(visit["named_at"])) for visit in visits} == {(named["person_id"], True)}
    assert ("named", "Bo", f"unknown {bo}: 2 sightings, {named['templates']} new views") in audited(web)
    assert web.get("/v1/persons/Bo").json()["samples"] == named["templates"]


def test_a_name_is_taken_back_everywhere(web: TestClient, bo: int) -> None:
    named = post(web, f"unknown/{bo}/name", person="Bo").json()
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    services.activity.add({"event": "recognized", "track": 9, "person": "Bo", "source": "door"})
    (entry,) = web.get("/v1/undo").json()["entries"]
    assert (entry["id"], entry["by"], entry["what"]) == (
        named["undo"], "local", f"Stranger {bo} was named Bo (2 sightings)",
    )  # fmt: skip
    assert post(web, f"undo/{named['undo']}").json()["what"] == entry["what"]
    assert web.get("/v1/persons").json()["total"] == 0
    assert names(web) == [None] * 5
    assert web.get(f"/v1/unknown/{bo}").json()["sightings"] == 2
    assert problem(post(web, f"undo/{named['undo']}")) == (404, "undo_unknown")
    assert "took back a name" in [action for action, *_ in audited(web)]


def test_undoing_a_view_too_many_leaves_what_recognition_has_said(web: TestClient, pool: Pool, bo: int) -> None:
    pool.register("Bo", samples(BO, range(60, 64)), SPACE)
    services: Services = web.app.state.services  # type: ignore[attr-defined]
    services.activity.add({"event": "recognized", "track": 9, "person": "Bo", "source": "door"})
    added = post(web, f"unknown/{bo}/add", person="Bo").json()
    assert names(web) == ["Bo"] * 5
    post(web, f"undo/{added['undo']}")
    assert names(web) == ["Bo"] + [None] * 4


def test_a_name_that_exists_is_refused(web: TestClient, pool: Pool, bo: int) -> None:
    pool.create("Bo")
    assert problem(post(web, f"unknown/{bo}/name", person="Bo")) == (409, "person_exists")
    assert problem(post(web, f"unknown/{bo}/add", person="Nobody")) == (404, "person_unknown")


def test_who_looks_alike_has_to_be_answered(web: TestClient, pool: Pool, bo: int) -> None:
    pool.register("Bea", samples(BO, range(60, 64)), SPACE)
    (alike,) = web.get(f"/v1/unknown/{bo}").json()["looks_like"]
    assert alike["person"] == "Bea"
    assert alike["person_id"] == web.get("/v1/persons/Bea").json()["person_id"]
    assert problem(post(web, f"unknown/{bo}/name", person="Bo")) == (409, "identity_conflict")
    assert post(web, f"unknown/{bo}/name", person="Bo", look_alikes=["Bea"]).status_code == 200
    assert web.get("/v1/persons/Bo").json()["look_alikes"] == ["Bea"]


def test_two_who_name_one_stranger_at_once_do_not_both(web: TestClient, bo: int) -> None:
    with ThreadPoolExecutor(2) as both:
        answers = list(both.map(lambda name: post(web, f"unknown/{bo}/name", person=name), ("Bo", "Rob")))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    (late,) = [answer for answer in answers if answer.status_code == 409]
    assert problem(late) == (409, "group_changed")
    assert web.get("/v1/persons").json()["total"] == 1


def test_strangers_are_put_in_order(web: TestClient, pool: Pool, bo: int) -> None:
    assert post(web, f"unknown/{bo}/ignore").json()["undo"] is not None
    assert post(web, f"unknown/{bo}/ignore").json() == {"id": bo, "undo": None}
    assert web.get("/v1/unknown").json()["groups"] == []
    assert [one["id"] for one in web.get("/v1/unknown", params={"state": "ignored"}).json()["groups"]] == [bo]
    post(web, f"unknown/{bo}/watch")
    cy = seen(web, pool, CY, 3)
    assert post(web, f"unknown/{bo}/join", group=cy).json()["id"] == bo
    wrong = web.get(f"/v1/unknown/{bo}").json()["times"][0]["id"]
    apart = post(web, f"unknown/{bo}/split", sightings=[wrong]).json()
    assert web.get(f"/v1/unknown/{apart['id']}").json()["sightings"] == 1
    assert post(web, f"unknown/{bo}/apart", group=apart["id"]).json()["id"] == bo
    actions = [action for action, *_ in audited(web)]
    assert actions[:5] == ["kept apart", "split", "joined", "watched", "ignored"]
    assert len(web.get("/v1/undo").json()["entries"]) == 5


def test_what_cannot_be_is_refused(web: TestClient, bo: int) -> None:
    assert problem(web.get("/v1/unknown/99")) == (404, "group_unknown")
    assert problem(post(web, "unknown/99/ignore")) == (404, "group_unknown")
    assert problem(post(web, f"unknown/{bo}/join", group=bo)) == (400, "config_invalid")
    assert problem(post(web, f"unknown/{bo}/split", sightings=["no id"])) == (404, "sighting_unknown")
    assert problem(post(web, f"unknown/{bo}/name", person=" ")) == (400, "config_invalid")
    assert problem(post(web, f"unknown/{bo}/name", name="Bo")) == (422, "request_invalid")
    assert problem(post(web, "unknown/0/ignore")) == (422, "request_invalid")
    assert web.get("/v1/unknown", params={"after": "yesterday"}).status_code == 422


def test_what_is_deleted_and_forgotten_is_gone(web: TestClient, pool: Pool, bo: int) -> None:
    seen(web, pool, CY, 3)
    assert web.delete(f"/v1/unknown/{bo}").json()["sightings"] == 2
    assert web.delete("/v1/unknown").json()["sightings"] == 1
    assert pool.inbox.usage().faces == 0
    assert [action for action, *_ in audited(web)][:2] == ["forgot unknown faces", "deleted"]


def test_erasing_a_person_erases_their_sightings_and_what_could_be_undone(web: TestClient, pool: Pool, bo: int) -> None:
    post(web, f"unknown/{bo}/name", person="Bo")
    assert web.delete("/v1/persons/Bo").json()["activity"] >= 4
    assert pool.inbox.sightings() == []
    assert web.get("/v1/undo").json() == {"entries": []}
    assert "Bo" not in web.get("/v1/audit").text
    assert names(web) == []


def test_looking_takes_less_than_changing(web: TestClient, bo: int) -> None:
    boss = web.post("/v1/keys", json={"name": "Boss", "role": "admin"}).json()["key"]
    as_boss = {"x-api-key": boss}
    door = web.post("/v1/keys", json={"name": "Door", "role": "recognize"}, headers=as_boss).json()["key"]
    as_door = {"x-api-key": door}
    assert web.get("/v1/unknown", headers=as_door).status_code == 200
    for method, path in (
        ("POST", f"unknown/{bo}/name"), ("POST", f"unknown/{bo}/ignore"), ("DELETE", f"unknown/{bo}"),
        ("DELETE", "unknown"), ("GET", "undo"), ("POST", "undo/1"),
    ):  # fmt: skip
        assert problem(web.request(method, f"/v1/{path}", headers=as_door)) == (403, "forbidden")
        assert web.request(method, f"/v1/{path}").status_code == 401
    assert web.post(f"/v1/unknown/{bo}/ignore", headers=as_boss).status_code == 200
    assert web.get("/v1/audit", headers=as_boss).json()["entries"][0]["caller"] == "Boss"


def test_a_command_beside_the_server_names_in_its_activity_too(web: TestClient, tmp_path: Path, bo: int) -> None:
    context = CommandContext({"pool": tmp_path / "pool.db"})
    with context.changing_pool() as pool:
        UnknownPeople(pool, ThresholdPolicy(CURVE)).name(bo, "Bo")
    assert names(web) == ["Bo"] * 4
    assert audited(web)[0][0] == "named"


def test_a_naming_whose_process_was_killed_before_the_activity_knew_is_told_when_a_server_starts(
    tmp_path: Path,
) -> None:
    with client_of(tmp_path, Analyzer()) as web, open_pool(tmp_path / "pool.db", SPACE) as pool:
        group = seen(web, pool, BO, 1)
    with open_pool(tmp_path / "pool.db", SPACE) as pool, pool.noting("command line"):  # whom nobody settles
        UnknownPeople(pool, ThresholdPolicy(CURVE)).name(group, "Bo")
    with client_of(tmp_path, Analyzer()) as web:
        assert names(web) == ["Bo", "Bo"]
        assert [action for action, *_ in audited(web)][:2] == ["named", "registered"]


def test_no_bytes_of_who_was_forgotten_stay(web: TestClient, pool: Pool, bo: int, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "pool.db")) as db:
        kept = [jpeg for (jpeg,) in db.execute("SELECT jpeg FROM sighting_faces")]
    assert len(kept) == 6
    assert left_of(kept, tmp_path) == 6
    assert web.delete("/v1/unknown").json() == {"sightings": 2, "notes": []}
    assert left_of(kept, tmp_path) == 0
    assert pool.inbox.usage().sightings == 0


def left_of(kept: list[bytes], folder: Path) -> int:
    files = b"".join(path.read_bytes() for path in folder.glob("pool.db*"))
    return sum(jpeg in files for jpeg in kept)


def test_a_correction_is_undone_in_the_same_place(web: TestClient, pool: Pool, bo: int) -> None:
    pool.register("Ada", samples(ADA, range(4)), SPACE)
    post(web, f"unknown/{bo}/name", person="Bo")
    one = web.get("/v1/sightings", params={"person": "Bo"}).json()["sightings"][0]["id"]
    corrected = post(web, f"sightings/{one}/correct", person="Ada", template=False).json()
    assert names(web).count("Ada") == 2
    last, first = web.get("/v1/undo").json()["entries"]
    assert (last["id"], last["what"]) == (corrected["undo"], "Bo was corrected to Ada")
    assert post(web, f"undo/{last['id']}").status_code == 200
    assert names(web) == ["Bo"] * 4
    assert post(web, f"undo/{first['id']}").status_code == 200
    assert names(web) == [None] * 4


def test_a_declined_suggestion_is_undone_in_the_same_place(web: TestClient, pool: Pool, bo: int) -> None:
    post(web, f"unknown/{bo}/name", person="Bo")
    (face, *_) = pool.inbox.faces([pool.inbox.sightings()[0].id])[pool.inbox.sightings()[0].id].ids
    number = pool.inbox.suggest(face, "Bo", 0.7, "pose")
    declined = post(web, f"suggestions/{number}/decline").json()
    assert pool.inbox.suggestions() == []
    assert post(web, f"undo/{declined['undo']}").json()["what"] == "A suggested face was declined as a view of Bo"
    assert [one.number for one in pool.inbox.suggestions()] == [number]
