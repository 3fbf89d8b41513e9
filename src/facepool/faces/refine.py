"""Landmarks of a face from a second look at it alone: upright, and as large as the detector places landmarks best.

The detector's error is least for faces of about 160 pixels, and it grows where a head is turned aside. Such a face is
cut out with as much again around it, turned upright and scaled, which costs a third of a look at a 640x480 picture:
``docs/adr/0051-landmarks-and-scales.md``.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from facepool.geometry import iou
from facepool.types import Detections, Floats, Image

Doubles = npt.NDArray[np.float64]

_FACE_PX = 160
"""Long side of a face's box in the crop; of 80 to 224 the one with the least error."""
_CROP_PX = 2 * _FACE_PX
_SHRUNK_WELL = 0.6
"""Bilinear sampling sees every pixel of what is shrunk by no more."""
_SAME_FACE = 0.3
"""Overlap with the box that was cut out, from which on what is found in the crop is that face."""
_PADDING_BGR = (104, 117, 123)


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """A face cut out for a second look.

    Attributes:
        image_bgr: (320, 320, 3) uint8 BGR, the face upright in its middle, grey beyond the picture's border.
        from_picture: (2, 3) float64: where a point of the picture lies in it.
    """

    image_bgr: Image
    from_picture: Doubles

    @classmethod
    def cut(cls, image_bgr: Image, box: Floats, clockwise: float) -> Self:
        """Cut a face out.

        Args:
            image_bgr: (H, W, 3) uint8 BGR.
            box: (4,) float32 xyxy in pixels of it.
            clockwise: Degrees by which the picture has to be turned for the face to be upright.
        """
        scale = _FACE_PX / max(1.0, float((box[2:] - box[:2]).max()))
        angle = np.radians(clockwise)
        turned = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = _CROP_PX / 2 - turned @ ((box[:2] + box[2:]) / 2)
        from_picture = np.column_stack([turned, shift])
        source, from_source = image_bgr, from_picture.copy()
        if scale < _SHRUNK_WELL:
            source, from_source = _shrunk(image_bgr, box, scale, from_picture)
        crop = cv2.warpAffine(source, from_source, (_CROP_PX, _CROP_PX), borderValue=_PADDING_BGR)
        return cls(np.asarray(crop, np.uint8), from_picture)

    def landmarks(self, found: Detections) -> Floats | None:
        """The face's landmarks, (5, 2) float32 in pixels of the picture, by what a detector found in the crop.

        Returns:
            None where it found no face at the place.
        """
        low, high = (_CROP_PX - _FACE_PX) / 2, (_CROP_PX + _FACE_PX) / 2
        there = found[iou(found.boxes, np.array([[low, low, high, high]], np.float32))[:, 0] >= _SAME_FACE]
        if not len(there):
            return None
        back = cv2.invertAffineTransform(self.from_picture)
        return np.asarray(there.landmarks[0] @ back[:, :2].T + back[:, 2], np.float32)


def _shrunk(image_bgr: Image, box: Floats, scale: float, from_picture: Doubles) -> tuple[Image, Doubles]:
    """What is around a large face, shrunk without losing pixels, and where a point of that lies in the crop."""
    height, width = image_bgr.shape[:2]
    reach = 1.5 * float((box[2:] - box[:2]).max())  # the corners of a turned crop
    middle = (box[:2] + box[2:]) / 2
    left, top = np.clip(np.floor(middle - reach), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(middle + reach), (left + 1, top + 1), (width, height)).astype(int)
    part = image_bgr[top:bottom, left:right]
    size_wh = [max(1, round(side * scale)) for side in (part.shape[1], part.shape[0])]
    shrunk = np.asarray(cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    from_shrunk = from_picture.copy()
    from_shrunk[:, 2] += from_picture[:, :2] @ (left, top)
    from_shrunk[:, :2] *= np.array([part.shape[1], part.shape[0]]) / np.array(size_wh)
    return shrunk, from_shrunk
