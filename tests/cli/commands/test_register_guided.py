"""``facepool register NAME`` on films in which a head looks around: rendered ones, and real ones from ../shared."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from facepool import open_pool, read_image
from facepool.capture import VideoWriter
from facepool.types import Pose
from support.commands import Commands
from support.paths import DATA
from support.synthetic_camera import SyntheticCamera, SyntheticHead, head_circle

pytestmark = pytest.mark.slow

VIDEOS = DATA / "videos"
WOJTEK = VIDEOS / "metrical-tracker" / "wojtek.mp4"
ONE_SIDE = VIDEOS / "vhap" / "person_0004_input_panel.mp4"
HeadOf = Callable[[str], SyntheticHead]
STILL, STEPS = 9, 24
ROUND = head_circle(30, STEPS, still=STILL)


def film(path: Path, head: SyntheticHead, poses: Sequence[Pose]) -> Path:
    with VideoWriter(path, 25, (640, 480)) as writer:
        for frame in SyntheticCamera(head, poses, 25):
            writer.write(frame.image_bgr, frame.time_s)
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, head_of: HeadOf) -> Path:
    """``round.mp4``, a whole circle, and ``part.mp4``, half of it."""
    folder = tmp_path_factory.mktemp("films")
    film(folder / "round.mp4", head_of("person_a_2"), ROUND)
    film(folder / "part.mp4", head_of("person_a_2"), ROUND[: STILL + STEPS // 2 + 1])
    return folder


def test_a_film_of_a_head_that_looks_around_registers_it(facepool: Commands, films: Path, photos: Path) -> None:
    outcome = facepool("register", "Ada", "-s", films / "round.mp4", "--headless", "--report", "ada.png")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert any(line.startswith("12 of 12 directions") for line in lines)
    assert lines[-1] == f"Ada: {facepool.people()['Ada']} new views stored in {facepool.pool}"
    assert facepool.people()["Ada"] >= 8
    assert read_image(facepool.folder / "ada.png").shape == (860, 1280, 3)
    (seen,) = facepool("recognize", photos / "person_a_1.jpg", "--json").records
    assert seen["person"] == "Ada"


def test_half_a_circle_is_refused_and_stored_only_on_purpose(facepool: Commands, films: Path) -> None:
    refused = facepool("register", "Ada", films / "part.mp4", "--headless")
    assert refused.code == 3
    assert "[scan_incomplete]" in refused.error
    assert "down" in refused.error
    assert "--partial" in refused.error
    assert not facepool.pool.exists()
    accepted = facepool("register", "Ada", films / "part.mp4", "--headless", "--partial", "--json")
    (record,) = accepted.records
    assert (accepted.code, record["partial"]) == (0, True)
    assert facepool.people() == {"Ada": record["stored"]}
    with open_pool(facepool.pool) as pool:
        assert all(template.sample.partial for template in pool.templates("Ada"))


def test_a_film_that_does_not_do_what_is_asked_registers_nobody_alive(
    facepool: Commands, films: Path, photos: Path
) -> None:
    refused = facepool("register", "Ada", films / "round.mp4", "--headless", "--live", "--json")
    assert refused.code == 3
    assert '"error": "not_live"' in refused.err
    assert any("challenge" in record for record in refused.records)
    assert not facepool.pool.exists()
    pictures = facepool("register", "Ada", photos / "person_a_1.jpg", films / "round.mp4", "--headless", "--live")
    assert pictures.code == 2
    assert "--live cannot be used with pictures" in pictures.error


def test_what_one_film_lacks_another_gives(facepool: Commands, films: Path, tmp_path: Path, head_of: HeadOf) -> None:
    rest = film(tmp_path / "rest.mp4", head_of("person_a_2"), ROUND[STILL + STEPS // 2 - 2 :])
    outcome = facepool("register", "Ada", films / "part.mp4", rest, "--headless", "--json")
    assert outcome.code == 0, outcome.err
    (record,) = outcome.records
    assert not record["partial"]


def test_a_film_and_pictures_together(facepool: Commands, films: Path, photos: Path) -> None:
    outcome = facepool("register", "Ada", photos / "person_a_1.jpg", films / "round.mp4", "--headless", "--json")
    assert outcome.code == 0, outcome.err
    (record,) = outcome.records
    assert record["pictures"] == {"stored": 1, "frames": 1, "outcomes": {"taken": 1}}
    with open_pool(facepool.pool) as pool:
        sources = {Path(template.sample.source).name for template in pool.templates("Ada")}
    assert sources == {"person_a_1.jpg", "round.mp4"}


def test_a_look_alike_in_the_pool_is_decided_on_before_saving(facepool: Commands, crowd: Commands, films: Path) -> None:
    facepool.take_pool_of(crowd)
    scan = ("register", "Eve", films / "round.mp4", "--headless")
    refused = facepool(*scan)
    assert refused.code == 4
    assert "[identity_conflict]" in refused.error
    assert "--same-as 'Ada'" in refused.error
    assert facepool.people() == {"Ada": 1, "Bob": 1}
    assert facepool(*scan, "--different-from", "Ada").code == 0
    with open_pool(facepool.pool) as pool:
        assert pool.look_alikes() == {frozenset(("Ada", "Eve"))}
    facepool.take_pool_of(crowd)
    assert facepool(*scan, "--same-as", "Ada").code == 0
    assert facepool.people().keys() == {"Ada", "Bob"}
    assert facepool.people()["Ada"] > 5


def test_a_second_look_is_added_up_to_the_cap(facepool: Commands, films: Path, tmp_path: Path, head_of: HeadOf) -> None:
    capped = ("--headless", "--max-templates", "3")
    assert facepool("register", "Ada", films / "round.mp4", *capped).code == 0
    assert facepool.people() == {"Ada": 3}
    full = facepool("register", "Ada", films / "round.mp4", *capped)
    assert full.code == 4
    assert "[person_full]" in full.error
    assert "Looking at" not in full.err
    other = film(tmp_path / "other.mp4", head_of("person_a_1"), ROUND)
    outcome = facepool("register", "Ada", other, *capped, "--appearance", "glasses")
    assert outcome.code == 0, outcome.err
    assert facepool.people() == {"Ada": 6}


@pytest.mark.shared
def test_a_real_head_that_looks_around_is_registered(facepool: Commands) -> None:
    outcome = facepool("register", "Wojtek", "-s", WOJTEK, "--headless", "--json")
    assert outcome.code == 0, outcome.err
    (record,) = outcome.records
    assert 300 <= int(str(record["frames"])) <= 400
    assert not record["partial"]
    assert 8 <= facepool.people()["Wojtek"] <= 16


@pytest.mark.shared
def test_a_real_head_that_looks_to_one_side_is_refused(facepool: Commands) -> None:
    refused = facepool("register", "Ada", "-s", ONE_SIDE, "--headless")
    assert refused.code == 3
    assert "right" in refused.error
