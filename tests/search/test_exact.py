import numpy as np
import pytest

from facepool.errors import InvalidEmbedding
from facepool.search import Index, exact, index
from facepool.search.exact import nearest, nearest_merged
from facepool.types import Floats
from support.pools import unit, units


def matrix(rows: list[tuple[str, int, Floats]]) -> Index:
    names = sorted({name for name, _, _ in rows})
    return Index.of_rows(
        np.array([vector for _, _, vector in rows], np.float32).reshape(len(rows), -1),
        np.array([names.index(name) for name, _, _ in rows], np.intp),
        names,
        template_ids=np.array([number for _, number, _ in rows], np.int64),
    )


def basis(*weights: float) -> Floats:
    vector = np.array(weights, np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def test_no_probes_find_nothing() -> None:
    assert nearest(matrix([("Ada", 1, unit(1))]), np.zeros((0, 8), np.float32)) == []


def test_a_person_is_one_candidate_with_the_best_of_their_templates() -> None:
    pool = matrix([("Bob", 1, basis(0, 1)), ("Ada", 2, basis(1, 1)), ("Ada", 7, basis(1, 0))])
    (candidates,) = nearest(pool, basis(1, 0)[None], k=5)
    assert [(found.person, found.template_id) for found in candidates] == [("Ada", 7), ("Bob", 1)]
    assert [found.similarity for found in candidates] == pytest.approx([1.0, 0.0])


def test_equal_candidates_come_by_name_wherever_the_list_is_cut() -> None:
    pool = matrix([(name, row, basis(1, 0)) for row, name in enumerate("ECADB")])
    for top in range(1, 6):
        (candidates,) = nearest(pool, basis(1, 0)[None], k=top)
        assert "".join(found.person for found in candidates) == "ABCDE"[:top]


def test_similarities_never_leave_their_range() -> None:
    vectors = units(200, 128)
    pool = matrix([(str(row), row, vector) for row, vector in enumerate(vectors)])
    found = [candidates[0] for candidates in nearest(pool, vectors, k=1)]
    assert [candidate.template_id for candidate in found] == list(range(200))
    assert all(0.999 < candidate.similarity <= 1.0 for candidate in found)


def test_probes_searched_in_blocks_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = matrix([(str(row % 5), row, vector) for row, vector in enumerate(units(20))])
    probes = units(9, seed=1)
    whole = nearest(pool, probes, k=3)
    monkeypatch.setattr(exact, "_BLOCK_VALUES", 50)
    for one, other in zip(whole, nearest(pool, probes, k=3), strict=True):
        assert [found.template_id for found in one] == [found.template_id for found in other]
        assert [found.similarity for found in one] == pytest.approx([found.similarity for found in other], abs=1e-6)


@pytest.mark.parametrize("probes", [units(1, 7), unit(1), units(1) * np.float32(2), units(1) * np.float32(np.nan)])
def test_probes_that_do_not_fit_are_refused(probes: Floats) -> None:
    with pytest.raises(InvalidEmbedding):
        nearest(matrix([("Ada", 1, unit(1))]), probes)


def test_at_least_one_candidate_is_asked_for() -> None:
    with pytest.raises(ValueError, match="k is 0"):
        nearest(matrix([("Ada", 1, unit(1))]), units(1), k=0)


@pytest.fixture
def coded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pools are searched as large ones are."""
    monkeypatch.setattr(index, "_CODED_TEMPLATES", 1)


@pytest.mark.usefixtures("coded")
def test_codes_rule_out_nearly_everybody_in_an_ordinary_pool() -> None:
    vectors = units(5000, 128)
    pool = matrix([(f"{row // 2:04d}", row, vector) for row, vector in enumerate(vectors)])
    probes = units(20, 128, seed=9)
    for candidates, similarities in zip(nearest(pool, probes, k=2), probes @ vectors.T, strict=True):
        assert candidates[0].template_id == int(similarities.argmax())
    assert pool.blocks is not None
    assert (pool.search_counts.searches, pool.search_counts.fallbacks) == (20, 0)
    assert pool.search_counts.compared < 20 * 100

    views = probes[:1] + np.float32(0.02) * probes[:3]
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    nearest_merged(pool, views, lambda similarities: similarities.mean(axis=0), k=2)
    assert (pool.search_counts.searches, pool.search_counts.fallbacks) == (21, 0)


@pytest.mark.usefixtures("coded")
def test_everything_is_compared_where_codes_cannot_tell_templates_apart_and_that_is_counted() -> None:
    rng = np.random.default_rng(0)
    alike = unit(1, 128) + 1e-3 * rng.normal(size=(2000, 128)).astype(np.float32)
    vectors = alike / np.linalg.norm(alike, axis=1, keepdims=True)
    pool = matrix([(f"{row:04d}", row, vector) for row, vector in enumerate(vectors)])
    (candidates,) = nearest(pool, vectors[1234][None], k=1)
    assert candidates[0].template_id == 1234
    assert pool.blocks is not None
    assert (pool.search_counts.searches, pool.search_counts.fallbacks) == (1, 1)


@pytest.mark.usefixtures("coded")
def test_a_person_with_most_of_the_templates_is_searched_too() -> None:
    vectors = units(1500, 16)
    pool = matrix([("Ada" if row < 1000 else f"{row}", row, vector) for row, vector in enumerate(vectors)])
    assert [found[0].template_id for found in nearest(pool, vectors[::100])] == list(range(0, 1500, 100))


def test_small_pools_have_no_codes_to_spare_memory() -> None:
    assert matrix([("Ada", 1, unit(1))]).blocks is None


def test_a_similarity_does_not_depend_on_what_else_is_searched() -> None:
    vectors = units(300, 128)
    alone = nearest(matrix([("Ada", 1, vectors[0])]), units(1, 128, seed=5))[0][0].similarity
    pool = matrix([(f"{row}", row, vector) for row, vector in enumerate(vectors)])
    together = nearest(pool, units(7, 128, seed=5), k=300)[0]
    assert alone in [candidate.similarity for candidate in together if candidate.template_id == 0]


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("side", [1, -1])
def test_similarities_beyond_their_range_are_equal_and_come_by_name(
    side: int, monkeypatch: pytest.MonkeyPatch, *, coded: bool
) -> None:
    monkeypatch.setattr(index, "_CODED_TEMPLATES", 1 if coded else 1 << 40)
    face = unit(1, 128)
    alike = np.float32(side) * face
    # Norms may be off by 1e-3, so that rounding is not what takes products past 1.
    far = [(f"Z{row:03d}", row, vector) for row, vector in enumerate(units(500, 128, seed=2))] if side > 0 else []
    rows = [("Ada", 1000, alike * np.float32(1.0006 - side * 3e-4)), ("Bob", 1001, alike * np.float32(1.0006)), *far]
    (candidates,) = nearest(matrix(rows), face[None] * np.float32(1 + 9e-4), k=1)
    assert [(found.person, found.similarity) for found in candidates] == [("Ada", float(side))]


@pytest.mark.usefixtures("coded")
def test_a_template_unlike_all_others_in_form_costs_no_fallback() -> None:
    vectors = np.concatenate([units(3000, 128), np.eye(1, 128, dtype=np.float32)])
    pool = matrix([(f"{row:04d}", row, vector) for row, vector in enumerate(vectors)])
    assert pool.blocks is not None
    assert pool.blocks.errors.max() > 0.3  # the scale is not made for it
    probes = units(30, 128, seed=3)
    assert [found[0].template_id for found in nearest(pool, probes)] == (probes @ vectors.T).argmax(axis=1).tolist()
    assert pool.search_counts.fallbacks == 0
