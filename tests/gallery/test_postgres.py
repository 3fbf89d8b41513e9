"""Pools in PostgreSQL: what the server may say, and what becomes of connections, versions, rights and rooms."""

import json
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from facepool.errors import (
    ConfigError,
    FacepoolError,
    NotWritable,
    PathMissing,
    PoolGone,
    PoolLocked,
    PoolTooNew,
    PoolUnreachable,
)
from facepool.gallery import Pool, SqliteGallery, open_pool
from facepool.gallery.backup import back_up, opened_backup, restore
from facepool.gallery.postgres import PostgresGallery
from facepool.gallery.postgres_connection import Connection, in_psycopg
from facepool.gallery.postgres_schema import MIGRATIONS
from facepool.search import Search
from support import postgres
from support.pools import MEASURED, samples, space, unit
from support.ports import free_port
from support.tcp_proxy import wire_to

pytestmark = pytest.mark.postgres


@pytest.fixture
def url() -> str:
    return postgres.new_database()


@pytest.fixture
def pool(url: str) -> Iterator[Pool]:
    with open_pool(url, space()) as pool:
        yield pool


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


def execute(url: str, query: str) -> list[tuple[object, ...]]:
    return postgres.server().execute(query, name_of(url))


def names(pool: Pool) -> dict[str, int]:
    return {person.name: person.templates for person in pool.people()}


def locked_out(url: str, password: str = postgres.PASSWORD) -> str:
    return postgres.server().url(name_of(url), postgres.LOCKED_USER, password)


def let_in(url: str, *rights: str) -> None:
    for right in rights:
        execute(url, f"GRANT {right} TO {postgres.LOCKED_USER}")


def refused(url: str) -> FacepoolError:
    """The error of a pool that cannot be opened, which does not have the password anywhere."""
    with pytest.raises(FacepoolError) as error, open_pool(url, space()):
        pass
    told = "".join(traceback.format_exception(error.value)) + repr(error.value)
    assert postgres.PASSWORD not in told
    assert "wr0ng" not in told
    return error.value


def test_who_may_not_come_in_is_told_why(url: str) -> None:
    error = refused(locked_out(url, "wr0ng"))
    assert (type(error), "does not accept the password" in error.why) == (PoolUnreachable, True)
    error = refused(locked_out(url, ""))
    assert (type(error), "asks for a password" in error.why) == (PoolUnreachable, True)
    error = refused(postgres.server().url(name_of(url), "nobody_of_that_name"))
    assert (type(error), "does not know the user" in error.why) == (PoolUnreachable, True)
    error = refused(postgres.server().url("no_such_database"))
    assert (type(error), "no such database" in error.why) == (PathMissing, True)
    error = refused(f"postgresql://somebody:wr0ng@127.0.0.1:{free_port()}/pool")
    assert (type(error), "no server answers" in error.why) == (PoolUnreachable, True)
    error = refused("postgresql://somebody:wr0ng@no-such-host.invalid/pool")
    assert (type(error), "name of its host is not known" in error.why) == (PoolUnreachable, True)


def test_an_address_that_libpq_does_not_understand_is_a_setting_that_cannot_be_used(url: str) -> None:
    assert isinstance(refused(f"{url}?no_such_option=1"), ConfigError)
    error = refused(f"{url}?options=-csearch_path%3Dno_such_schema")
    assert (type(error), "schema" in error.why) == (ConfigError, True)


def test_a_server_without_a_free_connection_is_told(url: str) -> None:
    execute(url, f"ALTER DATABASE {name_of(url)} CONNECTION LIMIT 0")
    error = refused(locked_out(url))
    assert (type(error), "no connection left" in error.why) == (PoolUnreachable, True)


def test_a_database_without_pgvector_is_told_who_brings_it(url: str) -> None:
    execute(url, "DROP EXTENSION vector")
    let_in(url, "ALL ON SCHEMA public")
    with open_pool(locked_out(url), space()) as pool, pytest.raises(ConfigError, match="CREATE EXTENSION vector"):
        pool.create("Ada")
    with open_pool(url, space()) as pool:  # the owner of the database may
        pool.register("Ada", samples(1), space())
        assert names(pool) == {"Ada": 1}


def test_a_user_without_rights_is_told_and_one_who_may_read_reads(url: str) -> None:
    with open_pool(locked_out(url), space()) as pool, pytest.raises(NotWritable):
        pool.create("Ada")
    with open_pool(url, space()) as pool:
        pool.register("Ada", samples(1), space())
    with pytest.raises(NotWritable):
        open_pool(locked_out(url), space())
    let_in(url, "SELECT ON ALL TABLES IN SCHEMA public")
    with open_pool(locked_out(url), space(), must_exist=True) as pool:
        assert Search(pool).index().names == ("Ada",)
        with pytest.raises(NotWritable):
            pool.create("Bob")
        assert names(pool) == {"Ada": 1}


def test_a_user_who_does_not_own_the_tables_owes_nothing_after_erasing(url: str) -> None:
    with open_pool(url, space()) as pool:
        pool.register("Ada", samples(1), space())
    let_in(url, "ALL ON ALL TABLES IN SCHEMA public", "ALL ON ALL SEQUENCES IN SCHEMA public")
    with open_pool(locked_out(url), space()) as pool:
        assert pool.remove("Ada") == 1
        assert not pool.owed()
        (note,) = pool.notes
        assert "write-ahead log" in note


def test_a_server_that_lets_nobody_write_is_told_and_read_where_that_is_asked_for(url: str) -> None:
    with open_pool(url, space()) as pool:
        pool.register("Ada", samples(1), space())
    execute(url, f"ALTER DATABASE {name_of(url)} SET default_transaction_read_only = on")
    error = refused(url)
    assert (type(error), "none of its servers can be written to" in error.why) == (PoolUnreachable, True)
    with open_pool(f"{url}?target_session_attrs=any", space()) as pool:
        assert names(pool) == {"Ada": 1}


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("53100", "disk_full"),
        ("53400", "disk_full"),
        ("53200", "pool_unreachable"),
        ("57014", "pool_locked"),
        ("40001", "pool_locked"),
        ("40P01", "pool_locked"),
        ("42501", "not_writable"),
        ("58030", "storage"),
        ("XX001", "pool_corrupt"),
        ("57P01", "pool_unreachable"),
        ("0A000", "storage"),
    ],
)
@pytest.mark.parametrize("when", ["at once", "at the end"])
def test_what_goes_wrong_at_the_server_is_told_and_leaves_the_pool_as_it_was(
    pool: Pool, url: str, state: str, code: str, when: str
) -> None:
    pool.register("Ada", samples(1), space())
    execute(
        url,
        f"""CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'it went wrong' USING ERRCODE = '{state}'; END $$""",
    )
    kind, deferred = ("", "") if when == "at once" else ("CONSTRAINT", "DEFERRABLE INITIALLY DEFERRED")
    execute(
        url,
        f"CREATE {kind} TRIGGER failing AFTER INSERT ON templates {deferred} FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    revision = pool.revision()
    with pytest.raises(FacepoolError, match="it went wrong") as error:
        pool.register("Bob", samples(2, 3), space())
    assert error.value.code == code
    assert (names(pool), pool.revision()) == ({"Ada": 1}, revision)
    execute(url, "DROP TRIGGER failing ON templates")
    pool.register("Bob", samples(2, 3), space())
    assert names(pool) == {"Ada": 1, "Bob": 2}


def test_who_waits_for_another_writer_waits_as_long_as_was_said(url: str) -> None:
    with open_pool(url, space(), timeout_s=0.2) as pool:
        pool.create("Ada")
        with psycopg.connect(url) as other:
            other.execute("SELECT revision FROM state FOR UPDATE")
            with pytest.raises(PoolLocked):
                pool.create("Bob")
            assert names(pool) == {"Ada": 0}  # a reader waits for nobody
        pool.create("Bob")


def test_many_who_make_the_tables_at_once_make_them_once(url: str) -> None:
    together = threading.Barrier(6)

    def enroll(number: int) -> None:
        with open_pool(url, space(), timeout_s=30) as pool:
            together.wait(30)
            pool.register(f"person {number}", samples(number), space())

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(enroll, range(6)))
    with open_pool(url, space()) as pool:
        assert (len(pool.people()), pool.revision()) == (6, 6)
    assert execute(url, "SELECT version FROM facepool_migrations WHERE part = 'pool' ORDER BY version") == [
        (version + 1,) for version in range(len(MIGRATIONS))
    ]


def test_tables_of_a_newer_facepool_are_refused(pool: Pool, url: str) -> None:
    pool.create("Ada")
    execute(url, f"INSERT INTO facepool_migrations VALUES ('pool', {len(MIGRATIONS) + 1})")
    with pytest.raises(PoolTooNew):
        open_pool(url, space(), timeout_s=4.0)


def test_a_schema_with_tables_of_another_program_is_not_touched(url: str) -> None:
    execute(url, "CREATE TABLE persons (name text)")
    with open_pool(url, space()) as pool, pytest.raises(ConfigError, match="another program"):
        pool.create("Ada")
    assert execute(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(1,)]


def test_two_schemas_of_a_database_are_two_pools(pool: Pool, url: str) -> None:
    pool.register("Ada", samples(1), space())
    execute(url, 'CREATE SCHEMA "second Pool"')
    with open_pool(f"{url}?options=-csearch_path%3D%22second%5C%20Pool%22", space()) as second:
        assert second.people() == []
        second.register("Bob", samples(2), space())
        assert (names(second), names(pool)) == ({"Bob": 1}, {"Ada": 1})
        assert (Search(second).index().names, Search(pool).index().names) == (("Bob",), ("Ada",))


def test_a_pool_whose_schema_is_deleted_does_not_become_that_of_another_schema(pool: Pool, url: str) -> None:
    pool.register("Ada", samples(1), space())
    execute(url, "CREATE SCHEMA second")
    with open_pool(f"{url}?options=-csearch_path%3Dsecond,public", space()) as second:
        second.register("Bob", samples(2), space())
        for attempt in (lambda: names(second), lambda: second.register("Eve", samples(3), space()), second.revision):
            assert names(second) == {"Bob": 1}  # a connection lies ready
            execute(url, "ALTER SCHEMA second RENAME TO away")
            with pytest.raises(FacepoolError):
                attempt()
            execute(url, "ALTER SCHEMA away RENAME TO second")
    assert names(pool) == {"Ada": 1}


def test_who_waits_while_the_schema_is_deleted_stores_nobody_in_another(pool: Pool, url: str) -> None:
    pool.register("Ada", samples(1), space())
    execute(url, "CREATE SCHEMA second")
    with open_pool(f"{url}?options=-csearch_path%3Dsecond,public", space(), timeout_s=30) as second:
        second.register("Bob", samples(2), space())
        with psycopg.connect(url) as other, ThreadPoolExecutor(1) as threads:
            other.execute("DROP SCHEMA second CASCADE")
            waiting = threads.submit(second.register, "Eve", samples(3), space())
            waits = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            while execute(url, waits) != [(1,)]:
                assert not waiting.done()
                time.sleep(0.02)
            other.commit()
            with pytest.raises(PoolGone):
                waiting.result()
    assert names(pool) == {"Ada": 1}


def test_galleries_that_nobody_uses_keep_few_connections(url: str) -> None:
    pools = [open_pool(url, space()) for _ in range(20)]
    pools[0].create("Ada")
    assert {len(pool.people()) for pool in pools} == {1}
    count = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name_of(url)}' AND application_name = 'facepool'"
    assert postgres.server().execute(count) == [(1,)]
    for pool in pools:
        pool.close()
    ends_at = time.monotonic() + 10
    while postgres.server().execute(count) != [(0,)]:
        assert time.monotonic() < ends_at


def test_each_change_is_announced_with_its_transaction(pool: Pool, url: str) -> None:
    pool.create("Ada")
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute("LISTEN facepool")
        pool.create("Bob")
        (heard,) = listener.notifies(timeout=10, stop_after=1)
    assert json.loads(heard.payload) == {"kind": "pool", "revision": pool.revision(), "schema": "public"}


def test_names_come_in_the_order_of_their_characters(pool: Pool, url: str) -> None:
    given = ["zoe", "Zoe", "Ärger", "ada", "李", "Ada", "_", "É"]
    for name in given:
        pool.create(name)
    assert [name for (name,) in execute(url, "SELECT name FROM persons ORDER BY name")] == sorted(given)


def test_a_pool_is_backed_up_into_a_file_and_restored_from_it(pool: Pool, tmp_path: Path) -> None:
    assert isinstance(pool, PostgresGallery)
    pool.register("Ada", samples(1, 2), space())
    pool.register("Bob", samples(3), space(), look_alikes=["Ada"])
    pool.set_calibration(MEASURED)
    ids = {template.id for template in pool.templates()}
    back_up(pool, tmp_path / "backup.db")
    with SqliteGallery(tmp_path / "backup.db") as copy:
        assert (copy.people(), copy.look_alikes()) == (pool.people(), pool.look_alikes())
        assert [template.uuid for template in copy.templates()] == [template.uuid for template in pool.templates()]
    pool.remove("Ada")
    pool.register("Eve", samples(4), space())
    Search(pool).index()
    with opened_backup(tmp_path / "backup.db", tmp_path) as backup:
        restore(pool, backup, with_erased=True)
    assert (names(pool), pool.calibration()) == ({"Ada": 2, "Bob": 1}, MEASURED)
    assert Search(pool).index().names == ("Ada", "Bob")
    assert {template.id for template in pool.templates()} == ids
    pool.register("Eve", samples(5), space())
    assert max(template.id for template in pool.templates()) > max(ids) + 1
    assert pool.templates("Ada")[1].sample.embedding.tolist() == unit(2).tolist()


def test_a_server_that_says_nothing_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "silence_s", 0.5)
    with wire_to(postgres.server().port) as wire:
        through = url.replace(str(postgres.server().port), str(wire.port))
        with open_pool(through, space()) as pool:
            pool.create("Ada")
            wire.hold()
            with pytest.raises(PoolUnreachable):
                pool.people()
            wire.release()
            wire.cut()
            assert names(pool) == {"Ada": 0}


def test_the_revision_is_not_waited_for_as_long_as_other_things(url: str) -> None:
    with wire_to(postgres.server().port) as wire:
        through = url.replace(str(postgres.server().port), str(wire.port))
        with open_pool(through, space(), timeout_s=1.0) as pool:
            pool.create("Ada")
            wire.hold()
            with pytest.raises(PoolUnreachable, match="nothing for 2 s"):
                pool.revision()
            wire.release()
            assert pool.revision() == 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT ? FROM persons WHERE name = ?", b"SELECT %s FROM persons WHERE name = %s"),
        ("SELECT '?' WHERE name LIKE 'a%' AND id % ? = 0", b"SELECT '?' WHERE name LIKE 'a%%' AND id %% %s = 0"),
    ],
)
def test_places_of_values_are_told_from_text(query: str, expected: bytes) -> None:
    assert in_psycopg(query, has_values=True) == expected
    assert in_psycopg(query, has_values=False) == query.encode()
