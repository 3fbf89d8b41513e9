"""Settings that may change while the server runs."""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from pydantic import BaseModel, create_model
from starlette.concurrency import run_in_threadpool

from facepool.config import Settings
from facepool.web.api.callers import Administering, Recognizing
from facepool.web.api.schemas import Body
from facepool.web.services import CurrentServices
from facepool.web.tuning import CHANGEABLE

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
