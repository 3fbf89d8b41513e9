"""One attempt before a liveness session: the camera shows what the session has asked for so far."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Self

import numpy as np

from facepool.faces.analyze import Analyzer, Faces
from facepool.liveness.challenge import draw_challenge
from facepool.liveness.session import LivenessResult, LivenessSession
from facepool.thresholds import ThresholdPolicy
from facepool.types import Floats, Image
from liveness.attempts import WH, Attempt, Kind

_MOST_S = 60.0
_FRAME_RATES = (8, 10, 12, 15)


@dataclass(frozen=True)
class Clip:
    """What a camera saw of one attempt, and what came of it.

    Attributes:
        instrument: Of the attack, or ``head``.
        number: Of the attempt.
        kind: Whether it ought to pass.
        person: Whose face is shown first.
        variant: What is particular about it.
        asked: The directions of the challenge in degrees.
        times_s: (T,) of its frames.
        heard: (T,) what was asked when a frame was taken; NaN: straight ahead.
        counts: (T,) faces in each.
        boxes, landmarks, scores: (T, 4), (T, 5, 2), (T,) of the largest face; NaN where there is none.
        embeddings: (T, D) of it, one view.
        passed, reason, score, flatness, steps_passed: The session's result.
    """

    instrument: str
    number: int
    kind: Kind
    person: str
    variant: str
    asked: tuple[float, ...]
    times_s: Floats
    heard: Floats
    counts: Floats
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
        return bool((self.counts > 0).any())

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


def attempt_a_challenge(attempt: Attempt, number: int, analyzer: Analyzer, *, keep: list[Image] | None = None) -> Clip:
    """Let an attempt try one challenge.

    Args:
        attempt: Who or what is before the camera.
        number: Of it; it draws the challenge and the frame rate.
        analyzer: Looks at the frames, as large as they are; one view of each face is embedded.
        keep: Gets the frames, where somebody wants to look at them.
    """
    random = Random(f"{attempt.instrument} {number}")
    challenge = draw_challenge(partial=attempt.partial, random=random)
    session = LivenessSession(challenge, ThresholdPolicy(analyzer.fmr).same_person().value)
    period_s = 1 / random.choice(_FRAME_RATES)
    rows: list[tuple[float, float, int, Floats, Floats, float, Floats]] = []
    heard: float | None = None
    time_s = 0.0
    while session.result is None and time_s < _MOST_S:
        picture = attempt.take(time_s, heard)
        if keep is not None:
            keep.append(picture)
        faces = _analyzed(analyzer, picture)
        step = session.add(time_s, faces, (WH[1], WH[0]))
        rows.append(
            (time_s, np.nan if heard is None else heard, len(faces), *_largest(faces, analyzer.space.dimension))
        )
        heard = step.angle_deg if step.phase == "turn" else None
        time_s += period_s
    columns = [np.array(column, np.float32) for column in zip(*rows, strict=True)]
    times_s, heards, counts, boxes, landmarks, scores, embeddings = columns
    return Clip(
        instrument=attempt.instrument,
        number=number,
        kind=attempt.kind,
        person=attempt.person,
        variant=attempt.variant,
        asked=tuple(one.angle_deg for one in challenge.steps),
        times_s=times_s,
        heard=heards,
        counts=counts,
        boxes=boxes,
        landmarks=landmarks,
        scores=scores,
        embeddings=embeddings,
        **_outcome(session.result or session.interrupt()),
    )


def _outcome(result: LivenessResult) -> dict[str, Any]:
    names = ("passed", "reason", "score", "flatness", "steps_passed")
    return {name: getattr(result, name) for name in names}


def _analyzed(analyzer: Analyzer, picture: Image) -> Faces:
    prepared = analyzer.prepare(picture, analyzer.find(picture, moving=True))
    return analyzer.embed_prepared(replace(prepared, aligned=replace(prepared.aligned, one_view=True)))


def _largest(faces: Faces, dimension: int) -> tuple[Floats, Floats, float, Floats]:
    if len(faces) == 0:
        nothing = np.float32(np.nan)
        return np.full(4, nothing), np.full((5, 2), nothing), 0.0, np.full(dimension, nothing)
    row = int(np.argmax(faces.detections.sizes))
    found = faces.detections
    return found.boxes[row], found.landmarks[row], float(found.scores[row]), faces.embeddings[row]
