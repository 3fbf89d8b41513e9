"""What the tests of pools share: an embedding space, unit vectors, and the two kinds of pool."""

from pathlib import Path

import numpy as np

from facepool.gallery import Pool, open_pool
from facepool.types import Calibration, EmbeddingSpace, Floats, Sample

BACKENDS = ("pool.db", "model_faces.npy")
DIMENSION = 8


def space(dimension: int = DIMENSION, model: str = "test-net", weights: str = "ab" * 32) -> EmbeddingSpace:
    return EmbeddingSpace(model, weights, "rgb-0-1/1", "arcface-112", mirrored=True, dimension=dimension)


def unit(seed: int, dimension: int = DIMENSION) -> Floats:
    vector = np.random.default_rng(seed).normal(size=dimension).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def units(count: int, dimension: int = DIMENSION, seed: int = 0) -> Floats:
    return np.stack([unit(seed * 1000 + row, dimension) for row in range(count)])


def samples(*seeds: int) -> list[Sample]:
    return [Sample(embedding=unit(seed), source=f"{seed}.jpg") for seed in seeds]


def opened(folder: Path, backend: str, *, timeout_s: float = 5.0) -> Pool:
    return open_pool(folder / backend, space(), timeout_s=timeout_s)


MEASURED = Calibration(
    threshold=0.42,
    target_fpir=0.01,
    low=0.003,
    high=0.02,
    points=((0.1, 0.36), (0.01, 0.42), (0.001, 0.47)),
    people=60,
    templates=240,
    comparisons=56_640,
    borrowed=0.7,
    created_at="2026-11-23T10:00:00+00:00",
    space_id=space().id,
)
