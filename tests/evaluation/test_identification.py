"""Error rates of open-set identification, by hand."""

from pathlib import Path

import numpy as np
import pytest

from facepool.errors import NotEnoughScores
from facepool.evaluation.embeddings import EvaluatedPictures
from facepool.evaluation.identification import IdentificationResults, Probes, evaluate_split
from facepool.evaluation.metrics import error_rates
from facepool.evaluation.protocols import Split
from facepool.thresholds import ThresholdPolicy

# Rows: found, found weakly, taken for somebody else, without a face; then four strangers.
PROBES = Probes(
    rows=np.arange(8),
    mated=np.arange(8) < 4,
    right=np.array([0.9, 0.4, 0.5, *[-np.inf] * 5]),
    right_rows=np.zeros(8, np.intp),
    other=np.array([0.1, 0.3, 0.7, -np.inf, 0.6, 0.2, 0.2, 0.1]),
    other_rows=np.zeros(8, np.intp),
    ranks=np.array([1, 1, 2, 0, 0, 0, 0, 0]),
)
RATES = error_rates(PROBES.found, PROBES.strangers)


def test_a_point_counts_strangers_named_and_registered_people_missed() -> None:
    point = RATES.at(0.25)
    assert 0.2 < point.threshold < 0.2000001
    assert (point.false_matches, point.misses, point.impostors) == (0.25, 0.5, 4)
    assert PROBES.misnamed(point.threshold) == 0.25
    assert point.resolved


def test_with_no_false_positive_more_are_missed() -> None:
    point = RATES.at(0.0)
    assert (point.false_matches, point.misses, PROBES.misnamed(point.threshold)) == (0.0, 0.75, 0.25)


def test_somebody_who_is_not_first_is_missed_at_every_threshold() -> None:
    assert RATES.misses(-1.0) == 0.5
    assert RATES.curve().misses.min() == 0.5


def test_a_threshold_from_elsewhere_says_what_it_does() -> None:
    assert (RATES.false_matches(0.65), RATES.misses(0.65), PROBES.misnamed(0.65)) == (0.0, 0.75, 0.25)


def test_the_curve_agrees_with_every_threshold() -> None:
    curve = RATES.curve()
    for threshold, false_matches, misses in zip(curve.thresholds, curve.false_matches, curve.misses, strict=True):
        assert (RATES.false_matches(threshold), RATES.misses(threshold)) == (false_matches, misses)


def test_rank_one_asks_for_no_threshold() -> None:
    assert PROBES.rank_one == 0.5


def test_both_kinds_of_probes_are_needed() -> None:
    with pytest.raises(NotEnoughScores):
        error_rates(PROBES.found, np.zeros(0))
    with pytest.raises(NotEnoughScores):
        error_rates(np.zeros(0), PROBES.strangers)


def searched(people: list[str], angles_deg: list[float]) -> IdentificationResults:
    """The first picture of A and B is registered; faces lie on a circle."""
    angles = np.radians(angles_deg)
    rows, whole = np.arange(len(people)), np.ones(len(people), np.float32)
    pictures = EvaluatedPictures(
        paths=tuple(Path(f"{row}.jpg") for row in rows),
        people=tuple(people),
        problems=("",) * len(people),
        embeddings=np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32),
        boxes=np.zeros((len(people), 4), np.float32),
        face_counts=np.ones(len(people), np.intp),
        qualities=whole,
        yaws=whole,
    )
    names = np.array(people)
    first = np.isin(rows, [people.index(name) for name in ("A", "B") if name in people])
    known = np.isin(names, ["A", "B"])
    parted = Split(pictures.paths, pictures.people, rows[first], rows[known & ~first], rows[~known])
    return evaluate_split(parted, pictures, ThresholdPolicy(None, fixed=0.5))


def test_searches_are_read_off_similarities_to_people() -> None:
    probes = searched(["A", "B", "A", "B", "B", "C"], [0, 90, 30, 60, 45, 80]).probes
    assert probes.right[:3] == pytest.approx(np.cos(np.radians([30, 30, 45])))
    assert probes.other[:3] == pytest.approx(np.cos(np.radians([60, 60, 45])))
    assert probes.ranks.tolist() == [1, 1, 2, 0]  # a draw is no success


def test_in_a_gallery_of_one_there_is_nobody_else() -> None:
    probes = searched(["A", "A", "C"], [0, 20, 80]).probes
    assert (probes.ranks[0], probes.other[0]) == (1, -np.inf)
