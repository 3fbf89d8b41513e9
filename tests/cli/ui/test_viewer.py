"""What the viewer does while there is no frame, and how fast it shows those of a file."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial

import numpy as np
import pytest

from facepool.capture import LiveSource, LiveStatus, Pace, ReconnectPolicy
from facepool.capture.source import Shot
from facepool.cli.ui.viewer import Viewer, _notice
from facepool.errors import StreamLost, StreamUnavailable
from facepool.overlay import Canvas, Label, Painter
from facepool.types import Frame, Image
from facepool.window import Window, WindowEvent

HANG_GUARD_S = 20.0
PICTURE = np.full((48, 64, 3), 200, np.uint8)


class ScriptedWindow(Window):
    """Never opens; calls the test back at each poll."""

    def __init__(self, on_poll: Callable[["ScriptedWindow"], tuple[WindowEvent, ...]]) -> None:
        super().__init__()
        self.shown: list[Image] = []
        self.polls: list[None] = []
        self._on_poll = on_poll

    def show(self, image_bgr: Image) -> None:
        self.shown.append(image_bgr)

    def poll(self) -> tuple[WindowEvent, ...]:
        events = self._on_poll(self)
        self.polls.append(None)
        return events


class NotingPainter(Painter):
    """Notes the status lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def draw(self, image_bgr: Image, labels: Sequence[Label], hud: Sequence[str] = ()) -> Image:
        del labels
        self.lines += hud
        return image_bgr


class OnePicture:
    """A connection that gives one picture, and then what the test has put in its way: silence or death."""

    name = "fake"
    description = "fake camera"
    every_frame = False

    def __init__(self, *, dies: bool) -> None:
        self.released = threading.Event()
        self._dies = dies
        self._reads = 0

    def connect(self) -> "OnePicture":
        if self._reads:
            raise self.unavailable("cable pulled")
        return self

    def read(self) -> Shot | None:
        self._reads += 1
        if self._reads == 1:
            return Shot(PICTURE, None)
        if self._dies:
            raise self.lost("cable pulled")
        self.released.wait(HANG_GUARD_S)
        return None

    def close(self) -> None:
        pass

    def unavailable(self, why: str) -> StreamUnavailable:
        return StreamUnavailable("unavailable", why=why)

    def lost(self, why: str) -> StreamLost:
        return StreamLost("lost", why=why)


@pytest.fixture
def silent() -> Iterator[OnePicture]:
    connection = OnePicture(dies=False)
    yield connection
    connection.released.set()


def _nothing(frame: Frame) -> None:
    """Work that is done at once."""


def _plain(result: object, canvas: Canvas) -> Image:
    image_bgr = canvas.image_bgr
    return image_bgr[:, ::-1] if canvas.mirrored else image_bgr


def take_all(viewer: Viewer, source: LiveSource) -> int:
    taken = 0
    with source:
        for _ in viewer.play(source, _nothing, _plain):
            taken += 1
    return taken


def test_q_ends_it_while_a_live_source_is_silent(silent: OnePicture) -> None:
    polls: list[int] = []

    def quits_at_the_third(window: ScriptedWindow) -> tuple[WindowEvent, ...]:
        polls.append(len(window.shown))
        return (WindowEvent.QUIT,) if len(polls) == 3 else ()

    window = ScriptedWindow(quits_at_the_third)
    viewer = Viewer(NotingPainter(), window)
    assert take_all(viewer, LiveSource(silent)) == 1
    assert viewer.ended
    assert polls == [1, 1, 1]


@pytest.mark.parametrize("in_window", [True, False])
def test_a_source_that_falls_silent_is_told_of_when_nothing_is_worked_on(silent: OnePicture, in_window: bool) -> None:
    happened: list[str] = []

    def work(frame: Frame) -> None:
        time.sleep(0.2)  # longer than the source may be silent
        happened.append("worked")

    viewer = Viewer(NotingPainter(), ScriptedWindow(lambda _: ()) if in_window else None)

    def on_silence() -> None:
        happened.append("silent")
        viewer.ended = True

    with (
        LiveSource(silent, silent_after_s=0.1) as source,
        closing(viewer.play(source, work, _plain, on_silence)) as played,
    ):
        assert len(list(played)) == 1
    assert happened == ["worked", "silent"]


def test_of_a_source_whose_pictures_are_rare_a_pause_is_nothing_unusual() -> None:
    assert _notice(None, 9.0, usual_s=10.0) == ""
    assert _notice(None, 21.0, usual_s=10.0) == "No picture for 21 s"
    assert _notice(None, 1.0, usual_s=0.04) == "No picture for 1 s"


def test_ctrl_c_in_the_window_is_ctrl_c(silent: OnePicture) -> None:
    viewer = Viewer(NotingPainter(), ScriptedWindow(lambda _: (WindowEvent.CANCEL,)))
    with pytest.raises(KeyboardInterrupt):
        take_all(viewer, LiveSource(silent))


def test_a_window_says_that_it_is_reconnecting_over_a_dimmed_picture() -> None:
    def quits_when_something_is_said(window: ScriptedWindow) -> tuple[WindowEvent, ...]:
        return (WindowEvent.QUIT,) if len(window.shown) == 2 else ()

    window, painter = ScriptedWindow(quits_when_something_is_said), NotingPainter()
    viewer = Viewer(painter, window)
    source = LiveSource(OnePicture(dies=True), ReconnectPolicy(first_wait_s=HANG_GUARD_S))
    assert take_all(viewer, source) == 1
    assert painter.lines[-1:] == ["Connection lost: cable pulled. Trying again, attempt 1"]
    assert [int(image[0, 0, 0]) for image in window.shown] == [200, 100]
    assert source.status == LiveStatus("reconnecting", 1, HANG_GUARD_S, "cable pulled")


def test_a_dimmed_picture_grows_no_darker_while_the_wait_goes_on() -> None:
    def quits_when_two_things_are_said(window: ScriptedWindow) -> tuple[WindowEvent, ...]:
        return (WindowEvent.QUIT,) if len(window.shown) == 3 else ()

    window = ScriptedWindow(quits_when_two_things_are_said)
    policy = ReconnectPolicy(first_wait_s=0.1, longest_wait_s=0.1)
    take_all(Viewer(NotingPainter(), window), LiveSource(OnePicture(dies=True), policy))
    assert [int(image[0, 0, 0]) for image in window.shown] == [200, 100, 100]


def test_m_turns_a_picture_that_waits() -> None:
    half_dark = PICTURE.copy()
    half_dark[:, :32] = 0

    def presses_m_then_space(window: ScriptedWindow) -> tuple[WindowEvent, ...]:
        if len(window.shown) == 2:
            return (WindowEvent.NEXT,)
        window.mirrored = len(window.polls) == 1
        return (WindowEvent.MIRROR,) if window.mirrored else ()

    window = ScriptedWindow(presses_m_then_space)
    viewer = Viewer(NotingPainter(), window)
    viewer.show(Frame(half_dark, "photo.jpg"), partial(_plain, None))
    viewer.wait_for_next()
    assert [int(image[0, 0, 0]) for image in window.shown] == [0, 200]
    assert not viewer.ended


def test_a_file_is_shown_at_its_own_speed() -> None:
    pace = Pace()
    assert pace.due(5.0, now_s=100.0) == 100.0
    assert pace.due(5.1, now_s=100.02) == pytest.approx(100.1)


def test_a_small_delay_is_made_up_for_and_a_halt_is_not() -> None:
    pace = Pace()
    pace.due(0.0, now_s=100.0)
    assert pace.due(0.1, now_s=100.3) == pytest.approx(100.1)
    assert pace.due(0.2, now_s=130.0) == 130.0
    assert pace.due(0.3, now_s=130.05) == pytest.approx(130.1)


class TwoFrames:
    """A file whose second frame is to be shown in an hour."""

    name = description = "film"
    live = False
    frame_count = 2
    fps = 1.0

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(PICTURE, "film", 0, 0.0)
        yield Frame(PICTURE, "film", 1, 3600.0)

    def close(self) -> None:
        pass

    def __enter__(self) -> "TwoFrames":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def test_q_ends_it_between_two_frames_of_a_file() -> None:
    polls: list[None] = []

    def quits_at_the_second(_window: ScriptedWindow) -> tuple[WindowEvent, ...]:
        polls.append(None)
        return (WindowEvent.QUIT,) if len(polls) == 2 else ()

    viewer = Viewer(NotingPainter(), ScriptedWindow(quits_at_the_second))
    for _ in viewer.play(TwoFrames(), _nothing, _plain):
        pass
    assert viewer.ended


class Film:
    """A camera that gives numbered pictures as fast as they are taken."""

    name = "fake"
    description = "fake camera"
    every_frame = False

    def __init__(self) -> None:
        self._number = 0

    def connect(self) -> "Film":
        return self

    def read(self) -> Shot | None:
        self._number = min(self._number + 1, 255)
        time.sleep(0.005)
        return Shot(np.full((48, 64, 3), self._number, np.uint8), None)

    def close(self) -> None:
        pass

    def unavailable(self, why: str) -> StreamUnavailable:
        return StreamUnavailable("unavailable", why=why)

    def lost(self, why: str) -> StreamLost:
        return StreamLost("lost", why=why)


def test_a_camera_is_shown_while_work_on_a_frame_of_it_goes_on() -> None:
    done = threading.Event()
    drawn: list[tuple[int, int]] = []

    def works_until_ten_were_shown(frame: Frame) -> int:
        assert done.wait(HANG_GUARD_S)
        return int(frame.image_bgr[0, 0, 0])

    def draws(result: int, canvas: Canvas) -> Image:
        drawn.append((int(canvas.image_bgr[0, 0, 0]), result))
        return canvas.image_bgr

    def quits_when_the_result_was_drawn(window: ScriptedWindow) -> tuple[WindowEvent, ...]:
        if len(window.shown) == 10:
            done.set()
        return (WindowEvent.QUIT,) if drawn else ()

    window = ScriptedWindow(quits_when_the_result_was_drawn)
    with (
        LiveSource(Film()) as source,
        closing(Viewer(NotingPainter(), window).play(source, works_until_ten_were_shown, draws)) as played,
    ):
        frame, result = next(played)
        assert result == int(frame.image_bgr[0, 0, 0])
        for _ in played:
            pass
    assert len(window.shown) > 10
    assert drawn[0][0] > drawn[0][1] == result  # an old result on a newer picture


def test_what_the_work_raises_reaches_the_caller() -> None:
    def fails(frame: Frame) -> None:
        raise StreamLost("no good")

    with LiveSource(Film()) as source, pytest.raises(StreamLost, match="no good"):
        for _ in Viewer(NotingPainter(), ScriptedWindow(lambda _: ())).play(source, fails, _plain):
            pass


def test_pictures_are_drawn_at_the_size_at_which_they_are_shown() -> None:
    class LargeWindow(ScriptedWindow):
        def fit_wh(self, image_wh: tuple[int, int]) -> tuple[int, int]:
            return 10 * image_wh[0], 10 * image_wh[1]

    seen: list[tuple[float, tuple[int, ...]]] = []

    def draws(canvas: Canvas) -> Image:
        seen.append((canvas.scale, canvas.image_bgr.shape))
        return canvas.image_bgr

    window = LargeWindow(lambda _: ())
    Viewer(NotingPainter(), window).show(Frame(PICTURE, "photo.jpg"), draws)
    huge = np.zeros((480, 640, 3), np.uint8)
    Viewer(NotingPainter(), window).show(Frame(huge, "photo.jpg"), draws)
    assert seen == [(10.0, (480, 640, 3)), (2.0, (960, 1280, 3))]
