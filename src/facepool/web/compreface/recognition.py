"""CompreFace's scale of similarity: 0 to 1, and 0.5 at the decision.

CompreFace makes it of the Euclidean distance of two unit vectors with a logistic curve whose middle is the distance at
which its model decides. Here the middle is the threshold of facepool, which follows the pool, so that 0.5 means the
same for every model and pool; the slope is about the one of CompreFace's default model, so that limits which users have
set for their clients stay sensible.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, FiniteFloat

from facepool.errors import UnknownTemplate
from facepool.gallery import Pool
from facepool.recognize.pictures import RecognizedFaces, Recognizer
from facepool.types import Candidate, Decision, EmbeddingSpace, Floats, Template
from facepool.web.compreface.answers import (
    Compared,
    ComparedEmbeddings,
    Comparison,
    EmbeddingSimilarity,
    EmbeddingSubjects,
    Found,
    MatchedFace,
    Recognized,
    RecognizedEmbeddings,
    RecognizedFace,
    SubjectSimilarity,
    Verified,
    VerifiedFace,
)
from facepool.web.compreface.errors import CompreFaceRoute, too_many_faces, wrong_argument, wrong_embedding_count
from facepool.web.compreface.faces import (
    PICTURE,
    TWO_PICTURES,
    FaceQuery,
    RecognizeQuery,
    Sights,
    embed,
    find,
    read_picture,
    read_pictures,
    take_for_face,
)
from facepool.web.compreface.subjects import template_id
from facepool.web.middleware.authentication import Recognizing
from facepool.web.services import CurrentServices, Services
from facepool.web.services.engine import Engine

STEEPNESS = 5.3
"""Of the curve at its middle: a cosine that is 0.1 beyond a threshold of 0.45 becomes about 0.76."""
_DIGITS = 5
_JUST_BELOW = 0.49999


def scaled(similarity: float, threshold: float) -> float:
    """A cosine on CompreFace's scale.

    Args:
        similarity: -1..1; less a candidate's bar, if it has one.
        threshold: The cosine from which on two faces are one person.

    Returns:
        0..1 with 5 digits; 0.5 or more exactly where the similarity reaches the threshold.
    """
    value = round((1 + math.tanh(STEEPNESS * (_distance(threshold) - _distance(similarity)))) / 2, _DIGITS)
    return max(value, 0.5) if similarity >= threshold else min(value, _JUST_BELOW)


def scaled_candidate(candidate: Candidate, decision: Decision) -> float:
    """One candidate of a decision. Clients decide by this number alone, so it keeps to what was decided.

    Where nobody is named although somebody is similar enough (two people who cannot be told apart, a face too small),
    all candidates stay below 0.5.
    """
    threshold = decision.threshold - (decision.candidates[0].bar if decision.candidates else 0.0)
    value = scaled(candidate.net, threshold)
    if decision.person is None:
        return min(value, _JUST_BELOW)
    return max(value, 0.5) if candidate.person == decision.person else value


def _distance(similarity: float) -> float:
    """Between two unit vectors of a cosine; a bar may push it out of range."""
    return math.sqrt(max(0.0, 2 - 2 * similarity))


# DOC: """Which networks looked, for clients that ask for the status."""


def versions(engine: Engine) -> dict[str, str]:
    """Plugin to its name, as CompreFace has it."""
    return {"detector": "facepool.RetinaFace", "calculator": f"facepool.{engine.analyzer.space.model}"}


# DOC: """Embeddings that clients keep themselves, and send instead of pictures."""

Vector = list[FiniteFloat]


class Embeddings(BaseModel):
    """The body of what recognizes or verifies them."""

    embeddings: list[Vector]


class SourceAndTargets(BaseModel):
    """The body of what compares one to several."""

    source: Vector
    targets: list[Vector]


def unit_rows(vectors: Sequence[Vector], space: EmbeddingSpace, *, at_least: int = 1) -> Floats:
    """(N, D) of norm 1.

    Raises:
        CompreFaceError: There are too few, or they are no embeddings of the space.
    """
    if len(vectors) < at_least:
        raise wrong_embedding_count(at_least, len(vectors))
    if any(len(vector) != space.dimension for vector in vectors):
        raise wrong_argument(f"Embeddings of this server have {space.dimension} numbers")
    rows = np.array(vectors, np.float64)
    with np.errstate(over="ignore"):  # numbers so large that their squares are none; what follows refuses them
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise wrong_argument("An embedding of length zero is like nobody")
    return np.asarray(rows / norms, np.float32)


def compared(one: Floats | None, others: Floats, sent: Sequence[Vector], threshold: float) -> ComparedEmbeddings:
    """How similar several are to one; to none that is there, not at all."""
    cosines = np.full(len(others), -1.0) if one is None else np.clip(others @ one, -1, 1)
    results = [
        EmbeddingSimilarity(embedding=embedding, similarity=0.0 if one is None else scaled(float(cosine), threshold))
        for embedding, cosine in zip(sent, cosines, strict=True)
    ]
    return ComparedEmbeddings(result=sorted(results, key=lambda result: -result.similarity))


# DOC: """``/api/v1/recognition``: who is in a picture, and is it somebody?"""

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


# DOC: """``/api/v1/detection`` and ``/api/v1/verification``: faces of which nobody need be known."""

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
