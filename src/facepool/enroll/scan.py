"""One scan, frame by frame: first straight ahead, then around the ring, always the same person."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from facepool.enroll.binding import Binding, Verdict
from facepool.enroll.frontal import FrontalOptions, FrontalSearch, Look
from facepool.enroll.hints import Hint, HintCode, hint
from facepool.enroll.ring import AMPLITUDES, RingOptions, Slot, Turn, direction_angle, next_direction, place, relative
from facepool.enroll.scan_policy import ScanFlaw, ScanPolicy, find_face
from facepool.enroll.views import Keeping, View, Views
from facepool.faces.analyze import Faces
from facepool.types import Floats, Frame, Pose, Sample

Phase = Literal["frontal", "ring", "enough", "done", "paused"]
"""``frontal``: the person is to look straight ahead. ``ring``: to look around. ``enough``: they may finish. ``done``:
the ring is closed. ``paused``: nothing is taken until the hint is followed, and nothing is lost."""

Outcome = Keeping | ScanFlaw | Look | Verdict | Literal["between", "not_the_registered"]
"""What became of a frame. ``taken`` and ``better`` keep it: the first of its place, or better than the one there."""

_BREAKING: frozenset[Outcome] = frozenset({"no_face", "uncertain_face", "several_faces"})
_PAUSING: frozenset[Outcome] = frozenset({"no_face", "several_faces", "other", "another_face", "not_the_registered"})
_HINTS: dict[Outcome, HintCode] = {
    "no_face": "come_into_view",
    "uncertain_face": "show_the_face",
    "several_faces": "one_person_only",
    "too_small": "come_closer",
    "too_large": "move_back",
    "cut_off": "move_to_the_middle",
    "blurred": "hold_still",
    "too_dark": "more_light",
    "too_bright": "less_light",
    "low_contrast": "more_light",
    "covered": "show_the_face",
    "implausible_landmarks": "show_the_face",
    "no_pose": "show_the_face",
    "not_straight": "look_straight",
    "moving": "hold_still",
    "collecting": "keep_looking_straight",
    "returning": "hold_still",
    "other": "somebody_else",
    "another_face": "one_person_only",
    "not_the_registered": "not_the_registered",
}


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """How a scan goes.

    Attributes:
        enough: 0..1, the share of directions from which on the person may finish.
        ring: Where the ring lies.
        frontal: What counts as looking straight ahead.
        policy: Which faces are good enough.
    """

    enough: float = 0.8
    ring: RingOptions = field(default_factory=RingOptions)
    frontal: FrontalOptions = field(default_factory=FrontalOptions)
    policy: ScanPolicy = field(default_factory=ScanPolicy)


@dataclass(frozen=True, slots=True)
class Bin:
    """One place of the ring, to draw.

    Attributes:
        slot: Direction and amplitude.
        angle_deg: Of its middle; 0 is the picture's right side, 90 up. Mirror it with the picture.
        quality: 0..100 of the view there; None where there is none yet.
    """

    slot: Slot
    angle_deg: float
    quality: float | None


@dataclass(frozen=True, slots=True)
class Scan:
    """What one frame did, and how far the scan is.

    Attributes:
        phase: Where the scan is.
        hint: What the person does next.
        outcome: What became of this frame.
        faces: Everything that was found in it.
        row: Which of the faces the scan is about; None where it is none.
        pose: Its pose relative to the person's own frontal pose; None before there is one.
        turn: Where on the ring that is; None likewise.
        steady: 0..1, how much of the frontal reference is there.
        bins: Every place of the ring, inner ring first.
        coverage: 0..1, the share of directions that were captured.
    """

    phase: Phase
    hint: Hint
    outcome: Outcome
    faces: Faces
    row: int | None
    pose: Pose | None
    turn: Turn | None
    steady: float
    bins: tuple[Bin, ...]
    coverage: float

    @property
    def box(self) -> Floats | None:
        """(4,) float32 xyxy of the face that the scan is about, in pixels."""
        return None if self.row is None else np.asarray(self.faces.detections.boxes[self.row])


@dataclass(frozen=True, slots=True)
class Known:
    """What the pool knows of the person before the scan.

    Attributes:
        embeddings: (S, D) float32; S may be 0.
        same_person: A face is theirs at this similarity or above.
    """

    embeddings: Floats
    same_person: float

    def contradicts(self, embedding: Floats) -> bool:
        """Whether a face is nobody's who is stored under the name."""
        return len(self.embeddings) > 0 and float(np.max(self.embeddings @ embedding)) < self.same_person


class RingScan:
    """The state of a scan. It never forgets a view except for a better one of the same place, or when it is told to.

    Args:
        person: For hints.
        known: What the pool knows of the person.
        same_scan: The similarity from which on two frames of the scan show one person.
        options: How the scan goes.
        keep_pictures: Whether views carry a picture of the face.
    """

    def __init__(
        self, person: str, known: Known, same_scan: float, options: ScanOptions, *, keep_pictures: bool = False
    ) -> None:
        self.views = Views()
        self._person = person
        self._known = known
        self._same_scan = same_scan
        self._options = options
        self._keep_pictures = keep_pictures
        self._search = FrontalSearch(options.frontal, same_scan)
        self._frontal: Pose | None = None
        self._binding: Binding | None = None

    @property
    def covered(self) -> tuple[bool, ...]:
        """Whether each direction was captured."""
        return tuple(self.views.covers(direction) for direction in range(self._options.ring.directions))

    @property
    def coverage(self) -> float:
        """0..1, the share of directions that were captured."""
        return sum(self.covered) / len(self.covered)

    @property
    def enough(self) -> bool:
        """Whether the person may finish."""
        return self.coverage >= self._options.enough

    def redo(self, direction: int) -> None:
        """Give up what was captured of one direction; nothing happens where nothing was."""
        self.views.forget(direction)

    def look(self, frame: Frame, faces: Faces) -> Scan:
        """Look at the faces of one frame."""
        image_hw = (frame.image_bgr.shape[0], frame.image_bgr.shape[1])
        row, flaw = find_face(faces, image_hw, self._options.policy)
        pose = None if row is None else faces.poses[row]
        if flaw is not None or row is None or pose is None:
            return self._scan(self._useless(flaw or "no_pose"), faces, row, None)
        sample, box = (
            faces.sample(row, frame, with_picture=self._keep_pictures),
            np.asarray(faces.detections.boxes[row]),
        )
        if self._binding is None or self._frontal is None:
            return self._scan(self._look_straight(sample, pose, box), faces, row, None)
        offset = relative(pose, self._frontal)
        verdict = self._binding.judge(sample.embedding, offset, box, self.views.all())
        outcome = self._keep(sample, offset) if verdict == "same" else verdict
        return self._scan(outcome, faces, row, offset)

    def _useless(self, flaw: ScanFlaw) -> Outcome:
        """A frame that tells nothing. One that may show nobody, or anybody, breaks the track."""
        if flaw in _BREAKING:
            self._search.interrupt()
            if self._binding is not None:
                self._binding.lose()
        return flaw

    def _look_straight(self, sample: Sample, pose: Pose, box: Floats) -> Outcome:
        if self._known.contradicts(sample.embedding):
            self._search.interrupt()
            return "not_the_registered"
        look = self._search.offer(sample, pose, box)
        if look != "steady":
            return look
        reference = self._search.reference()
        self._frontal = reference.pose
        self._binding = Binding(reference.embedding, reference.box, self._same_scan)
        for kept in reference.samples:
            self.views.offer(View(kept, relative(kept.pose or reference.pose, reference.pose), None))
        return "taken"

    def _keep(self, sample: Sample, offset: Pose) -> Outcome:
        turn = place(offset, self._options.ring)
        return "between" if turn.zone == "between" else self.views.offer(View(sample, offset, turn.slot))

    def _scan(self, outcome: Outcome, faces: Faces, row: int | None, offset: Pose | None) -> Scan:
        turn = None if offset is None else place(offset, self._options.ring)
        return Scan(
            phase=self._phase(outcome),
            hint=self._hint(outcome, turn),
            outcome=outcome,
            faces=faces,
            row=row,
            pose=offset,
            turn=turn,
            steady=1.0 if self._frontal else self._search.progress,
            bins=self._bins(),
            coverage=self.coverage,
        )

    def _phase(self, outcome: Outcome) -> Phase:
        if all(self.covered):
            return "done"
        if outcome in _PAUSING and (self._frontal is not None or outcome != "no_face"):
            return "paused"
        if self._frontal is None:
            return "frontal"
        return "enough" if self.enough else "ring"

    def _hint(self, outcome: Outcome, turn: Turn | None) -> Hint:
        missing = next_direction(self.covered, turn, self._options.ring)
        if missing is None:
            return hint("done")
        if outcome == "no_face" and self._frontal is not None:
            return hint("come_back")
        if outcome in _HINTS:
            return hint(_HINTS[outcome], person=self._person)
        angle = direction_angle(missing, self._options.ring)
        if self.enough:
            return hint("finish_or_turn", angle_deg=angle)
        on_the_way = turn is not None and turn.zone == "between" and turn.direction == missing
        return hint("turn_further" if on_the_way else "turn", angle_deg=angle)

    def _bins(self) -> tuple[Bin, ...]:
        ring = self._options.ring
        slots = [Slot(direction, amplitude) for amplitude in AMPLITUDES for direction in range(ring.directions)]
        kept = [(slot, self.views.at(slot)) for slot in slots]
        return tuple(
            Bin(slot, direction_angle(slot.direction, ring), None if view is None else view.quality)
            for slot, view in kept
        )
