import pytest
from hypothesis import given
from hypothesis import strategies as st

from facepool.models.catalog import FmrCurve
from facepool.recognize.decide import Criteria, decide
from facepool.thresholds import ThresholdPolicy, fmr_at, similarity_at
from facepool.types import Candidate

CURVE = FmrCurve(((1e-2, 0.303), (1e-3, 0.370), (1e-4, 0.426), (1e-5, 0.477)), "LFW")


def candidate(person: str, similarity: float) -> Candidate:
    return Candidate(person, similarity, 0)


@pytest.mark.parametrize(("fmr", "similarity"), CURVE.points)
def test_the_measured_points_are_on_the_curve(fmr: float, similarity: float) -> None:
    assert similarity_at(CURVE, fmr) == pytest.approx(similarity)
    assert fmr_at(CURVE, similarity) == pytest.approx(fmr)


def test_half_way_between_two_points_the_curve_is_log_linear() -> None:
    assert similarity_at(CURVE, 10**-3.5) == pytest.approx((0.370 + 0.426) / 2)


@given(st.floats(1e-9, 1), st.floats(1e-9, 1))
def test_a_rarer_false_match_needs_a_higher_similarity(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert similarity_at(CURVE, low) >= similarity_at(CURVE, high)
    assert fmr_at(CURVE, similarity_at(CURVE, low)) == pytest.approx(low, rel=1e-6)


def test_the_threshold_of_the_pool_that_named_a_third_of_strangers_is_near_045() -> None:
    assert ThresholdPolicy(CURVE).identification(60 * 4).value == pytest.approx(0.445, abs=0.005)


@given(st.integers(0, 10**6), st.integers(1, 1000))
def test_the_threshold_grows_with_the_pool(templates: int, more: int) -> None:
    policy = ThresholdPolicy(CURVE)
    assert policy.identification(templates + more).value >= policy.identification(templates).value


def test_a_fixed_threshold_is_kept_and_its_error_rate_said() -> None:
    threshold = ThresholdPolicy(CURVE, fixed=0.363).identification(240)
    assert threshold.value == 0.363
    assert "about 26.3%" in threshold.meaning  # 1 - (1 - FMR)^240 with FMR 1.27e-3 at 0.363


def test_a_model_that_nobody_measured_gets_a_guess_that_says_so() -> None:
    assert "guess" in ThresholdPolicy(None).identification(5).meaning


def test_verification_is_held_to_one_comparison() -> None:
    assert ThresholdPolicy(CURVE).verification().value == pytest.approx(0.370)


def test_an_empty_pool_knows_nobody() -> None:
    decision = decide([], Criteria(0.4))
    assert (decision.person, decision.similarity, decision.margin, decision.reason) == (None, None, None, "empty_pool")


def test_the_threshold_itself_is_a_match() -> None:
    decision = decide([candidate("Ada", 0.4)], Criteria(0.4))
    assert (decision.person, decision.reason, decision.margin) == ("Ada", "match", None)


def test_below_the_threshold_nobody_is_named() -> None:
    decision = decide([candidate("Ada", 0.39), candidate("Bob", 0.1)], Criteria(0.4))
    assert (decision.person, decision.reason) == (None, "below_threshold")
    assert decision.margin == pytest.approx(0.29)


def test_two_people_who_match_alike_are_ambiguous() -> None:
    twins = [candidate("Ada", 0.61), candidate("Eve", 0.60)]
    assert decide(twins, Criteria(0.4, min_margin=0.02)).reason == "ambiguous"
    assert decide(twins, Criteria(0.4, min_margin=0.005)).person == "Ada"


def test_a_runner_up_who_does_not_match_makes_nothing_ambiguous() -> None:
    assert decide([candidate("Ada", 0.41), candidate("Eve", 0.399)], Criteria(0.4, min_margin=0.1)).person == "Ada"


def test_a_poor_face_names_nobody() -> None:
    decision = decide([candidate("Ada", 0.9)], Criteria(0.4), usable=False)
    assert (decision.person, decision.reason) == (None, "low_quality")


@given(st.lists(st.floats(-1, 1), max_size=5), st.floats(-1, 1), st.floats(0, 1), st.booleans())
def test_a_person_is_named_exactly_when_the_reason_is_match(
    similarities: list[float], threshold: float, margin: float, usable: bool
) -> None:
    candidates = [candidate(f"p{i}", s) for i, s in enumerate(sorted(similarities, reverse=True))]
    decision = decide(candidates, Criteria(threshold, min_margin=margin), usable=usable)
    assert (decision.person is not None) == (decision.reason == "match")
    if decision.person is not None:
        assert decision.similarity is not None
        assert decision.similarity >= threshold


@pytest.mark.parametrize(("rival", "named"), [(0.69, True), (0.71, False), (0.41, True)])
def test_look_alikes_need_a_larger_margin_even_over_one_who_does_not_match(rival: float, named: bool) -> None:
    candidates = [candidate("Ada", 0.8), candidate("Bob", 0.75), candidate("Ann", rival)]
    pairs = {frozenset(("Ada", "Ann"))}
    assert (decide(candidates, Criteria(0.74, look_alikes=pairs)).person == "Ada") is named
    assert decide(candidates, Criteria(0.74)).person == "Ada"
    assert decide(candidates, Criteria(0.74, look_alikes=pairs)).reason == ("match" if named else "ambiguous")
