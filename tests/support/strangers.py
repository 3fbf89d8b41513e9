"""People who are made of a vector each, as cameras see them: faces of one resemble each other, those of two do not."""

from collections.abc import Sequence
from uuid import UUID

import numpy as np

from facepool.types import EmbeddingSpace, Floats, Pose, Sample, SightedFaces, Sighting
from support.pools import space, unit

DIMENSION = 128
SPACE: EmbeddingSpace = space(DIMENSION)
LIKENESS = 0.6
"""Of two faces of one person, about."""
QUALITY, SCORE, SIZE_PX = 70.0, 0.99, 120.0


def face(person: int, view: int, likeness: float = LIKENESS) -> Floats:
    """(D,) float32: the face of somebody, as they look in one moment."""
    vector = np.sqrt(likeness) * unit(person, DIMENSION) + np.sqrt(1 - likeness) * unit(
        10_000 * (person + 1) + view, DIMENSION
    )
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def picture(person: int, view: int) -> bytes:
    """What stands for a JPEG."""
    return f"picture {view} of {person}".encode()


def faces(
    person: int,
    views: Sequence[int],
    *,
    likeness: float = LIKENESS,
    quality: float = QUALITY,
    size_px: float = SIZE_PX,
    poses: Sequence[Pose | None] | None = None,
) -> SightedFaces:
    """The best faces of a sighting."""
    count = len(views)
    return SightedFaces(
        np.stack([face(person, view, likeness) for view in views]),
        tuple(picture(person, view) for view in views),
        np.full(count, quality, np.float32),
        np.full(count, SCORE, np.float32),
        np.full(count, size_px, np.float32),
        tuple(poses or (Pose(0.0, 0.0, 0.0),) * count),
    )


def samples(person: int, views: Sequence[int]) -> list[Sample]:
    """What a registration stores of somebody."""
    return [Sample(face(person, view), source=f"{view}.jpg") for view in views]


def sighting(number: int, source: str = "door", minute: int | None = None) -> Sighting:
    """Somebody unknown who was seen for half a minute."""
    minute = number if minute is None else minute
    when = f"2026-01-02T{10 + minute // 60}:{minute % 60:02}"
    return Sighting(
        str(UUID(int=number)), source, f"{when}:00.000+00:00", f"{when}:30.000+00:00", None, None, 0.2, 0.4, 5
    )
