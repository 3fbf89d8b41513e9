"""Guided enrollment from pixels to the pool: rendered heads in every run, real clips where ../shared has them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from facepool import Analyzer, Frame, ModelStore, Pool, load_analyzer, open_pool, open_source
from facepool.enroll.scan import ScanStep
from facepool.enroll.session import EnrollmentSession, EnrollOptions
from facepool.errors import ScanIncomplete
from facepool.types import Image, Pose
from support.paths import DATA
from support.synthetic_camera import Shot, SyntheticCamera, SyntheticHead, head_circle, rotation_of

pytestmark = pytest.mark.slow

VIDEOS = DATA / "videos"
WOJTEK = VIDEOS / "metrical-tracker" / "wojtek.mp4"
ONE_SIDE = VIDEOS / "vhap" / "person_0004_input_panel.mp4"
HeadOf = Callable[[str], SyntheticHead]


@pytest.fixture(scope="module")
def analyzer(open_store: ModelStore) -> Analyzer:
    return load_analyzer(store=open_store, device="cpu")


@pytest.fixture
def pool(tmp_path: Path, analyzer: Analyzer) -> Iterator[Pool]:
    with open_pool(tmp_path / "pool.db", analyzer.space) as pool:
        yield pool


def scan_all(guided: EnrollmentSession, frames: Iterable[Frame]) -> list[ScanStep]:
    return [guided.scan(frame) for frame in frames]


def seen_from(pitch: float, poses: Sequence[Pose]) -> list[Pose]:
    """The same head movement before a camera that stands above the eyes (pitch below 0) or below them."""
    camera = rotation_of(Pose(0, pitch, 0))
    return [_pose(camera @ rotation_of(pose)) for pose in poses]


def _pose(rotation: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Pose:
    x, y, z = -rotation[:, 2]
    return Pose(
        float(np.degrees(np.arctan2(x, -z))),
        float(np.degrees(np.arcsin(-y))),
        float(np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0]))),
    )


@pytest.mark.parametrize("camera_pitch", [0.0, -18.0, 15.0])
def test_a_head_that_looks_around_in_a_circle_is_registered_wherever_the_camera_stands(
    head_of: HeadOf, analyzer: Analyzer, pool: Pool, camera_pitch: float
) -> None:
    poses = seen_from(camera_pitch, head_circle(28, 72, still=9))  # 2.4 s of a camera
    guided = EnrollmentSession("Ada", analyzer, pool)
    scans = scan_all(guided, SyntheticCamera(head_of("person_a_2"), poses))
    assert scans[-1].phase == "done"
    report = guided.finish()
    assert (report.covered, report.partial) == (1, False)
    assert guided.commit() == sum(view.stored for view in report.views)
    assert len(pool.templates("Ada")) >= 8


def test_half_a_circle_is_stored_only_on_purpose(head_of: HeadOf, analyzer: Analyzer, pool: Pool) -> None:
    poses = head_circle(28, 36, still=9)[: 9 + 19]
    for partial in (False, True):
        guided = EnrollmentSession("Ada", analyzer, pool, options=EnrollOptions(partial=partial))
        last = scan_all(guided, SyntheticCamera(head_of("person_a_2"), poses))[-1]
        assert 0.4 <= last.coverage <= 0.75
        if not partial:
            with pytest.raises(ScanIncomplete, match="down"):
                guided.finish()
    assert guided.commit() > 0
    assert all(template.sample.partial for template in pool.templates("Ada"))


def test_the_camera_is_told_what_is_wrong(head_of: HeadOf, analyzer: Analyzer, pool: Pool) -> None:
    straight = Pose(0, 0, 0)
    shots = [
        Shot(None),
        Shot(straight, scale=0.25),
        Shot(straight, blur=7),
        Shot(straight, brightness=0.12),
        Shot(Pose(32, 0, 0)),
        Shot(straight, shift=(-130, 0), beside=Shot(straight, shift=(130, 0), head=head_of("person_b_1"))),
    ]
    guided = EnrollmentSession("Ada", analyzer, pool)
    codes = [scan.hint.code for scan in scan_all(guided, SyntheticCamera(head_of("person_a_2"), shots))]
    assert codes == ["come_into_view", "come_closer", "hold_still", "more_light", "look_straight", "one_person_only"]


@pytest.mark.parametrize("pattern", ["me other", "me me me other other other", "both me me", "me nobody me other both"])
def test_an_intruder_in_the_same_room_is_never_stored(
    head_of: HeadOf, analyzer: Analyzer, pool: Pool, pattern: str
) -> None:
    poses = head_circle(28, 30, still=9)
    who = ["me"] * 10 + [name for _ in poses for name in pattern.split()]
    shots = [_shot(name, pose, head_of("person_b_1")) for name, pose in zip(who, poses, strict=False)]
    guided = EnrollmentSession("Ada", analyzer, pool, options=EnrollOptions(partial=True))
    scans = scan_all(guided, SyntheticCamera(head_of("person_a_2"), shots))
    for name, scan in zip(who, scans, strict=False):
        assert name == "me" or (scan.phase == "paused" and scan.outcome in ("other", "several_faces", "no_face"))
    guided.commit()
    assert {who[template.sample.frame] for template in pool.templates("Ada")} == {"me"}


def _shot(who: str, pose: Pose, intruder: SyntheticHead) -> Shot:
    if who == "both":
        return Shot(pose, shift=(-130, 0), beside=Shot(pose, shift=(130, 0), head=intruder))
    return {"me": Shot(pose), "other": Shot(pose, head=intruder), "nobody": Shot(None)}[who]


def clip(path: Path, step: int = 2) -> list[Frame]:
    with open_source(str(path)) as source:
        return [frame for frame in source if frame.index % step == 0]


@pytest.mark.shared
def test_a_real_head_that_looks_around_fills_the_ring(analyzer: Analyzer, pool: Pool) -> None:
    guided = EnrollmentSession("Wojtek", analyzer, pool)
    scans = scan_all(guided, clip(WOJTEK))
    assert scans[-1].phase == "done"
    assert not [scan.outcome for scan in scans if scan.phase == "paused"]
    report = guided.finish()
    assert report.miss_share() == 0
    assert 8 <= guided.commit() <= 16


@pytest.mark.shared
def test_a_head_that_turns_to_one_side_only_is_partial(analyzer: Analyzer, pool: Pool) -> None:
    guided = EnrollmentSession("Ada", analyzer, pool, options=EnrollOptions(partial=True))
    assert scan_all(guided, clip(ONE_SIDE, 1))[-1].phase == "ring"
    report = guided.finish()
    assert report.partial
    assert "right" in {direction.words for direction in report.thin}
    assert "left" not in {direction.words for direction in report.thin}
    assert guided.commit() > 0


@pytest.mark.shared
@pytest.mark.parametrize("pattern", ["me me other", "me me me me other other other other", "me both me"])
def test_two_real_people_mixed_frame_by_frame_leave_templates_of_one(
    analyzer: Analyzer, pool: Pool, pattern: str
) -> None:
    mine, others = clip(WOJTEK, 4), clip(ONE_SIDE, 4)
    who = ["me"] * 10 + [name for _ in mine for name in pattern.split()]
    guided = EnrollmentSession("Wojtek", analyzer, pool, options=EnrollOptions(partial=True))
    for index, frame in enumerate(mine):
        other = others[index % len(others)]
        pictures = {"me": [frame], "other": [other], "both": [frame, other]}[who[index]]
        guided.scan(Frame(_beside([picture.image_bgr for picture in pictures]), "mixed", index))
    guided.commit()
    assert {who[template.sample.frame] for template in pool.templates("Wojtek")} == {"me"}


def _beside(images: Sequence[Image]) -> Image:
    return np.concatenate(images, axis=1)
