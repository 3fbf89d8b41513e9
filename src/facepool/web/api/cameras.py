"""Cameras of the server: which there are, what they show, and which are to be watched."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from facepool.capture.source import STREAM_SCHEMES, VIDEO_DEVICE, url_scheme
from facepool.config import LEAST_EVERY_S, Rotation
from facepool.errors import ConfigError
from facepool.web.api.schemas import JPEG, Body
from facepool.web.hiding import hidden_folders
from facepool.web.middleware.authentication import Administering, Recognizing
from facepool.web.routes import BoundedRoute
from facepool.web.services import CurrentServices
from facepool.web.services.cameras import CameraInfo
from facepool.web.services.secrets import with_login

router = APIRouter(prefix="/v1/cameras", tags=["cameras"], route_class=BoundedRoute)

CameraId = Annotated[str, Path(alias="id", max_length=20)]


class NewCamera(Body):
    """A camera to watch."""

    source: str = Field(
        min_length=1,
        max_length=2000,
        description="Camera number, or the address of a stream, or one (http, https) that serves one picture at a time",
    )
    user: str = Field(
        "", max_length=200, description="Who the camera knows, as it is: nothing is encoded; empty: no login"
    )
    password: str = Field("", max_length=200, description="Of the user, as it is; no answer ever shows it")
    name: str = Field("", max_length=200, description="For people; by default the source")
    rotate: Rotation | None = Field(
        None,
        description="Degrees clockwise by which its pictures are turned, for a camera that is mounted on its side or "
        "overhead, or `auto`: as the first faces before it lie; by default what the server was started with",
    )
    every: float | None = Field(
        None,
        ge=LEAST_EVERY_S,
        le=86400,
        allow_inf_nan=False,
        description="Seconds between its pictures, where its address serves one at a time; by default what the server "
        "was started with, or 2",
    )


class CameraList(BaseModel):
    """All cameras, in the order in which they were added."""

    cameras: list[CameraInfo]


@router.get("")
async def list_cameras(request: Request, services: CurrentServices, _: Recognizing) -> CameraList:
    """The cameras of the server, what they are doing, and who is before them."""
    return CameraList(cameras=[_shown(info, request) for info in services.cameras.infos()])


@router.post("", status_code=201)
async def add_camera(request: Request, body: NewCamera, services: CurrentServices, caller: Administering) -> CameraInfo:
    """Watch a camera from now on, after the next start, too. Whether it answers, its state tells later."""
    source = body.source.strip()
    _check_source(source)
    if body.user or body.password:
        source = with_login(source, body.user, body.password)
    camera = await services.store.queue.do(
        lambda: services.cameras.add(
            source, body.name, rotate=body.rotate, every=body.every, remember=True, by=caller.name
        )
    )
    return _shown(services.cameras.info(camera.id), request)


@router.get("/{id}")
async def show_camera(request: Request, number: CameraId, services: CurrentServices, _: Recognizing) -> CameraInfo:
    """One camera."""
    return _shown(services.cameras.info(number), request)


@router.delete("/{id}", status_code=204)
async def remove_camera(number: CameraId, services: CurrentServices, caller: Administering) -> None:
    """Watch it no more."""
    await run_in_threadpool(services.cameras.remove, number, caller.name)


@router.get("/{id}/picture", response_class=Response, responses=JPEG)
async def camera_picture(number: CameraId, services: CurrentServices, _: Recognizing) -> Response:
    """Its newest picture, with boxes and names."""
    picture = await run_in_threadpool(services.cameras.picture, number)
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


def _shown(info: CameraInfo, request: Request) -> CameraInfo:
    """What it is doing; why it is not watching may be for want of the pool, whose folder is told to nobody."""
    return info.model_copy(update={"reason": hidden_folders(request).without_folders(info.reason, any_path=False)})


def _check_source(source: str) -> None:
    """Refuse files: who may add a camera need not be allowed to read the server's disk."""
    number = source.removeprefix(VIDEO_DEVICE)
    if (number.isascii() and number.isdigit()) or url_scheme(source) in STREAM_SCHEMES:
        return
    raise ConfigError(
        "This is no camera",
        why="it is neither a number nor the address of a stream",
        fix=f"Give a number such as 0, or an address that begins with {', '.join(sorted(STREAM_SCHEMES))}",
    )
