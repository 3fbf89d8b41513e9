"""Who in the pool resembles the person of a scan, over all captured poses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facepool.enroll.views import View
from facepool.gallery import PoolMatrix, best_template

_PROBABLY_SAME = 0.5


@dataclass(frozen=True, slots=True)
class LookAlike:
    """Somebody of the pool who matches views of a scan.

    Attributes:
        person: Their name.
        similarity: The highest of any view.
        mean_similarity: Over all views.
        views_matched: How many views match.
        views: How many there are.
    """

    person: str
    similarity: float
    mean_similarity: float
    views_matched: int
    views: int

    @property
    def probably_same(self) -> bool:
        """Whether most views match: somebody who looks alike seldom does so from every side."""
        return self.views_matched > _PROBABLY_SAME * self.views


def find_look_alikes(person: str, views: Sequence[View], matrix: PoolMatrix, threshold: float) -> tuple[LookAlike, ...]:
    """People whom at least one view matches, those with the most matches first.

    Args:
        person: Whose views they are; left out.
        views: Of the scan.
        matrix: The pool.
        threshold: A view matches at this similarity or above.

    Returns:
        One entry a person; empty for an empty pool or no views.
    """
    if not views or not len(matrix):
        return ()
    vectors = np.stack([view.sample.embedding for view in views])
    similarities = best_template(vectors @ matrix.vectors.T, matrix)
    matched = similarities >= threshold
    found = [
        LookAlike(name, float(column.max()), float(column.mean()), int(matches.sum()), len(views))
        for name, column, matches in zip(matrix.names, similarities.T, matched.T, strict=True)
        if matches.any() and name != person
    ]
    return tuple(sorted(found, key=lambda alike: (-alike.views_matched, -alike.similarity, alike.person)))
