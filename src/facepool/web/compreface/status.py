"""``/api/v1/config`` and ``consistence/status``: what CompreFace tells of itself to everybody, with no key."""

from fastapi import APIRouter, Request

from facepool.web.compreface.answers import Consistency, SizeLimits
from facepool.web.compreface.errors import CompreFaceRoute
from facepool.web.services import CurrentServices
from facepool.web.services.decoding import LIMITS

router = APIRouter(route_class=CompreFaceRoute)


@router.get("/config")
async def config(request: Request) -> SizeLimits:
    """How large files and requests may be."""
    return SizeLimits(clientMaxFileSize=LIMITS.bytes, clientMaxBodySize=request.app.state.most_bytes)


@router.get("/consistence/status")
async def consistence(services: CurrentServices) -> Consistency:
    """Whether what is stored fits the networks."""
    space = services.engine.analyzer.space
    fits = await services.pool.run(lambda pool: pool.space in (None, space))
    return Consistency(dbIsInconsistent=not fits)
