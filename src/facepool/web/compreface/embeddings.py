"""Embeddings that clients keep themselves, and send instead of pictures."""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, FiniteFloat

from facepool.types import EmbeddingSpace, Floats
from facepool.web.compreface.answers import ComparedEmbeddings, EmbeddingSimilarity
from facepool.web.compreface.errors import wrong_argument, wrong_embedding_count
from facepool.web.compreface.scale import scaled

Vector = list[FiniteFloat]


class Embeddings(BaseModel):
    """The body of what recognizes or verifies them."""

    embeddings: list[Vector]


class SourceAndTargets(BaseModel):
    """The body of what compares one to several."""

    source: Vector
    targets: list[Vector]


def unit_rows(vectors: Sequence[Vector], space: EmbeddingSpace, *, at_least: int = 1) -> Floats:
    """(N, D) of norm 1.

    Raises:
        CompreFaceError: There are too few, or they are no embeddings of the space.
    """
    if len(vectors) < at_least:
        raise wrong_embedding_count(at_least, len(vectors))
    if any(len(vector) != space.dimension for vector in vectors):
        raise wrong_argument(f"Embeddings of this server have {space.dimension} numbers")
    rows = np.array(vectors, np.float64)
    with np.errstate(over="ignore"):  # numbers so large that their squares are none; what follows refuses them
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise wrong_argument("An embedding of length zero is like nobody")
    return np.asarray(rows / norms, np.float32)


def compared(one: Floats | None, others: Floats, sent: Sequence[Vector], threshold: float) -> ComparedEmbeddings:
    """How similar several are to one; to none that is there, not at all."""
    cosines = np.full(len(others), -1.0) if one is None else np.clip(others @ one, -1, 1)
    results = [
        EmbeddingSimilarity(embedding=embedding, similarity=0.0 if one is None else scaled(float(cosine), threshold))
        for embedding, cosine in zip(sent, cosines, strict=True)
    ]
    return ComparedEmbeddings(result=sorted(results, key=lambda result: -result.similarity))
