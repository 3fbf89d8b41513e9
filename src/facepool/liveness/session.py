"""One challenge while it is done, frame by frame: ``LivenessSession``.

First the person looks straight ahead, which says what straight ahead is for them and who they are. Then they turn to
each direction that is asked, and back in between. It is one face from the first frame to the last, without a gap.
Whoever clearly turns elsewhere has failed: a film that runs through all directions does.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from facepool.faces.analyze import Faces
from facepool.faces.facing import HeadTurn, apart, direction_words
from facepool.faces.framing import FRAMING_HINTS, FramingFlaw, find_face, stays
from facepool.faces.quality import QualityPolicy
from facepool.liveness.challenge import Challenge, Step
from facepool.liveness.flat import NosePlace, NoseTrack, Parallax, Relief, parallax_of, typical
from facepool.liveness.way import Sight, Way
from facepool.types import Floats, Hint, Pose, one_line

Method = Literal["challenge", "challenge_partial"]
LivenessReason = Literal[
    "live",
    "flat",
    "not_enough_motion",
    "wrong_direction",
    "too_slow",
    "no_face",
    "several_faces",
    "another_face",
    "cut",
    "few_pictures",
    "interrupted",
    "not_the_person",
]
"""Why a check came out as it did. ``live`` is the only one that passes."""
Phase = Literal["straight", "turn", "back", "ended"]
"""``straight``: the person is to look straight ahead. ``turn``: to turn where the hint says. ``back``: to come back to
straight ahead. ``ended``: there is a result."""

MEANINGS: Mapping[LivenessReason, str] = {
    "live": "a head did all that was asked",
    "flat": "it moves like a flat picture",
    "not_enough_motion": "the head did not turn far enough to tell it from a picture",
    "wrong_direction": "the head turned somewhere else than asked",
    "too_slow": "time was up",
    "no_face": "the face was gone",
    "several_faces": "there was more than one face",
    "another_face": "the face became that of somebody else",
    "cut": "the face jumped, as when a film is cut or pictures are changed",
    "few_pictures": "too few pictures came to see how the head turned",
    "interrupted": "pictures stopped coming",
    "not_the_person": "it is not the person who was to be checked",
}
"""One phrase for people."""
ADVICE: Mapping[LivenessReason, str] = {
    "flat": "be there yourself, not in a picture, and turn the head alone, a little further",
    "not_enough_motion": "turn the head further",
    "wrong_direction": "turn from the middle straight to where it is said, and come back the same way",
    "too_slow": "turn as soon as it is said, and hold it there; a partial check asks for less and leaves more time",
    "no_face": "keep the whole face in the picture, in good light",
    "several_faces": "be alone before the camera",
    "another_face": "stay until the end, in good light, and let nobody else into the picture",
    "cut": "turn more slowly, and stay before the camera until the end",
    "few_pictures": "take two seconds for each turn; more light, fewer programs and a better network help",
    "interrupted": "see that the camera and the network work",
    "not_the_person": "have that person do it, or compare with a clearer photo",
}
"""What to do about it in the next attempt, for people; nothing for ``live``."""

# A turn that is enough, in clear turns, for those who can and for those who cannot turn as far. What follows is in such
# turns: how far back is straight ahead, how far elsewhere is elsewhere, and how far is still when it all begins.
_TURN, _PARTIAL_TURN = 1.0, 0.75
_BACK, _ASTRAY, _STILL = 0.5, 1.5, 0.6
# So many turns of which the way was not seen end it: jumps that no head makes, and all together.
_JUMPS, _UNSEEN = 3, 5
# Degrees around the ring: so far from what is asked still counts, and from there on it is somewhere else.
_TOLERANCE_DEG, _ELSEWHERE_DEG = 30.0, 60.0
# A turn counts when it is held for so long.
_HOLD_S = 0.25
# Straight ahead is known after so long and so many frames of a face that keeps still, within limits of yaw, pitch and
# roll as the camera sees it.
_STEADY_S, _STEADY_FRAMES = 0.6, 4
_STRAIGHT_DEG = (20.0, 40.0, 20.0)
_FIND_LIMIT_S, _BACK_LIMIT_S = 20.0, 8.0
# Fewer frames a second than this are to blame for time that was up.
_FEW_A_SECOND = 2.5
# A face may be gone, or another's, or have company for so long, and frames may lie so far apart.
_GONE_S = 0.7
_STRANGERS = 3
_SILENT_S = 2.0
_LEAST_IOU = 0.25
_PASSIVE_EVERY_S = 0.5
_LENIENT = QualityPolicy(min_sharpness=0.0)

_BREAKING: frozenset[FramingFlaw] = frozenset({"no_face", "uncertain_face", "several_faces"})


@dataclass(frozen=True, slots=True)
class SeenFace:
    """The face of one frame.

    Attributes:
        time_s: When; any zero.
        box: (4,) float32 xyxy in pixels.
        landmarks: (5, 2) float32 in pixels.
        pose: As the camera sees it.
        embedding: (D,) float32, L2 norm 1.
    """

    time_s: float
    box: Floats
    landmarks: Floats
    pose: Pose
    embedding: Floats = field(repr=False)


@dataclass(frozen=True, slots=True)
class LivenessResult:
    """What came of a challenge.

    Attributes:
        passed: Whether a live head did what was asked.
        method: How it was checked; ``challenge_partial`` is weaker.
        reason: Why.
        score: 0..1, higher is more alive: the share of the steps that were done, times how much of a head's relief the
            nose has shown.
        flatness: 0..1: 0 where the nose has moved against eyes and mouth like a head's, 1 where like a plane's; None
            where nothing was measured.
        steps_passed: How many were done.
        steps: How many were asked.
        started_s: Time of the first frame.
        ended_s: Time of the last one that counted.
        passive: 0..1, what networks say of the pictures in which they looked straight ahead, on average, where a user
            brought any. It decides nothing.
        embedding: (D,) float32, the person as they looked straight ahead, L2 norm 1; None where they never did.
    """

    passed: bool
    method: Method
    reason: LivenessReason
    score: float
    flatness: float | None
    steps_passed: int
    steps: int
    started_s: float
    ended_s: float
    passive: float | None = None
    embedding: Floats | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        """Whether it passed, and why."""
        return one_line(self, f"{'passed' if self.passed else 'failed'}: {self.meaning}")

    @property
    def meaning(self) -> str:
        """Why, as a phrase for people."""
        return MEANINGS[self.reason]

    @property
    def advice(self) -> str:
        """What to do in the next attempt, as a phrase for people; empty where it passed."""
        return ADVICE.get(self.reason, "")

    def refused(self, reason: LivenessReason) -> "LivenessResult":
        """The same, but not passed, for example because it is not the person whom the check was about."""
        return replace(self, passed=False, reason=reason)


@dataclass(frozen=True, slots=True)
class LivenessStep:
    """What one frame did, and what comes next.

    Attributes:
        phase: Where the check is.
        hint: What the person does next; its ``angle_deg`` is where to turn.
        row: Which of the frame's faces it is about; None where it is none.
        turn: How the head is turned from the person's own straight ahead, by the parallax of the nose; a reach of 1 is
            far enough. None before straight ahead is known, or without a face.
        number: Of the step that is asked, from 1; 0 before the first.
        steps: How many there are.
        progress: 0..1, of the whole check.
        seconds_left: Until time is up.
        limit_s: How many there were when it was asked.
        result: Once there is one.
    """

    phase: Phase
    hint: Hint
    row: int | None
    turn: HeadTurn | None
    number: int
    steps: int
    progress: float
    seconds_left: float
    limit_s: float
    result: LivenessResult | None = None

    def __repr__(self) -> str:
        """Which step, and what to do."""
        return one_line(self, f"step {self.number} of {self.steps}; {self.hint.text}")

    @property
    def angle_deg(self) -> float | None:
        """Where to turn, as on the ring; None where it is not about that."""
        return self.hint.angle_deg


def longest_s(challenge: Challenge) -> float:
    """How many seconds a challenge may take, from the first frame to the result."""
    turns_s = [step.limit_s + _BACK_LIMIT_S for step in challenge.steps]
    return _FIND_LIMIT_S + sum(turns_s) + (_UNSEEN - 1) * max(turns_s)


class LivenessSession:
    """One challenge. After its result, further frames change nothing.

    Args:
        challenge: What is asked.
        same: The similarity from which on two frames show one person, see ``ThresholdPolicy.same_person``.
        quality: Which faces are good enough.

    Attributes:
        challenge: What is asked.
        result: Once there is one.
    """

    def __init__(self, challenge: Challenge, same: float, quality: QualityPolicy = _LENIENT) -> None:
        self.challenge = challenge
        self.result: LivenessResult | None = None
        self._same = same
        self._quality = quality
        self._enough = _PARTIAL_TURN if challenge.partial else _TURN
        self._track = NoseTrack()
        self._straight: deque[tuple[SeenFace, NosePlace]] = deque()
        self._reference: NosePlace | None = None
        self._relief = Relief()
        self._known: list[Floats] = []
        self._last: SeenFace | None = None
        self._strangers = 0
        self._started_s: float | None = None
        self._time_s = 0.0
        self._gone_since_s: float | None = None
        self._held_since_s: float | None = None
        self._held = ""
        self._phase: Phase = "straight"
        self._phase_since_s = 0.0
        self._astray = False
        self._way = Way(_BACK)
        self._sight: Sight = "seen"
        self._unseen = Counter[Sight]()
        self._frames = 0
        self._passed = 0
        self._is_straight = False
        self._passive: list[float] = []
        self._passive_at_s = -_PASSIVE_EVERY_S

    @property
    def embedding(self) -> Floats | None:
        """(D,) float32, the person as they looked straight ahead; None before that."""
        return self._known[0] if self._known else None

    def add(self, time_s: float, faces: Faces, image_hw: tuple[int, int]) -> LivenessStep:
        """Look at one frame.

        Args:
            time_s: When it was taken, from any zero; times grow.
            faces: What the analyzer has found in it.
            image_hw: Height and width of the frame.
        """
        row, flaw = find_face(faces, image_hw, self._quality)
        pose = None if row is None else faces.poses[row]
        if flaw is not None or row is None or pose is None:
            return self.miss(time_s, flaw or "no_pose", row)
        detections = faces.detections
        face = SeenFace(time_s, detections.boxes[row], detections.landmarks[row], pose, faces.embeddings[row])
        return self.see(face, row)

    def miss(self, time_s: float, flaw: FramingFlaw, row: int | None = None) -> LivenessStep:
        """A frame without a face that can be used."""
        if self.result is None and self._goes_on(time_s):
            self._miss(flaw)
        return self._step(FRAMING_HINTS[flaw], row, None)

    def see(self, face: SeenFace, row: int | None = None) -> LivenessStep:
        """The face of a frame, for those who choose it themselves.

        Args:
            face: It.
            row: Of the frame's faces, to be told again.
        """
        if self.result is not None or not self._goes_on(face.time_s) or not self._is_theirs(face):
            return self._step(None, row, None)
        self._gone_since_s, self._is_straight = None, False
        self._last = face
        place, latest = self._track.add(face.time_s, face.landmarks), self._track.latest
        if place is None or latest is None:
            return self._step(None, row, None)
        if self._reference is None:
            self._look_straight(face, place)
            return self._step(None, row, None)
        now = parallax_of(latest, self._reference, self._enough)
        parallax = parallax_of(place, self._reference, self._enough)
        if parallax is None or now is None:
            self._held = ""
            return self._step(Hint("hold_upright", "keep your head upright"), row, None)
        self._way.add(now)
        self._follow(face, parallax)
        return self._step(None, row, parallax.turn)

    def ask(self, passive_scores: Callable[[], Floats | None]) -> None:
        """Have networks that look at one picture judge the face of the last frame, while it looks straight ahead.

        Twice a second at most; what they say becomes ``passive`` of the result, and decides nothing.

        Args:
            passive_scores: Is called if it is time for that: (1,) of that face, None without such networks; see
                ``Analyzer.passive_scores``.
        """
        if self.result is not None or not self._is_straight or self._time_s - self._passive_at_s < _PASSIVE_EVERY_S:
            return
        scores = passive_scores()
        if scores is not None:
            self._passive.append(float(scores[0]))
            self._passive_at_s = self._time_s

    def interrupt(self) -> LivenessResult:
        """No more frames will come: what the result is."""
        if self.result is None:
            self._end("interrupted")
        assert self.result is not None  # noqa: S101 # for the type checker: it was just made
        return self.result

    # One face, all the time.

    def _goes_on(self, time_s: float) -> bool:
        """Take the time of a frame; whether the check goes on."""
        if self._started_s is None:
            self._started_s = self._phase_since_s = time_s
        elif time_s - self._time_s > _SILENT_S:
            self._end("interrupted")
            return False
        else:
            self._way.wait(time_s - self._time_s)
        self._time_s = max(self._time_s, time_s)
        self._frames += 1
        if self._seconds_left() <= 0:
            self._end(self._out_of_time())
        return self.result is None

    def _out_of_time(self) -> LivenessReason:
        if self._reference is None and self._last is None:
            return "no_face"
        if self._reference is not None and self._relief.judge().verdict == "flat":
            return "flat"
        few = self._frames < _FEW_A_SECOND * (self._time_s - (self._started_s or 0.0))
        return "few_pictures" if few else "too_slow"

    def _miss(self, flaw: FramingFlaw) -> None:
        self._held, self._is_straight = "", False
        if flaw not in _BREAKING:
            return
        if self._reference is None:
            self._straight.clear()
            return
        self._gone_since_s = self._time_s if self._gone_since_s is None else self._gone_since_s
        if self._time_s - self._gone_since_s > _GONE_S:
            self._end("several_faces" if flaw == "several_faces" else "no_face")

    def _is_theirs(self, face: SeenFace) -> bool:
        """Whether it is the face of the frame before, and of the person who began."""
        if self._last is None:
            return True
        if not stays(self._last.box, face.box, _LEAST_IOU, face.time_s - self._last.time_s):
            if self._reference is None:
                self._straight.clear()
                return True
            self._end("cut")
            return False
        known = self._known or [one.embedding for one, _ in self._straight]
        if known and float(np.max(np.stack(known) @ face.embedding)) < self._same:
            self._strangers += 1
            if self._reference is None:
                self._straight.clear()
            elif self._strangers >= _STRANGERS:
                self._end("another_face")
            return False
        self._strangers = 0
        return True

    # What it does.

    def _look_straight(self, face: SeenFace, place: NosePlace) -> None:
        self._straight.append((face, place))
        while not _is_still(place, self._straight[0][1]):
            self._straight.popleft()
        poses = [(one.pose.yaw, one.pose.pitch, one.pose.roll) for one, _ in self._straight]
        self._is_straight = bool((np.abs(np.median(poses, axis=0)) <= _STRAIGHT_DEG).all())
        if len(self._straight) < _STEADY_FRAMES or face.time_s - self._straight[0][0].time_s < _STEADY_S:
            return
        if not self._is_straight:
            self._straight.popleft()
            return
        self._reference = typical([one for _, one in self._straight])
        mean = np.mean([one.embedding for one, _ in self._straight], axis=0)
        self._known.append(np.asarray(mean / np.linalg.norm(mean), np.float32))
        self._enter("turn")

    def _follow(self, face: SeenFace, parallax: Parallax) -> None:
        turn = parallax.turn
        self._is_straight = turn.reach <= _BACK
        if self._phase == "back":
            if self._holds("back", holds=turn.reach <= _BACK):
                self._enter("turn")
            return
        self._relief.add(parallax)
        away, far = apart(turn.angle_deg, self._asked.angle_deg), turn.reach >= _ASTRAY
        # Beside what is asked a head may still find its way; who comes back from there has gone elsewhere.
        self._astray = self._astray or self._holds("beside", holds=far and _TOLERANCE_DEG < away < _ELSEWHERE_DEG)
        gave_up = self._astray and turn.reach <= _BACK
        if gave_up or self._holds("elsewhere", holds=far and away >= _ELSEWHERE_DEG):
            self._end("wrong_direction")
        elif self._holds("there", holds=turn.reach >= 1 and away <= _TOLERANCE_DEG):
            self._arrive(face)

    def _arrive(self, face: SeenFace) -> None:
        self._sight = self._way.judge()
        if self._sight != "seen":
            self._let_turn_again(self._sight)
            return
        self._known.append(face.embedding)
        self._passed += 1
        if self._passed == len(self.challenge.steps):
            self._judge()
        else:
            self._enter("back")

    def _let_turn_again(self, sight: Sight) -> None:
        """The way of a turn was not seen: it does not count. Who turns more slowly is seen."""
        self._unseen[sight] += 1
        self._enter("back")
        if self._unseen["jump"] >= _JUMPS:
            self._end("cut")
        elif self._unseen.total() >= _UNSEEN:
            self._end("few_pictures")

    def _holds(self, what: str, *, holds: bool) -> bool:
        """Whether something has been so for long enough."""
        if not holds:
            self._held = "" if self._held == what else self._held
            return False
        if self._held != what:
            self._held, self._held_since_s = what, self._time_s
        return self._held_since_s is not None and self._time_s - self._held_since_s >= _HOLD_S

    def _judge(self) -> None:
        verdict = self._relief.judge().verdict
        self._end("live" if verdict == "solid" else verdict)

    # Where it is.

    @property
    def _asked(self) -> Step:
        return self.challenge.steps[min(self._passed, len(self.challenge.steps) - 1)]

    def _enter(self, phase: Phase) -> None:
        self._phase, self._phase_since_s, self._held, self._astray = phase, self._time_s, "", False

    def _limit_s(self) -> float:
        if self._phase == "straight":
            return _FIND_LIMIT_S
        return self._asked.limit_s if self._phase == "turn" else _BACK_LIMIT_S

    def _seconds_left(self) -> float:
        return max(0.0, self._limit_s() - (self._time_s - self._phase_since_s))

    def _end(self, reason: LivenessReason) -> None:
        self._phase = "ended"
        flat = self._relief.judge()
        steps = len(self.challenge.steps)
        self.result = LivenessResult(
            passed=reason == "live",
            method="challenge_partial" if self.challenge.partial else "challenge",
            reason=reason,
            score=self._passed / steps * flat.score,
            flatness=None if self._reference is None else 1 - flat.score,
            steps_passed=self._passed,
            steps=steps,
            started_s=self._started_s or 0.0,
            ended_s=self._time_s,
            passive=float(np.mean(self._passive)) if self._passive else None,
            embedding=self.embedding,
        )

    def _step(self, hint: Hint | None, row: int | None, turn: HeadTurn | None) -> LivenessStep:
        steps = len(self.challenge.steps)
        if self.result is not None:
            hint = _last_words(self.result)
        return LivenessStep(
            phase=self._phase,
            hint=hint or self._usual_hint(turn),
            row=row,
            turn=turn,
            number=0 if self._reference is None else min(self._passed + 1, steps),
            steps=steps,
            progress=self._passed / steps,
            seconds_left=0.0 if self.result is not None else self._seconds_left(),
            limit_s=self._limit_s(),
            result=self.result,
        )

    def _usual_hint(self, turn: HeadTurn | None) -> Hint:
        if self._phase == "straight":
            return Hint("keep_looking_straight", "look straight at the camera")
        if self._phase == "back" and self._sight == "jump":
            return Hint("more_slowly", "back to the middle, and more slowly")
        if self._phase == "back" and self._sight == "few_pictures":
            return Hint("few_pictures", "back to the middle; pictures come slowly, so take two seconds for the turn")
        if self._phase == "back":
            return Hint("back_to_the_middle", "and back, straight at the camera")
        way, angle_deg = self._asked.direction, self._asked.angle_deg
        if turn is None or turn.reach < _BACK:
            return Hint("turn", f"turn your head: {way}", angle_deg)
        if apart(turn.angle_deg, angle_deg) <= _TOLERANCE_DEG:
            return Hint("turn_further", f"a little further {way}" if turn.reach < 1 else "hold it there", angle_deg)
        return Hint("turn_towards", f"more {_correction(turn, angle_deg)}", angle_deg)


def _last_words(result: LivenessResult) -> Hint:
    if result.passed:
        return Hint("live", result.meaning)
    return Hint("not_live", f"{result.meaning}; {result.advice}")


def _is_still(place: NosePlace, before: NosePlace) -> bool:
    parallax = parallax_of(place, before)
    return parallax is not None and parallax.turn.reach < _STILL


def _correction(turn: HeadTurn, angle_deg: float) -> str:
    """Where to go from a turn to come to another as far around the ring."""
    way = np.exp(1j * np.radians(angle_deg)) - np.exp(1j * np.radians(turn.angle_deg))
    return direction_words(float(np.degrees(np.angle(way))) % 360)
