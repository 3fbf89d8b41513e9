"""What a graph computes according to the ONNX specification, slowly and without any engine."""

import numpy as np
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator

from facepool.types import Floats


def one_by_one(model: ModelProto, images: Floats) -> Floats:
    """(N, ...) float32: the first output for each image on its own, fed to the first input."""
    evaluator = ReferenceEvaluator(model)
    rows = []
    for image in images:
        (row, *_) = evaluator.run(None, {model.graph.input[0].name: image[np.newaxis]})
        rows.append(np.asarray(row))
    return np.concatenate(rows)
