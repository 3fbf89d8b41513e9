"""RetinaFace with a MobileNet-0.25 body as an ONNX graph, from the weights of Pytorch_Retinaface.

Deng et al., "RetinaFace: Single-shot Multi-level Face Localisation in the Wild", CVPR 2020. Body, pyramid (FPN),
context modules (SSH) and heads are laid out as in the checkpoint ``mobilenet_header.pth``; batch normalization is
folded into the convolutions, which is exact.
"""

from collections.abc import Sequence

import numpy as np
import onnx

from facepool.models.graph_writer import Feature, GraphWriter
from facepool.models.specs import RetinaFaceSpec
from facepool.models.state_dict import StateDict

SPEC = RetinaFaceSpec()

_SLOPE = 0.1
_STEM = 8
# (output planes, stride) of each depthwise-separable unit.
_STAGE_1 = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1))
_STAGE_2 = ((128, 2), (128, 1), (128, 1), (128, 1), (128, 1), (128, 1))
_STAGE_3 = ((256, 2), (256, 1))
_PYRAMID = 64
_CONTEXT = (32, 16)
_HEADS = (("BboxHead", 4), ("ClassHead", 2), ("LandmarkHead", 10))


def build_retinaface(weights: StateDict) -> onnx.ModelProto:
    """The detector's graph.

    Args:
        weights: State dict of the layout above.

    Returns:
        A model from ``input`` (N,3,H,W) float32, BGR minus the spec's mean, any N, H and W, to ``loc`` (N,A,4),
        ``conf`` (N,A,2) after softmax with the face in column 1, and ``landmarks`` (N,A,10). A counts two priors
        for each cell of the levels of stride 8, 16 and 32, in that order, row by row.

    Raises:
        ModelUnsupported: Weights are missing, misshapen or left over.
        ModelCorrupt: They hold NaN or infinity.
    """
    writer = GraphWriter(weights, channels=3, size_hw=("height", "width"))
    levels = _pyramid(writer, _body(writer))
    contexts = [_context(writer, level, f"ssh{number}") for number, level in enumerate(levels, start=1)]
    for (head, values), output in zip(_HEADS, SPEC.outputs, strict=True):
        _head(writer, contexts, head, values, output)
    weights.check("RetinaFace MobileNet-0.25")
    return writer.finish(
        {output: ("batch", "priors", values) for (_, values), output in zip(_HEADS, SPEC.outputs, strict=True)}
    )


def _body(writer: GraphWriter) -> list[Feature]:
    stem = _conv(writer, writer.input, "body.stage1.0", _STEM, stride=2)
    stage1 = _stage(writer, stem, "body.stage1", _STAGE_1, first=1)
    stage2 = _stage(writer, stage1, "body.stage2", _STAGE_2)
    stage3 = _stage(writer, stage2, "body.stage3", _STAGE_3)
    return [stage1, stage2, stage3]


def _stage(writer: GraphWriter, x: Feature, key: str, units: Sequence[tuple[int, int]], *, first: int = 0) -> Feature:
    for number, (channels, stride) in enumerate(units, start=first):
        unit = f"{key}.{number}"
        depthwise = writer.conv(x, f"{unit}.0", x.channels, stride=stride, groups=x.channels, norm_key=f"{unit}.1")
        mixed = writer.leaky_relu(depthwise, _SLOPE)
        x = writer.leaky_relu(writer.conv(mixed, f"{unit}.3", channels, kernel=1, norm_key=f"{unit}.4"), _SLOPE)
    return x


def _pyramid(writer: GraphWriter, stages: Sequence[Feature]) -> list[Feature]:
    fine, middle, coarse = (
        _conv(writer, stage, f"fpn.output{number}", _PYRAMID, kernel=1) for number, stage in enumerate(stages, start=1)
    )
    middle = _conv(writer, writer.add(middle, writer.enlarge_to(coarse, middle)), "fpn.merge2", _PYRAMID)
    fine = _conv(writer, writer.add(fine, writer.enlarge_to(middle, fine)), "fpn.merge1", _PYRAMID)
    return [fine, middle, coarse]


def _context(writer: GraphWriter, x: Feature, key: str) -> Feature:
    wide, narrow = _CONTEXT
    first = _conv(writer, x, f"{key}.conv5X5_1", narrow)
    second = _conv(writer, first, f"{key}.conv7X7_2", narrow)
    # The last convolution of each branch has no activation of its own: one ReLU follows the concatenation.
    branches = [
        writer.conv(x, f"{key}.conv3X3.0", wide, norm_key=f"{key}.conv3X3.1"),
        writer.conv(first, f"{key}.conv5X5_2.0", narrow, norm_key=f"{key}.conv5X5_2.1"),
        writer.conv(second, f"{key}.conv7x7_3.0", narrow, norm_key=f"{key}.conv7x7_3.1"),
    ]
    return writer.relu(writer.concat(branches))


def _head(writer: GraphWriter, contexts: Sequence[Feature], key: str, values: int, output: str) -> None:
    rows = [_rows(writer, x, f"{key}.{level}.conv1x1", values) for level, x in enumerate(contexts)]
    if key != "ClassHead":
        writer.operator("Concat", rows, {"axis": 1}, output=output)
        return
    writer.operator("Softmax", [writer.operator("Concat", rows, {"axis": 1})], {"axis": 2}, output=output)


def _rows(writer: GraphWriter, x: Feature, key: str, values: int) -> str:
    """A level's predictions as (N, priors, values)."""
    priors = len(SPEC.prior_sizes[0])
    planes = writer.conv(x, key, priors * values, kernel=1)
    last = writer.operator("Transpose", [planes.name], {"perm": [0, 2, 3, 1]})
    shape = writer.constant(np.array([0, -1, values], np.int64))
    return writer.operator("Reshape", [last, shape])


def _conv(writer: GraphWriter, x: Feature, key: str, channels: int, *, kernel: int = 3, stride: int = 1) -> Feature:
    """Convolution, normalization and leaky ReLU under one prefix."""
    out = writer.conv(x, f"{key}.0", channels, kernel=kernel, stride=stride, norm_key=f"{key}.1")
    return writer.leaky_relu(out, _SLOPE)
