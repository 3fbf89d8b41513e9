"""Margins between look-alikes."""

import numpy as np
import pytest

from facepool.recognize.decide import LOOK_ALIKE_MARGIN, Criteria, decide
from facepool.search import Index
from facepool.search.exact import nearest
from facepool.search.margins import measured_margins
from facepool.types import Candidate, Floats
from support.crowds import crowd, pool_of

TWINS = frozenset({"Ada", "Ann"})


def twins(templates: int, seed: int, *, mixed: float) -> tuple[Floats, Floats]:
    """Two people who are the same to that degree, from 0 to 1."""
    pair = crowd(2, templates, seed)
    captures = np.random.default_rng(seed + 1000).normal(size=pair.shape) / np.sqrt(pair.shape[-1])
    mean = pair.mean(axis=(0, 1))
    found = mixed * mean + (1 - mixed) * pair.mean(axis=1, keepdims=True) + 0.5 * captures
    found /= np.linalg.norm(found, axis=-1, keepdims=True)
    return found[0].astype(np.float32), found[1].astype(np.float32)


def wrong(templates: tuple[Floats, Floats], probes: tuple[Floats, Floats], margin: float, people: int) -> float:
    """Share of faces that are named as the other person at a margin, in a pool with so many other people."""
    crowded = np.concatenate([np.stack(templates), crowd(people, len(templates[0]), seed=77)])
    matrix = pool_of(crowded, ["Ada", "Ann", *(f"other {number}" for number in range(people))])
    named = [nearest(matrix, faces, k=2, normalize=True) for faces in probes]
    leads = [
        found[0].normalized_score - found[1].normalized_score
        for own, all_found in zip(("Ada", "Ann"), named, strict=True)
        for found in all_found
        if found[0].person != own
    ]
    return sum(lead >= margin for lead in leads) / sum(map(len, probes))


@pytest.mark.parametrize("people", [0, 100])
def test_twins_who_cannot_be_told_apart_are_seldom_named_as_each_other(people: int) -> None:
    unguarded, guarded = [], []
    for seed in range(20):
        ada, ann = twins(60, seed, mixed=0.97)
        known, probes = (ada[:5], ann[:5]), (ada[5:], ann[5:])
        margin = measured_margins([TWINS], dict(zip(("Ada", "Ann"), known, strict=True)))[TWINS]
        unguarded.append(wrong(known, probes, 0.02, people))
        guarded.append(wrong(known, probes, margin, people))
    assert np.mean(unguarded) > 0.1
    assert np.mean(guarded) < 0.02


def test_people_who_are_easily_told_apart_need_no_margin() -> None:
    one, other = crowd(2, 6, seed=1)
    assert measured_margins([TWINS], {"Ada": one, "Ann": other})[TWINS] == 0


@pytest.mark.parametrize(("of_ada", "of_ann", "measured"), [(1, 1, False), (1, 3, False), (1, 4, True), (2, 2, True)])
def test_a_pair_of_too_few_templates_is_not_measured(of_ada: int, of_ann: int, measured: bool) -> None:
    one, other = crowd(2, 4, seed=2)
    assert (TWINS in measured_margins([TWINS], {"Ada": one[:of_ada], "Ann": other[:of_ann]})) is measured


def test_a_person_without_a_template_is_left_out() -> None:
    assert measured_margins([TWINS], {"Ada": crowd(1, 4, seed=3)[0]}) == {}


def test_an_index_has_the_margins_of_its_pairs() -> None:
    vectors = crowd(2, 3, seed=4)
    plain = pool_of(vectors, ["Ada", "Ann"])
    assert plain.margins == {}
    owners = np.repeat(np.arange(2), 3)
    index = Index.of_rows(vectors.reshape(6, -1), owners, ("Ann", "Ada"), look_alikes=frozenset({TWINS}))
    assert index.margins == measured_margins([TWINS], {"Ann": vectors[0], "Ada": vectors[1]})


@pytest.mark.parametrize(("margin", "named"), [(0.01, True), (0.05, True), (0.07, False), (None, False)])
def test_a_measured_margin_takes_the_place_of_the_constant(margin: float | None, named: bool) -> None:
    candidates = [Candidate("Ada", 0.7, 1), Candidate("Ann", 0.64, 2)]
    margins = {} if margin is None else {TWINS: margin}
    assert LOOK_ALIKE_MARGIN > 0.06
    decision = decide(candidates, Criteria(0.5, min_margin=0.02, look_alikes={TWINS}, margins=margins))
    assert (decision.person == "Ada") is named


def test_a_measured_margin_is_never_below_what_everybody_needs() -> None:
    candidates = [Candidate("Ada", 0.7, 1), Candidate("Ann", 0.69, 2)]
    assert (
        decide(candidates, Criteria(0.5, min_margin=0.02, look_alikes={TWINS}, margins={TWINS: 0.0})).reason
        == "ambiguous"
    )
