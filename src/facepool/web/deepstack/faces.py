"""``/v1/vision/face`` and what is below it: find, register, recognize, list, delete and match faces.

Confidences of people are on the scale of ``facepool.web.scale``: 0.5 where facepool decides.
"""

import time
from dataclasses import dataclass

import numpy as np
from fastapi import APIRouter

from facepool.faces.pose import fit_a_head
from facepool.gallery import Pool
from facepool.recognize.pictures import RecognizedFaces, Recognizer
from facepool.recognize.verify import cosine, largest_face
from facepool.search import Behind
from facepool.types import Decision, Detections, Floats, Frame, Indices, ReducedImage, Sample
from facepool.web.api.pictures import looked_at
from facepool.web.api.proof import NO_CHECK_NEEDED
from facepool.web.bodies import PictureRequest, PlainRequest
from facepool.web.deepstack.answers import (
    FaceAdded,
    NamedVisionFace,
    NamedVisionFaces,
    UserGone,
    UserIds,
    VisionBox,
    VisionFace,
    VisionFaces,
    VisionMatch,
)
from facepool.web.deepstack.errors import ANSWERS, DeepStackError, DeepStackRoute
from facepool.web.deepstack.forms import (
    VisionForm,
    VisionKey,
    VisionPair,
    VisionPicture,
    VisionUser,
    VisionViews,
    form_of,
    read_form,
)
from facepool.web.middleware.authentication import Enrolling, Recognizing, Share
from facepool.web.scale import scaled, scaled_people
from facepool.web.services import CurrentServices, Services
from facepool.web.services.people import namesake

router = APIRouter(prefix="/v1/vision/face", tags=["DeepStack"], responses=ANSWERS, route_class=DeepStackRoute)

DECISION = 0.5
"""Nobody is named below: facepool itself would not. Clients ship with 0.45 and less for another scale."""
_UNKNOWN = "unknown"
_SOURCE = "DeepStack API"
"""Where views say that they come from."""


@router.post("", openapi_extra=form_of(VisionPicture))
async def detect_faces(request: PictureRequest, services: CurrentServices, share: Share, _: Recognizing) -> VisionFaces:
    """The faces of a picture."""
    form, began_s = await read_form(request), time.perf_counter()
    least = form.min_confidence
    found = await services.engine.look(share, form.picture, lambda picture: _found(services, picture))
    rows = found.rows[found.detections.scores[found.rows] >= least]
    predictions = [VisionFace(confidence=found.score(row), **found.box(row).model_dump()) for row in rows]
    return VisionFaces(predictions=predictions, count=len(predictions), duration=_since_s(began_s))


@router.post("/recognize", openapi_extra=form_of(VisionPicture), dependencies=[NO_CHECK_NEEDED])
async def recognize_faces(
    request: PictureRequest, services: CurrentServices, share: Share, _: Recognizing
) -> NamedVisionFaces:
    """Name the faces of a picture; who is not sure enough is `unknown`."""
    form, began_s = await read_form(request), time.perf_counter()
    least = max(form.min_confidence, DECISION)
    found = await services.engine.look(share, form.picture, lambda picture: _found(services, picture, embed=True))

    def decide(pool: Pool) -> RecognizedFaces:
        recognizer = Recognizer(services.engine.analyzer, pool, services.policy, services.settings.recognize_options())
        return recognizer.decide([(found.detections, found.embeddings)])[0]

    named = await services.pool.run(decide)
    predictions = []
    for row in found.rows:
        person, confidence = _named(named.decisions[int(row)], least)
        box = found.box(row)
        predictions.append(NamedVisionFace(userid=person, confidence=confidence, box=box, **box.model_dump()))
    return NamedVisionFaces(
        predictions=predictions,
        count=len(predictions),
        message=_message([prediction.userid for prediction in predictions], named.behind),
        duration=_since_s(began_s),
    )


@router.post("/register", openapi_extra=form_of(VisionViews), dependencies=[NO_CHECK_NEEDED])
async def register_face(
    request: PictureRequest, services: CurrentServices, share: Share, caller: Enrolling
) -> FaceAdded:
    """Store the face of one or several pictures as views of somebody, who is made known by that if need be.

    As DeepStack does, it stores what it is given: neither quality nor likeness to others is looked at. Pictures without
    a face are left out if there are others; one that shows several people is refused, for nobody could tell whom to
    take.
    """
    form, began_s, analyzer = await read_form(request), time.perf_counter(), services.engine.analyzer
    name = form.userid
    if not form.pictures:
        raise DeepStackError("No valid image file found")

    def examine(picture: ReducedImage) -> Sample | None:
        faces = analyzer.analyze(picture)
        rows = np.flatnonzero(fit_a_head(faces.detections))
        if len(rows) > 1:
            raise DeepStackError(f"More than one face in an image of {name}: {len(rows)} were found")
        if len(faces) and not len(rows):
            raise DeepStackError(f"No face detected: what was found in an image of {name} fits no head")
        return faces.sample(int(rows[0]), Frame(picture.image_bgr, _SOURCE), with_picture=True) if len(rows) else None

    examined = await looked_at(services.engine, share, form.sent, examine)
    samples = [picture.found for picture in examined if picture.found is not None]
    if not samples:
        raise DeepStackError("No face detected")

    def store(pool: Pool) -> str:
        known = namesake(pool, name)
        person = known or name
        with services.people.changing(caller, pool):
            pool.register(person, samples, analyzer.space)
        return "face added" if known is None else "face updated"

    message, without = await services.pool.change(store), len(examined) - len(samples)
    left_out = f"; no face in {without} of {len(examined)} images" if without else ""
    return FaceAdded(message=message + left_out, duration=_since_s(began_s))


@router.post("/list", openapi_extra=form_of(VisionKey))
async def list_users(services: CurrentServices, _: Recognizing) -> UserIds:
    """Everybody, by name."""
    return UserIds(faces=await services.pool.run(lambda pool: pool.names()))


@router.post("/delete", openapi_extra=form_of(VisionUser))
async def delete_user(request: PlainRequest, services: CurrentServices, caller: Enrolling) -> UserGone:
    """Erase somebody with all views; it is no error if nobody has that name."""
    name = (await read_form(request)).known_userid
    await services.pool.change(lambda pool: services.people.erase(caller, pool, [namesake(pool, name) or name]))
    return UserGone()


@router.post("/match", openapi_extra=form_of(VisionPair), dependencies=[NO_CHECK_NEEDED])
async def match_faces(request: PictureRequest, services: CurrentServices, share: Share, _: Recognizing) -> VisionMatch:
    """How similar the largest faces of two pictures are. The pool has no part in it."""
    form, began_s = await read_form(request), time.perf_counter()
    _check_two(form)
    first, second = [
        picture.found for picture in await looked_at(services.engine, share, form.sent, services.engine.embed)
    ]
    rows = largest_face(first[0], "first"), largest_face(second[0], "second")
    similarity = cosine(first[1][rows[0]], second[1][rows[1]])
    value = scaled(similarity, services.policy.verification().value)
    return VisionMatch(similarity=value, duration=_since_s(began_s))


@dataclass(frozen=True, slots=True)
class _Found:
    """The faces of a picture, but for what fits no head.

    Attributes:
        detections: N faces.
        embeddings: (N, D); (N, 0) where none were computed.
        size_wh: Of the picture.
    """

    detections: Detections
    embeddings: Floats
    size_wh: tuple[int, int]

    @property
    def rows(self) -> Indices:
        """Largest first."""
        areas = (self.detections.boxes[:, 2:] - self.detections.boxes[:, :2]).prod(axis=1)
        return np.argsort(-areas, kind="stable")

    def score(self, row: np.intp) -> float:
        """The detector's."""
        return round(float(self.detections.scores[row]), 5)

    def box(self, row: np.intp) -> VisionBox:
        """In whole pixels inside the picture."""
        width, height = self.size_wh
        x1, y1, x2, y2 = (round(float(edge)) for edge in self.detections.boxes[row])
        return VisionBox(x_min=max(x1, 0), y_min=max(y1, 0), x_max=min(x2, width), y_max=min(y2, height))


def _found(services: Services, picture: ReducedImage, *, embed: bool = False) -> _Found:
    """In a thread of the engine."""
    if embed:
        detections, embeddings = services.engine.embed(picture)
    else:
        detections = services.engine.analyzer.find(picture)
        embeddings = np.empty((len(detections), 0), np.float32)
    heads = fit_a_head(detections)
    return _Found(detections[heads], embeddings[heads], picture.size_wh)


def _named(decision: Decision, least: float) -> tuple[str, float]:
    """Who a face is for a client, and how sure; `unknown` has a confidence of 0, as DeepStack's has."""
    person, confidence = next(iter(scaled_people(decision)), (_UNKNOWN, 0.0))
    return (person, confidence) if confidence >= least else (_UNKNOWN, 0.0)


def _message(userids: list[str], behind: Behind | None) -> str:
    """DeepStack's own words, and what they do not tell: that somebody may be missed."""
    if not userids:
        words = "No face found in image"
    else:
        words = "No known faces" if all(userid == _UNKNOWN for userid in userids) else "A face was recognised"
    return words if behind is None else f"{words}. {behind.words}"


def _check_two(form: VisionForm) -> None:
    if not form.pictures:
        raise DeepStackError("No valid image file found")
    if len(form.pictures) == 1:
        raise DeepStackError("expected two image files, only one found")
    if len(form.pictures) > 2:
        raise DeepStackError("only two images allowed")


def _since_s(began_s: float) -> float:
    return round(time.perf_counter() - began_s, 4)
