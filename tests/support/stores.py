"""What a server keeps beside a pool, as tests need it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from facepool.gallery.address import PoolAddress, pool_address
from facepool.web.services.store import ServerStore, open_store
from facepool.web.services.store.sqlite import MIGRATIONS
from support import postgres

KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
Open = Callable[[], ServerStore]


def fresh_address(kind: str, folder: Path) -> PoolAddress:
    """Where a pool may be that is not there yet."""
    return folder / "pool.db" if kind == "sqlite" else pool_address(postgres.new_database())


@contextmanager
def stores_of(address: PoolAddress) -> Iterator[Open]:
    """Opens what is kept of a pool, as each of several processes does."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(closing(open_store(address)))


@contextmanager
def store_of_version(path: Path, version: int) -> Iterator[sqlite3.Connection]:
    """A file of keys and logs as an earlier facepool made it, open for what it is to have in it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for migration in MIGRATIONS[:version]:
            for statement in migration.split(";\n"):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {version}")
        yield db
