from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from facepool import Pool, open_pool
from facepool.recognize.events import Event
from facepool.recognize.live import LiveOptions, LiveRecognizer, LiveSession
from facepool.recognize.sightings import TrackSighting
from facepool.records import event_record
from facepool.types import Frame, Sample
from support.fake_analyzer import SPACE, view
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer

ADA, STRANGER, ANOTHER = 0, 2, 3


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with open_pool(tmp_path / "pool.db", SPACE) as opened:
        opened.register("Ada", [Sample(view(ADA, 0))], SPACE)
        yield opened


class Show:
    """Plays scenes to a session that keeps faces."""

    def __init__(self, pool: Pool, keep_faces: int = 3) -> None:
        self.analyzer = FakeLiveAnalyzer()
        self.sightings: list[TrackSighting] = []
        self.events: list[Event] = []
        recognizer = LiveRecognizer(self.analyzer, pool, options=LiveOptions(keep_faces=keep_faces))
        self.session = LiveSession(recognizer, self._emit, self._keep)

    def _emit(self, _frame: Frame, events: Sequence[Event]) -> None:
        self.events += events

    def _keep(self, _frame: Frame, sightings: Sequence[TrackSighting]) -> None:
        self.sightings += sightings

    def play(self, *actors: Actor, frames: int = 30) -> None:
        for _ in range(frames):
            self.session.look(self.analyzer.frame(*actors))

    @property
    def story(self) -> list[tuple[str | None, bool]]:
        return [(one.decision.person, one.ended) for one in self.sightings]


def face(person: int, angle: float = 10, **more: float) -> Actor:
    return Actor(view(person, angle), **more)


def test_a_stranger_is_one_sighting_from_the_first_decision_until_they_are_lost(pool: Pool) -> None:
    show = Show(pool)
    show.play(face(STRANGER), frames=40)
    assert show.story == [(None, False)]
    show.play(frames=40)
    assert show.story == [(None, False), (None, True)]
    first, last = show.sightings
    assert first.id == last.id
    assert {event.sighting for event in show.events} == {first.id}
    assert (last.began_s, last.seen_s) == pytest.approx((0, 39 / 25))
    assert first.since == last.since <= first.until <= last.until
    assert last.frames >= first.frames


def test_the_best_faces_are_kept_of_several_poses_best_first(pool: Pool) -> None:
    show = Show(pool)
    show.play(face(STRANGER, sharpness=60), frames=20)
    for yaw in (0, 20, 40, -30):
        show.play(face(STRANGER, yaw=yaw), frames=20)
    show.session.close()
    (faces,) = [one.faces for one in show.sightings if one.ended]
    assert len(faces) == 3
    assert [pose.yaw for pose in faces.poses if pose] == [0, 20, -30]
    assert np.allclose(np.linalg.norm(faces.embeddings, axis=1), 1)
    assert all(picture.startswith(b"\xff\xd8") for picture in faces.pictures)
    assert (faces.qualities == 100).all()
    assert faces.scores == pytest.approx(0.99)
    assert (faces.sizes_px == 112).all()
    assert faces.ids == ()


def test_few_poses_are_made_up_for_by_more_of_one(pool: Pool) -> None:
    show = Show(pool)
    show.play(face(STRANGER), frames=30)
    show.session.close()
    assert [len(one.faces) for one in show.sightings] == [3, 3]


def test_whoever_is_recognized_later_is_the_same_sighting(pool: Pool) -> None:
    show = Show(pool)
    show.play(face(STRANGER), frames=30)
    pool.register("Cy", [Sample(view(STRANGER, 0))], SPACE)
    show.play(face(STRANGER), frames=10)
    show.session.close()
    assert show.story == [(None, False), ("Cy", False), ("Cy", True)]
    assert len({one.id for one in show.sightings}) == 1


def test_a_face_that_takes_the_place_of_another_is_another_sighting(pool: Pool) -> None:
    show = Show(pool)
    show.play(face(STRANGER), frames=30)
    show.play(face(ANOTHER), frames=60)
    show.session.close()
    assert show.story == [(None, False), (None, True), (None, False), (None, True)]
    one, same, other, _ = show.sightings
    assert one.id == same.id != other.id
    assert (same.faces.embeddings @ view(STRANGER, 10) > 0.9).all()
    assert (other.faces.embeddings @ view(ANOTHER, 10) > 0.9).all()


def test_faces_that_nobody_could_be_found_by_are_no_sighting(pool: Pool) -> None:
    show = Show(pool)
    show.play(face(STRANGER, sharpness=9), frames=40)
    show.session.close()
    assert [event.kind for event in show.events] == ["appeared", "lost"]
    assert show.sightings == []


def test_without_faces_to_keep_there_are_no_sightings(pool: Pool) -> None:
    show = Show(pool, keep_faces=0)
    show.play(face(STRANGER), frames=40)
    show.session.close()
    assert show.sightings == []
    assert {event.sighting for event in show.events} == {None}
    assert "sighting" not in event_record(show.analyzer.frame(), show.events[0])


def test_a_film_that_ends_early_tells_what_it_has(pool: Pool) -> None:
    show = Show(pool)
    show.play(face(STRANGER), frames=4)
    show.session.close(film=True)
    assert show.story == [(None, True)]


def test_silence_ends_sightings(pool: Pool) -> None:
    show = Show(pool)
    show.play(face(ADA), frames=10)
    show.session.interrupt()
    assert show.story == [("Ada", False), ("Ada", True)]
    record = event_record(show.analyzer.frame(), show.events[0])
    assert record["sighting"] == show.sightings[0].id
