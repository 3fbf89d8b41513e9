"""Tracks for tests, as live recognition tells of them: whose face it is is said by its vectors."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import numpy as np

from facepool.recognize.sightings import TrackSighting
from facepool.types import Candidate, Decision, Floats, Pose, SightedFaces
from support.sightings import NOW


def faces(*vectors: Floats) -> SightedFaces:
    count = len(vectors)
    return SightedFaces(
        embeddings=np.stack(vectors).astype(np.float32),
        pictures=(b"jpeg",) * count,
        qualities=np.full(count, 90, np.float32),
        scores=np.full(count, 0.99, np.float32),
        sizes_px=np.full(count, 112, np.float32),
        poses=(Pose(0, 0, 0),) * count,
    )


def seen(
    *vectors: Floats, minutes_ago: float = 0.0, person: tuple[str, str] | None = None, ended: bool = True, id_: str = ""
) -> TrackSighting:
    """Somebody who was there for six seconds."""
    since = NOW - timedelta(minutes=minutes_ago)
    name, _ = person or (None, None)
    decision = Decision(name, 0.2, 0.45, None, "match" if name else "below_threshold")
    if person is not None:
        decision = replace(decision, candidates=(candidate(*person),))
    until = since + timedelta(seconds=6)
    return TrackSighting(id_ or str(uuid4()), decision, since, until, 0.0, 6.0, 12, faces(*vectors), ended)


def candidate(name: str, person_id: str) -> Candidate:
    return Candidate(name, 0.9, 1, person_id=person_id)
