"""Is this motion a plane's? Five landmarks over time tell a head from a picture of one.

Eyes and mouth lie nearly in a plane; the nose tip stands out of it. However a flat picture is tilted, turned, moved or
shaken, its five points follow one plane: seen from the eyes and the mouth, the nose stays where it is. A head that
turns moves its nose against them, by as much as the nose stands out (plane-plus-parallax: Irani and Anandan, 1996).
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from facepool.types import Floats

Doubles = npt.NDArray[np.float64]

Verdict = Literal["flat", "solid", "not_enough_motion"]
"""``not_enough_motion``: nothing turned far enough to tell."""

# Where eyes and mouth corners lie on a face that looks straight ahead, in units of the distance from the eyes' middle
# to the mouth's, with the origin in the middle of the four; y downwards.
_CORNERS: Doubles = np.array([[-0.463, -0.5], [0.463, -0.5], [-0.412, 0.5], [0.412, 0.5]])
_NOSE = 2
_OTHERS = [0, 1, 3, 4]

_WINDOW_S, _WINDOW_FRAMES = 0.35, 3
_SOLID = 0.10
_FORESHORTENED = 0.85


@dataclass(frozen=True, slots=True)
class Flatness:
    """What the landmarks say so far.

    Attributes:
        verdict: Plane or head.
        score: 0..1: how far the nose moved against eyes and mouth, as a share of what it takes to be a head.
        parallax: The same in units of the distance between eyes and mouth.
    """

    verdict: Verdict
    score: float
    parallax: float


class FlatTest:
    """Collects landmarks and says whether they are a plane's."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, Doubles]] = deque()
        self._smooth: list[Doubles] = []

    def add(self, time_s: float, landmarks: Floats) -> None:
        """One more frame of the same face.

        Args:
            time_s: When.
            landmarks: (5, 2) float32 in pixels; those that span no face are left out.
        """
        seen = _nose_among_others(landmarks)
        if seen is None:
            return
        self._recent.append((time_s, seen))
        while len(self._recent) > _WINDOW_FRAMES and self._recent[0][0] < time_s - _WINDOW_S:
            self._recent.popleft()
        if len(self._recent) >= _WINDOW_FRAMES:
            self._smooth.append(np.median([one for _, one in self._recent], axis=0))

    def measure(self) -> Flatness:
        """What all frames so far say."""
        if not self._smooth:
            return Flatness("not_enough_motion", 0.0, 0.0)
        smooth = np.array(self._smooth)
        low, high = np.percentile(smooth[:, :2], (5, 95), axis=0)
        parallax = float(np.hypot(*(high - low)))
        if parallax >= _SOLID:
            return Flatness("solid", 1.0, parallax)
        narrowed = np.percentile(smooth[:, 2], 5) < _FORESHORTENED * np.percentile(smooth[:, 2], 95)
        return Flatness("flat" if narrowed else "not_enough_motion", parallax / _SOLID, parallax)


def _nose_among_others(landmarks: Floats) -> Doubles | None:
    """(3,): where the nose is as the eyes and the mouth have it, and how much they are foreshortened; None: no face."""
    points = np.asarray(landmarks, np.float64)
    corners = points[_OTHERS]
    middle = corners.mean(axis=0)
    across, _, _, _ = np.linalg.lstsq(_CORNERS, corners - middle, rcond=None)
    lengths = np.linalg.svd(across, compute_uv=False)
    if not np.isfinite(lengths).all() or lengths[1] < 1 or lengths[1] < 0.1 * lengths[0]:
        return None
    nose = (points[_NOSE] - middle) @ np.linalg.inv(across)
    return np.array([*nose, lengths[1] / lengths[0]])
