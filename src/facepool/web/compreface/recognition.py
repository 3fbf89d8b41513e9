"""``/api/v1/recognition``: who is in a picture, and is it somebody?"""

from dataclasses import replace
from typing import Annotated
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Query, Request

from facepool.errors import UnknownTemplate
from facepool.gallery import Pool
from facepool.recognize.pictures import RecognizedFaces, Recognizer
from facepool.types import Decision, Template
from facepool.web.api.callers import Recognizing
from facepool.web.compreface.answers import (
    ComparedEmbeddings,
    EmbeddingSubjects,
    Recognized,
    RecognizedEmbeddings,
    RecognizedFace,
    SubjectSimilarity,
    Verified,
    VerifiedFace,
)
from facepool.web.compreface.embeddings import Embeddings, compared, unit_rows
from facepool.web.compreface.names import template_id
from facepool.web.compreface.options import FaceQuery, RecognizeQuery
from facepool.web.compreface.routing import CompreFaceRoute
from facepool.web.compreface.scale import scaled, scaled_candidate
from facepool.web.compreface.sights import Sights, embed, take_for_face
from facepool.web.compreface.uploads import PICTURE, read_picture
from facepool.web.compreface.versions import versions
from facepool.web.services import CurrentServices, Services

router = APIRouter(prefix="/recognition", route_class=CompreFaceRoute)

_MOST_PREDICTIONS = 1000


@router.post("/recognize", openapi_extra=PICTURE, response_model_exclude_none=True)
async def recognize(request: Request, options: RecognizeQuery, services: CurrentServices, _: Recognizing) -> Recognized:
    """The people nearest to each face of a picture, however far they are; from 0.5 on it is they."""
    image_bgr = await read_picture(request)
    engine = services.engine
    if options.detect_faces:
        sights = await embed(engine, image_bgr, options)
    else:
        sights = await take_for_face(engine, image_bgr)
    decided = await services.pool.run(lambda pool: _decide(services, pool, sights, options.prediction_count))
    return Recognized(
        result=[
            RecognizedFace(**dict(sights.face(row, options)), subjects=_subjects(decision, options.prediction_count))
            for row, decision in enumerate(decided.decisions)
        ],
        plugins_versions=versions(engine) if options.status else None,
    )


@router.post("/faces/{image}/verify", openapi_extra=PICTURE, response_model_exclude_none=True)
async def verify_example(
    request: Request, image: UUID, options: FaceQuery, services: CurrentServices, _: Recognizing
) -> Verified:
    """How similar each face of a picture is to an example; not at all to one that is not there."""
    sights = await embed(services.engine, await read_picture(request), options)
    example = await services.pool.run(lambda pool: _template(pool, image))
    similarities = _similarities(sights, example, services.policy.verification().value)
    return Verified(
        result=[
            VerifiedFace(
                **dict(sights.face(row, options)),
                subject=example.person if example else "",
                similarity=similarity,
            )
            for row, similarity in enumerate(similarities)
        ],
        plugins_versions=versions(services.engine) if options.status else None,
    )


@router.post("/embeddings/recognize")
async def recognize_embeddings(
    body: Embeddings,
    services: CurrentServices,
    _: Recognizing,
    prediction_count: Annotated[int, Query(ge=1)] = 1,
) -> RecognizedEmbeddings:
    """The people nearest to faces whose embeddings the client has kept."""
    rows = unit_rows(body.embeddings, services.engine.analyzer.space)
    decisions = await services.pool.run(
        lambda pool: _recognizer(services, pool, prediction_count).decide_embeddings(rows)
    )
    return RecognizedEmbeddings(
        result=[
            EmbeddingSubjects(embedding=embedding, similarities=_subjects(decision, prediction_count))
            for embedding, decision in zip(body.embeddings, decisions, strict=True)
        ]
    )


@router.post("/embeddings/faces/{image}/verify")
async def verify_embeddings(
    image: UUID, body: Embeddings, services: CurrentServices, _: Recognizing
) -> ComparedEmbeddings:
    """How similar faces whose embeddings the client has kept are to an example."""
    rows = unit_rows(body.embeddings, services.engine.analyzer.space)
    example = await services.pool.run(lambda pool: _template(pool, image))
    one = example.sample.embedding if example else None
    return compared(one, rows, body.embeddings, services.policy.verification().value)


def _recognizer(services: Services, pool: Pool, people: int) -> Recognizer:
    options = replace(services.settings.recognize_options(), candidates=min(max(people, 2), _MOST_PREDICTIONS))
    return Recognizer(services.engine.analyzer, pool, services.policy, options)


def _decide(services: Services, pool: Pool, sights: Sights, people: int) -> RecognizedFaces:
    (decided,) = _recognizer(services, pool, people).decide([(sights.detections, sights.vectors)])
    return decided


def _subjects(decision: Decision, people: int) -> list[SubjectSimilarity]:
    return [
        SubjectSimilarity(subject=candidate.person, similarity=scaled_candidate(candidate, decision))
        for candidate in decision.candidates[:people]
    ]


def _template(pool: Pool, image: UUID) -> Template | None:
    number = template_id(image)
    try:
        return None if number is None else pool.template(number)
    except UnknownTemplate:
        return None


def _similarities(sights: Sights, example: Template | None, threshold: float) -> list[float]:
    if example is None:
        return [0.0] * len(sights)
    cosines = np.clip(sights.vectors @ example.sample.embedding, -1, 1)
    return [scaled(float(cosine), threshold) for cosine in cosines]
