"""One person's guided scan as a command runs it: frames in; hints, ring and keys in a window or the terminal out."""

import math
import os
import select
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import closing
from functools import partial

import numpy as np

from facepool.capture import FrameSource
from facepool.cli.ui.console import Console
from facepool.cli.ui.registration import ScanTally
from facepool.cli.ui.viewer import Viewer
from facepool.enroll.ring import Slot
from facepool.enroll.scan import ENOUGH, FRONTAL_FRAMES, ScanStep
from facepool.enroll.session import EnrollmentSession
from facepool.overlay import Canvas, Painter, RingPainter, RingView
from facepool.types import Floats, Frame, Image

_CHECK_MARK_S = 1.0
_REFUSAL_S = 2.5
_OTHER_KEYS = "Ctrl-C discards · M mirrors · F full screen"

_FACE_MARGIN = 1.25
_LARGEST_FACE = 256
_COLLECTS = frozenset({"collecting", "moving", "another_face", "taken"})
"""Outcomes of frames that the frontal view may come from."""


class ScanScreen:
    """Scans one person in one source after the other, and shows how it goes.

    Args:
        session: What is scanned becomes part of it.
        painter: Draws the text.
        console: Shows progress.
        keep_faces: Keep small pictures of what is captured, for a report.

    Attributes:
        tally: What became of the frames.
        thumbnails: The captured faces, where they are kept.
        over: Whether the ring is closed, or the user has ended the scan.
    """

    def __init__(self, session: EnrollmentSession, painter: Painter, console: Console, *, keep_faces: bool) -> None:
        self.tally = ScanTally()
        self.thumbnails = Thumbnails()
        self.over = False
        self._session = session
        self._console = console
        self._keep_faces = keep_faces
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
                if self._keep_faces:
                    self.thumbnails.add(frame, step)
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


class Thumbnails:
    """Small pictures of the face of each place of the ring, replaced as the scan replaces its view."""

    def __init__(self) -> None:
        self._by_slot: dict[Slot | None, Image] = {}
        self._row: deque[tuple[float, Image]] = deque(maxlen=FRONTAL_FRAMES)

    @property
    def by_slot(self) -> Mapping[Slot | None, Image]:
        """Square faces by place, None for the one straight ahead."""
        return self._by_slot

    def add(self, frame: Frame, step: ScanStep) -> None:
        """Keep the face of a frame if the scan has kept its view."""
        box, row = step.box, step.row
        if box is None or row is None:
            return
        if step.turn is None:  # the frontal view is the best one of the row that made the reference
            if step.outcome in _COLLECTS:
                self._row.append((float(step.faces.measures.overall[row]), _square(frame.image_bgr, box)))
            if step.outcome == "taken":
                self._by_slot[None] = max(self._row, key=lambda seen: seen[0])[1]
        elif step.outcome in {"taken", "better"}:
            self._by_slot[step.turn.slot] = _square(frame.image_bgr, box)


def _square(image_bgr: Image, box: Floats) -> Image:
    """The face with a little of what is around it, (S, S, 3), as far as the picture reaches."""
    x1, y1, x2, y2 = (float(edge) for edge in box)
    side = _FACE_MARGIN * max(x2 - x1, y2 - y1)
    left, top = round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2)
    size = round(side)
    part = image_bgr[max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)]
    step = max(1, size // _LARGEST_FACE)
    return np.ascontiguousarray(part[::step, ::step])


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
