"""Exact search: the nearest people, whatever the order in which a machine adds up products.

What finds them may be off by a little that is known (`facepool.gallery.shortlist`). Everybody whom it cannot rule out
is then compared again, each pair of vectors by itself and in double precision, so that a similarity depends on its two
vectors only: not on the size of the pool, on how many probes are searched together, or on threads.
"""

from collections.abc import Callable, Iterator

import numpy as np

from facepool.errors import InvalidEmbedding
from facepool.gallery.checks import check_vectors
from facepool.gallery.codes import CodedProbes
from facepool.gallery.matrix import PoolMatrix
from facepool.gallery.rows import ranges
from facepool.gallery.shortlist import Merge, by_codes, by_floats, only_view
from facepool.types import Candidate, Floats, Indices

Rule = Callable[[Floats, PoolMatrix], Floats]
"""From (P, T) similarities of probes and templates to (P, N) similarities of probes and people, N at least 1."""

_BLOCK_VALUES = 1 << 24  # similarities held at a time (64 MiB); more probes than fit are searched in blocks
_PROBES_AT_ONCE = 64  # searched together by codes
_ROWS_AT_ONCE = 4096  # compared again in one go, in double precision


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
    views = [probes[row : row + 1] for row in range(len(probes))]
    return [
        _ranked(matrix, view, people, only_view, top)
        for view, people in zip(views, _shortlists(matrix, probes, top), strict=True)
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
    return _ranked(matrix, probes, _shortlist(matrix, probes, merge, top), merge, top)


def _check_probes(matrix: PoolMatrix, probes: Floats) -> None:
    dimension = matrix.vectors.shape[1]
    if probes.ndim != 2 or probes.shape[1] != dimension:
        raise InvalidEmbedding(
            f"Probes of shape {probes.shape} cannot be searched in the pool",
            why=f"its templates have {dimension} dimensions",
            fix="Use the model that made the pool",
        )
    check_vectors(probes, what="Probe")


def _shortlists(matrix: PoolMatrix, probes: Floats, top: int) -> Iterator[Indices]:
    """Who can be among the nearest to each probe."""
    if matrix.codes is None:
        for block in _blocks(matrix, probes):
            similarities = _people(matrix, block)
            yield from (by_floats(row[None], probes.shape[1], only_view, top) for row in similarities)
        return
    for first in range(0, len(probes), _PROBES_AT_ONCE):
        block = probes[first : first + _PROBES_AT_ONCE]
        coded = CodedProbes.of(block)
        maxima = matrix.codes.maxima(coded)
        for row in range(len(block)):
            part = slice(row, row + 1)
            people = by_codes(matrix, matrix.codes, coded[part], maxima[part], only_view, top)
            yield people if people is not None else _of_all(matrix, block[part], only_view, top)


def _shortlist(matrix: PoolMatrix, probes: Floats, merge: Merge, top: int) -> Indices:
    """Who can be among the nearest to one face seen in all probes."""
    if matrix.codes is None:
        return _of_all(matrix, probes, merge, top)
    coded = CodedProbes.of(probes)
    people = by_codes(matrix, matrix.codes, coded, matrix.codes.maxima(coded), merge, top)
    return people if people is not None else _of_all(matrix, probes, merge, top)


def _of_all(matrix: PoolMatrix, probes: Floats, merge: Merge, top: int) -> Indices:
    return by_floats(_people(matrix, probes), probes.shape[1], merge, top)


def _people(matrix: PoolMatrix, probes: Floats) -> Floats:
    return best_template(probes @ matrix.vectors.T, matrix)


def _blocks(matrix: PoolMatrix, probes: Floats) -> Iterator[Floats]:
    size = max(1, _BLOCK_VALUES // len(matrix))
    return (probes[first : first + size] for first in range(0, len(probes), size))


def _search_by_rule(matrix: PoolMatrix, probes: Floats, top: int, rule: Rule) -> list[tuple[Candidate, ...]]:
    similarities = probes @ matrix.vectors.T
    people = np.clip(rule(similarities, matrix), -1.0, 1.0)
    return [
        tuple(
            _candidate(matrix, int(person), people[row, person], similarities[row, _rows(matrix, person)])
            for person in _best(people[row], top)
        )
        for row in range(len(probes))
    ]


def _ranked(matrix: PoolMatrix, views: Floats, people: Indices, merge: Merge, top: int) -> tuple[Candidate, ...]:
    """The best of some people, (K,) rising, by similarities that depend on nothing but the vectors."""
    counts = matrix.counts[people]
    ends = np.cumsum(counts)
    similarities = _exact(matrix.vectors, ranges(matrix.starts[people], counts), views)
    # Rounding takes the product of two unit vectors beyond 1 now and then.
    merged = np.clip(merge(np.maximum.reduceat(similarities, ends - counts, axis=1)), -1.0, 1.0)
    loudest = similarities.max(axis=0)
    return tuple(
        _candidate(matrix, int(people[place]), merged[place], loudest[ends[place] - counts[place] : ends[place]])
        for place in _best(merged, top)
    )


def _exact(vectors: Floats, rows: Indices, views: Floats) -> Floats:
    """Similarities of (V, D) views and some rows of (T, D) vectors, (V, K) float32.

    The product of two float32 is exact in double precision; NumPy adds those of one pair pairwise, in an order that
    depends on D alone. What is left of rounding is gone in float32.
    """
    found = np.empty((len(views), len(rows)), np.float32)
    doubles = views.astype(np.float64)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        compared = vectors[rows[part]].astype(np.float64)
        for view, double in enumerate(doubles):
            found[view, part] = (compared * double).sum(axis=1)
    return found


def _best(people: Floats, top: int) -> list[int]:
    """The `top` highest of (N,), best first, equal ones by position, which is by name."""
    if top < len(people):
        least = np.partition(people, len(people) - top)[len(people) - top]
        contenders = np.flatnonzero(people >= least)
    else:
        contenders = np.arange(len(people))
    order = np.argsort(-people[contenders], kind="stable")
    return [int(index) for index in contenders[order][:top]]


def _rows(matrix: PoolMatrix, person: int) -> slice:
    return slice(matrix.starts[person], matrix.starts[person] + matrix.counts[person])


def _candidate(matrix: PoolMatrix, person: int, similarity: np.float32, of_rows: Floats) -> Candidate:
    loudest = matrix.starts[person] + np.argmax(of_rows)
    return Candidate(matrix.names[person], float(similarity), int(matrix.template_ids[loudest]))
