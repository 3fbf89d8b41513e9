"""Who is in a picture, and is it somebody? Also: what is found in it, and which faces are alike.

Similarities are on the scale of ``facepool.web.scale``: 0 to 1, and 0.5 at the decision.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel, FailFast, FiniteFloat

from facepool.gallery import Pool
from facepool.recognize.pictures import RecognizedFaces, Recognizer
from facepool.search import behind
from facepool.types import Decision, EmbeddingSpace, Floats
from facepool.web.api.proof import NO_CHECK_NEEDED
from facepool.web.bodies import EmbeddingsRequest, PictureRequest
from facepool.web.compreface.answers import (
    Compared,
    ComparedEmbeddings,
    DetectedFaces,
    EmbeddingSimilarity,
    EmbeddingSubjects,
    NearestSubjects,
    RecognizedEmbeddings,
    SubjectSimilarity,
    VerifiedFaces,
)
from facepool.web.compreface.errors import CompreFaceError, CompreFaceRoute, too_many_faces, wrong_argument
from facepool.web.compreface.faces import (
    PICTURE,
    TWO_PICTURES,
    FaceOptions,
    FaceQuery,
    FaceSelection,
    RecognizeQuery,
    read_body,
    select,
    take_for_face,
)
from facepool.web.compreface.subjects import find_template
from facepool.web.middleware.authentication import Recognizing, Share
from facepool.web.scale import scaled, scaled_people
from facepool.web.services import CurrentServices, Services
from facepool.web.services.following import BehindInfo

router = APIRouter(route_class=CompreFaceRoute)

_MOST_PREDICTIONS = 1000

Vector = Annotated[list[FiniteFloat], FailFast()]
"""One wrong number is told, and not each of a hundred thousand."""


class Embeddings(BaseModel):
    """The body of what recognizes or verifies them."""

    embeddings: Annotated[list[Vector], FailFast()]


class SourceAndTargets(BaseModel):
    """The body of what compares one to several."""

    source: Vector
    targets: Annotated[list[Vector], FailFast()]


@router.post(
    "/recognition/recognize", openapi_extra=PICTURE, response_model_exclude_none=True, dependencies=[NO_CHECK_NEEDED]
)
async def recognize(
    request: PictureRequest, options: RecognizeQuery, services: CurrentServices, share: Share, _: Recognizing
) -> NearestSubjects:
    """The people nearest to each face of a picture, however far they are; from 0.5 on it is they."""
    sent, analyzer = await read_body(request, options, "file"), services.engine.analyzer
    options, data = sent.options, sent.picture
    people = options.prediction_count
    if options.detect_faces:
        faces = await _embedded(services, share, data, options)
    else:
        faces = await services.engine.look(share, data, partial(take_for_face, analyzer))

    def decide(pool: Pool) -> RecognizedFaces:
        return _recognizer(services, pool, people).decide([(faces.detections, faces.embeddings)])[0]

    named = await services.pool.run(decide)
    result = [
        faces.record(row, options) | {"subjects": _subjects(decision, people)}
        for row, decision in enumerate(named.decisions)
    ]
    return NearestSubjects.model_validate(
        {
            "result": result,
            "plugins_versions": options.versions(analyzer),
            "index_behind": BehindInfo.of(named.behind),
        }
    )


@router.post(
    "/recognition/faces/{image}/verify",
    openapi_extra=PICTURE,
    response_model_exclude_none=True,
    dependencies=[NO_CHECK_NEEDED],
)
async def verify_example(
    request: PictureRequest, image: UUID, options: FaceQuery, services: CurrentServices, share: Share, _: Recognizing
) -> VerifiedFaces:
    """How similar each face of a picture is to an example; not at all to one that is not there."""
    sent = await read_body(request, options, "file")
    options = sent.options
    faces = await _embedded(services, share, sent.picture, options)
    example = await services.pool.run(lambda pool: find_template(pool, image))
    subject = example.person if example else ""
    similarities = _similarities(example.sample.embedding if example else None, faces.embeddings, services)
    result = [
        faces.record(row, options) | {"subject": subject, "similarity": similarity}
        for row, similarity in enumerate(similarities)
    ]
    versions = options.versions(services.engine.analyzer)
    return VerifiedFaces.model_validate({"result": result, "plugins_versions": versions})


@router.post("/recognition/embeddings/recognize", response_model_exclude_none=True, dependencies=[NO_CHECK_NEEDED])
async def recognize_embeddings(
    _request: EmbeddingsRequest,
    body: Embeddings,
    services: CurrentServices,
    _: Recognizing,
    prediction_count: Annotated[int, Query(ge=1)] = 1,
) -> RecognizedEmbeddings:
    """The people nearest to faces whose embeddings the client has kept."""
    rows = _unit_rows(body.embeddings, services.engine.analyzer.space)
    decisions, stale = await services.pool.run(
        lambda pool: (_recognizer(services, pool, prediction_count).decide_embeddings(rows), behind(pool))
    )
    return RecognizedEmbeddings(
        result=[
            EmbeddingSubjects(embedding=embedding, similarities=_subjects(decision, prediction_count))
            for embedding, decision in zip(body.embeddings, decisions, strict=True)
        ],
        index_behind=BehindInfo.of(stale),
    )


@router.post("/recognition/embeddings/faces/{image}/verify", dependencies=[NO_CHECK_NEEDED])
async def verify_embeddings(
    _request: EmbeddingsRequest, image: UUID, body: Embeddings, services: CurrentServices, _: Recognizing
) -> ComparedEmbeddings:
    """How similar faces whose embeddings the client has kept are to an example."""
    rows = _unit_rows(body.embeddings, services.engine.analyzer.space)
    example = await services.pool.run(lambda pool: find_template(pool, image))
    return _compared(example.sample.embedding if example else None, rows, body.embeddings, services)


@router.post("/detection/detect", openapi_extra=PICTURE, response_model_exclude_none=True)
async def detect(
    request: PictureRequest, options: FaceQuery, services: CurrentServices, share: Share, _: Recognizing
) -> DetectedFaces:
    """The faces of a picture, largest first."""
    sent, analyzer = await read_body(request, options, "file"), services.engine.analyzer
    options = sent.options
    embed = "calculator" in options.plugins
    faces = await services.engine.look(share, sent.picture, partial(select, analyzer, options=options, embed=embed))
    result = [faces.record(row, options) for row in range(len(faces))]
    return DetectedFaces.model_validate({"result": result, "plugins_versions": options.versions(analyzer)})


@router.post(
    "/verification/verify", openapi_extra=TWO_PICTURES, response_model_exclude_none=True, dependencies=[NO_CHECK_NEEDED]
)
async def verify(
    request: PictureRequest, options: FaceQuery, services: CurrentServices, share: Share, _: Recognizing
) -> Compared:
    """How similar the faces of one picture are to the one face of another."""
    sent = await read_body(request, options, "source_image", "target_image")
    options = sent.options
    source, target = await asyncio.gather(*(_embedded(services, share, data, options) for data in sent.pictures))
    if len(source) > 1:
        raise too_many_faces()
    similarities = _similarities(source.embeddings[0], target.embeddings, services)
    matches = [target.record(row, options) | {"similarity": similarity} for row, similarity in enumerate(similarities)]
    comparison = {
        "source_image_face": source.record(0, options),
        "face_matches": matches,
        "plugins_versions": options.versions(services.engine.analyzer),
    }
    return Compared.model_validate({"result": [comparison]})


@router.post("/verification/embeddings/verify", dependencies=[NO_CHECK_NEEDED])
async def compare_embeddings(
    _request: EmbeddingsRequest, body: SourceAndTargets, services: CurrentServices, _: Recognizing
) -> ComparedEmbeddings:
    """How similar several faces are to one, all of them kept by the client."""
    rows = _unit_rows([body.source, *body.targets], services.engine.analyzer.space, at_least=2)
    return _compared(rows[0], rows[1:], body.targets, services)


async def _embedded(services: Services, share: str, data: bytes, options: FaceOptions) -> FaceSelection:
    return await services.engine.look(
        share, data, partial(select, services.engine.analyzer, options=options, embed=True)
    )


def _recognizer(services: Services, pool: Pool, people: int) -> Recognizer:
    options = replace(services.settings.recognize_options(), candidates=min(max(people, 2), _MOST_PREDICTIONS))
    return Recognizer(services.engine.analyzer, pool, services.policy, options)


def _subjects(decision: Decision, people: int) -> list[SubjectSimilarity]:
    found = scaled_people(decision)[:people]
    return [SubjectSimilarity(subject=person, similarity=similarity) for person, similarity in found]


def _unit_rows(vectors: Sequence[Vector], space: EmbeddingSpace, *, at_least: int = 1) -> Floats:
    """(N, D) of norm 1.

    Raises:
        CompreFaceError: There are too few, or they are no embeddings of the space.
    """
    if len(vectors) < at_least:
        raise CompreFaceError(400, 37, f"{at_least} embeddings were expected, but {len(vectors)} were provided")
    if any(len(vector) != space.dimension for vector in vectors):
        raise wrong_argument(f"Embeddings of this server have {space.dimension} numbers")
    rows = np.array(vectors, np.float64)
    with np.errstate(over="ignore"):  # numbers so large that their squares are none; what follows refuses them
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise wrong_argument("An embedding of length zero is like nobody")
    return np.asarray(rows / norms, np.float32)


def _compared(one: Floats | None, others: Floats, sent: Sequence[Vector], services: Services) -> ComparedEmbeddings:
    """Embeddings as they were sent, the most similar to one first."""
    results = [
        EmbeddingSimilarity(embedding=embedding, similarity=similarity)
        for embedding, similarity in zip(sent, _similarities(one, others, services), strict=True)
    ]
    return ComparedEmbeddings(result=sorted(results, key=lambda result: -result.similarity))


def _similarities(one: Floats | None, others: Floats, services: Services) -> list[float]:
    """How similar (N, D) embeddings are to one; to none that is there, not at all."""
    if one is None:
        return [0.0] * len(others)
    threshold = services.policy.verification().value
    return [scaled(float(cosine), threshold) for cosine in np.clip(others @ one, -1, 1)]
