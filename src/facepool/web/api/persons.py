"""People of the pool: who is there, what is stored of them, registering, renaming, merging, exporting, erasing."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Query, Response

from facepool.enroll.pictures import Offer
from facepool.enroll.session import EnrollmentSession
from facepool.errors import InputError, UnknownTemplate
from facepool.faces.analyze import Faces
from facepool.gallery import Pool, clean_name
from facepool.gallery.checks import unknown_person
from facepool.records import rounded
from facepool.types import Frame, Image
from facepool.web.api import answers
from facepool.web.api.callers import Enrolling, Recognizing
from facepool.web.api.described import JPEG, ZIP, attachment
from facepool.web.api.looking import Seen, looked_at_each
from facepool.web.api.pictures import REQUEST_BODY, SentPicture, SentPictures
from facepool.web.api.schemas import (
    Erased,
    ErasedSample,
    Merged,
    Merging,
    NewPerson,
    OfferedPicture,
    People,
    PersonDetail,
    Registered,
    Renaming,
    StoredSample,
)
from facepool.web.archive import person_archive
from facepool.web.erasing import erase, told_since
from facepool.web.paths import NAME
from facepool.web.services import CurrentServices

router = APIRouter(prefix="/v1/persons", tags=["persons"])

PersonName = Annotated[str, Path(alias="name", description="The person's name")]
SampleNumber = Annotated[int, Path(alias="id", description="Number of the stored view")]
_PAGE = 50
_SOMEBODY = f"/{NAME}"
_LONGEST_SOURCE = 200
_NO_PIXELS: Image = np.empty((0, 0, 3), np.uint8)


@router.get("")
async def list_people(
    services: CurrentServices,
    _: Recognizing,
    search: Annotated[str, Query(description="Part of the name, in either case")] = "",
    page: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    size: Annotated[int, Query(ge=1, le=500)] = _PAGE,
) -> People:
    """Who is in the pool, by name."""

    def read(pool: Pool) -> People:
        names = [entry.name for entry in pool.people() if search.casefold() in entry.name.casefold()]
        shown = names[page * size : (page + 1) * size]
        alike = pool.look_alikes()
        summaries = [answers.person_summary(pool, name, alike) for name in shown]
        return People(persons=summaries, total=len(names), page=page, size=size)

    return await services.pool.run(read)


@router.post("", status_code=201)
async def create_person(body: NewPerson, services: CurrentServices, caller: Enrolling) -> PersonDetail:
    """Make somebody known who has no views yet."""
    name = clean_name(body.person)

    def create(pool: Pool) -> PersonDetail:
        pool.create(name)
        services.audit.note(caller, "created", name)
        return answers.person_detail(pool, name)

    return await services.pool.run(create)


@router.get(_SOMEBODY)
async def show_person(name: PersonName, services: CurrentServices, _: Recognizing) -> PersonDetail:
    """Somebody with their views, and which ways these look."""
    return await services.pool.run(lambda pool: answers.person_detail(pool, clean_name(name)))


@router.patch(_SOMEBODY)
async def rename_person(name: PersonName, body: Renaming, services: CurrentServices, caller: Enrolling) -> PersonDetail:
    """Give somebody another name, which nobody may have yet."""
    old, new = clean_name(name), clean_name(body.person)

    def rename(pool: Pool) -> PersonDetail:
        pool.rename(old, new)
        services.activity.rename(old, new)
        services.audit.note(caller, "renamed", new, old)
        return answers.person_detail(pool, new)

    return await services.pool.run(rename)


@router.delete(_SOMEBODY)
async def erase_person(name: PersonName, services: CurrentServices, caller: Enrolling) -> Erased:
    """Erase somebody: views, pictures, and what the activity says of them. There is no way back."""
    name = clean_name(name)

    def remove(pool: Pool) -> Erased:
        gone = erase(services, caller, pool, [name])
        if gone.nothing:
            raise unknown_person(name, [person.name for person in pool.people()])
        return Erased(person=name, samples=gone.samples.get(name, 0), activity=gone.activity, notes=list(gone.notes))

    return await services.pool.run(remove)


@router.post(f"{_SOMEBODY}/merge")
async def merge_people(name: PersonName, body: Merging, services: CurrentServices, caller: Enrolling) -> Merged:
    """Give all views of somebody to another person; who they were is gone."""
    source, target = clean_name(name), clean_name(body.into)

    def merge(pool: Pool) -> int:
        moved = pool.merge(source, target)
        services.activity.rename(source, target)
        services.audit.note(caller, "merged", target, source)
        return moved

    return Merged(person=target, moved=await services.pool.run(merge))


@router.get(f"{_SOMEBODY}/samples")
async def list_samples(name: PersonName, services: CurrentServices, _: Recognizing) -> list[StoredSample]:
    """The stored views of somebody, oldest first."""

    def read(pool: Pool) -> list[StoredSample]:
        return answers.stored_samples(pool.templates(name), pool.template_ids_with_image(name))

    return await services.pool.run(read)


@router.post(f"{_SOMEBODY}/samples", openapi_extra=REQUEST_BODY)
async def register(
    name: PersonName,
    pictures: SentPictures,
    services: CurrentServices,
    caller: Enrolling,
    *,
    force: Annotated[
        bool, Query(description="Store faces that belong to somebody else, or do not look like this person")
    ] = False,
) -> Registered:
    """Register somebody, new or known, from one or many pictures with one face in each.

    Only good views that differ from those that are stored already are stored; what became of each picture is told.
    """
    name = clean_name(name)
    looks = [look async for look in looked_at_each(pictures, services.engine.analyze)]
    options = services.settings.enroll_options(force=force, keep_pictures=True)

    def store(pool: Pool) -> Registered:
        session = EnrollmentSession(name, services.engine.analyzer, pool, services.policy, options)
        registered = _register(session, pool, pictures, looks)
        if registered.stored:
            services.audit.note(caller, "registered", name, f"{registered.stored} views")
        return registered

    return await services.pool.run(store)


@router.delete(f"{_SOMEBODY}/samples/{{id}}")
async def erase_sample(
    name: PersonName, number: SampleNumber, services: CurrentServices, caller: Enrolling
) -> ErasedSample:
    """Erase one view and its picture. The person stays, even without a view."""

    def remove(pool: Pool) -> ErasedSample:
        remarks = len(pool.notes)
        owner = pool.remove_template(number, name)
        services.audit.note(caller, "erased_sample", owner, str(number))
        return ErasedSample(person=owner, id=number, notes=list(told_since(pool, remarks)))

    return await services.pool.run(remove)


@router.get(f"{_SOMEBODY}/samples/{{id}}/picture", response_class=Response, responses=JPEG)
async def sample_picture(name: PersonName, number: SampleNumber, services: CurrentServices, _: Recognizing) -> Response:
    """The face of a view, 112 by 112 pixels, upright, as JPEG."""

    def read(pool: Pool) -> bytes:
        is_theirs = pool.template(number).person == clean_name(name)
        picture = pool.picture(number) if is_theirs else None
        if picture is None:
            raise UnknownTemplate(f"There is no picture of view {number} of {name}")
        return picture

    picture = await services.pool.run(read)
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


@router.get(f"{_SOMEBODY}/export", response_class=Response, responses=ZIP)
async def export_person(name: PersonName, services: CurrentServices, caller: Enrolling) -> Response:
    """Everything about somebody in a zip file: views with vectors and pictures, activity, and what was done to them."""
    name = clean_name(name)
    activity, audit = await services.activity.of(name), await services.audit.of(name)
    archive = await services.pool.run(lambda pool: person_archive(pool, name, activity, audit))
    await services.audit.add(caller, "exported", name)
    return Response(archive, media_type="application/zip", headers=attachment(f"{name}.zip"))


def _register(
    session: EnrollmentSession, pool: Pool, pictures: Sequence[SentPicture], looks: Sequence[Seen[Faces] | InputError]
) -> Registered:
    """Offer what was seen, store it, and tell what became of each picture."""
    numbers = [number for number, look in enumerate(looks) if not isinstance(look, InputError)]
    frames = [Frame(_NO_PIXELS, _source(pictures[number]), number) for number in numbers]
    seen = [look.found for look in looks if not isinstance(look, InputError)]
    offers = dict(zip(numbers, session.offer_faces(list(zip(frames, seen, strict=True))), strict=True))
    stored = session.commit()
    withdrawn = {offer.frame.index: offer for offer in session.withdrawn}
    offers |= withdrawn
    templates = pool.templates(session.person) if stored else []
    number_of = {template.sample.embedding.tobytes(): template.id for template in templates}
    return Registered(
        person=session.person,
        stored=stored,
        pictures=[
            _unreadable(picture, look) if isinstance(look, InputError) else _offered(picture, offers[number], number_of)
            for number, (picture, look) in enumerate(zip(pictures, looks, strict=True))
        ],
    )


def _offered(picture: SentPicture, offer: Offer, number_of: Mapping[bytes, int]) -> OfferedPicture:
    taken = offer.outcome == "taken"
    return OfferedPicture(
        name=picture.name,
        outcome=offer.outcome,
        message=str(offer),
        rival=offer.rival,
        similarity=rounded(offer.similarity, 4),
        sample=number_of.get(offer.faces.embeddings[0].tobytes()) if taken else None,
        faces=len(offer.faces),
    )


def _unreadable(picture: SentPicture, error: InputError) -> OfferedPicture:
    return OfferedPicture(
        name=picture.name, outcome="unreadable", message=str(error), rival=None, similarity=None, sample=None, faces=0
    )


def _source(picture: SentPicture) -> str:
    """Where a view comes from, as the pool keeps it: what the client called the file, without its folders."""
    return PurePath(picture.name.replace("\\", "/")).name[:_LONGEST_SOURCE] or "upload"
