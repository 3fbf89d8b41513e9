"""A pool's calibration as the JSON object that both kinds of pool keep, and back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from facepool.types import Calibration, EmbeddingSpace


def record_of(calibration: Calibration) -> dict[str, Any]:
    """The JSON object."""
    return asdict(calibration)


def calibration_of(record: Mapping[str, Any]) -> Calibration:
    """Read the JSON object.

    Raises:
        ValueError: It is damaged.
        KeyError: Something is missing.
        TypeError: Something is of another kind.
    """
    points = tuple((float(rate), float(similarity)) for rate, similarity in record["points"])
    if len(points) < 2 or any(not 0 < rate <= 1 for rate, _ in points):
        raise ValueError("its calibration has no curve")
    return Calibration(
        threshold=float(record["threshold"]),
        target_fpir=float(record["target_fpir"]),
        low=float(record["low"]),
        high=float(record["high"]),
        points=points,
        people=int(record["people"]),
        templates=int(record["templates"]),
        comparisons=int(record["comparisons"]),
        borrowed=float(record["borrowed"]),
        created_at=str(record["created_at"]),
        space_id=str(record["space_id"]),
    )


def fitting(calibration: Calibration | None, space: EmbeddingSpace | None) -> Calibration | None:
    """The calibration, if it was measured in that space; None: the pool has become another model's since."""
    if calibration is None or calibration.space_id != (space.id if space else ""):
        return None
    return calibration
