"""Sightings: one face followed before one camera, from when to when, with the best few faces that were seen of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np

from facepool.faces.analyze import Faces, face_jpeg
from facepool.faces.pose import fit_a_head
from facepool.recognize.evidence import Identity
from facepool.recognize.fuse import Observation, best_of, observe
from facepool.types import Decision, Frame, SightedFaces, one_line

FACES_KEPT = 5
"""Faces that are kept of a sighting: more of them hardly help to find the same person again."""


@dataclass(frozen=True, slots=True)
class TrackSighting:
    """What there is to keep of one track, told again whenever it is taken for somebody else, and when it is lost.

    Attributes:
        id: A UUID, the same from the first decision until the track is lost.
        decision: Who it is taken for now: a person or unknown.
        since: When it was seen first, UTC.
        until: When it was seen last.
        began_s: When it was seen first, in the source's time.
        seen_s: When it was seen last, in the source's time.
        frames: How many observations were embedded.
        faces: The best few, of several poses where there are; at least one. They have no ids yet.
        ended: Whether the track is lost, so that nothing more comes of it.
    """

    id: str
    decision: Decision
    since: datetime
    until: datetime
    began_s: float
    seen_s: float
    frames: int
    faces: SightedFaces
    ended: bool

    def __repr__(self) -> str:
        """Who was seen from when to when."""
        who = self.decision.person or "unknown"
        return one_line(self, f"{who} from {self.began_s:.3f} to {self.seen_s:.3f} s, {self.faces!r}")


Keep = Callable[[Frame, Sequence[TrackSighting]], None]
"""Gets the sightings of a frame that has some."""


def sighting_of(identity: Identity, most: int, *, ended: bool = False) -> TrackSighting | None:
    """What there is to keep of a track now.

    Args:
        identity: The track.
        most: How many faces are kept.
        ended: Whether it is lost.

    Returns:
        None where nothing is decided yet, or no face is good enough to be found again by.
    """
    pictured = [one for one in identity.proving if one.aligned_bgr is not None]
    if identity.shown is None or not pictured:
        return None
    chosen = best_of(pictured, most, identity.options.same_pose_degrees)
    return TrackSighting(
        id=identity.sighting,
        decision=identity.shown,
        since=identity.since,
        until=identity.until,
        began_s=identity.began_s,
        seen_s=identity.seen_s,
        frames=identity.frames,
        faces=_columns(chosen),
        ended=ended,
    )


def sightings_of_picture(faces: Faces, decisions: Sequence[Decision], min_size_px: float) -> list[TrackSighting]:
    """What there is to keep of the people in a still picture: a sighting each, which has ended.

    Args:
        faces: The faces of the picture, with ``aligned``.
        decisions: Who each is.
        min_size_px: Of smaller faces, and of those that fit no head, nothing is kept.
    """
    if faces.aligned is None:
        return []
    now, found = datetime.now(UTC), []
    heads = fit_a_head(faces.detections)
    for row, decision in enumerate(decisions):
        if not heads[row] or faces.measures.size_px[row] < min_size_px:
            continue
        observation = observe(faces, row, 0.0, with_picture=True)
        found.append(TrackSighting(str(uuid4()), decision, now, now, 0.0, 0.0, 1, _columns([observation]), ended=True))
    return found


def _columns(observations: Sequence[Observation]) -> SightedFaces:
    return SightedFaces(
        embeddings=np.stack([one.embedding for one in observations]).astype(np.float32),
        pictures=tuple(face_jpeg(one.aligned_bgr) for one in observations if one.aligned_bgr is not None),
        qualities=np.array([one.quality for one in observations], np.float32),
        scores=np.array([one.score for one in observations], np.float32),
        sizes_px=np.array([one.size_px for one in observations], np.float32),
        poses=tuple(one.pose for one in observations),
    )
