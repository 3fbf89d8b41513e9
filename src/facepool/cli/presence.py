"""Who is in view, and when that changes."""

from collections import Counter
from collections.abc import Sequence

NOBODY = "nobody"
UNKNOWN = "unknown"


class Presence:
    """Notices when other people are in view than before.

    Args:
        patience: Frames that a new state must last before it counts: a name that flickers for one frame is no news.
    """

    def __init__(self, patience: int = 3) -> None:
        self._patience = patience
        self._stated: Counter[str] | None = None
        self._seen: Counter[str] | None = None
        self._lasted = 0

    def change(self, names: Sequence[str | None]) -> str | None:
        """Take in one frame.

        Args:
            names: One a face; None for unknown.

        Returns:
            A line that says who is in view now, or None when that is no news.
        """
        seen = Counter(name or UNKNOWN for name in names)
        self._lasted = self._lasted + 1 if seen == self._seen else 1
        self._seen = seen
        if seen == self._stated or self._lasted < self._patience:
            return None
        self._stated = seen
        return describe(seen)

    def last_word(self) -> str | None:
        """A line at the end of what was too short to have one, such as an animation of two frames."""
        return None if self._stated is not None or self._seen is None else describe(self._seen)


def describe(seen: Counter[str]) -> str:
    """``Ada, Bob, 2 unknown``; ``nobody`` for nobody."""
    known = sorted(name for name in seen.elements() if name != UNKNOWN)
    unknown = [f"{seen[UNKNOWN]} {UNKNOWN}"] if seen[UNKNOWN] > 1 else [UNKNOWN] * seen[UNKNOWN]
    return ", ".join(known + unknown) or NOBODY
