"""Fusion: several observations of one face become one answer.

What is averaged is each person's similarity, weighted by how much an observation can tell. Averaging embeddings instead
finds a few more of the registered, but raises everybody's similarity, so that strangers pass a threshold that was
measured on single comparisons two to three times as often (docs/adr/0010-tracking.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from facepool.faces.analyze import Faces
from facepool.types import Floats, Image, Pose

LEAST_WEIGHT = 0.05
"""Of an observation that tells next to nothing, so that a track of such observations still has an average."""
_POSE_UNKNOWN = 0.5
"""Share that an observation counts whose pose could not be measured: that of 60 degrees."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One embedded face of a track.

    Attributes:
        embedding: (D,) float32, L2 norm 1.
        weight: How much it counts, above 0 and at most 1; see ``weigh``.
        promise: The same as it was expected before the face was embedded; see ``weigh_capture``.
        pose: None where it could not be measured.
        size_px: Shorter side of the face's box in source pixels.
        time_s: When it was seen.
        quality: Of the face, 0..100.
        score: The detector's, 0..1.
        aligned_bgr: (S, S, 3) uint8 BGR, the face upright, where pictures are wanted of it.
    """

    embedding: Floats
    weight: float
    promise: float
    pose: Pose | None
    size_px: float
    time_s: float
    quality: float = 0.0
    score: float = 0.0
    aligned_bgr: Image | None = field(default=None, repr=False)


def observe(faces: Faces, row: int, time_s: float, promise: float = 1.0, *, with_picture: bool) -> Observation:
    """One face of an image as an observation.

    Args:
        faces: Of the image.
        row: Which of them.
        time_s: When it was seen.
        promise: What it was expected to weigh before it was embedded; of no account where nothing is chosen by that.
        with_picture: Whether to remember what it looks like, if that was kept.
    """
    quality, pose = float(faces.measures.overall[row]), faces.poses[row]
    return Observation(
        embedding=faces.embeddings[row],
        weight=weigh(quality) if faces.measures.is_unified[row] else weigh_capture(quality, pose),
        promise=promise,
        pose=pose,
        size_px=float(faces.measures.size_px[row]),
        time_s=time_s,
        quality=quality,
        score=float(faces.measures.score[row]),
        aligned_bgr=faces.aligned.images_bgr[row].copy() if with_picture and faces.aligned is not None else None,
    )


def weigh(quality: float) -> float:
    """How much an observation counts, by what the embedder made of the face, which has seen its pose as well.

    Args:
        quality: 0..100.

    Returns:
        ``LEAST_WEIGHT``..1; 1 for a perfect face.
    """
    # Squared: what is half as good tells far less than half.
    return float(max(LEAST_WEIGHT, (quality / 100) ** 2))


def weigh_capture(quality: float, pose: Pose | None) -> float:
    """How much an observation promises to count, by its capture alone: less the more the face is turned away.

    Args:
        quality: 0..100, of a face that was not embedded, or by a network that tells nothing of it.
        pose: None where it could not be measured.

    Returns:
        ``LEAST_WEIGHT``..1; 1 for a perfect frontal face.
    """
    frontal = _POSE_UNKNOWN if pose is None else np.cos(np.radians(pose.yaw)) * np.cos(np.radians(pose.pitch))
    return max(LEAST_WEIGHT, weigh(quality) * float(np.sqrt(max(0.0, frontal))))


def fuse(similarities: Floats, weights: Sequence[float]) -> Floats:
    """The similarity of a track to each person: the weighted mean over its observations.

    Args:
        similarities: (V, P) float32 of V observations, at least one, and P people.
        weights: V weights above 0.

    Returns:
        (P,) float32. Of one observation it is its own row. The order of the observations does not matter, nor who
        else is compared.
    """
    shares = np.asarray(weights, np.float64)
    total = np.zeros(similarities.shape[1])
    # View by view, and not as a matrix product, whose last bit depends on how many people there are.
    for share, row in zip(shares / shares.sum(), similarities, strict=True):
        total += share * row
    return total.astype(np.float32)


def keep(
    observations: Sequence[Observation], new: Observation, *, capacity: int, per_pose: int, same_pose_degrees: float
) -> tuple[Observation, ...]:
    """What a track remembers after one more observation: the best few of each pose, the best of all poses.

    Args:
        observations: What it remembers so far.
        new: The observation to add. Of two that weigh the same the newer one stays.
        capacity: How many observations are remembered, at least 1.
        per_pose: How many of them of one pose, at least 1.
        same_pose_degrees: Observations that differ by less in yaw and pitch together are of one pose.
    """
    alike = [old for old in observations if _same_pose(old.pose, new.pose, same_pose_degrees)]
    crowded = alike if len(alike) >= per_pose else observations if len(observations) >= capacity else ()
    if not crowded:
        return (*observations, new)
    weakest = min(crowded, key=lambda old: (old.weight, old.time_s))
    if weakest.weight > new.weight:
        return tuple(observations)
    return (*(old for old in observations if old is not weakest), new)


def best_of(observations: Sequence[Observation], most: int, same_pose_degrees: float) -> tuple[Observation, ...]:
    """The few that show a face best: one of each pose first, then what else weighs most.

    Args:
        observations: Any number.
        most: How many are wanted.
        same_pose_degrees: Observations that differ by less in yaw and pitch together are of one pose.

    Returns:
        At most ``most``, those that weigh most first.
    """
    heaviest = sorted(observations, key=lambda one: (-one.weight, one.time_s))
    chosen: list[Observation] = []
    for one in heaviest:
        if not any(_same_pose(one.pose, other.pose, same_pose_degrees) for other in chosen):
            chosen.append(one)
    others = [one for one in heaviest if not any(one is other for other in chosen)]
    return tuple(sorted((*chosen, *others)[:most], key=lambda one: (-one.weight, one.time_s)))


def likeness(observations: Sequence[Observation], embedding: Floats) -> float:
    """How much a face resembles the observation that it resembles most, at least one; cosine in -1..1."""
    return float(np.max(np.stack([observation.embedding for observation in observations]) @ embedding))


def promise_to_beat(observations: Sequence[Observation], pose: Pose | None, same_pose_degrees: float) -> float | None:
    """What the weakest observation of a pose promised; None where nothing shows the face from there."""
    alike = [old for old in observations if _same_pose(old.pose, pose, same_pose_degrees)]
    return min(alike, key=lambda old: (old.weight, old.promise)).promise if alike else None


def _same_pose(one: Pose | None, other: Pose | None, degrees: float) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.hypot(one.yaw - other.yaw, one.pitch - other.pitch) < degrees)
