"""Times that are stated, and when frames are shown."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from facepool.capture.timeline import LONGEST_PAUSE_OF_A_BROADCAST_S, LONGEST_PAUSE_S, Timeline

HOUR = 3600.0


def place(
    stated: Sequence[float | None], usual_s: float = 0.04, longest_pause_s: float = LONGEST_PAUSE_S
) -> list[float]:
    timeline = Timeline(usual_s, longest_pause_s)
    return [timeline.place(stated_s) for stated_s in stated]


def steady(frames: int, interval_s: float = 0.04, start_s: float = 0.0) -> list[float]:
    return [start_s + frame * interval_s for frame in range(frames)]


@pytest.mark.parametrize(
    "stated",
    [
        steady(50),
        steady(6, 5.0),  # 0.2 frames a second
        steady(6, 600.0),  # a time lapse
        [0.0, 0.016, 0.1, 7.3, 7.316, 302.0, 302.02],  # a screen that stands still for five minutes
        steady(20) + steady(20, start_s=1800.0),  # half an hour at rest
        steady(20, start_s=0.7),  # cut out of a longer film
        [0.0, 120.0, 240.0, 241.0],
    ],
)
def test_times_that_rise_are_taken_as_they_are(stated: list[float]) -> None:
    assert place(stated) == stated


def test_a_film_without_times_has_the_usual_ones() -> None:
    assert place([None] * 4, 0.2) == pytest.approx([0, 0.2, 0.4, 0.6])


def test_a_frame_without_a_time_comes_an_interval_later() -> None:
    assert place([0.0, 0.5, None, 1.5, 2.0], 0.04) == pytest.approx([0, 0.5, 1, 1.5, 2])


@pytest.mark.parametrize("usual_s", [0.04, 0.2, 5.0])
def test_joined_parts_go_on_at_the_interval_that_was_measured(usual_s: float) -> None:
    parts = steady(10, usual_s) * 3
    assert place(parts, 1.0) == pytest.approx(steady(30, usual_s))


def test_a_part_that_begins_hours_later_goes_on_at_once() -> None:
    parts = steady(50) + steady(50, start_s=10 * HOUR) + steady(50, start_s=3 * HOUR)
    assert place(parts) == pytest.approx(steady(150))


def test_one_frame_that_is_hours_away_moves_nothing() -> None:
    stated = steady(150)
    stated[49] += 10 * HOUR
    stated[99] += 10 * HOUR
    assert place(stated) == pytest.approx(steady(150))


def test_a_broadcast_that_begins_anew_a_minute_later_goes_on_at_once() -> None:
    parts = steady(50) + steady(50, start_s=60.0)
    assert place(parts, longest_pause_s=LONGEST_PAUSE_OF_A_BROADCAST_S) == pytest.approx(steady(100))
    assert place(parts) == parts


def test_a_slow_broadcast_is_not_a_row_of_jumps() -> None:
    slow = steady(10, 60.0)
    assert place(slow, 0.04, LONGEST_PAUSE_OF_A_BROADCAST_S) == slow


def test_a_clock_that_stands_still_does_not_stop_the_film() -> None:
    stated = steady(50) + [2.0] * 50 + steady(50, start_s=2.04)
    shown = place(stated)
    assert shown[-1] == pytest.approx(149 * 0.04, abs=0.1)
    assert max(later - earlier for earlier, later in pairwise(shown)) < 0.15


def test_a_clock_that_moves_once_in_two_seconds_keeps_to_time() -> None:
    stated = [float(frame // 50) * 2 for frame in range(250)]
    shown = place(stated)
    assert shown[200:] == pytest.approx(steady(50, start_s=8.0), abs=0.13)


@pytest.mark.parametrize("jitter", [[0.0, 0.08, 0.04, 0.12, 0.16], [0.0, 0.04, 0.04, 0.08, 0.12]])
def test_a_time_that_is_a_frame_off_is_waited_out(jitter: list[float]) -> None:
    shown = place(jitter)
    assert shown == sorted(shown)
    assert shown[-1] == jitter[-1]


@pytest.mark.parametrize("stated", [[-3.0, -2.96, -2.92], [50 * HOUR, 50 * HOUR + 0.04, 50 * HOUR + 0.08]])
def test_a_film_begins_at_zero_where_its_first_time_means_nothing(stated: list[float]) -> None:
    assert place(stated) == pytest.approx([0, 0.04, 0.08])


def test_times_never_fall_whatever_is_stated() -> None:
    dice = random.Random(0)
    for _ in range(200):
        stated = [dice.choice([None, dice.uniform(-5, 5), dice.uniform(0, 9) * HOUR]) for _ in range(60)]
        shown = place(stated)
        assert shown == sorted(shown)
        assert shown[0] >= 0
