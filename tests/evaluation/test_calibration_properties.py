"""What holds of every calibration, whatever the pool."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facepool.errors import InsufficientData
from facepool.evaluation.calibration import MIN_PEOPLE, Measured, calibrate, leave_one_out
from facepool.search import Index
from facepool.search.exact import nearest
from facepool.thresholds import ThresholdPolicy
from facepool.types import Floats
from support.crowds import cohort, crowd, pool_of

COHORT = cohort()
SEEDS = st.integers(0, 1000)


def calibrated(matrix: Index, target_fpir: float) -> Measured:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return calibrate(matrix, COHORT, target_fpir, space_id="", now=now, replicates=20)


@settings(max_examples=25)
@given(people=st.integers(MIN_PEOPLE, 50), templates=st.integers(1, 5), seed=SEEDS, target=st.floats(0.002, 0.5))
def test_thresholds_rise_as_targets_fall_and_the_interval_holds_what_is_expected(
    people: int, templates: int, seed: int, target: float
) -> None:
    matrix = pool_of(crowd(people, templates, seed))
    found = calibrated(matrix, target).calibration
    shares, similarities = zip(*found.points, strict=True)
    assert list(shares) == sorted(shares, reverse=True)
    assert all(np.diff(similarities) >= 0)  # a target may be a published share but for its last bit
    assert 0 <= found.low <= found.high <= 1
    assert found.low < target < found.high
    assert 0 < found.borrowed < 1
    threshold = ThresholdPolicy(COHORT, target).identification(len(matrix), found)
    assert threshold.value == pytest.approx(found.threshold, abs=1e-6)


@settings(max_examples=50)
@given(
    noise=st.floats(0, 1.0),
    scale=st.sampled_from([0.0, 1e-4, 0.01, 0.3]),
    people=st.integers(0, 40),
    templates=st.integers(1, 3),
    seed=SEEDS,
)
def test_whatever_is_in_the_pool_a_threshold_or_a_clear_refusal_comes_out(
    noise: float, scale: float, people: int, templates: int, seed: int
) -> None:
    vectors = crowd(40, templates, seed)[:1].repeat(people, axis=0) + scale * crowd(max(1, people), templates, seed)[
        :people
    ] * np.float32(noise)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    try:
        found = calibrated(pool_of(vectors.astype(np.float32)), 0.01).calibration
    except InsufficientData:
        return
    assert -1 < found.threshold <= 1
    assert np.isfinite([found.low, found.high, *(value for point in found.points for value in point)]).all()


@settings(max_examples=25)
@given(sizes=st.lists(st.integers(1, 5), min_size=2, max_size=14), seed=SEEDS)
def test_leaving_a_person_out_is_searching_a_pool_without_them(sizes: list[int], seed: int) -> None:
    vectors = crowd(len(sizes), max(sizes), seed)
    rows: Floats = np.concatenate([templates[:size] for templates, size in zip(vectors, sizes, strict=True)])
    owners = np.repeat(np.arange(len(sizes)), sizes)
    names = [f"p{number:02}" for number in range(len(sizes))]
    matrix = Index.of_rows(rows, owners, names)
    strangers = leave_one_out(matrix, np.random.default_rng(0))
    for row, owner in enumerate(owners):
        rest = owners != owner
        without = Index.of_rows(rows[rest], owners[rest], names)
        (candidates,) = nearest(without, rows[row : row + 1], k=len(sizes), normalize=True)
        best = [candidate.normalized_score for candidate in candidates][: strangers.nearest.shape[1]]
        assert strangers.similarities[row] == pytest.approx(best, abs=1e-5)
        assert matrix.names[strangers.nearest[row, 0]] == candidates[0].person
