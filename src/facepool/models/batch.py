"""How many pictures a graph takes at once, and the freedom to take any number where its export fixed one."""

from collections.abc import Iterable
from copy import deepcopy

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper, shape_inference

from facepool.errors import ModelUnsupported
from facepool.models.prepare import parse

Sides = tuple[int, ...]
"""Sides of a tensor, 0 where they are free or unknown."""


def free_batch(original: bytes) -> bytes:
    """Let a graph that was exported for one fixed number of pictures take any; the same bytes for the same original.

    Exports write the number into the shapes of input and output, and into reshapes such as (1, -1). Whether that
    was all of it is for ``output_sides`` to tell.

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


def output_sides(model: ModelProto, image_sides: Sides) -> dict[str, Sides]:
    """The shape of each output for an input of the given shape, by shape inference.

    Raises:
        ModelUnsupported: The graph does not take such an input.
    """
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
        raise ModelUnsupported(
            f"The graph does not take an input of shape {image_sides}", why=str(error).splitlines()[-1]
        ) from error
    return {value.name: sides(value) for value in inferred.graph.output}


def true_inputs(model: ModelProto) -> list[ValueInfoProto]:
    """The inputs without the weights, which older exports declare as inputs, too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def sides(value: ValueInfoProto) -> Sides:
    """The shape that a graph states."""
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _free_reshapes(model: ModelProto, image: ValueInfoProto) -> None:
    """Have each reshape of what comes from the image take over the batch, if it names its fixed number."""
    graph, fixed = model.graph, sides(image)[0]
    shapes = {tensor.name: tensor for tensor in graph.initializer} | _constants(graph.node)
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


def _constants(nodes: Iterable[NodeProto]) -> dict[str, TensorProto]:
    values = {node.output[0]: node.attribute[0].t for node in nodes if node.op_type == "Constant"}
    return {name: tensor for name, tensor in values.items() if tensor.data_type == TensorProto.INT64}
