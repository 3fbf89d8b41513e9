"""A fake of the analyzer for videos: faces have places and move, so that every rule of recognizing live shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facepool.faces.align import Aligner
from facepool.faces.analyze import Analyzer, AnyImage, Faces, PreparedFaces, pixels_of
from facepool.faces.embed import EmbeddedFaces
from facepool.faces.quality import FaceMeasures
from facepool.models.catalog import FmrCurve
from facepool.types import AlignedFaces, Detections, EmbeddingSpace, Floats, Frame, Image, Pose
from support.fake_analyzer import CURVE, SPACE
from support.fake_scan_analyzer import Head, landmarks

FPS = 25


@dataclass(frozen=True)
class Actor:
    """One face of a picture. Sharpness 200 is perfect, 8 useless; without a nose it is a photo."""

    vector: Floats
    x: float = 100
    y: float = 100
    size: float = 112
    sharpness: float = 200
    yaw: float | None = 0
    score: float = 0.99
    pitch: float = 0
    nose: float = 1


class FakeLiveAnalyzer(Analyzer):
    """Knows what each picture shows by the number painted into its first pixels, and counts what it embeds."""

    def __init__(self) -> None:
        self._scenes: list[Sequence[Actor]] = []
        self._aligner = Aligner()
        self.embedded: list[int] = []
        self.found = 0

    @property
    def space(self) -> EmbeddingSpace:
        return SPACE

    @property
    def fmr(self) -> FmrCurve:
        return CURVE

    @property
    def runs_on(self) -> str:
        return "nothing"

    @property
    def runs_at_once(self) -> int:
        return 1

    def with_stages(self, *_stages: object) -> Analyzer:
        """Any number of threads may use it as it is."""
        return self

    def frame(self, *actors: Actor, time_s: float | None = None) -> Frame:
        """The next picture of a video with 25 frames a second."""
        number = len(self._scenes)
        self._scenes.append(actors)
        image = np.zeros((2, 2, 3), np.uint8)
        image[0, 0] = number // 65536, number // 256 % 256, number % 256
        return Frame(image, "fake", number, number / FPS if time_s is None else time_s)

    def find(self, image_bgr: AnyImage, *, moving: bool = False) -> Detections:
        assert moving, "frames of what moves are looked at once"
        self.found += 1
        actors = self._scenes[_number(pixels_of(image_bgr))]
        scores = np.array([actor.score for actor in actors], np.float32)
        shown = [landmarks(_head(actor)) for actor in actors]
        return Detections(_boxes(actors), scores, np.array(shown, np.float32).reshape(-1, 5, 2))

    def prepare(self, image_bgr: Image, detections: Detections) -> PreparedFaces:
        number = _number(image_bgr)
        boxes = _boxes(self._scenes[number])
        rows = [int(np.abs(boxes - box).sum(axis=1).argmin()) for box in detections.boxes]
        actors = [self._scenes[number][row] for row in rows]
        measures = FaceMeasures(
            size_px=detections.sizes,
            sharpness=np.array([actor.sharpness for actor in actors], np.float32),
            brightness=np.full(len(actors), 128, np.float32),
            contrast=np.full(len(actors), 50, np.float32),
            detail=np.full(len(actors), 0.3, np.float32),
            misfit_mm=np.full(len(actors), 1, np.float32),
            score=detections.scores,
        )
        poses = [None if actor.yaw is None else Pose(actor.yaw, actor.pitch, 0) for actor in actors]
        crops = np.zeros((len(actors), 2, 2, 3), np.uint8)
        for crop, row in zip(crops, rows, strict=True):  # the crops say which picture and actor they are of
            crop[0, 0], crop[0, 1] = image_bgr[0, 0], row
        return PreparedFaces(detections, AlignedFaces(crops, "arcface-112"), measures, poses)

    def embed(self, aligned: AlignedFaces) -> Floats:
        codes = [
            (int(crop[0, 0, 0]) * 65536 + int(crop[0, 0, 1]) * 256 + int(crop[0, 0, 2]), int(crop[0, 1, 0]))
            for crop in aligned.images_bgr
        ]
        self.embedded.append(len(codes))
        actors = [self._scenes[number][row] for number, row in codes]
        return np.array([actor.vector for actor in actors], np.float32).reshape(len(actors), SPACE.dimension)

    def embed_prepared(self, prepared: PreparedFaces) -> Faces:
        vectors = self.embed(prepared.aligned)
        return prepared.embedded(EmbeddedFaces(vectors, np.full(len(vectors), np.nan, np.float32)))


def _number(image_bgr: Image) -> int:
    """Which picture it is."""
    high, middle, low = (int(value) for value in image_bgr[0, 0])
    return high * 65536 + middle * 256 + low


def _boxes(actors: Sequence[Actor]) -> Floats:
    boxes = [[a.x - a.size / 2, a.y - a.size / 2, a.x + a.size / 2, a.y + a.size / 2] for a in actors]
    return np.array(boxes, np.float32).reshape(-1, 4)


def _head(actor: Actor) -> Head:
    """The same for what knows where points of a head lie."""
    return Head(yaw=actor.yaw or 0.0, pitch=actor.pitch, at=(actor.x, actor.y), size=actor.size, flat=actor.nose == 0)
