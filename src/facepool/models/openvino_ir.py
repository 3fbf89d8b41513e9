"""OpenVINO's IR, read without OpenVINO: an ONNX graph that every engine runs, made of an XML file and its weights.

Intermediate Representation, version 11: layers with numbered ports, edges between them, constants by their place in the
file of weights (docs.openvino.ai, "Operation Set Specification"). The layers of convolutional networks are known here,
any other is refused by name. Weights of 16 bits become 32, so nothing is rounded again.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from xml.etree import ElementTree as ET

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from facepool.errors import ModelUnsupported
from facepool.types import Floats

_OPSET, _IR_VERSION = 17, 8
_INPUT, _OUTPUT = "image", "embedding"
_TYPES: Mapping[str, str] = {"f16": "<f2", "f32": "<f4"}

_Port = tuple[str, str]
"""Number of a layer, number of one of its ports."""


def onnx_of_ir(structure: bytes, weights: bytes) -> bytes:
    """The same network as an ONNX file.

    Args:
        structure: The XML file: one input (1, C, H, W), one output of one vector.
        weights: The file beside it, ``.bin``.

    Returns:
        An ONNX file with input (batch, C, H, W) float32 and output (batch, D), the same bytes for the same files.

    Raises:
        ModelUnsupported: It is no such network, or has a layer that is not known here.
    """
    try:
        net = ET.fromstring(structure)  # noqa: S314 -- a file of a known digest
    except ET.ParseError as error:
        raise ModelUnsupported("The file is no OpenVINO IR", why=str(error)) from error
    return bytes(_Reader(net, weights).read().SerializeToString(deterministic=True))


class _Reader:
    """Turns layers into nodes, in the order of the file, which is that of the computation."""

    def __init__(self, net: ET.Element, weights: bytes) -> None:
        self._layers = net.findall("./layers/layer")
        edges = [edge.attrib for edge in net.findall("./edges/edge")]
        self._from: dict[_Port, _Port] = {
            (edge["to-layer"], edge["to-port"]): (edge["from-layer"], edge["from-port"]) for edge in edges
        }
        self._uses = Counter(edge["from-layer"] for edge in edges)
        self._weights = weights
        self._constants: dict[str, Floats] = {}
        self._names: dict[str, str] = {}
        self._nodes: dict[str, NodeProto] = {}
        self._image: tuple[int, ...] = ()
        self._result = ""

    def read(self) -> onnx.ModelProto:
        kinds: dict[str, Callable[[str, Mapping[str, str], list[str]], None]] = {
            "Parameter": self._parameter,
            "Const": self._constant,
            "Convert": self._convert,
            "Convolution": self._convolution,
            "GroupConvolution": self._convolution,
            "Add": self._add,
            "Multiply": lambda number, _, inputs: self._keep(number, "Mul", inputs),
            "Sigmoid": lambda number, _, inputs: self._keep(number, "Sigmoid", inputs),
            "PReLU": self._prelu,
            "AvgPool": self._average,
            "Result": self._end,
        }
        for layer in self._layers:
            kind, version = layer.attrib["type"], layer.attrib["version"]
            if kind not in kinds or version != "opset1":
                raise ModelUnsupported(f"OpenVINO's layer {kind} ({version}) is not known here")
            number = layer.attrib["id"]
            data = layer.find("data")
            ports = [port.attrib["id"] for port in layer.findall("./input/port")]
            inputs = [self._from[number, port][0] for port in ports]
            kinds[kind](number, {} if data is None else data.attrib, inputs)
        return self._finish()

    def _parameter(self, number: str, data: Mapping[str, str], _: list[str]) -> None:
        if self._image:
            raise ModelUnsupported("The network has more than one input")
        self._image = _numbers(data["shape"])
        self._names[number] = _INPUT

    def _constant(self, number: str, data: Mapping[str, str], _: list[str]) -> None:
        if data["element_type"] not in _TYPES:
            raise ModelUnsupported(f"Weights of type {data['element_type']} are not known here")
        start, size = int(data["offset"]), int(data["size"])
        if start + size > len(self._weights):
            raise ModelUnsupported("The file of weights is too short", why=f"it has {len(self._weights)} bytes")
        values = np.frombuffer(self._weights[start : start + size], dtype=_TYPES[data["element_type"]])
        self._constants[number] = values.reshape(_numbers(data["shape"])).astype(np.float32)

    def _convert(self, number: str, data: Mapping[str, str], inputs: list[str]) -> None:
        if inputs[0] not in self._constants or data["destination_type"] != "f32":
            raise ModelUnsupported("A conversion between types is not known here", why="it is not one of weights")
        self._constants[number] = self._constants[inputs[0]]

    def _convolution(self, number: str, data: Mapping[str, str], inputs: list[str]) -> None:
        kernels, groups = self._constants[inputs[1]], 1
        if kernels.ndim == 5:
            groups = len(kernels)
            kernels = kernels.reshape(-1, *kernels.shape[2:])
        self._constants[inputs[1]] = kernels
        sizes = {"kernel_shape": kernels.shape[2:], "dilations": _numbers(data["dilations"])}
        self._keep(number, "Conv", inputs, group=groups, **sizes, **_placed(data))

    def _add(self, number: str, _: Mapping[str, str], inputs: list[str]) -> None:
        maker, bias = self._nodes.get(inputs[0]), self._constants.get(inputs[1])
        is_bias = maker is not None and maker.op_type == "Conv" and len(maker.input) == 2 and bias is not None
        if maker is None or bias is None or not is_bias or self._uses[inputs[0]] > 1:
            self._keep(number, "Add", inputs)
            return
        self._constants[inputs[1]] = bias.reshape(-1)
        maker.input.append(self._name(inputs[1]))
        self._names[number] = self._name(inputs[0])

    def _prelu(self, number: str, _: Mapping[str, str], inputs: list[str]) -> None:
        self._constants[inputs[1]] = self._constants[inputs[1]].reshape(-1, 1, 1)
        self._keep(number, "PRelu", inputs)

    def _average(self, number: str, data: Mapping[str, str], inputs: list[str]) -> None:
        if data.get("rounding_type", "floor") != "floor":
            raise ModelUnsupported(f"Pooling that rounds by {data['rounding_type']} is not known here")
        padded = int(data["exclude-pad"] == "false")
        kernel = _numbers(data["kernel"])
        self._keep(number, "AveragePool", inputs, kernel_shape=kernel, count_include_pad=padded, **_placed(data))

    def _end(self, _: str, __: Mapping[str, str], inputs: list[str]) -> None:
        self._result = inputs[0]

    def _keep(self, number: str, kind: str, inputs: Sequence[str], **attributes: int | Sequence[int]) -> None:
        self._names[number] = f"v{number}"
        node = helper.make_node(kind, list(map(self._name, inputs)), [f"v{number}"])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in sorted(attributes.items()))
        self._nodes[number] = node

    def _name(self, number: str) -> str:
        return f"c{number}" if number in self._constants else self._names[number]

    def _finish(self) -> onnx.ModelProto:
        if not self._result or len(self._image) != 4:
            raise ModelUnsupported("The network does not turn one picture into one vector")
        nodes = list(self._nodes.values())
        nodes.append(helper.make_node("Flatten", [self._name(self._result)], [_OUTPUT], axis=1))
        used = {name for node in nodes for name in node.input}
        constants = [
            numpy_helper.from_array(np.ascontiguousarray(values), f"c{number}")
            for number, values in self._constants.items()
            if f"c{number}" in used
        ]
        image = helper.make_tensor_value_info(_INPUT, TensorProto.FLOAT, ["batch", *self._image[1:]])
        vector = helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, ["batch", None])
        graph = helper.make_graph(nodes, "from-openvino-ir", [image], [vector], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part.strip())


def _placed(data: Mapping[str, str]) -> dict[str, Sequence[int]]:
    """Where a kernel is laid: strides and what is added around the picture."""
    if data.get("auto_pad", "explicit") != "explicit":
        raise ModelUnsupported(f"Padding {data['auto_pad']} is not known here")
    pads = _numbers(data["pads_begin"]) + _numbers(data["pads_end"])
    return {"strides": _numbers(data["strides"]), "pads": pads}
