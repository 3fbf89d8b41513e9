"""The store of record: a gallery in one SQLite file."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from facepool.errors import FacepoolError, NotWritable, PathMissing
from facepool.files import exists
from facepool.gallery.address import FileAddress, key_of, path_of
from facepool.gallery.base import OpenFiles
from facepool.gallery.checks import check_space
from facepool.gallery.columns import Changes
from facepool.gallery.connection import Link, connect, explain, explained
from facepool.gallery.database import Database
from facepool.gallery.driver import Connection, copy_database, database_errors
from facepool.gallery.image import ImagedGallery, Mark, delete_image, delete_misfit, has_only_grown, mark_of
from facepool.gallery.rows import insertion, read_space
from facepool.gallery.schema import copies_of, in_memory, snapshot, undone_unless_whole
from facepool.gallery.sql import WIPING_S, SqlGallery
from facepool.types import EmbeddingSpace

_LOADING_KIB = 128 << 10


class SqliteTables(SqlGallery):
    """A `Gallery` in SQLite's tables, in a file or in memory.

    Args:
        address: The file that the user named, with its key if it is encrypted.
        space: What the caller's embeddings are; None: only what the gallery itself says.
    """

    def __init__(self, address: FileAddress, space: EmbeddingSpace | None) -> None:
        super().__init__(address, space)
        self.path = path_of(address)
        self._file = address

    @abstractmethod
    def _connection(self) -> Connection:
        """The tables as they are now, for reading."""

    @abstractmethod
    def _writable(self) -> AbstractContextManager[Connection]:
        """The tables as they are now, which nobody else changes inside the block."""

    def _explained(self) -> AbstractContextManager[None]:
        return explained(self._file)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The tables, for several queries that see the gallery at one moment."""
        with self._reading() as db, snapshot(db):
            yield db

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        db = self._connection()
        with self._explained():
            yield db

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._explained(), self._writable() as db, undone_unless_whole(db):
            yield db

    def _next_ids(self, db: Database, table: str, count: int) -> Sequence[int]:
        row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        first = row[0] + 1 if row else 1
        return range(first, first + count)

    def _drop_vector_index(self, db: Database) -> None:
        """There is none."""

    def _insert_rows(self, db: Database, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        # Many rows go all over the indexes. What the cache does not hold of them, each would read and write again.
        db.execute(f"PRAGMA cache_size = -{_LOADING_KIB}")
        db.executemany(insertion(table, columns), rows)

    def _delete_orphans(self, db: Database) -> None:
        # The table anew: SQLite blanks pages that become free, but not what it has left in others when it moved rows.
        left = db.execute("SELECT sighting_id, key FROM sighting_keys JOIN sightings ON sightings.id = sighting_id")
        rows = left.fetchall()
        db.execute("DELETE FROM sighting_keys")
        db.executemany("INSERT INTO sighting_keys (sighting_id, key) VALUES (?, ?)", rows)

    def copy_to(self, target: Connection, report: Callable[[int, int], None]) -> None:
        """Copy all tables as they are at one moment; others may change the gallery meanwhile.

        Args:
            target: An empty database.
            report: Is told how many pages are copied, of how many.
        """
        with self.reading() as db:
            self._read_revision(db)  # the moment is that of the first query
            copy_database(db, target, report)


class SqliteGallery(SqliteTables):
    """A `Gallery` in one file, ``pool.db``.

    A new gallery's file is made, readable by its owner only, when the first person is stored. One that may not be
    written can be read; whatever would change it raises `NotWritable`. Every call raises `PoolGone` once the file has
    been deleted or replaced. Erasing writes file and write-ahead log anew, and deletes the copies that were made when
    the file was brought up to date. Where another process keeps the log in use, or the disk has no room for a second
    copy of the file, the person is gone all the same, and `notes` says that traces remain.

    Args:
        address: The file, with its key if it is encrypted.
        space: What the caller's embeddings are; None: only what the pool itself says.
        must_exist: Whether a file that does not exist is an error.
        timeout_s: How long to wait for other processes.

    Raises:
        PathMissing: The file must exist and does not.
        PoolCorrupt: The file is no pool.
        KeyNeeded: It is encrypted, and no key was given.
        WrongKey: It is encrypted with another key.
        PoolNotEncrypted: A key was given, and it is not encrypted.
        PoolTooNew: A newer facepool wrote it.
        PoolLocked: Another process kept it locked for `timeout_s`.
        SpaceMismatch: The pool holds embeddings of another space.
        NotWritable: The file may not be read.
        DiskFull: An earlier facepool wrote it, and there is no room to bring it up to date.
    """

    def __init__(
        self,
        address: FileAddress,
        space: EmbeddingSpace | None = None,
        *,
        must_exist: bool = False,
        timeout_s: float = 5.0,
    ) -> None:
        super().__init__(address, space)
        self._timeout_s = timeout_s
        self._link: Link | None = None
        self._nothing: Connection | None = None
        self._no_files = OpenFiles()
        self._closed = False
        if must_exist and not exists(self.path):
            raise PathMissing(
                f"The pool {self.path} does not exist", fix="Register somebody first, or name another pool"
            )
        try:
            with self._reading() as db:
                check_space(address, read_space(db), space)
        except BaseException:
            self.close()
            raise

    @property
    def open_files(self) -> OpenFiles:
        """The file, or, while there is none, nothing that another gallery has."""
        with explained(self._file):
            link = self._linked(create=False)
        return self._no_files if link is None else link.open_files

    @property
    def imaged(self) -> ImagedGallery | None:
        """The same gallery, once there is a file whose tables are of today; None: no image may lie beside it.

        An image has names and vectors of everybody, so there is none of a gallery that is encrypted.
        """
        if key_of(self._file) is not None:
            return None
        with explained(self._file):
            link = self._linked(create=False)
        return None if link is None or link.is_copy else self

    def marked_changes(self, since: int | None = None) -> tuple[Changes, Mark]:
        """What happened since a revision, and a mark of what the gallery is after it."""
        with self.reading() as db:
            changes = self._changes(db, since)
            return changes, mark_of(db, _space_id(db), changes.revision)

    def has_only_grown_since(self, mark: Mark) -> bool:
        """Whether all that the gallery was at a mark is still in it, unchanged."""
        with self.reading() as db:
            return has_only_grown(db, _space_id(db), self._read_revision(db), mark)

    def close(self) -> None:
        """Let go of the file."""
        self._closed = True
        self._disconnect()
        if self._nothing is not None:
            self._nothing.close()

    def _connection(self) -> Connection:
        """The file's tables, or empty ones while there is no file."""
        link = self._linked(create=False)
        if link is not None:
            return link.db
        if self._nothing is None:
            self._nothing = in_memory()
        return self._nothing

    @contextmanager
    def _writable(self) -> Iterator[Connection]:
        link = self._linked(create=True)
        if link is not None and link.is_copy:
            raise NotWritable(
                f"The pool {self.path} can only be read",
                why="an earlier facepool wrote it, and bringing it up to date takes write permission",
                fix="Let its owner open it once, for example: facepool people list",
            )
        yield self._connection()

    def _before_commit(self) -> None:
        if self._link is not None:
            self._link.check()  # again: it may have waited for another process

    def _linked(self, *, create: bool) -> Link | None:
        if self._closed:
            raise ValueError(f"the pool {self.path} is closed")
        if self._link is not None:
            self._link.check()
            if self._link.outdated:
                self._disconnect()
        if self._link is None and (create or exists(self.path)):
            self._link = connect(self._file, self._timeout_s, create=create)
            self._remark_on(self._link)
            if not self._link.is_copy and key_of(self._file) is None:
                with suppress(FacepoolError):  # who asks for more than an image hears what is wrong
                    delete_misfit(self)
        return self._link

    def _remark_on(self, link: Link) -> None:
        remarks = []
        if link.kept is not None:  # said once: people who open the pool every day need not read it every day
            remarks.append(
                f"{self.path.name} was brought up to date; {link.kept.name} is the pool as it was. Delete it when all "
                "is well; erasing somebody deletes it, too."
            )
        if link.is_copy:
            remarks.append(f"{self.path.name} was written by an earlier facepool, and can only be read.")
        self._remarks += [remark for remark in remarks if remark not in self._remarks]  # it may have been opened before

    def _disconnect(self) -> None:
        if self._link is not None:
            self._link.db.close()
            self._link = None

    def wipe(self, patience_s: float = WIPING_S) -> str:
        """Write the file anew if anybody was erased, and truncate its log, in which pages are that were there before.

        Of sightings that are gone nothing but keys has to go, which the file has no more: truncating is enough. While
        somebody reads what the log has, that cannot be done; then the file remembers that it is owed.

        Args:
            patience_s: How long to wait for others.

        Returns:
            Why bytes may remain; empty: they do not.
        """
        db = self._connection()
        if not self.owed().traces:
            return ""
        try:
            with patient(db, patience_s):
                (people,) = db.execute("SELECT erased != wiped FROM state").fetchone()
                return _write_anew(db, delete_copies(self.path)) if people else _truncate_log(db)
        except database_errors() as error:
            explanation = explain(self._file, error)
            if explanation is None:
                raise
            return explanation.why

    def _remark(self, traces: str) -> None:
        self._remarks.append(traces_remain(self.path.name, traces))


def _space_id(db: Connection) -> str:
    space = read_space(db)
    return "" if space is None else space.id


def delete_copies(path: Path) -> str:
    """Delete what is kept of a pool beside it; why that could not be, or empty."""
    if why := delete_image(path):
        return why
    for copy in copies_of(path):
        try:
            copy.unlink(missing_ok=True)
        except OSError as error:
            return f"{copy.name}, which is kept of it, cannot be deleted: {error.strerror}"
    return ""


def traces_remain(name: str, why: str) -> str:
    """What users are told when the file of a name could not be wiped."""
    return f"Traces of what was removed may remain in {name} and its log: {why}."


@contextmanager
def patient(db: Connection, patience_s: float) -> Iterator[None]:
    """Wait for others this long inside the block."""
    (before_ms,) = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute(f"PRAGMA busy_timeout = {round(patience_s * 1000)}")
    try:
        yield
    finally:
        db.execute(f"PRAGMA busy_timeout = {before_ms}")


def _write_anew(db: Connection, why_copies: str) -> str:
    """Wipe a file and its log; why that could not be, or why copies of it are left, or empty."""
    erased, rewritten = db.execute("SELECT erased, rewritten FROM state").fetchone()  # others may erase meanwhile
    if rewritten != erased:
        # secure_delete alone leaves copies behind in pages that SQLite had rearranged; VACUUM writes them all anew.
        # Once: while somebody reads, each time would add the whole file to the log.
        db.execute("VACUUM")
        db.execute("UPDATE state SET rewritten = ?", (erased,))
    if why := _truncate_log(db):
        return why
    if not why_copies:
        db.execute("UPDATE state SET wiped = ?", (erased,))
    return why_copies


def _truncate_log(db: Connection) -> str:
    """Write the log to the file and cut it off; why that could not be, or empty."""
    (erased,) = db.execute("SELECT erased FROM inbox").fetchone()  # others may erase meanwhile
    (busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        return "another process is using the pool"
    db.execute("UPDATE inbox SET wiped = ? WHERE wiped != ?", (erased, erased))
    return ""
