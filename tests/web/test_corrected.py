"""Who was taken for somebody else and is corrected: entries and visits of the activity say so."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from facepool.gallery.notices import Notice, Retold
from facepool.web.services.activity import Activity, ActivityEntry
from facepool.web.services.store import ServerStore
from facepool.web.services.visits import Visit
from support.stores import KINDS, fresh_address, stores_of

WHEN = "2026-01-02T10:00:00+00:00"


def id_of(name: str) -> str:
    return f"id of {name}"


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerStore]:
    with stores_of(fresh_address(request.param, tmp_path)) as open_one:
        yield open_one()


@pytest.fixture
def activity(store: ServerStore) -> Activity:
    return Activity(store, id_of)


def happens(
    activity: Activity,
    event: str,
    track: int,
    person: str | None = None,
    *,
    sighting: str | None = None,
    event_id: str | None = None,
) -> None:
    record = {"event": event, "track": track, "person": person, "source": "door", "sighting": sighting, "id": event_id}
    activity.add({name: value for name, value in record.items() if value is not None or name == "person"})


def correct(store: ServerStore, activity: Activity, *, sighting: str = "", event: str = "", back: bool = False) -> None:
    """Ada was Bo; or take that back."""
    before, after = ("Bo", "Ada") if back else ("Ada", "Bo")
    retold = Retold(
        sightings=(sighting,) if sighting else (),
        before=id_of(before),
        after=id_of(after),
        mark="corrected_at",
        marked=not back,
        words="1 sighting",
        events=(event,) if event else (),
    )
    with store.transaction() as db:
        activity.retell(db, retold, after, WHEN)


def entries(activity: Activity) -> list[ActivityEntry]:
    return asyncio.run(activity.entries())[::-1]


def said(activity: Activity) -> list[tuple[str | None, str | None]]:
    return [(entry.person, entry.corrected_at) for entry in entries(activity)]


def visits(activity: Activity) -> list[Visit]:
    return asyncio.run(activity.visits())


def test_where_no_face_was_kept_the_visit_of_the_event_is_corrected(store: ServerStore, activity: Activity) -> None:
    happens(activity, "appeared", 1)
    happens(activity, "recognized", 1, "Ada", event_id="one")
    happens(activity, "lost", 1, "Ada")
    happens(activity, "recognized", 2, "Cy", event_id="two")
    correct(store, activity, event="one")
    assert said(activity) == [(None, None), ("Bo", WHEN), ("Bo", WHEN), ("Cy", None)]
    assert [(visit.person, visit.corrected_at) for visit in visits(activity)] == [("Cy", None), ("Bo", WHEN)]
    correct(store, activity, event="one", back=True)
    assert said(activity) == [(None, None), ("Ada", None), ("Ada", None), ("Cy", None)]


def test_one_of_two_sightings_of_a_visit_becomes_a_visit_of_its_own(store: ServerStore, activity: Activity) -> None:
    for track, sighting in ((1, "one"), (2, "two")):
        happens(activity, "recognized", track, "Ada", sighting=sighting)
        happens(activity, "lost", track, "Ada", sighting=sighting)
    assert [visit.person for visit in visits(activity)] == ["Ada"]
    correct(store, activity, sighting="one")
    assert sorted((visit.person, visit.sighting) for visit in visits(activity)) == [("Ada", "two"), ("Bo", "one")]
    correct(store, activity, sighting="two")
    assert [(visit.person, visit.corrected_at) for visit in visits(activity)] == [("Bo", WHEN), ("Bo", WHEN)]


def test_a_face_that_is_corrected_while_in_view_stays_corrected(store: ServerStore, activity: Activity) -> None:
    happens(activity, "recognized", 1, "Ada", sighting="one")
    correct(store, activity, sighting="one")
    happens(activity, "lost", 1, "Ada", sighting="one")
    assert said(activity) == [("Bo", WHEN), ("Bo", WHEN)]


def test_a_visit_that_is_corrected_while_in_view_ends_so(store: ServerStore, activity: Activity) -> None:
    happens(activity, "recognized", 1, "Ada", event_id="one")
    assert [visit.event_id for visit in visits(activity)] == ["one"]
    correct(store, activity, event="one")
    happens(activity, "lost", 1, "Ada")
    assert said(activity) == [("Bo", WHEN), ("Bo", WHEN)]
    happens(activity, "recognized", 2, "Ada")
    happens(activity, "lost", 2, "Ada")
    assert said(activity)[2:] == [("Ada", None)] * 2


def test_who_was_named_later_may_turn_out_to_be_somebody_else(store: ServerStore, activity: Activity) -> None:
    happens(activity, "appeared", 1, sighting="one")
    with store.transaction() as db:
        retold = Retold(("one",), "", id_of("Bo"), "named_at", marked=True, words="1 sighting")
        activity.retell(db, retold, "Bo", WHEN)
    happens(activity, "recognized", 1, "Cy", sighting="one")
    assert [entry.person for entry in entries(activity)] == ["Bo", "Cy"]


def test_an_event_is_found_by_its_id(store: ServerStore, activity: Activity) -> None:
    happens(activity, "recognized", 1, "Ada", event_id="one", sighting="its sighting")
    found = activity.of_event("one")
    assert found is not None
    assert (found.person, found.sighting) == ("Ada", "its sighting")
    assert activity.of_event("another") is None
    store.hidden = frozenset({"Ada"})  # she is being erased
    assert activity.of_event("one") is None


def test_a_notice_of_events_says_what_is_told_anew() -> None:
    retold = Retold((), "", id_of("Bo"), "corrected_at", marked=True, words="1 visit", events=("one",))
    assert Retold.of(Notice("uuid", WHEN, "Me", "corrected", "Bo", id_of("Bo"), str(retold), 7)) == retold
