from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facepool.enroll.ring import Slot, stored_ring
from facepool.enroll.scan import ScanStep
from facepool.enroll.session import EnrollmentSession, EnrollOptions
from facepool.errors import ConfigError, IdentityConflict, PoolChanged, ScanIncomplete, SpaceMismatch
from facepool.gallery import Pool, open_pool
from facepool.overlay import coverage_advice, coverage_rows, coverage_summary
from facepool.thresholds import ThresholdPolicy
from facepool.types import EmbeddingSpace, Sample
from support.fake_scan_analyzer import CURVE, ME, OTHER, SPACE, THIRD, FakeScanAnalyzer, Head, circle, embedding, still


@pytest.fixture
def analyzer() -> FakeScanAnalyzer:
    return FakeScanAnalyzer()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        yield pool


def enrollment(analyzer: FakeScanAnalyzer, pool: Pool, name: str = "Ada", **options: object) -> EnrollmentSession:
    return EnrollmentSession(name, analyzer, pool, options=EnrollOptions(**options))  # type: ignore[arg-type]


def offer(scan: EnrollmentSession, analyzer: FakeScanAnalyzer, heads: Iterable[Head]) -> list[ScanStep]:
    return [scan.scan(analyzer.frame(head)) for head in heads]


def stored_people(pool: Pool) -> set[int]:
    """Which of the fake analyzer's people the pool's templates show."""
    return {int(np.argmax(np.abs(template.sample.embedding))) // 8 for template in pool.templates()}


def test_a_full_circle_fills_the_near_ring_and_is_stored(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    scans = offer(ada, analyzer, [*still(), *circle()])
    assert [scan.phase for scan in scans[:8]] == ["frontal"] * 7 + ["ring"]
    assert scans[-1].phase == "done"
    assert scans[-1].hint.code == "done"
    assert all(part.near is not None for part in scans[-1].ring)
    assert all(part.far is None for part in scans[-1].ring)
    assert pool.people() == []
    stored = ada.commit()
    assert 5 <= stored <= 13
    assert not any(template.sample.partial for template in pool.templates("Ada"))
    assert pool.templates("Ada")[0].sample.pose == scans[7].faces.poses[0]
    assert ada.frontal is not None
    assert {template.sample.frontal_pose for template in pool.templates()} == {ada.frontal}


@pytest.mark.parametrize("pitch", [-30.0, -15.0, 15.0, 30.0])
def test_a_camera_that_stands_high_or_low_does_not_matter(analyzer: FakeScanAnalyzer, pool: Pool, pitch: float) -> None:
    ada = enrollment(analyzer, pool)
    heads = [replace(head, pitch=head.pitch + pitch) for head in (*still(), *circle())]
    assert offer(ada, analyzer, heads)[-1].phase == "done"


def test_a_head_that_never_looks_straight_is_taken_as_it_is_in_the_end(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    tilted = [replace(head, yaw=head.yaw + 32) for head in (*still(160), *circle())]
    scans = offer(ada, analyzer, tilted)
    assert scans[100].hint.code == "look_straight"
    assert scans[-1].phase == "done"


def test_a_head_that_moves_gives_no_reference(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    scans = offer(ada, analyzer, [Head(yaw=yaw) for yaw in (-14, -7, 0, 7, 14, 7, 0, -7, -14, -7)])
    assert {scan.phase for scan in scans} == {"frontal"}
    assert scans[-1].hint.code == "hold_still"


def test_wide_turns_cover_the_ring_as_well(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    last = offer(ada, analyzer, [*still(), *circle(35, 18)])[-1]
    assert last.phase == "done"
    assert all(part.near is None for part in last.ring)
    assert all(part.far is not None for part in last.ring)


def test_turns_that_are_too_small_fill_nothing_and_are_told_so(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    scans = offer(ada, analyzer, [*still(), *circle(11, 6)])
    assert scans[-1].coverage == 0
    assert {scan.outcome for scan in scans[8:]} == {"between"}
    assert "turn_further" in {scan.hint.code for scan in scans}


def test_half_a_circle_is_refused_unless_it_is_accepted_on_purpose(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    heads = [*still(), *circle()[:13]]
    ada = enrollment(analyzer, pool)
    assert offer(ada, analyzer, heads)[-1].phase == "ring"
    with pytest.raises(ScanIncomplete, match=r"7 of 12.*down and right"):
        ada.finish()
    with pytest.raises(ScanIncomplete):
        ada.commit()
    assert pool.people() == []
    partial = enrollment(analyzer, pool, partial=True)
    offer(partial, analyzer, heads)
    assert partial.finish().partial
    partial.commit()
    assert all(template.sample.partial for template in pool.templates("Ada"))


def test_a_full_circle_is_not_partial_even_if_that_was_allowed(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool, partial=True)
    offer(ada, analyzer, [*still(), *circle()])
    ada.commit()
    assert not any(template.sample.partial for template in pool.templates("Ada"))


def test_with_most_of_the_circle_the_person_may_finish(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    last = offer(ada, analyzer, [*still(), *circle()[:19]])[-1]
    assert (last.phase, last.hint.code) == ("enough", "finish_or_turn")
    assert {direction.words for direction in ada.finish().thin} == {"down and left"}
    assert ada.commit() > 0


def test_nothing_at_all_is_not_even_partial(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool, partial=True)
    assert not offer(ada, analyzer, still(5, sharpness=1))[-1].can_finish
    with pytest.raises(ScanIncomplete):
        ada.finish()


def test_a_partial_scan_has_the_best_views_that_there_are_where_nobody_keeps_still(
    analyzer: FakeScanAnalyzer, pool: Pool
) -> None:
    restless = [Head(yaw=yaw, pitch=pitch) for yaw, pitch in [(-15, 0), (6, 1), (16, 2), (0, -9), (-3, 2), (14, 8)] * 3]
    whole = enrollment(analyzer, pool)
    offer(whole, analyzer, restless)
    with pytest.raises(ScanIncomplete):
        whole.finish()
    ada = enrollment(analyzer, pool, partial=True)
    steps = offer(ada, analyzer, [*restless, Head(OTHER, yaw=2), Head(OTHER, yaw=-18)])
    assert not any(step.can_finish for step in steps), "there was hardly time to keep still"
    coverage = ada.finish()
    assert ada.frontal is not None
    assert (ada.frontal.yaw, ada.frontal.pitch) == (-3, 2)
    assert (coverage.partial, coverage.steady) == (True, False)
    assert coverage.frontal is not None
    assert any("nearest to it stands for it" in line for line in coverage_summary(coverage))
    assert [view.slot and view.slot.direction for view in ada.views] == [None, 0, 1, 6, 9]
    assert ada.commit() == 5
    assert stored_people(pool) == {ME}
    assert pool.person("Ada") is not None


def test_a_partial_scan_of_somebody_who_never_looks_ahead_says_that_this_is_missing(
    analyzer: FakeScanAnalyzer, pool: Pool
) -> None:
    ada = enrollment(analyzer, pool, partial=True)
    offer(ada, analyzer, [Head(yaw=yaw, size=size) for yaw in (45, 38, 30) for size in (90, 112, 80)])
    coverage = ada.finish()
    assert (ada.frontal, coverage.frontal) == (None, None)
    assert [(view.slot, view.quality) for view in coverage.views] == [(Slot(0, "far"), 100)]
    assert ada.commit() == 1
    assert any(line.startswith("No view looks straight ahead") for line in coverage_summary(coverage))
    assert coverage_advice(coverage).startswith("Scan again: straight ahead, up and left")
    assert coverage_rows(coverage)[0][-1] == "missing"


def test_where_several_people_are_seen_as_often_nobody_is_stored(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool, partial=True)
    offer(ada, analyzer, [Head(person, yaw=yaw) for yaw in (-15, 5, 16, -6) for person in (ME, OTHER)])
    with pytest.raises(ScanIncomplete, match="several people"):
        ada.finish()
    with pytest.raises(ScanIncomplete):
        ada.commit()
    assert pool.people() == []


def test_who_had_time_to_keep_still_may_finish_a_partial_scan_without(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool, partial=True)
    steps = offer(ada, analyzer, [Head(yaw=yaw) for yaw in (-10, 3, 12, 2)] * 25)
    assert (steps[70].can_finish, steps[-1].can_finish) == (False, True)
    ada.finish()
    offer(ada, analyzer, [*still(), *circle()])
    coverage = ada.finish()
    assert (coverage.partial, coverage.steady) == (False, False), "it goes on around the middle that was settled for"


@pytest.mark.parametrize("interval_s", [0.5, 1.0, 5.0])
def test_a_scan_of_few_frames_goes_as_one_of_many(analyzer: FakeScanAnalyzer, pool: Pool, interval_s: float) -> None:
    ada = enrollment(analyzer, pool)
    heads = [*still(3), *(replace(head, at=(160 + 60 * (i % 2), 120.0)) for i, head in enumerate(circle(frames=36)))]
    steps = [ada.scan(replace(analyzer.frame(head), time_s=interval_s * i)) for i, head in enumerate(heads)]
    assert [step.outcome for step in steps[:3]] == ["collecting", "collecting", "taken"]
    assert steps[-1].phase == "done"
    assert ada.commit() > 8


def test_of_few_frames_one_does_not_wait_minutes_for_somebody_whose_camera_stands_aside(
    analyzer: FakeScanAnalyzer, pool: Pool
) -> None:
    ada = enrollment(analyzer, pool)
    steps = [ada.scan(replace(analyzer.frame(Head(yaw=35)), time_s=1.0 * i)) for i in range(20)]
    assert [step.outcome for step in steps].index("taken") == 18


def test_the_hint_leads_around_the_ring(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    scans = offer(ada, analyzer, [*still(), *circle()])
    assert scans[7].hint.text == "slowly look left"
    for head in range(8, 26):
        ahead, turn = scans[head].hint.angle_deg, scans[head].turn
        assert ahead is not None
        assert turn is not None
        assert (ahead - turn.angle_deg) % 360 <= 60


@pytest.mark.parametrize(
    ("head", "outcome", "hint"),
    [
        (Head(size=40), "too_small", "come_closer"),
        (Head(size=220), "too_large", "move_back"),
        (Head(at=(20, 120)), "cut_off", "move_to_the_middle"),
        (Head(brightness=20), "too_dark", "more_light"),
        (Head(brightness=250), "too_bright", "less_light"),
        (Head(sharpness=5), "blurred", "hold_still"),
        (Head(score=0.6), "uncertain_face", "show_the_face"),
        (Head(measurable=False), "no_pose", "show_the_face"),
    ],
)
def test_each_flaw_has_its_hint_and_is_not_kept(
    analyzer: FakeScanAnalyzer, pool: Pool, head: Head, outcome: str, hint: str
) -> None:
    for before in ([], still()):
        ada = enrollment(analyzer, pool)
        offer(ada, analyzer, before)
        scan = ada.scan(analyzer.frame(replace(head, yaw=18.0) if before else head))
        assert (scan.outcome, scan.hint.code) == (outcome, hint)
        assert scan.coverage == 0


def test_a_better_view_replaces_a_worse_one_and_never_the_other_way_round(
    analyzer: FakeScanAnalyzer, pool: Pool
) -> None:
    ada = enrollment(analyzer, pool)
    offer(ada, analyzer, still())
    sizes = [80, 100, 70, 112, 60]
    scans = offer(ada, analyzer, [Head(yaw=18, size=size) for size in sizes])
    assert [scan.outcome for scan in scans] == ["taken", "better", "not_better", "better", "not_better"]
    assert max(max(part.near or 0, part.far or 0) for part in scans[-1].ring) == pytest.approx(100)


def test_an_empty_picture_pauses_and_coming_back_goes_on(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    assert ada.scan(analyzer.frame()).hint.code == "come_into_view"
    before = offer(ada, analyzer, [*still(), *circle()[:8]])[-1]
    gone = ada.scan(analyzer.frame())
    assert (gone.phase, gone.hint.code, gone.coverage) == ("paused", "come_back", before.coverage)
    back = offer(ada, analyzer, circle()[8:])
    assert back[0].outcome == "returning"
    assert back[-1].phase == "done"


def test_a_second_clear_face_pauses_and_one_far_behind_does_not(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    offer(ada, analyzer, still())
    me = Head(yaw=18)
    both = ada.scan(analyzer.frame(me, Head(OTHER, at=(260, 120), size=90)))
    assert (both.phase, both.hint.code, both.box) == ("paused", "one_person_only", None)
    passer_by = Head(OTHER, at=(290, 40), size=30)
    assert [ada.scan(analyzer.frame(me, passer_by)).outcome for _ in range(2)] == ["returning", "taken"]


def test_somebody_else_in_the_same_place_pauses_with_a_message(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    offer(ada, analyzer, [*still(), *circle()[:6]])
    scan = offer(ada, analyzer, circle(person=OTHER)[6:12])[-1]
    assert (scan.phase, scan.outcome) == ("paused", "other")
    assert scan.hint.text == "this is somebody else; only Ada, please"
    assert offer(ada, analyzer, circle()[5:])[-1].phase == "done"
    ada.commit()
    assert stored_people(pool) == {ME}


def test_a_head_that_jumps_has_to_show_itself_once_more(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    offer(ada, analyzer, still())
    jumped = [replace(head, at=(60.0, 120.0)) for head in circle()[:3]]
    assert [scan.outcome for scan in offer(ada, analyzer, jumped)] == ["returning", "taken", "taken"]


def test_two_who_alternate_never_get_a_reference(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    scans = offer(ada, analyzer, [Head(person) for _ in range(20) for person in (ME, OTHER)])
    assert scans[-1].hint.code == "one_person_only"
    assert len({scan.coverage for scan in scans}) == 1
    assert {scan.phase for scan in scans[1:]} == {"paused"}


def test_who_is_stored_under_the_name_has_to_be_the_one_who_is_scanned(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    pool.register("Ada", [Sample(embedding(Head(OTHER)))], SPACE)
    ada = enrollment(analyzer, pool)
    assert offer(ada, analyzer, still())[-1].hint.text == "this does not look like Ada as registered"
    forced = enrollment(analyzer, pool, force=True)
    assert offer(forced, analyzer, still())[-1].phase == "ring"


def test_a_second_appearance_adds_to_the_same_person(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    first = enrollment(analyzer, pool)
    offer(first, analyzer, [*still(), *circle()])
    usual = first.commit()
    glasses = enrollment(analyzer, pool, appearance="glasses", max_templates=4)
    assert glasses.room == 4
    offer(glasses, analyzer, [*still(), *circle(30, 17)])
    assert glasses.commit() == 4
    appearances = [template.sample.appearance for template in pool.templates("Ada")]
    assert appearances == [""] * usual + ["glasses"] * 4
    assert enrollment(analyzer, pool, appearance="glasses", max_templates=4).room == 0


def test_a_look_has_one_spelling_and_a_readable_one(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    glasses = enrollment(analyzer, pool, appearance=" lunettes e\u0301paisses ")
    offer(glasses, analyzer, [*still(), *circle()])
    glasses.commit()
    assert {template.sample.appearance for template in pool.templates("Ada")} == {"lunettes épaisses"}
    assert enrollment(analyzer, pool, appearance="lunettes épaisses", max_templates=1).room == 0
    with pytest.raises(ConfigError):
        enrollment(analyzer, pool, appearance="hat\x00")


def test_views_that_are_stored_already_are_not_stored_again(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    for expected in (True, False):
        ada = enrollment(analyzer, pool)
        offer(ada, analyzer, [*still(), *circle()])
        assert bool(ada.commit()) is expected


@pytest.mark.parametrize("degrees", [13.0, 18.0, 30.0])
def test_what_is_stored_covers_what_the_scan_has_shown(analyzer: FakeScanAnalyzer, pool: Pool, degrees: float) -> None:
    ada = enrollment(analyzer, pool)
    turning = circle(degrees, degrees * 0.6)  # a small one: neighbours are as alike as 0.975
    last = offer(ada, analyzer, [*still(), *turning, *circle(30)])[-1]
    assert all(part.covered for part in last.ring)
    assert len(pool.templates("Ada") if ada.commit() else []) <= 16
    assert all(part.covered for part in stored_ring(pool.templates("Ada")).parts)


@pytest.mark.parametrize("elsewhere", [(0.0, -8.0), (10.0, 0.0), (10.0, 15.0)])
def test_a_second_scan_before_a_camera_elsewhere_leaves_the_ring_closed(
    analyzer: FakeScanAnalyzer, pool: Pool, elsewhere: tuple[float, float]
) -> None:
    for yaw, pitch in ((0.0, 0.0), elsewhere):
        ada = enrollment(analyzer, pool)
        offer(
            ada, analyzer, [replace(one, yaw=one.yaw + yaw, pitch=one.pitch + pitch) for one in (*still(), *circle())]
        )
        assert ada.commit() > 0
        assert stored_ring(pool.templates("Ada")).coverage == 1


@pytest.mark.parametrize("cap", [1, 4, 8])
def test_the_frontal_view_comes_first_and_the_cap_holds(analyzer: FakeScanAnalyzer, pool: Pool, cap: int) -> None:
    ada = enrollment(analyzer, pool, max_templates=cap)
    offer(ada, analyzer, [*still(), *circle(), *circle(35, 18)])
    assert ada.commit() == cap
    first = pool.templates("Ada")[0].sample
    assert first.pose is not None
    assert (first.pose.yaw, first.pose.pitch) == (0, 0)


def scanned(analyzer: FakeScanAnalyzer, pool: Pool) -> EnrollmentSession:
    ada = enrollment(analyzer, pool)
    offer(ada, analyzer, [*still(), *circle()])
    return ada


def twin() -> Sample:
    return Sample(np.asarray(0.8 * embedding(Head(ME)) + 0.6 * embedding(Head(OTHER)), np.float32))


def test_look_alikes_have_to_be_resolved_before_anything_is_stored(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    pool.register("Ann", [twin()], SPACE)
    pool.register("Eve", [Sample(embedding(Head(THIRD)))], SPACE)
    ada = scanned(analyzer, pool)
    (ann,) = ada.look_alikes()
    assert (ann.person, ann.views_matched, ann.views, ann.probably_same) == ("Ann", 13, 13, True)
    with pytest.raises(IdentityConflict, match="Ann"):
        ada.commit()
    assert [person.name for person in pool.people()] == ["Ann", "Eve"]
    ada.resolve("Ann", "different")
    ada.commit()
    assert pool.look_alikes() == {frozenset(("Ada", "Ann"))}
    again = scanned(analyzer, pool)
    offer(again, analyzer, circle(35, 18))
    assert again.commit() > 0  # nobody is asked twice


def test_a_look_alike_who_is_the_same_person_gets_the_views(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    pool.register("Ann", [twin()], SPACE)
    ada = scanned(analyzer, pool)
    ada.resolve("Ann", "same")
    ada.commit()
    assert [person.name for person in pool.people()] == ["Ann"]
    assert pool.look_alikes() == frozenset()


def test_two_people_of_the_pool_are_not_made_one_by_a_scan(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    pool.register("Ann", [twin()], SPACE)
    pool.register("Ada", [Sample(embedding(Head(ME)))], SPACE)
    ada = scanned(analyzer, pool)
    with pytest.raises(IdentityConflict, match="people merge"):
        ada.resolve("Ann", "same")


@pytest.fixture
def elsewhere(tmp_path: Path, pool: Pool) -> Iterator[Pool]:
    """The same pool as another process has it."""
    with open_pool(pool.address, SPACE) as other:
        yield other


def test_a_pool_of_another_model_is_refused(analyzer: FakeScanAnalyzer, tmp_path: Path) -> None:
    other = EmbeddingSpace("other", "1" * 64, "rgb-0-1/1", "arcface-112", mirrored=False, dimension=32)
    with open_pool(tmp_path / "other.db", other) as pool, pytest.raises(SpaceMismatch):
        enrollment(analyzer, pool)


def test_who_is_registered_during_the_scan_has_to_be_resolved_too(
    analyzer: FakeScanAnalyzer, pool: Pool, elsewhere: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = scanned(analyzer, pool)
    really_register = pool.register

    def overtaken(*args: Any, **kwargs: Any) -> int:
        monkeypatch.undo()
        elsewhere.register("Ann", [twin()], SPACE)
        return really_register(*args, **kwargs)

    monkeypatch.setattr(pool, "register", overtaken)
    with pytest.raises(IdentityConflict, match="Ann"):
        ada.commit()
    assert [person.name for person in pool.people()] == ["Ann"]
    ada.resolve("Ann", "different")
    elsewhere.rename("Ann", "Anna")
    with pytest.raises(IdentityConflict, match="Anna"):
        ada.commit()
    elsewhere.remove("Anna")
    assert ada.commit() > 0
    assert pool.look_alikes() == frozenset()


def test_the_cap_holds_when_two_scan_one_person_at_once(
    analyzer: FakeScanAnalyzer, pool: Pool, elsewhere: Pool
) -> None:
    here, there = (enrollment(analyzer, opened, max_templates=8) for opened in (pool, elsewhere))
    offer(here, analyzer, [*still(), *circle()])
    offer(there, analyzer, [*still(), *circle(35, 18)])
    assert there.commit() + here.commit() == len(pool.templates("Ada")) == 8


def test_somebody_else_who_got_the_name_during_the_scan_keeps_it(
    analyzer: FakeScanAnalyzer, pool: Pool, elsewhere: Pool
) -> None:
    ada = scanned(analyzer, pool)
    elsewhere.register("Ada", [Sample(embedding(Head(OTHER)))], SPACE)
    with pytest.raises(IdentityConflict, match="somebody else"):
        ada.commit()
    assert stored_people(pool) == {OTHER}


@pytest.mark.parametrize("resolved", [True, False])
def test_who_is_gone_when_the_scan_ends_does_not_come_back_by_it(
    analyzer: FakeScanAnalyzer, pool: Pool, elsewhere: Pool, *, resolved: bool
) -> None:
    name = "Ann" if resolved else "Ada"
    pool.register(name, [twin()], SPACE)
    ada = scanned(analyzer, pool)
    if resolved:
        ada.resolve(name, "same")
    elsewhere.remove(name)
    with pytest.raises(PoolChanged, match=rf"{name} is no longer"):
        ada.commit()
    assert pool.people() == []


def test_the_report_says_where_it_is_thin_and_what_would_be_missed(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    poor = [replace(head, sharpness=25.0) if number in (23, 0, 1) else head for number, head in enumerate(circle())]
    offer(ada, analyzer, [*still(), *poor])
    report = ada.finish()
    assert report.covered == 1
    assert [direction.words for direction in report.thin] == ["left"]
    assert report.frontal is not None
    assert report.frontal.quality == pytest.approx(100)
    assert report.similarities.shape == (len(report.views), len(report.views))
    assert np.diag(report.similarities) == pytest.approx(1)
    assert (report.miss_share("near"), report.miss_share("far")) == (0, None)


def test_a_view_unlike_all_stored_ones_is_predicted_to_be_missed(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = EnrollmentSession(
        "Ada", analyzer, pool, ThresholdPolicy(CURVE, fixed=0.7), EnrollOptions(partial=True, max_templates=1)
    )
    offer(ada, analyzer, [*still(), Head(yaw=18), Head(yaw=40)])
    report = ada.finish()
    assert [view.missed for view in report.views] == [False, False, True]
    assert report.views[0].similarity is None  # the only one stored has no other to be compared with
    assert (report.miss_share("near"), report.miss_share("far"), report.miss_share()) == (0, 1, 0.5)


def test_a_report_before_anything_was_seen_is_empty(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    report = enrollment(analyzer, pool).coverage()
    assert (report.frontal, report.covered, report.views, report.miss_share()) == (None, 0, (), None)
    assert len(report.thin) == 12


def test_the_faces_of_a_scan_are_kept_as_pictures_if_that_is_wanted(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    for name, keep in (("Ada", True), ("Bob", False)):
        scan = enrollment(analyzer, pool, name, keep_pictures=keep)
        offer(scan, analyzer, [replace(head, person=ME if keep else OTHER) for head in (*still(), *circle())])
        assert scan.commit() > 0
    assert all(pool.picture(template.id) for template in pool.templates("Ada"))
    assert not any(pool.picture(template.id) for template in pool.templates("Bob"))


def test_a_direction_that_is_to_be_redone_is_empty_until_it_is_seen_again(
    analyzer: FakeScanAnalyzer, pool: Pool
) -> None:
    ada = enrollment(analyzer, pool)
    assert offer(ada, analyzer, [*still(), *circle()])[-1].phase == "done"
    ada.redo(0)
    assert not ada.coverage().directions[0].covered
    assert offer(ada, analyzer, [Head(yaw=-18)])[-1].phase == "enough"
    assert offer(ada, analyzer, [Head(yaw=18, size=90)])[-1].phase == "done"  # poorer than before, but asked for
    assert all(direction.covered for direction in ada.finish().directions)


def test_pictures_are_judged_beside_the_scan_and_stored_with_it(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool, novelty=0.98)
    offer(ada, analyzer, [*still(), *circle()])
    offers = ada.offer_pictures(
        [analyzer.frame(Head(yaw=5)), analyzer.frame(Head(yaw=60)), analyzer.frame(Head(OTHER))]
    )
    assert [offer.outcome for offer in offers] == ["known_view", "taken", "not_the_same_person"]
    before = pool.revision()
    assert (ada.commit(), ada.withdrawn) == (len(pool.templates("Ada")), [])
    assert pool.revision() == before + 1


def test_a_small_picture_of_the_face_is_kept_for_each_captured_place(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    last = offer(ada, analyzer, [*still(), *circle()])[-1]
    assert all(part.far is None for part in last.ring)
    taken = {Slot(way, "near") for way, part in enumerate(last.ring) if part.near is not None}
    assert {view.slot for view in ada.views} == {None, *taken}
    assert all(view.face_bgr.shape == (140, 140, 3) for view in ada.views)


def test_the_face_of_the_front_is_the_best_of_its_row(analyzer: FakeScanAnalyzer, pool: Pool) -> None:
    ada = enrollment(analyzer, pool)
    offer(ada, analyzer, [Head(size=size) for size in (80, 112, 90, 80, 80, 80, 80, 80)])
    (front,) = ada.views
    assert (front.slot, front.face_bgr.shape) == (None, (140, 140, 3))
