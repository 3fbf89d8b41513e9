"""The scan in its window, without a window: what is drawn, which keys are heard, which faces are kept."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from facepool.cli.ui.console import Console
from facepool.cli.ui.registration import (
    ScanScreen,
    ScanTally,
    captured,
    keys_line,
    progress,
    refusal_words,
    ring_view,
)
from facepool.cli.ui.viewer import Viewer
from facepool.enroll.scan import ScanStep
from facepool.enroll.session import EnrollmentSession, EnrollOptions
from facepool.gallery import Pool, open_pool
from facepool.overlay import Canvas, Painter
from facepool.types import Frame, Image
from facepool.window import Window, WindowEvent
from support.fake_scan_analyzer import SPACE, FakeScanAnalyzer, Head, circle, still

FULL = [*still(), *circle()]


class Film:
    """Staged frames without a time, so that nothing waits for them."""

    name = description = "film"
    live = False
    fps = None

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frame_count = len(frames)
        self._frames = iter(frames)

    def __iter__(self) -> Iterator[Frame]:
        yield from self._frames

    def close(self) -> None:
        pass

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, *error: object) -> None:
        pass


class KeyWindow(Window):
    """Never opens; keys are pressed by the number of the picture that is shown."""

    def __init__(self, keys: Callable[[int], tuple[WindowEvent, ...]]) -> None:
        super().__init__()
        self.shown: list[Image] = []
        self._keys = keys

    def show(self, image_bgr: Image) -> None:
        self.shown.append(image_bgr)

    def poll(self) -> tuple[WindowEvent, ...]:
        return self._keys(len(self.shown))


class Stand:
    """A scan of Ada before a window."""

    def __init__(self, pool: Pool, *, partial: bool = False) -> None:
        self.analyzer = FakeScanAnalyzer()
        self.guided = EnrollmentSession("Ada", self.analyzer, pool, options=EnrollOptions(partial=partial))
        self.scan = ScanScreen(self.guided, Painter(), Console())
        self.window = KeyWindow(lambda _: ())

    def run(self, heads: Sequence[Head], keys: Callable[[int], tuple[WindowEvent, ...]] = lambda _: ()) -> int:
        """Scan; how many frames were looked at."""
        self.window = KeyWindow(keys)
        frames = [Frame(frame.image_bgr, "film", frame.index) for frame in self.analyzer.frames(heads)]
        self.scan.run(Film(frames), Viewer(Painter(), self.window), in_window=True)
        return self.scan.tally.frames


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    with open_pool(tmp_path / "pool.db", SPACE) as pool:
        yield pool


@pytest.fixture
def stand(pool: Pool) -> Stand:
    return Stand(pool)


def test_it_ends_by_itself_with_a_check_mark(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    lingered: list[float] = []
    monkeypatch.setattr(Viewer, "wait_for_next", lambda _, seconds: lingered.append(seconds))
    assert stand.run([*FULL, *circle()]) < len(FULL) + 2
    assert stand.scan.over
    assert lingered == [1.0]


def test_enter_is_heard_only_when_there_is_enough(stand: Stand) -> None:
    looked_at = stand.run(FULL, lambda shown: (WindowEvent.NEXT,) if shown in (12, len(FULL) - 4) else ())
    assert looked_at == len(FULL) - 4
    assert stand.scan.over
    assert stand.guided.finish().covered >= 0.8


def test_an_enter_that_comes_too_early_is_answered_in_the_picture(stand: Stand) -> None:
    stand.run([*still(), *[Head()] * 4], lambda shown: (WindowEvent.NEXT,) if shown == 10 else ())
    before, answered = stand.window.shown[9], stand.window.shown[10]
    assert (before != answered).any()
    assert not stand.scan.over


def test_enter_finishes_a_partial_scan_from_the_first_view_on(pool: Pool) -> None:
    stand = Stand(pool, partial=True)
    assert stand.run(FULL, lambda shown: (WindowEvent.NEXT,) if shown in (3, 9) else ()) == 9


def test_q_ends_it_whatever_there_is(stand: Stand) -> None:
    assert stand.run(FULL, lambda shown: (WindowEvent.QUIT,) if shown == 12 else ()) == 12
    assert stand.scan.over


def test_ctrl_c_in_the_window_is_ctrl_c(stand: Stand) -> None:
    with pytest.raises(KeyboardInterrupt):
        stand.run(FULL, lambda shown: (WindowEvent.CANCEL,) if shown == 12 else ())


def scans(pool: Pool, heads: Sequence[Head]) -> Iterator[tuple[Frame, ScanStep]]:
    analyzer = FakeScanAnalyzer()
    guided = EnrollmentSession("Ada", analyzer, pool)
    for frame in analyzer.frames(heads):
        yield frame, guided.scan(frame)


def test_the_face_lies_where_the_canvas_shows_it_and_the_ring_has_what_is_captured(pool: Pool) -> None:
    (*_, (_, scan)) = scans(pool, [*still(), Head(yaw=18)])
    canvas = Canvas(np.zeros((480, 640, 3), np.uint8), scale=2.0)
    view = ring_view(scan, canvas, title="Ada", hint="Look", keys="Q")
    assert view.box == (208.0, 128.0, 432.0, 352.0)
    assert [part.angle_deg for part in view.parts] == [30.0 * number for number in range(12)]
    assert view.parts[0].near == 100
    assert not any(part.covered for part in view.parts[1:])
    assert (view.heading_deg, view.reach) == (0.0, 1.5)
    assert view.target_deg == scan.hint.angle_deg
    assert view.progress == pytest.approx(1 / 12)


def test_progress_is_of_the_front_and_then_of_the_ring(pool: Pool) -> None:
    shares = [progress(scan) for _, scan in scans(pool, FULL)]
    assert shares[:8] == [*(number / 8 for number in range(1, 8)), 0.0]
    assert shares[-1] == 1


def test_keys_and_refusal_say_what_there_is_and_what_is_needed(pool: Pool) -> None:
    (_, first), *_, (_, scan) = scans(pool, [*still(), Head(yaw=18)])
    assert refusal_words(first) == "Not yet: look straight at the camera first"
    assert captured(scan) == (1, 12)
    assert refusal_words(scan) == "Not yet: 1 of 12 directions, 10 are needed"
    assert keys_line(can_finish=False).startswith("Q ends")
    assert keys_line(can_finish=True).startswith("Enter or Q saves")


def test_frames_of_no_use_are_told_and_heads_on_their_way_are_not(pool: Pool) -> None:
    tally = ScanTally()
    for _, scan in scans(pool, [*still(), Head(size=30), Head(yaw=10), Head(yaw=10, sharpness=1)]):
        tally.add(scan)
    assert [remark.split(": ")[1] for remark in tally.remarks()] == [
        "face too small, come closer",
        "face blurred, hold still or add light",
    ]
