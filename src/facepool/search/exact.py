"""Exact search: the nearest people, whatever the order in which a machine adds up products.

A first pass finds who can be among the nearest: it may be off by a little that is known, and leaves out nobody by
mistake. Everybody whom it cannot rule out is then compared again, each pair of vectors by itself and in double
precision, so that a similarity depends on its two vectors only: not on the size of the gallery, on how many probes are
searched together, or on threads.

Score offsets are put on top: they rank a short list anew, of which everybody is known exactly.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from facepool.errors import InvalidEmbedding
from facepool.gallery.checks import check_vectors
from facepool.search.index import Index, ranges
from facepool.search.int8 import CodedProbes, Codes, Products
from facepool.search.normalization import score_offsets
from facepool.types import Candidate, Floats, Indices

Merge = Callable[[Floats], Floats]
"""From (V, N) similarities of several views of one face and N people to (N,); never falls where one of them rises."""

SHORTLIST = 16
"""People who are ranked anew by their normalized scores, at least: an offset moves nobody from further behind."""

_BLOCK_VALUES = 1 << 24  # similarities held at a time (64 MiB); more probes than fit are searched in blocks
_PROBES_AT_ONCE = 64  # searched together by codes, or given offsets
_PAIRS_AT_ONCE = 4096
_LONGEST = 1.001
"""No probe and no template is longer."""
_UNIT_ROUNDOFF = 2.0**-24
_ROUNDING = 1e-6
"""Above what merging and the rounding of a similarity to single precision may change it by."""
_ROWS_TO_READ = 0.25
"""Share of the gallery that is looked at a second time; if more would have to be, all of it is multiplied in
float32."""
_FIRST_BLOCKS = 4


@dataclass(frozen=True, slots=True)
class _Listed:
    """Some people near to one face, nearest first.

    Attributes:
        people: (K,) intp, indices into the index's names.
        candidates: The same K people.
    """

    people: Indices
    candidates: tuple[Candidate, ...]


def nearest(index: Index, probes: Floats, k: int = 2, *, normalize: bool = False) -> list[tuple[Candidate, ...]]:
    """The people nearest to each probe; a person is as similar as the best of their templates.

    Args:
        index: The gallery.
        probes: (P, D) float32, rows of L2 norm 1; P may be 0.
        k: How many people a probe, at least 1. Fewer come back from a gallery with fewer people.
        normalize: Whether candidates get score offsets, see ``facepool.search.normalization``. They are ranked by
            their normalized scores.

    Returns:
        P tuples, best candidate first, equal ones by name. Empty tuples from an empty gallery.

    Raises:
        InvalidEmbedding: The probes do not have the gallery's dimension, or are no unit vectors.
    """
    if k < 1:
        raise ValueError(f"k is {k}, but at least one candidate must be asked for")
    if not len(probes) or not len(index):
        return [() for _ in range(len(probes))]
    _check_probes(index, probes)
    wanted = max(k, SHORTLIST) if normalize else k
    size = max(1, _BLOCK_VALUES // len(index)) if index.codes is None else _PROBES_AT_ONCE
    found: list[tuple[Candidate, ...]] = []
    for first in range(0, len(probes), size):
        block = probes[first : first + size]
        listed = _compared(index, block, *_contenders(index, block, wanted), wanted)
        found += _normalized(index, block, listed, k) if normalize else [one.candidates for one in listed]
    return found


def nearest_merged(
    index: Index, views: Floats, merge: Merge, k: int = 2, *, normalize: bool = False
) -> tuple[Candidate, ...]:
    """The people nearest to one face that was seen several times.

    Args:
        index: The gallery.
        views: (V, D) float32 views of the one face, rows of L2 norm 1; at least one.
        merge: Makes one of the views' similarities.
        k: How many people, at least 1.
        normalize: Whether candidates get score offsets, merged as the similarities are.

    Returns:
        Best candidate first, equal ones by name; nobody from an empty gallery.

    Raises:
        InvalidEmbedding: The views do not have the gallery's dimension, or are no unit vectors.
    """
    if not len(index):
        return ()
    _check_probes(index, views)
    wanted = max(k, SHORTLIST) if normalize else k
    listed = _compared_merged(index, views, _merged_contenders(index, views, merge, wanted), merge, wanted)
    if not normalize:
        return listed.candidates
    return _ranked(listed, merge(_offsets_of_views(index, views, listed.people)), k)


def matching(index: Index, views: Floats, threshold: float) -> dict[str, Floats]:
    """Everybody whom at least one view matches, with their similarity to each view.

    Args:
        index: The gallery.
        views: (V, D) float32, rows of L2 norm 1; V may be 0.
        threshold: A view matches at this similarity or above.

    Returns:
        (V,) float32 by name, similarities to the best template of the person. Exact to single precision.
    """
    if not len(views) or not len(index):
        return {}
    similarities = _best_of_people(index, views)
    people = np.flatnonzero((similarities >= threshold).any(axis=0))
    return {index.names[person]: similarities[:, person] for person in people.tolist()}


def best_template(similarities: Floats, index: Index) -> Floats:
    """(P, N) similarities of probes and people, from (P, T) of probes and templates: those of the best template."""
    if len(index.names) == len(index):
        return similarities
    return np.asarray(np.maximum.reduceat(similarities, index.starts, axis=1))


def _check_probes(index: Index, probes: Floats) -> None:
    dimension = index.vectors.shape[1]
    if probes.ndim != 2 or probes.shape[1] != dimension:
        raise InvalidEmbedding(
            f"Probes of shape {probes.shape} cannot be searched in the pool",
            why=f"its templates have {dimension} dimensions",
            fix="Use the model that made the pool",
        )
    check_vectors(probes, what="Probe")


def _best_of_people(index: Index, probes: Floats) -> Floats:
    return best_template(probes @ index.vectors.T, index)


# The first pass: a person stays on the list as long as the most that they can have reaches the least that the last of
# the best has.


def _contenders(index: Index, probes: Floats, k: int) -> tuple[Indices, Indices]:
    """Who can be among the nearest: probes, rising, and the people of each, rising."""
    if index.codes is None:
        return _by_floats(_best_of_people(index, probes), probes.shape[1], k)
    coded = CodedProbes.of(probes)
    maxima = index.codes.maxima(coded)
    found = []
    for row in range(len(probes)):
        part = slice(row, row + 1)
        people = _by_codes(index, index.codes, probes[part], coded[part], maxima[part], _only_view, k)
        if people is None:
            people = _by_floats(_best_of_people(index, probes[part]), probes.shape[1], k)[1]
        found.append(people)
    return np.repeat(np.arange(len(probes)), [len(people) for people in found]), np.concatenate(found)


def _merged_contenders(index: Index, views: Floats, merge: Merge, k: int) -> Indices:
    """Who can be among the nearest to one face seen in all views; rising."""
    people = None
    if index.codes is not None:
        coded = CodedProbes.of(views)
        people = _by_codes(index, index.codes, views, coded, index.codes.maxima(coded), merge, k)
    return _by_merged_floats(_best_of_people(index, views), views.shape[1], merge, k) if people is None else people


def _only_view(similarities: Floats) -> Floats:
    """The `Merge` of a face that was seen once."""
    found: Floats = similarities[0]
    return found


def _rounding_slack(dimension: int) -> np.float32:
    """How far a product of two vectors of `dimension` numbers may be off in single precision.

    A sum of D products is off by at most D u |p| |v|, in whatever order it was taken (Higham, Accuracy and Stability of
    Numerical Algorithms, 3.1).
    """
    return np.float32((dimension + 1) * _UNIT_ROUNDOFF * _LONGEST**2 + _ROUNDING)


def _by_floats(similarities: Floats, dimension: int, k: int) -> tuple[Indices, Indices]:
    """Who can be among the best of several faces, by similarities in single precision.

    Args:
        similarities: (P, N) float32, of each face and the best template of each person; N at least 1.
        dimension: D, length of a vector.
        k: How many people are wanted of each, at least 1.

    Returns:
        Faces, rising, and the people of each, rising.
    """
    faces, people = (similarities >= _last_of_best(similarities, k) - 2 * _rounding_slack(dimension)).nonzero()
    return faces, people


def _by_merged_floats(similarities: Floats, dimension: int, merge: Merge, k: int) -> Indices:
    """The same of one face seen several times, (V, N) similarities: people, rising."""
    slack = _rounding_slack(dimension)
    least = _last_of_best(merge(similarities - slack), k)
    return (merge(similarities + slack) >= least).nonzero()[0]


def _by_codes(
    index: Index, codes: Codes, views: Floats, coded: CodedProbes, maxima: Products, merge: Merge, k: int
) -> Indices | None:
    """The same by codes, looking only into blocks that somebody among the best may be in.

    Args:
        index: The gallery.
        codes: Its codes.
        views: (V, D) float32.
        coded: The same as codes.
        maxima: (V, B) largest product of each view with a row of each block.
        merge: Makes one similarity of the views'.
        k: How many people are wanted, at least 1.

    Returns:
        People, rising; None where too many come into question for a second look to pay.
    """
    seeming = codes.similarities(maxima, coded)
    upper = merge(seeming + codes.slack(coded))
    # The best of a block is one person's for one view. For several it may be several people's, and nobody's together.
    count = min(k if len(views) == 1 else _FIRST_BLOCKS * k, len(upper))
    first = _BlockPeople(index, codes, coded, np.argpartition(-merge(seeming), count - 1)[:count], merge)
    least = _last_of_best(_exact_merged(index, views, first.best(k), merge) - np.float32(_ROUNDING), k)
    blocks = (upper >= least).nonzero()[0]
    if codes.sizes[blocks].sum() > _ROWS_TO_READ * len(index):
        codes.counts.add(None)
        return None
    second = _BlockPeople(index, codes, coded, blocks, merge)
    people = second.people[second.upper >= least]
    codes.counts.add(len(people))
    return people


class _BlockPeople:
    """Everybody in some blocks: how similar they are at most.

    Args:
        index: The gallery.
        codes: Its codes.
        probes: V views of a face.
        blocks: Numbers of blocks.
        merge: Makes one similarity of the views'.
    """

    def __init__(self, index: Index, codes: Codes, probes: CodedProbes, blocks: Indices, merge: Merge) -> None:
        first = index.person_of[codes.starts[blocks]]
        last = index.person_of[codes.starts[blocks] + codes.sizes[blocks] - 1]
        self.people = ranges(first, last - first + 1)
        rows = index.counts[self.people]
        best = np.maximum.reduceat(codes.products(probes, blocks), np.cumsum(rows) - rows, axis=0).T
        seeming = codes.similarities(best, probes)
        slack = np.repeat(codes.slack(probes, blocks), last - first + 1, axis=1)
        self.upper = merge(seeming + slack)
        self._seeming = merge(seeming)

    def best(self, k: int) -> Indices:
        """Those who seem most similar."""
        return self.people[(-self._seeming).argsort()[:k]]


def _last_of_best(lower: Floats, k: int) -> Floats:
    """The similarity that the last of the best has at least, (..., 1) of (..., N).

    Similarities beyond -1 and 1 will count as equal, so it is at most 1, and minus infinity from -1 down.
    """
    place = lower.shape[-1] - k
    if place < 0:
        return np.full((*lower.shape[:-1], 1), -np.inf, np.float32)
    last = np.minimum(np.partition(lower, place)[..., place : place + 1], np.float32(1))
    return np.where(last > -1, last, np.float32(-np.inf))


# The second pass: similarities that depend on nothing but two vectors.


def _exact(vectors: Floats, rows: Indices, probes: Floats, asked: Indices) -> Floats:
    """Similarities of pairs of a row and a probe.

    The product of two float32 is exact in double precision; NumPy adds those of one pair pairwise, in an order that
    depends on D alone. What is left of rounding is gone in float32.

    Args:
        vectors: (T, D) float32.
        rows: (K,) of `vectors`.
        probes: (P, D) float32.
        asked: (K,) of `probes`.

    Returns:
        (K,) float32.
    """
    found = np.empty(len(rows), np.float32)
    doubles = probes.astype(np.float64)
    for first in range(0, len(rows), _PAIRS_AT_ONCE):
        part = slice(first, first + _PAIRS_AT_ONCE)
        found[part] = (vectors[rows[part]] * doubles[asked[part]]).sum(axis=1)
    return found


def _exact_views(vectors: Floats, rows: Indices, views: Floats) -> Floats:
    """Similarities of all of (V, D) views and some rows of (T, D) vectors, (V, K) float32."""
    return np.stack([_exact(vectors, rows, views, np.full(len(rows), view)) for view in range(len(views))])


def _exact_merged(index: Index, views: Floats, people: Indices, merge: Merge) -> Floats:
    rows, starts = index.rows_of(people)
    return merge(np.maximum.reduceat(_exact_views(index.vectors, rows, views), starts, axis=1))


def _compared(index: Index, probes: Floats, asked: Indices, people: Indices, k: int) -> list[_Listed]:
    """The best of some people for each probe.

    Args:
        index: The gallery.
        probes: (P, D).
        asked: (K,) rising: which probe is to be compared.
        people: (K,) with whom; rising for each probe.
        k: How many are wanted of each.
    """
    rows, starts = index.rows_of(people)
    counts = index.counts[people]
    similarities = _exact(index.vectors, rows, probes, asked.repeat(counts))
    best = _in_range(np.maximum.reduceat(similarities, starts))
    order = np.lexsort((-best, asked))  # stable: equal ones stay by name
    firsts = np.searchsorted(asked, np.arange(len(probes) + 1)).tolist()
    found = []
    for first, end in pairwise(firsts):
        places = order[first : min(first + k, end)]
        candidates = (
            _candidate(index, people[place], best[place], similarities[starts[place] : starts[place] + counts[place]])
            for place in places.tolist()
        )
        found.append(_Listed(people[places], tuple(candidates)))
    return found


def _compared_merged(index: Index, views: Floats, people: Indices, merge: Merge, k: int) -> _Listed:
    """The best of some people, (K,) rising, for one face seen in all views."""
    rows, starts = index.rows_of(people)
    counts = index.counts[people]
    similarities = _exact_views(index.vectors, rows, views)
    best = _in_range(merge(np.maximum.reduceat(similarities, starts, axis=1)))
    loudest = similarities.max(axis=0)
    places = _best(best, k)
    candidates = (
        _candidate(index, people[place], best[place], loudest[starts[place] : starts[place] + counts[place]])
        for place in places
    )
    return _Listed(people[places], tuple(candidates))


def _normalized(index: Index, probes: Floats, listed: Sequence[_Listed], k: int) -> Iterator[tuple[Candidate, ...]]:
    """The best of each short list, all of one length, by their normalized scores."""
    for first in range(0, len(probes), _PROBES_AT_ONCE):
        lists = listed[first : first + _PROBES_AT_ONCE]
        best = np.array([[candidate.similarity for candidate in one.candidates] for one in lists], np.float32)
        people = np.stack([one.people for one in lists])
        offsets = score_offsets(index, probes[first : first + _PROBES_AT_ONCE], best, people)
        yield from (_ranked(one, of_one, k) for one, of_one in zip(lists, offsets, strict=True))


def _offsets_of_views(index: Index, views: Floats, people: Indices) -> Floats:
    """The score offsets of (K,) people for each view by itself, (V, K)."""
    rows, starts = index.rows_of(people)
    best = _in_range(np.maximum.reduceat(_exact_views(index.vectors, rows, views), starts, axis=1))
    nearest_first = np.argsort(-best, axis=1, kind="stable")
    of_sorted = score_offsets(index, views, np.take_along_axis(best, nearest_first, axis=1), people[nearest_first])
    offsets = np.empty_like(best)
    np.put_along_axis(offsets, nearest_first, of_sorted, axis=1)
    return offsets


def _ranked(listed: _Listed, offsets: Floats, k: int) -> tuple[Candidate, ...]:
    candidates = [
        replace(candidate, score_offset=float(offset))
        for candidate, offset in zip(listed.candidates, offsets, strict=True)
    ]
    return tuple(sorted(candidates, key=lambda candidate: -candidate.normalized_score)[:k])


def _in_range(similarities: Floats) -> Floats:
    """Rounding takes the product of two unit vectors beyond 1 now and then."""
    return np.minimum(np.maximum(similarities, np.float32(-1)), np.float32(1))


def _best(people: Floats, k: int) -> list[int]:
    """The `k` highest of (N,), best first, equal ones by position, which is by name."""
    contenders = np.arange(len(people))
    if k < len(people):
        contenders = (people >= np.partition(people, len(people) - k)[len(people) - k]).nonzero()[0]
    order = (-people[contenders]).argsort(kind="stable")[:k]
    return [int(place) for place in contenders[order]]


def _candidate(index: Index, person: int, similarity: np.float32, of_rows: Floats) -> Candidate:
    loudest = index.starts[person] + of_rows.argmax()
    return Candidate(
        index.names[person], float(similarity), int(index.template_ids[loudest]), person_id=index.person_ids[person]
    )
