"""Search in PostgreSQL by pgvector, for galleries that are too large for the memory of a process.

The database lists the templates nearest to each face: by an index of its own (HNSW over half precision, see ``hnsw``),
which may overlook somebody, or by looking at all of them. Whoever of the listed can be among the nearest is fetched
with all of their templates, and compared by ``facepool.search.exact`` as if they were the whole gallery. Whether the
lists were long enough follows from the last similarity on each (Fagin, Lotem and Naor, Optimal Aggregation Algorithms
for Middleware, 2003); so looking at all templates gives the exact answer, for one view of a face and for several.

In memory there is a `Mirror`: what decisions need of the gallery, and some of its people, who stand for all where
scores are normalized. An answer is of one transaction, so of one revision.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from facepool.gallery.columns import Changes, LookAlikes
from facepool.gallery.database import Database
from facepool.gallery.postgres_connection import PostgresDatabase
from facepool.gallery.schema import uuid_text
from facepool.gallery.sql import SqlGallery
from facepool.search import exact, hnsw
from facepool.search.exact import SHORTLIST, Merge
from facepool.search.index import Index
from facepool.search.known import Known, known_of
from facepool.search.margins import measured_margins
from facepool.search.normalization import Sample
from facepool.search.state import GalleryState
from facepool.types import Candidate, Floats, Indices

Answer = TypeVar("Answer")

EF_SEARCH = 200
"""Templates that a search of the index keeps in view; ``benchmarks/database_search.py`` has what it finds and takes."""
COHORT = 16_384
"""People who stand for all, at most: the mean similarity of a face to strangers, who deviate by 0.087 (SFace, LFW), is
off by less than a thousandth then."""
_MANY = 100_000
"""Templates that a mirror does not know yet, above which it is made anew."""
_FIRST_LISTED = 64
_LONGER = 4
_VIEWS_AT_ONCE = 16
_HALF_UNIT_ROUNDOFF = 2.0**-11
_ROWS_AT_ONCE = 8192

_PEOPLE_WITH_TEMPLATES = """
    SELECT templates.id, persons.uuid, persons.name, templates.embedding FROM persons
    JOIN samples ON samples.person_id = persons.id JOIN templates ON templates.sample_id = samples.id
"""
_SETTINGS = """
    SELECT set_config('hnsw.ef_search', ?, true), set_config('hnsw.iterative_scan', 'relaxed_order', true),
        set_config('jit', 'off', true)
"""


@dataclass(frozen=True, slots=True, eq=False)
class Mirror:
    """What a process knows of a gallery that is searched in its database, at one revision.

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
        rows = db.execute(
            f"{_PEOPLE_WITH_TEMPLATES} WHERE templates.revision > ? {_LOW}", (since, *self._low)
        ).fetchall()
        renamed = f"SELECT uuid, name FROM persons WHERE revision > ? {_LOW}"  # noqa: S608 -- words of ours
        people = db.execute(renamed, (since, *self._low)).fetchall()
        gone = db.execute("SELECT id FROM removed_templates WHERE revision > ?", (since,)).fetchall()
        # Templates that were given to somebody outside the cohort have left it.
        gone += db.execute("SELECT id FROM templates WHERE revision > ? AND id <= ?", (since, self.newest)).fetchall()
        staying = {number for number, *_ in rows}
        removed = [number for (number,) in gone if number not in staying]
        return _changes_of(rows, self.dimension, revision, people=people, removed=removed)

    @property
    def sample(self) -> Sample:
        """Who stands for all."""
        below = "" if self.below is None else uuid_text(self.below.ljust(16, b"\0"))
        return Sample(self.cohort.cohort, below)

    @property
    def _low(self) -> tuple[bytes, bytes]:
        below = self.below or b""
        return below, below


def at_one_moment(gallery: SqlGallery, work: Callable[[Mirror, Database], Answer]) -> Answer:
    """Do something in one transaction, with the mirror of the gallery at that very revision, which is kept.

    Args:
        gallery: In PostgreSQL.
        work: Is given the mirror and the database.
    """
    for patient in (True, True, False):
        with gallery.reading() as db:
            gallery.revision()  # a server that has lost changes is another gallery from here on
            mirror = _newest(known_of(gallery), gallery, db, patient=patient)
            if mirror is not None:
                return work(mirror, db)
    raise AssertionError("the last attempt makes a mirror of its own")


def _patient(db: Database) -> AbstractContextManager[None]:
    """Looking at all rows may take longer than a server that is there usually says nothing."""
    return db.patient() if isinstance(db, PostgresDatabase) else nullcontext()


def _newest(known: Known, gallery: SqlGallery, db: Database, *, patient: bool) -> Mirror | None:
    """The mirror at the revision that a database shows; None: another thread has seen a newer one meanwhile."""
    with known.following:
        mirror = known.mirror
        if patient and mirror is not None and mirror.state.revision > gallery.revision():
            return None
        with _patient(db) if mirror is None else nullcontext():
            known.mirror = mirror_of(gallery, db) if mirror is None else mirror.following(gallery, db)
        return known.mirror


_LOW = "AND (persons.uuid < ? OR ? = ''::bytea)"


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
            rows = db.execute(_PEOPLE_WITH_TEMPLATES)
        else:
            rows = db.execute(f"{_PEOPLE_WITH_TEMPLATES} WHERE persons.uuid < ?", (below,))
        cohort = Index.of(_changes_of(rows, dimension, revision))
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
    rows = db.execute(f"{_PEOPLE_WITH_TEMPLATES} WHERE persons.name = ANY(?) ORDER BY templates.id", (names,))
    for _, _, name, blob in rows:
        blobs.setdefault(name, []).append(blob)
    return measured_margins(pairs, {name: np.stack([_vector(blob) for blob in own]) for name, own in blobs.items()})


def _changes_of(
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
        vectors=_vector(b"".join(blobs)).reshape(-1, dimension),
        person_ids=tuple(map(uuid_text, place_of)),
        names=tuple(names),
        removed=np.array(removed or (), np.int64),
        whole=removed is None,
    )


def _vector(blob: bytes) -> Floats:
    return np.asarray(np.frombuffer(blob, "<f4"), np.float32)


# Searching.


def nearest(
    mirror: Mirror,
    db: Database,
    embeddings: Floats,
    k: int = 2,
    *,
    merge: Merge | None = None,
    normalize: bool = False,
    exactly: bool = False,
) -> tuple[tuple[Candidate, ...], ...]:
    """The people nearest to faces, as ``facepool.search.Search.nearest`` has it.

    Args:
        mirror: Of the gallery, at the revision that the database shows.
        db: The gallery at one moment.
        embeddings: (P, D) float32, rows of L2 norm 1.
        k: How many people a face, at least 1.
        merge: Makes one similarity of those of several views of one face; None: they are faces of their own.
        normalize: Whether candidates get score offsets.
        exactly: Whether to look at all templates in place of the index.

    Raises:
        InvalidEmbedding: The embeddings do not have the gallery's dimension, or are no unit vectors.
    """
    faces = [_Face(embeddings, merge)] if merge is not None else [_Face(row[None], None) for row in embeddings]
    if not mirror.dimension or not mirror.state.templates:
        return tuple(() for _ in faces)
    exact.check_probes(mirror.dimension, embeddings)
    fetched = _Fetched(mirror, db)
    _gather(faces, fetched, _Lists(mirror.dimension, db, exactly=exactly), max(k, SHORTLIST) if normalize else k)
    sample = mirror.sample if normalize else None
    if merge is None:
        return tuple(exact.nearest(fetched.index, embeddings, k, normalize=normalize, sample=sample))
    return (exact.nearest_merged(fetched.index, embeddings, merge, k, normalize=normalize, sample=sample),)


def matching(
    mirror: Mirror, db: Database, views: Floats, threshold: float, *, exactly: bool = False
) -> dict[str, Floats]:
    """Everybody whom at least one of (V, D) views matches: (V,) similarities by name; see ``exact.matching``."""
    if not len(views) or not mirror.dimension or not mirror.state.templates:
        return {}
    exact.check_probes(mirror.dimension, views)
    lists = _Lists(mirror.dimension, db, exactly=exactly)
    fetched = _Fetched(mirror, db)
    left, length = list(views), _FIRST_LISTED
    while left:
        listed = lists.nearest(np.stack(left), length)
        fetched.add(person for one in listed for person in one.people[one.similarities >= threshold - lists.slack])
        far = threshold - lists.slack
        left = [view for view, one in zip(left, listed, strict=True) if one.last >= far and not one.whole]
        length *= _LONGER
    return exact.matching(fetched.index, views, threshold)


@dataclass(frozen=True, slots=True)
class _Listed:
    """The people of the templates nearest to one view.

    Attributes:
        people: (N,) int64, their rows in the database, each once.
        similarities: (N,) float32, of the best template of each, about.
        last: Nobody who is not listed is more similar than this, about.
        whole: Whether everybody is listed.
    """

    people: Indices
    similarities: Floats
    last: float
    whole: bool


class _Lists:
    """Asks the database for templates near to views.

    Args:
        dimension: Length of a vector.
        db: The gallery at one moment.
        exactly: Whether to look at all templates, as is done without an index anyhow.

    Attributes:
        slack: How far a similarity may be off.
    """

    def __init__(self, dimension: int, db: Database, *, exactly: bool) -> None:
        self._db = db
        self._exactly = exactly = exactly or not hnsw.is_ready(db)
        prefix = db.connection.vectors if isinstance(db, PostgresDatabase) else ""
        self._kind = f"{prefix}vector({dimension})" if exactly else f"{prefix}halfvec({dimension})"
        self._column = "embedding" if exactly else f"embedding::{self._kind}"
        self._nearness = f"OPERATOR({prefix}<#>)"
        rounding = 0.0 if exactly else 2 * _HALF_UNIT_ROUNDOFF
        self.slack = np.float32(rounding + exact.rounding_slack(dimension))
        db.execute(_SETTINGS, (str(EF_SEARCH),))

    def nearest(self, views: Floats, length: int) -> list[_Listed]:
        """For each of (V, D) views the people of so many templates."""
        found: list[_Listed] = []
        for first in range(0, len(views), _VIEWS_AT_ONCE):
            found += self._some(views[first : first + _VIEWS_AT_ONCE], length)
        return found

    def _some(self, views: Floats, length: int) -> Iterator[_Listed]:
        one = (
            f"SELECT sample_id, -({self._column} {self._nearness} ?::{self._kind}) AS similarity "  # noqa: S608
            f"FROM templates ORDER BY {self._column} {self._nearness} ?::{self._kind} LIMIT {length}"
        )
        each = " UNION ALL ".join(
            f"SELECT {view} AS view, listed.* FROM ({one}) AS listed"  # noqa: S608 -- a number
            for view in range(len(views))
        )
        query = f"SELECT view, person_id, similarity FROM ({each}) AS near JOIN samples ON samples.id = sample_id"  # noqa: S608
        texts = [f"[{','.join(map(str, view.tolist()))}]" for view in views]
        with _patient(self._db) if self._exactly else nullcontext():
            rows = self._db.execute(query, [text for text in texts for _ in range(2)]).fetchall()
        table = np.array(rows, np.float64).reshape(-1, 3)
        for view in range(len(views)):
            of_view = table[table[:, 0] == view]
            people, place = np.unique(of_view[:, 1].astype(np.int64), return_inverse=True)
            best = np.full(len(people), -np.inf, np.float32)
            np.maximum.at(best, place, of_view[:, 2].astype(np.float32))
            yield _Listed(people, best, float(of_view[:, 2].min(initial=np.inf)), whole=len(of_view) < length)


class _Fetched:
    """People with all of their templates, as an index of their own.

    Args:
        mirror: Of the gallery.
        db: The gallery at one moment.
    """

    def __init__(self, mirror: Mirror, db: Database) -> None:
        self._mirror = mirror
        self._db = db
        self._rows: list[Any] = []
        self._known: set[int] = set()
        self._index: Index | None = None

    def add(self, people: Iterable[int]) -> bool:
        """Fetch those who are not there yet; whether there were any."""
        new = {int(person) for person in people} - self._known
        if not new:
            return False
        query = f"{_PEOPLE_WITH_TEMPLATES} WHERE persons.id = ANY(?)"
        self._rows += self._db.execute(query, (sorted(new),)).fetchall()
        self._known |= new
        self._index = None
        return True

    @property
    def index(self) -> Index:
        """All who were fetched."""
        if self._index is None:
            self._index = Index.of(_changes_of(self._rows, self._mirror.dimension, self._mirror.state.revision))
        return self._index


@dataclass(slots=True)
class _Face:
    """A face while it is searched for.

    Attributes:
        views: (V, D), V at least 1.
        merge: Makes one similarity of the views'; None: there is one view.
        people: (N,) int64, everybody who is listed for a view.
        upper: (N,) float32, how similar they are at most.
        unlisted: How similar anybody else is at most; minus infinity: there is nobody else.
    """

    views: Floats
    merge: Merge | None
    people: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    upper: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    unlisted: float = np.inf

    def take(self, listed: Sequence[_Listed], slack: np.float32) -> None:
        """Note who is listed for each view."""
        self.people = np.unique(np.concatenate([one.people for one in listed]))
        similarities = np.empty((len(listed), len(self.people)), np.float32)
        for row, one in zip(similarities, listed, strict=True):
            row[:] = one.last
            row[np.searchsorted(self.people, one.people)] = one.similarities
        lasts = np.array([[one.last] for one in listed], np.float32)
        self.upper = self._merged(similarities + slack)
        self.unlisted = -np.inf if any(one.whole for one in listed) else float(self._merged(lasts + slack)[0])

    def best(self, index: Index, k: int) -> float:
        """The similarity of the last of the `k` best of an index; minus infinity where there are fewer."""
        if self.merge is None:
            (found,) = exact.nearest(index, self.views, k)
        else:
            found = exact.nearest_merged(index, self.views, self.merge, k)
        return found[-1].similarity if len(found) == k else -np.inf

    def _merged(self, similarities: Floats) -> Floats:
        # Similarities beyond -1 and 1 count as equal.
        merged = similarities[0] if self.merge is None else self.merge(similarities)
        return np.asarray(np.minimum(np.maximum(merged, np.float32(-1)), np.float32(1)) + np.float32(_ROUNDING))


_ROUNDING = 1e-6
"""Above what merging and the rounding of a similarity to single precision may change it by."""


def _gather(faces: Sequence[_Face], fetched: _Fetched, lists: _Lists, wanted: int) -> None:
    """Fetch everybody who can be among the nearest so many of a face."""
    left, length = list(faces), max(_FIRST_LISTED, _LONGER * wanted)
    while left:
        listed = iter(lists.nearest(np.concatenate([face.views for face in left]), length))
        for face in left:
            face.take([next(listed) for _ in face.views], lists.slack)
        fetched.add(person for face in left for person in face.people[np.argsort(-face.upper)[:wanted]])
        least = [face.best(fetched.index, wanted) for face in left]
        contenders = (face.people[face.upper >= last] for face, last in zip(left, least, strict=True))
        if fetched.add(person for people in contenders for person in people):
            least = [face.best(fetched.index, wanted) for face in left]
        left = [face for face, last in zip(left, least, strict=True) if face.unlisted >= max(last, -1)]
        length *= _LONGER
