"""Who works the attacks: which film a screen shows, and who or what is held up when."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facepool import open_source
from facepool.faces.analyze import Analyzer
from facepool.types import Image
from liveness.motion import Asked, Instruction
from liveness.surfaces import Doubles

_FILM_S = 30.0
_LONG_SIDE = 480


class Guess:
    """An operator who cannot know what will be asked: each turn that is asked for gets the next one of a guess."""

    def __init__(self, order: list[float]) -> None:
        self._order, self._next = order, -1
        self._before: float | None = None

    def hears(self, _time_s: float, asked: Asked) -> Asked:
        """What the person in the film was asked."""
        if asked is not None and asked.angle_deg != self._before:
            self._next += 1
        self._before = None if asked is None else asked.angle_deg
        return None if asked is None else Instruction(self._order[self._next % len(self._order)])


class Recording:
    """A film of another challenge, held at its first picture until the first turn is asked for."""

    def __init__(self, order: list[float], random: np.random.Generator, *, returns: bool) -> None:
        self._order = order
        self._began_s: float | None = None
        self._turn_s, self._back_s = (
            float(random.uniform(1.0, 1.8)),
            float(random.uniform(0.7, 1.3)) if returns else 0.0,
        )

    def hears(self, time_s: float, asked: Asked) -> Asked:
        """What the person in the film was asked."""
        if asked is not None and self._began_s is None:
            self._began_s = time_s
        if self._began_s is None:
            return None
        step, within_s = divmod(time_s - self._began_s, self._turn_s + self._back_s)
        return None if within_s > self._turn_s else Instruction(self._order[int(step) % len(self._order)])


class Swap:
    """The second takes over when so many steps were asked for, after a moment in which nobody is there."""

    def __init__(self, after: int, gap_s: float) -> None:
        self._after, self._gap_s = after, gap_s
        self._asked = 0
        self._before: float | None = None
        self._since_s: float | None = None

    def chosen(self, time_s: float, asked: Asked) -> int | None:
        """Who is there."""
        if asked is not None and asked.angle_deg != self._before:
            self._asked += 1
        self._before = None if asked is None else asked.angle_deg
        if self._asked < self._after:
            return 0
        self._since_s = time_s if self._since_s is None else self._since_s
        return None if time_s - self._since_s < self._gap_s else 1


class Showing:
    """Whoever holds up one print after the other: number 0 straight ahead, then the directions in order."""

    def __init__(self, reaction_s: float, gap_s: float) -> None:
        self.gap_s = gap_s
        self._reaction_s = reaction_s
        self._wanted = 0
        self._since_s, self._shown = 0.0, 0

    def chosen(self, time_s: float, asked: Asked) -> int | None:
        """Which print is there."""
        wanted = 0 if asked is None else 1 + round(asked.angle_deg / 45) % 8
        if wanted != self._wanted:
            self._wanted, self._since_s = wanted, time_s
        if wanted == self._shown or time_s - self._since_s < self._reaction_s:
            return self._shown
        if time_s - self._since_s < self._reaction_s + self.gap_s:
            return None
        self._shown = wanted
        return wanted


@dataclass(frozen=True)
class Film:
    """A film of a real person.

    Attributes:
        frames: (H, W, 3) uint8 each.
        times_s: When each is shown.
        pupils_px, middle_px: Of the face in its first picture with one.
    """

    frames: list[Image]
    times_s: Doubles
    pupils_px: float
    middle_px: Doubles

    @property
    def length_s(self) -> float:
        """From the first frame to the last."""
        return float(self.times_s[-1])

    @classmethod
    def read(cls, path: Path, analyzer: Analyzer) -> "Film":
        """All of it, or its first half minute, no larger than what is filmed with."""
        frames, times = [], []
        with open_source(str(path)) as source:
            for frame in source:
                time_s = frame.time_s or 0.0
                if time_s > _FILM_S:
                    break
                scale = min(1.0, _LONG_SIDE / max(frame.image_bgr.shape))
                frames.append(np.asarray(cv2.resize(frame.image_bgr, None, fx=scale, fy=scale), np.uint8))
                times.append(time_s)
        face = next(found for frame in frames if len(found := analyzer.find(frame, moving=True)))
        points = face.landmarks[0].astype(np.float64)
        return cls(frames, np.array(times), float(np.hypot(*(points[1] - points[0]))), points.mean(axis=0))


class Playing:
    """A film that is held at some moment until the first turn is asked for."""

    def __init__(self, film: Film, start_s: float) -> None:
        self._film, self._start_s = film, start_s
        self._began_s: float | None = None

    def picture(self, time_s: float, asked: Asked) -> Image:
        """What the screen shows; the film runs to its end and begins anew."""
        if asked is not None and self._began_s is None:
            self._began_s = time_s
        played_s = 0.0 if self._began_s is None else time_s - self._began_s
        at_s = (self._start_s + played_s) % max(self._film.length_s, 1e-3)
        return self._film.frames[int(np.searchsorted(self._film.times_s, at_s, side="right")) - 1]
