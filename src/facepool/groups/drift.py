"""Learning without drift: which faces that were seen of a person may become templates, and as what.

A face that is proposed has to match what the person was *enrolled* with, never what was learned, at ``CORE_FMR``. That
alone stops nobody who mixes their own face with the person's: a morph matches both. So what is stored is not the face,
but the enrolled template that it resembles most, tilted towards the face by a few degrees (`tilted`): by as many as
leave everybody unnamed who resembles what was enrolled less than ``FLOOR_FMR`` of strangers do, whatever was learned
(`most_degrees`). However many faces get a yes, nothing moves on from there, because only what was enrolled is ever
tilted. See docs/adr/0047-learning-with-consent.md for what that costs and gains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from facepool.models.catalog import FmrCurve
from facepool.thresholds import similarity_at
from facepool.types import Floats, Pose

Lack = Literal["pose", "age", "appearance"]
"""What a person's templates lack that a face has."""

CORE_FMR = 1e-6
"""False match rate at which a face has to match a person's enrolled templates, all of them together."""
FLOOR_FMR = 2e-3
"""Share of strangers who resemble one enrolled template so much that they might be named by what was learned from it,
if they had chosen the direction of its tilt themselves."""
MOST_DEG = 10.0
"""How far from an enrolled template a learned one may lie in the largest pool, whose threshold is high."""
MOST_LEARNED = 4
"""Learned templates of a person, and no more than enrolled ones: each raises the threshold for everybody."""
_SAME_DIRECTION = 0.5
"""Cosine from which on two tilts of one template lead to the same look."""


@dataclass(frozen=True, slots=True)
class LearnRule:
    """What makes a face worth proposing.

    Attributes:
        novelty: It is less similar than this to each of the person's templates, as when registering.
        min_quality: 0..100.
        min_lead: How far above the pool's threshold it is similar to what was enrolled.
        pose_deg: Within how many degrees, in yaw and pitch together, a template shows the same pose.
        age: Templates older than this show a younger person.
        sightings: In how many it has to be seen, its own included.
        days: On how many days.
        span: Between the first and the last of them, at least.
    """

    novelty: float = 0.8
    min_quality: float = 50.0
    min_lead: float = 0.1
    pose_deg: float = 20.0
    age: timedelta = timedelta(days=365)
    sightings: int = 3
    days: int = 2
    span: timedelta = timedelta(hours=20)


@dataclass(frozen=True, slots=True)
class View:
    """A template of the person.

    Attributes:
        embedding: (D,) float32, L2 norm 1.
        pose: None where it was not measured.
        made: When it was stored; None where nobody knows.
        learned: Whether it was learned, so that nothing may rest on it.
    """

    embedding: Floats
    pose: Pose | None
    made: datetime | None
    learned: bool


@dataclass(frozen=True, slots=True)
class SightedFace:
    """A face of a sighting that was named as the person.

    Attributes:
        id: Its UUID.
        sighting: That of its sighting.
        seen: When the sighting began.
        embedding: (D,) float32, L2 norm 1.
        quality: 0..100.
        pose: None where it could not be measured.
    """

    id: str
    sighting: str
    seen: datetime
    embedding: Floats
    quality: float
    pose: Pose | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A face that is worth a template.

    Attributes:
        face: Which.
        lack: What the person's templates lack that it has.
        similarity: To the enrolled template that it resembles most.
        sightings: In how many it was seen.
        days: On how many days.
        look: (D,) float32, L2 norm 1, the mean of the faces that show the same look, each sighting counting once: what
            of it was only the moment's is not in it.
    """

    face: SightedFace
    lack: Lack
    similarity: float
    sightings: int
    days: int
    look: Floats


class Core:
    """What a person was enrolled with, which everything that is learned has to match.

    Args:
        views: All templates of the person, at least one enrolled one.
        curve: False match rates of their embedder.
        threshold: Of the pool as it is.
        rule: What makes a face worth proposing.
    """

    def __init__(self, views: Sequence[View], curve: FmrCurve, threshold: float, rule: LearnRule) -> None:
        self._views = views
        self._rule = rule
        self._threshold = threshold
        self._degrees = most_degrees(curve, threshold)
        self._enrolled = np.stack([view.embedding for view in views if not view.learned])
        self._learned = [view.embedding for view in views if view.learned]
        self.least = max(similarity_at(curve, CORE_FMR / len(self._enrolled)), threshold + rule.min_lead)

    def similarity(self, embedding: Floats) -> float:
        """To the enrolled template that a face resembles most."""
        return float(np.max(self._enrolled @ embedding))

    def tilted(self, embedding: Floats) -> Floats:
        """What is stored of a face: see `tilted`."""
        return tilted(self._enrolled, embedding, self._degrees)

    @property
    def most_learned(self) -> int:
        """How many learned templates the person may have."""
        return min(MOST_LEARNED, len(self._enrolled)) if self._degrees > 0 else 0

    def matches(self, embedding: Floats) -> bool:
        """Whether a face matches what was enrolled at the pool's threshold."""
        return self.similarity(embedding) >= self._threshold

    def holds(self, embedding: Floats) -> bool:
        """Whether a face matches what was enrolled, at ``CORE_FMR`` and far above the pool's threshold."""
        return self.similarity(embedding) >= self.least

    def is_new(self, embedding: Floats) -> bool:
        """Whether a face shows what no enrolled template shows."""
        return self.similarity(embedding) < self._rule.novelty

    def lack(self, face: SightedFace, now: datetime) -> Lack | None:
        """What the person's templates lack that a face has; None: nothing, or it is not good enough."""
        rule = self._rule
        if not self.most_learned or face.quality < rule.min_quality or not self.holds(face.embedding):
            return None
        if not self.is_new(face.embedding) or self._is_learned(face.embedding):
            return None
        alike = [view for view in self._views if _same_pose(view.pose, face.pose, rule.pose_deg)]
        if face.pose is not None and not alike:
            return "pose"
        if alike and all(view.made is not None and now - view.made >= rule.age for view in alike):
            return "age"
        return "appearance"

    def is_like_any(self, embedding: Floats, others: Sequence[Floats]) -> bool:
        """Whether a face shows the look of one of some others: away from what was enrolled the same way."""
        return any(leads_to(self._enrolled, other, embedding) for other in others)

    def _is_learned(self, embedding: Floats) -> bool:
        return self.is_like_any(embedding, self._learned)


def most_degrees(curve: FmrCurve, threshold: float) -> float:
    """How far a template may be tilted in a pool, 0 up to ``MOST_DEG``.

    Whoever is named by a template that was tilted by d has a similarity of ``cos(arccos(threshold) + d)`` at least to
    the enrolled one (the triangle inequality of angles). That is not to fall below what ``FLOOR_FMR`` of strangers
    have.
    A small pool has a low threshold, which leaves little room, and misses few.

    Args:
        curve: False match rates of the embedder.
        threshold: Of the pool.
    """
    room = np.degrees(np.arccos(similarity_at(curve, FLOOR_FMR)) - np.arccos(min(1.0, threshold)))
    return float(np.clip(room, 0.0, MOST_DEG))


def tilted(enrolled: Floats, embedding: Floats, degrees: float) -> Floats:
    """The enrolled template that a face resembles most, turned towards the face by a few degrees at most.

    Args:
        enrolled: (E, D) float32, rows of L2 norm 1, E at least 1.
        embedding: (D,) float32, L2 norm 1.
        degrees: By how much.

    Returns:
        (D,) float32, L2 norm 1; the face itself where it is nearer than that.
    """
    similarities = enrolled @ embedding
    nearest = enrolled[int(np.argmax(similarities))].astype(np.float64)
    beside = embedding - float(np.max(similarities)) * nearest
    length = float(np.linalg.norm(beside))
    angle = min(np.radians(degrees), float(np.arctan2(length, np.max(similarities))))
    if length < 1e-6:
        return np.asarray(nearest, np.float32)
    turned = np.cos(angle) * nearest + np.sin(angle) * beside / length
    return np.asarray(turned / np.linalg.norm(turned), np.float32)


def leads_to(enrolled: Floats, learned: Floats, embedding: Floats) -> bool:
    """Whether a learned template is of the look that a face has: tilted the same way from the same template."""
    origin = enrolled[int(np.argmax(enrolled @ learned))]
    ways = [vector - float(vector @ origin) * origin for vector in (learned, embedding)]
    lengths = [float(np.linalg.norm(way)) for way in ways]
    return min(lengths) > 1e-6 and float(ways[0] @ ways[1]) >= _SAME_DIRECTION * lengths[0] * lengths[1]


def _same_pose(one: Pose | None, other: Pose | None, degrees: float) -> bool:
    if one is None or other is None:
        return False
    return bool(np.hypot(one.yaw - other.yaw, one.pitch - other.pitch) <= degrees)


def propose(core: Core, seen: Sequence[SightedFace], now: datetime, rule: LearnRule) -> Proposal | None:
    """The face that is most worth a template, if any is: the best one of the look that was seen most often.

    Sightings of which some face does not match what was enrolled show two people, or nearly: nothing of them counts.

    Args:
        core: Of the person.
        seen: Faces of sightings that were named as the person, of the time kept.
        now: The time.
        rule: What makes one worth proposing.
    """
    sure, proposals = sure_faces(core, seen), []
    for face in sure:
        lack = core.lack(face, now)
        if lack is None:
            continue
        same = _of_one_look(face, sure, core)
        sightings, days = len({one.sighting for one in same}), len({one.seen.date() for one in same})
        span = max(one.seen for one in same) - min(one.seen for one in same)
        if sightings >= rule.sightings and days >= rule.days and span >= rule.span:
            similarity = core.similarity(face.embedding)
            proposals.append(Proposal(face, lack, similarity, sightings, days, mean_look(same)))
    return max(proposals, key=lambda one: (one.sightings, one.face.quality), default=None)


def mean_look(faces: Sequence[SightedFace]) -> Floats:
    """(D,) float32, L2 norm 1, the mean of some faces, at least one, each sighting counting once."""
    by_sighting: dict[str, list[Floats]] = {}
    for face in faces:
        by_sighting.setdefault(face.sighting, []).append(face.embedding)
    mean = np.mean([np.mean(vectors, axis=0) for vectors in by_sighting.values()], axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def sure_faces(core: Core, seen: Sequence[SightedFace]) -> list[SightedFace]:
    """Faces of sightings that show the person and nobody else."""
    doubtful = {face.sighting for face in seen if not core.matches(face.embedding)}
    return [face for face in seen if face.sighting not in doubtful]


def look_of(face: SightedFace, seen: Sequence[SightedFace], core: Core) -> Floats:
    """(D,) the mean of a face and of all others that show the same look; see `Proposal`."""
    return mean_look(_of_one_look(face, sure_faces(core, seen), core))


def _of_one_look(face: SightedFace, seen: Sequence[SightedFace], core: Core) -> list[SightedFace]:
    """A face and all others that show the same look: new ones, more like each other than like what was enrolled."""
    own = core.similarity(face.embedding)
    others = [
        one
        for one in seen
        if one is not face
        and core.is_new(one.embedding)
        and float(one.embedding @ face.embedding) > max(own, core.similarity(one.embedding))
    ]
    return [face, *others]
