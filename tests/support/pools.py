"""What the tests of pools share: an embedding space, unit vectors, and the kinds of pool."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from facepool.gallery import Pool, PoolKey, open_pool
from facepool.gallery.address import PoolAddress, PostgresAddress, keyed
from facepool.gallery.driver import connect, copy_database
from facepool.types import Calibration, EmbeddingSpace, Floats, Sample
from support import postgres

FILES = ("pool.db", "model_faces.npy")
POSTGRES = "postgresql"
ENCRYPTED = "encrypted.db"
KEY = PoolKey(bytes(range(32)))
BACKENDS = (*FILES, pytest.param(POSTGRES, marks=pytest.mark.postgres))
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


def place(folder: Path, backend: str) -> PoolAddress:
    """Where a pool of a kind is that belongs to a folder: a file in it, or a database of its own."""
    if backend != POSTGRES:
        return keyed(folder / backend, KEY if backend == ENCRYPTED else None)
    return PostgresAddress(postgres.database_of(folder))


def opened(folder: Path, backend: str, *, timeout_s: float = 5.0) -> Pool:
    return open_pool(place(folder, backend), space(), timeout_s=timeout_s)


def kept(folder: Path, backend: str) -> bytes:
    """What the files of a folder have, or the rows of its database."""
    if backend == ENCRYPTED:
        with closing(connect(folder / backend, KEY)) as db, closing(connect(None)) as copy:
            copy_database(db, copy)
            return copy.serialize()
    if backend != POSTGRES:
        return b"".join(path.read_bytes() for path in folder.iterdir())
    name = postgres.database_of(folder).rpartition("/")[2]
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    tables = [table for (table,) in postgres.server().execute(query, name)]
    rows = [postgres.server().execute(f"SELECT {table}::text FROM {table}", name) for table in tables]
    vectors = postgres.server().execute("SELECT embedding::real[] FROM templates", name)
    return str(rows).encode() + b"".join(np.array(vector, "<f4").tobytes() for (vector,) in vectors)


def delete(folder: Path, backend: str) -> None:
    """Delete the files of a folder, or the tables of its database."""
    if backend != POSTGRES:
        for path in folder.iterdir():
            path.unlink()
        return
    name = postgres.database_of(folder).rpartition("/")[2]
    for statement in ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public", "CREATE EXTENSION vector"):
        postgres.server().execute(statement, name)


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
