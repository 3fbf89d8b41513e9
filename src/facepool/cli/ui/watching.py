"""Recognition in something that moves: who comes, who goes, who is here."""

from contextlib import closing

from facepool.capture import FrameSource
from facepool.cli.ui.console import Console
from facepool.cli.ui.event_output import EventOutput
from facepool.cli.ui.presence import Presence
from facepool.cli.ui.viewer import Viewer
from facepool.overlay import Canvas, Painter, PresencePanel, live_labels
from facepool.recognize.events import LiveView
from facepool.recognize.live import LiveRecognizer
from facepool.records import live_records
from facepool.types import Frame, Image


class Watch:
    """Says and shows what a live recognizer makes of one source.

    Args:
        recognizer: Fresh: it remembers who is in view.
        event_output: Told of events.
        console: Told of faces, and of who is in view.
        painter: Draws boxes and names.
    """

    def __init__(
        self, recognizer: LiveRecognizer, event_output: EventOutput, console: Console, painter: Painter
    ) -> None:
        self._recognizer = recognizer
        self._outlets = event_output
        self._console = console
        self._painter = painter
        self._panel = PresencePanel(painter)
        self._presence = Presence()
        self._last: Frame | None = None

    def run(self, source: FrameSource, viewer: Viewer) -> None:
        """Watch until the source or the user ends.

        Raises:
            InputError: The source broke. Who was in view is told to be lost before.
        """
        try:
            with (
                self._console.counting("Recognizing", source.frame_count) as counter,
                closing(viewer.play(source, self._recognizer.process, self._draw)) as played,
            ):
                for frame, view in played:
                    self._tell(frame, view)
                    counter.step()
        finally:
            if self._last is not None:
                self._outlets.tell(self._last, self._recognizer.finish(_time(self._last)))
        if (last := self._presence.last_word()) is not None:
            self._console.say(last)

    def _tell(self, frame: Frame, view: LiveView) -> None:
        self._last = frame
        for record in live_records(frame, view):
            self._console.emit(record)
        self._outlets.tell(frame, view.events)
        if (change := self._presence.update(view)) is not None:
            self._console.say(f"{_clock(_time(frame))}  {change}")

    def _draw(self, canvas: Canvas, view: LiveView) -> Image:
        image_bgr = canvas.paint(self._painter, live_labels(view))
        return self._panel.draw(image_bgr, self._presence.people())


def _time(frame: Frame) -> float:
    return frame.time_s or 0.0


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60):02d}:{seconds % 60:04.1f}"
