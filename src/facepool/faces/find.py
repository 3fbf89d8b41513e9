"""Where the faces of a still picture are, also where it is large or lies on its side or head.

A picture is looked at once. Only where that leaves a doubt it is looked at again:

- **closer**, where it is large and no large face is in it;
- **enlarged**, where it is small and so is every face in it: the detector misses one in ten faces of 20 pixels, and
  puts the landmarks of the others 14 % of the distance between the eyes away, of enlarged ones 6 %;
- **turned by quarter turns**, where no face is clearly one. A detector that has learned upright faces finds something
  in an upside-down one, too, and puts its landmarks where they would be if it was upright; such a face resembles
  others of its kind more than it resembles its own person.

A face that is turned aside, or very large, is then looked at alone for its landmarks: ``facepool.faces.refine``.

Of 1,040 photos of LFW as they are, 0.6 % had no clear face and were looked at again, and none was turned; turned by 90,
180 and 270 degrees, 99.9 % were found upright: ``docs/adr/0029-photos-that-do-not-lie-upright.md``, and
``benchmarks/accuracy/turned.py`` for error rates.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from facepool.faces.detect import RetinaFace
from facepool.faces.pose import NO_HEAD_MM, Heads, fit_heads
from facepool.faces.refine import FaceCrop
from facepool.geometry import turn_boxes, turn_image, turn_points, turn_size
from facepool.types import TURNS, Detections, Image, Indices, Mask, Turn

Detect = Callable[[Sequence[Image]], list[Detections]]
"""Finds the faces of each image, as ``RetinaFace.detect``."""

_CLEAR_SCORE = 0.995
_CLEAR_MISFIT_MM = 4.0
_CLEAR_ROLL = 40.0
"""A face within all three settles that the picture is upright."""
_TURNED_SCORE = 0.9
"""What a face needs for the picture to be turned for it."""
_HARDLY = 0.02
"""The chance of an upright face where a look shows none."""
_UPRIGHT_ROLL = 50.0
"""Degrees; a face that leans further is upright by another quarter turn."""
_LARGE_SHARE = 0.1
"""Of the picture's long side: a face of that size is what the picture is about."""
_LARGER = 1.25
"""How much larger than what the detector is given a picture must be for a closer look to show more."""

_ASIDE = 20.0
"""Degrees of yaw from which on a face's landmarks are taken from a look at it alone."""
_TOO_LARGE_PX = 320
"""As the detector sees it: a larger face likewise."""
_TILTED = 15.0
"""Degrees of roll that are taken out for that look; below them it shows the same."""
_REFINED = 16
"""Faces of a picture that are looked at alone at most, the largest ones."""
_SMALL_PX = 48.0
"""A face of that size is large enough for the detector to place its landmarks well."""
_ENLARGED = 4.0
"""How much a small picture is enlarged at most: beyond that landmarks get no better."""

_BACK: dict[Turn, Turn] = {0: 0, 90: 270, 180: 180, 270: 90}


@dataclass(frozen=True, slots=True)
class FoundFaces:
    """Faces of an image, and the heads that their landmarks fit, one row a face.

    Attributes:
        detections: In pixels of the image as it lies.
        heads: In the image as it is turned.
    """

    detections: Detections
    heads: Heads

    @classmethod
    def of(cls, detections: Detections, image_wh: tuple[int, int]) -> "FoundFaces":
        """Fit heads to what was found."""
        heads = fit_heads(detections.landmarks, image_wh, detections.turn)
        return cls(replace(detections, misfit_mm=heads.misfit_mm), heads)

    @property
    def clear(self) -> Mask:
        """(N,) bool: faces that are upright beyond doubt."""
        return self._within(_CLEAR_SCORE, _CLEAR_MISFIT_MM, _CLEAR_ROLL)

    @property
    def plausible(self) -> Mask:
        """(N,) bool: faces that are clearly faces, and upright."""
        return self._within(_TURNED_SCORE, NO_HEAD_MM, _UPRIGHT_ROLL)

    @property
    def evidence(self) -> float:
        """What speaks for the turn, 0..1: the score of the surest face that is upright by it."""
        # The picture as it lies needs no proof.
        least = _TURNED_SCORE if self.detections.turn else 0.0
        return self._surest(least)

    @property
    def log_odds(self) -> float:
        """Of the surest upright face, however unsure; where there is none, of hardly any chance."""
        surest = min(max(self._surest(0.0), _HARDLY), 1 - 1e-4)
        return math.log(surest / (1 - surest))

    def _surest(self, least: float) -> float:
        rows = self._within(least, NO_HEAD_MM, _UPRIGHT_ROLL)
        return float(self.detections.scores[rows].max(initial=0.0))

    @property
    def aside(self) -> Mask:
        """(N,) bool: faces that are turned aside so far that their landmarks are placed badly."""
        yaws = [0.0 if pose is None else abs(pose.yaw) for pose in self.heads.poses]
        return np.array(yaws, np.float32) > _ASIDE

    def clockwise(self, row: int) -> float:
        """Degrees by which the image has to be turned for a face to be upright."""
        pose = self.heads.poses[row]
        roll = 0.0 if pose is None or abs(pose.roll) <= _TILTED else pose.roll
        return self.detections.turn - roll

    def _within(self, score: float, misfit_mm: float, roll: float) -> Mask:
        rolls = np.array([np.inf if pose is None else abs(pose.roll) for pose in self.heads.poses], np.float32)
        fits = self.heads.misfit_mm <= misfit_mm
        return np.asarray((self.detections.scores >= score) & fits & (rolls <= roll))


class PictureFinder:
    """Finds the faces of still pictures.

    Args:
        detector: Says how large pictures are looked at, and merges passes.
        detect: Its ``detect``, or something before it.
        detect_closer: Likewise ``detect_closer``.
    """

    def __init__(self, detector: RetinaFace, detect: Detect, detect_closer: Detect) -> None:
        self._detector = detector
        self._detect = detect
        self._detect_closer = detect_closer

    def find(self, images_bgr: Sequence[Image]) -> list[FoundFaces]:
        """Find the faces of several images, (H, W, 3) uint8 BGR each.

        Returns:
            One an image, best score first.
        """
        firsts = self._detect(images_bgr)
        settled = [self._settled(image, first) for image, first in zip(images_bgr, firsts, strict=True)]
        return [self._refined(image, found) for image, found in zip(images_bgr, settled, strict=True)]

    def _refined(self, image_bgr: Image, found: FoundFaces) -> FoundFaces:
        """The faces, with better landmarks for those whose landmarks a look at the whole picture places badly."""
        rows = self._to_refine(found, max(image_bgr.shape[:2]))
        if not len(rows):
            return found
        detections = found.detections
        crops = [FaceCrop.cut(image_bgr, detections.boxes[row], found.clockwise(row)) for row in rows]
        landmarks = detections.landmarks.copy()
        looks = self._detect_closer([crop.image_bgr for crop in crops])
        for row, crop, look in zip(rows, crops, looks, strict=True):
            better = crop.landmarks(look)
            landmarks[row] = landmarks[row] if better is None else better
        size_wh = image_bgr.shape[1], image_bgr.shape[0]
        return FoundFaces.of(replace(detections, landmarks=landmarks), size_wh)

    def _to_refine(self, found: FoundFaces, long_side: int) -> Indices:
        options, boxes = self._detector.options, found.detections.boxes
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        too_large = sides * min(1.0, options.size / long_side) > _TOO_LARGE_PX
        rows = np.flatnonzero(found.aside | too_large)
        return rows[np.argsort(-sides[rows], kind="stable")[:_REFINED]]

    def _settled(self, image_bgr: Image, first: Detections) -> FoundFaces:
        picture = _Picture(image_bgr)
        if self._is_small(picture, first):
            return self._settled_enlarged(picture, picture.fitted(first))
        found = self._with_closer_look(picture, picture.fitted(first))
        if found.clear.any():
            return found
        best = self._surest_turn(picture, (found,), self._detect, min(picture.long_side, self._detector.options.reach))
        return found if best is found else self._with_closer_look(picture, best)

    def _is_small(self, picture: "_Picture", first: Detections) -> bool:
        """Whether an enlarged picture would show more, which costs no more than a look at a large one."""
        small = 2 * picture.long_side <= self._detector.options.reach
        return small and float(first.sizes.max(initial=0)) < _SMALL_PX

    def _settled_enlarged(self, picture: "_Picture", first: FoundFaces) -> FoundFaces:
        long_side = round(min(_ENLARGED * picture.long_side, self._detector.options.reach))
        found = picture.fitted(picture.look(self._detect_closer, long_side, 0))
        if found.clear.any():
            return found
        best = self._surest_turn(picture, (first, found), self._detect_closer, long_side)
        if not best.detections.turn or float(best.detections.sizes.max(initial=0)) < _SMALL_PX:
            return best
        # It is no small face, but one that lies: such a picture is looked at as it would be if it was upright.
        plain = picture.fitted(picture.look(self._detect, picture.long_side, best.detections.turn))
        return plain if plain.plausible.any() else best

    def _surest_turn(
        self, picture: "_Picture", lying: Sequence[FoundFaces], detect: Detect, long_side: int
    ) -> FoundFaces:
        """What was found in a picture as it lies, or by the quarter turn that more speaks for."""
        others = [picture.fitted(picture.look(detect, long_side, turn)) for turn in TURNS if turn]
        possible = [faces for faces in (*lying, *others) if faces.evidence > 0]
        if len({faces.detections.turn for faces in possible}) < 2:
            return max((*lying, *possible), key=lambda faces: faces.evidence)
        # Scores of one look are too close to tell; what only looks like a face seldom does so at two sizes.
        smaller = max(1, long_side // 2)
        again = {
            turn: picture.fitted(picture.look(detect, smaller, turn)).log_odds
            for turn in {faces.detections.turn for faces in possible}
        }
        return max(possible, key=lambda faces: faces.log_odds + again[faces.detections.turn])

    def _with_closer_look(self, picture: "_Picture", found: FoundFaces) -> FoundFaces:
        """The faces, and smaller ones where the picture is large and none of its faces is."""
        options, long_side = self._detector.options, picture.long_side
        if options.closer_size is None or long_side < _LARGER * options.reach:
            return found
        if (found.detections.sizes[found.plausible] >= _LARGE_SHARE * long_side).any():
            return found
        closer_side = min(long_side, options.closer_size)
        closer = picture.look(self._detect_closer, closer_side, found.detections.turn)
        scales = min(1.0, options.size / long_side), closer_side / long_side
        return picture.fitted(self._detector.merge(found.detections, closer, scales))


class _Picture:
    """A picture that is looked at more than once.

    Args:
        image_bgr: (H, W, 3) uint8 BGR, as it lies.
    """

    def __init__(self, image_bgr: Image) -> None:
        self.size_wh = image_bgr.shape[1], image_bgr.shape[0]
        self.long_side = max(self.size_wh)
        self._views = [image_bgr]

    def fitted(self, detections: Detections) -> FoundFaces:
        """What was found in it, in its pixels, with heads."""
        return FoundFaces.of(detections, self.size_wh)

    def look(self, detect: Detect, long_side: int, turn: Turn) -> Detections:
        """Its faces, looked at so large and turned clockwise; in its pixels, as it lies."""
        view = self._scaled_to(long_side)
        (found,) = detect([turn_image(view, turn)])
        view_wh = view.shape[1], view.shape[0]
        turned_wh, to_picture = turn_size(view_wh, turn), np.array(self.size_wh, np.float32) / np.array(view_wh)
        boxes = turn_boxes(found.boxes, turned_wh, _BACK[turn]) * np.tile(to_picture, 2)
        landmarks = turn_points(found.landmarks, turned_wh, _BACK[turn]) * to_picture
        return Detections(boxes.astype(np.float32), found.scores, landmarks.astype(np.float32), turn)

    def _scaled_to(self, long_side: int) -> Image:
        """Scaled so that turning it costs little; once, and out of a view just larger where there is one."""
        scale = long_side / self.long_side
        view_wh = max(1, round(self.size_wh[0] * scale)), max(1, round(self.size_wh[1] * scale))
        larger = [view for view in self._views if max(view.shape[:2]) >= max(view_wh)] or self._views[:1]
        view = min(larger, key=lambda view: view.size)
        if (view.shape[1], view.shape[0]) != view_wh:
            flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            view = np.asarray(cv2.resize(view, view_wh, interpolation=flags), np.uint8)
            self._views.append(view)
        return view
