"""Signing in with a key, and, for administrators, API keys and the audit log."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from facepool.errors import ConfigError
from facepool.gallery.checks import NAME_LIMIT
from facepool.web.api.collections import collections_of, meant_by
from facepool.web.api.schemas import Body
from facepool.web.bodies import SignInRequest
from facepool.web.middleware.authentication import (
    Administering,
    AdministeringAll,
    Recognizing,
    address_of,
    drop_cookie,
    session_of,
    set_cookie,
)
from facepool.web.middleware.paths import NAME
from facepool.web.problems import KeyUnknown
from facepool.web.routes import BoundedRoute
from facepool.web.services import CurrentServices, Services
from facepool.web.services.audit import AuditEntry
from facepool.web.services.keys import MOST_BOUND, Caller, Keys, KnownKey, Role

session = APIRouter(prefix="/v1/session", tags=["session"], route_class=BoundedRoute)
router = APIRouter(prefix="/v1", tags=["administration"], route_class=BoundedRoute)


class SignIn(Body):
    """The key to sign in with."""

    key: str = Field(min_length=1, max_length=500)


class Session(BaseModel):
    """Who is at the page."""

    name: str = Field(description="Of the key; `local` where none is needed")
    role: Role
    signed_in: bool = Field(description="false: no key is needed")
    collections: list[str] = Field(description="Those that the key is for; empty: all, and the server as a whole")
    collection: str | None = Field(description="Which is meant by requests that name none; null: they have to name one")


@session.get("")
async def show_session(request: Request, services: CurrentServices, caller: Recognizing) -> Session:
    """Who you are, as far as the server knows."""
    return _session(request, caller, signed_in=await _required(services))


@session.post("")
async def sign_in(body: SignIn, request: SignInRequest, response: Response, services: CurrentServices) -> Session:
    """Sign in with a key; the session lasts for a week, or until the key is removed."""
    known = await run_in_threadpool(services.keys.find, body.key)  # wrong keys keep nobody waiting who writes
    found = None if known is None else await services.store.queue.do(lambda: services.keys.sign_in(body.key))
    if found is None:
        services.limits.count_wrong_key(address_of(request))
        raise KeyUnknown("There is no such API key", fix="Check that all of it was copied")
    caller, token = found
    set_cookie(response, token, request, framed=_is_framed(request))
    return _session(request, caller, signed_in=True)


@session.delete("", status_code=204)
async def sign_out(request: Request, response: Response, services: CurrentServices) -> None:
    """Sign out; does nothing for somebody who is not signed in."""
    token = session_of(request)
    if token is not None:
        await services.store.queue.do(lambda: services.keys.sign_out(token))
    drop_cookie(response, request, framed=_is_framed(request))


def _is_framed(request: Request) -> bool:
    """Whether pages of other sites may show the server's."""
    return bool(request.app.state.deployment.frames)


def _session(request: Request, caller: Caller, *, signed_in: bool) -> Session:
    return Session(
        name=caller.name,
        role=caller.role,
        signed_in=signed_in,
        collections=list(caller.collections),
        collection=meant_by(collections_of(request), caller),
    )


class NewKey(Body):
    """A key to be made."""

    name: str = Field(min_length=1, max_length=NAME_LIMIT)
    role: Role = Field(description="Each may do what the ones before it may: recognize, enroll, admin")
    collections: list[str] = Field(
        default=[],
        max_length=MOST_BOUND,
        description="Those that it is for; empty: all, and the server as a whole. A key for one needs to name none",
    )


class MadeKey(BaseModel):
    """A key, which is told this once."""

    name: str
    role: Role
    collections: list[str]
    key: str


class KnownKeys(BaseModel):
    """Every key, oldest first."""

    keys: list[KnownKey]
    required: bool = Field(description="Whether requests need one now")


class AuditLog(BaseModel):
    """Who did what to whom, newest first."""

    entries: list[AuditEntry]


@router.get("/keys")
async def list_keys(services: CurrentServices, _: AdministeringAll) -> KnownKeys:
    """Who may do what."""
    keys = await run_in_threadpool(services.keys.all)
    return KnownKeys(keys=keys, required=await _required(services))


@router.post("/keys", status_code=201)
async def add_key(body: NewKey, request: Request, services: CurrentServices, caller: AdministeringAll) -> MadeKey:
    """Make a key. Once an administrator has one, everybody needs one; so the first has to be an administrator's."""
    await run_in_threadpool(collections_of(request).check, body.collections)
    key = await services.store.queue.do(lambda: _add(services.keys, body, caller))
    return MadeKey(name=body.name, role=body.role, collections=body.collections, key=key)


@router.delete(f"/keys/{NAME}", status_code=204)
async def remove_key(name: Annotated[str, Path()], services: CurrentServices, caller: AdministeringAll) -> None:
    """Remove a key; whoever is signed in with it is no longer."""
    await services.store.queue.do(lambda: _remove(services.keys, name, caller))


@router.get("/audit")
async def show_audit(
    services: CurrentServices,
    _: Administering,
    person: Annotated[str | None, Query(description="Only those about somebody, even if erased since")] = None,
    before: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditLog:
    """Who registered, changed, exported or erased whom."""
    return AuditLog(entries=await services.audit.entries(person=person, before=before, limit=limit))


def _add(keys: Keys, wanted: NewKey, caller: Caller) -> str:
    def check(administrators: Sequence[str]) -> None:
        if (wanted.role != "admin" or wanted.collections) and not administrators:
            raise ConfigError(
                "The first key has to be an administrator's",
                why="until there is one, who has no key may do everything, so that other keys would protect nothing",
                fix="Make one with the role admin first, for all collections",
            )

    return keys.add(wanted.name, wanted.role, wanted.collections, by=caller.name, check=check)


def _remove(keys: Keys, name: str, caller: Caller) -> None:
    def check(administrators: Sequence[str]) -> None:
        if administrators == [name]:
            raise ConfigError(
                "The last administrator's key cannot be removed here",
                why="nobody could make keys any more",
                fix="Make another first, or use facepool keys remove on the server",
            )

    keys.remove(name, by=caller.name, check=check)


async def _required(services: Services) -> bool:
    # In a thread, because it may wait for where the keys are.
    return await run_in_threadpool(lambda: services.keys.required)
