"""Which of the unknown people somebody is, and how often they were there."""

from dataclasses import replace

import numpy as np
import pytest

from facepool.gallery.sightings import InboxVectors
from facepool.groups.joining import belonging, matches, overlap, visits
from facepool.thresholds import FEWEST_KEPT, JOIN_FPIR, PROPOSE_FPIR, ThresholdPolicy, similarity_at
from facepool.types import Floats, Pose, SightedFaces, Sighting
from support.fake_analyzer import CURVE, view
from support.sightings import moment, sighting

POLICY = ThresholdPolicy(CURVE)


def seen(*vectors: Floats, quality: float = 100.0) -> SightedFaces:
    count = len(vectors)
    return SightedFaces(
        embeddings=np.stack(vectors).astype(np.float32),
        pictures=(b"",) * count,
        qualities=np.full(count, quality, np.float32),
        scores=np.full(count, 0.99, np.float32),
        sizes_px=np.full(count, 112, np.float32),
        poses=(Pose(0, 0, 0),) * count,
    )


def kept(groups: dict[int, list[Floats]]) -> InboxVectors:
    rows = [(number, vector) for number, vectors in groups.items() for vector in vectors]
    count = len(rows)
    return InboxVectors(
        revision=1,
        embeddings=np.stack([vector for _, vector in rows]).astype(np.float32),
        groups=np.array([number for number, _ in rows], np.int64),
        qualities=np.full(count, 90, np.float32),
        sightings=np.arange(count, dtype=np.int64),
    )


def degrees(similarity: float) -> float:
    return float(np.degrees(np.arccos(similarity)))


def test_nobody_is_known_in_an_empty_inbox() -> None:
    assert matches(seen(view(0, 0)), InboxVectors.empty(8)) == []
    found = belonging(seen(view(0, 0)), InboxVectors.empty(8), POLICY)
    assert (found.group, found.similarity, found.likely) == (None, None, ())


def test_of_each_group_the_nearest_face_counts() -> None:
    inbox = kept({7: [view(0, 80), view(0, 10)], 3: [view(0, 40)], 9: [view(1, 0)]})
    found = matches(seen(view(0, 0)), inbox)
    assert [match.group for match in found] == [7, 3, 9]
    assert [match.similarity for match in found] == pytest.approx(np.cos(np.radians([10, 40, 90])), abs=1e-6)


def test_faces_of_a_sighting_are_averaged_by_what_they_can_tell() -> None:
    clear, blurred = view(0, 0), view(1, 0)
    faces = replace(seen(clear, blurred), qualities=np.array([100, 10], np.float32))
    (match,) = matches(faces, kept({1: [view(0, 0)]}))
    assert match.similarity == pytest.approx(1 / 1.05, abs=1e-3)


def test_it_takes_more_to_be_one_of_many() -> None:
    policy = ThresholdPolicy(CURVE)
    few, many = policy.joining(10), policy.joining(25_000)
    assert few is not None
    assert many is not None
    assert few.value == pytest.approx(similarity_at(CURVE, JOIN_FPIR / FEWEST_KEPT))
    assert many.value == pytest.approx(similarity_at(CURVE, JOIN_FPIR / 25_000))
    assert many.value > few.value
    assert "1 in 1,000" in few.meaning or "0.1%" in few.meaning


def test_at_the_stated_rate_it_joins_below_it_is_asked_and_far_below_it_is_nobody() -> None:
    joins, asks = POLICY.joining(3), POLICY.joining(3, PROPOSE_FPIR)
    assert joins is not None
    assert asks is not None
    inbox = kept({1: [view(0, 0)], 2: [view(1, 0)], 3: [view(2, 0)]})
    sure = belonging(seen(view(0, degrees(joins.value) - 0.1)), inbox, POLICY)
    assert (sure.group, sure.likely) == (1, ())
    likely = belonging(seen(view(0, degrees(joins.value) + 0.1)), inbox, POLICY)
    assert (likely.group, [match.group for match in likely.likely]) == (None, [1])
    nobody = belonging(seen(view(0, degrees(asks.value) + 0.1)), inbox, POLICY)
    assert (nobody.group, nobody.likely) == (None, ())


def test_two_groups_that_fit_are_proposed_to_be_one() -> None:
    found = belonging(seen(view(0, 0)), kept({1: [view(0, 30)], 2: [view(0, -20)]}), POLICY)
    assert (found.group, [match.group for match in found.likely]) == (2, [1])


def test_nobody_is_joined_by_a_face_that_is_hardly_one() -> None:
    inbox = kept({1: [view(0, 0)]})
    turned_away = replace(seen(view(0, 5)), scores=np.array([0.96], np.float32))
    found = belonging(turned_away, inbox, POLICY)
    assert (found.group, [match.group for match in found.likely]) == (None, [1])
    both = replace(seen(view(0, 5), view(1, 0)), scores=np.array([0.99, 0.96], np.float32))
    assert belonging(both, inbox, POLICY).group == 1


def test_between_two_who_are_said_to_be_two_people_nobody_chooses() -> None:
    inbox = kept({1: [view(0, 20)], 2: [view(0, -15)]})

    def apart(group: int) -> set[int]:
        return {1, 2} - {group}

    twins = belonging(seen(view(0, 0)), inbox, POLICY, apart_from=apart)
    assert (twins.group, [match.group for match in twins.likely]) == (None, [2, 1])
    clearly = belonging(seen(view(0, -15)), inbox, POLICY, apart_from=apart)
    assert clearly.group == 2


def test_whoever_was_there_at_the_same_time_is_somebody_else() -> None:
    found = belonging(seen(view(0, 0)), kept({1: [view(0, 0)]}), POLICY, without={1})
    assert (found.group, found.similarity, found.likely) == (None, None, ())


def test_of_a_model_that_nobody_has_measured_nobody_is_joined() -> None:
    found = belonging(seen(view(0, 0)), kept({1: [view(0, 0)]}), ThresholdPolicy(None))
    assert (found.group, found.likely) == (None, ())


def test_a_threshold_for_names_does_not_join() -> None:
    lax = ThresholdPolicy(CURVE, fixed=0.1)
    assert belonging(seen(view(0, 80)), kept({1: [view(0, 0)]}), lax).group is None


def test_two_people_overlap_in_time_before_one_camera() -> None:
    one, other = sighting(hours_ago=1), sighting(hours_ago=1.05)
    assert overlap(one, other)
    assert not overlap(one, replace(other, source="yard"))
    assert not overlap(one, sighting(hours_ago=3))
    assert not overlap(one, replace(one, until=moment(0)))


def test_visits_are_counted_not_tracks() -> None:
    def at(minutes: float, lasts: float) -> Sighting:
        return replace(sighting(), since=moment(-minutes / 60), until=moment(-(minutes + lasts) / 60))

    assert visits([]) == 0
    assert visits([at(0, 1), at(1.5, 1), at(10, 1), at(2, 0.1)]) == 2
