"""Smaller and faster graphs for CPUs: weights and activations of 8 bits in place of 32, by NNCF.

Post-training quantization: pictures run through the graph show which range of numbers each layer sees, and each range
is cut into 256 steps (Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018). The result is an ONNX file like the first, with the steps written into it, so that it runs on
every engine that the first one ran on.
"""

import logging
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from facepool import extras
from facepool.errors import ModelUnsupported
from facepool.runtime.onnxruntime_engine import planes
from facepool.types import Image, PixelFeed

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_OPSET = 13
"""ONNX states ranges channel by channel since this version."""

_MULTIPLYING = frozenset({"Conv", "Gemm", "MatMul"})


def quantize(path: Path, batches: Sequence[Image], feed: PixelFeed, *, careful: bool = False) -> bytes:
    """Quantize an ONNX file.

    Args:
        path: A graph with one input.
        batches: What it is to see, (N, H, W, 3) uint8 BGR each, as ``Graph.run`` takes it. About 100 are enough.
        feed: What happens to pixels before the graph sees them.
        careful: Leave the first layer that multiplies, the last ones and the depthwise ones as they are. They take
            little of the time; with them SFace's largest error of a vector is 0.006 (1 - cosine) in place of 0.24, and
            RetinaFace's landmarks err by 0.45 px of 112 in place of 0.67.

    Returns:
        The ONNX file, with the same input and outputs.

    Raises:
        EngineMissing: NNCF or what it needs is not installed.
        ModelUnsupported: NNCF cannot quantize this graph.
    """
    extras.require("optimize")
    # Both import half a second's worth of packages, and NNCF reports to its maker where this package is there.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None forbids the import
    import nncf  # noqa: PLC0415 -- see above
    import onnx  # noqa: PLC0415 -- see above

    nncf.set_log_level(logging.ERROR)
    model = onnx.load(path)
    try:
        if model.opset_import[0].version < _OPSET:
            model = onnx.version_converter.convert_version(model, _OPSET)
        _name_nodes(model)
        name = _input_of(model)
        with redirect_stdout(sys.stderr):  # where progress belongs
            quantized = nncf.quantize(
                model,
                nncf.Dataset(batches, lambda batch: {name: planes(batch, feed)}),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(batches),
                # Correcting biases made RetinaFace's landmarks half as wrong again, and SFace's vectors no better.
                advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=True),
                ignored_scope=nncf.IgnoredScope(names=_delicate(model.graph.node) if careful else []),
            )
    except (RuntimeError, ValueError, nncf.errors.InternalError, nncf.errors.UnsupportedModelError) as error:
        raise ModelUnsupported(
            f"{path.name} cannot be quantized", why=str(error).strip().splitlines()[0] if str(error).strip() else ""
        ) from error
    return bytes(quantized.SerializeToString(deterministic=True))


def _name_nodes(model: "ModelProto") -> None:
    """Give every node a name of its own, by which it can be left out."""
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"


def _input_of(model: "ModelProto") -> str:
    weights = {tensor.name for tensor in model.graph.initializer}
    (image,) = (value.name for value in model.graph.input if value.name not in weights)
    return str(image)


def _delicate(nodes: "Sequence[NodeProto]") -> list[str]:
    multiplying = [node for node in nodes if node.op_type in _MULTIPLYING]
    return [node.name for node in multiplying if node is multiplying[0] or _groups(node) > 1] + _last(nodes)


def _last(nodes: "Sequence[NodeProto]") -> list[str]:
    """Those after which nothing multiplies any more: what they make is the result, or nearly."""
    multiplied_later: set[str] = set()
    last = []
    for node in reversed(nodes):
        goes_on = not multiplied_later.isdisjoint(node.output)
        if node.op_type in _MULTIPLYING and not goes_on:
            last.append(node.name)
        if node.op_type in _MULTIPLYING or goes_on:
            multiplied_later.update(node.input)
    return last


def _groups(node: "NodeProto") -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "group"), 1)
