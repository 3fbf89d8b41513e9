"""What is drawn of a challenge: where the arrow is, what is left of the time, and how it ended."""

import numpy as np
import pytest

from facepool.faces.facing import HeadTurn
from facepool.liveness.session import LivenessResult, LivenessStep, Phase
from facepool.overlay import (
    Canvas,
    RingPainter,
    advice_words,
    challenge_labels,
    challenge_view,
    challenge_words,
    live_labels,
    mark_challenges,
    outcome_words,
)
from facepool.recognize.events import LiveView
from facepool.types import Decision, Detections, Floats, Hint, Image, Mask

GRAY = 120
BOX: Floats = np.array([260, 150, 380, 310], np.float32)


def gray() -> Image:
    return np.full((480, 640, 3), GRAY, np.uint8)


def step(
    angle_deg: float | None = None,
    *,
    phase: Phase = "turn",
    seconds_left: float = 5.2,
    result: LivenessResult | None = None,
    turn: HeadTurn | None = None,
) -> LivenessStep:
    text = "look straight at the camera" if angle_deg is None else "turn your head: up"
    return LivenessStep(phase, Hint("turn", text, angle_deg), 0, turn, 2, 3, 1 / 3, seconds_left, 6.0, result)


def ended(*, passed: bool) -> LivenessStep:
    result = LivenessResult(passed, "challenge", "live" if passed else "wrong_direction", 1.0, 0.0, 1, 3, 0.0, 5.0)
    return step(phase="ended", seconds_left=0, result=result)


def view_of(*steps: LivenessStep | None) -> LiveView:
    """Faces from left to right that are to do this; those that are asked nothing are not shown to be alive."""
    count = len(steps)
    places = np.arange(count)[:, None] * [200, 0, 200, 0] - [200, 0, 200, 0]
    boxes = (BOX + places).astype(np.float32)
    not_live = Decision(None, 0.7, 0.4, None, "not_live")
    return LiveView(
        detections=Detections(boxes, np.ones(count, np.float32), np.zeros((count, 5, 2), np.float32)),
        track_ids=np.arange(count),
        decisions=(not_live,) * count,
        tentative=(not_live,) * count,
        confirmed=np.ones(count, np.bool_),
        embedded=np.ones(count, np.bool_),
        events=(),
        time_s=0.0,
        challenges=steps,
        liveness=(None,) * count,
    )


def drawn(one: LivenessStep, *, mirrored: bool = False) -> Image:
    canvas = Canvas(gray(), mirrored=mirrored)
    return RingPainter().draw(canvas.image_bgr, challenge_view(one, BOX, canvas, ""), mirrored=mirrored)


def white(image: Image) -> Mask:
    return np.asarray((image > 225).all(axis=2))


def amber(image: Image) -> Mask:
    blue, green, red = (image[..., channel].astype(int) for channel in range(3))
    return (red > 200) & (green > 120) & (blue < 100)


@pytest.mark.parametrize("angle_deg", range(0, 360, 45))
def test_the_arrow_is_where_the_head_is_to_turn(angle_deg: int) -> None:
    marked = mark_challenges(gray(), view_of(None, step(float(angle_deg))), Canvas(gray()))
    plain = mark_challenges(gray(), view_of(None, step(None)), Canvas(gray()))
    ys, xs = np.nonzero((marked != plain).any(axis=2))
    way = np.degrees(np.arctan2((BOX[1] + BOX[3]) / 2 - ys.mean(), (xs.mean() - (BOX[0] + BOX[2]) / 2)))
    assert abs((way - angle_deg + 180) % 360 - 180) < 10


def test_in_a_mirror_the_arrow_points_the_other_way() -> None:
    plain, mirrored = drawn(step(0.0)), drawn(step(0.0), mirrored=True)
    rows = slice(0, 380)  # the text below is not mirrored
    assert np.abs(plain[rows, ::-1].astype(int) - mirrored[rows]).mean() < 1
    marked = mark_challenges(gray(), view_of(None, step(0.0)), Canvas(gray(), mirrored=True))
    xs = np.nonzero((marked != GRAY).any(axis=2))[1]
    assert 640 - (BOX[0] + BOX[2]) / 2 - xs.min() > xs.max() - (640 - (BOX[0] + BOX[2]) / 2)


def test_the_outline_runs_out_with_the_time_and_is_amber_at_the_end() -> None:
    lit = [
        int(white(mark_challenges(gray(), view_of(step(seconds_left=left)), Canvas(gray()))).sum()) for left in (6, 4)
    ]
    assert lit[0] > 1.3 * lit[1] > 100
    last = mark_challenges(gray(), view_of(step(seconds_left=1.5)), Canvas(gray()))
    assert amber(last).any()
    assert not white(last).any()
    assert not amber(drawn(step(90.0, seconds_left=4))).any()


def test_how_it_ended_is_a_check_mark_or_a_red_cross() -> None:
    passed, failed = drawn(ended(passed=True)), drawn(ended(passed=False))
    middle = np.s_[180:280, 270:370]
    for image, channel in ((passed, 1), (failed, 2)):
        strongest = image[middle].astype(int)
        others = [strongest[..., other] for other in range(3) if other != channel]
        assert ((strongest[..., channel] > others[0] + 60) & (strongest[..., channel] > others[1] + 60)).sum() > 200
    assert not amber(failed).any()


def test_each_face_that_is_asked_has_its_own_words_and_no_box() -> None:
    view = view_of(step(90.0), None, step(None, phase="back"))
    asked, others = challenge_labels(view), live_labels(view)
    assert [label.text for label in asked] == ["Turn your head: up · 6 s", "Look straight at the camera · 6 s"]
    assert not any(label.outlined for label in asked)
    assert [label.text for label in others] == ["not shown to be alive"]
    for row, label in zip((0, 2), asked, strict=True):
        left, top, right, bottom = view.detections.boxes[row]
        assert label.box[0] < left < right < label.box[2]
        assert label.box[1] < top < bottom < label.box[3]


def test_words_say_how_long_there_is_and_how_it_ended() -> None:
    assert challenge_words(step(90.0, seconds_left=3.01)) == "Turn your head: up · 4 s"
    assert challenge_words(step(phase="straight", seconds_left=19)) == "Look straight at the camera"
    result = ended(passed=False).result
    assert result is not None
    assert outcome_words(result) == "Not passed: the head turned somewhere else than asked"
    assert advice_words(result).startswith("Next time: turn from the middle straight to where it is said")
    passed = ended(passed=True).result
    assert passed is not None
    assert advice_words(passed) == ""


def test_a_view_without_challenges_is_left_as_it_is() -> None:
    view = view_of(None)
    assert (mark_challenges(gray(), view, Canvas(gray())) == GRAY).all()
    assert challenge_labels(view) == []
