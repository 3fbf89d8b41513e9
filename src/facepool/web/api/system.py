"""What runs here: models, health, metrics, and the settings that may change while the server runs."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, create_model
from starlette.concurrency import run_in_threadpool

import facepool
from facepool.config import Settings
from facepool.errors import FacepoolError, PoolUnreachable
from facepool.gallery import Pool, PoolAddress, PostgresAddress
from facepool.search import describe
from facepool.web.api.schemas import Body
from facepool.web.middleware.authentication import Administering, Recognizing, WatchingAll
from facepool.web.patience import is_over_within
from facepool.web.problems import ServerBusy
from facepool.web.routes import BoundedRoute
from facepool.web.services import CurrentServices, Services
from facepool.web.services.following import BehindInfo, OutageInfo
from facepool.web.services.tuning import CHANGEABLE

router = APIRouter(prefix="/v1/system", tags=["system"], route_class=BoundedRoute)
monitoring = APIRouter(tags=["system"], route_class=BoundedRoute)
settings_router = APIRouter(prefix="/v1/settings", tags=["settings"], route_class=BoundedRoute)


_READY_S = 1.5
"""Whoever asks whether the server is ready has little patience, and "no" is an answer."""


class ModelLicence(BaseModel):
    """The terms that a model comes under."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    url: str
    summary: str
    restricts_use: bool


class ModelInfo(BaseModel):
    """One of the networks."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    task: str = Field(description="`detect` or `embed`")
    licence: ModelLicence


class SystemInfo(BaseModel):
    """What runs here."""

    version: str
    runs_on: str = Field(description="Engine, device and precision of the networks")
    space: str = Field(description="The embedding space of the vectors")
    pool: str = Field(description="Where people are kept: a file's name, or a database's address, without its password")
    models: list[ModelInfo]
    keys_required: bool
    owed: list[str] = Field(description="What erasing and changing have promised and is not done yet, one line each")
    search: str = Field(description="Where the pool is searched, and how; empty while nobody could be asked")
    outage: OutageInfo | None
    behind: BehindInfo | None
    process: str = Field(description="Which process of the server answers: its machine and number")
    processes: int = Field(description="How many serve the same pool, as far as this one knows")
    consent_text: str = Field(description="What people agree to who are registered; empty: nothing is asked")


@router.get("")
async def show_system(services: CurrentServices, _: Recognizing) -> SystemInfo:
    """Version, device, models and their licences."""
    analyzer = services.engine.analyzer
    return SystemInfo(
        version=facepool.__version__,
        runs_on=analyzer.runs_on,
        space=analyzer.space.id,
        pool=_shown(services.pool.address),
        models=[ModelInfo.model_validate(entry) for entry in services.models],
        keys_required=await run_in_threadpool(lambda: services.keys.required),
        owed=list(services.settling.notes),
        search=await _searched(services),
        outage=OutageInfo.of(services.follower.outage),
        behind=BehindInfo.of(services.behind),
        process=services.processes.name,
        processes=1 + len(services.processes.peers),
        consent_text=services.consent_text,
    )


async def _searched(services: Services) -> str:
    with suppress(PoolUnreachable):
        return await services.pool.run(describe)
    return ""


def _shown(pool: PoolAddress) -> str:
    """Of a file, clients are told the last part."""
    return str(pool) if isinstance(pool, PostgresAddress) else pool.name


class Health(BaseModel):
    """The server answers."""

    status: str = "ok"


class Ready(BaseModel):
    """Whether requests can be served."""

    ready: bool
    models: bool
    pool: bool = Field(description="People can be read")
    store: bool = Field(description="Keys, sessions and logs can be read")
    why: list[str] = Field(description="Codes of what is wrong; their page says what to do")
    owed: list[str] = Field(
        description="Files in which traces may remain of what was erased, or that wait to be told; it is tried again"
    )
    outage: OutageInfo | None
    behind: BehindInfo | None
    process: int = Field(description="Which process of the server answers, where several serve the same pool; else 0")
    processes: int = Field(description="How many serve the same pool, as far as this one knows")


@monitoring.get("/health")
async def health() -> Health:
    """The process answers, whatever else it can do."""
    return Health()


@monitoring.get("/ready", responses={503: {"model": Ready}})
async def ready(services: CurrentServices, response: Response) -> Ready:
    """The networks are loaded, and the pool can be read, as can what is kept beside it."""
    codes = await asyncio.gather(
        _code_of(services.pool.run(partial(_look, services))), _code_of(asyncio.to_thread(services.store.changes))
    )
    wrong = dict(zip(("pool", "store"), codes, strict=True))
    why = sorted({code for code in wrong.values() if code is not None})
    if why:
        response.status_code = 503
    return Ready(
        ready=not why,
        models=True,
        pool=wrong["pool"] is None,
        store=wrong["store"] is None,
        why=why,
        owed=services.settling.owed,
        outage=OutageInfo.of(services.follower.outage),
        behind=BehindInfo.of(services.behind),
        process=services.processes.number,
        processes=1 + len(services.processes.peers),
    )


def _look(services: Services, pool: Pool) -> None:
    """Read something of the pool, and what it owes."""
    pool.revision()
    services.index.look(pool)


async def _code_of(attempt: Awaitable[object]) -> str | None:
    """What an attempt fails with, or that it takes too long; None: it does not."""
    try:
        if not await is_over_within(attempt, _READY_S):
            return ServerBusy.code
    except FacepoolError as error:
        return error.code
    return None


@monitoring.get("/metrics", response_class=PlainTextResponse)
async def metrics(services: CurrentServices, _: WatchingAll) -> Response:
    """What was counted, for Prometheus; numbers of other collections than the default one are labelled by it."""
    return Response(services.metrics.page(), media_type=services.metrics.media_type)


_FIELDS: dict[str, Any] = {
    name: (field.annotation, field) for name, field in Settings.model_fields.items() if name in CHANGEABLE
}

if TYPE_CHECKING:
    SettingsNow = BaseModel
    SettingsChanges = Body
else:
    SettingsNow = create_model("SettingsNow", **_FIELDS, __doc__="The settings as they are now.")
    SettingsChanges = create_model("SettingsChanges", __base__=Body, **_FIELDS, __doc__="Those that are to change.")


@settings_router.get("")
async def show_settings(services: CurrentServices, _: Recognizing) -> SettingsNow:
    """The settings as they are now; `threshold` is null while it follows the pool."""
    return _now(services.settings)


@settings_router.patch("")
async def change_settings(changes: SettingsChanges, services: CurrentServices, caller: Administering) -> SettingsNow:
    """Change some, from now on and after the next start."""
    wanted = changes.model_dump(exclude_unset=True)
    changed = await services.store.queue.do(lambda: services.tuning.change(wanted, caller.name))
    return _now(changed)


def _now(settings: Settings) -> SettingsNow:
    return SettingsNow(**settings.model_dump(include=set(_FIELDS)))
