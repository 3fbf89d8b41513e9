import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from facepool.errors import (
    ConfigError,
    DeviceUnavailable,
    EngineMissing,
    FacepoolError,
    ModelCorrupt,
    OutOfMemory,
    TooManyOpenFiles,
)
from facepool.models.catalog import InstalledModel
from facepool.runtime import Device, Graph, GraphRequest, Runtime, default_threads, limit_threads, onnxruntime_engine
from facepool.runtime.graph import limits_named, unreadable
from facepool.threads import allowed_threads, set_allowed_threads


@pytest.mark.parametrize("text", ["auto", "cpu", "cuda:0", "cuda:3", "tensorrt:1", "coreml"])
def test_a_device_reads_back_as_it_was_written(text: str) -> None:
    assert str(Device.parse(text)) == text


def test_cuda_without_a_number_is_the_first() -> None:
    assert Device.parse(" CUDA ") == Device("cuda", 0)


@pytest.mark.parametrize("text", ["gpu", "cuda:x", "cpu:0", "cuda:-1", "", "cuda:"])
def test_a_device_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="auto, cpu, cuda:0"):
        Device.parse(text)


def test_a_gpu_that_is_not_there_is_an_error_and_never_the_cpu() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine's ONNX Runtime has CUDA")
    with pytest.raises((DeviceUnavailable, EngineMissing), match="--device cpu") as refused:
        Runtime(Device("cuda", 0))
    # The package itself: an extra of ours could only be installed from an index that has us.
    assert "pip install onnxruntime-gpu" in str(refused.value)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_libraries_of_cuda_that_came_as_packages_are_loaded_before_a_gpu_is_used(
    open_embedder: InstalledModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine's ONNX Runtime has CUDA")
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("loaded"), raising=False)
    with pytest.raises(DeviceUnavailable):
        onnxruntime_engine.load(GraphRequest(open_embedder.graph, Device("cuda", 0), 1))
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", "loaded\n")
    onnxruntime_engine.load(GraphRequest(open_embedder.graph, Device("cpu"), 1))
    assert capsys.readouterr().err == ""


def test_a_gpu_that_was_not_asked_for_and_does_not_work_gives_way_to_the_cpu(
    open_embedder: InstalledModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[Device] = []

    def refuse(request: GraphRequest) -> Graph:
        asked.append(request.device)
        raise DeviceUnavailable("cuda:0 cannot be used", why="no driver")

    monkeypatch.setattr(onnxruntime_engine, "may_have_cuda", lambda: True)
    monkeypatch.setattr(onnxruntime_engine, "offers", lambda _kind: True)
    monkeypatch.setattr(onnxruntime_engine, "load", refuse)
    runtime = Runtime(threads=1)
    assert runtime.load(open_embedder.graph).device == "cpu"
    assert asked == [Device("cuda")]
    assert not runtime.is_cpu
    assert "no driver" in caplog.text


def test_at_least_one_thread() -> None:
    assert default_threads() >= 1


def test_one_budget_holds_for_everything_that_spreads_over_cores() -> None:
    import cv2
    from threadpoolctl import threadpool_info

    before = cv2.getNumThreads(), max(pool["num_threads"] for pool in threadpool_info())
    try:
        limit_threads(1)
        assert cv2.getNumThreads() == allowed_threads() == 1
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    finally:
        limit_threads(max(before))
        set_allowed_threads(None)
    assert allowed_threads() == default_threads()


def test_loading_an_engine_reports_to_nobody(tmp_path: Path) -> None:
    """Both engines' telemetry works out of Python's sight, but leaves an identifier in the user's home."""
    code = (
        "from facepool.runtime import installed_engines; installed_engines(); import sys;"
        "print(sys.modules.get('openvino_telemetry'))"
    )
    environment = os.environ | {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "None"
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOMEM, "Cannot allocate memory"), OutOfMemory),
        (OSError(errno.EMFILE, "Too many open files"), TooManyOpenFiles),
        (RuntimeError("std::bad_alloc"), OutOfMemory),
        (RuntimeError("[CPU] node 'x' can't alloc"), OutOfMemory),
        (MemoryError(), OutOfMemory),
        (RuntimeError("ONNX import: wrong magic"), ModelCorrupt),
    ],
)
def test_a_model_is_not_called_damaged_for_want_of_memory_or_files(error: Exception, kind: type[FacepoolError]) -> None:
    assert type(unreadable(Path("net.onnx"), "OpenVINO", error)) is kind


def test_a_network_that_finds_no_memory_says_so_and_other_failures_stay_what_they_are() -> None:
    with pytest.raises(OutOfMemory), limits_named("The network cannot be run"):
        raise RuntimeError("std::bad_alloc")
    with pytest.raises(RuntimeError, match="a bug"), limits_named("The network cannot be run"):
        raise RuntimeError("a bug")
