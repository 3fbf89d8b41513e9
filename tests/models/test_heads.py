"""Detectors that end at their heads, against the published graph that they are made of."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from facepool import read_image
from facepool.faces.proposals import read_maps, read_rows
from facepool.models.catalog import InstalledModel, RetinaFaceSpec
from facepool.models.heads import expose_heads
from facepool.models.store import ModelStore
from facepool.runtime import Device, GraphRequest, onnxruntime_engine, openvino_engine
from facepool.types import Floats

SPEC = RetinaFaceSpec()


@pytest.fixture(scope="module")
def published(open_store: ModelStore, open_detector: InstalledModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    open_store.export(open_detector.entry, folder)
    return folder / f"{open_detector.entry.name}.onnx"


def run(path: Path, images: Floats, name: str) -> dict[str, Floats]:
    engine = {"onnxruntime": onnxruntime_engine, "openvino": openvino_engine}[name]
    graph = engine.load(GraphRequest(path, Device("cpu"), 1))
    return dict(zip(graph.outputs, graph.run(images), strict=True))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_what_is_read_of_the_heads_is_what_the_published_graph_says(
    engine: str, published: Path, open_detector: InstalledModel, photos: Path
) -> None:
    pytest.importorskip(engine)
    photo = read_image(photos / "person_a_1.jpg")[:480, :480]
    photo = photo[: photo.shape[0] // 32 * 32, : photo.shape[1] // 32 * 32]
    images = np.stack([photo, photo[:, ::-1]]).transpose(0, 3, 1, 2).astype(np.float32)
    images -= np.array(SPEC.mean, np.float32)[:, None, None]
    rows, maps = run(published, images, engine), run(open_detector.graph, images, engine)
    for number in range(2):
        for least in (0.02, 0.6, 1.0):
            boxes, scores, landmarks = (rows[name][number] for name in SPEC.outputs)
            wanted = read_rows(boxes, scores, landmarks, least)
            found = read_maps([maps[name][number] for name in SPEC.head_outputs], least)
            assert len(wanted) > 3 or least == 1.0
            np.testing.assert_array_equal(found.rows, wanted.rows)
            np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-6)
            np.testing.assert_allclose(found.boxes, wanted.boxes, atol=1e-4)
            np.testing.assert_allclose(found.landmarks, wanted.landmarks, atol=1e-4)


def test_a_graph_without_the_softmax_ends_at_the_same_heads(published: Path) -> None:
    model = onnx.load(published)
    (softmax,) = (node for node in model.graph.node if node.op_type == "Softmax")
    (before,) = (node for node in model.graph.node if softmax.input[0] in node.output)
    before.output[0] = softmax.output[0]
    model.graph.node.remove(softmax)
    assert expose_heads(model.SerializeToString(), SPEC) == expose_heads(published.read_bytes(), SPEC)


def test_a_graph_that_is_laid_out_in_another_way_stays_as_it_is(published: Path) -> None:
    model = onnx.load(published)
    (joined,) = (node for node in model.graph.node if "loc" in node.output)
    joined.output[0] = "joined"
    model.graph.node.append(helper.make_node("Identity", ["joined"], ["loc"]))
    original = model.SerializeToString()
    assert expose_heads(original, SPEC) == original


def test_a_graph_with_layers_of_one_engine_alone_stays_as_it_is(published: Path) -> None:
    model = onnx.load(published)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    first.op_type, first.domain = "FusedConv", "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    original = model.SerializeToString()
    assert expose_heads(original, SPEC) == original
