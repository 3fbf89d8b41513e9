"""The search agrees with a loop that anybody can read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facepool.search import Index
from facepool.search.exact import nearest
from support.pools import units


@settings(max_examples=100)
@given(
    owners=st.lists(st.sampled_from(["Ada", "Bob", "Олег", "李", "zoe"]), max_size=30),
    probes=st.integers(0, 5),
    top=st.integers(1, 7),
    seed=st.integers(0, 1000),
    copies=st.booleans(),
)
def test_the_search_finds_what_a_loop_finds(
    owners: list[str], probes: int, top: int, seed: int, *, copies: bool
) -> None:
    vectors = units(len(owners), seed=seed) if owners else np.zeros((0, 8), np.float32)
    if copies:
        vectors[: len(owners) // 2] = vectors[:1]
    asked = units(probes, seed=seed + 1) if probes else np.zeros((0, 8), np.float32)
    known = list(dict.fromkeys(owners))
    matrix = Index.of_rows(vectors, np.array([known.index(name) for name in owners], np.intp), known)

    for probe, candidates in zip(asked, nearest(matrix, asked, top), strict=True):
        best = {
            name: max(float(probe @ vector) for owner, vector in zip(owners, vectors, strict=True) if owner == name)
            for name in known
        }
        assert len({candidate.person for candidate in candidates}) == len(candidates) == min(top, len(best))
        expected = sorted(best.values(), reverse=True)[:top]
        assert [candidate.similarity for candidate in candidates] == pytest.approx(expected, abs=1e-5)
        for candidate in candidates:
            assert candidate.similarity == pytest.approx(best[candidate.person], abs=1e-5)
            assert owners[candidate.template_id] == candidate.person
            assert candidate.similarity == pytest.approx(float(probe @ vectors[candidate.template_id]), abs=1e-5)
