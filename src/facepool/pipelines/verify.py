"""Verification: do two images show the same person?"""

from dataclasses import dataclass

import numpy as np

from facepool.decide import Threshold
from facepool.errors import NoFace
from facepool.pipelines.analyze import Analyzer, Faces
from facepool.types import Frame


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


def verify(analyzer: Analyzer, frame_a: Frame, frame_b: Frame, threshold: Threshold) -> Verification:
    """Compare the largest face of each of two images.

    Raises:
        NoFace: One of them has none.
    """
    faces_a, faces_b = analyzer.analyze_batch([frame_a.image_bgr, frame_b.image_bgr])
    row_a, row_b = _largest(faces_a, frame_a), _largest(faces_b, frame_b)
    similarity = float(np.clip(faces_a.embeddings[row_a] @ faces_b.embeddings[row_b], -1, 1))
    return Verification(similarity, threshold, (row_a, row_b), (faces_a, faces_b))


def _largest(faces: Faces, frame: Frame) -> int:
    if len(faces) == 0:
        raise NoFace(
            f"No face was found in {frame.source}",
            fix="Use a picture in which the face is larger, upright and unobstructed",
        )
    return int(np.argmax(faces.measures.size_px))
