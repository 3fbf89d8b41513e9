"""``facepool pool index``, and where a pool is searched, as a user is told."""

import pytest

from facepool.gallery import open_pool
from facepool.types import Sample
from support import postgres
from support.commands import Commands
from support.fake_analyzer import SPACE
from support.pools import unit


@pytest.mark.postgres
def test_an_index_is_made_once_told_and_dropped(facepool: Commands) -> None:
    url = postgres.new_database()
    with open_pool(url, SPACE) as pool:
        pool.register("Ada", [Sample(unit(1, SPACE.dimension))], SPACE)
    pool_of = ("--pool", url)
    assert facepool("pool", "index", *pool_of).out.endswith("is made\n")
    assert facepool("pool", "index", *pool_of).out.endswith("is there already\n")
    assert "searched in the database, by its index" in facepool("doctor", "--search", "database", *pool_of).out
    assert "searched in the memory of each process, exactly" in facepool("doctor", *pool_of).out
    (record,) = facepool("pool", "index", "--drop", "--json", *pool_of).records
    assert record["outcome"] == "dropped"
    assert "it has no index yet" in facepool("doctor", "--search", "database", *pool_of).out


@pytest.mark.postgres
def test_an_empty_pool_has_no_index(facepool: Commands) -> None:
    url = postgres.new_database()
    with open_pool(url) as pool:
        pool.create("Ada")
    outcome = facepool("pool", "index", "--pool", url)
    assert outcome.code == 2
    assert "No index can be made of an empty pool" in outcome.err


def test_a_file_needs_no_index_and_is_searched_in_memory(facepool: Commands) -> None:
    with open_pool(facepool.pool, SPACE) as pool:
        pool.register("Ada", [Sample(unit(1, SPACE.dimension))], SPACE)
    assert "needs no index" in facepool("pool", "index").err
    assert "cannot be searched in a database" in facepool("doctor", "--search", "database").out
