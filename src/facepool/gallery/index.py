"""Exact search: the nearest people by one matrix product. The oracle that faster indexes are measured against."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from facepool.errors import InvalidEmbedding
from facepool.gallery.bars import bars_of
from facepool.gallery.checks import check_vectors
from facepool.gallery.matrix import PoolMatrix
from facepool.types import Candidate, Floats

Rule = Callable[[Floats, PoolMatrix], Floats]
"""From (P, T) similarities of probes and templates to (P, N) similarities of probes and people, N at least 1."""

Merge = Callable[[Floats], Floats]
"""From (V, N) similarities of several views of one face and N people to (N,)."""

SHORTLIST = 16
"""People who are ranked anew by what they have beyond their bars, at least: a bar moves nobody from further behind."""

_BLOCK_VALUES = 1 << 24  # similarities held at a time (64 MiB); more probes than fit are searched in blocks


def best_template(similarities: Floats, matrix: PoolMatrix) -> Floats:
    """A person is as similar as the best of their templates."""
    return np.asarray(np.maximum.reduceat(similarities, matrix.starts, axis=1))


def search(
    matrix: PoolMatrix, probes: Floats, top: int = 2, *, rule: Rule = best_template, bars: bool = False
) -> list[tuple[Candidate, ...]]:
    """The people nearest to each probe.

    Args:
        matrix: The pool.
        probes: (P, D) float32, rows of L2 norm 1; P may be 0.
        top: How many people a probe, at least 1. Fewer come back from a pool with fewer people.
        rule: Turns the similarities of a person's templates into one.
        bars: Whether candidates get bars, see ``facepool.gallery.bars``. They are ranked by what is beyond it.

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
    size = max(1, _BLOCK_VALUES // len(matrix))
    found: list[tuple[Candidate, ...]] = []
    for first in range(0, len(probes), size):
        found += _search_block(matrix, probes[first : first + size], top, rule, bars=bars)
    return found


def search_merged(
    matrix: PoolMatrix, probes: Floats, merge: Merge, top: int = 2, *, rule: Rule = best_template, bars: bool = False
) -> tuple[Candidate, ...]:
    """The people nearest to one face that was seen several times.

    Args:
        matrix: The pool.
        probes: (V, D) float32 views of the one face, rows of L2 norm 1; at least one.
        merge: Makes one of the views' similarities.
        top: How many people, at least 1.
        rule: Turns the similarities of a person's templates into one.
        bars: Whether candidates get bars, merged as the similarities are.

    Returns:
        Best candidate first, equal ones by name; nobody from an empty pool.

    Raises:
        InvalidEmbedding: The probes do not have the pool's dimension, or are no unit vectors.
    """
    if not len(matrix):
        return ()
    _check_probes(matrix, probes)
    similarities = probes @ matrix.vectors.T
    views = rule(similarities, matrix)
    people = np.clip(merge(views), -1.0, 1.0)
    loudest = similarities.max(axis=0)
    listed = _best(people, max(top, SHORTLIST) if bars else top)
    found = [_candidate(matrix, loudest, people, person) for person in listed]
    if not bars:
        return tuple(found)
    chosen = np.array(listed)
    nearest_first = np.argsort(-views[:, chosen], axis=1, kind="stable")
    rows = np.arange(len(probes))[:, None]
    of_views = np.empty((len(probes), len(chosen)), np.float32)
    of_views[rows, nearest_first] = bars_of(matrix, probes, views[rows, chosen[nearest_first]], chosen[nearest_first])
    return _ranked(found, merge(of_views), top)


def _check_probes(matrix: PoolMatrix, probes: Floats) -> None:
    dimension = matrix.vectors.shape[1]
    if probes.ndim != 2 or probes.shape[1] != dimension:
        raise InvalidEmbedding(
            f"Probes of shape {probes.shape} cannot be searched in the pool",
            why=f"its templates have {dimension} dimensions",
            fix="Use the model that made the pool",
        )
    check_vectors(probes, what="Probe")


def _search_block(
    matrix: PoolMatrix, probes: Floats, top: int, rule: Rule, *, bars: bool
) -> list[tuple[Candidate, ...]]:
    similarities = probes @ matrix.vectors.T
    # Rounding takes the product of two unit vectors beyond 1 now and then.
    people = np.clip(rule(similarities, matrix), -1.0, 1.0)
    listed = np.array([_best(row, max(top, SHORTLIST) if bars else top) for row in people], np.intp)
    found = [
        [_candidate(matrix, similarities[row], people[row], int(person)) for person in listed[row]]
        for row in range(len(probes))
    ]
    if not bars:
        return [tuple(candidates) for candidates in found]
    of_people = bars_of(matrix, probes, np.take_along_axis(people, listed, axis=1), listed)
    return [_ranked(candidates, of_people[row], top) for row, candidates in enumerate(found)]


def _ranked(candidates: list[Candidate], bars: Floats, top: int) -> tuple[Candidate, ...]:
    raised = [replace(candidate, bar=float(bar)) for candidate, bar in zip(candidates, bars, strict=True)]
    return tuple(sorted(raised, key=lambda candidate: -candidate.net)[:top])


def _best(people: Floats, top: int) -> list[int]:
    """The `top` highest of (N,), best first, equal ones by position, which is by name."""
    if top < len(people):
        least = np.partition(people, len(people) - top)[len(people) - top]
        contenders = np.flatnonzero(people >= least)
    else:
        contenders = np.arange(len(people))
    order = np.argsort(-people[contenders], kind="stable")
    return [int(index) for index in contenders[order][:top]]


def _candidate(matrix: PoolMatrix, similarities: Floats, people: Floats, person: int) -> Candidate:
    first = matrix.starts[person]
    end = matrix.starts[person + 1] if person + 1 < len(matrix.starts) else len(matrix)
    loudest = first + np.argmax(similarities[first:end])
    return Candidate(matrix.names[person], float(people[person]), int(matrix.template_ids[loudest]))
