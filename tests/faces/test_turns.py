"""How a camera is mounted, seen by the faces before it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from facepool import Analyzer, ModelStore, load_analyzer, read_image
from facepool.faces.find import Detect
from facepool.faces.turns import TurnFinder
from facepool.geometry import turn_image
from facepool.types import TURNS, Detections, Image, Turn

BACK: dict[Turn, Turn] = {0: 0, 90: 270, 180: 180, 270: 90}


@pytest.fixture(scope="module")
def analyzer(open_store: ModelStore) -> Analyzer:
    return load_analyzer(store=open_store)


@pytest.mark.parametrize("turn", TURNS)
def test_three_pictures_that_agree_are_enough(analyzer: Analyzer, photos: Path, turn: Turn) -> None:
    told: list[Turn] = []
    finder = TurnFinder(analyzer, told.append)
    names = ("person_a_1", "person_b_1", "person_a_2")
    found = [finder.look(turn_image(read_image(photos / f"{name}.jpg"), BACK[turn])) for name in names]
    assert found == [None, None, turn]
    assert told == [turn]


def test_while_nobody_is_there_nothing_is_certain_and_most_pictures_cost_nothing(analyzer: Analyzer) -> None:
    looks = 0

    def counted(detect: Detect, _device: str) -> Detect:
        def look(images_bgr: Sequence[Image]) -> list[Detections]:
            nonlocal looks
            looks += len(images_bgr)
            return detect(images_bgr)

        return look

    counting = analyzer.with_stages(counted, lambda embed, _device: embed)
    finder, nobody = TurnFinder(counting), np.full((48, 64, 3), 90, np.uint8)
    assert {finder.look(nobody) for _ in range(200)} == {None}
    assert finder.settle() == 0
    assert looks == 4 * (100 + 10)


def test_a_film_too_short_to_be_certain_is_turned_as_is_likeliest(analyzer: Analyzer, photos: Path) -> None:
    told: list[Turn] = []
    finder = TurnFinder(analyzer, told.append)
    assert finder.look(turn_image(read_image(photos / "person_b_1.jpg"), 180)) is None
    assert (finder.settle(), told) == (180, [180])
