"""Galleries in SQL: what is asked of the tables, in statements that SQLite and PostgreSQL both understand.

What differs, `sqlite` and `postgres` have: how a change begins and ends, what errors mean, how bytes are wiped.
"""

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Self
from uuid import uuid4

import numpy as np

from facepool.files import exists, only_writer
from facepool.gallery.address import PoolAddress, beside
from facepool.gallery.base import OpenFiles, check_gallery, new_templates
from facepool.gallery.batches import Stored, TemplateBatch, count_of_uuids, read_pictures, read_rows, read_views, store
from facepool.gallery.checks import (
    check_batch,
    check_samples,
    check_space,
    check_vectors,
    clean_name,
    clean_pair,
    damaged,
    find_name,
    folded,
    gallery_changed,
    index_busy,
    name_taken,
    pairs_of,
    person_exists,
    space_needed,
    unknown_template,
)
from facepool.gallery.columns import Changes, LookAlikes, Numbers, PoolMatrix
from facepool.gallery.consents import add_consents, clean_consent, move_consents, read_consents, store_consent
from facepool.gallery.database import Database
from facepool.gallery.details import Details, missing, store_details, united
from facepool.gallery.driver import Connection
from facepool.gallery.image import ImagedGallery, delete_image
from facepool.gallery.inbox import Inbox
from facepool.gallery.listing import (
    GallerySize,
    PeoplePage,
    Wanted,
    count_people,
    names_near,
    people_of,
    read_names,
    read_page,
    read_size,
)
from facepool.gallery.notices import Action, Notice, Owed, logs_beside, now
from facepool.gallery.rows import (
    ONE_MORE_ERASED,
    PEOPLE,
    TEMPLATES,
    calibration_of,
    columns_of,
    delete_learned_from,
    delete_person,
    find_or_insert_person,
    find_person,
    fits,
    has_templates,
    insert_look_alikes,
    insert_person,
    insert_template,
    look_alikes_of,
    move_look_alikes,
    read_look_alikes,
    read_notices,
    read_space,
    row_of_person,
    template_of,
    uuid_of,
    write_calibration,
    write_notice,
    write_space,
)
from facepool.gallery.schema import CONTENT, SEEN, count_of, uuid_bytes, uuid_text
from facepool.gallery.seen import put_seen_back, read_seen
from facepool.gallery.sighting_rows import delete_empty_groups, move_sightings, next_revision
from facepool.types import Calibration, Consent, EmbeddingSpace, Floats, Indices, Person, Sample, Template

_ROWS_AT_ONCE = 8192
_VECTORS_AT_ONCE = 1024
"""So many fit into a core's cache, twice."""
WIPING_S = 1.0
"""How long an erasure waits for others who use the files: what is left over is wiped later."""
TRACES = "SELECT state.erased != state.wiped OR inbox.erased != inbox.wiped FROM state, inbox"
"""Whether bytes are left of what was erased."""
_ORPHANS = "FROM sighting_keys WHERE NOT EXISTS (SELECT 1 FROM sightings WHERE id = sighting_keys.sighting_id)"
_NO_LIMIT = 1 << 62
_EVERYTHING = -(1 << 63)
"""A revision before that of any row."""
_OLDEST_PERSON = "SELECT min(revision) FROM persons"
_OLDEST_TEMPLATE = "SELECT min(revision) FROM templates"
_ALL_VECTORS = """
    SELECT templates.id, samples.person_id, templates.embedding
    FROM templates JOIN samples ON samples.id = templates.sample_id
"""
_NEWER = "WHERE templates.revision > ?"
_OWNERS_OF_NEWER = """
    SELECT DISTINCT persons.id, persons.uuid, persons.name FROM templates
    JOIN samples ON samples.id = templates.sample_id JOIN persons ON persons.id = samples.person_id
    WHERE templates.revision > ? AND persons.revision <= ?
"""


class _NothingStored(Exception):
    """Everything was there already; undoes the change, which has changed nothing."""

    def __init__(self, stored: Stored) -> None:
        super().__init__()
        self.stored = stored


class SqlGallery(ABC):
    """A `Gallery` in tables, wherever those are.

    Args:
        address: Where it is.
        space: What the caller's embeddings are; None: only what the gallery itself says.

    Attributes:
        changes_made: How many changes of people were made with it.
        after_change: Is called after each of them, in the thread that made it; it must not raise.
    """

    keeps_images = True
    """Whether there is room for pictures."""
    rows_at_once = 16384
    """How many templates are best stored in one change."""

    def __init__(self, address: PoolAddress, space: EmbeddingSpace | None) -> None:
        self.address = address
        self._offered = space
        self._noted: list[Notice] | None = None
        self._caller = ""
        self.changes_made = 0
        self.after_change: Callable[[], None] | None = None
        self._remarks: list[str] = []
        self._revised: int | None = None
        self._inbox = Inbox(self)

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Database]:
        """The tables as they are now, for reading."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Database]:
        """The tables, for several queries that see the gallery at one moment."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Database]:
        """The tables, for a change that is the only one at its time; whatever is raised inside the block undoes it."""

    @abstractmethod
    def _before_commit(self) -> None:
        """What has to succeed for a change to take place; what it raises undoes the change."""

    @abstractmethod
    def wipe(self, patience_s: float = WIPING_S) -> str:
        """Leave no bytes behind of what was erased; why that could not be, or empty."""

    @abstractmethod
    def _remark(self, traces: str) -> None:
        """Remember for `notes` why bytes of what was erased are still there."""

    @contextmanager
    def index_turn(self, patience_s: float) -> Iterator[None]:
        """The turn of this process to bring an index up to date; it ends with the process, however that ends.

        Args:
            patience_s: How long to wait for others.

        Raises:
            PoolLocked: Another process takes longer.
            NotWritable: Nothing may be written beside the gallery.
        """
        with only_writer(beside(self.address, ".follows.lock"), patience_s, index_busy(self.address)):
            yield

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the user, one line each."""
        return tuple(self._remarks)

    def remark(self, words: str) -> None:
        """Have `notes` say something, once."""
        if words not in self._remarks:
            self._remarks.append(words)

    @property
    @abstractmethod
    def open_files(self) -> OpenFiles:
        """What it is open on now."""

    @property
    def inbox(self) -> Inbox:
        """What is kept of people who were seen."""
        return self._inbox

    @property
    def imaged(self) -> ImagedGallery | None:
        """The same gallery, where an image of its index may lie on the disk; None: no image may."""
        return None

    def _leave_image(self) -> None:
        """After a change that takes a person, a name or a template away: have the image go, which still has it."""
        if self.imaged is not None and (why := delete_image(self.imaged.path)):
            self._remark(why)

    @abstractmethod
    def _next_ids(self, db: Database, table: str, count: int) -> Sequence[int]:
        """So many numbers of a table that no row has had, for a change that is the only one at its time."""

    @abstractmethod
    def _drop_vector_index(self, db: Database) -> None:
        """Let go of an index that takes vectors of one length only, if there is one."""

    @abstractmethod
    def _insert_rows(self, db: Database, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Store many rows in the way that is the fastest here."""

    @abstractmethod
    def copy_to(self, target: Connection, report: Callable[[int, int], None]) -> None:
        """Copy all tables as they are at one moment; others may change the gallery meanwhile.

        Args:
            target: An empty database.
            report: Is told how much is copied, of how much.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the files."""

    @property
    def space(self) -> EmbeddingSpace | None:
        """What the vectors are; for a gallery without templates that does not say, what it was opened with."""
        with self._reading() as db:
            return read_space(db) or (None if has_templates(db) else self._offered)

    @property
    def dimension(self) -> int | None:
        """Length of a vector; None for a new gallery without a space."""
        with self._reading() as db:
            return self._dimension(db)

    def revision(self) -> int:
        """A number that differs after any process has changed the gallery."""
        with self._reading() as db:
            return self._read_revision(db)

    def people(self) -> list[Person]:
        """Everybody, sorted by name."""
        with self._reading() as db:
            rows = db.execute(f"{PEOPLE} GROUP BY persons.id").fetchall()
            return sorted(people_of(db, rows), key=lambda person: person.name)

    def people_page(
        self,
        prefix: str = "",
        *,
        part: str = "",
        tag: str = "",
        external_id: str = "",
        after: str = "",
        offset: int = 0,
        limit: int = 100,
    ) -> PeoplePage:
        """Some people, in the order of their names without regard to case."""
        with self._reading() as db:
            return read_page(db, Wanted(prefix, part, after, tag, external_id), limit, offset)

    def count_people(self, prefix: str = "", *, part: str = "", tag: str = "", external_id: str = "") -> int:
        """How many people `people_page` would give in all."""
        with self._reading() as db:
            return count_people(db, Wanted(prefix, part, "", tag, external_id))

    def names(self) -> list[str]:
        """All names, in the order of `people_page`."""
        with self._reading() as db:
            return read_names(db)

    def names_near(self, name: str) -> list[str]:
        """Names among which the right one may be for one that nobody has."""
        with self._reading() as db:
            return names_near(db, name)

    def size(self) -> GallerySize:
        """How many people and templates there are."""
        with self._reading() as db:
            return read_size(db)

    def person(self, name: str) -> Person | None:
        """Somebody by name."""
        with self._reading() as db:
            return _person_where(db, "name", find_name(name))

    def person_by_id(self, person_id: str) -> Person | None:
        """Somebody by id."""
        with self._reading() as db:
            return _person_where(db, "uuid", uuid_bytes(person_id))

    def templates(self, person: str | None = None, *, offset: int = 0, limit: int | None = None) -> list[Template]:
        """The templates of one person, or of everybody, oldest first."""
        name = None if person is None else find_name(person)
        page = (_NO_LIMIT if limit is None else limit, offset)
        with self._reading() as db:
            if name is None:
                which = "SELECT id FROM templates ORDER BY id LIMIT ? OFFSET ?"  # alone: what is left out costs less
                query = f"{TEMPLATES} WHERE templates.id IN ({which}) ORDER BY templates.id"
                rows = db.execute(query, page).fetchall()
            else:
                row_of_person(db, name)
                whose = "WHERE persons.name = ? ORDER BY templates.id LIMIT ? OFFSET ?"
                rows = db.execute(f"{TEMPLATES} {whose}", (name, *page)).fetchall()
            self._check_blobs(db, [row[4] for row in rows])
            return [template_of(row) for row in rows]

    def template(self, template_id: int) -> Template:
        """One template."""
        with self._reading() as db:
            row = None
            if fits(template_id):
                row = db.execute(f"{TEMPLATES} WHERE templates.id = ?", (template_id,)).fetchone()
            if row is None:
                raise unknown_template(template_id)
            self._check_blobs(db, [row[4]])
            return template_of(row)

    def template_number(self, template_uuid: str) -> int | None:
        """The number of the template of a UUID."""
        with self._reading() as db:
            row = db.execute("SELECT id FROM templates WHERE uuid = ?", (uuid_bytes(template_uuid),)).fetchone()
            return int(row[0]) if row else None

    def picture(self, template_id: int) -> bytes | None:
        """The JPEG that was stored with a template, if one was."""
        query = """SELECT pictures.jpeg FROM templates
            LEFT JOIN pictures ON pictures.sample_id = templates.sample_id WHERE templates.id = ?"""
        with self._reading() as db:
            row = db.execute(query, (template_id,)).fetchone() if fits(template_id) else None
            if row is None:
                raise unknown_template(template_id)
            jpeg: bytes | None = row[0]
            return jpeg

    def template_ids_with_image(self, person: str | None = None) -> frozenset[int]:
        """Which templates of one person, or of everybody, have a picture."""
        query = "SELECT templates.id FROM templates JOIN pictures ON pictures.sample_id = templates.sample_id"
        with self._reading() as db:
            if person is None:
                return frozenset(number for (number,) in db.execute(query))
            query += """ JOIN samples ON samples.id = templates.sample_id
                JOIN persons ON persons.id = samples.person_id WHERE persons.name = ?"""
            return frozenset(number for (number,) in db.execute(query, (find_name(person),)))

    def look_alikes(self, person: str | None = None) -> frozenset[LookAlikes]:
        """Pairs of people who are easily taken for each other, of everybody or of one person."""
        with self._reading() as db:
            return read_look_alikes(db) if person is None else look_alikes_of(db, find_name(person))

    def calibration(self) -> Calibration | None:
        """What was measured of the gallery in its embedding space."""
        with self._reading() as db:
            return self._fitting_calibration(db)

    def changes(self, since: int | None = None) -> Changes:
        """What happened since a revision."""
        with self.reading() as db:
            return self._changes(db, since)

    def matrix(self) -> PoolMatrix:
        """All templates as they are now. Deprecated: ``changes`` and ``facepool.search.Search`` take its place."""
        warnings.warn("Pool.matrix() is deprecated: use facepool.search.Search", DeprecationWarning, stacklevel=2)
        return PoolMatrix.of(self.changes())

    @contextmanager
    def noting(self, caller: str) -> Iterator[list[Notice]]:
        """Changes inside the block leave notices for the logs, and bytes to be wiped when these are settled."""
        if self._noted is not None:
            raise ValueError(f"changes of {self.address} are noted already")
        self._caller, self._noted = caller, []
        try:
            yield self._noted
        finally:
            self._noted = None

    def make_tables(self) -> None:
        """Have the tables there, with nobody in them, before anybody is stored."""
        with self._writing():
            pass

    @property
    def has_logs(self) -> bool:
        """Whether a server keeps logs beside it."""
        return exists(logs_beside(self.address))

    def owed(self) -> Owed:
        """What was promised and is not done yet."""
        with self.reading() as db:
            (traces,) = db.execute(TRACES).fetchone()
            return Owed(read_notices(db), traces=bool(traces))

    def forget_notices(self, uuids: Sequence[str]) -> None:
        """Delete notices that the logs were told."""
        with self._writing() as db:
            before = _erased_in_notices(db)
            db.executemany("DELETE FROM notices WHERE uuid = ?", [(uuid_bytes(uuid),) for uuid in uuids])
            if _erased_in_notices(db) != before:  # they named those whom nothing may name any more
                db.execute(ONE_MORE_ERASED)
            self._before_commit()

    def create(self, person: str) -> None:
        """Make a person known who has no templates yet."""
        name = clean_name(person)
        with self._change() as (db, revision):
            if find_person(db, name) is not None:
                raise name_taken(name)
            row = insert_person(db, name, None, revision)
            self.note(db, "created", name, row)

    def register(
        self,
        person: str,
        samples: Sequence[Sample],
        space: EmbeddingSpace,
        *,
        look_alikes: Collection[str] = (),
        expected_revision: int | None = None,
        consent: Consent | None = None,
    ) -> int:
        """Store samples of a new or known person, and to what they have agreed, all or none."""
        pairs = pairs_of(person, look_alikes)
        consent = None if consent is None else clean_consent(consent)
        if not samples:
            return 0
        templates = new_templates(person, samples, space.model)
        return self._add(
            templates, space, pairs, (), expected_revision, registering=clean_name(person), consent=consent
        )

    def add(
        self,
        templates: Sequence[Template],
        space: EmbeddingSpace | None,
        look_alikes: Collection[LookAlikes] = (),
        people: Collection[Person | str] = (),
    ) -> int:
        """Store templates with their provenance, all or none."""
        return self._add(templates, space, look_alikes, people, None)

    def batch(self, after: int = 0, limit: int | None = None, *, with_images: bool = True) -> TemplateBatch:
        """Templates in the order of their numbers, as columns."""
        with self._reading() as db:
            rows = read_rows(db, after, self.rows_at_once if limit is None else limit)
            columns = tuple(zip(*rows, strict=True)) or ((),) * 8
            ids, uuids, names, person_uuids, blobs, created_at, models = columns[:7]
            self._check_blobs(db, blobs)
            vectors = np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), self._dimension(db) or 0)
            return TemplateBatch(
                names=names,
                person_uuids=person_uuids,
                vectors=vectors.astype(np.float32),
                uuids=uuids,
                created_at=created_at,
                models=models,
                samples=[row[7:] for row in rows],
                pictures=read_pictures(db, ids, after) if ids and with_images and self.keeps_images else {},
                last_id=ids[-1] if ids else after,
            )

    def load(self, batch: TemplateBatch, space: EmbeddingSpace | None) -> Stored:
        """Store those of a batch that are not there yet, all or none."""
        if not len(batch):
            return Stored()
        space = space or self.space
        if space is None:
            raise space_needed(self.address)
        check_gallery(self, space)
        check_batch(batch.vectors, space.dimension)
        clean = {name: clean_name(name) for name in dict.fromkeys(batch.names)}
        batch = replace(batch, names=[clean[name] for name in batch.names])
        try:
            return self._load(batch, space)
        except _NothingStored as nothing:
            return nothing.stored

    def _load(self, batch: TemplateBatch, space: EmbeddingSpace) -> Stored:
        with self._change() as (db, revision):
            self._pin(db, space)
            stored, anything = store(
                db,
                batch,
                revision,
                partial(self._next_ids, db),
                partial(self._insert_rows, db),
                with_images=self.keeps_images,
            )
            if not anything:
                raise _NothingStored(stored)  # which undoes the change
            self.note(db, "imported a pool", detail=_views(stored.added))
        return stored

    def count_of(self, uuids: Collection[bytes]) -> int:
        """How many templates there are of some UUIDs."""
        with self._reading() as db:
            return count_of_uuids(db, uuids)

    def views(self, people: Collection[str]) -> dict[str, dict[bytes, bytes]]:
        """For each of some people who are there, SHA-256 of their vectors, each with that of its picture."""
        with self._reading() as db:
            return read_views(db, people)

    def set_calibration(self, calibration: Calibration | None, *, expected_revision: int | None = None) -> None:
        """Keep what was measured of the gallery in place of what was kept."""
        with self._reading() as db:
            if calibration is None and self._calibration(db) is None:
                return
        with self._change(expected_revision) as (db, _):
            write_calibration(db, calibration)
            self.note(db, "forgot the calibration" if calibration is None else "calibrated the pool")

    def replace_vectors(
        self, vectors: Mapping[int, Floats], space: EmbeddingSpace, *, expected_revision: int | None = None
    ) -> None:
        """Give all templates vectors of another space, all or none, and wipe the bytes of the old ones."""
        if vectors:
            check_batch(np.stack(list(vectors.values())), space.dimension)
        with self._change(expected_revision) as (db, revision):
            self._drop_vector_index(db)
            db.execute("DELETE FROM space")
            write_space(db, space)
            held = [int(row[0]) for row in db.execute("SELECT id FROM templates").fetchall()]
            gone = [number for number in held if number not in vectors]
            db.executemany("INSERT INTO removed_templates VALUES (?, ?)", [(number, revision) for number in gone])
            db.executemany(
                "DELETE FROM samples WHERE id = (SELECT sample_id FROM templates WHERE id = ?)",
                [(number,) for number in gone],
            )
            db.executemany(
                "UPDATE templates SET embedding = ?, model = ?, revision = ? WHERE id = ?",
                [
                    (np.ascontiguousarray(vector, "<f4"), space.model, revision, number)
                    for number, vector in vectors.items()
                ],
            )
            db.execute("UPDATE persons SET revision = ?", (revision,))  # nobody who follows has anything to go on with
            write_calibration(db, None)
            for table in ("sightings", "suggestions", "journal"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608 -- tables of ours
            delete_empty_groups(db)
            next_revision(db)
            self.forget_keys(db)
            db.execute(ONE_MORE_ERASED)
            self.note(db, "took the pool to another model", detail=space.model)
        self.wipe_after(people=True)

    def rename(self, old: str, new: str) -> None:
        """Give a person another name."""
        old, new = find_name(old), clean_name(new)
        with self._change_of(old) as (db, person, revision):
            self._rename(db, person, old, new, revision)
        self._leave_image()

    def _rename(self, db: Database, person: int, old: str, new: str, revision: int) -> None:
        if new != old and find_person(db, new) is not None:
            raise person_exists(old, new)
        values = (new, folded(new), revision, person)
        db.execute("UPDATE persons SET name = ?, folded = ?, revision = ? WHERE id = ?", values)
        self.note(db, "renamed", new, person, old)

    def describe(self, person: str, details: Details, *, name: str | None = None) -> Person:
        """Keep what is to be known of somebody, and give them another name, in one change."""
        old, new, details = find_name(person), None if name is None else clean_name(name), details.cleaned()
        with self._change_of(old) as (db, row, revision):
            if new is not None and new != old:
                self._rename(db, row, old, new, revision)
            before = _person_where(db, "id", row)
            if before is None:
                raise damaged(self.address, "it has lost somebody")
            after = details.applied(before)
            if changed := store_details(db, row, before, after):
                self.note(db, "described", after.name, row, ", ".join(changed))
        if new not in (None, old):
            self._leave_image()
        return after

    def add_details(self, people: Collection[Person]) -> int:
        """Keep what is known of people elsewhere, as far as it is not known here."""
        known = [(clean_name(one.name), one) for one in people if one.notes or one.tags or one.external_id]
        if not known:
            return 0
        added = 0
        with self._change() as (db, _):
            for name, elsewhere in known:
                row = find_person(db, name)
                here = None if row is None else _person_where(db, "id", row)
                if row is None or here is None:
                    continue
                taken = _person_where(db, "external_id", elsewhere.external_id) if elsewhere.external_id else None
                lacking = replace(elsewhere, external_id="") if taken is not None and taken.id != here.id else elsewhere
                added += bool(store_details(db, row, here, missing(here, lacking)))
        return added

    def consents(self, person: str) -> tuple[Consent, ...]:
        """To what somebody has agreed, oldest first."""
        name = find_name(person)
        with self._reading() as db:
            row_of_person(db, name)
            return read_consents(db, [name]).get(name, ())

    def consents_of(self, people: Collection[str]) -> dict[str, tuple[Consent, ...]]:
        """To what some people have agreed, by name; nobody who is not there or has agreed to nothing."""
        with self._reading() as db:
            return read_consents(db, [*people])

    def record_consent(self, person: str, consent: Consent) -> Consent:
        """Keep that somebody has agreed to something, beside what they have agreed to before."""
        name, consent = find_name(person), clean_consent(consent)
        with self._change_of(name) as (db, row, _):
            return self._keep_consent(db, name, row, consent)

    def add_consents(self, consents: Mapping[str, Collection[Consent]]) -> int:
        """Keep to what people have agreed elsewhere, as far as it is not kept here."""
        if not any(consents.values()):
            return 0
        added = 0
        with self._change() as (db, _):
            for name, theirs in consents.items():
                row = find_person(db, clean_name(name))
                added += 0 if row is None else add_consents(db, row, theirs)
        return added

    def _keep_consent(self, db: Database, name: str, row: int, consent: Consent) -> Consent:
        kept = store_consent(db, row, consent)
        self.note(db, "recorded consent", name, row, kept.method)
        return kept

    def merge(self, source: str, target: str) -> int:
        """Give all templates of `source` to `target`; `source` is gone."""
        source, target = clean_pair(source, target)
        with self._change_of(source) as (db, leaving, revision):
            staying = row_of_person(db, target)
            self._unite(db, leaving, staying)
            moved = db.execute(
                """UPDATE templates SET revision = ?
                WHERE sample_id IN (SELECT id FROM samples WHERE person_id = ?)""",
                (revision, leaving),
            ).rowcount
            db.execute("UPDATE samples SET person_id = ? WHERE person_id = ?", (staying, leaving))
            move_look_alikes(db, leaving, staying)
            move_sightings(db, leaving, staying)
            move_consents(db, leaving, staying)
            db.execute("DELETE FROM persons WHERE id = ?", (leaving,))
            self.note(db, "merged", target, staying, source)
        self._leave_image()
        return moved

    def _unite(self, db: Database, leaving: int, staying: int) -> None:
        """Give what is known of a person to another who takes their place."""
        gone, one = (_person_where(db, "id", row) for row in (leaving, staying))
        if gone is not None and one is not None:
            db.execute("UPDATE persons SET external_id = '' WHERE id = ?", (leaving,))
            store_details(db, staying, one, united(one, gone))

    def remove(self, person: str) -> int:
        """Erase a person and all their templates, and wipe the bytes."""
        name = find_name(person)
        with self._change_of(name) as (db, leaving, revision):
            self.note(db, "erased", name, leaving)
            erased = delete_person(db, leaving, revision)
            self.forget_keys(db)
        self.wipe_after(people=True)
        return erased

    def remove_many(self, people: Collection[str]) -> dict[str, int]:
        """Erase several people who are there in one change, and wipe the bytes as `remove` does, once."""
        names = sorted({find_name(person) for person in people})
        with self._reading() as db:
            if not any(find_person(db, name) for name in names):
                return {}
        with self._change() as (db, revision):
            rows = {name: find_person(db, name) for name in names}
            for name, row in rows.items():
                self.note(db, "erased", name, row)  # logs may speak of those, too, who are not there
            erased = {name: delete_person(db, row, revision) for name, row in rows.items() if row is not None}
            self.forget_keys(db)
        self.wipe_after(people=True)
        return erased

    def remove_template(self, template_id: int, person: str | None = None) -> str:
        """Erase one template and its picture, and wipe the bytes as `remove` does."""
        name = None if person is None else find_name(person)
        with self._reading() as db:
            self._check_owner(db, template_id, name)
        with self._change() as (db, revision):
            sample, owner = self._check_owner(db, template_id, name)
            (uuid,) = db.execute("SELECT uuid FROM templates WHERE id = ?", (template_id,)).fetchone()
            db.execute("INSERT INTO removed_templates VALUES (?, ?)", (template_id, revision))
            db.execute("DELETE FROM samples WHERE id = ?", (sample,))
            delete_learned_from(db, bytes(uuid), row_of_person(db, owner), revision)
            db.execute(ONE_MORE_ERASED)
            self.note(db, "erased_sample", owner, row_of_person(db, owner), str(template_id))
        self.wipe_after(people=True)
        return owner

    def take_over(
        self,
        source: Connection,
        prepare: Callable[[Database], None],
        report: Callable[[int, int], None],
    ) -> None:
        """Put the people of a copy into the place of those who are here, in one change that everybody follows.

        Args:
            source: Tables of today's version, all of which were verified.
            prepare: Is given the tables of this gallery before the copy is read; nobody else changes them.
            report: Is told how many rows were stored, of how many.
        """
        with self._change() as (db, revision):
            prepare(db)
            self._replace_content(db, source, revision, report)
            self.note(db, "restored the pool", detail=_views(count_of(db, "templates")))
        self._leave_image()

    def forget_what_was(self) -> None:
        """Leave no bytes behind of what `take_over` has replaced."""
        with self._writing() as db:
            db.execute(ONE_MORE_ERASED)
        if why := self.wipe():
            self._remark(why)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    @contextmanager
    def _change(self, expected_revision: int | None = None) -> Iterator[tuple[Database, int]]:
        """One change of people, all or nothing; gives the revision that it leads to, too."""
        with self.changing() as db:
            yield db, self.revise(db, expected_revision)

    @contextmanager
    def changing(self) -> Iterator[Database]:
        """One change, all or nothing. Without `revise`, the revision stays: searches have nothing to follow."""
        self._revised = None
        with self._writing() as db:
            yield db
            self._before_commit()
        before = self.changes_made
        self.changes_made += self._revised is not None
        if self.after_change is not None and self.changes_made != before:
            self.after_change()

    def revise(self, db: Database, expected_revision: int | None = None) -> int:
        """Say that a change is one of people; the revision that it leads to, the same each time that it is said.

        Args:
            db: Of the change.
            expected_revision: The revision that the decision to change rests on; None: whatever it is now.

        Raises:
            PoolChanged: The gallery is of another revision.
        """
        before = self._read_revision(db) if self._revised is None else self._revised - 1
        if expected_revision is not None and before != expected_revision:
            raise gallery_changed(self.address)
        if self._revised is None:
            self._revised = before + 1
            self._write_revision(db, self._revised)
        return before + 1

    def pin_offered(self, db: Database) -> int | None:
        """Pin a gallery to the space that it was opened with, if it has none yet; its dimension, if it is known."""
        if self._offered is not None:
            self._pin(db, self._offered)
        return self._dimension(db)

    def forget_keys(self, db: Database) -> None:
        """Delete the keys of sightings that are gone, after which what is left of these is to be wiped."""
        if db.execute(f"SELECT 1 {_ORPHANS} LIMIT 1").fetchone():
            self._delete_orphans(db)
            db.execute("UPDATE inbox SET erased = erased + 1")

    def _delete_orphans(self, db: Database) -> None:
        db.execute(f"DELETE {_ORPHANS}")

    def _write_revision(self, db: Database, revision: int) -> None:
        """Count a change."""
        db.execute("UPDATE state SET revision = ?", (revision,))

    def note(
        self,
        db: Database,
        action: Action,
        person: str = "",
        row: int | None = None,
        detail: str = "",
    ) -> None:
        """Leave a notice of a change, as a part of it, if there is somebody to tell.

        Args:
            db: Of the change.
            action: What it does.
            person: To whom; empty: nobody in particular.
            row: Theirs; None: they are not there.
            detail: As `Notice` has it.
        """
        if self._noted is None:
            return
        person_id = "" if row is None else uuid_text(uuid_of(db, row))
        revision = self._read_revision(db) if self._revised is None else self._revised
        notice = Notice(str(uuid4()), now(), self._caller, action, person, person_id, detail, revision)
        write_notice(db, notice)
        self._noted.append(notice)

    def wipe_after(self, *, people: bool) -> None:
        """After an erasure leave no bytes behind; where logs are to be told first, that is left to who tells them.

        Args:
            people: Whether people or templates are gone, and not only what was kept of who was seen.
        """
        if people:
            self._leave_image()
        # Notices may still name who was erased, and are wiped, too.
        patience_s = WIPING_S if people else 0.0  # cameras do not wait
        if self._noted is None and (why := self.wipe(patience_s)) and people:
            self._remark(why)

    @contextmanager
    def _change_of(self, name: str) -> Iterator[tuple[Database, int, int]]:
        """A change to somebody who is there, whose row it gives; a gallery without them is not even locked."""
        with self._reading() as db:
            row_of_person(db, name)
        with self._change() as (db, revision):
            yield db, row_of_person(db, name), revision

    def _add(
        self,
        templates: Sequence[Template],
        space: EmbeddingSpace | None,
        look_alikes: Collection[LookAlikes],
        people: Collection[Person | str],
        expected_revision: int | None,
        *,
        registering: str | None = None,
        consent: Consent | None = None,
    ) -> int:
        names = [clean_name(template.person) for template in templates]
        ids_of = {clean_name(one): "" for one in people if isinstance(one, str)}
        ids_of.update((clean_name(one.name), one.id) for one in people if isinstance(one, Person))
        if not templates and not look_alikes and not ids_of:
            return 0
        space = space or self.space
        if space is None and templates:
            raise space_needed(self.address)
        if space is not None:
            check_gallery(self, space)
        check_samples([template.sample for template in templates], space.dimension if space else None)
        for name, template in zip(names, templates, strict=True):
            ids_of[name] = ids_of.get(name) or template.person_id
        with self._change(expected_revision) as (db, revision):
            if space is not None and templates:
                self._pin(db, space)
            rows = {name: find_or_insert_person(db, name, uuid, revision) for name, uuid in ids_of.items()}
            for name, template in zip(names, templates, strict=True):
                insert_template(db, rows[name], template, revision, with_image=self.keeps_images)
            for pair in look_alikes:
                insert_look_alikes(db, *(row_of_person(db, name) for name in pair))
            if registering is not None:
                self._note_registration(db, registering, rows[registering], len(templates), consent)
            elif rows:
                self.note(db, "imported a pool", detail=_views(len(templates)))
        return len(templates)

    def _note_registration(self, db: Database, name: str, row: int, views: int, consent: Consent | None) -> None:
        self.note(db, "registered", name, row, _views(views))
        if consent is not None:
            self._keep_consent(db, name, row, consent)

    def _pin(self, db: Database, space: EmbeddingSpace) -> None:
        pinned = read_space(db)  # anew: another process may have stored the first template just now
        check_space(self.address, pinned, space)
        if pinned is None and not has_templates(db):
            write_space(db, space)

    def _dimension(self, db: Database) -> int | None:
        space = read_space(db)
        if space is not None:
            return space.dimension
        row = db.execute("SELECT embedding FROM templates LIMIT 1").fetchone()
        if row is not None:
            return len(row[0]) // 4
        return self._offered.dimension if self._offered else None

    def _read_revision(self, db: Database) -> int:
        row = db.execute("SELECT revision FROM state").fetchone()
        if row is None:
            raise damaged(self.address, "it does not say its revision")
        return int(row[0])

    def _calibration(self, db: Database) -> Calibration | None:
        row = db.execute("SELECT content FROM calibration").fetchone()
        if row is None:
            return None
        try:
            return calibration_of(json.loads(row[0]))
        except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
            raise damaged(self.address, f"its calibration cannot be read ({type(error).__name__}: {error})") from error

    def _fitting_calibration(self, db: Database) -> Calibration | None:
        """What was measured; None where the gallery has become another model's since."""
        calibration, space = self._calibration(db), read_space(db)
        if calibration is None or calibration.space_id != (space.id if space else ""):
            return None
        return calibration

    def _replace_content(
        self, db: Database, source: Connection, revision: int, report: Callable[[int, int], None]
    ) -> None:
        """Fill the tables of people with those of a copy, as if all of it were new at a revision.

        Who was seen stays as it is here, or is that of the copy where nothing ever was kept here: so nothing comes back
        that was erased since the copy was made.
        """
        seen = read_seen(db)
        for table in reversed(CONTENT):
            db.execute(f"DELETE FROM {table}")  # noqa: S608 -- tables of ours
        tables = [table for table in CONTENT if self.keeps_images or table != "pictures"]
        if not seen.ever:
            db.execute("DELETE FROM inbox")
            tables += SEEN
        total, done = sum(count_of(source, table) for table in tables), 0
        for table in tables:
            columns = columns_of(source, table)
            # The revision of who was seen is another one, which goes on as it was.
            read = [str(revision) if name == "revision" and table in CONTENT else name for name in columns]
            rows = source.execute(f"SELECT {', '.join(read)} FROM {table}")  # noqa: S608 -- tables of ours
            while part := rows.fetchmany(_ROWS_AT_ONCE):
                self._insert_rows(db, table, columns, part)
                done += len(part)
                report(done, total)
        db.execute("DELETE FROM removed_templates WHERE id IN (SELECT id FROM templates)")
        if seen.ever:
            put_seen_back(db, seen, read_space(db))
        self.forget_keys(db)

    def _changes(self, db: Database, since: int | None) -> Changes:
        """What happened since a revision, at one moment."""
        revision = self._read_revision(db)
        if since is None or not 0 < since <= revision or _all_newer(db, since):
            return self._read_changes(db, revision, _EVERYTHING)
        return self._read_changes(db, revision, since)

    def _read_changes(self, db: Database, revision: int, since: int) -> Changes:
        template_ids, owners, vectors = self._read_vectors(db, since)
        people = db.execute("SELECT id, uuid, name FROM persons WHERE revision > ?", (since,)).fetchall()
        if since != _EVERYTHING:
            people += db.execute(_OWNERS_OF_NEWER, (since, since)).fetchall()
        removed = db.execute("SELECT id FROM removed_templates WHERE revision > ?", (since,)).fetchall()
        return Changes(
            revision=revision,
            template_ids=template_ids,
            person_of=self._places(owners, np.array([row for row, _, _ in people], np.int64)),
            vectors=vectors,
            person_ids=tuple([uuid_text(uuid) for _, uuid, _ in people]),
            names=tuple([name for _, _, name in people]),
            removed=np.array(removed, np.int64).reshape(-1),
            look_alikes=read_look_alikes(db),
            calibration=self._fitting_calibration(db),
            whole=since == _EVERYTHING,
        )

    def _places(self, owners: Indices, people: Numbers) -> Indices:
        """Where the row of each owner is among those of people."""
        order = np.argsort(people)
        found = np.searchsorted(people, owners, sorter=order)
        places = order[np.minimum(found, len(people) - 1)] if len(people) else found
        if not np.array_equal(people[places], owners):
            raise damaged(self.address, "it holds templates of people who are not there")
        return np.asarray(places, np.intp)

    def _read_vectors(self, db: Database, since: int) -> tuple[Numbers, Indices, Floats]:
        """Numbers, rows of the owners, and vectors of the templates that are newer than a revision."""
        dimension = self._dimension(db) or 0
        (count,) = db.execute("SELECT count(*) FROM templates WHERE revision > ?", (since,)).fetchone()
        ids, owners = np.empty(count, np.int64), np.empty(count, np.intp)
        vectors = np.empty((count, dimension), np.float32)
        # All of them in the order in which they lie in the file.
        rows = db.execute(_ALL_VECTORS) if since == _EVERYTHING else db.execute(f"{_ALL_VECTORS} {_NEWER}", (since,))
        # In parts: a million rows as Python objects take several times the memory of the matrix.
        for first in range(0, count, _VECTORS_AT_ONCE):
            part = slice(first, min(first + _VECTORS_AT_ONCE, count))
            ids[part], owners[part], blobs = zip(*rows.fetchmany(_VECTORS_AT_ONCE), strict=True)
            self._check_blobs(db, blobs)
            vectors[part] = np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), dimension)
        check_vectors(vectors, what=f"The pool {self.address} is damaged: its row")
        return ids, owners, vectors

    def _check_blobs(self, db: Database, blobs: Sequence[object]) -> None:
        dimension = self._dimension(db) or 0
        if not set(map(type, blobs)) <= {bytes} or not set(map(len, blobs)) <= {4 * dimension}:  # type: ignore[arg-type]
            raise damaged(self.address, f"it holds vectors that do not have {dimension} dimensions")

    def _check_owner(self, db: Database, template_id: int, name: str | None) -> tuple[int, str]:
        """The row of a template's sample, and whose it is: anybody's, or that person's."""
        row = None
        if fits(template_id):
            row = db.execute(
                """SELECT samples.id, persons.name FROM templates JOIN samples ON samples.id = templates.sample_id
                JOIN persons ON persons.id = samples.person_id WHERE templates.id = ?""",
                (template_id,),
            ).fetchone()
        if row is None or name not in (None, row[1]):
            raise unknown_template(template_id, name)
        return int(row[0]), str(row[1])


def _person_where(db: Database, column: str, value: object) -> Person | None:
    rows = db.execute(f"{PEOPLE} WHERE persons.{column} = ? GROUP BY persons.id", (value,)).fetchall()
    return next(iter(people_of(db, rows)), None)


def _all_newer(db: Database, since: int) -> bool:
    """Whether nothing is left of what there was at a revision, as after a restored backup."""
    oldest = (db.execute(_OLDEST_PERSON).fetchone()[0], db.execute(_OLDEST_TEMPLATE).fetchone()[0])
    return all(revision is None or int(revision) > since for revision in oldest)


def _erased_in_notices(db: Database) -> int:
    return int(db.execute("SELECT count(*) FROM notices WHERE action = 'erased'").fetchone()[0])


def _views(count: int) -> str:
    return f"{count} view{'' if count == 1 else 's'}"
