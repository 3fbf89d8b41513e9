"""The pool in one SQLite file: the store of record."""

import sqlite3
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np

from facepool.errors import PathMissing
from facepool.files import exists
from facepool.gallery.base import new_templates, pairs_of
from facepool.gallery.calibrations import fitting
from facepool.gallery.checks import (
    check_samples,
    check_space,
    check_vectors,
    clean_name,
    clean_pair,
    name_taken,
    person_exists,
    pool_changed,
    space_needed,
    unknown_person,
    unknown_template,
)
from facepool.gallery.columns import Changes, LookAlikes, PoolMatrix
from facepool.gallery.connection import Link, connect, explain, explained
from facepool.gallery.records import (
    check_blobs,
    delete_template,
    insert_look_alikes,
    insert_person,
    insert_template,
    move_look_alikes,
    read_calibration,
    read_look_alikes,
    read_people,
    read_picture,
    read_pictured,
    read_space,
    read_state,
    read_template,
    read_templates,
    write_calibration,
    write_space,
)
from facepool.gallery.schema import snapshot
from facepool.types import Calibration, EmbeddingSpace, Floats, Person, Sample, Template

_ROWS_AT_ONCE = 8192


class SqlitePool:
    """A `Pool` in one file, ``pool.db``.

    A new pool's file is made, readable by its owner only, when the first template is stored. One that may not be
    written can be read; whatever would change it raises `NotWritable`. Every call raises `PoolError` once the file has
    been deleted or replaced.

    Args:
        path: The file.
        space: What the caller's embeddings are; None: only what the pool itself says.
        must_exist: Whether a file that does not exist is an error.
        timeout_s: How long to wait for other processes.

    Raises:
        PathMissing: The file must exist and does not.
        PoolCorrupt: The file is no pool.
        PoolTooNew: A newer facepool wrote it.
        PoolLocked: Another process kept it locked for `timeout_s`.
        SpaceMismatch: The pool holds embeddings of another space.
        NotWritable: The file may not be read.
    """

    def __init__(
        self, path: Path, space: EmbeddingSpace | None = None, *, must_exist: bool = False, timeout_s: float = 5.0
    ) -> None:
        self.path = path
        self._offered = space
        self._timeout_s = timeout_s
        self._link: Link | None = None
        self._closed = False
        self._notes: list[str] = []
        self._told: tuple[int, int, int] | None = None
        if must_exist and not exists(path):
            raise PathMissing(f"The pool {path} does not exist", fix="Register somebody first, or name another pool")
        try:
            check_space(path, self._pinned(), space)
        except BaseException:
            self.close()
            raise

    @property
    def space(self) -> EmbeddingSpace | None:
        """The space that the pool is pinned to; for a new pool, the one that it was opened with."""
        return self._pinned() or self._offered

    @property
    def dimension(self) -> int | None:
        """Length of a vector; None for a new pool without a space."""
        space = self.space
        return space.dimension if space else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the user, one line each."""
        return tuple(self._notes)

    def revision(self) -> int:
        """The number of changes since the pool was made."""
        db = self._connection()
        if db is None:
            return 0
        with explained(self.path):
            return read_state(db, self.path)[0]

    def people(self) -> list[Person]:
        """Everybody, sorted by name."""
        db = self._connection()
        if db is None:
            return []
        with explained(self.path):
            return read_people(db)

    def person(self, name: str) -> Person | None:
        """Somebody by name."""
        name = clean_name(name)
        return next((entry for entry in self.people() if entry.name == name), None)

    def templates(self, person: str | None = None) -> list[Template]:
        """The templates of one person, or of everybody, oldest first."""
        name = None if person is None else clean_name(person)
        db = self._connection()
        if db is None:
            if name is not None:
                raise unknown_person(name, ())
            return []
        with explained(self.path):
            found = read_templates(db, name, self.dimension or 0, self.path)
            if name is not None and not found:
                self._person_id(db, name)
        return found

    def template(self, template_id: int) -> Template:
        """One template."""
        db = self._connection()
        with explained(self.path):
            found = (
                read_template(db, template_id, self.dimension or 0, self.path) if db and _fits(template_id) else None
            )
        if found is None:
            raise unknown_template(template_id)
        return found

    def picture(self, template_id: int) -> bytes | None:
        """The JPEG that was stored with a template, if one was."""
        db = self._connection()
        with explained(self.path):
            row = read_picture(db, template_id) if db and _fits(template_id) else None
        if row is None:
            raise unknown_template(template_id)
        return row[0]

    def template_ids_with_image(self, person: str) -> frozenset[int]:
        """Which of a person's templates have a picture."""
        db = self._connection()
        if db is None:
            return frozenset()
        with explained(self.path):
            return read_pictured(db, clean_name(person))

    def look_alikes(self) -> frozenset[LookAlikes]:
        """Pairs of people who are easily taken for each other."""
        db = self._connection()
        if db is None:
            return frozenset()
        with explained(self.path):
            return read_look_alikes(db)

    def calibration(self) -> Calibration | None:
        """What was measured of the pool in its embedding space."""
        db = self._connection()
        if db is None:
            return None
        with explained(self.path):
            return fitting(read_calibration(db, self.path), read_space(db))

    def changes(self, since: int | None = None) -> Changes:
        """What happened since a revision; only what was appended since the last call is read."""
        db = self._connection()
        if db is None:
            none = np.zeros(0, np.int64)
            vectors = np.zeros((0, self.dimension or 0), np.float32)
            return Changes(0, none, none, vectors, (), (), none, whole=True)
        with explained(self.path), snapshot(db):
            return self._read_changes(db, since)

    def matrix(self) -> PoolMatrix:
        """All templates as they are now. Deprecated: ``changes`` and ``facepool.search.Search`` take its place."""
        warnings.warn("Pool.matrix() is deprecated: use facepool.search.Search", DeprecationWarning, stacklevel=2)
        return PoolMatrix.of(self.changes())

    def create(self, person: str) -> None:
        """Make a person known who has no templates yet."""
        name = clean_name(person)
        with self._transaction() as db:
            if not insert_person(db, name):
                raise name_taken(name)

    def register(
        self,
        person: str,
        samples: Sequence[Sample],
        space: EmbeddingSpace,
        *,
        look_alikes: Collection[str] = (),
        expected_revision: int | None = None,
    ) -> int:
        """Store samples of a new or known person, all or none."""
        templates = new_templates(person, samples, space.model)
        return self._add(templates, space, pairs_of(person, look_alikes) if templates else (), (), expected_revision)

    def add(
        self,
        templates: Sequence[Template],
        space: EmbeddingSpace | None,
        look_alikes: Collection[LookAlikes] = (),
        people: Collection[str] = (),
    ) -> int:
        """Store templates with their provenance, all or none."""
        return self._add(templates, space, look_alikes, people, None)

    def set_calibration(self, calibration: Calibration | None, *, expected_revision: int | None = None) -> None:
        """Keep what was measured of the pool in place of what was kept."""
        if calibration is None and self._connection() is None:
            return  # nothing to forget, and no file to make for it
        with self._transaction(expected_revision) as db:
            write_calibration(db, calibration)

    def rename(self, old: str, new: str) -> None:
        """Give a person another name."""
        old, new = clean_name(old), clean_name(new)
        with self._rewrite(old) as (db, person):
            if new != old and db.execute("SELECT 1 FROM persons WHERE name = ?", (new,)).fetchone():
                raise person_exists(old, new)
            db.execute("UPDATE persons SET name = ? WHERE id = ?", (new, person))

    def merge(self, source: str, target: str) -> int:
        """Give all templates of `source` to `target`; `source` is gone."""
        source, target = clean_pair(source, target)
        with self._rewrite(source) as (db, leaving):
            staying = self._person_id(db, target)
            moved = db.execute("UPDATE samples SET person_id = ? WHERE person_id = ?", (staying, leaving)).rowcount
            move_look_alikes(db, leaving, staying)
            db.execute("DELETE FROM persons WHERE id = ?", (leaving,))
        return moved

    def remove(self, person: str) -> int:
        """Erase a person and all their templates, and wipe the bytes: file and write-ahead log are written anew.

        Where another process keeps the log in use, or the disk has no room for a second copy of the file, the person
        is gone all the same, and `notes` says that traces remain.
        """
        with self._rewrite(clean_name(person)) as (db, leaving):
            (erased,) = db.execute("SELECT count(*) FROM samples WHERE person_id = ?", (leaving,)).fetchone()
            db.execute("DELETE FROM persons WHERE id = ?", (leaving,))
        self._wipe(db)
        return int(erased)

    def remove_many(self, people: Collection[str]) -> dict[str, int]:
        """Erase several people who are there in one change, and wipe the bytes as `remove` does, once."""
        names = {clean_name(person) for person in people}
        there = names.intersection(person.name for person in self.people())
        if not there:
            return {}
        with self._transaction() as db:
            erased = {person.name: person.templates for person in read_people(db) if person.name in names}
            db.executemany("DELETE FROM persons WHERE name = ?", [(name,) for name in erased])
            db.execute("UPDATE state SET rewritten = rewritten + 1")
        self._wipe(db)
        return erased

    def remove_template(self, template_id: int, person: str | None = None) -> str:
        """Erase one template and its picture, and wipe the bytes as `remove` does."""
        name = None if person is None else clean_name(person)
        if self._connection() is None or not _fits(template_id):
            raise unknown_template(template_id, name)
        with self._transaction() as db:
            owner = delete_template(db, template_id, name)
            if owner is None:
                raise unknown_template(template_id, name)
            db.execute("UPDATE state SET rewritten = rewritten + 1")
        self._wipe(db)
        return owner

    def close(self) -> None:
        """Let go of the file."""
        self._closed = True
        self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    @overload
    def _connection(self, *, create: Literal[True]) -> sqlite3.Connection: ...

    @overload
    def _connection(self, *, create: bool = ...) -> sqlite3.Connection | None: ...

    def _connection(self, *, create: bool = False) -> sqlite3.Connection | None:
        """The connection; None while there is no file."""
        if self._closed:
            raise ValueError(f"the pool {self.path} is closed")
        self._check_unmoved()
        if self._link is not None and self._link.outdated:
            self._disconnect()
        if self._link is None and (create or exists(self.path)):
            self._link = connect(self.path, self._timeout_s, create=create)
        return self._link.db if self._link else None

    def _check_unmoved(self) -> None:
        if self._link is not None:
            self._link.check()

    def _disconnect(self) -> None:
        if self._link is not None:
            self._link.db.close()
            self._link = None

    def _pinned(self) -> EmbeddingSpace | None:
        db = self._connection()
        if db is None:
            return None
        with explained(self.path):
            return read_space(db)

    def _add(
        self,
        templates: Sequence[Template],
        space: EmbeddingSpace | None,
        look_alikes: Collection[LookAlikes],
        people: Collection[str],
        expected_revision: int | None,
    ) -> int:
        names = [clean_name(template.person) for template in templates]
        bare = [clean_name(name) for name in people]
        if not templates and not look_alikes and not bare:
            return 0
        pinned = self.space
        space = space or pinned
        if space is None and templates:
            raise space_needed(self.path)
        check_space(self.path, pinned, space)
        check_samples([template.sample for template in templates], space.dimension if space else None)
        with self._transaction(expected_revision) as db:
            if space is not None and templates:
                self._pin(db, space)
            for name in bare:
                insert_person(db, name)
            for name, template in zip(names, templates, strict=True):
                insert_template(db, name, template)
            for pair in look_alikes:
                insert_look_alikes(db, *(self._person_id(db, name) for name in pair))
        return len(templates)

    @contextmanager
    def _rewrite(self, person: str) -> Iterator[tuple[sqlite3.Connection, int]]:
        """A transaction that does more than append; gives the number of the person whom it is about."""
        if self._connection() is None:
            raise unknown_person(person, ())
        with self._transaction() as db:
            yield db, self._person_id(db, person)
            db.execute("UPDATE state SET rewritten = rewritten + 1")

    @contextmanager
    def _transaction(self, expected_revision: int | None = None) -> Iterator[sqlite3.Connection]:
        """One change, undone by whatever is raised inside, Ctrl-C included."""
        db = self._connection(create=True)
        with explained(self.path):
            db.execute("BEGIN IMMEDIATE")
            try:
                self._check_unmoved()  # again: it may have waited for another process
                self._check_revision(db, expected_revision)
                yield db
                db.execute("UPDATE state SET revision = revision + 1")
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # SQLite undoes by itself where the disk failed
                    db.execute("ROLLBACK")
                raise

    def _check_revision(self, db: sqlite3.Connection, expected: int | None) -> None:
        revision, _ = read_state(db, self.path)
        if expected is not None and revision != expected:
            raise pool_changed(self.path)

    def _pin(self, db: sqlite3.Connection, space: EmbeddingSpace) -> None:
        pinned = read_space(db)  # anew: another process may have stored the first template just now
        check_space(self.path, pinned, space)
        if pinned is None:
            write_space(db, space)

    def _person_id(self, db: sqlite3.Connection, name: str) -> int:
        row = db.execute("SELECT id FROM persons WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise unknown_person(name, [known for (known,) in db.execute("SELECT name FROM persons")])
        return int(row[0])

    def _read_changes(self, db: sqlite3.Connection, since: int | None) -> Changes:
        revision, rewritten = read_state(db, self.path)
        appended = self._told is not None and self._told[:2] == (since, rewritten)
        last = self._told[2] if self._told and appended else 0
        owners = dict(db.execute("SELECT id, name FROM persons").fetchall())
        place_of = {owner: place for place, owner in enumerate(owners)}
        ids, owner_ids, vectors = self._read_vectors(db, last)
        self._told = (revision, rewritten, int(ids.max(initial=last)))
        return Changes(
            revision,
            ids,
            np.array([place_of[owner] for owner in owner_ids.tolist()], np.intp),
            vectors,
            tuple(map(str, owners)),
            tuple(owners.values()),
            ids[:0],
            read_look_alikes(db),
            fitting(read_calibration(db, self.path), read_space(db)),
            whole=not appended,
        )

    def _read_vectors(self, db: sqlite3.Connection, last: int) -> tuple[Any, Any, Floats]:
        dimension = self.dimension or 0
        newer = "FROM templates JOIN samples ON samples.id = templates.sample_id WHERE templates.id > ?"
        (count,) = db.execute(f"SELECT count(*) {newer}", (last,)).fetchone()
        ids, owner_ids = np.empty(count, np.int64), np.empty(count, np.int64)
        vectors = np.empty((count, dimension), np.float32)
        rows = db.execute(f"SELECT templates.id, samples.person_id, templates.embedding {newer}", (last,))
        # In parts: a million rows as Python objects take several times the memory of the matrix.
        for first in range(0, count, _ROWS_AT_ONCE):
            part = slice(first, min(first + _ROWS_AT_ONCE, count))
            ids[part], owner_ids[part], blobs = zip(*rows.fetchmany(_ROWS_AT_ONCE), strict=True)
            check_blobs(blobs, dimension, self.path)
            vectors[part] = np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), dimension)
        check_vectors(vectors, what=f"The pool {self.path} is damaged: its row")
        return ids, owner_ids, vectors

    def _wipe(self, db: sqlite3.Connection) -> None:
        # secure_delete alone leaves copies behind in pages that SQLite had rearranged; VACUUM writes them all anew.
        try:
            db.execute("VACUUM")
            (busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            why = "another process is using the pool" if busy else ""
        except sqlite3.OperationalError as error:
            explanation = explain(self.path, error)
            if explanation is None:
                raise
            why = explanation.why
        if why:
            self._notes.append(f"Traces of what was removed may remain in {self.path.name} and its log: {why}.")


def _fits(number: int) -> bool:
    """Whether SQLite can hold a number; others are nobody's."""
    return 0 < number < 1 << 63
