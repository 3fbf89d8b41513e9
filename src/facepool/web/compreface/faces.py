"""``/api/v1/recognition/faces``: examples of people."""

from collections.abc import Iterable
from typing import Annotated
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from facepool.errors import UnknownTemplate
from facepool.gallery import Pool
from facepool.types import EmbeddingSpace, Frame, Sample
from facepool.web.api.callers import Enrolling, Recognizing
from facepool.web.compreface.answers import Deleted, Example, ExamplePage
from facepool.web.compreface.errors import forbidden, image_not_found, too_many_faces
from facepool.web.compreface.names import find, image_id, template_id, usable
from facepool.web.compreface.options import FaceQuery
from facepool.web.compreface.routing import CompreFaceRoute
from facepool.web.compreface.sights import embed
from facepool.web.compreface.uploads import PICTURE, read_picture
from facepool.web.erasing import Erasure, erase, everybody, told_since
from facepool.web.services import Caller, CurrentServices, Services

router = APIRouter(prefix="/recognition/faces", route_class=CompreFaceRoute)

_PAGE_SIZE = 20
_LARGEST_PAGE = 2000
SOURCE = "CompreFace API"
"""Where examples say that they come from."""


@router.get("")
@router.get("/", include_in_schema=False)
async def list_examples(
    services: CurrentServices,
    _: Recognizing,
    page: str = "",
    size: str = "",
    subject: str = "",
) -> ExamplePage:
    """Stored faces, oldest first, a page at a time. A page or size that is no number is the default."""
    number, length = _number(page, 0), min(_number(size, 0) or _PAGE_SIZE, _LARGEST_PAGE)
    return await services.pool.run(lambda pool: _page(pool, subject, number, length))


@router.post("", status_code=201, openapi_extra=PICTURE)
@router.post("/", status_code=201, include_in_schema=False)
async def add_example(
    request: Request,
    subject: str,
    options: FaceQuery,
    services: CurrentServices,
    caller: Enrolling,
) -> Example:
    """Store the one face of a picture as an example of somebody, who is made known by that if need be.

    As CompreFace does, it stores what it is given: neither quality nor likeness to others is looked at.
    """
    name = usable(subject, "; ")
    image_bgr = await read_picture(request)
    sights = await embed(services.engine, image_bgr, options)
    if len(sights) > 1:
        raise too_many_faces()
    sample, space = sights.sample(Frame(image_bgr, SOURCE)), services.engine.analyzer.space

    def store(pool: Pool) -> int:
        person = find(pool, name) or name
        number = _store(pool, person, sample, space)
        services.audit.note(caller, "registered", person, "1 view")
        return number

    number = await services.pool.run(store)
    return Example(image_id=image_id(number), subject=name)


@router.post("/delete")
async def delete_examples(images: list[UUID], services: CurrentServices, caller: Enrolling) -> list[Example]:
    """Erase several; ids of none are passed over."""
    gone = await services.pool.run(lambda pool: _remove(services, caller, pool, images))
    return [Example(image_id=image_id(number), subject=person) for person, number in gone]


@router.delete("/", include_in_schema=False)
async def delete_examples_of(subject: str, services: CurrentServices, caller: Enrolling) -> Deleted:
    """The same with a subject: an address without the id that belongs into it must not erase everybody."""
    return await delete_all_examples(services, caller, subject)


@router.delete("")
async def delete_all_examples(
    services: CurrentServices, caller: Enrolling, subject: Annotated[str | None, Query()] = None
) -> Deleted:
    """Erase somebody, examples and name; without a subject in the address, everybody."""
    if subject is None and not caller.may("admin"):
        raise forbidden()
    name = None if subject is None else usable(subject, "; ")

    def remove(pool: Pool) -> Erasure:
        names = everybody(services, pool) if name is None else {find(pool, name) or name}
        return erase(services, caller, pool, names)

    gone = await services.pool.run(remove)
    return Deleted(deleted=sum(gone.samples.values()))


@router.delete("/{image}")
async def delete_example(image: UUID, services: CurrentServices, caller: Enrolling) -> Example:
    """Erase one."""
    gone = await services.pool.run(lambda pool: _remove(services, caller, pool, [image]))
    if not gone:
        raise image_not_found(image)
    return Example(image_id=str(image), subject=gone[0][0])


@router.get("/{image}/img", response_class=Response)
async def download(image: UUID, services: CurrentServices, _: Recognizing) -> Response:
    """The picture of one: the face as it was cut out, a JPEG; nothing where there is none."""
    number = template_id(image)

    def picture(pool: Pool) -> bytes:
        try:
            return b"" if number is None else pool.picture(number) or b""
        except UnknownTemplate:
            return b""

    data = await services.pool.run(picture)
    return Response(data, media_type="image/jpeg" if data else "application/octet-stream")


def _page(pool: Pool, subject: str, number: int, length: int) -> ExamplePage:
    person = find(pool, subject) if subject else None
    stored = [] if subject and person is None else pool.templates(person)
    examples = [
        Example(image_id=image_id(template.id), subject=template.person)
        for template in stored[number * length : (number + 1) * length]
    ]
    return ExamplePage(
        faces=examples,
        page_number=number,
        page_size=length,
        total_pages=-(-len(stored) // length),
        total_elements=len(stored),
    )


def _store(pool: Pool, person: str, sample: Sample, space: EmbeddingSpace) -> int:
    """Store a sample and find out its number: the newest of that embedding."""
    pool.register(person, [sample], space)
    return next(
        template.id
        for template in reversed(pool.templates(person))
        if np.array_equal(template.sample.embedding, sample.embedding)
    )


def _remove(services: Services, caller: Caller, pool: Pool, images: Iterable[UUID]) -> list[tuple[str, int]]:
    """Erase templates; whose and of which numbers those were that were there."""
    gone, remarks = [], len(pool.notes)
    for image in images:
        number = template_id(image)
        if number is None:
            continue
        try:
            person = pool.remove_template(number)
        except UnknownTemplate:
            continue
        services.audit.note(caller, "erased_sample", person, str(number))
        gone.append((person, number))
    told_since(pool, remarks)
    return gone


def _number(text: str, default: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else default
