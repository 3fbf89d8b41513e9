"""API keys, and the audit log: for administrators."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from facepool.errors import ConfigError
from facepool.gallery.checks import NAME_LIMIT
from facepool.web.keys import Keys, Role
from facepool.web.paths import NAME
from facepool.web.services import Caller, CurrentServices, requires

router = APIRouter(prefix="/v1", tags=["administration"])

_Administering = Annotated[Caller, Depends(requires("admin"))]


class NewKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=NAME_LIMIT)
    role: Role = Field(description="Each may do what the ones before it may: recognize, enroll, admin")


class MadeKey(BaseModel):
    """A key, which is told this once."""

    name: str
    role: Role
    key: str


class KnownKey(BaseModel):
    """A key as it is kept."""

    name: str
    role: Role
    created_at: str
    last_used_at: str | None = Field(description="To the minute")


class KnownKeys(BaseModel):
    """Every key, oldest first."""

    keys: list[KnownKey]
    required: bool = Field(description="Whether requests need one now")


class Entry(BaseModel):
    """Something that was done."""

    id: int
    at: str
    caller: str = Field(description="Name of the key, or `local`")
    action: str
    person: str = Field(description="`erased-` and digits for who was erased since; empty: nobody in particular")
    detail: str


class AuditLog(BaseModel):
    """Who did what to whom, newest first."""

    entries: list[Entry]


@router.get("/keys")
async def list_keys(services: CurrentServices, _: _Administering) -> KnownKeys:
    """Who may do what."""
    keys = await run_in_threadpool(services.keys.all)
    known = [
        KnownKey(name=key.name, role=key.role, created_at=key.created_at, last_used_at=key.last_used_at) for key in keys
    ]
    return KnownKeys(keys=known, required=services.keys.required)


@router.post("/keys", status_code=201)
async def add_key(body: NewKey, services: CurrentServices, caller: _Administering) -> MadeKey:
    """Make a key. Once an administrator has one, everybody needs one; so the first has to be an administrator's."""
    key = await run_in_threadpool(_add, services.keys, body)
    await services.audit.add(caller, "made a key", detail=f"{body.name} ({body.role})")
    return MadeKey(name=body.name, role=body.role, key=key)


@router.delete(f"/keys/{NAME}", status_code=204)
async def remove_key(name: Annotated[str, Path()], services: CurrentServices, caller: _Administering) -> None:
    """Remove a key; whoever is signed in with it is no longer."""
    await run_in_threadpool(_remove, services.keys, name)
    await services.audit.add(caller, "removed a key", detail=name)


@router.get("/audit")
async def show_audit(
    services: CurrentServices,
    _: _Administering,
    person: Annotated[str | None, Query(description="Only those about somebody, even if erased since")] = None,
    before: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditLog:
    """Who registered, changed, exported or erased whom."""
    found = await services.audit.entries(person=person, before=before, limit=limit)
    return AuditLog(
        entries=[
            Entry(
                id=entry.id,
                at=entry.at,
                caller=entry.caller,
                action=entry.action,
                person=entry.person,
                detail=entry.detail,
            )
            for entry in found
        ]
    )


def _add(keys: Keys, wanted: NewKey) -> str:
    if wanted.role != "admin" and not _administrators(keys):
        raise ConfigError(
            "The first key has to be an administrator's",
            why="until there is one, who has no key may do everything, so that other keys would protect nothing",
            fix="Make one with the role admin first",
        )
    return keys.add(wanted.name, wanted.role)


def _remove(keys: Keys, name: str) -> None:
    if _administrators(keys) == [name]:
        raise ConfigError(
            "The last administrator's key cannot be removed here",
            why="nobody could make keys any more",
            fix="Make another first, or use facepool keys remove on the server",
        )
    keys.remove(name)


def _administrators(keys: Keys) -> list[str]:
    return [key.name for key in keys.all() if key.role == "admin"]
