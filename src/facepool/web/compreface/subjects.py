"""``/api/v1/recognition/subjects``: people."""

from fastapi import APIRouter
from pydantic import BaseModel

from facepool.errors import PersonExists
from facepool.gallery import Pool
from facepool.web import paths  # noqa: F401 -- its convertor is the one of names
from facepool.web.api.callers import Administering, Enrolling, Recognizing
from facepool.web.compreface.answers import Deleted, SubjectName, SubjectNames, Updated
from facepool.web.compreface.errors import invalid, subject_exists, subject_not_found
from facepool.web.compreface.names import EMPTY_NAME, find, known, usable
from facepool.web.compreface.routing import CompreFaceRoute
from facepool.web.erasing import erase, everybody
from facepool.web.services import CurrentServices

router = APIRouter(prefix="/recognition/subjects", route_class=CompreFaceRoute)


class NewName(BaseModel):
    """The body of what names somebody; SDKs send more fields, which do no harm."""

    subject: str | None = None

    @property
    def name(self) -> str:
        """The name as the pool spells it.

        Raises:
            CompreFaceError: It is missing, empty or unusable.
        """
        return usable(self.subject or "")


@router.get("")
@router.get("/", include_in_schema=False)
async def list_subjects(services: CurrentServices, _: Recognizing) -> SubjectNames:
    """Everybody, by name."""
    people = await services.pool.run(lambda pool: pool.people())
    return SubjectNames(subjects=[person.name for person in people])


@router.post("", status_code=201)
@router.post("/", status_code=201, include_in_schema=False)
async def add_subject(body: NewName, services: CurrentServices, caller: Enrolling) -> SubjectName:
    """Make somebody known who has no example yet."""
    name = body.name

    def create(pool: Pool) -> None:
        if find(pool, name) is not None:
            raise subject_exists()
        try:
            pool.create(name)
        except PersonExists as error:
            raise subject_exists() from error
        services.audit.note(caller, "created", name)

    await services.pool.run(create)
    return SubjectName(subject=name)


@router.put("/{subject:name}")
async def rename_subject(subject: str, body: NewName, services: CurrentServices, caller: Enrolling) -> Updated:
    """Give somebody another name; where that is somebody else's, the two become one of that name."""
    new = body.name

    def rename(pool: Pool) -> bool:
        old = known(pool, usable(subject, "; "))
        if new == old:
            return False
        namesake = find(pool, new)
        merged = namesake not in (None, old)
        now = namesake if namesake and merged else new
        if merged:
            pool.merge(old, now)
        else:
            pool.rename(old, now)
        services.activity.rename(old, now)
        services.audit.note(caller, "merged" if merged else "renamed", now, old)
        return True

    return Updated(updated=await services.pool.run(rename))


@router.delete("/{subject:name}")
async def delete_subject(subject: str, services: CurrentServices, caller: Enrolling) -> SubjectName:
    """Erase somebody with all examples."""

    def remove(pool: Pool) -> str:
        wanted = usable(subject, "; ")
        name = find(pool, wanted) or wanted
        if erase(services, caller, pool, [name]).nothing:
            raise subject_not_found(wanted)
        return name

    return SubjectName(subject=await services.pool.run(remove))


@router.delete("")
async def delete_subjects(services: CurrentServices, caller: Administering) -> Deleted:
    """Erase everybody."""
    gone = await services.pool.run(lambda pool: erase(services, caller, pool, everybody(services, pool)))
    return Deleted(deleted=len(gone.samples))


@router.delete("/", include_in_schema=False)
async def delete_nobody(_: Enrolling) -> None:
    """An address without the name that belongs into it must not erase everybody."""
    raise invalid(f"{EMPTY_NAME}; ")
