"""What a change of a gallery would do to what was seen: who of the kept sightings would be named differently.

Nothing is changed for that. The index of the gallery is one that never changes (``facepool.search.index``), so the one
after the change is made beside it, by the very code that follows a real change; both are searched, and decided on, as
live recognition does it. So the preview says what the change does, exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from facepool.gallery.columns import Changes, LookAlikes
from facepool.recognize.decide import Criteria, decide
from facepool.recognize.evidence import CANDIDATES
from facepool.recognize.fuse import fuse, weigh
from facepool.recognize.live import LiveOptions
from facepool.search import Index
from facepool.search.exact import nearest_merged
from facepool.thresholds import ThresholdPolicy
from facepool.types import Candidate, Decision, Floats, SightedFaces

_NEWEST = 1 << 62
"""Numbers for templates that are not there yet: the gallery gives higher ones than it has."""


@dataclass(frozen=True, slots=True)
class PoolChange:
    """What happens to the templates and the look-alikes of a gallery.

    Attributes:
        person: Who gets templates; empty: nobody.
        person_id: Their id; empty for somebody who is new.
        gained: (G, D) float32, the templates that they get; G may be 0.
        lost: Numbers of the templates that are gone afterwards.
        pair: Two people who are flagged as look-alikes by it; None: nobody is.
    """

    person: str = ""
    person_id: str = ""
    gained: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    lost: tuple[int, ...] = ()
    pair: LookAlikes | None = None

    def is_nothing(self, index: Index) -> bool:
        """Whether a gallery stays as it is."""
        flagged = self.pair is None or self.pair in index.look_alikes
        return flagged and not len(self.gained) and not self.lost

    def after(self, index: Index, first: int = _NEWEST) -> Index:
        """The index of the gallery as it would be; the one that is given stays as it is.

        Args:
            index: Of the gallery.
            first: The number of the first template that is gained: higher than any that there is.
        """
        if self.is_nothing(index):
            return index
        count = len(self.gained)
        return index.following(
            Changes(
                revision=index.revision + 1,
                template_ids=np.arange(first, first + count, dtype=np.int64),
                person_of=np.zeros(count, np.intp),
                vectors=self.gained.reshape(count, index.dimension or self.gained.shape[1]),
                person_ids=(self.person_id or self.person,) if count else (),
                names=(self.person,) if count else (),
                removed=np.array(self.lost, np.int64),
                look_alikes=index.look_alikes | ({self.pair} if self.pair else set()),
                calibration=index.calibration,
            )
        )


class SightingRule:
    """Who a sighting is, by its kept faces and a gallery: as live recognition decides when somebody comes into view.

    Args:
        policy: Chooses the threshold for the gallery's size.
        options: Of live recognition.
    """

    def __init__(self, policy: ThresholdPolicy, options: LiveOptions | None = None) -> None:
        self._policy = policy
        self._options = options or LiveOptions()

    def decide(self, index: Index, faces: SightedFaces) -> Decision:
        """Person or unknown; ``low_quality`` for a sighting without a face that could name anybody."""
        criteria = Criteria(
            threshold=self._policy.identification(len(index), index.calibration).value,
            min_margin=self._options.min_margin,
            look_alikes=index.look_alikes,
            margins=index.margins,
        )
        if not len(faces):
            return decide((), criteria)
        weights = [weigh(float(quality)) for quality in faces.qualities]
        evidence = self._options.evidence
        proving = [
            row
            for row, (weight, size_px) in enumerate(zip(weights, faces.sizes_px, strict=True))
            if weight >= evidence.min_weight and size_px >= evidence.min_size_px
        ]
        rows = proving or list(range(len(faces)))
        candidates = self._nearest(index, faces.embeddings[rows], [weights[row] for row in rows])
        return decide(candidates, criteria, usable=bool(proving))

    def _nearest(self, index: Index, views: Floats, weights: list[float]) -> tuple[Candidate, ...]:
        def merge(similarities: Floats) -> Floats:
            return fuse(similarities, weights)

        return nearest_merged(index, views, merge, CANDIDATES, normalize=self._policy.follows_pool)


@dataclass(frozen=True, slots=True)
class NamedDifferently:
    """A sighting whose face would be given another name than it is given now.

    Attributes:
        sighting: Its id.
        before: Who it would be named by the gallery as it is; None: nobody.
        after: Who it would be named after the change; None: nobody.
    """

    sighting: str
    before: str | None
    after: str | None


def named_differently(
    before: Index, after: Index, faces_of: Mapping[str, SightedFaces], rule: SightingRule
) -> list[NamedDifferently]:
    """Which sightings would be named differently, in the order in which they are given.

    Args:
        before: The gallery as it is.
        after: As it would be, see `PoolChange.after`.
        faces_of: The kept faces of each sighting, by its id.
        rule: Who a sighting is.
    """
    if before is after:
        return []
    found = []
    for sighting, faces in faces_of.items():
        now, then = rule.decide(before, faces).person, rule.decide(after, faces).person
        if now != then:
            found.append(NamedDifferently(sighting, now, then))
    return found
