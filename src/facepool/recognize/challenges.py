"""Who before a camera has shown that they are alive: a challenge for each track that would be named.

A track is challenged as soon as it would be named, and is named once it has passed. After a challenge that was not
passed whoever would be named has to wait, longer each time, so that nobody tries film after film.

A pass ends with its track, or when the face has not moved like a head for long: nobody leaves a photo in their place.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import numpy as np

from facepool.liveness.challenge import draw_challenge
from facepool.liveness.flat import FlatTest
from facepool.liveness.session import LivenessReason, LivenessResult, LivenessSession, LivenessStep, SeenFace
from facepool.types import Floats, Pose

_LOOKS_HERE_DEG = (25.0, 45.0)
"""A head that is turned further, in yaw and pitch, sees nothing of what is asked: somebody who works beside the camera
is not to be looked at in every frame for ever."""
_MOST_REMEMBERED = 1000
"""People whose waits are remembered."""


@dataclass(frozen=True, slots=True)
class ChallengeOptions:
    """How people show that they are alive before they are named.

    Attributes:
        partial: A weaker challenge, for people who cannot turn their head in every direction.
        most: Faces that are challenged at a time; further ones wait.
        pause_s: How long somebody waits after a challenge that was not passed; twice as long after each further one.
        longest_pause_s: But never longer than that.
        good_for_s: So long a pass is good, and again each time that the face has meanwhile moved like a head's.
    """

    partial: bool = False
    most: int = 3
    pause_s: float = 3.0
    longest_pause_s: float = 60.0
    good_for_s: float = 120.0


def may_begin(pose: Pose | None) -> bool:
    """Whether somebody looks this way, so that there is sense in asking them something."""
    return pose is not None and abs(pose.yaw) <= _LOOKS_HERE_DEG[0] and abs(pose.pitch) <= _LOOKS_HERE_DEG[1]


@dataclass(slots=True)
class _Challenged:
    """What is known of one track.

    Attributes:
        session: The challenge that runs; None: none does.
        step: What was said last of the one that runs.
        result: How the last one ended; None: none has.
        person_id: Who would be named, while one runs.
        motion: How the face has moved since it passed, or since that was last looked at.
        good_until_s: When that is looked at next.
    """

    session: LivenessSession | None = None
    step: LivenessStep | None = None
    result: LivenessResult | None = None
    person_id: str = ""
    motion: FlatTest = field(default_factory=FlatTest)
    good_until_s: float = 0.0


@dataclass(slots=True)
class _Wait:
    """How often somebody has not passed in a row, and until when there is no further challenge."""

    failures: int = 0
    until_s: float = -np.inf


class TrackChallenges:
    """The challenges of one source.

    Args:
        options: How people show that they are alive.
        same: The similarity from which on two faces are one person's.
        random: Draws the directions; by default what nobody can foresee.
    """

    def __init__(self, options: ChallengeOptions, same: float, random: Random | None = None) -> None:
        self._options = options
        self._same = same
        self._random = random
        self._tracks: dict[int, _Challenged] = {}
        self._waits: dict[str, _Wait] = {}

    @property
    def running(self) -> frozenset[int]:
        """The tracks that are challenged now: each of their frames counts."""
        return frozenset(track for track, one in self._tracks.items() if one.session is not None)

    def has_passed(self, track: int) -> bool:
        """Whether a track has shown that it is somebody alive."""
        result = self.result(track)
        return result is not None and result.passed

    def result(self, track: int) -> LivenessResult | None:
        """How the last challenge of a track ended; None: none has."""
        known = self._tracks.get(track)
        return None if known is None else known.result

    def step(self, track: int) -> LivenessStep | None:
        """What a track is to do now; None: it is not challenged."""
        known = self._tracks.get(track)
        return None if known is None or known.session is None else known.step

    def begin(self, track: int, person_id: str, time_s: float) -> bool:
        """Challenge a track, unless it or whoever it would be has to wait.

        Args:
            track: Not challenged yet, or not passed.
            person_id: Who would be named.
            time_s: Now, in the source's time.
        """
        wait = self._waits.get(person_id, _Wait())
        if len(self.running) >= self._options.most or time_s < wait.until_s:
            return False
        known = self._tracks.setdefault(track, _Challenged())
        challenge = draw_challenge(partial=self._options.partial, random=self._random)
        known.session, known.person_id = LivenessSession(challenge, self._same), person_id
        return True

    def look(
        self, track: int, face: SeenFace | None, time_s: float, passive_scores: Callable[[], Floats | None]
    ) -> LivenessResult | None:
        """One more frame of a track that is challenged.

        Args:
            track: Of which.
            face: What the frame shows of it; None where that is nothing.
            time_s: Of the frame.
            passive_scores: What networks that look at one picture say of that face, (1,); None without any.

        Returns:
            How the challenge ended, if it did with this frame, and if anything was asked.
        """
        known = self._tracks[track]
        if known.session is None:
            return None
        if face is None:
            known.step = known.session.miss(time_s, "no_face")
        else:
            known.step = known.session.see(face)
            known.session.ask(passive_scores)
        return None if known.step.result is None else self._end(known, known.step.result, time_s)

    def watch(self, track: int, landmarks: Floats, time_s: float) -> None:
        """One more frame of a track; its pass ends if it has not moved like a head for as long as a pass is good.

        Args:
            track: Of which.
            landmarks: (5, 2) float32 in pixels.
            time_s: Of the frame.
        """
        if not self.has_passed(track):
            return
        known = self._tracks[track]
        known.motion.add(time_s, landmarks)
        if time_s < known.good_until_s:
            return
        if known.motion.measure().verdict != "solid":
            known.result = None
        self._renew(known, time_s)

    def interrupt(self, track: int, reason: LivenessReason, time_s: float) -> LivenessResult | None:
        """A track ends while it is challenged.

        Returns:
            How the challenge ended thereby; None: there was none, or nothing was asked yet.
        """
        known = self._tracks.get(track)
        if known is None or known.session is None:
            return None
        return self._end(known, known.session.interrupt().refused(reason), time_s)

    def forget(self, track: int) -> None:
        """A track is gone."""
        self._tracks.pop(track, None)

    def _end(self, known: _Challenged, result: LivenessResult, time_s: float) -> LivenessResult | None:
        known.session, known.step = None, None
        if result.embedding is None:  # who never looked straight ahead was asked nothing, and has learned nothing
            return None
        known.result = result
        if result.passed:
            self._waits.pop(known.person_id, None)
            self._renew(known, time_s)
            return result
        wait = self._waits.pop(known.person_id, _Wait())  # whoever was last to fail is last to be forgotten
        pause_s = min(self._options.pause_s * 2**wait.failures, self._options.longest_pause_s)
        self._waits[known.person_id] = _Wait(wait.failures + 1, time_s + pause_s)
        if len(self._waits) > _MOST_REMEMBERED:
            del self._waits[next(iter(self._waits))]
        return result

    def _renew(self, known: _Challenged, time_s: float) -> None:
        known.motion, known.good_until_s = FlatTest(), time_s + self._options.good_for_s
