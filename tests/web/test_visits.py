"""One visit is one entry: what happens to a face, and quick returns of its person, before one camera."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from facepool.web.services import Services
from facepool.web.services import activity as activity_module
from facepool.web.services.store import SqliteStore
from support.fake_analyzer import FakeAnalyzer
from support.stores import store_of_version
from support.web_client import client_of


@pytest.fixture
def web(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path, FakeAnalyzer()) as client:
        for name in ("Ada", "Bob"):
            assert client.post("/v1/persons", json={"person": name}).status_code == 201
        yield client


class Door:
    """Tells the server what happens before a camera, at times that the test sets."""

    def __init__(self, web: TestClient, monkeypatch: pytest.MonkeyPatch, source: str = "door") -> None:
        services: Services = web.app.state.services  # type: ignore[attr-defined]
        self._activity = services.activity
        self._source = source
        self._set = monkeypatch.setattr
        self.at("10:00:00")

    def at(self, time: str) -> None:
        today = datetime.now(UTC).date()  # what is older than a month is not kept
        self._set(activity_module, "now", lambda: f"{today}T{time}+00:00")

    def __call__(self, event: str, track: int, person: str | None = None, **more: Any) -> None:
        record = {"event": event, "track": track, "person": person, "source": self._source, **more}
        self._activity.add(record)

    def visit(self, track: int, person: str) -> None:
        self("appeared", track)
        self("recognized", track, person, similarity=0.8)
        self("lost", track, person)


@pytest.fixture
def door(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> Door:
    return Door(web, monkeypatch)


def visits_of(web: TestClient, **params: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = web.get("/v1/activity/visits", params=params).json()["visits"]  # type: ignore[arg-type]
    return found


def brief(web: TestClient, **params: object) -> list[tuple[object, ...]]:
    """Who, from when, to when."""
    return [
        (one["person"], one["since"][11:19], one["until"] and one["until"][11:19]) for one in visits_of(web, **params)
    ]


def test_nobody_was_there(web: TestClient) -> None:
    assert visits_of(web) == []


def test_what_happens_to_one_face_is_one_visit_that_ends_when_it_is_lost(web: TestClient, door: Door) -> None:
    door("appeared", 1)
    assert brief(web) == [(None, "10:00:00", None)]
    door.at("10:00:02")
    door("recognized", 1, "Ada", similarity=0.7)
    assert brief(web) == [("Ada", "10:00:00", None)]
    door.at("10:05:00")
    door("lost", 1, "Ada", similarity=0.9)
    assert brief(web) == [("Ada", "10:00:00", "10:05:00")]
    (visit,) = visits_of(web)
    assert (visit["source"], visit["similarity"], visit["previous"]) == ("door", 0.9, None)
    assert visit["person_id"] == web.get("/v1/persons/Ada").json()["person_id"]
    entries = web.get("/v1/activity").json()["entries"]  # as ever, with what they belong to
    assert [entry["event"] for entry in entries] == ["lost", "recognized", "appeared"]
    assert {entry["visit"] for entry in entries} == {visit["id"]}


def test_who_is_back_soon_before_the_same_camera_has_not_left(web: TestClient, door: Door) -> None:
    door.visit(1, "Ada")
    door.at("10:01:30")
    door.visit(2, "Ada")
    assert brief(web) == [("Ada", "10:00:00", "10:01:30")]
    door.at("10:03:31")
    door.visit(3, "Ada")
    assert brief(web) == [("Ada", "10:03:31", "10:03:31"), ("Ada", "10:00:00", "10:01:30")]
    door.visit(4, "Bob")  # somebody else is
    assert [who for who, *_ in brief(web)] == ["Bob", "Ada", "Ada"]
    assert [who for who, *_ in brief(web, person="Ada")] == ["Ada", "Ada"]
    newest, older = visits_of(web, person="Ada")
    assert visits_of(web, person="Ada", limit=1) == [newest]
    assert visits_of(web, person="Ada", before=newest["id"]) == [older]


def test_another_camera_is_another_visit(web: TestClient, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.visit(1, "Ada")
    Door(web, monkeypatch, "yard").visit(2, "Ada")
    assert [visit["source"] for visit in visits_of(web)] == ["yard", "door"]


def test_people_who_are_there_together_are_told_apart(web: TestClient, door: Door) -> None:
    door("appeared", 1)
    door("appeared", 2)
    door("recognized", 1, "Ada")
    door("recognized", 2, "Bob")
    door("lost", 1, "Ada")
    assert [(who, until is None) for who, _, until in brief(web)] == [("Bob", True), ("Ada", False)]


def test_who_was_taken_for_somebody_else_takes_the_face_along(web: TestClient, door: Door) -> None:
    door.visit(1, "Ada")
    door.at("10:00:30")
    door("appeared", 2)
    door("recognized", 2, "Ada")
    assert brief(web) == [("Ada", "10:00:00", None)]
    door.at("10:00:40")
    door("changed", 2, "Bob", previous="Ada")
    door("lost", 2, "Bob")
    assert brief(web) == [("Bob", "10:00:30", "10:00:40"), ("Ada", "10:00:00", "10:00:00")]
    assert visits_of(web)[0]["previous"] == "Ada"


def test_entries_and_visits_say_which_face_was_kept(web: TestClient, door: Door) -> None:
    door("appeared", 1, sighting="first")
    door("lost", 1, sighting="first")
    door.visit(2, "Ada")
    assert [visit["sighting"] for visit in visits_of(web)] == [None, "first"]
    assert [visit["named_at"] for visit in visits_of(web)] == [None, None]
    assert [entry["sighting"] for entry in web.get("/v1/activity").json()["entries"]] == [None] * 3 + ["first"] * 2


def test_visits_follow_names_and_go_with_who_is_erased(web: TestClient, door: Door) -> None:
    door.visit(1, "Ada")
    door.visit(2, "Bob")
    web.patch("/v1/persons/Ada", json={"person": "Ann"})
    assert [who for who, *_ in brief(web)] == ["Bob", "Ann"]
    assert web.delete("/v1/persons/Ann").json()["activity"] == 2
    assert [who for who, *_ in brief(web)] == ["Bob"]
    assert [entry["person"] for entry in web.get("/v1/activity").json()["entries"]] == ["Bob", "Bob", None]


def test_who_is_erased_before_the_camera_is_not_in_view_for_ever(web: TestClient, door: Door) -> None:
    door("appeared", 1)
    door("recognized", 1, "Ada")
    web.delete("/v1/persons/Ada")
    door("lost", 1, "Ada")
    door("appeared", 1)
    assert brief(web) == [(None, "10:00:00", None)]


def test_the_activity_of_earlier_versions_becomes_visits(tmp_path: Path) -> None:
    path = tmp_path / "pool.server.db"
    rows = [
        ("10:00:00", "appeared", None), ("10:00:01", "recognized", "Ada"), ("10:05:00", "lost", "Ada"),
        ("11:00:00", "appeared", None), ("11:00:40", "lost", None), ("11:30:00", "recognized", "Bob"),
    ]  # fmt: skip
    with store_of_version(path, 3) as db:
        db.executemany(
            "INSERT INTO activity (at, event, person, source) VALUES (?, ?, ?, 'door')",
            [(f"2026-01-02T{at}+00:00", event, person) for at, event, person in rows],
        )
    with closing(SqliteStore(path)) as store:
        visits = [visit for (visit,) in store.read("SELECT visit FROM server_activity ORDER BY id")]
    assert visits == [2, 2, 2, 4, 5, 6]
