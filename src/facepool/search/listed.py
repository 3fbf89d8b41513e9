"""The answer from lists of the templates nearest to faces, whoever lists them: a database, or an index beside one.

A list may overlook somebody, and its similarities may be a little off. Whoever of the listed can be among the nearest
is fetched from the gallery with all of their templates, and compared by ``facepool.search.exact`` as if they were the
whole gallery. Whether the lists were long enough follows from the last similarity on each (Fagin, Lotem and Naor,
Optimal Aggregation Algorithms for Middleware, 2003); so from lists that overlook nobody comes the exact answer, for one
view of a face and for several. It is of one transaction of the gallery, so of one revision, whatever a list is of.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from facepool.gallery.database import Database, select
from facepool.search import exact
from facepool.search.exact import SHORTLIST, Merge
from facepool.search.index import Index
from facepool.search.mirror import PEOPLE_WITH_TEMPLATES, Mirror, changes_of
from facepool.types import Candidate, Floats, Indices

_FIRST_LISTED = 64
_LONGER = 4


@dataclass(frozen=True, slots=True)
class Listed:
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


class Lists(Protocol):
    """Who lists the templates nearest to views.

    Attributes:
        slack: How far a similarity may be off.
        longest: How many templates are listed at most.
    """

    slack: np.float32
    longest: int

    def nearest(self, views: Floats, length: int) -> list[Listed]:
        """For each of (V, D) views the people of so many templates; of more than `longest`, so many."""


def nearest(
    lists: Lists | None,
    mirror: Mirror,
    db: Database,
    embeddings: Floats,
    k: int = 2,
    *,
    merge: Merge | None = None,
    normalize: bool = False,
) -> tuple[tuple[Candidate, ...], ...]:
    """The people nearest to faces, as ``facepool.search.Search.nearest`` has it.

    Args:
        lists: Lists templates of the gallery; None: it has none.
        mirror: Of the gallery, at the revision that the database shows.
        db: The gallery at one moment.
        embeddings: (P, D) float32, rows of L2 norm 1.
        k: How many people a face, at least 1.
        merge: Makes one similarity of those of several views of one face; None: they are faces of their own.
        normalize: Whether candidates get score offsets.

    Raises:
        InvalidEmbedding: The embeddings do not have the gallery's dimension, or are no unit vectors.
    """
    faces = [_Face(embeddings, merge)] if merge is not None else [_Face(row[None], None) for row in embeddings]
    if lists is None:
        return tuple(() for _ in faces)
    exact.check_probes(mirror.dimension, embeddings)
    fetched = _Fetched(mirror, db)
    _gather(faces, fetched, lists, max(k, SHORTLIST) if normalize else k)
    sample = mirror.sample if normalize else None
    if merge is None:
        return tuple(exact.nearest(fetched.index, embeddings, k, normalize=normalize, sample=sample))
    return (exact.nearest_merged(fetched.index, embeddings, merge, k, normalize=normalize, sample=sample),)


def matching(lists: Lists | None, mirror: Mirror, db: Database, views: Floats, threshold: float) -> dict[str, Floats]:
    """Everybody whom at least one of (V, D) views matches: (V,) similarities by name; see ``exact.matching``.

    Where more templates match a view than are listed, it is those of the nearest ones.
    """
    if lists is None or not len(views):
        return {}
    exact.check_probes(mirror.dimension, views)
    fetched = _Fetched(mirror, db)
    left, length = list(views), _FIRST_LISTED
    while left:
        listed = lists.nearest(np.stack(left), length)
        fetched.add(person for one in listed for person in one.people[one.similarities >= threshold - lists.slack])
        far = threshold - lists.slack
        left = [view for view, one in zip(left, listed, strict=True) if one.last >= far and not one.whole]
        if length >= lists.longest:
            break
        length *= _LONGER
    return exact.matching(fetched.index, views, threshold)


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
        self._rows += select(self._db, f"{PEOPLE_WITH_TEMPLATES} WHERE persons.id IN ({{}})", sorted(new))
        self._known |= new
        self._index = None
        return True

    @property
    def index(self) -> Index:
        """All who were fetched."""
        if self._index is None:
            self._index = Index.of(changes_of(self._rows, self._mirror.dimension, self._mirror.state.revision))
        return self._index


@dataclass(slots=True, repr=False)
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

    def take(self, listed: Sequence[Listed], slack: np.float32) -> None:
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


def _gather(faces: Sequence[_Face], fetched: _Fetched, lists: Lists, wanted: int) -> None:
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
        if length >= lists.longest:
            return
        length *= _LONGER
