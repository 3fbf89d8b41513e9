"""The synthetic camera itself: what other tests take for the truth has to look like a person to the networks."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from facepool import Analyzer, Faces, ModelStore, load_analyzer
from facepool.capture import FrameSource
from facepool.types import Image, Pose
from support.synthetic_camera import Shot, SyntheticCamera, SyntheticHead, head_circle

STRAIGHT = Pose(0, 0, 0)
SAME_PERSON = 0.37  # one in a thousand pairs of strangers is more alike
HeadOf = Callable[[str], SyntheticHead]


@pytest.fixture(scope="module")
def analyzer(open_store: ModelStore) -> Analyzer:
    return load_analyzer(store=open_store, device="cpu")


def alike(faces: Faces, others: Faces) -> float:
    return float(faces.embeddings[0] @ others.embeddings[0])


@pytest.mark.parametrize("name", ["person_a_2", "person_b_1", "impostor_1"])
def test_a_turned_head_is_found_and_stays_the_same_person(name: str, head_of: HeadOf, analyzer: Analyzer) -> None:
    head = head_of(name)
    straight = analyzer.analyze(head.render(STRAIGHT))
    for yaw, pitch in [(-35, 0), (35, 0), (0, -20), (0, 20), (-25, 14), (25, -14)]:
        faces = analyzer.analyze(head.render(Pose(yaw, pitch, 0)))
        assert len(faces) == 1, (yaw, pitch)
        assert alike(faces, straight) > SAME_PERSON, (yaw, pitch)


def test_the_head_is_whom_the_photo_shows(head_of: HeadOf, analyzer: Analyzer) -> None:
    first = analyzer.analyze(head_of("person_a_2").render(STRAIGHT))
    again = analyzer.analyze(head_of("person_a_1").render(STRAIGHT))
    other = analyzer.analyze(head_of("person_b_1").render(STRAIGHT))
    assert alike(first, again) > SAME_PERSON
    assert alike(first, other) < 0.25


def test_shift_and_scale_move_the_face(head_of: HeadOf, analyzer: Analyzer) -> None:
    head = head_of("person_b_1")
    middle, moved, near = (
        analyzer.analyze(image).detections
        for image in (
            head.render(STRAIGHT),
            head.render(STRAIGHT, shift=(150, -40)),
            head.render(STRAIGHT, scale=1.4),
        )
    )
    nose = moved.landmarks[0, 2] - middle.landmarks[0, 2]
    np.testing.assert_allclose(nose, (150, -40), atol=12)
    assert near.sizes[0] / middle.sizes[0] == pytest.approx(1.45, abs=0.15)


def test_a_shot_can_be_dark_blurred_empty_or_of_two_people(head_of: HeadOf, analyzer: Analyzer) -> None:
    camera = SyntheticCamera(head_of("person_a_2"), [])
    left, right = (-150, 0), (150, 0)
    second = Shot(STRAIGHT, shift=right, head=head_of("person_b_1"))

    def faces(shot: Shot) -> Faces:
        return analyzer.analyze(camera.take(shot))

    good = faces(Shot(STRAIGHT))
    assert faces(Shot(STRAIGHT, brightness=0.3)).measures.brightness[0] < 0.5 * good.measures.brightness[0]
    assert faces(Shot(STRAIGHT, blur=4)).measures.sharpness[0] < 15 < good.measures.sharpness[0]
    assert len(faces(Shot(None))) == 0
    assert len(faces(Shot(STRAIGHT, shift=left, beside=second))) == 2


def test_it_is_a_source_of_frames(head_of: HeadOf) -> None:
    source: FrameSource = SyntheticCamera(head_of("person_b_1"), head_circle(30, 8, still=2), fps=20, wh=(320, 240))
    with source:
        frames = [next(iter(source)), *source]
        assert [frame.index for frame in frames] == list(range(10))
        assert [frame.time_s for frame in frames] == pytest.approx([index / 20 for index in range(10)])
        assert all(frame.image_bgr.shape == (240, 320, 3) for frame in frames)
        assert list(source) == []


def test_a_closed_camera_yields_nothing(head_of: HeadOf) -> None:
    source = SyntheticCamera(head_of("person_b_1"), [STRAIGHT] * 3)
    next(iter(source))
    source.close()
    assert list(source) == []


def test_a_circle_begins_straight_and_reaches_every_direction() -> None:
    poses = head_circle(30, 12, pitch_share=0.5, still=3, rounds=2)
    assert poses[:3] == [STRAIGHT] * 3
    assert len(poses) == 3 + 2 * 12
    assert [round(angle) for angle in _extremes(poses)] == [-30, 30, -15, 15]
    assert all(abs(a.yaw - b.yaw) < 20 for a, b in pairwise(poses[3:]))


def _extremes(poses: list[Pose]) -> list[float]:
    yaws, pitches = [pose.yaw for pose in poses], [pose.pitch for pose in poses]
    return [min(yaws), max(yaws), min(pitches), max(pitches)]


def test_rendering_leaves_the_picture_that_it_draws_into_alone(head_of: HeadOf) -> None:
    grey: Image = np.full((480, 640, 3), 90, np.uint8)
    drawn = head_of("person_b_1").render(STRAIGHT, onto=grey)
    assert (grey == 90).all()
    assert (drawn[:20] == 90).all()
    assert (drawn != 90).any()
