"""OpenVINO, for x86 CPUs: 1.5 to 3.4 times faster there than ONNX Runtime."""

import importlib.util
import logging
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np

from facepool.runtime.compiled import CompiledGraphs, key_of
from facepool.runtime.device import Device
from facepool.runtime.graph import EngineReport, Graph, unreadable
from facepool.types import Floats

log = logging.getLogger(__name__)

_CPU = "CPU"


def is_usable() -> bool:
    """Whether OpenVINO is installed on a machine that it is the faster engine of."""
    return importlib.util.find_spec("openvino") is not None and platform.machine().lower() in {"x86_64", "amd64"}


def report() -> EngineReport:
    """What is installed."""
    return EngineReport("OpenVINO", _version(_openvino()), ("cpu",))


def load(path: Path, device: Device, threads: int, cache: Path | None = None) -> Graph:
    """Load a graph on the CPU, whatever the device's kind; see ``Loader``."""
    del device
    openvino = _openvino()
    core = openvino.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    try:
        if cache is None:
            return _OpenVinoGraph(core.compile_model(str(path), _CPU, settings), _version(openvino))
        return _OpenVinoGraph(*_compile_once(core, path, settings, CompiledGraphs(cache)))
    except (RuntimeError, OSError) as error:
        raise unreadable(path, "OpenVINO", error) from error


def _compile_once(
    core: Any,  # noqa: ANN401 -- OpenVINO ships no types
    path: Path,
    settings: Mapping[str, object],
    kept: CompiledGraphs,
) -> tuple[Any, str, object]:
    """Take what was compiled in an earlier run, or compile now and keep it; what ``_OpenVinoGraph`` is made of."""
    openvino = _openvino()
    # How many threads there are is decided at every start.
    lasting = {name: value for name, value in settings.items() if name != "INFERENCE_NUM_THREADS"}
    processor = core.get_property(_CPU, "FULL_DEVICE_NAME"), core.get_property(_CPU, "OPTIMIZATION_CAPABILITIES")
    key = key_of(path, engine=openvino.__version__, processor=processor, settings=lasting)
    found = kept.find(key)
    if found is not None:
        try:
            # OpenVINO refuses memory that is read-only; what it writes here does not reach the file.
            content = np.memmap(found, np.uint8, mode="c")
            compiled = core.import_model(openvino.Tensor(content, shared_memory=True), _CPU, settings)
            return compiled, _version(openvino), content
        except RuntimeError as error:
            log.info("OpenVINO does not take what it compiled before, so it compiles again: %s", error)
    compiled = core.compile_model(str(path), _CPU, settings)
    kept.keep(key, compiled.export_model().getvalue())
    return compiled, _version(openvino), None


class _OpenVinoGraph:
    """A graph on the CPU plugin, dynamic in batch and image size.

    Args:
        compiled: OpenVINO's compiled model.
        version: Of OpenVINO.
        weights: Memory that the compiled model reads its weights from without owning it.
    """

    device = "cpu"

    def __init__(self, compiled: Any, version: str, weights: object = None) -> None:  # noqa: ANN401 -- OpenVINO ships no types
        self._weights = weights
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
