"""Which face of a frame a guided scan is about, and what is wrong with it or with where it is."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from facepool.faces.analyze import Faces
from facepool.faces.quality import Flaw, QualityPolicy

ScanFlaw = Flaw | Literal["no_face", "several_faces", "too_large", "cut_off", "no_pose"]
"""Why a frame is of no use."""


@dataclass(frozen=True, slots=True)
class ScanPolicy:
    """What a scan asks of a face.

    Attributes:
        quality: Which faces are good enough; its ``min_score`` also says which are faces at all.
        beside: A second face counts as one from this share of the largest one's size on; smaller ones are in the
            background.
        max_fill: Shorter side of the box as a share of the picture's shorter side.
        max_cut: Share of the box that may lie outside the picture.
    """

    quality: QualityPolicy = field(default_factory=QualityPolicy)
    beside: float = 0.4
    max_fill: float = 0.8
    max_cut: float = 0.1


def find_face(faces: Faces, image_hw: tuple[int, int], policy: ScanPolicy) -> tuple[int | None, ScanFlaw | None]:
    """The row of the one face that a frame is about, and what is wrong.

    Args:
        faces: Of the frame.
        image_hw: Height and width of the frame.
        policy: What is asked of a face.

    Returns:
        The row, None where there is no clear face or more than one, and the flaw, None for a good face.
    """
    if len(faces) == 0:
        return None, "no_face"
    clear = np.flatnonzero(faces.detections.scores >= policy.quality.min_score)
    if len(clear) == 0:
        return None, "uncertain_face"
    sizes = faces.detections.sizes[clear]
    if np.count_nonzero(sizes >= policy.beside * sizes.max()) > 1:
        return None, "several_faces"
    row = int(clear[np.argmax(sizes)])
    return row, _framing_flaw(faces, row, image_hw, policy) or _face_flaw(faces, row, policy)


def _face_flaw(faces: Faces, row: int, policy: ScanPolicy) -> ScanFlaw | None:
    flaws = policy.quality.flaws(faces.measures)[row]
    if flaws:
        return flaws[0]
    return "no_pose" if faces.poses[row] is None else None


def _framing_flaw(faces: Faces, row: int, image_hw: tuple[int, int], policy: ScanPolicy) -> ScanFlaw | None:
    if faces.detections.sizes[row] > policy.max_fill * min(image_hw):
        return "too_large"
    left, top, right, bottom = (float(edge) for edge in faces.detections.boxes[row])
    width = max(0.0, min(right, image_hw[1]) - max(left, 0.0))
    height = max(0.0, min(bottom, image_hw[0]) - max(top, 0.0))
    inside = width * height / max((right - left) * (bottom - top), 1e-6)
    return "cut_off" if inside < 1 - policy.max_cut else None
