"""What is in a picture: find, embed, recognize, compare and group faces. Nothing of it is stored."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from facepool.errors import InputError
from facepool.faces.analyze import Faces
from facepool.gallery import Pool
from facepool.groups.library import group_analyzed
from facepool.recognize.pictures import RecognizedFaces, Recognizer
from facepool.recognize.verify import cosine, largest_face
from facepool.records import Record, decision_record, embedded_record, found_record, named_record
from facepool.search import Behind, behind
from facepool.types import Decision
from facepool.web.api.pictures import REQUEST_BODY, PicturesIfAny, SentPictures, looked_at, no_picture
from facepool.web.api.proof import LiveProof
from facepool.web.api.schemas import Detected, Embedded, Grouped, Recognized, Verified
from facepool.web.middleware.authentication import Recognizing, Share
from facepool.web.routes import BoundedRoute
from facepool.web.services import CurrentServices
from facepool.web.services.following import BehindInfo
from facepool.web.services.liveness.results import PassedCheck

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
async def recognize(
    proof: LiveProof,
    pictures: PicturesIfAny,
    services: CurrentServices,
    share: Share,
    caller: Recognizing,
) -> Recognized:
    """Name everybody: each face is somebody of the pool, or unknown and why.

    With a liveness check, who has made it is named, and nobody else: pictures are not needed then.
    """
    if not pictures and not proof.given:
        raise no_picture()
    analyzed = await looked_at(services.engine, share, pictures, services.engine.embed_and_score)
    seen = await proof.take()

    def decide(pool: Pool) -> tuple[list[RecognizedFaces], Decision | None, Behind | None]:
        options = services.settings.recognize_options()
        recognizer = Recognizer(services.engine.analyzer, pool, services.policy, options)
        named = recognizer.decide([picture.found.embedded for picture in analyzed])
        named = [replace(faces, passive=one.found.passive) for faces, one in zip(named, analyzed, strict=True)]
        if seen is None:
            return named, None, behind(pool)
        live = recognizer.decide_embeddings(seen.embedding[np.newaxis])[0]
        shown = [[proof.shows(seen, face) for face in picture.found.embedded[1]] for picture in analyzed]
        named = [_only_live(faces, live, rows) for faces, rows in zip(named, shown, strict=True)]
        return named, live, behind(pool)

    named, live, stale = await services.pool.run(decide)
    found = [
        picture.record((named_record(faces, row) for row in range(len(faces))), faces.detections.turn)
        for picture, faces in zip(analyzed, named, strict=True)
    ]
    await proof.note(caller, "recognized live", seen, (live and live.person) or "")
    return Recognized.model_validate(
        {"pictures": found, "live": _live_record(live, seen), "behind": BehindInfo.of(stale)}
    )


def _only_live(faces: RecognizedFaces, live: Decision, shown: Sequence[bool]) -> RecognizedFaces:
    """The faces of a picture, of which nothing is told but of that of the person who has made the check.

    Whom the others resemble would name them, and how much, whether the pool has them.

    Args:
        faces: As they are named by the picture.
        live: Who has made the check.
        shown: Whether each face is theirs.
    """
    nothing = Decision(None, None, live.threshold, None, "not_live")
    decisions = tuple(
        decision if is_theirs and decision.person == live.person else nothing
        for decision, is_theirs in zip(faces.decisions, shown, strict=True)
    )
    return replace(faces, decisions=decisions)


def _live_record(live: Decision | None, seen: PassedCheck | None) -> Record | None:
    if live is None or seen is None:
        return None
    return decision_record(live) | {"liveness": seen.liveness.model_dump()}


@router.post("/verify", openapi_extra=REQUEST_BODY)
async def verify(
    proof: LiveProof, pictures: SentPictures, services: CurrentServices, share: Share, caller: Recognizing
) -> Verified:
    """Compare the largest faces of two pictures: is it the same person? The pool has no part in it.

    With a liveness check, one picture is compared with the person who has made it.
    """
    if len(pictures) != (1 if proof.given else 2):
        raise _wrong_count(len(pictures), is_live=proof.given)
    looks = [
        picture.found for picture in await looked_at(services.engine, share, pictures, services.engine.embed_and_score)
    ]
    rows = [largest_face(one.embedded[0], which) for one, which in zip(looks, ("first", "second"), strict=False)]
    faces = [one.embedded[1][row] for one, row in zip(looks, rows, strict=True)]
    passive = [scores for one, row in zip(looks, rows, strict=True) if (scores := one.passive_of(row)) is not None]
    seen = await proof.take()
    similarity = cosine(faces[0], faces[1] if seen is None else seen.embedding)
    threshold = services.policy.verification()
    match = similarity >= threshold.value
    await proof.note(caller, "verified live" if match else "refused live", seen)
    return Verified.model_validate(
        {
            "match": match,
            "similarity": round(similarity, 4),
            "threshold": round(threshold.value, 4),
            "meaning": threshold.meaning,
            "faces": [found_record(one.embedded[0], row) for one, row in zip(looks, rows, strict=True)],
            "passive": [round(float(scores[0]), 4) for scores in passive] or None,
            "liveness": None if seen is None else seen.liveness,
        }
    )


def _wrong_count(count: int, *, is_live: bool) -> InputError:
    if is_live:
        return InputError(f"One picture is compared with the person of the check, not {count}", fix="Send one")
    return InputError(f"Two pictures are compared, not {count}", fix="Send two")


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
