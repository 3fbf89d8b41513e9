"""What holds for a scan whatever the frames are."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facepool.enroll.ring import Slot
from facepool.enroll.scan import ScanStep
from facepool.enroll.session import EnrollmentSession, EnrollOptions
from facepool.errors import ScanIncomplete
from facepool.gallery import open_pool
from support.fake_scan_analyzer import ME, OTHER, SPACE, FakeScanAnalyzer, Head, circle, still

POSES = st.tuples(st.floats(-60, 60), st.floats(-30, 30), st.floats(70, 112))
WHO = st.sampled_from(["me", "other", "both", "nobody"])
FULL_SCAN = [*still(), *circle()]


def scan(heads_of: Sequence[tuple[Head, ...]], **options: object) -> tuple[EnrollmentSession, list[dict[Slot, float]]]:
    """Run a scan against an empty pool; the quality in each place after each frame."""
    analyzer = FakeScanAnalyzer()
    with tempfile.TemporaryDirectory() as folder, open_pool(Path(folder) / "pool.db", SPACE) as pool:
        guided = EnrollmentSession("Ada", analyzer, pool, options=EnrollOptions(**options))  # type: ignore[arg-type]
        history = [qualities(guided.scan(analyzer.frame(*heads))) for heads in heads_of]
        assert pool.people() == []
        assert not (Path(folder) / "pool.db").exists()
    return guided, history


def qualities(step: ScanStep) -> dict[Slot, float]:
    near = {Slot(way, "near"): part.near for way, part in enumerate(step.ring) if part.near is not None}
    return near | {Slot(way, "far"): part.far for way, part in enumerate(step.ring) if part.far is not None}


def stored(heads_of: Sequence[tuple[Head, ...]]) -> list[tuple[bytes, object]]:
    """What a partial scan of the frames puts into an empty pool, in a comparable form."""
    analyzer = FakeScanAnalyzer()
    with tempfile.TemporaryDirectory() as folder, open_pool(Path(folder) / "pool.db", SPACE) as pool:
        guided = EnrollmentSession("Ada", analyzer, pool, options=EnrollOptions(partial=True))
        for heads in heads_of:
            guided.scan(analyzer.frame(*heads))
        if guided.can_finish:
            guided.commit()
        return [(template.sample.embedding.tobytes(), template.sample.pose) for template in pool.templates()]


@settings(max_examples=40)
@given(st.lists(POSES, max_size=40))
def test_places_fill_and_improve_and_never_the_other_way(poses: list[tuple[float, float, float]]) -> None:
    heads = [(head,) for head in still()] + [(Head(ME, *pose),) for pose in poses]
    _, history = scan(heads)
    for before, after in pairwise(history):
        assert before.keys() <= after.keys()
        assert all(after[slot] >= quality for slot, quality in before.items())


@settings(max_examples=40)
@given(st.lists(POSES, min_size=2, max_size=30), st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_frames_does_not_change_what_is_stored(
    poses: list[tuple[float, float, float]], chance: object, equal: bool
) -> None:
    heads = [(Head(ME, yaw, pitch, 100.0 if equal else size),) for yaw, pitch, size in poses]
    shuffled = list(heads)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    start = [(head,) for head in still()]
    assert stored(start + heads) == stored(start + shuffled)


@settings(max_examples=60)
@given(st.lists(WHO, min_size=1, max_size=60), st.booleans(), st.booleans())
def test_an_intruders_frames_never_enter_the_templates(pattern: list[str], same_place: bool, larger: bool) -> None:
    around = circle(frames=max(24, len(pattern)))
    there = {} if same_place else {"at": (250.0, 120.0)}
    heads: list[tuple[Head, ...]] = [(head,) for head in still()]
    for who, head in zip(pattern, around, strict=False):
        intruder = Head(OTHER, head.yaw, head.pitch, 112.0 if larger else 90.0, **there)  # type: ignore[arg-type]
        heads.append({"me": (head,), "other": (intruder,), "both": (head, intruder), "nobody": ()}[who])
    for vector, _ in stored(heads):
        assert not np.frombuffer(vector, np.float32)[8:].any()


@pytest.mark.parametrize("frames", range(0, len(FULL_SCAN) + 1, 3))
def test_a_scan_that_breaks_off_at_any_frame_leaves_the_pool_as_it_was(tmp_path: Path, frames: int) -> None:
    analyzer = FakeScanAnalyzer()
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        guided = EnrollmentSession("Ada", analyzer, pool)
        before = pool.revision()
        for frame in analyzer.frames(FULL_SCAN[:frames]):
            guided.scan(frame)
        guided.coverage()
        guided.look_alikes()
        if not frames:
            assert guided.commit() == 0
        elif not guided.can_finish:
            with pytest.raises(ScanIncomplete):
                guided.commit()
        assert pool.revision() == before
        assert list(tmp_path.iterdir()) == []


def test_a_head_moves_like_one_and_a_picture_that_looks_around_is_told_of() -> None:
    analyzer = FakeScanAnalyzer()
    for flat, motion in ((False, "solid"), (True, "flat")):
        with tempfile.TemporaryDirectory() as folder, open_pool(Path(folder) / "pool.db", SPACE) as pool:
            guided = EnrollmentSession("Ada", analyzer, pool)
            steps = [guided.scan(analyzer.frame(replace(head, flat=flat))) for head in FULL_SCAN]
            assert {step.motion for step in steps[:8]} == {"not_enough_motion"}
            assert (steps[-1].motion, guided.coverage().motion) == (motion, motion)
            assert ("flat" in {step.hint.code for step in steps}) is flat
