"""Tracks keep their numbers, whatever the order of the detections."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facepool.recognize.assignment import assign
from facepool.recognize.track import Tracker, TrackOptions
from facepool.types import Detections, Floats

FRAME_S = 1 / 25


def faces(*places: tuple[float, float], side: float = 40) -> Detections:
    """Square faces with their centres at the given places."""
    centres = np.array(places, np.float32).reshape(-1, 2)
    boxes = np.concatenate([centres - side / 2, centres + side / 2], axis=1)
    return Detections(boxes, np.full(len(boxes), 0.99, np.float32), np.repeat(centres[:, None], 5, axis=1))


def ids(tracker: Tracker, time_s: float, *places: tuple[float, float]) -> list[int]:
    return [int(number) for number in tracker.update(faces(*places), time_s).ids]


@given(st.lists(st.tuples(st.floats(-150, 150), st.floats(-150, 150)), min_size=1, max_size=6), st.integers(2, 40))
def test_faces_on_lanes_of_their_own_keep_their_numbers(velocities: list[tuple[float, float]], frames: int) -> None:
    tracker = Tracker()
    for frame in range(frames):
        time_s = frame * FRAME_S
        places = [
            (300 + 90 * lane + 25 * np.sin(vx * time_s / 25), 300 + 25 * np.sin(vy * time_s / 25))
            for lane, (vx, vy) in enumerate(velocities)
        ]
        assert ids(tracker, time_s, *places) == list(range(1, len(velocities) + 1))


@given(st.permutations(range(4)), st.lists(st.permutations(range(4)), min_size=3, max_size=3))
def test_the_order_of_the_detections_changes_nothing(first: list[int], later: list[list[int]]) -> None:
    tracker = Tracker()
    places = [(100.0 * lane, 50.0 * (lane % 2)) for lane in range(4)]
    for frame, order in enumerate([first, *later]):
        found = ids(tracker, frame * FRAME_S, *(places[lane] for lane in order))
        assert dict(zip(order, found, strict=True)) == {0: 1, 1: 2, 2: 3, 3: 4}


@given(st.data(), st.integers(0, 4), st.integers(0, 4))
def test_the_assignment_is_as_good_as_the_best_of_all(data: st.DataObject, rows: int, columns: int) -> None:
    value = st.floats(-1, 1, allow_subnormal=False)
    gains = np.array([[data.draw(value) for _ in range(columns)] for _ in range(rows)], np.float32)
    gains = gains.reshape(rows, columns)
    pairs = assign(gains)
    assert all(gains[pair] > 0 for pair in pairs)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert abs(sum(float(gains[pair]) for pair in pairs) - best_of_all(gains)) < 1e-5


def best_of_all(gains: Floats) -> float:
    worth = np.maximum(gains if gains.shape[0] <= gains.shape[1] else gains.T, 0)
    orders = permutations(range(worth.shape[1]), worth.shape[0])
    return max((float(sum(worth[row, column] for row, column in enumerate(order))) for order in orders), default=0.0)


def test_nobody_has_no_track() -> None:
    tracks = Tracker().update(Detections.empty(), 0.0)
    assert (len(tracks), tracks.lost, tracks.cut) == (0, (), False)


def test_a_gap_is_bridged_and_the_link_over_it_is_not_sure() -> None:
    tracker = Tracker(TrackOptions(gap_s=1.0))
    ids(tracker, 0.0, (100, 100))
    assert ids(tracker, 0.5) == []
    back = tracker.update(faces((110, 100)), 0.9)
    assert (back.ids.tolist(), back.sure.tolist(), back.hits.tolist()) == ([1], [False], [2])


def test_a_face_away_for_too_long_is_lost_and_comes_back_as_another() -> None:
    tracker = Tracker(TrackOptions(gap_s=1.0))
    for frame in range(5):
        ids(tracker, frame * FRAME_S, (100, 100))
    assert tracker.update(Detections.empty(), 4 * FRAME_S + 1.1).lost == (1,)
    assert ids(tracker, 1.4, (100, 100)) == [2]


@pytest.mark.parametrize("interval_s", [0.9, 1.0, 1.1, 2.0, 5.0, 60.0])
def test_where_frames_are_few_a_face_keeps_its_number_although_the_gap_is_long(interval_s: float) -> None:
    tracker = Tracker()
    numbers = [ids(tracker, frame * interval_s, (100 + 10 * frame, 100)) for frame in range(5)]
    assert numbers == [[1]] * 5
    assert ids(tracker, 5 * interval_s) == []
    assert ids(tracker, 6 * interval_s, (160, 100)) == [1]
    assert [tracker.update(Detections.empty(), frame * interval_s).lost for frame in (7, 8, 9)] == [(), (), (1,)]


def test_one_halt_is_not_taken_for_the_rate_and_a_machine_that_becomes_slow_is_followed() -> None:
    tracker = Tracker()
    times = [0.04 * frame for frame in range(10)]
    for time_s in times:
        ids(tracker, time_s, (100, 100))
    assert tracker.update(faces((100, 100)), 3.0).lost == (1,)  # after a halt nobody knows who it is
    numbers = [ids(tracker, 3.0 + 1.5 * frame, (100, 100)) for frame in range(1, 8)]
    assert numbers[3:] == [numbers[3]] * 4


def test_between_slow_frames_people_come_closer_and_leave_together_without_a_cut() -> None:
    tracker = Tracker()
    ids(tracker, 0.0, (100, 100), (300, 100))
    tracker.update(faces((100, 100), (300, 100)), 2.0)
    closer = tracker.update(faces((100, 100), side=100), 4.0)
    assert (closer.ids.tolist(), closer.sure.tolist(), closer.cut) == ([1], [False], False)
    assert tracker.update(faces((500, 300), (60, 300), (200, 10), side=100), 6.0).cut is False


def test_two_faces_that_pass_each_other_keep_their_numbers_by_their_motion() -> None:
    tracker = Tracker()
    for frame in range(30):
        x = 8.0 * frame
        found = ids(tracker, frame * FRAME_S, (100 + x, 100), (340 - x, 130))
    assert found == [1, 2]


def test_when_most_faces_jump_at_once_the_scene_was_cut() -> None:
    tracker = Tracker()
    ids(tracker, 0.0, (100, 100), (200, 100), (300, 100))
    tracks = tracker.update(faces((130, 120), (185, 80), (322, 122)), FRAME_S)
    assert tracks.cut
    assert set(tracks.lost) == {1, 2, 3}
    assert tracks.ids.tolist() == [4, 5, 6]  # new ones from left to right


def test_when_the_camera_moves_all_faces_move_alike_and_stay_who_they_are() -> None:
    tracker = Tracker()
    ids(tracker, 0.0, (100, 100), (200, 100), (300, 100))
    tracks = tracker.update(faces((122, 105), (222, 105), (322, 105)), FRAME_S)
    assert (tracks.ids.tolist(), tracks.cut, tracks.sure.tolist()) == ([1, 2, 3], False, [False] * 3)


def test_one_face_that_jumps_is_not_sure() -> None:
    tracker = Tracker()
    ids(tracker, 0.0, (100, 100), (300, 100))
    tracks = tracker.update(faces((120, 110), (301, 100)), FRAME_S)
    assert (tracks.ids.tolist(), tracks.sure.tolist()) == ([1, 2], [False, True])


def test_a_face_of_another_size_is_another_face() -> None:
    tracker = Tracker()
    ids(tracker, 0.0, (100, 100))
    assert tracker.update(faces((100, 100), side=90), FRAME_S).ids.tolist() == [2]


def test_a_split_face_goes_on_under_a_new_number() -> None:
    tracker = Tracker()
    ids(tracker, 0.0, (100, 100))
    assert tracker.split(1) == 2
    assert ids(tracker, FRAME_S, (101, 100)) == [2]


def test_a_followed_face_goes_on_from_where_it_has_got_to() -> None:
    tracker = Tracker()
    assert ids(tracker, 0.0, (100, 100)) == [1]
    assert tracker.in_view.shape == (1, 4)
    detections, tracks = tracker.follow(np.array([[30, 5]], np.float32), np.array([1.5], np.float32), FRAME_S)
    assert tracks.ids.tolist() == [1]
    assert tracks.hits.tolist() == [1], "it was not detected"
    assert detections.boxes[0, [0, 2]].mean() == pytest.approx(130)
    assert np.ptp(detections.boxes[0, [0, 2]]) == pytest.approx(1.5 * 40)


def test_nobody_is_followed_who_was_not_in_the_last_frame() -> None:
    tracker = Tracker()
    ids(tracker, 0.0, (100, 100))
    ids(tracker, FRAME_S)
    assert len(tracker.in_view) == 0
    detections, tracks = tracker.follow(np.empty((0, 2), np.float32), np.empty(0, np.float32), 2 * FRAME_S)
    assert (len(detections), len(tracks)) == (0, 0)
    assert ids(tracker, 3 * FRAME_S, (100, 100)) == [1]


def test_after_a_change_of_picture_no_link_is_sure() -> None:
    tracker = Tracker()
    tracker.update(faces((100, 100)), 0.0)
    tracks = tracker.update(faces((100, 100), (300, 100)), FRAME_S, same_picture=False)
    assert (tracks.ids.tolist(), tracks.sure.tolist()) == ([1, 2], [False, True])


def test_a_clock_that_goes_back_breaks_nothing() -> None:
    tracker = Tracker()
    ids(tracker, 5.0, (100, 100))
    assert ids(tracker, 1.0, (101, 100)) == [1]
