"""An IR embedder (the "improved residual" network of ArcFace) as an ONNX graph, from face.evoLVe's layout.

Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019, section 3.2.2. The number
of units and planes is read off the weights, so IR-50 (24 units) and its deeper sisters are one builder. Batch
normalization is folded where that is exact; the one in front of each unit's zero-padded convolution stays a layer,
because the padding would have to be normalized with it.
"""

import numpy as np
import onnx

from facepool.models.graph_writer import Feature, GraphWriter
from facepool.models.specs import EmbedderSpec
from facepool.models.state_dict import StateDict, Weights

_SIDE = 112
_LAST_SIDE = 7
_DEFAULT_PLANES = 64
_LINEAR = "output_layer.3"


def spec_of(weights: StateDict) -> EmbedderSpec:
    """How the network is fed: RGB, (x - 127.5) / 127.5, 112x112 on the ArcFace template.

    Not mirror-averaged: the original project stored the vector of the face alone, its pools must stay comparable, and
    a second pass through this network costs as much as the first.
    """
    dimension = weights.rows(f"{_LINEAR}.weight", default=512)
    return EmbedderSpec(dimension=dimension, channel_order="rgb", mean=127.5, scale=127.5, mirrored=False)


def build_ir50(weights: StateDict) -> onnx.ModelProto:
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
