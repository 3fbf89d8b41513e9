from collections.abc import Iterable
from functools import partial
from random import Random

import numpy as np
import pytest

from facepool.liveness.challenge import DIRECTIONS, Challenge, Step, draw_challenge
from facepool.liveness.session import ADVICE, MEANINGS, LivenessSession, LivenessStep, SeenFace
from facepool.records import liveness_record
from facepool.types import Floats, Pose
from support.fake_scan_analyzer import OTHER, PICTURE_HW, FakeScanAnalyzer, Head, embedding, landmarks
from support.liveness import FPS, follow, to_and_fro, turned

SAME = 0.5
LEFT_UP_RIGHT = Challenge((Step("left", 6), Step("up", 6), Step("right", 6)))


def watch(session: LivenessSession, heads: Iterable[Head | None]) -> list[LivenessStep]:
    """Show one frame after the other, None for one without a face."""
    analyzer = FakeScanAnalyzer()
    pictures = [analyzer.frame(*([] if head is None else [head])) for head in heads]
    return [
        session.add(number / FPS, analyzer.analyze(picture.image_bgr), PICTURE_HW)
        for number, picture in enumerate(pictures)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_a_head_that_does_what_is_asked_is_live(seed: int) -> None:
    challenge = draw_challenge(random=Random(seed))
    session = LivenessSession(challenge, SAME)
    steps = watch(session, follow(challenge))
    result = steps[-1].result
    assert result is not None
    assert (result.passed, result.reason, result.steps_passed, result.steps) == (True, "live", 3, 3)
    assert result.score == 1
    assert result.embedding is not None
    assert float(result.embedding @ embedding(Head())) > 0.99
    asked = [step.angle_deg for step in steps if step.angle_deg is not None]
    assert list(dict.fromkeys(asked)) == list(dict.fromkeys(step.angle_deg for step in challenge.steps))


def test_after_the_result_nothing_changes() -> None:
    session = LivenessSession(LEFT_UP_RIGHT, SAME)
    result = watch(session, follow(LEFT_UP_RIGHT))[-1].result
    (later,) = watch(session, [Head(OTHER)])
    assert later.result is result
    assert session.interrupt() is result


def test_a_film_that_runs_through_all_directions_fails() -> None:
    film = follow([Step(direction, 6) for direction in DIRECTIONS])
    result = watch(LivenessSession(LEFT_UP_RIGHT, SAME), film)[-1].result
    assert result is not None
    assert (result.passed, result.reason, result.steps_passed) == (False, "wrong_direction", 1)


def test_a_flat_picture_that_is_turned_as_asked_is_flat() -> None:
    result = watch(LivenessSession(LEFT_UP_RIGHT, SAME), follow(LEFT_UP_RIGHT, Head(flat=True), far=1.8))[-1].result
    assert result is not None
    assert (result.passed, result.reason) == (False, "flat")


def test_somebody_else_in_between_is_another_face() -> None:
    heads = [*[Head()] * FPS, *to_and_fro(0, Head(OTHER)), *[Head()] * FPS]
    result = watch(LivenessSession(LEFT_UP_RIGHT, SAME), heads)[-1].result
    assert result is not None
    assert result.reason == "another_face"


def test_a_face_that_jumps_is_a_cut() -> None:
    heads = [*[Head(size=60)] * FPS, *[Head(size=60, at=(280, 200))] * FPS]
    result = watch(LivenessSession(LEFT_UP_RIGHT, SAME), heads)[-1].result
    assert result is not None
    assert result.reason == "cut"


@pytest.mark.parametrize(
    ("heads", "reason"),
    [
        ([Head()] * FPS * 9, "too_slow"),
        ([None] * FPS * 21, "no_face"),
        ([Head()] * FPS + [None] * FPS, "no_face"),
        ([Head()] * FPS + [Head(yaw=20)] * FPS * 10, "too_slow"),
    ],
)
def test_time_is_limited(heads: list[Head | None], reason: str) -> None:
    result = watch(LivenessSession(LEFT_UP_RIGHT, SAME), heads)[-1].result
    assert result is not None
    assert (result.passed, result.reason) == (False, reason)


def test_a_record_says_how_and_why_and_nothing_of_the_person() -> None:
    session = LivenessSession(LEFT_UP_RIGHT, SAME)
    watch(session, follow(LEFT_UP_RIGHT))
    assert session.result is not None
    assert liveness_record(session.result) == {
        "passed": True, "method": "challenge", "reason": "live", "score": 1.0, "flatness": 0.0,
        "steps": 3, "steps_passed": 3, "passive": None,
    }  # fmt: skip
    assert np.asarray(session.result.embedding).shape == (32,)
    assert repr(session.result) == "<LivenessResult: passed: a head did all that was asked>"


def test_networks_are_asked_twice_a_second_while_the_head_is_straight_and_decide_nothing() -> None:
    analyzer, session, asked = FakeScanAnalyzer(), LivenessSession(LEFT_UP_RIGHT, SAME), list[float]()

    def score(time_s: float) -> Floats:
        asked.append(time_s)
        return np.array([0.5 if len(asked) == 1 else 0.0], np.float32)

    for number, head in enumerate(follow(LEFT_UP_RIGHT)):
        step = session.add(number / FPS, analyzer.analyze(analyzer.frame(head).image_bgr), PICTURE_HW)
        before = len(asked)
        session.ask(partial(score, number / FPS))
        assert len(asked) == before or step.turn is None or step.turn.reach < 1
    assert session.result is not None
    assert session.result.passed
    assert len(asked) >= 4
    assert min(np.diff(asked)) >= 0.5
    assert session.result.passive == pytest.approx(0.5 / len(asked))


def test_a_turn_that_nobody_saw_being_made_is_no_turn() -> None:
    yaw, _ = turned(0)
    # Once more than is allowed: pictures that are the same for a moment before the first may be of a slow camera.
    pictures = [*[Head()] * FPS, *[*[Head(yaw=yaw)] * FPS, *[Head()] * FPS] * 4]
    steps = watch(LivenessSession(LEFT_UP_RIGHT, SAME), pictures)
    assert "more_slowly" in {step.hint.code for step in steps}
    result = steps[-1].result
    assert result is not None
    assert (result.reason, result.steps_passed) == ("cut", 0)


def seldom(session: LivenessSession, heads: Iterable[Head], seconds: Iterable[float]) -> list[LivenessStep]:
    """Show those of the heads, ``FPS`` a second, that a camera sees with such pauses."""
    analyzer, made = FakeScanAnalyzer(), list(heads)
    times = [time_s for time_s in np.cumsum(list(seconds)) if time_s * FPS < len(made)]
    pictures = [analyzer.frame(made[int(time_s * FPS)]) for time_s in times]
    return [
        session.add(time_s, analyzer.analyze(picture.image_bgr), PICTURE_HW)
        for time_s, picture in zip(times, pictures, strict=True)
    ]


def slowly(challenge: Challenge, turn_s: float) -> list[Head]:
    """A head that takes so long for each way there and each way back."""
    heads = [Head()] * 2 * FPS
    for step in challenge.steps:
        yaw, pitch = turned(step.angle_deg)
        way = np.linspace(0, 1, round(turn_s * FPS))
        shares = [*way, *[1.0] * 2 * FPS, *way[::-1], *[0.0] * 2 * FPS]
        heads += [Head(yaw=yaw * share, pitch=pitch * share) for share in shares]
    return heads


@pytest.mark.parametrize("fps", [10, 7, 5, 4])
def test_a_head_is_seen_by_a_slow_and_uneven_camera(fps: int) -> None:
    pauses = Random(fps)
    uneven = [pauses.uniform(0.6, 1.4) / fps for _ in range(400)]
    result = seldom(LivenessSession(LEFT_UP_RIGHT, SAME), slowly(LEFT_UP_RIGHT, 1.5), uneven)[-1].result
    assert result is not None
    assert (result.passed, result.reason) == (True, "live")


def test_pictures_that_come_too_seldom_are_said_and_not_blamed_on_the_person() -> None:
    yaw, _ = turned(0)
    quick = [*[Head()] * 2 * FPS, *[*[Head(yaw=yaw)] * 2 * FPS, *[Head()] * 2 * FPS] * 6]
    steps = seldom(LivenessSession(LEFT_UP_RIGHT, SAME), quick, [0.3] * 200)
    hints = {step.hint.code for step in steps}
    assert "few_pictures" in hints
    assert "more_slowly" not in hints
    result = steps[-1].result
    assert result is not None
    assert (result.reason, result.steps_passed) == ("few_pictures", 0)


def test_who_was_too_quick_for_few_pictures_and_takes_longer_passes() -> None:
    yaw, _ = turned(0)
    quick = [*[Head()] * 2 * FPS, *[*[Head(yaw=yaw)] * 2 * FPS, *[Head()] * 2 * FPS] * 2]
    heads = [*quick, *slowly(LEFT_UP_RIGHT, 1.5)[2 * FPS :]]
    steps = seldom(LivenessSession(LEFT_UP_RIGHT, SAME), heads, [0.25] * 300)
    assert "few_pictures" in {step.hint.code for step in steps}
    assert steps[-1].result is not None
    assert steps[-1].result.passed


def test_time_that_was_up_over_a_handful_of_pictures_is_said() -> None:
    result = seldom(LivenessSession(LEFT_UP_RIGHT, SAME), [Head()] * 30 * FPS, [0.6] * 200)[-1].result
    assert result is not None
    assert result.reason == "few_pictures"


def test_every_failure_says_what_to_do_next() -> None:
    assert ADVICE.keys() == MEANINGS.keys() - {"live"}
    steps = watch(LivenessSession(LEFT_UP_RIGHT, SAME), [Head()] * FPS * 9)
    assert steps[-1].hint.text.startswith("time was up; turn as soon as it is said")


def test_who_was_too_quick_once_turns_again() -> None:
    yaw, _ = turned(0)
    heads = [*[Head()] * FPS, *[Head(yaw=yaw)] * FPS, *[Head()] * FPS, *list(follow(LEFT_UP_RIGHT))[FPS:]]
    result = watch(LivenessSession(LEFT_UP_RIGHT, SAME), heads)[-1].result
    assert result is not None
    assert result.passed


@pytest.mark.parametrize(
    ("head", "code", "text"),
    [
        (Head(), "turn", "turn your head: up and left"),
        (Head(yaw=8, pitch=5), "turn_further", "a little further up and left"),
        (Head(yaw=24), "turn_towards", "more up"),
    ],
)
def test_hints_lead_to_where_it_is_asked_to_turn(head: Head, code: str, text: str) -> None:
    session = LivenessSession(Challenge((Step("up and left", 6), Step("up", 6), Step("right", 6))), SAME)
    step = watch(session, [*[Head()] * FPS, *[head] * 4])[-1]
    assert (step.hint.code, step.hint.text, step.angle_deg) == (code, text, 45)


def test_a_head_on_the_shoulder_is_asked_to_be_held_upright() -> None:
    session = LivenessSession(LEFT_UP_RIGHT, SAME)
    watch(session, [Head()] * FPS)
    box, cos, sin = np.array([100, 60, 220, 180], np.float32), np.cos(np.radians(20)), np.sin(np.radians(20))
    tilted = ((landmarks(Head()) - (160, 120)) @ np.array([[cos, sin], [-sin, cos]]) + (160, 120)).astype(np.float32)
    for number in range(4):
        step = session.see(SeenFace(1 + number / FPS, box, tilted, Pose(0, 0, 20), embedding(Head())))
    assert (step.hint.code, step.turn, step.phase) == ("hold_upright", None, "turn")


def test_a_partial_challenge_takes_smaller_turns_and_says_so() -> None:
    challenge = Challenge((Step("left", 15), Step("up", 15), Step("right", 15), Step("down", 15)), partial=True)
    result = watch(LivenessSession(challenge, SAME), follow(challenge, far=0.75))[-1].result
    assert result is not None
    assert (result.passed, result.method) == (True, "challenge_partial")
    whole = Challenge(challenge.steps)
    assert watch(LivenessSession(whole, SAME), follow(whole, far=0.6))[-1].result is None
