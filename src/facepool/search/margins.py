"""Margins between look-alikes: how far ahead of the other one a face of two who are easily confused has to be."""

from collections.abc import Collection, Mapping, Sequence
from statistics import NormalDist

import numpy as np

from facepool.types import Floats

CONFUSED = 0.01
"""Share of a look-alike's faces that may be named as the other one."""
_EXPECTED_SPREAD = 0.07
"""Standard deviation of how far faces of one person are ahead of another person: LFW, four templates, SFace."""
_EXPECTED_DEGREES = 4
"""So many templates say as much of it as this expectation."""
_LEAST = 4
"""Templates of a pair, of people who have two or more, below which their spread says nothing."""


def measured_margins(pairs: Collection[frozenset[str]], vectors: Mapping[str, Floats]) -> dict[frozenset[str], float]:
    """The margin of each pair that has templates enough.

    Each template is taken for a new face of its person: it is ahead of the other person by its similarity to the
    person's other templates, minus that to the other's. How far ahead faces are is taken for normal; a face would be
    named as the other person if it were behind by the margin, and the margin is such that `CONFUSED` of the faces are.
    It is that of a prediction from few values (Student's t), and of the person of the two who is told apart worse. The
    templates of a person were chosen to differ from each other, so faces in use are rather further ahead.

    Args:
        pairs: Names of two people each.
        vectors: (T, D) float32 unit rows, one array a person.

    Returns:
        Similarity, 0 or more, by pair. Pairs that cannot be measured are left out.
    """
    found = {}
    for pair in pairs:
        margin = _margin(*(vectors.get(name) for name in sorted(pair)))
        if margin is not None:
            found[pair] = margin
    return found


def _margin(one: Floats | None, other: Floats | None) -> float | None:
    if one is None or other is None:
        return None  # known by name only
    if sum(len(templates) for templates in (one, other) if len(templates) > 1) < _LEAST:
        return None
    # In a small gallery the best template counts, in a large one it and the mean by half: whichever asks for more.
    measured = (
        _needed([_leads(*sides, mean_counts) for sides in ((one, other), (other, one)) if len(sides[0]) > 1])
        for mean_counts in (0.0, 0.5)
    )
    return max(0.0, *measured)


def _needed(sides: Sequence[Floats]) -> float:
    """The margin by how far the templates of each person are ahead of the other."""
    # One spread for both, and what is expected of it, so that two templates do not decide by chance.
    degrees = sum(map(len, sides)) - len(sides) + _EXPECTED_DEGREES
    squares = sum(float(((side - side.mean()) ** 2).sum()) for side in sides)
    spread = np.sqrt((squares + _EXPECTED_DEGREES * _EXPECTED_SPREAD**2) / degrees)
    reach = _t_quantile(1 - CONFUSED, degrees) * spread
    return max(float(reach * np.sqrt(1 + 1 / len(side)) - side.mean()) for side in sides)


def _leads(own: Floats, other: Floats, mean_counts: float) -> Floats:
    """(T,) by how much each template is ahead of the other person, judged by the person's other templates."""
    return np.array(
        [
            _score(face, np.delete(own, row, axis=0), mean_counts) - _score(face, other, mean_counts)
            for row, face in enumerate(own)
        ],
        np.float32,
    )


def _score(face: Floats, templates: Floats, mean_counts: float) -> float:
    """One face and (T, D) templates of one person, as in ``facepool.search.normalization``."""
    similarities = templates @ face
    length = max(float(np.linalg.norm(templates.mean(axis=0))), 1e-3)
    return float((1 - mean_counts) * similarities.max() + mean_counts * similarities.mean() / length)


def _t_quantile(share: float, degrees: int) -> float:
    """Of Student's t, by the expansion of Cornish and Fisher (Abramowitz and Stegun 26.7.5); 2 degrees or more."""
    z = NormalDist().inv_cdf(share)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(float(term / degrees**power) for power, term in enumerate(terms, start=1))
