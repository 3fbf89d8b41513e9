import numpy as np
import pytest

from facepool.errors import InvalidEmbedding
from facepool.gallery import PoolMatrix, index, search
from facepool.gallery.matrix import grouped
from facepool.types import Floats
from pool_kit import unit, units


def matrix(rows: list[tuple[str, int, Floats]]) -> PoolMatrix:
    names = sorted({name for name, _, _ in rows})
    return grouped(
        np.array([vector for _, _, vector in rows], np.float32).reshape(len(rows), -1),
        np.array([names.index(name) for name, _, _ in rows], np.int64),
        np.array([number for _, number, _ in rows], np.int64),
        dict(enumerate(names)),
        revision=1,
    )


def basis(*weights: float) -> Floats:
    vector = np.array(weights, np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def test_no_probes_find_nothing() -> None:
    assert search(matrix([("Ada", 1, unit(1))]), np.zeros((0, 8), np.float32)) == []


def test_a_person_is_one_candidate_with_the_best_of_their_templates() -> None:
    pool = matrix([("Bob", 1, basis(0, 1)), ("Ada", 2, basis(1, 1)), ("Ada", 7, basis(1, 0))])
    (candidates,) = search(pool, basis(1, 0)[None], top=5)
    assert [(found.person, found.template_id) for found in candidates] == [("Ada", 7), ("Bob", 1)]
    assert [found.similarity for found in candidates] == pytest.approx([1.0, 0.0])


def test_equal_candidates_come_by_name_wherever_the_list_is_cut() -> None:
    pool = matrix([(name, row, basis(1, 0)) for row, name in enumerate("ECADB")])
    for top in range(1, 6):
        (candidates,) = search(pool, basis(1, 0)[None], top=top)
        assert "".join(found.person for found in candidates) == "ABCDE"[:top]


def test_similarities_never_leave_their_range() -> None:
    vectors = units(200, 128)
    pool = matrix([(str(row), row, vector) for row, vector in enumerate(vectors)])
    found = [candidates[0] for candidates in search(pool, vectors, top=1)]
    assert [candidate.template_id for candidate in found] == list(range(200))
    assert all(0.999 < candidate.similarity <= 1.0 for candidate in found)


def test_probes_searched_in_blocks_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = matrix([(str(row % 5), row, vector) for row, vector in enumerate(units(20))])
    probes = units(9, seed=1)
    whole = search(pool, probes, top=3)
    monkeypatch.setattr(index, "_BLOCK_VALUES", 50)
    for one, other in zip(whole, search(pool, probes, top=3), strict=True):
        assert [found.template_id for found in one] == [found.template_id for found in other]
        assert [found.similarity for found in one] == pytest.approx([found.similarity for found in other], abs=1e-6)


def test_another_rule_can_judge_people() -> None:
    def mean(similarities: Floats, pool: PoolMatrix) -> Floats:
        counts = np.diff([*pool.starts, len(pool)])
        return np.asarray(np.add.reduceat(similarities, pool.starts, axis=1) / counts, np.float32)

    pool = matrix([("Ada", 1, basis(1, 0)), ("Ada", 2, basis(-1, 0)), ("Bob", 3, basis(1, 1))])
    (candidates,) = search(pool, basis(1, 0)[None], rule=mean)
    assert [found.person for found in candidates] == ["Bob", "Ada"]
    assert candidates[1].similarity == pytest.approx(0.0)


@pytest.mark.parametrize("probes", [units(1, 7), unit(1), units(1) * np.float32(2), units(1) * np.float32(np.nan)])
def test_probes_that_do_not_fit_are_refused(probes: Floats) -> None:
    with pytest.raises(InvalidEmbedding):
        search(matrix([("Ada", 1, unit(1))]), probes)


def test_at_least_one_candidate_is_asked_for() -> None:
    with pytest.raises(ValueError, match="top"):
        search(matrix([("Ada", 1, unit(1))]), units(1), top=0)
