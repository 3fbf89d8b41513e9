"""Comparing two pictures: which faces are compared, and which pictures are refused; photos that do not lie upright."""

from pathlib import Path

import numpy as np
import pytest

from facepool import Analyzer, ModelStore, load_analyzer, read_image, verify
from facepool.errors import ImplausibleLandmarks, NoFace
from facepool.geometry import turn_image
from facepool.types import TURNS, Image, Turn
from support.fake_analyzer import FakeAnalyzer, Scene, view

ADA, BOB = 0, 1


@pytest.fixture
def fake() -> FakeAnalyzer:
    return FakeAnalyzer()


@pytest.fixture(scope="module")
def analyzer(open_store: ModelStore) -> Analyzer:
    return load_analyzer(store=open_store, device="cpu")


def shown(fake: FakeAnalyzer, scene: Scene) -> Image:
    return fake.frame_of(scene).image_bgr


@pytest.mark.parametrize("turn", TURNS)
def test_photos_on_their_side_or_head_are_compared_as_if_they_were_upright(
    analyzer: Analyzer, photos: Path, turn: Turn
) -> None:
    def lying(name: str) -> Image:
        return turn_image(read_image(photos / f"{name}.jpg"), turn)

    same = verify(lying("person_a_1"), lying("person_a_2"), analyzer)
    assert same.match
    assert same.similarity == pytest.approx(0.60, abs=0.08)
    strangers = [("person_a_2", "person_b_1"), ("impostor_1", "person_b_2"), ("impostor_2", "person_a_2")]
    assert max(verify(lying(one), lying(other), analyzer).similarity for one, other in strangers) < 0.3


def test_what_fits_no_head_is_not_compared(fake: FakeAnalyzer) -> None:
    good, bad = shown(fake, Scene(view(ADA, 0))), shown(fake, Scene(view(ADA, 0), misfit_mm=9))
    with pytest.raises(ImplausibleLandmarks, match=r"second picture.*9 mm off") as raised:
        verify(good, bad, fake)
    assert (raised.value.code, raised.value.exit_code) == ("implausible_landmarks", 3)
    with pytest.raises(NoFace, match="first picture"):
        verify(shown(fake, Scene()), good, fake)


def test_the_largest_face_is_compared(analyzer: Analyzer, photos: Path) -> None:
    large, small = (read_image(photos / f"{name}.jpg") for name in ("person_b_1", "person_a_2"))
    both = np.zeros((900, 1200, 3), np.uint8)
    both[: large.shape[0], : large.shape[1]] = large
    both[:300, 900:1140] = small[:900:3, :720:3]
    compared = verify(both, read_image(photos / "person_b_2.jpg"), analyzer)
    assert len(compared.faces[0]) == 2
    assert compared.match
