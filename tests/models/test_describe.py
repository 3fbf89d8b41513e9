from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from facepool.errors import ConfigError, LicenceNotAccepted, ModelUnsupported, PathMissing, UnknownModel
from facepool.models.catalog import EmbedderSpec, PadSpec, RetinaFaceSpec
from facepool.models.store import ModelStore
from support.model_sources import NO_INDEX

EMBEDDER = """
name = "my-embedder"
task = "embed"
file = "net.onnx"
[licence]
name = "MIT"
[embed]
dimension = 12
channel_order = "rgb"
mean = 127.5
scale = 127.5
[embed.fmr]
points = [[1e-2, 0.2], [1e-3, 0.3]]
source = "our cameras"
"""
DETECTOR = """
name = "my-detector"
task = "detect"
file = "net.onnx"
[licence]
name = "MIT"
[detect]
outputs = ["loc", "conf", "marks"]
strides = [16, 32]
prior_sizes = [[16], [32, 64]]
"""
PAD = """
name = "my-pad"
task = "pad"
file = "net.onnx"
[licence]
name = "Apache-2.0"
[pad]
crop_scale = 2.7
side = 112
classes = 12
"""


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store", index=NO_INDEX)


def model(nodes: Sequence[NodeProto], sides: Sequence[int | str], outputs: dict[str, Sequence[int | str]]) -> bytes:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, list(sides))
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in outputs.items()]
    constants = [numpy_helper.from_array(array, name) for name, array in CONSTANTS.items()]
    graph = helper.make_graph(list(nodes), "net", [image], results, constants)
    opset = helper.make_opsetid("", 17)
    content: bytes = helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    return content


CONSTANTS = {
    "one_row": np.array([1, -1]),
    "twelve": np.array([1, 12]),
    "flat": np.array([12]),
    "slope": np.full(3, 0.25, np.float32),
    "bias": np.arange(12, dtype=np.float32),
    "slope_sides": np.array([1, 3, 1, 1]),
    **{f"kernel_{k}": np.ones((6 * k, 3, 32, 32), np.float32) for k in (2, 4, 10)},
    **{f"rows_of_{k}": np.array([0, -1, k]) for k in (2, 4, 10)},
}


def embedder(batch: int | str = "n", *, side: int = 112, reshape: str | None = None, rank: int = 4) -> bytes:
    """Means of the four quarters of each plane, 12 numbers a picture; flattened, or reshaped to a constant."""
    inputs = ["means"] if reshape is None else ["means", reshape]
    nodes = [
        helper.make_node("Reshape", ["slope", "slope_sides"], ["slopes"]),
        helper.make_node("PRelu", ["image", "slopes"], ["active"]),
        helper.make_node("AveragePool", ["active"], ["means"], kernel_shape=[side // 2] * 2, strides=[side // 2] * 2),
        helper.make_node("Reshape" if reshape else "Flatten", inputs, ["row"]),
        helper.make_node("Add", ["row", "bias"], ["out"]),
    ]
    shape = [12] if reshape == "flat" else [batch, 12]
    return model(nodes, [batch, 3, side, side][:rank], {"out": shape})


def detector(*sides: int | str, outputs: tuple[str, str, str] = ("loc", "conf", "marks")) -> bytes:
    """Has the right number of rows for one prior a cell at stride 16 and two at 32."""
    nodes = []
    for name, k in zip(outputs, (4, 2, 10), strict=True):
        nodes += [
            helper.make_node("Conv", ["image", f"kernel_{k}"], [f"{name}_map"], strides=[32, 32]),
            helper.make_node("Transpose", [f"{name}_map"], [f"{name}_last"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", [f"{name}_last", f"rows_of_{k}"], [name]),
        ]
    shapes: dict[str, Sequence[int | str]] = {name: ["n", "a", k] for name, k in zip(outputs, (4, 2, 10), strict=True)}
    return model(nodes, sides or ("n", 3, "h", "w"), shapes)


def write(tmp_path: Path, text: str, content: bytes | None = None) -> Path:
    (tmp_path / "net.onnx").write_bytes(content or (detector() if 'task = "detect"' in text else embedder()))
    path = tmp_path / "net.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_imported_embedder_is_used_like_one_of_the_catalog(tmp_path: Path, store: ModelStore) -> None:
    entry = store.import_model(write(tmp_path, EMBEDDER))
    (tmp_path / "net.onnx").unlink()
    again = ModelStore(store.root, index=NO_INDEX)
    assert again.resolve("my-embedder") == entry
    assert onnx.load(again.load("my-embedder").graph).graph.output[0].name == "out"
    assert isinstance(entry.spec, EmbedderSpec)
    assert (entry.spec.dimension, entry.spec.mirrored, entry.spec.preprocessing) == (12, True, "rgb-127.5-127.5/1")
    assert entry.spec.fmr is not None
    assert entry.spec.fmr.points == ((0.01, 0.2), (0.001, 0.3))
    assert entry in again.entries().values()


def test_an_imported_detector_keeps_the_usual_values_where_it_says_nothing(tmp_path: Path, store: ModelStore) -> None:
    entry = store.import_model(write(tmp_path, DETECTOR))
    assert entry.spec == RetinaFaceSpec(
        strides=(16, 32), prior_sizes=((16,), (32, 64)), outputs=("loc", "conf", "marks")
    )


def test_networks_for_liveness_are_known_by_their_task(tmp_path: Path, store: ModelStore) -> None:
    assert store.pad_networks() == []
    entry = store.import_model(write(tmp_path, PAD, embedder(1, side=112, reshape="one_row")))
    assert entry.spec == PadSpec(crop_scale=2.7, side=112, classes=12)
    store.import_model(write(tmp_path, EMBEDDER))
    assert ModelStore(store.root, index=NO_INDEX).pad_networks() == [entry]
    with pytest.raises(ModelUnsupported, match="its task is pad"):
        store.embedder("my-pad")


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("crop_scale = 2.7", "", "`pad.crop_scale` is missing; it should be a number"),
        ("crop_scale = 2.7", "crop_scale = 0", "`pad.crop_scale` should be above 0"),
        ("crop_scale = 2.7", "crop_scale = inf", "`pad.crop_scale` should be a number, not inf"),
        ("crop_scale = 2.7", "crop_scale = 2.7\nscale = nan", "`pad.scale` should be a number, not nan"),
        ("classes = 12", "classes = 1", "`pad.classes` should be at least 2"),
        ("classes = 12", "live_class = 3", "`pad.live_class` should be one of its 3 classes, 0 to 2"),
        ("[pad]", "[embed]", "`pad` is missing; it should be a table"),
    ],
)
def test_a_mistake_in_a_description_for_liveness_is_named(
    tmp_path: Path, store: ModelStore, before: str, after: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        store.import_model(write(tmp_path, PAD.replace(before, after)))
    assert complaint in str(caught.value)


def test_a_name_that_was_imported_is_replaced(tmp_path: Path, store: ModelStore) -> None:
    store.import_model(write(tmp_path, EMBEDDER))
    store.import_model(write(tmp_path, EMBEDDER.replace('"rgb"', '"bgr"')))
    spec = store.resolve("my-embedder").spec
    assert spec.channel_order == "bgr"


def test_a_removed_import_is_forgotten(tmp_path: Path, store: ModelStore) -> None:
    store.remove(store.import_model(write(tmp_path, EMBEDDER)))
    with pytest.raises(UnknownModel):
        store.resolve("my-embedder")


def test_terms_of_an_import_can_restrict_its_use(tmp_path: Path, store: ModelStore) -> None:
    store.import_model(write(tmp_path, EMBEDDER.replace('name = "MIT"', 'name = "NC"\nrestricts_use = true')))
    with pytest.raises(LicenceNotAccepted):
        store.load("my-embedder")


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ('name = "my-embedder"', "", "`name` is missing; it should be text"),
        ('name = "my-embedder"', 'name = "My Embedder"', "`name` may have lower-case letters"),
        ('name = "my-embedder"', 'name = "sface"', "`name` is sface, which the catalog has"),
        ('name = "my-embedder"', 'name = "open"', "`name` is open, which the catalog has"),
        ('name = "my-embedder"', 'name = "my.pth"', "`name` ends in .pth, as checkpoints do"),
        ('name = "my-embedder"', 'name = "my.tar"', "`name` ends in .tar, as checkpoints do"),
        ('task = "embed"', 'task = "swap"', "`task` should be one of detect, embed"),
        ("dimension = 12", "", "`embed.dimension` is missing; it should be a whole number"),
        ("dimension = 12", "dimension = 0", "`embed.dimension` should be at least 1"),
        ("dimension = 12", 'dimension = "12"', "`embed.dimension` should be a whole number, not '12'"),
        ("dimension = 12", "dimension = true", "`embed.dimension` should be a whole number, not True"),
        ("mean = 127.5", "means = 127.5", "`embed.means` is unknown"),
        ("scale = 127.5", "scale = 0", "`embed.scale` divides"),
        ('"rgb"', '"gray"', "`embed.channel_order` should be one of bgr, rgb"),
        ("[1e-3, 0.3]", "[1e-3]", "`embed.fmr.points` should be 2 numbers"),
        ("[1e-3, 0.3]", "[0.5, 0.3]", "`embed.fmr.points` should be two or more"),
        ("[licence]", "[license]", "`licence` is missing; it should be a table"),
        ('name = "MIT"', 'name = ["MIT"]', "`licence.name` should be text"),
    ],
)
def test_a_mistake_in_a_description_is_named_by_its_key(
    tmp_path: Path, store: ModelStore, before: str, after: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        store.import_model(write(tmp_path, EMBEDDER.replace(before, after)))
    assert complaint in str(caught.value)
    assert store.installed() == []


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("[[16], [32, 64]]", "[[16]]", "`detect.prior_sizes` should have one row a stride, 2 in all"),
        ('["loc", "conf", "marks"]', '["out"]', "`detect.outputs` should be a list of 3 texts"),
        ("strides = [16, 32]", 'strides = ["16"]', "`detect.strides` should be some numbers"),
    ],
)
def test_a_mistake_in_a_detectors_description_is_named(
    tmp_path: Path, store: ModelStore, before: str, after: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        store.import_model(write(tmp_path, DETECTOR.replace(before, after)))
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "content", "complaint"),
    [
        (EMBEDDER, b"not a graph", "no valid ONNX graph"),
        (EMBEDDER, embedder(rank=2), "one input of shape"),
        (EMBEDDER, embedder(side=160), "takes pictures of 160x160, and faces come as 112x112"),
        (EMBEDDER.replace("= 12", "= 512"), embedder(), "`embed.dimension` is 512"),
        (EMBEDDER, embedder(1, reshape="flat"), "two pictures at once give an output of shape (12,)"),
        (EMBEDDER, embedder(reshape="twelve"), "two pictures at once give an output of shape (1, 12)"),
        (EMBEDDER, embedder(reshape="one_row"), "it does not take two pictures at once"),
        (
            DETECTOR.replace('"loc", "conf"', '"box", "score"'),
            detector(),
            "names box, score, but it has loc, conf, marks",
        ),
        (
            DETECTOR.replace('"loc", "conf"', '"conf", "loc"'),
            detector(),
            "conf has the shape (2, 36, 2), not (2, 36, 4)",
        ),
        (PAD.replace("side = 112", ""), embedder(), "takes pictures of 112x112, and faces come as 80x80"),
        (PAD.replace("classes = 12", ""), embedder(), "`pad.classes` is 3, but its first output is 12 wide"),
        (DETECTOR.replace("[32, 64]", "[32]"), detector(), "loc has the shape (2, 36, 4), not (2, 30, 4)"),
        (DETECTOR, detector(1, 3, "h", "w"), "is fixed to (1, 3, free, free)"),
        (DETECTOR, detector("n", 3, 640, 640), "is fixed to (free, 3, 640, 640)"),
    ],
)
def test_a_graph_that_does_not_fit_its_description_is_refused(
    tmp_path: Path, store: ModelStore, text: str, content: bytes, complaint: str
) -> None:
    with pytest.raises(ModelUnsupported) as caught:
        store.import_model(write(tmp_path, text, content))
    assert complaint in str(caught.value)
    assert store.installed() == []


@pytest.mark.parametrize("reshape", ["one_row", "twelve"])
def test_an_embedder_that_was_exported_for_one_picture_takes_several(
    tmp_path: Path, store: ModelStore, reshape: str
) -> None:
    content = embedder(1, reshape=reshape)
    store.import_model(write(tmp_path, EMBEDDER, content))
    images = np.random.default_rng(0).normal(0, 1, (3, 3, 112, 112)).astype(np.float32)
    original = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    one_by_one = [original.run(None, {"image": image[np.newaxis]})[0] for image in images]
    session = onnxruntime.InferenceSession(store.load("my-embedder").graph, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"image": images})[0], np.concatenate(one_by_one), rtol=1e-5)
    assert [verdict.problem for verdict in store.verify()] == [None]


def test_a_graph_that_takes_any_batch_is_kept_as_it_is(tmp_path: Path, store: ModelStore) -> None:
    content = embedder()
    store.import_model(write(tmp_path, EMBEDDER, content))
    assert store.load("my-embedder").graph.read_bytes() == content


def test_missing_files_are_named(tmp_path: Path, store: ModelStore) -> None:
    with pytest.raises(PathMissing, match=r"absent\.toml"):
        store.import_model(tmp_path / "absent.toml")
    path = write(tmp_path, EMBEDDER)
    (tmp_path / "net.onnx").unlink()
    with pytest.raises(PathMissing, match=r"net\.onnx"):
        store.import_model(path)


def test_text_that_is_no_toml_is_refused(tmp_path: Path, store: ModelStore) -> None:
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        store.import_model(write(tmp_path, "name = "))


def test_a_kept_description_that_broke_hides_only_itself(
    tmp_path: Path, store: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.import_model(write(tmp_path, EMBEDDER))
    (store.root / "imported" / "broken.json").write_text("{")
    assert "my-embedder" in store.entries()
    assert "broken.json is left out" in caplog.text
