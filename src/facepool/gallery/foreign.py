"""Pools that come from elsewhere: read only, and not before everything in them was looked at.

A file may say anything: views without an end in place of tables, pages that refer to themselves, blobs for names.
Before the first row is asked for, its schema is compared with ours (`schema.version_of`, for every pool); here come the
limits of SQLite, a deadline, SQLite's own check of the pages, and what rows have to be.
"""

import json
import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np

from facepool.errors import ConfigError, InvalidEmbedding, NotWritable, PathMissing, PoolCorrupt
from facepool.files import exists
from facepool.gallery import driver
from facepool.gallery.address import FileAddress, key_of
from facepool.gallery.base import OpenFiles
from facepool.gallery.checks import NAME_LIMIT, check_space, check_vectors, damaged, find_name, folded
from facepool.gallery.connection import explained, log_of
from facepool.gallery.consents import METHOD_LIMIT, RECORDER_LIMIT, TEXT_LIMIT, clean_consent
from facepool.gallery.details import (
    EXTERNAL_ID_LIMIT,
    NOTES_LIMIT,
    TAG_LIMIT,
    clean_external_id,
    clean_notes,
    clean_tags,
)
from facepool.gallery.driver import Connection, database_errors, error_code
from facepool.gallery.inbox import Inbox
from facepool.gallery.rows import calibration_of, read_space
from facepool.gallery.schema import VERSION, in_memory, version_of
from facepool.gallery.sqlite import SqliteTables
from facepool.types import Consent, EmbeddingSpace

DEADLINE_S = 30.0
"""How long reading a pool may take that somebody sent."""
MOST_PICTURE_BYTES = 1 << 20
MOST_PICTURE_PX = 2048
_MOST = {
    "name": NAME_LIMIT,
    "text": 4096,
    "notes": NOTES_LIMIT,
    "external_id": EXTERNAL_ID_LIMIT,
    "tag": TAG_LIMIT,
    "dimension": 4096,
    "picture": MOST_PICTURE_BYTES,
    "look_alikes": 200_000,
    "calibration": 1 << 20,
    "consent": TEXT_LIMIT,
    "method": METHOD_LIMIT,
    "recorder": RECORDER_LIMIT,
}
_STEPS_AT_ONCE = 200_000
"""Of SQLite's machine between two looks at the clock: some milliseconds."""
_ROWS_AT_ONCE = 4096
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 32 << 20,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 50,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 10,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
}
_LOGGING = slice(18, 20)
"""Where a file says whether it has a write-ahead log: https://sqlite.org/fileformat2.html, section 1.3.3."""
_START_OF_FRAME = frozenset({0xC0, 0xC1, 0xC2})
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
_RULES = (
    (
        "its revision is none",
        "SELECT count(*) != 1 OR min(typeof(revision) = 'integer' AND revision >= 0) = 0 FROM state",
    ),
    (
        "its embedding space is none",
        """SELECT 1 FROM space WHERE typeof(dimension) || typeof(mirrored) != 'integerinteger'
        OR dimension NOT BETWEEN 1 AND :dimension
        OR typeof(model) || typeof(weights_sha256) || typeof(preprocessing) || typeof(template) != 'texttexttexttext'
        OR length(CAST(model || weights_sha256 || preprocessing || template AS BLOB)) > :text""",
    ),
    (
        "it does not say of which embedding space its templates are",
        "SELECT EXISTS (SELECT 1 FROM templates) AND NOT EXISTS (SELECT 1 FROM space)",
    ),
    (
        "it has names that are none",
        """SELECT 1 FROM persons WHERE typeof(name) || typeof(folded) != 'texttext'
        OR length(name) NOT BETWEEN 1 AND :name OR length(folded) > 3 * :name""",
    ),
    (
        "what it says of people is none",
        """SELECT 1 FROM persons WHERE typeof(notes) || typeof(external_id) != 'texttext' OR length(notes) > :notes
        OR length(external_id) > :external_id""",
    ),
    (
        "it has tags that are none",
        """SELECT 1 FROM tags WHERE typeof(tag) || typeof(folded) || typeof(person_id) != 'texttextinteger'
        OR length(tag) NOT BETWEEN 1 AND :tag OR length(folded) > 3 * :tag""",
    ),
    (
        "it has people whose ids are none",
        """SELECT 1 FROM persons WHERE typeof(uuid) != 'blob' OR length(uuid) != 16 OR typeof(revision) != 'integer'""",
    ),
    (
        "it has samples that are none",
        """SELECT 1 FROM samples WHERE typeof(source) || typeof(appearance) || typeof(learned_from) != 'texttexttext'
        OR length(CAST(source || appearance || learned_from AS BLOB)) > :text
        OR typeof(frame) || typeof(partial) || typeof(person_id) != 'integerintegerinteger'""",
    ),
    (
        "it has measures that are no numbers",
        """WITH measures (value) AS (
            SELECT time_s FROM samples UNION ALL SELECT quality FROM samples UNION ALL SELECT score FROM samples
            UNION ALL SELECT size_px FROM samples
        ), angles (value) AS (
            SELECT yaw FROM samples UNION ALL SELECT pitch FROM samples UNION ALL SELECT roll FROM samples
            UNION ALL SELECT frontal_yaw FROM samples UNION ALL SELECT frontal_pitch FROM samples
            UNION ALL SELECT frontal_roll FROM samples
        ) SELECT 1 FROM (SELECT value FROM measures UNION ALL SELECT value FROM angles)
        WHERE typeof(value) NOT IN ('null', 'real', 'integer') OR abs(value) > 1e300""",
    ),
    (
        "it has poses of which a part is missing",
        """SELECT 1 FROM samples WHERE (yaw IS NULL) + (pitch IS NULL) + (roll IS NULL) NOT IN (0, 3)
        OR (frontal_yaw IS NULL) + (frontal_pitch IS NULL) + (frontal_roll IS NULL) NOT IN (0, 3)""",
    ),
    (
        "it has templates that are none",
        """SELECT 1 FROM templates WHERE id < 1 OR typeof(model) || typeof(created_at) != 'texttext'
        OR length(CAST(model || created_at AS BLOB)) > :text
        OR typeof(uuid) != 'blob' OR length(uuid) != 16 OR typeof(sample_id) || typeof(revision) != 'integerinteger'""",
    ),
    (
        "it has pictures that are none, or too large",
        "SELECT 1 FROM pictures WHERE typeof(jpeg) != 'blob' OR length(jpeg) > :picture",
    ),
    ("it has too many look-alikes", "SELECT count(*) > :look_alikes FROM look_alikes"),
    (
        "it has texts of consents that are none",
        """SELECT 1 FROM consent_texts WHERE typeof(text) || typeof(sha256) != 'textblob'
        OR length(text) NOT BETWEEN 1 AND :consent OR length(sha256) != 32""",
    ),
    (
        "it has consents that are none",
        """SELECT 1 FROM consents WHERE typeof(uuid) != 'blob' OR length(uuid) != 16
        OR typeof(person_id) || typeof(text_id) != 'integerinteger'
        OR typeof(given_at) || typeof(recorded_by) || typeof(method) != 'texttexttext'
        OR length(given_at) > 40 OR length(recorded_by) > :recorder OR length(method) > :method""",
    ),
    (
        "its calibration is none",
        "SELECT 1 FROM calibration WHERE typeof(content) != 'text' OR length(content) > :calibration",
    ),
)
"""What a pool does not hold, and what finds it: a row that is not 0."""


class ForeignGallery(SqliteTables):
    """A pool that somebody sent or named, to be copied from. Nothing is written to it.

    Args:
        address: The file, with its key if it is encrypted.
        space: What the caller's embeddings are; None: only what the pool itself says.
        content: All of a file that is not encrypted, where that must not lie on a disk; the address is its name then.
        deadline_s: How long reading it may take, all in all; None: as long as it takes.

    Raises:
        PathMissing: There is no such file.
        PoolCorrupt: It is no pool, or anything in it is not what it has to be, or the deadline is over; any call.
        PoolTooNew: A newer facepool wrote it.
        SpaceMismatch: It holds embeddings of another space.
    """

    def __init__(
        self,
        address: FileAddress,
        space: EmbeddingSpace | None = None,
        *,
        content: bytearray | None = None,
        deadline_s: float | None = None,
    ) -> None:
        super().__init__(address, space)
        self.flaw: PoolCorrupt | None = None
        """What turned out to be wrong with it; None: nothing yet."""
        if content is None and not exists(self.path):
            raise PathMissing(f"The pool {self.path} does not exist", fix="Name another pool")
        self._ends_at_s = math.inf if deadline_s is None else time.monotonic() + deadline_s
        self._deadline_s = deadline_s
        self._open_files = OpenFiles()
        with self._explained():
            self._db = self._opened(content)
        try:
            with self._reading() as db:
                check_space(address, read_space(db), space)
        except BaseException:
            self.close()
            raise

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing: what is wrong with it is an error."""
        return ()

    @property
    def inbox(self) -> Inbox:
        """Who was seen there is no business of those who copy its people."""
        raise ConfigError(f"Who was seen is not read from {self.path.name}", why="it was opened to be copied from")

    @property
    def open_files(self) -> OpenFiles:
        """Its file as it was opened."""
        return self._open_files

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _connection(self) -> Connection:
        return self._db

    def _writable(self) -> AbstractContextManager[Connection]:
        raise NotWritable(f"The pool {self.path} can only be read", why="it was opened to be copied from")

    def _before_commit(self) -> None:
        raise NotWritable(f"The pool {self.path} can only be read", why="it was opened to be copied from")

    def wipe(self, patience_s: float = 0) -> str:  # noqa: ARG002 -- nobody is waited for
        """Nothing was erased here."""
        return ""

    def _remark(self, traces: str) -> None:
        """There is nothing to remark."""

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._explained():
            yield self._db

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Whatever SQLite says of the file, the file is to blame; but for the disk's errors and Ctrl-C."""
        try:
            with explained(self._file):
                yield
        except PoolCorrupt as error:
            self.flaw = error
            raise
        except database_errors() as error:
            self.flaw = self._flaw(error)
            raise self.flaw from error

    def _flaw(self, error: sqlite3.DatabaseError) -> PoolCorrupt:
        if error_code(error) != sqlite3.SQLITE_INTERRUPT:
            return damaged(self.path, str(error))
        if time.monotonic() < self._ends_at_s:  # the look at the clock raised what was raised meanwhile
            raise KeyboardInterrupt from error
        return damaged(self.path, f"it takes longer than {self._deadline_s or 0:.0f} s to read")

    def _opened(self, content: bytearray | None) -> Connection:
        db = self._of_file() if content is None else driver.connect(None, any_thread=True)
        try:
            if content is not None:
                content[_LOGGING] = b"\1\1"  # there is no log in memory, and SQLite opens none that says it has one
                db.deserialize(content)
            _limit(db)
            self._watch(db)
            version = version_of(db, self.path)
            self._check_pages(db)
            if version < VERSION:
                older, db = db, in_memory(db)
                older.close()
                _limit(db)
                self._watch(db)
            db.execute("PRAGMA query_only = ON")
            self._check_rows(db)
        except BaseException:
            db.close()
            raise
        return db

    def _of_file(self) -> Connection:
        # A log is part of the pool; without one, nothing may change the file, nor make files beside it.
        mode: driver.Mode = "mode=ro" if log_of(self.path).exists() else "immutable=1"
        return driver.connect(self.path, key_of(self._file), mode=mode, any_thread=True)

    def _watch(self, db: Connection) -> None:
        """End what goes on for too long, and let Ctrl-C in: Python hears of it only between two calls of SQLite."""
        db.set_progress_handler(lambda: time.monotonic() > self._ends_at_s, _STEPS_AT_ONCE)

    def _check_pages(self, db: Connection) -> None:
        (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise damaged(self.path, str(verdict).splitlines()[-1])

    def _check_rows(self, db: Connection) -> None:
        for why, query in _RULES:
            row = db.execute(query, _MOST).fetchone()
            if row is not None and row[0]:
                raise damaged(self.path, why)
        if db.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise damaged(self.path, "it has rows that belong to others that are not there")
        for (name,) in db.execute("SELECT name FROM persons"):
            self._check_name(name)
        self._check_details(db)
        self._check_consents(db)
        self._check_templates(db)
        for (jpeg,) in db.execute("SELECT jpeg FROM pictures"):
            if not is_small_jpeg(jpeg):
                raise damaged(self.path, "it has pictures that are no JPEG, or too large")
        for (content,) in db.execute("SELECT content FROM calibration"):
            try:
                calibration_of(json.loads(content))
            except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
                raise damaged(self.path, "its calibration cannot be read") from error

    def _check_name(self, name: str) -> None:
        try:
            found = find_name(name)
        except ConfigError as error:
            raise damaged(self.path, f"it has a name that cannot be used: {error.why}") from error
        if found != name:
            raise damaged(self.path, "it has a name that is not in its normal form")

    def _check_details(self, db: Connection) -> None:
        said = db.execute("SELECT notes, external_id FROM persons WHERE notes != '' OR external_id != ''")
        tags = db.execute("SELECT tag, folded FROM tags")
        try:
            is_clean = all((clean_notes(notes), clean_external_id(other)) == (notes, other) for notes, other in said)
            is_clean = is_clean and all(clean_tags([tag]) == (tag,) and folded(tag) == key for tag, key in tags)
        except ConfigError as error:
            raise damaged(self.path, f"what it says of people cannot be used: {error.why}") from error
        if not is_clean:
            raise damaged(self.path, "what it says of people is not in its normal form")

    def _check_consents(self, db: Connection) -> None:
        said = db.execute(
            "SELECT text, recorded_by, given_at, method FROM consents "
            "JOIN consent_texts ON consent_texts.id = consents.text_id"
        )
        try:
            is_clean = all(clean_consent(consent) == consent for consent in (Consent(*row) for row in said))
        except ConfigError as error:
            raise damaged(self.path, f"it has a consent that cannot be used: {error.why}") from error
        if not is_clean:
            raise damaged(self.path, "it has a consent that is not in its normal form")

    def _check_templates(self, db: Connection) -> None:
        rows = db.execute("SELECT embedding FROM templates")
        while blobs := [blob for (blob,) in rows.fetchmany(_ROWS_AT_ONCE)]:
            self._check_blobs(db, blobs)
            vectors = np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), -1)
            try:
                check_vectors(vectors.astype(np.float32), what="Row")
            except InvalidEmbedding as error:
                raise damaged(self.path, f"it has a vector that is no embedding: {error.why}") from error


def is_small_jpeg(data: bytes) -> bool:
    """Whether a file begins as a JPEG does, and says in its head that it is no larger than pictures of a pool are."""
    at = 2
    if data[:2] != b"\xff\xd8" or len(data) > MOST_PICTURE_BYTES:
        return False
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _START_OF_FRAME:
            height, width = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
            return 0 < height <= MOST_PICTURE_PX and 0 < width <= MOST_PICTURE_PX
        length = 0 if marker in _WITHOUT_LENGTH or marker == 0xFF else int.from_bytes(data[at + 2 : at + 4])
        at += 1 if marker == 0xFF else 2 + length
    return False


def _limit(db: Connection) -> None:
    if not driver.is_encrypted(db):  # whoever could write an encrypted one had its key; that driver has no limits
        for limit, value in _LIMITS.items():
            db.setlimit(limit, value)
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
