"""Verification: do two images show the same person?"""

from dataclasses import dataclass

import numpy as np

from facepool.errors import ImplausibleLandmarks, NoFace
from facepool.faces.analyze import Analyzer, Faces
from facepool.faces.pose import NO_HEAD_MM, fit_a_head
from facepool.thresholds import Threshold, ThresholdPolicy
from facepool.types import Detections, Floats, Image, one_line


@dataclass(frozen=True, slots=True)
class Verification:
    """The comparison of two faces.

    Attributes:
        similarity: Cosine in -1..1.
        threshold: What it was held against.
        rows: Which face of each image was compared: the largest whose landmarks fit a head.
        faces: What was found in each image.
        passive: How alive the two look to the networks that the user brought for it, 0..1, which decides nothing; None
            without such networks.
    """

    similarity: float
    threshold: Threshold
    rows: tuple[int, int]
    faces: tuple[Faces, Faces]
    passive: tuple[float, float] | None = None

    def __repr__(self) -> str:
        """The verdict, and the figures that it rests on."""
        verdict = "the same person" if self.match else "not shown to be the same person"
        return one_line(self, f"{verdict}, similarity {self.similarity:.3f}, threshold {self.threshold.value:.3f}")

    @property
    def match(self) -> bool:
        """Whether both are taken to be one person."""
        return self.similarity >= self.threshold.value


def verify(
    image_a_bgr: Image, image_b_bgr: Image, analyzer: Analyzer, policy: ThresholdPolicy | None = None
) -> Verification:
    """Compare the largest face of each of two images.

    Args:
        image_a_bgr: (H, W, 3) uint8 BGR.
        image_b_bgr: Likewise, of any size.
        analyzer: Turns images into faces.
        policy: Chooses the threshold; by default one in a thousand pairs of different people passes.

    Raises:
        NoFace: One of them has none.
        ImplausibleLandmarks: What was found in one of them fits no head.
    """
    faces_a, faces_b = analyzer.analyze_batch([image_a_bgr, image_b_bgr])
    row_a, row_b = largest_face(faces_a.detections, "first"), largest_face(faces_b.detections, "second")
    similarity = cosine(faces_a.embeddings[row_a], faces_b.embeddings[row_b])
    policy = policy or ThresholdPolicy(analyzer.fmr)
    sides = ((image_a_bgr, faces_a, row_a), (image_b_bgr, faces_b, row_b))
    scores = [analyzer.passive_scores(image, faces.detections[row : row + 1]) for image, faces, row in sides]
    return Verification(similarity, policy.verification(), (row_a, row_b), (faces_a, faces_b), passive_pair(*scores))


def passive_pair(first: Floats | None, second: Floats | None) -> tuple[float, float] | None:
    """Of two faces that are compared, how alive each looks: (1,) scores of each, None without a network for it."""
    return None if first is None or second is None else (float(first[0]), float(second[0]))


def largest_face(detections: Detections, which: str) -> int:
    """Row of the largest face of a picture, of those whose landmarks fit a head.

    Args:
        detections: What was found in it.
        which: How the error calls the picture, for example ``first``.

    Raises:
        NoFace: There is no face.
        ImplausibleLandmarks: There is one that fits no head, and no other.
    """
    if len(detections) == 0:
        raise NoFace(
            f"No face was found in the {which} picture",
            fix="Use a picture in which the face is larger and unobstructed; --detect-size 2560 looks for smaller ones",
        )
    heads, misfit_mm = fit_a_head(detections), detections.misfit_mm
    if misfit_mm is not None and not heads.any():
        raise ImplausibleLandmarks(
            f"What was found in the {which} picture cannot be compared",
            why="its eyes, nose and mouth do not lie as in any head "
            f"({misfit_mm.min():.0f} mm off, {NO_HEAD_MM:.0f} are allowed)",
            fix="Use a picture with one whole, upright face",
        )
    return int(np.argmax(np.where(heads, detections.sizes, -1)))


def cosine(one: Floats, other: Floats) -> float:
    """Similarity of two (D,) embeddings, in -1..1."""
    return float(np.clip(one @ other, -1, 1))
