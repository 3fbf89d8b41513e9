"""Processes that share a pool meet in its database: announcements, and cameras that one of them watches."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from facepool.errors import PoolUnreachable
from facepool.gallery.address import PostgresAddress
from facepool.recognize.events import Event
from facepool.records import Record
from facepool.types import Frame
from facepool.web.services.activity import Activity
from facepool.web.services.postgres_processes import SILENT_S, PostgresProcesses
from facepool.web.services.store import open_store
from support import postgres
from support.tcp_proxy import wire_to

pytestmark = pytest.mark.postgres
_PATIENCE_S = 30.0

ADA = Event("recognized", 1, "Ada", None, 0.8, 0.4, 0.3, 3, 0.0, (0.0, 0.0, 1.0, 1.0), "match", None, "an id")
Make = Callable[[], PostgresProcesses]


def eventually(true: Callable[[], object]) -> None:
    ends_s = time.monotonic() + _PATIENCE_S
    while not true():
        assert time.monotonic() < ends_s
        time.sleep(0.02)


@pytest.fixture
def address() -> PostgresAddress:
    return PostgresAddress(postgres.new_database())


@pytest.fixture
def make(address: PostgresAddress) -> Iterator[Make]:
    with ExitStack() as all_of_them:

        def made() -> PostgresProcesses:
            one = PostgresProcesses(address)
            all_of_them.callback(one.close)
            return one

        yield made


def test_what_one_announces_the_others_hear_once_and_in_order(make: Make) -> None:
    one, other = make(), make()
    heard: dict[str, list[object]] = {"one": [], "other": []}
    for name, process in (("one", one), ("other", other)):
        process.announcements.hear("event", lambda fields, name=name: heard[name].append(fields["n"]))  # type: ignore[misc]
        process.start()
    eventually(lambda: one.announcements.listening and other.announcements.listening)
    for number in range(100):
        one.announcements.send("event", {"n": number})
    eventually(lambda: len(heard["other"]) == 100)
    assert heard == {"one": [], "other": list(range(100))}


def test_after_its_connection_was_cut_a_process_reads_anew_and_hears_again(
    make: Make, address: PostgresAddress
) -> None:
    one, other = make(), make()
    gaps, heard = threading.Semaphore(0), threading.Event()
    other.announcements.after_gap(gaps.release)
    other.announcements.hear("keys", lambda _fields: heard.set())
    one.start()
    other.start()
    eventually(lambda: other.announcements.listening)
    postgres.server().execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{address.name}'"
        " AND application_name = 'facepool processes'"
    )
    assert gaps.acquire(timeout=_PATIENCE_S)
    one.announcements.send("keys")
    assert heard.wait(_PATIENCE_S)


def test_a_camera_is_watched_by_one_and_taken_over_from_one_that_leaves(make: Make) -> None:
    both = make(), make()
    numbers = {process.number_of("rtsp://door/1") for process in both}
    assert len(numbers) == 1
    (number,) = numbers
    for process in both:
        process.start()
    eventually(lambda: any(process.watches(number) for process in both))
    (watcher,) = (process for process in both if process.watches(number))
    (other,) = set(both) - {watcher}
    watcher.close()
    eventually(lambda: other.watches(number))


def test_cameras_of_a_process_that_fell_silent_are_taken_over_after_it_has_let_go_of_them(make: Make) -> None:
    silent, other = make(), make()
    number = silent.number_of("rtsp://door/1")
    db = silent._db
    assert db is not None
    silent._beat(db)  # once: as one that is stopped, or cut off, just after that
    assert silent.watches(number)
    other.number_of("rtsp://door/1")
    other.start()
    watched = {"silent": 0, "other": 0, "both": 0}
    ends_s = time.monotonic() + _PATIENCE_S
    while not watched["other"] and time.monotonic() < ends_s:
        now = {"silent": silent.watches(number), "other": other.watches(number)}
        watched["both"] += all(now.values())
        for name, watches in now.items():
            watched[name] += watches
        time.sleep(0.01)
    assert watched["silent"]
    assert watched["other"]
    assert not watched["both"]
    silent.start()  # it comes back, and does not take the camera back
    eventually(lambda: len(other.peers) == 1)
    time.sleep(1.5)
    assert other.watches(number)
    assert not silent.watches(number)


def test_a_camera_that_is_removed_is_removed_everywhere_and_may_come_back(make: Make) -> None:
    one, other = make(), make()
    removed = threading.Event()
    other.on_cameras(lambda gone: removed.set() if number in gone else None)
    number = one.number_of("rtsp://door/1")
    other.number_of("rtsp://door/1")
    one.start()
    other.start()
    eventually(lambda: one.watches(number) or other.watches(number))
    one.forget_camera(number)
    assert removed.wait(_PATIENCE_S)
    other.drop_camera(number)
    assert not one.watches(number)
    assert not other.watches(number)
    assert one.number_of("rtsp://door/1") == number
    eventually(lambda: one.watches(number))


def test_pools_of_two_schemas_have_nothing_to_do_with_each_other(make: Make, address: PostgresAddress) -> None:
    one = make()
    postgres.server().execute("CREATE SCHEMA other", address.name)
    with ExitStack() as open_ones:
        foreign = PostgresProcesses(PostgresAddress(f"{address.url}?options=-csearch_path%3Dother,public"))
        open_ones.callback(foreign.close)
        heard: list[str] = []
        one.announcements.hear("event", lambda fields: heard.append(str(fields["of"])))
        for process in (one, foreign):
            process.number_of("rtsp://door/1")
            process.start()
        eventually(lambda: one.watches("1") and foreign.watches("1") and one.announcements.listening)
        foreign.announcements.send("event", {"of": "foreign"})
        third = make()
        third.start()
        third.announcements.send("event", {"of": "third"})
        eventually(lambda: heard)
        time.sleep(0.5)
        assert heard == ["third"]
        assert len(one.peers) <= 1


def test_each_says_something_of_itself(make: Make) -> None:
    one, other = make(), make()
    one.say("mood", lambda: ["good"])
    one.start()
    other.start()
    eventually(lambda: [peer.report.get("mood") for peer in other.peers] == [["good"]])
    assert other.peers[0].name == one.name
    assert one.number != other.number


_SAID_TO_BE_GOOD = "SELECT count(*)::int FROM server_reports WHERE report::text LIKE '%good%'"


def test_what_a_server_forgets_that_crashes_is_said_again(make: Make, address: PostgresAddress) -> None:
    one, other = make(), make()
    one.say("mood", lambda: ["good"])
    one.start()
    other.start()
    eventually(lambda: [peer.report.get("mood") for peer in other.peers] == [["good"]])
    server = postgres.server()
    server.execute("TRUNCATE server_reports", address.name)  # so does a crash with tables that are not logged
    server.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{address.name}'"
        " AND application_name = 'facepool processes'"
    )
    # Whether others have looked in between is chance; that nothing is there was certain.
    eventually(lambda: server.execute(_SAID_TO_BE_GOOD, address.name) == [(1,)])
    eventually(lambda: [peer.report.get("mood") for peer in other.peers] == [["good"]])


@pytest.mark.parametrize(
    "told",
    [
        {"event_id": 5},
        {"event_id": {}},
        {"event_id": ["a"]},
        {"event": {"id": "a", "event": "lost", "person": ["Ada"]}},
        {"event": {"id": "a", "event": "lost", "previous": {}}},
        {"event": [1]},
        {},
    ],
)
def test_an_announcement_that_makes_no_sense_keeps_nobody_from_hearing_the_next(
    address: PostgresAddress, told: dict[str, object]
) -> None:
    heard: list[Record] = []
    with ExitStack() as all_of_them:
        store = open_store(address)
        all_of_them.callback(store.close)
        processes = PostgresProcesses(address)
        all_of_them.callback(processes.close)
        activity = Activity(store, lambda _name: "an id", processes=processes)
        activity.events.publish = heard.append  # type: ignore[method-assign,assignment]
        processes.start()
        eventually(lambda: processes.announcements.listening)
        for fields in (told, {"event": {"id": "b", "event": "recognized", "person": "Ada"}}):
            payload = json.dumps({"kind": "event", **fields})
            postgres.server().execute(f"SELECT pg_notify('facepool', '{payload}')", address.name)
        eventually(lambda: heard)
    assert [record["id"] for record in heard] == ["b"]


def test_cameras_stay_whose_they_are_while_the_database_is_away_for_all() -> None:
    with postgres.own_server() as database, ExitStack() as all_of_them:
        watcher, other = (PostgresProcesses(PostgresAddress(database.url("pool"))) for _ in range(2))
        for one in (watcher, other):
            all_of_them.callback(one.close)
        number = watcher.number_of("rtsp://door/1")
        watcher.start()
        eventually(lambda: watcher.watches(number))
        other.number_of("rtsp://door/1")
        other.start()
        eventually(lambda: other.peers and watcher.peers)
        database.stop("immediate")
        with pytest.raises(PoolUnreachable):
            other.number_of("rtsp://yard/1")
        ends_s = time.monotonic() + SILENT_S + 2
        while time.monotonic() < ends_s:
            assert watcher.watches(number)
            time.sleep(0.05)
        database.start()
        eventually(lambda: other.announcements.listening and other.peers and watcher.peers)
        assert watcher.watches(number)
        assert not other.watches(number)


@pytest.mark.parametrize("alone", [True, False])
def test_who_gets_no_answer_watches_on_only_where_nobody_else_can(address: PostgresAddress, alone: bool) -> None:
    server = postgres.server()
    with wire_to(server.port) as wire, ExitStack() as all_of_them:
        behind = address.url.replace(f":{server.port}/", f":{wire.port}/")
        cut_off = PostgresProcesses(PostgresAddress(behind))
        all_of_them.callback(cut_off.close)
        number = cut_off.number_of("rtsp://door/1")
        cut_off.start()
        eventually(lambda: cut_off.watches(number))
        if not alone:
            other = PostgresProcesses(address)
            all_of_them.callback(other.close)
            other.number_of("rtsp://door/1")
            other.start()
            eventually(lambda: other.peers and cut_off.peers)
        wire.hold()
        ends_s = time.monotonic() + 2 * SILENT_S
        while time.monotonic() < ends_s and (alone or not other.watches(number)):
            assert not alone or cut_off.watches(number)
            time.sleep(0.01)
        assert cut_off.watches(number) == alone
        wire.release()
        eventually(lambda: cut_off.announcements.listening)
        assert cut_off.watches(number) == alone


def test_an_event_that_is_too_long_to_be_announced_is_read_from_the_activity(address: PostgresAddress) -> None:
    heard: list[Record] = []
    with ExitStack() as both:
        activities = []
        for _ in range(2):
            processes = PostgresProcesses(address)
            store = open_store(address)
            activities.append(Activity(store, lambda _name: "an id", processes=processes))
            both.callback(store.close)
            both.callback(processes.close)
            processes.start()
            eventually(lambda processes=processes: processes.announcements.listening)  # type: ignore[misc]
        one, other = activities
        other.events.publish = heard.append  # type: ignore[method-assign,assignment]
        frame = Frame(np.zeros((2, 2, 3), np.uint8), "browser", 0, 0.0)
        one.emit("x" * 9000, frame, [ADA])
        eventually(lambda: heard)
    assert (heard[0]["person"], heard[0]["source"], heard[0]["event"]) == ("Ada", "x" * 9000, "recognized")
