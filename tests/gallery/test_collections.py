"""Several collections in one gallery: each is a pool of its own, in files and in PostgreSQL."""

import os
import stat
from pathlib import Path

import pytest

from facepool.errors import CollectionExists, ConfigError, NotWritable, PoolGone, UnknownCollection
from facepool.gallery import Pool, open_pool
from facepool.gallery.address import PoolAddress, PostgresAddress
from facepool.gallery.collections import (
    DEFAULT,
    check_collection,
    collection_address,
    collections_in,
    create_collection,
    delete_leftovers,
    has_collection,
    remove_collection,
)
from facepool.gallery.postgres import PostgresGallery
from facepool.search import Search, SearchChoice, choose, hnsw
from support import postgres
from support.pools import POSTGRES, place, samples, space, unit, units

BACKENDS = ("pool.db", pytest.param(POSTGRES, marks=pytest.mark.postgres))


@pytest.fixture(params=BACKENDS)
def gallery(tmp_path: Path, request: pytest.FixtureRequest) -> PoolAddress:
    return place(tmp_path, request.param)


def opened(gallery: PoolAddress, name: str) -> Pool:
    return open_pool(gallery, space(), collection=name)


def names(gallery: PoolAddress, name: str) -> list[str]:
    with opened(gallery, name) as pool:
        return [person.name for person in pool.people()]


def test_a_gallery_begins_with_its_default_collection(gallery: PoolAddress) -> None:
    assert collections_in(gallery) == [DEFAULT]
    assert has_collection(gallery, DEFAULT)
    assert collection_address(gallery, DEFAULT) == gallery
    assert not has_collection(gallery, "staff")
    assert names(gallery, "staff") == []
    assert collections_in(gallery) == [DEFAULT]  # looking makes none


def test_who_is_in_one_is_in_no_other(gallery: PoolAddress) -> None:
    with opened(gallery, DEFAULT) as default, opened(gallery, "staff") as staff, opened(gallery, "guests") as guests:
        default.register("Ada", samples(1), space())
        staff.register("Bob", samples(2), space())
        assert collections_in(gallery) == [DEFAULT, "staff"]
        guests.register("Ada", samples(3, 4), space())
        assert collections_in(gallery) == [DEFAULT, "guests", "staff"]
        for pool, name, own, others in (
            (default, "Ada", 1, (2, 3)),
            (staff, "Bob", 2, (1, 3)),
            (guests, "Ada", 3, (1, 2)),
        ):
            assert [person.name for person in pool.people()] == [name]
            search = Search(pool)
            assert search.nearest(unit(own)[None]).candidates[0][0].similarity == pytest.approx(1)
            for seed in others:
                (candidates,) = search.nearest(unit(seed)[None]).candidates
                assert [candidate.person for candidate in candidates] == [name]
                assert candidates[0].similarity < 0.99
        ids = {pool.people()[0].id for pool in (default, staff, guests)}
        assert len(ids) == 3
        staff.remove("Bob")
        assert names(gallery, DEFAULT) == ["Ada"]
        assert len(guests.templates("Ada")) == 2


def test_one_that_is_made_is_empty_and_one_that_is_there_is_not_made_again(gallery: PoolAddress) -> None:
    address = create_collection(gallery, "staff")
    assert collections_in(gallery) == [DEFAULT, "staff"]
    assert "staff" in str(address)
    assert names(gallery, "staff") == []
    with pytest.raises(CollectionExists):
        create_collection(gallery, "staff")
    with pytest.raises(CollectionExists):
        create_collection(gallery, DEFAULT)


def test_one_that_is_removed_leaves_the_others_and_nothing_of_its_own(gallery: PoolAddress, tmp_path: Path) -> None:
    for name in (DEFAULT, "staff", "staff-2"):
        with opened(gallery, name) as pool:
            pool.register("Ada", samples(1), space())
    with opened(gallery, "staff") as open_one:
        remove_collection(gallery, "staff")
        with pytest.raises(PoolGone):
            open_one.people()
    assert collections_in(gallery) == [DEFAULT, "staff-2"]
    assert names(gallery, DEFAULT) == names(gallery, "staff-2") == ["Ada"]
    assert names(gallery, "staff") == []
    assert not list(tmp_path.rglob("staff.*"))
    with pytest.raises(UnknownCollection, match="default, staff-2"):
        remove_collection(gallery, "staff")
    with pytest.raises(ConfigError, match="default"):
        remove_collection(gallery, DEFAULT)
    assert create_collection(gallery, "staff") == collection_address(gallery, "staff")
    assert names(gallery, "staff") == []


@pytest.mark.parametrize(
    "name", ["", "Staff", "a b", "../x", "a/b", "a.b", "-a", "_a", "a" * 41, "ä", "nul", "com1", "a\n", 'a"b', "a%b"]
)
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be called"):
        check_collection(name)
    with pytest.raises(ConfigError):
        collection_address(Path("pool.db"), name)


def test_a_pair_of_npy_files_has_one_collection_only(tmp_path: Path) -> None:
    pair = tmp_path / "model_faces.npy"
    assert collections_in(pair) == [DEFAULT]
    assert collection_address(pair, DEFAULT) == pair
    with pytest.raises(ConfigError, match=r"room for one collection only.*people export"):
        open_pool(pair, space(), collection="staff")
    with pytest.raises(ConfigError, match="room for one"):
        create_collection(pair, "staff")


def test_what_a_killed_process_left_of_one_is_gone_with_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "pool.collections"
    folder.mkdir()
    for ending in (".db-wal", ".server.db", ".db.index"):
        (folder / f"staff{ending}").write_bytes(b"faces of before")
    (folder / "staff-2.db.index").write_bytes(b"of another")
    create_collection(tmp_path / "pool.db", "staff")
    assert names(tmp_path / "pool.db", "staff") == []
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith("staff.db")) == [
        "staff-2.db.index"
    ]


def test_what_whoever_had_one_open_has_written_since_is_deleted(tmp_path: Path) -> None:
    pool = tmp_path / "pool.db"
    address = create_collection(pool, "staff")
    assert isinstance(address, Path)
    image = address.with_name("staff.db.index")
    image.write_bytes(b"names and vectors")
    delete_leftovers(pool, "staff")
    assert image.exists()  # it is the index of one that is there
    remove_collection(pool, "staff")
    image.write_bytes(b"names and vectors")
    delete_leftovers(pool, "staff")
    assert not image.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_files_of_collections_are_for_their_owner_only(tmp_path: Path) -> None:
    address = create_collection(tmp_path / "pool.db", "staff")
    assert isinstance(address, Path)
    assert stat.S_IMODE(address.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(address.stat().st_mode) == 0o600


@pytest.mark.postgres
def test_the_extension_stays_where_it_is_and_the_database_searches_a_collection(tmp_path: Path) -> None:
    gallery = place(tmp_path, POSTGRES)
    with opened(gallery, DEFAULT) as default, opened(gallery, "staff") as staff:
        default.register("Ada", samples(1), space())
        staff.register("Bob", samples(*range(2, 9)), space())
        for pool, name in ((default, "Ada"), (staff, "Bob")):
            choose(pool, SearchChoice("database"))
            for indexed in (False, True):
                if indexed:
                    assert isinstance(pool, PostgresGallery)
                    assert hnsw.make_index(pool)
                (found,) = Search(pool).nearest(units(1, seed=99)).candidates
                assert [candidate.person for candidate in found] == [name]
    remove_collection(gallery, "staff")
    assert names(gallery, DEFAULT) == ["Ada"]


@pytest.mark.postgres
def test_two_galleries_of_one_database_share_no_collections() -> None:
    url = postgres.new_database()
    postgres.server().execute("CREATE SCHEMA site", url.rpartition("/")[2])
    here, there = PostgresAddress(url), PostgresAddress(f"{url}?options=-csearch_path%3Dsite")
    with opened(here, "staff") as pool:
        pool.register("Ada", samples(1), space())
    assert (collections_in(here), collections_in(there)) == ([DEFAULT, "staff"], [DEFAULT])
    with opened(there, "staff") as pool:
        assert pool.people() == []
        pool.register("Bob", samples(2), space())
    assert names(here, "staff") == ["Ada"]
    schemas = postgres.server().execute(
        "SELECT nspname FROM pg_namespace WHERE nspname ~ 'staff'", url.rpartition("/")[2]
    )
    assert sorted(schemas) == [("public.staff",), ("site.staff",)]


@pytest.mark.postgres
def test_a_user_who_may_make_no_schema_is_told_which_right_is_missing() -> None:
    url = postgres.new_database()
    database = url.rpartition("/")[2]
    with opened(PostgresAddress(url), DEFAULT) as pool:
        pool.register("Ada", samples(1), space())
    locked = postgres.LOCKED_USER
    mine = PostgresAddress(postgres.server().url(database, locked, postgres.PASSWORD))
    with opened(mine, "staff") as pool:
        assert pool.people() == []
        with pytest.raises(NotWritable) as refused:
            pool.register("Bob", samples(2), space())
        assert f'GRANT CREATE ON DATABASE "{database}" TO "{locked}"' in refused.value.fix
        assert f'CREATE SCHEMA "public.staff" AUTHORIZATION "{locked}"' in refused.value.fix
        assert postgres.PASSWORD not in str(refused.value)
    postgres.server().execute('CREATE SCHEMA "public.staff"', database)
    with pytest.raises(NotWritable) as hidden:
        opened(mine, "staff")
    assert "GRANT USAGE, CREATE ON SCHEMA" in hidden.value.fix
    postgres.server().execute(f'ALTER SCHEMA "public.staff" OWNER TO {locked}', database)
    with opened(mine, "staff") as pool:
        pool.register("Bob", samples(2), space())
    assert collections_in(mine) == [DEFAULT, "staff"]


@pytest.mark.postgres
def test_a_name_that_postgresql_would_cut_off_is_refused() -> None:
    url, long = postgres.new_database(), "s" * 40
    postgres.server().execute(f"CREATE SCHEMA {long}", url.rpartition("/")[2])
    with pytest.raises(ConfigError, match="longer than 63 bytes"):
        opened(PostgresAddress(f"{url}?options=-csearch_path%3D{long}"), "t" * 30)
