"""Who was seen, where faces are kept: looking at sightings, correcting who it was, deleting them."""

from datetime import UTC
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime

from facepool.errors import UnknownSighting
from facepool.gallery import Pool, find_name
from facepool.gallery.checks import NAME_LIMIT
from facepool.groups.correct import (
    HOW_TO_KEEP,
    NO_FACE_KEPT,
    Correction,
    Corrections,
    Wish,
    correct_event,
    known_person,
)
from facepool.groups.correct import (
    delete_sighting as erase,
)
from facepool.records import correction_record, pose_record, rounded, sighting_record
from facepool.types import Person, SightedFaces, Sighting
from facepool.web.api.schemas import (
    JPEG,
    Corrected,
    Correcting,
    DeletedSighting,
    SightingDetail,
    SightingPage,
    SightingSummary,
)
from facepool.web.middleware.authentication import Enrolling, Recognizing
from facepool.web.routes import BoundedRoute
from facepool.web.services import CurrentServices, Services
from facepool.web.services.activity import ActivityEntry
from facepool.web.services.keys import Caller

_PREVIEW_S = 2.0
"""Others read in the pool, too, in a few threads."""

router = APIRouter(prefix="/v1", tags=["sightings"], route_class=BoundedRoute)

SightingId = Annotated[UUID, Path(alias="id", description="Of the sighting")]
SightingOrEventId = Annotated[
    UUID, Path(alias="id", description="Of the sighting, or the `event_id` of an entry of the activity")
]
FaceId = Annotated[UUID, Path(alias="id", description="Of the face")]


@router.get("/sightings")
async def list_sightings(
    services: CurrentServices,
    _: Recognizing,
    person: Annotated[str | None, Query(description="Only those of somebody", max_length=NAME_LIMIT)] = None,
    group: Annotated[int | None, Query(ge=1, lt=1 << 63, description="Only those of an unknown person's group")] = None,
    before: Annotated[
        AwareDatetime | None, Query(description="`next` of the page before: those that ended before")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many; a few more that ended at the same moment")] = 100,
) -> SightingPage:
    """Who was seen, where faces are kept: newest first, by when it ended."""

    def read(pool: Pool) -> SightingPage:
        found = pool.inbox.sightings(
            person=find_name(person) if person else None,
            group=group,
            before=before.astimezone(UTC).isoformat(timespec="milliseconds") if before else "",
            limit=limit,
        )
        following = found[-1].until if len(found) >= limit else None
        return SightingPage(sightings=[_seen(one) for one in found], next=following)

    return await services.pool.run(read)


@router.get("/sightings/{id}")
async def show_sighting(sighting_id: SightingOrEventId, services: CurrentServices, _: Recognizing) -> SightingDetail:
    """One sighting, with the faces that are kept of it."""

    def read(pool: Pool) -> SightingDetail:
        sighting = _found(services, pool, str(sighting_id))
        if not isinstance(sighting, Sighting):
            raise UnknownSighting("Nothing is kept of that sighting", why="no face was kept", fix=HOW_TO_KEEP)
        faces = pool.inbox.faces([sighting.id]).get(sighting.id) or SightedFaces.empty()
        kept = [
            {"id": face, "quality": rounded(quality, 1), "pose": pose_record(pose, 1)}
            for face, quality, pose in zip(faces.ids, faces.qualities, faces.poses, strict=True)
        ]
        return SightingDetail.model_validate(sighting_record(sighting) | {"faces": kept})

    return await services.pool.run(read)


@router.get("/faces/{id}/picture", response_class=Response, responses=JPEG)
async def face_picture(face_id: FaceId, services: CurrentServices, _: Recognizing) -> Response:
    """A face that is kept of a sighting, 112 by 112 pixels, upright, as JPEG."""
    picture = await services.pool.run(lambda pool: pool.inbox.picture(str(face_id)))
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


@router.delete("/sightings/{id}")
async def delete_sighting(sighting_id: SightingId, services: CurrentServices, caller: Enrolling) -> DeletedSighting:
    """Delete a sighting and its faces; the activity still says who was seen. There is no way back."""

    def delete(pool: Pool) -> DeletedSighting:
        with services.people.changing(caller, pool) as notes:
            erase(pool, str(sighting_id))
        return DeletedSighting(id=str(sighting_id), notes=notes)

    return await services.pool.change(delete)


@router.post("/sightings/{id}/correct")
async def correct_sighting(
    sighting_id: SightingOrEventId, body: Correcting, services: CurrentServices, caller: Enrolling
) -> Corrected:
    """Say who somebody is who was seen, or who they are not; or only what that would change.

    The best face becomes a view of the person, unless the pool speaks against it, which is an error
    (`identity_conflict`) until it is forced. Where no face was kept, only the activity is corrected.
    """
    wish = Wish(
        person=body.person,
        learn=body.template,
        flag=body.look_alikes,
        force=body.force,
        keep_nobody=services.settings.keep_unknown,
        last=body.last,
    )
    one = str(sighting_id)
    previewed = await services.pool.run(lambda pool: _preview(services, pool, one, wish))
    if body.preview:
        return previewed
    done = await services.pool.change(lambda pool: _correct(services, caller, pool, one, wish))
    return done.model_copy(update={"changes": previewed.changes, "looked_at": previewed.looked_at})


def _preview(services: Services, pool: Pool, one: str, wish: Wish) -> Corrected:
    found = _found(services, pool, one)
    if isinstance(found, Sighting):
        return _of_sighting(_corrections(services, pool).preview(found.id, wish, _PREVIEW_S))
    person = None if wish.person is None else known_person(pool, wish.person)
    return _of_event(found, person)


def _correct(services: Services, caller: Caller, pool: Pool, one: str, wish: Wish) -> Corrected:
    found = _found(services, pool, one)
    with services.people.changing(caller, pool) as notes:
        if isinstance(found, Sighting):
            done = _of_sighting(_corrections(services, pool).correct(found.id, wish, caller.name))
        else:
            person = None if wish.person is None else known_person(pool, wish.person)
            done = _of_event(
                found, person, correct_event(pool, found.event_id or one, found.person_id, person, caller.name)
            )
    return done.model_copy(update={"notes": notes})


def _corrections(services: Services, pool: Pool) -> Corrections:
    settings = services.settings
    return Corrections(pool, services.policy, settings.enroll_options(), settings.live_options())


def _found(services: Services, pool: Pool, one: str) -> Sighting | ActivityEntry:
    """The sighting of an id, or that of an event; the entry of the event, where no face of it is kept.

    Raises:
        UnknownSighting: There is neither.
    """
    entry = services.activity.of_event(one)
    try:
        return pool.inbox.sighting((entry and entry.sighting) or one)
    except UnknownSighting:
        if entry is None:
            raise
        return entry


def _seen(sighting: Sighting) -> SightingSummary:
    return SightingSummary.model_validate(sighting_record(sighting))


def _of_sighting(correction: Correction) -> Corrected:
    return Corrected.model_validate(correction_record(correction) | {"notes": []})


def _of_event(entry: ActivityEntry, person: Person | None, number: int | None = None) -> Corrected:
    """What is corrected where no face was kept: the activity alone."""
    return Corrected(
        sighting=None,
        person=None if person is None else person.name,
        previous=entry.person,
        template=False,
        outcome="no_face",
        removed=0,
        look_alikes=None,
        margin=None,
        again=None,
        erased=False,
        changes=[],
        looked_at=0,
        undo=number,
        message=NO_FACE_KEPT,
        notes=[],
    )
