"""One attempt before a liveness session: the camera shows what the session has asked for so far."""

import dataclasses
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from facepool.faces.analyze import Analyzer, Faces
from facepool.faces.framing import FramingFlaw, find_face
from facepool.faces.pose import estimate_pose
from facepool.faces.quality import QualityPolicy
from facepool.liveness.challenge import DIRECTIONS, Challenge, Step, draw_challenge
from facepool.liveness.session import LivenessResult, LivenessSession, LivenessStep, SeenFace
from facepool.thresholds import SAME_SCAN_FMR, ThresholdPolicy
from facepool.types import Floats, Image
from liveness.attempts import WH, Attempt, Kind
from liveness.motion import Asked, Instruction

_MOST_S = 90.0
_HW = (WH[1], WH[0])
_FURTHER = ("turn", "turn_further")
_LENIENT = QualityPolicy(min_sharpness=0.0)
_SLOWER = ("more_slowly", "few_pictures")
_FRAME_RATES = (8, 10, 12)
_DROPPED, _STALLED, _STALL_S = 0.1, 0.02, (0.2, 0.5)

_Largest = tuple[Floats, Floats, float, Floats]
"""Box, landmarks, score and embedding."""


@dataclass(frozen=True)
class Clip:
    """What a camera saw of one attempt, and what came of it.

    Attributes:
        instrument: Of the attack, or ``head``.
        number: Of the attempt.
        kind: Whether it ought to pass.
        person: Whose face is shown first.
        variant: What is particular about it.
        partial: Whether it was the challenge for people who cannot turn far.
        asked: Its directions in degrees.
        times_s: (T,) of its frames.
        heard: (T,) what was asked when a frame was taken; NaN: straight ahead.
        flaws: (T,) why a frame was of no use, see ``facepool.faces.framing``; empty where it was.
        boxes, landmarks, scores: (T, 4), (T, 5, 2), (T,) of the largest face; NaN and 0 where there is none.
        embeddings: (T, D) of it, one view.
        passed, reason, score, flatness, steps_passed: The session's result.
    """

    instrument: str
    number: int
    kind: Kind
    person: str
    variant: str
    partial: bool
    asked: tuple[float, ...]
    times_s: Floats
    heard: Floats
    flaws: npt.NDArray[np.str_]
    boxes: Floats
    landmarks: Floats
    scores: Floats
    embeddings: Floats
    passed: bool
    reason: str
    score: float
    flatness: float | None
    steps_passed: int

    @property
    def seconds(self) -> float:
        """How long it took."""
        return float(self.times_s[-1]) if len(self.times_s) else 0.0

    @property
    def seen(self) -> bool:
        """Whether there was a face at all."""
        return bool((self.scores > 0).any())

    def save(self, path: Path) -> None:
        """Keep it, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp.npz")
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        np.savez_compressed(unfinished, image_wh=np.array(WH), **fields)
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """What was kept."""
        with np.load(path, allow_pickle=False) as kept:
            fields: dict[str, Any] = {name: kept[name] for name in kept.files if name != "image_wh"}
        plain = {name: value.item() for name, value in fields.items() if value.ndim == 0}
        return cls(**{"flatness": None} | fields | plain | {"asked": tuple(map(float, fields["asked"]))})


def attempt_a_challenge(
    attempt: Attempt, number: int, analyzer: Analyzer, *, rate: float | None = None, keep: list[Image] | None = None
) -> Clip:
    """Let an attempt try one challenge.

    Args:
        attempt: Who or what is before the camera.
        number: Of it; it draws the challenge and the frame rate.
        analyzer: Looks at the frames, as large as they are; one view of each face is embedded.
        rate: Frames a second of a camera that is slow and uneven; an even one with a usual rate without it.
        keep: Gets the frames, where somebody wants to look at them.
    """
    random = Random(f"{attempt.instrument} {number}")
    challenge = draw_challenge(partial=attempt.partial, random=random)
    session = LivenessSession(challenge, same_person(analyzer))
    even_s = 1 / random.choice(_FRAME_RATES)
    waits = Waits(rate, random) if rate is not None else None
    time_s, slower = 0.0, _Count()
    times_s: list[float] = []
    heards: list[float] = []
    flaws: list[str] = []
    faces_seen: list[_Largest] = []
    heard: Asked = None
    while session.result is None and time_s < _MOST_S:
        picture = attempt.take(time_s, heard)
        if keep is not None:
            keep.append(picture)
        faces = _analyzed(analyzer, picture)
        step = session.add(time_s, faces, _HW)
        times_s.append(time_s)
        heards.append(np.nan if heard is None else heard.angle_deg)
        flaws.append(find_face(faces, _HW, _LENIENT)[1] or "")
        faces_seen.append(_largest(faces, analyzer.space.dimension))
        slower.hear(step.hint.code in _SLOWER)
        heard = _instruction(step, challenge, slower.times)
        time_s += even_s if waits is None else waits.next_s()
    boxes, landmarks, scores, embeddings = (np.array(column, np.float32) for column in zip(*faces_seen, strict=True))
    return Clip(
        instrument=attempt.instrument,
        number=number,
        kind=attempt.kind,
        person=attempt.person,
        variant=attempt.variant,
        partial=attempt.partial,
        asked=tuple(one.angle_deg for one in challenge.steps),
        times_s=np.array(times_s, np.float32),
        heard=np.array(heards, np.float32),
        flaws=np.array(flaws),
        boxes=boxes,
        landmarks=landmarks,
        scores=scores,
        embeddings=embeddings,
        **_outcome(session.result or session.interrupt()),
    )


class Waits:
    """How long a camera takes for each frame that is slow and busy with other things.

    Args:
        rate: Frames a second, if none is dropped.
        random: Of this attempt alone.
    """

    def __init__(self, rate: float, random: Random) -> None:
        self._period_s, self._random = 1 / rate, random

    def next_s(self) -> float:
        """Until the next frame: uneven, each tenth one is dropped, and each fiftieth time something else goes first."""
        wait_s = self._period_s * self._random.uniform(0.6, 1.4)
        while self._random.random() < _DROPPED:
            wait_s += self._period_s
        return wait_s + (self._random.uniform(*_STALL_S) if self._random.random() < _STALLED else 0.0)


class _Count:
    """How often somebody has been told something, however many frames it was said for."""

    def __init__(self) -> None:
        self.times = 0
        self._said = False

    def hear(self, said: bool) -> None:  # noqa: FBT001 # it is the only thing it takes
        self.times += said and not self._said
        self._said = said


def _instruction(step: LivenessStep, challenge: Challenge, slower: int) -> Asked:
    """What somebody hears and sees of a step: where to turn, the dot that shows where the head is, and the hint."""
    if step.phase != "turn":
        return None
    angle_deg = challenge.steps[step.number - 1].angle_deg
    off_deg = None
    if step.hint.code == "turn_towards" and step.turn is not None:
        off_deg = (step.turn.angle_deg - angle_deg + 180) % 360 - 180
    return Instruction(
        angle_deg, off_deg, step.hint.code in _FURTHER, slower=slower, upright=step.hint.code == "hold_upright"
    )


def replay(clip: Clip, same: float) -> Clip:
    """The same frames before the session as it is now.

    An approximation: whoever was filmed reacted to the session as it was then. Where that one ended sooner, what comes
    of it is ``interrupted``.

    Args:
        clip: What was filmed.
        same: As for the session.
    """
    session = LivenessSession(_challenge(clip), same)
    poses = estimate_pose(np.nan_to_num(clip.landmarks), WH)
    for row, time_s in enumerate(clip.times_s.tolist()):
        pose, flaw = poses[row], str(clip.flaws[row])
        if flaw or pose is None:
            session.miss(time_s, cast("FramingFlaw", flaw or "no_pose"))
        else:
            session.see(SeenFace(time_s, clip.boxes[row], clip.landmarks[row], pose, clip.embeddings[row]))
    return dataclasses.replace(clip, **_outcome(session.result or session.interrupt()))


def same_person(analyzer: Analyzer) -> float:
    """The similarity from which on two frames show one person, as everywhere in facepool."""
    return ThresholdPolicy(analyzer.fmr).same_person(SAME_SCAN_FMR).value


def _challenge(clip: Clip) -> Challenge:
    limit_s = draw_challenge(partial=clip.partial).steps[0].limit_s
    return Challenge(tuple(Step(DIRECTIONS[round(at / 45)], limit_s) for at in clip.asked), clip.partial)


def _outcome(result: LivenessResult) -> dict[str, Any]:
    names = ("passed", "reason", "score", "flatness", "steps_passed")
    return {name: getattr(result, name) for name in names}


def _analyzed(analyzer: Analyzer, picture: Image) -> Faces:
    prepared = analyzer.prepare(picture, analyzer.find(picture, moving=True))
    return analyzer.embed_prepared(
        dataclasses.replace(prepared, aligned=dataclasses.replace(prepared.aligned, one_view=True))
    )


def _largest(faces: Faces, dimension: int) -> _Largest:
    if len(faces) == 0:
        nothing = np.float32(np.nan)
        return np.full(4, nothing), np.full((5, 2), nothing), 0.0, np.full(dimension, nothing)
    row = int(np.argmax(faces.detections.sizes))
    found = faces.detections
    return found.boxes[row], found.landmarks[row], float(found.scores[row]), faces.embeddings[row]
