"""From the library's words to those of the REST routes."""

from collections.abc import Collection, Iterable

from facepool.enroll.ring import StoredRing, stored_ring
from facepool.faces.analyze import Faces
from facepool.gallery import Pool
from facepool.gallery.columns import LookAlikes
from facepool.recognize.pictures import RecognizedFaces
from facepool.records import rounded, template_record
from facepool.types import Detections, Pose, Template
from facepool.web.api.schemas import (
    CandidatePerson,
    EmbeddedFace,
    FoundFace,
    NamedFace,
    PersonDetail,
    PersonSummary,
    PoseAngles,
    RingPlace,
    StoredSample,
)


def found_faces(detections: Detections) -> list[FoundFace]:
    """Faces without more."""
    return [_found(detections, row) for row in range(len(detections))]


def embedded_faces(faces: Faces) -> list[EmbeddedFace]:
    """Faces with their vectors."""
    overall = faces.measures.overall
    return [
        EmbeddedFace(
            **_found(faces.detections, row).model_dump(),
            embedding=faces.embeddings[row].tolist(),
            quality=round(float(overall[row]), 1),
            pose=_angles(faces.poses[row]),
        )
        for row in range(len(faces))
    ]


def named_faces(faces: RecognizedFaces) -> list[NamedFace]:
    """Faces with their decisions."""
    return [
        NamedFace(
            **_found(faces.detections, row).model_dump(),
            person=decision.person,
            similarity=rounded(decision.similarity, 4),
            threshold=round(decision.threshold, 4),
            margin=rounded(decision.margin, 4),
            reason=decision.reason,
            candidates=[
                CandidatePerson(person=candidate.person, similarity=round(candidate.similarity, 4))
                for candidate in decision.candidates
            ],
        )
        for row, decision in enumerate(faces.decisions)
    ]


def person_summary(pool: Pool, name: str, pairs: Collection[LookAlikes]) -> PersonSummary:
    """Somebody of the pool.

    Args:
        pool: Where they are.
        name: Whose name it is.
        pairs: The pool's look-alikes.

    Raises:
        UnknownPerson: Nobody has that name.
    """
    return _summary(name, pool.templates(name), pool.template_ids_with_image(name), pairs)


def person_detail(pool: Pool, name: str) -> PersonDetail:
    """Somebody of the pool with their views.

    Raises:
        UnknownPerson: Nobody has that name.
    """
    templates, pictured = pool.templates(name), pool.template_ids_with_image(name)
    summary = _summary(name, templates, pictured, pool.look_alikes())
    return PersonDetail(**summary.model_dump(), views=stored_samples(templates, pictured))


def stored_samples(templates: Iterable[Template], pictured: frozenset[int]) -> list[StoredSample]:
    """Views as they are stored."""
    return [
        StoredSample.model_validate(template_record(template) | {"picture": template.id in pictured})
        for template in templates
    ]


def look_alikes_of(name: str, pairs: Collection[LookAlikes]) -> list[str]:
    """People whom somebody is easily taken for."""
    return sorted(other for pair in pairs if name in pair for other in pair - {name})


def _found(detections: Detections, row: int) -> FoundFace:
    left, top, right, bottom = (round(float(edge), 1) for edge in detections.boxes[row])
    return FoundFace(
        bbox=(left, top, right, bottom),
        score=round(float(detections.scores[row]), 4),
        landmarks=[(round(float(x), 1), round(float(y), 1)) for x, y in detections.landmarks[row]],
    )


def _angles(pose: Pose | None) -> PoseAngles | None:
    if pose is None:
        return None
    return PoseAngles(yaw=round(pose.yaw, 1), pitch=round(pose.pitch, 1), roll=round(pose.roll, 1))


def _summary(
    name: str, templates: list[Template], pictured: frozenset[int], pairs: Collection[LookAlikes]
) -> PersonSummary:
    ring = stored_ring(templates)
    return PersonSummary(
        person=name,
        samples=len(templates),
        created_at=min((template.created_at for template in templates if template.created_at), default=None),
        look_alikes=look_alikes_of(name, pairs),
        face=_face(templates, ring, pictured),
        coverage=ring.coverage,
        ring=[
            RingPlace(
                direction=place.slot.direction,
                amplitude=place.slot.amplitude,
                angle_deg=place.angle_deg,
                quality=rounded(place.quality, 1),
            )
            for place in ring.bins
        ],
    )


def _face(templates: list[Template], ring: StoredRing, pictured: frozenset[int]) -> int | None:
    """The view that shows somebody best: the one in the middle if it has a picture, else the best of those that do."""
    if ring.middle in pictured:
        return ring.middle
    with_picture = [template for template in templates if template.id in pictured]
    best = max(with_picture, key=lambda template: template.sample.quality or 0, default=None)
    return None if best is None else best.id
