"""The scale that clients decide by keeps what facepool decides."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from facepool.recognize.decide import Claim, Criteria, decide, decide_together
from facepool.types import Candidate
from facepool.web.scale import scaled, scaled_people

cosines = st.floats(-1, 1)
thresholds = st.floats(0.2, 0.8)
offsets = st.floats(-0.1, 0.1)
people = st.lists(st.tuples(cosines, offsets), min_size=1, max_size=5)


def candidates_of(people: list[tuple[float, float]]) -> list[Candidate]:
    found = [Candidate(f"person {number}", cosine, number, offset) for number, (cosine, offset) in enumerate(people)]
    return sorted(found, key=lambda candidate: -candidate.normalized_score)


@given(cosines, thresholds)
def test_half_is_reached_exactly_from_the_threshold_on(cosine: float, threshold: float) -> None:
    value = scaled(cosine, threshold)
    assert 0 <= value <= 1
    assert (value >= 0.5) == (cosine >= threshold)


@given(cosines, cosines, thresholds)
def test_more_similar_is_never_less(one: float, other: float, threshold: float) -> None:
    low, high = sorted((one, other))
    assert scaled(low, threshold) <= scaled(high, threshold)


def test_limits_that_clients_ship_with_keep_the_known_and_still_refuse_strangers() -> None:
    assert scaled(1.0, 0.45) > 0.9999
    assert scaled(0.1, 0.45) < 0.0001  # the mean of strangers
    assert scaled(0.65, 0.45) > 0.999  # the mean of the known; it was 0.90
    assert scaled(0.54, 0.45) > 0.95  # 0.95 is asked for by the strictest
    assert scaled(0.50, 0.45) > 0.8
    assert scaled(0.48, 0.45) < 0.8  # strangers who pass at 0.5 are to fall below the higher limits


@pytest.mark.parametrize("threshold", [0.303, 0.370, 0.426, 0.477])
def test_the_odds_say_how_much_rarer_strangers_are_than_at_the_decision(threshold: float) -> None:
    """A tenth of the strangers per 0.053 of cosine (SFace): at odds of 10 there are about as many."""
    value = scaled(threshold + 0.0535, threshold)
    assert value / (1 - value) == pytest.approx(8, abs=3)


@given(people, thresholds, st.floats(0, 0.1), st.booleans())
def test_a_client_that_takes_half_for_a_match_names_whom_facepool_names(
    people: list[tuple[float, float]], threshold: float, min_margin: float, usable: bool
) -> None:
    decision = decide(candidates_of(people), Criteria(threshold, min_margin=min_margin), usable=usable)
    found = scaled_people(decision)
    values = [value for _, value in found]
    assert values == sorted(values, reverse=True)
    assert {name for name, _ in found} == {candidate.person for candidate in decision.candidates}
    assume(decision.reason != "ambiguous")
    assert (found[0][0] if values[0] >= 0.5 else None) == decision.person


def test_somebody_who_is_in_the_pool_under_two_names_is_both() -> None:
    candidates = [Candidate("Ada", 0.71, 1), Candidate("Ada L.", 0.70, 2), Candidate("Bob", 0.1, 3)]
    decision = decide(candidates, Criteria(0.4, min_margin=0.02))
    assert decision.reason == "ambiguous"
    (first, similarity), (second, less), (_, least) = scaled_people(decision)
    assert (first, second) == ("Ada", "Ada L.")
    assert similarity >= less > 0.9 > 0.5 > least


def test_of_flagged_look_alikes_only_those_who_match_reach_half() -> None:
    candidates = [Candidate("Ada", 0.42, 1), Candidate("Eva", 0.38, 2)]
    decision = decide(candidates, Criteria(0.4, look_alikes=[frozenset(("Ada", "Eva"))]))
    assert decision.reason == "ambiguous"
    assert [value >= 0.5 for _, value in scaled_people(decision)] == [True, False]


def test_a_person_who_is_another_face_of_the_picture_is_not_named_again() -> None:
    claims = [Claim([Candidate("Ada", 0.9, 1)]), Claim([Candidate("Ada", 0.6, 1), Candidate("Bob", 0.45, 2)])]
    first, second = (scaled_people(decision) for decision in decide_together(claims, Criteria(0.4)))
    assert first[0][1] > 0.99
    assert all(value < 0.5 for _, value in second)


def test_who_is_named_comes_first_though_somebody_elsewhere_in_the_picture_is_more_similar() -> None:
    twins = [Candidate("Ada", 0.60, 1), Candidate("Eva", 0.59, 2)]
    claims = [Claim([Candidate("Ada", 0.9, 1)]), Claim(twins)]
    decision = decide_together(claims, Criteria(0.4, min_margin=0.02))[1]
    assert decision.person == "Eva"
    (first, similarity), (second, less) = scaled_people(decision)
    assert (first, second) == ("Eva", "Ada")
    assert similarity > 0.5 > less


def test_an_empty_pool_has_nobody() -> None:
    assert scaled_people(decide([], Criteria(0.4))) == []
