"""Unknown people: who was seen whom nobody has named, and what is done with them; and undoing it."""

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from facepool.gallery import Pool
from facepool.gallery.sightings import GroupState, UnknownGroup
from facepool.groups.undoing import Undoable, undo, undoable
from facepool.groups.unknown import UnknownPeople
from facepool.records import Record, naming_record, sighting_record, undo_record, unknown_record
from facepool.web.api.schemas import Body, FourDigits, Name, PersonId, SightingSummary
from facepool.web.middleware.authentication import Enrolling, Recognizing
from facepool.web.routes import BoundedRoute
from facepool.web.services import CurrentServices, Services
from facepool.web.services.keys import Caller

router = APIRouter(prefix="/v1", tags=["unknown"], route_class=BoundedRoute)

GroupNumber = Annotated[int, Path(alias="id", ge=1, lt=1 << 63, description="The stranger's number")]
ChangeNumber = Annotated[int, Path(alias="id", ge=1, lt=1 << 63, description="The `id` of the change")]
Undo = Annotated[
    int | None, Field(description="The number by which `POST /v1/undo/{id}` takes it back; null: nothing does")
]
_STRANGER = "/unknown/{id}"
_PAGE = 50
_LARGEST_PAGE = 500


class SimilarPerson(BaseModel):
    """Somebody of the pool whom an unknown face looks like: naming it asks whether it is the same person."""

    person: str
    person_id: PersonId
    similarity: FourDigits


class Unknown(BaseModel):
    """Somebody who was seen and whom nobody has named."""

    id: int = Field(description="By which they are known; never used for anybody else")
    state: GroupState = Field(description="`ignored`: stays unnamed, and raises nothing")
    sightings: int = Field(description="How often they were seen")
    since: str = Field(description="When they came for the first time, ISO 8601 in UTC")
    until: str = Field(description="When they were last seen")
    sources: list[str] = Field(description="Before which cameras")
    faces: list[str] = Field(description="Ids of some of the best faces; `GET /v1/faces/{id}/picture` shows them")
    looks_like: list[SimilarPerson]


class SightingOfUnknown(SightingSummary):
    """One time that somebody was seen before a camera."""

    faces: list[str] = Field(description="Ids of the best faces, best first")


class UnknownDetail(Unknown):
    """The same with each time that they were seen, newest first."""

    times: list[SightingOfUnknown]


class Proposal(BaseModel):
    """Two strangers who may be one person: `join` makes them one, `apart` keeps them apart for good."""

    groups: tuple[int, int]
    similarity: FourDigits


class KeptSightings(BaseModel):
    """How much is kept, and how much may be."""

    sightings: int
    faces: int
    bytes: int
    most_sightings: int
    most_bytes: int
    days: float
    dropped: int = Field(description="Sightings that went because they were too old, or there was no room")


class UnknownPage(BaseModel):
    """Strangers, the one who was seen last first."""

    groups: list[Unknown]
    proposals: list[Proposal]
    kept: KeptSightings
    total: int
    next: str | None = Field(description="`after` of the next page; null: this is the last one")


class NamingUnknown(Body):
    """Who it is, and who only looks alike."""

    person: Name
    look_alikes: Annotated[
        tuple[Name, ...], Field(max_length=100, description="People of `looks_like` who are somebody else")
    ] = ()
    force: Annotated[bool, Field(description="Store faces although the pool speaks against it")] = False


class NamedUnknown(BaseModel):
    """What became of a stranger."""

    person: str
    person_id: PersonId
    templates: int = Field(description="New views of the person")
    sightings: int = Field(description="How many times that they were seen are theirs now")
    undo: Undo


class Splitting(Body):
    """Which times are of somebody else."""

    sightings: Annotated[list[str], Field(min_length=1, max_length=10_000)]


class OtherUnknown(Body):
    """Another stranger."""

    group: Annotated[int, Field(ge=1, lt=1 << 63)]


class ChangedUnknown(BaseModel):
    """The stranger after a change."""

    id: int
    undo: Undo


class ForgottenUnknown(BaseModel):
    """What is gone."""

    sightings: int = Field(description="How many times that somebody unknown was seen")
    notes: list[str] = Field(description="What could not be done, for example because another program reads the pool")


class UndoEntry(BaseModel):
    """A change that can be undone."""

    id: int
    at: str
    by: str = Field(description="Name of the key, `local`, or `command line`")
    action: str
    what: str = Field(description="In words")


class UndoPage(BaseModel):
    """Changes that can be undone, newest first."""

    entries: list[UndoEntry]


@router.get("/unknown")
async def list_unknown(
    services: CurrentServices,
    _: Recognizing,
    state: Annotated[GroupState, Query(description="`ignored`: those who stay unnamed and raise nothing")] = "open",
    after: Annotated[str, Query(max_length=40, description="`next` of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=_LARGEST_PAGE)] = _PAGE,
) -> UnknownPage:
    """Who was seen whom nobody has named, grouped into people, the one who was seen last first."""

    def read(pool: Pool) -> UnknownPage:
        inbox, settings = pool.inbox, services.settings
        groups = inbox.groups(state, before=after, limit=limit)
        usage, total = inbox.usage(), inbox.count_groups(state)
        return UnknownPage(
            groups=[Unknown.model_validate(record) for record in _records(services, pool, groups)],
            proposals=[Proposal(groups=(one.one, one.other), similarity=one.similarity) for one in inbox.proposals()],
            kept=KeptSightings(
                sightings=usage.sightings,
                faces=usage.faces,
                bytes=usage.bytes,
                most_sightings=settings.keep_sightings,
                most_bytes=round(settings.keep_mb * (1 << 20)),
                days=settings.keep_days,
                dropped=usage.dropped,
            ),
            total=total,
            next=groups[-1].until if len(groups) >= limit else None,
        )

    return await services.pool.run(read)


@router.delete("/unknown")
async def forget_unknown(services: CurrentServices, caller: Enrolling) -> ForgottenUnknown:
    """Erase all that is kept of people whom nobody has named, those who are ignored too. There is no way back."""
    return await services.pool.change(lambda pool: _forget(services, caller, pool, UnknownPeople.forget))


@router.get(_STRANGER)
async def show_unknown(number: GroupNumber, services: CurrentServices, _: Recognizing) -> UnknownDetail:
    """A stranger, with each time that they were seen."""
    return await services.pool.run(lambda pool: _detail(services, pool, number))


@router.delete(_STRANGER)
async def delete_unknown(number: GroupNumber, services: CurrentServices, caller: Enrolling) -> ForgottenUnknown:
    """Erase a stranger with all that is kept of them. There is no way back."""
    return await services.pool.change(
        lambda pool: _forget(services, caller, pool, lambda people: people.delete(number))
    )


@router.post(f"{_STRANGER}/name")
async def name_unknown(
    number: GroupNumber, body: NamingUnknown, services: CurrentServices, caller: Enrolling
) -> NamedUnknown:
    """Make a stranger a new person of the pool, and name them in the activity of the time that is kept.

    Where they look like somebody of the pool (`looks_like`), that has to be answered: those who are somebody else are
    `look_alikes`; who is the same person gets the faces by `add`.
    """
    return await _give(services, caller, number, body, create=True)


@router.post(f"{_STRANGER}/add")
async def add_unknown(
    number: GroupNumber, body: NamingUnknown, services: CurrentServices, caller: Enrolling
) -> NamedUnknown:
    """Give a stranger to somebody whom the pool knows: new views become theirs, and the activity names them."""
    return await _give(services, caller, number, body, create=False)


@router.post(f"{_STRANGER}/ignore")
async def ignore_unknown(number: GroupNumber, services: CurrentServices, caller: Enrolling) -> ChangedUnknown:
    """Keep somebody unnamed: they are remembered, and raise nothing."""
    return await _change(services, caller, number, lambda people: people.ignore(number))


@router.post(f"{_STRANGER}/watch")
async def watch_unknown(number: GroupNumber, services: CurrentServices, caller: Enrolling) -> ChangedUnknown:
    """Ignore somebody no longer."""
    return await _change(services, caller, number, lambda people: people.watch(number))


@router.post(f"{_STRANGER}/split")
async def split_unknown(
    number: GroupNumber, body: Splitting, services: CurrentServices, caller: Enrolling
) -> ChangedUnknown:
    """Some of the times were somebody else: make them another stranger, whose number is the answer's."""

    def split(pool: Pool) -> ChangedUnknown:
        with services.people.changing(caller, pool):
            other, entry = _people(services, caller, pool).split(number, body.sightings)
        return ChangedUnknown(id=other, undo=entry)

    return await services.pool.change(split)


@router.post(f"{_STRANGER}/join")
async def join_unknown(
    number: GroupNumber, body: OtherUnknown, services: CurrentServices, caller: Enrolling
) -> ChangedUnknown:
    """Another stranger is this one: make them one."""
    return await _change(services, caller, number, lambda people: people.join(number, body.group))


@router.post(f"{_STRANGER}/apart")
async def keep_apart(
    number: GroupNumber, body: OtherUnknown, services: CurrentServices, caller: Enrolling
) -> ChangedUnknown:
    """Another stranger is not this one: do not propose again that they are."""
    return await _change(services, caller, number, lambda people: people.apart(number, body.group))


@router.get("/undo")
async def list_undo(services: CurrentServices, _: Enrolling) -> UndoPage:
    """Changes that can be undone, newest first."""
    changes = await services.pool.run(undoable)
    return UndoPage(entries=[_entry(one) for one in changes])


@router.post("/undo/{id}")
async def undo_change(number: ChangeNumber, services: CurrentServices, caller: Enrolling) -> UndoEntry:
    """Take a change back. It says why where that is not possible any more."""

    def take_back(pool: Pool) -> UndoEntry:
        with services.people.changing(caller, pool):
            return _entry(undo(pool, number))

    return await services.pool.change(take_back)


async def _give(services: Services, caller: Caller, number: int, body: NamingUnknown, *, create: bool) -> NamedUnknown:
    def give(pool: Pool) -> NamedUnknown:
        people = _people(services, caller, pool, force=body.force)
        with services.people.changing(caller, pool):
            named = (people.name if create else people.add)(number, body.person, different=body.look_alikes)
        return NamedUnknown.model_validate(naming_record(named))

    return await services.pool.change(give)


async def _change(
    services: Services, caller: Caller, number: int, work: Callable[[UnknownPeople], int | None]
) -> ChangedUnknown:
    def change(pool: Pool) -> ChangedUnknown:
        with services.people.changing(caller, pool):
            entry = work(_people(services, caller, pool))
        return ChangedUnknown(id=number, undo=entry)

    return await services.pool.change(change)


def _forget(services: Services, caller: Caller, pool: Pool, work: Callable[[UnknownPeople], int]) -> ForgottenUnknown:
    with services.people.changing(caller, pool) as notes:
        gone = work(_people(services, caller, pool))
    return ForgottenUnknown(sightings=gone, notes=notes)


def _people(services: Services, caller: Caller, pool: Pool, *, force: bool = False) -> UnknownPeople:
    options = services.settings.enroll_options(force=force, keep_pictures=True)
    return UnknownPeople(pool, services.policy, options, caller=caller.name)


def _records(services: Services, pool: Pool, groups: Sequence[UnknownGroup]) -> list[Record]:
    """Groups with the people whom they look like."""
    alike = UnknownPeople(pool, services.policy).looks_like([group.number for group in groups])
    records = []
    for group in groups:
        known = [(one, pool.person(one.person)) for one in alike[group.number]]
        people = [
            {"person": person.name, "person_id": person.id, "similarity": one.similarity}
            for one, person in known
            if person is not None  # they were erased just now
        ]
        records.append(unknown_record(group) | {"looks_like": people})
    return records


def _detail(services: Services, pool: Pool, number: int) -> UnknownDetail:
    group = pool.inbox.group(number)
    sightings = pool.inbox.sightings(group=number, limit=group.sightings)
    faces = pool.inbox.faces([sighting.id for sighting in sightings])
    times = [
        sighting_record(sighting) | {"faces": list(faces[sighting.id].ids) if sighting.id in faces else []}
        for sighting in sightings
    ]
    (record,) = _records(services, pool, [group])
    return UnknownDetail.model_validate(record | {"times": times})


def _entry(change: Undoable) -> UndoEntry:
    return UndoEntry.model_validate(undo_record(change))
