"""What every engine must do with the same graphs: the same numbers, whatever the batch and the size."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from facepool.errors import ModelCorrupt
from facepool.models.catalog import InstalledModel
from facepool.runtime import Device, Graph, GraphRequest, Loader, onnxruntime_engine, openvino_engine
from facepool.types import Floats, PixelFeed

LOADERS = {"openvino": openvino_engine.load, "onnxruntime": onnxruntime_engine.load}
CPU = Device("cpu")


@pytest.fixture(params=LOADERS)
def loader(request: pytest.FixtureRequest) -> Loader:
    pytest.importorskip(request.param)
    return LOADERS[request.param]


@pytest.fixture
def detector(loader: Loader, open_detector: InstalledModel) -> Graph:
    return loader(GraphRequest(open_detector.graph, CPU, 1))


@pytest.fixture
def embedder(loader: Loader, open_embedder: InstalledModel) -> Graph:
    return loader(GraphRequest(open_embedder.graph, CPU, 1))


def noise(count: int, height: int, width: int) -> Floats:
    return np.random.default_rng(height * width).uniform(0, 255, (count, 3, height, width)).astype(np.float32)


def unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_it_says_what_it_is_and_where_it_runs(detector: Graph) -> None:
    assert detector.device == "cpu"
    assert any(name in detector.engine for name in ("OpenVINO", "ONNX Runtime"))
    assert detector.outputs == ("heads_8", "heads_16", "heads_32")


def test_sizes_may_change_from_call_to_call(detector: Graph) -> None:
    for height, width in ((32, 32), (64, 96), (480, 640), (64, 96), (256, 32)):
        maps = detector.run(noise(1, height, width) - 110)
        assert [level.shape for level in maps] == [(1, 32, height // step, width // step) for step in (8, 16, 32)]


def test_one_is_a_batch_of_one(embedder: Graph) -> None:
    faces = noise(5, 112, 112)
    together = embedder.run(faces)[0]
    apart = np.concatenate([embedder.run(faces[i : i + 1])[0] for i in range(len(faces))])
    np.testing.assert_allclose(together, apart, rtol=1e-3, atol=1e-3)


def test_rounding_to_bfloat16_keeps_vectors_where_they_are(loader: Loader, open_embedder: InstalledModel) -> None:
    faces = noise(4, 112, 112)
    exact, rounded = (
        unit(loader(GraphRequest(open_embedder.graph, CPU, 1, bfloat16=wanted)).run(faces)[0])
        for wanted in (False, True)
    )
    assert np.sum(exact * rounded, axis=1).min() > 0.999


def test_results_belong_to_the_caller(embedder: Graph) -> None:
    first = embedder.run(noise(1, 112, 112))[0]
    kept = first.copy()
    embedder.run(np.zeros((1, 3, 112, 112), np.float32))
    np.testing.assert_array_equal(first, kept)


def test_a_file_that_is_no_network_is_refused(loader: Loader, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"this is not a network")
    with pytest.raises(ModelCorrupt, match=r"broken\.onnx"):
        loader(GraphRequest(path, CPU, 1))


def test_engines_agree(open_embedder: InstalledModel, open_detector: InstalledModel) -> None:
    for name in LOADERS:
        pytest.importorskip(name)
    for model, batch in ((open_embedder, noise(2, 112, 112)), (open_detector, noise(1, 64, 96) - 110)):
        ours, theirs = (load(GraphRequest(model.graph, CPU, 1)).run(batch) for load in LOADERS.values())
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("feed", [PixelFeed("bgr", (104, 117, 123)), PixelFeed("rgb", (1, 2.5, 127.5), 127.5)])
def test_pixels_become_what_the_network_takes(loader: Loader, open_detector: InstalledModel, feed: PixelFeed) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
    ordered = images if feed.channel_order == "bgr" else images[..., ::-1]
    planes = ((ordered - np.array(feed.mean)) / feed.scale).transpose(0, 3, 1, 2)
    wanted = loader(GraphRequest(open_detector.graph, CPU, 1)).run(np.ascontiguousarray(planes, np.float32))
    for a, b in zip(loader(GraphRequest(open_detector.graph, CPU, 1, feed=feed)).run(images), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_a_size_that_keeps_coming_gives_what_it_always_gave(loader: Loader, open_detector: InstalledModel) -> None:
    detector = loader(GraphRequest(open_detector.graph, CPU, 1, feed=PixelFeed("bgr", (104, 117, 123))))
    large, small = (np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8) for side in (128, 64))
    first = detector.run(large)
    for _ in range(40):
        again = detector.run(large)
    between = detector.run(small)
    for other, wanted in ((again, first), (detector.run(large), first), (detector.run(small), between)):
        for a, b in zip(other, wanted, strict=True):
            np.testing.assert_array_equal(a, b)


def test_several_threads_may_run_one_graph(embedder: Graph) -> None:
    faces = noise(6, 112, 112)
    alone = embedder.run(faces)[0]
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(lambda i: embedder.run(faces[i : i + 1])[0], range(len(faces))))
    np.testing.assert_allclose(np.concatenate(together), alone, rtol=1e-3, atol=1e-3)
