"""Embedding: one unit vector a face, close for the same person and far for others.

The family of ArcFace (Deng et al., CVPR 2019): networks trained so that the angle between vectors tells people apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from facepool.errors import ModelUnsupported, SpaceMismatch
from facepool.models.catalog import EmbedderSpec, FmrCurve
from facepool.runtime import Graph
from facepool.types import AlignedFaces, EmbeddingSpace, Floats, Image

BATCH = 32
"""Faces in one run of the network: past this a CPU gains nothing and memory grows."""


@dataclass(frozen=True, slots=True)
class EmbeddedFaces:
    """What the network made of some faces, one row a face.

    Attributes:
        vectors: (N, D) float32, L2 norm 1.
        qualities: (N,) float32, 0..100: how well each will be recognized, by the length of its vector before it was
            normalized, the mean of its views; NaN where the network's lengths have no scale. A network that learns to
            tell people apart lengthens what it is sure of (MagFace, Meng et al., CVPR 2021, made it a rule, and
            ISO/IEC 29794-5's unified quality score is made so; others do it unasked, which was measured of each).
    """

    vectors: Floats
    qualities: Floats

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.vectors)

    def split(self, counts: Sequence[int]) -> list["EmbeddedFaces"]:
        """The first so many rows, the next so many, and so on; the counts add up to all."""
        ends = np.cumsum(counts)[:-1]
        pairs = zip(np.split(self.vectors, ends), np.split(self.qualities, ends), strict=True)
        return [EmbeddedFaces(vectors, qualities) for vectors, qualities in pairs]

    @classmethod
    def joined(cls, parts: Sequence["EmbeddedFaces"]) -> Self:
        """All rows of at least one part, in their order."""
        return cls(np.concatenate([part.vectors for part in parts]), np.concatenate([part.qualities for part in parts]))


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
        """The vectors of ``embed_with_quality`` alone: (N, D) float32, L2 norm 1 each; (0, D) for no face."""
        return self.embed_with_quality(faces).vectors

    def embed_with_quality(self, faces: AlignedFaces) -> EmbeddedFaces:
        """Embed faces.

        Args:
            faces: Aligned on the template of this embedder's space.

        Returns:
            N rows; none for no face.

        Raises:
            SpaceMismatch: The faces were aligned on another template.
            ModelUnsupported: The network's output is not the D numbers that its description promises.
        """
        if faces.template != self._spec.template:
            raise SpaceMismatch(
                f"Faces aligned on {faces.template!r} cannot be embedded by {self.space.model}",
                why=f"it was trained on {self._spec.template!r}",
            )
        if not len(faces):
            return EmbeddedFaces(np.empty((0, self._spec.dimension), np.float32), np.empty(0, np.float32))
        starts = range(0, len(faces), BATCH)
        return EmbeddedFaces.joined([self._embed_batch(faces.images_bgr[start : start + BATCH]) for start in starts])

    def _embed_batch(self, images_bgr: Image) -> EmbeddedFaces:
        if not self._spec.mirrored:
            vectors = self._run(images_bgr)
            norms = _norms(vectors)
            return EmbeddedFaces(vectors / norms, self._quality(norms))
        both = self._run(np.concatenate([images_bgr, images_bgr[:, :, ::-1]]))
        norms = _norms(both)
        # Each view is normalized before averaging, so that the longer vector does not outvote the other.
        straight, mirrored = np.split(both / norms, 2)
        vectors = straight + mirrored
        return EmbeddedFaces(vectors / _norms(vectors), self._quality(norms.reshape(2, -1).mean(axis=0)))

    def _quality(self, norms: Floats) -> Floats:
        """0..100 of vectors of such lengths, of any shape with N numbers."""
        if self._spec.norms is None:
            return np.full(norms.size, np.nan, np.float32)
        worst, best = self._spec.norms
        return np.asarray(np.clip((norms.ravel() - worst) / (best - worst), 0, 1) * 100, np.float32)

    def _run(self, images_bgr: Image) -> Floats:
        vectors = self._graph.run(np.ascontiguousarray(images_bgr))[0]
        if vectors.shape != (len(images_bgr), self._spec.dimension):
            raise ModelUnsupported(
                f"{self.space.model} gave an output of shape {vectors.shape} for {len(images_bgr)} faces",
                why=f"its description promises {self._spec.dimension} numbers a face",
                fix="Correct the dimension in the model's description, or import another graph",
            )
        return vectors


def _norms(vectors: Floats) -> Floats:
    """(N, 1) float32."""
    return np.asarray(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
