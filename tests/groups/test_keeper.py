"""What is kept of who was seen: which group it goes to, what is told, and what holds it up."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from facepool.errors import PoolLocked
from facepool.gallery import Gallery, open_pool
from facepool.gallery.sightings import InboxBounds
from facepool.groups.keeper import KeepOptions, SightingKeeper, UnknownReturned
from facepool.recognize.sightings import TrackSighting
from facepool.thresholds import ThresholdPolicy
from facepool.types import Sample, SightedFaces, Sighting
from support.fake_analyzer import CURVE, SPACE, view
from support.pools import POSTGRES, place
from support.sightings import NOW
from support.tracks import faces, seen

KINDS = ("pool.db", pytest.param(POSTGRES, marks=pytest.mark.postgres))
DOOR = "door"
LIKELY = 63.0
"""Degrees at which two views are likely of one person, but not for certain."""


class Desk:
    """A keeper, its pool, and what it has said."""

    def __init__(self, address: str, options: KeepOptions | None = None) -> None:
        self.open: Callable[[], AbstractContextManager[Gallery]] = partial(open_pool, address, SPACE)
        self.options = options or KeepOptions(unknown=True)
        self.returned: list[UnknownReturned] = []
        self.handed_on: list[tuple[Sighting, SightedFaces]] = []
        self.said: list[str] = []
        self.pool = open_pool(address, SPACE)
        self.keeper = self.new_keeper()

    def new_keeper(self, most_waiting: int = 500) -> SightingKeeper:
        return SightingKeeper(
            self._open_now,
            ThresholdPolicy(CURVE),
            lambda: self.options,
            on_returned=self.returned.append,
            on_kept=lambda _gallery, sighting, kept: self.handed_on.append((sighting, kept)),
            say=self.said.append,
            most_waiting=most_waiting,
        )

    def _open_now(self) -> AbstractContextManager[Gallery]:
        return self.open()

    def keep(self, *sightings: TrackSighting, source: str = DOOR) -> None:
        """Keep some, one after the other."""
        for one in sightings:
            self.keeper.take(source, [one])
        self.settle()

    def settle(self) -> None:
        self.keeper.close(30)
        counts = self.keeper.counts
        followed = self.keeper._followed
        self.keeper = self.new_keeper()
        self.keeper.counts, self.keeper._followed = counts, followed

    @property
    def groups(self) -> dict[int, int]:
        """Sightings of each group."""
        return {group.number: group.sightings for group in self.pool.inbox.groups()}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(str(tmp_path / "pool.db"))
    with closing(made.pool):
        yield made
        made.keeper.close()


def test_a_stranger_who_comes_again_joins_their_group_and_it_is_told(desk: Desk) -> None:
    desk.keep(seen(view(0, 0), minutes_ago=600), seen(view(1, 0), minutes_ago=500))
    assert list(desk.groups.values()) == [1, 1]
    again = seen(view(0, 20), minutes_ago=30)
    desk.keep(again, seen(view(0, 10), minutes_ago=5))
    assert sorted(desk.groups.values()) == [1, 3]
    (first, second) = desk.returned
    number = desk.pool.inbox.sighting(again.id).group
    assert (first.group, first.times, first.source, first.sighting) == (number, 2, DOOR, again.id)
    assert (second.group, second.times) == (number, 3)
    assert first.since == (NOW - timedelta(minutes=600)).isoformat(timespec="milliseconds")
    record = first.record()
    assert record["event"] == "unknown_returned"
    assert (record["person"], record["group"], record["times"]) == (None, number, 2)
    counts = desk.keeper.counts
    assert (counts.kept, counts.new_groups, counts.joined, counts.lost) == (4, 2, 2, 0)
    assert desk.said == []


def test_who_looks_away_for_a_moment_has_not_come_again(desk: Desk) -> None:
    desk.keep(seen(view(0, 0), minutes_ago=10), seen(view(0, 10), minutes_ago=9.5))
    assert list(desk.groups.values()) == [2]
    assert desk.returned == []


def test_faces_that_are_there_together_are_two_people(desk: Desk) -> None:
    desk.keeper.take(DOOR, [seen(view(0, 0), ended=False), seen(view(0, 5), ended=False)])
    desk.settle()
    assert list(desk.groups.values()) == [1, 1]
    assert desk.pool.inbox.proposals() == []
    desk.keep(seen(view(0, 2)), source="yard")
    assert sorted(desk.groups.values()) == [1, 2]


def test_whoever_comes_while_another_is_still_there_is_somebody_else(desk: Desk) -> None:
    stays = seen(view(0, 0), minutes_ago=10, ended=False)
    desk.keeper.take(DOOR, [stays])
    desk.keeper.take(DOOR, [seen(view(0, 5), minutes_ago=2)])
    desk.keeper.take(DOOR, [replace(stays, until=NOW, ended=True)])
    desk.settle()
    assert list(desk.groups.values()) == [1, 1]


def test_better_faces_at_the_end_may_find_the_group_after_all(desk: Desk) -> None:
    desk.keep(seen(view(0, 0), minutes_ago=600))
    first_look = seen(view(0, 80), minutes_ago=1, ended=False)
    desk.keep(first_look)
    assert list(desk.groups.values()) == [1, 1]
    desk.keep(replace(first_look, faces=faces(view(0, 20)), ended=True))
    assert list(desk.groups.values()) == [2]
    assert [one.times for one in desk.returned] == [2]


def test_what_was_joined_once_stays_there_whatever_comes_later(desk: Desk) -> None:
    desk.keep(seen(view(0, 0), minutes_ago=600))
    one = seen(view(0, 20), minutes_ago=1, ended=False)
    desk.keep(one)
    desk.keep(replace(one, faces=faces(view(1, 0)), ended=True))
    assert list(desk.groups.values()) == [2]


def test_what_is_likely_is_proposed_and_never_joined(desk: Desk) -> None:
    desk.keep(seen(view(0, 0), minutes_ago=600), seen(view(0, LIKELY), minutes_ago=5))
    assert list(desk.groups.values()) == [1, 1]
    (proposal,) = desk.pool.inbox.proposals()
    assert {proposal.one, proposal.other} == set(desk.groups)
    assert desk.returned == []


def test_between_groups_that_were_split_nobody_chooses(desk: Desk) -> None:
    one, other = seen(view(0, 20), minutes_ago=600), seen(view(0, -15), minutes_ago=500)
    desk.keep(one, other)
    (number,) = desk.groups
    desk.pool.inbox.split(number, [other.id])
    desk.keep(seen(view(0, 0), minutes_ago=5))
    assert list(desk.groups.values()) == [1, 1, 1]
    assert len(desk.pool.inbox.proposals()) == 2


def test_an_ignored_group_takes_its_own_and_raises_nothing(desk: Desk) -> None:
    first = seen(view(0, 0), minutes_ago=600)
    desk.keep(first)
    number = desk.pool.inbox.sighting(first.id).group
    assert number is not None
    desk.pool.inbox.set_state(number, "ignored")
    desk.keep(seen(view(0, 10), minutes_ago=5), seen(view(0, LIKELY + 10), minutes_ago=3))
    assert desk.pool.inbox.group(number).sightings == 2
    assert list(desk.groups.values()) == [1]
    assert desk.returned == []
    assert desk.pool.inbox.proposals() == []


def ada(desk: Desk) -> tuple[str, str]:
    desk.pool.register("Ada", [Sample(view(0, 0))], SPACE)
    person = desk.pool.person("Ada")
    assert person is not None
    return person.name, person.id


def test_who_is_named_after_they_were_unknown_is_unknown_no_more(desk: Desk) -> None:
    one = seen(view(0, 30), ended=False)
    desk.keep(one)
    assert list(desk.groups.values()) == [1]
    named = seen(view(0, 10), person=ada(desk), id_=one.id)
    desk.keep(named)
    assert desk.pool.inbox.sightings() == []
    assert desk.groups == {}


def test_where_recognized_people_are_kept_they_keep_their_sighting(desk: Desk) -> None:
    desk.options = replace(desk.options, recognized=True)
    one = seen(view(0, 30), ended=False)
    desk.keep(one)
    desk.keep(seen(view(0, 10), person=ada(desk), id_=one.id))
    (kept,) = desk.pool.inbox.sightings()
    assert (kept.id, kept.person, kept.group) == (one.id, "Ada", None)
    assert desk.groups == {}
    ((handed_on, its_faces),) = desk.handed_on
    assert (handed_on.id, len(its_faces.ids)) == (one.id, 1)


def test_no_log_names_who_is_erased_while_their_sighting_is_looked_at(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.options = replace(desk.options, recognized=True)

    def look(gallery: Gallery, sighting: Sighting, _faces: SightedFaces) -> None:
        desk.pool.remove("Ada")
        gallery.templates(sighting.person)

    keeper = SightingKeeper(desk.open, ThresholdPolicy(CURVE), lambda: desk.options, on_kept=look)
    with caplog.at_level("DEBUG"):
        keeper.take(DOOR, [seen(view(0, 10), person=ada(desk))])
        keeper.close(30)
    assert "a sighting is not handed on" in caplog.text
    assert "Ada" not in caplog.text


def test_only_what_was_asked_for_is_kept(desk: Desk) -> None:
    desk.options = KeepOptions(recognized=True)
    desk.keep(seen(view(1, 0)), seen(view(0, 10), person=ada(desk)))
    assert [one.person for one in desk.pool.inbox.sightings()] == ["Ada"]
    desk.options = KeepOptions(unknown=True)
    desk.keep(seen(view(1, 0)), seen(view(0, 10), person=ada(desk)))
    assert sorted(one.person or "" for one in desk.pool.inbox.sightings()) == ["", "Ada"]


def test_consent_withdrawn_erases_what_is_kept_and_what_waits(desk: Desk) -> None:
    desk.options = replace(desk.options, recognized=True)
    desk.keep(seen(view(1, 0)), seen(view(0, 10), person=ada(desk)))
    desk.keeper.take(DOOR, [seen(view(2, 0))])
    desk.options = replace(desk.options, unknown=False)
    assert desk.keeper.withdraw()
    desk.settle()
    assert [one.person for one in desk.pool.inbox.sightings()] == ["Ada"]
    assert desk.groups == {}


def test_while_the_pool_is_locked_sightings_wait_and_it_is_said_once(desk: Desk) -> None:
    free, really_open = threading.Event(), desk.open

    def open_when_free() -> AbstractContextManager[Gallery]:
        if free.is_set():
            return really_open()
        tried.set()
        raise PoolLocked("The pool is locked", why="another program writes", fix="Wait")

    tried = threading.Event()
    desk.open = open_when_free
    desk.keeper.take(DOOR, [seen(view(0, 0), minutes_ago=20)])
    desk.keeper.take(DOOR, [seen(view(1, 0))])
    assert tried.wait(10)
    free.set()
    desk.settle()
    assert list(desk.groups.values()) == [1, 1]
    assert desk.said == ["nothing can be kept of who is seen for now: another program writes"]


def test_what_cannot_be_kept_by_the_end_is_said(desk: Desk) -> None:
    def locked() -> AbstractContextManager[Gallery]:
        raise PoolLocked("The pool is locked", why="another program writes", fix="Wait")

    desk.open = locked
    desk.keeper.take(DOOR, [seen(view(0, 0))])
    desk.keeper.close(0.1)
    assert desk.said[-1] == "1 sighting could not be kept"
    assert desk.keeper.counts.lost == 1


def test_of_too_many_that_wait_the_oldest_are_left_out(desk: Desk) -> None:
    keeper = desk.new_keeper(most_waiting=2)
    keeper._start = lambda: None  # type: ignore[method-assign] # nobody works
    same = seen(view(0, 0), ended=False)
    for one in (same, seen(view(1, 0)), replace(same, ended=True), seen(view(2, 0)), seen(view(3, 0))):
        keeper.take(DOOR, [one])
    assert (keeper.waiting, keeper.counts.lost) == (2, 2)
    assert desk.said == ["more is seen than can be kept: some sightings are left out"]


def test_films_and_pictures_wait_for_room(desk: Desk) -> None:
    keeper = desk.new_keeper(most_waiting=1)
    with keeper:
        for person in range(4):
            keeper.take(DOOR, [seen(view(person, 0), minutes_ago=10 * person)], patience_s=30)
    assert list(desk.groups.values()) == [1, 1, 1, 1]
    assert keeper.counts.lost == 0


def test_who_is_named_while_they_are_still_there_has_not_come_again(desk: Desk) -> None:
    one = seen(view(0, 0), minutes_ago=20, ended=False)
    desk.keep(seen(view(0, 80), minutes_ago=600), one)
    first, second = desk.pool.inbox.sightings()
    assert first.group != second.group
    desk.pool.inbox.to_person("Ada", [], [one.id], create=True)
    desk.keep(replace(one, faces=faces(view(0, 80)), ended=True))
    assert desk.pool.inbox.sighting(one.id).person == "Ada"
    assert desk.returned == []


def test_who_was_named_by_hand_is_kept_when_the_camera_names_them_too(desk: Desk) -> None:
    one = seen(view(0, 0), ended=False)
    desk.keep(one)
    group = desk.pool.inbox.sighting(one.id).group
    given = desk.pool.inbox.to_person("Ada", [], [one.id], create=True)
    desk.keep(seen(view(0, 10), person=("Ada", given.person_id), id_=one.id))
    assert desk.pool.inbox.sighting(one.id).person == "Ada", "or the naming could not be undone"
    assert desk.pool.inbox.put_back(given.before) == 1
    assert desk.pool.inbox.sighting(one.id).group == group
    desk.keep(seen(view(0, 10), person=("Ada", given.person_id), id_=one.id))
    assert desk.pool.inbox.sightings() == [], "nobody says so by hand any more"


def test_who_is_in_view_stays_in_the_group_that_somebody_has_put_them_in(desk: Desk) -> None:
    one, other = seen(view(0, 20), minutes_ago=1, ended=False), seen(view(1, 0), minutes_ago=300)
    desk.keep(seen(view(0, 0), minutes_ago=600), other, one)
    inbox = desk.pool.inbox
    first = inbox.sighting(one.id).group
    assert first is not None
    apart = inbox.split(first, [one.id])
    desk.keep(one)
    assert inbox.sighting(one.id).group == apart
    into = inbox.sighting(other.id).group
    assert into is not None
    inbox.join(into, apart)
    desk.keep(replace(one, ended=True))
    assert inbox.sighting(one.id).group == into
    assert desk.groups == {first: 1, into: 2}
    assert [one.group for one in desk.returned] == [first], "of the time before that"


def test_who_is_forgotten_while_they_are_in_view_is_no_failure(desk: Desk) -> None:
    one = seen(view(0, 0), ended=False)
    desk.keep(one)
    desk.options = KeepOptions()
    assert desk.keeper.withdraw()
    desk.keep(replace(one, ended=True))
    assert (desk.keeper.counts.lost, desk.said) == (0, [])


def test_a_full_inbox_drops_strangers_who_were_seen_once_first_and_says_so(desk: Desk) -> None:
    desk.options = KeepOptions(unknown=True, bounds=InboxBounds(sightings=3))
    desk.keep(seen(view(0, 0), minutes_ago=900), seen(view(0, 5), minutes_ago=800))
    desk.keep(seen(view(1, 0), minutes_ago=700), seen(view(2, 0), minutes_ago=600), seen(view(3, 0), minutes_ago=500))
    assert sorted(desk.groups.values()) == [1, 2]
    assert desk.keeper.counts.crowded_out == 2
    assert len(desk.said) == 2 - 1
    assert "no room for more than 3 sightings" in desk.said[0]


def test_what_somebody_deleted_while_the_face_was_there_stays_deleted(desk: Desk) -> None:
    one = seen(view(0, 0), ended=False)
    desk.keep(one)
    desk.pool.inbox.delete_sighting(one.id)
    desk.keep(replace(one, ended=True))
    assert desk.pool.inbox.sightings() == []


def test_what_is_too_old_goes_although_nothing_new_is_kept(desk: Desk) -> None:
    desk.keep(seen(view(0, 0), minutes_ago=60 * 24 * 3))
    desk.options = KeepOptions(bounds=InboxBounds(days=2))
    desk.keeper.start()
    until = time.monotonic() + 20
    while desk.groups and time.monotonic() < until:
        time.sleep(0.02)
    assert desk.groups == {}


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_that_see_somebody_at_once_make_one_group(tmp_path: Path, kind: str) -> None:
    address = str(place(tmp_path, kind))
    with open_pool(address, SPACE) as pool:
        pool.register("Ada", [Sample(view(0, 0))], SPACE)
    desks = [Desk(address) for _ in range(3)]
    for round_ in range(4):
        for number, desk in enumerate(desks):
            desk.keeper.take(f"camera {number}", [seen(view(1 + round_ % 3, number), minutes_ago=100 - 10 * round_)])
    for desk in desks:
        desk.settle()
    try:
        assert sorted(desks[0].groups.values()) == [3, 3, 6]
        assert sum(desk.keeper.counts.lost for desk in desks) == 0
    finally:
        for desk in desks:
            desk.keeper.close()
            desk.pool.close()
