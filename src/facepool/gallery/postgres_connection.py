"""Connections to PostgreSQL: how they are made, lent and replaced, and what the server's errors mean to a user.

Galleries borrow a connection for each call, so a process has as many as calls run at the same time, however many
galleries it has open. One that broke while nobody used it is replaced before anybody notices.
"""

import json
import math
import os
import re
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import psycopg
from pgvector.psycopg.vector import register_vector_info
from psycopg import sql
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ConnStatus, Format, TransactionStatus
from psycopg.types import TypeInfo

from facepool.errors import (
    ConfigError,
    DiskFull,
    FacepoolError,
    NotWritable,
    PathMissing,
    PoolCorrupt,
    PoolGone,
    PoolLocked,
    PoolUnreachable,
    StorageError,
)
from facepool.gallery.address import PostgresAddress
from facepool.gallery.database import Database

Row = tuple[Any, ...]
_T = TypeVar("_T")

CHANNEL = "facepool"
"""Where changes are announced: ``LISTEN facepool`` hears {"kind": "pool", "schema": ..., "revision": ...}, say."""
ONE_MOMENT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
"""How a transaction begins that reads everything as it is at one moment."""
A_CHANGE = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
"""How one begins that changes something."""
SILENCE_S = 30.0
"""How long a server may say nothing before it is taken for dead; what takes longer says so (`patient`)."""
_MOST_IDLE = 8
"""Connections that are kept for the next calls."""
_IDLE_S = 300.0
_ANSWER_S = 2.0
"""How long a server may take for a question that costs it nothing."""
_DEFAULTS: dict[str, str | int] = {
    "application_name": "facepool",
    "client_encoding": "utf8",
    "target_session_attrs": "read-write",
    # A machine that is gone is noticed within seconds, whether we wait for it or have sent something.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""What an address does not have to say; see libpq's documentation."""
_SETTINGS = {
    # A transaction of somebody who is gone keeps nobody waiting for long.
    "idle_in_transaction_session_timeout": "600000",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_SETTING_UP = """
    SELECT current_schema(), current_setting('server_encoding'), vector.oid, vector.typarray,
        set_config('search_path', concat_ws(', ', quote_ident(current_schema()), quote_ident(vector.nspname)), false),
        set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false),
        set_config('lock_timeout', ?, false), vector.nspname
    FROM (SELECT 1) AS one LEFT JOIN (
        SELECT pg_type.oid, pg_type.typarray, pg_namespace.nspname FROM pg_extension
        JOIN pg_namespace ON pg_namespace.oid = pg_extension.extnamespace
        JOIN pg_type ON pg_type.typnamespace = pg_namespace.oid AND pg_type.typname = 'vector'
        WHERE pg_extension.extname = 'vector'
    ) AS vector ON true
"""
_ENTERING = """
    SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = ?),
        (SELECT current_schema() FROM set_config('search_path', quote_ident(?), false)),
        (SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
            WHERE extname = 'vector')
"""
_WITH_VECTORS = """
    SELECT set_config('search_path', quote_ident(?) || ', ' || quote_ident(nspname), true)
    FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'
"""
_LONGEST_NAME = 63
"""Of a schema, in bytes: of one that is longer, PostgreSQL takes the beginning."""
_ANNOUNCE = "SELECT pg_notify(?, (?::jsonb || jsonb_build_object('schema', current_schema()))::text)"
_PLACES = re.compile(r"'[^']*'|\?|%")

_AGAIN = "Try again in a moment"
_REASONS: dict[str, tuple[type[FacepoolError], str, str]] = {
    "08": (PoolUnreachable, "the connection to its server is lost", _AGAIN),
    "25P03": (PoolUnreachable, "its server has ended what stood still for too long", _AGAIN),
    "25P04": (PoolUnreachable, "its server has ended what took too long", _AGAIN),
    "25006": (NotWritable, "its server lets this user read only", "Name the server that is written to"),
    "40": (PoolLocked, "another process is changing it", _AGAIN),
    "42501": (NotWritable, "its server does not allow this user to", "Let the owner of the database grant the right"),
    "42P01": (PoolGone, "its tables were deleted", "Restore it from a backup"),
    "42P07": (
        ConfigError,
        "its schema has tables of another program",
        "Make another schema and name it: ?options=-csearch_path%3Dfacepool",
    ),
    "53100": (DiskFull, "the disk of its server has no room left", "Free some space there; nothing was lost"),
    "53300": (PoolUnreachable, "its server has no connection left", "Raise its max_connections, or end other programs"),
    "53400": (DiskFull, "a limit of its server is reached", "Raise the limit that the server's log names"),
    "53": (PoolUnreachable, "its server is short of something", "Look into the server's log"),
    "55P03": (PoolLocked, "another process is changing it", "Try again, or end the other process"),
    "57014": (PoolLocked, "its server gave up after the time that it was given", "Try again, or give it more time"),
    "57P": (PoolUnreachable, "its server is ending or starting", _AGAIN),
    "58": (StorageError, "the disk of its server reports an error", "Look into the server's log"),
    "XX": (PoolCorrupt, "its server reports damage", "Look into the server's log; restore the database from a backup"),
}
"""By the server's code of an error (SQLSTATE), or how it begins: the longest that fits counts."""
_LOGIN = "Check the user and the password of the address, and the server's pg_hba.conf"
_REFUSALS: tuple[tuple[str, type[FacepoolError], str, str], ...] = (
    ("password authentication failed", PoolUnreachable, "its server does not accept the password", _LOGIN),
    ("no password supplied", PoolUnreachable, "its server asks for a password", _LOGIN),
    ("no pg_hba.conf entry", PoolUnreachable, "its server does not let this user in from here", _LOGIN),
    ('role ".*" does not exist', PoolUnreachable, "its server does not know the user", _LOGIN),
    (
        'database ".*" does not exist',
        PathMissing,
        "its server has no such database",
        "Make it (createdb), or name another one",
    ),
    ("starting up|not yet accepting", PoolUnreachable, "its server is starting", _AGAIN),
    ("recovery mode", PoolUnreachable, "its server is starting again after a crash", _AGAIN),
    ("shutting down", PoolUnreachable, "its server is ending", _AGAIN),
    ("too many (clients|connections)|connection slots", *_REASONS["53300"]),
    (
        "session is read-only|standby mode",
        PoolUnreachable,
        "none of its servers can be written to",
        "Name the one that can; to read only, add ?target_session_attrs=any to the address",
    ),
    ("Connection refused|No such file", PoolUnreachable, "no server answers there", "Start it, or check host and port"),
    ("(translate|resolve) host", PoolUnreachable, "the name of its host is not known", "Check the host of the address"),
    ("timeout", PoolUnreachable, "its server does not answer", "Check host and port, and the network"),
)
"""What servers and libpq say when there is no connection: a code does not reach us then."""


class _BytesOfVector(Loader):
    """Vectors as galleries know them, little-endian float32, from PostgreSQL's big-endian ones behind 4 other bytes."""

    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        return np.frombuffer(data, ">f4", offset=4).astype("<f4").tobytes()


class _Vector(bytes):
    """Stands for vectors where psycopg asks for a kind of value; rows of copies have plain bytes."""


class _VectorOfBytes(Dumper):
    """The other way round, where a copy says that a column has vectors."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> Buffer:
        vector = np.frombuffer(obj, "<f4")
        return struct.pack(">HH", len(vector), 0) + vector.astype(">f4").tobytes()


class Connection(psycopg.Connection[Row]):
    """A connection that gives up a server that says nothing for too long."""

    silence_s: float | None = SILENCE_S
    """How long it may; None: as long as it takes."""
    has_pool = False
    """Whether the tables of a pool of today's version were there when it was last looked."""
    schema = ""
    """Where the pool's tables are."""
    root = ""
    """Of a collection: the schema of the default one, beside which its own is."""
    vectors = ""
    """How types and operators of the extension begin for one that has not its schema in the search path."""
    may_stray = False
    """Whether another schema comes after it in the search path, in which another pool may have its tables."""

    def wait(self, gen: Generator[Any, Any, _T], interval: float = 0.1, timeout: float | None = None) -> _T:
        """Let a generator of psycopg come to its end."""
        if timeout is not None or self.silence_s is None:
            return super().wait(gen, interval, timeout)
        return super().wait(self._until_silence(gen, self.silence_s), interval)

    def _until_silence(self, gen: Generator[Any, Any, _T], silence_s: float) -> Generator[Any, Any, _T]:
        heard_at = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > silence_s:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the server has said nothing for {silence_s:.0f} s: timeout")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: _T = end.value
            return result


class PostgresDatabase:
    """A connection as a `Database`: what it finds is in PostgreSQL's binary form on the way, vectors are bytes."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def execute(self, query: str, values: Sequence[Any] = (), /) -> psycopg.Cursor[Row]:
        """Run a statement with values for its ``?``."""
        return self.connection.execute(in_psycopg(query, bool(values)), values or None, binary=True)

    def executemany(self, query: str, values: Iterable[Sequence[Any]], /) -> psycopg.Cursor[Row]:
        """Run a statement once for each of several rows of values."""
        cursor = self.connection.cursor()
        cursor.executemany(in_psycopg(query, has_values=True), values)
        return cursor

    def _stream(self, query: str, at_once: int) -> Iterator[Row]:
        with self.connection.cursor() as cursor:
            yield from cursor.stream(in_psycopg(query, has_values=False), binary=True, size=at_once)

    def copy_in(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Store many rows in the fastest way that PostgreSQL has; vectors are bytes."""
        names = ", ".join(columns)
        kinds = self.execute(f"SELECT {names} FROM {table} LIMIT 0").description or []  # noqa: S608 -- tables of ours
        query = f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)".encode()
        with self.connection.cursor() as cursor, cursor.copy(query) as copy:
            copy.set_types([kind.type_code for kind in kinds])
            for row in rows:
                copy.write_row(row)

    def in_parts(self, query: str, at_once: int) -> Iterator[list[Row]]:
        """The rows of a query, so many at a time; no more are in memory."""
        rows = self._stream(query, at_once)
        while part := list(islice(rows, at_once)):
            yield part

    def check_schema(self, current: object) -> None:
        """Refuse tables that were found in the schema of the extension after the pool's own was deleted.

        Args:
            current: What the server says now of the first schema of the search path that is there.

        Raises:
            PoolGone: That is not the pool's; the connection is closed.
        """
        if current != self.connection.schema:
            self.connection.close()
            raise _schema_gone(self.connection.schema)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun."""
        return self.connection.info.transaction_status != TransactionStatus.IDLE

    @property
    def broken(self) -> bool:
        """Whether the connection is lost."""
        return self.connection.closed

    @contextmanager
    def transaction(self, begin: str) -> Iterator[None]:
        """A transaction, which the block commits itself; whatever is left of it at the end is undone."""
        self.execute(begin)
        try:
            yield
        finally:
            self.undo()

    def undo(self) -> None:
        """Undo the transaction that has begun, if one has; a connection that cannot is closed."""
        if self.broken or not self.in_transaction:
            return
        try:
            self.execute("ROLLBACK")
        except psycopg.Error:
            self.connection.close()

    @contextmanager
    def patient(self, silence_s: float | None = None) -> Iterator[None]:
        """The server may say nothing for so long inside the block; None: as long as it takes."""
        before, self.connection.silence_s = self.connection.silence_s, silence_s
        try:
            yield
        finally:
            self.connection.silence_s = before

    @contextmanager
    def waiting_for_locks(self, patience_s: float) -> Iterator[None]:
        """Outside of transactions: wait so long for others who hold a lock, inside the block."""
        (before,) = self.execute("SELECT current_setting('lock_timeout')").fetchone() or ("0",)
        set_to = "SELECT set_config('lock_timeout', ?, false)"
        self.execute(set_to, (in_ms(patience_s),))
        try:
            yield
        finally:
            with suppress(psycopg.Error):
                self.execute(set_to, (before,))


def in_ms(patience_s: float) -> str:
    """A time as a setting of PostgreSQL's; never 0, which is no limit there."""
    return str(max(1, round(1000 * patience_s)))


def announce(db: Database, kind: str, **fields: int) -> None:
    """Tell everybody who listens on `CHANNEL`, if the transaction that this is a part of is committed."""
    db.execute(_ANNOUNCE, (CHANNEL, json.dumps({"kind": kind, **fields})))


@lru_cache(maxsize=512)
def in_psycopg(query: str, has_values: bool) -> bytes:  # noqa: FBT001 -- of a cache
    """A query with ``?`` as psycopg takes it; without values, it takes it as it is."""
    if not has_values:
        return query.encode()
    replacements = {"?": "%s", "%": "%%"}
    return _PLACES.sub(lambda found: replacements.get(found[0], found[0].replace("%", "%%")), query).encode()


def connect(address: PostgresAddress, timeout_s: float = 3.0) -> Connection:
    """A connection for the caller alone, in autocommit mode; the pool's schema comes first in its search path.

    Args:
        address: Where.
        timeout_s: How long to wait for each of its hosts, and later on for others who hold a lock.

    Raises:
        ConfigError: The address cannot be read, or the database not be used.
        PathMissing: The server has no such database.
        PoolUnreachable: No server answers, or none lets us in.
    """
    try:
        given = conninfo_to_dict(address.url)
    except psycopg.ProgrammingError:  # what it says may have any part of the address
        raise ConfigError(
            f"The address {address} cannot be read",
            why="libpq does not understand it",
            fix="Write it as postgresql://user@host/database; in a password, @ is %40, / is %2F and % is %25",
        ) from None
    timeout = {"connect_timeout": max(2, math.ceil(timeout_s))}  # 1 means 2 there
    with explained(address):
        connection = Connection.connect(make_conninfo("", **{**_DEFAULTS, **timeout, **given}), autocommit=True)
        try:
            set_up(connection, address, timeout_s)
        except BaseException:
            connection.close()
            raise
    return connection


def set_up(connection: Connection, address: PostgresAddress, timeout_s: float) -> None:
    """Make a connection ready for a pool: its schema, how long it waits for locks, and vectors where they are known."""
    db = PostgresDatabase(connection)
    schema, encoding, vector, vectors, *_, schema_of_vector = (
        db.execute(_SETTING_UP, (str(math.ceil(1000 * timeout_s)),)).fetchone() or ()
    )
    if schema is None:
        raise ConfigError(
            f"The pool {address} cannot be used",
            why="the schema that its address names is not there, or this user may not use it",
            fix="Make it first: CREATE SCHEMA ...",
        )
    if encoding != "UTF8":
        raise ConfigError(
            f"The pool {address} cannot be used",
            why=f"its database keeps text as {encoding}, which has no room for all names",
            fix="Make another database: createdb --encoding=UTF8 --template=template0",
        )
    connection.schema, connection.may_stray = str(schema), schema_of_vector not in (None, schema)
    if address.collection:
        _enter_collection(db, address, schema_of_vector)
    names = ", ".join("set_config(?, ?, false)" for _ in _SETTINGS)
    db.execute(f"SELECT {names}", [part for setting in _SETTINGS.items() for part in setting])
    if vector is not None:
        register_vector_info(connection, TypeInfo("vector", vector, vectors))
        connection.adapters.register_loader(vector, _BytesOfVector)
        connection.adapters.register_dumper(_Vector, type("_VectorDumper", (_VectorOfBytes,), {"oid": vector}))


def _enter_collection(db: PostgresDatabase, address: PostgresAddress, schema_of_vector: str | None) -> None:
    """Have a connection see the tables of a collection, and no others: where it has none, not those of the default one.

    Raises:
        NotWritable: This user may not use its schema.
        ConfigError: The name of its schema would be too long.
    """
    connection = db.connection
    connection.root = connection.root or connection.schema
    connection.schema, connection.may_stray = schema_of(connection.root, address), False
    is_there, current, vectors = db.execute(_ENTERING, (connection.schema, connection.schema)).fetchone() or ()
    connection.vectors = "" if schema_of_vector is None else f"{vectors}."
    if is_there and current is None:
        raise NotWritable(
            f"The pool {address} cannot be used",
            why=f"this user may not use its schema {connection.schema}",
            fix=f'Let its owner run: GRANT USAGE, CREATE ON SCHEMA "{connection.schema}" TO the user',
        )


def schema_of(root: str, address: PostgresAddress) -> str:
    """The schema of a collection, beside that of the default one; no name of a collection has a dot.

    Raises:
        ConfigError: It would be too long for PostgreSQL, which would cut it off.
    """
    schema = f"{root}.{address.collection}"
    if len(schema.encode()) > _LONGEST_NAME:
        raise ConfigError(
            f"The pool {address} cannot be used",
            why=f"its schema would be called {schema}, which is longer than {_LONGEST_NAME} bytes",
            fix="Choose a shorter name for the collection",
        )
    return schema


def make_schema(db: PostgresDatabase, address: PostgresAddress) -> None:
    """Make the schema of a collection where it has none, inside a transaction, in which it then knows vectors.

    Raises:
        NotWritable: This user may not.
    """
    connection = db.connection
    if not address.collection:
        return
    schema, root = connection.schema, connection.root
    db.execute("SELECT pg_advisory_xact_lock(hashtext('facepool'), hashtext(?))", (schema,))
    (is_there,) = db.execute("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = ?)", (schema,)).fetchone() or ()
    if not is_there:
        try:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        except psycopg.errors.InsufficientPrivilege as error:
            raise NotWritable(
                f"The collection {address.collection} cannot be made",
                why=f"it takes a schema of its own, {schema}, and the server does not allow this user to make one",
                fix=f'Let the owner of the database run: GRANT CREATE ON DATABASE "{connection.info.dbname}" TO '
                f'"{connection.info.user}"; or CREATE SCHEMA "{schema}" AUTHORIZATION "{connection.info.user}"',
            ) from error
    # In the schema of the default one: with that of the collection, its vectors would go for all.
    connection.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS vector SCHEMA {}").format(sql.Identifier(root)))
    db.execute(_WITH_VECTORS, (schema,))


class Connections:
    """The connections of a process to one address.

    Args:
        address: Where.
        timeout_s: As for `connect`.
    """

    def __init__(self, address: PostgresAddress, timeout_s: float) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self.users = 0
        self._schema = ""
        self._lock = threading.Lock()
        self._idle: list[tuple[float, Connection]] = []

    def close(self) -> None:
        """Close those that nobody uses now, and keep none any more."""
        with self._lock:
            self.users = 0
            left, self._idle = self._idle, []
        for _, connection in left:
            connection.close()

    @contextmanager
    def lent(self) -> Iterator[PostgresDatabase]:
        """A connection that nobody else uses inside the block, in autocommit mode."""
        connection = self._borrow() or self._connected()
        db = PostgresDatabase(connection)
        try:
            yield db
        finally:
            db.undo()
            self._take_back(connection)

    def _connected(self) -> Connection:
        connection = connect(self.address, self.timeout_s)
        self._schema = self._schema or connection.schema
        if connection.schema != self._schema:  # where the address names several
            connection.close()
            raise _schema_gone(self._schema)
        return connection

    def _borrow(self) -> Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                since, connection = self._idle.pop()
            if time.monotonic() - since < _IDLE_S and _is_alive(connection) and _has_schema(connection):
                return connection
            connection.close()

    def _take_back(self, connection: Connection) -> None:
        if connection.closed:
            return
        with self._lock:
            if self.users and len(self._idle) < _MOST_IDLE:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()


_SHARED: dict[tuple[PostgresAddress, float, int], Connections] = {}
_SHARED_LOCK = threading.Lock()


@contextmanager
def shared(address: PostgresAddress, timeout_s: float) -> Iterator[Connections]:
    """The connections that all galleries of an address share; the last one to leave the block closes them."""
    key = (address, timeout_s, os.getpid())
    with _SHARED_LOCK:
        connections = _SHARED.setdefault(key, Connections(address, timeout_s))
        connections.users += 1
    try:
        yield connections
    finally:
        with _SHARED_LOCK:
            connections.users -= 1
            if not connections.users:
                del _SHARED[key]
                connections.close()


def _is_alive(connection: Connection) -> bool:
    """Whether a connection that nobody has used for a while is one still, as far as this machine has heard."""
    with suppress(psycopg.Error):
        for _ in range(2):  # the server's last words, then the end
            connection.pgconn.consume_input()
        return connection.pgconn.status == ConnStatus.OK
    return False


def _schema_gone(schema: str) -> PoolGone:
    return PoolGone(
        "The pool cannot be used",
        why=f"its schema {schema} was deleted or has another place in the search path",
        fix="Restore the schema, or start facepool again",
    )


def _has_schema(connection: Connection) -> bool:
    """Whether the schema of the pool is still there, where the server would look for its tables in another one else."""
    if not connection.may_stray:
        return True
    db = PostgresDatabase(connection)
    with suppress(psycopg.Error), db.patient(_ANSWER_S):
        return db.execute("SELECT current_schema()").fetchone() == (connection.schema,)
    return False


@contextmanager
def explained(address: PostgresAddress) -> Iterator[None]:
    """Turn what psycopg raises inside the block into facepool's errors."""
    try:
        yield
    except psycopg.Error as error:
        explanation = explain(address, error)
        if explanation is None:
            raise
        raise explanation from error


def explain(address: PostgresAddress, error: psycopg.Error) -> FacepoolError | None:
    """What an error of PostgreSQL means to the user; None when it is no news about the database."""
    what = f"The pool {address} cannot be used"
    if _is_about_vectors(error):
        return ConfigError(what, why="its database does not have the extension vector (pgvector)", fix=_VECTOR)
    if isinstance(error, psycopg.DataError) and "NUL" in str(error):
        return ConfigError("A text cannot be used", why="it has the character U+0000", fix="Leave it out")
    if error.sqlstate is not None:
        reason = next(
            (_REASONS[error.sqlstate[:length]] for length in (5, 3, 2) if error.sqlstate[:length] in _REASONS), None
        )
        if reason is None:
            if error.sqlstate[:2] in _OURS:
                return None
            return StorageError(what, why=_said(address, error), fix="Look into the log of the database server")
        kind, why, fix = reason
        return kind(what, why=f"{why} ({_said(address, error)})", fix=fix)
    if not isinstance(error, psycopg.OperationalError):
        return None
    said = _said(address, error)
    for words, kind, why, fix in _REFUSALS:
        if re.search(words, said):
            return kind(what, why=f"{why} ({said})", fix=fix)
    return PoolUnreachable(what, why=f"its server cannot be reached ({said})", fix="Check the address and the server")


_OURS = frozenset({"22", "23", "42"})
"""Classes of errors that speak of a statement, so that the fault is facepool's: values, constraints, syntax."""
_VECTOR = (
    "Let an administrator of the server install pgvector, and then the owner of the database run: "
    "CREATE EXTENSION vector"
)
_ABOUT_VECTORS: tuple[Callable[[str, str], bool], ...] = (
    lambda state, said: state in ("58P01", "0A000", "42501") and 'extension "vector"' in said,
    lambda state, said: state == "42704" and "vector" in said,
)


def _is_about_vectors(error: psycopg.Error) -> bool:
    return any(is_one(error.sqlstate or "", str(error)) for is_one in _ABOUT_VECTORS)


def _said(address: PostgresAddress, error: psycopg.Error) -> str:
    """The words of an error in one line, without what is not shown of the address."""
    words = error.diag.message_primary or str(error)
    return address.without_secrets(" ".join(words.split()))
