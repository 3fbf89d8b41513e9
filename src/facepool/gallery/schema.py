"""The tables of pool.db, how they came to be, and the ids in them."""

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4, uuid5

from facepool.errors import PoolCorrupt, PoolTooNew
from facepool.files import PRIVATE, storage_errors, sync_folders, write_new
from facepool.gallery import driver
from facepool.gallery.address import FileAddress, key_of, path_of
from facepool.gallery.checks import damaged, folded
from facepool.gallery.database import Database
from facepool.gallery.driver import Connection, is_encrypted
from facepool.gallery.keys import PoolKey

APPLICATION_ID = 0x66706F6F  # "fpoo", in the header of every pool.db

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE state (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            revision INTEGER NOT NULL,
            rewritten INTEGER NOT NULL
        )""",
        "INSERT INTO state VALUES (1, 0, 0)",
        """CREATE TABLE space (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            model TEXT NOT NULL,
            weights_sha256 TEXT NOT NULL,
            preprocessing TEXT NOT NULL,
            template TEXT NOT NULL,
            mirrored INTEGER NOT NULL,
            dimension INTEGER NOT NULL
        )""",
        """CREATE TABLE persons (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL UNIQUE
        )""",
        """CREATE TABLE samples (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            person_id INTEGER NOT NULL REFERENCES persons ON DELETE CASCADE,
            source TEXT NOT NULL,
            frame INTEGER NOT NULL,
            time_s REAL,
            yaw REAL,
            pitch REAL,
            roll REAL,
            quality REAL,
            score REAL,
            size_px REAL
        )""",
        """CREATE TABLE templates (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            sample_id INTEGER NOT NULL REFERENCES samples ON DELETE CASCADE,
            embedding BLOB NOT NULL,
            model TEXT NOT NULL,
            created_at TEXT NOT NULL
        )""",
        "CREATE INDEX samples_of_person ON samples (person_id)",
        "CREATE INDEX templates_of_sample ON templates (sample_id)",
    ),
    (
        "ALTER TABLE samples ADD COLUMN appearance TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE samples ADD COLUMN partial INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE look_alikes (
            person_id INTEGER NOT NULL REFERENCES persons ON DELETE CASCADE,
            other_id INTEGER NOT NULL REFERENCES persons ON DELETE CASCADE,
            PRIMARY KEY (person_id, other_id),
            CHECK (person_id < other_id)
        ) WITHOUT ROWID""",
        "CREATE INDEX look_alikes_of_other ON look_alikes (other_id)",
    ),
    (
        """CREATE TABLE calibration (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            content TEXT NOT NULL
        )""",
    ),
    (
        """CREATE TABLE pictures (
            sample_id INTEGER PRIMARY KEY REFERENCES samples ON DELETE CASCADE,
            jpeg BLOB NOT NULL
        )""",
    ),
    (
        "ALTER TABLE persons ADD COLUMN uuid BLOB NOT NULL DEFAULT x''",
        "ALTER TABLE persons ADD COLUMN revision INTEGER NOT NULL DEFAULT 0",
        "UPDATE persons SET uuid = person_uuid(name), revision = (SELECT revision FROM state)",
        "CREATE UNIQUE INDEX persons_of_uuid ON persons (uuid)",
        "CREATE INDEX persons_of_revision ON persons (revision)",
        "ALTER TABLE templates ADD COLUMN uuid BLOB NOT NULL DEFAULT x''",
        "ALTER TABLE templates ADD COLUMN revision INTEGER NOT NULL DEFAULT 0",
        "UPDATE templates SET uuid = template_uuid(id, embedding), revision = (SELECT revision FROM state)",
        "CREATE UNIQUE INDEX templates_of_uuid ON templates (uuid)",
        "CREATE INDEX templates_of_revision ON templates (revision)",
        """CREATE TABLE removed_templates (
            id INTEGER PRIMARY KEY,
            revision INTEGER NOT NULL
        )""",
        "CREATE INDEX removed_templates_of_revision ON removed_templates (revision)",
        """CREATE TABLE frontal_poses (
            person_id INTEGER NOT NULL REFERENCES persons ON DELETE CASCADE,
            appearance TEXT NOT NULL,
            yaw REAL NOT NULL,
            pitch REAL NOT NULL,
            roll REAL NOT NULL,
            PRIMARY KEY (person_id, appearance)
        ) WITHOUT ROWID""",
    ),
    (  # each scan has a camera and a straight ahead of its own, also where two are of one appearance
        "ALTER TABLE samples ADD COLUMN frontal_yaw REAL",
        "ALTER TABLE samples ADD COLUMN frontal_pitch REAL",
        "ALTER TABLE samples ADD COLUMN frontal_roll REAL",
        """UPDATE samples SET (frontal_yaw, frontal_pitch, frontal_roll) = (
            SELECT yaw, pitch, roll FROM frontal_poses
            WHERE frontal_poses.person_id = samples.person_id AND frontal_poses.appearance = samples.appearance
        )""",
        "DROP TABLE frontal_poses",
    ),
    (  # what was promised and is not done yet: logs to be told, and bytes to be wiped
        """CREATE TABLE notices (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            uuid BLOB NOT NULL UNIQUE,
            at TEXT NOT NULL,
            caller TEXT NOT NULL,
            action TEXT NOT NULL,
            person TEXT NOT NULL,
            person_id TEXT NOT NULL,
            detail TEXT NOT NULL,
            change INTEGER NOT NULL
        )""",
        "ALTER TABLE state ADD COLUMN erased INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE state ADD COLUMN wiped INTEGER NOT NULL DEFAULT 0",
        "UPDATE state SET rewritten = 0",
        "ALTER TABLE state ADD COLUMN identity BLOB NOT NULL DEFAULT x''",
        "UPDATE state SET identity = randomblob(16)",
    ),
    (  # people are listed, searched for and told apart without regard to case
        "ALTER TABLE persons ADD COLUMN folded TEXT NOT NULL DEFAULT ''",
        "UPDATE persons SET folded = folded_name(name)",
        "CREATE INDEX persons_of_folded ON persons (folded, name)",
    ),
    (  # who was seen, known or not, and what is to be known of people beside their faces
        "ALTER TABLE persons ADD COLUMN notes TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE persons ADD COLUMN external_id TEXT NOT NULL DEFAULT ''",
        "CREATE UNIQUE INDEX persons_of_external_id ON persons (external_id) WHERE external_id != ''",
        "ALTER TABLE samples ADD COLUMN learned_from TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX samples_learned ON samples (person_id) WHERE learned_from != ''",
        """CREATE TABLE tags (
            person_id INTEGER NOT NULL REFERENCES persons ON DELETE CASCADE,
            folded TEXT NOT NULL,
            tag TEXT NOT NULL,
            PRIMARY KEY (person_id, folded)
        ) WITHOUT ROWID""",
        "CREATE INDEX tags_of_folded ON tags (folded, person_id)",
        """CREATE TABLE inbox (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            revision INTEGER NOT NULL,
            kept INTEGER NOT NULL,
            dropped INTEGER NOT NULL,
            erased INTEGER NOT NULL,
            wiped INTEGER NOT NULL
        )""",
        "INSERT INTO inbox VALUES (1, 0, 0, 0, 0, 0)",
        """CREATE TABLE unknown_groups (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            state TEXT NOT NULL,
            revision INTEGER NOT NULL
        )""",
        """CREATE TABLE proposals (
            group_id INTEGER NOT NULL REFERENCES unknown_groups ON DELETE CASCADE,
            other_id INTEGER NOT NULL REFERENCES unknown_groups ON DELETE CASCADE,
            similarity REAL,
            apart INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (group_id, other_id),
            CHECK (group_id < other_id)
        ) WITHOUT ROWID""",
        "CREATE INDEX proposals_of_other ON proposals (other_id)",
        """CREATE TABLE sightings (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            uuid BLOB NOT NULL UNIQUE,
            source TEXT NOT NULL,
            began_at TEXT NOT NULL,
            ended_at TEXT NOT NULL,
            person_id INTEGER REFERENCES persons ON DELETE CASCADE,
            first_person_id INTEGER REFERENCES persons ON DELETE SET NULL,
            group_id INTEGER REFERENCES unknown_groups ON DELETE CASCADE,
            similarity REAL,
            threshold REAL,
            frames INTEGER NOT NULL,
            named_at TEXT NOT NULL DEFAULT '',
            bytes INTEGER NOT NULL,
            revision INTEGER NOT NULL
        )""",
        "CREATE INDEX sightings_of_person ON sightings (person_id, ended_at)",
        "CREATE INDEX sightings_of_first_person ON sightings (first_person_id)",
        "CREATE INDEX sightings_of_group ON sightings (group_id, ended_at)",
        "CREATE INDEX sightings_of_time ON sightings (ended_at)",
        """CREATE TABLE sighting_keys (
            sighting_id INTEGER PRIMARY KEY,
            key BLOB NOT NULL
        )""",
        """CREATE TABLE sighting_faces (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            uuid BLOB NOT NULL UNIQUE,
            sighting_id INTEGER NOT NULL REFERENCES sightings ON DELETE CASCADE,
            place INTEGER NOT NULL,
            embedding BLOB NOT NULL,
            jpeg BLOB NOT NULL,
            quality REAL NOT NULL,
            score REAL NOT NULL,
            size_px REAL NOT NULL,
            yaw REAL,
            pitch REAL,
            roll REAL
        )""",
        "CREATE INDEX faces_of_sighting ON sighting_faces (sighting_id)",
        """CREATE TABLE suggestions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            face_id INTEGER NOT NULL UNIQUE REFERENCES sighting_faces ON DELETE CASCADE,
            person_id INTEGER NOT NULL REFERENCES persons ON DELETE CASCADE,
            similarity REAL NOT NULL,
            reason TEXT NOT NULL,
            state TEXT NOT NULL,
            made_at TEXT NOT NULL,
            expires_at TEXT NOT NULL
        )""",
        "CREATE INDEX suggestions_of_person ON suggestions (person_id)",
        """CREATE TABLE journal (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at TEXT NOT NULL,
            caller TEXT NOT NULL,
            action TEXT NOT NULL,
            content TEXT NOT NULL
        )""",
    ),
    (  # what people have agreed to: many agree to the same text, which is there once
        """CREATE TABLE consent_texts (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            sha256 BLOB NOT NULL UNIQUE,
            text TEXT NOT NULL
        )""",
        """CREATE TABLE consents (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            uuid BLOB NOT NULL UNIQUE,
            person_id INTEGER NOT NULL REFERENCES persons ON DELETE CASCADE,
            text_id INTEGER NOT NULL REFERENCES consent_texts,
            given_at TEXT NOT NULL,
            recorded_by TEXT NOT NULL,
            method TEXT NOT NULL
        )""",
        "CREATE INDEX consents_of_person ON consents (person_id)",
        "CREATE INDEX consents_of_text ON consents (text_id)",
    ),
    (  # collections of vectors elsewhere that follow the pool: `index_rows`
        """CREATE TABLE indexes (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            collection TEXT NOT NULL UNIQUE,
            place TEXT NOT NULL,
            state TEXT NOT NULL,
            dimension INTEGER NOT NULL,
            space TEXT NOT NULL,
            position INTEGER NOT NULL,
            filled INTEGER NOT NULL,
            stamp TEXT NOT NULL,
            at TEXT NOT NULL,
            failure TEXT NOT NULL,
            failed_since TEXT NOT NULL
        )""",
    ),
)
"""What takes a pool from version n to n + 1. Append only: pools of every earlier version are out there.

``state.revision`` counts changes. The ``revision`` of a row is that of the change that made it, gave it to another
person or, of a person, another name; what is gone is in ``removed_templates``, so that followers need to read only what
is newer than what they know. Numbers are never used twice.

``state.erased`` counts erasures; ``state.rewritten`` is how many of them there were when the file was last written
anew, and ``state.wiped`` how many when its log was cut off after that, too, so that their bytes are nowhere.
``state.identity`` tells the pool from all others, also in a log (`logs`).

``persons.folded`` is the name as `checks.folded` gives it; lists of people are in the order of ``(folded, name)``. So
it is with ``tags.folded``.

`inbox` says what the tables of `SEEN` are for. ``inbox.revision`` counts their changes, and the ``revision`` of a row
is that of its last one; ``state.revision`` knows nothing of them.
"""
VERSION = len(MIGRATIONS)

_STATISTICS = json.dumps(
    ["CREATE TABLE sqlite_stat1(tbl,idx,stat)", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"]
)
_MOST_TABLES = 100
_LONGEST_NAME = 40
_BLANKS, _BLANKS_AROUND = re.compile(r"[ \t\n\r\f]+"), re.compile(r" ?([(),]) ?")  # others mean something to SQLite

# What ids are derived in that follow from what they are the ids of.
_IDS_OF_PEOPLE = UUID("5b0c6f7e-3d3a-4c55-9a37-0f6a6a1d7a11")
_IDS_OF_TEMPLATES = UUID("0a6c1f0e-94b1-4a7e-8f5e-5c1b0f3f9e2d")


@contextmanager
def snapshot(db: Connection) -> Iterator[None]:
    """Several queries see the pool at one moment."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:  # SQLite has ended it where the disk failed
            db.execute("ROLLBACK")


@contextmanager
def undone_unless_whole(db: Connection) -> Iterator[None]:
    """A change, undone by whatever is raised inside, Ctrl-C included; the only one at its time."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite undoes by itself where the disk failed
            db.execute("ROLLBACK")
        raise


def version_of(db: Connection, path: Path) -> int:
    """The version of the tables, which are those of that version and nothing else; 0 for an empty file.

    A file from elsewhere may have views without an end in place of tables, triggers, or columns that are computed. So
    this is asked before anything else is.

    Raises:
        PoolCorrupt: The file is another program's, or its tables are not those of its version.
        PoolTooNew: A newer facepool wrote it.
    """
    with snapshot(db):  # another process may be making the tables just now
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        tables = schema_of(db)
    if application != APPLICATION_ID and (application, version, tables) != (0, 0, frozenset()):
        raise PoolCorrupt(
            f"The pool {path} cannot be used",
            why="it is a database of another program",
            fix="Name another file",
        )
    if version > VERSION:
        raise PoolTooNew(
            f"The pool {path} cannot be used",
            why=f"a newer facepool wrote it (version {version}; this one knows {VERSION})",
            fix="Update facepool",
        )
    if version < 0:
        raise damaged(path, f"its version is {version}")
    expected = _schema_of_version(version)
    if tables != expected:
        kind, name, *_ = max(tables ^ expected)  # "table" comes last of all kinds but "view" and "trigger"
        raise damaged(path, f"its {kind} {name[:_LONGEST_NAME]!r} is not as in a pool of version {version}")
    return int(version)


CONTENT = (
    "persons",
    "tags",
    "samples",
    "templates",
    "pictures",
    "look_alikes",
    "space",
    "calibration",
    "consent_texts",
    "consents",
)
"""The tables of people and what belongs to them, each after those that it refers to."""
SEEN = (
    "inbox",
    "unknown_groups",
    "proposals",
    "sightings",
    "sighting_keys",
    "sighting_faces",
    "suggestions",
    "journal",
)
"""The tables of who was seen, each after those that it refers to. All others say what was done."""


def schema_of(db: Connection) -> frozenset[tuple[str, ...]]:
    """What makes up a database, in SQLite's words, but for the statistics that it keeps where somebody asks."""
    rows = db.execute(
        "SELECT printf('%s', type), printf('%s', name), printf('%s', tbl_name), printf('%s', sql) FROM sqlite_master "
        "WHERE sql NOT IN (SELECT value FROM json_each(?)) OR sql IS NULL LIMIT ?",
        (_STATISTICS, _MOST_TABLES),
    )
    return frozenset((kind, name, table, _plain(sql)) for kind, name, table, sql in rows)


def _plain(sql: str) -> str:
    """A statement without the blanks that mean nothing: earlier versions were written by other hands."""
    return _BLANKS_AROUND.sub(r"\1", _BLANKS.sub(" ", sql))


@cache
def _schema_of_version(version: int) -> frozenset[tuple[str, ...]]:
    with closing(of_version(version)) as db:
        return schema_of(db)


def count_of(db: Database, table: str) -> int:
    """How many rows a table of ours has."""
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 -- tables of ours


def of_version(version: int) -> Connection:
    """Empty tables in memory as a facepool of a version made them."""
    db = driver.connect(None)
    _derive_ids(db)
    for migration in MIGRATIONS[:version]:
        for statement in migration:
            db.execute(statement)
    return db


def brought_up_to_date(db: Connection, version: int) -> None:
    """Bring the tables of a copy up to date; people and templates that had no id get one as `in_memory` gives it."""
    _derive_ids(db)
    with undone_unless_whole(db):
        _migrate(db, version)


def _derive_ids(db: Connection) -> None:
    db.create_function("folded_name", 1, folded)
    db.create_function("person_uuid", 1, derived_person_uuid)
    db.create_function("template_uuid", 2, derived_template_uuid)


def in_memory(source: Connection | None = None) -> Connection:
    """A database in memory with all tables: an empty one, or what another one has, which is not changed.

    People and templates that had no id get one that follows from what they are, the same each time.
    """
    # SQLite copies an encrypted database only into one that has a key, too; in memory it encrypts nothing.
    key = PoolKey.new() if source is not None and is_encrypted(source) else None
    db = driver.connect(None, key, any_thread=True)
    if source is not None:
        source.backup(db)
    brought_up_to_date(db, version_of(db, Path(":memory:")))
    db.execute("PRAGMA foreign_keys = ON")
    return db


def bring_up_to_date(db: Connection, address: FileAddress) -> Path | None:
    """Make the tables in a file, or bring those of an earlier version up to date, after a copy of the file was made.

    Args:
        db: Its connection.
        address: The file, with its key if it is encrypted; the copy has the same key.

    Returns:
        The copy; None where there was nothing to copy.
    """
    path = path_of(address)
    if version_of(db, path) == VERSION:
        return None
    db.create_function("folded_name", 1, folded)
    db.create_function("person_uuid", 1, lambda _name: uuid4().bytes)
    db.create_function("template_uuid", 2, lambda _number, _embedding: uuid4().bytes)
    with undone_unless_whole(db):
        version = int(db.execute("PRAGMA user_version").fetchone()[0])  # again: another process may have been faster
        copy = copy_of(path, version) if 0 < version < VERSION else None
        if copy is not None:
            _copy(address, copy)
        _migrate(db, version)
    return copy


def copy_of(path: Path, version: int) -> Path:
    """Where a pool is kept as it was before it was brought up to date."""
    path = path.resolve()
    return path.with_name(f"{path.name}.version-{version}")


def kept_before_restoring(path: Path) -> Path:
    """Where a pool is kept as it was before a backup was restored to it."""
    path = path.resolve()
    return path.with_name(f"{path.name}.before-restore")


def damaged_of(path: Path) -> Path:
    """Where the file of a pool is kept that could be read no more, when a backup took its place."""
    path = path.resolve()
    return path.with_name(f"{path.name}.damaged")


def copies_of(path: Path) -> list[Path]:
    """What is kept of a pool beside it: as it was in earlier versions, before it was restored, damaged."""
    damaged = damaged_of(path)
    logs = (damaged.with_name(f"{damaged.name}{ending}") for ending in ("-wal", "-journal"))
    versions = (copy_of(path, version) for version in range(1, VERSION))
    return [copy for copy in (*versions, kept_before_restoring(path), damaged, *logs) if copy.exists()]


def _migrate(db: Connection, version: int) -> None:
    for number in range(version, VERSION):
        for statement in MIGRATIONS[number]:
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {VERSION}")


def _copy(address: FileAddress, target: Path) -> None:
    """Copy a pool into a file that only its owner may read, and make sure that everything is in it."""
    path, key = path_of(address), key_of(address)
    # By a connection of its own: SQLite copies nothing by one that is about to write.
    unfinished = target.with_name(f"{target.name}.unfinished")
    with storage_errors(target):
        try:
            write_new(unfinished, b"", PRIVATE)  # in place of what a killed process left
            source, copy = driver.connect(path, key, mode="mode=ro"), driver.connect(unfinished, key)
            with closing(source), closing(copy):
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
                (verdict,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise PoolCorrupt(f"The pool {path} is damaged", why=str(verdict), fix="Restore it from a backup")
            unfinished.replace(target)
            sync_folders([target])
        finally:
            unfinished.unlink(missing_ok=True)


def derived_person_uuid(name: str) -> bytes:
    """The id of a person of whom nothing but the name is known."""
    return uuid5(_IDS_OF_PEOPLE, name).bytes


def derived_template_uuid(number: int, embedding: object) -> bytes:
    """The id of a template of which nothing but its number and its embedding is known; a damaged pool may have any."""
    content = embedding if isinstance(embedding, bytes) else str(embedding).encode()
    return uuid5(_IDS_OF_TEMPLATES, f"{number}-{sha256(content).hexdigest()}").bytes


def uuid_text(uuid: bytes) -> str:
    """A UUID of 16 bytes as it is shown."""
    digits = uuid.hex()
    if len(digits) != 32:
        raise ValueError(f"a UUID of {len(uuid)} bytes")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uuid_bytes(text: str) -> bytes | None:
    """The 16 bytes of a UUID as it is shown; None for other text."""
    try:
        return UUID(text).bytes
    except ValueError:
        return None
