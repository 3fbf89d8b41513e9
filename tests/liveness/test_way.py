"""Whether a turn was seen on its way, by what came of it and when."""

import numpy as np
import pytest

from facepool.liveness.flat import Parallax
from facepool.liveness.way import Sight, Way

ALL_AT_ONCE = [0.0, 0.05, 1.0, 1.0]
STEP_BY_STEP = [0.0, 0.05, 0.4, 0.8, 1.0]


def seen(reaches: list[float], interval_s: float, times: int = 1) -> Sight:
    """What is said of a turn to the side of which each picture comes so many times."""
    way = Way(0.3)
    for reach in np.repeat(reaches, times):
        way.wait(interval_s)
        way.add(Parallax(np.array([reach, 0.0]), reach, 0.0))
    return way.judge()


@pytest.mark.parametrize(
    ("reaches", "interval_s", "sight"),
    [(STEP_BY_STEP, 0.1, "seen"), (ALL_AT_ONCE, 0.06, "jump"), (ALL_AT_ONCE, 0.25, "few_pictures")],
)
def test_a_turn_is_seen_on_its_way_or_not(reaches: list[float], interval_s: float, sight: Sight) -> None:
    assert seen(reaches, interval_s) == sight


def test_a_camera_that_is_asked_more_often_than_it_takes_pictures_makes_nobody_quick() -> None:
    assert seen(ALL_AT_ONCE, 0.06, times=4) == seen(ALL_AT_ONCE, 0.24) == "few_pictures"
    assert seen(STEP_BY_STEP, 0.06, times=4) == "seen"
    assert seen(ALL_AT_ONCE, 0.06, times=20) == "jump"  # a still head, or a still picture
