"""What runs here."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

import facepool
from facepool.models.catalog import ModelEntry
from facepool.web.services import Caller, CurrentServices, requires

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
