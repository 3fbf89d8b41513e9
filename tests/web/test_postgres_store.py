"""Keys, logs and settings in a PostgreSQL database that dies, is cut off, changes hands, or is written to by others."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import numpy as np
import psycopg
import pytest

from facepool.errors import FacepoolError, NotWritable, PoolGone, PoolLocked, PoolUnreachable
from facepool.gallery.address import PostgresAddress, pool_address
from facepool.recognize.events import Event
from facepool.types import Frame, Image
from facepool.web.services.activity import Activity
from facepool.web.services.audit import Audit
from facepool.web.services.keys import LOCAL, Keys
from facepool.web.services.store import ServerStore, StoreGone, insert_entry, open_store
from facepool.web.services.store import postgres as postgres_module
from support import postgres
from support.ports import free_port
from support.stores import Open, stores_of

pytestmark = pytest.mark.postgres

PATIENCE_S = 60
NOBODY: Image = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def url() -> str:
    return postgres.new_database()


@pytest.fixture
def open_one(url: str) -> Iterator[Open]:
    with stores_of(pool_address(url)) as opened:
        yield opened


def until(condition: Callable[[], bool]) -> None:
    ends_at_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_at_s
        time.sleep(0.02)


def works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PoolUnreachable:
        return False
    return True


def id_of(name: str) -> str:
    return f"id of {name}"


@contextmanager
def emitting(activity: Activity) -> Iterator[Callable[[int], None]]:
    """Tells the activity that a face was recognized, as a camera does."""

    def happened(track: int) -> None:
        event = Event("recognized", track, "Ada", None, 0.5, None, None, 1, 0.0, (0.0, 0.0, 1.0, 1.0), "match")
        activity.emit("door", Frame(NOBODY, "door"), [event])

    with closing(activity):
        yield happened


def notified(connection: psycopg.Connection, count: int) -> list[dict[str, object]]:
    found = connection.notifies(timeout=PATIENCE_S, stop_after=count)
    return [json.loads(one.payload) for one in found]


def test_several_processes_that_come_first_make_the_tables_once(url: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        stores = list(threads.map(lambda _: open_store(pool_address(url)), range(6)))
    for number, store in enumerate(stores):
        Keys(store).add(f"Key {number}", "admin")
    assert len(Keys(stores[0]).all()) == 6
    versions = stores[0].read("SELECT version FROM facepool_migrations WHERE part = 'server' ORDER BY version")
    assert versions == [(number + 1,) for number in range(len(postgres_module.MIGRATIONS))]
    for store in stores:
        store.close()


def test_tables_of_an_earlier_version_keep_everything(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(postgres_module, "MIGRATIONS", postgres_module.MIGRATIONS[:1])
        open_store(pool_address(url)).close()
    with psycopg.connect(url, autocommit=True) as old:
        old.execute("INSERT INTO server_keys (name, role, digest, created_at) VALUES ('Me', 'admin', '', '2026')")
        old.execute("INSERT INTO server_activity (at, event, source, visit) VALUES ('2026', 'appeared', 'door', 1)")
    with closing(open_store(pool_address(url))) as store:
        assert [key.name for key in Keys(store).all()] == ["Me"]
        (entry,) = asyncio.run(Activity(store, id_of).entries())
        assert (entry.sighting, entry.named_at, entry.corrected_at) == (None, None, None)
        assert store.read("SELECT collections FROM server_keys") == [("",)]


def test_two_schemas_of_a_database_are_two_pools(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA other")
    with stores_of(pool_address(url)) as one, stores_of(pool_address(f"{url}?options=-csearch_path%3Dother")) as other:
        Keys(one()).add("Me", "admin")
        assert not Keys(other()).required


def test_what_processes_have_to_read_anew_is_announced_if_it_is_committed(url: str, open_one: Open) -> None:
    store = open_one()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("LISTEN facepool")
        with pytest.raises(ZeroDivisionError), store.transaction() as db:  # noqa: PT012 -- what is undone is the point
            store.announce(db, "settings")
            raise ZeroDivisionError
        Keys(store).add("Me", "admin")
        assert notified(connection, 1) == [{"kind": "keys", "schema": "public"}]


def test_a_revoked_key_holds_at_once_where_it_is_announced(open_one: Open) -> None:
    keys, store = Keys(open_one()), open_one()
    others, key = Keys(store), keys.add("Me", "admin")
    assert others.find(key) is not None
    keys.remove("Me")
    store.look_again()
    assert others.find(key) is None


def test_the_database_is_asked_for_keys_once_a_second_at_most(open_one: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_one()
    keys = Keys(store)
    key = keys.add("Me", "recognize")
    assert keys.find(key) is not None
    asked: list[str] = []
    monkeypatch.setattr(store, "_lent", lambda: asked.append("the database"))
    began_at_s = time.monotonic()
    for _ in range(1000):
        keys.find(key)
    if time.monotonic() - began_at_s < 0.5:
        assert asked == []


def test_tables_that_are_gone_or_made_anew_let_nobody_in(url: str, open_one: Open) -> None:
    store = open_one()
    keys = Keys(store)
    key = keys.add("Me", "admin")
    assert keys.required
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    store.look_again()
    with pytest.raises(PoolGone):
        keys.find(key)
    with closing(open_store(pool_address(url))) as another:  # as `facepool keys list` makes one
        assert not Keys(another).required
    store.look_again()
    with pytest.raises(StoreGone):
        _ = keys.required
    with pytest.raises(StoreGone), store.transaction():
        pass


def test_a_user_who_may_not_make_tables_is_told_so(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    database = url.rpartition("/")[2]
    address = pool_address(postgres.server().url(database, postgres.LOCKED_USER, postgres.PASSWORD))
    with pytest.raises(NotWritable) as refused:
        open_store(address)
    assert postgres.PASSWORD not in str(refused.value)


def test_no_message_has_the_password_of_an_address(url: str, caplog: pytest.LogCaptureFixture) -> None:
    database = url.rpartition("/")[2]
    postgres.server().execute(f"GRANT CREATE ON SCHEMA public TO {postgres.LOCKED_USER}", database)
    right = PostgresAddress(postgres.server().url(database, postgres.LOCKED_USER, postgres.PASSWORD))
    wrong = PostgresAddress(postgres.server().url(database, postgres.LOCKED_USER, "s3cret/wrong"))
    with caplog.at_level(logging.DEBUG), closing(open_store(right)) as store:
        with pytest.raises(PoolUnreachable) as refused:
            open_store(wrong)
        said = f"{store.name} {refused.value} {refused.value!r} {caplog.text}"
    assert "s3cret" not in said


_FROZEN = """
import sys
from facepool.gallery.address import pool_address
from facepool.web.services.store import open_store
import facepool.web.services.store.postgres as postgres
postgres._STANDSTILL_MS = 6000
store = open_store(pool_address(sys.argv[1]))
with store.transaction() as db:
    store.keep_in(db, "greeting", {"text": "never"})
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(os.name != "posix", reason="a process is stopped by a signal")
def test_a_process_that_freezes_while_it_writes_keeps_nobody_from_reading_nor_for_long_from_writing(
    url: str, open_one: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_one()
    frozen = subprocess.Popen([sys.executable, "-c", _FROZEN, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert frozen.stdout is not None
        assert frozen.stdout.readline() == b"locked\n"
        frozen.send_signal(signal.SIGSTOP)
        assert store.kept("greeting") == {}
        with pytest.raises(PoolLocked):
            store.keep("greeting", {"text": "hello"})
        with store.transaction(patience_s=PATIENCE_S) as db:  # the server ends the other's transaction
            store.keep_in(db, "greeting", {"text": "hello"})
    finally:
        frozen.kill()
        frozen.communicate()
    assert store.kept("greeting") == {"text": "hello"}


def test_connections_that_are_cut_are_replaced(url: str, open_one: Open) -> None:
    store = open_one()
    audit = Audit(store, id_of)
    cut = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid != pg_backend_pid()"
    )
    for number in range(5):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(cut)
        until(lambda number=number: works(lambda: audit.note(LOCAL, "exported", f"Person {number}")))  # type: ignore[misc]
        assert len(asyncio.run(audit.entries())) == number + 1


def test_a_change_whose_end_nobody_saw_is_no_success(url: str, open_one: Open) -> None:
    store = open_one()
    with pytest.raises(PoolUnreachable), store.transaction() as db:  # noqa: PT012 -- how it ends is the point
        insert_entry(db, "Me", "exported")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", (db.connection.info.backend_pid,))  # type: ignore[attr-defined]
    until(lambda: works(lambda: store.read("SELECT 1")))
    assert store.read("SELECT count(*) FROM server_audit") == [(0,)]


def test_a_change_of_which_a_part_has_failed_is_not_stored(open_one: Open) -> None:
    store = open_one()
    with pytest.raises(FacepoolError, match="was not stored"), store.transaction() as db:  # noqa: PT012 -- the same
        insert_entry(db, "Me", "exported")
        with pytest.raises(psycopg.errors.DivisionByZero):
            db.execute("SELECT 1 / 0")
    assert store.read("SELECT count(*) FROM server_audit") == [(0,)]


@pytest.mark.parametrize("limit", ["idle_in_transaction_session_timeout", "transaction_timeout"])
def test_a_change_that_the_server_has_ended_is_tried_again_by_who_can_wait(open_one: Open, limit: str) -> None:
    store = open_one()

    def stands_still() -> None:
        with store.transaction() as db:
            db.execute(f"SET LOCAL {limit} = 50")
            time.sleep(0.3)  # as a process that is stopped, or a machine that sleeps
            db.execute("SELECT 1")

    with pytest.raises(PoolUnreachable):
        stands_still()
    until(lambda: works(lambda: store.keep("a", {"b": 1})))


def test_many_read_at_the_same_time_by_few_connections(url: str, open_one: Open) -> None:
    store = open_one()
    with ThreadPoolExecutor(32) as readers:
        read = [readers.submit(store.read, "SELECT pg_sleep(0.01)") for _ in range(64)]
        for one in read:
            one.result(PATIENCE_S)
    with psycopg.connect(url) as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"
        assert (connection.execute(count).fetchone() or (99,))[0] <= 5


def test_events_wait_while_the_disk_is_full(url: str, open_one: Open) -> None:
    store = open_one()
    full = """
        CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON server_activity FOR EACH ROW EXECUTE FUNCTION full_disk()
    """
    with emitting(Activity(store, id_of)) as happened, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(full)
        for track in range(5):
            happened(track)
        assert store.read("SELECT count(*) FROM server_activity") == [(0,)]
        connection.execute("DROP TRIGGER full_disk ON server_activity")
        until(lambda: store.read("SELECT count(*) FROM server_activity") == [(5,)])


class TestAServerThatDies:
    @pytest.fixture
    def server(self) -> Iterator[postgres.PostgresServer]:
        with postgres.own_server() as running:
            yield running

    @pytest.fixture
    def store(self, server: postgres.PostgresServer) -> Iterator[ServerStore]:
        with stores_of(pool_address(server.url("pool"))) as opened:
            yield opened()

    def test_events_wait_in_memory_and_are_kept_in_their_order_and_once(
        self, server: postgres.PostgresServer, store: ServerStore
    ) -> None:
        heard: list[object] = []
        activity = Activity(store, id_of, others=lambda record, _camera: heard.append(record["person"]))
        with emitting(activity) as happened:
            happened(0)
            server.kill()
            took_s = []
            for track in range(1, 30):
                began_at_s = time.monotonic()
                happened(track)
                took_s.append(time.monotonic() - began_at_s)
            assert heard == ["Ada"] * 30
            assert sorted(took_s)[-2] < 1, "a camera waits once at most"
            server.start()
            for track in range(30, 60):  # while it comes back
                happened(track)
            until(lambda: works(lambda: store.read("SELECT 1")))
            until(lambda: store.read("SELECT count(*) FROM server_activity") == [(60,)])
        assert store.read("SELECT count(DISTINCT event_id) FROM server_activity") == [(60,)]
        assert store.read("SELECT count(*) FROM server_activity WHERE visit != 1") == [(0,)]

    def test_who_asks_is_refused_soon_until_it_is_back(
        self, server: postgres.PostgresServer, store: ServerStore
    ) -> None:
        keys = Keys(store)
        key = keys.add("Me", "admin")
        server.stop("immediate")
        store.look_again()
        began_at_s = time.monotonic()
        for _ in range(200):
            assert not works(lambda: keys.find(key))
            assert not works(lambda: keys.session("none"))
            assert not works(lambda: store.keep("greeting", {}))
        assert time.monotonic() - began_at_s < 20, "the first to find out waits, not each"
        server.start()
        until(lambda: works(lambda: keys.find(key)))
        assert keys.find(key) is not None

    def test_nothing_acknowledged_is_lost_and_nothing_is_half_stored_when_it_is_killed_under_load(
        self, server: postgres.PostgresServer, store: ServerStore
    ) -> None:
        made: list[str] = []
        over = threading.Event()

        def work(worker: int) -> None:
            keys = Keys(store)
            for number in range(100_000):
                name = f"{worker}-{number}"
                if over.is_set():
                    return
                try:
                    keys.add(name, "recognize")
                except (PoolUnreachable, PoolLocked):
                    over.wait(0.05)
                else:
                    made.append(name)

        with ThreadPoolExecutor(4) as workers:
            working = [workers.submit(work, worker) for worker in range(4)]
            for _ in range(3):
                before = len(made)
                until(lambda before=before: len(made) > before + 20)  # type: ignore[misc]
                server.kill()
                server.start()
            over.set()
            for one in working:
                one.result(PATIENCE_S)
        until(lambda: works(lambda: store.read("SELECT 1")))
        kept = {str(name) for (name,) in store.read("SELECT name FROM server_keys")}
        logged = {str(detail).split(" ")[0] for (detail,) in store.read("SELECT detail FROM server_audit")}
        assert set(made) <= kept
        assert kept == logged

    def test_another_server_takes_over(self, server: postgres.PostgresServer) -> None:
        replica = postgres.PostgresServer(copy_of=server)
        try:
            hosts = f"127.0.0.1:{server.port},127.0.0.1:{replica.port}"
            address = pool_address(f"postgresql://{postgres.SUPERUSER}@{hosts}/pool?target_session_attrs=read-write")
            with stores_of(address) as opened:
                store = opened()
                store.keep("greeting", {"text": "hello"})
                ((here,),) = server.execute("SELECT pg_current_wal_lsn()::text")
                until(lambda: replica.execute(f"SELECT pg_last_wal_replay_lsn() >= '{here}'") == [(True,)])
                server.kill()
                with pytest.raises(PoolUnreachable):
                    store.keep("greeting", {"text": "lost"})
                replica.promote()
                until(lambda: works(lambda: store.keep("greeting", {"text": "good day"})))
                assert store.kept("greeting") == {"text": "good day"}
        finally:
            replica.close()


def test_an_address_where_nobody_answers_is_said_so() -> None:
    with pytest.raises(PoolUnreachable):
        open_store(PostgresAddress(f"postgresql://{postgres.SUPERUSER}@127.0.0.1:{free_port()}/pool"))
