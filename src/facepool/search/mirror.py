"""What a process knows of a gallery that is searched elsewhere: in its database, or by an index beside it.

A `Mirror` has what decisions need of the gallery, and some of its people, who stand for all where scores are
normalized. It is of one revision, and follows the gallery as an index in memory does.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from facepool.gallery.columns import Changes, LookAlikes
from facepool.gallery.database import Database, patient, select
from facepool.gallery.schema import uuid_text
from facepool.gallery.sql import SqlGallery
from facepool.search.index import Index
from facepool.search.known import Known, known_of
from facepool.search.margins import measured_margins
from facepool.search.normalization import Sample
from facepool.search.state import GalleryState
from facepool.types import Floats

Answer = TypeVar("Answer")

COHORT = 16_384
"""People who stand for all, at most: the mean similarity of a face to strangers, who deviate by 0.087 (SFace, LFW), is
off by less than a thousandth then."""
PEOPLE_WITH_TEMPLATES = """
    SELECT templates.id, persons.uuid, persons.name, templates.embedding FROM persons
    JOIN samples ON samples.person_id = persons.id JOIN templates ON templates.sample_id = samples.id
"""
"""What `changes_of` takes."""
_MANY = 100_000
"""Templates that a mirror does not know yet, above which it is made anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Mirror:
    """What a process knows of a gallery that is searched elsewhere, at one revision.

    Attributes:
        state: For decisions.
        dimension: Length of a vector; 0: not known yet.
        cohort: Some of the people, by chance but the same for every process: those whose ids are low. Everybody, while
            they are few.
        below: The ids of the cohort are lower than this; None: everybody is in it.
        newest: The highest number of a template.
    """

    state: GalleryState
    dimension: int
    cohort: Index
    below: bytes | None
    newest: int

    def following(self, gallery: SqlGallery, db: Database) -> "Mirror":
        """The mirror of the gallery as it is now."""
        since, revision = self.state.revision, gallery.revision()
        if revision == since:
            return self
        (oldest,) = db.execute("SELECT coalesce(min(revision), 0) FROM templates").fetchone()
        if not 0 < since <= revision or oldest > since:  # all is new, as after a backup was restored
            return mirror_of(gallery, db)
        (fresh, unknown) = db.execute(
            "SELECT count(*), count(*) FILTER (WHERE id > ?) FROM templates WHERE revision > ?", (self.newest, since)
        ).fetchone()
        if fresh > _MANY or not self.dimension:
            return mirror_of(gallery, db)
        (gone,) = db.execute(
            "SELECT count(*) FILTER (WHERE id <= ?) FROM removed_templates WHERE revision > ?", (self.newest, since)
        ).fetchone()
        (newest,) = db.execute("SELECT coalesce(max(id), 0) FROM templates").fetchone()
        changes = self._changes(db, revision)
        cohort = self.cohort.following(changes)
        if cohort.worn():
            cohort = cohort.compact()
        self.cohort.erase(changes.removed)  # what is gone leaves the memory; of this one, nothing but sums is used
        if cohort.people > COHORT:
            return mirror_of(gallery, db)
        return Mirror(
            state=_state(gallery, db, self.state.templates + unknown - gone),
            dimension=self.dimension,
            cohort=cohort,
            below=self.below,
            newest=max(newest, self.newest),
        )

    def _changes(self, db: Database, revision: int) -> Changes:
        """What happened to the people of the cohort."""
        since = self.state.revision
        low, below = ("", ()) if self.below is None else (" AND persons.uuid < ?", (self.below,))
        rows = db.execute(f"{PEOPLE_WITH_TEMPLATES} WHERE templates.revision > ?{low}", (since, *below)).fetchall()
        renamed = f"SELECT uuid, name FROM persons WHERE revision > ?{low}"  # noqa: S608 -- words of ours
        people = db.execute(renamed, (since, *below)).fetchall()
        gone = db.execute("SELECT id FROM removed_templates WHERE revision > ?", (since,)).fetchall()
        # Templates that were given to somebody outside the cohort have left it.
        gone += db.execute("SELECT id FROM templates WHERE revision > ? AND id <= ?", (since, self.newest)).fetchall()
        staying = {number for number, *_ in rows}
        removed = [number for (number,) in gone if number not in staying]
        return changes_of(rows, self.dimension, revision, people=people, removed=removed)

    @property
    def sample(self) -> Sample:
        """Who stands for all."""
        below = "" if self.below is None else uuid_text(self.below.ljust(16, b"\0"))
        return Sample(self.cohort.cohort, below)


def at_one_moment(gallery: SqlGallery, work: Callable[[Mirror, Database], Answer]) -> Answer:
    """Do something in one transaction, with the mirror of the gallery at that very revision, which is kept.

    Args:
        gallery: In tables.
        work: Is given the mirror and the database.
    """
    for is_patient in (True, True, False):
        with gallery.reading() as db:
            gallery.revision()  # a server that has lost changes is another gallery from here on
            mirror = _newest(known_of(gallery), gallery, db, waits=is_patient)
            if mirror is not None:
                return work(mirror, db)
    raise AssertionError("the last attempt makes a mirror of its own")


def _newest(known: Known, gallery: SqlGallery, db: Database, *, waits: bool) -> Mirror | None:
    """The mirror at the revision that a database shows; None: another thread has seen a newer one meanwhile."""
    with known.following:
        mirror = known.mirror
        if waits and mirror is not None and mirror.state.revision > gallery.revision():
            return None
        with patient(db) if mirror is None else nullcontext():
            known.mirror = mirror_of(gallery, db) if mirror is None else mirror.following(gallery, db)
        return known.mirror


def mirror_of(gallery: SqlGallery, db: Database) -> Mirror:
    """The mirror of a gallery that nothing is known of yet."""
    revision = gallery.revision()
    templates, newest = db.execute("SELECT count(*), coalesce(max(id), 0) FROM templates").fetchone()
    (people,) = db.execute("SELECT count(*) FROM persons").fetchone()
    dimension = gallery.dimension or 0
    # A power of two less than all, so that the same people stay in it while the gallery grows.
    halvings = max(0, int(np.ceil(np.log2(max(1, people) / COHORT))))
    below = (1 << 32 - halvings).to_bytes(4, "big") if halvings else None
    while True:
        if below is None:
            rows = db.execute(PEOPLE_WITH_TEMPLATES)
        else:
            rows = db.execute(f"{PEOPLE_WITH_TEMPLATES} WHERE persons.uuid < ?", (below,))
        cohort = Index.of(changes_of(rows, dimension, revision))
        if cohort.people <= COHORT:
            return Mirror(_state(gallery, db, templates), dimension, cohort, below, newest)
        below = (int.from_bytes(below or b"\1\0\0\0\0", "big") // 2).to_bytes(4, "big")


def _state(gallery: SqlGallery, db: Database, templates: int) -> GalleryState:
    pairs = gallery.look_alikes()
    return GalleryState(gallery.revision(), templates, gallery.calibration(), pairs, _margins(db, pairs))


def _margins(db: Database, pairs: frozenset[LookAlikes]) -> dict[LookAlikes, float]:
    names = sorted({name for pair in pairs for name in pair})
    if not names:
        return {}
    blobs: dict[str, list[bytes]] = {}
    for _, _, name, blob in sorted(select(db, f"{PEOPLE_WITH_TEMPLATES} WHERE persons.name IN ({{}})", names)):
        blobs.setdefault(name, []).append(blob)
    return measured_margins(pairs, {name: np.stack([vector_of(blob) for blob in own]) for name, own in blobs.items()})


def changes_of(
    rows: Iterable[tuple[int, bytes, str, bytes]],
    dimension: int,
    revision: int,
    *,
    people: Iterable[tuple[bytes, str]] = (),
    removed: Sequence[int] | None = None,
) -> Changes:
    """Changes from rows of number, person's id, name and vector.

    Args:
        rows: One a template.
        dimension: Length of a vector.
        revision: That they lead to.
        people: Ids and names of others who have another name now.
        removed: Templates that are gone; None: the rows are all that there is.
    """
    place_of: dict[bytes, int] = {}
    names: list[str] = []
    for uuid, name in people:
        place_of.setdefault(uuid, len(names))
        names.append(name)
    numbers: list[int] = []
    owners: list[int] = []
    blobs: list[bytes] = []
    for number, uuid, name, blob in rows:
        place = place_of.setdefault(uuid, len(names))
        if place == len(names):
            names.append(name)
        numbers.append(number)
        owners.append(place)
        blobs.append(blob)
    return Changes(
        revision=revision,
        template_ids=np.array(numbers, np.int64),
        person_of=np.array(owners, np.intp),
        vectors=vector_of(b"".join(blobs)).reshape(len(blobs), dimension),
        person_ids=tuple(map(uuid_text, place_of)),
        names=tuple(names),
        removed=np.array(removed or (), np.int64),
        whole=removed is None,
    )


def vector_of(blob: bytes) -> Floats:
    """Vectors as they are stored, one after the other: (N D,) float32."""
    return np.asarray(np.frombuffer(blob, "<f4"), np.float32)
