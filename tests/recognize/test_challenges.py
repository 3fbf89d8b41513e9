"""Nobody is named who has not shown that they are alive: challenges of the faces before one camera."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

from facepool import Pool, open_pool
from facepool.recognize.challenges import ChallengeOptions
from facepool.recognize.events import Event, LiveView
from facepool.recognize.live import LiveOptions, LiveRecognizer
from facepool.records import event_record, live_records
from facepool.types import Floats, Frame, Sample
from support.fake_analyzer import SPACE, view
from support.fake_live_analyzer import Actor, FakeLiveAnalyzer

ADA, BOB, STRANGER = 0, 1, 2
FPS = 12
ENOUGH_S = 12
TURN_DEG_PER_FRAME = 6.0


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with open_pool(tmp_path / "pool.db", SPACE) as opened:
        opened.register("Ada", [Sample(view(ADA, 0))], SPACE)
        opened.register("Bob", [Sample(view(BOB, 0))], SPACE)
        yield opened


class Player:
    """A head before the camera that does what it is asked, or something else.

    Args:
        vector: Its face.
        x: Where it is.
        flat: It is a photo that is turned.
        contrary: It looks the other way.
        deaf: It looks as it does, whatever it is asked.
        yaw: Where it looks at first; 0 is straight ahead.
    """

    def __init__(
        self,
        vector: Floats,
        x: float = 100,
        *,
        flat: bool = False,
        contrary: bool = False,
        deaf: bool = False,
        yaw: float = 0,
    ) -> None:
        self.vector = vector
        self.x = x
        self._flat = flat
        self._sign = -1 if contrary else 1
        self._deaf = deaf
        self._pose = np.array([yaw, 0.0])

    def act(self, angle_deg: float | None) -> Actor:
        """One frame later."""
        angle = 0.0 if angle_deg is None else np.radians(angle_deg)
        far = 0.0 if angle_deg is None else self._sign
        way = (0 if self._deaf else 1) * (far * np.array([32 * np.cos(angle), 24 * np.sin(angle)]) - self._pose)
        self._pose += way * min(1.0, TURN_DEG_PER_FRAME / max(float(np.hypot(*way)), 1e-9))
        yaw, pitch = (float(degrees) for degrees in self._pose)
        return Actor(self.vector, x=self.x, yaw=yaw, pitch=pitch, nose=not self._flat)


class Door:
    """A camera that names nobody who has not passed."""

    def __init__(self, pool: Pool, challenge: ChallengeOptions | None = None) -> None:
        self._analyzer = FakeLiveAnalyzer()
        options = LiveOptions(challenge=challenge or ChallengeOptions())
        self.recognizer = LiveRecognizer(self._analyzer, pool, options=options, random=Random(5))
        self.views: list[LiveView] = []
        self.frames: list[Frame] = []

    def watch(self, *players: Player, seconds: float = ENOUGH_S) -> LiveView:
        for _ in range(round(seconds * FPS)):
            asked = self._asked()
            time_s = len(self.views) / FPS
            frame = self._analyzer.frame(*(player.act(asked.get(player.x)) for player in players), time_s=time_s)
            self.frames.append(frame)
            self.views.append(self.recognizer.process(frame))
        return self.views[-1]

    def watch_until_named(self, player: Player) -> None:
        for _ in range(4 * ENOUGH_S):
            if self.watch(player, seconds=0.25).names != (None,):
                return
        raise AssertionError(self.story)

    def _asked(self) -> dict[float, float | None]:
        """Where the face at each place is to turn."""
        if not self.views:
            return {}
        last = self.views[-1]
        return {
            round(float(box[0] + box[2]) / 2): step.angle_deg
            for box, step in zip(last.detections.boxes, last.challenges, strict=True)
            if step is not None
        }

    @property
    def events(self) -> list[Event]:
        return [event for seen in self.views for event in seen.events]

    @property
    def story(self) -> list[tuple[str, str | None, str]]:
        return [(event.kind, event.person, event.reason) for event in self.events]


def reasons(door: Door) -> list[str | None]:
    """Of the first face, each once, in order."""
    found = [seen.decisions[0] for seen in door.views if len(seen)]
    return list(dict.fromkeys(None if decision is None else decision.reason for decision in found))


def test_who_does_what_is_asked_is_named_and_nobody_before(pool: Pool) -> None:
    door = Door(pool)
    last = door.watch(Player(view(ADA, 5)))
    assert last.names == ("Ada",)
    assert reasons(door) == [None, "not_live", "match"]
    assert door.story == [("appeared", None, "new"), ("challenged", None, "live"), ("recognized", "Ada", "match")]
    assert all(seen.names in ((None,), ("Ada",)) for seen in door.views)
    passed = door.events[1].liveness
    assert passed is not None
    assert (passed.passed, passed.method, passed.steps_passed) == (True, "challenge", 3)
    assert door.events[2].liveness == passed
    assert last.liveness == (passed,)
    assert last.challenges == (None,)


@pytest.mark.parametrize(
    ("player", "reasons_of_it"),
    [
        (Player(view(ADA, 5), flat=True), {"flat", "too_slow"}),  # as far as it is turned
        (Player(view(ADA, 5), contrary=True), {"wrong_direction"}),
        (Player(view(ADA, 5), deaf=True), {"too_slow"}),
    ],
    ids=["a photo that is turned", "a film of other directions", "a face that does nothing"],
)
def test_what_does_something_else_is_never_named(pool: Pool, player: Player, reasons_of_it: set[str]) -> None:
    door = Door(pool)
    door.watch(player)
    assert {seen.names for seen in door.views} == {(None,)}
    challenged = [event for event in door.events if event.kind == "challenged"]
    assert challenged
    assert {event.reason for event in challenged} <= reasons_of_it
    assert reasons(door)[-1] == "not_live"


def test_a_stranger_is_unknown_and_asked_nothing(pool: Pool) -> None:
    door = Door(pool)
    door.watch(Player(view(STRANGER, 0)), seconds=3)
    assert reasons(door) == [None, "below_threshold"]
    assert not any(step for seen in door.views for step in seen.challenges)
    assert door.story == [("appeared", None, "new")]


def test_who_looks_elsewhere_is_asked_nothing_until_they_look_here(pool: Pool) -> None:
    door = Door(pool)
    ada = Player(view(ADA, 5), deaf=True, yaw=50)
    door.watch(ada, seconds=2)
    assert reasons(door)[-1] == "not_live"
    assert not any(step for seen in door.views for step in seen.challenges)
    door.watch(Player(view(ADA, 5), deaf=True), seconds=1)
    assert any(door.views[-1].challenges)


def test_each_face_is_asked_for_itself_and_a_photo_takes_no_name_from_anybody(pool: Pool) -> None:
    door = Door(pool)
    photo, ada, bob = Player(view(ADA, 0), 100, deaf=True), Player(view(ADA, 20), 500), Player(view(BOB, 5), 900)
    assert door.watch(photo, ada, bob).names == (None, "Ada", "Bob")
    asked = [[step and step.angle_deg for step in seen.challenges] for seen in door.views if len(seen) == 3]
    assert len({tuple(dict.fromkeys(way for way in face if way is not None)) for face in zip(*asked, strict=True)}) == 3


def test_no_more_are_asked_at_a_time_than_there_may_be(pool: Pool) -> None:
    door = Door(pool, ChallengeOptions(most=1))
    door.watch(Player(view(ADA, 5), 100), Player(view(BOB, 5), 500), seconds=17)
    assert {sum(step is not None for step in seen.challenges) for seen in door.views} == {0, 1}
    assert door.views[-1].names == ("Ada", "Bob")


def test_whoever_has_not_passed_waits_longer_each_time_also_as_another_track(pool: Pool) -> None:
    door = Door(pool, ChallengeOptions(pause_s=2, longest_pause_s=3))
    contrary = Player(view(ADA, 5), contrary=True)
    for _ in range(3):
        door.watch(contrary, seconds=7)
        door.watch(seconds=1.5)
    ends = [event.time_s for event in door.events if event.kind == "challenged"]
    begins = [
        seen.time_s
        for seen, before in zip(door.views[1:], door.views, strict=False)
        if any(seen.challenges) and not any(before.challenges)
    ]
    waits = [min(begin - end for begin in begins if begin > end) for end in ends[:-1]]
    assert waits[0] == pytest.approx(2, abs=0.2)
    assert len(waits) > 1
    assert all(3 <= wait < 3 + 3 for wait in waits[1:])


def test_somebody_else_under_the_same_number_has_not_passed(pool: Pool) -> None:
    door = Door(pool)
    assert door.watch(Player(view(ADA, 5))).names == ("Ada",)
    door.watch(Player(view(BOB, 5), deaf=True), seconds=4)
    assert door.views[-1].names == (None,)
    assert ("lost", "Ada", "another_face") in door.story
    assert "Bob" not in {person for _, person, _ in door.story}


def test_who_has_passed_and_leaves_a_photo_in_their_place_is_asked_again(pool: Pool) -> None:
    door = Door(pool, ChallengeOptions(good_for_s=2))
    door.watch_until_named(Player(view(ADA, 5)))
    door.watch(Player(view(ADA, 5), flat=True, deaf=True), seconds=5)
    assert door.views[-1].names == (None,)
    assert door.views[-1].liveness == (None,)
    assert ("changed", None, "not_live") in door.story
    assert {event.track for event in door.events} == {1}
    door.watch_until_named(Player(view(ADA, 5)))


def test_who_moves_as_people_do_is_not_asked_again(pool: Pool) -> None:
    door = Door(pool, ChallengeOptions(good_for_s=2))
    door.watch_until_named(Player(view(ADA, 5)))
    for _ in range(4):
        for yaw in (0, 20):
            door.watch(Player(view(ADA, 5), deaf=True, yaw=yaw), seconds=0.75)
    assert door.views[-1].names == ("Ada",)
    assert [kind for kind, _, _ in door.story] == ["appeared", "challenged", "recognized"]


def test_who_was_gone_is_asked_again(pool: Pool) -> None:
    door = Door(pool)
    door.watch(Player(view(ADA, 5)))
    door.watch(seconds=2)
    assert door.watch(Player(view(ADA, 5)), seconds=1).names == (None,)


def test_one_who_passes_does_not_lend_the_name_of_a_photo_that_was_shown_first(pool: Pool) -> None:
    """A photo of Ada, then, without a gap, a stranger who resembles her a little and does all that is asked."""
    door = Door(pool)
    door.watch(Player(view(ADA, 0), deaf=True), seconds=0.5)
    resembles = np.float32(0.31)
    door.watch(Player(resembles * view(ADA, 0) + np.sqrt(1 - resembles**2) * view(STRANGER, 0)))
    assert {event.track for event in door.events} == {1}
    assert "live" in {event.reason for event in door.events}
    assert "Ada" not in {name for seen in door.views for name in seen.names}


def test_a_face_that_leaves_while_it_is_asked_is_told_of(pool: Pool) -> None:
    door = Door(pool)
    door.watch(Player(view(ADA, 5), deaf=True), seconds=2)
    door.watch(seconds=2)
    assert door.story[1:] == [("challenged", None, "no_face"), ("lost", None, "gone")]
    assert door.events[-1].liveness == door.events[1].liveness


def test_records_say_what_is_asked_and_what_came_of_it_and_name_nobody(pool: Pool) -> None:
    door = Door(pool)
    door.watch(Player(view(ADA, 5)))
    records = [
        record for frame, seen in zip(door.frames, door.views, strict=True) for record in live_records(frame, seen)
    ]
    asked = [record["challenge"] for record in records if record["challenge"]]
    assert isinstance(asked[-1], dict)
    assert {"step", "steps", "phase", "hint", "text", "angle_deg", "progress", "seconds_left"} == asked[-1].keys()
    assert {record["person"] for record in records if record["reason"] == "not_live"} == {None}
    passed = event_record(door.frames[-1], door.events[1])
    assert passed["event"] == "challenged"
    assert passed["person"] is None
    assert isinstance(passed["liveness"], dict)
    assert passed["liveness"]["reason"] == "live"
    assert records[-1]["liveness"] == passed["liveness"]


def test_without_it_nothing_is_said_of_liveness(pool: Pool) -> None:
    analyzer = FakeLiveAnalyzer()
    recognizer = LiveRecognizer(analyzer, pool)
    frame = analyzer.frame(Actor(view(ADA, 5)))
    seen = recognizer.process(frame)
    assert (seen.challenges, seen.liveness) == ((), ())
    assert "liveness" not in live_records(frame, seen)[0]
