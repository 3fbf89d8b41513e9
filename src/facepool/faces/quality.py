"""Quality: measures of a captured face, and, apart from them, a policy that says which faces are good enough.

Each measure is one actionable thing (come closer, hold still, more light). On scales of 0 to 100 they are components
after ISO/IEC 29794-5. The policy reads the measures in their own units and answers with reason codes.

The overall figure says how well a face will be recognized. The best judge of that is the network that recognizes it,
see ``facepool.faces.embed.EmbeddedFaces``; before a face is embedded, the worst component stands in for it, because a
face is as useful as its worst flaw lets it be (docs/adr/0053-quality-that-predicts.md).
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from facepool.types import AlignedFaces, Detections, Floats, Image, Indices, Mask, counted, one_line

Flaw = Literal[
    "uncertain_face",
    "too_small",
    "too_dark",
    "too_bright",
    "low_contrast",
    "blurred",
    "covered",
    "implausible_landmarks",
]
"""Why a face is not good enough."""

Component = Literal[
    "detection_confidence",
    "head_size",
    "under_exposure_prevention",
    "over_exposure_prevention",
    "dynamic_range",
    "sharpness",
    "face_occlusion_prevention",
    "landmark_plausibility",
]
"""One scale of 0 to 100, under ISO/IEC 29794-5's name where it has one."""

# Anchors of the 0..100 scales, read off 300 LFW photos (5th percentile and median) and their blurred and shrunk
# copies: photos blurred until recognition suffers have a Laplacian variance below 15, good ones 200.
_SHARPNESS = (8.0, 200.0)
_SIZE_PX = (20.0, 112.0)
_CONTRAST = (8.0, 32.0)
_DARK = (15.0, 60.0)
_BRIGHT = (250.0, 210.0)
# 99 of 100 LFW photos score above 0.99, show 0.11 of detail and misfit by 3.3 mm at most.
_SCORE = (0.5, 0.99)
_DETAIL = (0.02, 0.11)
_MISFIT_MM = (8.0, 3.3)

# Where the eyes and the mouth lie on an aligned face, as shares of its side: left, top, right, bottom.
_FEATURES = ((0.21, 0.37, 0.47, 0.55), (0.53, 0.37, 0.79, 0.55), (0.37, 0.73, 0.63, 0.91))


@dataclass(frozen=True, slots=True)
class FaceMeasures:
    """One row a face.

    Attributes:
        size_px: (N,) float32, shorter side of the box in source pixels.
        sharpness: (N,) float32, variance of the Laplacian of the aligned face's luma (grey levels squared); small
            faces count as blurred because they were enlarged.
        brightness: (N,) float32, mean luma, 0..255.
        contrast: (N,) float32, standard deviation of luma.
        detail: (N,) float32, contrast as a share of brightness around each eye and the mouth, the least of the
            three; a hand, a mask or a scarf over one of them has little.
        misfit_mm: (N,) float32, how far the landmarks are from those of a head; see ``facepool.faces.pose``.
        score: (N,) float32, the detector's, 0..1.
        unified: (N,) float32, 0..100, ISO/IEC 29794-5's unified quality: how well each will be recognized by what the
            embedder made of it; NaN where that tells nothing. None for faces that were not embedded.
    """

    size_px: Floats
    sharpness: Floats
    brightness: Floats
    contrast: Floats
    detail: Floats
    misfit_mm: Floats
    score: Floats
    unified: Floats | None = None

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.score)

    def __repr__(self) -> str:
        """Of how many faces."""
        return one_line(self, counted(len(self), "face"))

    def __getitem__(self, rows: Indices) -> "FaceMeasures":
        return FaceMeasures(
            size_px=self.size_px[rows],
            sharpness=self.sharpness[rows],
            brightness=self.brightness[rows],
            contrast=self.contrast[rows],
            detail=self.detail[rows],
            misfit_mm=self.misfit_mm[rows],
            score=self.score[rows],
            unified=None if self.unified is None else self.unified[rows],
        )

    @property
    def components(self) -> dict[Component, Floats]:
        """(N,) float32 each, 0..100, 100 is best."""
        log_sharpness = np.log(np.maximum(self.sharpness, 1e-6))
        return {
            "detection_confidence": _scale(self.score, _SCORE),
            "head_size": _scale(self.size_px, _SIZE_PX),
            "under_exposure_prevention": _scale(self.brightness, _DARK),
            "over_exposure_prevention": _scale(self.brightness, _BRIGHT),
            "dynamic_range": _scale(self.contrast, _CONTRAST),
            "sharpness": _scale(log_sharpness, (np.log(_SHARPNESS[0]), np.log(_SHARPNESS[1]))),
            "face_occlusion_prevention": _scale(self.detail, _DETAIL),
            "landmark_plausibility": _scale(self.misfit_mm, _MISFIT_MM),
        }

    @property
    def is_unified(self) -> Mask:
        """(N,) bool, whether the overall figure is the embedder's."""
        return np.zeros(len(self), np.bool_) if self.unified is None else ~np.isnan(self.unified)

    @property
    def overall(self) -> Floats:
        """(N,) float32, 0..100: ``unified`` where it is known, else the worst component."""
        worst = np.asarray(np.min(list(self.components.values()), axis=0), np.float32)
        return worst if self.unified is None else np.where(self.is_unified, self.unified, worst)


@dataclass(frozen=True, slots=True)
class QualityPolicy:
    """Which faces are good enough to keep. Units are those of ``FaceMeasures``.

    Attributes:
        min_score: Below it a face is ``uncertain_face``.
        min_size_px: Below it ``too_small``.
        min_brightness: Below it ``too_dark``.
        max_brightness: Above it ``too_bright``.
        min_contrast: Below it ``low_contrast``.
        min_sharpness: Below it ``blurred``.
        min_detail: Below it ``covered``.
        max_misfit_mm: Above it ``implausible_landmarks``.
    """

    min_score: float = 0.9
    min_size_px: float = 48.0
    min_brightness: float = 30.0
    max_brightness: float = 235.0
    min_contrast: float = 12.0
    min_sharpness: float = 15.0
    min_detail: float = 0.05
    max_misfit_mm: float = 5.0

    @property
    def least_overall(self) -> float:
        """0..100, what a face has overall that is just good enough in everything: one that has less is not."""
        at_limits = FaceMeasures(
            size_px=_twice(self.min_size_px),
            sharpness=_twice(self.min_sharpness),
            brightness=np.array([self.min_brightness, self.max_brightness], np.float32),
            contrast=_twice(self.min_contrast),
            detail=_twice(self.min_detail),
            misfit_mm=_twice(self.max_misfit_mm),
            score=_twice(self.min_score),
        )
        return float(at_limits.overall.min())

    def flaws(self, measures: FaceMeasures) -> list[tuple[Flaw, ...]]:
        """What is wrong with each face: nothing for a good one; what to mend first comes first."""
        failed: dict[Flaw, npt.NDArray[np.bool_]] = {
            "uncertain_face": measures.score < self.min_score,
            "too_small": measures.size_px < self.min_size_px,
            "too_dark": measures.brightness < self.min_brightness,
            "too_bright": measures.brightness > self.max_brightness,
            "low_contrast": measures.contrast < self.min_contrast,
            "blurred": measures.sharpness < self.min_sharpness,
            "covered": measures.detail < self.min_detail,
            "implausible_landmarks": measures.misfit_mm > self.max_misfit_mm,
        }
        return [tuple(flaw for flaw, rows in failed.items() if rows[row]) for row in range(len(measures))]


def measure(detections: Detections, faces: AlignedFaces, misfit_mm: Floats) -> FaceMeasures:
    """Measure each face of an image; arrays of length 0 for no face.

    Args:
        detections: The faces' boxes, N of them.
        faces: The same N faces, aligned.
        misfit_mm: (N,) float32, how badly their landmarks fit a head.
    """
    columns = np.array([_measure_face(face) for face in faces.images_bgr], np.float32).reshape(-1, 4).T
    sharpness, brightness, contrast, detail = columns
    return FaceMeasures(
        detections.sizes, sharpness, brightness, contrast, detail, misfit_mm=misfit_mm, score=detections.scores
    )


def _measure_face(face_bgr: Image) -> tuple[float, float, float, float]:
    """Sharpness, brightness, contrast and detail of an aligned face."""
    luma = cv2.cvtColor(face_bgr, cv2.COLOR_BGR2GRAY)
    brightness, contrast = _mean_and_deviation(luma)
    _, edges = _mean_and_deviation(cv2.Laplacian(luma, cv2.CV_16S))
    side = len(luma)
    parts = [[round(edge * side) for edge in feature] for feature in _FEATURES]
    least = min(_mean_and_deviation(luma[top:bottom, left:right])[1] for left, top, right, bottom in parts)
    return edges**2, brightness, contrast, least / max(brightness, 1.0)


def _mean_and_deviation(plane: cv2.typing.MatLike) -> tuple[float, float]:
    mean, deviation = cv2.meanStdDev(plane)
    return float(mean[0, 0]), float(deviation[0, 0])


def _twice(value: float) -> Floats:
    return np.full(2, value, np.float32)


def _scale(values: Floats, anchors: tuple[float, float]) -> Floats:
    worst, best = anchors
    return np.asarray(np.clip((values - worst) / (best - worst), 0, 1) * 100, np.float32)
