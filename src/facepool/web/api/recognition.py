"""What is in a picture: find, embed, recognize and compare faces. Nothing of it is stored."""

from fastapi import APIRouter

from facepool.errors import InputError
from facepool.gallery import Pool
from facepool.recognize.pictures import RecognizedFaces, Recognizer
from facepool.recognize.verify import compare
from facepool.web.api import answers
from facepool.web.api.callers import Recognizing
from facepool.web.api.looking import looked_at
from facepool.web.api.pictures import REQUEST_BODY, SentPictures
from facepool.web.api.schemas import (
    Detected,
    DetectedPicture,
    Embedded,
    EmbeddedPicture,
    Recognized,
    RecognizedPicture,
    Verified,
)
from facepool.web.services import CurrentServices

router = APIRouter(prefix="/v1", tags=["recognition"])


@router.post("/detect", openapi_extra=REQUEST_BODY)
async def detect(pictures: SentPictures, services: CurrentServices, _: Recognizing) -> Detected:
    """Find faces."""
    found = [
        DetectedPicture(**seen.described, faces=answers.found_faces(seen.found))
        async for seen in looked_at(pictures, services.engine.find)
    ]
    return Detected(pictures=found)


@router.post("/embed", openapi_extra=REQUEST_BODY)
async def embed(pictures: SentPictures, services: CurrentServices, _: Recognizing) -> Embedded:
    """Find faces, measure them, and turn them into vectors."""
    found = [
        EmbeddedPicture(**seen.described, faces=answers.embedded_faces(seen.found))
        async for seen in looked_at(pictures, services.engine.analyze)
    ]
    return Embedded(space=services.engine.analyzer.space.id, pictures=found)


@router.post("/recognize", openapi_extra=REQUEST_BODY)
async def recognize(pictures: SentPictures, services: CurrentServices, _: Recognizing) -> Recognized:
    """Name everybody: each face is somebody of the pool, or unknown and why."""
    seen = [seen async for seen in looked_at(pictures, services.engine.analyze)]

    def decide(pool: Pool) -> list[RecognizedFaces]:
        options = services.settings.recognize_options()
        recognizer = Recognizer(services.engine.analyzer, pool, services.policy, options)
        return recognizer.decide([(picture.found.detections, picture.found.embeddings) for picture in seen])

    named = await services.pool.run(decide)
    return Recognized(
        pictures=[
            RecognizedPicture(**picture.described, faces=answers.named_faces(faces))
            for picture, faces in zip(seen, named, strict=True)
        ]
    )


@router.post("/verify", openapi_extra=REQUEST_BODY)
async def verify(pictures: SentPictures, services: CurrentServices, _: Recognizing) -> Verified:
    """Compare the largest faces of two pictures: is it the same person? The pool has no part in it."""
    if len(pictures) != 2:
        raise InputError(f"Two pictures are compared, not {len(pictures)}", fix="Send two")
    first, second = [seen.found async for seen in looked_at(pictures, services.engine.analyze)]
    compared = compare(first, second, services.policy)
    faces = [
        answers.found_faces(found.detections)[row] for found, row in zip(compared.faces, compared.rows, strict=True)
    ]
    return Verified(
        match=compared.match,
        similarity=round(compared.similarity, 4),
        threshold=round(compared.threshold.value, 4),
        meaning=compared.threshold.meaning,
        faces=(faces[0], faces[1]),
    )
