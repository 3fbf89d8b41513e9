"""Whether a graph is what its description says."""

from typing import NoReturn

from onnx import ModelProto

from facepool.errors import ModelUnsupported
from facepool.models.batch import Sides, free_batch, output_sides, sides, true_inputs
from facepool.models.describe import TEMPLATES, Description
from facepool.models.entries import Preparation
from facepool.models.prepare import parse
from facepool.models.specs import EmbedderSpec, RetinaFaceSpec

_BATCH = 2
"""Pictures to ask a graph about: what takes two takes any number, and a face is embedded with its mirror image."""


def check_fit(content: bytes, description: Description) -> Preparation:
    """Compare a graph with its description, and tell what it takes to run it.

    Raises:
        ModelUnsupported: It is no ONNX graph, does not do what the description says, or takes pictures of one fixed
            number or size where it must take any.
    """
    graph = parse(content)
    inputs = [sides(value) for value in true_inputs(graph)]
    if len(inputs) != 1 or len(inputs[0]) != 4 or inputs[0][1] not in (0, 3):
        _refuse(description, "it does not have one input of shape (N, 3, H, W)")
    if isinstance(description.spec, RetinaFaceSpec):
        _check_detector(graph, inputs[0], description, description.spec)
        return "none"
    if inputs[0][0] == 0:
        _check_embedder(graph, inputs[0], description, description.spec)
        return "none"
    _check_embedder(parse(free_batch(content)), inputs[0], description, description.spec)
    return "free-batch"


def _check_embedder(graph: ModelProto, image: Sides, description: Description, spec: EmbedderSpec) -> None:
    side = TEMPLATES[spec.template]
    if any(given not in (0, side) for given in image[2:]):
        _refuse(description, f"it takes pictures of {image[3]}x{image[2]}, and faces come as {side}x{side}")
    found = _output_sides(graph, (_BATCH, 3, side, side), description)[graph.graph.output[0].name]
    if _agree(found, (_BATCH, spec.dimension)):
        return
    if len(found) == 2 and found[0] in (0, _BATCH):
        _refuse(description, f"`embed.dimension` is {spec.dimension}, but its first output is {found[1]} wide")
    _refuse(
        description,
        f"two pictures at once give an output of shape {found}, not {(_BATCH, spec.dimension)}",
        "Export it with a dynamic batch and one vector a picture as its first output",
    )


def _check_detector(graph: ModelProto, image: Sides, description: Description, spec: RetinaFaceSpec) -> None:
    names = [value.name for value in graph.graph.output]
    missing = sorted(set(spec.outputs) - set(names))
    if missing:
        _refuse(description, f"`detect.outputs` names {', '.join(missing)}, but it has {', '.join(names)}")
    if any((image[0], *image[2:])):
        shape = ", ".join(str(given or "free") for given in image)
        _refuse(description, f"its input is fixed to ({shape})", "Export it with a dynamic batch, height and width")
    height, width = 2 * max(spec.strides), 3 * max(spec.strides)
    levels = zip(spec.strides, spec.prior_sizes, strict=True)
    priors = sum((height // stride) * (width // stride) * len(sizes) for stride, sizes in levels)
    found = _output_sides(graph, (_BATCH, 3, height, width), description)
    for name, values in zip(spec.outputs, (4, 2, 10), strict=True):
        wanted = (_BATCH, priors, values)
        if not _agree(found[name], wanted):
            _refuse(
                description,
                f"for two pictures of {width}x{height}, {name} has the shape {found[name]}, not {wanted}",
                "Correct `detect.outputs`, `detect.strides` or `detect.prior_sizes`",
            )


def _output_sides(graph: ModelProto, image: Sides, description: Description) -> dict[str, Sides]:
    try:
        return output_sides(graph, image)
    except ModelUnsupported as error:
        _refuse(
            description, f"it does not take two pictures at once: {error.why}", "Export it with a dynamic batch", error
        )


def _agree(found: Sides, wanted: Sides) -> bool:
    """Whether two shapes are the same, as far as shape inference could tell; no sides at all mean it could not."""
    return not found or (len(found) == len(wanted) and all(a in (0, b) for a, b in zip(found, wanted, strict=True)))


def _refuse(description: Description, why: str, fix: str = "", cause: Exception | None = None) -> NoReturn:
    raise ModelUnsupported(f"{description.file} does not fit its description", why=why, fix=fix) from cause
