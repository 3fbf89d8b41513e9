"""Similarities that depend on nothing but two vectors: not on how many are compared, in what order, or on threads."""

import numpy as np

from facepool.gallery.matrix import PoolMatrix
from facepool.types import Floats, Indices

_ROWS_AT_ONCE = 4096


def rows_of(matrix: PoolMatrix, people: Indices) -> tuple[Indices, Indices]:
    """All rows of some people, at least one, one person's after the other's; and where each person's begin."""
    counts = matrix.counts[people]
    ends = counts.cumsum()
    starts = ends - counts
    return np.arange(ends[-1]) + (matrix.starts[people] - starts).repeat(counts), starts


def exact(vectors: Floats, rows: Indices, probes: Floats, asked: Indices) -> Floats:
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
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        found[part] = (vectors[rows[part]] * doubles[asked[part]]).sum(axis=1)
    return found


def exact_views(vectors: Floats, rows: Indices, views: Floats) -> Floats:
    """Similarities of all of (V, D) views and some rows of (T, D) vectors, (V, K) float32."""
    return np.stack([exact(vectors, rows, views, np.full(len(rows), view)) for view in range(len(views))])
