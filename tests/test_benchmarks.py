"""The comparison with the peers runs from end to end: facepool alone, small inputs, no judgement of times."""

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from facepool.models.store import ModelStore, default_root
from support.paths import ROOT

pytestmark = pytest.mark.slow

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def output(photos: Path, open_store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "benchmarks" / "run.py",
            "--quick",
            "--output",
            folder,
            "--models-dir",
            open_store.root,
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def results(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "results.json").read_text(encoding="utf-8"))
    return found


def test_every_case_is_measured_by_facepool(results: dict[str, Any]) -> None:
    assert results["left_out"] == {}
    assert {case["section"] for case in results["cases"].values()} >= {"detect", "embed", "overhead", "video", "fresh"}
    for name, case in results["cases"].items():
        assert case["results"]["facepool"]["median"] > 0, name


def test_it_finds_the_faces_that_are_there(results: dict[str, Any]) -> None:
    counts = {name: case["results"]["facepool"]["count"] for name, case in results["cases"].items()}
    assert (counts["detect-1"], counts["analyze-6"], counts["faces-3"], counts["pool-10"]) == (1, 6, 3, 1)


def test_importing_facepool_loads_no_engine(results: dict[str, Any]) -> None:
    assert results["engines_imported"] == []


def test_the_report_holds_every_target_against_the_run(output: Path, results: dict[str, Any]) -> None:
    report = (output / "results.md").read_text(encoding="utf-8")
    for target in results["targets"]:
        assert target["title"] in report
        assert (target["met"] is None) == (target["value"] is None)


def test_curves_are_drawn(output: Path) -> None:
    for name in ("faces", "sizes", "pools", "side-by-side"):
        assert (output / f"{name}.png").read_bytes().startswith(_SIGNATURE), name


def test_nothing_written_names_this_machine(output: Path) -> None:
    for name in ("results.json", "results.md"):
        text = (output / name).read_text(encoding="utf-8")
        assert platform.node() not in text
        assert str(Path.home()) not in text


def test_the_curves_over_the_size_of_the_pool_are_measured_and_drawn(open_store: ModelStore, tmp_path: Path) -> None:
    if open_store.root != default_root():
        pytest.skip("it uses the models where they usually are")
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "benchmarks" / "scale.py",
            "--quick",
            "--no-server",
            *("--size", "2000", "--output", tmp_path, "--work", tmp_path),
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (case,) = json.loads((tmp_path / "scale.json").read_text(encoding="utf-8"))["cases"]
    assert "failed" not in case
    assert min(case[name] for name in ("cold_s", "warm_s", "seen_p50_s", "erase_s", "probe_p50_s", "command_s")) > 0
    assert (tmp_path / "scale.png").read_bytes().startswith(_SIGNATURE)


def test_what_a_gpu_is_asked_for_runs_on_a_processor(open_store: ModelStore, tmp_path: Path) -> None:
    script, found = ROOT / "benchmarks" / "gpu.py", tmp_path / "gpu.json"
    flags = ["--quick", "--device", "cpu", "--threads", "1", "--seconds", "0.1", "--models-dir", str(open_store.root)]
    done = subprocess.run(
        [sys.executable, str(script), *flags, "--json", str(found)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (results,) = json.loads(found.read_text(encoding="utf-8")).values()
    assert results["same"]
    assert results["search"]["found"] == 1
    assert [row["batch"] for row in results["speeds"]] == [1, 3]
