"""What speaks against a face as a template of the person who it is said to be."""

from collections.abc import Mapping

import numpy as np
import pytest

from facepool.enroll.pictures import Outcome
from facepool.enroll.session import EnrollOptions
from facepool.groups.judge import Core, judge
from facepool.types import Floats, SightedFaces

FACE = np.array([1, 0, 0, 0], np.float32)
NONE = np.zeros(0, np.float32)
NO_FACE = SightedFaces(np.zeros((0, 4), np.float32), (), NONE, NONE, NONE, ())
NOBODY: Mapping[str, float] = {}


def beside(similarity: float, axis: int = 1) -> Floats:
    """One template that a face is so similar to."""
    template = np.zeros((1, 4), np.float32)
    template[0, 0], template[0, axis] = similarity, np.sqrt(1 - similarity**2)
    return template


def faces(quality: float = 80, score: float = 0.99, size_px: float = 90) -> SightedFaces:
    columns = [np.full(1, value, np.float32) for value in (quality, score, size_px)]
    return SightedFaces(FACE[None], (b"",), columns[0], columns[1], columns[2], (None,))


def core(own: float | None, others: Mapping[str, float] = NOBODY) -> Core:
    templates = np.zeros((0, 4), np.float32) if own is None else beside(own)
    return Core(templates, {name: beside(one, 2) for name, one in others.items()}, 0.4, 0.3, 0.53)


@pytest.mark.parametrize(
    ("own", "others", "outcome", "rival"),
    [
        (0.5, {}, "taken", None),
        (None, {}, "taken", None),
        (0.5, {"Ada": 0.65}, "taken", None),  # whom it was taken for is nearer: that was wrong
        (0.4, {"Ada": 0.65}, "other_person", "Ada"),
        (0.4, {"Ada": 0.5, "Cy": 0.7}, "other_person", "Cy"),
        (0.1, {"Cy": 0.35}, "not_the_same_person", None),  # Cy is below the threshold, so nobody
        (0.2, {}, "not_the_same_person", None),
        (0.85, {}, "known_view", None),
        (0.85, {"Ada": 0.9}, "known_view", None),
        (None, {"Ada": 0.5}, "taken", None),
        (None, {"Ada": 0.6}, "other_person", "Ada"),
        (None, {"Cy": 0.41}, "other_person", "Cy"),
    ],
)
def test_what_the_pool_says(own: float | None, others: dict[str, float], outcome: Outcome, rival: str | None) -> None:
    found = judge(faces(), core(own, others), EnrollOptions(), wrong="Ada", force=False)
    assert (found.outcome, found.rival) == (outcome, rival)
    assert found.contradicts == (outcome in ("other_person", "not_the_same_person"))
    insisted = judge(faces(), core(own, others), EnrollOptions(), wrong="Ada", force=True)
    assert insisted.outcome == ("known_view" if outcome == "known_view" else "taken")


@pytest.mark.parametrize(
    ("one", "outcome"),
    [
        (faces(quality=10), "blurred"),
        (faces(score=0.7), "uncertain_face"),
        (faces(size_px=30), "too_small"),
        (NO_FACE, "no_face"),
    ],
)
def test_a_poor_face_becomes_nothing_even_if_somebody_insists(one: SightedFaces, outcome: Outcome) -> None:
    for force in (False, True):
        assert judge(one, core(0.5), EnrollOptions(), wrong=None, force=force).outcome == outcome


def test_the_best_good_face_is_judged() -> None:
    pair = SightedFaces(
        np.stack([beside(0.1)[0], FACE]),
        (b"", b""),
        np.array([90, 80], np.float32),
        np.array([0.5, 0.99], np.float32),
        np.array([90, 90], np.float32),
        (None, None),
    )
    found = judge(pair, core(0.5), EnrollOptions(), wrong=None, force=False)
    assert (found.outcome, found.row) == ("taken", 1)


def test_a_person_gets_no_more_templates_than_are_kept() -> None:
    assert judge(faces(), core(0.5), EnrollOptions(max_templates=1), wrong=None, force=True).outcome == "enough"
