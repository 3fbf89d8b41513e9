"""Searching by codes, or in any other way, finds what comparing everything one by one finds: to the last bit."""

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facepool.gallery import Changes
from facepool.recognize.fuse import fuse
from facepool.search import Index, exact, index, int8
from facepool.search.exact import nearest, nearest_merged
from facepool.search.int8 import CodedProbes
from facepool.types import Candidate, Floats

NAMES = [f"{owner:03d}" for owner in range(61)]
KINDS = ("spread", "copies", "near ties", "one side", "axes", "flat", "outlier")


@pytest.fixture(autouse=True, scope="module")
def coded() -> Iterator[None]:
    """Pools of any size are searched by codes, in small segments and blocks, on several threads, without giving up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_ROWS_TO_READ", 1.0)
        patch.setattr(index, "_CODED_TEMPLATES", 1)
        patch.setattr(index, "_SEGMENT_ROWS", 70)
        patch.setattr(index, "_TAIL_ROWS", 6)
        patch.setattr(int8, "_LEAST_ROWS_A_BLOCK", 4)
        patch.setattr(int8, "_ROWS_AT_ONCE", 16)
        patch.setattr(int8, "_VALUES_A_THREAD", 64)
        patch.setattr(int8, "allowed_threads", lambda: 3)
        yield


def test_a_machine_without_numkong_searches_all_the_same() -> None:
    script = """
import sys
sys.modules["numkong"] = None
import numpy as np
import facepool
from facepool.search import Index, exact, index, int8
index._CODED_TEMPLATES, exact._ROWS_TO_READ = 1, 1.0
vectors = np.eye(600, 512, dtype=np.float32) + np.float32(0.01)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
pool = Index.of_rows(vectors, np.arange(600), [f"{number:03d}" for number in range(600)])
assert pool.blocks is None
found = exact.nearest(pool, vectors[:3], 1)
assert [one.person for one, in found] == ["000", "001", "002"], found
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def unit_rows(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def templates(kind: str, count: int, dimension: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=(count, dimension)).astype(np.float32)
    if kind == "copies":
        spread = spread[rng.integers(0, max(1, count // 4), count)]
    elif kind == "near ties":
        spread = spread[:1] + np.float32(1e-7) * spread
    elif kind == "one side":
        spread = spread[:1] + np.float32(0.3) * spread
    elif kind == "axes":
        spread = np.eye(dimension, dtype=np.float32)[rng.integers(0, dimension, count)]
    elif kind == "flat":
        spread = np.sign(spread)
    elif kind == "outlier":  # one row sets the scale of all codes, or is cut off by it
        spread = np.abs(spread) + np.float32(1)
        spread[-1:] = np.eye(1, dimension, dtype=np.float32)
    # Pools take vectors whose norm is off by up to 1e-3: then similarities pass 1, where they count as equal.
    return unit_rows(spread) * rng.uniform(1 - 9e-4, 1 + 9e-4, size=(count, 1)).astype(np.float32)


def pool_of(vectors: Floats, owners: list[int]) -> Index:
    return Index.of_rows(vectors, np.array(owners, np.intp), NAMES)


def uncoded_pool_of(vectors: Floats, owners: list[int]) -> Index:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_CODED_TEMPLATES", 1 << 40)
        return pool_of(vectors, owners)


def one_by_one(matrix: Index, views: Floats, weights: list[float], top: int) -> tuple[Candidate, ...]:
    """The oracle: every pair in double precision, people by a loop."""
    pairs = matrix.vectors.astype(np.float64)[None] * views.astype(np.float64)[:, None]
    similarities = pairs.sum(axis=2).astype(np.float32)
    found = []
    for person, name in enumerate(matrix.names):
        rows = np.flatnonzero(matrix.person_of == person)
        best = fuse(similarities[:, rows].max(axis=1)[:, None], weights)[0]
        loudest = rows[np.argmax(similarities[:, rows].max(axis=0))]
        number = int(matrix.template_ids[loudest])
        found.append(Candidate(name, float(np.clip(best, -1, 1)), number, person_id=name))
    return tuple(sorted(found, key=lambda candidate: (-candidate.similarity, candidate.person))[:top])


pools = st.tuples(
    st.sampled_from(KINDS),
    st.lists(st.integers(0, 40), max_size=160),
    st.sampled_from([1, 2, 3, 7, 16, 17, 64, 128, 130, 256, 300, 512]),
    st.integers(0, 10_000),
)


@settings(max_examples=200)
@given(pool=pools, probes=st.integers(0, 6), top=st.integers(1, 6), known=st.floats(-1.0, 1.0), uncoded=st.booleans())
def test_everybody_gets_the_people_and_similarities_that_a_loop_finds(
    pool: tuple[str, list[int], int, int], probes: int, top: int, known: float, *, uncoded: bool
) -> None:
    kind, owners, dimension, seed = pool
    vectors = templates(kind, len(owners), dimension, seed)
    matrix = (uncoded_pool_of if uncoded else pool_of)(vectors, owners)
    # Every other row and column of a larger array, as embeddings that were cut out of something are.
    asked = np.random.default_rng(seed + 1).normal(size=(2 * probes, 2 * dimension)).astype(np.float32)[::2, ::2]
    if owners:
        asked += np.float32(3 * known) * vectors[: 1 if kind == "copies" else None][:probes].sum(axis=0)
    asked[:] = unit_rows(asked)
    if owners and known > 0.5:
        asked[:1] = vectors[:1]
    assert probes * dimension < 2 or not asked.flags.c_contiguous

    together = nearest(matrix, asked, top)
    assert together == [nearest(matrix, probe[None], top)[0] for probe in asked]
    if owners:
        assert together == [one_by_one(matrix, probe[None], [1.0], top) for probe in asked]
        assert (matrix.blocks is None) == uncoded


@settings(max_examples=30)
@given(pool=pools, top=st.integers(1, 6))
def test_without_numkong_the_answers_are_the_same(pool: tuple[str, list[int], int, int], top: int) -> None:
    kind, owners, dimension, seed = pool
    vectors, asked = templates(kind, len(owners), dimension, seed), templates("spread", 3, dimension, seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "FAST", False)
        without = pool_of(vectors, owners)
    assert without.blocks is None
    assert nearest(without, asked, top) == nearest(pool_of(vectors, owners), asked, top)


@settings(max_examples=100)
@given(
    pool=pools,
    weights=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=6),
    top=st.integers(1, 6),
    unlike=st.sampled_from([0.3, 3.0]),
)
def test_a_face_seen_several_times_gets_what_a_loop_finds(
    pool: tuple[str, list[int], int, int], weights: list[float], top: int, unlike: float
) -> None:
    kind, owners, dimension, seed = pool
    matrix = pool_of(templates(kind, len(owners), dimension, seed), owners)
    rng = np.random.default_rng(seed + 1)
    spread = rng.normal(size=(1, dimension)) + unlike * rng.normal(size=(len(weights), dimension))
    views = unit_rows(spread.astype(np.float32))

    found = nearest_merged(matrix, views, lambda similarities: fuse(similarities, weights), top)
    expected = one_by_one(matrix, views, weights, top) if owners else ()
    assert [candidate.person for candidate in found] == [candidate.person for candidate in expected]
    assert found == expected


@settings(max_examples=100)
@given(pool=pools, weights=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=6), top=st.integers(1, 20))
def test_offsets_depend_neither_on_codes_nor_on_what_else_is_searched(
    pool: tuple[str, list[int], int, int], weights: list[float], top: int
) -> None:
    kind, owners, dimension, seed = pool
    vectors = templates(kind, len(owners), dimension, seed)
    matrix, uncoded = pool_of(vectors, owners), uncoded_pool_of(vectors, owners)
    views = templates("spread", len(weights), dimension, seed + 1)

    found = nearest(matrix, views, top, normalize=True)
    assert found == [nearest(matrix, view[None], top, normalize=True)[0] for view in views]
    assert found == nearest(uncoded, views, top, normalize=True)
    for candidates, everybody in zip(found, nearest(matrix, views, max(1, len(owners))), strict=True):
        similarity = {candidate.person: candidate.similarity for candidate in everybody}
        assert [candidate.similarity for candidate in candidates] == [similarity[one.person] for one in candidates]
        assert [one.normalized_score for one in candidates] == sorted(
            (one.normalized_score for one in candidates), reverse=True
        )

    def merge(similarities: Floats) -> Floats:
        return fuse(similarities, weights)

    assert nearest_merged(matrix, views, merge, top, normalize=True) == nearest_merged(
        uncoded, views, merge, top, normalize=True
    )


@settings(max_examples=100)
@given(pool=pools, probes=st.integers(1, 6))
def test_no_similarity_is_further_from_that_of_its_codes_than_is_said(
    pool: tuple[str, list[int], int, int], probes: int
) -> None:
    kind, owners, dimension, seed = pool
    if not owners:
        return
    matrix = pool_of(templates(kind, len(owners), dimension, seed), owners)
    asked = templates(kind, probes, dimension, seed + 1)
    coded = CodedProbes.of(asked)
    blocks = matrix.blocks
    assert blocks is not None
    everything = np.repeat(np.arange(len(blocks)), blocks.rows)
    rows = np.concatenate([codes.rows for codes in blocks.segments])
    products = coded.codes.astype(np.int64) @ rows.T.astype(np.int64)
    off = np.abs(blocks.similarities(products, coded, everything) - asked.astype(np.float64) @ matrix.vectors.T)
    assert (off <= blocks.slack(coded, everything)).all()
    starts = np.cumsum(blocks.rows) - blocks.rows
    assert (blocks.maxima(coded) == np.maximum.reduceat(products, starts, axis=1)).all()


@settings(max_examples=100)
@given(
    pool=pools, steps=st.lists(st.lists(st.integers(0, 60), max_size=12), min_size=1, max_size=4), late=st.booleans()
)
def test_a_pool_that_grew_is_the_pool_that_was_made_at_once(
    pool: tuple[str, list[int], int, int], steps: list[list[int]], *, late: bool
) -> None:
    kind, owners, dimension, seed = pool
    owners = owners or [7]
    everybody = [*owners, *(owner for step in steps for owner in step)]
    vectors = templates(kind, len(everybody), dimension, seed)
    grown = (uncoded_pool_of if late else pool_of)(vectors[: len(owners)], owners)
    for revision, step in enumerate(steps, 2):
        known = len(grown)
        ids = np.arange(known, known + len(step), dtype=np.int64)
        owners_of = np.array([sorted(set(step)).index(owner) for owner in step], np.intp)
        names = tuple(NAMES[owner] for owner in sorted(set(step)))
        grown = grown.following(Changes(revision, ids, owners_of, vectors[ids], names, names, ids[:0]))

    whole = pool_of(vectors, everybody)
    assert grown.names == whole.names
    assert grown.revision == len(steps) + 1
    for name in ("vectors", "person_of", "template_ids", "starts", "counts"):
        np.testing.assert_array_equal(getattr(grown, name), getattr(whole, name))
        assert not getattr(grown, name).flags.writeable
    probes = templates("spread", 3, dimension, seed + 1)
    assert grown.blocks is not None
    assert nearest(grown, probes, 3) == nearest(whole, probes, 3)
    np.testing.assert_array_equal(grown.lengths, whole.lengths)
    np.testing.assert_array_equal(grown.cohort.total, whole.cohort.total)
    assert grown.cohort.usual == whole.cohort.usual
