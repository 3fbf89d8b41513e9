"""Faces of pictures: what clients may ask for, how their pictures come in, which faces count, and what is said of them.

Pictures come as files of a form, or as Base64 in JSON under the same names. What may stand in the address may also be a
field beside them.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import cv2
import numpy as np
from fastapi import Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError, model_validator

from facepool.faces.analyze import Analyzer
from facepool.faces.pose import fit_a_head, fit_heads
from facepool.geometry import CROP, TEMPLATES
from facepool.records import Record
from facepool.types import AlignedFaces, Detections, Floats, Indices, Pose, ReducedImage
from facepool.web.api.pictures import decode_base64, open_form, picture_of_part
from facepool.web.bodies import BoundedRequest, off_the_loop
from facepool.web.compreface.errors import CompreFaceError, no_face, undefined
from facepool.web.problems import schema_of

_MOST_FIELDS = 20
_DET_PROB_THRESHOLD = 0.8
"""Detector score from which on a box is a face, where a client asks for none."""


class FaceOptions(BaseModel):
    """Which faces of a picture count, and what is told of them."""

    limit: int = Field(0, ge=0, description="Only so many faces, the largest ones; 0: all")
    det_prob_threshold: float = Field(
        _DET_PROB_THRESHOLD,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Detector score that makes a face; below the server's own nothing is found",
    )
    face_plugins: str = Field("", description="landmarks, pose, calculator (the embedding), separated by commas")
    status: bool = Field(default=False, description="Tell how long it took, and with what")

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, given: Any) -> Any:  # noqa: ANN401 -- whatever came in
        """``limit=`` means the default, as it does for CompreFace."""
        return {name: value for name, value in given.items() if value != ""} if isinstance(given, dict) else given

    @property
    def plugins(self) -> frozenset[str]:
        """What was asked for; names that nobody knows do no harm."""
        return frozenset(name.strip() for name in self.face_plugins.split(","))

    def versions(self, analyzer: Analyzer) -> dict[str, str] | None:
        """Plugin to its name, as CompreFace has it, for clients that ask for the status."""
        if not self.status:
            return None
        return {"detector": "facepool.RetinaFace", "calculator": f"facepool.{analyzer.space.model}"}


class RecognizeFaceOptions(FaceOptions):
    """The same, and how many people are told of a face."""

    prediction_count: int = Field(1, ge=1, description="So many people, the most similar ones")
    detect_faces: bool = Field(default=True, description="False: the picture is a face, cut out already")


Options = TypeVar("Options", bound=FaceOptions)
FaceQuery = Annotated[FaceOptions, Query()]
RecognizeQuery = Annotated[RecognizeFaceOptions, Query()]


_Base64 = Annotated[str, Field(description="The file in Base64")]


class PictureFile(BaseModel):
    """A picture as a file of a form."""

    file: bytes


class PictureInBase64(BaseModel):
    """A picture in JSON."""

    file: _Base64


class TwoPictureFiles(BaseModel):
    """Two pictures as files of a form."""

    source_image: bytes
    target_image: bytes


class TwoPicturesInBase64(BaseModel):
    """Two pictures in JSON."""

    source_image: _Base64
    target_image: _Base64


def _request_body(form: type[BaseModel], json_body: type[BaseModel]) -> dict[str, Any]:
    """How the two kinds of body stand in the description of the interface."""
    content = {"multipart/form-data": {"schema": schema_of(form)}, "application/json": {"schema": schema_of(json_body)}}
    return {"requestBody": {"required": True, "content": content}}


PICTURE = _request_body(PictureFile, PictureInBase64)
TWO_PICTURES = _request_body(TwoPictureFiles, TwoPicturesInBase64)


@dataclass(frozen=True, slots=True)
class SentBody(Generic[Options]):
    """What a client has sent.

    Attributes:
        pictures: Undecoded, in the order in which they were asked for.
        options: Of the address and, where it does not say, of the body.
        fields: What else was in the body, by name.
    """

    pictures: Sequence[bytes]
    options: Options
    fields: Mapping[str, object]

    @property
    def picture(self) -> bytes:
        """The one picture."""
        (picture,) = self.pictures
        return picture


async def read_body(request: BoundedRequest, options: Options, *names: str) -> SentBody[Options]:
    """The pictures of some names, and what else the body says: options count there as they do in the address.

    Args:
        request: What was asked.
        options: What the address says, which comes first.
        names: Of the pictures.

    Raises:
        CompreFaceError: A picture is missing, or in JSON and no Base64.
        RequestValidationError: An option cannot be used.
    """
    pictures, fields = await _read(request, names)
    given = {name: getattr(options, name) for name in options.model_fields_set}
    try:
        options = type(options).model_validate({**fields, **given})
    except ValidationError as error:
        raise RequestValidationError(
            [{**detail, "loc": ("query", *detail["loc"])} for detail in error.errors()]
        ) from error
    return SentBody(pictures, options, fields)


async def read_fields(request: BoundedRequest) -> Mapping[str, object]:
    """What the body of a request without pictures says."""
    return (await _read(request, ()))[1]


async def _read(request: BoundedRequest, names: Sequence[str]) -> tuple[list[bytes], dict[str, object]]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return await _from_form(request, names)
    body = await request.json()
    if not isinstance(body, dict):
        raise undefined()
    size = len(await request.body())
    pictures = [await off_the_loop(size, _decoded, body.get(name), name) for name in names]
    return pictures, {name: value for name, value in body.items() if name not in names}


async def _from_form(request: BoundedRequest, names: Sequence[str]) -> tuple[list[bytes], dict[str, object]]:
    async with open_form(request, most_files=_MOST_FIELDS, most_fields=_MOST_FIELDS) as form:
        files = []
        for name in names:
            part = form.get(name)
            data = None if part is None else await picture_of_part(part)
            if data is None:
                raise CompreFaceError(400, 34, f"Required part {name} is missing")
            files.append(data)
        fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str) and name not in names]
        return files, dict(reversed(fields))


def _decoded(text: object, name: str) -> bytes:
    if not isinstance(text, str) or not text:
        raise CompreFaceError(400, 5, f"Field {name} cannot be empty")
    try:
        return decode_base64(text)
    except ValueError as error:
        raise CompreFaceError(400, 21, "Provided value is not Base64") from error


@dataclass(frozen=True, slots=True)
class FaceSelection:
    """The faces of a picture that count, largest first; at least one.

    Attributes:
        detections: N faces.
        size_wh: Of the picture.
        took_ms: How long it took to look.
        embeddings: (N, D); (N, 0) where none were computed.
        poses: N poses; empty where none were asked for.
        cut_out: Whether the picture was taken for a face as it is: nobody knows where eyes and mouth are.
    """

    detections: Detections
    size_wh: tuple[int, int]
    took_ms: float
    embeddings: Floats
    poses: Sequence[Pose | None] = ()
    cut_out: bool = False

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.detections)

    def record(self, row: int, options: FaceOptions) -> Record:
        """One of them, with what was asked for."""
        plugins = options.plugins
        record: Record = {"box": self._box(row)}
        if "landmarks" in plugins and not self.cut_out:
            record["landmarks"] = [(round(float(x)), round(float(y))) for x, y in self.detections.landmarks[row]]
        pose = self.poses[row] if self.poses else None
        if pose is not None:
            record["pose"] = {"pitch": round(pose.pitch, 2), "roll": round(pose.roll, 2), "yaw": round(pose.yaw, 2)}
        embedded = self.embeddings.shape[1] > 0
        if "calculator" in plugins and embedded:
            record["embedding"] = self.embeddings[row].tolist()
        if options.status:  # the networks run in one pass, for several clients at once: there is one time for both
            beyond_detection = embedded or "pose" in plugins
            record["execution_time"] = {"calculator" if beyond_detection else "detector": round(self.took_ms, 1)}
        return record

    def _box(self, row: int) -> Record:
        """In whole pixels inside the picture."""
        width, height = self.size_wh
        x1, y1, x2, y2 = (round(float(edge)) for edge in self.detections.boxes[row])
        return {
            "probability": round(float(self.detections.scores[row]), 5),
            "x_max": min(x2, width),
            "y_max": min(y2, height),
            "x_min": max(x1, 0),
            "y_min": max(y1, 0),
        }


def select(analyzer: Analyzer, picture: ReducedImage, options: FaceOptions, *, embed: bool) -> FaceSelection:
    """The faces of a picture, with what was asked for; in a thread of the engine.

    Raises:
        CompreFaceError: There is none.
    """
    began_s = time.perf_counter()
    if embed:
        ((detections, embeddings),) = analyzer.embed_batch([picture])
    else:
        detections = analyzer.find(picture)
        embeddings = np.empty((len(detections), 0), np.float32)
    rows = chosen(detections, options)
    size_wh = picture.size_wh
    poses = fit_heads(detections.landmarks, size_wh, detections.turn).poses if "pose" in options.plugins else ()
    return FaceSelection(
        detections[rows], size_wh, _since_ms(began_s), embeddings[rows], tuple(poses[row] for row in rows if poses)
    )


def take_for_face(analyzer: Analyzer, picture: ReducedImage) -> FaceSelection:
    """A picture that is a face, cut out already; best one that facepool itself has cut out."""
    began_s = time.perf_counter()
    points, side = TEMPLATES[CROP]
    crop = np.asarray(cv2.resize(picture.image_bgr, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    embeddings = analyzer.embed(AlignedFaces(crop[None], CROP))
    width, height = picture.size_wh
    detections = Detections(
        boxes=np.array([[0, 0, width, height]], np.float32),
        scores=np.ones(1, np.float32),
        landmarks=points[None] * np.array([width / side, height / side], np.float32),
    )
    return FaceSelection(detections, (width, height), _since_ms(began_s), embeddings, cut_out=True)


def chosen(detections: Detections, options: FaceOptions) -> Indices:
    """Rows of the faces that count, by the area of their box, largest first: not what fits no head.

    Raises:
        CompreFaceError: There is none.
    """
    areas = (detections.boxes[:, 2:] - detections.boxes[:, :2]).prod(axis=1)
    order = np.argsort(-areas, kind="stable")
    rows = order[(detections.scores >= options.det_prob_threshold)[order] & fit_a_head(detections)[order]]
    if not len(rows):
        raise no_face()
    return rows[: options.limit] if options.limit else rows


def _since_ms(began_s: float) -> float:
    return (time.perf_counter() - began_s) * 1000
