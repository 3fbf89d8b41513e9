"""One person's scan as a command runs it: frames in, hints, the window and the terminal's keys out."""

from contextlib import closing
from functools import partial

from facepool.capture import FrameSource
from facepool.cli.ui.console import Console
from facepool.cli.ui.keyboard import enter_pressed, terminal_listens
from facepool.cli.ui.ring_view import ScanScreen, Step, captured
from facepool.cli.ui.tally import ScanTally
from facepool.cli.ui.thumbnails import Thumbnails
from facepool.cli.ui.viewer import Viewer
from facepool.enroll.guided import GuidedEnrollment
from facepool.enroll.scan import Scan
from facepool.overlay import Painter
from facepool.types import Frame

_CHECK_MARK_S = 1.0


class GuidedScan:
    """Scans one person in one source after the other.

    Args:
        guided: The scan.
        painter: Draws the text.
        console: Shows progress.
        keep_faces: Keep small pictures of what is captured, for a report.
    """

    def __init__(self, guided: GuidedEnrollment, painter: Painter, console: Console, *, keep_faces: bool) -> None:
        options = guided.options
        self.tally = ScanTally()
        self.thumbnails = Thumbnails(options.scan.frontal.frames)
        self.over = False
        self._guided = guided
        self._keep_faces = keep_faces
        self._console = console
        title = " · ".join(filter(None, (guided.person, options.appearance)))
        self._screen = ScanScreen(title, options.scan.enough, painter)
        self._title = title

    def run(self, source: FrameSource, viewer: Viewer, *, in_window: bool) -> None:
        """Scan until the ring is closed, the user finishes or ends, or the source ends.

        Raises:
            InputError: The source broke; what it gave is kept.
        """
        if source.live and not in_window and terminal_listens():
            self._console.note("Enter saves as soon as enough is captured, Ctrl-C discards")
        last: tuple[Frame, Step] | None = None
        with (
            self._console.counting(f"Registering {self._title}", source.frame_count) as counter,
            closing(viewer.play(source, self._look, self._screen.draw)) as played,
        ):
            for frame, step in played:
                self._keep(frame, step.scan)
                counter.step()
                counter.describe(self._progress(step.scan))
                asked = viewer.next_asked() or (not in_window and source.live and enter_pressed())
                if step.scan.phase == "done" or (asked and step.can_finish):
                    last = frame, step
                    break
                if asked:
                    self._screen.refuse(step.scan)
        self.over = viewer.ended or last is not None
        if last is not None and last[1].scan.phase == "done" and in_window:
            frame, step = last
            viewer.show(frame, partial(self._screen.draw, step=step))
            viewer.linger(_CHECK_MARK_S)

    def _look(self, frame: Frame) -> Step:
        """May run beside the loop, so everything that it draws from the scan is in the step."""
        scan = self._guided.offer(frame)
        return Step(scan, self._guided.can_finish)

    def _keep(self, frame: Frame, scan: Scan) -> None:
        self.tally.add(scan)
        if self._keep_faces:
            self.thumbnails.add(frame, scan)

    def _progress(self, scan: Scan) -> str:
        done, count = captured(scan)
        return f"{self._title}: {done} of {count} directions · {scan.hint.text}"
