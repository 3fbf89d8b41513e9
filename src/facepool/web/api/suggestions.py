"""Suggestions: faces that cameras saw of people, proposed as new views of them. Nothing is stored without a yes."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from facepool.gallery import Pool
from facepool.groups.drift import Lack
from facepool.groups.learn import Learning, take_back
from facepool.records import learned_record, suggestion_record
from facepool.web.api.schemas import Body, FourDigits, Name, PersonId, PoseAngles
from facepool.web.middleware.authentication import Enrolling, Recognizing
from facepool.web.routes import BoundedRoute
from facepool.web.services import CurrentServices, Services

router = APIRouter(prefix="/v1/suggestions", tags=["suggestions"], route_class=BoundedRoute)

SuggestionNumber = Annotated[int, Path(alias="id", ge=1, lt=1 << 63, description="The `id` of the suggestion")]


class SuggestedView(BaseModel):
    """A face that may become a view of somebody."""

    id: int
    person: str
    person_id: PersonId
    face: str = Field(description="Its id; `GET /v1/faces/{id}/picture` shows it")
    sighting: str = Field(description="The id of the sighting that it is of")
    source: str = Field(description="Before which camera")
    seen_at: str = Field(description="ISO 8601 in UTC")
    reason: Lack = Field(
        description="What the views of the person lack: a `pose`, the `age` of now, or, in this pose, an `appearance`"
    )
    sightings: int = Field(description="In how many sightings the look was seen")
    days: int = Field(description="On how many days")
    similarity: FourDigits = Field(description="To the nearest view that the person was registered with")
    quality: float = Field(description="0..100")
    pose: PoseAngles | None
    made_at: str
    expires_at: str = Field(description="It goes then if nobody has answered")


class Suggestions(BaseModel):
    """What waits for an answer, newest first."""

    suggestions: list[SuggestedView]
    accepted: int = Field(description="Views there are that were learned this way; `take-back` erases them")


class AcceptedSuggestion(BaseModel):
    """What a yes has done."""

    id: int
    person: str
    person_id: PersonId
    sample: int | None = Field(description="Number of the new view; null: somebody has erased it already")
    replaced: int = Field(description="Older learned views that made room for it")
    undo: int = Field(description="The number by which `POST /v1/undo/{id}` takes it back")


class DeclinedSuggestion(BaseModel):
    """What a no has done."""

    id: int
    undo: int = Field(description="The number by which `POST /v1/undo/{id}` takes it back")


class TakingBack(Body):
    """Of whom."""

    person: Annotated[Name | None, Field(description="null: of everybody")] = None


class TakenBack(BaseModel):
    """How many learned views of somebody are gone."""

    person: str
    samples: int


class AllTakenBack(BaseModel):
    """Whose learned views are gone. What was registered stays."""

    people: list[TakenBack]
    notes: list[str] = Field(description="What could not be done, for example because another program reads the pool")


@router.get("")
async def list_suggestions(
    services: CurrentServices, _: Recognizing, person: Annotated[Name | None, Query(description="Of whom")] = None
) -> Suggestions:
    """Faces that cameras saw of people and that their views lack: pose, age or appearance. Each waits for an answer."""

    def read(pool: Pool) -> Suggestions:
        found = pool.inbox.suggestions(person)
        views = [SuggestedView.model_validate(suggestion_record(one)) for one in found]
        return Suggestions(suggestions=views, accepted=len(pool.inbox.learned(person)))

    return await services.pool.run(read)


@router.post("/{id}/accept")
async def accept_suggestion(
    number: SuggestionNumber, services: CurrentServices, caller: Enrolling
) -> AcceptedSuggestion:
    """Say yes: the face becomes a view of the person, held near those that they were registered with."""

    def accept(pool: Pool) -> AcceptedSuggestion:
        with services.people.changing(caller, pool):
            learned = learning_of(services).accept(pool, number, caller.name)
        return AcceptedSuggestion.model_validate(learned_record(learned))

    return await services.pool.change(accept)


@router.post("/{id}/decline")
async def decline_suggestion(
    number: SuggestionNumber, services: CurrentServices, caller: Enrolling
) -> DeclinedSuggestion:
    """Say no: the look is not proposed again as long as its face is kept."""

    def decline(pool: Pool) -> DeclinedSuggestion:
        with services.people.changing(caller, pool):
            return DeclinedSuggestion(id=number, undo=learning_of(services).decline(pool, number, caller.name))

    return await services.pool.change(decline)


@router.post("/take-back")
async def take_back_learned(body: TakingBack, services: CurrentServices, caller: Enrolling) -> AllTakenBack:
    """Erase every view that was learned, of one person or of everybody. There is no way back."""

    def erase(pool: Pool) -> AllTakenBack:
        with services.people.changing(caller, pool) as notes:
            gone = take_back(pool, body.person)
        return AllTakenBack(people=[TakenBack(person=name, samples=gone[name]) for name in gone], notes=notes)

    return await services.pool.change(erase)


def learning_of(services: Services) -> Learning:
    """By what the settings say now."""
    return Learning(services.policy, services.engine.analyzer.fmr)
