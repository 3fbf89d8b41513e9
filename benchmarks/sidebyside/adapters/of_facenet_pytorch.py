"""facenet-pytorch: MTCNN on PyTorch, whose weights come with the package; its embedder's do not."""

from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from facenet_pytorch import MTCNN

from sidebyside.adapters.base import Adapter, Case, Step


class FacenetPytorch(Adapter):
    """Its detector with its defaults, on the CPU."""

    def __init__(self, options: dict[str, Any]) -> None:
        torch.set_num_threads(options["threads"])
        self._detector = MTCNN(keep_all=True, device="cpu")

    def about(self) -> dict[str, str]:
        return {"version": version("facenet-pytorch"), "runs": f"MTCNN, PyTorch {torch.__version__.split('+')[0]}"}

    def detect(self, case: Case) -> Step:
        image = np.ascontiguousarray(np.load(case["image"])[..., ::-1])
        return lambda: self._count(image)

    def _count(self, image: Any) -> int:  # noqa: ANN401 -- this module's arrays are NumPy's of another version
        boxes, _scores, _landmarks = self._detector.detect(image, landmarks=True)
        return 0 if boxes is None else len(boxes)


ADAPTER = FacenetPytorch
