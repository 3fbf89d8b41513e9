"""A registration on the terminal and in the window: the guided scan while it runs, and what it comes to.

Why frames were not used or nothing was stored, the report on a scan; ``ScanScreen`` draws ring, hints and keys.
"""

import math
import os
import select
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from rich.text import Text

from facepool.capture import FrameSource, write_image
from facepool.cli.ui.console import Console, counted
from facepool.cli.ui.recording import PICTURE_SUFFIXES
from facepool.cli.ui.sources import note_turned
from facepool.cli.ui.viewer import Viewer
from facepool.enroll.coverage import Coverage
from facepool.enroll.pictures import OUTCOMES, Offer, Outcome
from facepool.enroll.scan import ENOUGH, ScanStep, View
from facepool.enroll.session import EnrollmentSession
from facepool.errors import (
    ConfigError,
    FacepoolError,
    IdentityConflict,
    ImplausibleLandmarks,
    InputError,
    NoFace,
    ScanIncomplete,
)
from facepool.gallery import Gallery
from facepool.overlay import (
    COLUMNS,
    Canvas,
    Painter,
    RingPainter,
    RingView,
    coverage_advice,
    coverage_picture,
    coverage_rows,
    coverage_summary,
    coverage_title,
)
from facepool.types import Frame, Image

STORED_BEFORE: frozenset[Outcome] = frozenset({"known_view", "enough"})
"""Outcomes of frames that are not stored because the pool has what they show."""

_NOT_STORED: dict[str, str] = {outcome: words for outcome, words in OUTCOMES.items() if outcome != "taken"}
"""Why a frame was not stored, in words."""

_SCAN_FLAWS: dict[str, str] = {
    **{outcome: words for outcome, words in _NOT_STORED.items() if outcome not in STORED_BEFORE},
    "too_large": "face too large, move back",
    "cut_off": "face at the edge of the picture",
    "no_pose": "where the head points cannot be measured",
    "other": "somebody else",
    "another_face": "a face jumped or changed",
    "not_the_registered": "does not look like the person as registered",
}
"""Why a scan could not use a frame; an outcome that is no flaw, such as a head between two places, is not here."""


class Tally:
    """Counts the frames of a registration by outcome: a camera may run for hours.

    Attributes:
        outcomes: Number of frames of each outcome.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.outcomes.total()

    def in_words(self, words: Mapping[str, str]) -> list[tuple[str, int]]:
        """Some of the outcomes in words, with the number of frames, the commonest first."""
        return [(words[outcome], count) for outcome, count in self.outcomes.most_common() if outcome in words]


class PictureTally(Tally):
    """What became of pictures, or of frames that were offered one by one."""

    def __init__(self) -> None:
        super().__init__()
        self._conflict: Offer | None = None

    def add(self, offer: Offer) -> None:
        """One more frame."""
        self.outcomes[offer.outcome] += 1
        if offer.outcome == "other_person" and self._conflict is None:
            self._conflict = offer.without_pixels()

    def withdraw(self, offers: Iterable[Offer]) -> None:
        """Frames that had been counted as taken, with what became of them in the end."""
        for offer in offers:
            self.outcomes["taken"] -= 1
            self.add(offer)
        self.outcomes += Counter()  # drops what has come down to none

    def record(self) -> dict[str, object]:
        """What became of the frames, for programs, once everything is stored."""
        return {"stored": self.outcomes["taken"], "frames": self.frames, "outcomes": dict(self.outcomes)}

    def remarks(self) -> list[str]:
        """One line for each reason of not storing, the commonest first."""
        return [f"{count} not stored: {words}" for words, count in self.in_words(_NOT_STORED)]

    def failure(self, person: str) -> FacepoolError | None:
        """Why nobody was registered; None when something was stored, or everything that matters was before."""
        if self.outcomes.keys() & {"taken", *STORED_BEFORE}:
            return None
        if self._conflict is not None:
            return IdentityConflict(
                f"{person} was not registered",
                why=f"the face {self._conflict}",
                fix=f"Register it as {self._conflict.rival}, or add --force if they are two people",
            )
        return _no_face(person, self.in_words(_NOT_STORED), self.frames)


class ScanTally(Tally):
    """What became of the frames of a scan."""

    def add(self, step: ScanStep) -> None:
        """One more frame."""
        self.outcomes[step.outcome] += 1

    def remarks(self) -> list[str]:
        """One line for each reason of not using frames, the commonest first."""
        flaws = self.in_words(_SCAN_FLAWS)
        return [f"{count} of {self.frames} frames not used: {words}" for words, count in flaws]

    def failure(self, person: str) -> FacepoolError:
        """Why a scan that captured nothing did not."""
        flaws = self.in_words(_SCAN_FLAWS)
        if self.frames and sum(count for _, count in flaws) < self.frames / 2:
            return ScanIncomplete(
                f"{person} was not registered",
                why="nobody looked straight ahead and kept still for a moment",
                fix="Look straight at the camera first, then slowly around",
            )
        if flaws and flaws[0][0] == _SCAN_FLAWS["not_the_registered"]:
            return IdentityConflict(
                f"{person} was not registered",
                why=f"the face does not look like {person} as registered",
                fix="Register it under another name, or add --force if it is the same person",
            )
        return _no_face(person, flaws, self.frames)


def _no_face(person: str, reasons: Sequence[tuple[str, int]], frames: int) -> InputError:
    """Nobody was registered, for the commonest of some reasons."""
    if not frames:
        return NoFace(f"{person} was not registered", why="there was no frame to look at")
    words, count = reasons[0]
    kind = ImplausibleLandmarks if words == OUTCOMES["implausible_landmarks"] else NoFace
    return kind(
        f"{person} was not registered",
        why=f"{words} in {count} of {frames} frames",
        fix="Show one face, close enough, sharp and upright",
    )


def offer_pictures(source: FrameSource, session: EnrollmentSession, console: Console, tally: PictureTally) -> None:
    """Look at the pictures of a source."""
    with console.counting(f"Registering {session.person}", source.frame_count) as counter:
        for offer in session.offer_pictures(_counting(source, counter.step)):
            tally.add(offer)
            note_turned(console, offer.frame.source, offer.faces.detections)


def _counting(frames: Iterable[Frame], step: Callable[[], None]) -> Iterator[Frame]:
    for frame in frames:
        yield frame
        step()


def store_pictures(session: EnrollmentSession, tally: PictureTally, pool: Gallery, console: Console) -> None:
    """Store what was taken of pictures, and say why the rest was not.

    Raises:
        NoFace: No frame showed a good face.
        IdentityConflict: The face is that of somebody else.
    """
    stored = session.commit()
    tally.withdraw(session.withdrawn)
    console.emit({"person": session.person, **tally.record()})
    for remark in tally.remarks():
        console.note(remark)
    failure = tally.failure(session.person)
    if failure is not None:
        raise failure
    console.say(f"{session.person}: {counted(stored, 'new view')} stored in {pool.address}", "good")


def check_report_name(path: Path) -> None:
    """Refuse, before the scan, a name that its picture could not have.

    Raises:
        ConfigError: It does not end like a picture's name.
    """
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise ConfigError(f"{path} is not a name for a picture", fix=f"End --report in {', '.join(PICTURE_SUFFIXES)}")


def write_report(path: Path, coverage: Coverage, views: Sequence[View], painter: Painter) -> None:
    """Keep the report as a picture, with the captured faces in it.

    Raises:
        StorageError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, coverage_picture(coverage, {view.slot: view.face_bgr for view in views}, painter=painter))


def say_coverage(coverage: Coverage, console: Console) -> None:
    """Print the table, what it comes to, and what to scan again."""
    headings = [name if index == 0 or not name else f">{name}" for index, name in enumerate(COLUMNS)]
    rows: list[list[str | Text]] = [[*row[:-1], Text(row[-1], "yellow")] for row in coverage_rows(coverage)]
    console.table(headings, rows, title=coverage_title(coverage))
    for line in coverage_summary(coverage):
        console.say(line)
    advice = coverage_advice(coverage)
    if advice:
        console.say(advice, "yellow")
    if coverage.motion == "flat":
        console.say("It moved like a flat picture, not like a head.", "yellow")


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
