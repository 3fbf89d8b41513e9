"""Suggestions: what is asked, what a yes does, what is taken back, in every kind of pool that keeps sightings."""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from facepool.errors import SuggestionOutdated, UnknownPerson, UnknownSuggestion
from facepool.gallery import Pool, open_pool, transfer
from facepool.gallery.sightings import InboxBounds
from facepool.groups.drift import most_degrees
from facepool.groups.keeper import KeepOptions, SightingKeeper
from facepool.groups.learn import MOST_OPEN, Learning, Suggested, Suggester, Why, take_back, take_back_answer
from facepool.groups.undoing import undo, undoable
from facepool.recognize.sightings import TrackSighting
from facepool.thresholds import ThresholdPolicy
from facepool.types import Candidate, Decision, Floats, Sample, Template
from support.looks import CURVE, DIMENSION, FRONTAL, NOW, at_similarity, between, keep_seen, sighted, somebody
from support.pools import POSTGRES, kept, place, space

KINDS = ("pool.db", pytest.param(POSTGRES, marks=pytest.mark.postgres))
POLICY = ThresholdPolicy(CURVE)
ADA, BO = somebody(1), somebody(2)
LOOK = at_similarity(ADA, 0.65, 7)
SPACE = space(DIMENSION)


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with filled(tmp_path, "pool.db") as pool:
        yield pool


@pytest.fixture
def any_pool(tmp_path: Path, backend: str) -> Iterator[Pool]:
    with filled(tmp_path, backend) as pool:
        yield pool


@contextmanager
def filled(folder: Path, backend: str) -> Iterator[Pool]:
    """Ada, Bo and twenty others."""
    with open_pool(place(folder, backend), SPACE) as pool:
        pool.register("Ada", [enrolled(ADA), enrolled(at_similarity(ADA, 0.8, 3))], SPACE)
        pool.register("Bo", [enrolled(BO)], SPACE)
        for number in range(20):
            pool.register(f"Other {number}", [enrolled(somebody(100 + number))], SPACE)
        yield pool


def enrolled(embedding: Floats) -> Sample:
    return Sample(embedding=embedding, source="photo.jpg", pose=FRONTAL, quality=90)


def learning() -> Learning:
    return Learning(POLICY, CURVE)


def look_at(pool: Pool, look: Floats, person: str = "Ada", days: tuple[float, ...] = (2, 1, 0)) -> Suggested | None:
    """Somebody is seen with a look on some days; what comes of that."""
    for day in days:
        sighting = keep_seen(pool, person, look, days_ago=day)
        found = learning().look(pool, sighting, pool.inbox.faces([sighting.id])[sighting.id])
        if found is not None:
            return found
    return None


def learned_of(pool: Pool, person: str) -> list[Template]:
    return [template for template in pool.templates(person) if template.sample.learned_from]


def suggestion_of(pool: Pool, look: Floats = LOOK) -> int:
    suggested = look_at(pool, look)
    assert suggested is not None
    return suggested.suggestion.number


def test_a_look_that_was_seen_on_several_days_is_suggested_and_nothing_is_stored(pool: Pool) -> None:
    revision = pool.revision()
    suggested = look_at(pool, LOOK)
    assert suggested is not None
    (found,) = pool.inbox.suggestions("Ada")
    assert suggested.suggestion == found
    assert Why.of(found) == Why("appearance", 3, 3)
    assert Why.of(found).words == "the stored views of that pose look different; seen 3 times on 3 days"
    assert found.expires_at[:10] == (NOW + timedelta(days=14)).isoformat()[:10]
    assert pool.revision() == revision
    assert suggested.record()["event"] == "suggested"
    assert suggested.record()["reason"] == "appearance"


def test_one_look_is_suggested_once(any_pool: Pool) -> None:
    number = suggestion_of(any_pool)
    assert look_at(any_pool, between(LOOK, ADA, 0.05), days=(0.5, 0.4, 0.3)) is None
    learning().decline(any_pool, number, "test")
    assert look_at(any_pool, LOOK, days=(0.2,)) is None
    assert any_pool.inbox.suggestions("Ada") == []


def test_nobody_is_flooded_with_questions(pool: Pool) -> None:
    found = [look_at(pool, at_similarity(ADA, 0.65, seed)) for seed in range(MOST_OPEN + 2)]
    assert [one is not None for one in found] == [True] * MOST_OPEN + [False] * 2


def test_a_yes_makes_a_template_that_says_what_it_was_learned_from(any_pool: Pool) -> None:
    number = suggestion_of(any_pool)
    learned = learning().accept(any_pool, number, "test")
    (template,) = learned_of(any_pool, "Ada")
    assert learned.template == template.id
    first = any_pool.templates("Ada")[0]
    assert template.sample.learned_from == first.uuid
    assert template.uuid == learned.suggestion.face_id
    assert any_pool.picture(template.id) == b"face 0"
    degrees = most_degrees(CURVE, POLICY.identification(23).value)
    assert float(template.sample.embedding @ ADA) == pytest.approx(np.cos(np.radians(degrees)), abs=1e-4)
    assert float(template.sample.embedding @ LOOK) > float(ADA @ LOOK) + 0.02
    with pytest.raises(UnknownSuggestion):
        learning().accept(any_pool, number, "test")


def test_what_was_learned_is_known_as_that_in_a_copy(pool: Pool, tmp_path: Path) -> None:
    learning().accept(pool, suggestion_of(pool), "test")
    for name in ("copy.db", "model_faces.npy"):
        with open_pool(tmp_path / name, SPACE) as copy:
            transfer(pool, copy)
            (template,) = learned_of(copy, "Ada")
            assert template.sample.learned_from
    with open_pool(tmp_path / "copy.db", SPACE) as copy:
        assert take_back(copy) == {"Ada": 1}


def test_of_two_who_say_yes_at_once_one_is_told_that_it_was_answered(
    any_pool: Pool, tmp_path: Path, backend: str
) -> None:
    number = suggestion_of(any_pool)

    def answer(_: int) -> bool:
        with open_pool(place(tmp_path, backend), SPACE) as own:
            try:
                learning().accept(own, number, "test")
            except UnknownSuggestion:
                return False
            return True

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(answer, range(2))) == [False, True]
    assert len(learned_of(any_pool, "Ada")) == 1


def test_one_call_takes_back_what_was_learned_of_somebody_or_of_everybody(any_pool: Pool) -> None:
    learning().accept(any_pool, suggestion_of(any_pool), "test")
    suggested = look_at(any_pool, at_similarity(BO, 0.65, 4), "Bo")
    assert suggested is not None
    learning().accept(any_pool, suggested.suggestion.number, "test")
    before = {name: len(any_pool.templates(name)) for name in ("Ada", "Bo")}
    assert before == {"Ada": 3, "Bo": 2}
    assert take_back(any_pool, "Ada") == {"Ada": 1}
    assert take_back(any_pool) == {"Bo": 1}
    assert take_back(any_pool) == {}
    assert [len(any_pool.templates(name)) for name in ("Ada", "Bo")] == [2, 1]
    with pytest.raises(UnknownPerson):
        take_back(any_pool, "Nobody")


def test_bytes_of_what_was_taken_back_are_gone(any_pool: Pool, tmp_path: Path, backend: str) -> None:
    learning().accept(any_pool, suggestion_of(any_pool), "test")
    vector = learned_of(any_pool, "Ada")[0].sample.embedding.tobytes()
    assert vector in kept(tmp_path, backend)
    take_back(any_pool)
    assert vector not in kept(tmp_path, backend)


def test_a_yes_and_a_no_are_undone(any_pool: Pool) -> None:
    number = suggestion_of(any_pool)
    for answer in ("accept", "decline"):
        getattr(learning(), answer)(any_pool, number, "test")
        entry = any_pool.inbox.journal()[0]
        with any_pool.inbox.change():
            take_back_answer(any_pool, entry)
            any_pool.inbox.forget_entry(entry.number)
        assert learned_of(any_pool, "Ada") == []
        assert [one.number for one in any_pool.inbox.suggestions("Ada")] == [number]


def test_a_yes_is_undone_without_taking_what_is_somebody_elses_by_now(any_pool: Pool) -> None:
    number = suggestion_of(any_pool)
    face = any_pool.inbox.suggestion(number).face_id
    learning().accept(any_pool, number, "test")
    any_pool.inbox.take_back((), [face])
    any_pool.inbox.to_person("Bo", [face], (), create=False)  # as a correction does
    entry = any_pool.inbox.journal()[0]
    with any_pool.inbox.change():
        take_back_answer(any_pool, entry)
    assert face in {one.uuid for one in any_pool.templates("Bo")}


def test_nothing_is_left_of_somebody_who_was_erased(any_pool: Pool) -> None:
    number = suggestion_of(any_pool)
    learning().accept(any_pool, number, "test")
    suggestion_of(any_pool, at_similarity(ADA, 0.65, 9))
    any_pool.remove("Ada")
    assert any_pool.inbox.suggestions() == []
    assert any_pool.inbox.journal() == []
    assert any_pool.inbox.learned() == {}


def test_who_erases_a_view_erases_what_was_learned_from_it(any_pool: Pool) -> None:
    learning().accept(any_pool, suggestion_of(any_pool), "test")
    first, second, _ = any_pool.templates("Ada")
    any_pool.remove_template(second.id)
    assert len(learned_of(any_pool, "Ada")) == 1
    any_pool.remove_template(first.id)
    assert any_pool.templates("Ada") == []
    assert set(any_pool.changes().template_ids.tolist()).isdisjoint({first.id, second.id})


def test_a_yes_is_refused_where_the_views_have_changed(pool: Pool) -> None:
    number = suggestion_of(pool)
    first, *_ = pool.templates("Ada")
    pool.remove_template(first.id)
    with pytest.raises(SuggestionOutdated):
        learning().accept(pool, number, "test")
    learning().decline(pool, number, "test")


def test_the_newest_looks_take_the_place_of_the_oldest(pool: Pool) -> None:
    looks = [at_similarity(ADA, 0.65, seed) for seed in (7, 8, 9)]
    for look in looks:
        learning().accept(pool, suggestion_of(pool, look), "test")
    assert len(learned_of(pool, "Ada")) == 2, "no more than were enrolled"
    closest = [max(float(one.sample.embedding @ look) for one in learned_of(pool, "Ada")) for look in looks]
    assert closest[0] < min(closest[1:])


def test_a_face_that_somebody_else_of_the_pool_may_be_is_not_suggested(pool: Pool) -> None:
    pool.register("Twin", [enrolled(at_similarity(LOOK, 0.6, 5))], SPACE)
    assert look_at(pool, LOOK) is None


def test_nothing_is_suggested_of_strangers_nor_with_an_embedder_that_nobody_measured(pool: Pool) -> None:
    for day in (2, 1):
        keep_seen(pool, "Ada", LOOK, days_ago=day)
    sighting = keep_seen(pool, "Ada", LOOK)
    faces = pool.inbox.faces([sighting.id])[sighting.id]
    assert Learning(POLICY, None).look(pool, sighting, faces) is None
    assert learning().look(pool, dataclasses.replace(sighting, person=None, person_id=None), faces) is None
    assert learning().look(pool, sighting, faces) is not None


def test_an_attacker_to_whom_everybody_says_yes_is_not_named(pool: Pool) -> None:
    """Step by step from Ada to somebody else, each step on three days, through the gallery itself."""
    attacker = somebody(77)
    threshold = POLICY.identification(30).value
    said_yes = 0
    for share in np.linspace(0.1, 1.0, 19):
        suggested = look_at(pool, between(ADA, attacker, float(share)))
        if suggested is not None:
            learning().accept(pool, suggested.suggestion.number, "test")
            said_yes += 1
    assert said_yes > 0, "the attack did get something stored"
    reached = max(float(template.sample.embedding @ attacker) for template in pool.templates("Ada"))
    assert reached < threshold - 0.1


def test_sightings_that_end_before_a_camera_lead_to_a_suggestion_that_is_told_of(pool: Pool, tmp_path: Path) -> None:
    told: list[Suggested] = []
    suggester = Suggester(learning(), lambda: True, told.append)
    ada = pool.person("Ada")
    assert ada is not None
    candidate = Candidate("Ada", 0.65, 1, person_id=ada.id)
    decision = Decision("Ada", 0.65, 0.4, None, "match", candidates=(candidate,))
    options = KeepOptions(unknown=False, recognized=True, bounds=InboxBounds())
    with SightingKeeper(
        lambda: open_pool(tmp_path / "pool.db", SPACE), POLICY, lambda: options, on_kept=suggester
    ) as keeper:
        for day in (2, 1, 0):
            at = NOW - timedelta(days=day)
            seen = TrackSighting(str(uuid4()), decision, at, at, 0.0, 1.0, 9, sighted(LOOK), ended=True)
            keeper.take("Front door", [seen])
    assert [one.suggestion.person for one in told] == ["Ada"]
    assert told[0].record()["source"] == "Front door"
    assert suggester.suggested == 1


def test_nothing_is_suggested_while_it_is_not_wanted(pool: Pool) -> None:
    told: list[Suggested] = []
    suggester = Suggester(learning(), lambda: False, told.append)
    for day in (2, 1, 0):
        sighting = keep_seen(pool, "Ada", LOOK, days_ago=day)
        suggester(pool, sighting, pool.inbox.faces([sighting.id])[sighting.id])
    assert told == []
    assert pool.inbox.suggestions() == []


def test_an_answer_is_undone_by_its_number_and_says_what_it_was(pool: Pool) -> None:
    number = suggestion_of(pool)
    learned = learning().accept(pool, number, "Me")
    change = undo(pool, learned.undo)
    assert (change.caller, change.what) == ("Me", "A suggested face became a view of Ada")
    assert learned_of(pool, "Ada") == []
    assert undoable(pool) == []
