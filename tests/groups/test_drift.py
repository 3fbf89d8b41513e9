"""A person's templates do not drift, whoever stands before the camera and whoever says yes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from facepool.groups.drift import (
    MOST_DEG,
    Core,
    LearnRule,
    SightedFace,
    View,
    most_degrees,
    propose,
    tilted,
)
from facepool.thresholds import ThresholdPolicy
from facepool.types import Floats, Pose
from support.looks import CURVE, FRONTAL, at_similarity, between, somebody, unit

THRESHOLD = ThresholdPolicy(CURVE).identification(40).value
RULE = LearnRule()
DEGREES = most_degrees(CURVE, THRESHOLD)
PROFILE = Pose(45, 0, 0)
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
Store = Callable[[Floats, Floats], Floats]
"""From what was enrolled and a face to the vector that is stored."""


def view(embedding: Floats, *, learned: bool = False, pose: Pose | None = FRONTAL, days: int = 30) -> View:
    return View(embedding, pose, NOW - timedelta(days=days), learned)


def core_of(*views: View) -> Core:
    return Core(views, CURVE, THRESHOLD, RULE)


def seen(
    embedding: Floats, days: tuple[float, ...] = (0, 1, 2), *, pose: Pose | None = FRONTAL, quality: float = 80
) -> list[SightedFace]:
    """The same look in a sighting on each of some days."""
    return [
        SightedFace(f"face {day}", f"sighting {day}", NOW - timedelta(days=day), embedding, quality, pose)
        for day in days
    ]


ADA = somebody(1)


def test_a_look_that_comes_again_on_other_days_is_proposed() -> None:
    proposal = propose(core_of(view(ADA)), seen(at_similarity(ADA, 0.65, 7)), NOW, RULE)
    assert proposal is not None
    assert (proposal.lack, proposal.sightings, proposal.days) == ("appearance", 3, 3)
    assert proposal.similarity == pytest.approx(0.65, abs=1e-4)


def test_who_looks_as_enrolled_on_other_days_confirms_no_look() -> None:
    usual = [replace(one, embedding=between(ADA, at_similarity(ADA, 0.65, 7), 0.4)) for one in seen(ADA, (1, 2, 3))]
    assert propose(core_of(view(ADA)), [*seen(at_similarity(ADA, 0.65, 7), (0,)), *usual], NOW, RULE) is None


@pytest.mark.parametrize(
    ("days", "why"),
    [
        ((0.0,), "one sighting"),
        ((0.0, 1.0), "two sightings"),
        ((0.1, 0.2, 0.3), "one day"),
        ((0.49, 0.5, 0.51), "midnight is no day apart"),
    ],
)
def test_what_was_not_seen_often_or_long_enough_is_not_proposed(days: tuple[float, ...], why: str) -> None:
    assert propose(core_of(view(ADA)), seen(at_similarity(ADA, 0.65, 7), days), NOW, RULE) is None, why


@pytest.mark.parametrize("similarity", [0.85, 0.5])
def test_what_the_templates_show_already_and_what_they_hardly_resemble_is_not_proposed(similarity: float) -> None:
    assert propose(core_of(view(ADA)), seen(at_similarity(ADA, similarity, 7)), NOW, RULE) is None


def test_a_poor_face_is_not_proposed() -> None:
    assert propose(core_of(view(ADA)), seen(at_similarity(ADA, 0.65, 7), quality=40), NOW, RULE) is None


def test_it_is_said_what_the_templates_lack() -> None:
    face = at_similarity(ADA, 0.65, 7)
    said = {
        "pose": (view(ADA), PROFILE),
        "age": (view(ADA, days=800), FRONTAL),
        "appearance": (view(ADA), FRONTAL),
    }
    for lack, (template, pose) in said.items():
        proposal = propose(core_of(template), seen(face, pose=pose), NOW, RULE)
        assert proposal is not None
        assert proposal.lack == lack


def test_a_look_that_was_learned_is_not_proposed_again_but_another_one_is() -> None:
    look = at_similarity(ADA, 0.65, 7)
    core = core_of(view(ADA), view(core_of(view(ADA)).tilted(look), learned=True))
    assert propose(core, seen(between(look, ADA, 0.1)), NOW, RULE) is None
    assert propose(core, seen(at_similarity(ADA, 0.65, 8)), NOW, RULE) is not None


def test_a_sighting_that_shows_somebody_else_too_counts_for_nothing() -> None:
    faces = seen(at_similarity(ADA, 0.65, 7))
    beside = SightedFace("other", faces[0].sighting, faces[0].seen, somebody(2), 90, FRONTAL)
    assert propose(core_of(view(ADA)), [*faces, beside], NOW, RULE) is None


def test_nothing_is_proposed_on_the_strength_of_what_was_learned() -> None:
    look = at_similarity(ADA, 0.65, 7)
    learned = view(core_of(view(ADA)).tilted(look), learned=True)
    onwards = at_similarity(look, 0.8, 9)
    assert float(onwards @ look) > 0.75
    core = core_of(view(ADA), learned)
    assert core.similarity(onwards) == pytest.approx(float(onwards @ ADA))


def test_what_is_stored_of_a_face_is_near_what_was_enrolled() -> None:
    enrolled = np.stack([ADA, at_similarity(ADA, 0.7, 3)])
    for seed in range(20):
        face = at_similarity(enrolled[1], 0.65, seed)
        stored = tilted(enrolled, face, DEGREES)
        assert float(np.linalg.norm(stored)) == pytest.approx(1, abs=1e-6)
        assert float(np.max(enrolled @ stored)) == pytest.approx(np.cos(np.radians(DEGREES)), abs=1e-3)
        assert float(stored @ face) > float(np.max(enrolled @ face)), "it is nearer to the face than before"


def test_a_face_that_is_nearer_than_the_tilt_is_stored_as_it_is() -> None:
    near = between(ADA, somebody(2), 0.01)
    assert tilted(ADA[None], near, DEGREES) == pytest.approx(near, abs=1e-6)
    assert tilted(ADA[None], ADA, DEGREES) == pytest.approx(ADA, abs=1e-6)


def poisoned(victim: Floats, attacker: Floats, store: Store, *, rests_on_learned: bool = False) -> list[View]:
    """Everybody always says yes, while an attacker morphs their face towards their own, as far as it goes each time.

    Args:
        victim: (E, D) what the person was enrolled with.
        attacker: Their face.
        store: What is stored of a face.
        rests_on_learned: Whether what was learned counts as enrolled, as in a system that adapts by itself.
    """
    views = [view(each) for each in victim]
    for _ in range(30):
        core = core_of(*(replace(one, learned=one.learned and not rests_on_learned) for one in views))
        steps = [between(origin, attacker, share) for origin in victim for share in np.linspace(1, 0, 41)]
        proposed = [face for step in steps if (face := propose(core, seen(unit(step)), NOW, RULE))]
        if not proposed:
            break
        farthest = max(proposed, key=lambda one: float(one.face.embedding @ attacker))
        views.append(view(store(victim, farthest.face.embedding), learned=True))
    return views


def as_it_is_done(enrolled: Floats, face: Floats) -> Floats:
    return tilted(enrolled, face, DEGREES)


def as_it_is(_: Floats, face: Floats) -> Floats:
    return face


PAIRS = [(somebody(100 + seed), somebody(500 + seed)) for seed in range(12)]


@pytest.mark.parametrize("templates", [1, 4])
def test_an_attacker_who_morphs_step_by_step_is_not_taken_for_the_person(templates: int) -> None:
    for number, (victim, attacker) in enumerate(PAIRS):
        enrolled = np.stack([at_similarity(victim, 0.8, 10 * number + each) for each in range(templates)])
        views = poisoned(enrolled, attacker, as_it_is_done)
        assert len(views) > templates, "the attack did get something stored"
        reached = max(float(one.embedding @ attacker) for one in views)
        assert reached < THRESHOLD
        for one in views:
            assert float(np.max(enrolled @ one.embedding)) >= np.cos(np.radians(DEGREES)) - 1e-4


def test_the_attack_would_succeed_if_faces_were_stored_as_they_are() -> None:
    """So the test above can fail; matching what was enrolled alone does not stop a morph."""
    for victim, attacker in PAIRS:
        views = poisoned(victim[None], attacker, as_it_is)
        assert max(float(one.embedding @ attacker) for one in views) > THRESHOLD


def test_an_attacker_reaches_their_own_face_where_learned_templates_count_as_enrolled() -> None:
    victim, attacker = PAIRS[0]
    views = poisoned(victim[None], attacker, as_it_is, rests_on_learned=True)
    assert max(float(one.embedding @ attacker) for one in views) > 0.8


def test_the_larger_the_pool_the_more_room_there_is_to_learn() -> None:
    degrees = [most_degrees(CURVE, ThresholdPolicy(CURVE).identification(size).value) for size in (1, 100, 1000, 10**6)]
    assert degrees[0] == 0
    assert 0 < degrees[1] < degrees[2] < degrees[3] == MOST_DEG


def test_nothing_is_proposed_where_there_is_no_room_to_learn() -> None:
    core = Core([view(ADA)], CURVE, ThresholdPolicy(CURVE).identification(1).value, RULE)
    assert core.most_learned == 0
    assert propose(core, seen(at_similarity(ADA, 0.65, 7)), NOW, RULE) is None


def test_nobody_has_more_learned_templates_than_enrolled_ones() -> None:
    assert core_of(view(ADA)).most_learned == 1
    assert core_of(*[view(at_similarity(ADA, 0.8, seed)) for seed in range(9)]).most_learned == 4
