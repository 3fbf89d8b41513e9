"""A gallery in a PostgreSQL database, which many processes and machines may use at once."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

import numpy as np
import psycopg

from facepool.errors import OutcomeUnknown, PathMissing, PoolGone, PoolLocked, PoolUnreachable
from facepool.gallery.address import PostgresAddress
from facepool.gallery.base import OpenFiles
from facepool.gallery.checks import check_space, check_vectors, damaged, gallery_changed, index_busy
from facepool.gallery.columns import Changes, Numbers
from facepool.gallery.database import Database
from facepool.gallery.postgres_connection import (
    A_CHANGE,
    ONE_MOMENT,
    Connection,
    PostgresDatabase,
    Row,
    announce,
    connect,
    explained,
    make_schema,
    set_up,
    shared,
)
from facepool.gallery.postgres_schema import MIGRATIONS, NEAREST_INDEX, SERVER, check_version, migrate, version_of
from facepool.gallery.rows import columns_of, insertion, read_space
from facepool.gallery.schema import CONTENT, SEEN, brought_up_to_date, count_of, in_memory
from facepool.gallery.sql import WIPING_S, SqlGallery
from facepool.types import EmbeddingSpace, Floats, Indices

_ROWS_AT_ONCE = 8192
_COMMITS_KEPT = 10_000
"""So many changes may come between two looks of a process before it has to read everything anew."""
_FINDING_OUT_S = 6.0
"""How long to try to find out whether a change was stored whose commit was cut off."""
_PAUSE_S = 0.2
_ANSWER_S = 2.0
"""How long a server may take, at least, to tell the revision."""
_ABOUT = """
    SELECT current_setting('server_version'), (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
        pg_size_pretty(pg_database_size(current_database()))
"""
_MOMENT = """
    SELECT identity, revision, token, (SELECT commits.token FROM commits WHERE commits.revision = ?), current_schema()
    FROM state
"""
_COPY = """
    COPY (
        SELECT templates.id, samples.person_id, templates.embedding
        FROM templates JOIN samples ON samples.id = templates.sample_id WHERE templates.revision > {since:d}
    ) TO STDOUT (FORMAT BINARY)
"""
_HEAD = len(b"PGCOPY\n\xff\r\n\0") + 8
"""Bytes of a copy before its first row."""
_WIPED_OF_SIGHTINGS = ("sighting_keys", "sightings", "sighting_faces", "suggestions", "journal")
_WIPED = ("persons", "samples", "templates", "pictures", "look_alikes", "notices", "tags", *_WIPED_OF_SIGHTINGS)
_NUMBERED = ("unknown_groups", "sightings", "sighting_faces", "suggestions", "journal")
_SEQUENCES = ("persons", "samples", "templates", "consent_texts", "consents", *_NUMBERED)


class _History:
    """The changes of a pool that this process knows, which belong to one history.

    A server that takes over after a failover, or a restored backup, may lack changes that were seen here, and have
    others of the same numbers. What was made of the lost ones must not be searched: the pool gets other `OpenFiles`.

    Attributes:
        identity: Of the pool.
        files: Stands for this history.
    """

    def __init__(self, identity: bytes) -> None:
        self.identity = identity
        self.files = OpenFiles()
        self._lock = threading.Lock()
        self._tokens: dict[int, bytes] = {}
        self._newest = -1

    @property
    def newest(self) -> int:
        """The newest revision that was seen."""
        return self._newest

    def has(self, revision: int, token: bytes | None) -> bool:
        """Whether a revision of this token was seen in this history."""
        return token is not None and self._tokens.get(revision) == token

    def remember(self, revision: int, token: bytes) -> None:
        """Take note of a revision of an earlier moment, which says nothing of what the server has now."""
        with self._lock:
            self._tokens.setdefault(revision, token)

    def take(self, newest: int, revision: int, token: bytes, token_of_newest: bytes | None) -> None:
        """Take note of what the server says, after which nothing may be older than what was seen before.

        Args:
            newest: `newest` before the server was asked.
            revision: Its revision.
            token: The token of that.
            token_of_newest: The token that the server has of `newest`; None: it has none.
        """
        with self._lock:
            known = self._tokens.get(newest)
            is_older = known is not None and (revision < newest or token_of_newest != known)
            if is_older or self._tokens.get(revision, token) != token:
                self._tokens.clear()
                self._newest = -1
                self.files = OpenFiles()
            self._tokens[revision] = token
            self._newest = max(self._newest, revision)
            if len(self._tokens) > _COMMITS_KEPT:
                for old in sorted(self._tokens)[: _COMMITS_KEPT // 2]:
                    del self._tokens[old]


_HISTORIES: WeakValueDictionary[tuple[bytes, str], _History] = WeakValueDictionary()
_OF_ADDRESS: WeakValueDictionary[PostgresAddress, _History] = WeakValueDictionary()
_HISTORIES_LOCK = threading.Lock()


class PostgresGallery(SqlGallery):
    """A `Gallery` in the tables of a PostgreSQL schema.

    The tables are made when the first person is stored, and brought up to date by whoever comes first. A change takes
    the row of ``state`` first, so that changes follow each other, with their revisions and notices, and is announced
    on the channel ``facepool``. A connection that broke is replaced by the next call; a change that was cut off while
    it was being committed is looked for afterwards, so that the answer is the truth.

    Args:
        address: Of the database; the first schema of its search path is the pool's, and a collection has its own.
        space: What the caller's embeddings are; None: only what the pool itself says.
        must_exist: Whether a database without the tables is an error.
        timeout_s: How long to wait for the server, and for others who change the pool.

    Raises:
        ConfigError: The address cannot be read, or the database cannot keep a pool.
        PathMissing: There is no such database, or the pool must exist and does not.
        PoolUnreachable: The server does not answer, or does not let us in. Opening does not raise it where this process
            knows the pool already: searches go on with what they have.
        PoolTooNew: A newer facepool brought the tables up to date.
        PoolLocked: Others kept them locked for `timeout_s`.
        SpaceMismatch: The pool holds embeddings of another space.
    """

    def __init__(
        self,
        address: PostgresAddress,
        space: EmbeddingSpace | None = None,
        *,
        must_exist: bool = False,
        timeout_s: float = 5.0,
    ) -> None:
        super().__init__(address, space)
        self._where = address
        self._resources = ExitStack()
        self._connections = self._resources.enter_context(shared(address, timeout_s))
        self._timeout_s = timeout_s
        self._must_exist = must_exist
        self._closed = False
        self._lent: PostgresDatabase | None = None
        self._nothing: sqlite3.Connection | None = None
        self._no_files = OpenFiles()
        self._history = _OF_ADDRESS.get(address)
        self._shown: OpenFiles | None = None
        self._at_one_moment = False
        self._stored: tuple[int, bytes] | None = None
        try:
            self._open()
        except BaseException as error:
            if isinstance(error, PoolUnreachable) and self._history is not None:
                return
            self.close()
            raise

    def _open(self) -> None:
        with self._connected() as there:
            if self._must_exist and not self._has_pool(there):
                raise PathMissing(
                    f"The pool {self.address} does not exist",
                    why="its database has no tables of facepool in that schema",
                    fix="Register somebody first, or name another pool",
                )
            db: Database = there if self._has_pool(there) else self._empty()
            self._read_revision(db)
            check_space(self.address, read_space(db), self._offered)

    @property
    def open_files(self) -> OpenFiles:
        """The history of the pool, as the server last told it; or, while there is no pool, nothing that another has."""
        if self._closed:
            raise ValueError(f"the pool {self.address} is closed")
        if self._history is None:
            with self._reading() as db:
                self._read_revision(db)
        self._shown = self._no_files if self._history is None else self._history.files
        return self._shown

    def revision(self) -> int:
        """A number that differs after any process has changed the gallery.

        Once the server has turned out to have another history, it is one that the gallery never had, until `open_files`
        is asked again: what was made of the old history cannot be taken for the new.
        """
        with self._reading() as db:
            if not isinstance(db, PostgresDatabase):
                return self._read_revision(db)
            with db.patient(max(_ANSWER_S, self._timeout_s)):  # cameras ask before each frame
                revision = self._read_revision(db)
        return -1 - revision if self._shows_the_past else revision

    @property
    def _shows_the_past(self) -> bool:
        """Whether the server has turned out to have another history than that of the `open_files` last asked for."""
        current = self._no_files if self._history is None else self._history.files
        return self._shown not in (None, self._no_files, current)

    def changes(self, since: int | None = None) -> Changes:
        """What happened since a revision of the server's history; all that there is, where it was of another."""
        with self.reading() as db:
            if not isinstance(db, PostgresDatabase):
                return self._changes(db, None)
            identity, revision, token, token_of_since = self._moment(db, -1 if since is None else since)
            history = self._history
            if history is None or history.identity != identity:
                return self._changes(db, None)
            changes = self._changes(db, since if history.has(since or 0, token_of_since) else None)
            history.remember(revision, token)
            return changes

    def separate(self) -> Connection:
        """A connection for the caller alone, who closes it; in autocommit mode."""
        return connect(self._where, self._timeout_s)

    def about_server(self) -> str:
        """What keeps the pool: the versions of PostgreSQL and of pgvector, and how much room the database takes."""
        with self._connected() as db:
            version, extension, size = db.execute(_ABOUT).fetchone() or ("", None, "")
        return f"{version} with {'pgvector ' + extension if extension else 'no pgvector'}, the database has {size}"

    def close(self) -> None:
        """Let go of the database."""
        if self._closed:
            return
        self._closed = True
        self._history = self._shown = None
        self._no_files = OpenFiles()
        self._resources.close()

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """The tables, for several queries that see the gallery at one moment."""
        with self._reading() as db:
            if not isinstance(db, PostgresDatabase) or db.in_transaction:
                yield db
                return
            with db.transaction(ONE_MOMENT):
                self._at_one_moment = True
                try:
                    yield db
                finally:
                    self._at_one_moment = False

    @contextmanager
    def _reading(self) -> Iterator[Database]:
        with self._connected() as db:
            yield db if self._has_pool(db) else self._empty()

    @contextmanager
    def _writing(self) -> Iterator[Database]:
        with self._connected() as db:
            if not self._has_pool(db):
                self._check_wanted()
                self._bring_up_to_date(db)
            with db.transaction(A_CHANGE):
                for (schema,) in db.execute("SELECT current_schema() FROM state FOR UPDATE"):
                    db.check_schema(schema)  # others may have deleted it while we waited
                self._stored = None
                yield db
                self._commit(db)

    def revise(self, db: Database, expected_revision: int | None = None) -> int:
        """Say that a change is one of people; refused, too, where the expected revision is of another history."""
        of_the_past = expected_revision is not None and expected_revision >= 0
        if expected_revision is not None and expected_revision < 0:  # as `revision` says it of another history
            expected_revision = -1 - expected_revision
        revision = super().revise(db, expected_revision)
        if of_the_past and self._shows_the_past:
            raise gallery_changed(self.address)
        return revision

    @contextmanager
    def _connected(self) -> Iterator[PostgresDatabase]:
        """A connection for one call, or that of the call that this one is a part of."""
        if self._closed:
            raise ValueError(f"the pool {self.address} is closed")
        if self._lent is not None:
            yield self._lent
            return
        with self._explained(), self._connections.lent() as db:
            self._lent = db
            try:
                yield db
            except psycopg.errors.UndefinedTable:
                db.connection.has_pool = False
                raise
            finally:
                self._lent = None

    @contextmanager
    def index_turn(self, patience_s: float) -> Iterator[None]:
        """The turn of this process to bring an index up to date: among all that use the database."""
        key, ends_at_s = "hashtext('facepool.' || current_schema()), hashtext('indexes')", time.monotonic() + patience_s
        with self._connected() as db:
            # Who waits inside the database would hear of nothing else meanwhile.
            while not (db.execute(f"SELECT pg_try_advisory_lock({key})").fetchone() or [False])[0]:
                if time.monotonic() > ends_at_s:
                    raise index_busy(self.address)
                time.sleep(_PAUSE_S)
            try:
                yield
            finally:
                if not db.broken:
                    db.execute(f"SELECT pg_advisory_unlock({key})")

    def _explained(self) -> AbstractContextManager[None]:
        return explained(self._where)

    def _check_wanted(self) -> None:
        """Refuse to make tables anew that had to be there, and were.

        Raises:
            PoolGone: They had.
        """
        if self._must_exist:
            raise PoolGone(
                f"The pool {self.address} cannot be used",
                why="its tables were deleted",
                fix="Restore it from a backup",
            )

    def _empty(self) -> sqlite3.Connection:
        """Tables without anybody, while there are none in the database."""
        self._check_wanted()
        if self._nothing is None:
            self._nothing = self._resources.enter_context(closing(in_memory()))
        return self._nothing

    def _has_pool(self, db: PostgresDatabase) -> bool:
        """Whether the tables are there; those of an earlier version are brought up to date."""
        if db.connection.has_pool:
            return True
        version = version_of(db)
        check_version(version, MIGRATIONS, str(self.address))
        if 0 < version < len(MIGRATIONS):
            self._bring_up_to_date(db)
        db.connection.has_pool = version > 0
        return version > 0

    def _bring_up_to_date(self, db: PostgresDatabase) -> None:
        with db.transaction(A_CHANGE), db.patient():
            make_schema(db, self._where)
            migrate(db, MIGRATIONS, str(self.address))
            db.execute("COMMIT")
        set_up(db.connection, self._where, self._timeout_s)  # vectors may be known only now
        db.connection.has_pool = True

    def _read_revision(self, db: Database) -> int:
        """The revision, after what it says of the server's history was taken note of."""
        if not isinstance(db, PostgresDatabase):
            return super()._read_revision(db)
        while True:
            history, newest = self._history, -1 if self._history is None else self._history.newest
            identity, revision, token, token_of_newest = self._moment(db, newest)
            if self._at_one_moment:  # which may be over
                return revision
            if history is not None and history.identity == identity:
                history.take(newest, revision, token, token_of_newest)
                return revision
            self._history = self._history_of(db, identity)

    def _moment(self, db: PostgresDatabase, known: int) -> tuple[bytes, int, bytes, bytes | None]:
        """The pool's identity and revision, and its tokens of that and of another revision."""
        row = db.execute(_MOMENT, (known,)).fetchone()
        if row is None:
            raise damaged(self.address, "it does not say its revision")
        db.check_schema(row[4])
        return row[0], int(row[1]), row[2], row[3]

    def _history_of(self, db: PostgresDatabase, identity: bytes) -> _History:
        """What this process knows of a pool; copies of it have the same identity in databases of other names."""
        (place,) = db.execute("SELECT current_database() || ' ' || current_schema()").fetchone() or ("",)
        with _HISTORIES_LOCK:
            history = _HISTORIES.setdefault((identity, place), _History(identity))
            _OF_ADDRESS[self._where] = history
            return history

    def _write_revision(self, db: Database, revision: int) -> None:
        self._stored = revision, uuid4().bytes
        db.execute("UPDATE state SET revision = ?, token = ?", self._stored)
        db.execute("INSERT INTO commits (revision, token) VALUES (?, ?)", self._stored)
        db.execute("DELETE FROM commits WHERE revision <= ?", (revision - _COMMITS_KEPT,))

    def _before_commit(self) -> None:
        if self._lent is None or self._stored is None:
            return
        announce(self._lent, "pool", revision=self._stored[0])

    def _commit(self, db: PostgresDatabase) -> None:
        """Commit a change; where the connection broke meanwhile, find out what became of it."""
        try:
            db.execute("COMMIT")
        except psycopg.Error:
            if not db.broken or self._stored is None or not self._was_stored(*self._stored):
                raise

    def _was_stored(self, revision: int, token: bytes) -> bool:
        """Whether a change was stored.

        Raises:
            OutcomeUnknown: That could not be found out.
        """
        ends_at_s = time.monotonic() + _FINDING_OUT_S
        while True:
            try:
                with explained(self._where), self._connections.lent() as db, db.transaction(A_CHANGE):
                    db.execute("SELECT revision FROM state FOR UPDATE")  # the change itself may not be over yet
                    row = db.execute("SELECT token FROM commits WHERE revision = ?", (revision,)).fetchone()
                    return row is not None and row[0] == token
            except (PoolUnreachable, PoolLocked) as error:
                if time.monotonic() > ends_at_s:
                    raise OutcomeUnknown(
                        f"Nobody knows whether the change was stored in {self.address}",
                        why=f"the connection broke while it was being stored, and since then {error.why}",
                        fix="Look whether it is there before you repeat it",
                    ) from error
                time.sleep(_PAUSE_S)

    def _read_vectors(self, db: Database, since: int) -> tuple[Numbers, Indices, Floats]:
        """Numbers, rows of the owners, and vectors of the templates that are newer than a revision."""
        if not isinstance(db, PostgresDatabase):
            return super()._read_vectors(db, since)
        dimension = self._dimension(db) or 0
        (count,) = db.execute("SELECT count(*) FROM templates WHERE revision > ?", (since,)).fetchone() or (0,)
        ids, owners = np.empty(count, np.int64), np.empty(count, np.intp)
        vectors = np.empty((count, dimension), np.float32)
        first = 0
        for rows in _copied(db, since, dimension):
            part = slice(first, first + len(rows))
            if np.any(rows["dimension"] != dimension):
                raise damaged(self.address, f"it holds vectors that do not have {dimension} dimensions")
            ids[part], owners[part], vectors[part] = rows["id"], rows["person"], rows["vector"]
            first += len(rows)
        check_vectors(vectors, what=f"The pool {self.address} is damaged: its row")
        return ids, owners, vectors

    def copy_to(self, target: sqlite3.Connection, report: Callable[[int, int], None]) -> None:
        """Copy all tables as they are at one moment; others may change the gallery meanwhile.

        Args:
            target: An empty database.
            report: Is told how many rows are copied, of how many.
        """
        brought_up_to_date(target, 0)
        with self.reading() as db:
            if not isinstance(db, PostgresDatabase):
                return
            revision = self._read_revision(db)
            tables = (*CONTENT, *SEEN, "removed_templates")
            total, done = sum(count_of(db, table) for table in tables), 0
            target.execute("DELETE FROM inbox")
            for table in tables:
                columns = columns_of(target, table)
                for rows in db.in_parts(f"SELECT {', '.join(columns)} FROM {table}", _ROWS_AT_ONCE):  # noqa: S608 -- tables of ours
                    target.executemany(insertion(table, columns), rows)
                    done += len(rows)
                    report(done, total)
            target.execute("UPDATE state SET revision = ?", (revision,))

    def _replace_content(
        self,
        db: Database,
        source: sqlite3.Connection,
        revision: int,
        report: Callable[[int, int], None],
    ) -> None:
        self._drop_vector_index(db)
        super()._replace_content(db, source, revision, report)
        for table in _SEQUENCES:  # numbers are never used twice
            db.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table} "  # noqa: S608 -- tables of ours
                f"HAVING max(id) >= (SELECT last_value FROM {table}_id_seq)"
            )

    def _drop_vector_index(self, db: Database) -> None:
        db.execute(f"DROP INDEX IF EXISTS {NEAREST_INDEX}")

    def _next_ids(self, db: Database, table: str, count: int) -> Sequence[int]:
        query = "SELECT nextval(pg_get_serial_sequence(?, 'id')) FROM generate_series(1, ?)"
        return [number for (number,) in db.execute(query, (table, count))]

    def _insert_rows(self, db: Database, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        if isinstance(db, PostgresDatabase):
            db.copy_in(table, columns, rows)

    @property
    def has_logs(self) -> bool:
        """Whether a server keeps logs in the same schema."""
        with self._connected() as db:
            return version_of(db, SERVER) > 0

    def wipe(self, patience_s: float = WIPING_S) -> str:
        """Have the server reuse the room of what was erased, if anything was.

        Nothing shows it any more; what PostgreSQL keeps of it elsewhere, in its log, in replicas and in backups, is
        not ours to wipe.

        Args:
            patience_s: How long to wait for others.

        Returns:
            Why that could not be done yet; empty: it is done.
        """
        with self._reading() as db:
            if not isinstance(db, PostgresDatabase):
                return ""
            people = db.execute("SELECT erased, wiped FROM state").fetchone()
            of_sightings = db.execute("SELECT erased, wiped FROM inbox").fetchone()
            if people is None or of_sightings is None or not (_differ(people) or _differ(of_sightings)):
                return ""
            try:
                with self._explained(), db.waiting_for_locks(patience_s), db.patient():
                    tables = _WIPED if _differ(people) else _WIPED_OF_SIGHTINGS[:1]
                    db.execute(f"VACUUM {', '.join(tables)}")  # it passes over tables of other owners
                    db.execute("UPDATE state SET wiped = greatest(wiped, ?)", people[:1])
                    db.execute("UPDATE inbox SET wiped = greatest(wiped, ?)", of_sightings[:1])
            except PoolLocked as error:
                return error.why
        if _differ(people):
            self._remark("")
        return ""

    def _remark(self, traces: str) -> None:
        remark = (
            f"What was removed is gone from {self.address.name}; its server keeps traces in its write-ahead log, in "
            "replicas and in backups until they are renewed."
        )
        if traces:
            remark = f"The room of what was removed from {self.address.name} is not free yet: {traces}."
        self.remark(remark)


def _differ(erased_and_wiped: Row) -> bool:
    erased, wiped = erased_and_wiped
    return bool(erased != wiped)


def _copied(db: PostgresDatabase, since: int, dimension: int) -> Iterator[Any]:
    """Rows of templates newer than a revision, in parts, as arrays with the fields id, person, dimension and vector.

    PostgreSQL's binary form of a copy: a head, then in each row its number of fields and each field behind its length,
    big-endian; a vector is its dimension, two bytes of nothing, and its numbers.
    https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
    """
    row_type = np.dtype(
        [
            ("fields", ">i2"),
            ("id_bytes", ">i4"),
            ("id", ">i8"),
            ("person_bytes", ">i4"),
            ("person", ">i8"),
            ("vector_bytes", ">i4"),
            ("dimension", ">u2"),
            ("nothing", ">u2"),
            ("vector", ">f4", (dimension,)),
        ]
    )
    query = _COPY.format(since=int(since))
    size = row_type.itemsize
    waiting = bytearray()
    with db.connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
        head = _HEAD
        for data in copy:
            waiting += data
            if head and len(waiting) >= head:
                del waiting[:head]
                head = 0
            if not head and len(waiting) >= _ROWS_AT_ONCE * size:
                whole = len(waiting) // size * size
                yield np.frombuffer(bytes(waiting[:whole]), row_type)
                del waiting[:whole]
    yield np.frombuffer(bytes(waiting), row_type, len(waiting) // size)  # two bytes are left, the end
