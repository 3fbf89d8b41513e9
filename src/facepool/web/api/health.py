"""Is it alive, is it ready, what has it counted: for whoever watches over servers."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from facepool.errors import FacepoolError
from facepool.web.services import Caller, CurrentServices, requires

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
