"""Who of a gallery is nearest to a face: embeddings go in, candidates with their similarities come out.

Read `Search` here first, then ``exact``, which compares. ``index`` has the templates in memory, made of pieces
(``segment``); ``shared`` replaces it while others search, ``image`` keeps it on the disk. ``int8`` is the first pass
over large galleries, ``normalization`` the score offsets, ``margins`` what tells look-alikes apart. ``known`` has what
a process knows of a gallery, and whether its database is away.

Galleries that are too large for the memory are searched elsewhere: in their database by ``pgvector``, with the index
that ``hnsw`` makes there, or by an index ``beside`` them, which is in ``milvus``. These list templates; ``listed``
makes the answer of that, with a ``mirror`` of the gallery in memory. ``follower`` brings an index up to date, in a
``turn`` that one process at a time has, with an ``engine`` that has the vectors; ``index_status`` says how they stand.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from weakref import ref

from facepool.errors import IndexUnreachable, IndexUnusable, PoolUnreachable
from facepool.gallery import Gallery, check_gallery
from facepool.search import exact
from facepool.search.exact import Merge, best_template
from facepool.search.image import mapped_image
from facepool.search.index import Index
from facepool.search.known import (
    Known,
    Place,
    SearchChoice,
    choose,
    describe,
    fits_memory,
    in_database,
    known_of,
    too_large,
)
from facepool.search.normalization import normalized_scores
from facepool.search.state import Behind, GalleryState, Outage
from facepool.types import Candidate, EmbeddingSpace, Floats

if TYPE_CHECKING:
    from facepool.gallery.database import Database
    from facepool.search.listed import Lists
    from facepool.search.mirror import Mirror

__all__ = [
    "Behind",
    "GalleryState",
    "Index",
    "Merge",
    "Nearest",
    "Outage",
    "Place",
    "Search",
    "SearchChoice",
    "behind",
    "behind_teller",
    "best_template",
    "choose",
    "describe",
    "follow",
    "keeping_image",
    "normalized_scores",
    "outage",
    "outage_teller",
]

Answer = TypeVar("Answer")
Told = TypeVar("Told", Outage, Behind)


@dataclass(frozen=True, slots=True)
class Nearest:
    """The answer of a search.

    Attributes:
        candidates: The nearest people of each face, best first, equal ones by name; none from an empty gallery.
        state: The gallery as it was answered from.
    """

    candidates: tuple[tuple[Candidate, ...], ...]
    state: GalleryState


class Search:
    """Finds the people of a gallery who are nearest to faces, and follows the gallery as it changes.

    Making one costs nothing. Either the templates are in memory, once for all galleries of the process that are open on
    the same files or the same database, and answers are exact. Or the gallery is so large that its database
    searches, or an index beside it: ``facepool.search.listed``. ``choose`` says which, and by default the size does.

    Args:
        gallery: Who is searched. Like the gallery, a search is used from one thread at a time.
        space: What the embeddings are; None: the caller has made sure that the gallery is of the same space.
        live: Whether an old answer is better than none: while the gallery's database is away, what is in memory is
            searched, and ``state`` says how old it is.

    Every method raises `SpaceMismatch` where the gallery is of another space, which a new one may turn out to be, and
    `PoolUnreachable` where its database is away and there is nothing in memory, or it would be too old for the caller.
    While an index beside it is away, the gallery is searched without; where it is too large for that, it is
    `IndexUnreachable` or `IndexUnusable`.
    """

    def __init__(self, gallery: Gallery, space: EmbeddingSpace | None = None, *, live: bool = False) -> None:
        self._gallery = gallery
        self._space = space
        self._live = live

    def nearest(
        self, embeddings: Floats, k: int = 2, *, merge: Merge | None = None, normalize: bool = False
    ) -> Nearest:
        """The people nearest to faces.

        Args:
            embeddings: (P, D) float32, rows of L2 norm 1: a face each, or with `merge` at least one view of one face.
            k: How many people a face, at least 1. Fewer come back from a gallery with fewer people.
            merge: Makes one similarity of those of several views.
            normalize: Whether candidates get score offsets, see ``facepool.search.normalization``. They are ranked by
                their normalized scores.

        Returns:
            Candidates of P faces, with `merge` of one.

        Raises:
            InvalidEmbedding: The embeddings do not have the gallery's dimension, or are no unit vectors.
        """
        known = known_of(self._gallery)

        def search(lists: "Lists | None", mirror: "Mirror", db: "Database") -> tuple[tuple[Candidate, ...], ...]:
            from facepool.search import listed  # noqa: PLC0415 -- only for large galleries

            return listed.nearest(lists, mirror, db, embeddings, k, merge=merge, normalize=normalize)

        answer = self._from_lists(known, search)
        if answer is not None:
            return Nearest(*answer)
        while True:
            index, state = self._current(known)
            if merge is None:
                found = exact.nearest(index, embeddings, k, normalize=normalize)
            else:
                found = [exact.nearest_merged(index, embeddings, merge, k, normalize=normalize)]
            if not index.spoiled:
                return Nearest(tuple(found), state)

    def matching(self, views: Floats, threshold: float) -> dict[str, Floats]:
        """Everybody whom at least one of (V, D) views matches: (V,) similarities by name; see ``exact.matching``."""
        known = known_of(self._gallery)

        def search(lists: "Lists | None", mirror: "Mirror", db: "Database") -> dict[str, Floats]:
            from facepool.search import listed  # noqa: PLC0415 -- only for large galleries

            return listed.matching(lists, mirror, db, views, threshold)

        answer = self._from_lists(known, search)
        if answer is not None:
            return answer[0]
        while True:
            index = self._current(known)[0]
            found = exact.matching(index, views, threshold)
            if not index.spoiled:
                return found

    def state(self) -> GalleryState:
        """The gallery as it is now."""
        known = known_of(self._gallery)
        if not known.is_beside() and not known.is_in_database(self._gallery):
            return self._current(known)[1]
        mirror = known.mirror
        if mirror is not None and mirror.state.revision == known.ask(self._gallery, Gallery.revision):
            return replace(mirror.state, behind=known.behind)
        return self._at_one_moment(known, lambda mirror, _db: replace(mirror.state, behind=known.behind))

    def index(self) -> Index:
        """All templates as they are now, in memory; kept between calls where that is where they are searched.

        What is computed with it holds unless it is ``spoiled`` afterwards.

        Raises:
            ConfigError: They are too many.
        """
        known = known_of(self._gallery)
        if not known.is_beside() and not known.is_in_database(self._gallery):
            return self._current(known)[0]
        if not fits_memory(self._gallery):
            raise too_large(self._gallery)
        return Index.of(self._gallery.changes())

    def check(self) -> None:
        """Raise `SpaceMismatch` now rather than with the first search; nothing is read for that."""
        if self._space is None:
            return
        space = self._space
        try:
            known_of(self._gallery).ask(self._gallery, lambda gallery: check_gallery(gallery, space))
        except PoolUnreachable:
            if not self._live:  # otherwise each search looks at it
                raise

    def _current(self, known: Known) -> tuple[Index, GalleryState]:
        """What is in memory, brought up to date if that can be."""
        try:
            index, away = known.current(self._gallery), None
            if self._space is not None:
                known.check(self._gallery, self._space, index.revision, is_empty=not len(index))
        except PoolUnreachable:
            away, old = known.outage, known.index
            if not self._live or old is None:
                raise
            index = old
            if self._space is not None:
                known.check_unasked(self._gallery, self._space)
        state = GalleryState(
            index.revision, len(index), index.calibration, index.look_alikes, index.margins, away, known.behind
        )
        return index, state

    def _from_lists(
        self, known: Known, work: "Callable[[Lists | None, Mirror, Database], Answer]"
    ) -> tuple[Answer, GalleryState] | None:
        """The answer from lists of the index or the database; None: what is in memory is to be searched."""
        if known.is_beside():
            try:
                answer = self._at_one_moment(known, partial(self._by_index, known, work))
            except (IndexUnreachable, IndexUnusable) as error:
                if known.beside is not None:
                    known.beside.note_failure(error)
            else:
                if answer is not None:
                    return answer
        if not known.is_in_database(self._gallery):
            return None
        return self._at_one_moment(known, partial(self._by_database, known, work))

    def _by_index(
        self, known: Known, work: "Callable[[Lists | None, Mirror, Database], Answer]", mirror: "Mirror", db: "Database"
    ) -> tuple[Answer, GalleryState] | None:
        lists = None
        if known.beside is not None and mirror.state.templates:
            lists = known.beside.lists(db, mirror.dimension, mirror.state.templates)
            if lists is None:
                return None
        answer = work(lists, mirror, db)
        known.release_stand_in()
        return answer, replace(mirror.state, behind=known.behind)

    def _by_database(
        self, known: Known, work: "Callable[[Lists | None, Mirror, Database], Answer]", mirror: "Mirror", db: "Database"
    ) -> tuple[Answer, GalleryState]:
        from facepool.search.pgvector import DatabaseLists  # noqa: PLC0415 -- only for PostgreSQL

        lists = None
        if mirror.state.templates:
            lists = DatabaseLists(mirror.dimension, db, exactly=known.choice.exact)
        return work(lists, mirror, db), replace(mirror.state, behind=known.behind)

    def _at_one_moment(self, known: Known, work: "Callable[[Mirror, Database], Answer]") -> Answer:
        """Do something with the gallery's tables, and what is known of it at that very revision."""
        from facepool.search.mirror import at_one_moment  # noqa: PLC0415 -- only for large galleries

        def checked(mirror: "Mirror", db: "Database") -> Answer:
            if self._space is not None:
                empty = not mirror.state.templates
                known.check(self._gallery, self._space, mirror.state.revision, is_empty=empty)
            return work(mirror, db)

        return known.ask(self._gallery, lambda gallery: at_one_moment(in_database(gallery), checked))


def follow(gallery: Gallery) -> None:
    """Bring what is in memory of a gallery up to date, if anything is: templates that were erased leave it.

    Whoever searches does that, too. This is for those who have changed the gallery, and for a process in which nobody
    may search for a while.

    Args:
        gallery: That of the calling thread, open on the files.
    """
    known = known_of(gallery)
    if known.index is not None:
        known.current(gallery)
    if known.mirror is not None:  # also while something else is searched in its place
        from facepool.search.mirror import at_one_moment  # noqa: PLC0415 -- only for large galleries

        known.ask(gallery, lambda gallery: at_one_moment(in_database(gallery), lambda _mirror, _db: None))
    if known.behind is not None and known.is_beside():
        known.ask(gallery, known.look_beside)


@contextmanager
def keeping_image(gallery: Gallery) -> Iterator[None]:
    """Changes inside the block leave the pool an image of its index, if it had one; whoever was erased is not in it.

    For those who change a gallery and would not search it: whoever opens it next need not read it.
    """
    image = mapped_image(gallery)
    yield
    if image is not None:
        known_of(gallery).keep_image(gallery, image)


def outage(gallery: Gallery) -> Outage | None:
    """Whether it is known that the gallery's database is away; nobody is asked."""
    return known_of(gallery).outage


def outage_teller(gallery: Gallery) -> Callable[[], Outage | None]:
    """The same for other threads, now and later; it keeps nothing in memory."""
    return _teller(gallery, lambda known: known.outage)


def behind(gallery: Gallery) -> Behind | None:
    """Whether it is known that the gallery's index is behind, or away; nobody is asked."""
    return known_of(gallery).behind


def behind_teller(gallery: Gallery) -> Callable[[], Behind | None]:
    """The same for other threads, now and later; it keeps nothing in memory."""
    return _teller(gallery, lambda known: known.behind)


def _teller(gallery: Gallery, told: "Callable[[Known], Told | None]") -> "Callable[[], Told | None]":
    known = ref(known_of(gallery))

    def tell() -> Told | None:
        still_known = known()
        return None if still_known is None else told(still_known)

    return tell
