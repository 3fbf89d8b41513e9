"""What a Python session shows of results: one line each, which says so where there is nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facepool import Pool, open_pool, register
from facepool.enroll.session import EnrollmentSession, Registration
from facepool.recognize.events import Event, LiveView
from facepool.recognize.pictures import RecognizedFaces
from facepool.recognize.verify import Verification
from facepool.thresholds import Threshold
from facepool.types import Candidate, Decision, Detections, Frame, Pose, Sample, Template
from support.fake_scan_analyzer import SPACE, FakeScanAnalyzer, Head
from support.pools import unit

FITS = 96
UNKNOWN = Decision(None, 0.2, 0.4, None, "below_threshold")
ADA = Decision("Ada", 0.81, 0.4, 0.3, "match", candidates=(Candidate("Ada", 0.81, 1, person_id="1" * 36),))
WALL = np.zeros((480, 640, 3), np.uint8)


@pytest.fixture
def analyzer() -> FakeScanAnalyzer:
    return FakeScanAnalyzer()


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return open_pool(tmp_path / "pool.db", SPACE)


def detections(count: int) -> Detections:
    return Detections(np.zeros((count, 4), np.float32), np.ones(count, np.float32), np.zeros((count, 5, 2), np.float32))


def test_registering_says_how_many_pictures_were_stored_and_why_the_others_were_not(
    analyzer: FakeScanAnalyzer, pool: Pool
) -> None:
    pictures = [analyzer.frame(*heads).image_bgr for heads in ([Head()], [Head()], [], [Head(), Head(1)])]
    some = register("Ada", pictures, analyzer, pool)
    assert repr(some) == "<Registration: 1 of 4 pictures of Ada stored: 1 known_view, 1 no_face, 1 several_faces>"
    assert (len(some), some.stored, some.person, some[2].outcome) == (4, 1, "Ada", "no_face")
    assert repr(register("Bob", pictures[2:3], analyzer, pool)) == (
        "<Registration: nothing of 1 picture of Bob stored: 1 no_face>"
    )
    assert repr(register("Bob", [], analyzer, pool)) == "<Registration: nothing of Bob stored, no picture was given>"
    assert isinstance(some, Registration)
    assert isinstance(some, list)


def test_results_are_shown_on_one_line(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    session = EnrollmentSession("Ada", analyzer, pool)
    step = session.scan(analyzer.frame(Head()))
    faces = step.faces
    event = Event("recognized", 1, "Ada", None, 0.81, 0.4, None, 3, 0.2, (0, 0, 9, 9), "match", crop_bgr=WALL)
    sample = Sample(unit(1), source="ada.jpg", pose=Pose(14.2, -3, 0), quality=77.4)
    template = Template(3, "Ada", sample, "2026-01-02T03:04:05+00:00", "net")
    register("Ada", [analyzer.frame(Head()).image_bgr], analyzer, pool)
    both = np.ones(2, bool)
    shown = [
        step, faces, faces.detections, faces.measures, faces.aligned, session.coverage(), pool.changes(),
        Frame(WALL, "a.mp4", 7, 0.28), sample, template, ADA, UNKNOWN, event,
        LiveView(detections(2), np.arange(2), (ADA, None), (ADA, None), both, both, (event,), 1),
        RecognizedFaces(detections(2), (ADA, UNKNOWN)), RecognizedFaces(detections(60), (UNKNOWN,) * 60),
        Verification(0.8, Threshold(0.37, "few"), (0, 0), (faces, faces)), pool.templates("Ada")[0],
    ]  # fmt: skip
    for thing in shown:
        said = repr(thing)
        assert "\n" not in said
        assert "array" not in said
        assert len(said) <= FITS, said
    assert repr(ADA) == "<Decision: Ada (match), similarity 0.810, threshold 0.400, margin 0.300>"
    assert repr(template) == "<Template: 3 of Ada, quality 77, yaw 14, pitch -3, 2026-01-02T03:04:05+00:00>"
    assert repr(Frame(WALL, "a.mp4", 7, 0.28)) == "<Frame: 7 of a.mp4 at 0.280 s, 640 x 480 pixels>"


def test_an_empty_result_says_that_it_is_empty(analyzer: FakeScanAnalyzer) -> None:
    nothing = analyzer.analyze(analyzer.frame().image_bgr)
    empty = replace(UNKNOWN, similarity=None, reason="empty_pool")
    assert repr(nothing) == "<Faces: no face>"
    assert repr(nothing.detections) == "<Detections: no face>"
    assert repr(RecognizedFaces(Detections.empty(), ())) == "<RecognizedFaces: no face>"
    assert repr(empty) == "<Decision: unknown (empty_pool), threshold 0.400>"
