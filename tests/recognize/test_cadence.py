"""Faces are sought in few frames, and nothing is lost by it: painted scenes that really move."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facepool import Pool, open_pool
from facepool.errors import OutOfMemory
from facepool.recognize.cadence import LONGEST_S, DetectEvery
from facepool.recognize.events import LiveView
from facepool.recognize.live import LiveOptions, LiveRecognizer
from facepool.recognize.motion import MotionEstimator
from facepool.types import Frame, Image, Sample
from support.fake_analyzer import SPACE, view
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer

FPS = 30
SIZE_HW = (180, 320)
RNG = np.random.default_rng(0)


def texture(height: int, width: int, patch: int) -> Image:
    """Patches of random colours, so many pixels wide."""
    colours = RNG.integers(0, 255, (height // patch + 1, width // patch + 1, 3)).astype(np.uint8)
    return np.repeat(np.repeat(colours, patch, axis=0), patch, axis=1)[:height, :width]


ROOM, OTHER_ROOM, SKIN = texture(*SIZE_HW, 20), texture(*SIZE_HW, 20), texture(60, 60, 4)


class Stage(FakeLiveAnalyzer):
    """Paints each actor where the fake finds one."""

    def paint(self, actors: Sequence[Actor], room: Image = ROOM, *, fps: float = FPS) -> Frame:
        frame = self.frame(*actors)
        image = room.copy()
        for actor in actors:
            left, top, side = int(actor.x - actor.size / 2), int(actor.y - actor.size / 2), int(actor.size)
            image[top : top + side, left : left + side] = SKIN[:side, :side]
        image[0, 0] = frame.image_bgr[0, 0]
        return Frame(image, "painted", frame.index, frame.index / fps)


@pytest.fixture
def stage(tmp_path: Path) -> "Theatre":
    return Theatre(tmp_path)


class Theatre:
    def __init__(self, folder: Path) -> None:
        self.analyzer = Stage()
        self.pool: Pool = open_pool(folder / "pool.db", SPACE)
        self.pool.register("Ada", [Sample(view(0, 0))], SPACE)
        self.live = LiveRecognizer(self.analyzer, self.pool)

    def use(self, detect_every: DetectEvery) -> None:
        self.live = LiveRecognizer(self.analyzer, self.pool, options=LiveOptions(detect_every=detect_every))

    def play(self, *actors: Actor, frames: int = 1, room: Image = ROOM, fps: float = FPS) -> LiveView:
        for _ in range(frames):
            seen = self.live.process(self.analyzer.paint(actors, room, fps=fps))
        return seen


def ada(x: float = 100, y: float = 90) -> Actor:
    return Actor(view(0, 10), x=x, y=y, size=60)


def stranger(x: float = 240) -> Actor:
    return Actor(view(2, 10), x=x, y=90, size=60)


def test_a_decided_face_is_followed_and_sought_five_times_a_second(stage: Theatre) -> None:
    stage.play(ada(), frames=6)
    before = stage.analyzer.found
    for step in range(60):
        seen = stage.play(ada(x=100 + step))
        assert seen.names == ("Ada",)
        assert seen.detections.boxes[0, [0, 2]].mean() == pytest.approx(100 + step, abs=3)
    assert 9 <= stage.analyzer.found - before <= 12


def test_a_newcomer_is_seen_within_a_fifth_of_a_second_even_if_nothing_seems_to_move(stage: Theatre) -> None:
    stage.play(ada(), frames=10)
    hidden = stage.analyzer.paint([ada()])
    seen = []
    for _ in range(FPS):
        frame = stage.analyzer.paint([ada(), stranger()])
        pixels = hidden.image_bgr.copy()  # the picture of before, in which the detector finds one more
        pixels[0, 0] = frame.image_bgr[0, 0]
        seen.append(len(stage.live.process(Frame(pixels, "painted", frame.index, frame.time_s))))
    assert seen[-1] == 2
    assert seen.index(2) / FPS < LONGEST_S


def test_who_comes_into_a_still_picture_is_seen_at_once(stage: Theatre) -> None:
    stage.play(ada(), frames=30)
    for _ in range(3):  # at any place between two detections
        assert len(stage.play(ada(), stranger())) == 2
        stage.play(ada(), frames=37)


def test_a_cut_is_seen_at_once_and_who_stands_in_the_same_place_is_compared(stage: Theatre) -> None:
    stage.play(ada(), frames=32)
    seen = stage.play(stranger(x=100), room=OTHER_ROOM)
    assert seen.embedded.all()
    assert seen.names == (None,)
    assert [event.reason for event in seen.events] == ["another_face"]


def test_a_face_that_cannot_be_followed_is_sought(stage: Theatre) -> None:
    stage.play(ada(), frames=30)
    before = stage.analyzer.found
    for step in range(6):
        stage.play(ada(x=100 if step % 2 else 220))
    assert stage.analyzer.found - before == 6


def test_in_every_frame_of_a_slow_camera_faces_are_sought(stage: Theatre) -> None:
    stage.play(ada(), frames=30, fps=5)
    assert stage.analyzer.found == 30


@pytest.mark.parametrize(("every", "found"), [(1, 60), (2, 30), (10, 6)])
def test_how_often_faces_are_sought_can_be_said(stage: Theatre, every: DetectEvery, found: int) -> None:
    stage.use(every)
    assert stage.play(ada(), frames=60).names == ("Ada",)
    assert stage.analyzer.found == found


def test_a_frame_of_another_size_is_compared_with_nothing() -> None:
    motion = MotionEstimator()
    assert motion.compare(ROOM, np.empty((0, 4), np.float32)) is None
    motion.begin(ROOM)
    assert motion.compare(ROOM[:100], np.empty((0, 4), np.float32)) is None
    assert not motion.begin(ROOM)


def test_a_frame_that_fails_is_one_frame(stage: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.play(ada(), frames=10)
    later = [replace(stage.analyzer.paint([stranger()]), time_s=5 + step / FPS) for step in range(4)]

    def fail(*_: object) -> None:
        raise OutOfMemory("There is no memory for it")

    with monkeypatch.context() as failing:
        failing.setattr(stage.analyzer, "prepare", fail)
        with pytest.raises(OutOfMemory):
            stage.live.process(later[0])  # Ada is gone since long
    assert [len(stage.live.process(frame)) for frame in later[1:]] == [1, 1, 1]


def test_what_comes_after_the_end_is_looked_at_anew(stage: Theatre) -> None:
    stage.play(ada(), frames=10)
    stage.live.finish(1.0)
    assert stage.play(ada(), frames=8).names == ("Ada",)


def test_a_source_that_changes_its_size_begins_anew_even_if_its_picture_looks_the_same() -> None:
    larger = np.repeat(np.repeat(ROOM, 2, axis=0), 2, axis=1)
    motion = MotionEstimator()
    motion.begin(ROOM)
    assert motion.compare(larger, np.array([[100, 60, 160, 120]], np.float32)) is None
    assert motion.begin(larger)


@pytest.mark.parametrize("fps", [np.inf, -FPS])
def test_a_clock_that_stands_still_or_goes_back_hides_nobody(stage: Theatre, fps: float) -> None:
    stage.play(ada(), frames=20, fps=fps)
    assert stage.analyzer.found == 20


def test_motion_is_measured_in_pixels_of_a_large_picture() -> None:
    fine = texture(*SIZE_HW, 4)
    large = np.repeat(np.repeat(fine, 4, axis=0), 4, axis=1)
    motion = MotionEstimator()
    motion.begin(large)
    moved = np.roll(large, 12, axis=1)
    measured = motion.compare(moved, np.array([[400, 200, 640, 440]], np.float32))
    assert measured is not None
    assert measured.followed.all()
    assert measured.moves[0] == pytest.approx([12, 0], abs=2)
    assert measured.scales[0] == pytest.approx(1, abs=0.03)
    assert not measured.cut
