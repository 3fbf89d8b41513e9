"""From an image to faces with embeddings: detection, alignment, quality, pose and embedding in one pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facepool.align import Aligner
from facepool.detect import RetinaFace
from facepool.embed import Embedder
from facepool.models.specs import FmrCurve
from facepool.pose import estimate_pose
from facepool.quality import FaceMeasures, measure
from facepool.types import AlignedFaces, Detections, EmbeddingSpace, Floats, Frame, Image, Pose, Sample


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces of one image, one row a face, best detector score first.

    Attributes:
        detections: Boxes, scores and landmarks in pixels of the image.
        embeddings: (N, D) float32, L2 norm 1.
        measures: Size, sharpness, brightness and contrast.
        poses: N poses; None where one could not be measured.
    """

    detections: Detections
    embeddings: Floats
    measures: FaceMeasures
    poses: Sequence[Pose | None]

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.detections)

    def sample(self, row: int, frame: Frame) -> Sample:
        """One face as a sample of the frame that it was found in."""
        return Sample(
            embedding=self.embeddings[row],
            source=frame.source,
            time_s=frame.time_s,
            pose=self.poses[row],
            quality=float(self.measures.overall[row]),
            score=float(self.detections.scores[row]),
            size_px=float(self.measures.size_px[row]),
            frame=frame.index,
        )


class Analyzer:
    """Finds, aligns, measures and embeds the faces of images.

    Args:
        detector: Finds faces.
        aligner: Cuts them out on the embedder's template.
        embedder: Turns them into vectors.
    """

    def __init__(self, detector: RetinaFace, aligner: Aligner, embedder: Embedder) -> None:
        self._detector = detector
        self._aligner = aligner
        self._embedder = embedder

    @property
    def space(self) -> EmbeddingSpace:
        """The embedding space of the vectors; a pool has to be of the same."""
        return self._embedder.space

    @property
    def fmr(self) -> FmrCurve | None:
        """How similar strangers get in that space; None when nobody has measured it."""
        return self._embedder.fmr

    @property
    def runs_on(self) -> str:
        """Engine and device of both networks, for people."""
        return " and ".join(dict.fromkeys((self._detector.runs_on, self._embedder.runs_on)))

    def analyze(self, image_bgr: Image) -> Faces:
        """Analyze one image, (H, W, 3) uint8 BGR. Without a face every column has length 0."""
        return self.analyze_batch([image_bgr])[0]

    def analyze_batch(self, images_bgr: Sequence[Image]) -> list[Faces]:
        """Analyze several images with few runs of the networks.

        Args:
            images_bgr: (H, W, 3) uint8 BGR each; sizes may differ.

        Returns:
            One ``Faces`` an image; an empty list for an empty list.
        """
        found = self._detector.detect(images_bgr)
        aligned = [
            self._aligner.align(image, detections.landmarks)
            for image, detections in zip(images_bgr, found, strict=True)
        ]
        vectors = self._embed_together(aligned)
        return [
            Faces(detections, embeddings, measure(detections, faces), _poses(detections, image))
            for image, detections, faces, embeddings in zip(images_bgr, found, aligned, vectors, strict=True)
        ]

    def _embed_together(self, aligned: Sequence[AlignedFaces]) -> list[Floats]:
        if not aligned:
            return []
        crops = AlignedFaces(np.concatenate([faces.images_bgr for faces in aligned]), self._aligner.template)
        ends = np.cumsum([len(faces) for faces in aligned])
        return np.split(self._embedder.embed(crops), ends[:-1])


def _poses(detections: Detections, image_bgr: Image) -> list[Pose | None]:
    return estimate_pose(detections.landmarks, (image_bgr.shape[1], image_bgr.shape[0]))
