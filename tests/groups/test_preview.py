"""What a change of the pool would do to what was seen, against really doing it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facepool.gallery import Pool, open_pool
from facepool.groups.preview import NamedDifferently, PoolChange, SightingRule, named_differently
from facepool.search import Index, Search
from facepool.thresholds import ThresholdPolicy
from facepool.types import EmbeddingSpace, Floats, Pose, Sample, SightedFaces
from support.crowds import DIMENSION, cohort, crowd

CURVE = cohort()
SPACE = EmbeddingSpace("made-up", "ab" * 32, "rgb-0-1/1", "arcface-112", mirrored=True, dimension=DIMENSION)


def sighted(embeddings: Floats, quality: float = 80, size_px: float = 90) -> SightedFaces:
    count = len(embeddings)
    return SightedFaces(
        embeddings=embeddings,
        pictures=(b"",) * count,
        qualities=np.full(count, quality, np.float32),
        scores=np.full(count, 0.99, np.float32),
        sizes_px=np.full(count, size_px, np.float32),
        poses=(Pose(0, 0, 0),) * count,
    )


def twins(seed: int, faces: int, likeness: float) -> Floats:
    """(2, F, D) of two people who have so much of their faces in common, 0..1."""
    pair = crowd(2, faces, seed).astype(np.float64)
    found = pair + likeness / (1 - likeness) * pair.mean(axis=(0, 1))
    return np.asarray(found / np.linalg.norm(found, axis=-1, keepdims=True), np.float32)


def town(seed: int, people: int, likeness: float) -> tuple[dict[str, Floats], dict[str, SightedFaces]]:
    """Templates of people of whom each two are alike, and sightings of them and of strangers."""
    templates: dict[str, Floats] = {}
    sightings: dict[str, SightedFaces] = {}
    for pair in range(people // 2):
        faces = twins(seed * 100 + pair, 3 + 8, likeness)
        for one in range(2):
            name = f"p{2 * pair + one:02}"
            templates[name] = faces[one, :3]
            sightings |= {f"{name}-{number}": sighted(faces[one, 3 + 2 * number :][:2]) for number in range(4)}
    strangers = crowd(people, 2, seed * 100 + 99)
    return templates, sightings | {f"stranger-{number}": sighted(faces) for number, faces in enumerate(strangers)}


def store(pool: Pool, templates: dict[str, Floats]) -> None:
    for name, rows in templates.items():
        pool.register(name, [Sample(row) for row in rows], SPACE)


def names(index: Index, sightings: dict[str, SightedFaces], rule: SightingRule) -> dict[str, str | None]:
    return {sighting: rule.decide(index, faces).person for sighting, faces in sightings.items()}


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 50),
    people=st.sampled_from([2, 4, 14]),
    likeness=st.sampled_from([0.0, 0.6, 0.85]),
    gained=st.integers(0, 2),
    loses=st.booleans(),
    flagged=st.booleans(),
    fixed=st.sampled_from([None, 0.4]),
)
def test_a_preview_is_what_the_change_does(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    people: int,
    likeness: float,
    gained: int,
    loses: bool,
    flagged: bool,
    fixed: float | None,
) -> None:
    templates, sightings = town(seed, people, likeness)
    rule = SightingRule(ThresholdPolicy(CURVE, fixed=fixed))
    right, wrong = "p00", "p01"
    with open_pool(tmp_path_factory.mktemp("pool") / "pool.db", SPACE) as pool:
        store(pool, templates)
        faces = sightings["p00-1"].embeddings[:gained]
        lost = (pool.templates(wrong)[0].id,) if loses else ()
        pair = frozenset({right, wrong}) if flagged else None
        person = pool.person(right)
        assert person is not None
        index = Search(pool).index()
        change = PoolChange(right, person.id, faces, lost, pair)
        before = names(index, sightings, rule)
        told = named_differently(index, change.after(index), sightings, rule)
        assert pool.revision() == index.revision
        assert Search(pool).index() is index
        assert not index.spoiled
        for number in lost:
            pool.remove_template(number)
        if gained:
            pool.register(right, [Sample(row) for row in faces], SPACE)
        if pair:
            pool.add([], SPACE, [pair])
        after = names(Search(pool).index(), sightings, rule)
    with open_pool(pool.address, SPACE) as again:
        read_anew = names(Index.of(again.changes()), sightings, rule)
    expected = [NamedDifferently(one, before[one], after[one]) for one in sightings if before[one] != after[one]]
    assert told == expected
    assert after == read_anew


def test_a_change_that_does_nothing_names_nobody_differently() -> None:
    index = Index.of_rows(crowd(2, 2, 1).reshape(4, -1), np.repeat(np.arange(2), 2), ("Ada", "Bo"))
    change = PoolChange()
    assert change.after(index) is index
    assert (
        named_differently(index, index, {"one": sighted(crowd(1, 1, 2)[0])}, SightingRule(ThresholdPolicy(CURVE))) == []
    )


def test_a_sample_in_the_wrong_place_is_seen_in_who_else_would_be_named() -> None:
    ada, bo = twins(3, 9, 0.6)
    index = Index.of_rows(np.concatenate([ada[:1], bo[:1]]), np.arange(2), ("Ada", "Bo"))
    rule = SightingRule(ThresholdPolicy(CURVE, fixed=0.4))
    faces_of = {f"ada-{row}": sighted(ada[row : row + 1]) for row in range(1, 9)}
    change = PoolChange("Bo", "Bo", ada[1:4])
    found = named_differently(index, change.after(index), faces_of, rule)
    assert {one.after for one in found} >= {"Bo"}
    assert all(one.before != one.after for one in found)


@pytest.mark.parametrize(("quality", "size_px", "reason"), [(1.0, 90.0, "low_quality"), (80.0, 8.0, "low_quality")])
def test_a_sighting_without_a_good_face_names_nobody(quality: float, size_px: float, reason: str) -> None:
    faces = crowd(1, 2, 5)[0]
    index = Index.of_rows(faces[:1], np.zeros(1, np.intp), ("Ada",))
    decision = SightingRule(ThresholdPolicy(CURVE, fixed=0.2)).decide(index, sighted(faces[1:], quality, size_px))
    assert (decision.person, decision.reason) == (None, reason)


def test_nobody_is_named_by_no_face_or_no_pool() -> None:
    index = Index.of_rows(crowd(1, 1, 5)[0], np.zeros(1, np.intp), ("Ada",))
    nothing = Index.of_rows(np.zeros((0, DIMENSION), np.float32), np.zeros(0, np.intp), ())
    rule = SightingRule(ThresholdPolicy(CURVE))
    assert rule.decide(index, sighted(np.zeros((0, DIMENSION), np.float32))).person is None
    assert rule.decide(nothing, sighted(crowd(1, 1, 5)[0])).reason == "empty_pool"
