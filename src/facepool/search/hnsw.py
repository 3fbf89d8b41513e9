"""The index in PostgreSQL by which ``pgvector`` searches: made once, while others go on to use the gallery.

It holds vectors in half precision, so it is smaller than the table; whatever it finds is compared again by the table's
own vectors. A gallery has none until one is made: with it every new template takes about a millisecond more.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager

import psycopg

from facepool.errors import ConfigError
from facepool.gallery import Gallery
from facepool.gallery.address import PostgresAddress
from facepool.gallery.base import Report
from facepool.gallery.database import Database
from facepool.gallery.postgres import PostgresGallery
from facepool.gallery.postgres_connection import Connection, explained
from facepool.gallery.postgres_schema import NEAREST_INDEX
from facepool.gallery.sql import SqlGallery
from facepool.search.known import in_database, known_of

WORTH_IT = 20_000
"""Templates below which looking at all of them is as fast."""
LINKS, BUILD_LINKS = 24, 128
"""``m`` and ``ef_construction``; ``benchmarks/database_search.py`` has what others find and take."""
_MEMORY_MB = 2048
"""What making the index may take of the server's memory at most; beyond that it goes on, slower."""
_WORKERS = 4
_LOOK_EVERY_S = 0.5
_PARALLEL = "max_parallel_maintenance_workers"
_STATE = """
    SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relname = ? AND relnamespace = quote_ident(current_schema())::regnamespace
"""
_PROGRESS = """
    SELECT coalesce(tuples_done, 0), coalesce(tuples_total, 0) FROM pg_stat_progress_create_index
    WHERE relid = 'templates'::regclass ORDER BY index_relid LIMIT 1
"""


def is_ready(db: Database) -> bool:
    """Whether there is an index that is whole."""
    row = db.execute(_STATE, (NEAREST_INDEX,)).fetchone()
    return bool(row and row[0])


def progress(db: Database) -> tuple[int, int] | None:
    """How many templates are in an index that is made just now, by anybody, and of how many; None: none is."""
    row = db.execute(_PROGRESS).fetchone()
    return None if row is None else (int(row[0]), int(row[1]))


def describe(gallery: SqlGallery) -> str:
    """By what a gallery is searched in its database."""
    with gallery.reading() as db:
        if is_ready(db):
            return "by its index (HNSW), candidates compared again"
        making = progress(db)
    if making is None:
        return "by looking at everybody: it has no index yet, which facepool pool index makes"
    done, total = making
    return f"by looking at everybody, while its index is made ({done / max(1, total):.0%})"


def is_wanted(gallery: Gallery) -> bool:
    """Whether a gallery is searched in its database, and is large enough for an index that it does not have.

    Not one that has an index beside it, and is searched in its database while that is away.
    """
    known = known_of(gallery)
    if known.beside is not None or not known.is_in_database(gallery) or known.choice.exact:
        return False
    with in_database(gallery).reading() as db:
        (templates,) = db.execute("SELECT count(*) FROM templates").fetchone()
        return int(templates) >= WORTH_IT and not is_ready(db)


def make_index(gallery: PostgresGallery, report: Report = lambda _done, _total: None) -> bool:
    """Make the index, unless there is one; where somebody else does so already, wait for that.

    Nobody waits for this: the gallery can be read and changed meanwhile. What was begun and cut off is begun anew.

    Args:
        gallery: Of at least one template.
        report: Is told how far it is.

    Returns:
        Whether it was made here.

    Raises:
        ConfigError: The gallery is empty, so that nobody knows how long its vectors are, or they are too long.
    """
    dimension = gallery.dimension
    if not dimension:
        raise ConfigError("No index can be made of an empty pool", fix="Register somebody first")
    with _explained(gallery) as connection, ThreadPoolExecutor(1) as beside:
        making = beside.submit(_make, connection, dimension)
        try:
            while not wait([making], _LOOK_EVERY_S).done:
                with gallery.reading() as db:
                    report(*(progress(db) or (0, 0)))
        except BaseException:  # Ctrl-C, too
            connection.cancel_safe()
            raise
        return making.result()


def drop_index(gallery: PostgresGallery) -> None:
    """Do without the index, for example while millions of templates are added."""
    with _explained(gallery) as connection:
        connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {NEAREST_INDEX}")


@contextmanager
def _explained(gallery: PostgresGallery) -> Iterator[Connection]:
    """A connection for what takes as long as it takes."""
    address = gallery.address
    if not isinstance(address, PostgresAddress):
        raise TypeError(f"{address} is a file")
    with explained(address), closing(gallery.separate()) as connection:
        connection.silence_s = None
        yield connection


def _is_alone(connection: Connection) -> bool:
    """Take the lock of those who make an index, which goes with the connection."""
    query = "SELECT pg_try_advisory_lock(hashtext('facepool.' || current_schema()), hashtext(%s))"
    row = connection.execute(query, (NEAREST_INDEX,)).fetchone()
    return row is not None and bool(row[0])


def _make(connection: Connection, dimension: int) -> bool:
    while not _is_alone(connection):  # who waits inside the database would keep the other one from ending
        time.sleep(_LOOK_EVERY_S)
    row = connection.execute(_STATE.replace("?", "%s"), (NEAREST_INDEX,)).fetchone()
    if row is not None and row[0]:
        return False
    if row is not None:
        connection.execute(f"DROP INDEX CONCURRENTLY {NEAREST_INDEX}")
    connection.execute(f"SET maintenance_work_mem = '{_MEMORY_MB}MB'")
    connection.execute(f"SET {_PARALLEL} = {_WORKERS}")
    create = (
        f"CREATE INDEX CONCURRENTLY {NEAREST_INDEX} ON templates "
        f"USING hnsw ((embedding::{connection.vectors}halfvec({dimension})) {connection.vectors}halfvec_ip_ops) "
        f"WITH (m = {LINKS}, ef_construction = {BUILD_LINKS})"
    )
    try:
        connection.execute(create)
    except psycopg.errors.DiskFull:  # /dev/shm is small in containers, and takes what several workers share
        connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {NEAREST_INDEX}")
        connection.execute(f"SET {_PARALLEL} = 0")
        connection.execute(create)
    return True
