"""What a search says of the gallery beside who is near."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from facepool.gallery.columns import LookAlikes
from facepool.types import Calibration, counted

BehindReason = Literal["following", "index_away", "not_whole"]
"""Why: the index follows the pool, and is not there yet; it cannot be reached; it was never whole, or is of no use."""


@dataclass(frozen=True, slots=True)
class Outage:
    """The gallery's database cannot be reached, and what is in memory of it is searched.

    Attributes:
        since: From when on.
        as_of: When what is in memory was the newest that there was, UTC; None: there is nothing in memory.
    """

    since: datetime
    as_of: datetime | None

    @property
    def words(self) -> str:
        """What users are told, in the time of this machine."""
        if self.as_of is None:
            return f"Nobody can be named: the pool's database is away since {_clock(self.since)}"
        return f"People as of {_clock(self.as_of)}: the pool's database is away since {_clock(self.since)}"


@dataclass(frozen=True, slots=True)
class Behind:
    """The gallery's index is not as new as the gallery, or is not searched.

    Attributes:
        templates: How many it does not have yet that an answer may miss; 0: nobody is missed.
        since: From when on.
        reason: Why.
    """

    templates: int
    since: datetime
    reason: BehindReason

    @property
    def words(self) -> str:
        """What users are told, in the time of this machine."""
        what = {
            "following": f"The index is behind the pool since {_clock(self.since)}",
            "index_away": f"The index is away since {_clock(self.since)}",
            "not_whole": "The pool has no whole index",
        }[self.reason]
        if self.templates:
            return f"{what}: {counted(self.templates, 'view')} cannot be found yet"
        if self.reason == "following":
            return f"{what}: what it lacks is compared beside it"
        return f"{what}: the pool is searched without it"


def _clock(moment: datetime) -> str:
    return moment.astimezone().strftime("%H:%M:%S")


@dataclass(frozen=True, slots=True)
class GalleryState:
    """What a decision needs to know of a gallery beside the candidates.

    Attributes:
        revision: The gallery's revision that this is a picture of.
        templates: How many there are.
        calibration: What was measured of the gallery; None: nothing, or in another embedding space.
        look_alikes: Pairs of people who need a larger margin to be told apart.
        margins: That margin, for the pairs whose templates suffice to measure it.
        outage: Why this may be an old picture; None: it is the newest.
        behind: Why the gallery's index was not used, or did not have everything; None: it had, or there is none.
    """

    revision: int
    templates: int
    calibration: Calibration | None
    look_alikes: frozenset[LookAlikes]
    margins: Mapping[LookAlikes, float]
    outage: Outage | None = None
    behind: Behind | None = None
