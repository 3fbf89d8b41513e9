"""Converted networks against a NumPy forward pass, the pack's own graph, and the original checkpoint."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from facepool.errors import ModelCorrupt, ModelUnavailable, ModelUnsupported, NotWritable, PathMissing
from facepool.faces.detect import DetectOptions, RetinaFace
from facepool.geometry import iou
from facepool.models.catalog import EmbedderSpec, InstalledModel, RetinaFaceSpec
from facepool.models.checkpoints import convert
from facepool.models.checkpoints.convert import StateDict, convert_checkpoint
from facepool.models.checkpoints.torch_file import read_state_dict
from facepool.models.store import ModelStore
from facepool.runtime import Device, Runtime
from facepool.types import Floats
from support.checkpoint_files import FORMATS, Format, checkpoint
from support.paths import DATA
from support.reference_networks import Layers, ir_embedder, retinaface
from support.reference_runs import detector_rows

HEADER = DATA / "models/retinaface/mobilenet_header.pth"
BACKBONE = DATA / "models/retinaface/mobile_backbone.tar"

State = dict[str, npt.NDArray[np.float32]]
SPEC = RetinaFaceSpec()
PLANES = (4, 4, 6, 8, 10)
DIMENSION = 16


def pixels(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(3).uniform(-1, 1, shape).astype(np.float32)


def run(graph: Path, batch: npt.NDArray[np.float32], outputs: tuple[str, ...]) -> list[npt.NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(list(outputs), {"input": batch})]


def run_detector(graph: Path, batch: npt.NDArray[np.float32]) -> tuple[Floats, Floats, Floats]:
    """Boxes, probabilities and landmarks of every prior."""
    return detector_rows(run(graph, batch, SPEC.head_outputs))


def saved(folder: Path, state: State, layout: Format = "zip") -> Path:
    path = folder / "model.pth"
    path.write_bytes(checkpoint(state, layout))
    return path


@pytest.fixture(scope="module")
def detector_state() -> State:
    layers = Layers()
    retinaface(layers, np.zeros((1, 3, 32, 32)))
    return layers.state


@pytest.fixture(scope="module")
def embedder_state() -> State:
    layers = Layers()
    ir_embedder(layers, np.zeros((1, 3, 112, 112)), PLANES, DIMENSION)
    return layers.state


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("shape", [(1, 3, 64, 96), (2, 3, 75, 33)])
def test_the_detector_computes_what_its_layers_say(
    layout: Format, shape: tuple[int, ...], detector_state: State, tmp_path: Path
) -> None:
    converted = convert_checkpoint(saved(tmp_path, detector_state, layout), tmp_path / "cache")
    assert converted.entry.spec == SPEC
    batch = pixels(*shape) * 100
    expected = retinaface(Layers(detector_state), batch.astype(np.float64))
    for got, wanted in zip(run_detector(converted.graph, batch), expected, strict=True):
        assert np.ptp(wanted) > 0.1
        np.testing.assert_allclose(got, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("count", [1, 3])
def test_the_embedder_computes_what_its_layers_say(
    layout: Format, count: int, embedder_state: State, tmp_path: Path
) -> None:
    converted = convert_checkpoint(saved(tmp_path, embedder_state, layout), tmp_path / "cache")
    assert converted.entry.spec == EmbedderSpec(DIMENSION, "rgb", 127.5, 127.5, "arcface-112", mirrored=False)
    batch = pixels(count, 3, 112, 112)
    expected = ir_embedder(Layers(embedder_state), batch.astype(np.float64), PLANES, DIMENSION)
    (got,) = run(converted.graph, batch, ("embedding",))
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


def test_a_checkpoint_with_the_packs_weights_gives_the_packs_outputs(
    open_store: ModelStore, open_detector: InstalledModel, tmp_path: Path
) -> None:
    open_store.export(open_detector.entry, tmp_path)
    published = tmp_path / f"{open_detector.entry.name}.onnx"
    converted = convert_checkpoint(saved(tmp_path, unfold(onnx.load(published))), tmp_path / "cache")
    batch = pixels(2, 3, 203, 301) * 120
    for got, wanted in zip(run_detector(converted.graph, batch), run(published, batch, SPEC.outputs), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def unfold(model: onnx.ModelProto) -> State:
    """The pack's graph as a state dict of the original layout, with batch normalizations that change nothing."""
    arrays = {constant.name: numpy_helper.to_array(constant) for constant in model.graph.initializer}
    arrays |= {node.output[0]: arrays[node.input[0]] for node in model.graph.node if node.op_type == "Identity"}
    state: State = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            conv, norm = original_keys(node.output[0])
            state[f"{conv}.weight"], bias = arrays[node.input[1]], arrays[node.input[2]]
            state[f"{norm or conv}.bias"] = bias
            if norm:
                state[f"{norm}.weight"] = np.ones_like(bias)
                state[f"{norm}.running_mean"] = np.zeros_like(bias)
                state[f"{norm}.running_var"] = np.full_like(bias, 1 - 1e-5)
    return state


def original_keys(output: str) -> tuple[str, str | None]:
    """Where the original checkpoint keeps a convolution of the pack's graph, and its batch normalization."""
    _, module, *_, layer, _ = output.split("/")
    if head := re.fullmatch(r"(class|bbox|landmark)_head", module):
        return f"{head[1].capitalize()}Head.{layer.split('.')[1]}.conv1x1", None
    if unit := re.fullmatch(r"(stage\d)\.(\d)\.(\d)(\.\d)?", layer):
        first = 3 * int(unit[3]) if unit[4] else 0
        return f"body.{unit[1]}.{unit[2]}.{first}", f"body.{unit[1]}.{unit[2]}.{first + 1}"
    name = layer.split(".")[0]
    return f"{module}.{name}.0", f"{module}.{name}.1"


@pytest.mark.shared
def test_the_original_detector_computes_what_its_layers_say(tmp_path: Path) -> None:
    converted = convert_checkpoint(HEADER, tmp_path)
    assert converted.entry.sha256.startswith("2979b33f")
    batch = pixels(1, 3, 90, 70) * 120
    layers = Layers(read_state_dict(HEADER.read_bytes(), HEADER.name))
    expected = retinaface(layers, batch.astype(np.float64))
    for got, wanted in zip(run_detector(converted.graph, batch), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-4)


@pytest.mark.shared
def test_the_original_detector_and_the_packs_find_the_same_faces(open_detector: InstalledModel, tmp_path: Path) -> None:
    image_bgr = cv2.imread(str(DATA / "group/t1.jpg"))
    assert image_bgr is not None
    runtime = Runtime(Device.parse("cpu"))
    original, pack = (
        RetinaFace(runtime.load(graph, SPEC.feed), SPEC, DetectOptions()).detect([image_bgr.astype(np.uint8)])[0]
        for graph in (convert_checkpoint(HEADER, tmp_path).graph, open_detector.graph)
    )
    assert len(original) == len(pack) == 6
    # The two were trained apart from the same start, so their boxes are alike and not equal.
    assert iou(original.boxes, pack.boxes).max(axis=1).min() > 0.7


@pytest.mark.shared
def test_the_backbone_alone_is_recognized_and_said_to_be_unneeded(tmp_path: Path) -> None:
    with pytest.raises(ModelUnsupported, match="not needed"):
        convert_checkpoint(BACKBONE, tmp_path)


def test_the_same_bytes_are_converted_once_whatever_the_name(
    detector_state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = convert_checkpoint(saved(tmp_path, detector_state), tmp_path / "cache")
    monkeypatch.setattr(convert, "write_whole", None)
    renamed = (tmp_path / "model.pth").rename(tmp_path / "other.tar")
    again = convert_checkpoint(renamed, tmp_path / "cache")
    assert again == replace(first, entry=replace(first.entry, name="other.tar"))


def test_a_damaged_conversion_is_made_again(detector_state: State, tmp_path: Path) -> None:
    path = saved(tmp_path, detector_state)
    graph = convert_checkpoint(path, tmp_path / "cache").graph
    content = graph.read_bytes()
    graph.write_bytes(content[:-9])
    assert convert_checkpoint(path, tmp_path / "cache").graph.read_bytes() == content


def test_all_misfits_of_a_layout_are_told_at_once(embedder_state: State, tmp_path: Path) -> None:
    state = embedder_state | {"extra.weight": np.zeros(3, np.float32), "input_layer.2.weight": np.zeros(9, np.float32)}
    del state["body.1.res_layer.4.bias"]
    with pytest.raises(ModelUnsupported) as error:
        convert_checkpoint(saved(tmp_path, state), tmp_path / "cache")
    message = str(error.value)
    assert "input_layer.2.weight is (9,) instead of (4,)" in message
    assert "body.1.res_layer.4.bias is missing" in message
    assert "extra.weight is not part of it" in message
    assert "2 missing or misshapen, 1 unexpected" in message
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("key", ["body.stage2.3.3.weight", "fpn.merge1.1.running_mean", "ClassHead.1.conv1x1.bias"])
def test_a_weight_that_is_not_a_number_is_refused(key: str, detector_state: State, tmp_path: Path) -> None:
    spoilt = detector_state[key].copy()
    spoilt.flat[1] = np.nan
    with pytest.raises(ModelCorrupt, match=re.escape(key)):
        convert_checkpoint(saved(tmp_path, detector_state | {key: spoilt}), tmp_path / "cache")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["body.conv1.weight", "body.layer1.0.conv1.weight", "ClassHead.0.conv1x1.weight"], "ResNet-50"),
        (["input_layer.0.weight", "body.0.res_layer.5.fc1.weight"], "IR-SE"),
        (["stage1.0.0.weight", "fc.weight"], "not needed"),
        (["conv1.weight", "bn1.weight"], r"another network: it has conv1.weight, bn1.weight.*output_layer.3.weight"),
    ],
)
def test_other_networks_are_refused_by_what_they_are(keys: list[str], message: str, tmp_path: Path) -> None:
    state = {key: np.zeros(3, np.float32) for key in keys}
    with pytest.raises(ModelUnsupported, match=message):
        convert_checkpoint(saved(tmp_path, state), tmp_path / "cache")


def test_files_that_cannot_be_read_or_kept_are_errors_of_their_own(detector_state: State, tmp_path: Path) -> None:
    with pytest.raises(PathMissing):
        convert_checkpoint(tmp_path / "none.pth", tmp_path)
    with pytest.raises(ModelUnavailable):
        convert_checkpoint(tmp_path, tmp_path)
    path = saved(tmp_path, detector_state)
    with pytest.raises(NotWritable):
        convert_checkpoint(path, path / "cache")


def test_a_negative_variance_is_refused() -> None:
    parts = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": -1}
    weights = StateDict({f"bn.{part}": np.array([value]) for part, value in parts.items()}, "model.pth")
    with pytest.raises(ModelCorrupt, match="variance"):
        weights.take_batch_norm("bn", 1)
