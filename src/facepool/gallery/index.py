"""Exact search: the nearest people, whatever the order in which a machine adds up products.

What finds them may be off by a little that is known (`facepool.gallery.shortlist`). Everybody whom it cannot rule out
is then compared again, each pair of vectors by itself and in double precision, so that a similarity depends on its two
vectors only: not on the size of the pool, on how many probes are searched together, or on threads.

Bars are put on top: they rank a short list anew, of which everybody is known exactly.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from facepool.errors import InvalidEmbedding
from facepool.gallery.bars import bars_of
from facepool.gallery.checks import check_vectors
from facepool.gallery.codes import CodedProbes
from facepool.gallery.compare import exact, exact_views, rows_of
from facepool.gallery.matrix import PoolMatrix
from facepool.gallery.shortlist import Merge, by_codes, by_floats, by_merged_floats, only_view
from facepool.types import Candidate, Floats, Indices

Rule = Callable[[Floats, PoolMatrix], Floats]
"""From (P, T) similarities of probes and templates to (P, N) similarities of probes and people, N at least 1."""

SHORTLIST = 16
"""People who are ranked anew by what they have beyond their bars, at least: a bar moves nobody from further behind."""

_BLOCK_VALUES = 1 << 24  # similarities held at a time (64 MiB); more probes than fit are searched in blocks
_PROBES_AT_ONCE = 64  # searched together by codes, or given bars


@dataclass(frozen=True, slots=True)
class _Listed:
    """Some people near to one face, nearest first.

    Attributes:
        people: (K,) intp, indices into the matrix's names.
        candidates: The same K people.
    """

    people: Indices
    candidates: tuple[Candidate, ...]


def best_template(similarities: Floats, matrix: PoolMatrix) -> Floats:
    """A person is as similar as the best of their templates."""
    if len(matrix.names) == len(matrix):
        return similarities
    return np.asarray(np.maximum.reduceat(similarities, matrix.starts, axis=1))


def search(
    matrix: PoolMatrix, probes: Floats, top: int = 2, *, rule: Rule = best_template, bars: bool = False
) -> list[tuple[Candidate, ...]]:
    """The people nearest to each probe.

    Args:
        matrix: The pool.
        probes: (P, D) float32, rows of L2 norm 1; P may be 0.
        top: How many people a probe, at least 1. Fewer come back from a pool with fewer people.
        rule: Turns the similarities of a person's templates into one. With another rule than `best_template` the
            similarities are those of one matrix product, exact to single precision.
        bars: Whether candidates get bars, see ``facepool.gallery.bars``. They are ranked by what is beyond them.

    Returns:
        P tuples, best candidate first, equal ones by name. Empty tuples from an empty pool.

    Raises:
        InvalidEmbedding: The probes do not have the pool's dimension, or are no unit vectors.
    """
    if top < 1:
        raise ValueError(f"top is {top}, but at least one candidate must be asked for")
    if not len(probes) or not len(matrix):
        return [() for _ in range(len(probes))]
    _check_probes(matrix, probes)
    wanted = max(top, SHORTLIST) if bars else top
    found: list[tuple[Candidate, ...]] = []
    for block in _blocks(matrix, probes, rule):
        nearest = _search_block(matrix, block, wanted, rule)
        found += _ranked_by_bars(matrix, block, nearest, top) if bars else [listed.candidates for listed in nearest]
    return found


def search_merged(
    matrix: PoolMatrix, probes: Floats, merge: Merge, top: int = 2, *, bars: bool = False
) -> tuple[Candidate, ...]:
    """The people nearest to one face that was seen several times.

    Args:
        matrix: The pool.
        probes: (V, D) float32 views of the one face, rows of L2 norm 1; at least one.
        merge: Makes one of the views' similarities.
        top: How many people, at least 1.
        bars: Whether candidates get bars, merged as the similarities are.

    Returns:
        Best candidate first, equal ones by name; nobody from an empty pool.

    Raises:
        InvalidEmbedding: The probes do not have the pool's dimension, or are no unit vectors.
    """
    if not len(matrix):
        return ()
    _check_probes(matrix, probes)
    wanted = max(top, SHORTLIST) if bars else top
    nearest = _nearest_merged(matrix, probes, _merged_contenders(matrix, probes, merge, wanted), merge, wanted)
    if not bars:
        return nearest.candidates
    return _ranked(nearest, merge(_bars_of_views(matrix, probes, nearest.people)), top)


def _check_probes(matrix: PoolMatrix, probes: Floats) -> None:
    dimension = matrix.vectors.shape[1]
    if probes.ndim != 2 or probes.shape[1] != dimension:
        raise InvalidEmbedding(
            f"Probes of shape {probes.shape} cannot be searched in the pool",
            why=f"its templates have {dimension} dimensions",
            fix="Use the model that made the pool",
        )
    check_vectors(probes, what="Probe")


def _contenders(matrix: PoolMatrix, probes: Floats, top: int) -> tuple[Indices, Indices]:
    """Who can be among the nearest: probes, rising, and the people of each, rising."""
    if matrix.codes is None:
        return by_floats(_people(matrix, probes), probes.shape[1], top)
    coded = CodedProbes.of(probes)
    maxima = matrix.codes.maxima(coded)
    found = []
    for row in range(len(probes)):
        part = slice(row, row + 1)
        people = by_codes(matrix, matrix.codes, probes[part], coded[part], maxima[part], only_view, top)
        found.append(by_floats(_people(matrix, probes[part]), probes.shape[1], top)[1] if people is None else people)
    return np.repeat(np.arange(len(probes)), [len(people) for people in found]), np.concatenate(found)


def _merged_contenders(matrix: PoolMatrix, views: Floats, merge: Merge, top: int) -> Indices:
    """Who can be among the nearest to one face seen in all views; rising."""
    people = None
    if matrix.codes is not None:
        coded = CodedProbes.of(views)
        people = by_codes(matrix, matrix.codes, views, coded, matrix.codes.maxima(coded), merge, top)
    return by_merged_floats(_people(matrix, views), views.shape[1], merge, top) if people is None else people


def _people(matrix: PoolMatrix, probes: Floats) -> Floats:
    return best_template(probes @ matrix.vectors.T, matrix)


def _blocks(matrix: PoolMatrix, probes: Floats, rule: Rule) -> Iterator[Floats]:
    by_codes = matrix.codes is not None and rule is best_template
    return _parts(probes, _PROBES_AT_ONCE if by_codes else max(1, _BLOCK_VALUES // len(matrix)))


def _parts(rows: Floats, size: int) -> Iterator[Floats]:
    return (rows[first : first + size] for first in range(0, len(rows), size))


def _search_block(matrix: PoolMatrix, probes: Floats, top: int, rule: Rule) -> list[_Listed]:
    if rule is best_template:
        return _nearest(matrix, probes, *_contenders(matrix, probes, top), top)
    similarities = probes @ matrix.vectors.T
    people = _in_range(rule(similarities, matrix))
    ends = matrix.starts + matrix.counts
    found = []
    for of_rows, of_people in zip(similarities, people, strict=True):
        best = _best(of_people, top)
        candidates = (
            _candidate(matrix, person, of_people[person], of_rows[matrix.starts[person] : ends[person]])
            for person in best
        )
        found.append(_Listed(np.array(best, np.intp), tuple(candidates)))
    return found


def _nearest(matrix: PoolMatrix, probes: Floats, asked: Indices, people: Indices, top: int) -> list[_Listed]:
    """The best of some people for each probe, by similarities that depend on nothing but two vectors.

    Args:
        matrix: The pool.
        probes: (P, D).
        asked: (K,) rising: which probe is to be compared.
        people: (K,) with whom; rising for each probe.
        top: How many are wanted of each.
    """
    rows, starts = rows_of(matrix, people)
    counts = matrix.counts[people]
    similarities = exact(matrix.vectors, rows, probes, asked.repeat(counts))
    best = _in_range(np.maximum.reduceat(similarities, starts))
    order = np.lexsort((-best, asked))  # stable: equal ones stay by name
    firsts = np.searchsorted(asked, np.arange(len(probes) + 1)).tolist()
    found = []
    for first, end in pairwise(firsts):
        places = order[first : min(first + top, end)]
        candidates = (
            _candidate(matrix, people[place], best[place], similarities[starts[place] : starts[place] + counts[place]])
            for place in places.tolist()
        )
        found.append(_Listed(people[places], tuple(candidates)))
    return found


def _nearest_merged(matrix: PoolMatrix, views: Floats, people: Indices, merge: Merge, top: int) -> _Listed:
    """The best of some people, (K,) rising, for one face seen in all views."""
    rows, starts = rows_of(matrix, people)
    counts = matrix.counts[people]
    similarities = exact_views(matrix.vectors, rows, views)
    best = _in_range(merge(np.maximum.reduceat(similarities, starts, axis=1)))
    loudest = similarities.max(axis=0)
    places = _best(best, top)
    candidates = (
        _candidate(matrix, people[place], best[place], loudest[starts[place] : starts[place] + counts[place]])
        for place in places
    )
    return _Listed(people[places], tuple(candidates))


def _ranked_by_bars(
    matrix: PoolMatrix, probes: Floats, nearest: Sequence[_Listed], top: int
) -> Iterator[tuple[Candidate, ...]]:
    """The best of each short list, all of one length, by what is beyond their bars."""
    for first in range(0, len(probes), _PROBES_AT_ONCE):
        lists = nearest[first : first + _PROBES_AT_ONCE]
        best = np.array([[candidate.similarity for candidate in listed.candidates] for listed in lists], np.float32)
        people = np.stack([listed.people for listed in lists])
        bars = bars_of(matrix, probes[first : first + _PROBES_AT_ONCE], best, people)
        yield from (_ranked(listed, of_listed, top) for listed, of_listed in zip(lists, bars, strict=True))


def _bars_of_views(matrix: PoolMatrix, views: Floats, people: Indices) -> Floats:
    """The bars of (K,) people for each view by itself, (V, K)."""
    rows, starts = rows_of(matrix, people)
    best = _in_range(np.maximum.reduceat(exact_views(matrix.vectors, rows, views), starts, axis=1))
    nearest_first = np.argsort(-best, axis=1, kind="stable")
    sorted_bars = bars_of(matrix, views, np.take_along_axis(best, nearest_first, axis=1), people[nearest_first])
    bars = np.empty_like(best)
    np.put_along_axis(bars, nearest_first, sorted_bars, axis=1)
    return bars


def _ranked(listed: _Listed, bars: Floats, top: int) -> tuple[Candidate, ...]:
    raised = [replace(candidate, bar=float(bar)) for candidate, bar in zip(listed.candidates, bars, strict=True)]
    return tuple(sorted(raised, key=lambda candidate: -candidate.net)[:top])


def _in_range(similarities: Floats) -> Floats:
    """Rounding takes the product of two unit vectors beyond 1 now and then."""
    return np.minimum(np.maximum(similarities, np.float32(-1)), np.float32(1))


def _best(people: Floats, top: int) -> list[int]:
    """The `top` highest of (N,), best first, equal ones by position, which is by name."""
    contenders = np.arange(len(people))
    if top < len(people):
        contenders = (people >= np.partition(people, len(people) - top)[len(people) - top]).nonzero()[0]
    order = (-people[contenders]).argsort(kind="stable")[:top]
    return [int(place) for place in contenders[order]]


def _candidate(matrix: PoolMatrix, person: int, similarity: np.float32, of_rows: Floats) -> Candidate:
    loudest = matrix.starts[person] + of_rows.argmax()
    return Candidate(matrix.names[person], float(similarity), int(matrix.template_ids[loudest]))
