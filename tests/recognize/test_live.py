import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facepool import Pool, open_pool
from facepool.capture import LiveSource
from facepool.capture.source import ClosesOnExit
from facepool.errors import SpaceMismatch
from facepool.recognize.events import Event, LiveView
from facepool.recognize.evidence import EvidenceOptions
from facepool.recognize.live import Emit, LiveOptions, LiveRecognizer, LiveSession
from facepool.thresholds import ThresholdPolicy
from facepool.types import Floats, Frame, Sample
from support.fake_analyzer import SPACE, unit, view
from support.fake_connection import END, FakeConnection, FakeConnector, ManualClock
from support.fake_live_analyzer import FPS, Actor, FakeLiveAnalyzer

ADA, BOB, STRANGER = 0, 1, 2


@pytest.fixture
def analyzer() -> FakeLiveAnalyzer:
    return FakeLiveAnalyzer()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with open_pool(tmp_path / "pool.db", SPACE) as opened:
        opened.register("Ada", [Sample(view(ADA, 0))], SPACE)
        opened.register("Bob", [Sample(view(BOB, 0))], SPACE)
        yield opened


class Show:
    """Plays scenes to a recognizer and keeps what it says."""

    def __init__(self, analyzer: FakeLiveAnalyzer, pool: Pool, options: LiveOptions | None = None) -> None:
        self.analyzer = analyzer
        self.recognizer = LiveRecognizer(analyzer, pool, options=options)
        self.views: list[LiveView] = []

    def play(self, *actors: Actor, frames: int = 1) -> LiveView:
        for _ in range(frames):
            self.views.append(self.recognizer.process(self.analyzer.frame(*actors)))
        return self.views[-1]

    @property
    def events(self) -> list[Event]:
        return [event for seen in self.views for event in seen.events]

    @property
    def story(self) -> list[tuple[str, str | None]]:
        return [(event.kind, event.person) for event in self.events]


def face(person: int, angle: float = 10, x: float = 100, **more: float) -> Actor:
    return Actor(view(person, angle), x=x, **more)


def mixed(ada: float, bob: float, stranger: float = 0.0) -> Floats:
    """A face that resembles Ada and Bob by so much."""
    rest = np.sqrt(max(0.0, 1 - ada**2 - bob**2 - stranger**2))
    return unit(ada, 0, bob, 0, stranger, 0, rest)


def test_a_name_appears_once_it_is_firm_and_is_told_once(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool)
    names = [show.play(face(ADA)).names for _ in range(40)]
    assert names == [(None,)] * 2 + [("Ada",)] * 38
    assert show.story == [("appeared", None), ("recognized", "Ada")]
    recognized = show.events[1]
    assert recognized.similarity == pytest.approx(np.cos(np.radians(10)), abs=1e-3)
    assert (recognized.frames, recognized.reason, recognized.bbox) == (3, "match", (44, 44, 156, 156))


def test_what_the_detector_is_never_sure_of_is_not_told_of(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool)
    show.play(face(STRANGER, score=0.8), frames=30)
    assert show.story == []
    assert not show.views[-1].confirmed.any()
    assert show.play(face(STRANGER, score=0.95)).confirmed.all()
    assert show.story == [("appeared", None)]


def test_what_the_evidence_says_is_there_before_it_is_firm(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    seen = Show(analyzer, pool).play(face(ADA))
    assert seen.decisions == (None,)
    assert [decision.person for decision in seen.tentative if decision] == ["Ada"]


def test_a_stranger_is_unknown_after_a_longer_look(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool)
    decisions = [show.play(face(STRANGER)).decisions[0] for _ in range(40)]
    first = next(i for i, decision in enumerate(decisions) if decision is not None)
    assert first / FPS == pytest.approx(0.6, abs=0.05)
    assert {decision.reason for decision in decisions[first:] if decision} == {"below_threshold"}
    assert show.story == [("appeared", None)]


def test_a_steady_face_is_hardly_ever_embedded_again(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool)
    show.play(face(ADA), frames=FPS * 10)
    assert sum(analyzer.embedded) <= 3 + 10 / 2 + 1
    assert sum(int(seen.embedded.sum()) for seen in show.views) == sum(analyzer.embedded)


def test_a_new_pose_and_a_better_picture_are_embedded(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool)
    show.play(face(ADA, sharpness=40), frames=10)
    before = sum(analyzer.embedded)
    show.play(face(ADA, sharpness=200), frames=10)
    better = sum(analyzer.embedded)
    show.play(face(ADA, yaw=30), frames=10)
    turned = sum(analyzer.embedded)
    show.play(face(ADA, yaw=33), frames=10)
    assert before < better < turned
    assert sum(analyzer.embedded) == turned


def test_many_faces_share_the_embeddings_of_a_frame_and_all_get_their_turn(
    analyzer: FakeLiveAnalyzer, pool: Pool
) -> None:
    show = Show(analyzer, pool, LiveOptions(max_embeddings=3))
    crowd = [face(STRANGER, x=200 * lane) for lane in range(9)] + [face(ADA, x=1900)]
    show.play(*crowd, frames=25)
    assert max(analyzer.embedded) <= 3
    assert show.views[-1].names == (None,) * 9 + ("Ada",)
    assert all(decision is not None for decision in show.views[-1].decisions)


def test_a_name_near_the_threshold_does_not_flicker(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool, LiveOptions(evidence=EvidenceOptions(confirm_every_s=0.04, per_pose=1)))
    threshold = show.recognizer.threshold.value
    show.play(Actor(mixed(threshold + 0.02, 0)), frames=10)
    for wobble in (-0.03, 0.01, -0.02, 0.02, -0.03) * 4:
        show.play(Actor(mixed(threshold + wobble, 0)))
    assert show.story == [("appeared", None), ("recognized", "Ada")]
    show.play(Actor(mixed(threshold - 0.08, 0)), frames=10)
    assert show.story[2:] == [("changed", None)]
    assert show.events[2].previous == "Ada"


def test_one_poor_picture_changes_nothing(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool, LiveOptions(evidence=EvidenceOptions(confirm_every_s=0.04)))
    for i in range(40):
        show.play(face(STRANGER) if i % 10 == 9 else face(ADA))
    assert show.story == [("appeared", None), ("recognized", "Ada")]


def test_another_face_in_the_same_place_is_a_new_track(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool)
    show.play(face(ADA), frames=30)
    show.play(face(BOB), frames=80)
    kinds = [("appeared", None), ("recognized", "Ada"), ("lost", "Ada"), ("appeared", None), ("recognized", "Bob")]
    assert show.story == kinds
    assert show.events[2].reason == "another_face"
    assert show.views[0].track_ids != show.views[-1].track_ids


def test_a_face_that_jumps_is_verified_at_once(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool)
    show.play(face(ADA), frames=30)
    swapped = show.play(face(BOB, x=150))
    assert swapped.names == (None,)
    assert swapped.embedded.tolist() == [True]
    same = Show(FakeLiveAnalyzer(), pool)
    same.play(face(ADA), frames=30)
    assert same.play(face(ADA, x=150)).names == ("Ada",)


def test_after_a_cut_everybody_is_new(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool)
    show.play(face(ADA, x=100), face(BOB, x=400), frames=30)
    cut = show.play(face(BOB, x=150), face(ADA, x=340))
    assert cut.names == (None, None)
    assert [event.reason for event in cut.events] == ["scene_cut", "scene_cut"]
    assert show.play(face(BOB, x=150), face(ADA, x=340), frames=5).names == ("Bob", "Ada")


def test_nobody_is_two_faces_of_one_picture(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool)
    seen = show.play(face(ADA, 40, x=100), face(ADA, 5, x=400), frames=30)
    assert seen.names == (None, "Ada")
    assert seen.decisions[0] is not None
    assert seen.decisions[0].reason == "already_in_view"


def test_a_face_between_two_people_is_ambiguous(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    seen = Show(analyzer, pool).play(Actor(mixed(0.6, 0.6)), frames=30)
    assert seen.decisions[0] is not None
    assert (seen.decisions[0].person, seen.decisions[0].reason) == (None, "ambiguous")


def test_people_who_look_alike_and_are_flagged_need_a_larger_lead(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    pool.register("Ada", [Sample(view(ADA, 5))], SPACE, look_alikes=["Bob"])
    seen = Show(analyzer, pool).play(Actor(mixed(0.6, 0.53)), frames=30)
    assert seen.decisions[0] is not None
    assert seen.decisions[0].reason == "ambiguous"


def test_a_face_too_poor_to_tell_names_nobody(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    seen = Show(analyzer, pool).play(face(ADA, sharpness=9), frames=40)
    assert seen.decisions[0] is not None
    assert (seen.decisions[0].person, seen.decisions[0].reason) == (None, "low_quality")


def test_who_is_registered_meanwhile_is_recognized_without_embedding_again(
    analyzer: FakeLiveAnalyzer, pool: Pool
) -> None:
    show = Show(analyzer, pool, LiveOptions(evidence=EvidenceOptions(retry_every_s=1000)))
    show.play(face(STRANGER), frames=30)
    before = sum(analyzer.embedded)
    pool.register("Eve", [Sample(view(STRANGER, 0))], SPACE)
    assert show.play(face(STRANGER)).names == ("Eve",)
    assert sum(analyzer.embedded) == before
    pool.remove("Eve")
    assert show.play(face(STRANGER)).names == (None,)
    assert show.story == [("appeared", None), ("recognized", "Eve"), ("changed", None)]


def test_a_pool_of_another_model_is_refused(analyzer: FakeLiveAnalyzer, tmp_path: Path) -> None:
    other = replace(SPACE, weights_sha256="1" * 64)
    with open_pool(tmp_path / "other.db") as new:
        live = LiveRecognizer(analyzer, new)
        with open_pool(new.address, other) as others:
            others.register("Eve", [Sample(view(STRANGER, 0))], other)
        with pytest.raises(SpaceMismatch):
            live.process(analyzer.frame(face(ADA)))
        with pytest.raises(SpaceMismatch):
            LiveRecognizer(analyzer, new)


def test_an_empty_pool_says_so(analyzer: FakeLiveAnalyzer, tmp_path: Path) -> None:
    with open_pool(tmp_path / "empty.db", SPACE) as empty:
        seen = Show(analyzer, empty).play(face(ADA), frames=30)
    assert seen.decisions[0] is not None
    assert seen.decisions[0].reason == "empty_pool"


def test_who_leaves_is_lost_after_the_gap_and_told_with_their_name(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool)
    show.play(face(ADA), frames=30)
    show.play(frames=FPS // 2)
    assert show.play(face(ADA), frames=FPS // 5).names == ("Ada",)
    show.play(frames=FPS * 2)
    assert show.story[-1] == ("lost", "Ada")
    assert show.events[-1].reason == "gone"


def test_a_box_of_two_frames_is_not_told_of(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool)
    show.play(face(STRANGER), frames=2)
    show.play(frames=FPS * 2)
    assert show.events == []


def test_at_the_end_everybody_is_lost(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool)
    show.play(face(ADA), frames=30)
    assert [(event.kind, event.person) for event in show.recognizer.finish(2.0)] == [("lost", "Ada")]
    assert show.recognizer.finish(2.0) == ()


def test_crops_come_with_events_on_request(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool, LiveOptions(keep_crops=True))
    show.play(face(ADA), frames=10)
    assert show.events[-1].crop_bgr is not None
    without = Show(FakeLiveAnalyzer(), pool)
    without.play(face(ADA), frames=10)
    assert [event.crop_bgr for event in without.events] == [None, None]


def test_memory_does_not_grow_with_time(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    options = EvidenceOptions(confirm_every_s=0.04)
    show = Show(analyzer, pool, LiveOptions(evidence=options))
    rng = np.random.default_rng(0)
    for frame in range(600):
        x = 100 + 300 * (frame // 60 % 3)  # a face leaves and another comes, every 60 frames
        show.play(replace(face(ADA, x=float(x)), yaw=float(rng.uniform(-60, 60))))
    identities = show.recognizer._identities
    assert len(identities) <= 2
    assert all(len(identity.observations) <= options.capacity for identity in identities.values())


def test_no_face_is_an_empty_view(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    seen = Show(analyzer, pool).play()
    assert (len(seen), seen.names, seen.events, seen.track_ids.shape) == (0, (), (), (0,))


def test_a_session_emits_each_event_once_and_keeps_no_picture(tmp_path: Path) -> None:
    analyzer = FakeLiveAnalyzer()
    emitted: list[tuple[Frame, Sequence[Event]]] = []
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        recognizer = LiveRecognizer(analyzer, pool, ThresholdPolicy(None))
        session = LiveSession(recognizer, lambda frame, events: emitted.append((frame, events)))
        for _ in range(3):
            session.look(analyzer.frame(Actor(unit(0, SPACE.dimension))))
        session.close()
        session.close()
    assert [event.kind for _, events in emitted for event in events] == ["appeared", "lost"]
    assert emitted[-1][0].image_bgr.size == 0


@pytest.mark.parametrize("interval_s", [1.0, 1.1, 2.0, 5.0, 10.0])
def test_where_frames_are_few_somebody_is_named_in_the_third_and_stays(
    analyzer: FakeLiveAnalyzer, pool: Pool, interval_s: float
) -> None:
    recognizer = LiveRecognizer(analyzer, pool)
    names, story = [], []
    for number in range(8):
        place = 100 + 250 * (number % 2)  # she walks to and fro
        view = recognizer.process(analyzer.frame(face(ADA, x=place, sharpness=150), time_s=number * interval_s))
        names.append(view.names)
        story += [event.kind for event in view.events]
    assert names == [(None,)] * 2 + [("Ada",)] * 6
    assert story == ["appeared", "recognized"]


def test_where_frames_are_few_nobody_waits_for_the_others(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    recognizer = LiveRecognizer(analyzer, pool)
    crowd = [face(STRANGER, x=100 + 200 * n) for n in range(5)]
    for number in range(4):
        seen = recognizer.process(analyzer.frame(*crowd, face(ADA, x=1500), time_s=2.0 * number))
    assert seen.names == (*[None] * 5, "Ada")
    assert all(seen.decisions)


@pytest.mark.parametrize(
    "places",
    [
        [(100, 400, None), (400, 100, None)],  # they change places
        [(100, 400, None), (None, 100, None), (100, 400, None)],  # one goes to where the other was, who is hidden
        [(100, 400, None), (600, 400, 100), (600, None, 400)],  # a stranger comes to where one was
    ],
    ids=["change", "hidden", "stranger"],
)
def test_where_frames_are_few_people_who_change_places_stay_who_they_are(
    analyzer: FakeLiveAnalyzer, pool: Pool, places: list[tuple[float | None, ...]]
) -> None:
    recognizer = LiveRecognizer(analyzer, pool)
    events = []
    for number, xs in enumerate([places[0]] * 3 + places * 2):
        actors = [(person, x) for person, x in zip((ADA, BOB, STRANGER), xs, strict=True) if x is not None]
        scene = [face(person, x=x) for person, x in actors]
        seen = recognizer.process(analyzer.frame(*scene, time_s=3.0 * number))
        if number >= 2:
            names = {ADA: "Ada", BOB: "Bob", STRANGER: None}
            assert seen.names == tuple(names[person] for person, _ in actors), number
            assert [int(track) for track in seen.track_ids[:2]] == [1 + person for person, _ in actors][:2]
        events += [(event.kind, event.person) for event in seen.events if event.person or event.kind == "lost"]
    assert events == [("recognized", "Ada"), ("recognized", "Bob")]


def test_a_face_that_one_look_makes_firm_is_confirmed_later(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    show = Show(analyzer, pool, LiveOptions(evidence=EvidenceOptions(min_frames=1)))
    show.play(face(ADA), frames=3 * FPS)
    assert show.story == [("appeared", None), ("recognized", "Ada")]
    assert sum(analyzer.embedded) == 2


@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False))
def test_where_frames_are_few_nobody_gets_the_name_of_another(random: Random) -> None:
    stage = FakeLiveAnalyzer()
    in_view: set[int] = set()
    with tempfile.TemporaryDirectory() as folder, open_pool(Path(folder) / "pool.db", SPACE) as people:
        people.register("Ada", [Sample(view(ADA, 0))], SPACE)
        people.register("Bob", [Sample(view(BOB, 0))], SPACE)
        recognizer = LiveRecognizer(stage, people)
        time_s = 0.0
        for _ in range(40):
            time_s += random.choice([0.3, 1, 2, 5])
            who = random.sample([ADA, BOB, STRANGER, 3], random.randint(0, 4))
            places = random.sample([100, 300, 500, 700, 900], len(who))
            looks = [Actor(view(person, random.uniform(-20, 20)), x=x) for person, x in zip(who, places, strict=True)]
            seen = recognizer.process(stage.frame(*looks, time_s=time_s))
            for person, name in zip(who, seen.names, strict=True):
                assert name in (None, {ADA: "Ada", BOB: "Bob"}.get(person))
            assert len(set(seen.track_ids.tolist())) == len(who)
            for event in seen.events:
                if event.kind == "appeared":
                    assert event.track not in in_view
                    in_view.add(event.track)
                elif event.kind == "lost":
                    in_view.remove(event.track)


def test_where_frames_are_few_a_stranger_is_unknown_in_the_third_and_who_leaves_is_lost(
    analyzer: FakeLiveAnalyzer, pool: Pool
) -> None:
    recognizer = LiveRecognizer(analyzer, pool)
    scenes = [[face(STRANGER)]] * 4 + [[]] * 4
    views = [recognizer.process(analyzer.frame(*scene, time_s=5.0 * i)) for i, scene in enumerate(scenes)]
    assert [decision and decision.reason for seen in views for decision in seen.decisions] == [
        None,
        None,
        "below_threshold",
        "below_threshold",
    ]
    assert [(event.kind, event.time_s) for seen in views for event in seen.events] == [("appeared", 10), ("lost", 30)]


def test_a_film_that_ends_early_decides_by_what_it_has_and_says_so(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    recognizer = LiveRecognizer(analyzer, pool)
    scene = face(ADA), face(STRANGER, x=400), face(BOB, x=800, score=0.7), face(STRANGER, x=1200, score=0.7)
    for _ in range(2):
        recognizer.process(analyzer.frame(*scene))
    events = recognizer.finish(1.0, film=True)
    told = [(event.kind, event.track, event.person, event.reason, event.frames, event.firm) for event in events]
    assert told == [
        ("appeared", 1, None, "new", 1, False),
        ("recognized", 1, "Ada", "match", 1, False),
        ("appeared", 2, None, "new", 1, False),
        ("appeared", 3, None, "new", 1, False),
        ("recognized", 3, "Bob", "match", 1, False),
        ("lost", 1, "Ada", "gone", 1, False),
        ("lost", 2, None, "gone", 1, False),
        ("lost", 3, "Bob", "gone", 1, False),
    ]


def test_what_was_firm_stays_so_at_the_end_and_a_camera_decides_nothing_there(
    analyzer: FakeLiveAnalyzer, pool: Pool
) -> None:
    show = Show(analyzer, pool)
    show.play(face(ADA), frames=5)
    show.play(face(ADA), face(BOB, x=400))
    assert [(event.kind, event.person, event.firm) for event in show.recognizer.finish(1.0)] == [("lost", "Ada", True)]
    assert all(event.firm for event in show.events)


def test_in_silence_everybody_is_lost_once_and_appears_again_afterwards(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    told: list[tuple[str, str | None, str]] = []

    def emit(_: Frame, events: Sequence[Event]) -> None:
        told.extend((event.kind, event.person, event.reason) for event in events)

    session = LiveSession(LiveRecognizer(analyzer, pool), emit)
    assert session.interrupt() == ()
    for number in range(8):
        if number == 4:
            assert [event.kind for event in session.interrupt()] == ["lost"]
            assert session.interrupt() == ()
        session.look(analyzer.frame(face(ADA), time_s=number / FPS))
    session.close()
    comes = [("appeared", None, "new"), ("recognized", "Ada", "match")]
    assert told == [*comes, ("lost", "Ada", "source_silent"), *comes, ("lost", "Ada", "gone")]


def test_a_session_watches_a_camera_through_its_silence(analyzer: FakeLiveAnalyzer, pool: Pool) -> None:
    told: list[str] = []
    connection, clock = FakeConnection(), ManualClock()
    analyzer.frame(face(ADA))  # scene 0 is what gray 0 shows
    source = LiveSource(FakeConnector(connection), clock=clock, silent_after_s=5.0)
    source._start()
    session = LiveSession(LiveRecognizer(analyzer, pool), lambda _, events: told.extend(e.kind for e in events))
    watched = session.watch(source)
    for number in range(6):
        if number == 3:
            clock.now += 6.0
            threading.Timer(0.3, connection.send, (0,)).start()
        else:
            connection.send(0)
        next(watched)
        clock.now += 1 / FPS
    connection.stop(END)
    assert list(watched) == []
    assert told == ["appeared", "recognized", "lost"] * 2


def test_a_session_watches_a_film_to_its_early_end_and_who_leaves_before_decides_nothing(
    analyzer: FakeLiveAnalyzer, pool: Pool
) -> None:
    for taken, kinds in ((2, ["appeared", "recognized", "lost"]), (1, [])):
        told: list[str] = []
        film = Film([analyzer.frame(face(ADA), time_s=number / FPS) for number in range(2)])
        session = LiveSession(LiveRecognizer(analyzer, pool), emit_to(told))
        with closing(session.watch(film)) as watched:
            assert len(list(islice(watched, taken + (taken == 2)))) == taken
        assert told == kinds


def emit_to(told: list[str]) -> Emit:
    def emit(_frame: Frame, events: Sequence[Event]) -> None:
        told.extend(event.kind for event in events)

    return emit


class Film(ClosesOnExit):
    """Frames as those of a file."""

    name = description = "film"
    live = False
    frame_count = fps = None

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = iter(frames)

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    def close(self) -> None: ...
