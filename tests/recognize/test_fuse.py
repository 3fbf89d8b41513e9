"""Fusion of observations into one answer, and the answers of several faces together."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facepool.faces.analyze import Faces
from facepool.faces.quality import FaceMeasures
from facepool.recognize.decide import Claim, Criteria, decide, decide_together
from facepool.recognize.fuse import (
    LEAST_WEIGHT,
    Observation,
    fuse,
    keep,
    likeness,
    observe,
    promise_to_beat,
    weigh,
    weigh_capture,
)
from facepool.types import Candidate, Detections, Floats, Pose

PEOPLE = 3
WEIGHTS = st.floats(LEAST_WEIGHT, 1)
ROWS = st.lists(st.tuples(*[st.floats(-1, 1, width=32)] * PEOPLE), min_size=1, max_size=6)


def observation(weight: float, yaw: float | None = 0.0, time_s: float = 0.0) -> Observation:
    pose = None if yaw is None else Pose(yaw, 0.0, 0.0)
    return Observation(np.eye(4, dtype=np.float32)[0], weight, weight, pose, 100.0, time_s)


def seen(measures: FaceMeasures, pose: Pose) -> Faces:
    """One face."""
    detections = Detections(np.zeros((1, 4), np.float32), measures.score, np.zeros((1, 5, 2), np.float32))
    return Faces(detections, np.eye(1, 4, dtype=np.float32), measures, [pose])


def kept(*observations: Observation, capacity: int = 8, per_pose: int = 3) -> tuple[Observation, ...]:
    remembered: tuple[Observation, ...] = ()
    for new in observations:
        remembered = keep(remembered, new, capacity=capacity, per_pose=per_pose, same_pose_degrees=12)
    return remembered


def matrix(rows: list[tuple[float, ...]]) -> Floats:
    return np.array(rows, np.float32).reshape(-1, PEOPLE)


@given(ROWS, st.data())
def test_the_order_of_observations_does_not_matter(rows: list[tuple[float, ...]], data: st.DataObject) -> None:
    weights = [data.draw(WEIGHTS) for _ in rows]
    order = data.draw(st.permutations(range(len(rows))))
    shuffled = fuse(matrix([rows[i] for i in order]), [weights[i] for i in order])
    assert fuse(matrix(rows), weights) == pytest.approx(shuffled, abs=1e-6)


@given(ROWS, st.data(), st.floats(0, 1))
def test_an_observation_that_resembles_a_person_more_never_takes_from_them(
    rows: list[tuple[float, ...]], data: st.DataObject, more: float
) -> None:
    weights = [data.draw(WEIGHTS) for _ in rows]
    better = [(rows[0][0] + more, *rows[0][1:]), *rows[1:]]
    before, after = fuse(matrix(rows), weights), fuse(matrix(better), weights)
    assert after[0] >= before[0] - 1e-6
    assert after[1:] == pytest.approx(before[1:])


@given(st.tuples(*[st.floats(-1, 1, width=32)] * PEOPLE), WEIGHTS)
def test_one_observation_is_its_own_answer(row: tuple[float, ...], weight: float) -> None:
    assert fuse(matrix([row]), [weight]) == pytest.approx(np.array(row, np.float32), abs=1e-6)


@given(ROWS, st.data())
def test_no_person_is_nearer_than_in_the_best_observation(rows: list[tuple[float, ...]], data: st.DataObject) -> None:
    fused = fuse(matrix(rows), [data.draw(WEIGHTS) for _ in rows])
    assert (fused <= matrix(rows).max(axis=0) + 1e-6).all()


def test_a_sharp_frontal_observation_counts_more_than_a_turned_or_poor_one() -> None:
    frontal = weigh_capture(90, Pose(5, 0, 0))
    assert weigh(90) > frontal > weigh_capture(90, Pose(60, 0, 0)) > weigh_capture(90, Pose(100, 0, 0)) == LEAST_WEIGHT
    assert frontal > weigh_capture(40, Pose(5, 0, 0))
    assert frontal > weigh_capture(90, None) > LEAST_WEIGHT


def test_what_the_embedder_made_of_a_face_counts_by_itself() -> None:
    turned = Pose(60, 0, 0)
    row = np.ones(1, np.float32)
    capture = FaceMeasures(112 * row, 200 * row, 128 * row, 50 * row, row, row, row)
    assert [
        observe(seen(replace(capture, unified=unified), turned), 0, 0.0, with_picture=False).weight
        for unified in (80 * row, np.nan * row, None)
    ] == pytest.approx([0.64, 0.5**0.5, 0.5**0.5])


@given(st.lists(st.tuples(WEIGHTS, st.floats(-90, 90)), min_size=1, max_size=30), st.integers(1, 8), st.integers(1, 4))
def test_memory_is_bounded_and_the_best_observation_stays(
    seen: list[tuple[float, float]], capacity: int, per_pose: int
) -> None:
    remembered = kept(*(observation(weight, yaw) for weight, yaw in seen), capacity=capacity, per_pose=per_pose)
    assert len(remembered) <= capacity
    assert max(one.weight for one in remembered) == max(weight for weight, _ in seen)


def test_one_pose_does_not_crowd_out_the_others() -> None:
    remembered = kept(observation(0.2, 60), *(observation(0.9, 0, time_s) for time_s in range(10)), per_pose=3)
    assert sorted(one.weight for one in remembered) == [0.2, 0.9, 0.9, 0.9]
    assert sorted(one.time_s for one in remembered)[1:] == [7, 8, 9]


def test_an_observation_has_to_beat_the_weakest_of_its_pose() -> None:
    remembered = kept(observation(0.5, 0), observation(0.3, 3), observation(0.8, 30), observation(0.1, None))
    assert promise_to_beat(remembered, Pose(5, 0, 0), 12) == 0.3
    assert promise_to_beat(remembered, Pose(25, 0, 0), 12) == 0.8
    assert promise_to_beat(remembered, Pose(15, 0, 0), 12) is None
    assert promise_to_beat(remembered, None, 12) == 0.1


def test_likeness_is_to_the_nearest_observation() -> None:
    assert likeness([observation(1)], np.eye(4, dtype=np.float32)[0]) == 1
    assert likeness([observation(1)], np.eye(4, dtype=np.float32)[1]) == 0


def candidates(**similarity: float) -> tuple[Candidate, ...]:
    ordered = sorted(similarity.items(), key=lambda pair: -pair[1])
    return tuple(Candidate(person, value, 0) for person, value in ordered)


def together(*claims: Claim, margin: float = 0.05) -> list[tuple[str | None, str]]:
    decisions = decide_together(claims, Criteria(0.4, min_margin=margin, hysteresis=0.05))
    return [(decision.person, decision.reason) for decision in decisions]


@given(st.lists(st.floats(-1, 1), max_size=4), st.floats(-1, 1), st.floats(0, 0.2), st.sampled_from([None, "p0", "p1"]))
@example([0.0, 3e-186], -1.0, 0.0, None).via("a lead that is lost in rounding")
def test_a_single_face_gets_the_plain_decision(
    similarities: list[float], threshold: float, margin: float, held: str | None
) -> None:
    nearest = candidates(**{f"p{i}": value for i, value in enumerate(similarities)})
    plain = decide(nearest, Criteria(threshold, min_margin=margin, hysteresis=0.05), held=held)
    one = decide_together([Claim(nearest, held=held)], Criteria(threshold, margin, hysteresis=0.05))[0]
    assert (one.person, one.reason, one.similarity) == (plain.person, plain.reason, plain.similarity)


@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), max_size=5))
def test_nobody_is_two_faces(rows: list[list[float]]) -> None:
    claims = [Claim(candidates(a=a, b=b, c=c)) for a, b, c in rows]
    named = [person for person, _ in together(*claims) if person is not None]
    assert len(named) == len(set(named))


def test_the_better_match_wins_and_the_other_is_told_why() -> None:
    both = together(Claim(candidates(Ada=0.6)), Claim(candidates(Ada=0.8)))
    assert both == [(None, "already_in_view"), ("Ada", "match")]


def test_who_loses_their_person_does_not_become_the_second_best() -> None:
    both = together(Claim(candidates(Ada=0.7, Bob=0.5)), Claim(candidates(Ada=0.8)))
    assert both == [(None, "already_in_view"), ("Ada", "match")]


def test_between_two_people_of_whom_one_is_clearly_somebody_else_in_view_it_is_the_other() -> None:
    both = together(Claim(candidates(Ada=0.62, Eve=0.61)), Claim(candidates(Ada=0.7, Eve=0.3)))
    assert both == [("Eve", "match"), ("Ada", "match")]


def test_two_faces_between_the_same_two_people_stay_ambiguous() -> None:
    both = together(Claim(candidates(Ada=0.62, Eve=0.61)), Claim(candidates(Ada=0.61, Eve=0.62)))
    assert both == [(None, "ambiguous"), (None, "ambiguous")]


def test_who_has_the_name_keeps_it_unless_beaten_clearly() -> None:
    assert together(Claim(candidates(Ada=0.37), held="Ada")) == [("Ada", "match")]
    assert together(Claim(candidates(Ada=0.34), held="Ada")) == [(None, "below_threshold")]
    assert together(Claim(candidates(Eve=0.50, Ada=0.50), held="Ada")) == [("Ada", "match")]
    assert together(Claim(candidates(Ada=0.60), held="Ada"), Claim(candidates(Ada=0.63)))[0] == ("Ada", "match")
    assert together(Claim(candidates(Ada=0.60), held="Ada"), Claim(candidates(Ada=0.70)))[0][0] is None


def test_a_face_too_poor_claims_nobody() -> None:
    both = together(Claim(candidates(Ada=0.9), usable=False), Claim(candidates(Ada=0.5)))
    assert both == [(None, "low_quality"), ("Ada", "match")]


def test_nobody_in_view_is_no_decision() -> None:
    assert together() == []
