"""InsightFace: SCRFD 500m and ArcFace MobileFaceNet int8 on ONNX Runtime, a small pack that was imported."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import insightface
import numpy as np
import onnxruntime
from insightface.app import FaceAnalysis

from sidebyside.adapters import of_opencv
from sidebyside.adapters.base import Array, Case, Portraits, Step


class InsightFace(Portraits):
    """``FaceAnalysis`` with one detector size of 640x640, or with its default of two sizes."""

    dimension = 512

    def __init__(self, options: dict[str, Any]) -> None:
        warnings.simplefilter("ignore", FutureWarning)  # its alignment uses a call that scikit-image will drop
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options["threads"]
        self._two_sizes = bool(options.get("two_sizes"))
        self._app = FaceAnalysis(name=options["pack"], sess_options=settings, providers=["CPUExecutionProvider"])
        self._app.prepare(ctx_id=-1, det_thresh=0.5, det_size=None if self._two_sizes else (640, 640))

    def about(self) -> dict[str, str]:
        sizes = "its default input sizes of 128 and 640" if self._two_sizes else "input 640x640"
        networks = ", ".join(sorted(Path(model.model_file).stem for model in self._app.models.values()))
        return {
            "version": insightface.__version__,
            "runs": f"{networks}, ONNX Runtime {onnxruntime.__version__}, {sizes}",
        }

    def detect(self, case: Case) -> Step:
        image = np.load(case["image"])
        return lambda: len(self._app.det_model.detect(image)[0])

    def embed(self, case: Case) -> Step:
        crops = list(np.load(case["crops"])[: case["batch"]])
        network = self._app.models["recognition"]
        return lambda: len(network.get_feat(crops))

    def vectors(self, image: Array) -> Array:
        faces = self._app.get(image)
        return np.array([face.embedding for face in faces], np.float32).reshape(-1, self.dimension)

    def read_photo(self, path: str) -> Array:
        return of_opencv.read_photo(path)

    def frames(self, path: str, count: int) -> Iterable[Array]:
        return of_opencv.frames(path, count)


ADAPTER = InsightFace
