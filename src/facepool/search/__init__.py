"""Who of a gallery is nearest to a face: embeddings go in, candidates with their similarities come out.

Read `Search` here first, then ``exact``; ``index`` has the templates in memory and the margins between look-alikes,
``int8`` the first pass over large galleries, ``image`` the index on the disk, ``normalization`` the score offsets.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from facepool.gallery import Gallery, check_gallery
from facepool.gallery.base import OpenFiles
from facepool.gallery.columns import LookAlikes
from facepool.search import exact
from facepool.search.exact import Merge, best_template
from facepool.search.image import ImageKeeper
from facepool.search.index import Index
from facepool.search.normalization import normalized_scores
from facepool.search.shared import SharedIndex
from facepool.types import Calibration, Candidate, EmbeddingSpace, Floats

__all__ = ["GalleryState", "Index", "Merge", "Nearest", "Search", "best_template", "follow", "normalized_scores"]


@dataclass(slots=True)
class _Shared:
    """The newest index of files that galleries are open on, and who may make it newer."""

    following: threading.Lock = field(default_factory=threading.Lock)
    newest: SharedIndex = field(default_factory=SharedIndex)
    images: ImageKeeper = field(default_factory=ImageKeeper)


_SHARED: WeakKeyDictionary[OpenFiles, _Shared] = WeakKeyDictionary()
"""One index for all galleries of the process that are open on the same files, until the last of them is closed."""
_SHARED_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class GalleryState:
    """What a decision needs to know of a gallery beside the candidates.

    Attributes:
        revision: The gallery's revision that this is a picture of.
        people: How many have a template.
        templates: How many there are.
        calibration: What was measured of the gallery; None: nothing, or in another embedding space.
        look_alikes: Pairs of people who need a larger margin to be told apart.
        margins: That margin, for the pairs whose templates suffice to measure it.
    """

    revision: int
    people: int
    templates: int
    calibration: Calibration | None
    look_alikes: frozenset[LookAlikes]
    margins: Mapping[LookAlikes, float]


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
    """Finds the people of a gallery who are nearest to faces, exactly, and follows the gallery as it changes.

    Making one costs nothing: the templates are in memory once for all galleries that are open on the same files.

    Args:
        gallery: Who is searched. Like the gallery, a search is used from one thread at a time.
        space: What the embeddings are; None: the caller has made sure that the gallery is of the same space.

    Every method raises `SpaceMismatch` where the gallery is of another space, which a new one may turn out to be.
    """

    def __init__(self, gallery: Gallery, space: EmbeddingSpace | None = None) -> None:
        self._gallery = gallery
        self._space = space

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
        while True:
            index = self.index()
            if merge is None:
                found = exact.nearest(index, embeddings, k, normalize=normalize)
            else:
                found = [exact.nearest_merged(index, embeddings, merge, k, normalize=normalize)]
            if not index.spoiled:
                return Nearest(tuple(found), _state(index))

    def matching(self, views: Floats, threshold: float) -> dict[str, Floats]:
        """Everybody whom at least one of (V, D) views matches: (V,) similarities by name; see ``exact.matching``."""
        while True:
            index = self.index()
            found = exact.matching(index, views, threshold)
            if not index.spoiled:
                return found

    def state(self) -> GalleryState:
        """The gallery as it is now."""
        return _state(self.index())

    def index(self) -> Index:
        """All templates as they are now. Kept between calls, so cheap while the gallery does not change.

        What is computed with it holds unless it is ``spoiled`` afterwards.
        """
        index = _newest(_shared_by(self._gallery), self._gallery)
        if self._space is not None:
            check_gallery(self._gallery, self._space)  # each time: a new gallery may have become another model's
        return index


def follow(gallery: Gallery) -> None:
    """Bring what is in memory of a gallery up to date, if anything is: templates that were erased leave it.

    Whoever searches does that, too. This is for those who have changed the gallery, and for a process in which nobody
    may search for a while.

    Args:
        gallery: That of the calling thread, open on the files.
    """
    shared = _shared_by(gallery)
    if shared.newest.index is not None:
        _newest(shared, gallery)


def _shared_by(gallery: Gallery) -> _Shared:
    files = gallery.open_files
    with _SHARED_LOCK:
        return _SHARED.setdefault(files, _Shared())


def _newest(shared: _Shared, gallery: Gallery) -> Index:
    known = shared.newest.index
    if known is not None and known.revision == gallery.revision():
        return known
    with shared.following:  # one reads and sorts what is new, and the others wait for that
        newest = shared.newest
        if newest.index is None and (known := shared.images.opened(gallery)) is not None:
            newest.use(known)
        known = newest.index
        if known is None or known.revision != gallery.revision():
            known = newest.follow(gallery.changes(None if known is None else known.revision))
        shared.images.look(gallery, known, _held_by)
        return known


def _held_by(gallery: Gallery) -> _Shared | None:
    """What those who have the files of a gallery open share, if anybody searches them."""
    with _SHARED_LOCK:
        return _SHARED.get(gallery.open_files)


def _state(index: Index) -> GalleryState:
    return GalleryState(index.revision, index.people, len(index), index.calibration, index.look_alikes, index.margins)
