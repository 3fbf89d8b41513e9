"""Made faces of made people: unit vectors at chosen similarities, and sightings of them."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np

from facepool.gallery import Pool
from facepool.gallery.sightings import InboxBounds
from facepool.models.catalog import FmrCurve
from facepool.types import Floats, Pose, SightedFaces, Sighting

DIMENSION = 128
CURVE = FmrCurve(points=((1e-1, 0.21), (1e-2, 0.3), (1e-3, 0.37), (1e-4, 0.426), (1e-5, 0.477)), source="made up")
FRONTAL = Pose(0, 0, 0)
NOW = datetime.now(UTC)
_BOUNDS = InboxBounds(days=30)


def unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def somebody(seed: int) -> Floats:
    return unit(np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32))


def between(one: Floats, other: Floats, share: float) -> Floats:
    """On the way from one face to another, as the crow flies over the sphere."""
    angle = np.arccos(float(one @ other))
    return unit((np.sin((1 - share) * angle) * one + np.sin(share * angle) * other) / np.sin(angle))


def at_similarity(one: Floats, similarity: float, seed: int) -> Floats:
    """A face of the same person that looks different."""
    beside = somebody(10_000 + seed)
    beside = unit(beside - float(beside @ one) * one)
    return unit(similarity * one + np.sqrt(1 - similarity**2) * beside)


def sighted(*embeddings: Floats, quality: float = 80, pose: Pose | None = FRONTAL) -> SightedFaces:
    count = len(embeddings)
    return SightedFaces(
        embeddings=np.stack(embeddings),
        pictures=tuple(f"face {row}".encode() for row in range(count)),
        qualities=np.full(count, quality, np.float32),
        scores=np.full(count, 0.99, np.float32),
        sizes_px=np.full(count, 120, np.float32),
        poses=(pose,) * count,
    )


def keep_seen(pool: Pool, person: str, *embeddings: Floats, days_ago: float = 0.0, quality: float = 80) -> Sighting:
    """Keep a sighting of somebody who was named; gives it as it is kept."""
    known = pool.person(person)
    assert known is not None
    until = NOW - timedelta(days=days_ago)
    sighting = Sighting(
        id=str(uuid4()),
        source="door",
        since=(until - timedelta(minutes=1)).isoformat(timespec="milliseconds"),
        until=until.isoformat(timespec="milliseconds"),
        person=person,
        person_id=known.id,
        similarity=0.6,
        threshold=0.4,
        frames=12,
    )
    pool.inbox.keep(sighting, sighted(*embeddings, quality=quality), _BOUNDS)
    return pool.inbox.sighting(sighting.id)
