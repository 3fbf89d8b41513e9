"""A guided scan, frame by frame: first straight ahead, then around the ring, always the same person.

``RingScan`` is one scan; each frame that it looks at gives a ``ScanStep``: what the frame did, and what the person does
next. Below it stand its parts: which face of a frame is meant, what straight ahead is for this person, whether a face
is still theirs, and which of the captured views are worth storing.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from facepool.capture import Rhythm
from facepool.enroll.ring import AMPLITUDES, RingPart, Slot, next_direction, ring_parts, slot_of
from facepool.faces.analyze import Faces
from facepool.faces.facing import (
    DIRECTIONS,
    HeadTurn,
    angle_between,
    direction_angle,
    direction_words,
    place,
    relative,
)
from facepool.faces.framing import FRAMING_HINTS, FramingFlaw, find_face, stays
from facepool.faces.quality import QualityPolicy
from facepool.liveness import flat
from facepool.types import Floats, Frame, Hint, Image, Pose, Sample, one_line

Phase = Literal["frontal", "ring", "enough", "done", "paused"]
"""``frontal``: the person is to look straight ahead. ``ring``: to look around. ``enough``: they may finish. ``done``:
the ring is closed. ``paused``: nothing is taken until the hint is followed, and nothing is lost."""
Keeping = Literal["taken", "better", "not_better"]
"""What became of a view: the first of its place, better than the one there, or not."""
Straightness = Literal["steady", "collecting", "not_straight", "moving", "another_face"]
"""What a frame does for the row that makes the frontal reference; ``steady`` completes it."""
Verdict = Literal["same", "returning", "other"]
"""``returning``: it looks like the person, but comes out of nowhere, so one more frame has to say so."""
ScanOutcome = Keeping | FramingFlaw | Straightness | Verdict | Literal["between", "not_the_registered"]
"""What became of a frame. ``taken`` and ``better`` keep it."""

ENOUGH = 0.8
"""0..1, the share of directions from which on the person may finish."""
SAME_VIEW = 0.97
"""Two views that resemble each other this much, the cosine of frames a few hundredths of a second apart, are one."""
FRONTAL_FRAMES = 8
"""So many frames in a row that look straight ahead make the frontal reference."""

# Among the frames of the frontal row, yaw and pitch may differ by this much.
_STEADY_DEG = 8.0
# Largest yaw, pitch and roll that are straight as the camera sees them. Wide in pitch: cameras stand on top of screens
# or below them, and five landmarks know pitch up to the shape of the face.
_STRAIGHT_DEG = (20.0, 40.0, 30.0)
# After so many good frames that never looked straight, the pose that the person keeps is taken for straight: where a
# camera stands, or a face is built, must not keep anybody out. Of sparse frames, after so long and so many.
_PATIENCE = 150
_HALF = 0.5
_SPARSE_PATIENCE_S, _SPARSE_PATIENCE = 15.0, 10
# Of sparse frames, so many that lie so far apart show that somebody keeps still.
_SPARSE_FRAMES, _SPARSE_STILL_S = 3, 1.0
# A face that is the same overlaps itself by this from frame to frame: while it keeps still, and while it turns.
_STILL_IOU = 0.4
_TURNING_IOU = 0.25
# Views facing this close to a face are compared with it; others would only add chances for a stranger to match.
_NEIGHBOURS_DEG = 35.0
# So many frames in a row must show the person before a face that was lost counts again.
_RETURN_FRAMES = 2
# A face is kept for reports with this much around it, as a share of its box, and about this many pixels wide at most.
_FACE_MARGIN = 1.25
_LARGEST_FACE = 256
# Of frames in which nobody looks straight ahead: the best of each so many degrees is kept, of so many people at most,
# and one of them is meant if they were seen this many times as often as anybody else.
_STEP_DEG = 8.0
_MOST_PEOPLE = 16
_FAR_MORE = 2
_AHEAD = Pose(0.0, 0.0, 0.0)

_BREAKING: frozenset[ScanOutcome] = frozenset({"no_face", "uncertain_face", "several_faces"})
_PAUSING: frozenset[ScanOutcome] = frozenset(
    {"no_face", "several_faces", "other", "another_face", "not_the_registered"}
)
# Every hint that is not about how a face stands in the frame: its code, which stays, for programs; its words for
# people; and the outcomes that it answers to.
_HINTS: tuple[tuple[str, str, tuple[ScanOutcome, ...]], ...] = (
    ("come_back", "come back into the picture, the scan goes on", ()),
    ("hold_still", "hold still", ("moving", "returning")),
    ("one_person_only", "one person only", ("another_face",)),
    ("somebody_else", "this is somebody else; only {person}, please", ("other",)),
    ("not_the_registered", "this does not look like {person} as registered", ("not_the_registered",)),
    ("look_straight", "look straight at the camera", ("not_straight",)),
    ("keep_looking_straight", "keep looking straight at the camera", ("collecting",)),
    ("turn", "slowly look {way}", ()),
    ("turn_further", "a little further {way}", ()),
    ("finish_or_turn", "enough; finish, or look {way} too", ()),
    ("flat", "this moves like a flat picture, not like a head", ()),
    ("done", "done", ()),
)
_WORDS = {code: words for code, words, _ in _HINTS}
_HINT_OF: dict[ScanOutcome, tuple[str, str]] = {
    **{flaw: (hint.code, hint.text) for flaw, hint in FRAMING_HINTS.items()},
    **{outcome: (code, words) for code, words, outcomes in _HINTS for outcome in outcomes},
}


@dataclass(frozen=True, slots=True)
class ScanStep:
    """What one frame did, and how far the scan is.

    Attributes:
        phase: Where the scan is.
        hint: What the person does next.
        outcome: What became of this frame.
        faces: Everything that was found in it.
        row: Which of the faces the scan is about; None where it is none.
        turn: Where on the ring it is turned to; None before the person's own frontal pose is known.
        steady: 0..1, how much of the frontal reference is there.
        ring: Every direction, with the qualities of what is captured.
        can_finish: Whether the person may finish; in a partial scan also if they had time to look straight ahead, and
            did not.
        motion: Whether it moves like a head or like a flat picture; ``not_enough_motion`` while that is not known.
    """

    phase: Phase
    hint: Hint
    outcome: ScanOutcome
    faces: Faces
    row: int | None
    turn: HeadTurn | None
    steady: float
    ring: tuple[RingPart, ...]
    can_finish: bool
    motion: flat.Verdict = "not_enough_motion"

    def __repr__(self) -> str:
        """What became of the frame, and how far the scan is."""
        covered = sum(part.covered for part in self.ring)
        return one_line(self, f"{self.outcome}; {covered} of {DIRECTIONS} directions; {self.hint.text}")

    @property
    def box(self) -> Floats | None:
        """(4,) float32 xyxy of the face that the scan is about, in pixels."""
        return None if self.row is None else np.asarray(self.faces.detections.boxes[self.row])

    @property
    def coverage(self) -> float:
        """0..1, the share of directions that were captured."""
        return sum(part.covered for part in self.ring) / DIRECTIONS


@dataclass(frozen=True, slots=True)
class View:
    """One captured face and its place.

    Attributes:
        sample: What would be stored.
        offset: Its pose relative to the person's own frontal pose.
        slot: Its place on the ring; None: the middle.
        face_bgr: (S, S, 3) uint8, the face with a little of what is around it, small, for reports; as far as the
            picture reaches.
    """

    sample: Sample
    offset: Pose
    slot: Slot | None
    face_bgr: Image

    def __repr__(self) -> str:
        """Where it looks, and how good it is."""
        way = "straight ahead" if self.slot is None else direction_words(direction_angle(self.slot.direction))
        return one_line(self, f"{way}, quality {self.quality:.0f}")

    @property
    def quality(self) -> float:
        """0..100; 0 where it was not measured."""
        return self.sample.quality or 0.0

    @property
    def rank(self) -> tuple[float, bytes, float, float]:
        """Orders views by worth. Content settles a tie, so that the order in which frames come does not."""
        return self.quality, self.sample.embedding.tobytes(), self.offset.yaw, self.offset.pitch


class RingScan:
    """One scan. It never forgets a view except for a better one of the same place, or when it is told to.

    Args:
        person: For hints.
        contradicts: Whether a face is not that of the person whom the pool has under the name.
        same: The similarity from which on two frames of one scan show one person.
        quality: Which faces are good enough; its ``min_score`` also says which are faces at all.
        partial: Any coverage may be stored.
        keep_pictures: Keep the aligned face of each view.

    Attributes:
        frontal: The person's own frontal pose as the camera sees it; None before it is known.
    """

    def __init__(
        self,
        person: str,
        contradicts: Callable[[Floats], bool],
        same: float,
        quality: QualityPolicy,
        *,
        partial: bool = False,
        keep_pictures: bool = False,
    ) -> None:
        self.frontal: Pose | None = None
        self._person = person
        self._contradicts = contradicts
        self._same = same
        self._quality = quality
        self._partial = partial
        self._keep_pictures = keep_pictures
        self._best: dict[Slot | None, View] = {}
        self._rhythm = Rhythm()
        self._row = _FrontalRow(same)
        self._gathered = _Gathered(same)
        self._settled = False
        self._binding: _Binding | None = None
        self._flat = flat.FlatTest()

    @property
    def views(self) -> list[View]:
        """The best view of each place: the frontal one, then around the ring, near before far."""
        return [self._best[slot] for slot in sorted(self._best, key=_around)]

    @property
    def ring(self) -> tuple[RingPart, ...]:
        """Every direction, with the qualities of what is captured."""
        return ring_parts({slot: view.quality for slot, view in self._best.items() if slot is not None})

    @property
    def covered(self) -> tuple[bool, ...]:
        """Whether each direction was captured, near or far."""
        return tuple(part.covered for part in self.ring)

    @property
    def is_partial(self) -> bool:
        """Whether too many directions are missing."""
        return sum(self.covered) < ENOUGH * DIRECTIONS

    @property
    def can_finish(self) -> bool:
        """Whether what is captured could be stored."""
        if self._partial:
            return bool(self._best or self._gathered.most_seen())
        return bool(self._best) and not self.is_partial

    @property
    def steady(self) -> bool:
        """Whether the person looked straight ahead and kept still, so that their frontal pose was measured."""
        return self.frontal is not None and not self._settled

    @property
    def motion(self) -> flat.Verdict:
        """Whether it moved like a head or like a flat picture.

        Whatever seemed to look to every side and never moved its nose is flat.
        """
        verdict = self._flat.measure().verdict
        return "flat" if verdict == "not_enough_motion" and not self.is_partial else verdict

    @property
    def several_people(self) -> bool:
        """Whether several people were seen about as often, one at a time, before anybody looked straight ahead."""
        return self.frontal is None and self._gathered.several

    def redo(self, direction: int) -> None:
        """Give up what was captured of one direction, so that even worse views take their place."""
        for slot in [slot for slot in self._best if slot is not None and slot.direction == direction]:
            del self._best[slot]

    def settle(self) -> None:
        """Let a partial scan in which nobody kept still, looking straight ahead, have what there is of one person.

        The view that is nearest to straight ahead stands for it; where none is near, the camera does. It changes
        nothing of a scan that has got further, or has to be whole.
        """
        seen = self._gathered.most_seen() if self._partial and self.frontal is None else []
        if not seen:
            return
        self._settled = True
        front = min(seen, key=lambda one: angle_between(one.pose, _AHEAD))
        if _is_straight(front.pose):
            self.frontal = front.pose
            self._binding = _Binding(front.sample.embedding, front.box, front.time_s, self._same)
            self._keep(View(front.sample, _AHEAD, None, front.face_bgr))
        for one in seen:
            self._look_around(one, relative(one.pose, self.frontal or _AHEAD))

    def look(self, frame: Frame, faces: Faces) -> ScanStep:
        """Look at the faces of one frame."""
        self._rhythm.look(frame.time_s)
        image_hw = (frame.image_bgr.shape[0], frame.image_bgr.shape[1])
        row, flaw = find_face(faces, image_hw, self._quality)
        pose = None if row is None else faces.poses[row]
        if flaw is not None or row is None or pose is None:
            return self._step(self._useless(flaw or "no_pose"), faces, row, None)
        box = np.asarray(faces.detections.boxes[row])
        sample = faces.sample(row, frame, with_picture=self._keep_pictures)
        landmarks = np.asarray(faces.detections.landmarks[row])
        seen = _Seen(sample, pose, box, landmarks, frame.time_s, _face(frame.image_bgr, box))
        if self._binding is None or self.frontal is None:
            return self._step(self._look_straight(seen), faces, row, None)
        offset = relative(pose, self.frontal)
        verdict = self._binding.judge(seen, offset, self._best.values(), sparse=self._rhythm.sparse)
        outcome = self._look_around(seen, offset) if verdict == "same" else verdict
        return self._step(outcome, faces, row, offset)

    def _useless(self, flaw: FramingFlaw) -> ScanOutcome:
        """A frame that tells nothing. One that may show nobody, or anybody, breaks the track."""
        if flaw in _BREAKING:
            self._row.interrupt()
            if self._binding is not None:
                self._binding.lose()
        return flaw

    def _look_straight(self, seen: "_Seen") -> ScanOutcome:
        if self._contradicts(seen.sample.embedding):
            self._row.interrupt()
            return "not_the_registered"
        straightness = self._row.offer(seen, sparse=self._rhythm.sparse)
        if straightness != "steady":
            if self._partial:
                self._gathered.add(seen)
            return straightness
        self._settled = False
        self._best.clear()  # what was settled for has another middle
        self._gathered = _Gathered(self._same)
        self.frontal = self._row.pose()
        self._binding = _Binding(self._row.typical(), seen.box, seen.time_s, self._same)
        self._flat = flat.FlatTest()
        for each in self._row.frames:
            self._flat.add(each.time_s or 0.0, each.landmarks)
            self._keep(View(each.sample, relative(each.pose, self.frontal), None, each.face_bgr))
        self._flat.look_straight(self._row.frames[0].time_s or 0.0)
        return "taken"

    def _look_around(self, seen: "_Seen", offset: Pose) -> ScanOutcome:
        self._flat.add(seen.time_s or 0.0, seen.landmarks)
        turn = place(offset)
        if turn.zone == "between":
            return "between"
        return self._keep(View(seen.sample, offset, slot_of(turn), seen.face_bgr))

    def _keep(self, view: View) -> Keeping:
        """Keep a view if it is the best of its place: a place that has one keeps one, and its quality never falls."""
        present = self._best.get(view.slot)
        if present is not None and view.rank <= present.rank:
            return "not_better"
        self._best[view.slot] = view
        return "taken" if present is None else "better"

    def _step(self, outcome: ScanOutcome, faces: Faces, row: int | None, offset: Pose | None) -> ScanStep:
        turn = None if offset is None else place(offset)
        return ScanStep(
            phase=self._phase(outcome),
            hint=self._hint(outcome, turn),
            outcome=outcome,
            faces=faces,
            row=row,
            turn=turn,
            steady=1.0 if self.frontal else self._row.progress,
            ring=self.ring,
            can_finish=self.can_finish and (bool(self._best) or self._row.has_waited(_HALF)),
            motion=self.motion,
        )

    def _phase(self, outcome: ScanOutcome) -> Phase:
        if all(self.covered):
            return "done"
        if outcome in _PAUSING and (self.frontal is not None or outcome != "no_face"):
            return "paused"
        if self.frontal is None:
            return "frontal"
        return "ring" if self.is_partial else "enough"

    def _hint(self, outcome: ScanOutcome, turn: HeadTurn | None) -> Hint:
        missing = next_direction(self.covered, turn)
        if missing is None:
            return Hint("done", _WORDS["done"])
        if outcome in _HINT_OF:
            if outcome == "no_face" and self.frontal is not None:
                return Hint("come_back", _WORDS["come_back"])
            code, words = _HINT_OF[outcome]
            return Hint(code, words.format(person=self._person))
        if self.motion == "flat":
            return Hint("flat", _WORDS["flat"])
        on_the_way = turn is not None and turn.zone == "between" and turn.direction == missing
        code = "finish_or_turn" if not self.is_partial else "turn_further" if on_the_way else "turn"
        angle_deg = direction_angle(missing)
        return Hint(code, _WORDS[code].format(way=direction_words(angle_deg)), angle_deg)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The good face of one frame, as the camera sees it."""

    sample: Sample
    pose: Pose
    box: Floats
    landmarks: Floats
    time_s: float | None
    face_bgr: Image


def _is_straight(pose: Pose) -> bool:
    """Whether a head looks straight ahead as the camera sees it."""
    angles = (pose.yaw, pose.pitch, pose.roll)
    return all(abs(angle) <= limit for angle, limit in zip(angles, _STRAIGHT_DEG, strict=True))


def _face(image_bgr: Image, box: Floats) -> Image:
    """The face with a little of what is around it, (S, S, 3), as far as the picture reaches."""
    x1, y1, x2, y2 = (float(edge) for edge in box)
    side = _FACE_MARGIN * max(x2 - x1, y2 - y1)
    left, top, size = round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2), round(side)
    part = image_bgr[max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)]
    step = max(1, size // _LARGEST_FACE)
    return np.ascontiguousarray(part[::step, ::step])


class _FrontalRow:
    """Waits for a row of frames in which one person looks straight ahead and keeps still: their own frontal pose.

    Args:
        same: The similarity from which on two frames of one scan show one person.

    Attributes:
        frames: The row so far.
    """

    def __init__(self, same: float) -> None:
        self.frames: deque[_Seen] = deque(maxlen=FRONTAL_FRAMES)
        self._same = same
        self._waited = 0
        self._waits_since_s: float | None = None
        self._waits_s = 0.0
        self._sparse = False

    @property
    def progress(self) -> float:
        """0..1, how much of the row is there."""
        progress = len(self.frames) / FRONTAL_FRAMES
        if not self._sparse or not self.frames:
            return progress
        still_s = _elapsed_s(self.frames[0].time_s, self.frames[-1].time_s)
        return max(progress, min(1.0, len(self.frames) / _SPARSE_FRAMES, still_s / _SPARSE_STILL_S))

    def has_waited(self, share: float = 1.0) -> bool:
        """Whether there were so many good faces that whatever they do is as straight as it gets.

        Args:
            share: Of that patience, 0..1.
        """
        if self._sparse and self._waits_s > share * _SPARSE_PATIENCE_S:
            return self._waited > share * _SPARSE_PATIENCE
        return self._waited > share * _PATIENCE

    def interrupt(self) -> None:
        """A frame without a usable face ends the row."""
        self.frames.clear()

    def offer(self, seen: _Seen, *, sparse: bool) -> Straightness:
        """Look at a good face. The row begins anew where it breaks."""
        self._sparse = sparse
        self._waited += 1
        self._waits_since_s = seen.time_s if self._waits_since_s is None else self._waits_since_s
        self._waits_s = _elapsed_s(self._waits_since_s, seen.time_s)
        if not _is_straight(seen.pose) and not self.has_waited():
            self.frames.clear()
            return "not_straight"
        broken = len(self.frames) > 0 and not self._continues(seen)
        if broken:
            self.frames.clear()
        self.frames.append(seen)
        if broken:
            return "another_face"
        turns = np.array([(each.pose.yaw, each.pose.pitch) for each in self.frames])
        if np.ptp(turns, axis=0).max() > _STEADY_DEG:
            return "moving"
        return "steady" if self.progress == 1 else "collecting"

    def pose(self) -> Pose:
        """The median of the row's poses, once a frame was ``steady``."""
        poses = [(each.pose.yaw, each.pose.pitch, each.pose.roll) for each in self.frames]
        yaw, pitch, roll = np.median(poses, axis=0)
        return Pose(float(yaw), float(pitch), float(roll))

    def typical(self) -> Floats:
        """(D,) float32, the face of the row that resembles the others most."""
        vectors = np.stack([each.sample.embedding for each in self.frames])
        return np.asarray(vectors[np.argmax((vectors @ vectors.T).sum(axis=1))])

    def _continues(self, seen: _Seen) -> bool:
        last = self.frames[-1]
        alike = all(float(each.sample.embedding @ seen.sample.embedding) >= self._same for each in self.frames)
        return alike and stays(
            last.box, seen.box, _STILL_IOU, _elapsed_s(last.time_s, seen.time_s) if self._sparse else None
        )


class _Gathered:
    """Good faces from before anybody looked straight ahead and kept still: of each person the best of each turn.

    Args:
        same: The similarity from which on two frames of one scan show one person.
    """

    def __init__(self, same: float) -> None:
        self._same = same
        self._people: list[_Somebody] = []

    @property
    def several(self) -> bool:
        """Whether nobody was seen far more often than the others."""
        return bool(self._people) and not self.most_seen()

    def add(self, seen: _Seen) -> None:
        """Remember a good face, with whom it resembles most."""
        known = [one for one in self._people if one.likeness(seen) >= self._same]
        if known:
            somebody = known[0]
            for other in known[1:]:  # what lay between was not seen before
                somebody.join(other)
                self._people.remove(other)
        else:
            somebody = _Somebody()
            self._people.append(somebody)
            if len(self._people) > _MOST_PEOPLE:
                self._people.remove(min(self._people[:-1], key=lambda one: one.frames))
        somebody.add(seen)

    def most_seen(self) -> list[_Seen]:
        """The faces of the one person who was seen far more often than anybody else; none where nobody was."""
        if not self._people:
            return []
        first, *others = sorted(self._people, key=lambda one: one.frames, reverse=True)
        if others and first.frames < _FAR_MORE * others[0].frames:
            return []
        return list(first.best.values())


class _Somebody:
    """One person among those gathered.

    Attributes:
        frames: How often they were seen.
        best: The best face of each way that they were turned, in steps of degrees.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.best: dict[tuple[int, int], _Seen] = {}

    def likeness(self, seen: _Seen) -> float:
        """How much a face resembles the one that it resembles most."""
        return float(np.max(np.stack([one.sample.embedding for one in self.best.values()]) @ seen.sample.embedding))

    def add(self, seen: _Seen) -> None:
        """One more frame."""
        self.frames += 1
        self._keep(seen)

    def join(self, other: "_Somebody") -> None:
        """They are one person."""
        self.frames += other.frames
        for seen in other.best.values():
            self._keep(seen)

    def _keep(self, seen: _Seen) -> None:
        way = round(seen.pose.yaw / _STEP_DEG), round(seen.pose.pitch / _STEP_DEG)
        present = self.best.get(way)
        if present is None or (seen.sample.quality or 0.0) > (present.sample.quality or 0.0):
            self.best[way] = seen


def _elapsed_s(earlier_s: float | None, later_s: float | None) -> float:
    """Seconds between two frames; 0 where a time is not known."""
    return 0.0 if earlier_s is None or later_s is None else later_s - earlier_s


class _Binding:
    """The face that a scan belongs to: where it was last, and what it looks like.

    A profile that resembles the front only by way of views between counts once those are there, which they are when a
    head turns; nowhere else does the order of frames matter.

    Args:
        reference: (D,) float32, the face from the front.
        box: (4,) float32 xyxy where it is.
        time_s: When.
        same: The similarity from which on two frames of one scan show one person.
    """

    def __init__(self, reference: Floats, box: Floats, time_s: float | None, same: float) -> None:
        self._reference = reference
        self._same = same
        self._box: Floats | None = box
        self._time_s = time_s
        self._in_a_row = _RETURN_FRAMES

    def judge(self, seen: _Seen, offset: Pose, views: Iterable[View], *, sparse: bool) -> Verdict:
        """Say whose face it is.

        Args:
            seen: The face.
            offset: Its pose relative to the person's frontal one.
            views: What was captured so far; those that face nearly the same way are asked beside the frontal one.
            sparse: Whether frames are so far apart that it may have moved beyond itself.
        """
        embedding = seen.sample.embedding
        known = [view.sample.embedding for view in views if angle_between(view.offset, offset) <= _NEIGHBOURS_DEG]
        if float(np.max(np.stack([self._reference, *known]) @ embedding)) < self._same:
            self.lose()
            return "other"
        elapsed_s = _elapsed_s(self._time_s, seen.time_s) if sparse else None
        if self._box is None or not stays(self._box, seen.box, _TURNING_IOU, elapsed_s):
            self._in_a_row = 0
        self._box, self._time_s = seen.box, seen.time_s
        self._in_a_row += 1
        return "same" if self._in_a_row >= _RETURN_FRAMES else "returning"

    def lose(self) -> None:
        """The face is gone, or is not alone: the next one has to show that it is the person's."""
        self._box = None


def choose(views: Sequence[View], cap: int, stored: Floats) -> list[View]:
    """The views that tell most about a person, of every direction that was captured at least one.

    The frontal view first, then one of each direction, so that what is stored covers what the scan has shown; then the
    others. Again and again it is the one that is least like all that were chosen or are stored already, a poor one
    counting for less (farthest-point sampling weighted by quality). Views that are all but the same as a stored one
    are left out, and second ones of a direction that are all but the same as a chosen one.

    Args:
        views: In any order, which does not matter.
        cap: How many at most.
        stored: (S, D) float32, embeddings of the person that the pool has; S may be 0.

    Returns:
        At most ``cap`` views, in the order of choice.
    """
    left = sorted(views, key=lambda view: view.rank, reverse=True)
    if not left or cap < 1:
        return []
    vectors = np.stack([view.sample.embedding for view in left])
    worth = np.array([0.5 + view.quality / 200 for view in left])
    direction = np.array([-1 if view.slot is None else view.slot.direction for view in left])
    nearest = (vectors @ stored.T).max(axis=1) if len(stored) else np.full(len(left), -1.0, np.float32)
    possible = nearest <= SAME_VIEW
    chosen: list[int] = []
    while len(chosen) < cap:
        first = possible & ~np.isin(direction, direction[chosen])
        wanted = first if first.any() else possible & (nearest <= SAME_VIEW)
        if not wanted.any():
            break
        gain = (1 - nearest) * worth + 2 * (direction < 0)
        best = int(np.argmax(np.where(wanted, gain, -np.inf)))
        chosen.append(best)
        possible[best] = False
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return [left[index] for index in chosen]


def _around(slot: Slot | None) -> tuple[int, int]:
    return (-1, 0) if slot is None else (slot.direction, AMPLITUDES.index(slot.amplitude))
