"""Embedding: one unit vector a face, close for the same person and far for others.

The family of ArcFace (Deng et al., CVPR 2019): networks trained so that the angle between vectors tells people apart.
Several of them err on different faces: their vectors side by side, each of unit length times its weight, are one vector
whose cosine is the mean of theirs, weighted by the squares of the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import cv2
import numpy as np

from facepool.errors import ModelUnsupported, SpaceMismatch
from facepool.geometry import CROP, TEMPLATES, similarity_transforms
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
            normalized, the mean of its views, of the first network whose lengths have a scale; NaN where none has. A
            network that learns to tell people apart lengthens what it is sure of. MagFace (Meng et al., CVPR 2021)
            made it a rule, and OFIQ, the reference of ISO/IEC 29794-5, its unified quality score; others do it unasked.
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

    def embed(self, images_bgr: Image, *, one_view: bool = False) -> EmbeddedFaces:
        """Embed (N, S, S, 3) uint8 BGR on ``CROP``, N of at least 1.

        Args:
            images_bgr: The faces.
            one_view: Whether they are taken as they lie, without their mirror images.

        Raises:
            ModelUnsupported: The network's output is not the D numbers that its description promises.
        """
        views = self._views(images_bgr)
        if one_view or not self.spec.mirrored:
            vectors = self._run(views)
            norms = _norms(vectors)
            return EmbeddedFaces(vectors / norms, self._qualities(norms[:, 0]))
        both = self._run(np.concatenate([views, views[:, :, ::-1]]))
        norms = _norms(both)
        # Each view is normalized before averaging, so that the longer vector does not outvote the other.
        straight, mirrored = np.split(both / norms, 2)
        return EmbeddedFaces(normalize(straight + mirrored), self._qualities(norms.reshape(2, -1).mean(axis=0)))

    def _qualities(self, norms: Floats) -> Floats:
        """(N,) 0..100 of (N,) lengths."""
        if self.spec.norms is None:
            return np.full(len(norms), np.nan, np.float32)
        worst, best = self.spec.norms
        return np.asarray(np.clip((norms - worst) / (best - worst), 0, 1) * 100, np.float32)

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
        """The vectors of ``embed_with_quality`` alone: (N, D) float32, L2 norm 1 each; (0, D) for no face."""
        return self.embed_with_quality(faces).vectors

    def embed_with_quality(self, faces: AlignedFaces) -> EmbeddedFaces:
        """Embed faces.

        Args:
            faces: Aligned on the template ``geometry.CROP``.

        Returns:
            N rows; none for no face.

        Raises:
            SpaceMismatch: The faces were aligned on another template.
            ModelUnsupported: A network's output is not the numbers that its description promises.
        """
        if faces.template != CROP:
            raise SpaceMismatch(
                f"Faces aligned on {faces.template!r} cannot be embedded by {self.space.model}",
                why=f"it takes those aligned on {CROP!r}",
            )
        if not len(faces):
            return EmbeddedFaces(np.empty((0, self.space.dimension), np.float32), np.empty(0, np.float32))
        starts = range(0, len(faces), BATCH)
        return EmbeddedFaces.joined([self._embed_batch(faces[start : start + BATCH]) for start in starts])

    def _embed_batch(self, faces: AlignedFaces) -> EmbeddedFaces:
        results = [part.embed(faces.images_bgr, one_view=faces.one_view) for part in self._parts]
        if len(results) == 1:
            return results[0]
        pairs = zip(self._parts, results, strict=True)
        vectors = np.concatenate([np.float32(part.weight) * result.vectors for part, result in pairs], axis=1)
        scaled = [result for part, result in zip(self._parts, results, strict=True) if part.spec.norms is not None]
        return EmbeddedFaces(normalize(vectors), (scaled or results)[0].qualities)


def normalize(vectors: Floats) -> Floats:
    """(N, D) float32 rows of length 1, of rows that are not all zero."""
    return np.asarray(vectors / _norms(vectors), np.float32)


def _norms(vectors: Floats) -> Floats:
    """(N, 1) float32."""
    return np.asarray(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
