from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facepool.faces.facing import direction_words
from facepool.liveness.challenge import DIRECTIONS, Challenge, Step, draw_challenge


@given(st.integers(3, 9), st.booleans(), st.integers())
def test_a_drawn_challenge_never_asks_for_a_direction_twice_running(steps: int, partial: bool, seed: int) -> None:
    challenge = draw_challenge(steps, partial=partial, random=Random(seed))
    directions = [step.direction for step in challenge.steps]
    assert (len(directions), challenge.partial) == (steps, partial)
    assert all(here != there for here, there in pairwise(directions))


def test_every_direction_is_drawn_about_as_often_and_a_partial_one_is_straight_to_one_side() -> None:
    random = Random(0)
    drawn = [step.direction for _ in range(800) for step in draw_challenge(random=random).steps]
    assert all(200 < drawn.count(direction) < 400 for direction in DIRECTIONS)
    partial = [draw_challenge(partial=True, random=random) for _ in range(50)]
    assert {step.direction for challenge in partial for step in challenge.steps} == {"left", "up", "right", "down"}
    assert {len(challenge.steps) for challenge in partial} == {4}


def test_directions_are_those_of_the_ring() -> None:
    for direction in DIRECTIONS:
        assert direction_words(Step(direction, 6).angle_deg) == direction


@pytest.mark.parametrize("directions", [["left", "right"], ["left", "left", "up"], []])
def test_too_few_steps_and_the_same_twice_running_are_refused(directions: list[str]) -> None:
    with pytest.raises(ValueError, match="a challenge"):
        Challenge(tuple(Step(direction, 6) for direction in directions))  # type: ignore[arg-type] # they are
