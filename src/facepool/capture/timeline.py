"""When frames are shown: seconds that never fall, whatever a container, a joined file or a clock states."""

from collections import deque
from statistics import median

LONGEST_PAUSE_S = 3600.0
"""No film that is meant so rests for longer on one picture, unless it does so again and again."""
LONGEST_PAUSE_OF_A_BROADCAST_S = 10.0
"""Transport streams and their like state times that start anew at every joint; what lies between was not shown."""

_MEASURED = 30  # frames
_UNUSUAL = 10.0  # times the longest of the measured intervals
_JITTER = 2  # frames


class Timeline:
    """Lays frames one after the other on one line of time.

    Times that rise are taken as they are: uneven ones, and those of films with seconds or minutes between two
    pictures. What no film means to say is replaced by the usual interval, the median of the last ones: a time that
    falls, as where parts were joined, and a pause that is both unusual for this film and longer than `longest_pause_s`.
    A time that falls by a frame or two, or stands still, holds the line for as many frames; where it goes on standing,
    the usual intervals pass until it rises again.

    Args:
        usual_s: The interval until some have been measured.
        longest_pause_s: No shorter pause is replaced.
    """

    def __init__(self, usual_s: float, longest_pause_s: float = LONGEST_PAUSE_S) -> None:
        self._first_usual_s = usual_s
        self._longest_pause_s = longest_pause_s
        self._intervals: deque[float] = deque(maxlen=_MEASURED)
        self._stated_s: float | None = None  # the last one that was taken as it is
        self._shift_s = 0.0  # from what is stated to what is shown
        self._shown_s = 0.0
        self._standing = 0  # frames since the last whose time rose
        self._owed = 0  # intervals that the line was held for

    @property
    def usual_s(self) -> float:
        """The usual interval between two frames."""
        return median(self._intervals) if self._intervals else self._first_usual_s

    def place(self, stated_s: float | None) -> float:
        """When the next frame is shown, in seconds; never before the last one.

        Args:
            stated_s: What its container or clock says; None for nothing.
        """
        if self._stated_s is None:
            return self._begin(0.0 if stated_s is None else stated_s)
        if stated_s is None:
            return self._go_on(self._stated_s + self.usual_s)
        step_s = stated_s - self._stated_s
        if step_s <= 0:
            return self._stand_or_fall(stated_s, step_s)
        frames = self._standing + 1
        self._standing = self._owed = 0
        if self._is_jump(step_s):
            return self._go_on(stated_s)
        self._intervals.append(step_s / frames)  # a clock may be too coarse to move with every frame
        return self._rise(stated_s, step_s)

    def _begin(self, stated_s: float) -> float:
        # A film may begin late, as one that was cut out of another does, but by no more than a pause.
        return self._continue(stated_s, stated_s if 0 <= stated_s <= self._longest_pause_s else 0.0)

    def _go_on(self, stated_s: float) -> float:
        """What is stated means nothing by itself: the usual interval has passed, and the line goes on from there."""
        return self._continue(stated_s, self._shown_s + self.usual_s)

    def _continue(self, stated_s: float, shown_s: float) -> float:
        self._shown_s = shown_s
        self._stated_s, self._shift_s = stated_s, shown_s - stated_s
        return shown_s

    def _rise(self, stated_s: float, step_s: float) -> float:
        line_s = stated_s + self._shift_s
        if line_s < self._shown_s:  # frames whose times stood still were shown meanwhile, and are not made up for
            return self._continue(stated_s, self._shown_s + min(step_s, self.usual_s))
        self._stated_s, self._shown_s = stated_s, line_s
        return line_s

    def _stand_or_fall(self, stated_s: float, step_s: float) -> float:
        self._standing += 1
        self._owed += 1
        is_fall = -step_s > _JITTER * self.usual_s
        if is_fall or self._standing > _JITTER:
            self._shown_s += self._owed * self.usual_s
            self._owed = 0
        if is_fall:
            self._continue(stated_s, self._shown_s)
        return self._shown_s

    def _is_jump(self, step_s: float) -> bool:
        # Until an interval has been measured, only the file itself says what is usual, and it may be wrong.
        longest_pause_s = self._longest_pause_s if self._intervals else LONGEST_PAUSE_S
        return step_s > max(longest_pause_s, _UNUSUAL * max(self._intervals, default=self._first_usual_s))
