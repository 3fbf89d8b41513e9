"""Which face of a frame somebody means who stands before a camera, and whether it is the one of the frame before."""

from typing import Literal

import numpy as np

from facepool.faces.analyze import Faces
from facepool.faces.quality import Flaw, QualityPolicy
from facepool.geometry import iou
from facepool.types import Floats, Hint

FramingFlaw = Flaw | Literal["no_face", "several_faces", "too_large", "cut_off", "no_pose"]
"""Why a frame is of no use."""

# A second face counts as one from this share of the largest one's size on; smaller ones are in the background.
_BESIDE = 0.4
# The shorter side of the face's box may be this share of the picture's, and this share of the box outside the picture.
_MAX_FILL = 0.8
_MAX_CUT = 0.1
# Between sparse frames a head may move by so many of its sides, and by so many more in a second.
_REACH, _REACH_PER_S = 0.6, 2.0


# Every hint: its code, which stays, for programs; its words for people; and the flaws that it answers to.
_HINTS: tuple[tuple[str, str, tuple[FramingFlaw, ...]], ...] = (
    ("come_into_view", "come into the picture", ("no_face",)),
    ("come_closer", "come closer", ("too_small",)),
    ("move_back", "move back a little", ("too_large",)),
    ("move_to_the_middle", "move to the middle of the picture", ("cut_off",)),
    ("more_light", "more light", ("too_dark", "low_contrast")),
    ("less_light", "less light", ("too_bright",)),
    ("hold_still", "hold still", ("blurred",)),
    ("show_the_face", "show the whole face", ("uncertain_face", "covered", "implausible_landmarks", "no_pose")),
    ("one_person_only", "one person only", ("several_faces",)),
)
FRAMING_HINTS = {flaw: Hint(code, words) for code, words, flaws in _HINTS for flaw in flaws}
"""What somebody does whose face cannot be used, by what is wrong with it."""


def find_face(faces: Faces, image_hw: tuple[int, int], quality: QualityPolicy) -> tuple[int | None, FramingFlaw | None]:
    """The row of the one face that a frame is about, and what is wrong with it or with where it is.

    Args:
        faces: Of the frame.
        image_hw: Height and width of the frame.
        quality: Which faces are good enough.

    Returns:
        The row, None where there is no clear face or more than one, and the flaw, None for a good face.
    """
    if len(faces) == 0:
        return None, "no_face"
    clear = np.flatnonzero(faces.detections.scores >= quality.min_score)
    if len(clear) == 0:
        return None, "uncertain_face"
    sizes = faces.detections.sizes[clear]
    if np.count_nonzero(sizes >= _BESIDE * sizes.max()) > 1:
        return None, "several_faces"
    row = int(clear[np.argmax(sizes)])
    framing = _framing_flaw(faces, row, image_hw)
    if framing is not None:
        return row, framing
    flaws = quality.flaws(faces.measures)[row]
    if flaws:
        return row, flaws[0]
    return row, "no_pose" if faces.poses[row] is None else None


def _framing_flaw(faces: Faces, row: int, image_hw: tuple[int, int]) -> FramingFlaw | None:
    if faces.detections.sizes[row] > _MAX_FILL * min(image_hw):
        return "too_large"
    left, top, right, bottom = (float(edge) for edge in faces.detections.boxes[row])
    width = max(0.0, min(right, image_hw[1]) - max(left, 0.0))
    height = max(0.0, min(bottom, image_hw[0]) - max(top, 0.0))
    inside = width * height / max((right - left) * (bottom - top), 1e-6)
    return "cut_off" if inside < 1 - _MAX_CUT else None


def stays(before: Floats, box: Floats, least_iou: float, elapsed_s: float | None) -> bool:
    """Whether a face is where it was: it overlaps itself or, between sparse frames, came no farther than a head may.

    Args:
        before: (4,) float32 xyxy, where it was.
        box: (4,) float32 xyxy, where it is.
        least_iou: How much it has to overlap itself.
        elapsed_s: Time since, of sparse frames; None of others.
    """
    if iou(before[None], box[None])[0, 0] >= least_iou:
        return True
    if elapsed_s is None:
        return False
    centres = [(one[:2] + one[2:]) / 2 for one in (before, box)]
    side = float(np.sqrt(np.prod(before[2:] - before[:2])))
    return float(np.linalg.norm(centres[0] - centres[1])) < (_REACH + _REACH_PER_S * elapsed_s) * side
