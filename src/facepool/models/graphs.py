"""What happens to ONNX files before they run: published ones are cleaned up, imported ones compared with what they say.

SFace comes with 8-bit weights that each call turns back into floats, with its weights declared as inputs, and with
batch normalization beside the convolutions that it could be part of. ``clean`` gives the same embeddings several times
faster: float32 weights, one input, any batch size, nothing done twice. Every step is exact up to float32 rounding, and
the result is checked by running both graphs. ``free_batch`` and ``check_fit`` serve models that users bring.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from copy import deepcopy
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from facepool.errors import ModelUnsupported
from facepool.geometry import TEMPLATES
from facepool.models.catalog import EmbedderSpec, NetworkSpec, PadSpec, Preparation, RetinaFaceSpec
from facepool.types import Floats

_TOLERANCE = 1e-4
"""Largest allowed difference of unit-length outputs; float32 rounding stays well below."""

_BATCH = 2
"""Pictures to ask a graph about: what takes two takes any number, and a face is embedded with its mirror image."""

Sides = tuple[int, ...]
"""Sides of a tensor, 0 where they are free or unknown."""

_Array = npt.NDArray[np.generic]
_Item = TypeVar("_Item")


def clean(original: bytes) -> bytes:
    """Dequantize, fold and free the batch of a graph with one image input and one output.

    Args:
        original: The ONNX file as published: input (1, C, H, W) float32.

    Returns:
        An ONNX file with input (batch, C, H, W), the same bytes for the same original.

    Raises:
        ModelUnsupported: The file is no ONNX graph of that kind, or cleaning changed what it computes.
    """
    model = parse(original)
    cleaner = _Cleaner(model)
    cleaner.fold_constants()
    cleaner.drop_dropout()
    cleaner.fold_batch_normalization()
    cleaner.finish()
    _check_equal(parse(original), model)
    return bytes(model.SerializeToString(deterministic=True))


def check_proof(content: bytes, proof: Sequence[float]) -> bytes:
    """The graph itself, if it gives the vector that its original gives.

    Args:
        content: An ONNX file that takes a picture and gives a vector.
        proof: The first numbers of the unit vector for ``proof_picture``; none: nothing is checked.

    Raises:
        ModelUnsupported: It gives others.
    """
    if not proof:
        return content
    model = parse(content)
    (image,) = true_inputs(model)
    outputs = cast("list[Floats]", ReferenceEvaluator(model).run(None, {image.name: proof_picture(_sides(image)[2])}))
    given = outputs[0].reshape(-1)
    apart = float(np.abs(given[: len(proof)] / np.linalg.norm(given) - proof).max())
    if apart > _TOLERANCE:
        raise ModelUnsupported(
            "Converting the graph changed what it computes", why=f"a vector differs by {apart:.2g} from the original's"
        )
    return content


def proof_picture(side: int) -> Floats:
    """(1, 3, side, side) float32 in 0..255: three ramps, the same everywhere."""
    rows, columns = np.mgrid[:side, :side]
    ramps = np.stack([3 * rows + columns, rows + 2 * columns, 5 * rows + 7 * columns])
    return (ramps % 256).astype(np.float32)[np.newaxis]


def parse(content: bytes) -> ModelProto:
    """The graph in an ONNX file.

    Raises:
        ModelUnsupported: It is none.
    """
    try:
        onnx.checker.check_model(content)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ModelUnsupported("The file is no valid ONNX graph", why=str(error).splitlines()[0]) from error
    return onnx.load_model_from_string(content)


class _Cleaner:
    """Rewrites one graph in place; constants are kept as arrays until ``finish``."""

    def __init__(self, model: ModelProto) -> None:
        self._model = model
        self._graph = model.graph
        self._constants: dict[str, _Array] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }

    def fold_constants(self) -> None:
        """Compute what does not depend on the input: dequantization, reshapes of weights."""
        kept = []
        for node in self._graph.node:
            if all(name in self._constants for name in node.input):
                self._constants |= self._evaluate(node)
            else:
                kept.append(node)
        self._replace_nodes(kept)

    def drop_dropout(self) -> None:
        """Dropout does nothing when a network is used."""
        outputs = {value.name for value in self._graph.output}
        dropped = [n for n in self._graph.node if n.op_type == "Dropout" and n.output[0] not in outputs]
        renamed: dict[str, str] = {}
        for node in dropped:
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
        for node in self._graph.node:
            for position, name in enumerate(node.input):
                node.input[position] = renamed.get(name, name)
        self._replace_nodes(node for node in self._graph.node if node not in dropped)

    def fold_batch_normalization(self) -> None:
        """Make it part of the Conv or Gemm just before it. Elsewhere it stays: zero padding lies in between."""
        makers = {output: node for node in self._graph.node for output in node.output}
        uses = Counter(name for node in self._graph.node for name in node.input)
        kept = []
        for node in self._graph.node:
            maker = makers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
            if maker is None or uses[node.input[0]] > 1 or not self._scale_and_shift(maker, node):
                kept.append(node)
        self._replace_nodes(kept)

    def finish(self) -> None:
        """Write the constants that are in use, keep true inputs only, let the batch be any size."""
        graph = self._graph
        used = [name for name in dict.fromkeys(n for node in graph.node for n in node.input) if name in self._constants]
        inputs = [value for value in graph.input if value.name not in self._constants and self._is_used(value.name)]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise ModelUnsupported(
                "The graph cannot be cleaned up", why=f"it has {len(inputs)} inputs and {len(graph.output)} outputs"
            )
        del graph.initializer[:], graph.value_info[:]
        graph.initializer.extend(numpy_helper.from_array(self._constants[name], name) for name in used)
        keep(graph.input, inputs)
        for value in (*graph.input, *graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
        onnx.checker.check_model(self._model, full_check=True)

    def _is_used(self, name: str) -> bool:
        return any(name in node.input for node in self._graph.node)

    def _evaluate(self, node: NodeProto) -> dict[str, _Array]:
        feeds = {name: self._constants[name] for name in node.input}
        typed = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in feeds.items()
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
        graph = helper.make_graph([node], "constant", typed, outputs)
        values = _run(ReferenceEvaluator(helper.make_model(graph, opset_imports=self._model.opset_import)), feeds)
        return dict(zip(node.output, values, strict=True))

    def _scale_and_shift(self, maker: NodeProto, norm: NodeProto) -> bool:
        """Multiply a Conv's or Gemm's weights such that it gives the normalized output; False where that is inexact."""
        parameters = [self._constants.get(name) for name in (*norm.input[1:], *maker.input[1:])]
        if any(array is None for array in parameters) or not _is_plain(maker):
            return False
        gamma, beta, mean, variance, weight, *bias = (np.asarray(array, np.float64) for array in parameters)
        scale = gamma / np.sqrt(variance + _attribute(norm, "epsilon", 1e-5))
        shift = beta + ((bias[0] if bias else 0.0) - mean) * scale
        columns = maker.op_type == "Gemm" and not _attribute(maker, "transB", 0)
        shape = (1, -1) if columns else (-1, *[1] * (weight.ndim - 1))
        output = norm.output[0]
        self._constants[f"{output}_weight"] = (weight * scale.reshape(shape)).astype(np.float32)
        self._constants[f"{output}_bias"] = shift.astype(np.float32)
        keep(maker.input, [maker.input[0], f"{output}_weight", f"{output}_bias"])
        maker.output[0] = output
        return True

    def _replace_nodes(self, nodes: Iterable[NodeProto]) -> None:
        keep(self._graph.node, list(nodes))


def _is_plain(node: NodeProto) -> bool:
    """Whether a node is a convolution, or a product without factors of its own."""
    if node.op_type == "Gemm":
        return all(_attribute(node, name, 1.0) == 1.0 for name in ("alpha", "beta"))
    return node.op_type == "Conv"


def _attribute(node: NodeProto, name: str, default: float) -> float:
    found = next((helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)
    return float(found)


def keep(field: MutableSequence[_Item], items: Sequence[_Item]) -> None:
    """Make a repeated field of a protobuf message hold these items, which may come from itself."""
    copies = [deepcopy(item) for item in items]
    del field[:]
    field.extend(copies)


def _check_equal(before: ModelProto, after: ModelProto) -> None:
    """Run both on the same noise, the new graph on a batch."""
    value = after.graph.input[0]
    shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]
    images = np.random.default_rng(0).integers(0, 256, (_BATCH, *shape)).astype(np.float32)
    original = ReferenceEvaluator(before)
    one_by_one = np.concatenate([_run(original, {value.name: image[np.newaxis]})[0] for image in images])
    batched = _run(ReferenceEvaluator(after), {value.name: images})[0]
    difference = float(np.abs(_unit(one_by_one) - _unit(batched)).max())
    if not difference < _TOLERANCE:
        raise ModelUnsupported(
            "Cleaning up the graph changed what it computes", why=f"unit-length outputs differ by {difference:.1e}"
        )


def _run(evaluator: ReferenceEvaluator, feeds: Mapping[str, _Array]) -> list[_Array]:
    return cast("list[_Array]", evaluator.run(None, dict(feeds)))


def _unit(rows: _Array) -> Floats:
    values = np.asarray(rows, np.float32)
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))


def free_batch(original: bytes) -> bytes:
    """Let a graph that was exported for one fixed number of pictures take any; the same bytes for the same original.

    Exports write the number into the shapes of input and output, and into reshapes such as (1, -1). Whether that
    was all of it is for ``check_fit`` to find out.

    Raises:
        ModelUnsupported: The file is no ONNX graph.
    """
    model = parse(original)
    graph = model.graph
    (image,) = true_inputs(model)
    _free_reshapes(model, image)
    del graph.value_info[:]
    for value in (image, *graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return bytes(model.SerializeToString(deterministic=True))


def _free_reshapes(model: ModelProto, image: ValueInfoProto) -> None:
    """Have each reshape of what comes from the image take over the batch, if it names its fixed number."""
    graph, fixed = model.graph, _sides(image)[0]
    shapes = constants_of(model)
    from_image = {image.name}
    for node in graph.node:
        if from_image.isdisjoint(node.input):
            continue
        from_image.update(node.output)
        if node.op_type != "Reshape" or node.input[1] not in shapes:
            continue
        shape = np.array(numpy_helper.to_array(shapes[node.input[1]]))
        if shape.size and shape[0] == fixed:
            shape[0] = 0  # as many as there are
            name = f"{node.output[0]}_any_batch"
            graph.initializer.append(numpy_helper.from_array(shape, name))
            node.input[1] = name


def constants_of(model: ModelProto) -> dict[str, TensorProto]:
    """The tensors that a graph holds, as initializers and as nodes, by name."""
    nodes = [node for node in model.graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]
    return {t.name: t for t in model.graph.initializer} | {node.output[0]: node.attribute[0].t for node in nodes}


def check_fit(content: bytes, file: str, spec: NetworkSpec) -> Preparation:
    """Compare a graph with its description, and find out what it takes to run it.

    Args:
        content: The ONNX file.
        file: Its name, for messages.
        spec: What the description says of it.

    Raises:
        ModelUnsupported: It is no ONNX graph, does not do what the description says, or takes pictures of one fixed
            number or size where it must take any.
    """
    try:
        return _find_preparation(content, spec)
    except _Misfit as misfit:
        raise ModelUnsupported(f"{file} does not fit its description", why=misfit.why, fix=misfit.fix) from misfit


class _Misfit(Exception):
    """A graph does not do what its description says."""

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.fix = fix


def _find_preparation(content: bytes, spec: NetworkSpec) -> Preparation:
    graph = parse(content)
    inputs = [_sides(value) for value in true_inputs(graph)]
    if len(inputs) != 1 or len(inputs[0]) != 4 or inputs[0][1] not in (0, 3):
        raise _Misfit("it does not have one input of shape (N, 3, H, W)")
    if isinstance(spec, RetinaFaceSpec):
        _check_detector(graph, inputs[0], spec)
        return "heads"
    if inputs[0][0] == 0:
        _check_rows(graph, inputs[0], spec)
        return "none"
    _check_rows(parse(free_batch(content)), inputs[0], spec)
    return "free-batch"


def _check_rows(graph: ModelProto, image: Sides, spec: EmbedderSpec | PadSpec) -> None:
    """Of a network that takes squares of one size and gives a row of numbers for each."""
    if isinstance(spec, PadSpec):
        side, width, key = spec.side, spec.classes, "pad.classes"
    else:
        side, width, key = TEMPLATES[spec.template][1], spec.dimension, "embed.dimension"
    if any(given not in (0, side) for given in image[2:]):
        raise _Misfit(f"it takes pictures of {image[3]}x{image[2]}, and faces come as {side}x{side}")
    found = _output_sides(graph, (_BATCH, 3, side, side))[graph.graph.output[0].name]
    if _agree(found, (_BATCH, width)):
        return
    if len(found) == 2 and found[0] in (0, _BATCH):
        raise _Misfit(f"`{key}` is {width}, but its first output is {found[1]} wide")
    raise _Misfit(
        f"two pictures at once give an output of shape {found}, not {(_BATCH, width)}",
        "Export it with a dynamic batch and one row of numbers a picture as its first output",
    )


def _check_detector(graph: ModelProto, image: Sides, spec: RetinaFaceSpec) -> None:
    names = [value.name for value in graph.graph.output]
    missing = sorted(set(spec.outputs) - set(names))
    if missing:
        raise _Misfit(f"`detect.outputs` names {', '.join(missing)}, but it has {', '.join(names)}")
    if any((image[0], *image[2:])):
        shape = ", ".join(str(given or "free") for given in image)
        raise _Misfit(f"its input is fixed to ({shape})", "Export it with a dynamic batch, height and width")
    height, width = 2 * max(spec.strides), 3 * max(spec.strides)
    levels = zip(spec.strides, spec.prior_sizes, strict=True)
    priors = sum((height // stride) * (width // stride) * len(sizes) for stride, sizes in levels)
    found = _output_sides(graph, (_BATCH, 3, height, width))
    for name, values in zip(spec.outputs, (4, 2, 10), strict=True):
        wanted = (_BATCH, priors, values)
        if not _agree(found[name], wanted):
            raise _Misfit(
                f"for two pictures of {width}x{height}, {name} has the shape {found[name]}, not {wanted}",
                "Correct `detect.outputs`, `detect.strides` or `detect.prior_sizes`",
            )


def _output_sides(model: ModelProto, image_sides: Sides) -> dict[str, Sides]:
    """The shape of each output for an input of the given shape, by shape inference."""
    asked = deepcopy(model)
    graph = asked.graph
    (image,) = true_inputs(asked)
    image.type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, image_sides))
    del graph.value_info[:]
    for value in graph.output:  # what the export claims need not hold for this input
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = shape_inference.infer_shapes(asked, strict_mode=True, data_prop=True)
    except shape_inference.InferenceError as error:
        why = str(error).splitlines()[-1]
        raise _Misfit(f"it does not take two pictures at once: {why}", "Export it with a dynamic batch") from error
    return {value.name: _sides(value) for value in inferred.graph.output}


def true_inputs(model: ModelProto) -> list[ValueInfoProto]:
    """The inputs without the weights, which older exports declare as inputs, too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _sides(value: ValueInfoProto) -> Sides:
    """The shape that a graph states."""
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _agree(found: Sides, wanted: Sides) -> bool:
    """Whether two shapes are the same, as far as shape inference knows them; no sides at all mean that it does not."""
    return not found or (len(found) == len(wanted) and all(a in (0, b) for a, b in zip(found, wanted, strict=True)))
