"""What the server keeps beside the pool: keys, sessions, the audit log, the activity, and what was set on the page.

A pool in a file has it in another file (`store.sqlite`), encrypted with the same key if that is; a pool in PostgreSQL
in the same database (`store.postgres`).
"""

from facepool import extras
from facepool.gallery.address import PoolAddress, PostgresAddress, at
from facepool.gallery.notices import logs_beside as store_beside
from facepool.gallery.notices import now
from facepool.web.services.store.base import LAST, Row, ServerStore, StoreGone, insert_entry
from facepool.web.services.store.sqlite import SqliteStore

__all__ = [
    "LAST",
    "Row",
    "ServerStore",
    "SqliteStore",
    "StoreGone",
    "insert_entry",
    "name_of_store",
    "now",
    "open_store",
    "store_beside",
]


def name_of_store(pool: PoolAddress) -> str:
    """What is kept beside a pool is called, for messages."""
    return f"{pool.name} (keys and logs)" if isinstance(pool, PostgresAddress) else store_beside(pool).name


def open_store(pool: PoolAddress) -> ServerStore:
    """What a server keeps beside a pool; made where there is none.

    Raises:
        FacepoolError: It cannot be used.
    """
    if isinstance(pool, PostgresAddress):
        extras.require("postgres")
        from facepool.web.services.store.postgres import PostgresStore  # noqa: PLC0415 -- an extra

        return PostgresStore(pool, name_of_store(pool))
    return SqliteStore(at(store_beside(pool), pool))
