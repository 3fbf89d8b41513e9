"""Signing in with a key: the page gets a cookie that no script can read and no other site can have sent."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from facepool.web.keys import Role
from facepool.web.problems import KeyUnknown
from facepool.web.services import CurrentServices
from facepool.web.signin import COOKIE, address_of, drop_cookie, identify, set_cookie

router = APIRouter(prefix="/v1/session", tags=["session"])


class SignIn(BaseModel):
    """The key to sign in with."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(min_length=1, max_length=500)


class Session(BaseModel):
    """Who is at the page."""

    name: str = Field(description="Of the key; `local` where none is needed")
    role: Role
    signed_in: bool = Field(description="false: no key is needed")


@router.get("")
async def show_session(request: Request, services: CurrentServices) -> Session:
    """Who you are, as far as the server knows."""
    caller = await run_in_threadpool(identify, request, services.keys, services.limits)
    return Session(name=caller.name, role=caller.role, signed_in=services.keys.required)


@router.post("")
async def sign_in(body: SignIn, request: Request, response: Response, services: CurrentServices) -> Session:
    """Sign in with a key; the session lasts for a week, or until the key is removed."""
    address = address_of(request)
    services.limits.check_failures(address)
    found = await run_in_threadpool(services.keys.sign_in, body.key)
    if found is None:
        services.limits.count_failure(address)
        raise KeyUnknown("There is no such API key", fix="Check that all of it was copied")
    caller, token = found
    set_cookie(response, token, secure=_is_secure(request))
    await services.audit.add(caller, "signed in")
    return Session(name=caller.name, role=caller.role, signed_in=True)


@router.delete("", status_code=204)
async def sign_out(request: Request, response: Response, services: CurrentServices) -> None:
    """Sign out; does nothing for who is not signed in."""
    token = request.cookies.get(COOKIE)
    if token is not None:
        await run_in_threadpool(services.keys.sign_out, token)
    drop_cookie(response, secure=_is_secure(request))


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"
