"""The open pack as it comes: its graphs have the shape that the stages count on and give what they always gave."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from facepool.faces.load import load_embedder
from facepool.models.catalog import DEMO_PHOTOS, InstalledModel, RetinaFaceSpec
from facepool.models.store import ModelStore
from facepool.runtime import Device, Runtime
from facepool.types import AlignedFaces, Floats
from support.paths import DATA
from support.reference_runs import detector_rows, one_by_one


def session(model: InstalledModel) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.graph, providers=["CPUExecutionProvider"])


def unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def published_sface(store: ModelStore, model: InstalledModel, folder: Path) -> onnx.ModelProto:
    store.export(model.entry, folder)
    return onnx.load(folder / "sface.onnx")


def test_sface_is_clean_and_takes_any_batch(open_embedder: InstalledModel) -> None:
    graph = onnx.load(open_embedder.graph).graph
    assert {node.op_type for node in graph.node} == {
        "Sub", "Mul", "Conv", "PRelu", "BatchNormalization", "Flatten", "Gemm"
    }  # fmt: skip
    assert [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim] == [0, 3, 112, 112]
    assert [node.op_type for node in graph.node].count("BatchNormalization") == 1


def test_clean_sface_gives_the_published_ones_embeddings(
    open_store: ModelStore, open_embedder: InstalledModel, tmp_path: Path
) -> None:
    images = np.random.default_rng(3).integers(0, 256, (2, 3, 112, 112)).astype(np.float32)
    expected = one_by_one(published_sface(open_store, open_embedder, tmp_path), images)
    found = session(open_embedder).run(None, {"data": images})[0]
    assert np.abs(unit(found) - unit(expected)).max() < 1e-5


@pytest.mark.parametrize("size_hw", [(64, 96), (480, 640)])
def test_retinaface_gives_one_row_a_prior(open_detector: InstalledModel, size_hw: tuple[int, int]) -> None:
    spec = open_detector.entry.spec
    assert isinstance(spec, RetinaFaceSpec)
    images = np.zeros((2, 3, *size_hw), np.float32)
    boxes, scores, landmarks = detector_rows(session(open_detector).run(list(spec.head_outputs), {"input": images}))
    levels = zip(spec.strides, spec.prior_sizes, strict=True)
    priors = sum(-(-size_hw[0] // step) * -(-size_hw[1] // step) * len(sizes) for step, sizes in levels)
    assert (boxes.shape, scores.shape, landmarks.shape) == ((2, priors, 4), (2, priors, 2), (2, priors, 10))


def test_the_demo_photos_come_with_their_credits(open_store: ModelStore) -> None:
    folder = open_store.pull_asset(DEMO_PHOTOS)
    assert all((folder / file.name).is_file() for file in DEMO_PHOTOS.files)
    assert "person_a_1.jpg" in (folder / "CREDITS.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not (DATA / "models" / "omz-0095").is_dir(), reason="the published files are not in ../shared")
def test_open_plus_gives_for_several_faces_what_it_gives_for_each(open_store: ModelStore, tmp_path: Path) -> None:
    carried = ModelStore(tmp_path, offline_dir=DATA / "models" / "omz-0095")
    pack = open_store.embedder("sface-omz")
    networks = [open_store.load("sface-single"), carried.load("omz-0095")]
    embedder = load_embedder(pack, networks, Runtime(Device("cpu"), 1))
    faces = AlignedFaces(np.random.default_rng(0).integers(0, 255, (3, 112, 112, 3), np.uint8), "arcface-112")
    vectors = embedder.embed(faces)
    assert (vectors.shape, embedder.space.id) == ((3, 384), "106229792f86b29d")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(
        vectors, np.concatenate([embedder.embed(faces[row : row + 1]) for row in range(3)]), atol=1e-3
    )
