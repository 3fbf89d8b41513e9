"""``facepool privacy``, and what ``facepool people remove --verify`` says."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from facepool import open_pool
from facepool.gallery import SqliteGallery
from facepool.gallery.address import EncryptedFile, PoolAddress, PostgresAddress
from facepool.gallery.backup import back_up
from facepool.gallery.keys import write_key_file
from facepool.gallery.notices import logs_beside
from facepool.types import Consent, Sample
from facepool.web.services.activity import Activity
from facepool.web.services.audit import Audit
from facepool.web.services.keys import LOCAL
from facepool.web.services.store import ServerStore, open_store
from support import postgres
from support.commands import Commands, Outcome, typed_here
from support.fake_analyzer import SPACE
from support.pools import KEY, unit

LONG_AGO = (datetime.now(UTC) - timedelta(days=100)).isoformat(timespec="seconds")


Here = Callable[..., Outcome]


@pytest.fixture
def place(facepool: Commands) -> PoolAddress:
    """Where the pool of `pool` is."""
    return facepool.pool


@pytest.fixture
def pool(
    facepool: Commands, place: PoolAddress, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Here:
    """Commands in this process, with a pool of Ada Lovelace and Bob."""
    with open_pool(place, SPACE) as gallery:
        consent = Consent("I agree", "Guard")
        gallery.register("Ada Lovelace", [Sample(unit(1, SPACE.dimension))], SPACE, consent=consent)
        gallery.register("Bob", [Sample(unit(2, SPACE.dimension))], SPACE)
    return typed_here(facepool, monkeypatch, capfd)


@pytest.fixture
def store(place: PoolAddress, pool: Here) -> Iterator[ServerStore]:
    """What a server has left beside the pool: it has seen Ada, who was registered."""
    with closing(open_store(place)) as store:

        def id_of(name: str) -> str | None:
            with open_pool(place) as gallery:
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
def test_all_that_is_kept_of_somebody_is_told_also_what_a_server_has(pool: Here, place: PoolAddress) -> None:
    (record,) = pool("privacy", "report", "Ada Lovelace", "--json").records
    told = kinds(record)
    assert told == {"person": 1, "consents": 1, "templates": 1, "activity": 1, "visits": 1, "audit": 1}
    table = pool("privacy", "report", "Ada Lovelace", "--keep-audit", "365")
    assert "365 days at most" in table.out
    assert str(logs_beside(place)) in table.out
    assert "webhooks" in table.err
    assert "[person_unknown]" in pool("privacy", "report", "Ada Lovelac").error


@pytest.mark.usefixtures("store")
def test_an_erasure_is_verified_place_by_place(pool: Here, tmp_path: Path) -> None:
    told = pool("people", "remove", "Ada Lovelace", "--yes", "--verify")
    assert told.code == 0, told.out
    assert "Nothing is left in the places above" in told.out
    assert "gone" in told.out
    (record,) = pool("privacy", "report", "Ada Lovelace", "--json").records
    assert [*kinds(record)] == ["erasure"]
    assert not any(b"Lovelace" in path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("pool."))


def test_a_backup_that_still_has_somebody_is_told_and_the_exit_code_says_so(
    pool: Here, facepool: Commands, tmp_path: Path
) -> None:
    (tmp_path / "backups").mkdir()
    with SqliteGallery(facepool.pool) as gallery:
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


def test_what_was_kept_for_long_enough_goes_when_it_is_asked_for(pool: Here, store: ServerStore) -> None:
    with store.transaction() as db:
        db.execute("UPDATE server_activity SET at = ?", (LONG_AGO,))
        db.execute("UPDATE server_audit SET at = ?", (LONG_AGO,))
    assert pool("privacy", "tidy", "--keep-activity", "200", "--json").records == [
        {"sightings": 0, "activity": 0, "audit": 0}
    ]
    told = pool("privacy", "tidy", "--keep-audit", "50")
    assert told.out == "Deleted: 0 sightings, 1 entry of who was seen, 1 entry of the audit log\n"
    assert "0 entries of who was seen" in pool("privacy", "tidy").out
    assert store.read("SELECT count(*) FROM server_activity") == [(0,)]


def test_what_somebody_has_agreed_to_is_recorded_and_shown(pool: Here, tmp_path: Path) -> None:
    (tmp_path / "consent.txt").write_text("My face may be kept until I leave.\n", encoding="utf-8")
    assert "Nothing is recorded of what Bob" in pool("people", "consent", "Bob").err
    told = pool("people", "consent", "Bob", "consent.txt", "--given", "2026-05-31", "--method", "signed form", "--json")
    shown = pool("people", "consent", "Bob", "--json")
    assert told.records == shown.records
    (record,) = shown.records
    assert record["recorded_by"] != ""
    assert record | {"id": "", "recorded_by": ""} == {
        "id": "",
        "given_at": "2026-05-31T00:00:00+00:00",
        "recorded_by": "",
        "method": "signed form",
        "text": "My face may be kept until I leave.",
    }
    table = pool("people", "consent", "Bob")
    assert "signed form" in table.out
    assert "[path_missing]" in pool("people", "consent", "Bob", "forgotten.txt").error
    assert "is named" in pool("people", "consent", "Bob", "--method", "signed form").error


class TestOfAnEncryptedPool:
    """The same of a pool that is encrypted, with its logs and backups."""

    @pytest.fixture
    def place(self, facepool: Commands, monkeypatch: pytest.MonkeyPatch) -> PoolAddress:
        write_key_file(facepool.folder / "keys" / "pool.key", KEY, facepool.pool)
        monkeypatch.setenv("FACEPOOL_KEY_FILE", str(facepool.folder / "keys" / "pool.key"))
        return EncryptedFile(facepool.pool, KEY)

    @pytest.mark.usefixtures("store")
    def test_it_is_reported_and_verified(self, pool: Here, place: EncryptedFile, tmp_path: Path) -> None:
        with SqliteGallery(place) as gallery:
            back_up(gallery, tmp_path / "today.db")
        told = pool("people", "remove", "Ada Lovelace", "--yes", "--verify")
        assert told.code == 1
        assert "1 (1 views)" in told.out
        (tmp_path / "today.db").unlink()
        (record,) = pool("privacy", "report", "Ada Lovelace", "--json").records
        assert [*kinds(record)] == ["erasure"]
        assert pool("people", "remove", "Bob", "--yes", "--verify").code == 0


@pytest.mark.postgres
class TestOfAPoolInPostgres:
    """The same of a pool in a database, whose files nobody reads."""

    @pytest.fixture
    def place(self, facepool: Commands) -> PoolAddress:
        return PostgresAddress(postgres.database_of(facepool.folder))

    @pytest.mark.usefixtures("store")
    def test_it_is_reported_and_verified(self, pool: Here, place: PostgresAddress) -> None:
        (record,) = pool("privacy", "report", "Ada Lovelace", "--json", "--pool", place.url).records
        assert kinds(record) == {"person": 1, "consents": 1, "templates": 1, "activity": 1, "visits": 1, "audit": 1}
        told = pool("people", "remove", "Ada Lovelace", "--yes", "--verify", "--pool", place.url)
        assert told.code == 0, told.out
        assert "write-ahead log" in told.err
        assert pool("privacy", "tidy", "--pool", place.url).code == 0
