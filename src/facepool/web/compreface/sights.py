"""Which faces of a picture count, and what is known of them."""

import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import cv2
import numpy as np

from facepool.faces.analyze import Faces
from facepool.geometry import TEMPLATES
from facepool.types import AlignedFaces, Detections, Floats, Frame, Image, Indices, Pose, Sample
from facepool.web.compreface.answers import Box, FoundFace, HeadPose
from facepool.web.compreface.errors import no_face
from facepool.web.compreface.options import FaceOptions
from facepool.web.engine import Engine

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
