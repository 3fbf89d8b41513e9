"""``/api/v1/detection`` and ``/api/v1/verification``: faces of which nobody need be known."""

import numpy as np
from fastapi import APIRouter, Request

from facepool.web.api.callers import Recognizing
from facepool.web.compreface.answers import Compared, ComparedEmbeddings, Comparison, Found, MatchedFace
from facepool.web.compreface.embeddings import SourceAndTargets, compared, unit_rows
from facepool.web.compreface.errors import too_many_faces
from facepool.web.compreface.options import FaceQuery
from facepool.web.compreface.routing import CompreFaceRoute
from facepool.web.compreface.scale import scaled
from facepool.web.compreface.sights import embed, find
from facepool.web.compreface.uploads import PICTURE, TWO_PICTURES, read_picture, read_pictures
from facepool.web.compreface.versions import versions
from facepool.web.services import CurrentServices

router = APIRouter(route_class=CompreFaceRoute)


@router.post("/detection/detect", openapi_extra=PICTURE, response_model_exclude_none=True)
async def detect(request: Request, options: FaceQuery, services: CurrentServices, _: Recognizing) -> Found:
    """The faces of a picture, largest first."""
    sights = await find(services.engine, await read_picture(request), options)
    return Found(
        result=[sights.face(row, options) for row in range(len(sights))],
        plugins_versions=versions(services.engine) if options.status else None,
    )


@router.post("/verification/verify", openapi_extra=TWO_PICTURES, response_model_exclude_none=True)
async def verify(request: Request, options: FaceQuery, services: CurrentServices, _: Recognizing) -> Compared:
    """How similar the faces of one picture are to the one face of another."""
    source_bgr, target_bgr = await read_pictures(request, "source_image", "target_image")
    source = await embed(services.engine, source_bgr, options)
    if len(source) > 1:
        raise too_many_faces()
    target = await embed(services.engine, target_bgr, options)
    cosines = np.clip(target.vectors @ source.vectors[0], -1, 1)
    threshold = services.policy.verification().value
    matches = [
        MatchedFace(**dict(target.face(row, options)), similarity=scaled(float(cosine), threshold))
        for row, cosine in enumerate(cosines)
    ]
    return Compared(
        result=[
            Comparison(
                source_image_face=source.face(0, options),
                face_matches=matches,
                plugins_versions=versions(services.engine) if options.status else None,
            )
        ]
    )


@router.post("/verification/embeddings/verify")
async def verify_embeddings(body: SourceAndTargets, services: CurrentServices, _: Recognizing) -> ComparedEmbeddings:
    """How similar several faces are to one, all of them kept by the client."""
    rows = unit_rows([body.source, *body.targets], services.engine.analyzer.space, at_least=2)
    return compared(rows[0], rows[1:], body.targets, services.policy.verification().value)
