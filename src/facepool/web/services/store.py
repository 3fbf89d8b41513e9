"""What the server keeps beside the pool: keys, sessions, the audit log, the activity, and what was set on the page."""

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from facepool.errors import FacepoolError, PoolTooNew
from facepool.files import make_private, storage_errors
from facepool.gallery.connection import explained
from facepool.gallery.notices import logs_beside as store_beside
from facepool.gallery.notices import now
from facepool.gallery.sqlite import patient

__all__ = ["LAST", "Row", "ServerStore", "insert_entry", "now", "store_beside"]

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
_MIGRATIONS = (_SCHEMA, _IDS_OF_PEOPLE, _IDS_OF_EVENTS, _VISITS, _TOLD)
"""What takes the file from version n to n + 1."""

_ERASURES = "erasures"
_NONE_YET = {"erased": 0, "rewritten": 0, "wiped": 0}
Row = tuple[object, ...]
LAST = (1 << 63) - 1
"""Larger than any number of a row."""


class ServerStore:
    """One SQLite file, readable by its owner only; any thread may use it.

    Args:
        path: The file; made with its tables where there is none.

    Attributes:
        hidden: Names that readers of the logs must not see: they are erased, and the logs could not be told yet.

    Raises:
        NotWritable: It cannot be made.
        PoolCorrupt: It is no SQLite file.
        PoolTooNew: A newer facepool wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hidden: frozenset[str] = frozenset()
        self._lock = threading.RLock()
        with storage_errors(path, "cannot be used"):
            make_private(path)
        with explained(path):
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            for pragma in ("journal_mode = WAL", "foreign_keys = ON", "secure_delete = ON", "trusted_schema = OFF"):
                self._db.execute(f"PRAGMA {pragma}")
            self._bring_up_to_date()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One change, undone by whatever is raised inside."""
        with self._lock, explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite undoes by itself where the disk failed
                    self._db.execute("ROLLBACK")
                raise

    def read(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """The rows of a query."""
        with self._lock, explained(self.path):
            return self._db.execute(query, tuple(values)).fetchall()

    def changes(self) -> tuple[int, int]:
        """What differs after anybody has written, other processes included; cheap."""
        with self._lock, explained(self.path):
            (others,) = self._db.execute("PRAGMA data_version").fetchone()
            return int(others), self._db.total_changes

    def kept(self, name: str) -> Mapping[str, object]:
        """Something that was kept under a name; empty if nothing was."""
        rows = self.read("SELECT value FROM kept WHERE name = ?", (name,))
        found = json.loads(str(rows[0][0])) if rows else {}
        return found if isinstance(found, dict) else {}

    def keep(self, name: str, value: Mapping[str, object]) -> None:
        """Keep something under a name, in place of what was kept."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, json.dumps(value)))

    def owe(self, db: sqlite3.Connection) -> None:
        """Remember, as a part of a transaction, that bytes of what it deletes are to be wiped."""
        db.execute("INSERT OR IGNORE INTO kept VALUES (?, ?)", (_ERASURES, json.dumps(_NONE_YET)))
        _count_erasures(db, "erased", _erasures(db)["erased"] + 1)

    def wipe(self, patience_s: float = 1.0) -> str:
        """Leave no trace of what was erased in the file or its log, if that is owed.

        Args:
            patience_s: How long to wait for others.

        Returns:
            Why traces may remain, which stays owed; empty: they do not.
        """
        with self._lock:
            erasures = _erasures(self._db)
            if erasures["erased"] == erasures["wiped"]:
                return ""
            try:
                with explained(self.path), patient(self._db, patience_s):
                    return _write_anew(self._db, erasures)
            except FacepoolError as error:
                return error.why

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def _bring_up_to_date(self) -> None:
        with self.transaction() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > len(_MIGRATIONS):
                raise PoolTooNew(f"{self.path} was written by a newer facepool", fix="Update facepool")
            for migration in _MIGRATIONS[version:]:
                for statement in migration.split(";\n"):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


def insert_entry(
    db: sqlite3.Connection,
    caller: str,
    action: str,
    person: str = "",
    detail: str = "",
    person_id: str | None = None,
    at: str | None = None,
) -> None:
    """Add an entry to the audit log, as a part of a transaction of the store."""
    db.execute(
        "INSERT INTO audit (at, caller, action, person, detail, person_id) VALUES (?, ?, ?, ?, ?, ?)",
        (at or now(), caller, action, person, detail, person_id),
    )


def _erasures(db: sqlite3.Connection) -> dict[str, int]:
    """How many there were: in all, when the file was last written anew, and when its log was cut off after that."""
    row = db.execute("SELECT value FROM kept WHERE name = ?", (_ERASURES,)).fetchone()
    return _NONE_YET | (json.loads(row[0]) if row else {})


def _count_erasures(db: sqlite3.Connection, which: str, count: int) -> None:
    # One statement: others count meanwhile.
    db.execute("UPDATE kept SET value = json_set(value, ?, ?) WHERE name = ?", (f"$.{which}", count, _ERASURES))


def _write_anew(db: sqlite3.Connection, erasures: Mapping[str, int]) -> str:
    """Wipe the file and its log; why that could not be, or empty."""
    if erasures["rewritten"] != erasures["erased"]:
        db.execute("VACUUM")  # once: while somebody reads, each time would add the whole file to the log
        _count_erasures(db, "rewritten", erasures["erased"])
    (busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        return "another process is using it"
    _count_erasures(db, "wiped", erasures["erased"])
    return ""
