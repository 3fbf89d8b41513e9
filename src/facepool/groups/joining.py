"""Which of the unknown people whose faces are kept somebody unknown is: similarities, thresholds, and who it cannot be.

A sighting is compared with a group as live recognition compares a track with a person: each of its faces with the face
of the group that is nearest, averaged by how much each face can tell. What is expected of that to be the same person
grows with the number of faces that are kept (`ThresholdPolicy.joining`).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from facepool.gallery.sightings import InboxVectors
from facepool.recognize.decide import LOOK_ALIKE_MARGIN
from facepool.recognize.fuse import fuse, weigh
from facepool.thresholds import JOIN_FPIR, PROPOSE_FPIR, ThresholdPolicy
from facepool.types import Calibration, SightedFaces, Sighting

MOST_PROPOSED = 3
"""Groups that a sighting is proposed to belong to, too."""
SURE_SCORE = 0.98
"""Nobody is joined by faces of which the detector is less sure. Those that are turned away by far, of which little more
than hair and an ear can be seen, are among them, and resemble each other. Of LFW's photos 99 in 100 score above 0.99.
"""
VISIT_GAP_S = 60.0
"""Somebody who is seen again within this time has not gone: it is one visit."""


@dataclass(frozen=True, slots=True)
class GroupMatch:
    """How much a sighting resembles a group of unknown faces: cosine in -1..1."""

    group: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Belonging:
    """Which group a sighting belongs to.

    Attributes:
        group: Its number; None: to none so far.
        similarity: To that group, or to the one that is nearest; None: there is none.
        likely: Other groups of the same person, it seems, the most similar first; people are to be asked.
    """

    group: int | None
    similarity: float | None
    likely: tuple[GroupMatch, ...]


def matches(faces: SightedFaces, vectors: InboxVectors) -> list[GroupMatch]:
    """How much a sighting resembles each group, the most similar first.

    Args:
        faces: Of the sighting.
        vectors: The faces of all groups.
    """
    if not len(faces) or not len(vectors):
        return []
    order = np.argsort(vectors.groups, kind="stable")
    groups, starts = np.unique(vectors.groups[order], return_index=True)
    similarities = faces.embeddings @ vectors.embeddings[order].T
    nearest = np.maximum.reduceat(similarities, starts, axis=1)
    weights = [weigh(float(quality)) for quality in faces.qualities]
    fused = fuse(nearest, weights)
    return [GroupMatch(int(groups[row]), float(fused[row])) for row in np.argsort(-fused, kind="stable")]


def belonging(
    faces: SightedFaces,
    vectors: InboxVectors,
    policy: ThresholdPolicy,
    *,
    calibration: Calibration | None = None,
    without: Collection[int] = (),
    apart_from: Callable[[int], Collection[int]] = lambda _group: (),
) -> Belonging:
    """Which group a sighting belongs to, at a stated rate of strangers that are taken for somebody else.

    Args:
        faces: Of the sighting.
        vectors: The faces of all groups.
        policy: From which similarity on it is the same person.
        calibration: What was measured of the pool.
        without: Groups that it cannot belong to.
        apart_from: Of which groups somebody has said that they are another person than a group: where two such are
            nearly as similar, nobody can say which of them it is.
    """
    sure = np.flatnonzero(faces.scores >= SURE_SCORE)
    compared = faces[sure] if len(sure) else faces
    found = [match for match in matches(compared, vectors) if match.group not in without]
    joins = policy.joining(len(vectors), JOIN_FPIR, calibration)
    asks = policy.joining(len(vectors), PROPOSE_FPIR, calibration)
    if not found or joins is None or asks is None:
        return Belonging(None, found[0].similarity if found else None, ())
    best = found[0]
    group = best.group if len(sure) and best.similarity >= joins.value else None
    if group is not None:
        twins = set(apart_from(group))
        if any(one.group in twins and best.similarity - one.similarity < LOOK_ALIKE_MARGIN for one in found[1:]):
            group = None
    likely = [match for match in found if match.group != group and match.similarity >= asks.value]
    return Belonging(group, best.similarity, tuple(likely[:MOST_PROPOSED]))


def overlap(one: Sighting, other: Sighting) -> bool:
    """Whether two faces were before one camera at one time, so that they are two people."""
    if one.id == other.id or one.source != other.source:
        return False
    return one.since < other.until and other.since < one.until


def visits(sightings: Sequence[Sighting]) -> int:
    """How often somebody was there: sightings that follow one another within a minute are one visit."""
    count, until = 0, None
    for sighting in sorted(sightings, key=lambda one: one.since):
        since = datetime.fromisoformat(sighting.since)
        if until is None or since - until > timedelta(seconds=VISIT_GAP_S):
            count += 1
        ended = datetime.fromisoformat(sighting.until)
        until = ended if until is None else max(until, ended)
    return count
