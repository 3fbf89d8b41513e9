"""A fake of the analyzer for guided scans: each picture says whose head is where, turned how."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from facepool.faces.analyze import Analyzer, AnyImage, Faces, pixels_of
from facepool.faces.quality import FaceMeasures
from facepool.models.catalog import FmrCurve
from facepool.types import AlignedFaces, Detections, EmbeddingSpace, Floats, Frame, Pose

SPACE = EmbeddingSpace("fake-scan", "0" * 64, "rgb-0-1/1", "arcface-112", mirrored=False, dimension=32)
CURVE = FmrCurve(((1e-2, 0.303), (1e-3, 0.370), (1e-4, 0.426), (1e-5, 0.477)), "made up")
PICTURE_HW = (240, 320)
ME, OTHER, THIRD = 0, 1, 2


@dataclass(frozen=True)
class Head:
    """One head in a picture. Its size sets the quality: 112 px is 100, 66 px is 50."""

    person: int = ME
    yaw: float = 0.0
    pitch: float = 0.0
    size: float = 112.0
    at: tuple[float, float] = (160.0, 120.0)
    sharpness: float = 400.0
    brightness: float = 128.0
    score: float = 0.995
    measurable: bool = True
    flat: bool = False


def embedding(head: Head) -> Floats:
    """People are at right angles to each other; a turn of 15 degrees leaves a similarity of 0.87 to the front, none
    less than 0.64."""
    vector = np.zeros(SPACE.dimension, np.float64)
    angle = np.arctan2(head.pitch, head.yaw)
    away = np.radians(min(50.0, 2 * float(np.hypot(head.yaw, head.pitch))))
    start = 8 * head.person
    vector[start : start + 3] = np.cos(away), np.sin(away) * np.cos(angle), np.sin(away) * np.sin(angle)
    vector[start + 3] = (head.size % 7) * 1e-3  # two pictures of different quality are never the same to the bit
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


class FakeScanAnalyzer(Analyzer):
    """Knows what each picture shows by the number painted into its first pixel."""

    def __init__(self) -> None:
        self._scenes: list[tuple[Head, ...]] = []

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

    def frame(self, *heads: Head) -> Frame:
        number = len(self._scenes)
        self._scenes.append(heads)
        image = np.zeros((*PICTURE_HW, 3), np.uint8)
        image[0, 0] = number % 256, number // 256, 0
        return Frame(image, "fake", number, number / 30)

    def frames(self, heads: Sequence[Head]) -> Iterator[Frame]:
        return (self.frame(head) for head in heads)

    def analyze_batch(self, images_bgr: Sequence[AnyImage], *, moving: bool = False) -> list[Faces]:
        del moving
        return [
            _faces(self._scenes[int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])])
            for image in map(pixels_of, images_bgr)
        ]


def still(count: int = 8, **changes: float) -> list[Head]:
    """Looking straight ahead."""
    return [Head(**changes) for _ in range(count)]  # type: ignore[arg-type] # only numbers are changed


def circle(
    yaw: float = 18.0, pitch: float = 10.0, frames: int = 24, person: int = ME, size: float = 112.0
) -> list[Head]:
    """Once around."""
    angles = np.linspace(0, 2 * np.pi, frames, endpoint=False)
    return [Head(person, float(yaw * np.cos(a)), float(pitch * np.sin(a))) for a in angles]


def landmarks(head: Head) -> Floats:
    """(5, 2) float32, where the points of such a head are in the picture; those of a flat one lie in a plane."""
    yaw, pitch = np.radians(head.yaw), np.radians(head.pitch)
    x, y, z = np.array([[-31.5, 0, 0], [31.5, 0, 0], [0, 37, 0 if head.flat else 31], [-28, 68, 0], [28, 68, 0]]).T
    y, z = y * np.cos(pitch) - z * np.sin(pitch), z * np.cos(pitch) + y * np.sin(pitch)
    x = x * np.cos(yaw) + z * np.sin(yaw)
    return np.asarray(np.stack([x, y - 34], axis=1) * head.size / 120 + head.at, np.float32)


def _faces(heads: tuple[Head, ...]) -> Faces:
    count = len(heads)
    boxes = [(h.at[0] - h.size / 2, h.at[1] - h.size / 2, h.at[0] + h.size / 2, h.at[1] + h.size / 2) for h in heads]

    def column(values: Sequence[float]) -> Floats:
        return np.array(values, np.float32)

    scores = column([head.score for head in heads])
    return Faces(
        Detections(
            np.array(boxes, np.float32).reshape(count, 4),
            scores,
            np.array([landmarks(head) for head in heads], np.float32).reshape(count, 5, 2),
        ),
        np.array([embedding(head) for head in heads], np.float32).reshape(count, SPACE.dimension),
        FaceMeasures(
            size_px=column([head.size for head in heads]),
            sharpness=column([head.sharpness for head in heads]),
            brightness=column([head.brightness for head in heads]),
            contrast=np.full(count, 50, np.float32),
            detail=np.full(count, 0.3, np.float32),
            misfit_mm=np.ones(count, np.float32),
            score=scores,
        ),
        [Pose(head.yaw, head.pitch, 0.0) if head.measurable else None for head in heads],
        AlignedFaces(np.full((count, 112, 112, 3), 90, np.uint8), SPACE.template),
    )
