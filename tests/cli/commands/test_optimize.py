"""``facepool models optimize``: graphs of 8 bits made with the demo's photos, and what commands do with them."""

import json
import shutil
from pathlib import Path

import pytest

from support.commands import Commands

pytestmark = pytest.mark.slow

DETECTOR = "retinaface-mnet025"


@pytest.fixture
def own_store(facepool: Commands) -> Commands:
    """Commands with a store of their own, so that nobody else gets what is made."""
    shared, own = Path(facepool.env["FACEPOOL_MODELS_DIR"]), facepool.folder / "models"
    for part in ("originals", "prepared", "assets"):
        shutil.copytree(shared / part, own / part)
    facepool.env["FACEPOOL_MODELS_DIR"] = str(own)
    return facepool


ON_A_CPU_TWICE_AS_FAST = """
from functools import partial
from facepool.cli.commands import models
from facepool.cli.main import main
models.Optimizer = partial(models.Optimizer, time_ratio=lambda *_: 0.5)
main()
"""
"""The command, on a processor that takes half the time for 8 bits: whether this one does is for it to say."""

REFUSED = """
from facepool.cli.commands import models
from facepool.cli.main import main
from facepool.optimize.acceptance import AcceptanceReport, Metric
report = AcceptanceReport((Metric("vectors", 0.2, 0.1, "made up"), Metric("time", 0.5, 0.9, "made up")), 30, 6)
models.Optimizer.optimize = lambda *_: report
main()
"""


@pytest.fixture(scope="module")
def optimized(tmp_path_factory: pytest.TempPathFactory, crowd: Commands, photos: Path) -> Commands:
    """Ada and Bob in a pool made by float32, and a store of its own whose networks have been optimized."""
    pytest.importorskip("nncf")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino", reason="what is accepted depends on the engine")
    shared = Path(crowd.env["FACEPOOL_MODELS_DIR"])
    commands = Commands(tmp_path_factory.mktemp("optimized"), tmp_path_factory.mktemp("models"))
    for part in ("originals", "prepared", "assets"):
        shutil.copytree(shared / part, Path(commands.env["FACEPOOL_MODELS_DIR"]) / part)
    commands.take_pool_of(crowd)
    outcome = commands.python("-c", ON_A_CPU_TWICE_AS_FAST, "models", "optimize", DETECTOR, "--json")
    assert outcome.code == 0, outcome.out + outcome.err
    (record,) = outcome.records
    assert record["accepted"] is True
    figures = record["figures"]
    assert isinstance(figures, list)
    names = {"faces_lost", "faces_added", "worst_box", "landmarks", "vectors", "time"}
    assert {figure["name"] for figure in figures if figure["holds"]} == names
    return commands


def test_an_accepted_graph_is_used_from_then_on_and_said(optimized: Commands, photos: Path) -> None:
    pictures = (photos / "person_a_2.jpg", photos / "person_b_2.jpg", photos / "impostor_1.jpg")
    plain = optimized("recognize", *pictures, "--json", "--precision", "float32")
    fast = optimized("recognize", *pictures, "--json")
    assert "detector int8" in fast.err
    assert "int8" not in plain.err
    assert [record["person"] for record in fast.records] == ["Ada", "Bob", None]
    before, after = ([record["similarity"] for record in outcome.records] for outcome in (plain, fast))
    assert before != after
    assert before == pytest.approx(after, abs=0.05)


def test_a_refused_graph_is_an_exit_code_and_changes_nothing(own_store: Commands) -> None:
    outcome = own_store.python("-c", REFUSED, "models", "optimize", DETECTOR)
    assert outcome.code == 5
    assert f"{DETECTOR}: refused, so nothing changes" in outcome.out
    assert not (Path(own_store.env["FACEPOOL_MODELS_DIR"]) / "optimized").exists()


def test_it_is_listed_with_the_figures_that_it_was_accepted_by(optimized: Commands) -> None:
    here = {record["model"]: record["int8"] for record in optimized("models", "list", "--json").records}
    assert (here[DETECTOR], here["sface"]) == (True, False)
    (record,) = optimized("models", "info", DETECTOR, "--json").records
    report = record["int8"]
    assert isinstance(report, dict)
    assert report["figures"]["worst_box"][0] < report["figures"]["worst_box"][1]
    assert "worst_box" in optimized("models", "info", DETECTOR).out


def test_int8_is_for_cpus_and_for_what_was_optimized(optimized: Commands, photos: Path) -> None:
    outcome = optimized("recognize", photos / "person_a_2.jpg", "--precision", "int8")
    assert outcome.code == 5
    assert "no int8 graph of sface" in outcome.error
    assert "facepool models optimize" in outcome.error


def test_a_damaged_graph_is_not_used(optimized: Commands, photos: Path, tmp_path: Path) -> None:
    (graph,) = Path(optimized.env["FACEPOOL_MODELS_DIR"]).glob("optimized/*.onnx")
    content = graph.read_bytes()
    try:
        graph.write_bytes(content[:-1] + b"?")
        outcome = optimized("recognize", photos / "person_a_2.jpg", "--json")
        assert outcome.records[0]["person"] == "Ada"
        assert "int8" not in outcome.err.replace("optimized", "")
        assert "is not used" in outcome.err
        assert optimized("models", "verify").code == 5
    finally:
        graph.write_bytes(content)
    assert optimized("models", "verify").code == 0


def test_going_back_to_float32(own_store: Commands, optimized: Commands, photos: Path) -> None:
    made = Path(optimized.env["FACEPOOL_MODELS_DIR"]) / "optimized"
    shutil.copytree(made, Path(own_store.env["FACEPOOL_MODELS_DIR"]) / "optimized")
    own_store.take_pool_of(optimized)
    assert "int8" in own_store("recognize", photos / "person_a_2.jpg").err
    assert "int8 graph removed" in own_store("models", "optimize", "--remove").out
    assert "int8" not in own_store("recognize", photos / "person_a_2.jpg").err
    assert "there is no int8 graph" in own_store("models", "optimize", "--remove", DETECTOR).out


def test_pictures_without_faces_are_an_error(own_store: Commands) -> None:
    pytest.importorskip("nncf")
    pytest.importorskip("onnxruntime")
    empty = own_store.folder / "empty"
    empty.mkdir()
    outcome = own_store("models", "optimize", "--pictures", empty)
    assert outcome.code == 3
    assert "--pictures" in outcome.error


def test_a_removed_model_takes_its_int8_graph_along(own_store: Commands, optimized: Commands) -> None:
    store = Path(own_store.env["FACEPOOL_MODELS_DIR"])
    shutil.copytree(Path(optimized.env["FACEPOOL_MODELS_DIR"]) / "optimized", store / "optimized")
    assert own_store("models", "remove", DETECTOR).code == 0
    assert not list((store / "optimized").iterdir())


def test_the_report_names_the_graph_by_its_content(optimized: Commands) -> None:
    (manifest,) = Path(optimized.env["FACEPOOL_MODELS_DIR"]).glob("optimized/*.json")
    record = json.loads(manifest.read_text(encoding="utf-8"))
    assert len(record["sha256"]) == len(record["made_from"]) == 64
