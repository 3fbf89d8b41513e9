"""What every store of a server does, whatever it is kept in: keys, logs and settings, by several processes at once."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from facepool.config import Settings
from facepool.errors import ConfigError, PoolLocked, PoolTooNew
from facepool.gallery.address import PoolAddress
from facepool.gallery.notices import Notice
from facepool.privacy.holdings import RetentionLimits
from facepool.web.problems import NotFound
from facepool.web.services.activity import Activity
from facepool.web.services.audit import Audit
from facepool.web.services.cameras import CameraMemory, RememberedCamera
from facepool.web.services.keys import LOCAL, Caller, Keys
from facepool.web.services.privacy import held_by_logs
from facepool.web.services.retention import Tidied, tidy_logs
from facepool.web.services.store import ServerStore, insert_entry, open_store
from facepool.web.services.tuning import Tuning
from support.stores import KINDS, Open, fresh_address, store_of_version, stores_of

PATIENCE_S = 30
SETTINGS = Settings.model_validate({})
ME = Caller("Me", "admin")
LOGIN = "rtsp://user:secret@127.0.0.1:9/door"


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> PoolAddress:
    return fresh_address(request.param, tmp_path)


@pytest.fixture
def open_one(address: PoolAddress) -> Iterator[Open]:
    with stores_of(address) as opened:
        yield opened


@pytest.fixture
def store(open_one: Open) -> ServerStore:
    return open_one()


def until(condition: Callable[[], bool]) -> None:
    ends_at_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_at_s
        time.sleep(0.02)


def id_of(name: str) -> str:
    return f"id of {name}"


def happened(event: str, person: str | None = None, *, track: int = 1, number: str | None = None) -> dict[str, object]:
    similarity = None if person is None else 0.5
    record: dict[str, object] = {
        "event": event,
        "person": person,
        "track": track,
        "source": "door",
        "similarity": similarity,
    }
    return record | ({} if number is None else {"id": number})


def test_what_is_kept_is_there_for_every_process_and_after_the_next_start(open_one: Open) -> None:
    store, other = open_one(), open_one()
    assert store.kept("greeting") == {}
    store.keep("greeting", {"text": "hello"})
    store.keep("greeting", {"text": "good day"})
    assert other.kept("greeting") == {"text": "good day"}
    assert other.keep_first("greeting", {"text": "too late"}) == {"text": "good day"}
    assert open_one().keep_first("answer", {"number": 42}) == {"number": 42} == store.kept("answer")


def test_a_change_is_undone_by_what_is_raised_inside_and_seen_by_nobody_before_its_end(open_one: Open) -> None:
    store, other = open_one(), open_one()
    with suppress(ZeroDivisionError), store.transaction() as db:
        insert_entry(db, "Me", "began")
        assert other.read("SELECT count(*) FROM server_audit") == [(0,)]
        raise ZeroDivisionError
    assert other.read("SELECT count(*) FROM server_audit") == [(0,)]


def test_who_reads_waits_for_nobody_who_writes(open_one: Open) -> None:
    store, other = open_one(), open_one()
    store.keep("greeting", {"text": "hello"})
    with store.transaction() as db, ThreadPoolExecutor(8) as readers:
        store.keep_in(db, "greeting", {})
        read = [readers.submit(one.kept, "greeting") for one in (store, other) for _ in range(20)]
        assert [one.result(PATIENCE_S) for one in read] == [{"text": "hello"}] * 40
    assert other.kept("greeting") == {}


def test_those_who_write_take_turns_and_give_up_after_their_patience(open_one: Open) -> None:
    store, other = open_one(), open_one()
    with store.transaction(), ThreadPoolExecutor(1) as thread:
        for one in (store, other):
            with pytest.raises(PoolLocked):
                thread.submit(one.transaction(patience_s=0.1).__enter__).result(PATIENCE_S)
    other.keep("greeting", {"text": "hello"})
    with ThreadPoolExecutor(8) as writers:  # two processes, four threads each

        def count(one: ServerStore) -> None:
            with one.transaction(patience_s=PATIENCE_S) as db:
                known = one.kept_in(db, "number").get("is", 0)
                one.keep_in(db, "number", {"is": int(str(known)) + 1})

        for done in [writers.submit(count, one) for one in (store, other) * 20]:
            done.result(PATIENCE_S)
    assert store.kept("number") == {"is": 40}


def test_a_key_is_made_found_and_removed_in_every_process(open_one: Open) -> None:
    store, other = open_one(), open_one()
    keys, others = Keys(store), Keys(other)
    assert not keys.required
    key = keys.add("Me", "admin")
    assert keys.find(key) == others.find(key) == ME
    assert others.required
    with pytest.raises(ConfigError, match="already"):
        others.add("Me", "recognize")
    assert [(one.name, one.role) for one in others.all()] == [("Me", "admin")]
    signed_in = keys.sign_in(key)
    assert signed_in is not None
    assert others.session(signed_in[1]) == ME
    keys.remove("Me")
    assert keys.find(key) is None
    assert others.session(signed_in[1]) is None
    until(lambda: others.find(key) is None)
    with pytest.raises(NotFound):
        others.remove("Me")
    assert [row for (row,) in store.read("SELECT action FROM server_audit ORDER BY id")] == [
        "made a key",
        "signed in",
        "removed a key",
    ]


def test_a_session_ends_when_it_is_ended(store: ServerStore) -> None:
    keys = Keys(store)
    token = (keys.sign_in(keys.add("Me", "enroll")) or (None, ""))[1]
    keys.sign_out(token)
    assert keys.session(token) is None
    assert keys.sign_in("fp_nobody's") is None


def test_that_a_key_was_used_is_written_down(store: ServerStore) -> None:
    keys = Keys(store)
    keys.find(keys.add("Me", "admin"))
    until(lambda: keys.all()[0].last_used_at is not None)


def test_a_key_that_another_process_removes_holds_for_a_few_seconds_at_most(open_one: Open) -> None:
    keys, others = Keys(open_one()), Keys(open_one())
    key = keys.add("Me", "admin")
    assert others.find(key) == ME
    began_at_s = time.monotonic()
    keys.remove("Me")
    until(lambda: others.find(key) is None)
    assert time.monotonic() - began_at_s < 5


def test_the_audit_log_is_read_in_pages_and_by_person(open_one: Open) -> None:
    store = open_one()
    audit = Audit(store, id_of)
    for number in range(5):
        audit.note(ME, "registered", "Ada" if number % 2 else "Bob", f"{number} views")
    newest = asyncio.run(audit.entries(limit=2))
    assert [entry.detail for entry in newest] == ["4 views", "3 views"]
    assert [entry.detail for entry in asyncio.run(audit.entries(before=newest[-1].id, limit=2))] == [
        "2 views",
        "1 views",
    ]
    assert [entry.person_id for entry in asyncio.run(audit.entries(person="Ada"))] == ["id of Ada"] * 2
    assert audit.names() == {"Ada", "Bob"}
    other = Audit(open_one(), id_of)  # the same salt
    with store.transaction() as db:
        audit.erased(db, "Me", ["Ada"])
    assert other.erased_of(["Ada", "Bob"]) == {"Ada"}


def test_who_is_erased_is_in_the_audit_log_under_no_name_that_was_theirs(store: ServerStore) -> None:
    audit = Audit(store, id_of)
    audit.note(ME, "registered", "Ada", "3 views")
    audit.note(ME, "renamed", "Ada Lovelace", "Ada")
    audit.note(ME, "registered", "Ada", "another Ada, 1 view")
    with store.transaction() as db:
        assert audit.forget(db, ["Ada Lovelace"]) == 2
        audit.erased(db, ME.name, ["Ada Lovelace"])
        store.owe(db)
    assert store.owes()
    assert store.wipe() == ""
    assert not store.owes()
    told = asyncio.run(audit.entries())
    assert [entry.person == "Ada" for entry in told] == [False, True, False, False]
    assert not any("Lovelace" in entry.person + entry.detail or entry.detail == "Ada" for entry in told)
    assert [entry.action for entry in asyncio.run(audit.entries(person="Ada Lovelace"))] == ["erased", "renamed"]
    assert [entry["action"] for entry in asyncio.run(audit.of("Ada"))] == ["registered"]


def test_events_become_visits(store: ServerStore) -> None:
    activity = Activity(store, id_of, limits=RetentionLimits(activity_days=10_000))
    for at, record in [
        ("10:00:00", happened("appeared")),
        ("10:00:01", happened("recognized", "Ada")),
        ("10:00:30", happened("lost", "Ada")),
        ("10:01:30", happened("recognized", "Ada", track=2)),
        ("10:01:40", happened("lost", "Ada", track=2)),
        ("11:00:00", happened("recognized", "Bob", track=3)),
    ]:
        activity.add(record, f"2026-01-02T{at}+00:00")
    visits = asyncio.run(activity.visits())
    assert [(visit.person, visit.since[11:19], visit.until and visit.until[11:19]) for visit in visits] == [
        ("Bob", "11:00:00", None),
        ("Ada", "10:00:00", "10:01:40"),
    ]
    assert asyncio.run(activity.visits(person="Ada", limit=1))[0].similarity == 0.5
    entries = asyncio.run(activity.entries(person="Ada", limit=2))
    assert [(entry.event, entry.person_id) for entry in entries] == [("lost", "id of Ada"), ("recognized", "id of Ada")]
    assert [entry.event for entry in asyncio.run(activity.entries(before=entries[-1].id, limit=1))] == ["lost"]


def test_what_the_activity_says_of_people_goes_and_takes_their_coming_along(store: ServerStore) -> None:
    activity = Activity(store, id_of)
    for number, name in enumerate(["Ada", "Bob", "Grace"]):
        activity.add(happened("appeared", track=number))
        activity.add(happened("recognized", name, track=number))
    activity.add({**happened("changed", "Bob", track=2), "previous": "Grace"})
    with store.transaction() as db:
        activity.rename(db, "Ada", "Lovelace", "id of Lovelace")
        assert activity.forget(db, ["Grace", "Lovelace", *(f"Nobody {number}" for number in range(5000))]) == 3
    left = asyncio.run(activity.entries())
    assert {(entry.event, entry.person, entry.previous) for entry in left} == {
        ("appeared", None, None),
        ("recognized", "Bob", None),
        ("changed", "Bob", None),
    }
    assert activity.names() == {"Bob"}


def test_an_event_is_kept_once_however_often_it_is_tried(store: ServerStore) -> None:
    activity = Activity(store, id_of)
    for _ in range(2):  # a database may take it and not be able to say so
        activity.add(happened("recognized", "Ada", number="an event"))
    assert [entry.event_id for entry in asyncio.run(activity.entries())] == ["an event"]


def test_the_oldest_events_go_first(store: ServerStore) -> None:
    activity = Activity(store, id_of)
    activity.add(happened("recognized", "Ada"), "2020-01-01T00:00:00+00:00")
    Activity(store, id_of, limits=RetentionLimits(activity_days=1)).add(happened("recognized", "Bob"))
    assert activity.names() == {"Bob"}


def test_settings_that_one_process_changes_are_those_of_the_others(open_one: Open) -> None:
    store, other = open_one(), open_one()
    tuning = Tuning(SETTINGS, None, store)
    others = Tuning(SETTINGS, None, other)
    pinned = Tuning(Settings.model_validate({"min_face": 50}), None, other, frozenset({"min_face"}))
    tuning.change({"min_face": 90, "threshold": 0.5}, "Me")
    assert (tuning.settings.min_face, others.settings.min_face) == (90, SETTINGS.min_face)
    for one in (tuning, others, pinned):
        one.reload()
        assert (one.settings.min_face, one.settings.threshold) == (90, 0.5)
    started = Tuning(Settings.model_validate({"min_face": 50}), None, other, frozenset({"min_face"}))
    started.reload()
    assert started.settings.min_face == 50
    started.change({"min_face": 70}, "Me")
    started.reload()
    assert started.settings.min_face == 70
    assert asyncio.run(Audit(store, id_of).entries())[0].detail == "min_face = 70"


def test_cameras_and_their_logins_are_remembered_and_no_log_has_them(open_one: Open) -> None:
    store, other = open_one(), open_one()
    memory, others = CameraMemory(store), CameraMemory(other)
    memory.add(LOGIN, RememberedCamera(name="Door"), "Me")
    others.add("rtsp://127.0.0.1:9/yard", RememberedCamera(name="Yard"), "Me")
    both = {LOGIN: "Door", "rtsp://127.0.0.1:9/yard": "Yard"}
    for one in (memory, others, CameraMemory(open_one())):
        assert {source: camera.name for source, camera in one.bring_up_to_date().items()} == both
    assert not any("secret" in str(row) for row in store.read("SELECT value FROM server_kept"))
    assert not any("secret" in str(row) for row in store.read("SELECT * FROM server_audit"))
    others.remove(LOGIN.__eq__, "Door", "Me")
    assert list(memory.bring_up_to_date()) == ["rtsp://127.0.0.1:9/yard"]
    with store.reading() as db:
        assert store.secrets.read(db) == {}


def test_a_login_comes_with_its_camera_or_not_at_all(store: ServerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = CameraMemory(store)
    memory.add(LOGIN, RememberedCamera(name="Door"))
    with monkeypatch.context() as patch:
        patch.setattr("facepool.web.services.cameras.insert_entry", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            memory.add(LOGIN.replace("door", "yard"), RememberedCamera(name="Yard"), "Me")
    with store.reading() as db:
        assert list(store.secrets.read(db).values()) == [LOGIN]
    assert list(memory.bring_up_to_date()) == [LOGIN]


def test_a_notice_is_in_the_audit_log_as_it_was_left(store: ServerStore) -> None:
    audit = Audit(store, id_of)
    notice = Notice("uuid", "2026-01-02T10:00:00+00:00", "Me", "renamed", "Ada", "id of Ada", "Bob", 7)
    with store.transaction() as db:
        audit.keep(db, notice)
    (entry,) = asyncio.run(audit.entries())
    assert (entry.at, entry.person_id, entry.detail) == (notice.at, "id of Ada", "Bob")


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_a_file_of_an_earlier_version_keeps_everything(tmp_path: Path, version: int) -> None:
    with store_of_version(tmp_path / "pool.server.db", version) as old:
        _fill(old, "server_" if version > 5 else "", version)
    with stores_of(tmp_path / "pool.db") as opened:
        store = opened()
        assert [key.name for key in Keys(store).all()] == ["Me"]
        assert Tuning(SETTINGS, None, store).settings.min_face == 90
        assert [entry.person for entry in asyncio.run(Audit(store, id_of).entries())] == ["Ada"]
        assert len(asyncio.run(Activity(store, id_of).entries())) == 1
        assert store.read("SELECT sighting, named_at, corrected_at FROM server_activity") == [(None, None, None)]
        assert store.read("SELECT collections FROM server_keys") == [("",)]
        Keys(store).remove("Me")
        assert store.read("SELECT * FROM server_sessions") == []


def _fill(old: sqlite3.Connection, prefix: str, version: int) -> None:
    """One row in each table of an earlier version."""
    statements = [
        "INSERT INTO {}keys (name, role, digest, created_at) VALUES ('Me', 'admin', x'00', '2026')",
        "INSERT INTO {}sessions VALUES (x'01', 1, 9e9)",
        "INSERT INTO {}audit (at, caller, action, person, detail) VALUES ('2026', 'Me', 'registered', 'Ada', '')",
        "INSERT INTO {}activity (at, event, source) VALUES ('2026-01-02T10:00:00+00:00', 'appeared', 'door')",
        "UPDATE {}activity SET visit = id" if version > 3 else "",
        "INSERT INTO {}kept VALUES ('settings', '{{\"min_face\": 90}}')",
    ]
    for statement in statements:
        old.execute(statement.format(prefix))


def test_what_a_newer_facepool_made_is_refused(address: PoolAddress, store: ServerStore) -> None:
    with store.transaction() as db:
        if isinstance(address, Path):
            db.execute("PRAGMA user_version = 99")
        else:
            db.execute("INSERT INTO facepool_migrations (part, version) VALUES ('server', 99)")
    with pytest.raises(PoolTooNew):
        open_store(address)


def test_who_has_no_key_is_local_and_is_noted_so(store: ServerStore) -> None:
    Audit(store, id_of).note(LOCAL, "exported", "Ada")
    assert store.read("SELECT caller, person FROM server_audit") == [("local", "Ada")]


def test_logs_tell_what_they_keep_of_somebody_and_let_go_of_what_is_old(store: ServerStore) -> None:
    audit, activity = Audit(store, id_of), Activity(store, id_of)
    audit.note(LOCAL, "registered", "Ada")
    for track in (1, 2):
        activity.add(happened("recognized", "Ada", track=track))
    activity.add(happened("recognized", "Bob", track=3))
    told = {one.kind: one.count for one in held_by_logs(store, audit, "Ada", "", RetentionLimits(), "logs")}
    assert told == {"activity": 2, "visits": 1, "audit": 1, "erasure": 0}
    with store.transaction() as db:
        db.execute("UPDATE server_activity SET at = ? WHERE id = 1", ("2020-01-01T00:00:00+00:00",))
        db.execute("UPDATE server_audit SET at = ?", ("2020-01-01T00:00:00+00:00",))
    assert not tidy_logs(store, RetentionLimits(activity_days=10_000))
    assert tidy_logs(store, RetentionLimits(activity_entries=1)) == Tidied(activity=2)
    assert tidy_logs(store, RetentionLimits(audit_days=10)) == Tidied(audit=1)
    assert store.owes()
