"""What clients may ask for in the address."""

import base64
import binascii
import json
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated, Any

import cv2
import numpy as np
from fastapi import Query, Request
from pydantic import BaseModel, Field, model_validator
from starlette.datastructures import UploadFile

from facepool.faces.align import TEMPLATES
from facepool.faces.analyze import Faces
from facepool.types import AlignedFaces, Detections, Floats, Frame, Image, Indices, Pose, Sample
from facepool.web.compreface.answers import Box, FoundFace, HeadPose
from facepool.web.compreface.errors import empty_field, missing_part, no_face, not_base64, undefined
from facepool.web.services.engine import Engine
from facepool.web.services.images import DECODER

DET_PROB_THRESHOLD = 0.8
"""Detector score from which on a box is a face, where a client asks for none."""


class FaceOptions(BaseModel):
    """Which faces of a picture count, and what is told of them."""

    limit: int = Field(0, ge=0, description="Only so many faces, the largest ones; 0: all")
    det_prob_threshold: float = Field(
        DET_PROB_THRESHOLD,
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


class RecognizeOptions(FaceOptions):
    """The same, and how many people are told of a face."""

    prediction_count: int = Field(1, ge=1, description="So many people, the most similar ones")
    detect_faces: bool = Field(default=True, description="False: the picture is a face, cut out already")


FaceQuery = Annotated[FaceOptions, Query()]
RecognizeQuery = Annotated[RecognizeOptions, Query()]

RULES = {
    "limit": "Limit should be equal or greater than 0; ",
    "det_prob_threshold": "det_prob_threshold should be between 0.0 and 1.0; ",
    "prediction_count": "prediction_count should be equal or greater than 1; ",
}
"""What is said when a number breaks its rule; of the score, CompreFace itself says nothing and finds nobody."""

# DOC: """Pictures as CompreFace takes them: files of a form, or Base64 in JSON under the same names."""

_MOST_FIELDS = 20


def _request_body(*names: str) -> dict[str, Any]:
    """How the two kinds of body stand in the description of the interface."""

    def of(kind: dict[str, str]) -> dict[str, Any]:
        return {"schema": {"type": "object", "properties": dict.fromkeys(names, kind), "required": list(names)}}

    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": of({"type": "string", "format": "binary"}),
                "application/json": of({"type": "string", "description": "The file in Base64"}),
            },
        }
    }


PICTURE = _request_body("file")
TWO_PICTURES = _request_body("source_image", "target_image")


async def read_picture(request: Request) -> Image:
    """The picture ``file`` of a request; errors as `read_pictures`."""
    (image_bgr,) = await read_pictures(request, "file")
    return image_bgr


async def read_pictures(request: Request, *names: str) -> list[Image]:
    """The pictures of some names, decoded and upright, (H, W, 3) uint8 BGR.

    Raises:
        CompreFaceError: One is missing, or in JSON and no Base64.
        InputError: One cannot be decoded, or is too large.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    files = await (_from_json(request, names) if kind == "application/json" else _from_form(request, names))
    return [await DECODER.decode(data) for data in files]


async def _from_form(request: Request, names: tuple[str, ...]) -> list[bytes]:
    async with request.form(max_files=_MOST_FIELDS, max_fields=_MOST_FIELDS) as form:
        files = []
        for name in names:
            file = form.get(name)
            if not isinstance(file, UploadFile):
                raise missing_part(name)
            files.append(await file.read())
        return files


async def _from_json(request: Request, names: tuple[str, ...]) -> list[bytes]:
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise undefined() from error
    if not isinstance(body, dict):
        raise undefined()
    return [_decoded(body.get(name), name) for name in names]


def _decoded(text: object, name: str) -> bytes:
    if not isinstance(text, str) or not text:
        raise empty_field(name)
    # Browsers put the kind of picture before it.
    text = text.partition(";base64,")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise not_base64() from error


# DOC: """Which faces of a picture count, and what is known of them."""

_DETECTOR, _CALCULATOR = "detector", "calculator"
_OF_EMBEDDINGS = frozenset({"calculator", "pose"})
"""Plugins that take more than to find the faces."""


@dataclass(frozen=True, slots=True)
class Sights:
    """The faces of a picture that count, largest first; at least one.

    Attributes:
        detections: N faces.
        size_wh: Of the picture.
        took_ms: How long it took to look.
        embeddings: (N, D); None where none were computed.
        poses: N poses; empty where none were measured.
        cut_out: Whether the picture was taken for a face as it is: nobody knows where eyes and mouth are.
        faces: All faces of the picture, where they were analyzed.
        rows: Which of those the N are.
    """

    detections: Detections
    size_wh: tuple[int, int]
    took_ms: float
    embeddings: Floats | None = None
    poses: tuple[Pose | None, ...] = ()
    cut_out: bool = False
    faces: Faces | None = None
    rows: Sequence[int] = ()

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.detections)

    @property
    def vectors(self) -> Floats:
        """(N, D) embeddings of faces that were embedded."""
        if self.embeddings is None:
            raise ValueError("these faces were not embedded")
        return self.embeddings

    def sample(self, frame: Frame) -> Sample:
        """The largest one, of a picture that was analyzed, ready to be stored with its picture."""
        if self.faces is None:
            raise ValueError("these faces were not analyzed")
        return self.faces.sample(self.rows[0], frame, with_picture=True)

    def face(self, row: int, options: FaceOptions) -> FoundFace:
        """One of them, with what was asked for."""
        plugins = options.plugins
        return FoundFace(
            box=self._box(row),
            landmarks=self._landmarks(row, plugins),
            pose=self._pose(row, plugins),
            embedding=self._embedding(row, plugins),
            execution_time=self._times() if options.status else None,
        )

    def _box(self, row: int) -> Box:
        width, height = self.size_wh
        x1, y1, x2, y2 = (round(float(edge)) for edge in self.detections.boxes[row])
        return Box(
            probability=round(float(self.detections.scores[row]), 5),
            x_max=min(x2, width),
            y_max=min(y2, height),
            x_min=max(x1, 0),
            y_min=max(y1, 0),
        )

    def _landmarks(self, row: int, plugins: AbstractSet[str]) -> list[tuple[int, int]] | None:
        if "landmarks" not in plugins or self.cut_out:
            return None
        return [(round(float(x)), round(float(y))) for x, y in self.detections.landmarks[row]]

    def _pose(self, row: int, plugins: AbstractSet[str]) -> HeadPose | None:
        pose = self.poses[row] if self.poses else None
        if pose is None or "pose" not in plugins:
            return None
        return HeadPose(pitch=round(pose.pitch, 2), roll=round(pose.roll, 2), yaw=round(pose.yaw, 2))

    def _embedding(self, row: int, plugins: AbstractSet[str]) -> list[float] | None:
        if self.embeddings is None or "calculator" not in plugins:
            return None
        return [float(number) for number in self.embeddings[row]]

    def _times(self) -> dict[str, float]:
        """The networks run in one pass, for several clients at once, so there is one time for both."""
        return {_DETECTOR if self.embeddings is None else _CALCULATOR: round(self.took_ms, 1)}


async def find(engine: Engine, image_bgr: Image, options: FaceOptions) -> Sights:
    """The faces of a picture, with embeddings only where a plugin takes them.

    Raises:
        CompreFaceError: There is none.
    """
    if options.plugins & _OF_EMBEDDINGS:
        return await embed(engine, image_bgr, options)
    began = time.perf_counter()
    detections = await engine.find(image_bgr)
    rows = _chosen(detections, options)
    return Sights(detections[rows], _size_wh(image_bgr), _since_ms(began))


async def embed(engine: Engine, image_bgr: Image, options: FaceOptions) -> Sights:
    """The faces of a picture, with embeddings.

    Raises:
        CompreFaceError: There is none.
    """
    began = time.perf_counter()
    faces = await engine.analyze(image_bgr)
    rows = _chosen(faces.detections, options)
    return Sights(
        faces.detections[rows],
        _size_wh(image_bgr),
        _since_ms(began),
        faces.embeddings[rows],
        tuple(faces.poses[row] for row in rows),
        faces=faces,
        rows=[int(row) for row in rows],
    )


async def take_for_face(engine: Engine, image_bgr: Image) -> Sights:
    """A picture that is a face, cut out already; best one that facepool itself has cut out."""
    began = time.perf_counter()
    template = engine.analyzer.space.template
    points, side = TEMPLATES[template]
    crop = np.asarray(cv2.resize(image_bgr, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    embeddings = await engine.embed(AlignedFaces(crop[None], template))
    width, height = _size_wh(image_bgr)
    detections = Detections(
        boxes=np.array([[0, 0, width, height]], np.float32),
        scores=np.ones(1, np.float32),
        landmarks=points[None] * np.array([width / side, height / side], np.float32),
    )
    return Sights(detections, (width, height), _since_ms(began), embeddings, cut_out=True)


def _chosen(detections: Detections, options: FaceOptions) -> Indices:
    """Rows of the faces that count, by the area of their box, largest first."""
    areas = (detections.boxes[:, 2:] - detections.boxes[:, :2]).prod(axis=1)
    order = np.argsort(-areas, kind="stable")
    rows = order[detections.scores[order] >= options.det_prob_threshold]
    if not len(rows):
        raise no_face()
    return rows[: options.limit] if options.limit else rows


def _size_wh(image_bgr: Image) -> tuple[int, int]:
    return image_bgr.shape[1], image_bgr.shape[0]


def _since_ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000
