"""From a PyTorch checkpoint of the original project to an ONNX file, made once and kept.

``StateDict`` hands out the weights with an account of what did not fit, ``GraphWriter`` writes layers, and two
functions lay out the two networks:

- RetinaFace with a MobileNet-0.25 body: Deng et al., "RetinaFace: Single-shot Multi-level Face Localisation in the
  Wild", CVPR 2020. Body, pyramid (FPN), context modules (SSH) and heads are laid out as in ``mobilenet_header.pth`` of
  Pytorch_Retinaface.
- IR embedders (the "improved residual" network of ArcFace), in face.evoLVe's layout: Deng et al., "ArcFace: Additive
  Angular Margin Loss for Deep Face Recognition", CVPR 2019, section 3.2.2. The number of units and planes is read off
  the weights, so IR-50 (24 units) and its deeper sisters are one function.

Batch normalization is folded into convolutions where that is exact; the one in front of each zero-padded convolution of
an IR unit stays a layer, because the padding would have to be normalized with it.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from facepool.errors import ModelCorrupt, ModelUnavailable, ModelUnsupported, PathMissing
from facepool.files import digest_of, write_whole
from facepool.models.catalog import EmbedderSpec, InstalledModel, Licence, ModelEntry, NetworkSpec, RetinaFaceSpec, Task
from facepool.models.checkpoints.torch_file import is_checkpoint, read_state_dict
from facepool.models.heads import expose_heads

_VERSION = 2
"""Part of the cached file's name: raise it when the graphs that are written change."""

_EXPECTED = (
    "facepool converts RetinaFace MobileNet-0.25 (keys body.stage1.0.0.weight, fpn.output1.0.weight, "
    "ClassHead.0.conv1x1.weight) and IR embedders (input_layer.0.weight, body.0.res_layer.1.weight, "
    "output_layer.3.weight)"
)

_MAKERS_TERMS = Licence(
    name="as its maker states", url="", restricts_use=False, summary="A file of yours; its maker's terms hold."
)

Weights = npt.NDArray[np.float64]

Attributes = Mapping[str, int | float | str | list[int]]

_OPSET = 17
_IR_VERSION = 8
"""The file format that came with the operator set, so that engines of the same age can read it."""

_EPSILON = 1e-5
"""PyTorch's default for batch normalization, which both networks keep."""

_SHOWN = 4

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


def convert_checkpoint(path: Path, cache_dir: Path) -> InstalledModel:
    """Turn a PyTorch checkpoint into ONNX, or find what an earlier call made of the same bytes.

    Needs no PyTorch and runs nothing that the file contains.

    Args:
        path: ``mobilenet_header.pth`` (RetinaFace MobileNet-0.25) or an IR embedder in face.evoLVe's layout, under
            any name.
        cache_dir: Where the ONNX file is kept, under the checkpoint's digest; made if missing. A damaged ONNX file is
            made again.

    Returns:
        The model, called as the file; its entry's spec says whether it is a detector or an embedder.

    Raises:
        PathMissing: There is no such file.
        ModelUnavailable: It cannot be read.
        ModelCorrupt: It is damaged or cut short.
        ModelUnsupported: It is no checkpoint, or of another network.
        NotWritable, DiskFull: The ONNX file cannot be kept.
    """
    content = _read(path)
    sha256 = hashlib.sha256(content).hexdigest()
    weights = StateDict(read_state_dict(content, path.name), path.name)
    spec, build = _recognize(weights, path.name)
    graph = cache_dir / f"{sha256}.v{_VERSION}.onnx"
    if not _is_intact(graph):
        written = build(weights)
        write_whole(graph, written)
        write_whole(_digest_file(graph), hashlib.sha256(written).hexdigest().encode())
    task: Task = "detect" if isinstance(spec, RetinaFaceSpec) else "embed"
    entry = ModelEntry(path.name, task, sha256, len(content), _MAKERS_TERMS, (), "none", spec)
    return InstalledModel(entry, graph)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(4)
            # Whatever was named by mistake, a video say, is not read to its end.
            return head + file.read() if is_checkpoint(head) else head
    except FileNotFoundError as error:
        raise PathMissing(f"The checkpoint {path} does not exist", fix="Check the path") from error
    except OSError as error:
        raise ModelUnavailable(f"The checkpoint {path} cannot be read", why=error.strerror or str(error)) from error


def _digest_file(graph: Path) -> Path:
    return graph.with_suffix(".sha256")


def _is_intact(graph: Path) -> bool:
    """Whether a graph of an earlier call is there, with the bytes that were written."""
    try:
        return _digest_file(graph).read_bytes() == digest_of(graph).encode()
    except OSError:
        return False


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


def _write_retinaface(weights: StateDict) -> bytes:
    """The detector's file, as the store has those of other detectors."""
    return expose_heads(build_retinaface(weights).SerializeToString(), RETINAFACE_SPEC)


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


def _recognize(weights: StateDict, name: str) -> tuple[NetworkSpec, Callable[[StateDict], bytes]]:
    keys = set(weights)
    if "body.stage1.0.0.weight" in keys:
        return RETINAFACE_SPEC, _write_retinaface
    if "input_layer.0.weight" in keys:
        if any(".res_layer.5." in key for key in keys):
            raise ModelUnsupported(f"{name} is an IR-SE embedder, which is not supported", why=_EXPECTED)
        return ir_spec_of(weights), lambda checked: build_ir_embedder(checked).SerializeToString()
    if any(key.startswith("body.layer1.") for key in keys):
        raise ModelUnsupported(
            f"{name} is a RetinaFace with a ResNet-50 body, which is not supported",
            why=_EXPECTED,
            fix="Use mobilenet_header.pth, or export it to ONNX and import it: facepool models import",
        )
    if {"stage1.0.0.weight", "fc.weight"} <= keys:
        raise ModelUnsupported(
            f"{name} holds only the body that the detector's training started from",
            fix="Give mobilenet_header.pth, which holds all weights; this file is not needed",
        )
    raise ModelUnsupported(f"{name} is a checkpoint of another network: it has {shorten(weights)}", why=_EXPECTED)
