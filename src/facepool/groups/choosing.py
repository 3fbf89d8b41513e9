"""Which of the faces that were kept of somebody become templates: few, good, and each another view."""

from collections.abc import Sequence

import numpy as np

from facepool.enroll.identity import Comparison, IdentityCheck
from facepool.enroll.ring import slot_of
from facepool.enroll.scan import View, choose
from facepool.faces.facing import angle_between, place, relative
from facepool.faces.quality import QualityPolicy
from facepool.types import Image, Pose, Sample, SightedFaces

_STRAIGHT = Pose(0.0, 0.0, 0.0)
_NO_PIXELS: Image = np.empty((0, 0, 3), np.uint8)


def samples_of(faces: SightedFaces, source: str) -> list[Sample]:
    """What would become templates of kept faces.

    Args:
        faces: Of one sighting.
        source: Its camera.
    """
    return [
        Sample(
            embedding=faces.embeddings[row],
            source=source,
            pose=faces.poses[row],
            quality=float(faces.qualities[row]),
            score=float(faces.scores[row]),
            size_px=float(faces.sizes_px[row]),
            picture=faces.pictures[row],
        )
        for row in range(len(faces))
    ]


def middle_first(samples: Sequence[Sample], identity: IdentityCheck) -> list[int]:
    """Faces of one person, the one first by which to judge whether they are the person of the pool.

    It is the one in the middle: half of them are more like what is stored of the person. Of many faces of a stranger
    and many views of the person, some two are alike by chance. Where nothing is stored, it is the most typical one.
    """
    if not samples:
        return []
    vectors, stored = np.stack([sample.embedding for sample in samples]), identity.vectors()
    likeness = (vectors @ stored.T).max(axis=1) if len(stored) else vectors @ vectors.mean(axis=0)
    order = [int(row) for row in np.argsort(-likeness, kind="stable")]
    middle = order[len(order) // 2] if len(stored) else order[0]
    return [middle, *(row for row in order if row != middle)]


def choose_faces(samples: Sequence[Sample], identity: IdentityCheck, quality: QualityPolicy, room: int) -> list[int]:
    """Which faces of one person are worth keeping as templates.

    Those that are good enough for any registration and are the person's, as far as the pool and the other faces tell;
    of these the ones that look other ways, then the ones that differ most from what is chosen or stored.

    Args:
        samples: Of one person, from any number of sightings.
        identity: What the pool says of it.
        quality: What is good enough.
        room: How many at most.

    Returns:
        Indices of samples, the most telling one first.
    """
    objections = _objections(samples, identity)
    good = [row for row, sample in enumerate(samples) if objections[row] is None and _is_good(sample, quality)]
    places = {id(samples[row]): row for row in good}
    chosen: list[int] = []
    for view in choose(_views([samples[row] for row in good]), len(good), identity.vectors()):
        embedding = view.sample.embedding
        own = np.concatenate([identity.vectors(), identity.stacked([samples[row].embedding for row in chosen])])
        if len(chosen) < room and identity.as_view(embedding, own, len(own)).outcome == "taken":
            chosen.append(places[id(view.sample)])
    return chosen


def _is_good(sample: Sample, quality: QualityPolicy) -> bool:
    """Whether a face is good enough, as far as it was measured."""
    return (
        (sample.score or 0.0) >= quality.min_score
        and (sample.size_px or 0.0) >= quality.min_size_px
        and (sample.quality or 0.0) >= quality.least_overall
    )


def _objections(samples: Sequence[Sample], identity: IdentityCheck) -> list[Comparison | None]:
    """Why faces are not the person's, as far as the pool and all the others tell."""
    vectors, stored = identity.stacked([sample.embedding for sample in samples]), identity.vectors()
    if len(samples) + len(stored) < 2:  # there is no other
        return identity.objections(vectors, None)
    others = vectors @ vectors.T
    np.fill_diagonal(others, -1)
    return identity.objections(vectors, np.concatenate([others, vectors @ stored.T], axis=1).max(axis=1))


def _views(samples: Sequence[Sample]) -> list[View]:
    """Faces with their places on the ring around the one that looks most like straight ahead, as the others go."""
    poses = [sample.pose for sample in samples if sample.pose is not None]
    middle = min(poses, key=lambda pose: sum(angle_between(pose, other) for other in poses), default=_STRAIGHT)
    offsets = [_STRAIGHT if sample.pose is None else relative(sample.pose, middle) for sample in samples]
    return [
        View(sample, offset, slot_of(place(offset)), _NO_PIXELS)
        for sample, offset in zip(samples, offsets, strict=True)
    ]
