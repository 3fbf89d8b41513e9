"""The inbox keeps the same promises in every kind of pool that has one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from facepool.errors import (
    ConfigError,
    GroupChanged,
    GroupGone,
    InvalidEmbedding,
    PersonExists,
    PoolChanged,
    SpaceMismatch,
    UnknownPerson,
    UnknownSighting,
    UnknownSuggestion,
)
from facepool.gallery import Pool, SqlGallery, SqliteGallery, open_pool, transfer
from facepool.gallery.backup import back_up, opened_backup, restore
from facepool.gallery.sightings import InboxBounds, InboxVectors
from facepool.types import SightedFaces, Sighting
from support.pools import BACKENDS, POSTGRES, opened, place, samples, space, unit
from support.sightings import ROOMY, faces, moment, sighting

KINDS = ("pool.db", pytest.param(POSTGRES, marks=pytest.mark.postgres))


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pool(tmp_path: Path, backend: str) -> Iterator[Pool]:
    with opened(tmp_path, backend) as pool:
        yield pool


def keep(pool: Pool, *seeds: int, hours_ago: float = 1.0, source: str = "door", group: int | None = None) -> Sighting:
    """Keep a sighting of somebody unnamed, in a new group if none is named; gives it as it is kept."""
    one = sighting(hours_ago=hours_ago, source=source)
    pool.inbox.keep(one, faces(*seeds), ROOMY, "new" if group is None else group)
    return pool.inbox.sighting(one.id)


def test_a_new_inbox_is_empty(pool: Pool) -> None:
    assert pool.inbox.sightings() == []
    assert pool.inbox.groups() == []
    assert len(pool.inbox.vectors()) == 0
    assert pool.inbox.faces([str(uuid4())]) == {}
    with pytest.raises(UnknownSighting):
        pool.inbox.sighting("no id")
    with pytest.raises(UnknownSighting):
        pool.inbox.picture(str(uuid4()))
    with pytest.raises(GroupGone):
        pool.inbox.group(1)


def test_what_was_kept_is_there_after_opening_again(pool: Pool, tmp_path: Path, backend: str) -> None:
    one, best = sighting(source="rtsp://cam \udcff"), faces(1, 2, 3)
    kept = pool.inbox.keep(one, best, ROOMY, "new")
    assert (kept.is_new_group, kept.is_kept, kept.dropped) == (True, True, 0)
    with open_pool(place(tmp_path, backend), must_exist=True) as again:
        assert again.inbox.sighting(one.id) == replace(one, source=r"rtsp://cam \udcff", group=kept.group)
        held = again.inbox.faces([one.id])[one.id]
        assert np.array_equal(held.embeddings, best.embeddings)
        assert held.embeddings.dtype == np.float32
        assert held.pictures == best.pictures
        assert held.poses == best.poses
        assert np.array_equal(held.qualities, best.qualities)
        assert again.inbox.picture(held.ids[1]) == best.pictures[1]
        assert again.space == space()


def test_the_revision_of_the_pool_knows_nothing_of_it(pool: Pool) -> None:
    pool.register("Ada", samples(1), space())
    before = pool.revision()
    keep(pool, 2)
    assert pool.revision() == before
    assert pool.changes().template_ids.size == 1


def test_a_sighting_comes_again_while_somebody_is_in_view(pool: Pool) -> None:
    one = sighting(hours_ago=2)
    number = pool.inbox.keep(one, faces(1, 2), ROOMY, "new").group
    ids = pool.inbox.faces([one.id])[one.id].ids
    later = replace(one, until=moment(1), frames=40)
    kept = pool.inbox.keep(later, faces(3, 2, 4), ROOMY, again=True)
    assert (kept.group, kept.is_new_group) == (number, False)
    assert pool.inbox.sighting(one.id) == replace(later, group=number)
    held = pool.inbox.faces([one.id])[one.id]
    assert held.embeddings.tolist() == [unit(seed).tolist() for seed in (3, 2, 4)]
    assert held.ids[1] == ids[1]
    assert ids[0] not in held.ids


def test_the_same_face_twice_is_one_face(pool: Pool) -> None:
    one = sighting()
    pool.inbox.keep(one, faces(1, 1), ROOMY)
    assert len(pool.inbox.faces([one.id])[one.id]) == 1


def test_sightings_may_have_no_face(pool: Pool) -> None:
    one = sighting()
    pool.inbox.keep(one, faces(), ROOMY, "new")
    assert len(pool.inbox.faces([one.id])[one.id]) == 0
    assert pool.inbox.groups()[0].faces == ()


def test_faces_of_another_space_are_refused(pool: Pool, tmp_path: Path, backend: str) -> None:
    with pytest.raises(InvalidEmbedding):
        pool.inbox.keep(sighting(), replace(faces(1), embeddings=unit(1, 4)[None]), ROOMY)
    with pytest.raises(InvalidEmbedding):
        pool.inbox.keep(sighting(), replace(faces(1), embeddings=2 * unit(1)[None]), ROOMY)
    assert pool.inbox.sightings() == []
    with open_pool(place(tmp_path, backend), space(weights="cd" * 32)) as other:
        keep(pool, 1)
        with pytest.raises(SpaceMismatch):
            other.inbox.keep(sighting(), faces(1), ROOMY)


def test_groups_are_numbered_and_listed_by_when_they_were_seen_last(pool: Pool) -> None:
    first, second = keep(pool, 1, 2, hours_ago=9), keep(pool, 3, hours_ago=5, source="yard")
    assert first.group is not None
    keep(pool, 4, hours_ago=3, group=first.group, source="gate")
    one, other = pool.inbox.groups()
    assert (one.number, one.sightings, one.sources) == (first.group, 2, ("door", "gate"))
    assert (one.since, one.until) == (moment(9.1), moment(3))
    assert (other.number, other.sources, other.state) == (second.group, ("yard",), "open")
    assert len(one.faces) == 3
    assert pool.inbox.group(one.number) == one
    assert pool.inbox.groups(before=one.until) == [other]
    assert pool.inbox.groups(limit=1) == [one]
    assert pool.inbox.groups("ignored") == []
    assert (pool.inbox.count_groups(), pool.inbox.count_groups("ignored")) == (2, 0)


def test_a_group_that_is_gone_is_not_made_again(pool: Pool) -> None:
    with pytest.raises(GroupGone):
        pool.inbox.keep(sighting(), faces(1), ROOMY, 77)
    with pytest.raises(GroupGone):
        pool.inbox.keep(sighting(), faces(1), ROOMY, 1 << 70)
    assert pool.inbox.sightings() == []


def test_sightings_of_a_person_are_told_from_others(pool: Pool) -> None:
    pool.register("Ada", samples(1), space())
    ada = pool.person("Ada")
    assert ada is not None
    one = sighting(person_id=ada.id)
    pool.inbox.keep(one, faces(1), ROOMY)
    stranger, loner = keep(pool, 2), sighting(hours_ago=3)
    pool.inbox.keep(loner, faces(3), ROOMY)
    assert [held.id for held in pool.inbox.sightings(person="Ada")] == [one.id]
    assert pool.inbox.sighting(one.id).person == "Ada"
    assert [held.id for held in pool.inbox.sightings(group=stranger.group)] == [stranger.id]
    assert [held.id for held in pool.inbox.sightings(ungrouped=True)] == [loner.id]
    with pytest.raises(UnknownPerson):
        pool.inbox.sightings(person="Bob")
    with pytest.raises(UnknownPerson):
        pool.inbox.keep(sighting(person_id=str(uuid4())), faces(4), ROOMY)


def test_a_stranger_who_turns_out_to_be_known_leaves_their_group(pool: Pool) -> None:
    pool.register("Ada", samples(1), space())
    ada = pool.person("Ada")
    assert ada is not None
    one = keep(pool, 2)
    kept = pool.inbox.keep(replace(one, person_id=ada.id), faces(2), ROOMY, again=True)
    assert (kept.group, pool.inbox.sighting(one.id).person, pool.inbox.groups()) == (None, "Ada", [])
    assert len(pool.inbox.vectors()) == 0


def test_pages_of_sightings_lose_nobody_of_the_same_moment(pool: Pool) -> None:
    ids = {keep(pool, seed, hours_ago=2).id for seed in range(5)}
    newest, oldest = keep(pool, 7, hours_ago=1), keep(pool, 8, hours_ago=4)
    page = pool.inbox.sightings(limit=2)
    assert page[0] == newest
    assert {one.id for one in page[1:]} == ids
    assert pool.inbox.sightings(before=page[-1].until, limit=2) == [oldest]
    assert pool.inbox.sightings(limit=0) == []


def test_vectors_are_followed(pool: Pool, tmp_path: Path, backend: str) -> None:
    first = keep(pool, 1, 2)
    with opened(tmp_path, backend) as other:
        known = other.inbox.vectors()
        assert other.inbox.vectors(known) is known
        assert known.embeddings.tolist() == [unit(1).tolist(), unit(2).tolist()]
        assert known.groups.tolist() == [first.group] * 2
        assert known.qualities.tolist() == [90, 80]
        second = keep(pool, 3)
        pool.inbox.keep(first, faces(2, 4), ROOMY)
        pool.inbox.keep(sighting(), faces(5), ROOMY)
        followed = other.inbox.vectors(known)
        assert as_set(followed) == {(second.group, tuple(unit(3).tolist()))} | {
            (first.group, tuple(unit(seed).tolist())) for seed in (2, 4)
        }
        assert as_set(followed) == as_set(other.inbox.vectors())


def test_faces_are_read_of_the_groups_that_are_asked_for(pool: Pool) -> None:
    first, _, third = keep(pool, 1, 2), keep(pool, 3), keep(pool, 4)
    assert first.group is not None
    assert third.group is not None
    found = pool.inbox.embeddings([first.group, third.group, 99])
    assert {number: rows.tolist() for number, rows in found.items()} == {
        first.group: [unit(1).tolist(), unit(2).tolist()],
        third.group: [unit(4).tolist()],
    }
    assert pool.inbox.embeddings([]) == {}


def as_set(vectors: InboxVectors) -> set[tuple[int, tuple[float, ...]]]:
    rows = zip(vectors.groups.tolist(), vectors.embeddings.tolist(), strict=True)
    return {(number, tuple(vector)) for number, vector in rows}


def test_what_is_too_old_goes(pool: Pool) -> None:
    recent, old = keep(pool, 2, hours_ago=24 * 13), keep(pool, 1, hours_ago=24 * 20)
    kept = pool.inbox.keep(sighting(), faces(3), ROOMY, "new")
    assert (kept.expired, kept.crowded_out) == (1, 0)
    assert old.group is not None
    with pytest.raises(GroupGone):
        pool.inbox.group(old.group)
    assert [one.number for one in pool.inbox.groups()] == [kept.group, recent.group]


def test_what_is_in_no_group_goes_first_then_the_oldest(pool: Pool) -> None:
    bounds = InboxBounds(sightings=3)
    old, new = keep(pool, 1, hours_ago=9), keep(pool, 2, hours_ago=5)
    loner = sighting(hours_ago=1)
    pool.inbox.keep(loner, faces(3), bounds)
    kept = pool.inbox.keep(sighting(hours_ago=0.5), faces(4), bounds, "new")
    assert (kept.expired, kept.crowded_out, kept.dropped) == (0, 1, 1)
    with pytest.raises(UnknownSighting):
        pool.inbox.sighting(loner.id)
    kept = pool.inbox.keep(sighting(hours_ago=0.4), faces(5), bounds)
    assert kept.crowded_out == 1
    assert [one.id for one in pool.inbox.sightings()][-1] == new.id
    assert old.id not in [one.id for one in pool.inbox.sightings()]


def test_bytes_are_bounded_too(pool: Pool) -> None:
    bounds = InboxBounds(bytes=10_000)
    for seed in range(10):
        pool.inbox.keep(sighting(hours_ago=9 - seed / 10), faces(seed, bytes_each=3000), bounds, "new")
    assert len(pool.inbox.sightings()) == 2
    large = sighting()
    pool.inbox.keep(large, faces(20, 21, 22, bytes_each=4000), bounds, "new")
    assert len(pool.inbox.faces([large.id])[large.id]) == 2
    assert [one.id for one in pool.inbox.sightings()] == [large.id]


def test_what_somebody_deleted_does_not_come_back_by_itself(pool: Pool) -> None:
    kept = pool.inbox.keep(sighting(), faces(1), ROOMY, "new", again=True)
    assert (kept.is_kept, kept.group) == (False, None)
    assert pool.inbox.sightings() == []


def test_several_changes_are_one(pool: Pool) -> None:
    def two(second: int) -> None:
        with pool.inbox.change():
            keep(pool, 1)
            assert len(pool.inbox.sightings()) == 1
            keep(pool, 2, group=second)

    with pytest.raises(GroupGone):
        two(99)
    assert pool.inbox.sightings() == []
    with pool.inbox.change():
        keep(pool, 1)
        keep(pool, 2)
    assert len(pool.inbox.groups()) == 2


@pytest.mark.parametrize("kind", ["model_faces.npy"])
def test_npy_pools_say_where_there_is_room(tmp_path: Path, kind: str) -> None:
    assert kind in BACKENDS
    with opened(tmp_path, kind) as pool, pytest.raises(ConfigError, match=r"people export model_faces\.db"):
        _ = pool.inbox


def test_faces_are_columns_that_agree() -> None:
    three = faces(1, 2, 3)
    assert (len(three[:2]), len(three[np.array([2])])) == (2, 1)
    assert repr(three) == "<SightedFaces: 3 faces of quality 90, 85, 80>"
    assert len(SightedFaces.empty(8)) == 0
    with pytest.raises(ValueError, match="disagree"):
        replace(three, pictures=(b"",))
    with pytest.raises(ValueError, match="room"):
        InboxBounds(days=0)


def test_faces_become_templates_of_a_new_person_in_one_change(pool: Pool, tmp_path: Path, backend: str) -> None:
    first, second = keep(pool, 1, 2), keep(pool, 3)
    ids = pool.inbox.faces([first.id])[first.id].ids
    assert first.group is not None
    before, group = pool.revision(), pool.inbox.group(first.group)
    assigned = pool.inbox.to_person(
        "Ada",
        ids[:1],
        [first.id],
        create=True,
        expected_revision=before,
        expected_groups={group.number: group.revision},
    )
    assert (assigned.created, assigned.templates, assigned.moved, assigned.before) == (True, ids[:1], (), (first,))
    assert pool.revision() == before + 1
    (template,) = pool.templates("Ada")
    assert (template.uuid, template.person_id, template.sample.source) == (ids[0], assigned.person_id, "door")
    assert template.sample.embedding.tolist() == unit(1).tolist()
    assert (template.sample.quality, template.sample.size_px, template.sample.pose) == (90, 128, faces(1).poses[0])
    assert pool.picture(template.id) == faces(1).pictures[0]
    now = pool.inbox.sighting(first.id)
    assert (now.person, now.person_id, now.group) == ("Ada", assigned.person_id, None)
    assert now.named_at
    assert [one.number for one in pool.inbox.groups()] == [second.group]
    assert pool.inbox.vectors().groups.tolist() == [second.group]
    with open_pool(place(tmp_path, backend)) as again:
        assert again.changes().template_ids.size == 1


def test_the_first_one_to_name_a_group_wins(pool: Pool) -> None:
    one = keep(pool, 1)
    assert one.group is not None
    seen = {one.group: pool.inbox.group(one.group).revision}
    keep(pool, 2, group=one.group)
    with pytest.raises(GroupChanged):
        pool.inbox.to_person("Ada", [], [one.id], create=True, expected_groups=seen)
    pool.inbox.delete_group(one.group)
    with pytest.raises(GroupChanged):
        pool.inbox.to_person("Ada", [], [], create=True, expected_groups=seen)
    assert pool.people() == []


def test_naming_refuses_what_does_not_fit_and_stores_nothing(pool: Pool) -> None:
    pool.register("Ada", samples(1), space())
    one = keep(pool, 2)
    ids = pool.inbox.faces([one.id])[one.id].ids
    with pytest.raises(PersonExists):
        pool.inbox.to_person("Ada", ids, [one.id], create=True)
    with pytest.raises(UnknownPerson):
        pool.inbox.to_person("Bob", ids, [one.id], create=False)
    with pytest.raises(UnknownPerson):
        pool.inbox.to_person("Bob", ids, [one.id], create=True, look_alikes=["Eve"])
    with pytest.raises(UnknownSighting):
        pool.inbox.to_person("Bob", [str(uuid4())], [one.id], create=True)
    with pytest.raises(UnknownSighting):
        pool.inbox.to_person("Bob", ids, [str(uuid4())], create=True)
    with pytest.raises(PoolChanged):
        pool.inbox.to_person("Bob", ids, [one.id], create=True, expected_revision=77)
    assert (names(pool), pool.inbox.sightings()) == ({"Ada": 1}, [one])
    pool.inbox.to_person("Bob", ids, [one.id], create=True, look_alikes=["Ada"])
    assert pool.look_alikes() == {frozenset(("Ada", "Bob"))}


def names(pool: Pool) -> dict[str, int]:
    return {person.name: person.templates for person in pool.people()}


def test_naming_is_undone_as_if_it_never_was(pool: Pool) -> None:
    first, second = keep(pool, 1, 2), keep(pool, 3)
    keep(pool, 4, group=second.group)
    ids = [face for faces in pool.inbox.faces([first.id, second.id]).values() for face in faces.ids]
    assigned = pool.inbox.to_person("Ada", ids, [first.id, second.id], create=True)
    assert names(pool) == {"Ada": 3}
    gone = pool.inbox.take_back(assigned.before, assigned.templates, created=assigned.person_id)
    assert (gone, names(pool)) == (3, {})
    assert {one.id: one for one in pool.inbox.sightings()}[first.id] == first
    assert [one.sightings for one in pool.inbox.groups()] == [2, 1]
    assert {one.number for one in pool.inbox.groups()} == {first.group, second.group}
    new = keep(pool, 5)
    assert new.group is not None
    assert second.group is not None
    assert new.group > second.group


def test_undoing_leaves_a_person_who_has_become_more_than_that(pool: Pool) -> None:
    one = keep(pool, 1)
    assigned = pool.inbox.to_person("Ada", pool.inbox.faces([one.id])[one.id].ids, [one.id], create=True)
    pool.register("Ada", samples(7), space())
    pool.inbox.take_back(assigned.before, assigned.templates, created=assigned.person_id)
    assert names(pool) == {"Ada": 1}


def test_a_face_that_is_a_template_of_another_moves(pool: Pool) -> None:
    pool.register("Bo", samples(9), space())
    one = keep(pool, 1)
    ids = pool.inbox.faces([one.id])[one.id].ids
    pool.inbox.to_person("Ada", ids, [one.id], create=True)
    since = pool.revision()
    assigned = pool.inbox.to_person("Bo", ids, [one.id], create=False)
    assert (assigned.templates, assigned.moved) == ((), ids)
    assert names(pool) == {"Ada": 0, "Bo": 2}
    ada, held = pool.person("Ada"), pool.inbox.sighting(one.id)
    assert ada is not None
    assert (held.person, held.first_person_id) == ("Bo", ada.id)
    assert pool.changes(since).template_ids.size == 1


def test_what_was_named_is_not_changed_by_a_camera_that_still_sees_it(pool: Pool) -> None:
    one = keep(pool, 1)
    ids = pool.inbox.faces([one.id])[one.id].ids
    pool.inbox.to_person("Ada", ids, [one.id], create=True)
    later = replace(one, until=moment(0), frames=99)
    pool.inbox.keep(later, faces(5), ROOMY, again=True)
    held = pool.inbox.sighting(one.id)
    assert (held.person, held.group, held.until, held.frames) == ("Ada", None, moment(0), 99)
    assert pool.inbox.faces([one.id])[one.id].ids == ids


def test_groups_are_split_and_joined(pool: Pool) -> None:
    first = keep(pool, 1)
    second, other = keep(pool, 2, group=first.group), keep(pool, 3)
    assert first.group is not None
    assert other.group is not None
    part = pool.inbox.split(first.group, [second.id])
    assert [one.id for one in pool.inbox.sightings(group=part)] == [second.id]
    assert not pool.inbox.propose(first.group, part, 0.6), "somebody has said that they are two"
    assert pool.inbox.propose(other.group, part, 0.6)
    assert [(one.one, one.other, one.similarity) for one in pool.inbox.proposals()] == [(other.group, part, 0.6)]
    pool.inbox.join(other.group, part)
    assert pool.inbox.proposals() == []
    assert not pool.inbox.propose(first.group, other.group, 0.6), "the split is not forgotten"
    pool.inbox.allow_together(first.group, other.group)
    assert pool.inbox.propose(first.group, other.group, 0.6)
    pool.inbox.set_state(other.group, "ignored")
    assert pool.inbox.proposals() == []
    assert pool.inbox.vectors().ignored == {other.group}
    assert [one.number for one in pool.inbox.groups("ignored")] == [other.group]
    with pytest.raises(ConfigError):
        pool.inbox.split(first.group, [first.id])
    with pytest.raises(ConfigError):
        pool.inbox.split(first.group, [])
    with pytest.raises(GroupChanged):
        pool.inbox.split(first.group, [second.id])
    for call in (pool.inbox.join, pool.inbox.keep_apart):
        with pytest.raises(ConfigError):
            call(first.group, first.group)
        with pytest.raises(GroupGone):
            call(first.group, part)
    with pytest.raises(GroupGone):
        pool.inbox.set_state(part, "open")


def test_followers_see_that_groups_have_changed(pool: Pool) -> None:
    first = keep(pool, 1)
    second = keep(pool, 2, group=first.group)
    assert first.group is not None
    known = pool.inbox.vectors()
    part = pool.inbox.split(first.group, [second.id])
    known = pool.inbox.vectors(known)
    assert sorted(known.groups.tolist()) == sorted([first.group, part])
    pool.inbox.delete_group(first.group)
    known = pool.inbox.vectors(known)
    assert known.groups.tolist() == [part]
    pool.inbox.delete_sighting(second.id)
    assert len(pool.inbox.vectors(known)) == 0
    assert pool.inbox.groups() == []


def test_withdrawn_consent_leaves_only_what_is_of_people(pool: Pool) -> None:
    pool.register("Ada", samples(1), space())
    ada = pool.person("Ada")
    assert ada is not None
    of_ada, loner = sighting(person_id=ada.id), sighting()
    pool.inbox.keep(of_ada, faces(1), ROOMY)
    pool.inbox.keep(loner, faces(2), ROOMY)
    keep(pool, 3)
    pool.inbox.note("name", "page", {"group": 1})
    assert pool.inbox.forget_unknown() == 2
    assert [one.id for one in pool.inbox.sightings()] == [of_ada.id]
    assert (pool.inbox.groups(), pool.inbox.journal()) == ([], [])
    assert pool.inbox.forget_unknown() == 0


def test_erasing_a_person_erases_what_was_seen_of_them(pool: Pool) -> None:
    for seed, name in enumerate(("Ada", "Bo")):
        pool.register(name, samples(seed), space())
    ada, bo = pool.person("Ada"), pool.person("Bo")
    assert ada is not None
    assert bo is not None
    of_ada, corrected = sighting(person_id=ada.id), sighting(person_id=ada.id)
    for one, seed in ((of_ada, 5), (corrected, 6)):
        pool.inbox.keep(one, faces(seed), ROOMY)
    pool.inbox.assign([corrected.id], bo.id)
    assert pool.inbox.sighting(corrected.id).first_person_id == ada.id
    pool.inbox.suggest(pool.inbox.faces([of_ada.id])[of_ada.id].ids[0], "Ada", 0.7, "pose")
    pool.inbox.note("correct", "page", {"sighting": corrected.id, "first": ada.id})
    kept = pool.inbox.note("correct", "page", {"person": bo.id})
    pool.remove("Ada")
    assert [one.id for one in pool.inbox.sightings()] == [corrected.id]
    assert pool.inbox.sighting(corrected.id).first_person_id is None
    assert pool.inbox.suggestions() == []
    assert [one.number for one in pool.inbox.journal()] == [kept]
    assert pool.remove_many(["Bo"]) == {"Bo": 1}
    assert (pool.inbox.sightings(), pool.inbox.journal()) == ([], [])


def test_people_who_are_merged_or_renamed_keep_what_was_seen_of_them(pool: Pool) -> None:
    for seed, name in enumerate(("Ada", "Bo")):
        pool.register(name, samples(seed), space())
    ada, bo = pool.person("Ada"), pool.person("Bo")
    assert ada is not None
    assert bo is not None
    one = sighting(person_id=ada.id)
    pool.inbox.keep(one, faces(5), ROOMY)
    pool.inbox.suggest(pool.inbox.faces([one.id])[one.id].ids[0], "Ada", 0.7, "pose")
    pool.inbox.note("name", "page", {"person": ada.id})
    pool.rename("Ada", "Ann")
    assert pool.inbox.sighting(one.id).person == "Ann"
    pool.merge("Ann", "Bo")
    assert pool.inbox.sighting(one.id).person == "Bo"
    assert [each.person for each in pool.inbox.suggestions("Bo")] == ["Bo"]
    assert pool.inbox.journal() == []


def test_suggestions_are_decided_once(pool: Pool) -> None:
    pool.register("Ada", samples(1), space())
    ada = pool.person("Ada")
    assert ada is not None
    one = sighting(person_id=ada.id)
    pool.inbox.keep(one, faces(5, 6, 7), ROOMY)
    ids = pool.inbox.faces([one.id])[one.id].ids
    numbers = [pool.inbox.suggest(face, "Ada", 0.75, "pose") for face in ids[:2]]
    assert pool.inbox.suggest(ids[0], "Ada", 0.9, "age") is None
    newest, oldest = pool.inbox.suggestions()
    assert (oldest.number, oldest.face_id, oldest.sighting_id, oldest.person_id) == (numbers[0], ids[0], one.id, ada.id)
    assert (oldest.similarity, oldest.reason, oldest.state, oldest.source) == (0.75, "pose", "open", "door")
    assert (oldest.quality, oldest.pose, oldest.seen_at) == (90, faces(5).poses[0], one.since)
    assert oldest.expires_at > oldest.made_at
    assert pool.inbox.close_suggestion(oldest.number, "declined").state == "open"
    with pytest.raises(UnknownSuggestion):
        pool.inbox.close_suggestion(oldest.number, "accepted")
    assert pool.inbox.suggestions("Ada") == [newest]
    assert [each.number for each in pool.inbox.suggestions(state="declined")] == [oldest.number]
    assert pool.inbox.suggestion(oldest.number).state == "declined"
    pool.inbox.close_suggestion(oldest.number, "open")
    assert len(pool.inbox.suggestions()) == 2
    pool.inbox.suggest(ids[2], "Ada", 0.75, "pose", days=-1)
    assert len(pool.inbox.suggestions(state=None)) == 2
    for wrong in (99, 1 << 70, -1):
        with pytest.raises(UnknownSuggestion):
            pool.inbox.suggestion(wrong)
    with pytest.raises(UnknownPerson):
        pool.inbox.suggest(ids[2], "Bo", 0.5, "pose")
    with pytest.raises(UnknownSighting):
        pool.inbox.suggest(str(uuid4()), "Ada", 0.5, "pose")


def test_the_journal_has_what_can_be_undone(pool: Pool) -> None:
    first = pool.inbox.note("split", "page", {"group": 3})
    second = pool.inbox.note("name", "command line", {"sightings": ["a"]})
    assert [entry.number for entry in pool.inbox.journal()] == [second, first]
    entry = pool.inbox.entry(second)
    assert entry is not None
    assert (entry.action, entry.caller, entry.content) == ("name", "command line", {"sightings": ["a"]})
    assert pool.inbox.forget_entry(second)
    assert not pool.inbox.forget_entry(second)
    assert pool.inbox.entry(second) is None
    assert pool.inbox.entry(1 << 70) is None


def test_usage_says_how_much_is_kept(pool: Pool) -> None:
    one = keep(pool, 1, 2)
    pool.inbox.keep(sighting(), faces(3), InboxBounds(sightings=1))
    usage = pool.inbox.usage()
    assert (usage.sightings, usage.faces, usage.groups, usage.kept, usage.dropped) == (1, 1, 0, 2, 1)
    assert 200 < usage.bytes < 2000
    assert one.id not in [each.id for each in pool.inbox.sightings()]


def test_what_is_too_old_goes_also_where_nobody_comes(pool: Pool) -> None:
    keep(pool, 1, hours_ago=24 * 20)
    recent = keep(pool, 2)
    assert pool.inbox.expire(ROOMY) == 0, "the second one has driven it out"
    keep(pool, 3, hours_ago=24 * 20)
    assert pool.inbox.expire(ROOMY) == 1
    assert [one.number for one in pool.inbox.groups()] == [recent.group]


def test_two_who_keep_at_once_stay_within_bounds(pool: Pool, tmp_path: Path, backend: str) -> None:
    bounds = InboxBounds(sightings=20)
    pool.create("Ada")

    def work(first: int) -> int:
        with opened(tmp_path, backend, timeout_s=30) as own:
            return sum(
                own.inbox.keep(sighting(hours_ago=seed / 100), faces(seed), bounds, "new").dropped
                for seed in range(first, first + 15)
            )

    with ThreadPoolExecutor() as threads:
        assert sum(threads.map(work, (0, 100))) == 10
    usage = pool.inbox.usage()
    assert (usage.sightings, usage.groups, usage.kept, usage.dropped) == (20, 20, 30, 10)


def test_a_backup_has_who_was_seen_and_a_copy_of_people_does_not(pool: Pool, tmp_path: Path) -> None:
    pool.register("Ada", samples(1), space())
    ada = pool.person("Ada")
    assert ada is not None
    stranger, of_ada = keep(pool, 2, 3), sighting(person_id=ada.id)
    pool.inbox.keep(of_ada, faces(4), ROOMY)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    assert isinstance(pool, SqlGallery)
    back_up(pool, folder / "backup.db")
    back_up(pool, folder / "people.db", with_sightings=False)
    with open_pool(folder / "copy.db", space()) as copy:
        transfer(pool, copy)
        assert (names(copy), copy.inbox.usage().kept) == ({"Ada": 1}, 0)
    with SqliteGallery(folder / "people.db") as people:
        assert (names(people), people.inbox.sightings()) == ({"Ada": 1}, [])
    with SqliteGallery(folder / "new.db", space()) as new, opened_backup(folder / "backup.db", folder) as backup:
        restore(new, backup)
        assert new.inbox.sightings() == pool.inbox.sightings()
        assert new.inbox.faces([stranger.id])[stranger.id].pictures == faces(2, 3).pictures
        assert new.inbox.vectors().embeddings.tolist() == pool.inbox.vectors().embeddings.tolist()


def test_a_backup_brings_no_stranger_back(pool: Pool, tmp_path: Path) -> None:
    for seed, name in enumerate(("Ada", "Bo")):
        pool.register(name, samples(seed), space())
    ada = pool.person("Ada")
    assert ada is not None
    gone, of_ada = keep(pool, 2), sighting(person_id=ada.id)
    pool.inbox.keep(of_ada, faces(4), ROOMY)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    assert isinstance(pool, SqlGallery)
    back_up(pool, folder / "backup.db")
    assert gone.group is not None
    pool.inbox.delete_group(gone.group)
    pool.remove("Bo")
    pool.create("Eve")
    later, eve = keep(pool, 7), pool.person("Eve")
    assert eve is not None
    of_eve = sighting(person_id=eve.id)
    pool.inbox.keep(of_eve, faces(8), ROOMY)
    with opened_backup(folder / "backup.db", folder) as backup:
        restore(pool, backup, with_erased=True)
    assert names(pool) == {"Ada": 1, "Bo": 1}
    assert {one.id for one in pool.inbox.sightings()} == {of_ada.id, later.id}
    assert pool.inbox.sighting(of_ada.id).person == "Ada"
    assert [one.number for one in pool.inbox.groups()] == [later.group]


def test_notices_are_left_for_logs(pool: Pool) -> None:
    one = keep(pool, 1)
    with pool.noting("page") as notices:
        with pool.inbox.change():
            assigned = pool.inbox.to_person("Ada", pool.inbox.faces([one.id])[one.id].ids, [one.id], create=True)
            pool.inbox.tell("named", assigned.person_id, "{}")
        assert [(each.action, each.person, each.change) for each in notices] == [
            ("registered", "Ada", pool.revision()),
            ("named", "Ada", pool.revision()),
        ]
        pool.inbox.take_back(assigned.before, assigned.templates, created=assigned.person_id)
        assert notices[-1].action == "erased"
        assert pool.owed().traces
    pool.wipe()
    assert not pool.owed().traces


def test_what_is_too_old_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    with SqliteGallery(path, space()) as pool:
        for seed in range(60):
            pool.register(f"P{seed}", samples(seed + 500), space())
            one = sighting(hours_ago=24 * 20 if seed % 3 else 1)
            pool.inbox.keep(one, faces(seed), InboxBounds(days=30), "new")
        with pool.reading() as db:
            keys = {bytes(key): uuid for key, uuid in db.execute(KEYS)}
        content = raw(tmp_path)
        assert all(key in content for key in keys), "or there is nothing to look for"
        assert not any(unit(seed).tobytes() in content for seed in range(60)), "faces of strangers are sealed"
        assert not any(picture in content for seed in range(60) for picture in faces(seed).pictures)
        assert pool.inbox.expire(ROOMY) == 40
        left = {bytes(uuid) for (uuid,) in pool._connection().execute("SELECT uuid FROM sightings").fetchall()}
        content = raw(tmp_path)
        assert not any(key in content for key, uuid in keys.items() if uuid not in left)
        assert all(key in content for key, uuid in keys.items() if uuid in left)
        assert not pool.owed()
    assert not any(key in raw(tmp_path) for key, uuid in keys.items() if uuid not in left)


KEYS = "SELECT key, uuid FROM sighting_keys JOIN sightings ON sightings.id = sighting_id"


def raw(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_what_somebody_still_reads_is_wiped_later(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    with SqliteGallery(path, space()) as pool, SqliteGallery(path, space()) as reader:
        one = keep(pool, 1)
        with pool.reading() as db:
            keys = [bytes(key) for key, _ in db.execute(KEYS)]
        with reader.reading() as db:
            db.execute("SELECT count(*) FROM sightings").fetchone()
            pool.inbox.delete_sighting(one.id)
            assert pool.owed().traces
        keep(pool, 2)
        assert not pool.owed().traces
        assert keys[0] not in raw(tmp_path)


def test_erased_people_and_withdrawn_consent_leave_no_word(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    with SqliteGallery(path, space()) as pool:
        pool.register("Ada", samples(1), space())
        ada = pool.person("Ada")
        assert ada is not None
        pool.inbox.keep(sighting(person_id=ada.id, source="sauna"), faces(2), ROOMY)
        keep(pool, 3, source="cellar")
        assert b"sauna" in raw(tmp_path)
        pool.remove("Ada")
        assert b"sauna" not in raw(tmp_path)
        assert b"cellar" in raw(tmp_path)
        pool.inbox.forget_unknown()
        assert b"cellar" not in raw(tmp_path)


@pytest.mark.postgres
def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facepool.gallery import postgres_schema

    first = postgres_schema.MIGRATIONS[:1]

    with monkeypatch.context() as patch:
        patch.setattr("facepool.gallery.postgres.MIGRATIONS", first)
        with opened(tmp_path, POSTGRES) as old:
            old.create("Ada")
    with opened(tmp_path, POSTGRES) as pool:
        pool.register("Ada", samples(1), space())
        keep(pool, 2)
        assert (names(pool), len(pool.inbox.groups())) == ({"Ada": 1}, 1)
