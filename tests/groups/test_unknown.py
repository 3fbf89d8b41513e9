"""Strangers are named, added, put in order, forgotten, and all but that is undone; in files and in PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from facepool.enroll.session import EnrollOptions
from facepool.errors import (
    ConfigError,
    FacepoolError,
    GroupChanged,
    GroupGone,
    IdentityConflict,
    NoFace,
    PersonExists,
    UndoOutdated,
    UndoUnknown,
    UnknownPerson,
    UnknownSighting,
)
from facepool.gallery import Pool, open_pool
from facepool.gallery.notices import Retold
from facepool.gallery.sightings import InboxBounds
from facepool.groups.naming import Naming
from facepool.groups.undoing import undo, undoable
from facepool.groups.unknown import UnknownPeople
from facepool.search import Search
from facepool.thresholds import ThresholdPolicy
from facepool.types import Sample, SightedFaces
from support.fake_scan_analyzer import CURVE
from support.pools import POSTGRES, place
from support.strangers import SPACE, face, faces, samples, sighting

BO, ADA, CY = 1, 2, 3
POLICY = ThresholdPolicy(CURVE)
BOUNDS = InboxBounds(days=36500)
KINDS = ["pool.db", pytest.param(POSTGRES, marks=pytest.mark.postgres)]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pool(kind: str, tmp_path: Path) -> Iterator[Pool]:
    with open_pool(place(tmp_path, kind), SPACE) as pool:
        yield pool


@pytest.fixture
def other(pool: Pool) -> Iterator[Pool]:
    """The same pool, as another process has it."""
    with open_pool(pool.address, SPACE) as other:
        yield other


def people(pool: Pool, *, force: bool = False) -> UnknownPeople:
    return UnknownPeople(pool, POLICY, EnrollOptions(force=force), caller="Me")


def seen(pool: Pool, number: int, kept: SightedFaces, group: int | None = None) -> tuple[int, str]:
    """Keep a sighting, of a new group or of one that is there: its number, and the sighting's id."""
    one = sighting(number)
    became = pool.inbox.keep(one, kept, BOUNDS, "new" if group is None else group)
    assert became.group is not None
    return became.group, one.id


@pytest.fixture
def bo(pool: Pool) -> int:
    """A stranger who was seen three times."""
    group, _ = seen(pool, 1, faces(BO, range(3)))
    for number in (2, 3):
        seen(pool, number, faces(BO, range(10 * number, 10 * number + 3)), group)
    return group


def who(pool: Pool, vector_of: int) -> str | None:
    """Whom of the pool a new face of somebody is taken for."""
    (candidates,) = Search(pool, SPACE).nearest(face(vector_of, 999)[None]).candidates
    return candidates[0].person if candidates and candidates[0].similarity > 0.45 else None


def fails(kind_of_error: type[FacepoolError], pool: Pool) -> None:
    """Nothing was changed by what has failed."""
    assert pool.names() == []
    assert pool.inbox.journal() == []
    assert issubclass(kind_of_error, FacepoolError)


def test_a_stranger_becomes_a_new_person_who_is_recognized(pool: Pool, bo: int) -> None:
    assert who(pool, BO) is None
    named = people(pool).name(bo, "Bo")
    assert (named.person, named.sightings) == ("Bo", 3)
    assert 3 <= named.templates <= 9
    assert who(pool, BO) == "Bo"
    person = pool.person("Bo")
    assert person is not None
    assert (person.id, person.templates) == (named.person_id, named.templates)
    assert {one.sample.source for one in pool.templates("Bo")} == {"door"}
    assert pool.template_ids_with_image("Bo") == {one.id for one in pool.templates("Bo")}
    assert [(one.person, one.group, bool(one.named_at)) for one in pool.inbox.sightings()] == [("Bo", None, True)] * 3
    assert pool.inbox.groups() == []


def test_the_templates_are_the_faces_by_their_ids(pool: Pool, bo: int) -> None:
    ids = {
        one for kept in pool.inbox.faces([s.id for s in pool.inbox.sightings(group=bo)]).values() for one in kept.ids
    }
    people(pool).name(bo, "Bo")
    assert {one.uuid for one in pool.templates("Bo")} <= ids


def test_a_name_that_is_there_is_refused(pool: Pool, bo: int) -> None:
    pool.create("Bo")
    with pytest.raises(PersonExists):
        people(pool).name(bo, " Bo ")
    assert pool.inbox.group(bo).sightings == 3
    assert pool.inbox.journal() == []


def test_names_that_cannot_be_used_are_refused(pool: Pool, bo: int) -> None:
    with pytest.raises(ConfigError):
        people(pool).name(bo, " ")
    fails(ConfigError, pool)


def test_a_group_that_is_not_there_is_refused(pool: Pool) -> None:
    for number in (1, 1 << 70):
        with pytest.raises(GroupGone):
            people(pool).name(number, "Bo")
    fails(GroupGone, pool)


def test_a_pool_in_which_nobody_was_seen_says_that_there_is_no_stranger(tmp_path: Path) -> None:
    with open_pool(tmp_path / "new.db") as pool:
        assert people(pool).looks_like([]) == {}
        with pytest.raises(GroupGone):
            people(pool).name(1, "Bo")


def test_nobody_is_registered_by_faces_that_are_not_good_enough(pool: Pool) -> None:
    group, _ = seen(pool, 1, faces(BO, range(3), size_px=20))
    with pytest.raises(NoFace, match="too small"):
        people(pool).name(group, "Bo")
    fails(NoFace, pool)


def test_who_looks_like_somebody_is_asked_about_as_in_any_registration(pool: Pool, bo: int) -> None:
    pool.register("Bea", samples(BO, range(50, 54)), SPACE)  # her twin
    assert [alike.person for alike in people(pool).looks_like([bo])[bo]] == ["Bea"]
    with pytest.raises(IdentityConflict, match="looks like Bea"):
        people(pool).name(bo, "Bo")
    assert pool.person("Bo") is None
    people(pool).name(bo, "Bo", different=["Bea"])
    assert pool.look_alikes() == {frozenset(("Bo", "Bea"))}


def test_who_is_the_same_person_after_all_gets_the_faces(pool: Pool, bo: int) -> None:
    pool.register("Bea", samples(BO, range(50, 54)), SPACE)
    naming = Naming(pool, bo, "Bo", POLICY, EnrollOptions(), create=True)
    (alike,) = naming.look_alikes()
    assert alike.probably_same
    naming.resolve("Bea", "same")
    named = naming.commit()
    assert named.person == "Bea"
    assert pool.names() == ["Bea"]
    assert [one.person for one in pool.inbox.sightings()] == ["Bea"] * 3


def test_a_stranger_is_added_to_somebody_by_views_that_are_new(pool: Pool, bo: int) -> None:
    pool.register("Bo", samples(BO, [0, 1, 60]), SPACE)  # two of which cameras saw as well
    named = people(pool).add(bo, "Bo")
    assert named.sightings == 3
    person = pool.person("Bo")
    assert person is not None
    assert person.templates == 3 + named.templates
    vectors = [one.sample.embedding.tobytes() for one in pool.templates("Bo")]
    assert len(set(vectors)) == len(vectors)


def test_no_more_is_stored_than_a_registration_stores(pool: Pool, bo: int) -> None:
    pool.register("Bo", samples(BO, range(60, 75)), SPACE)
    assert people(pool).add(bo, "Bo").templates == 1
    group, _ = seen(pool, 9, faces(BO, range(90, 93)))
    assert people(pool).add(group, "Bo").templates == 0  # and the sighting is theirs nevertheless
    assert len(pool.inbox.sightings(person="Bo")) == 4


def test_a_stranger_is_not_added_to_somebody_who_looks_different(pool: Pool, bo: int) -> None:
    pool.register("Ada", samples(ADA, range(4)), SPACE)
    with pytest.raises(IdentityConflict, match="does not look like Ada"):
        people(pool).add(bo, "Ada")
    assert pool.inbox.group(bo).sightings == 3
    assert people(pool, force=True).add(bo, "Ada").templates > 0


def test_one_likeness_among_many_faces_does_not_make_a_stranger_somebody(pool: Pool) -> None:
    pool.register("Ada", samples(ADA, range(4)), SPACE)
    group, _ = seen(pool, 1, faces(BO, range(6)))
    seen(pool, 2, faces(ADA, [50]), group)  # joined by mistake, or alike by chance
    with pytest.raises(IdentityConflict, match="does not look like Ada"):
        people(pool).add(group, "Ada")


def test_nobody_is_made_by_adding(pool: Pool, bo: int) -> None:
    with pytest.raises(UnknownPerson):
        people(pool).add(bo, "Bo")
    fails(UnknownPerson, pool)


def test_two_who_name_one_stranger_at_once_do_not_both(pool: Pool, other: Pool, bo: int) -> None:
    first = Naming(pool, bo, "Bo", POLICY, EnrollOptions(), create=True)
    second = Naming(other, bo, "Rob", POLICY, EnrollOptions(), create=True)
    first.commit()
    with pytest.raises(GroupChanged):
        second.commit()
    assert other.names() == ["Bo"]
    for change in (lambda: people(other).name(bo, "Rob"), lambda: people(other).ignore(bo)):
        with pytest.raises(GroupChanged):
            change()
    with pytest.raises(GroupGone):
        people(other).ignore(bo + 1)  # which never was


def test_two_who_give_one_name_at_once_do_not_both(pool: Pool, other: Pool, bo: int) -> None:
    cy, _ = seen(pool, 9, faces(CY, range(3)))
    first = Naming(pool, bo, "Bo", POLICY, EnrollOptions(), create=True)
    second = Naming(other, cy, "Bo", POLICY, EnrollOptions(), create=True)
    first.commit()
    with pytest.raises(PersonExists):
        second.commit()
    assert other.inbox.group(cy).sightings == 1


def test_a_group_that_grows_while_it_is_named_is_named_whole(pool: Pool, other: Pool, bo: int) -> None:
    naming = Naming(pool, bo, "Bo", POLICY, EnrollOptions(), create=True)
    seen(other, 4, faces(BO, range(40, 43)), bo)
    assert naming.commit().sightings == 4
    assert other.inbox.groups() == []


def test_who_is_in_view_while_they_are_named_stays_named(pool: Pool, bo: int) -> None:
    people(pool).name(bo, "Bo")
    pool.inbox.keep(sighting(3), faces(BO, range(30, 35)), BOUNDS)
    assert {one.person for one in pool.inbox.sightings()} == {"Bo"}


def test_a_naming_is_undone_whole(pool: Pool, bo: int) -> None:
    before = pool.inbox.sightings()
    number = people(pool).name(bo, "Bo").undo
    (change,) = undoable(pool)
    assert (change.number, change.caller, change.what) == (number, "Me", f"Stranger {bo} was named Bo (3 sightings)")
    assert undo(pool).what == change.what
    assert pool.names() == []
    assert who(pool, BO) is None
    assert pool.inbox.sightings() == before
    assert pool.inbox.group(bo).state == "open"
    with pytest.raises(UndoUnknown):
        undo(pool, number)
    assert people(pool).name(bo, "Bo").sightings == 3  # once more


def test_who_has_something_else_stays_when_a_naming_is_undone(pool: Pool, bo: int) -> None:
    people(pool).name(bo, "Bo")
    pool.register("Bo", samples(BO, [70]), SPACE)
    undo(pool)
    assert [one.sample.source for one in pool.templates("Bo")] == ["70.jpg"]
    assert pool.inbox.group(bo).sightings == 3


def test_adding_is_undone_and_what_was_there_stays(pool: Pool, bo: int) -> None:
    pool.register("Bo", samples(BO, range(60, 64)), SPACE)
    pool.register("Bea", samples(BO, range(50, 54)), SPACE)
    people(pool).ignore(bo)
    people(pool).add(bo, "Bo", different=["Bea"])
    assert pool.look_alikes()
    undo(pool)
    assert [one.sample.source for one in pool.templates("Bo")] == [f"{view}.jpg" for view in range(60, 64)]
    assert pool.look_alikes() == frozenset()
    assert pool.inbox.group(bo).state == "ignored"


def test_undoing_a_naming_leaves_what_is_somebody_elses_since(pool: Pool, bo: int) -> None:
    people(pool).name(bo, "Bo")
    pool.register("Cy", samples(CY, range(3)), SPACE)
    face = pool.templates("Bo")[0].uuid
    pool.inbox.to_person("Cy", [face], (), create=False)
    assert face in {one.uuid for one in pool.templates("Cy")}
    undo(pool)
    assert pool.person("Bo") is None
    assert face in {one.uuid for one in pool.templates("Cy")}


def test_undoing_a_naming_takes_what_was_learned_of_the_faces_with_it(pool: Pool, bo: int) -> None:
    pool.register("Bo", samples(BO, range(500, 503)), SPACE)
    enrolled = [one.uuid for one in pool.templates("Bo")]
    seen(pool, 4, faces(BO, range(3)), bo)  # the very faces of an earlier time: one of each two is no new view
    named = people(pool).add(bo, "Bo")
    stored = {one.uuid for one in pool.templates("Bo")}
    kept = pool.inbox.faces([one.id for one in pool.inbox.sightings(person="Bo")]).values()
    vectors = {face: one.embeddings[row] for one in kept for row, face in enumerate(one.ids) if face not in stored}
    known, other = list(vectors)[:2]
    learned = Sample(vectors[known], learned_from=enrolled[0])
    pool.inbox.to_person("Bo", [known], (), create=False, samples={known: learned})
    pool.inbox.suggest(other, "Bo", 0.8, "pose 3 2")
    undo(pool, named.undo)
    assert [one.uuid for one in pool.templates("Bo")] == enrolled, "the faces are a stranger's again"
    assert pool.inbox.suggestions() == []


def test_a_naming_of_which_nothing_is_kept_cannot_be_undone(pool: Pool, bo: int) -> None:
    number = people(pool).name(bo, "Bo").undo
    for one in pool.inbox.sightings():
        pool.inbox.delete_sighting(one.id)
    with pytest.raises(UndoOutdated, match="cannot be undone"):
        undo(pool, number)
    assert pool.names() == ["Bo"]
    assert [one.number for one in undoable(pool)] == [number]


def test_undo_holds_nothing_of_who_was_erased(pool: Pool, bo: int) -> None:
    people(pool).name(bo, "Bo")
    pool.remove("Bo")
    assert undoable(pool) == []
    assert pool.inbox.journal() == []
    assert pool.inbox.sightings() == []


def test_a_name_in_the_journal_is_the_one_of_now(pool: Pool, bo: int) -> None:
    people(pool).name(bo, "Bo")
    pool.rename("Bo", "Rob")
    (change,) = undoable(pool)
    assert "Rob" in change.what
    assert "Bo" not in str(pool.inbox.journal()[0])


def test_who_is_ignored_is_so_until_watched_again(pool: Pool, bo: int) -> None:
    first = people(pool).ignore(bo)
    assert people(pool).ignore(bo) is None
    assert pool.inbox.group(bo).state == "ignored"
    assert undo(pool, first).what == f"Stranger {bo} was ignored"
    assert pool.inbox.group(bo).state == "open"
    people(pool).ignore(bo)
    last = people(pool).watch(bo)
    undo(pool, last)
    assert pool.inbox.group(bo).state == "ignored"


def test_an_undo_says_why_it_no_longer_fits(pool: Pool, bo: int) -> None:
    ignored = people(pool).ignore(bo)
    people(pool).watch(bo)
    with pytest.raises(UndoOutdated, match="changed again"):
        undo(pool, ignored)
    people(pool).name(bo, "Bo")
    with pytest.raises(UndoOutdated, match="named, joined or deleted"):
        undo(pool, ignored)


def test_sightings_of_somebody_else_are_split_and_put_back(pool: Pool, bo: int) -> None:
    _, wrong = seen(pool, 4, faces(CY, range(3)), bo)
    cy, entry = people(pool).split(bo, [wrong])
    assert pool.inbox.group(cy).sightings == 1
    assert pool.inbox.group(bo).sightings == 3
    undo(pool, entry)
    assert pool.inbox.group(bo).sightings == 4
    with pytest.raises(GroupGone):
        pool.inbox.group(cy)


def test_a_group_is_not_split_by_all_of_it_nor_by_what_is_not_its(pool: Pool, bo: int) -> None:
    _, foreign = seen(pool, 9, faces(CY, range(3)))
    theirs = [one.id for one in pool.inbox.sightings(group=bo)]
    with pytest.raises(ConfigError, match="all"):
        people(pool).split(bo, theirs)
    for wrong in (foreign, "no id"):
        with pytest.raises(UnknownSighting):
            people(pool).split(bo, [theirs[0], wrong])
    assert pool.inbox.group(bo).sightings == 3


def test_two_strangers_become_one_and_two_again(pool: Pool, bo: int) -> None:
    again, _ = seen(pool, 9, faces(BO, range(90, 93)))
    people(pool).ignore(again)
    entry = people(pool).join(bo, again)
    assert pool.inbox.group(bo).sightings == 4
    undo(pool, entry)
    assert pool.inbox.group(bo).sightings == 3
    group = pool.inbox.group(again)
    assert (group.sightings, group.state) == (1, "ignored")


def test_one_stranger_is_not_joined_with_themselves(pool: Pool, bo: int) -> None:
    for change in (people(pool).join, people(pool).apart):
        with pytest.raises(ConfigError):
            change(bo, bo)
        with pytest.raises(GroupGone):
            change(bo, bo + 5)


def test_who_is_kept_apart_is_not_proposed_until_that_is_undone(pool: Pool, bo: int) -> None:
    again, _ = seen(pool, 9, faces(BO, range(90, 93)))
    pool.inbox.propose(bo, again, 0.5)
    entry = people(pool).apart(bo, again)
    assert pool.inbox.proposals() == []
    assert not pool.inbox.propose(bo, again, 0.6)
    undo(pool, entry)
    assert pool.inbox.propose(bo, again, 0.6)


def test_what_is_deleted_is_gone_for_good(pool: Pool, bo: int) -> None:
    people(pool).ignore(bo)
    assert people(pool).delete(bo) == 3
    assert pool.inbox.usage().faces == 0
    with pytest.raises(UndoOutdated):
        undo(pool)
    with pytest.raises(FacepoolError):
        people(pool).delete(bo)


def test_everything_of_unknown_people_is_forgotten_and_nothing_else(pool: Pool, bo: int) -> None:
    cy, _ = seen(pool, 9, faces(CY, range(3)))
    ada, _ = seen(pool, 10, faces(ADA, range(3)))
    people(pool).ignore(cy)
    people(pool).name(ada, "Ada")
    assert people(pool).forget() == 4
    assert [one.person for one in pool.inbox.sightings()] == ["Ada"]
    assert pool.names() == ["Ada"]
    assert people(pool).forget() == 0


def test_logs_are_told_of_each_change_in_its_own_transaction(pool: Pool, bo: int) -> None:
    with pool.noting("Me") as noted:
        named = people(pool).name(bo, "Bo")
        undo(pool)
    told = {one.action: one for one in noted}
    retold = Retold.of(told["named"])
    assert (retold.before, retold.after, retold.mark) == ("", named.person_id, "named_at")
    assert len(retold.sightings) == 3
    assert told["named"].person == "Bo"
    assert Retold.of(told["took back a name"]).after == ""
    assert [one.action for one in pool.owed().notices] == [one.action for one in noted]
    with pool.noting("Me") as noted:
        people(pool).ignore(bo)
        people(pool).delete(bo)
    assert [(one.action, one.detail) for one in noted] == [
        ("ignored", f"unknown {bo}"),
        ("deleted", f"unknown {bo}, 3 sightings"),
    ]


def test_a_change_that_fails_leaves_nothing_behind(pool: Pool, bo: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise ZeroDivisionError

    with pool.noting("Me"), monkeypatch.context() as patch:
        patch.setattr(pool.inbox, "note", fail)
        for change in (lambda: people(pool).name(bo, "Bo"), lambda: people(pool).ignore(bo)):
            with pytest.raises(ZeroDivisionError):
                change()
    fails(GroupGone, pool)
    assert pool.inbox.group(bo).state == "open"
    assert pool.owed().notices == ()


def test_a_npy_pool_says_which_kind_can(tmp_path: Path) -> None:
    with open_pool(tmp_path / "model_faces.npy", SPACE) as pool:
        pool.register("Ada", samples(ADA, [1]), SPACE)
        for change in (lambda: people(pool).ignore(1), lambda: undo(pool), lambda: people(pool).name(1, "Bo")):
            with pytest.raises(ConfigError, match=r"\.db"):
                change()
