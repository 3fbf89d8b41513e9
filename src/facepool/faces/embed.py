"""Embedding: one unit vector a face, close for the same person and far for others.

The family of ArcFace (Deng et al., CVPR 2019): networks trained so that the angle between vectors tells people apart.
"""

import numpy as np

from facepool.errors import ModelUnsupported, SpaceMismatch
from facepool.models.catalog import EmbedderSpec, FmrCurve
from facepool.runtime import Graph
from facepool.types import AlignedFaces, EmbeddingSpace, Floats, Image

BATCH = 32
"""Faces in one run of the network: past this a CPU gains nothing and memory grows."""


class Embedder:
    """Turns aligned faces into embeddings.

    Args:
        graph: The network, loaded with the spec's feed.
        spec: How the network is fed.
        space: The embedding space that the vectors belong to.
    """

    def __init__(self, graph: Graph, spec: EmbedderSpec, space: EmbeddingSpace) -> None:
        self.space = space
        self._graph = graph
        self._spec = spec

    @property
    def fmr(self) -> FmrCurve | None:
        """How similar strangers get; None where that was not measured."""
        return self._spec.fmr

    @property
    def runs_on(self) -> str:
        """Engine and device, for people."""
        return f"{self._graph.engine} ({self._graph.device})"

    @property
    def device(self) -> str:
        """``cpu``, or the name of an accelerator, for which batches pay."""
        return self._graph.device

    def embed(self, faces: AlignedFaces) -> Floats:
        """Embed faces.

        Args:
            faces: Aligned on the template of this embedder's space.

        Returns:
            (N, D) float32, L2 norm 1 each; (0, D) for no face.

        Raises:
            SpaceMismatch: The faces were aligned on another template.
            ModelUnsupported: The network's output is not the D numbers that its description promises.
        """
        if faces.template != self._spec.template:
            raise SpaceMismatch(
                f"Faces aligned on {faces.template!r} cannot be embedded by {self.space.model}",
                why=f"it was trained on {self._spec.template!r}",
            )
        vectors = np.empty((len(faces), self._spec.dimension), np.float32)
        for start in range(0, len(faces), BATCH):
            vectors[start : start + BATCH] = self._embed_batch(faces.images_bgr[start : start + BATCH])
        return vectors

    def _embed_batch(self, images_bgr: Image) -> Floats:
        if not self._spec.mirrored:
            return _normalize(self._run(images_bgr))
        both = self._run(np.concatenate([images_bgr, images_bgr[:, :, ::-1]]))
        half = len(images_bgr)
        # Each view is normalized before averaging, so that the longer vector does not outvote the other.
        return _normalize(_normalize(both[:half]) + _normalize(both[half:]))

    def _run(self, images_bgr: Image) -> Floats:
        vectors = self._graph.run(np.ascontiguousarray(images_bgr))[0]
        if vectors.shape != (len(images_bgr), self._spec.dimension):
            raise ModelUnsupported(
                f"{self.space.model} gave an output of shape {vectors.shape} for {len(images_bgr)} faces",
                why=f"its description promises {self._spec.dimension} numbers a face",
                fix="Correct the dimension in the model's description, or import another graph",
            )
        return vectors


def _normalize(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
