"""Is this motion a plane's? Five landmarks over time tell a head from a picture of one.

Eyes and mouth lie nearly in a plane; the nose tip stands out of it. However a flat picture is tilted, turned, moved or
shaken, its five points stay those of one plane: seen from the eyes and the mouth, the nose keeps its place. A head that
turns moves its nose against them, by the tangent of its turn times how far the nose stands out: the parallax of a point
beside a plane (Irani and Anandan, "Parallax geometry of pairs of points for 3D scene analysis", 1996). So a turn is
measured here by that parallax alone; a plane does not turn at all.

Parallax has to come with foreshortening: the ratio of both is the relief, how far the nose stands out. A sheet that is
bent, or a detector that takes a narrow face for a turned one, shows less of it than a head.

docs/adr/0058-a-plane-has-no-parallax.md has the measurements.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from facepool.faces.facing import HeadTurn, turn_of
from facepool.types import Floats

Doubles = npt.NDArray[np.float64]

Verdict = Literal["flat", "solid", "not_enough_motion"]
"""``not_enough_motion``: nothing turned far enough to tell."""

# Eyes and mouth corners of a face that looks straight ahead, in units of the distance from the eyes' middle to the
# mouth's, with the origin in the middle of the four; y downwards. Only the unit matters: a person's own face is the
# reference.
_CORNERS: Doubles = np.array([[-0.463, -0.5], [0.463, -0.5], [-0.412, 0.5], [0.412, 0.5]])
_TO_CORNERS: Doubles = np.asarray(np.linalg.pinv(_CORNERS), np.float64)
_NOSE = 2
_OTHERS = [0, 1, 3, 4]

_FULL = (0.14, 0.07)
"""Parallax of a clear turn to the side and up or down, in that unit: 16 and 9 degrees of an average head."""
_RELIEF = 0.25
"""Least relief of a head, in the same unit. Heads have 0.35 to 0.5."""
_MOST_ROLL_DEG = 12.0
"""Tilted further to the shoulder than when it looked straight ahead, a face is not measured: detectors draw the nose to
where that of an upright face would be."""
# Of a face narrower than this nothing is known.
_LEAST_NARROW = 0.25
_SMOOTH_S, _SMOOTH_FRAMES = 0.35, 3
# Without parallax, a face that is foreshortened like this (its tangent) is flat: by 40 degrees. A mouth that opens
# makes a face longer, too, though not that much.
_TILTED = 0.8
_TILTED_SAMPLES = 5
_KEPT = 2000


@dataclass(frozen=True, slots=True)
class NosePlace:
    """Where a nose is against eyes and mouth; the median of a few frames.

    Attributes:
        time_s: Of the last frame.
        nose: (2,) its place as the eyes and the mouth have it.
        across: (2, 2) the affine map from an average face to the picture, x and y as rows.
        roll_deg: How far the eyes' line is tilted.
    """

    time_s: float
    nose: Doubles
    across: Doubles
    roll_deg: float


@dataclass(frozen=True, slots=True)
class Parallax:
    """How a nose has moved since its face looked straight ahead.

    Attributes:
        moved: (2,) to the picture's right and upwards, 1 for a clear turn.
        length: The same in units of the distance between eyes and mouth.
        tilt: Tangent of the angle by which eyes and mouth are foreshortened.
    """

    moved: Doubles
    length: float
    tilt: float

    @property
    def turn(self) -> HeadTurn:
        """Which way a head is turned whose nose has moved like that; reach 1 is a clear turn."""
        return turn_of(float(self.moved[0]), float(self.moved[1]))


@dataclass(frozen=True, slots=True)
class Flatness:
    """What the landmarks say so far.

    Attributes:
        verdict: Plane or head.
        relief: How far the nose stands out, in units of the distance between eyes and mouth; about 0.4 for a head, 0
            for a plane. None where nothing turned.
    """

    verdict: Verdict
    relief: float | None

    @property
    def score(self) -> float:
        """0..1: the relief as a share of what a head has at least; 0 where nothing turned."""
        return 0.0 if self.relief is None else min(1.0, max(0.0, self.relief / _RELIEF))


class NoseTrack:
    """Follows a nose through the frames of one face."""

    def __init__(self) -> None:
        self._recent: deque[NosePlace] = deque()

    def add(self, time_s: float, landmarks: Floats) -> NosePlace | None:
        """One more frame.

        Args:
            time_s: When; times grow.
            landmarks: (5, 2) float32 in pixels.

        Returns:
            Where the nose is by the last frames; None where there are too few, or this one spans no face.
        """
        place = nose_place(time_s, landmarks)
        if place is None:
            return None
        self._recent.append(place)
        while len(self._recent) > _SMOOTH_FRAMES and self._recent[0].time_s < time_s - _SMOOTH_S:
            self._recent.popleft()
        return typical(self._recent) if len(self._recent) >= _SMOOTH_FRAMES else None


class FlatTest:
    """Collects what a face does and says whether it is a plane's: for films, and for scans without a challenge.

    Until it is told how the face looks straight ahead, the usual view of it stands for that.
    """

    def __init__(self) -> None:
        self._track = NoseTrack()
        self._places: deque[NosePlace] = deque(maxlen=_KEPT)
        self._straight: NosePlace | None = None

    def add(self, time_s: float, landmarks: Floats) -> None:
        """One more frame of the same face.

        Args:
            time_s: When; times grow.
            landmarks: (5, 2) float32 in pixels; those that span no face are left out.
        """
        place = self._track.add(time_s, landmarks)
        if place is not None:
            self._places.append(place)

    def look_straight(self, since_s: float) -> None:
        """Take the frames since then for those in which the face looks straight ahead."""
        straight = [place for place in self._places if place.time_s >= since_s]
        self._straight = typical(straight) if straight else self._straight

    def measure(self) -> Flatness:
        """What all frames so far say."""
        if not self._places:
            return Flatness("not_enough_motion", None)
        straight = self._straight or typical(self._places)
        seen = [parallax for place in self._places if (parallax := parallax_of(place, straight)) is not None]
        return judge([one for one in seen if one.turn.reach >= 1], seen)


def judge(turned: Sequence[Parallax], looked_at: Sequence[Parallax]) -> Flatness:
    """Plane or head.

    Args:
        turned: Views in which the nose has clearly moved.
        looked_at: All views.
    """
    if turned:
        relief = relief_of(turned)
        return Flatness("flat" if relief is not None and relief < _RELIEF else "solid", relief)
    tilted = [one for one in looked_at if one.tilt >= _TILTED]
    relief = relief_of(tilted)
    return Flatness("not_enough_motion" if len(tilted) < _TILTED_SAMPLES else "flat", relief)


def relief_of(seen: Sequence[Parallax]) -> float | None:
    """How far a nose stands out by all views together (least squares); None without any that are foreshortened."""
    lengths, tilts = np.array([one.length for one in seen]), np.array([one.tilt for one in seen])
    return float(lengths @ tilts / (tilts @ tilts)) if len(seen) and tilts.any() else None


def nose_place(time_s: float, landmarks: Floats) -> NosePlace | None:
    """Where the nose is in one frame; None for points that span no face."""
    points = np.asarray(landmarks, np.float64)
    corners = points[_OTHERS]
    middle = corners.mean(axis=0)
    across = _TO_CORNERS @ (corners - middle)
    wide, narrow = np.linalg.svd(across, compute_uv=False)
    if not np.isfinite(wide) or narrow < max(1.0, _LEAST_NARROW * wide):
        return None
    right, down = points[1] - points[0]
    roll_deg = float(np.degrees(np.arctan2(down, right)))
    return NosePlace(time_s, (points[_NOSE] - middle) @ np.linalg.inv(across), across, roll_deg)


def typical(places: Sequence[NosePlace] | deque[NosePlace]) -> NosePlace:
    """The median of at least one."""
    # Pictures of a face that comes closer are the same but for their size.
    across = [place.across / np.sqrt(abs(np.linalg.det(place.across))) for place in places]
    roll_deg = float(np.median([place.roll_deg for place in places]))
    return NosePlace(
        places[-1].time_s, np.median([place.nose for place in places], axis=0), np.median(across, axis=0), roll_deg
    )


def parallax_of(place: NosePlace, straight: NosePlace, enough: float = 1.0) -> Parallax | None:
    """How the nose has moved.

    Args:
        place: Where it is.
        straight: Where it was, straight ahead.
        enough: What is to count as a clear turn, as a share of one.

    Returns:
        None for a head that is tilted too far to the shoulder.
    """
    if abs((place.roll_deg - straight.roll_deg + 180) % 360 - 180) > _MOST_ROLL_DEG:
        return None
    right, down = place.nose - straight.nose
    wide, narrow = np.linalg.svd(np.linalg.inv(straight.across) @ place.across, compute_uv=False)
    tilt = float(np.sqrt(max((wide / narrow) ** 2 - 1, 0.0)))
    return Parallax(np.array([right / _FULL[0], -down / _FULL[1]]) / enough, float(np.hypot(right, down)), tilt)
