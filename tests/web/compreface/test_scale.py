"""CompreFace's scale of similarity keeps what facepool decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facepool.recognize.decide import Criteria, decide
from facepool.types import Candidate
from facepool.web.compreface.recognition import scaled, scaled_candidate

cosines = st.floats(-1, 1)
thresholds = st.floats(0.2, 0.8)
offsets = st.floats(-0.1, 0.1)


@given(cosines, thresholds)
def test_half_is_reached_exactly_from_the_threshold_on(cosine: float, threshold: float) -> None:
    value = scaled(cosine, threshold)
    assert 0 <= value <= 1
    assert (value >= 0.5) == (cosine >= threshold)


@given(cosines, cosines, thresholds)
def test_more_similar_is_never_less(one: float, other: float, threshold: float) -> None:
    low, high = sorted((one, other))
    assert scaled(low, threshold) <= scaled(high, threshold)


def test_the_same_picture_is_nearly_one_and_a_stranger_nearly_none() -> None:
    assert scaled(1.0, 0.45) > 0.9999
    assert scaled(0.1, 0.45) < 0.06  # the mean of strangers
    assert scaled(0.55, 0.45) == pytest.approx(0.745, abs=0.02)


@given(st.lists(st.tuples(cosines, offsets), min_size=1, max_size=5), thresholds, st.floats(0, 0.1), st.booleans())
def test_a_client_that_takes_half_for_a_match_names_whom_facepool_names(
    people: list[tuple[float, float]], threshold: float, min_margin: float, usable: bool
) -> None:
    candidates = [Candidate(f"person {n}", cosine, n, bar) for n, (cosine, bar) in enumerate(people)]
    candidates.sort(key=lambda candidate: -candidate.normalized_score)
    decision = decide(candidates, Criteria(threshold, min_margin=min_margin), usable=usable)
    values = [scaled_candidate(candidate, decision) for candidate in decision.candidates]
    assert values == sorted(values, reverse=True)
    assert (decision.candidates[0].person if values[0] >= 0.5 else None) == decision.person
