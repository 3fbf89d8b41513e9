"""``/api/v1/recognition/subjects``: people."""

from fastapi import APIRouter
from pydantic import BaseModel

from facepool.errors import PersonExists
from facepool.gallery import Pool
from facepool.web import paths  # noqa: F401 -- its convertor is the one of names
from facepool.web.api.callers import Administering, Enrolling, Recognizing
from facepool.web.compreface.answers import Deleted, SubjectName, SubjectNames, Updated
from facepool.web.compreface.errors import invalid, subject_exists
from facepool.web.compreface.names import EMPTY_NAME, find, known, usable
from facepool.web.compreface.routing import CompreFaceRoute
from facepool.web.compreface.traces import erased, renamed
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

    await services.pool.run(create)
    await services.audit.add(caller, "created", name)
    return SubjectName(subject=name)


@router.put("/{subject:name}")
async def rename_subject(subject: str, body: NewName, services: CurrentServices, caller: Enrolling) -> Updated:
    """Give somebody another name; where that is somebody else's, the two become one of that name."""
    new = body.name

    def rename(pool: Pool) -> tuple[str, str, bool] | None:
        old = known(pool, usable(subject, "; "))
        if new == old:
            return None
        namesake = find(pool, new)
        if namesake is None or namesake == old:
            pool.rename(old, new)
            return old, new, False
        pool.merge(old, namesake)
        return old, namesake, True

    change = await services.pool.run(rename)
    if change is None:
        return Updated(updated=False)
    old, now, merged = change
    await renamed(services, caller, old, now, merged=merged)
    return Updated(updated=True)


@router.delete("/{subject:name}")
async def delete_subject(subject: str, services: CurrentServices, caller: Enrolling) -> SubjectName:
    """Erase somebody with all examples."""

    def remove(pool: Pool) -> str:
        name = known(pool, usable(subject, "; "))
        pool.remove(name)
        return name

    name = await services.pool.run(remove)
    await erased(services, caller, [name])
    return SubjectName(subject=name)


@router.delete("")
async def delete_subjects(services: CurrentServices, caller: Administering) -> Deleted:
    """Erase everybody."""

    def remove_all(pool: Pool) -> list[str]:
        names = [person.name for person in pool.people()]
        for name in names:
            pool.remove(name)
        return names

    names = await services.pool.run(remove_all)
    await erased(services, caller, names)
    return Deleted(deleted=len(names))


@router.delete("/", include_in_schema=False)
async def delete_nobody(_: Enrolling) -> None:
    """An address without the name that belongs into it must not erase everybody."""
    raise invalid(f"{EMPTY_NAME}; ")
