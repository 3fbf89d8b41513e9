"""The two networks of the original project as ONNX graphs, each from the weights of its checkpoint.

RetinaFace with a MobileNet-0.25 body: Deng et al., "RetinaFace: Single-shot Multi-level Face Localisation in the Wild",
CVPR 2020. Body, pyramid (FPN), context modules (SSH) and heads are laid out as in ``mobilenet_header.pth`` of
Pytorch_Retinaface.

IR embedders (the "improved residual" network of ArcFace), in face.evoLVe's layout: Deng et al., "ArcFace: Additive
Angular Margin Loss for Deep Face Recognition", CVPR 2019, section 3.2.2. The number of units and planes is read off the
weights, so IR-50 (24 units) and its deeper sisters are one builder.

Batch normalization is folded into convolutions where that is exact; the one in front of each zero-padded convolution of
an IR unit stays a layer, because the padding would have to be normalized with it.
"""

from collections.abc import Sequence

import numpy as np
import onnx

from facepool.models.catalog import EmbedderSpec, RetinaFaceSpec
from facepool.models.checkpoints.layers import Feature, GraphWriter, StateDict, Weights

RETINAFACE_SPEC = RetinaFaceSpec()

_SLOPE = 0.1
_STEM = 8
# (output planes, stride) of each depthwise-separable unit.
_STAGE_1 = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1))
_STAGE_2 = ((128, 2), (128, 1), (128, 1), (128, 1), (128, 1), (128, 1))
_STAGE_3 = ((256, 2), (256, 1))
_PYRAMID = 64
_CONTEXT = (32, 16)
_HEADS = (("BboxHead", 4), ("ClassHead", 2), ("LandmarkHead", 10))

_SIDE = 112
_LAST_SIDE = 7
_DEFAULT_PLANES = 64
_LINEAR = "output_layer.3"


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
    for (head, values), output in zip(_HEADS, RETINAFACE_SPEC.outputs, strict=True):
        _head(writer, contexts, head, values, output)
    weights.check("RetinaFace MobileNet-0.25")
    return writer.finish(
        {
            output: ("batch", "priors", values)
            for (_, values), output in zip(_HEADS, RETINAFACE_SPEC.outputs, strict=True)
        }
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
    priors = len(RETINAFACE_SPEC.prior_sizes[0])
    planes = writer.conv(x, key, priors * values, kernel=1)
    last = writer.operator("Transpose", [planes.name], {"perm": [0, 2, 3, 1]})
    shape = writer.constant(np.array([0, -1, values], np.int64))
    return writer.operator("Reshape", [last, shape])


def _conv(writer: GraphWriter, x: Feature, key: str, channels: int, *, kernel: int = 3, stride: int = 1) -> Feature:
    """Convolution, normalization and leaky ReLU under one prefix."""
    out = writer.conv(x, f"{key}.0", channels, kernel=kernel, stride=stride, norm_key=f"{key}.1")
    return writer.leaky_relu(out, _SLOPE)


def ir_spec_of(weights: StateDict) -> EmbedderSpec:
    """How the network is fed: RGB, (x - 127.5) / 127.5, 112x112 on the ArcFace template.

    Not mirror-averaged: the original project stored the vector of the face alone, its pools must stay comparable, and
    a second pass through this network costs as much as the first.
    """
    dimension = weights.rows(f"{_LINEAR}.weight", default=512)
    return EmbedderSpec(dimension=dimension, channel_order="rgb", mean=127.5, scale=127.5, mirrored=False)


def build_ir_embedder(weights: StateDict) -> onnx.ModelProto:
    """The embedder's graph.

    Args:
        weights: State dict of the layout above.

    Returns:
        A model from ``input`` (N,3,112,112) float32, RGB in -1..1, any N, to ``embedding`` (N,D) float32, not yet
        normalized.

    Raises:
        ModelUnsupported: Weights are missing, misshapen or left over.
        ModelCorrupt: They hold NaN or infinity.
    """
    writer = GraphWriter(weights, channels=3, size_hw=(_SIDE, _SIDE))
    stem = weights.rows("input_layer.0.weight", default=_DEFAULT_PLANES)
    x = writer.conv(writer.input, "input_layer.0", stem, norm_key="input_layer.1")
    x = writer.prelu(x, "input_layer.2")
    for number in range(_count_units(weights)):
        x = _unit(writer, weights, x, number)
    dimension = _embedding(writer, weights, x)
    weights.check("an IR embedder of face.evoLVe")
    return writer.finish({"embedding": ("batch", dimension)})


def _count_units(weights: StateDict) -> int:
    return len({key.split(".")[1] for key in weights if key.startswith("body.")})


def _unit(writer: GraphWriter, weights: StateDict, x: Feature, number: int) -> Feature:
    unit = f"body.{number}"
    planes = weights.rows(f"{unit}.res_layer.1.weight", default=x.channels)
    # Each stage halves the size in its first unit: the very first, and those where the number of planes changes.
    stride = 2 if number == 0 or planes != x.channels else 1
    residual = writer.conv_without_bias(writer.batch_norm(x, f"{unit}.res_layer.0"), f"{unit}.res_layer.1", planes)
    residual = writer.prelu(residual, f"{unit}.res_layer.2")
    residual = writer.conv(residual, f"{unit}.res_layer.3", planes, stride=stride, norm_key=f"{unit}.res_layer.4")
    return writer.add(residual, _shortcut(writer, x, f"{unit}.shortcut_layer", planes, stride))


def _shortcut(writer: GraphWriter, x: Feature, key: str, planes: int, stride: int) -> Feature:
    if planes != x.channels:
        return writer.conv(x, f"{key}.0", planes, kernel=1, stride=stride, norm_key=f"{key}.1")
    return writer.subsample(x, stride) if stride > 1 else x


def _embedding(writer: GraphWriter, weights: StateDict, x: Feature) -> int:
    """The last layers, normalization and linear map and normalization, as one linear map; gives the dimension."""
    dimension = weights.rows(f"{_LINEAR}.weight", default=512)
    before = weights.take_batch_norm("output_layer.0", x.channels)
    linear = weights.take(f"{_LINEAR}.weight", (dimension, x.channels * _LAST_SIDE**2))
    bias = weights.take(f"{_LINEAR}.bias", (dimension,))
    after = weights.take_batch_norm("output_layer.4", dimension)
    weight: Weights = linear * np.repeat(before.scale, _LAST_SIDE**2) * after.scale[:, None]
    shift = (linear @ np.repeat(before.shift, _LAST_SIDE**2) + bias) * after.scale + after.shift
    flat = writer.operator("Flatten", [x.name], {"axis": 1})
    inputs = [flat, writer.constant(weight), writer.constant(shift)]
    writer.operator("Gemm", inputs, {"transB": 1}, output="embedding")
    return dimension
