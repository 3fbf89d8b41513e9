import numpy as np
import pytest

from facepool.groups.cluster import LooseFaces, group_faces, grouping_threshold, near_pairs
from facepool.thresholds import ThresholdPolicy
from facepool.types import Floats
from support.fake_analyzer import CURVE


def crowd(people: int, faces: int, *, spread: float = 0.35, seed: int = 0, dimension: int = 64) -> Floats:
    """Unit vectors of people, those of one person next to each other."""
    random = np.random.default_rng(seed)
    centers = random.normal(size=(people, dimension))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    noise = random.normal(size=(people, faces, dimension)) * spread / np.sqrt(dimension)
    vectors = (centers[:, None] + noise).reshape(-1, dimension)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def loose(
    embeddings: Floats,
    pictures: list[int] | None = None,
    clear: list[bool] | None = None,
    people: list[int] | None = None,
) -> LooseFaces:
    count = len(embeddings)
    return LooseFaces(
        np.asarray(embeddings, np.float32),
        np.arange(count) if pictures is None else np.array(pictures, np.intp),
        np.ones(count, bool) if clear is None else np.array(clear, bool),
        np.full(count, -1, np.intp) if people is None else np.array(people, np.intp),
    )


def turned(*degrees: float) -> Floats:
    """Unit vectors in a plane: the cosine of the difference of two angles is the similarity."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_no_faces_are_no_groups() -> None:
    assert group_faces(loose(np.empty((0, 8), np.float32)), 0.5).tolist() == []


def test_one_face_is_no_group() -> None:
    assert group_faces(loose(turned(0)), 0.5).tolist() == [-1]


def test_faces_that_are_alike_are_a_group_and_others_in_none() -> None:
    assert group_faces(loose(turned(0, 10, 90, 100, 200)), 0.9).tolist() == [0, 0, 1, 1, -1]


def test_people_of_a_crowd_are_told_apart_in_any_order() -> None:
    vectors = crowd(people=40, faces=7)
    order = np.random.default_rng(1).permutation(len(vectors))
    labels = group_faces(loose(vectors[order]), 0.55)
    truth = order // 7
    assert len(set(zip(labels.tolist(), truth.tolist(), strict=True))) == len(set(labels.tolist())) == 40


def test_groups_are_numbered_in_the_order_of_their_first_faces() -> None:
    assert group_faces(loose(turned(90, 0, 5, 95)), 0.9).tolist() == [0, 1, 1, 0]


def test_two_faces_of_one_picture_are_two_people() -> None:
    assert group_faces(loose(turned(0, 1, 2), pictures=[1, 1, 2]), 0.9).tolist() in ([0, -1, 0], [-1, 0, 0])


def test_a_face_between_two_people_does_not_make_one_of_them() -> None:
    # 0 and 60 degrees are two people (similarity 0.5); the face at 30 degrees is like both (0.87).
    labels = group_faces(loose(turned(0, 2, 4, 30, 56, 58, 60)), 0.8)
    assert labels[0] == labels[1] == labels[2] != labels[4] == labels[5] == labels[6]


def test_a_face_that_is_not_clear_joins_a_group_but_neither_starts_nor_joins_two() -> None:
    clear = [True, True, False, False, False]
    assert group_faces(loose(turned(0, 2, 4, 90, 92), clear=clear), 0.9).tolist() == [0, 0, 0, -1, -1]
    bridge = group_faces(loose(turned(0, 2, 20, 38, 40), clear=[True, True, False, True, True]), 0.9)
    assert bridge[0] == bridge[1] != bridge[3] == bridge[4]


def test_who_was_named_keeps_their_faces_whatever_they_look_like() -> None:
    labels = group_faces(loose(turned(0, 90, 91, 180, 181), people=[7, 7, -1, 8, -1]), 0.9)
    assert labels[0] == labels[1]
    assert labels[3] == labels[4] != labels[0]


def test_two_people_who_were_named_never_become_one() -> None:
    assert group_faces(loose(turned(0, 1), people=[1, 2]), 0.5).tolist() == [0, 1]


def test_the_result_does_not_depend_on_how_many_faces_are_compared_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = loose(crowd(people=30, faces=5, spread=0.8))
    at_once = group_faces(faces, 0.5).tolist()
    monkeypatch.setattr("facepool.groups.cluster._VALUES_AT_ONCE", 7 * len(faces))
    assert group_faces(faces, 0.5).tolist() == at_once


def test_of_each_face_only_the_nearest_neighbours_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facepool.groups.cluster.NEIGHBOURS", 1)
    first, second = near_pairs(loose(turned(0, 10, 25, 45)), 0.1)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (1, 2), (2, 3)]


def test_progress_ends_with_all_faces() -> None:
    told: list[tuple[int, int]] = []
    group_faces(loose(turned(0, 10, 20)), 0.9, lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 3)


def test_more_faces_have_to_be_more_alike() -> None:
    policy = ThresholdPolicy(CURVE)
    values = [grouping_threshold(policy, faces).value for faces in (0, 10, 50, 1000, 100_000)]
    assert values[0] == values[1] == values[2] < values[3] < values[4]
