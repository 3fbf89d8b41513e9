"""What a graph computes according to the ONNX specification, slowly and without any engine."""

from collections.abc import Sequence

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


def detector_rows(maps: Sequence[Floats]) -> tuple[Floats, Floats, Floats]:
    """What published detectors put out, (N, A, 4) boxes, (N, A, 2) probabilities and (N, A, 10) landmarks, of the maps
    of their heads."""
    columns = []
    for first, values in ((2, 4), (0, 2), (6, 10)):
        levels = []
        for level in maps:
            squares = level.shape[1] // 16
            part = level[:, first * squares : (first + values) * squares]
            levels.append(np.moveaxis(part, 1, 3).reshape(len(level), -1, values))
        columns.append(np.concatenate(levels, axis=1))
    boxes, logits, landmarks = columns
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    return boxes, powers / powers.sum(axis=2, keepdims=True), landmarks
