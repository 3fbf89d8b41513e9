"""What a server keeps beside a pool, as tests need it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from facepool.web.services.store.sqlite import MIGRATIONS


@contextmanager
def store_of_version(path: Path, version: int) -> Iterator[sqlite3.Connection]:
    """A file of keys and logs as an earlier facepool made it, open for what it is to have in it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for migration in MIGRATIONS[:version]:
            for statement in migration.split(";\n"):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {version}")
        yield db
