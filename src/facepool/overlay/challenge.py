"""What is drawn of a challenge: the whole screen for one person, or a mark around each face of several."""

from facepool.enroll.ring import RingPart
from facepool.faces.facing import DIRECTIONS, direction_angle
from facepool.liveness.session import LivenessStep
from facepool.overlay.painter import Canvas, challenge_words, outcome_words
from facepool.overlay.ring import Oval, RingView, ScreenPhase, draw_challenge
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
        box=None if box is None else canvas.place((float(box[0]), float(box[1]), float(box[2]), float(box[3]))),
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
    width = image_bgr.shape[1]
    for box, step in zip(view.detections.boxes, view.challenges, strict=False):
        if step is None or step.phase != "turn":
            continue
        left, top, right, bottom = canvas.place((float(box[0]), float(box[1]), float(box[2]), float(box[3])))
        x, target_deg = (left + right) / 2, step.angle_deg
        if canvas.mirrored:
            x, target_deg = width - x, None if target_deg is None else 180 - target_deg
        draw_challenge(
            image_bgr, Oval(x, (top + bottom) / 2, _FACE_SHARE * (bottom - top)), target_deg, _time_left(step)
        )
    return image_bgr


def _phase(step: LivenessStep) -> ScreenPhase:
    if step.result is not None:
        return "done" if step.result.passed else "failed"
    return "frontal" if step.phase == "straight" else "ring"


def _time_left(step: LivenessStep) -> float:
    """0..1."""
    return step.seconds_left / step.limit_s
