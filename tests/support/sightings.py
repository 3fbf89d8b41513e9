"""Sightings for tests: made faces, JPEGs that are none, times that are near."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np

from facepool.gallery.sightings import InboxBounds
from facepool.types import Pose, SightedFaces, Sighting
from support.pools import unit

NOW = datetime.now(UTC)
ROOMY = InboxBounds()


def moment(hours_ago: float = 0.0) -> str:
    return (NOW - timedelta(hours=hours_ago)).isoformat(timespec="milliseconds")


def sighting(
    *, hours_ago: float = 1.0, source: str = "door", person_id: str | None = None, sighting_id: str = ""
) -> Sighting:
    return Sighting(
        id=sighting_id or str(uuid4()),
        source=source,
        since=moment(hours_ago + 0.1),
        until=moment(hours_ago),
        person=None,
        person_id=person_id,
        similarity=0.2,
        threshold=0.45,
        frames=12,
    )


def faces(*seeds: int, bytes_each: int = 200) -> SightedFaces:
    count = len(seeds)
    pictures = [np.random.default_rng(seed).bytes(bytes_each) for seed in seeds]
    return SightedFaces(
        embeddings=np.stack([unit(seed) for seed in seeds]) if seeds else np.zeros((0, 8), np.float32),
        pictures=tuple(pictures),
        qualities=np.linspace(90, 80, count, dtype=np.float32),
        scores=np.full(count, 0.75, np.float32),
        sizes_px=np.full(count, 128, np.float32),
        poses=tuple(Pose(10.0, -5.0, 0.5) if seed % 2 else None for seed in seeds),
    )
