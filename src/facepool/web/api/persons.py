"""People of the pool: who is there, what is stored of them, registering, renaming, merging, exporting, erasing."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePath
from typing import Annotated
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Path, Query, Response

from facepool.enroll.pictures import Offer
from facepool.enroll.ring import AMPLITUDES, StoredRing, stored_ring
from facepool.enroll.session import EnrollmentSession
from facepool.errors import InputError, UnknownPerson, UnknownTemplate
from facepool.faces.analyze import Faces
from facepool.gallery import Details, Pool, clean_name, find_name
from facepool.gallery.checks import NAME_LIMIT, unknown_person
from facepool.gallery.details import EXTERNAL_ID_LIMIT, TAG_LIMIT
from facepool.records import Record, consent_record, rounded, template_record
from facepool.types import Floats, Frame, Image, Person, Template
from facepool.web.api.pictures import REQUEST_BODY, AnalyzedPicture, SentPicture, SentPictures, looked_at_each
from facepool.web.api.proof import LiveProof
from facepool.web.api.schemas import (
    JPEG,
    ZIP,
    Describing,
    Erased,
    ErasedSample,
    Merged,
    Merging,
    NewPerson,
    PeoplePage,
    PersonDetail,
    PersonSummary,
    Registered,
    StoredSample,
    attachment,
    head_of,
)
from facepool.web.middleware.authentication import Enrolling, Recognizing, Share
from facepool.web.middleware.paths import NAME
from facepool.web.routes import BoundedRoute
from facepool.web.services import CurrentServices, Services
from facepool.web.services.consent import agreed
from facepool.web.services.keys import Caller
from facepool.web.services.people import best_view

router = APIRouter(prefix="/v1/persons", tags=["persons"], route_class=BoundedRoute)

PersonName = Annotated[str, Path(alias="name", description="The person's name")]
PersonById = Annotated[UUID, Path(alias="id", description="The person's id")]
SampleNumber = Annotated[int, Path(alias="id", description="Number of the stored view")]
_PAGE = 50
_LARGEST_PAGE = 500
_SOMEBODY = f"/{NAME}"
_LONGEST_SOURCE = 200
_ABOUT = (
    "Everything that this server keeps about the person. vectors.npy has a row of float32 for each sample, in the same "
    "order; pictures are the faces that the vectors were made from, where they were kept. activity.json: when the "
    "person was seen. audit.json: who registered, changed or exported the person."
)
_NO_PIXELS: Image = np.empty((0, 0, 3), np.uint8)
_NOT_LIVE = InputError("not the person who has made the liveness check")


@router.get("")
async def list_people(
    services: CurrentServices,
    _: Recognizing,
    prefix: Annotated[str, Query(description="How the name begins, in either case", max_length=NAME_LIMIT)] = "",
    after: Annotated[
        str, Query(description="`next` of the page before: those who come after it", max_length=NAME_LIMIT)
    ] = "",
    limit: Annotated[int | None, Query(ge=1, le=_LARGEST_PAGE, description="How many, at most")] = None,
    name: Annotated[
        list[str] | None,
        Query(description="Whole names, this parameter once for each: these people alone", max_length=_LARGEST_PAGE),
    ] = None,
    search: Annotated[str, Query(description="Part of the name, in either case")] = "",
    tag: Annotated[str, Query(description="One of their tags, in either case", max_length=TAG_LIMIT)] = "",
    external_id: Annotated[str, Query(description="What another system calls them", max_length=EXTERNAL_ID_LIMIT)] = "",
    page: Annotated[
        int, Query(ge=0, le=1_000_000, description="How many pages to leave out; `after` does so faster")
    ] = 0,
    size: Annotated[int, Query(ge=1, le=_LARGEST_PAGE, description="As `limit`, for `page`")] = _PAGE,
) -> PeoplePage:
    """Who is in the pool, by name without regard to case, a page at a time: `next` of a page leads to the one after."""
    length = size if limit is None else limit

    def read(pool: Pool) -> PeoplePage:
        if name is not None:
            these = _summaries(pool, [find_name(one) for one in name])
            return PeoplePage(persons=these, total=len(these), page=0, size=length, next=None)
        found = pool.people_page(
            prefix, part=search, tag=tag, external_id=external_id, after=after, offset=page * length, limit=length
        )
        summaries = _summaries(pool, [person.name for person in found.people])
        total = pool.count_people(prefix, part=search, tag=tag, external_id=external_id)
        return PeoplePage(persons=summaries, total=total, page=page, size=length, next=found.following)

    return await services.pool.run(read)


def _summaries(pool: Pool, names: Sequence[str]) -> list[PersonSummary]:
    """Those of some people who are there."""
    summaries = []
    for name in names:
        with suppress(UnknownPerson):  # erased since by somebody else
            summaries.append(PersonSummary.model_validate(_person(pool, name)))
    return summaries


@router.post("", status_code=201)
async def create_person(body: NewPerson, services: CurrentServices, caller: Enrolling) -> PersonDetail:
    """Make somebody known who has no views yet."""
    name = clean_name(body.person)

    def create(pool: Pool) -> PersonDetail:
        services.people.create(caller, pool, name)
        return _detail(pool, name)

    return await services.pool.change(create)


@router.get(_SOMEBODY)
async def show_person(name: PersonName, services: CurrentServices, _: Recognizing) -> PersonDetail:
    """Somebody with their views, and which ways these look."""
    return await services.pool.run(lambda pool: _detail(pool, find_name(name)))


@router.get("/by-id/{id:uuid}")
async def show_person_by_id(person_id: PersonById, services: CurrentServices, _: Recognizing) -> PersonDetail:
    """Somebody with their views, by the id that stays when they are renamed."""
    return await services.pool.run(lambda pool: _detail(pool, _name_of(pool, person_id)))


@router.patch(_SOMEBODY)
async def describe_person(
    name: PersonName, body: Describing, services: CurrentServices, caller: Enrolling
) -> PersonDetail:
    """Give somebody another name, which nobody may have yet, or say what is to be known of them."""
    old = find_name(name)
    return await services.pool.change(lambda pool: _describe(services, caller, pool, old, body))


@router.patch("/by-id/{id:uuid}")
async def describe_person_by_id(
    person_id: PersonById, body: Describing, services: CurrentServices, caller: Enrolling
) -> PersonDetail:
    """The same by their id: no address can have a name that earlier versions took, `.` or `..`."""
    return await services.pool.change(lambda pool: _describe(services, caller, pool, _name_of(pool, person_id), body))


@router.delete(_SOMEBODY)
async def erase_person(name: PersonName, services: CurrentServices, caller: Enrolling) -> Erased:
    """Erase somebody: views, pictures, and what the activity says of them. There is no way back."""
    name = find_name(name)
    return await services.pool.change(lambda pool: _erase(services, caller, pool, name))


@router.delete("/by-id/{id:uuid}")
async def erase_person_by_id(person_id: PersonById, services: CurrentServices, caller: Enrolling) -> Erased:
    """Erase somebody by their id."""
    return await services.pool.change(lambda pool: _erase(services, caller, pool, _name_of(pool, person_id)))


@router.post(f"{_SOMEBODY}/merge")
async def merge_people(name: PersonName, body: Merging, services: CurrentServices, caller: Enrolling) -> Merged:
    """Give all views of somebody to another person; who they were is gone."""
    source, target = find_name(name), find_name(body.into)

    def merge(pool: Pool) -> Merged:
        moved = services.people.merge(caller, pool, source, target)
        return Merged(person=target, person_id=_known(pool, target).id, moved=moved)

    return await services.pool.change(merge)


@router.get(f"{_SOMEBODY}/samples")
async def list_samples(name: PersonName, services: CurrentServices, _: Recognizing) -> list[StoredSample]:
    """The stored views of somebody, oldest first."""
    samples = await services.pool.run(lambda pool: _samples(pool.templates(name), pool.template_ids_with_image(name)))
    return [StoredSample.model_validate(sample) for sample in samples]


@router.post(f"{_SOMEBODY}/samples", openapi_extra=REQUEST_BODY)
async def register(
    name: PersonName,
    proof: LiveProof,
    pictures: SentPictures,
    services: CurrentServices,
    caller: Enrolling,
    share: Share,
    *,
    force: Annotated[
        bool, Query(description="Store faces that belong to somebody else, or do not look like this person")
    ] = False,
    consent: Annotated[
        bool, Query(description="The person has agreed to `consent_text` of the system, which is to be recorded")
    ] = False,
) -> Registered:
    """Register somebody, new or known, from one or many pictures with one face in each.

    Only good views that differ from those that are stored already are stored; what became of each picture is told.
    With a liveness check, only views of the person who has made it are.
    """
    name, record = clean_name(name), agreed(services, caller, consent)
    analyzed = [one async for one in looked_at_each(services.engine, share, pictures, services.engine.analyzer.analyze)]
    options = services.settings.enroll_options(force=force, keep_pictures=True, consent=record)
    seen = await proof.take()
    if seen is not None:
        analyzed = [_of_who_is_live(one, partial(proof.shows, seen)) for one in analyzed]

    def store(pool: Pool) -> Registered:
        session = EnrollmentSession(name, services.engine.analyzer, pool, services.policy, options)
        with services.people.changing(caller, pool):
            return _register(session, pool, pictures, analyzed)

    registered = await services.pool.change(store)
    await proof.note(caller, "registered live" if registered.stored else "refused live", seen, name)
    return registered.model_copy(update={"liveness": None if seen is None else seen.liveness})


@router.delete(f"{_SOMEBODY}/samples/{{id}}")
async def erase_sample(
    name: PersonName, number: SampleNumber, services: CurrentServices, caller: Enrolling
) -> ErasedSample:
    """Erase one view and its picture. The person stays, even without a view."""
    owner, notes = await services.pool.change(lambda pool: services.people.erase_view(caller, pool, number, name))
    return ErasedSample(person=owner, id=number, notes=list(notes))


@router.get(f"{_SOMEBODY}/samples/{{id}}/picture", response_class=Response, responses=JPEG)
async def sample_picture(name: PersonName, number: SampleNumber, services: CurrentServices, _: Recognizing) -> Response:
    """The face of a view, 112 by 112 pixels, upright, as JPEG."""

    def read(pool: Pool) -> bytes:
        is_theirs = pool.template(number).person == find_name(name)
        picture = pool.picture(number) if is_theirs else None
        if picture is None:
            raise UnknownTemplate(f"There is no picture of view {number} of {name}")
        return picture

    picture = await services.pool.run(read)
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


@router.get(f"{_SOMEBODY}/export", response_class=Response, responses=ZIP)
async def export_person(name: PersonName, services: CurrentServices, caller: Enrolling) -> Response:
    """Everything about somebody in a zip file: views with vectors and pictures, activity, and what was done to them."""
    name = find_name(name)
    activity, audit = await services.activity.of(name), await services.audit.of(name)
    archive = await services.pool.run(lambda pool: _archive(pool, name, activity, audit))
    await services.audit.add(caller, "exported", name)
    return Response(archive, media_type="application/zip", headers=attachment(f"{name}.zip"))


@router.head(f"{_SOMEBODY}/export", include_in_schema=False)
async def head_of_export(name: PersonName, services: CurrentServices, _: Enrolling) -> Response:
    """Whether there is something to export: nobody gets it by that, and nothing is noted."""
    name = find_name(name)
    await services.pool.run(lambda pool: _known(pool, name))
    return head_of("application/zip", f"{name}.zip")


def _describe(services: Services, caller: Caller, pool: Pool, old: str, body: Describing) -> PersonDetail:
    new, details = body.person, Details(body.notes, body.tags, external_id=body.external_id)
    return _detail(pool, services.people.describe(caller, pool, old, details, new).name)


def _erase(services: Services, caller: Caller, pool: Pool, name: str) -> Erased:
    gone = services.people.erase(caller, pool, [name])
    if gone.nothing:
        raise unknown_person(name, pool.names_near(name))
    return Erased(
        person=name,
        samples=gone.samples.get(name, 0),
        activity=gone.activity,
        still_in_index=gone.still_in_index,
        notes=list(gone.notes),
    )


def _known(pool: Pool, name: str) -> Person:
    person = pool.person(name)
    if person is None:
        raise unknown_person(name, pool.names_near(name))
    return person


def _name_of(pool: Pool, person_id: UUID) -> str:
    """What somebody is called now.

    Raises:
        UnknownPerson: Nobody has that id.
    """
    person = pool.person_by_id(str(person_id))
    if person is None:
        raise UnknownPerson(f"The pool has nobody of the id {person_id}", fix="`GET /v1/persons` tells ids")
    return person.name


def _detail(pool: Pool, name: str) -> PersonDetail:
    return PersonDetail.model_validate(_person(pool, name))


def _person(pool: Pool, name: str) -> Record:
    """Somebody of the pool with their views.

    Raises:
        UnknownPerson: Nobody has that name.
    """
    templates, with_image = pool.templates(name), pool.template_ids_with_image(name)
    ring, person = stored_ring(templates), _known(pool, name)
    return {
        "person": name,
        "person_id": person.id,
        "notes": person.notes,
        "tags": list(person.tags),
        "external_id": person.external_id or None,
        "samples": len(templates),
        "created_at": min((template.created_at for template in templates if template.created_at), default=None),
        "look_alikes": _look_alikes_of(pool, name),
        "face": _face(templates, ring, with_image),
        "coverage": ring.coverage,
        "ring": [
            {
                "direction": direction,
                "amplitude": amplitude,
                "angle_deg": part.angle_deg,
                "quality": part.near if amplitude == "near" else part.far,
            }
            for amplitude in AMPLITUDES
            for direction, part in enumerate(ring.parts)
        ],
        "views": _samples(templates, with_image),
    }


def _samples(templates: Sequence[Template], with_image: frozenset[int]) -> list[Record]:
    return [template_record(template) | {"picture": template.id in with_image} for template in templates]


def _look_alikes_of(pool: Pool, name: str) -> list[str]:
    """People whom somebody is easily taken for."""
    return sorted(other for pair in pool.look_alikes(name) for other in pair - {name})


def _face(templates: Sequence[Template], ring: StoredRing, with_image: frozenset[int]) -> int | None:
    """The view that shows somebody best: the one in the middle if it has a picture, else the best of those that do."""
    if ring.middle in with_image:
        return ring.middle
    return best_view(templates, with_image)


def _register(
    session: EnrollmentSession,
    pool: Pool,
    pictures: Sequence[SentPicture],
    analyzed: Sequence[AnalyzedPicture[Faces] | InputError],
) -> Registered:
    """Offer the faces of pictures, store them, and say what became of each picture."""
    seen = [
        (Frame(_NO_PIXELS, _source(picture), number), one.found)
        for number, (picture, one) in enumerate(zip(pictures, analyzed, strict=True))
        if not isinstance(one, InputError)
    ]
    offers = {offer.frame.index: offer for offer in session.offer_faces(seen)}
    stored = session.commit()
    offers |= {offer.frame.index: offer for offer in session.withdrawn}
    templates = pool.templates(session.person) if stored else []
    number_of = {template.sample.embedding.tobytes(): template.id for template in templates}
    outcomes = [
        _unreadable(one) if isinstance(one, InputError) else _outcome(offers[number], number_of)
        for number, one in enumerate(analyzed)
    ]
    named = [{"name": picture.name, **outcome} for picture, outcome in zip(pictures, outcomes, strict=True)]
    person = pool.person(session.person)
    told: Record = {"person": session.person, "person_id": person.id if person else None}
    return Registered.model_validate(told | {"stored": stored, "pictures": named, "liveness": None})


def _outcome(offer: Offer, number_of: Mapping[bytes, int]) -> Record:
    taken = offer.outcome == "taken"
    return {
        "outcome": offer.outcome,
        "message": str(offer),
        "rival": offer.rival,
        "similarity": rounded(offer.similarity, 4),
        "sample": number_of.get(offer.faces.embeddings[0].tobytes()) if taken else None,
        "faces": len(offer.faces),
    }


def _of_who_is_live(
    one: AnalyzedPicture[Faces] | InputError, shows: Callable[[Floats], bool]
) -> AnalyzedPicture[Faces] | InputError:
    """A picture, unless the face that would be stored, which is the first, is not that of who is there."""
    if isinstance(one, InputError) or not len(one.found) or shows(one.found.embeddings[0]):
        return one
    return _NOT_LIVE


def _unreadable(error: InputError) -> Record:
    nothing = dict.fromkeys(("rival", "similarity", "sample"))
    if error is _NOT_LIVE:
        return {"outcome": "not_live", "message": error.what, "faces": 1, **nothing}
    return {"outcome": "unreadable", "message": str(error), "faces": 0, **nothing}


def _source(picture: SentPicture) -> str:
    """Where a view comes from, as the pool keeps it: what the client called the file, without its folders."""
    return PurePath(picture.name.replace("\\", "/")).name[:_LONGEST_SOURCE] or "upload"


def _archive(
    pool: Pool, name: str, activity: Sequence[Mapping[str, object]], audit: Sequence[Mapping[str, object]]
) -> bytes:
    """A zip file with all that is stored about somebody.

    Args:
        pool: Where they are.
        name: Whom it is about.
        activity: When they were seen.
        audit: What was done to them, and by whom.

    Raises:
        UnknownPerson: Nobody has that name.
    """
    templates, known = pool.templates(name), _known(pool, name)
    pictures = {template.id: pool.picture(template.id) for template in templates}
    person = {
        "about": _ABOUT,
        "person": name,
        "person_id": known.id,
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "notes": known.notes,
        "tags": list(known.tags),
        "external_id": known.external_id or None,
        "consents": [consent_record(one) for one in pool.consents(name)],
        "embedding_space": str(pool.space) if pool.space else None,
        "look_alikes": _look_alikes_of(pool, name),
        "samples": [_sample(template, pictures[template.id]) for template in templates],
    }
    rows = [template.sample.embedding for template in templates]
    vectors = io.BytesIO()
    np.save(vectors, np.array(rows, np.float32).reshape(len(rows), pool.dimension or 0), allow_pickle=False)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("person.json", _json(person))
        archive.writestr("vectors.npy", vectors.getvalue())
        archive.writestr("activity.json", _json(activity))
        archive.writestr("audit.json", _json(audit))
        for number, picture in pictures.items():
            if picture is not None:
                archive.writestr(_picture_name(number), picture, zipfile.ZIP_STORED)
    return file.getvalue()


def _sample(template: Template, picture: bytes | None) -> Record:
    record = template_record(template) | {"picture": None if picture is None else _picture_name(template.id)}
    del record["person"], record["person_id"]  # the file says them once
    return record


def _picture_name(number: int) -> str:
    return f"pictures/{number}.jpg"


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1)
