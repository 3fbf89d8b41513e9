"""How a camera is mounted, seen by the faces before it."""

from pathlib import Path

import numpy as np
import pytest

from facepool import Analyzer, ModelStore, load_analyzer, read_image
from facepool.faces.turns import TurnFinder
from facepool.geometry import turn_image
from facepool.types import TURNS, Turn

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

    class Counting(Analyzer):
        def __init__(self) -> None: ...

        def find(self, image_bgr: np.ndarray) -> object:  # type: ignore[override]
            nonlocal looks
            looks += 1
            return analyzer.find(image_bgr)

    finder, nobody = TurnFinder(Counting()), np.full((48, 64, 3), 90, np.uint8)
    assert {finder.look(nobody) for _ in range(200)} == {None}
    assert finder.likeliest == 0
    assert looks == 4 * (100 + 10)
