"""What is in a picture: find, embed, recognize, compare and group faces. Nothing of it is stored."""

from dataclasses import replace

import numpy as np
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from facepool.errors import InputError
from facepool.faces.analyze import Faces
from facepool.gallery import Pool
from facepool.groups.library import group_analyzed
from facepool.recognize.pictures import RecognizedFaces, Recognizer
from facepool.recognize.verify import cosine, largest_face, passive_pair
from facepool.records import embedded_record, found_record, named_record
from facepool.web.api.pictures import REQUEST_BODY, SentPictures, looked_at
from facepool.web.api.schemas import Detected, Embedded, Grouped, Recognized, Verified
from facepool.web.middleware.authentication import Recognizing, Share
from facepool.web.routes import BoundedRoute
from facepool.web.services import CurrentServices

_MOST_FACES = 5000
"""Of the pictures of one request together, where each is compared with each."""

router = APIRouter(prefix="/v1", tags=["recognition"], route_class=BoundedRoute)


@router.post("/detect", openapi_extra=REQUEST_BODY)
async def detect(pictures: SentPictures, services: CurrentServices, share: Share, _: Recognizing) -> Detected:
    """Find faces."""
    analyzed = await looked_at(services.engine, share, pictures, services.engine.analyzer.find)
    found = [
        picture.record((found_record(picture.found, row) for row in range(len(picture.found))), picture.found.turn)
        for picture in analyzed
    ]
    return Detected.model_validate({"pictures": found})


@router.post("/embed", openapi_extra=REQUEST_BODY)
async def embed(pictures: SentPictures, services: CurrentServices, share: Share, _: Recognizing) -> Embedded:
    """Find faces, measure them, and turn them into vectors."""
    analyzer = services.engine.analyzer
    analyzed = await looked_at(services.engine, share, pictures, analyzer.analyze)
    found = [
        picture.record(
            (embedded_record(picture.found, row) for row in range(len(picture.found))), picture.found.detections.turn
        )
        for picture in analyzed
    ]
    return Embedded.model_validate({"space": analyzer.space.id, "pictures": found})


@router.post("/recognize", openapi_extra=REQUEST_BODY)
async def recognize(pictures: SentPictures, services: CurrentServices, share: Share, _: Recognizing) -> Recognized:
    """Name everybody: each face is somebody of the pool, or unknown and why."""
    analyzed = await looked_at(services.engine, share, pictures, services.engine.embed_and_score)

    def decide(pool: Pool) -> list[RecognizedFaces]:
        options = services.settings.recognize_options()
        recognizer = Recognizer(services.engine.analyzer, pool, services.policy, options)
        named = recognizer.decide([picture.found.embedded for picture in analyzed])
        return [replace(faces, passive=one.found.passive) for faces, one in zip(named, analyzed, strict=True)]

    named = await services.pool.run(decide)
    found = [
        picture.record((named_record(faces, row) for row in range(len(faces))), faces.detections.turn)
        for picture, faces in zip(analyzed, named, strict=True)
    ]
    return Recognized.model_validate({"pictures": found})


@router.post("/verify", openapi_extra=REQUEST_BODY)
async def verify(pictures: SentPictures, services: CurrentServices, share: Share, _: Recognizing) -> Verified:
    """Compare the largest faces of two pictures: is it the same person? The pool has no part in it."""
    if len(pictures) != 2:
        raise InputError(f"Two pictures are compared, not {len(pictures)}", fix="Send two")
    looks = [
        picture.found for picture in await looked_at(services.engine, share, pictures, services.engine.embed_and_score)
    ]
    first, second = [one.embedded for one in looks]
    rows = largest_face(first[0], "first"), largest_face(second[0], "second")
    similarity = cosine(first[1][rows[0]], second[1][rows[1]])
    passive = passive_pair(*(one.passive_of(row) for one, row in zip(looks, rows, strict=True)))
    threshold = services.policy.verification()
    return Verified.model_validate(
        {
            "match": similarity >= threshold.value,
            "similarity": round(similarity, 4),
            "threshold": round(threshold.value, 4),
            "meaning": threshold.meaning,
            "faces": [found_record(first[0], rows[0]), found_record(second[0], rows[1])],
            "passive": None if passive is None else [round(score, 4) for score in passive],
        }
    )


@router.post("/groups", openapi_extra=REQUEST_BODY)
async def group(pictures: SentPictures, services: CurrentServices, share: Share, _: Recognizing) -> Grouped:
    """Put the faces of pictures together by whom they show. Nobody is named; the pool has no part in it."""
    analyzed = await looked_at(services.engine, share, pictures, services.engine.analyzer.analyze)
    faces: list[Faces] = [picture.found for picture in analyzed]
    found = sum(map(len, faces))
    if found > _MOST_FACES:
        raise InputError(
            f"The pictures have {found:,} faces", why=f"{_MOST_FACES:,} are grouped at most", fix="Send fewer pictures"
        )
    labels = await run_in_threadpool(group_analyzed, faces, services.policy)
    rows = [
        {
            "picture": number,
            "bbox": [round(edge, 1) for edge in one.detections.boxes[row].tolist()],
            "score": round(float(one.detections.scores[row]), 4),
        }
        for number, one in enumerate(faces)
        for row in range(len(one))
    ]
    members = [
        [rows[place] for place in np.flatnonzero(labels == label)] for label in range(labels.max(initial=-1) + 1)
    ]
    groups = [{"id": number, "faces": group} for number, group in enumerate(sorted(members, key=len, reverse=True), 1)]
    return Grouped.model_validate(
        {"groups": groups, "ungrouped": [rows[place] for place in np.flatnonzero(labels < 0)]}
    )
