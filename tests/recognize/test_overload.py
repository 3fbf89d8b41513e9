"""A source of which many frames go by, because there is too little time, against one that sends few: painted scenes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from facepool import open_pool
from facepool.recognize.cadence import Backlog
from facepool.recognize.events import LiveView
from facepool.recognize.live import LiveRecognizer
from facepool.types import Frame, Image, Sample
from support.fake_analyzer import SPACE, view
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer

FPS = 15
RNG = np.random.default_rng(1)


def texture(height: int, width: int, patch: int) -> Image:
    colours = RNG.integers(0, 255, (height // patch + 1, width // patch + 1, 3)).astype(np.uint8)
    return np.repeat(np.repeat(colours, patch, axis=0), patch, axis=1)[:height, :width]


ROOM = texture(180, 320, 20)
SKINS = [texture(60, 60, 4) for _ in range(3)]
ADA, BOB, EVE = range(3)


class Show:
    """A camera that sends 15 frames a second, of which some are looked at, before Ada and Bob who are known."""

    def __init__(self, folder: Path) -> None:
        self.analyzer = FakeLiveAnalyzer()
        self.pool = open_pool(folder / "pool.db", SPACE)
        for person, name in enumerate(("Ada", "Bob")):
            self.pool.register(name, [Sample(view(person, 0))], SPACE)
        self.live = LiveRecognizer(self.analyzer, self.pool)
        self.sent = 0

    def see(self, *people: tuple[int, float], missed: int = 0) -> LiveView:
        """Look at a frame after so many that went by: who stands where."""
        actors = [Actor(view(person, 10), x=x, y=90, size=60) for person, x in people]
        image = self._painted(people)
        image[0, 0] = self.analyzer.frame(*actors).image_bgr[0, 0]
        self.sent += 1 + missed
        return self.live.process(Frame(image, "painted", self.sent, self.sent / FPS))

    def watch(self, *people: tuple[int, float], looks: int, missed: int = 0) -> LiveView:
        for _ in range(looks):
            seen = self.see(*people, missed=missed)
        return seen

    def _painted(self, people: Sequence[tuple[int, float]]) -> Image:
        image = ROOM.copy()
        for person, x in people:
            image[60:120, int(x) - 30 : int(x) + 30] = SKINS[person]
        return image


@pytest.fixture
def show(tmp_path: Path) -> Show:
    return Show(tmp_path)


def test_a_backlog_is_what_went_by_and_not_what_comes_seldom() -> None:
    backlog = Backlog()
    assert (backlog.share, backlog.stretch) == (0, 1)
    for index in (0, 1, 2, 2, 1, 2):
        backlog.look(index)
    assert (backlog.share, backlog.stretch) == (0, 1)
    for index in range(2, 100, 4):
        backlog.look(index)
    assert backlog.share == 0.75
    assert backlog.stretch > 5
    for index in range(100, 116):
        backlog.look(index)
    assert backlog.stretch == 1


def test_where_frames_go_by_faces_are_followed_over_the_gaps_and_are_not_embedded_again(show: Show) -> None:
    show.watch((ADA, 80), (BOB, 200), looks=8, missed=7)
    before = show.analyzer.found, sum(show.analyzer.embedded)
    for step in range(20):
        seen = show.see((ADA, 80 + step), (BOB, 200 + step), missed=7)
        assert seen.names == ("Ada", "Bob")
    assert show.analyzer.found - before[0] <= 12
    assert sum(show.analyzer.embedded) - before[1] <= 14  # of 40: each is confirmed every two seconds


def test_who_comes_while_frames_go_by_is_sought_at_once(show: Show) -> None:
    show.watch((ADA, 80), looks=10, missed=7)
    for _ in range(2):
        assert len(show.see((ADA, 80), (EVE, 200), missed=7)) == 2
        show.watch((ADA, 80), looks=9, missed=7)


def test_people_who_change_places_while_frames_go_by_keep_their_names(show: Show) -> None:
    show.watch((ADA, 80), (BOB, 200), looks=8, missed=7)
    for _ in range(4):
        assert show.see((BOB, 80), (ADA, 200), missed=7).names == ("Bob", "Ada")
        assert show.see((ADA, 80), (BOB, 200), missed=7).names == ("Ada", "Bob")


def test_a_stranger_in_the_place_of_somebody_is_not_called_by_their_name(show: Show) -> None:
    show.watch((ADA, 80), looks=8, missed=7)
    assert show.see((EVE, 80), missed=7).names == (None,)


def test_with_time_again_all_is_as_before(show: Show, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Show(tmp_path / "other")
    show.watch((ADA, 80), looks=20, missed=7)
    for one in (show, other):
        one.watch((ADA, 80), looks=FPS)
    counts = []
    for one in (show, other):
        before = one.analyzer.found
        one.watch((ADA, 80), looks=4 * FPS)
        counts.append(one.analyzer.found - before)
    assert counts[0] == pytest.approx(counts[1], abs=1)


def test_faces_of_a_source_that_sends_few_frames_are_compared_in_each(show: Show) -> None:
    for number in range(12):
        actors = [Actor(view(ADA, 10), x=80, y=90, size=60)]
        image = show.analyzer.frame(*actors).image_bgr
        show.live.process(Frame(image, "painted", number, number / 2))
    assert show.analyzer.found == 12
    assert sum(show.analyzer.embedded) == 12
