"""Crowds of made-up people whose similarities are distributed as those of a real embedder: normal, with mean 0.1."""

from collections.abc import Sequence

import numpy as np

from facepool.models.catalog import FmrCurve
from facepool.search import Index, normalized_scores
from facepool.types import Floats

DIMENSION = 128
_COMMON = 0.32  # what all faces share: its square is the mean similarity of strangers
_CAPTURE = 0.7  # what differs between two pictures of one person


def crowd(people: int, templates: int, seed: int, *, common: float = _COMMON) -> Floats:
    """(P, T, D) float32 unit vectors of people who exist once per seed."""
    rng = np.random.default_rng(seed)
    average = np.zeros(DIMENSION)
    average[0] = 1.0
    who = rng.normal(size=(people, 1, DIMENSION)) / np.sqrt(DIMENSION)
    how = rng.normal(size=(people, templates, DIMENSION)) / np.sqrt(DIMENSION)
    vectors = common / np.sqrt(1 - common**2) * average * np.sqrt(1 + _CAPTURE**2) + who + _CAPTURE * how
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def pool_of(vectors: Floats, names: Sequence[str] | None = None) -> Index:
    """The index of a pool with (P, T, D) vectors; people are called p000, p001, ... by default."""
    people, templates, dimension = vectors.shape
    named = names or [f"p{number:03}" for number in range(people)]
    return Index.of_rows(vectors.reshape(-1, dimension), np.repeat(np.arange(people), templates), named)


def share_named(matrix: Index, strangers: Floats, threshold: float) -> float:
    """Share of (S, T, D) pictures of strangers that reach the threshold."""
    probes = strangers.reshape(-1, strangers.shape[-1])
    return float((normalized_scores(probes @ matrix.vectors.T, matrix).max(axis=1) >= threshold).mean())


def cohort() -> FmrCurve:
    """How similar people of a crowd are, measured on two million pairs who are in no test."""
    vectors = crowd(2000, 1, seed=987)[:, 0]
    similarities = (vectors @ vectors.T)[np.triu_indices(len(vectors), k=1)]
    rates = (0.9, 0.84, 0.7, 0.5, 0.3, 0.16, 0.1, 0.03, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
    return FmrCurve(tuple((rate, float(np.quantile(similarities, 1 - rate))) for rate in rates), "made up")
