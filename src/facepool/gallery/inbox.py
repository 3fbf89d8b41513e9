"""What is kept of people who were seen: sightings with their best faces, and groups of those whom nobody has named.

It lies in the pool's own tables, apart from the people and never matched as one of them. ``sightings`` has a row for
each time that somebody was followed before a camera, ``sighting_faces`` the best faces of it, sealed by the sighting's
key in ``sighting_keys`` (`sealing` says why), ``unknown_groups`` a row for each unnamed person, ``proposals`` pairs of
these that may be one or are not, ``suggestions`` faces that may become templates, ``journal`` what can be undone. All
of it is bounded: whatever is kept drives out what is too old or too much, in the same change.

`sighting_rows`, `naming_rows` and `journal_rows` have the queries.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from facepool.gallery import journal_rows as journal
from facepool.gallery import naming_rows as naming
from facepool.gallery import sighting_rows as rows
from facepool.gallery.checks import check_batch, clean_name, find_name, name_taken, pairs_of
from facepool.gallery.database import Database
from facepool.gallery.notices import Action
from facepool.gallery.rows import (
    ONE_MORE_ERASED,
    delete_person,
    find_person,
    insert_look_alikes,
    insert_person,
    insert_template,
    read_learned,
    row_of_person,
    uuid_of,
)
from facepool.gallery.schema import uuid_text
from facepool.gallery.sighting_rows import Wanted
from facepool.gallery.sightings import (
    Assigned,
    GroupState,
    InboxBounds,
    InboxUsage,
    InboxVectors,
    JournalEntry,
    Kept,
    Proposal,
    Suggestion,
    SuggestionState,
    UnknownGroup,
)
from facepool.types import Floats, Sample, SightedFaces, Sighting, counted


class Transactions(Protocol):
    """What an inbox needs of the gallery that it belongs to."""

    def reading(self) -> AbstractContextManager[Database]:
        """The tables, for several queries that see the gallery at one moment."""

    def changing(self) -> AbstractContextManager[Database]:
        """The tables, for a change that is the only one at its time; whatever is raised in the block undoes it."""

    def revise(self, db: Database, expected_revision: int | None = None) -> int:
        """Say that a change is one of people, too; the revision that it leads to."""

    def note(self, db: Database, action: Action, person: str = "", row: int | None = None, detail: str = "") -> None:
        """Leave a notice of a change for logs that are kept elsewhere, if there are any."""

    def pin_offered(self, db: Database) -> int | None:
        """Pin a gallery to the space that it was opened with, if it has none yet; its dimension, if it is known."""

    def forget_keys(self, db: Database) -> None:
        """Delete the keys of sightings that are gone, after which what is left of these is to be wiped."""

    def wipe_after(self, *, people: bool) -> None:
        """After an erasure leave no bytes behind: of people and templates, or only of who was seen."""


def _now() -> datetime:
    return datetime.now(UTC)


class Inbox:
    """Sightings of a gallery, and the groups of those whom nobody has named.

    Each method is one change, all or nothing, and together with others inside `change`. But where it says so, the
    gallery's ``revision`` knows nothing of it.

    Args:
        gallery: Where it lies.
        clock: Tells the time by which something is too old.
    """

    def __init__(self, gallery: Transactions, clock: Callable[[], datetime] = _now) -> None:
        self._gallery = gallery
        self._clock = clock
        self._db: Database | None = None
        self._erased: set[Literal["people", "sightings"]] = set()

    @contextmanager
    def change(self) -> Iterator[Database]:
        """Several changes as one, all or nothing: what is called inside the block is part of it.

        Nothing else may change the gallery inside.
        """
        if self._db is not None:
            yield self._db
            return
        self._erased.clear()
        with self._gallery.changing() as db:
            self._db = db
            try:
                yield db
            finally:
                self._db = None
        if self._erased:
            self._gallery.wipe_after(people="people" in self._erased)

    @contextmanager
    def change_of_people(self, expected_revision: int | None = None) -> Iterator[tuple[Database, int]]:
        """As `change`, of people, too; gives the revision that it leads to.

        Args:
            expected_revision: The revision that the decision rests on; None: whatever it is now.

        Raises:
            PoolChanged: The gallery is of another revision.
        """
        with self.change() as db:
            yield db, self._gallery.revise(db, expected_revision)

    @contextmanager
    def _reading(self) -> Iterator[Database]:
        if self._db is not None:
            yield self._db
            return
        with self._gallery.reading() as db:
            yield db

    def tell(self, action: Action, person_id: str | None = None, detail: str = "") -> None:
        """Inside `change`: leave a notice of it for logs that are kept elsewhere, if there are any.

        Args:
            action: What it does.
            person_id: To whom; None: nobody in particular, or somebody who is gone.
            detail: As `Notice` has it.
        """
        with self.change() as db:
            row = None if person_id is None else naming.row_of_person_id(db, person_id)
            self._gallery.note(db, action, "" if row is None else rows.name_of(db, row), row, detail)

    def keep(
        self,
        sighting: Sighting,
        faces: SightedFaces,
        bounds: InboxBounds,
        group: int | Literal["new"] | None = None,
        *,
        again: bool = False,
    ) -> Kept:
        """Keep a sighting, or what is known of it now: the same one comes several times while somebody is in view.

        Its faces take the place of those that it had; a face whose embedding is the same stays the same face. Of one
        that was named or corrected meanwhile, who it is and its faces stay as they are.

        Args:
            sighting: Its ``group``, ``named_at`` and ``first_person_id`` are not looked at.
            faces: The best ones; as many as there is room for are kept.
            bounds: What is beyond them goes in the same change: what has expired, then what is in no group, the oldest
                first, then strangers who were seen once, then the others, and those who are ignored.
            group: Which group of unnamed people it belongs to; None: the one that it has, if it has one. Somebody who
                is known by now leaves their group.
            again: Whether it was kept before: if somebody has deleted it since, it stays deleted.

        Raises:
            GroupGone: The group is not there any more.
            UnknownPerson: The person is not there any more.
            InvalidEmbedding: The embeddings are not (F, D) float32 of norm 1.
            SpaceMismatch: The gallery is of another space than that which it was opened with.
        """
        with self.change() as db:
            dimension = self._gallery.pin_offered(db)
            if len(faces):
                check_batch(faces.embeddings, faces.embeddings.shape[1] if dimension is None else dimension)
            row = rows.find_sighting(db, sighting.id)
            if row is None and again:
                return Kept(is_kept=False)
            revision = rows.next_revision(db)
            if row is not None and rows.was_named(db, row):
                rows.prolong(db, row, sighting, revision)
                number = rows.group_of_sighting(db, row)
            else:
                is_unknown = sighting.person_id is None
                number = rows.group_for(db, row, group, revision) if is_unknown else None
                row = rows.store_sighting(db, row, sighting, number, revision)
                rows.store_faces(db, row, rows.fitting(faces, bounds))
            expired, crowded_out = self._enforce(db, bounds, row)
            if rows.is_owed(db):
                self._erased.add("sightings")
            is_new = group == "new" and number is not None
            return Kept(number, is_new, expired=expired, crowded_out=crowded_out)

    def expire(self, bounds: InboxBounds) -> int:
        """Drop what is beyond bounds now, where nobody may come for a while; how many sightings went."""
        with self.change() as db:
            dropped = sum(self._enforce(db, bounds, 0))
            if rows.is_owed(db):
                self._erased.add("sightings")
            return dropped

    def _enforce(self, db: Database, bounds: InboxBounds, kept: int) -> tuple[int, int]:
        """Drop what is beyond bounds, but for one sighting; how many had expired, and for how many there is no room."""
        before = self._time(days_ago=bounds.days)
        journal.forget_old(db, self._time(), before)
        expired = rows.expired(db, before, kept)
        rows.delete_sightings(db, expired)
        crowded_out = rows.crowded_out(db, bounds, kept)
        rows.delete_sightings(db, crowded_out)
        if expired or crowded_out:
            self._forget(db)
            rows.count_dropped(db, len(expired) + len(crowded_out))
        return len(expired), len(crowded_out)

    def _time(self, days_ago: float = 0.0) -> str:
        return rows.clean_time((self._clock() - timedelta(days=days_ago)).isoformat())

    def _forget(self, db: Database) -> None:
        """After sightings were deleted: what is left of them is noise, and goes."""
        rows.next_revision(db)
        self._gallery.forget_keys(db)
        self._erased.add("sightings")

    def sightings(
        self,
        *,
        person: str | None = None,
        group: int | None = None,
        ungrouped: bool = False,
        before: str = "",
        limit: int = 100,
    ) -> list[Sighting]:
        """Sightings, the one that ended last first.

        Args:
            person: Of whom; None: of anybody.
            group: Of which group of unnamed people; None: of any, and of none.
            ungrouped: Only those of unnamed people who are in no group.
            before: When the last one of the page before ended; empty: from the newest one.
            limit: How many; a few more where several ended at the same moment.

        Raises:
            UnknownPerson: Nobody has that name.
        """
        with self._reading() as db:
            row = None if person is None else row_of_person(db, find_name(person))
            return rows.read_sightings(db, Wanted(row, group, ungrouped, before), limit)

    def sighting(self, sighting_id: str) -> Sighting:
        """One sighting.

        Raises:
            UnknownSighting: It is not there, or not any more.
        """
        with self._reading() as db:
            return rows.read_sighting(db, sighting_id)

    def faces(self, sighting_ids: Collection[str]) -> dict[str, SightedFaces]:
        """The faces of some sightings, by the id of each; those that are not there are passed over."""
        with self._reading() as db:
            return rows.read_faces(db, sighting_ids)

    def picture(self, face_id: str) -> bytes:
        """The JPEG of an aligned face.

        Raises:
            UnknownSighting: It is not there, or not any more.
        """
        with self._reading() as db:
            return rows.read_picture(db, face_id)

    def groups(self, state: GroupState = "open", *, before: str = "", limit: int = 100) -> list[UnknownGroup]:
        """Groups of unnamed people, the one that was seen last first.

        Args:
            state: Of which state.
            before: When the last one of the page before was seen last; empty: from the first one.
            limit: How many; a few more where several were seen at the same moment.
        """
        with self._reading() as db:
            return rows.read_groups(db, state, before, limit)

    def count_groups(self, state: GroupState = "open") -> int:
        """How many groups there are of a state."""
        with self._reading() as db:
            return rows.count_groups(db, state)

    def group(self, number: int) -> UnknownGroup:
        """One group.

        Raises:
            GroupGone: There is none of that number, or not any more.
        """
        with self._reading() as db:
            return rows.read_group(db, number)

    def vectors(self, known: InboxVectors | None = None) -> InboxVectors:
        """The faces of all groups, those of ignored ones, too.

        Args:
            known: What was the answer before, if it was asked before: then only what is newer is read. If nothing is,
                the answer is this very object.
        """
        with self._reading() as db:
            return rows.read_vectors(db, InboxVectors.empty() if known is None else known)

    def embeddings(self, groups: Collection[int]) -> dict[int, Floats]:
        """The faces of some groups, (F, D) float32 by the number of each; those that are not there are passed over."""
        with self._reading() as db:
            return rows.read_embeddings(db, groups)

    def set_state(self, number: int, state: GroupState) -> None:
        """Ignore a group, which stays unnamed then and raises nothing; or do so no more.

        Raises:
            GroupGone: It is not there.
        """
        with self.change() as db:
            naming.set_state(db, number, state, rows.next_revision(db))

    def split(self, number: int, sighting_ids: Collection[str]) -> int:
        """Put some of a group's sightings into a group of their own; the two are never proposed to be one.

        Returns:
            The number of the new group.

        Raises:
            GroupGone: The group is not there.
            GroupChanged: A sighting is not in it any more.
            UnknownSighting: One is not there any more.
            ConfigError: It would be none of them, or all.
        """
        with self.change() as db:
            return naming.split(db, number, naming.rows_of(db, sighting_ids), rows.next_revision(db))

    def join(self, into: int, number: int) -> None:
        """Put the sightings of a group into another one; the first one is gone.

        Raises:
            GroupGone: One of them is not there.
            ConfigError: They are the same.
        """
        with self.change() as db:
            naming.join(db, into, number, rows.next_revision(db))

    def propose(self, one: int, other: int, similarity: float) -> bool:
        """Ask whether two groups are of one person.

        Returns:
            Whether it is asked: it is not where somebody has said that they are not.

        Raises:
            GroupGone: One of them is not there.
        """
        with self.change() as db:
            return naming.propose(db, one, other, similarity)

    def proposals(self) -> list[Proposal]:
        """Pairs of open groups that may be of one person, the most similar first."""
        with self._reading() as db:
            return naming.read_proposals(db)

    def keep_apart(self, one: int, other: int) -> None:
        """Say that two groups are two people: they are never proposed to be one again.

        Raises:
            GroupGone: One of them is not there.
        """
        with self.change() as db:
            naming.keep_apart(db, one, other)

    def apart_from(self, number: int) -> frozenset[int]:
        """Groups of which somebody has said that they are another person than a group."""
        with self._reading() as db:
            return naming.read_apart(db, number)

    def allow_together(self, one: int, other: int) -> None:
        """Take `keep_apart` back."""
        with self.change() as db:
            naming.allow_together(db, one, other)

    def delete_group(self, number: int) -> int:
        """Erase a group with all of its sightings; how many those were.

        Raises:
            GroupGone: It is not there.
        """
        with self.change() as db:
            going = rows.sightings_of_group(db, number)
            rows.delete_sightings(db, going)
            self._forget(db)
            return len(going)

    def delete_sighting(self, sighting_id: str) -> None:
        """Erase a sighting.

        Raises:
            UnknownSighting: It is not there.
        """
        with self.change() as db:
            rows.delete_sightings(db, naming.rows_of(db, [sighting_id]))
            self._forget(db)

    def forget_unknown(self) -> int:
        """Erase everything that is kept of unnamed people, and what could be undone; how many sightings those were.

        The file is written anew, so that nothing at all is left of them in it, and its room is free.
        """
        with self.change() as db:
            going = rows.unnamed_sightings(db)
            rows.delete_sightings(db, going)
            db.execute("DELETE FROM journal")
            if going:
                self._forget(db)
                db.execute(ONE_MORE_ERASED)
                self._erased.add("people")
            return len(going)

    def to_person(
        self,
        person: str,
        face_ids: Collection[str],
        sighting_ids: Collection[str],
        *,
        create: bool,
        look_alikes: Collection[str] = (),
        samples: Mapping[str, Sample] | None = None,
        expected_revision: int | None = None,
        expected_groups: Mapping[int, int] | None = None,
    ) -> Assigned:
        """Say that sightings are of a person, and make faces their templates: a change of people, too.

        A face that is a template already, of somebody else, becomes this person's.

        Args:
            person: New or known.
            face_ids: Which faces become templates, each by its own UUID.
            sighting_ids: Which sightings are of the person from now on; groups of which nothing is left are gone.
            create: Whether the person is a new one.
            look_alikes: People of the pool who are easily taken for this one.
            samples: What is stored in place of a face as it was seen, by its id.
            expected_revision: The pool's revision that the decision rests on; None: whatever it is now.
            expected_groups: The revisions of groups that it rests on, by their numbers.

        Raises:
            ConfigError: The name cannot be used, or is among its own look-alikes.
            GroupChanged: A group is of another revision, or gone: somebody else was faster.
            PersonExists: A new person is to have the name of one who is there.
            PoolChanged: The pool is of another revision than the expected one.
            UnknownPerson: The person, or a look-alike, is not there.
            UnknownSighting: A sighting or face is not there any more.
        """
        pairs, name = pairs_of(person, look_alikes), clean_name(person)
        with self.change() as db:
            naming.check_groups(db, expected_groups or {})
            revision = self._gallery.revise(db, expected_revision)
            known = find_person(db, name)
            if create and known is not None:
                raise name_taken(name)
            row = insert_person(db, name, None, revision) if create else row_of_person(db, name)
            before = naming.sightings_of(db, sighting_ids)
            templates = naming.templates_of_faces(db, face_ids, name, self._time()[:19] + "+00:00")
            stored, moved = [], []
            for template in templates:
                owner = naming.owner_of_template(db, template.uuid)
                if owner is None:
                    sample = (samples or {}).get(template.uuid, template.sample)
                    insert_template(db, row, replace(template, sample=sample), revision, with_image=True)
                    stored.append(template.uuid)
                elif owner != row:
                    naming.give_template(db, template.uuid, row, revision)
                    moved.append(template.uuid)
            for pair in pairs:
                insert_look_alikes(db, *(row_of_person(db, other) for other in pair))
            naming.assign(db, naming.rows_of(db, sighting_ids), row, self._time(), rows.next_revision(db))
            if moved:
                self._erased.add("people")  # an image of the index has them elsewhere
            if stored:
                self._gallery.note(db, "registered", name, row, counted(len(stored), "view"))
            elif create:
                self._gallery.note(db, "created", name, row)
            return Assigned(name, uuid_text(uuid_of(db, row)), create, tuple(stored), tuple(moved), before)

    def assign(self, sighting_ids: Collection[str], person_id: str | None) -> tuple[Sighting, ...]:
        """Say whose sightings are, without any template: a person's, or nobody's who is known.

        Returns:
            What they were before.

        Raises:
            UnknownPerson: The person is not there.
            UnknownSighting: A sighting is not there.
        """
        with self.change() as db:
            before = naming.sightings_of(db, sighting_ids)
            row = None if person_id is None else rows.row_of_id(db, person_id)
            naming.assign(db, naming.rows_of(db, sighting_ids), row, self._time(), rows.next_revision(db))
            return before

    def put_back(self, before: Sequence[Sighting]) -> int:
        """Have sightings say again whose they were and which group they were in.

        A group that is gone is made anew under its number. Nothing comes back of people who are gone, nor of sightings.

        Returns:
            How many of them are there.
        """
        with self.change() as db:
            return naming.put_back(db, before, rows.next_revision(db))

    def take_back(
        self,
        before: Sequence[Sighting],
        template_uuids: Collection[str],
        *,
        of: str | None = None,
        created: str | None = None,
        expected_revision: int | None = None,
    ) -> int:
        """Undo `to_person`, but for templates that moved and look-alikes: a change of people, too.

        Args:
            before: What it has said that sightings were.
            template_uuids: Which templates it has stored; those that are not there any more are passed over.
            of: The id of the person whose they have to be: what a correction has made somebody else's since stays
                theirs. None: whoever has them.
            created: The id of the person, if it has made them known: they go if nothing else is theirs.
            expected_revision: The pool's revision that the decision rests on; None: whatever it is now.

        Returns:
            How many templates were erased.

        Raises:
            PoolChanged: The pool is of another revision than the expected one.
        """
        with self.change() as db:
            revision = self._gallery.revise(db, expected_revision)
            naming.put_back(db, before, rows.next_revision(db))
            theirs = [one for one in template_uuids if of is None or naming.is_theirs(db, one, of)]
            gone = naming.delete_templates(db, theirs, revision)
            if gone:
                db.execute(ONE_MORE_ERASED)
                self._erased.add("people")
            row = None if created is None else naming.row_of_person_id(db, created)
            if row is not None and naming.has_nothing(db, row):
                self._gallery.note(db, "erased", rows.name_of(db, row), row)
                delete_person(db, row, revision)
                self._erased.add("people")
            return gone

    def suggest(self, face_id: str, person: str, similarity: float, reason: str, *, days: float = 14.0) -> int | None:
        """Suggest a face as one of a person's templates.

        Args:
            face_id: Which.
            person: Whose.
            similarity: To what the person was enrolled with.
            reason: What the person's templates lack that it has.
            days: For how long somebody may say yes.

        Returns:
            Its number; None: that face was suggested before, whatever was said to it.

        Raises:
            UnknownPerson: The person is not there.
            UnknownSighting: The face is not there.
        """
        with self.change() as db:
            row = row_of_person(db, find_name(person))
            expires_at = self._time(days_ago=-days)
            return journal.store_suggestion(db, face_id, row, similarity, reason, self._time(), expires_at)

    def suggestions(self, person: str | None = None, *, state: SuggestionState | None = "open") -> list[Suggestion]:
        """Suggestions that have not expired, newest first.

        Args:
            person: For whom; None: for anybody.
            state: Of which state; None: of any.

        Raises:
            UnknownPerson: Nobody has that name.
        """
        with self._reading() as db:
            row = None if person is None else row_of_person(db, find_name(person))
            return journal.read_suggestions(db, state, row, self._time())

    def suggestion(self, number: int) -> Suggestion:
        """One suggestion, of any state.

        Raises:
            UnknownSuggestion: It is not there, or has expired.
        """
        with self._reading() as db:
            found = journal.read_suggestions(db, None, None, self._time(), number)
            if not found:
                raise journal.unknown_suggestion(number)
            return found[0]

    def close_suggestion(self, number: int, state: SuggestionState) -> Suggestion:
        """Say yes or no to a suggestion, or, to undo that, nothing; what it was before.

        Raises:
            UnknownSuggestion: It is not there, has expired, or somebody was faster.
        """
        with self.change() as db:
            return journal.close_suggestion(db, number, state, self._time())

    def learned(self, person: str | None = None) -> dict[str, tuple[str, str]]:
        """Templates that were learned, by their UUIDs: id and name of whose they are.

        Args:
            person: Of whom; None: of everybody.

        Raises:
            UnknownPerson: Nobody has that name.
        """
        with self._reading() as db:
            row = None if person is None else row_of_person(db, find_name(person))
            return {uuid: (owner, name) for uuid, owner, name in read_learned(db, row)}

    def note(self, action: str, caller: str, content: Mapping[str, Any]) -> int:
        """Remember inside `change` how it can be undone.

        Args:
            action: What is done: whoever does it knows how to undo it.
            caller: Who does it.
            content: For JSON: ids and numbers only, no names, nothing of a face. The entry goes with each person whose
                id is in it.

        Returns:
            The number of the entry.
        """
        with self.change() as db:
            return journal.store_entry(db, action, caller, content, self._time())

    def journal(self, limit: int = 100) -> list[JournalEntry]:
        """What can be undone, newest first."""
        with self._reading() as db:
            return journal.read_entries(db, limit)

    def entry(self, number: int) -> JournalEntry | None:
        """One entry of the journal; None: it is not there, or not any more."""
        with self._reading() as db:
            return journal.read_entry(db, number)

    def forget_entry(self, number: int) -> bool:
        """Delete an entry that was undone; False: somebody was faster."""
        with self.change() as db:
            return journal.forget_entry(db, number)

    def usage(self) -> InboxUsage:
        """How much is kept."""
        with self._reading() as db:
            return rows.read_usage(db)
