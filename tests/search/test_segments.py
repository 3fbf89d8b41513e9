"""An index that followed a gallery step by step is the one that is made of everything at once, to the last bit."""

from collections.abc import Iterator
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facepool.recognize.fuse import fuse
from facepool.search import Index, index, int8
from facepool.search.exact import matching, nearest, nearest_merged
from facepool.search.index import buildings
from facepool.types import Floats
from support.pools import units
from support.towns import DIMENSION, Town


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_SEGMENT_ROWS", 12)
        patch.setattr(index, "_TAIL_ROWS", 3)
        patch.setattr(index, "_ALIKE", 2)
        patch.setattr(int8, "_LEAST_ROWS_A_BLOCK", 3)
        yield


def compacted(followed: Index) -> Index:
    layers = followed.worn()
    if not layers:
        return followed
    made = buildings(layers)
    for building in made:
        building.fill()
    rewritten = followed.rewritten(layers, [building.segment for building in made])
    assert rewritten is not None
    return rewritten


def copied(followed: Index) -> Index:
    return Index.of_parts({name: part.copy() for name, part in followed.parts().items()})


def answers(one: Index) -> list[object]:
    probes, views = units(4, DIMENSION, seed=7), units(3, DIMENSION, seed=8)

    def merge(similarities: Floats) -> Floats:
        return fuse(similarities, [0.5, 0.3, 0.2])

    matched = {name: found.tolist() for name, found in matching(one, views, 0.3).items()}
    return [
        *(nearest(one, probes, k, normalize=normalize) for k in (2, 99) for normalize in (False, True)),
        *(nearest_merged(one, views, merge, k, normalize=normalize) for k in (3,) for normalize in (False, True)),
        sorted(matched.items()),
        one.margins,
    ]


def assert_same(followed: Index, whole: Index) -> None:
    assert answers(followed) == answers(whole)
    for name in ("names", "person_ids", "revision", "look_alikes", "people", "dimension"):
        assert getattr(followed, name) == getattr(whole, name)
    for name in ("vectors", "person_of", "template_ids", "starts", "counts", "lengths"):
        np.testing.assert_array_equal(getattr(followed, name), getattr(whole, name))
    assert len(followed) == len(whole)
    assert followed.cohort.means.tolist() == whole.cohort.means.tolist()
    assert (followed.cohort.people, followed.cohort.squares) == (whole.cohort.people, whole.cohort.squares)


def assert_erased(followed: Index, town: Town) -> None:
    kept = {town.vectors[number].tobytes() for number in town.owners}
    gone = {town.vectors[number].tobytes() for number in town.erased} - kept
    for layer in followed.layers:
        assert not gone & {row.tobytes() for row in layer.segment.vectors}
        codes = layer.segment.codes
        empty = ~layer.segment.vectors.any(axis=1)
        assert codes is None or not codes.rows[empty].any()


kinds = st.sampled_from(["new", "new", "register", "register", "rename", "merge", "remove", "remove_template"])
steps = st.lists(st.tuples(kinds, st.integers(0, 1000), st.integers(1, 9)), min_size=1, max_size=10)


@pytest.mark.parametrize("coded", [False, True])
@settings(max_examples=20, deadline=None)
@given(first=st.integers(0, 30), steps=steps, compact=st.integers(1, 4), copy=st.integers(2, 5), uuids=st.booleans())
def test_step_by_step_is_what_everything_at_once_is(
    coded: bool, first: int, steps: list[tuple[str, int, int]], compact: int, copy: int, *, uuids: bool
) -> None:
    town = Town(uuids)
    town.step("new", 2, first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_CODED_TEMPLATES", 1 if coded else 1 << 40)
        followed = Index.of(town.everything())
        for turn, step in enumerate(steps):
            changes = town.step(*step)
            before = followed
            followed = before.following(changes)
            before.erase(changes.removed)
            assert not followed.spoiled
            if turn % compact == 0:
                followed = compacted(followed)
            if turn % copy == 0:
                followed = copied(followed)
            assert_erased(followed, town)
            assert_same(followed, Index.of(town.everything()))


def test_whoever_is_erased_leaves_no_name_behind_in_old_segments() -> None:
    town = Town(uuids=True)
    followed = Index.of((town.step("new", 0, 40), town.everything())[1])
    ada = next(person for person, name in town.names.items() if name.startswith("Grace"))
    for kind in ("register", "rename", "remove"):
        changes = town.step(kind, sorted(town.names).index(ada), 1)
        before, followed = followed, followed.following(changes)
        before.erase(changes.removed)
    letters = [layer.segment.names.letters.tobytes() for layer in (*before.layers, *followed.layers)]
    assert not any(b"Grace Brewster Murray Hopper 0" in one for one in letters)
    ids = [layer.segment.ids.tobytes() for layer in (*before.layers, *followed.layers)]
    assert not any(UUID(ada).bytes in one for one in ids) or UUID(ada).int == 0


def test_an_index_that_somebody_left_is_spoiled_and_the_next_one_is_not() -> None:
    town = Town(uuids=True)
    town.step("new", 0, 40)
    first = Index.of(town.everything())
    second = first.following(town.step("register", 3, 1))
    assert not first.spoiled
    changes = town.step("remove", 5, 1)
    third = second.following(changes)
    second.erase(changes.removed)
    assert (first.spoiled, second.spoiled, third.spoiled) == (True, True, False)


def test_an_index_that_was_spoiled_is_followed_all_the_same() -> None:
    """As by the thread that writes an image, which began before others had followed."""
    town = Town(uuids=True)
    town.step("new", 2, 30)
    behind = ahead = Index.of(town.everything())
    happened = [town.step("remove_template", 3, 1), town.step("remove", 4, 1), town.step("rename", 2, 1)]
    for changes in happened:
        before, ahead = ahead, ahead.following(changes)
        before.erase(changes.removed)
    for changes in happened:
        behind = behind.following(changes)
    assert_same(behind, Index.of(town.everything()))


def test_a_person_with_more_templates_than_a_segment_has_room_for_stays_in_one() -> None:
    town = Town(uuids=True)
    town.step("new", 0, 5)
    followed = Index.of(town.everything()).following(town.step("register", 2, 30))
    assert_same(followed, Index.of(town.everything()))
    assert max(layer.segment.counts(layer.living()).max() for layer in followed.layers) == 31


def test_who_was_erased_before_a_compaction_copied_them_hides_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_SEGMENT_ROWS", 100)
    town = Town(uuids=True)
    town.step("new", 2, 12)
    followed = Index.of(town.everything())
    layers = followed.layers
    for _ in range(5):
        changes = town.step("remove", 3, 1)
        before, followed = followed, followed.following(changes)
        before.erase(changes.removed)
    made = buildings(layers)
    for building in made:
        building.fill()
    rewritten = followed.rewritten(layers, [building.segment for building in made])
    assert rewritten is not None
    for which in range(len(town.names)):
        rewritten = rewritten.following(town.step("register", which, 1))
        assert_same(rewritten, Index.of(town.everything()))
