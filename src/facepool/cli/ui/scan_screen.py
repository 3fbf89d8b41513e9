"""One person's guided scan as a command runs it: frames in; hints, ring and keys in a window or the terminal out."""

import math
import os
import select
import sys
import time
from contextlib import closing
from functools import partial

from facepool.capture import FrameSource
from facepool.cli.ui.console import Console
from facepool.cli.ui.registration import ScanTally
from facepool.cli.ui.viewer import Viewer
from facepool.enroll.scan import ENOUGH, ScanStep
from facepool.enroll.session import EnrollmentSession
from facepool.overlay import Canvas, Painter, RingPainter, RingView
from facepool.types import Frame, Image

_CHECK_MARK_S = 1.0
_REFUSAL_S = 2.5
_OTHER_KEYS = "Ctrl-C discards · M mirrors · F full screen"


class ScanScreen:
    """Scans one person in one source after the other, and shows how it goes.

    Args:
        session: What is scanned becomes part of it.
        painter: Draws the text.
        console: Shows progress.

    Attributes:
        tally: What became of the frames.
        over: Whether the ring is closed, or the user has ended the scan.
    """

    def __init__(self, session: EnrollmentSession, painter: Painter, console: Console) -> None:
        self.tally = ScanTally()
        self.over = False
        self._session = session
        self._console = console
        self._title = " · ".join(filter(None, (session.name, session.options.appearance)))
        self._ring = RingPainter(painter)
        self._refusal = ""
        self._refused_until_s = 0.0

    def run(self, source: FrameSource, viewer: Viewer, *, in_window: bool) -> None:
        """Scan until the ring is closed, the user finishes or ends, or the source ends.

        Raises:
            InputError: The source broke; what it gave is kept.
        """
        if source.live and not in_window and terminal_listens():
            self._console.note("Enter saves as soon as enough is captured, Ctrl-C discards")
        last: tuple[Frame, ScanStep] | None = None
        with (
            self._console.counting(f"Registering {self._title}", source.frame_count) as counter,
            closing(viewer.play(source, self._session.scan, self._draw)) as played,
        ):
            for frame, step in played:
                self.tally.add(step)
                counter.step()
                done, count = captured(step)
                counter.describe(f"{self._title}: {done} of {count} directions · {step.hint.text}")
                asked = viewer.next_asked() or (not in_window and source.live and enter_pressed())
                if step.phase == "done" or (asked and step.can_finish):
                    last = frame, step
                    break
                if asked:
                    self._refusal, self._refused_until_s = refusal_words(step), time.monotonic() + _REFUSAL_S
        self.over = viewer.ended or last is not None
        if last is not None and last[1].phase == "done" and in_window:
            frame, step = last
            viewer.show(frame, partial(self._draw, step))
            viewer.wait_for_next(_CHECK_MARK_S)

    def _draw(self, step: ScanStep, canvas: Canvas) -> Image:
        """The screen for one frame and the newest step, which may be of an earlier frame."""
        refused = time.monotonic() < self._refused_until_s and not step.can_finish
        text = self._refusal if refused else step.hint.text[:1].upper() + step.hint.text[1:]
        view = ring_view(step, canvas, title=self._title, hint=text, keys=keys_line(can_finish=step.can_finish))
        return self._ring.draw(canvas.image_bgr, view, mirrored=canvas.mirrored)


def ring_view(step: ScanStep, canvas: Canvas, *, title: str, hint: str, keys: str) -> RingView:
    """What to draw of a scan; the face's box as it lies on the canvas."""
    box = step.box
    turn = step.turn if step.turn is not None and step.turn.zone != "frontal" else None
    return RingView(
        phase=step.phase,
        parts=step.ring,
        hint=hint,
        person=title,
        keys="" if step.phase == "done" else keys,
        progress=progress(step),
        box=None if box is None else canvas.place((float(box[0]), float(box[1]), float(box[2]), float(box[3]))),
        heading_deg=None if turn is None else turn.angle_deg,
        reach=0.0 if turn is None else turn.reach,
        target_deg=step.hint.angle_deg,
    )


def progress(step: ScanStep) -> float:
    """0..1: of the frontal reference while that is made, then of the ring."""
    return step.steady if step.phase == "frontal" or step.steady < 1 else step.coverage


def captured(step: ScanStep) -> tuple[int, int]:
    """How many directions are captured, and of how many."""
    return sum(part.covered for part in step.ring), len(step.ring)


def keys_line(*, can_finish: bool) -> str:
    """What the keys do now."""
    return f"Enter or Q saves · {_OTHER_KEYS}" if can_finish else f"Q ends · {_OTHER_KEYS}"


def refusal_words(step: ScanStep) -> str:
    """Why the scan cannot be finished yet."""
    if step.steady < 1:
        return "Not yet: look straight at the camera first"
    done, count = captured(step)
    return f"Not yet: {done} of {count} directions, {math.ceil(ENOUGH * count)} are needed"


def terminal_listens() -> bool:
    """Whether somebody sits at the terminal and could press Enter."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def enter_pressed() -> bool:
    """Whether Enter was pressed in the terminal since the last call, without waiting for it; False without one."""
    if not sys.stdin.isatty():
        return False
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 -- only there

        return bool(msvcrt.kbhit()) and msvcrt.getwch() == "\r"
    if _in_background(sys.stdin.fileno()):
        return False  # reading what is typed for the shell would stop us
    ready, _, _ = select.select([sys.stdin], [], [], 0)
    return bool(ready) and bool(sys.stdin.readline())


def _in_background(terminal: int) -> bool:
    try:
        return os.tcgetpgrp(terminal) != os.getpgrp()
    except OSError:  # a terminal, but not the one that we were started from: it has no background
        return False
