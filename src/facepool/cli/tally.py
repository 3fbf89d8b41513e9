"""What became of the frames of one registration, counted: a camera may run for hours."""

from collections import Counter
from collections.abc import Iterable

from facepool.errors import FacepoolError, IdentityConflict, NoFace
from facepool.pipelines.enroll import OUTCOMES, Offer, Outcome

STORED_BEFORE: frozenset[Outcome] = frozenset({"known_view", "enough"})
"""Outcomes of frames that are not stored because the pool has what they show."""


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
