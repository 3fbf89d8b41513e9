"""What is drawn of a challenge: the whole screen for one person, or a mark around each face of several."""

from dataclasses import replace

from facepool.enroll.ring import RingPart
from facepool.faces.facing import DIRECTIONS, direction_angle
from facepool.liveness.session import LivenessStep
from facepool.overlay.painter import Box, Canvas, Label, challenge_words, outcome_words
from facepool.overlay.ring import RING, Oval, RingView, ScreenPhase, draw_challenge
from facepool.recognize.events import LiveView
from facepool.types import Floats, Image

_FACE_SHARE = 0.62
"""Of a face box's height: half the height of the oval around it."""
_PARTS = tuple(RingPart(direction_angle(way)) for way in range(DIRECTIONS))


def challenge_view(step: LivenessStep, box: Floats | None, canvas: Canvas, title: str, keys: str = "") -> RingView:
    """The screen for one person who is challenged.

    Args:
        step: What is to be done.
        box: (4,) float32 xyxy of the face in pixels of the frame; None where there is none.
        canvas: What it is drawn on.
        title: Stands at the top left, before the number of the step.
        keys: The small line.
    """
    asked = step.number and step.result is None
    turn = step.turn if step.turn is not None and step.turn.zone != "frontal" else None
    return RingView(
        phase=_phase(step),
        parts=_PARTS,
        hint=challenge_words(step) if step.result is None else outcome_words(step.result),
        person=" · ".join(filter(None, (title, f"{step.number} of {step.steps}" if asked else ""))),
        keys="" if step.result else keys,
        progress=step.progress,
        box=None if box is None else canvas.place(_edges(box)),
        heading_deg=None if turn is None else turn.angle_deg,
        reach=0.0 if turn is None else turn.reach,
        target_deg=step.angle_deg,
        time_left=_time_left(step) if asked else None,
    )


def mark_challenges(image_bgr: Image, view: LiveView, canvas: Canvas) -> Image:
    """The picture with an oval around each face that is challenged: where to turn, and what is left of the time.

    Args:
        image_bgr: (H, W, 3) uint8, BGR, painted and mirrored already; changed.
        view: The frame's faces.
        canvas: What was painted on.
    """
    for row, step in _asked(view):
        oval, target_deg = _oval(canvas.place(_edges(view.detections.boxes[row]))), step.angle_deg
        if canvas.mirrored:
            oval = replace(oval, x=image_bgr.shape[1] - oval.x)
            target_deg = None if target_deg is None else 180 - target_deg
        draw_challenge(image_bgr, oval, target_deg, _time_left(step))
    return image_bgr


def challenge_labels(view: LiveView) -> list[Label]:
    """What each face that is challenged is to do, beside its mark, in pixels of the frame."""
    labels = []
    for row, step in _asked(view):
        oval = _oval(_edges(view.detections.boxes[row]))
        wide, high = oval.half_w + RING * oval.half_h, (1 + RING) * oval.half_h
        box = oval.x - wide, oval.y - high, oval.x + wide, oval.y + high
        labels.append(Label(box, challenge_words(step), shorter=(step.hint.text,), outlined=False))
    return labels


def _asked(view: LiveView) -> list[tuple[int, LivenessStep]]:
    return [(row, step) for row, step in enumerate(view.challenges) if step is not None]


def _oval(box: Box) -> Oval:
    """Around a face, xyxy in pixels."""
    left, top, right, bottom = box
    return Oval((left + right) / 2, (top + bottom) / 2, _FACE_SHARE * (bottom - top))


def _edges(box: Floats) -> Box:
    left, top, right, bottom = (float(edge) for edge in box)
    return left, top, right, bottom


def _phase(step: LivenessStep) -> ScreenPhase:
    if step.result is not None:
        return "done" if step.result.passed else "failed"
    return "frontal" if step.phase == "straight" else "ring"


def _time_left(step: LivenessStep) -> float:
    """0..1."""
    return step.seconds_left / step.limit_s
