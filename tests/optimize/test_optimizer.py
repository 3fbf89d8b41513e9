"""Making graphs of 8 bits: the pictures that serve for it, and what becomes of a graph that is refused."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from facepool import ModelChoice, load_analyzer, read_image
from facepool.capture import walk_folder
from facepool.errors import ConfigError, ModelUnavailable, NoFace
from facepool.models.catalog import InstalledModel
from facepool.models.store import ModelStore
from facepool.optimize import optimizer as optimizing
from facepool.optimize.optimizer import FEW, Optimizer, shrunk, varied
from facepool.runtime import Device, Runtime
from facepool.types import Image, PixelFeed

GRAY = np.full((200, 300, 3), 128, np.uint8)


def spoiled(path: Path, batches: Sequence[Image], feed: PixelFeed, *, careful: bool = False) -> bytes:
    """In place of quantization: noise on all weights, less of it at the careful attempt."""
    model = onnx.load(path)
    random = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim > 1:
            noise = random.normal(size=values.shape) * values.std() * (0.1 if careful else 0.15)
            tensor.CopyFrom(numpy_helper.from_array((values + noise).astype(np.float32), tensor.name))
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def images(photos: Path) -> list[Image]:
    """The demo's photos, so small that graphs are compared in little time."""
    return [_of_height(read_image(path), 240) for path in walk_folder(photos).pictures]


def _of_height(image_bgr: Image, height: int) -> Image:
    size_wh = round(image_bgr.shape[1] * height / image_bgr.shape[0]), height
    return np.asarray(cv2.resize(image_bgr, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


@pytest.fixture
def optimizer(
    store: ModelStore, open_detector: InstalledModel, open_embedder: InstalledModel, images: list[Image]
) -> Optimizer:
    runtime = Runtime(Device("cpu"))
    return Optimizer(open_detector, open_embedder, runtime, store, images, time_ratio=lambda *_: 0.5)


def test_few_pictures_are_filled_up_by_variants_and_many_are_taken_as_they_are() -> None:
    few = list(varied([GRAY], seed=0))
    assert len(few) == FEW
    np.testing.assert_array_equal(few[0], GRAY)
    assert len({image.shape for image in few}) > FEW / 2
    many = list(varied([GRAY] * (FEW + 1), seed=0))
    assert len(many) == FEW + 1
    assert all(image is GRAY for image in many)
    assert list(varied([], seed=0)) == []


def test_variants_are_the_same_each_time_and_others_for_another_seed() -> None:
    first, again, other = (list(varied([GRAY], seed)) for seed in (1, 1, 2))
    assert [image.tobytes() for image in first] == [image.tobytes() for image in again]
    assert [image.shape for image in first] != [image.shape for image in other]


def test_large_pictures_are_made_smaller_and_others_are_not() -> None:
    assert shrunk(np.zeros((2000, 4000, 3), np.uint8)).shape == (640, 1280, 3)
    assert shrunk(GRAY) is GRAY


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detect", "embed"])
def test_a_graph_that_sees_otherwise_is_refused_and_not_kept(
    task: str,
    optimizer: Optimizer,
    store: ModelStore,
    open_detector: InstalledModel,
    open_embedder: InstalledModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(optimizing, "quantize", spoiled)
    model = open_detector if task == "detect" else open_embedder
    report = optimizer.optimize(model)
    assert not report.accepted
    assert report.faces > 20
    assert any(not metric.passed for metric in report.metrics if metric.name != "time")
    assert store.optimized.known(model.entry) is None
    assert not (store.root / "optimized").exists()


def test_one_picture_cannot_both_make_and_judge(
    store: ModelStore, open_detector: InstalledModel, open_embedder: InstalledModel, images: list[Image]
) -> None:
    with pytest.raises(NoFace, match="less than two pictures"):
        Optimizer(open_detector, open_embedder, Runtime(Device("cpu")), store, images[:1])


def test_an_embedder_is_not_optimized_without_faces(
    store: ModelStore, open_detector: InstalledModel, open_embedder: InstalledModel
) -> None:
    optimizer = Optimizer(open_detector, open_embedder, Runtime(Device("cpu")), store, [GRAY, GRAY])
    with pytest.raises(NoFace, match="--pictures"):
        optimizer.optimize(open_embedder)


def test_what_is_kept_is_bound_to_the_float32_graph(store: ModelStore, open_embedder: InstalledModel) -> None:
    kept = store.optimized.keep(open_embedder, b"int8", {"pictures": 3})
    assert kept.precision == "int8"
    assert kept.entry == open_embedder.entry
    assert store.optimized.find(open_embedder) == kept
    known = store.optimized.known(open_embedder.entry)
    assert known is not None
    assert known.report == {"pictures": 3}
    another = InstalledModel(open_embedder.entry, kept.graph)
    assert store.optimized.find(another) is None
    assert store.optimized.remove(open_embedder.entry)
    assert not store.optimized.remove(open_embedder.entry)
    assert store.optimized.find(open_embedder) is None


def test_int8_is_asked_for_in_vain_where_nothing_was_optimized(open_store: ModelStore, tmp_path: Path) -> None:
    store = ModelStore(tmp_path, offline_dir=tmp_path)
    for part in ("originals", "prepared"):
        (tmp_path / part).symlink_to(open_store.root / part)
    with pytest.raises(ModelUnavailable, match="facepool models optimize"):
        load_analyzer(ModelChoice(precision="int8"), store=store, device="cpu")
    assert "int8" not in load_analyzer(ModelChoice(precision="auto"), store=store, device="cpu").runs_on


def test_there_is_no_other_precision() -> None:
    from facepool.config import load_settings

    with pytest.raises(ConfigError, match="precision"):
        load_settings({"precision": "int4"})
