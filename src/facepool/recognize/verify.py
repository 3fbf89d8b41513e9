"""Verification: do two images show the same person?"""

from dataclasses import dataclass

import numpy as np

from facepool.errors import NoFace
from facepool.faces.analyze import Analyzer, Faces
from facepool.thresholds import Threshold, ThresholdPolicy
from facepool.types import Image


@dataclass(frozen=True, slots=True)
class Verification:
    """The comparison of two faces.

    Attributes:
        similarity: Cosine in -1..1.
        threshold: What it was held against.
        rows: Which face of each image was compared: the largest.
        faces: What was found in each image.
    """

    similarity: float
    threshold: Threshold
    rows: tuple[int, int]
    faces: tuple[Faces, Faces]

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
    """
    faces_a, faces_b = analyzer.analyze_batch([image_a_bgr, image_b_bgr])
    return compare(faces_a, faces_b, policy or ThresholdPolicy(analyzer.fmr))


def compare(faces_a: Faces, faces_b: Faces, policy: ThresholdPolicy) -> Verification:
    """Compare the largest face of each of two images that were analyzed already.

    Raises:
        NoFace: One of them has none.
    """
    row_a, row_b = _largest(faces_a, "first"), _largest(faces_b, "second")
    similarity = float(np.clip(faces_a.embeddings[row_a] @ faces_b.embeddings[row_b], -1, 1))
    return Verification(similarity, policy.verification(), (row_a, row_b), (faces_a, faces_b))


def _largest(faces: Faces, which: str) -> int:
    if len(faces) == 0:
        raise NoFace(
            f"No face was found in the {which} picture",
            fix="Use a picture in which the face is larger, upright and unobstructed",
        )
    return int(np.argmax(faces.measures.size_px))
