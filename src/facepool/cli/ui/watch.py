"""Recognition in something that moves, on the terminal and in the window: who comes, who goes, who is here."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass

from facepool.capture import FrameSource
from facepool.cli.ui.console import Console
from facepool.cli.ui.event_output import EventOutput
from facepool.cli.ui.viewer import Viewer
from facepool.overlay import Canvas, Painter, PresencePanel, Present, live_labels
from facepool.recognize.events import LiveView
from facepool.recognize.live import LiveRecognizer, LiveSession
from facepool.records import live_records
from facepool.types import Frame, Image

NOBODY = "nobody"
UNKNOWN = "unknown"


class Watch:
    """Prints and shows what a live recognizer makes of one source.

    Args:
        recognizer: Fresh: it remembers who is in view.
        events: Passes events on.
        console: Gets faces, and lines that say who is in view.
        painter: Draws boxes and names.
    """

    def __init__(self, recognizer: LiveRecognizer, events: EventOutput, console: Console, painter: Painter) -> None:
        self._session = LiveSession(recognizer, events.emit)
        self._console = console
        self._painter = painter
        self._panel = PresencePanel(painter)
        self._presence = Presence()

    def run(self, source: FrameSource, viewer: Viewer) -> None:
        """Watch until the source or the user ends.

        Raises:
            InputError: The source broke. The events of everybody who was in view are out before that.
        """
        with (
            closing(self._session),
            self._console.counting("Recognizing", source.frame_count) as counter,
            closing(viewer.play(source, self._session.process, self._draw)) as played,
        ):
            for frame, view in played:
                self._report(frame, view)
                counter.step()
        if (last := self._presence.last_word()) is not None:
            self._console.say(last)

    def _report(self, frame: Frame, view: LiveView) -> None:
        for record in live_records(frame, view):
            self._console.emit(record)
        self._session.report(frame, view)
        if (change := self._presence.update(view)) is not None:
            self._console.say(f"{_clock(frame.time_s or 0.0)}  {change}")

    def _draw(self, canvas: Canvas, view: LiveView) -> Image:
        image_bgr = canvas.paint(self._painter, live_labels(view))
        return self._panel.draw(image_bgr, self._presence.people())


@dataclass(slots=True)
class _Guest:
    since_s: float
    name: str | None = None
    decided: bool = False


class Presence:
    """Keeps a list of who is in view, from one frame to the next."""

    def __init__(self) -> None:
        self._guests: dict[int, _Guest] = {}
        self._tentative: Counter[str] = Counter()
        self._stated: Counter[str] | None = None
        self._now_s = 0.0

    def update(self, view: LiveView) -> str | None:
        """Take in one frame.

        Returns:
            A line that says who is in view now, or None when that is no news.
        """
        self._now_s = view.time_s
        for event in view.events:
            if event.kind == "lost":
                self._guests.pop(event.track, None)
            elif event.kind == "appeared":
                self._guests[event.track] = _Guest(event.time_s)
        for track, decision in zip(view.track_ids, view.decisions, strict=True):
            guest = self._guests.get(int(track))
            if guest is not None and decision is not None:
                guest.name, guest.decided = decision.person, True
        self._tentative = Counter(decision.person or UNKNOWN for decision in view.tentative if decision is not None)
        seen = Counter(guest.name or UNKNOWN for guest in self._guests.values() if guest.decided)
        if seen == self._stated:
            return None
        if not seen and (self._guests or len(view)):
            return None  # somebody is there, and nobody knows yet who
        self._stated = seen
        return describe(seen)

    def people(self) -> list[Present]:
        """Who is in view, for the window: who has been there longest first."""
        decided = sorted((guest for guest in self._guests.values() if guest.decided), key=lambda guest: guest.since_s)
        return [
            Present(guest.name or UNKNOWN, self._now_s - guest.since_s, "known" if guest.name else "unknown")
            for guest in decided
        ]

    def last_word(self) -> str | None:
        """A line at the end of what was too short to have one, such as an animation of two frames."""
        if self._stated or not self._tentative:
            return None
        return describe(self._tentative)


def describe(seen: Counter[str]) -> str:
    """``Ada, Bob, 2 unknown``; ``nobody`` for nobody."""
    known = sorted(name for name in seen.elements() if name != UNKNOWN)
    unknown = [f"{seen[UNKNOWN]} {UNKNOWN}"] if seen[UNKNOWN] > 1 else [UNKNOWN] * seen[UNKNOWN]
    return ", ".join(known + unknown) or NOBODY


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60):02d}:{seconds % 60:04.1f}"
