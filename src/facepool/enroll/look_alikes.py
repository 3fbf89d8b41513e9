"""Who in the pool resembles the person of a scan, over all captured poses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facepool.enroll.views import View
from facepool.search import Search

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


def find_look_alikes(person: str, views: Sequence[View], search: Search, threshold: float) -> tuple[LookAlike, ...]:
    """People whom at least one view matches, those with the most matches first.

    Args:
        person: Whose views they are; left out.
        views: Of the scan.
        search: Who is known.
        threshold: A view matches at this similarity or above.

    Returns:
        One entry a person; empty for an empty gallery or no views.
    """
    if not views:
        return ()
    matching = search.matching(np.stack([view.sample.embedding for view in views]), threshold)
    found = [
        LookAlike(
            name,
            float(similarities.max()),
            float(similarities.mean()),
            int((similarities >= threshold).sum()),
            len(views),
        )
        for name, similarities in matching.items()
        if name != person
    ]
    return tuple(sorted(found, key=lambda alike: (-alike.views_matched, -alike.similarity, alike.person)))
