"""Embedding: one unit vector a face, close for the same person and far for others.

The family of ArcFace (Deng et al., CVPR 2019): networks trained so that the angle between vectors tells people apart.
Several of them err on different faces: their vectors side by side, each of unit length times its weight, are one vector
whose cosine is the mean of theirs, weighted by the squares of the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from facepool.errors import ModelUnsupported, SpaceMismatch
from facepool.geometry import CROP, TEMPLATES, similarity_transforms
from facepool.models.catalog import EmbedderSpec, FmrCurve
from facepool.runtime import Graph
from facepool.types import AlignedFaces, EmbeddingSpace, Floats, Image

BATCH = 32
"""Faces in one run of the network: past this a CPU gains nothing and memory grows."""


@dataclass(frozen=True)
class Part:
    """One network of an embedder.

    Attributes:
        graph: The network, loaded with the spec's feed.
        spec: How the network is fed, and how many views of a face it takes.
        weight: Of its vector beside those of the others.
    """

    graph: Graph
    spec: EmbedderSpec
    weight: float = 1.0

    def embed(self, images_bgr: Image, *, one_view: bool = False) -> Floats:
        """(N, D) float32, L2 norm 1 each, of (N, S, S, 3) uint8 BGR on ``CROP``, N of at least 1.

        Args:
            images_bgr: The faces.
            one_view: Whether they are taken as they lie, without their mirror images.

        Raises:
            ModelUnsupported: The network's output is not the D numbers that its description promises.
        """
        views = self._views(images_bgr)
        if one_view or not self.spec.mirrored:
            return normalize(self._run(views))
        both = self._run(np.concatenate([views, views[:, :, ::-1]]))
        half = len(views)
        # Each view is normalized before averaging, so that the longer vector does not outvote the other.
        return normalize(normalize(both[:half]) + normalize(both[half:]))

    def _views(self, images_bgr: Image) -> Image:
        """What the network sees of the crops: where it has a template of its own, its part of them, bilinear."""
        if self.spec.template == CROP:
            return images_bgr
        matrix, side = self._from_crop
        views = np.empty((len(images_bgr), side, side, 3), np.uint8)
        for view, image in zip(views, images_bgr, strict=True):
            cv2.warpAffine(image, matrix, (side, side), dst=view, flags=cv2.INTER_LINEAR)
        return views

    @cached_property
    def _from_crop(self) -> tuple[Floats, int]:
        points, side = TEMPLATES[self.spec.template]
        return similarity_transforms(TEMPLATES[CROP][0][np.newaxis], points)[0], side

    def _run(self, images_bgr: Image) -> Floats:
        vectors = self.graph.run(np.ascontiguousarray(images_bgr))[0]
        if vectors.shape != (len(images_bgr), self.spec.dimension):
            raise ModelUnsupported(
                f"A network gave an output of shape {vectors.shape} for {len(images_bgr)} faces",
                why=f"its description promises {self.spec.dimension} numbers a face",
                fix="Correct the dimension in the model's description, or import another graph",
            )
        return vectors


class Embedder:
    """Turns aligned faces into embeddings.

    Args:
        parts: Its networks, one or several.
        space: The embedding space that the vectors belong to.
        fmr: How similar strangers get; None where that was not measured.
    """

    def __init__(self, parts: Sequence[Part], space: EmbeddingSpace, fmr: FmrCurve | None = None) -> None:
        self.space = space
        self.fmr = fmr
        self._parts = tuple(parts)

    @property
    def runs_on(self) -> str:
        """Engine and device, for people."""
        return " and ".join(dict.fromkeys(f"{part.graph.engine} ({part.graph.device})" for part in self._parts))

    @property
    def device(self) -> str:
        """``cpu``, or the name of an accelerator, for which batches pay."""
        return self._parts[0].graph.device

    def embed(self, faces: AlignedFaces) -> Floats:
        """Embed faces.

        Args:
            faces: Aligned on the template ``geometry.CROP``.

        Returns:
            (N, D) float32, L2 norm 1 each; (0, D) for no face.

        Raises:
            SpaceMismatch: The faces were aligned on another template.
            ModelUnsupported: A network's output is not the numbers that its description promises.
        """
        if faces.template != CROP:
            raise SpaceMismatch(
                f"Faces aligned on {faces.template!r} cannot be embedded by {self.space.model}",
                why=f"it takes those aligned on {CROP!r}",
            )
        vectors = np.empty((len(faces), self.space.dimension), np.float32)
        for start in range(0, len(faces), BATCH):
            vectors[start : start + BATCH] = self._embed_batch(
                faces.images_bgr[start : start + BATCH], one_view=faces.one_view
            )
        return vectors

    def _embed_batch(self, images_bgr: Image, *, one_view: bool) -> Floats:
        if len(self._parts) == 1:
            return self._parts[0].embed(images_bgr, one_view=one_view)
        vectors = [np.float32(part.weight) * part.embed(images_bgr, one_view=one_view) for part in self._parts]
        return normalize(np.concatenate(vectors, axis=1))


def normalize(vectors: Floats) -> Floats:
    """(N, D) float32 rows of length 1, of rows that are not all zero."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
