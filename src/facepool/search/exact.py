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
from facepool.search.index import Index
from facepool.search.int8 import Blocks, CodedProbes, Products
from facepool.search.normalization import Sample, score_offsets
from facepool.search.texts import ranges
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
_NOBODY = np.float32(-2)
"""The similarity of everybody to somebody who is dead: below all others."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """Some people near to one face, nearest first.

    Attributes:
        people: (K,) intp, numbers of people of the index.
        candidates: The same K people.
    """

    people: Indices
    candidates: tuple[Candidate, ...]


def nearest(
    index: Index, probes: Floats, k: int = 2, *, normalize: bool = False, sample: Sample | None = None
) -> list[tuple[Candidate, ...]]:
    """The people nearest to each probe; a person is as similar as the best of their templates.

    Args:
        index: The gallery.
        probes: (P, D) float32, rows of L2 norm 1; P may be 0.
        k: How many people a probe, at least 1. Fewer come back from a gallery with fewer people.
        normalize: Whether candidates get score offsets, see ``facepool.search.normalization``. They are ranked by
            their normalized scores.
        sample: People of the gallery who stand for all of it in that; None: the index has everybody.

    Returns:
        P tuples, best candidate first, equal ones by name. Empty tuples from an empty gallery.

    Raises:
        InvalidEmbedding: The probes do not have the gallery's dimension, or are no unit vectors.
    """
    if k < 1:
        raise ValueError(f"k is {k}, but at least one candidate must be asked for")
    if not len(probes) or not len(index):
        return [() for _ in range(len(probes))]
    check_probes(index.dimension, probes)
    wanted = max(k, SHORTLIST) if normalize else k
    size = max(1, _BLOCK_VALUES // len(index)) if index.blocks is None else _PROBES_AT_ONCE
    found: list[tuple[Candidate, ...]] = []
    for first in range(0, len(probes), size):
        block = probes[first : first + size]
        listed = _compared(index, block, *_contenders(index, block, wanted), wanted)
        found += _normalized(index, block, listed, k, sample) if normalize else [one.candidates for one in listed]
    return found


def nearest_merged(
    index: Index,
    views: Floats,
    merge: Merge,
    k: int = 2,
    *,
    normalize: bool = False,
    sample: Sample | None = None,
) -> tuple[Candidate, ...]:
    """The people nearest to one face that was seen several times.

    Args:
        index: The gallery.
        views: (V, D) float32 views of the one face, rows of L2 norm 1; at least one.
        merge: Makes one of the views' similarities.
        k: How many people, at least 1.
        normalize: Whether candidates get score offsets, merged as the similarities are.
        sample: People of the gallery who stand for all of it in that; None: the index has everybody.

    Returns:
        Best candidate first, equal ones by name; nobody from an empty gallery.

    Raises:
        InvalidEmbedding: The views do not have the gallery's dimension, or are no unit vectors.
    """
    if not len(index):
        return ()
    check_probes(index.dimension, views)
    wanted = max(k, SHORTLIST) if normalize else k
    listed = _compared_merged(index, views, _merged_contenders(index, views, merge, wanted), merge, wanted)
    if not normalize:
        return listed.candidates
    return _ranked(listed, merge(_offsets_of_views(index, views, listed.people, sample)), k)


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
    check_probes(index.dimension, views)
    least = np.float32(threshold) - rounding_slack(views.shape[1])
    people = np.flatnonzero((_best_of_people(index, views) >= least).any(axis=0))
    people = people[index.alive(people)]
    if not len(people):
        return {}
    rows, starts, _ = index.rows_of(people)
    best = np.maximum.reduceat(_exact_views(index, rows, views), starts, axis=1)
    return {index.name_of(people[place]): best[:, place] for place in np.flatnonzero((best >= threshold).any(axis=0))}


def best_template(similarities: Floats, index: Index) -> Floats:
    """(P, N) similarities of probes and people, from (P, T) of probes and templates: those of the best template.

    Both in the order of ``index.vectors``.
    """
    if index.people == len(index):
        return similarities
    return np.asarray(np.maximum.reduceat(similarities, index.starts, axis=1))


def check_probes(dimension: int, probes: Floats) -> None:
    """Refuse what cannot be searched for in a gallery of vectors of some length.

    Raises:
        InvalidEmbedding: They are of another length, or no unit vectors.
    """
    if probes.ndim != 2 or probes.shape[1] != dimension:
        raise InvalidEmbedding(
            f"Probes of shape {probes.shape} cannot be searched in the pool",
            why=f"its templates have {dimension} dimensions",
            fix="Use the model that made the pool",
        )
    check_vectors(probes, what="Probe")


def _best_of_people(index: Index, probes: Floats) -> Floats:
    """(P, N) similarities of probes and everybody by number, in single precision."""
    found = np.empty((len(probes), index.first_people[-1]), np.float32)
    for layer, first in zip(index.layers, index.first_people.tolist(), strict=False):
        segment = layer.segment
        of_layer = found[:, first : first + segment.people]
        products = probes @ segment.vectors.T
        np.maximum.reduceat(products, segment.starts[:-1], axis=1, out=of_layer)
        if layer.alive is not None:
            of_layer[:, ~layer.alive] = _NOBODY
    return found


# The first pass: a person stays on the list as long as the most that they can have reaches the least that the last of
# the best has.


def _contenders(index: Index, probes: Floats, k: int) -> tuple[Indices, Indices]:
    """Who can be among the nearest: probes, rising, and the people of each, rising."""
    if index.blocks is None:
        faces, people = _by_floats(_best_of_people(index, probes), probes.shape[1], k)
        alive = index.alive(people)
        return faces[alive], people[alive]
    coded = CodedProbes.of(probes)
    maxima = index.blocks.maxima(coded)
    found = []
    for row in range(len(probes)):
        part = slice(row, row + 1)
        chosen = _by_codes(index, index.blocks, probes[part], coded[part], maxima[part], _only_view, k)
        if chosen is None:
            everybody = _by_floats(_best_of_people(index, probes[part]), probes.shape[1], k)[1]
            chosen = everybody[index.alive(everybody)]
        found.append(chosen)
    return np.repeat(np.arange(len(probes)), [len(people) for people in found]), np.concatenate(found)


def _merged_contenders(index: Index, views: Floats, merge: Merge, k: int) -> Indices:
    """Who can be among the nearest to one face seen in all views; rising."""
    if index.blocks is not None:
        coded = CodedProbes.of(views)
        found = _by_codes(index, index.blocks, views, coded, index.blocks.maxima(coded), merge, k)
        if found is not None:
            return found
    people = _by_merged_floats(_best_of_people(index, views), views.shape[1], merge, k)
    return people[index.alive(people)]


def _only_view(similarities: Floats) -> Floats:
    """The `Merge` of a face that was seen once."""
    found: Floats = similarities[0]
    return found


def rounding_slack(dimension: int) -> np.float32:
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
    faces, people = (similarities >= _last_of_best(similarities, k) - 2 * rounding_slack(dimension)).nonzero()
    return faces, people


def _by_merged_floats(similarities: Floats, dimension: int, merge: Merge, k: int) -> Indices:
    """The same of one face seen several times, (V, N) similarities: people, rising."""
    slack = rounding_slack(dimension)
    least = _last_of_best(merge(similarities - slack), k)
    return (merge(similarities + slack) >= least).nonzero()[0]


def _by_codes(
    index: Index, blocks: Blocks, views: Floats, coded: CodedProbes, maxima: Products, merge: Merge, k: int
) -> Indices | None:
    """The same by codes, looking only into blocks that somebody among the best may be in.

    Args:
        index: The gallery.
        blocks: Its codes.
        views: (V, D) float32.
        coded: The same as codes.
        maxima: (V, B) largest product of each view with a row of each block.
        merge: Makes one similarity of the views'.
        k: How many people are wanted, at least 1.

    Returns:
        People, rising; None where too many come into question for a second look to pay.
    """
    seeming = blocks.similarities(maxima, coded)
    upper = merge(seeming + blocks.slack(coded))
    # The best of a block is one person's for one view. For several it may be several people's, and nobody's together.
    # Neither is it anybody's where it is that of a dead one.
    count = min(k if len(views) == 1 and index.people == index.first_people[-1] else _FIRST_BLOCKS * k, len(upper))
    first = _BlockPeople(index, blocks, coded, np.sort(np.argpartition(-merge(seeming), count - 1)[:count]), merge)
    least = np.float32(-np.inf)
    if len(first.people) >= k:
        least = _last_of_best(_exact_merged(index, views, first.best(k), merge) - np.float32(_ROUNDING), k)[0]
    chosen = (upper >= least).nonzero()[0]
    if blocks.rows[chosen].sum() > _ROWS_TO_READ * index.first_rows[-1]:
        index.search_counts.add(None)
        return None
    second = _BlockPeople(index, blocks, coded, chosen, merge)
    people = second.people[second.upper >= least]
    index.search_counts.add(len(people))
    return people


class _BlockPeople:
    """Everybody in some blocks who is alive: how similar they are at most.

    Args:
        index: The gallery.
        blocks: Its codes.
        probes: V views of a face.
        chosen: Numbers of blocks, rising.
        merge: Makes one similarity of the views'.

    Attributes:
        people: (K,) their numbers, rising.
        upper: (K,) the most that they can reach.
    """

    def __init__(self, index: Index, blocks: Blocks, probes: CodedProbes, chosen: Indices, merge: Merge) -> None:
        people, rows, in_each = [], [], []
        for number, places in blocks.grouped(chosen):
            segment, codes = index.layers[number].segment, blocks.segments[number]
            in_each.append(codes.people[places + 1] - codes.people[places])
            those = ranges(codes.people[places], in_each[-1])
            rows.append(segment.counts(those))
            people.append(those + index.first_people[number])
        counts, of_block = np.concatenate(rows), np.repeat(chosen, np.concatenate(in_each))
        products = np.maximum.reduceat(blocks.products(probes, chosen), np.cumsum(counts) - counts, axis=0).T
        self.people = np.concatenate(people)
        if index.people != index.first_people[-1]:
            alive = index.alive(self.people)
            self.people, products, of_block = self.people[alive], products[:, alive], of_block[alive]
        seeming = blocks.similarities(products, probes, of_block)
        self.upper = merge(seeming + blocks.slack(probes, of_block))
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


def _exact(index: Index, rows: Indices, probes: Floats, asked: Indices) -> Floats:
    """Similarities of pairs of a row and a probe.

    The product of two float32 is exact in double precision; NumPy adds those of one pair pairwise, in an order that
    depends on D alone. What is left of rounding is gone in float32.

    Args:
        index: The gallery.
        rows: (K,) of it.
        probes: (P, D) float32.
        asked: (K,) of `probes`.

    Returns:
        (K,) float32.
    """
    found = np.empty(len(rows), np.float32)
    doubles = probes.astype(np.float64)
    for first in range(0, len(rows), _PAIRS_AT_ONCE):
        part = slice(first, first + _PAIRS_AT_ONCE)
        found[part] = (index.vectors_of(rows[part]) * doubles[asked[part]]).sum(axis=1)
    return found


def _exact_views(index: Index, rows: Indices, views: Floats) -> Floats:
    """Similarities of all of (V, D) views and some rows, (V, K) float32."""
    return np.stack([_exact(index, rows, views, np.full(len(rows), view)) for view in range(len(views))])


def _exact_merged(index: Index, views: Floats, people: Indices, merge: Merge) -> Floats:
    rows, starts, _ = index.rows_of(people)
    return merge(np.maximum.reduceat(_exact_views(index, rows, views), starts, axis=1))


def _compared(index: Index, probes: Floats, asked: Indices, people: Indices, k: int) -> list[_Listed]:
    """The best of some people for each probe.

    Args:
        index: The gallery.
        probes: (P, D).
        asked: (K,) rising: which probe is to be compared.
        people: (K,) with whom.
        k: How many are wanted of each.
    """
    rows, starts, counts = index.rows_of(people)
    similarities = _exact(index, rows, probes, asked.repeat(counts))
    best = _in_range(np.maximum.reduceat(similarities, starts))
    bounds = np.searchsorted(asked, np.arange(len(probes) + 1)).tolist()
    return [
        _listed(index, _Compared(people, best, rows, starts, counts, similarities), np.arange(first, end), k)
        for first, end in pairwise(bounds)
    ]


def _compared_merged(index: Index, views: Floats, people: Indices, merge: Merge, k: int) -> _Listed:
    """The best of some people, (K,), for one face seen in all views."""
    rows, starts, counts = index.rows_of(people)
    similarities = _exact_views(index, rows, views)
    best = _in_range(merge(np.maximum.reduceat(similarities, starts, axis=1)))
    compared = _Compared(people, best, rows, starts, counts, similarities.max(axis=0))
    return _listed(index, compared, np.arange(len(people)), k)


@dataclass(frozen=True, slots=True)
class _Compared:
    """People who were compared with a face.

    Attributes:
        people: (K,) their numbers.
        best: (K,) how similar they are.
        rows: (R,) their templates.
        starts: (K,) where those of each begin.
        counts: (K,) and how many they are.
        similarities: (R,) how similar each is.
    """

    people: Indices
    best: Floats
    rows: Indices
    starts: Indices
    counts: Indices
    similarities: Floats


def _listed(index: Index, compared: _Compared, places: Indices, k: int) -> _Listed:
    """The `k` most similar of those who were compared with one face, equal ones by name."""
    best = compared.best[places]
    if k < len(places):
        places = places[best >= np.partition(best, len(best) - k)[len(best) - k]]
    named = [(-float(compared.best[place]), index.name_of(compared.people[place]), place) for place in places.tolist()]
    chosen = sorted(named)[:k]
    loudest = [
        compared.starts[place] + compared.similarities[compared.starts[place] :][: compared.counts[place]].argmax()
        for _, _, place in chosen
    ]
    numbers = index.template_ids_of(compared.rows[loudest]) if loudest else ()
    people = compared.people[[place for _, _, place in chosen]]
    candidates = (
        Candidate(name, -below, int(number), person_id=index.id_of(person))
        for (below, name, _), number, person in zip(chosen, numbers, people, strict=True)
    )
    return _Listed(people, tuple(candidates))


def _normalized(
    index: Index, probes: Floats, listed: Sequence[_Listed], k: int, sample: Sample | None
) -> Iterator[tuple[Candidate, ...]]:
    """The best of each short list, all of one length, by their normalized scores."""
    for first in range(0, len(probes), _PROBES_AT_ONCE):
        lists = listed[first : first + _PROBES_AT_ONCE]
        best = np.array([[candidate.similarity for candidate in one.candidates] for one in lists], np.float32)
        people = np.stack([one.people for one in lists])
        offsets = score_offsets(index, probes[first : first + _PROBES_AT_ONCE], best, people, sample)
        yield from (_ranked(one, of_one, k) for one, of_one in zip(lists, offsets, strict=True))


def _offsets_of_views(index: Index, views: Floats, people: Indices, sample: Sample | None) -> Floats:
    """The score offsets of (K,) people for each view by itself, (V, K)."""
    rows, starts, _ = index.rows_of(people)
    best = _in_range(np.maximum.reduceat(_exact_views(index, rows, views), starts, axis=1))
    nearest_first = np.argsort(-best, axis=1, kind="stable")
    sorted_best = np.take_along_axis(best, nearest_first, axis=1)
    of_sorted = score_offsets(index, views, sorted_best, people[nearest_first], sample)
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
