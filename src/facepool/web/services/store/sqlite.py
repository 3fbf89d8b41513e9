"""What the server keeps beside a pool in a file: another SQLite file, encrypted with the key of the pool if it has one.

The logins of cameras are in a file beside it, so that no copy of keys and logs has them; in one that is encrypted they
are in a table, as a file of their own would be the only one that anybody can read.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from facepool.errors import FacepoolError, PoolTooNew
from facepool.files import make_private, storage_errors
from facepool.gallery import driver
from facepool.gallery.address import FileAddress, key_of, path_of
from facepool.gallery.connection import SMALL_LOG, explained, file_number
from facepool.gallery.database import Database
from facepool.gallery.driver import Connection
from facepool.web.services.secrets import CameraSecrets, SecretsFile, SecretsTable
from facepool.web.services.store.base import ERASURES, Kind, ServerStore, StoreGone, erasures_in
from facepool.web.services.writing import PATIENCE_S

_SCHEMA = """
CREATE TABLE keys (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    last_used_at TEXT
) STRICT;
CREATE TABLE sessions (
    digest BLOB PRIMARY KEY,
    key_id INTEGER NOT NULL REFERENCES keys ON DELETE CASCADE,
    ends_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    caller TEXT NOT NULL,
    action TEXT NOT NULL,
    person TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE TABLE activity (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    event TEXT NOT NULL,
    person TEXT,
    previous TEXT,
    source TEXT NOT NULL,
    similarity REAL
) STRICT;
CREATE INDEX activity_of ON activity (person, id);
CREATE TABLE kept (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""
_IDS_OF_PEOPLE = """
ALTER TABLE audit ADD COLUMN person_id TEXT;
ALTER TABLE activity ADD COLUMN person_id TEXT;
"""
_IDS_OF_EVENTS = "ALTER TABLE activity ADD COLUMN event_id TEXT"
_VISITS = """
ALTER TABLE activity ADD COLUMN visit INTEGER;
CREATE INDEX activity_of_source ON activity (source, id);
UPDATE activity SET visit = id WHERE event IN ('recognized', 'changed');
UPDATE activity SET visit = coalesce((
    SELECT found.id FROM activity found WHERE found.person = activity.person AND found.source = activity.source
        AND found.id < activity.id AND found.visit IS NOT NULL ORDER BY found.id DESC LIMIT 1
), id) WHERE event = 'lost';
UPDATE activity SET visit = coalesce((
    SELECT found.visit FROM activity found WHERE found.source = activity.source AND found.id > activity.id
        AND found.event IN ('recognized', 'changed')
        AND found.at <= strftime('%Y-%m-%dT%H:%M:%S', activity.at, '+10 seconds')
        ORDER BY found.id LIMIT 1
), id) WHERE visit IS NULL;
CREATE INDEX activity_of_visit ON activity (visit);
CREATE INDEX activity_of_person_id ON activity (person_id, id)
"""
_TOLD = "CREATE TABLE IF NOT EXISTS told (notice TEXT PRIMARY KEY) STRICT, WITHOUT ROWID"
_NAMES_AS_IN_POSTGRESQL = """
ALTER TABLE keys RENAME TO server_keys;
ALTER TABLE sessions RENAME TO server_sessions;
ALTER TABLE audit RENAME TO server_audit;
ALTER TABLE activity RENAME TO server_activity;
ALTER TABLE kept RENAME TO server_kept;
ALTER TABLE told RENAME TO server_told;
CREATE INDEX activity_of_event ON server_activity (event_id)
"""
_NAMED_LATER = """
ALTER TABLE server_activity ADD COLUMN sighting TEXT;
ALTER TABLE server_activity ADD COLUMN named_at TEXT;
ALTER TABLE server_activity ADD COLUMN corrected_at TEXT;
CREATE INDEX activity_of_sighting ON server_activity (sighting);
ALTER TABLE server_keys ADD COLUMN collections TEXT NOT NULL DEFAULT ''
"""
_LIVENESS = """
CREATE TABLE server_liveness (
    id TEXT PRIMARY KEY,
    client TEXT NOT NULL,
    drawn_at REAL NOT NULL,
    ends_at REAL NOT NULL,
    state TEXT NOT NULL,
    digest BLOB,
    seen BLOB,
    space TEXT,
    result TEXT
) STRICT;
CREATE INDEX liveness_of_client ON server_liveness (client);
ALTER TABLE server_activity ADD COLUMN liveness TEXT;
ALTER TABLE server_audit ADD COLUMN liveness TEXT
"""
_SECRETS = "CREATE TABLE server_secrets (shown TEXT PRIMARY KEY, whole TEXT NOT NULL) STRICT, WITHOUT ROWID"
MIGRATIONS = (
    _SCHEMA,
    _IDS_OF_PEOPLE,
    _IDS_OF_EVENTS,
    _VISITS,
    _TOLD,
    _NAMES_AS_IN_POSTGRESQL,
    _NAMED_LATER,
    _LIVENESS,
    _SECRETS,
)
"""What takes the file from version n to n + 1. Append only: files of every earlier version are out there."""

_READERS_KEPT = 8


class SqliteStore(ServerStore):
    """One SQLite file, readable by its owner only; any thread may use it.

    Who reads waits for nobody who writes: readers have connections of their own. Those who write do so one at a time,
    and wait `patience_s` for each other and for other programs. The file is watched: once it was deleted or replaced,
    nothing is read or written until it is back or another store is made.

    Args:
        file: The file, with its key if it is encrypted; made with its tables where there is none.
        patience_s: How long a writer waits.

    Raises:
        NotWritable: It cannot be made.
        PoolCorrupt: It is no SQLite file.
        KeyNeeded: It is encrypted, and there is no key.
        WrongKey: It is encrypted with another key.
        PoolNotEncrypted: It is not, and there is a key.
        PoolTooNew: A newer facepool wrote it.
    """

    each_text = "SELECT value FROM json_each(?)"

    def __init__(self, file: FileAddress, *, patience_s: float = PATIENCE_S) -> None:
        path = path_of(file)
        super().__init__(path.name, "the file of keys and logs", patience_s)
        self.path = path
        self._address = file
        logins = SecretsFile(path.with_suffix(".secrets"))
        self.secrets: CameraSecrets = logins if key_of(file) is None else SecretsTable()
        self._free: list[Connection] = []
        self._free_lock = threading.Lock()
        self._watching = threading.Lock()
        with storage_errors(path, "cannot be used"):
            make_private(path)
        with explained(file):
            self._db = self._connect("journal_mode = WAL", "foreign_keys = ON", "secure_delete = ON", *SMALL_LOG)
            self._watcher = self._connect("query_only = ON")
        self._file = file_number(path)
        self._bring_up_to_date()
        self._put_in_place(logins)

    @contextmanager
    def transaction(self, *, patience_s: float | None = None) -> Iterator[Connection]:
        """One change, undone by whatever is raised inside.

        Args:
            patience_s: How long to wait for others who write; None: as the store was made.

        Raises:
            PoolLocked: Somebody else writes for longer.
            StoreGone: The file was deleted or replaced; nothing was changed.
        """
        ends_at_s = time.monotonic() + (self._patience_s if patience_s is None else patience_s)
        with self._alone(ends_at_s), explained(self._address):
            self._check_file()
            _wait_until(self._db, ends_at_s)
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._check_file()  # again: it may have waited
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite undoes by itself where the disk failed
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees what was committed, for this block alone.

        Raises:
            StoreGone: The file was deleted or replaced.
        """
        self._check_file()
        with self._free_lock:
            db = self._free.pop() if self._free else None
        with explained(self._address):
            db = db or self._connect("query_only = ON")
            try:
                yield db
            finally:
                with self._free_lock:
                    keep = len(self._free) < _READERS_KEPT
                    if keep:
                        self._free.append(db)
                if not keep:
                    db.close()

    def changes(self) -> int:
        """A number that differs after anybody has written anything, other processes included; cheap."""
        self._check_file()
        with self._watching, explained(self._address):
            (number,) = self._watcher.execute("PRAGMA data_version").fetchone()
            return int(number)

    def look_again(self) -> None:
        """Nothing to do: SQLite is asked each time."""

    def announce(self, db: Database, kind: Kind) -> None:
        """Nothing to do: one process has the cameras and the settings of a file."""

    def wipe(self, patience_s: float = 1.0) -> str:
        """Leave no trace of what was erased in the file or its log, if that is owed.

        Args:
            patience_s: How long to wait for others, at each step.

        Returns:
            Why traces may remain, which stays owed; empty: they do not.
        """
        with self.reading() as db:
            erasures = erasures_in(db)
        if erasures["erased"] == erasures["wiped"]:
            return ""
        ends_at_s = time.monotonic() + patience_s
        try:
            with self._alone(ends_at_s), explained(self._address):
                self._check_file()
                _wait_until(self._db, ends_at_s)
                return _write_anew(self._db, erasures)
        except FacepoolError as error:
            return error.why

    def close(self) -> None:
        """Let go of the file, after those who have their turn yet."""
        self.queue.close()
        with self._free_lock:
            readers, self._free = self._free, []
        for reader in (*readers, self._watcher):
            reader.close()
        with self._writing:
            self._db.close()

    def _connect(self, *pragmas: str) -> Connection:
        # Each is used by one thread at a time, not always the same.
        db = driver.connect(self.path, key_of(self._address), timeout_s=self._patience_s, any_thread=True)
        try:
            for pragma in ("trusted_schema = OFF", *pragmas):
                db.execute(f"PRAGMA {pragma}")
        except BaseException:
            db.close()
            raise
        return db

    def _check_file(self) -> None:
        if file_number(self.path) != self._file:
            raise StoreGone(
                "The server's keys and logs cannot be used",
                why="their file was deleted or replaced while the server ran",
                fix="Put the file back, or start the server again",
            )

    def _bring_up_to_date(self) -> None:
        with self.transaction() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise PoolTooNew(f"{self.path} was written by a newer facepool", fix="Update facepool")
            for migration in MIGRATIONS[version:]:
                for statement in migration.split(";\n"):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _put_in_place(self, file: SecretsFile) -> None:
        """Have the logins of cameras where they belong: the store may have been encrypted, or decrypted, since.

        Where this is cut off, both places have them, and it is done again.
        """
        table = SecretsTable()
        with self.reading() as db:
            inside = table.read(db)
        if self.secrets is file:
            if inside:
                file.put(None, inside)
                with self.transaction() as db:
                    table.put(db, {})
                    self.owe(db)
        elif outside := file.read():
            with self.transaction() as db:
                table.put(db, {**inside, **outside})
            file.write({})


def _wait_until(db: Connection, ends_at_s: float) -> None:
    """Let a connection wait for other processes until then."""
    db.execute(f"PRAGMA busy_timeout = {max(0, round(1000 * (ends_at_s - time.monotonic())))}")


def _count_erasures(db: Connection, which: str, count: int) -> None:
    # One statement: others count meanwhile.
    db.execute("UPDATE server_kept SET value = json_set(value, ?, ?) WHERE name = ?", (f"$.{which}", count, ERASURES))


def _write_anew(db: Connection, erasures: Mapping[str, int]) -> str:
    """Wipe the file and its log; why that could not be, or empty."""
    if erasures["rewritten"] != erasures["erased"]:
        db.execute("VACUUM")  # once: while somebody reads, each time would add the whole file to the log
        _count_erasures(db, "rewritten", erasures["erased"])
    (busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        return "another process is using it"
    _count_erasures(db, "wiped", erasures["erased"])
    return ""
