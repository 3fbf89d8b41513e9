"""Exact search: the nearest people by one matrix product. The oracle that faster indexes are measured against."""

from collections.abc import Callable

import numpy as np

from facepool.errors import InvalidEmbedding
from facepool.gallery.checks import check_vectors
from facepool.gallery.matrix import PoolMatrix
from facepool.types import Candidate, Floats, Indices

Rule = Callable[[Floats, PoolMatrix], Floats]
"""From (P, T) similarities of probes and templates to (P, N) similarities of probes and people, N at least 1."""

Merge = Callable[[Floats], Floats]
"""From (V, N) similarities of several views of one face and N people to (N,)."""

_PRIOR_PEOPLE = 8.0
"""How many people it takes to measure what a probe has in common with all, as well as it is known without measuring:
similarities of one probe to strangers deviate by 0.087, their means from probe to probe by about 0.03 (SFace, LFW)."""
_LEAST_LENGTH = 1e-3  # templates that cancel out have no mean direction

_BLOCK_VALUES = 1 << 24  # similarities held at a time (64 MiB); more probes than fit are searched in blocks


def best_template(similarities: Floats, matrix: PoolMatrix) -> Floats:
    """A person is as similar as the best of their templates."""
    return np.asarray(np.maximum.reduceat(similarities, matrix.starts, axis=1))


def best_and_mean(similarities: Floats, matrix: PoolMatrix) -> Floats:
    """Halfway between the best of a person's templates and their mean vector.

    The best one knows the pose, the mean has what all of them agree on; a stranger who happens to be near one template
    is seldom near the mean.
    """
    return _with_mean(similarities, _mean_similarities(similarities, matrix), matrix)


def against_the_pool(similarities: Floats, matrix: PoolMatrix, without: Indices | None = None) -> Floats:
    """`best_and_mean`, less what the probe has in common with the rest of the pool.

    A sharp face resembles strangers more than a blurred or dark one does, friends and all. So what it has in common
    with everybody but the person nearest to it is measured against what the pool's people have in common with each
    other, and what is over is taken off (score normalization by a cohort, which is the pool itself: Auckenthaler et
    al. 2000). That is one number a probe: who is nearest, and by how much, stays. The fewer people, the less is taken
    off, and nothing with two or less.

    Args:
        similarities: (P, T) cosines of probes and templates.
        matrix: The pool, of at least one person.
        without: (P,) a person for each probe, who is treated as if they were not in the pool: minus infinity.

    Returns:
        (P, N) float32, on the scale of the cosine.
    """
    means = _mean_similarities(similarities, matrix)
    people = _with_mean(similarities, means, matrix)
    present = np.full(len(people), len(matrix.names))
    total, likeness = means.sum(axis=1), np.full(len(people), matrix.likeness.sum(dtype=np.float64))
    rows = np.arange(len(people))
    if without is not None:
        present -= 1
        people[rows, without] = -np.inf
        total -= means[rows, without]
        likeness -= 2 * matrix.likeness[without]
    others = present - 1
    measured = others > 1
    here = (total - means[rows, people.argmax(axis=1)]) / np.maximum(others, 1)
    usual = likeness / np.maximum(present * others, 1)
    weight = np.where(measured, others / (others + _PRIOR_PEOPLE), 0.0)
    return np.asarray(people - (weight * (here - usual))[:, None], np.float32)


def _with_mean(similarities: Floats, means: Floats, matrix: PoolMatrix) -> Floats:
    to_mean_vector = means / np.maximum(matrix.lengths, _LEAST_LENGTH)
    return np.asarray((best_template(similarities, matrix) + to_mean_vector) / 2)


def _mean_similarities(similarities: Floats, matrix: PoolMatrix) -> Floats:
    return np.asarray(np.add.reduceat(similarities, matrix.starts, axis=1) / matrix.templates_of, np.float32)


def search(
    matrix: PoolMatrix, probes: Floats, top: int = 2, *, rule: Rule = against_the_pool
) -> list[tuple[Candidate, ...]]:
    """The people nearest to each probe.

    Args:
        matrix: The pool.
        probes: (P, D) float32, rows of L2 norm 1; P may be 0.
        top: How many people a probe, at least 1. Fewer come back from a pool with fewer people.
        rule: Turns the similarities of a person's templates into one.

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
        found += _search_block(matrix, probes[first : first + size], top, rule)
    return found


def search_others(matrix: PoolMatrix, rows: Indices, top: int = 2) -> list[tuple[Candidate, ...]]:
    """Search a pool for its own templates, each as if the person it belongs to were not in it.

    Args:
        matrix: The pool.
        rows: (R,) rows of the templates to search for.
        top: How many people, at least 1.

    Returns:
        R tuples, best candidate first, equal ones by name; empty ones from a pool of one person.
    """
    others = min(top, len(matrix.names) - 1)
    found: list[tuple[Candidate, ...]] = []
    size = max(1, _BLOCK_VALUES // max(1, len(matrix)))
    for first in range(0, len(rows), size):
        block = rows[first : first + size]
        similarities = matrix.vectors[block] @ matrix.vectors.T
        people = np.clip(against_the_pool(similarities, matrix, matrix.person_of[block]), -1.0, 1.0)
        people[np.arange(len(block)), matrix.person_of[block]] = -np.inf
        found += [
            tuple(_candidate(matrix, similarities[row], people[row], one) for one in _best(people[row], others))
            if others
            else ()
            for row in range(len(block))
        ]
    return found


def search_merged(
    matrix: PoolMatrix, probes: Floats, merge: Merge, top: int = 2, *, rule: Rule = against_the_pool
) -> tuple[Candidate, ...]:
    """The people nearest to one face that was seen several times.

    Args:
        matrix: The pool.
        probes: (V, D) float32 views of the one face, rows of L2 norm 1; at least one.
        merge: Makes one of the views' similarities.
        top: How many people, at least 1.
        rule: Turns the similarities of a person's templates into one.

    Returns:
        Best candidate first, equal ones by name; nobody from an empty pool.

    Raises:
        InvalidEmbedding: The probes do not have the pool's dimension, or are no unit vectors.
    """
    if not len(matrix):
        return ()
    _check_probes(matrix, probes)
    similarities = probes @ matrix.vectors.T
    people = np.clip(merge(rule(similarities, matrix)), -1.0, 1.0)
    loudest = similarities.max(axis=0)
    return tuple(_candidate(matrix, loudest, people, person) for person in _best(people, top))


def _check_probes(matrix: PoolMatrix, probes: Floats) -> None:
    dimension = matrix.vectors.shape[1]
    if probes.ndim != 2 or probes.shape[1] != dimension:
        raise InvalidEmbedding(
            f"Probes of shape {probes.shape} cannot be searched in the pool",
            why=f"its templates have {dimension} dimensions",
            fix="Use the model that made the pool",
        )
    check_vectors(probes, what="Probe")


def _search_block(matrix: PoolMatrix, probes: Floats, top: int, rule: Rule) -> list[tuple[Candidate, ...]]:
    similarities = probes @ matrix.vectors.T
    # Rounding takes the product of two unit vectors beyond 1 now and then.
    people = np.clip(rule(similarities, matrix), -1.0, 1.0)
    return [
        tuple(_candidate(matrix, similarities[row], people[row], int(person)) for person in _best(people[row], top))
        for row in range(len(probes))
    ]


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
