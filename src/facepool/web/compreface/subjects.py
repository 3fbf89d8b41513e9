"""``/api/v1/recognition/subjects`` and ``faces``: people, and examples of them; templates are examples with a UUID."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, FailFast

from facepool.errors import ConfigError, PersonExists, UnknownTemplate
from facepool.gallery import Pool, clean_name, known_name
from facepool.types import EmbeddingSpace, Frame, ReducedImage, Sample, Template
from facepool.web.api.proof import NO_CHECK_NEEDED
from facepool.web.api.schemas import JPEG
from facepool.web.bodies import PictureRequest, PlainRequest
from facepool.web.compreface.answers import Deleted, Example, ExamplePage, SubjectName, SubjectNames, Updated
from facepool.web.compreface.errors import (
    CompreFaceError,
    CompreFaceRoute,
    forbidden,
    invalid,
    missing_parameter,
    subject_exists,
    subject_not_found,
    too_many_faces,
)
from facepool.web.compreface.faces import PICTURE, FaceQuery, chosen, read_body, read_fields
from facepool.web.middleware import paths  # noqa: F401 -- its convertor is the one of names
from facepool.web.middleware.authentication import Administering, Enrolling, Recognizing, Share
from facepool.web.services import CurrentServices, Services
from facepool.web.services.keys import Caller
from facepool.web.services.people import Erasure, namesake

router = APIRouter(prefix="/recognition/subjects", route_class=CompreFaceRoute)
examples = APIRouter(prefix="/recognition/faces", route_class=CompreFaceRoute)
static = APIRouter(prefix="/static", route_class=CompreFaceRoute)

_EMPTY_NAME = "Subject name is empty"
_LARGEST_NUMBER = 2**63 - 1
_PAGE_SIZE = 20
_LARGEST_PAGE = 2000
_SOURCE = "CompreFace API"
"""Where examples say that they come from."""


class NewName(BaseModel):
    """The body of what names somebody; SDKs send more fields, which do no harm."""

    subject: str | None = None

    @property
    def name(self) -> str:
        """The name as the pool spells it.

        Raises:
            CompreFaceError: It is missing, empty or unusable.
        """
        return _usable(self.subject or "")


@router.get("")
@router.get("/", include_in_schema=False)
async def list_subjects(services: CurrentServices, _: Recognizing) -> SubjectNames:
    """Everybody, by name."""
    return SubjectNames(subjects=await services.pool.run(lambda pool: pool.names()))


@router.post("", status_code=201)
@router.post("/", status_code=201, include_in_schema=False)
async def add_subject(body: NewName, services: CurrentServices, caller: Enrolling) -> SubjectName:
    """Make somebody known who has no example yet."""
    name = body.name

    def create(pool: Pool) -> None:
        if namesake(pool, name) is not None:
            raise subject_exists()
        try:
            services.people.create(caller, pool, name)
        except PersonExists as error:
            raise subject_exists() from error

    await services.pool.change(create)
    return SubjectName(subject=name)


@router.put("/{subject:name}")
async def rename_subject(subject: str, body: NewName, services: CurrentServices, caller: Enrolling) -> Updated:
    """Give somebody another name; where that is somebody else's, the two become one of that name."""
    new = body.name

    def rename(pool: Pool) -> bool:
        wanted = _usable(subject, "; ", known_name)
        old = namesake(pool, wanted)
        if old is None:
            raise subject_not_found(wanted)
        if new == old:
            return False
        other = namesake(pool, new)
        if other is None or other == old:
            services.people.rename(caller, pool, old, new)
        else:
            services.people.merge(caller, pool, old, other)
        return True

    return Updated(updated=await services.pool.change(rename))


@router.delete("/{subject:name}")
async def delete_subject(subject: str, services: CurrentServices, caller: Enrolling) -> SubjectName:
    """Erase somebody with all examples."""

    def remove(pool: Pool) -> str:
        wanted = _usable(subject, "; ", known_name)
        name = namesake(pool, wanted) or wanted
        if services.people.erase(caller, pool, [name]).nothing:
            raise subject_not_found(wanted)
        return name

    return SubjectName(subject=await services.pool.change(remove))


@router.delete("")
async def delete_subjects(services: CurrentServices, caller: Administering) -> Deleted:
    """Erase everybody."""
    gone = await services.pool.change(lambda pool: services.people.erase(caller, pool, services.people.everybody(pool)))
    return Deleted(deleted=len(gone.samples))


@router.delete("/", include_in_schema=False)
async def delete_nobody(_: Enrolling) -> None:
    """An address without the name that belongs into it must not erase everybody."""
    raise invalid(f"{_EMPTY_NAME}; ")


@examples.get("")
@examples.get("/", include_in_schema=False)
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


@examples.post("", status_code=201, openapi_extra=PICTURE, dependencies=[NO_CHECK_NEEDED])
@examples.post("/", status_code=201, include_in_schema=False, dependencies=[NO_CHECK_NEEDED])
async def add_example(
    request: PictureRequest,
    options: FaceQuery,
    services: CurrentServices,
    share: Share,
    caller: Enrolling,
    subject: str | None = None,
) -> Example:
    """Store the one face of a picture as an example of somebody, who is made known by that if need be.

    As CompreFace does, it stores what it is given: neither quality nor likeness to others is looked at.
    """
    sent, analyzer = await read_body(request, options, "file"), services.engine.analyzer
    subject = _subject(subject, sent.fields)
    if subject is None:
        raise missing_parameter("subject")
    name = _usable(subject, "; ")

    def examine(picture: ReducedImage) -> Sample:
        faces = analyzer.analyze(picture)
        rows = chosen(faces.detections, sent.options)
        if len(rows) > 1:
            raise too_many_faces()
        return faces.sample(int(rows[0]), Frame(picture.image_bgr, _SOURCE), with_picture=True)

    sample = await services.engine.look(share, sent.picture, examine)

    def store(pool: Pool) -> str:
        person = namesake(pool, name) or name
        with services.people.changing(caller, pool):
            return _store(pool, person, sample, analyzer.space)

    return Example(image_id=await services.pool.change(store), subject=name)


@examples.post("/delete")
async def delete_examples(
    images: Annotated[list[UUID], FailFast()], services: CurrentServices, caller: Enrolling
) -> list[Example]:
    """Erase several; ids of none are passed over."""
    gone = await services.pool.change(lambda pool: _remove(services, caller, pool, images))
    return [Example(image_id=str(image), subject=person) for image, person in gone]


@examples.delete("/", include_in_schema=False)
async def delete_examples_of(
    request: PlainRequest, services: CurrentServices, caller: Enrolling, subject: str | None = None
) -> Deleted:
    """The same with a subject: an address without the id that belongs into it must not erase everybody."""
    subject = _subject(subject, await read_fields(request))
    if subject is None:
        raise missing_parameter("subject")
    return await delete_all_examples(request, services, caller, subject)


@examples.delete("")
async def delete_all_examples(
    request: PlainRequest, services: CurrentServices, caller: Enrolling, subject: Annotated[str | None, Query()] = None
) -> Deleted:
    """Erase somebody, examples and name; without a subject, everybody."""
    subject = _subject(subject, await read_fields(request))
    if subject is None and not caller.may("admin"):
        raise forbidden()
    name = None if subject is None else _usable(subject, "; ", known_name)

    def remove(pool: Pool) -> Erasure:
        names = services.people.everybody(pool) if name is None else {namesake(pool, name) or name}
        return services.people.erase(caller, pool, names)

    gone = await services.pool.change(remove)
    return Deleted(deleted=sum(gone.samples.values()))


@examples.delete("/{image}")
async def delete_example(image: UUID, services: CurrentServices, caller: Enrolling) -> Example:
    """Erase one."""
    gone = await services.pool.change(lambda pool: _remove(services, caller, pool, [image]))
    if not gone:
        raise CompreFaceError(404, 44, f"Image {image} not found")
    return Example(image_id=str(image), subject=gone[0][1])


@examples.get("/{image}/img", response_class=Response, responses=JPEG)
async def download(image: UUID, services: CurrentServices, _: Recognizing) -> Response:
    """The picture of one: the face as it was cut out, a JPEG; nothing where there is none."""

    def picture(pool: Pool) -> bytes:
        template = find_template(pool, image)
        return b"" if template is None else pool.picture(template.id) or b""

    data = await services.pool.run(picture)
    return Response(data, media_type="image/jpeg" if data else "application/octet-stream")


@static.get("/{key}/images/{image}", response_class=Response, responses=JPEG)
async def download_by_address(
    _key: Annotated[str, Path(alias="key", description="A key")],
    image: UUID,
    services: CurrentServices,
    caller: Recognizing,
) -> Response:
    """The same, with the key in the address: for what can set no header, such as an image of a page."""
    return await download(image, services, caller)


def _page(pool: Pool, subject: str, number: int, length: int) -> ExamplePage:
    name = namesake(pool, subject) if subject else None
    person = None if name is None else pool.person(name)
    total = person.templates if person else 0 if subject else pool.size().templates
    stored = pool.templates(name, offset=number * length, limit=length) if total else []
    return ExamplePage(
        faces=[Example(image_id=template.uuid, subject=template.person) for template in stored],
        page_number=number,
        page_size=length,
        total_pages=-(-total // length),
        total_elements=total,
    )


def _store(pool: Pool, person: str, sample: Sample, space: EmbeddingSpace) -> str:
    """Store a sample and find out its id: that of the newest of that embedding."""
    pool.register(person, [sample], space)
    return next(
        template.uuid
        for template in reversed(pool.templates(person))
        if np.array_equal(template.sample.embedding, sample.embedding)
    )


def _remove(services: Services, caller: Caller, pool: Pool, images: Iterable[UUID]) -> list[tuple[UUID, str]]:
    """Erase templates; which and whose those were that were there."""
    gone = []
    with services.people.changing(caller, pool):
        for image in images:
            template = find_template(pool, image)
            if template is not None:
                gone.append((image, pool.remove_template(template.id)))
    return gone


def find_template(pool: Pool, image: UUID) -> Template | None:
    """The template of an image id; None where there is none. Ids of facepool 0.1.0, made of numbers, are known, too."""
    number = image.int if image.int <= _LARGEST_NUMBER else pool.template_number(str(image))
    try:
        return None if number is None else pool.template(number)
    except UnknownTemplate:
        return None


def _subject(of_address: str | None, fields: Mapping[str, object]) -> str | None:
    """The subject that a request names, in its address or its body; None: it names none."""
    in_body = fields.get("subject")
    return of_address if of_address or not isinstance(in_body, str) else in_body


def _number(text: str, default: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else default


def _usable(subject: str, ending: str = "", spelled: Callable[[str], str] = clean_name) -> str:
    """A subject's name as the pool spells it: a new one's, or by `known_name` that of somebody who may be there.

    Raises:
        CompreFaceError: Nobody can have that name.
    """
    if not subject.strip():
        raise invalid(_EMPTY_NAME + ending)
    try:
        return spelled(subject)
    except ConfigError as error:
        raise invalid(str(error)) from error
