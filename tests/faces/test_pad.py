"""What networks that tell living faces from pictures see of a face, and what is made of their answers."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from facepool.errors import ModelUnsupported
from facepool.faces.pad import PadNetwork, PassivePad, surroundings
from facepool.models.catalog import PadSpec
from facepool.runtime import Device, Graph, GraphRequest, Loader, onnxruntime_engine, openvino_engine
from facepool.types import Floats, Image

LOADERS = {"openvino": openvino_engine.load, "onnxruntime": onnxruntime_engine.load}
BOX = np.array([40, 50, 60, 80], np.float32)


class MeanGraph:
    """Says of a picture the mean of each of its planes, in the order of a network that takes BGR."""

    engine = "fake"
    device = "cpu"
    outputs = ("logits",)

    def run(self, batch: Floats | Image) -> tuple[Floats, ...]:
        assert batch.dtype == np.uint8
        return (batch.mean(axis=(1, 2), dtype=np.float32),)


def network(graph: Graph | None = None, crop_scale: float = 2.0, **spec: object) -> PadNetwork:
    return PadNetwork(graph or MeanGraph(), PadSpec(crop_scale, side=8, **spec))  # type: ignore[arg-type]


def picture(bgr: tuple[int, int, int]) -> Image:
    return np.full((120, 100, 3), bgr, np.uint8)


def test_a_face_is_seen_with_what_is_around_it() -> None:
    assert surroundings(BOX, 2, (200, 200)) == (30, 35, 71, 96)
    assert surroundings(BOX, 1, (200, 200)) == (40, 50, 61, 81)


def test_what_would_lie_beyond_the_picture_is_moved_into_it() -> None:
    left, top, right, bottom = surroundings(BOX - 38, 2, (200, 200))
    assert (left, top) == (0, 0)
    assert (right, bottom) == (41, 61)
    assert surroundings(BOX + 130, 2, (200, 215)) == (159, 154, 200, 215)


def test_where_a_picture_has_too_little_room_less_is_seen_of_the_same_shape() -> None:
    left, top, right, bottom = surroundings(BOX, 4, (100, 91))
    assert (top, bottom) == (0, 91)
    assert right - left == pytest.approx((bottom - top) * 20 / 30, abs=1)
    beyond = surroundings(np.array([-50, -10, 300, 500], np.float32), 2.7, (100, 90))
    assert beyond[0] >= 0 < beyond[2] - beyond[0]
    assert beyond[2] <= 100 >= beyond[3] - 10


def test_the_score_is_the_share_of_the_class_of_living_faces() -> None:
    image, boxes = picture((3, 5, 4)), np.stack([BOX, BOX + 5])
    logits = np.exp(np.array([3, 5, 4]))
    np.testing.assert_allclose(network().scores(image, boxes), logits[1] / logits.sum(), rtol=1e-5)
    other = network(live_class=2)
    np.testing.assert_allclose(other.scores(image, boxes), logits[2] / logits.sum(), rtol=1e-5)
    np.testing.assert_allclose(network(softmax=False).scores(picture((0, 1, 0)), boxes), 1)


def test_networks_are_averaged_and_no_face_has_no_score() -> None:
    image = picture((0, 9, 0))
    both = PassivePad([network(), network(live_class=0)])
    np.testing.assert_allclose(both.scores(image, BOX[np.newaxis]), 0.5, atol=1e-3)
    assert both.scores(image, np.zeros((0, 4), np.float32)).shape == (0,)


def test_an_answer_that_is_no_number_is_an_error() -> None:
    class Broken(MeanGraph):
        def run(self, batch: Floats | Image) -> tuple[Floats, ...]:
            return (super().run(batch)[0] * np.float32(np.nan),)

    with pytest.raises(ModelUnsupported, match="no numbers"):
        network(Broken()).scores(picture((1, 1, 1)), BOX[np.newaxis])


def test_an_answer_of_another_width_than_described_is_an_error() -> None:
    with pytest.raises(ModelUnsupported, match=r"shape \(1, 3\)"):
        network(classes=2).scores(picture((0, 0, 0)), BOX[np.newaxis])


@pytest.mark.parametrize("name", LOADERS)
def test_every_engine_gives_what_the_graph_says(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    loader: Loader = LOADERS[name]
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["means"]),
        helper.make_node("Flatten", ["means"], ["row"]),
        helper.make_node("Mul", ["row", "share"], ["logits"]),
    ]
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])
    made = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])
    constant = numpy_helper.from_array(np.array([0.1], np.float32), "share")
    graph = helper.make_graph(nodes, "net", [given], [made], [constant])
    path = tmp_path / "net.onnx"
    opset = helper.make_opsetid("", 17)
    path.write_bytes(helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString())
    spec = PadSpec(2.0, side=8)
    loaded = PadNetwork(loader(GraphRequest(path, Device("cpu"), 1, feed=spec.feed)), spec)
    image = np.random.default_rng(0).integers(0, 256, (120, 100, 3), np.uint8)
    boxes = np.stack([BOX, BOX + 10, BOX * 0.5])
    values = np.stack([_means(image, box) for box in boxes])
    powers = np.exp(values * 0.1)
    np.testing.assert_allclose(loaded.scores(image, boxes), powers[:, 1] / powers.sum(axis=1), atol=2e-3)


def _means(image: Image, box: Floats) -> Floats:
    graph = MeanGraph()
    seen = []

    class Recorder(MeanGraph):
        def run(self, batch: Floats | Image) -> tuple[Floats, ...]:
            seen.append(graph.run(batch)[0])
            return (seen[-1],)

    network(Recorder()).scores(image, box[np.newaxis])
    return np.asarray(seen[0][0])
