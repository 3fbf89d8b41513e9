"""Alignment: every face turned upright and cut out so that its landmarks lie on one template."""

import cv2
import numpy as np

from facepool.errors import ModelUnsupported
from facepool.geometry import CROP, TEMPLATES, similarity_transforms
from facepool.types import AlignedFaces, Floats, Image

_MUCH_ENLARGED = 2.5
"""By how much a face of fewer than about 44 pixels is enlarged: cubic interpolation tells more of it then."""


class Aligner:
    """Cuts faces out on one template.

    Args:
        template: Name in ``geometry.TEMPLATES``.

    Raises:
        ModelUnsupported: There is no such template.
    """

    def __init__(self, template: str = CROP) -> None:
        if template not in TEMPLATES:
            raise ModelUnsupported(
                f"There is no alignment template {template!r}", fix=f"Known templates: {', '.join(TEMPLATES)}"
            )
        self.template = template
        self._points, self._side = TEMPLATES[template]

    def align(self, image_bgr: Image, landmarks: Floats) -> AlignedFaces:
        """Cut the faces of one image out.

        Args:
            image_bgr: (H, W, 3) uint8 BGR.
            landmarks: (N, 5, 2) float32 in pixels of the image.

        Returns:
            N upright faces, bilinear, small ones bicubic; black beyond the image's border; none for no landmarks.
        """
        matrices = similarity_transforms(landmarks, self._points)
        faces = np.empty((len(landmarks), self._side, self._side, 3), np.uint8)
        for face, matrix in zip(faces, matrices, strict=True):
            enlarged = float(np.hypot(*matrix[:, 0])) > _MUCH_ENLARGED
            flags = cv2.INTER_CUBIC if enlarged else cv2.INTER_LINEAR
            cv2.warpAffine(image_bgr, matrix, (self._side, self._side), dst=face, flags=flags)
        return AlignedFaces(faces, self.template)
