"""Who can be among the people nearest to a face: a first pass that is fast, and leaves out nobody by mistake.

Whatever computes a similarity is off by a little that is known. A person stays on the list as long as the most that
they can have reaches the least that the last of the best has.
"""

from collections.abc import Callable

import numpy as np

from facepool.gallery.codes import CodedProbes, Codes, Products
from facepool.gallery.compare import exact_views, rows_of
from facepool.gallery.matrix import PoolMatrix
from facepool.gallery.rows import ranges
from facepool.types import Floats, Indices

Merge = Callable[[Floats], Floats]
"""From (V, N) similarities of several views of one face and N people to (N,); never falls where one of them rises."""

_LONGEST = 1.001
"""No probe and no template is longer."""
_UNIT_ROUNDOFF = 2.0**-24
_ROUNDING = 1e-6
"""Above what merging and the rounding of a similarity to single precision may change it by."""
_ROWS_TO_READ = 0.25
"""Share of the pool that is looked at a second time; if more would have to be, all of it is multiplied in float32."""
_FIRST_BLOCKS = 4


def only_view(similarities: Floats) -> Floats:
    """The `Merge` of a face that was seen once."""
    found: Floats = similarities[0]
    return found


def rounding_slack(dimension: int) -> np.float32:
    """How far a product of two vectors of `dimension` numbers may be off in single precision.

    A sum of D products is off by at most D u |p| |v|, in whatever order it was taken (Higham, Accuracy and Stability of
    Numerical Algorithms, 3.1).
    """
    return np.float32((dimension + 1) * _UNIT_ROUNDOFF * _LONGEST**2 + _ROUNDING)


def by_floats(similarities: Floats, dimension: int, top: int) -> tuple[Indices, Indices]:
    """Who can be among the best of several faces, by similarities in single precision.

    Args:
        similarities: (P, N) float32, of each face and the best template of each person; N at least 1.
        dimension: D, length of a vector.
        top: How many people are wanted of each, at least 1.

    Returns:
        Faces, rising, and the people of each, rising.
    """
    faces, people = (similarities >= _last_of_best(similarities, top) - 2 * rounding_slack(dimension)).nonzero()
    return faces, people


def by_merged_floats(similarities: Floats, dimension: int, merge: Merge, top: int) -> Indices:
    """The same of one face seen several times: people, rising.

    Args:
        similarities: (V, N) float32, of each view and the best template of each person; N at least 1.
        dimension: D, length of a vector.
        merge: Makes one similarity of the views'.
        top: How many people are wanted, at least 1.
    """
    slack = rounding_slack(dimension)
    least = _last_of_best(merge(similarities - slack), top)
    return (merge(similarities + slack) >= least).nonzero()[0]


def by_codes(
    matrix: PoolMatrix, codes: Codes, views: Floats, coded: CodedProbes, maxima: Products, merge: Merge, top: int
) -> Indices | None:
    """The same by codes, looking only into blocks that somebody among the best may be in.

    Args:
        matrix: The pool.
        codes: Its codes.
        views: (V, D) float32.
        coded: The same as codes.
        maxima: (V, B) largest product of each view with a row of each block.
        merge: Makes one similarity of the views'.
        top: How many people are wanted, at least 1.

    Returns:
        People, rising; None where too many come into question for a second look to pay.
    """
    seeming = codes.similarities(maxima, coded)
    upper = merge(seeming + codes.slack(coded))
    # The best of a block is one person's for one view. For several it may be several people's, and nobody's together.
    count = min(top if len(views) == 1 else _FIRST_BLOCKS * top, len(upper))
    first = _Look(matrix, codes, coded, np.argpartition(-merge(seeming), count - 1)[:count], merge)
    least = _last_of_best(_exact(matrix, views, first.best(top), merge) - np.float32(_ROUNDING), top)
    blocks = (upper >= least).nonzero()[0]
    if codes.sizes[blocks].sum() > _ROWS_TO_READ * len(matrix):
        codes.tally.add(None)
        return None
    look = _Look(matrix, codes, coded, blocks, merge)
    people = look.people[look.upper >= least]
    codes.tally.add(len(people))
    return people


def _exact(matrix: PoolMatrix, views: Floats, people: Indices, merge: Merge) -> Floats:
    rows, starts = rows_of(matrix, people)
    return merge(np.maximum.reduceat(exact_views(matrix.vectors, rows, views), starts, axis=1))


class _Look:
    """Everybody in some blocks: how similar they are at most.

    Args:
        matrix: The pool.
        codes: Its codes.
        probes: V views of a face.
        blocks: Numbers of blocks.
        merge: Makes one similarity of the views'.
    """

    def __init__(self, matrix: PoolMatrix, codes: Codes, probes: CodedProbes, blocks: Indices, merge: Merge) -> None:
        first = matrix.person_of[codes.starts[blocks]]
        last = matrix.person_of[codes.starts[blocks] + codes.sizes[blocks] - 1]
        self.people = ranges(first, last - first + 1)
        rows = matrix.counts[self.people]
        best = np.maximum.reduceat(codes.products(probes, blocks), np.cumsum(rows) - rows, axis=0).T
        seeming = codes.similarities(best, probes)
        slack = np.repeat(codes.slack(probes, blocks), last - first + 1, axis=1)
        self.upper = merge(seeming + slack)
        self._seeming = merge(seeming)

    def best(self, top: int) -> Indices:
        """Those who seem most similar."""
        return self.people[(-self._seeming).argsort()[:top]]


def _last_of_best(lower: Floats, top: int) -> Floats:
    """The similarity that the last of the best has at least, (..., 1) of (..., N).

    Similarities beyond -1 and 1 will count as equal, so it is at most 1, and minus infinity from -1 down.
    """
    place = lower.shape[-1] - top
    if place < 0:
        return np.full((*lower.shape[:-1], 1), -np.inf, np.float32)
    last = np.minimum(np.partition(lower, place)[..., place : place + 1], np.float32(1))
    return np.where(last > -1, last, np.float32(-np.inf))
