"""What is remembered of one track: the evidence for who it is, and when more of it is worth its price."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from uuid import uuid4

import numpy as np

from facepool.recognize.fuse import Observation, fuse, keep, likeness, promise_to_beat
from facepool.search import Search
from facepool.types import Candidate, Decision, Floats, Image, Pose

CANDIDATES = 5
"""People that a decision lists beside the best."""
_DOUBTS = 2
"""Observations in a row that resemble nothing of the track before it is taken for somebody else."""


class Need(IntEnum):
    """Why a face should be embedded now, the most pressing first."""

    CHALLENGED = 0
    UNSURE = 1
    DOUBTED = 2
    UNDECIDED = 3
    CONFIRMATION = 4
    NEW_POSE = 5
    BETTER = 6


@dataclass(frozen=True, slots=True)
class EvidenceOptions:
    """Which observations of a track are embedded, and which of them are remembered.

    Attributes:
        min_frames: Embedded observations that a decision needs.
        capacity: Observations remembered of a track.
        per_pose: How many of them of one pose.
        same_pose_degrees: Observations that differ by less in yaw and pitch together are of one pose.
        better: How many times what the weakest of its pose promised makes an observation worth embedding.
        look_every_s: How often a decided track is looked at for a new pose or a better observation.
        confirm_every_s: How often a named track is embedded to see whether it still is the same face.
        retry_every_s: How often a track that nobody could be found for is embedded to see whether it is anybody.
        min_weight: A track whose observations all weigh less names nobody; nor does one of them prove anything.
        min_size_px: The same for the shorter side of the box in source pixels.
    """

    min_frames: int = 3
    capacity: int = 12
    per_pose: int = 3
    same_pose_degrees: float = 12.0
    better: float = 1.25
    look_every_s: float = 0.2
    confirm_every_s: float = 2.0
    retry_every_s: float = 1.0
    min_weight: float = 0.1
    min_size_px: float = 16.0


@dataclass(frozen=True, slots=True)
class Sameness:
    """From which similarity on two observations show one face.

    Attributes:
        after_a_jump: Of a track that may have jumped to another face.
        in_place: Of a track that was there all the time.
    """

    after_a_jump: float
    in_place: float


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Identity:
    """One track: its evidence, its decision, and what has been said about it.

    Attributes:
        observations: What is remembered, at most ``capacity``.
        frames: How many observations were embedded, forgotten ones included.
        shown: The decision that stands; None while there is none.
        firm: False for a decision by less evidence than it should have.
        announced: Whether there was an event for its appearance.
        seen: Frames that it was seen in.
        best_score: How sure the detector was of it in the best of them, 0..1.
        bbox: Where it was seen last: left, top, right, bottom in pixels.
        seen_s: When it was seen last, in the source's time.
        since: The time of day at which it was seen first, in UTC.
        until: The time of day at which it was seen last.
        sighting: A UUID of its own, under which its faces may be kept.
        kept_as: Id of the person it was last said to be kept as, None for unknown; empty: nothing was said yet.
        pose: How the head was turned when it was last measured; None where it could not be, or was not yet.
    """

    options: EvidenceOptions
    began_s: float
    observations: tuple[Observation, ...] = ()
    frames: int = 0
    shown: Decision | None = None
    firm: bool = True
    announced: bool = False
    seen: int = 0
    best_score: float = 0.0
    bbox: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    seen_s: float = 0.0
    since: datetime = field(default_factory=_now)
    until: datetime = field(default_factory=_now)
    sighting: str = field(default_factory=lambda: str(uuid4()))
    kept_as: tuple[str | None, ...] = ()
    pose: Pose | None = None
    _latest: Observation | None = None
    _doubts: tuple[Observation, ...] = ()
    _measured_s: float = -np.inf
    _embedded_s: float = -np.inf
    _nearest: tuple[Candidate, ...] = ()
    _nearest_revision: int | None = None

    @property
    def usable(self) -> bool:
        """Whether any observation is good enough to name somebody by."""
        return bool(self.proving)

    @property
    def proving(self) -> tuple[Observation, ...]:
        """What is remembered of it that is good enough to name somebody by."""
        return tuple(observation for observation in self.observations if self._proves(observation))

    @property
    def crop_bgr(self) -> Image | None:
        """The best aligned face, where pictures are kept with observations; None: there is none."""
        pictured = [one for one in self.observations if one.aligned_bgr is not None]
        return max(pictured, key=lambda one: one.weight).aligned_bgr if pictured else None

    @property
    def held(self) -> str | None:
        """Who the track is taken for."""
        return None if self.shown is None else self.shown.person

    def see(self, box: Floats, score: float, time_s: float) -> None:
        """Note where the face is in one more frame, (4,) xyxy in pixels, and how sure the detector is of it, 0..1."""
        self.seen_s, self.until = time_s, _now()
        left, top, right, bottom = (float(edge) for edge in box)
        self.bbox = (left, top, right, bottom)
        self.seen += 1
        self.best_score = max(self.best_score, score)

    def urgent_need(self, time_s: float, *, sure: bool) -> Need | None:
        """Why the face has to be embedded whatever it looks like; None: it does not have to."""
        if self.frames and not sure:
            return Need.UNSURE
        if self._doubts:
            return Need.DOUBTED
        if self.shown is None or self.frames < self.options.min_frames:
            return Need.UNDECIDED
        named = self.shown.person is not None
        interval_s = self.options.confirm_every_s if named else self.options.retry_every_s
        return Need.CONFIRMATION if time_s - self._embedded_s >= interval_s else None

    def measuring_due(self, time_s: float) -> bool:
        """Whether it is time to measure if the face shows a new pose, or an old one better."""
        return time_s - self._measured_s >= self.options.look_every_s

    def need_as_measured(self, pose: Pose | None, promise: float, time_s: float) -> Need | None:
        """Why the face is worth embedding as it was just measured; None: it is not."""
        self._measured_s, self.pose = time_s, pose
        if pose is None or promise < self.options.min_weight:
            return None
        to_beat = promise_to_beat(self.observations, pose, self.options.same_pose_degrees)
        if to_beat is None:
            return Need.NEW_POSE
        return Need.BETTER if promise > self.options.better * to_beat else None

    def is_somebody_else(self, new: Observation, sameness: Sameness, *, sure: bool, recent_s: float) -> bool:
        """Whether an observation shows that the track has passed to another face.

        After a jump one observation decides, in doubt for another face. In place it takes two in a row that resemble
        each other and nothing of the track; until the second comes, the first is kept apart as a doubt.

        Args:
            new: The observation.
            sameness: What shows one face.
            sure: Whether the face was in its track's place all the time.
            recent_s: For so long the latest observation speaks for the track, whatever its quality.
        """
        if not self.observations:
            return False
        latest = self._latest
        is_recent = latest is not None and new.time_s - latest.time_s <= recent_s
        known = (*self.observations, latest) if latest is not None and is_recent else self.observations
        alike = likeness(known, new.embedding)
        if not sure:
            return alike < sameness.after_a_jump
        if alike >= sameness.in_place or not self._proves(new):
            self._doubts = ()
            return False
        agrees = bool(self._doubts) and likeness(self._doubts, new.embedding) >= sameness.after_a_jump
        self._doubts = (*self._doubts, new) if agrees else (new,)
        return len(self._doubts) >= _DOUBTS

    def absorb(self, new: Observation) -> None:
        """Remember an observation, unless it is a doubt."""
        self._embedded_s = self._measured_s = new.time_s
        if self._doubts:
            return
        self.frames += 1
        self._latest = new
        self.observations = keep(
            self.observations,
            new,
            capacity=self.options.capacity,
            per_pose=self.options.per_pose,
            same_pose_degrees=self.options.same_pose_degrees,
        )
        self._nearest_revision = None

    def bind(self, embedding: Floats, least: float) -> None:
        """Forget what does not resemble a face, (D,) float32, by so much: it is that face that is to be named."""
        self.observations = tuple(one for one in self.observations if float(one.embedding @ embedding) >= least)
        self.frames = self.frames if self.observations else 0
        self._latest, self._doubts, self._nearest_revision = None, (), None

    def successor(self, new: Observation) -> "Identity":
        """Who the track has passed to: it begins with what did not fit, the newest observation not yet absorbed."""
        identity = Identity(self.options, began_s=new.time_s)
        for doubt in self._doubts:
            if doubt is not new:
                identity.absorb(doubt)
        return identity

    def nearest(self, search: Search, revision: int, *, normalize: bool = False) -> tuple[Candidate, ...]:
        """The people who resemble the track most; searched again only for new evidence or a changed gallery.

        Args:
            search: Who is known.
            revision: The gallery's revision now.
            normalize: Whether candidates get score offsets; a track gets the same answer always.
        """
        if self._nearest_revision != revision:
            proving = self.proving or self.observations
            probes = np.stack([one.embedding for one in proving])
            weights = [one.weight for one in proving]

            def merge(similarities: Floats) -> Floats:
                return fuse(similarities, weights)

            found = search.nearest(probes, CANDIDATES, merge=merge, normalize=normalize)
            self._nearest, self._nearest_revision = found.candidates[0], found.state.revision
        return self._nearest

    def _proves(self, observation: Observation) -> bool:
        return observation.weight >= self.options.min_weight and observation.size_px >= self.options.min_size_px
