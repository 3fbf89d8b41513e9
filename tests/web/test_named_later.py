"""Who was seen as a stranger and is named, or corrected, later: entries and visits of the activity say so."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from facepool.gallery import open_pool
from facepool.gallery.notices import Action, Notice, Retold
from facepool.gallery.rows import write_notice
from facepool.gallery.sqlite import SqliteGallery
from facepool.web.services.activity import Activity, ActivityEntry
from facepool.web.services.audit import Audit
from facepool.web.services.logs import Logs
from facepool.web.services.settling import settle_once
from facepool.web.services.store import ServerStore, open_store
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


def happens(activity: Activity, event: str, track: int, person: str | None = None, sighting: str | None = None) -> None:
    activity.add({"event": event, "track": track, "person": person, "source": "door", "sighting": sighting})


def stranger(activity: Activity, track: int, sighting: str) -> None:
    happens(activity, "appeared", track)  # it is not known yet that the face is kept
    happens(activity, "lost", track, sighting=sighting)


def retell(store: ServerStore, activity: Activity, retold: Retold, person: str | None) -> None:
    with store.transaction() as db:
        activity.retell(db, retold, person, WHEN)


def named(*sightings: str, before: str = "", after: str = "id of Bo") -> Retold:
    return Retold(sightings, before, after, "named_at", marked=True, words="2 sightings of unknown 12")


def taken_back(*sightings: str, before: str = "id of Bo") -> Retold:
    return Retold(sightings, before, "", "named_at", marked=False, words="2 sightings of unknown 12")


def entries(activity: Activity) -> list[ActivityEntry]:
    return asyncio.run(activity.entries())[::-1]


def people(activity: Activity) -> list[str | None]:
    return [entry.person for entry in entries(activity)]


def test_a_detail_of_a_notice_says_what_is_told_anew() -> None:
    retold = named("one", "two")
    notice = Notice("uuid", WHEN, "Me", "named", "Bo", "id of Bo", str(retold), 7)
    assert Retold.of(notice) == retold


def test_all_entries_of_a_stranger_are_named_later_and_marked(store: ServerStore, activity: Activity) -> None:
    for track, sighting in enumerate(("one", "two", "another")):
        stranger(activity, track, sighting)
    retell(store, activity, named("one", "two"), "Bo")
    assert people(activity) == ["Bo"] * 4 + [None] * 2
    assert [entry.named_at for entry in entries(activity)] == [WHEN] * 4 + [None] * 2
    visits = asyncio.run(activity.visits(person="Bo"))
    assert [(visit.person, visit.person_id, visit.named_at) for visit in visits] == [("Bo", "id of Bo", WHEN)] * 2


def test_it_is_taken_back_from_what_was_named_later_alone(store: ServerStore, activity: Activity) -> None:
    stranger(activity, 1, "one")
    happens(activity, "recognized", 2, "Bo", sighting="two")
    retell(store, activity, named("one", "two"), "Bo")
    assert people(activity) == ["Bo"] * 3
    retell(store, activity, taken_back("one", "two"), None)
    assert people(activity) == [None, None, "Bo"]
    assert [entry.named_at for entry in entries(activity)] == [None] * 3


def test_other_faces_of_a_visit_keep_their_names(store: ServerStore, activity: Activity) -> None:
    happens(activity, "appeared", 1)
    happens(activity, "recognized", 1, "Ada", sighting="one")
    happens(activity, "changed", 1, sighting="one")
    retell(store, activity, named("one"), "Bo")
    assert people(activity) == ["Bo", "Ada", "Bo"]


def test_who_is_named_while_in_view_goes_by_that_name(store: ServerStore, activity: Activity) -> None:
    happens(activity, "appeared", 1, sighting="one")
    retell(store, activity, named("one"), "Bo")
    happens(activity, "lost", 1, sighting="one")
    assert people(activity) == ["Bo", "Bo"]
    assert [entry.named_at for entry in entries(activity)] == [WHEN, WHEN]


def test_a_correction_changes_those_who_were_taken_for_somebody(store: ServerStore, activity: Activity) -> None:
    happens(activity, "recognized", 1, "Ada", sighting="one")
    correction = Retold(("one",), "id of Ada", "id of Bo", "corrected_at", marked=True, words="1 sighting")
    retell(store, activity, correction, "Bo")
    (entry,) = entries(activity)
    assert (entry.person, entry.person_id, entry.corrected_at, entry.named_at) == ("Bo", "id of Bo", WHEN, None)
    back = Retold(("one",), "id of Bo", "id of Ada", "corrected_at", marked=False, words="1 sighting")
    retell(store, activity, back, "Ada")
    (entry,) = entries(activity)
    assert (entry.person, entry.person_id, entry.corrected_at) == ("Ada", "id of Ada", None)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """A pool beside which a stranger was seen."""
    path = tmp_path / "pool.db"
    with closing(open_store(path)) as store:
        stranger(Activity(store, id_of), 1, "one")
    return path


def leave(pool: Path, action: Action, detail: Retold, person: str = "Bo") -> None:
    """What a process leaves that is killed before it has told the logs."""
    with SqliteGallery(pool, None) as gallery:
        if gallery.person("Bo") is None:
            gallery.create("Bo")
        with gallery._writing() as db:
            person_id = id_of(person) if person else ""
            write_notice(db, Notice(str(uuid4()), WHEN, "Me", action, person, person_id, str(detail), 1))


def told(pool: Path) -> tuple[list[str | None], list[tuple[str, str, str]]]:
    """Entries and audit log after a command has settled what was left."""
    with open_pool(pool) as gallery:
        settle_once(gallery)
        settle_once(gallery)  # nothing is told twice
    with closing(open_store(pool)) as store:
        audit = asyncio.run(Audit(store, id_of).entries())
        return people(Activity(store, id_of)), [(one.action, one.person, one.detail) for one in audit]


def test_a_naming_whose_process_was_killed_is_told_by_the_next_one(pool: Path) -> None:
    leave(pool, "named", named("one"))
    assert told(pool) == (["Bo", "Bo"], [("named", "Bo", "2 sightings of unknown 12")])


def test_a_name_that_is_taken_back_leaves_nobody(pool: Path) -> None:
    leave(pool, "named", named("one"))
    told(pool)
    leave(pool, "took back a name", taken_back("one"))
    assert told(pool)[0] == [None, None]


def test_nobody_is_named_who_is_gone_before_it_is_told(pool: Path) -> None:
    gone = str(uuid4())
    leave(pool, "corrected", Retold(("one",), "", gone, "corrected_at", marked=True, words="1 sighting"), "")
    assert told(pool)[0] == [None, None]


def test_the_logs_of_a_server_tell_it_too(pool: Path) -> None:
    leave(pool, "named", named("one"))
    with closing(open_store(pool)) as store, open_pool(pool) as gallery:
        activity = Activity(store, id_of)
        Logs(store, activity, Audit(store, id_of)).tell(gallery)
        assert people(activity) == ["Bo", "Bo"]
        assert not gallery.owed().notices
