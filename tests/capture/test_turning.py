"""Sources of cameras on their side or overhead: their frames are turned, as was said or as was found out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facepool.capture import CaptureOptions, FrameSource, LiveSource, Turning, open_source
from facepool.capture.source import Shot
from facepool.errors import StreamLost, StreamUnavailable, VideoUnreadable
from facepool.types import TURNS, Image, Turn
from support.media import gradient, jpeg, make_animation, make_video, truncate


class CertainAfter:
    """Finds the turn 90 once it has seen so many pictures."""

    def __init__(self, pictures: int) -> None:
        self.seen: list[Image] = []
        self._pictures = pictures

    def look(self, image_bgr: Image) -> Turn | None:
        self.seen.append(image_bgr)
        return 90 if len(self.seen) >= self._pictures else None

    def settle(self) -> Turn:
        return 90 if self.seen else 0


class ThreePictures:
    """A live source's connector and connection: it gives three pictures and ends."""

    name = description = "three pictures"
    every_frame = True

    def __init__(self) -> None:
        self._left = [Shot(gradient(step), float(step)) for step in range(3)]

    def connect(self) -> "ThreePictures":
        return self

    def read(self) -> Shot | None:
        return self._left.pop(0) if self._left else None

    def close(self) -> None:
        pass

    def unavailable(self, why: str) -> StreamUnavailable:
        return StreamUnavailable(why)

    def lost(self, why: str) -> StreamLost:
        return StreamLost(why)


FILMS: dict[str, Callable[[Path], Path]] = {
    "video": lambda root: make_video(root / "clip.mp4", 12),
    "animation": lambda root: make_animation(root / "wave.gif"),
}
SHAPES = {0: (64, 96, 3), 90: (96, 64, 3), 180: (64, 96, 3), 270: (96, 64, 3)}


def pixels(source: FrameSource) -> list[Image]:
    with source:
        return [frame.image_bgr for frame in source]


@pytest.mark.parametrize("kind", FILMS)
@pytest.mark.parametrize("turn", TURNS)
def test_a_film_is_turned_clockwise(kind: str, turn: Turn, tmp_path: Path) -> None:
    film = FILMS[kind](tmp_path)
    turned, as_it_is = pixels(open_source(film, CaptureOptions(rotate=turn))), pixels(open_source(film))
    assert len(turned) == len(as_it_is)
    for one, other in zip(turned, as_it_is, strict=True):
        assert one.shape == SHAPES[turn]
        assert one.flags.c_contiguous
        assert np.array_equal(one, np.rot90(other, -turn // 90))


def test_what_is_live_is_turned() -> None:
    found = pixels(LiveSource(ThreePictures(), turning=Turning(270)))
    assert [image.shape for image in found] == [SHAPES[270]] * 3


def test_still_pictures_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    for spec in (tmp_path, tmp_path / "a.jpg"):
        assert [image.shape for image in pixels(open_source(spec, CaptureOptions(rotate=90)))] == [SHAPES[0]]


@pytest.mark.parametrize("kind", FILMS)
def test_how_a_film_lies_is_known_before_its_first_frame(kind: str, tmp_path: Path) -> None:
    finder = CertainAfter(2)
    found = pixels(open_source(FILMS[kind](tmp_path), CaptureOptions(find_turn=lambda: finder)))
    assert {image.shape for image in found} == {SHAPES[90]}
    assert {image.shape for image in finder.seen} == {SHAPES[0]}
    assert len(finder.seen) == 2


def test_a_film_too_short_to_be_certain_is_turned_as_is_likeliest(tmp_path: Path) -> None:
    film = make_animation(tmp_path / "wave.gif", frames=2)
    found = pixels(open_source(film, CaptureOptions(find_turn=lambda: CertainAfter(100))))
    assert [image.shape for image in found] == [SHAPES[90]] * 2


def test_a_film_that_breaks_off_is_turned_as_far_as_it_goes(tmp_path: Path) -> None:
    film = truncate(make_animation(tmp_path / "wave.gif"), 0.7)
    with open_source(film, CaptureOptions(find_turn=lambda: CertainAfter(2))) as source:
        frames = iter(source)
        assert next(frames).image_bgr.shape == SHAPES[90]
        with pytest.raises(VideoUnreadable):
            list(frames)


def test_something_live_is_shown_as_it_comes_until_it_is_certain_and_then_stays_turned() -> None:
    finder = CertainAfter(2)
    found = pixels(LiveSource(ThreePictures(), turning=Turning(finder=finder)))
    assert [image.shape for image in found] == [SHAPES[0], SHAPES[90], SHAPES[90]]
    assert len(finder.seen) == 2


def test_each_source_has_a_finder_of_its_own(tmp_path: Path) -> None:
    film, made = make_animation(tmp_path / "wave.gif"), list[CertainAfter]()

    def make() -> CertainAfter:
        made.append(CertainAfter(1))
        return made[-1]

    for _ in range(2):
        open_source(film, CaptureOptions(find_turn=make)).close()
    assert [len(finder.seen) for finder in made] == [1, 1]
