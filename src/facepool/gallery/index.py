"""Exact search: the nearest people, whatever the order in which a machine adds up products.

What finds them may be off by a little that is known (`facepool.gallery.shortlist`). Everybody whom it cannot rule out
is then compared again, each pair of vectors by itself and in double precision, so that a similarity depends on its two
vectors only: not on the size of the pool, on how many probes are searched together, or on threads.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from facepool.errors import InvalidEmbedding
from facepool.gallery.checks import check_vectors
from facepool.gallery.codes import CodedProbes
from facepool.gallery.compare import exact, exact_views, rows_of
from facepool.gallery.matrix import PoolMatrix
from facepool.gallery.shortlist import Merge, by_codes, by_floats, by_merged_floats, only_view
from facepool.types import Candidate, Floats, Indices

Rule = Callable[[Floats, PoolMatrix], Floats]
"""From (P, T) similarities of probes and templates to (P, N) similarities of probes and people, N at least 1."""

_BLOCK_VALUES = 1 << 24  # similarities held at a time (64 MiB); more probes than fit are searched in blocks
_PROBES_AT_ONCE = 64  # searched together by codes


def best_template(similarities: Floats, matrix: PoolMatrix) -> Floats:
    """A person is as similar as the best of their templates."""
    if len(matrix.names) == len(matrix):
        return similarities
    return np.asarray(np.maximum.reduceat(similarities, matrix.starts, axis=1))


def search(
    matrix: PoolMatrix, probes: Floats, top: int = 2, *, rule: Rule = best_template
) -> list[tuple[Candidate, ...]]:
    """The people nearest to each probe.

    Args:
        matrix: The pool.
        probes: (P, D) float32, rows of L2 norm 1; P may be 0.
        top: How many people a probe, at least 1. Fewer come back from a pool with fewer people.
        rule: Turns the similarities of a person's templates into one. With another rule than `best_template` the
            similarities are those of one matrix product, exact to single precision.

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
    if rule is not best_template:
        return [found for block in _blocks(matrix, probes) for found in _search_by_rule(matrix, block, top, rule)]
    blocks = _blocks(matrix, probes) if matrix.codes is None else _parts(probes, _PROBES_AT_ONCE)
    return [
        candidates for block in blocks for candidates in _nearest(matrix, block, *_contenders(matrix, block, top), top)
    ]


def search_merged(matrix: PoolMatrix, probes: Floats, merge: Merge, top: int = 2) -> tuple[Candidate, ...]:
    """The people nearest to one face that was seen several times.

    Args:
        matrix: The pool.
        probes: (V, D) float32 views of the one face, rows of L2 norm 1; at least one.
        merge: Makes one of the views' similarities.
        top: How many people, at least 1.

    Returns:
        Best candidate first, equal ones by name; nobody from an empty pool.

    Raises:
        InvalidEmbedding: The probes do not have the pool's dimension, or are no unit vectors.
    """
    if not len(matrix):
        return ()
    _check_probes(matrix, probes)
    return _nearest_merged(matrix, probes, _merged_contenders(matrix, probes, merge, top), merge, top)


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


def _blocks(matrix: PoolMatrix, probes: Floats) -> Iterator[Floats]:
    return _parts(probes, max(1, _BLOCK_VALUES // len(matrix)))


def _parts(rows: Floats, size: int) -> Iterator[Floats]:
    return (rows[first : first + size] for first in range(0, len(rows), size))


def _search_by_rule(matrix: PoolMatrix, probes: Floats, top: int, rule: Rule) -> list[tuple[Candidate, ...]]:
    similarities = probes @ matrix.vectors.T
    people = _in_range(rule(similarities, matrix))
    ends = matrix.starts + matrix.counts
    return [
        tuple(
            _candidate(matrix, person, people[row, person], similarities[row, matrix.starts[person] : ends[person]])
            for person in _best(people[row], top)
        )
        for row in range(len(probes))
    ]


def _nearest(
    matrix: PoolMatrix, probes: Floats, asked: Indices, people: Indices, top: int
) -> list[tuple[Candidate, ...]]:
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
    return [
        tuple(
            _candidate(matrix, people[place], best[place], similarities[starts[place] : starts[place] + counts[place]])
            for place in order[first : min(first + top, end)].tolist()
        )
        for first, end in pairwise(firsts)
    ]


def _nearest_merged(
    matrix: PoolMatrix, views: Floats, people: Indices, merge: Merge, top: int
) -> tuple[Candidate, ...]:
    """The best of some people, (K,) rising, for one face seen in all views."""
    rows, starts = rows_of(matrix, people)
    counts = matrix.counts[people]
    similarities = exact_views(matrix.vectors, rows, views)
    best = _in_range(merge(np.maximum.reduceat(similarities, starts, axis=1)))
    loudest = similarities.max(axis=0)
    return tuple(
        _candidate(matrix, people[place], best[place], loudest[starts[place] : starts[place] + counts[place]])
        for place in _best(best, top)
    )


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
