"""Bars: how much more similarity than usual it takes to be a person of the pool, for one probe.

A threshold is measured over all kinds of faces, but a face that resembles everybody (a blurred or dark one often
resembles nobody, friends included) passes it more easily than others, and so does one that is near a single odd
template. The bar is what such a face has to bring in addition, or is let off where it is negative:

- half of what the best template is nearer than the mean of the person's templates, and
- what the probe has in common with the rest of the pool, more than the pool's people have in common with each other
  (score normalization with a cohort, which is the pool itself: Auckenthaler et al. 2000).

Both grow with the number of people that they can be judged by, and are nothing in a small pool. What they are worth is
in ``docs/accuracy.md``.
"""

import numpy as np

from facepool.gallery.matrix import PoolMatrix
from facepool.types import Floats, Indices

FEW_PEOPLE = 10
"""Up to so many people there are no bars: too few to know what is usual."""
_PRIOR_PEOPLE = 8.0
"""How many people more it takes until half of the bar counts. Similarities of one probe to strangers deviate by 0.087,
their means from probe to probe by about 0.03 (SFace, LFW): it takes the square of the ratio for as much signal as
noise."""
_LEAST_LENGTH = 1e-3  # templates that cancel out have no mean direction


def bars_of(matrix: PoolMatrix, probes: Floats, best: Floats, people: Indices) -> Floats:
    """The bars of a few people for each probe; costs nothing that grows with the pool.

    What a probe gets depends on no other probe: sums are taken pair by pair, as in ``facepool.gallery.compare``.

    Args:
        matrix: The pool.
        probes: (P, D) float32, rows of L2 norm 1.
        best: (P, K) similarity of the best template of each person, the nearest person first.
        people: (P, K) indices into the matrix's names.

    Returns:
        (P, K) float32, about -0.1..0.2; 0 in a pool of few people.
    """
    count = len(matrix.names)
    weight = _weight(np.array(count))
    if weight == 0:
        return np.zeros_like(best)
    asked = probes.astype(np.float64)
    means = (matrix.means(people) * asked[:, None]).sum(axis=2)
    here = ((asked * matrix.cohort.total).sum(axis=1) - means[:, 0]) / (count - 1)
    beside = _beside_mean(best, means, matrix.cohort.lengths[people])
    return np.asarray(weight * (beside + (here - matrix.cohort.usual)[:, None]), np.float32)


def net_similarities(similarities: Floats, matrix: PoolMatrix, without: Indices | None = None) -> Floats:
    """Similarity less bar of everybody in the pool: what thresholds are calibrated and evaluated on.

    Args:
        similarities: (P, T) cosines of probes and templates.
        matrix: The pool, of at least one person.
        without: (P,) a person for each probe, who is treated as if they were not in the pool: minus infinity.

    Returns:
        (P, N) float32, on the scale of the cosine.
    """
    best = np.asarray(np.maximum.reduceat(similarities, matrix.starts, axis=1))
    means = np.asarray(np.add.reduceat(similarities, matrix.starts, axis=1) / matrix.counts, np.float32)
    net = _beside_mean(best, means, matrix.cohort.lengths)
    rows = np.arange(len(best))
    count, total = np.full(len(best), len(matrix.names)), means.sum(axis=1)
    likeness = np.full(len(best), matrix.cohort.usual * len(matrix.names) * (len(matrix.names) - 1))
    if without is not None:
        best[rows, without] = -np.inf
        count -= 1
        total -= means[rows, without]
        left_out = matrix.means(without)
        likeness -= 2 * (left_out @ matrix.cohort.total - matrix.cohort.lengths[without].astype(np.float64) ** 2)
    weight, others = _weight(count), np.maximum(count - 1, 1)
    here = (total - means[rows, best.argmax(axis=1)]) / others
    usual = likeness / (np.maximum(count, 1) * others)
    return np.asarray(best - weight[:, None] * (net + (here - usual)[:, None]), np.float32)


def _weight(people: Indices) -> Floats:
    more = np.maximum(people - FEW_PEOPLE, 0)
    return np.asarray(more / (more + _PRIOR_PEOPLE), np.float32)


def _beside_mean(best: Floats, means: Floats, lengths: Floats) -> Floats:
    return np.asarray((best - means / np.maximum(lengths, _LEAST_LENGTH)) / 2, np.float32)
