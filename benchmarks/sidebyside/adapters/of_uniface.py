"""uniface: RetinaFace with the same weights as facepool's, on ONNX Runtime. Its embedders' weights need a network."""

from importlib.metadata import version
from typing import Any

import numpy as np
import onnxruntime
import uniface.onnx_utils
from uniface.constants import RetinaFaceWeights
from uniface.detection import RetinaFace

from sidebyside.adapters.base import Adapter, Case, Step


class Uniface(Adapter):
    """Its detector, with the thread budget that its own constructor has no word for."""

    def __init__(self, options: dict[str, Any]) -> None:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options["threads"]
        uniface.onnx_utils.ort.SessionOptions = lambda: settings
        self._fitted = bool(options.get("fitted"))
        self._detectors: dict[tuple[int, int], RetinaFace] = {}

    def about(self) -> dict[str, str]:
        size = "input fitted to the picture" if self._fitted else "its default input of 640x640"
        return {
            "version": version("uniface"),
            "runs": f"RetinaFace mnet0.25, ONNX Runtime {onnxruntime.__version__}, {size}",
        }

    def detect(self, case: Case) -> Step:
        image = np.load(case["image"])
        detector = self._detector((image.shape[1], image.shape[0]) if self._fitted else (640, 640))
        return lambda: len(detector.detect(image))

    def _detector(self, size_wh: tuple[int, int]) -> RetinaFace:
        scale = min(1.0, 640 / max(size_wh))
        width, height = (max(32, round(side * scale / 32) * 32) for side in size_wh)
        if (width, height) not in self._detectors:
            self._detectors[width, height] = RetinaFace(
                model_name=RetinaFaceWeights.MNET_025,
                input_size=(width, height),
                confidence_threshold=0.6,
                providers=["CPUExecutionProvider"],
            )
        return self._detectors[width, height]


ADAPTER = Uniface
