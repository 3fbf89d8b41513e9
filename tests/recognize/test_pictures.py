from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facepool import Pool, RecognizeOptions, Recognizer, ThresholdPolicy, open_pool
from facepool.errors import SpaceMismatch
from facepool.records import face_records
from facepool.search import Index, Search
from facepool.types import Sample
from support.fake_analyzer import CURVE, SPACE, FakeAnalyzer, Scene, unit, view

ADA, BOB, STRANGER = 0, 1, 2


@pytest.fixture
def analyzer() -> FakeAnalyzer:
    return FakeAnalyzer()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with open_pool(tmp_path / "pool.db", SPACE) as opened:
        opened.register("Ada", [Sample(view(ADA, 0)), Sample(view(ADA, 60))], SPACE)
        opened.register("Bob", [Sample(view(BOB, 0))], SPACE)
        yield opened


def test_each_face_of_a_picture_gets_its_own_decision(pool: Pool, analyzer: FakeAnalyzer) -> None:
    frame = analyzer.frame(view(BOB, 20), view(STRANGER, 0), view(ADA, 50))
    faces = Recognizer(analyzer, pool).recognize(frame.image_bgr)
    assert faces.names == ("Bob", None, "Ada")
    assert [decision.reason for decision in faces.decisions] == ["match", "below_threshold", "match"]
    assert faces.decisions[2].similarity == pytest.approx(np.cos(np.radians(10)), abs=1e-5)


def test_the_pool_may_grow_meanwhile_and_the_threshold_with_it(pool: Pool, analyzer: FakeAnalyzer) -> None:
    recognizer = Recognizer(analyzer, pool)
    before = recognizer.threshold.value
    frame = analyzer.frame(view(STRANGER, 0))
    assert recognizer.recognize(frame.image_bgr).names == (None,)
    pool.register("Eve", [Sample(view(STRANGER, 5))], SPACE)
    assert recognizer.recognize(frame.image_bgr).names == ("Eve",)
    assert recognizer.threshold.value > before


def test_two_people_who_match_alike_are_not_told_apart(pool: Pool, analyzer: FakeAnalyzer) -> None:
    frame = analyzer.frame(unit(1, 0, 1))
    assert Recognizer(analyzer, pool).recognize(frame.image_bgr).decisions[0].reason == "ambiguous"


def test_nobody_is_two_faces_of_one_picture(pool: Pool, analyzer: FakeAnalyzer) -> None:
    mirror = analyzer.frame(view(ADA, 15), view(ADA, 5), view(BOB, 10))
    faces = Recognizer(analyzer, pool).recognize(mirror.image_bgr)
    assert faces.names == (None, "Ada", "Bob")
    assert [decision.reason for decision in faces.decisions] == ["already_in_view", "match", "match"]
    assert faces.decisions[0].candidates[0].person == "Ada"


def test_one_person_may_be_in_each_of_several_pictures(pool: Pool, analyzer: FakeAnalyzer) -> None:
    images = [analyzer.frame(view(ADA, angle)).image_bgr for angle in (5, 10)]
    assert [faces.names for faces in Recognizer(analyzer, pool).recognize_batch(images)] == [("Ada",), ("Ada",)]


def test_faces_without_a_picture_are_decided_each_by_itself(pool: Pool, analyzer: FakeAnalyzer) -> None:
    decisions = Recognizer(analyzer, pool).decide_embeddings(np.stack([view(ADA, 15), view(ADA, 5)]))
    assert [decision.person for decision in decisions] == ["Ada", "Ada"]


def test_a_face_too_small_to_tell_is_unknown(pool: Pool, analyzer: FakeAnalyzer) -> None:
    options = RecognizeOptions(min_size_px=40)
    frame = analyzer.frame(view(ADA, 0), size=39)
    decision = Recognizer(analyzer, pool, options=options).recognize(frame.image_bgr).decisions[0]
    assert (decision.person, decision.reason) == (None, "low_quality")


def test_a_face_whose_landmarks_fit_no_head_is_unknown_and_says_so(pool: Pool, analyzer: FakeAnalyzer) -> None:
    frame = analyzer.frame_of(Scene(view(ADA, 0), misfit_mm=9))
    (decision,) = Recognizer(analyzer, pool).recognize(frame.image_bgr).decisions
    assert (decision.person, decision.reason) == (None, "implausible_landmarks")
    assert decision.similarity == pytest.approx(1)


def test_an_empty_pool_names_nobody(tmp_path: Path, analyzer: FakeAnalyzer) -> None:
    with open_pool(tmp_path / "empty.db", SPACE) as empty:
        faces = Recognizer(analyzer, empty).recognize(analyzer.frame(view(ADA, 0)).image_bgr)
    assert (faces.names, faces.decisions[0].reason) == ((None,), "empty_pool")


def test_a_batch_gives_what_each_picture_alone_gives(pool: Pool, analyzer: FakeAnalyzer) -> None:
    images = [
        analyzer.frame(*vectors).image_bgr for vectors in ([view(BOB, 20), view(STRANGER, 0)], [], [view(ADA, 50)])
    ]
    recognizer = Recognizer(analyzer, pool)
    batch = recognizer.recognize_batch(images)
    assert analyzer.batches == [3]
    assert [faces.names for faces in batch] == [("Bob", None), (), ("Ada",)]
    assert [faces.decisions for faces in batch] == [recognizer.recognize(image).decisions for image in images]
    assert recognizer.recognize_batch([]) == []


def test_threshold_and_candidates_are_of_one_revision(
    pool: Pool, analyzer: FakeAnalyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = Recognizer(analyzer, pool)
    expected = recognizer.threshold.value
    really_index = Search.index

    def grows_after(search: Search) -> Index:
        index = really_index(search)
        pool.register("Eve", [Sample(view(STRANGER, 5))], SPACE)
        return index

    monkeypatch.setattr(Search, "index", grows_after)
    decision = recognizer.recognize(analyzer.frame(view(STRANGER, 0)).image_bgr).decisions[0]
    assert (decision.person, decision.threshold) == (None, expected)


def test_a_pool_of_another_space_is_refused_however_it_was_opened(tmp_path: Path, analyzer: FakeAnalyzer) -> None:
    other = replace(SPACE, model="other-net", weights_sha256="1" * 64)
    with open_pool(tmp_path / "other.db", other) as pool:
        with pytest.raises(SpaceMismatch, match=r"other-net.*stand-in"):
            Recognizer(analyzer, pool)
        pool.register("Ada", [Sample(view(ADA, 0))], other)
    with open_pool(tmp_path / "other.db") as nameless, pytest.raises(SpaceMismatch, match=r"other-net.*stand-in"):
        Recognizer(analyzer, nameless)


def test_a_pool_that_becomes_one_of_another_space_meanwhile_is_refused(tmp_path: Path, analyzer: FakeAnalyzer) -> None:
    other = replace(SPACE, model="other-net", weights_sha256="1" * 64)
    with open_pool(tmp_path / "new.db") as pool, open_pool(tmp_path / "new.db", other) as somebody_elses:
        recognizer = Recognizer(analyzer, pool)
        somebody_elses.register("Ada", [Sample(view(ADA, 0))], other)
        with pytest.raises(SpaceMismatch, match=r"other-net.*stand-in"):
            recognizer.recognize(analyzer.frame(view(ADA, 0)).image_bgr)


def test_a_picture_without_a_face_has_no_decision(pool: Pool, analyzer: FakeAnalyzer) -> None:
    assert len(Recognizer(analyzer, pool).recognize(analyzer.frame().image_bgr)) == 0


def test_the_users_threshold_is_kept(pool: Pool, analyzer: FakeAnalyzer) -> None:
    recognizer = Recognizer(analyzer, pool, ThresholdPolicy(CURVE, fixed=0.99))
    assert recognizer.recognize(analyzer.frame(view(ADA, 10)).image_bgr).names == (None,)


def test_records_carry_every_field_also_when_there_is_nothing(pool: Pool, analyzer: FakeAnalyzer) -> None:
    recognizer = Recognizer(analyzer, pool)
    frame, empty = analyzer.frame(view(ADA, 0)), analyzer.frame()
    where, decided = ["source", "frame", "time_s", "bbox", "score"], ["similarity", "threshold", "margin", "reason"]
    keys = [*where, "person", "person_id", *decided]
    record = face_records(frame, recognizer.recognize(frame.image_bgr), say_when_empty=True)[0]
    nothing = face_records(empty, recognizer.recognize(empty.image_bgr), say_when_empty=True)[0]
    assert list(record) == list(nothing) == keys
    assert (record["person"], nothing["person"], nothing["reason"]) == ("Ada", None, "no_face")
    assert face_records(empty, recognizer.recognize(empty.image_bgr), say_when_empty=False) == []


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Pool]:
    """Twelve people who have something in common: enough for score offsets."""
    with open_pool(tmp_path / "town.db", SPACE) as opened:
        for number in range(12):
            direction = np.random.default_rng(number).normal(size=SPACE.dimension).astype(np.float32)
            opened.register(f"Person {number:02}", [Sample(unit(*(direction / np.linalg.norm(direction))))], SPACE)
        yield opened


def test_a_face_that_resembles_everybody_needs_more_and_its_decision_says_so(
    town: Pool, analyzer: FakeAnalyzer
) -> None:
    matrix = Search(town).index()
    crowd = analyzer.frame(unit(*(matrix.vectors[0] + matrix.vectors.sum(axis=0))))
    recognizer = Recognizer(analyzer, town)
    decision = recognizer.recognize(crowd.image_bgr).decisions[0]
    best = decision.candidates[0]
    assert best.score_offset > 0.03
    assert decision.threshold == pytest.approx(recognizer.threshold.value + best.score_offset)
    assert decision.similarity == best.similarity
    assert decision.margin == pytest.approx(best.normalized_score - decision.candidates[1].normalized_score)


def test_a_match_is_a_similarity_of_at_least_the_threshold(town: Pool, analyzer: FakeAnalyzer) -> None:
    generator = np.random.default_rng(3)
    recognizer = Recognizer(analyzer, town, options=RecognizeOptions(min_margin=0))
    for _ in range(50):
        direction = generator.normal(size=SPACE.dimension).astype(np.float32)
        decision = recognizer.recognize(analyzer.frame(unit(*direction)).image_bgr).decisions[0]
        assert decision.similarity is not None
        assert (decision.reason == "match") == (decision.similarity >= decision.threshold)


def test_a_threshold_of_the_users_knows_no_offsets(town: Pool, analyzer: FakeAnalyzer) -> None:
    crowd = analyzer.frame(unit(*Search(town).index().vectors.sum(axis=0)))
    decision = Recognizer(analyzer, town, ThresholdPolicy(CURVE, fixed=0.5)).recognize(crowd.image_bgr).decisions[0]
    assert decision.threshold == 0.5
    assert all(candidate.score_offset == 0 for candidate in decision.candidates)
