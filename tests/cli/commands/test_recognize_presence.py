"""The list of who is in view, and the lines that say so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from facepool.cli.commands.recognize import Presence
from facepool.gallery import Pool, open_pool
from facepool.recognize.live import LiveRecognizer
from facepool.types import Sample
from support.fake_analyzer import SPACE, view
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer

ADA, BOB, STRANGER = 0, 1, 2


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with open_pool(tmp_path / "pool.db", SPACE) as opened:
        opened.register("Ada", [Sample(view(ADA, 0))], SPACE)
        opened.register("Bob", [Sample(view(BOB, 0))], SPACE)
        yield opened


class Room:
    """People come and go before a recognizer."""

    def __init__(self, pool: Pool) -> None:
        self._stage = FakeLiveAnalyzer()
        self._recognizer = LiveRecognizer(self._stage, pool)
        self.presence = Presence()
        self.said: list[str] = []

    def show(self, *actors: Actor, frames: int = 40) -> None:
        for _ in range(frames):
            line = self.presence.update(self._recognizer.process(self._stage.frame(*actors)))
            self.said += [line] if line is not None else []


ADA_HERE = Actor(view(ADA, 10), x=100)
BOB_HERE = Actor(view(BOB, 10), x=400)
STRANGER_HERE = Actor(view(STRANGER, 10), x=700)


def test_it_speaks_only_when_somebody_comes_or_goes(pool: Pool) -> None:
    room = Room(pool)
    room.show(ADA_HERE)
    room.show(ADA_HERE, STRANGER_HERE)
    room.show(ADA_HERE, BOB_HERE)
    room.show()
    assert room.said == ["Ada", "Ada, unknown", "Ada, Bob, unknown", "Ada, Bob", "nobody"]


def test_a_face_that_is_missed_for_a_moment_has_not_left(pool: Pool) -> None:
    room = Room(pool)
    room.show(ADA_HERE)
    room.show(frames=5)
    room.show(ADA_HERE)
    assert room.said == ["Ada"]


def test_an_empty_room_is_said_to_be_empty_and_one_where_a_face_is_looked_at_is_not(pool: Pool) -> None:
    room = Room(pool)
    room.show(STRANGER_HERE, frames=3)
    assert room.said == []
    empty = Room(pool)
    empty.show(frames=1)
    assert empty.said == ["nobody"]


def test_the_list_has_those_who_were_there_longest_first(pool: Pool) -> None:
    room = Room(pool)
    room.show(BOB_HERE, frames=25)
    room.show(BOB_HERE, STRANGER_HERE, frames=26)
    people = room.presence.people()
    assert [(person.name, person.style) for person in people] == [("Bob", "known"), ("unknown", "unknown")]
    assert people[0].since_s == pytest.approx(2, abs=0.2)
    assert people[1].since_s == pytest.approx(1, abs=0.2)


def test_what_was_too_short_for_news_has_a_last_word(pool: Pool) -> None:
    room = Room(pool)
    room.show(ADA_HERE, frames=2)
    assert room.said == []
    assert room.presence.last_word() == "Ada (tentative)"
    room.show(ADA_HERE)
    assert room.presence.last_word() is None
