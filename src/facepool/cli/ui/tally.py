"""What became of the frames of one registration, counted: a camera may run for hours."""

from collections import Counter
from collections.abc import Iterable

from facepool.enroll.pictures import OUTCOMES, Offer, Outcome
from facepool.enroll.scan import Outcome as ScanOutcome
from facepool.enroll.scan import Scan
from facepool.errors import FacepoolError, IdentityConflict, NoFace, ScanIncomplete

STORED_BEFORE: frozenset[Outcome] = frozenset({"known_view", "enough"})
"""Outcomes of frames that are not stored because the pool has what they show."""

_SCAN_FLAWS: dict[str, str] = {
    **{outcome: words for outcome, words in OUTCOMES.items() if outcome not in {"taken", *STORED_BEFORE}},
    "too_large": "face too large, move back",
    "cut_off": "face at the edge of the picture",
    "no_pose": "where the head points cannot be measured",
    "other": "somebody else",
    "another_face": "a face jumped or changed",
    "not_the_registered": "does not look like the person as registered",
}
"""Why a scan could not use a frame, in words; outcomes that are no flaw, such as a head between two places, lack."""


class Tally:
    """Counts offers by outcome.

    Attributes:
        outcomes: Number of frames of each outcome.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self._conflict: Offer | None = None

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.outcomes.total()

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

    def remarks(self) -> list[str]:
        """One line for each reason of not storing, the commonest first."""
        return [
            f"{count} not stored: {OUTCOMES[outcome]}"
            for outcome, count in self.outcomes.most_common()
            if outcome != "taken"
        ]

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
        if not self.frames:
            return NoFace(f"{person} was not registered", why="there was no frame to look at")
        worst, count = self.outcomes.most_common(1)[0]
        return NoFace(
            f"{person} was not registered",
            why=f"{OUTCOMES[worst]} in {count} of {self.frames} frames",
            fix="Show one face, close enough, sharp and upright",
        )


class ScanTally:
    """Counts the frames of a scan by outcome.

    Attributes:
        outcomes: Number of frames of each outcome.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[ScanOutcome] = Counter()

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.outcomes.total()

    def add(self, scan: Scan) -> None:
        """One more frame."""
        self.outcomes[scan.outcome] += 1

    def remarks(self) -> list[str]:
        """One line for each reason of not using frames, the commonest first."""
        flaws = self._flaws().most_common()
        return [f"{count} of {self.frames} frames not used: {_SCAN_FLAWS[outcome]}" for outcome, count in flaws]

    def failure(self, person: str) -> FacepoolError:
        """Why a scan that captured nothing did not."""
        what = f"{person} was not registered"
        if not self.frames:
            return NoFace(what, why="there was no frame to look at")
        flaws = self._flaws()
        if not flaws or flaws.total() < self.frames / 2:
            return ScanIncomplete(
                what,
                why="nobody looked straight ahead and kept still for a moment",
                fix="Look straight at the camera first, then slowly around",
            )
        worst, count = flaws.most_common(1)[0]
        if worst == "not_the_registered":
            return IdentityConflict(
                what,
                why=f"the face does not look like {person} as registered",
                fix="Register it under another name, or add --force if it is the same person",
            )
        return NoFace(
            what,
            why=f"{_SCAN_FLAWS[worst]} in {count} of {self.frames} frames",
            fix="Show one face, close enough, sharp and upright",
        )

    def _flaws(self) -> Counter[ScanOutcome]:
        return Counter({outcome: count for outcome, count in self.outcomes.items() if outcome in _SCAN_FLAWS})
