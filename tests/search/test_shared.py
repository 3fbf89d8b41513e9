"""Threads search one index while it changes under their hands: nobody waits, and no answer is of two revisions."""

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import numpy as np
import pytest

from facepool.search import Index, index, segment
from facepool.search.exact import nearest
from facepool.search.segment import Building, Share
from facepool.search.shared import SharedIndex
from facepool.types import Candidate
from support.pools import units
from support.towns import DIMENSION, Town

PROBES = units(3, DIMENSION, seed=7)
CHANGES = 2000
Answer = list[tuple[Candidate, ...]]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_CODED_TEMPLATES", 1)
    monkeypatch.setattr(index, "_SEGMENT_ROWS", 64)
    monkeypatch.setattr(index, "_TAIL_ROWS", 8)
    monkeypatch.setattr(segment, "_PEOPLE_AT_ONCE", 4)


def town_of(people: int) -> Town:
    town = Town(uuids=True)
    town.step("new", 1, people)
    return town


def asked(shared: SharedIndex) -> tuple[int, Answer]:
    """The revision that is searched, and the answer, as `Search` gets it."""
    while True:
        known = shared.index
        assert known is not None
        found = nearest(known, PROBES, 3, normalize=True)
        if not known.spoiled:
            return known.revision, found


def settle(shared: SharedIndex) -> None:
    for _ in range(3000):
        if shared._compaction is None:
            return
        time.sleep(0.01)
    raise AssertionError("the compaction does not end")


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns fifty times as often."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 50)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty")
def test_every_answer_is_that_of_one_revision() -> None:
    town, rng = town_of(60), np.random.default_rng(3)
    shared = SharedIndex(Index.of(town.everything()))
    history = {town.revision: dict(town.owners)}
    names = {town.revision: dict(town.names)}
    over = threading.Event()

    def search() -> dict[int, Answer]:
        found: dict[int, Answer] = {}
        while not over.is_set():
            revision, answer = asked(shared)
            assert found.setdefault(revision, answer) == answer
        return found

    with ThreadPoolExecutor(3) as threads:
        searching = [threads.submit(search) for _ in range(3)]
        kinds = ("new", "register", "remove", "remove_template", "rename", "merge")
        try:
            until_s = time.monotonic() + 8
            while town.revision < CHANGES and time.monotonic() < until_s:
                kind = kinds[rng.integers(0, 2 if len(town.names) < 40 else 6)]
                changes = town.step(kind, int(rng.integers(0, 1000)), 1)
                history[town.revision], names[town.revision] = dict(town.owners), dict(town.names)
                shared.follow(changes)
        finally:
            over.set()
        answers = [one.result() for one in searching]
    settle(shared)
    seen = sorted({revision for found in answers for revision in found})
    assert len(seen) > 10
    for revision in seen[:: 1 + len(seen) // 200]:
        town.revision, town.owners, town.names = revision, history[revision], names[revision]
        right = nearest(Index.of(town.everything()), PROBES, 3, normalize=True)
        assert all(found.get(revision, right) == right for found in answers)


@pytest.fixture
def held_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Compactions begin, have copied everything, and do not end before they are told to."""
    began, may_end = threading.Event(), threading.Event()
    fill = Building.fill

    def slow(building: Building, guard: AbstractContextManager[object] | None = None) -> Share:
        share = fill(building, guard)
        if guard is not None:
            began.set()
            assert may_end.wait(60)
        return share

    monkeypatch.setattr(Building, "fill", slow)
    yield began, may_end
    may_end.set()


def test_nobody_waits_for_a_compaction_and_what_is_erased_leaves_it_too(
    held_open: tuple[threading.Event, threading.Event],
) -> None:
    began, may_end = held_open
    town = town_of(60)
    shared = SharedIndex(Index.of(town.everything()))
    while not began.is_set():  # until so many have moved that somebody tidies up
        shared.follow(town.step("register", town.revision * 7, 1))
        began.wait(0.05)
    assert shared._compaction is not None
    assert shared.index is not None
    copies = [building.segment for building in shared._compaction._made]

    gone = next(number for number in town.owners if any((one.template_ids == number).any() for one in copies))
    for kind in ("register", "rename", "remove", "remove_template", "merge", "new"):
        which = sorted(town.names).index(town.owners[gone]) if kind == "remove" else town.revision
        shared.follow(town.step(kind, which, 1))
        assert asked(shared) == (
            town.revision,
            nearest(Index.of(town.everything()), PROBES, 3, normalize=True),
        )
    assert gone in town.erased
    for one in copies:
        assert not one.vectors[np.isin(one.template_ids, town.erased)].any()
        assert one.codes is not None
        assert not one.codes.rows[np.isin(one.template_ids, town.erased)].any()

    before = shared.index
    may_end.set()
    settle(shared)
    assert shared.index is not before
    assert any(layer.segment is one for layer in shared.index.layers for one in copies)
    assert asked(shared) == (town.revision, nearest(Index.of(town.everything()), PROBES, 3, normalize=True))


def test_a_compaction_of_what_is_gone_changes_nothing(held_open: tuple[threading.Event, threading.Event]) -> None:
    began, may_end = held_open
    town = town_of(60)
    shared = SharedIndex(Index.of(town.everything()))
    while not began.is_set():
        shared.follow(town.step("register", town.revision * 7, 1))
        began.wait(0.05)
    whole = shared.follow(town.everything())
    may_end.set()
    settle(shared)
    assert shared.index is whole


def test_segments_stay_few_and_nearly_all_of_them_alive() -> None:
    town = town_of(100)
    shared = SharedIndex(Index.of(town.everything()))
    for turn in range(400):
        shared.follow(town.step(("new", "register", "remove")[turn % 3], turn * 31, 1))
        settle(shared)
    assert shared.index is not None
    layers = shared.index.layers
    assert len(layers) <= 2 + len(shared.index) // 32 + 6
    assert sum(layer.segment.rows for layer in layers) <= 1.2 * len(shared.index) + 8
