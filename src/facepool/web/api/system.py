"""What runs here."""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field, create_model
from starlette.concurrency import run_in_threadpool

import facepool
from facepool.config import Settings
from facepool.errors import FacepoolError
from facepool.models.entries import ModelEntry
from facepool.web.api.schemas import Body
from facepool.web.middleware.authentication import Administering, Recognizing
from facepool.web.services import Caller, CurrentServices, requires
from facepool.web.services.tuning import CHANGEABLE

router = APIRouter(prefix="/v1/system", tags=["system"])


class ModelLicence(BaseModel):
    """The terms that a model comes under."""

    name: str
    url: str
    summary: str
    restricts_use: bool


class ModelInfo(BaseModel):
    """One of the networks."""

    name: str
    task: str = Field(description="`detect` or `embed`")
    licence: ModelLicence


class SystemInfo(BaseModel):
    """What runs here."""

    version: str
    runs_on: str = Field(description="Engine, device and precision of the networks")
    space: str = Field(description="The embedding space of the vectors")
    models: list[ModelInfo]
    keys_required: bool


@router.get("")
async def show_system(services: CurrentServices, _: Annotated[Caller, Depends(requires("recognize"))]) -> SystemInfo:
    """Version, device, models and their licences."""
    analyzer = services.engine.analyzer
    return SystemInfo(
        version=facepool.__version__,
        runs_on=analyzer.runs_on,
        space=analyzer.space.id,
        models=[_model(entry) for entry in services.models],
        keys_required=services.keys.required,
    )


def _model(entry: ModelEntry) -> ModelInfo:
    terms = entry.licence
    licence = ModelLicence(name=terms.name, url=terms.url, summary=terms.summary, restricts_use=terms.restricts_use)
    return ModelInfo(name=entry.name, task=entry.task, licence=licence)


# DOC: """Is it alive, is it ready, what has it counted: for whoever watches over servers."""

router = APIRouter(tags=["system"])


class Health(BaseModel):
    """The server answers."""

    status: str = "ok"


class Ready(BaseModel):
    """Whether requests can be served."""

    ready: bool
    models: bool
    pool: bool


@router.get("/health")
async def health() -> Health:
    """The process answers, whatever else it can do."""
    return Health()


@router.get("/ready", responses={503: {"model": Ready}})
async def ready(services: CurrentServices, response: Response) -> Ready:
    """The networks are loaded, and the pool can be read."""
    try:
        await services.pool.run(lambda pool: pool.revision())
        readable = True
    except FacepoolError:
        readable = False
        response.status_code = 503
    return Ready(ready=readable, models=True, pool=readable)


@router.get("/metrics", response_class=Response)
async def metrics(services: CurrentServices, _: Annotated[Caller, Depends(requires("recognize"))]) -> Response:
    """What was counted, for Prometheus."""
    return Response(services.metrics.page(), media_type=services.metrics.media_type)


# DOC: """Settings that may change while the server runs."""

router = APIRouter(prefix="/v1/settings", tags=["settings"])

_FIELDS: dict[str, Any] = {
    name: (field.annotation, field) for name, field in Settings.model_fields.items() if name in CHANGEABLE
}

if TYPE_CHECKING:
    SettingsNow = BaseModel
    SettingsChanges = Body
else:
    SettingsNow = create_model("SettingsNow", **_FIELDS, __doc__="The settings as they are now.")
    SettingsChanges = create_model("SettingsChanges", __base__=Body, **_FIELDS, __doc__="Those that are to change.")


@router.get("")
async def show_settings(services: CurrentServices, _: Recognizing) -> SettingsNow:
    """The settings as they are now; `threshold` is null while it follows the pool."""
    return _now(services.settings)


@router.patch("")
async def change_settings(changes: SettingsChanges, services: CurrentServices, caller: Administering) -> SettingsNow:
    """Change some, from now on and after the next start."""
    wanted = changes.model_dump(exclude_unset=True)
    settings = await run_in_threadpool(services.tuning.change, wanted)
    if wanted:
        detail = ", ".join(f"{name} = {value}" for name, value in sorted(wanted.items()))
        await services.audit.add(caller, "changed settings", detail=detail)
    return _now(settings)


def _now(settings: Settings) -> SettingsNow:
    return SettingsNow(**settings.model_dump(include=set(_FIELDS)))
