"""The inbox keeps the same promises in every kind of pool that has one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from facepool.errors import ConfigError, GroupGone, InvalidEmbedding, SpaceMismatch, UnknownPerson, UnknownSighting
from facepool.gallery import Pool, open_pool
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
