"""From the weights of a checkpoint to the layers of an ONNX graph, with an account of what did not fit."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from facepool.errors import ModelCorrupt, ModelUnsupported

Weights = npt.NDArray[np.float64]

Attributes = Mapping[str, int | float | str | list[int]]

_OPSET = 17
_IR_VERSION = 8
"""The file format that came with the operator set, so that engines of the same age can read it."""

_EPSILON = 1e-5
"""PyTorch's default for batch normalization, which both networks keep."""

_SHOWN = 4


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Batch normalization at inference: x * scale + shift for each channel.

    Attributes:
        scale: (C,) float64.
        shift: (C,) float64.
    """

    scale: Weights
    shift: Weights


class StateDict:
    """Hands out weights and remembers what was asked for.

    A key that is missing or misshapen gives zeros, so that a graph can be laid out to its end and ``check`` can name
    everything that is wrong at once.

    Args:
        tensors: Arrays by key.
        name: What to call the checkpoint in errors.
    """

    def __init__(self, tensors: Mapping[str, npt.NDArray[Any]], name: str) -> None:
        self._tensors = tensors
        self._name = name
        self._taken: set[str] = set()
        self._misfits: list[str] = []

    def __iter__(self) -> Iterator[str]:
        """The keys, in the file's order."""
        return iter(self._tensors)

    def rows(self, key: str, *, default: int) -> int:
        """Length of a tensor's first axis; the default where there is no such tensor."""
        tensor = self._tensors.get(key)
        return default if tensor is None or tensor.ndim == 0 else len(tensor)

    def take(self, key: str, shape: tuple[int, ...]) -> Weights:
        """A tensor as float64.

        Args:
            key: Its name.
            shape: The shape that the network's layout asks for.

        Raises:
            ModelCorrupt: It holds NaN or infinity.
        """
        self._taken.add(key)
        tensor = self._tensors.get(key)
        if tensor is None:
            self._misfits.append(f"{key} is missing")
            return np.zeros(shape)
        if tensor.shape != shape:
            self._misfits.append(f"{key} is {tensor.shape} instead of {shape}")
            return np.zeros(shape)
        if not np.isfinite(tensor).all():
            raise ModelCorrupt(f"{self._name} holds NaN or infinity", why=f"in {key}", fix="Fetch or train it again")
        return tensor.astype(np.float64)

    def take_batch_norm(self, key: str, channels: int) -> BatchNorm:
        """The four tensors of a batch normalization (weight, bias, running_mean, running_var) in one.

        Raises:
            ModelCorrupt: NaN, infinity or a negative variance.
        """
        weight, bias, mean, variance = (
            self.take(f"{key}.{part}", (channels,)) for part in ("weight", "bias", "running_mean", "running_var")
        )
        if (variance < 0).any():
            raise ModelCorrupt(f"{self._name} holds a negative variance", why=f"in {key}", fix="Fetch it again")
        scale = weight / np.sqrt(variance + _EPSILON)
        return BatchNorm(scale, bias - mean * scale)

    def check(self, layout: str) -> None:
        """Refuse a checkpoint of which something was missing, misshapen or left over.

        Args:
            layout: The network that it was taken for.

        Raises:
            ModelUnsupported: Names the first few keys.
        """
        surplus = [f"{key} is not part of it" for key in self._tensors if not self._is_accounted_for(key)]
        misfits = self._misfits + surplus
        if not misfits:
            return
        raise ModelUnsupported(
            f"{self._name} looks like {layout} and is not",
            why=f"{shorten(misfits)} ({len(self._misfits)} missing or misshapen, {len(surplus)} unexpected keys)",
            fix="Export any other network to ONNX and import it: facepool models import",
        )

    def _is_accounted_for(self, key: str) -> bool:
        return key in self._taken or key.endswith(".num_batches_tracked")


def shorten(items: Iterable[str]) -> str:
    """The first few, for people to read."""
    shown = list(itertools.islice(items, _SHOWN + 1))
    return ", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "")


@dataclass(frozen=True, slots=True)
class Feature:
    """A value of the graph, (N, channels, height, width)."""

    name: str
    channels: int


class GraphWriter:
    """Adds one layer at a time; each method gives the value that the layer puts out.

    Args:
        weights: Where the layers' weights are taken from.
        channels: Planes of the input.
        size_hw: Height and width of the input, a name where it is free.
    """

    def __init__(self, weights: StateDict, *, channels: int, size_hw: tuple[int | str, int | str]) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._input = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", channels, *size_hw])
        self.input = Feature("input", channels)

    def conv(
        self,
        x: Feature,
        key: str,
        channels: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        norm_key: str | None = None,
    ) -> Feature:
        """Convolution with zero padding that keeps the size at stride 1.

        Args:
            x: Its input.
            key: Prefix of its weight.
            channels: Planes of its output.
            kernel: Side of its window, odd.
            stride: Step in both directions.
            groups: 1, or as many as there are planes for a depthwise convolution.
            norm_key: Prefix of the batch normalization that follows it, which is folded in; None for a convolution with
                a bias of its own.
        """
        weight = self._weights.take(f"{key}.weight", (channels, x.channels // groups, kernel, kernel))
        if norm_key is None:
            bias = self._weights.take(f"{key}.bias", (channels,))
        else:
            norm = self._weights.take_batch_norm(norm_key, channels)
            weight, bias = weight * norm.scale[:, None, None, None], norm.shift
        pads = [kernel // 2] * 4
        attributes: Attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": pads, "group": groups}
        return self._add("Conv", [x, self.constant(weight), self.constant(bias)], channels, attributes)

    def conv_without_bias(self, x: Feature, key: str, channels: int) -> Feature:
        """3x3 convolution of stride 1, zero-padded, that has neither bias nor normalization."""
        weight = self._weights.take(f"{key}.weight", (channels, x.channels, 3, 3))
        return self._add("Conv", [x, self.constant(weight)], channels, {"kernel_shape": [3, 3], "pads": [1] * 4})

    def batch_norm(self, x: Feature, key: str) -> Feature:
        """Batch normalization as a layer, where it cannot be folded: in front of a zero-padded convolution."""
        norm = self._weights.take_batch_norm(key, x.channels)
        # Mean and variance are already in scale and shift; some engines refuse an epsilon of 0.
        epsilon = 1e-5
        mean, variance = np.zeros(x.channels), np.full(x.channels, 1 - epsilon)
        parts = [self.constant(part) for part in (norm.scale, norm.shift, mean, variance)]
        return self._add("BatchNormalization", [x, *parts], x.channels, {"epsilon": epsilon})

    def prelu(self, x: Feature, key: str) -> Feature:
        """ReLU with a learned slope for each plane."""
        slope = self._weights.take(f"{key}.weight", (x.channels,))
        return self._add("PRelu", [x, self.constant(slope[:, None, None])], x.channels)

    def leaky_relu(self, x: Feature, slope: float) -> Feature:
        """ReLU with one fixed slope."""
        return self._add("LeakyRelu", [x], x.channels, {"alpha": slope})

    def relu(self, x: Feature) -> Feature:
        """Negative values become 0."""
        return self._add("Relu", [x], x.channels)

    def add(self, x: Feature, y: Feature) -> Feature:
        """Sum of two values of one shape."""
        return self._add("Add", [x, y], x.channels)

    def concat(self, parts: Sequence[Feature]) -> Feature:
        """The planes of several values, one after the other."""
        return self._add("Concat", list(parts), sum(part.channels for part in parts), {"axis": 1})

    def subsample(self, x: Feature, stride: int) -> Feature:
        """Every stride-th pixel."""
        return self._add("MaxPool", [x], x.channels, {"kernel_shape": [1, 1], "strides": [stride] * 2})

    def enlarge_to(self, x: Feature, like: Feature) -> Feature:
        """Nearest neighbour, as PyTorch picks it, to the height and width of another value."""
        planes = self.operator("Shape", [x.name], {"start": 0, "end": 2})
        size = self.operator("Shape", [like.name], {"start": 2})
        shape = self.operator("Concat", [planes, size], {"axis": 0})
        nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return Feature(self.operator("Resize", [x.name, "", "", shape], nearest), x.channels)

    def constant(self, values: npt.NDArray[np.float64] | npt.NDArray[np.int64]) -> str:
        """Store an array: float64 as float32, int64 as it is."""
        name = f"constant_{len(self._constants)}"
        stored = values.astype(np.float32) if values.dtype == np.float64 else values
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(stored), name))
        return name

    def operator(
        self, kind: str, inputs: Sequence[str], attributes: Attributes | None = None, *, output: str = ""
    ) -> str:
        """Add any ONNX operator with one output, and give that output's name."""
        name = output or f"{kind.lower()}_{len(self._nodes)}"
        node = helper.make_node(kind, inputs, [name], name=name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in (attributes or {}).items())
        self._nodes.append(node)
        return name

    def finish(self, outputs: Mapping[str, Sequence[int | str]]) -> onnx.ModelProto:
        """The checked model.

        Args:
            outputs: Shape of each output by name, in order.
        """
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
        graph = helper.make_graph(self._nodes, "facepool", [self._input], infos, self._constants)
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="facepool")
        onnx.checker.check_model(model)
        return model

    def _add(
        self, kind: str, inputs: Sequence[Feature | str], channels: int, attributes: Attributes | None = None
    ) -> Feature:
        names = [value.name if isinstance(value, Feature) else value for value in inputs]
        return Feature(self.operator(kind, names, attributes), channels)
