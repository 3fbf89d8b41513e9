"""A RetinaFace graph that ends where its heads do: the caller reads what they say where faces may be.

As published, a graph goes on from there: it brings the maps of nine small convolutions into rows of one order, glues
the rows of all levels together, and takes a softmax over two numbers of every prior, 12,600 times for a picture of
640x480 in which one face is. That is a tenth of its time and more. ``expose_heads`` cuts all of it off and makes one
convolution of the three heads of a level, which read the same numbers: ``facepool.faces.proposals`` reads its map.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from facepool.errors import ModelUnsupported
from facepool.models.catalog import HEAD_VALUES, RetinaFaceSpec
from facepool.models.graphs import constants_of, keep, parse, true_inputs
from facepool.types import Floats

_TOLERANCE = 1e-3
"""Largest allowed difference of deltas and logits; float32 rounding stays well below."""

_CHANNELS_LAST = [0, 2, 3, 1]
"""The permutation that brings a map's channels to the end."""


@dataclass(frozen=True, slots=True)
class _Heads:
    """The convolutions that a graph's three outputs come from.

    Attributes:
        scores: One a level, likewise the others.
        softmax: Whether the graph makes probabilities of the scores.
    """

    scores: Sequence[NodeProto]
    boxes: Sequence[NodeProto]
    landmarks: Sequence[NodeProto]
    softmax: bool


def expose_heads(original: bytes, spec: RetinaFaceSpec) -> bytes:
    """Let a graph give its heads' maps, one a level, in place of rows.

    Args:
        original: An ONNX file that gives the spec's outputs, with scores before or after the softmax.
        spec: Its outputs, strides and priors.

    Returns:
        An ONNX file with an output a level, ``spec.head_outputs``: (N, P * 16, H / stride, W / stride) for P priors a
        cell, as ``facepool.faces.proposals`` takes them. The original where its heads are laid out in another way, or
        where layers of one engine alone are in it, so that the two cannot be compared.

    Raises:
        ModelUnsupported: The file is no ONNX graph, or the new one does not compute the same.
    """
    model = parse(original)
    heads = _find_heads(model, spec)
    if heads is None:
        return original
    arrays = {name: numpy_helper.to_array(tensor) for name, tensor in constants_of(model).items()}
    # Exports store equal weights once and name them several times.
    arrays |= {
        n.output[0]: arrays[n.input[0]] for n in model.graph.node if n.op_type == "Identity" and n.input[0] in arrays
    }
    merged = [
        _merge(level, output, arrays)
        for *level, output in zip(heads.scores, heads.boxes, heads.landmarks, spec.head_outputs, strict=True)
    ]
    if any(made is None for made in merged):
        return original
    _end_at(model, [made for made in merged if made is not None], spec)
    try:
        _check_equal(parse(original), model, spec, softmax=heads.softmax)
    except NotImplementedError:
        return original
    return bytes(model.SerializeToString(deterministic=True))


def _find_heads(model: ModelProto, spec: RetinaFaceSpec) -> _Heads | None:
    makers = {output: node for node in model.graph.node for output in node.output}
    boxes, scores, landmarks = (makers.get(name) for name in spec.outputs)
    softmax = scores is not None and scores.op_type == "Softmax"
    if scores is not None and softmax:
        scores = makers.get(scores.input[0])
    levels = len(spec.strides)
    of_scores, of_boxes, of_landmarks = (_convolutions(node, makers, levels) for node in (scores, boxes, landmarks))
    if of_scores is None or of_boxes is None or of_landmarks is None:
        return None
    return _Heads(of_scores, of_boxes, of_landmarks, softmax)


def _convolutions(joined: NodeProto | None, makers: dict[str, NodeProto], levels: int) -> list[NodeProto] | None:
    """What the rows of each level are made of; None where they are made in another way."""
    if joined is None or joined.op_type != "Concat" or len(joined.input) != levels:
        return None
    found = []
    for name in joined.input:
        rows = makers.get(name)
        last = makers.get(rows.input[0]) if rows is not None and rows.op_type == "Reshape" else None
        planes = makers.get(last.input[0]) if last is not None and _brings_channels_last(last) else None
        if planes is None or planes.op_type != "Conv":
            return None
        found.append(planes)
    return found


def _brings_channels_last(node: NodeProto) -> bool:
    return node.op_type == "Transpose" and list(helper.get_node_attr_value(node, "perm")) == _CHANNELS_LAST


def _merge(
    convolutions: Sequence[NodeProto], output: str, arrays: dict[str, npt.NDArray[np.generic]]
) -> tuple[NodeProto, list[TensorProto]] | None:
    """One convolution for three that read the same and differ in their weights only; None where they do not."""
    first = convolutions[0]
    alike = all(other.input[0] == first.input[0] and _settings(other) == _settings(first) for other in convolutions)
    if not alike or any(len(other.input) != 3 or not set(other.input[1:]) <= set(arrays) for other in convolutions):
        return None
    weight, bias = (np.concatenate([arrays[other.input[place]] for other in convolutions]) for place in (1, 2))
    names = f"{output}_weight", f"{output}_bias"
    made = helper.make_node("Conv", [first.input[0], *names], [output], name=output)
    made.attribute.extend(first.attribute)
    tensors = [
        numpy_helper.from_array(np.asarray(array), name) for array, name in zip((weight, bias), names, strict=True)
    ]
    return made, tensors


def _settings(node: NodeProto) -> list[bytes]:
    return sorted(item.SerializeToString(deterministic=True) for item in node.attribute)


def _end_at(model: ModelProto, merged: Sequence[tuple[NodeProto, list[TensorProto]]], spec: RetinaFaceSpec) -> None:
    """Make these the graph's last nodes and outputs, and drop all that no longer leads anywhere."""
    graph = model.graph
    graph.node.extend(node for node, _ in merged)
    graph.initializer.extend(tensor for _, tensors in merged for tensor in tensors)
    used = set(_needed(graph.node, spec.head_outputs))
    keep(graph.node, [node for node in graph.node if not used.isdisjoint(node.output)])
    keep(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in used])
    keep(graph.input, [value for value in graph.input if value.name in used])
    del graph.value_info[:], graph.output[:]
    for (node, tensors), stride in zip(merged, spec.strides, strict=True):
        shape = ["batch", tensors[0].dims[0], f"rows_{stride}", f"columns_{stride}"]
        graph.output.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, shape))
    checker.check_model(model, full_check=True)


def _needed(nodes: Iterable[NodeProto], outputs: Iterable[str]) -> Iterator[str]:
    """Names of all values that some outputs depend on, and theirs."""
    makers = {output: node for node in nodes for output in node.output}
    seen: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        if name in makers:
            waiting += makers[name].input


def _check_equal(before: ModelProto, after: ModelProto, spec: RetinaFaceSpec, *, softmax: bool) -> None:
    """Run both on the same noise and compare row by row."""
    (image,) = true_inputs(before)
    side = max(spec.strides)
    noise = np.random.default_rng(0).uniform(-128, 128, (1, 3, side, 2 * side)).astype(np.float32)
    boxes, scores, landmarks = _run(before, spec.outputs, image.name, noise)
    maps = _run(after, spec.head_outputs, image.name, noise)
    found = rows_of(maps)
    logits = np.log(np.maximum(scores, np.finfo(np.float32).tiny)) if softmax else scores
    wanted = np.concatenate([np.diff(logits, axis=2), boxes, landmarks], axis=2)
    difference = np.abs(np.concatenate([np.diff(found[..., :2], axis=2), found[..., 2:]], axis=2) - wanted)
    if not float((difference / np.maximum(1, np.abs(wanted))).max()) < _TOLERANCE:
        raise ModelUnsupported(
            "Ending the graph at its heads changed what it computes", why=f"outputs differ by {difference.max():.1e}"
        )


def rows_of(maps: Sequence[Floats]) -> Floats:
    """All that maps of the heads say, (N, A, 16): scores before the softmax, box and landmarks of every prior."""
    return np.concatenate([_rows(level) for level in maps], axis=1)


def _rows(level: Floats) -> Floats:
    count = level.shape[1] // sum(HEAD_VALUES)
    parts = np.split(level, np.cumsum([count * values for values in HEAD_VALUES])[:-1], axis=1)
    each = [part.transpose(0, 2, 3, 1).reshape(len(level), -1, v) for part, v in zip(parts, HEAD_VALUES, strict=True)]
    return np.concatenate(each, axis=2)


def _run(model: ModelProto, outputs: Sequence[str], name: str, image: Floats) -> list[Floats]:
    return cast("list[Floats]", ReferenceEvaluator(model).run(list(outputs), {name: image}))
