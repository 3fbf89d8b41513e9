"""``facepool privacy``, and what ``facepool people remove --verify`` says."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from facepool import open_pool
from facepool.gallery import SqliteGallery
from facepool.gallery.backup import back_up
from facepool.types import Consent
from facepool.web.services.activity import Activity
from facepool.web.services.audit import Audit
from facepool.web.services.keys import LOCAL
from facepool.web.services.store import ServerStore, open_store
from support.commands import Commands

LONG_AGO = (datetime.now(UTC) - timedelta(days=100)).isoformat(timespec="seconds")


@pytest.fixture
def pool(facepool: Commands, crowd: Commands) -> Commands:
    """A pool of one's own with a view each of Ada Lovelace and Bob."""
    facepool.take_pool_of(crowd)
    with open_pool(facepool.pool) as gallery:
        gallery.rename("Ada", "Ada Lovelace")
        gallery.record_consent("Ada Lovelace", Consent("I agree", "Guard"))
    return facepool


@pytest.fixture
def store(pool: Commands) -> Iterator[ServerStore]:
    """What a server has left beside the pool: it has seen Ada, who was registered."""
    with closing(open_store(Path(pool.pool))) as store:

        def id_of(name: str) -> str | None:
            with open_pool(pool.pool) as gallery:
                person = gallery.person(name)
                return person.id if person else None

        Audit(store, id_of).note(LOCAL, "registered", "Ada Lovelace", "1 view")
        event = {"event": "recognized", "person": "Ada Lovelace", "source": "door", "track": 1}
        Activity(store, id_of).add(event)
        yield store


def kinds(record: dict[str, object]) -> dict[str, object]:
    kept = record["kept"]
    assert isinstance(kept, list)
    return {one["kind"]: one["count"] for one in kept}


@pytest.mark.usefixtures("store")
def test_all_that_is_kept_of_somebody_is_told_also_what_a_server_has(pool: Commands) -> None:
    (record,) = pool("privacy", "report", "Ada Lovelace", "--json").records
    told = kinds(record)
    assert told | {"pictures": 0} == {
        "person": 1,
        "consents": 1,
        "templates": 1,
        "pictures": 0,
        "activity": 1,
        "visits": 1,
        "audit": 1,
    }
    table = pool("privacy", "report", "Ada Lovelace", "--keep-audit", "365")
    assert "365 days at most" in table.out
    assert "pool.server.db" in table.out
    assert "webhooks" in table.err
    assert "[person_unknown]" in pool("privacy", "report", "Ada Lovelac").error


@pytest.mark.usefixtures("store")
def test_an_erasure_is_verified_place_by_place(pool: Commands, tmp_path: Path) -> None:
    told = pool("people", "remove", "Ada Lovelace", "--yes", "--verify")
    assert told.code == 0, told.out
    assert "Nothing is left in the places above" in told.out
    assert "gone" in told.out
    (record,) = pool("privacy", "report", "Ada Lovelace", "--json").records
    assert [*kinds(record)] == ["erasure"]
    assert not any(b"Lovelace" in path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("pool."))


def test_a_backup_that_still_has_somebody_is_told_and_the_exit_code_says_so(pool: Commands, tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    with SqliteGallery(Path(pool.pool)) as gallery:
        back_up(gallery, tmp_path / "backups" / "today.db")
    told = pool("people", "remove", "Ada Lovelace", "--yes", "--verify", "--also", "backups", "--json")
    erased, record = told.records
    assert (told.code, erased["erased"], record["gone"]) == (1, 1, False)
    findings = record["findings"]
    assert isinstance(findings, list)
    (left,) = [one for one in findings if one["outcome"] == "left"]
    assert Path(left["place"]).name == "today.db"
    assert "you delete the file" in left["detail"]
    assert "[path_missing]" in pool("people", "remove", "Bob", "--yes", "--verify", "--also", "nowhere").error


def test_what_was_kept_for_long_enough_goes_when_it_is_asked_for(pool: Commands, store: ServerStore) -> None:
    with store.transaction() as db:
        db.execute("UPDATE server_activity SET at = ?", (LONG_AGO,))
        db.execute("UPDATE server_audit SET at = ?", (LONG_AGO,))
    assert pool("privacy", "tidy", "--keep-activity", "200", "--json").records == [
        {"sightings": 0, "activity": 0, "audit": 0}
    ]
    told = pool("privacy", "tidy", "--keep-audit", "50")
    assert told.out == "0 sightings, 1 entry of who was seen and 1 entry of the audit log went\n"
    with closing(sqlite3.connect(Path(pool.pool).with_suffix(".server.db"))) as db:
        assert db.execute("SELECT count(*) FROM server_activity").fetchone() == (0,)
