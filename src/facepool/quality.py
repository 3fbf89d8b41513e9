"""Quality: measures of a captured face, apart from any policy on them.

Each measure is one actionable thing (come closer, hold still, more light), in the spirit of ISO/IEC 29794-5; the
figure of 0 to 100 is the worst of them, because a face is as useful as its worst flaw lets it be.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from facepool.types import AlignedFaces, Detections, Floats

# Anchors of the 0..100 scales, read off 300 LFW photos (5th percentile and median) and their blurred and shrunk
# copies: photos blurred until recognition suffers have a Laplacian variance below 15, good ones 200.
_SHARPNESS = (8.0, 200.0)
_SIZE_PX = (20.0, 112.0)
_CONTRAST = (8.0, 32.0)
_DARK = (15.0, 60.0)
_BRIGHT = (250.0, 210.0)


@dataclass(frozen=True, slots=True)
class FaceMeasures:
    """One row a face.

    Attributes:
        size_px: (N,) float32, shorter side of the box in source pixels.
        sharpness: (N,) float32, variance of the Laplacian of the aligned face's luma (grey levels squared); small
            faces count as blurred because they were enlarged.
        brightness: (N,) float32, mean luma, 0..255.
        contrast: (N,) float32, standard deviation of luma.
    """

    size_px: Floats
    sharpness: Floats
    brightness: Floats
    contrast: Floats

    @property
    def overall(self) -> Floats:
        """(N,) float32, 0..100: the worst measure, each on its own scale."""
        log_sharpness = np.log(np.maximum(self.sharpness, 1e-6))
        scales = [
            _scale(log_sharpness, (np.log(_SHARPNESS[0]), np.log(_SHARPNESS[1]))),
            _scale(self.size_px, _SIZE_PX),
            _scale(self.contrast, _CONTRAST),
            _scale(self.brightness, _DARK),
            _scale(self.brightness, _BRIGHT),
        ]
        return np.asarray(np.min(scales, axis=0), np.float32)


def measure(detections: Detections, faces: AlignedFaces) -> FaceMeasures:
    """Measure each face of an image; arrays of length 0 for no face.

    Args:
        detections: The faces' boxes, N of them.
        faces: The same N faces, aligned.
    """
    lumas = [cv2.cvtColor(face, cv2.COLOR_BGR2GRAY) for face in faces.images_bgr]
    return FaceMeasures(
        size_px=detections.sizes,
        sharpness=np.array([cv2.Laplacian(luma, cv2.CV_32F).var() for luma in lumas], np.float32),
        brightness=np.array([luma.mean() for luma in lumas], np.float32),
        contrast=np.array([luma.std() for luma in lumas], np.float32),
    )


def _scale(values: Floats, anchors: tuple[float, float]) -> Floats:
    worst, best = anchors
    return np.asarray(np.clip((values - worst) / (best - worst), 0, 1) * 100, np.float32)
