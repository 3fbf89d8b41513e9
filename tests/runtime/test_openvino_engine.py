"""What engines made of graphs, kept on the disk: never taken when damaged, never in the way."""

import logging
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from facepool.errors import DeviceUnavailable
from facepool.models.catalog import InstalledModel
from facepool.runtime import Device, GraphRequest, openvino_engine
from facepool.runtime.openvino_engine import KEPT, CompiledGraphs, key_of, known_file

CPU = Device("cpu")
FACES = np.random.default_rng(0).uniform(0, 255, (2, 3, 112, 112)).astype(np.float32)


def test_what_is_kept_is_found_again_and_nothing_else(tmp_path: Path) -> None:
    kept = CompiledGraphs(tmp_path / "new")
    assert kept.find("a" * 32) is None
    kept.keep("a" * 32, b"compiled")
    found = kept.find("a" * 32)
    assert found is not None
    assert found.read_bytes() == b"compiled"
    assert kept.find("b" * 32) is None


def test_a_damaged_file_is_thrown_away_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = CompiledGraphs(tmp_path)
    kept.keep("a" * 32, b"compiled")
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"compiler")
    with caplog.at_level(logging.WARNING):
        assert kept.find("a" * 32) is None
    assert "damaged" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_the_ones_used_longest_ago_go_first(tmp_path: Path) -> None:
    kept = CompiledGraphs(tmp_path)
    for number in range(KEPT):
        kept.keep(f"{number:032}", b"compiled")
        (path,) = tmp_path.glob(f"{number:032}-*")
        os.utime(path, (number, number))
    kept.find(f"{0:032}")
    kept.keep("f" * 32, b"compiled")
    assert kept.find(f"{0:032}") is not None
    assert kept.find(f"{1:032}") is None
    assert len(list(tmp_path.iterdir())) == KEPT


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    kept = CompiledGraphs(tmp_path / "file" / "folder")
    kept.keep("a" * 32, b"compiled")
    assert kept.find("a" * 32) is None


def test_another_file_another_version_and_other_settings_have_other_keys(tmp_path: Path) -> None:
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(b"one")
    keys = [
        key_of(known_file(graph), {"engine": "1"}),
        key_of(known_file(graph), {"engine": "2"}),
        key_of(known_file(graph), {"engine": "1", "shape": (1, 2)}),
    ]
    assert key_of(known_file(graph), {"engine": "1"}) == keys[0]
    graph.write_bytes(b"four")
    keys.append(key_of(known_file(graph), {"engine": "1"}))
    assert len(set(keys)) == len(keys)


def test_the_second_start_gives_the_same_numbers_without_compiling(
    open_embedder: InstalledModel, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    plain = openvino_engine.load(GraphRequest(open_embedder.graph, CPU, 1)).run(FACES)[0]
    first = openvino_engine.load(GraphRequest(open_embedder.graph, CPU, 1, tmp_path))
    (kept,) = tmp_path.iterdir()
    second = openvino_engine.load(GraphRequest(open_embedder.graph, CPU, 2, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]
    for graph in (first, second):
        np.testing.assert_allclose(graph.run(FACES)[0], plain, rtol=1e-4, atol=1e-4)


def test_what_the_engine_does_not_take_is_compiled_again(open_detector: InstalledModel, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    openvino_engine.load(GraphRequest(open_detector.graph, CPU, 1, tmp_path))
    (path,) = tmp_path.iterdir()
    key = path.name.split("-")[0]
    path.unlink()
    CompiledGraphs(tmp_path).keep(key, b"of another program, but whole")
    graph = openvino_engine.load(GraphRequest(open_detector.graph, CPU, 1, tmp_path))
    assert graph.run(np.zeros((1, 3, 64, 64), np.float32))[0].shape == (1, 32, 8, 8)


@pytest.mark.parametrize("nothing", [True, False])
def test_a_processor_that_the_engine_has_no_code_for_is_told_with_what_holds_it_back(
    open_embedder: InstalledModel, monkeypatch: pytest.MonkeyPatch, *, nothing: bool
) -> None:
    """As OpenVINO 2026.4 does of RetinaFace with ``SSE41``: it raises, or its cached graph gives arrays of no rows."""
    pytest.importorskip("openvino")
    graph = openvino_engine.load(GraphRequest(open_embedder.graph, CPU, 1))

    def run(*_: object, **__: object) -> tuple[np.ndarray, ...]:
        if nothing:
            return (np.empty((0, 128), np.float32),)
        raise RuntimeError("Exception from src/inference\n[CPU] Interpolate node bad combination\n\n")

    monkeypatch.setattr(openvino_engine._Compiled, "run", run)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    with pytest.raises(DeviceUnavailable, match=r"ONEDNN_MAX_CPU_ISA=SSE41\. Unset"):
        graph.run(FACES)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what lies in memory, and gives pages back so")
def test_imported_weights_do_not_stay_in_memory_beside_the_engines_own(
    open_embedder: InstalledModel, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    first = openvino_engine.load(GraphRequest(open_embedder.graph, CPU, 1, tmp_path)).run(FACES)[0]
    (kept,) = tmp_path.iterdir()
    graph = openvino_engine.load(GraphRequest(open_embedder.graph, CPU, 1, tmp_path))
    np.testing.assert_array_equal(graph.run(FACES)[0], first)
    assert _resident_bytes(tmp_path) < kept.stat().st_size / 4
    np.testing.assert_array_equal(graph.run(FACES)[0], first)
    np.testing.assert_allclose(graph.run(FACES[:1])[0], first[:1], rtol=1e-4, atol=1e-4)


_RUN_ON_A_FILE_THAT_IS_CUT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
from facepool.runtime import Device, GraphRequest, openvino_engine

faces = np.random.default_rng(0).uniform(0, 255, (2, 3, 112, 112)).astype(np.float32)
graph = openvino_engine.load(GraphRequest(Path(sys.argv[1]), Device("cpu"), 1, Path(sys.argv[2])))
first = graph.run(faces)[0]
(kept,) = Path(sys.argv[2]).iterdir()
with kept.open("r+b") as file:
    file.write(bytes(kept.stat().st_size // 2))
    file.truncate()
np.testing.assert_array_equal(graph.run(faces)[0], first)
np.testing.assert_allclose(graph.run(faces[:1])[0], first[:1], rtol=1e-4, atol=1e-4)
print("goes on")
"""


def test_a_kept_file_that_is_cut_while_it_is_used_harms_nobody(open_embedder: InstalledModel, tmp_path: Path) -> None:
    """In a process of its own: reading what is mapped of a file that was cut ends a process."""
    pytest.importorskip("openvino")
    openvino_engine.load(GraphRequest(open_embedder.graph, CPU, 1, tmp_path))
    words = [sys.executable, "-c", _RUN_ON_A_FILE_THAT_IS_CUT, str(open_embedder.graph), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (0, "goes on\n"), done.stderr


@pytest.mark.parametrize("cached", [True, False])
def test_a_model_that_is_damaged_or_gone_while_it_is_used_harms_nobody(
    open_detector: InstalledModel, tmp_path: Path, *, cached: bool
) -> None:
    pytest.importorskip("openvino")
    model = tmp_path / "model.onnx"
    shutil.copy(open_detector.graph, model)
    graph = openvino_engine.load(GraphRequest(model, CPU, 1, tmp_path / "cache" if cached else None))
    sizes = [np.zeros((1, 3, side, 64), np.float32) for side in (64, 96, 128, 160, 192)]
    first = graph.run(sizes[0])[0]
    model.write_bytes(b"damaged")
    for picture in sizes:  # each comes so often that a graph of its own is made, and the first ones are forgotten
        for _ in range(openvino_engine._STEADY + 1):
            graph.run(picture)
    model.unlink()
    np.testing.assert_allclose(graph.run(sizes[0])[0], first, rtol=1e-4, atol=1e-4)


def _resident_bytes(path: Path) -> int:
    """How much of a folder's mapped files lies in this process's memory, also of files that have no name any more."""
    blocks = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(encoding="utf-8"))
    mapped = [block for block in blocks if str(path) in block]
    assert mapped
    return sum(1024 * int(size) for block in mapped for size in re.findall(r"Rss: +(\d+) kB", block))


@pytest.mark.parametrize("bfloat16", [False, True])
def test_images_side_by_side_give_what_they_give_in_turn(
    open_embedder: InstalledModel, tmp_path: Path, bfloat16: bool
) -> None:
    pytest.importorskip("openvino")
    in_turn, side_by_side = (
        openvino_engine.load(GraphRequest(open_embedder.graph, CPU, 2, tmp_path, None, bfloat16, together))
        for together in (1, 2)
    )
    faces = np.random.default_rng(0).uniform(0, 255, (3, 3, 112, 112)).astype(np.float32)
    for count in (1, 2, 3):
        np.testing.assert_array_equal(side_by_side.run(faces[:count])[0], in_turn.run(faces[:count])[0])
    assert len(list(tmp_path.iterdir())) == 1, "what is kept serves any number of streams"


def test_runs_that_meet_give_what_they_give_alone(open_detector: InstalledModel, tmp_path: Path) -> None:
    graph = openvino_engine.load(GraphRequest(open_detector.graph, CPU, 2, tmp_path, open_detector.entry.spec.feed))
    assert openvino_engine.runs_at_once(graph) == 2
    images = [np.random.default_rng(number).integers(0, 255, (1, 64, 96, 3), np.uint8) for number in range(4)]
    alone = [graph.run(image) for image in images]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(graph.run, images * 12))
    for outputs, expected in zip(together, alone * 12, strict=True):
        for one, other in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)
