"""A fake of the analyzer for pictures: each says itself what is in it, so that every similarity is known."""

from collections.abc import Sequence

import numpy as np

from facepool.faces.align import Aligner
from facepool.faces.analyze import Analyzer, AnyImage, Faces, PreparedFaces, pixels_of
from facepool.faces.embed import EmbeddedFaces
from facepool.faces.quality import FaceMeasures
from facepool.models.catalog import FmrCurve
from facepool.types import AlignedFaces, Detections, EmbeddingSpace, Floats, Frame

SPACE = EmbeddingSpace("stand-in", "0" * 64, "rgb-0-1/1", "arcface-112", mirrored=False, dimension=8)
CURVE = FmrCurve(((1e-2, 0.303), (1e-3, 0.370), (1e-4, 0.426), (1e-5, 0.477)), "made up")


def unit(*values: float) -> Floats:
    """A unit vector of the space that begins with the given values."""
    vector = np.zeros(SPACE.dimension, np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def view(person: int, angle_degrees: float) -> Floats:
    """A person's face from an angle: the cosine of the difference of two angles is the similarity."""
    vector = np.zeros(SPACE.dimension, np.float32)
    vector[2 * person], vector[2 * person + 1] = np.cos(np.radians(angle_degrees)), np.sin(np.radians(angle_degrees))
    return vector


class Scene:
    """What a picture shows: faces with vector and score, and how well they were captured."""

    def __init__(
        self,
        *vectors: Floats,
        scores: Sequence[float] = (),
        size: float = 100,
        sharpness: float = 200,
        brightness: float = 128,
        misfit_mm: float = 1,
    ) -> None:
        self.vectors = vectors
        self.scores = list(scores) or [0.99] * len(vectors)
        self.size = size
        self.sharpness = sharpness
        self.brightness = brightness
        self.misfit_mm = misfit_mm


class FakeAnalyzer(Analyzer):
    """Knows what each picture shows by the number painted into its first pixel."""

    def __init__(self) -> None:
        self._scenes: list[Scene] = []
        self.batches: list[int] = []
        self._aligner = Aligner()

    @property
    def space(self) -> EmbeddingSpace:
        return SPACE

    @property
    def fmr(self) -> FmrCurve:
        return CURVE

    @property
    def runs_at_once(self) -> int:
        return 1

    @property
    def least_side(self) -> int:
        return 1280

    @property
    def runs_on(self) -> str:
        return "nothing"

    def with_stages(self, *_stages: object) -> Analyzer:
        """Any number of threads may use it as it is."""
        return self

    def frame(self, *vectors: Floats, scores: Sequence[float] = (), size: float = 100, sharpness: float = 200) -> Frame:
        """A picture of the given faces."""
        return self.frame_of(Scene(*vectors, scores=scores, size=size, sharpness=sharpness))

    def frame_of(self, scene: Scene) -> Frame:
        """A picture of a scene."""
        self._scenes.append(scene)
        image = np.zeros((4, 4, 3), np.uint8)
        image[0, 0, 0] = len(self._scenes) - 1
        return Frame(image, f"picture-{len(self._scenes) - 1}", len(self._scenes) - 1)

    def analyze_batch(self, images_bgr: Sequence[AnyImage], *, moving: bool = False) -> list[Faces]:
        del moving
        self.batches.append(len(images_bgr))
        return [self._faces(self._scenes[int(image[0, 0, 0])]) for image in map(pixels_of, images_bgr)]

    def find(self, image_bgr: AnyImage, *, moving: bool = False) -> Detections:
        del moving
        return self.analyze(image_bgr).detections

    def embed(self, aligned: AlignedFaces) -> Floats:
        return np.tile(view(0, 0), (len(aligned), 1))

    def embed_prepared(self, prepared: PreparedFaces) -> Faces:
        vectors = self.embed(prepared.aligned)
        return prepared.embedded(EmbeddedFaces(vectors, np.full(len(vectors), np.nan, np.float32)))

    def embed_batch(self, images_bgr: Sequence[AnyImage]) -> list[tuple[Detections, Floats]]:
        return [(faces.detections, faces.embeddings) for faces in self.analyze_batch(images_bgr)]

    def _faces(self, scene: Scene) -> Faces:
        count = len(scene.vectors)

        def column(value: float) -> Floats:
            return np.full(count, value, np.float32)

        boxes = np.tile(np.array([0, 0, scene.size, scene.size], np.float32), (count, 1))
        detections = Detections(
            boxes,
            np.array(scene.scores, np.float32),
            np.zeros((count, 5, 2), np.float32),
            misfit_mm=column(scene.misfit_mm),
        )
        vectors = np.array(scene.vectors, np.float32).reshape(count, SPACE.dimension)
        measures = FaceMeasures(
            size_px=column(scene.size),
            sharpness=column(scene.sharpness),
            brightness=column(scene.brightness),
            contrast=column(50),
            detail=column(0.3),
            misfit_mm=column(scene.misfit_mm),
            score=detections.scores,
        )
        aligned = AlignedFaces(np.full((count, 112, 112, 3), 90, np.uint8), SPACE.template)
        return Faces(detections, vectors, measures, [None] * count, aligned)
