"""Showing or watching a file at the speed at which it was filmed."""

_MADE_UP_S = 0.5


class Pace:
    """When to show the frames of a file: at its own speed, or slower where looking at them takes longer."""

    def __init__(self) -> None:
        self._started_s: float | None = None

    def due(self, time_s: float, now_s: float) -> float:
        """The moment, on the clock of ``now_s``, at which to show the frame of ``time_s``."""
        # A small delay is made up for; a long one is not, else the film would race after every halt.
        if self._started_s is None or self._started_s + time_s < now_s - _MADE_UP_S:
            self._started_s = now_s - time_s
        return self._started_s + time_s
