"""Corrections of who was seen, in every kind of pool that keeps sightings."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facepool.enroll.session import EnrollOptions
from facepool.errors import ConfigError, IdentityConflict, UndoOutdated, UnknownPerson, UnknownSighting
from facepool.gallery import Pool, open_pool
from facepool.gallery.notices import Retold
from facepool.gallery.sightings import InboxBounds, JournalEntry
from facepool.groups.correct import NO_FACE_KEPT, Corrections, Wish, correct_event, take_back
from facepool.groups.preview import NamedDifferently, SightingRule
from facepool.search import Index, Search
from facepool.thresholds import SAME_PERSON_FMR, Threshold, ThresholdPolicy
from facepool.types import Calibration, EmbeddingSpace, Floats, Pose, Sample, SightedFaces, Sighting
from support.crowds import DIMENSION, cohort, crowd
from support.pools import POSTGRES, place

KINDS = ("pool.db", pytest.param(POSTGRES, marks=pytest.mark.postgres))
SPACE = EmbeddingSpace("made-up", "ab" * 32, "rgb-0-1/1", "arcface-112", mirrored=True, dimension=DIMENSION)
POLICY = ThresholdPolicy(cohort())
NOVEL = EnrollOptions(novelty=0.99)  # made-up faces of one person are more alike than real ones
PAIR = frozenset({"Ada", "Bo"})
HOURS = count(1)


@pytest.fixture(params=KINDS)
def pool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pool]:
    with open_pool(place(tmp_path, request.param), SPACE) as pool:
        yield pool


def twins(seed: int, faces: int, likeness: float) -> Floats:
    """(2, F, D) of two people who have so much of their faces in common, 0..1."""
    pair = crowd(2, faces, seed).astype(np.float64)
    found = pair + likeness / (1 - likeness) * pair.mean(axis=(0, 1))
    return np.asarray(found / np.linalg.norm(found, axis=-1, keepdims=True), np.float32)


def register(pool: Pool, **templates: Floats) -> None:
    for name, rows in templates.items():
        pool.register(name, [Sample(row) for row in rows], SPACE)


def see(pool: Pool, faces: Floats, person: str | None = None, *, quality: float = 80, group: int | None = None) -> str:
    """Keep a sighting of faces that were taken for somebody; each one is later than those before. Its id."""
    until = datetime.now(UTC) - timedelta(days=5) + timedelta(minutes=next(HOURS))
    known = None if person is None else pool.person(person)
    rows = np.full(len(faces), 1, np.float32)
    sighting = Sighting(
        id=str(uuid4()),
        source="door",
        since=until.isoformat(),
        until=until.isoformat(),
        person=person,
        person_id=known.id if known else None,
        similarity=0.6,
        threshold=0.4,
        frames=9,
    )
    seen = SightedFaces(
        faces, (b"a jpeg",) * len(faces), rows * quality, rows * 0.99, rows * 90, (Pose(0, 0, 0),) * len(faces)
    )
    pool.inbox.keep(sighting, seen, InboxBounds(), "new" if known is None and group is None else group)
    return sighting.id


def corrections(pool: Pool) -> Corrections:
    return Corrections(pool, POLICY, NOVEL)


def undo(pool: Pool, number: int | None) -> None:
    assert number is not None
    with pool.inbox.change():
        take_back(pool, entry(pool, number))
        assert pool.inbox.forget_entry(number)


def entry(pool: Pool, number: int) -> JournalEntry:
    found = pool.inbox.entry(number)
    assert found is not None
    return found


def content(pool: Pool) -> object:
    """What a pool knows of people and of who was seen, but for revisions."""
    templates = [
        (one.person, one.uuid, one.sample.embedding.tobytes(), pool.picture(one.id)) for one in pool.templates()
    ]
    return sorted(templates, key=str), pool.look_alikes(), pool.inbox.sightings(limit=1000), pool.names()


def templates_of(pool: Pool, name: str) -> list[str]:
    return [template.uuid for template in pool.templates(name)]


@pytest.fixture
def mistaken(pool: Pool) -> str:
    """Two people who are alike, and a sighting of Bo who was taken for Ada."""
    ada, bo = twins(3, 8, 0.5)
    register(pool, Ada=ada[:3], Bo=bo[:3], Cy=crowd(1, 3, 77)[0])
    return see(pool, bo[3:5], "Ada")


def test_a_correction_puts_everything_where_it_belongs(pool: Pool, mistaken: str) -> None:
    faces = pool.inbox.faces([mistaken])[mistaken]
    done = corrections(pool).correct(mistaken, Wish("Bo"), "Me")
    seen = pool.inbox.sighting(mistaken)
    ada = pool.person("Ada")
    assert ada is not None
    assert (seen.person, seen.first_person_id, bool(seen.named_at)) == ("Bo", ada.id, True)
    assert templates_of(pool, "Bo")[3:] == [faces.ids[0]]
    (template,) = pool.templates("Bo")[3:]
    assert np.array_equal(template.sample.embedding, faces.embeddings[0])
    assert (template.sample.source, pool.picture(template.id)) == ("door", b"a jpeg")
    assert pool.look_alikes() == {PAIR}
    assert (done.person, done.sighting.person, done.template, done.pair) == ("Bo", "Ada", True, PAIR)
    assert done.margin == Search(pool).state().margins[PAIR]
    assert str(done).startswith("The face becomes a view of Bo. Ada and Bo are look-alikes: one has to beat the other")


def test_a_preview_changes_nothing(pool: Pool, mistaken: str) -> None:
    before, revision = content(pool), pool.revision()
    told = corrections(pool).preview(mistaken, Wish("Bo"))
    assert (content(pool), pool.revision(), pool.inbox.journal()) == (before, revision, [])
    done = corrections(pool).correct(mistaken, Wish("Bo"), "Me")
    assert (told.template, told.pair, told.margin, told.again) == (done.template, done.pair, done.margin, done.again)
    assert told.entry is None


def test_all_of_a_correction_is_taken_back(pool: Pool, mistaken: str) -> None:
    before = content(pool)
    for wish in (Wish("Bo"), Wish("Cy", force=True), Wish(None), Wish("Bo", learn=False), Wish("Bo", flag=False)):
        done = corrections(pool).correct(mistaken, wish, "Me")
        assert content(pool) != before
        undo(pool, done.entry)
        assert content(pool) == before
    assert pool.inbox.journal() == []


def test_corrections_are_taken_back_one_after_the_other(pool: Pool, mistaken: str) -> None:
    states, numbers = [content(pool)], []
    for person in ("Bo", "Cy", None, "Bo"):
        numbers.append(corrections(pool).correct(mistaken, Wish(person, force=True), "Me").entry)
        states.append(content(pool))
    for number, state in zip(reversed(numbers), reversed(states[:-1]), strict=True):
        undo(pool, number)
        assert content(pool) == state


def test_a_correction_is_not_taken_back_over_a_later_one(pool: Pool, mistaken: str) -> None:
    first = corrections(pool).correct(mistaken, Wish("Bo"), "Me").entry
    corrections(pool).correct(mistaken, Wish("Cy", force=True), "Me")
    before = content(pool)
    with pytest.raises(UndoOutdated):
        undo(pool, first)
    assert content(pool) == before


def test_a_view_that_came_from_the_sighting_leaves_whom_it_is_not(pool: Pool, mistaken: str) -> None:
    (face, _) = pool.inbox.faces([mistaken])[mistaken].ids
    corrections(pool).correct(mistaken, Wish("Bo"), "Me")
    told = corrections(pool).preview(mistaken, Wish("Cy", force=True))
    assert told.lost == (pool.template_number(face),)
    corrections(pool).correct(mistaken, Wish("Cy", force=True), "Me")
    assert face in templates_of(pool, "Cy")
    assert len(pool.templates("Bo")) == 3
    corrections(pool).correct(mistaken, Wish(None), "Me")
    assert len(pool.templates("Cy")) == 3
    assert pool.template_number(face) is None


def test_nobody_known_becomes_a_stranger(pool: Pool, mistaken: str) -> None:
    done = corrections(pool).correct(mistaken, Wish(None), "Me")
    seen = pool.inbox.sighting(mistaken)
    assert (seen.person, done.person, done.pair, done.template) == (None, None, None, False)
    assert seen.group is not None
    assert pool.inbox.group(seen.group).sightings == 1
    assert pool.look_alikes() == frozenset()


def test_nobody_known_goes_where_faces_of_strangers_are_not_kept(pool: Pool, mistaken: str) -> None:
    (face, _) = pool.inbox.faces([mistaken])[mistaken].ids
    corrections(pool).correct(mistaken, Wish("Bo"), "Me")
    done = corrections(pool).correct(mistaken, Wish(None, keep_nobody=False), "Me")
    assert pool.inbox.faces([mistaken]) == {}
    assert pool.template_number(face) is None
    with pytest.raises(UnknownSighting):
        pool.inbox.sighting(mistaken)
    with pool.noting("Me") as noted:
        undo(pool, done.entry)  # the activity still has a name to be put back
    assert [(notice.action, notice.person) for notice in noted] == [("took back a correction", "Bo")]


def test_somebody_who_was_taken_for_nobody_is_corrected_too(pool: Pool, mistaken: str) -> None:
    stranger = see(pool, twins(3, 8, 0.5)[1, 5:6])
    done = corrections(pool).correct(stranger, Wish("Bo"), "Me")
    seen = pool.inbox.sighting(stranger)
    assert (seen.person, seen.group, done.pair, done.template) == ("Bo", None, None, True)
    assert pool.inbox.groups() == []
    undo(pool, done.entry)
    assert [group.sightings for group in pool.inbox.groups()] == [1]
    assert mistaken


def test_who_it_is_already_is_no_correction(pool: Pool, mistaken: str) -> None:
    done = corrections(pool).correct(mistaken, Wish("Bo"), "Me")
    before = content(pool)
    again = corrections(pool).correct(mistaken, Wish("Bo"), "Me")
    assert (again.entry, again.judgement and again.judgement.outcome) == (None, "known_view")
    assert content(pool) == before
    assert done.entry is not None


def test_a_face_that_is_far_more_like_somebody_else_is_asked_about(pool: Pool, mistaken: str) -> None:
    own = see(pool, twins(3, 8, 0.5)[0, 5:7], "Ada")
    before = content(pool)
    for work in (corrections(pool).preview, lambda one, wish: corrections(pool).correct(one, wish, "Me")):
        with pytest.raises(IdentityConflict, match="far more like Ada"):
            work(own, Wish("Cy"))
    assert content(pool) == before
    named = corrections(pool).correct(own, Wish("Cy", learn=False), "Me")
    assert (named.template, len(pool.templates("Cy")), pool.inbox.sighting(own).person) == (False, 3, "Cy")
    undo(pool, named.entry)
    assert corrections(pool).correct(own, Wish("Cy", force=True), "Me").template
    assert mistaken


def test_a_poor_face_corrects_the_name_alone(pool: Pool, mistaken: str) -> None:
    poor = see(pool, twins(3, 8, 0.5)[1, 5:6], "Ada", quality=5)
    done = corrections(pool).correct(poor, Wish("Bo"), "Me")
    assert (done.template, done.judgement and done.judgement.outcome, len(pool.templates("Bo"))) == (
        False,
        "blurred",
        3,
    )
    assert "no view of Bo: face blurred" in str(done)
    assert mistaken


def test_a_sighting_without_faces_corrects_the_name_alone(pool: Pool, mistaken: str) -> None:
    bare = see(pool, np.zeros((0, DIMENSION), np.float32), "Ada")
    done = corrections(pool).correct(bare, Wish("Bo"), "Me")
    assert (done.template, pool.inbox.sighting(bare).person) == (False, "Bo")
    assert NO_FACE_KEPT in str(done)
    assert mistaken


def test_who_is_full_gets_no_more_views(pool: Pool, mistaken: str) -> None:
    few = Corrections(pool, POLICY, EnrollOptions(novelty=0.99, max_templates=3))
    done = few.correct(mistaken, Wish("Bo"), "Me")
    assert (done.template, done.judgement and done.judgement.outcome) == (False, "enough")
    assert pool.inbox.sighting(mistaken).person == "Bo"


def test_unknown_people_and_sightings_are_refused(pool: Pool, mistaken: str) -> None:
    before = content(pool)
    with pytest.raises(UnknownPerson, match="Dee"):
        corrections(pool).correct(mistaken, Wish("Dee"), "Me")
    with pytest.raises(UnknownSighting):
        corrections(pool).correct(str(uuid4()), Wish("Bo"), "Me")
    assert content(pool) == before


def test_what_is_suggested_or_learned_of_a_wrong_sighting_goes(pool: Pool, mistaken: str) -> None:
    faces = pool.inbox.faces([mistaken])[mistaken]
    ada = pool.templates("Ada")[0]
    pool.inbox.suggest(faces.ids[0], "Ada", 0.7, "pose")
    learned = Sample(ada.sample.embedding, learned_from=ada.uuid)
    pool.inbox.to_person("Ada", [faces.ids[1]], (), create=False, samples={faces.ids[1]: learned})
    done = corrections(pool).correct(mistaken, Wish("Bo"), "Me")
    assert pool.inbox.suggestions() == []
    assert len(pool.templates("Ada")) == 3
    assert [one.sample.learned_from for one in pool.templates("Bo")] == [""] * 4
    undo(pool, done.entry)  # what was learned may be suggested again
    assert (len(pool.templates("Ada")), len(pool.templates("Bo"))) == (3, 3)


def test_what_was_learned_from_a_view_that_leaves_is_seen_to_leave_with_it(pool: Pool, mistaken: str) -> None:
    corrections(pool).correct(mistaken, Wish("Bo"), "Me")
    (view,) = set(templates_of(pool, "Bo")) & set(pool.inbox.faces([mistaken])[mistaken].ids)
    later = see(pool, twins(3, 8, 0.5)[1, 5:6], "Bo")
    (face,) = pool.inbox.faces([later])[later].ids
    learned = Sample(pool.inbox.faces([later])[later].embeddings[0], learned_from=view)
    pool.inbox.to_person("Bo", [face], (), create=False, samples={face: learned})
    told = corrections(pool).preview(mistaken, Wish("Cy", force=True))
    there = {one.id for one in pool.templates("Bo")}
    corrections(pool).correct(mistaken, Wish("Cy", force=True), "Me")
    gone = there - {one.id for one in pool.templates("Bo")}
    assert len(gone) == 2
    assert set(told.lost) == gone


def test_one_of_two_who_correct_at_once_looks_again(pool: Pool, mistaken: str) -> None:
    class Slow(ThresholdPolicy):
        """While it is asked, somebody else says that it is Cy."""

        def same_person(self, fmr: float = SAME_PERSON_FMR) -> Threshold:
            with open_pool(pool.address, SPACE) as other:
                if other.inbox.sighting(mistaken).person == "Ada":
                    corrections(other).correct(mistaken, Wish("Cy", learn=False, flag=False), "Other")
            return super().same_person(fmr)

    done = Corrections(pool, Slow(cohort()), NOVEL).correct(mistaken, Wish("Bo"), "Me")
    assert (done.sighting.person, done.pair) == ("Cy", frozenset({"Bo", "Cy"}))
    assert [one.content["before"] for one in pool.inbox.journal()] == [
        person.id for name in ("Cy", "Ada") if (person := pool.person(name))
    ]


def test_a_pool_that_is_too_large_for_the_memory_is_corrected_without_a_preview(
    pool: Pool, mistaken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_many(self: Search) -> Index:
        raise ConfigError("too many", fix=f"{self} needs more memory")

    monkeypatch.setattr(Search, "index", too_many)
    done = corrections(pool).correct(mistaken, Wish("Bo"), "Me")
    assert (done.template, done.pair, done.margin, done.again, done.looked_at) == (True, PAIR, None, None, 0)
    assert len(pool.templates("Bo")) == 4


class Busy(ThresholdPolicy):
    """While it is asked, another process registers somebody, twice."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(cohort())
        self._address = pool.address
        self._seeds = [90, 91]

    def identification(self, templates: int, calibration: Calibration | None = None) -> Threshold:
        if self._seeds:
            with open_pool(self._address, SPACE) as other:
                register(other, Dee=crowd(1, 1, self._seeds.pop())[0])
        return super().identification(templates, calibration)


def test_a_correction_looks_again_where_another_process_was_faster(pool: Pool, mistaken: str) -> None:
    assert Corrections(pool, Busy(pool), NOVEL).correct(mistaken, Wish("Bo"), "Me").template
    assert len(pool.templates("Dee")) == 2
    assert len(pool.templates("Bo")) == 4


def test_the_logs_are_told_in_the_same_change(pool: Pool, mistaken: str) -> None:
    ada, bo = pool.person("Ada"), pool.person("Bo")
    assert ada is not None
    assert bo is not None
    with pool.noting("Me") as noted:
        done = corrections(pool).correct(mistaken, Wish("Bo"), "Me")
        undo(pool, done.entry)
    told = [notice for notice in noted if notice.action != "registered"]
    assert [(notice.action, notice.person, notice.caller) for notice in told] == [
        ("corrected", "Bo", "Me"),
        ("took back a correction", "Ada", "Me"),
    ]
    forth, back = map(Retold.of, told)
    assert (forth.sightings, forth.before, forth.after, forth.marked) == ((mistaken,), ada.id, bo.id, True)
    assert (back.sightings, back.before, back.after, back.marked) == ((mistaken,), bo.id, ada.id, False)
    assert "Ada" not in forth.words + str(forth)


def test_what_is_said_of_an_event_is_corrected_where_no_face_was_kept(pool: Pool, mistaken: str) -> None:
    ada, bo = pool.person("Ada"), pool.person("Bo")
    assert ada is not None
    assert bo is not None
    revision = pool.revision()
    with pool.noting("Me") as noted:
        assert correct_event(pool, "an event", bo.id, bo, "Me") is None
        number = correct_event(pool, "an event", ada.id, bo, "Me")
        undo(pool, number)
    forth, back = map(Retold.of, noted)
    assert (forth.events, forth.sightings, forth.before, forth.after) == (("an event",), (), ada.id, bo.id)
    assert (back.events, back.before, back.after, back.marked) == (("an event",), bo.id, ada.id, False)
    assert pool.revision() == revision
    assert mistaken


def test_nothing_is_left_of_somebody_who_is_erased(pool: Pool, mistaken: str) -> None:
    corrections(pool).correct(mistaken, Wish("Bo"), "Me")
    pool.remove("Bo")
    assert pool.inbox.journal() == []
    assert pool.look_alikes() == frozenset()
    with pytest.raises(UnknownSighting):
        pool.inbox.sighting(mistaken)


def test_a_correction_away_from_somebody_who_is_erased_names_nobody(pool: Pool, mistaken: str) -> None:
    corrections(pool).correct(mistaken, Wish("Bo"), "Me")
    pool.remove("Ada")
    assert pool.inbox.journal() == []
    seen = pool.inbox.sighting(mistaken)
    assert (seen.person, seen.first_person_id) == ("Bo", None)


def test_a_pool_without_room_for_sightings_says_so(tmp_path: Path) -> None:
    with open_pool(tmp_path / "model_faces.npy", SPACE) as pool:
        register(pool, Ada=crowd(1, 1, 1)[0])
        with pytest.raises(ConfigError, match="cannot keep who was seen"):
            corrections(pool).preview(str(uuid4()), Wish("Ada"))
        with pytest.raises(ConfigError, match="cannot keep who was seen"):
            correct_event(pool, "an event", None, pool.person("Ada"), "Me")


def named(pool: Pool) -> dict[str, str | None]:
    """Who each sighting is by the pool, newest first."""
    rule, index = SightingRule(POLICY), Search(pool).index()
    ids = [one.id for one in pool.inbox.sightings(limit=1000)]
    faces = pool.inbox.faces(ids)
    return {one: rule.decide(index, faces[one]).person for one in ids}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 30),
    likeness=st.sampled_from([0.5, 0.7, 0.75, 0.8]),
    person=st.sampled_from(["Bo", "Cy", None]),
    flag=st.booleans(),
    twice=st.booleans(),
)
def test_a_preview_is_what_a_correction_does(
    tmp_path_factory: pytest.TempPathFactory, seed: int, likeness: float, person: str | None, flag: bool, twice: bool
) -> None:
    ada, bo = twins(seed, 14, likeness)
    with open_pool(tmp_path_factory.mktemp("pool") / "pool.db", SPACE) as pool:
        register(pool, Ada=ada[:2], Bo=bo[:2], Cy=crowd(1, 2, 500)[0])
        mistaken = see(pool, bo[2:4], "Ada")
        for row in range(4, 14, 2):
            see(pool, ada[row : row + 2], "Ada")
            see(pool, bo[row : row + 2], "Bo")
        if twice:
            corrections(pool).correct(mistaken, Wish("Bo", force=True), "Me")
        wish = Wish(person, force=True, flag=flag)
        before = named(pool)
        told = corrections(pool).preview(mistaken, wish, within_s=1000)
        corrections(pool).correct(mistaken, wish, "Me")
        after = named(pool)
    others = [one for one in before if one != mistaken]
    expected = [NamedDifferently(one, before[one], after[one]) for one in others if before[one] != after[one]]
    assert (list(told.changes), told.looked_at, told.again) == (expected, len(others), after[mistaken])


def test_a_preview_looks_at_as_many_as_are_asked_for_and_as_time_allows(pool: Pool, mistaken: str) -> None:
    for row in range(120):
        see(pool, crowd(1, 1, 1000 + row)[0])
    assert corrections(pool).preview(mistaken, Wish("Bo", last=0)).looked_at == 0
    assert corrections(pool).preview(mistaken, Wish("Bo", last=70), within_s=1000).looked_at == 70
    assert corrections(pool).preview(mistaken, Wish("Bo"), within_s=0).looked_at == 50  # the first few, however long
