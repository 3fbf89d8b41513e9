"""Learning with consent: faces that were seen of a person are proposed as templates, and somebody says yes or no.

In: sightings of people who were named, which are kept in the gallery's inbox. Out: suggestions in that inbox, and after
a yes a template that says from which enrolled one it was learned. ``drift`` has the rule; nothing here decides what is
near enough. Nothing becomes a template without a person's yes, and `take_back` erases all that did.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from facepool.gallery import Gallery
from facepool.groups.drift import Core, LearnRule, Proposal, SeenFace, View, leads_to, propose
from facepool.models.catalog import FmrCurve
from facepool.recognize.decide import Criteria, decide
from facepool.search import Search
from facepool.thresholds import ThresholdPolicy
from facepool.types import SightedFaces, Sighting, Template

EXPIRES_AFTER = timedelta(days=14)
MOST_OPEN = 3
"""Suggestions that wait for an answer, of one person."""
MOST_LEARNED = 4
"""Learned templates of a person; the next one takes the place of the oldest."""
_LOOKED_AT = 100
"""Sightings of a person that are looked at, the newest ones."""
_CANDIDATES = 5


def core_of(
    templates: Sequence[Template], curve: FmrCurve, threshold: float, rule: LearnRule | None = None
) -> Core | None:
    """What a person was enrolled with; None: nothing is left of that.

    Args:
        templates: All of the person.
        curve: False match rates of their embedder.
        threshold: Of the pool as it is.
        rule: What makes a face worth proposing.
    """
    if all(template.sample.learned_from for template in templates):
        return None
    views = [
        View(
            embedding=template.sample.embedding,
            pose=template.sample.pose,
            made=datetime.fromisoformat(template.created_at) if template.created_at else None,
            learned=bool(template.sample.learned_from),
        )
        for template in templates
    ]
    return Core(views, curve, threshold, rule or LearnRule())


def seen_faces(sighting: Sighting, faces: SightedFaces) -> list[SeenFace]:
    """The faces of a sighting that is kept, one by one."""
    seen = datetime.fromisoformat(sighting.since)
    return [
        SeenFace(face_id, sighting.id, seen, faces.embeddings[row], float(faces.qualities[row]), faces.poses[row])
        for row, face_id in enumerate(faces.ids)
    ]
