"""Who is in view of something that moves, from one frame to the next: for the terminal and the window."""

from collections import Counter
from dataclasses import dataclass

from facepool.overlay import Present
from facepool.recognize.events import LiveView

NOBODY = "nobody"
UNKNOWN = "unknown"


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
            A line that says who is in view now, or None while that has not changed.
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
