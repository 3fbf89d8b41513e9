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
_LEAST_RELIEF = 0.2
"""Of a head, in the same unit. Heads have 0.3 to 0.6."""
_ENOUGH_TO_TELL = 0.75
"""A turn that tells head from plane where nobody asks for turns, as a share of a clear one."""
_MOST_ROLL_DEG = 12.0
"""Tilted further to the shoulder than when it looked straight ahead, a face is not measured: detectors draw the nose to
where that of an upright face would be."""
# Of a face narrower than this nothing is known.
_LEAST_NARROW = 0.25
_SMOOTH_S, _SMOOTH_FRAMES = 0.35, 3
# Without parallax, a face that is foreshortened like this (its tangent) is flat: by 33 degrees. A mouth that opens
# makes a face longer as well, though not that much. A few such views may be errors.
_TILTED = 0.65
_FEW_VIEWS = 4
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
            for a plane. None where nothing turned or was foreshortened.
    """

    verdict: Verdict
    relief: float | None

    @property
    def score(self) -> float:
        """0..1: the relief as a share of what a head has at least; 0 where nothing turned."""
        if self.relief is None:
            return 1.0 if self.verdict == "solid" else 0.0
        return min(1.0, max(0.0, self.relief / _LEAST_RELIEF))


class NoseTrack:
    """Follows a nose through the frames of one face.

    Attributes:
        latest: Where it is by the last frame alone; None before the first.
    """

    def __init__(self) -> None:
        self.latest: NosePlace | None = None
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
        self.latest = place
        self._recent.append(place)
        while len(self._recent) > _SMOOTH_FRAMES and self._recent[0].time_s < time_s - _SMOOTH_S:
            self._recent.popleft()
        return typical(self._recent) if len(self._recent) >= _SMOOTH_FRAMES else None


class FlatTest:
    """Says of a face that moves whether it is a plane's: for films, and for scans without a challenge.

    Until it is told how the face looks straight ahead, the usual view of it stands for that.
    """

    def __init__(self) -> None:
        self._track = NoseTrack()
        self._before: deque[NosePlace] = deque(maxlen=_KEPT)
        self._straight: NosePlace | None = None
        self._relief = Relief()

    def add(self, time_s: float, landmarks: Floats) -> None:
        """One more frame of the same face.

        Args:
            time_s: When; times grow.
            landmarks: (5, 2) float32 in pixels; those that span no face are left out.
        """
        place = self._track.add(time_s, landmarks)
        if place is None:
            return
        if self._straight is None:
            self._before.append(place)
        else:
            self._relief.add(parallax_of(place, self._straight, _ENOUGH_TO_TELL))

    def look_straight(self, since_s: float) -> None:
        """Take the frames since then for those in which the face looks straight ahead; what was before is forgotten."""
        straight = [place for place in self._before if place.time_s >= since_s]
        if straight:
            self._straight = typical(straight)
            self._before.clear()

    def measure(self) -> Flatness:
        """What all frames so far say."""
        if self._straight is not None or not self._before:
            return self._relief.judge()
        usual, relief = typical(self._before), Relief()
        for place in self._before:
            relief.add(parallax_of(place, usual, _ENOUGH_TO_TELL))
        return relief.judge()


class Relief:
    """How far a nose stands out by many views together: the slope of parallax over foreshortening (least squares)."""

    def __init__(self) -> None:
        self._turned = _Line()
        self._tilted = _Line()

    def add(self, parallax: Parallax | None) -> None:
        """One more view; None tells nothing."""
        if parallax is not None and parallax.turn.reach >= 1:
            self._turned.add(parallax.tilt, parallax.length)
        elif parallax is not None and parallax.tilt >= _TILTED:
            self._tilted.add(parallax.tilt, parallax.length)

    def judge(self) -> Flatness:
        """Plane or head: by the views in which the nose has clearly moved, if there are any."""
        turned, tilted = self._turned, self._tilted
        if tilted.points > max(turned.points / 4, _FEW_VIEWS):
            return Flatness("flat", tilted.slope)
        if turned.points <= _FEW_VIEWS:
            return Flatness("not_enough_motion", None)
        return Flatness("flat" if turned.slope is not None and turned.slope < _LEAST_RELIEF else "solid", turned.slope)


class _Line:
    """A line through the origin."""

    def __init__(self) -> None:
        self.points = 0
        self._products = self._squares = 0.0

    def add(self, x: float, y: float) -> None:
        self.points += 1
        self._products += x * y
        self._squares += x * x

    @property
    def slope(self) -> float | None:
        """None for a line through points that all lie above the origin."""
        return self._products / self._squares if self._squares else None


def nose_place(time_s: float, landmarks: Floats) -> NosePlace | None:
    """Where the nose is in one frame; None for points that span no face."""
    points = np.asarray(landmarks, np.float64)
    if not np.isfinite(points).all():
        return None
    corners = points[_OTHERS]
    middle = corners.mean(axis=0)
    across = _TO_CORNERS @ (corners - middle)
    wide, narrow = np.linalg.svd(across, compute_uv=False)
    if narrow < max(1.0, _LEAST_NARROW * wide):
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
