import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facepool import Enrollment, EnrollOptions, Pool, open_pool, read_image
from facepool.enroll.session import PICTURES_AT_ONCE
from facepool.errors import ConfigError, PoolChanged, SpaceMismatch
from facepool.types import Floats, Frame
from support.fake_analyzer import SPACE, FakeAnalyzer, Scene, unit, view

ADA, BOB = 0, 1


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with open_pool(tmp_path / "pool.db", SPACE) as opened:
        yield opened


@pytest.fixture
def analyzer() -> FakeAnalyzer:
    return FakeAnalyzer()


def enrolled(pool: Pool, name: str) -> int:
    return {person.name: person.templates for person in pool.people()}.get(name, 0)


def test_views_that_differ_are_taken_and_views_that_are_alike_are_not(pool: Pool, analyzer: FakeAnalyzer) -> None:
    ada = Enrollment("Ada", analyzer, pool)
    outcomes = [ada.offer(analyzer.frame(view(ADA, angle))).outcome for angle in (0, 10, 40, 45, 80)]
    assert outcomes == ["taken", "known_view", "taken", "known_view", "taken"]
    assert ada.commit() == 3
    assert enrolled(pool, "Ada") == 3


def test_nothing_reaches_the_pool_before_commit(pool: Pool, analyzer: FakeAnalyzer) -> None:
    ada = Enrollment("Ada", analyzer, pool)
    ada.offer(analyzer.frame(view(ADA, 0)))
    assert (ada.taken, pool.people()) == (1, [])


def test_a_second_commit_stores_nothing_twice(pool: Pool, analyzer: FakeAnalyzer) -> None:
    ada = Enrollment("Ada", analyzer, pool)
    ada.offer(analyzer.frame(view(ADA, 0)))
    assert (ada.commit(), ada.commit()) == (1, 0)


def test_a_known_person_gets_only_what_is_new(pool: Pool, analyzer: FakeAnalyzer) -> None:
    first = Enrollment("Ada", analyzer, pool)
    first.offer(analyzer.frame(view(ADA, 0)))
    first.commit()
    again = Enrollment("Ada", analyzer, pool)
    assert [again.offer(analyzer.frame(view(ADA, angle))).outcome for angle in (5, 50)] == ["known_view", "taken"]
    again.commit()
    assert enrolled(pool, "Ada") == 2


def test_a_lookalike_in_the_pool_does_not_make_a_view_known(pool: Pool, analyzer: FakeAnalyzer) -> None:
    """The original compared with the whole pool, so that a look-alike registered nothing."""
    bob = Enrollment("Bob", analyzer, pool)
    bob.offer(analyzer.frame(unit(1, 0, 0.9)))
    bob.commit()
    ada = Enrollment("Ada", analyzer, pool, options=EnrollOptions(force=True))
    assert ada.offer(analyzer.frame(unit(1, 0, 0.8))).outcome == "taken"


def test_a_face_of_somebody_else_is_refused_by_name(pool: Pool, analyzer: FakeAnalyzer) -> None:
    bob = Enrollment("Bob", analyzer, pool)
    bob.offer(analyzer.frame(view(BOB, 0)))
    bob.commit()
    offer = Enrollment("Ada", analyzer, pool).offer(analyzer.frame(view(BOB, 20)))
    assert (offer.outcome, offer.rival) == ("other_person", "Bob")
    assert str(offer) == "belongs to Bob (0.94)"


def test_a_stranger_in_the_middle_of_a_registration_is_not_stored(pool: Pool, analyzer: FakeAnalyzer) -> None:
    ada = Enrollment("Ada", analyzer, pool)
    ada.offer(analyzer.frame(view(ADA, 0)))
    assert ada.offer(analyzer.frame(view(BOB, 0))).outcome == "not_the_same_person"
    forced = Enrollment("Ada", analyzer, pool, options=EnrollOptions(force=True))
    forced.offer(analyzer.frame(view(ADA, 0)))
    assert forced.offer(analyzer.frame(view(BOB, 0))).outcome == "taken"


@pytest.mark.parametrize("stray_at", [0, 1, 3])
def test_a_stray_picture_does_not_take_the_lead_wherever_it_lies(
    stray_at: int, pool: Pool, analyzer: FakeAnalyzer
) -> None:
    frames = [analyzer.frame(view(ADA, angle)) for angle in (0, 40, 60)]
    frames.insert(stray_at, analyzer.frame(view(BOB, 0)))
    offers = Enrollment("Ada", analyzer, pool).offer_pictures(frames)
    assert [offer.frame.source for offer in offers] == [frame.source for frame in frames]
    outcomes = [offer.outcome for offer in offers]
    assert outcomes.pop(stray_at) == "not_the_same_person"
    assert outcomes.count("taken") >= 2


def test_two_faces_are_not_stored(pool: Pool, analyzer: FakeAnalyzer) -> None:
    ada = Enrollment("Ada", analyzer, pool)
    assert ada.offer(analyzer.frame(view(ADA, 0), view(BOB, 0))).outcome == "several_faces"
    assert ada.taken == 0


def test_a_figure_in_the_background_is_not_a_second_person(pool: Pool, analyzer: FakeAnalyzer) -> None:
    offer = Enrollment("Ada", analyzer, pool).offer(analyzer.frame(view(ADA, 0), view(BOB, 0), scores=(0.99, 0.7)))
    assert offer.outcome == "taken"


def test_poor_faces_are_refused_each_for_its_reason(pool: Pool, analyzer: FakeAnalyzer) -> None:
    ada = Enrollment("Ada", analyzer, pool)
    frames = [
        analyzer.frame(),
        analyzer.frame(view(ADA, 0), scores=[0.8]),
        analyzer.frame(view(ADA, 0), size=30),
        analyzer.frame(view(ADA, 0), sharpness=3),
    ]
    assert [ada.offer(frame).outcome for frame in frames] == ["no_face", "uncertain_face", "too_small", "blurred"]


def test_light_and_hidden_faces_have_their_own_reasons(pool: Pool, analyzer: FakeAnalyzer) -> None:
    ada = Enrollment("Ada", analyzer, pool)
    scenes = [
        Scene(view(ADA, 0), brightness=10),
        Scene(view(ADA, 0), brightness=250),
        Scene(view(ADA, 0), misfit_mm=6),
        Scene(view(ADA, 0), size=30, brightness=10),
    ]
    outcomes = [ada.offer(analyzer.frame_of(scene)).outcome for scene in scenes]
    assert outcomes == ["too_dark", "too_bright", "implausible_landmarks", "too_small"]


def test_the_limits_of_the_options_hold(pool: Pool, analyzer: FakeAnalyzer) -> None:
    ada = Enrollment("Ada", analyzer, pool, options=EnrollOptions(min_size_px=20, min_sharpness=2, min_score=0.5))
    poor = analyzer.frame(view(ADA, 0), size=30, sharpness=3, scores=[0.6])
    assert ada.offer(poor).outcome == "taken"


def test_views_are_capped(pool: Pool, analyzer: FakeAnalyzer) -> None:
    ada = Enrollment("Ada", analyzer, pool, options=EnrollOptions(max_templates=2))
    outcomes = [ada.offer(analyzer.frame(view(ADA, angle))).outcome for angle in (0, 40, 80)]
    assert outcomes == ["taken", "taken", "enough"]
    assert ada.full


@pytest.fixture
def elsewhere(tmp_path: Path, pool: Pool) -> Iterator[Pool]:
    """The same pool as another process has it."""
    with open_pool(tmp_path / "pool.db", SPACE) as opened:
        yield opened


def registered(pool: Pool, analyzer: FakeAnalyzer, name: str, *vectors: Floats) -> None:
    enrollment = Enrollment(name, analyzer, pool)
    for vector in vectors:
        assert enrollment.offer(analyzer.frame(vector)).outcome == "taken"
    assert enrollment.commit() == len(vectors)


def test_another_person_stored_under_the_name_meanwhile_is_not_mixed_in(
    pool: Pool, elsewhere: Pool, analyzer: FakeAnalyzer
) -> None:
    ada = Enrollment("Ada", analyzer, pool)
    ada.offer(analyzer.frame(view(ADA, 0)))
    registered(elsewhere, analyzer, "Ada", view(BOB, 0))
    assert ada.commit() == 0
    assert [offer.outcome for offer in ada.withdrawn] == ["not_the_same_person"]
    assert enrolled(pool, "Ada") == 1


def test_a_face_stored_under_another_name_meanwhile_is_not_stored_twice(
    pool: Pool, elsewhere: Pool, analyzer: FakeAnalyzer
) -> None:
    ada = Enrollment("Ada", analyzer, pool)
    ada.offer(analyzer.frame(view(ADA, 0)))
    registered(elsewhere, analyzer, "Eve", view(ADA, 10))
    assert (ada.taken, ada.commit(), ada.taken) == (1, 0, 0)
    assert [(offer.outcome, offer.rival) for offer in ada.withdrawn] == [("other_person", "Eve")]
    assert [person.name for person in pool.people()] == ["Eve"]


def test_views_stored_meanwhile_count_for_novelty_and_for_the_cap(
    pool: Pool, elsewhere: Pool, analyzer: FakeAnalyzer
) -> None:
    ada = Enrollment("Ada", analyzer, pool, options=EnrollOptions(max_templates=3))
    for angle in (0, 45, 90):
        ada.offer(analyzer.frame(view(ADA, angle)))
    registered(elsewhere, analyzer, "Ada", view(ADA, 5), view(ADA, -60))
    assert ada.commit() == 1
    assert [offer.outcome for offer in ada.withdrawn] == ["known_view", "enough"]
    assert enrolled(pool, "Ada") == 3


def test_a_person_removed_meanwhile_does_not_come_back(pool: Pool, elsewhere: Pool, analyzer: FakeAnalyzer) -> None:
    registered(elsewhere, analyzer, "Ada", view(ADA, 0))
    ada = Enrollment("Ada", analyzer, pool)
    ada.offer(analyzer.frame(view(ADA, 40)))
    elsewhere.remove("Ada")
    with pytest.raises(PoolChanged, match=r"Ada.*no longer"):
        ada.commit()
    assert pool.people() == []


def test_a_change_between_the_last_look_and_the_transaction_is_seen(
    pool: Pool, elsewhere: Pool, analyzer: FakeAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = Enrollment("Ada", analyzer, pool)
    ada.offer(analyzer.frame(view(ADA, 0)))
    ada.offer(analyzer.frame(view(ADA, 50)))
    really_register = pool.register
    rivals = ["Bob", "Eve"]

    def overtaken(*args: Any, **kwargs: Any) -> int:
        if rivals:
            registered(elsewhere, analyzer, rivals.pop(), view(BOB, 90 * len(rivals)))
        return really_register(*args, **kwargs)

    monkeypatch.setattr(pool, "register", overtaken)
    assert ada.commit() == 2
    assert [person.name for person in pool.people()] == ["Ada", "Bob", "Eve"]
    assert ada.withdrawn == []


def test_an_enrollment_goes_on_after_a_commit(pool: Pool, analyzer: FakeAnalyzer) -> None:
    ada = Enrollment("Ada", analyzer, pool)
    ada.offer(analyzer.frame(view(ADA, 0)))
    ada.commit()
    assert [ada.offer(analyzer.frame(view(ADA, angle))).outcome for angle in (5, 50)] == ["known_view", "taken"]
    assert ada.commit() == 1
    assert (ada.withdrawn, enrolled(pool, "Ada")) == ([], 2)


def test_pictures_are_looked_at_a_few_at_a_time(pool: Pool, analyzer: FakeAnalyzer) -> None:
    alive: list[int] = []

    def frames() -> Iterator[Frame]:
        for number in range(20):
            frame = analyzer.frame(view(ADA, number))
            weakref.finalize(frame.image_bgr, alive.remove, number)
            alive.append(number)
            assert len(alive) <= PICTURES_AT_ONCE
            yield frame

    offers = Enrollment("Ada", analyzer, pool).offer_pictures(frames())
    assert [offer.frame.index for offer in offers] == list(range(20))
    assert analyzer.batches == [PICTURES_AT_ONCE, PICTURES_AT_ONCE, 20 - 2 * PICTURES_AT_ONCE]


def test_provenance_is_stored(pool: Pool, analyzer: FakeAnalyzer) -> None:
    ada = Enrollment("Ada", analyzer, pool)
    frame = analyzer.frame(view(ADA, 0))
    ada.offer(frame)
    ada.commit()
    sample = pool.templates("Ada")[0].sample
    assert (sample.source, sample.frame, sample.size_px) == (frame.source, frame.index, 100)
    assert sample.quality is not None
    np.testing.assert_allclose(sample.embedding, view(ADA, 0))


def test_a_name_is_cleaned_before_it_is_looked_up(pool: Pool, analyzer: FakeAnalyzer) -> None:
    for name in ("Zoe\u0301", " Zo\u00e9 "):  # decomposed and composed
        enrollment = Enrollment(name, analyzer, pool)
        enrollment.offer(analyzer.frame(view(ADA, 0)))
        enrollment.commit()
    assert [person.name for person in pool.people()] == ["Zo\u00e9"]
    assert enrolled(pool, "Zo\u00e9") == 1


def test_a_pool_of_another_space_is_refused_however_it_was_opened(tmp_path: Path, analyzer: FakeAnalyzer) -> None:
    other = replace(SPACE, model="other-net", weights_sha256="1" * 64)
    with open_pool(tmp_path / "other.db", other) as pool, pytest.raises(SpaceMismatch, match=r"other-net.*stand-in"):
        Enrollment("Ada", analyzer, pool)


def test_views_are_stored_under_the_analyzers_space(tmp_path: Path, analyzer: FakeAnalyzer) -> None:
    with open_pool(tmp_path / "nameless.db") as pool:
        ada = Enrollment("Ada", analyzer, pool)
        ada.offer(analyzer.frame(view(ADA, 0)))
        ada.commit()
        assert pool.space == SPACE


def test_a_name_of_nothing_is_refused(pool: Pool, analyzer: FakeAnalyzer) -> None:
    with pytest.raises(ConfigError):
        Enrollment("  ", analyzer, pool)


@pytest.mark.parametrize("keep", [True, False])
def test_the_faces_are_kept_as_pictures_if_that_is_wanted(pool: Pool, analyzer: FakeAnalyzer, keep: bool) -> None:
    ada = Enrollment("Ada", analyzer, pool, options=EnrollOptions(keep_pictures=keep))
    ada.offer(analyzer.frame(view(ADA, 0)))
    ada.offer_pictures([analyzer.frame(view(ADA, 50))])
    assert ada.commit() == 2
    pictures = [pool.picture(template.id) for template in pool.templates("Ada")]
    if keep:
        assert [read_image(picture or b"").shape for picture in pictures] == [(112, 112, 3)] * 2
    else:
        assert pictures == [None, None]


def test_what_was_stored_counts_at_once(pool: Pool, analyzer: FakeAnalyzer) -> None:
    ada = Enrollment("Ada", analyzer, pool, options=EnrollOptions(max_templates=1))
    ada.offer(analyzer.frame(view(ADA, 0)))
    ada.commit()
    assert (ada.full, ada.taken) == (True, 0)
