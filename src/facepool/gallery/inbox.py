"""What is kept of people who were seen: sightings with their best faces, and groups of those whom nobody has named.

It lies in the pool's own tables, apart from the people and never matched as one of them. ``sightings`` has a row for
each time that somebody was followed before a camera, ``sighting_faces`` the best faces of it, sealed by the sighting's
key in ``sighting_keys`` (`sealing` says why), ``unknown_groups`` a row for each unnamed person. All of it is bounded:
whatever is kept drives out what is too old or too much, in the same change.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

from facepool.gallery import sighting_rows as rows
from facepool.gallery.checks import check_batch, find_name
from facepool.gallery.database import Database
from facepool.gallery.rows import row_of_person
from facepool.gallery.sighting_rows import Wanted
from facepool.gallery.sightings import GroupState, InboxBounds, InboxVectors, Kept, UnknownGroup
from facepool.types import SightedFaces, Sighting


class Transactions(Protocol):
    """What an inbox needs of the gallery that it belongs to."""

    def reading(self) -> AbstractContextManager[Database]:
        """The tables, for several queries that see the gallery at one moment."""

    def changing(self) -> AbstractContextManager[Database]:
        """The tables, for a change of the inbox, which is the only change at its time, and leaves the revision be."""

    def pin_offered(self, db: Database) -> int | None:
        """Pin a gallery to the space that it was opened with, if it has none yet; its dimension, if it is known."""

    def forget_keys(self, db: Database) -> None:
        """Delete keys of sightings that are gone, so that nothing of them stays in the table."""


def _now() -> datetime:
    return datetime.now(UTC)


class Inbox:
    """Sightings of a gallery, and the groups of those whom nobody has named.

    Each method is one change, all or nothing, of which the gallery's ``revision`` knows nothing.

    Args:
        gallery: Where it lies.
        clock: Tells the time by which something is too old.
    """

    def __init__(self, gallery: Transactions, clock: Callable[[], datetime] = _now) -> None:
        self._gallery = gallery
        self._clock = clock
        self._db: Database | None = None

    @contextmanager
    def change(self) -> Iterator[Database]:
        """Several changes as one, all or nothing: what is called inside the block is part of it."""
        if self._db is not None:
            yield self._db
            return
        with self._gallery.changing() as db:
            self._db = db
            try:
                yield db
            finally:
                self._db = None

    @contextmanager
    def _reading(self) -> Iterator[Database]:
        if self._db is not None:
            yield self._db
            return
        with self._gallery.reading() as db:
            yield db

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
                first, then what is in one.
            group: Which group of unnamed people it belongs to; None: the one that it has, if it has one.
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
                number = rows.group_for(db, row, group, revision)
                row = rows.store_sighting(db, row, sighting, number, revision)
                rows.store_faces(db, row, rows.fitting(faces, bounds))
            expired, crowded_out = self._enforce(db, bounds, row)
            is_new = group == "new" and number is not None
            return Kept(number, is_new, expired=expired, crowded_out=crowded_out)

    def _enforce(self, db: Database, bounds: InboxBounds, kept: int) -> tuple[int, int]:
        """Drop what is beyond bounds, but for one sighting; how many had expired, and for how many there is no room."""
        before = rows.clean_time((self._clock() - timedelta(days=bounds.days)).isoformat())
        expired = rows.expired(db, before, kept)
        rows.delete_sightings(db, expired)
        crowded_out = rows.crowded_out(db, bounds, kept)
        rows.delete_sightings(db, crowded_out)
        if expired or crowded_out:
            self._gallery.forget_keys(db)
            rows.count_dropped(db, len(expired) + len(crowded_out))
        return len(expired), len(crowded_out)

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
