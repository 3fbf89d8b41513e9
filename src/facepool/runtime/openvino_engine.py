"""OpenVINO, for x86 CPUs: 1.5 to 3.4 times faster there than ONNX Runtime."""

import importlib.util
import platform
import sys
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np

from facepool.runtime.device import Device
from facepool.runtime.graph import EngineReport, Graph, unreadable
from facepool.types import Floats


def is_usable() -> bool:
    """Whether OpenVINO is installed on a machine that it is the faster engine of."""
    return importlib.util.find_spec("openvino") is not None and platform.machine().lower() in {"x86_64", "amd64"}


def report() -> EngineReport:
    """What is installed."""
    return EngineReport("OpenVINO", _version(_openvino()), ("cpu",))


def load(path: Path, device: Device, threads: int) -> Graph:
    """Load a graph on the CPU, whatever the device's kind; see ``Loader``."""
    del device
    openvino = _openvino()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    try:
        compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    except RuntimeError as error:
        raise unreadable(path, "OpenVINO", error) from error
    return _OpenVinoGraph(compiled, _version(openvino))


class _OpenVinoGraph:
    """A graph on the CPU plugin, dynamic in batch and image size."""

    device = "cpu"

    def __init__(self, compiled: Any, version: str) -> None:  # noqa: ANN401 -- OpenVINO ships no types
        self.engine = f"OpenVINO {version}"
        self.outputs = tuple(port.get_any_name() for port in compiled.outputs)
        self._request = compiled.create_infer_request()
        self._lock = Lock()  # a request serves one caller at a time; the CPU is busy with one anyway

    def run(self, batch: Floats) -> tuple[Floats, ...]:
        # The input is copied (about 0.3 ms at 640x480): sharing NumPy's memory with the plugin corrupted the heap
        # when the shape changed from call to call (seen with OpenVINO 2026.4).
        with self._lock:
            result = self._request.infer([batch])
            return tuple(np.array(result[i], dtype=np.float32) for i in range(len(self.outputs)))


def _openvino() -> ModuleType:
    """The engine, imported when it is first asked for, and without its telemetry.

    ``import openvino`` reports the start to an analytics server from a forked process and writes an identifier into
    the user's home. Nothing that sees faces may do that; OpenVINO goes on with an empty stand-in when the package
    that reports cannot be imported.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None forbids the import
    import openvino  # noqa: PLC0415 -- see above

    module: ModuleType = openvino
    return module


def _version(openvino: ModuleType) -> str:
    return str(openvino.__version__).split("-", maxsplit=1)[0]
