from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from facepool.errors import ConfigError, LicenceNotAccepted, ModelUnsupported, PathMissing, UnknownModel
from facepool.models import ModelStore
from facepool.models.specs import EmbedderSpec, RetinaFaceSpec
from fake_sources import NO_INDEX

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
outputs = ["out", "out", "out"]
strides = [16, 32]
prior_sizes = [[16], [32, 64]]
"""


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store", index=NO_INDEX)


def network(rank: int = 4) -> bytes:
    """Flattens a (N, 3, 2, 2) image into 12 numbers."""
    sides: list[int | str | None] = ["n", 3, 2, 2]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, sides[:rank])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 12 if rank == 4 else 3])
    graph = helper.make_graph([helper.make_node("Flatten", ["image"], ["out"])], "net", [image], [out])
    opset = helper.make_opsetid("", 17)
    content: bytes = helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    return content


def write(tmp_path: Path, text: str, content: bytes | None = None) -> Path:
    (tmp_path / "net.onnx").write_bytes(network() if content is None else content)
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
    assert entry.spec == RetinaFaceSpec(strides=(16, 32), prior_sizes=((16,), (32, 64)), outputs=("out", "out", "out"))


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
        ('["out", "out", "out"]', '["out"]', "`detect.outputs` should be a list of 3 texts"),
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
        (EMBEDDER, network(rank=2), "one input of shape"),
        (EMBEDDER.replace("= 12", "= 512"), network(), "`embed.dimension` is 512"),
        (DETECTOR.replace('"out", "out", "out"', '"loc", "conf", "out"'), network(), "names conf, loc, but it has out"),
    ],
)
def test_a_graph_that_does_not_fit_its_description_is_refused(
    tmp_path: Path, store: ModelStore, text: str, content: bytes, complaint: str
) -> None:
    with pytest.raises(ModelUnsupported) as caught:
        store.import_model(write(tmp_path, text, content))
    assert complaint in str(caught.value)


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
