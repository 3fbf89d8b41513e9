"""The only module that imports an inference engine.

A *graph* is a network loaded on a device. OpenVINO runs graphs on x86 CPUs (1.5 to 3.4 times faster there than ONNX
Runtime), ONNX Runtime everywhere else: other CPUs, CUDA, TensorRT, CoreML. Engines are imported when the first graph
is loaded, never by importing this module.

Device truth: ``auto`` takes the best device that works; a device that was named and cannot be used is an error.
"""

import importlib.util
import logging
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from facepool.errors import ConfigError, DeviceUnavailable, EngineMissing, ModelCorrupt
from facepool.types import Floats

log = logging.getLogger(__name__)

DeviceKind = Literal["auto", "cpu", "cuda", "tensorrt", "coreml"]
_KINDS: tuple[DeviceKind, ...] = ("auto", "cpu", "cuda", "tensorrt", "coreml")
_INDEXED: tuple[DeviceKind, ...] = ("cuda", "tensorrt")
_PROVIDERS: dict[DeviceKind, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}


class Graph(Protocol):
    """A network on a device, ready to run."""

    @property
    def engine(self) -> str:
        """Name and version of the engine, for people."""

    @property
    def device(self) -> str:
        """The device in use, for people: ``cpu``, ``cuda:0``."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in the order in which ``run`` returns them."""

    def run(self, batch: Floats) -> tuple[Floats, ...]:
        """Run the network once.

        Args:
            batch: (N, C, H, W) float32, C-contiguous, N of at least 1.

        Returns:
            One float32 array an output, owned by the caller, N rows each.
        """


@dataclass(frozen=True, slots=True)
class Device:
    """What to run on.

    Attributes:
        kind: ``auto`` means the best that works.
        index: Which one of several; 0 for kinds that have no number.
    """

    kind: DeviceKind
    index: int = 0

    @classmethod
    def parse(cls, text: str) -> "Device":
        """Read ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``tensorrt:0`` or ``coreml``.

        Raises:
            ConfigError: The text is none of these.
        """
        name, colon, number = text.strip().lower().partition(":")
        for kind in _KINDS:
            if name == kind and (not colon or (kind in _INDEXED and number.isdecimal())):
                return cls(kind, int(number or 0))
        raise ConfigError(
            f"There is no device {text!r}",
            fix="Say auto, cpu, cuda:0 (or another number), tensorrt:0 or coreml",
        )

    def __str__(self) -> str:
        """The text that ``parse`` reads."""
        return f"{self.kind}:{self.index}" if self.kind in _INDEXED else self.kind


def default_threads() -> int:
    """Number of CPU cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def limit_threads(threads: int) -> None:
    """Hold everything else in this process that spreads over cores to the same budget: OpenCV and BLAS.

    The networks get it from their ``Runtime``. Stages run in turn, so one budget for all keeps the promise.
    """
    cv2.setNumThreads(threads)
    threadpool_limits(limits=threads)


class Runtime:
    """Loads graphs on one device within one thread budget.

    Args:
        device: What to run on; ``auto`` by default.
        threads: CPU threads that all graphs of this runtime share in turn; the process's cores by default.

    Raises:
        DeviceUnavailable: The device was named and cannot be used.
        EngineMissing: No engine is installed that runs on it.
    """

    def __init__(self, device: Device | None = None, threads: int | None = None) -> None:
        self.threads = threads or default_threads()
        self.device = device or Device("auto")
        self._load = _choose_loader(self.device)

    def load(self, path: Path) -> Graph:
        """Load an ONNX file.

        Raises:
            ModelCorrupt: The engine cannot read the file.
            DeviceUnavailable: The named device refused the network.
        """
        graph = self._load(path, self.device, self.threads)
        log.info("%s: %s on %s, %d threads", path.name, graph.engine, graph.device, self.threads)
        return graph


Loader = Callable[[Path, Device, int], Graph]


def _choose_loader(device: Device) -> Loader:
    if device.kind == "cpu":
        return _cpu_loader()
    if device.kind == "auto":
        return _load_onnxruntime_auto if _auto_accelerator() else _cpu_loader()
    if not _installed("onnxruntime"):
        raise EngineMissing(
            f"{device} needs ONNX Runtime, which is not installed",
            fix=_how_to_install(device.kind) + ", or use --device cpu",
        )
    if _PROVIDERS[device.kind] not in _available_providers():
        raise DeviceUnavailable(
            f"{device} cannot be used",
            why=f"the installed ONNX Runtime was built without {_PROVIDERS[device.kind]}",
            fix=_how_to_install(device.kind) + ", or use --device cpu or --device auto",
        )
    return _load_onnxruntime


def _cpu_loader() -> Loader:
    if _installed("openvino") and platform.machine().lower() in {"x86_64", "amd64"}:
        return _load_openvino
    if _installed("onnxruntime"):
        return _load_onnxruntime
    raise EngineMissing(
        "No inference engine is installed", fix="Run: pip install openvino (x86) or pip install onnxruntime"
    )


def _auto_accelerator() -> bool:
    return _installed("onnxruntime") and _PROVIDERS["cuda"] in _available_providers()


def _how_to_install(kind: DeviceKind) -> str:
    if kind == "coreml":
        return "CoreML needs macOS and: pip install 'facepool[onnxruntime]'"
    return "Install the GPU engine in place of the CPU one: pip uninstall onnxruntime; pip install 'facepool[cuda]'"


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _available_providers() -> list[str]:
    import onnxruntime  # noqa: PLC0415 -- an engine is loaded only when it is asked for

    return list(onnxruntime.get_available_providers())


class _OpenVinoGraph:
    """A graph on OpenVINO's CPU plugin, dynamic in batch and image size."""

    device = "cpu"

    def __init__(self, compiled: Any, version: str) -> None:  # noqa: ANN401 -- OpenVINO ships no types
        self.engine = f"OpenVINO {version}"
        self.outputs = tuple(port.get_any_name() for port in compiled.outputs)
        self._request = compiled.create_infer_request()
        self._count = len(self.outputs)

    def run(self, batch: Floats) -> tuple[Floats, ...]:
        # The input is copied (about 0.3 ms at 640x480): sharing NumPy's memory with the plugin corrupted the heap
        # when the shape changed from call to call (seen with OpenVINO 2026.4).
        result = self._request.infer([batch])
        return tuple(np.array(result[i], dtype=np.float32) for i in range(self._count))


def _load_openvino(path: Path, device: Device, threads: int) -> Graph:
    import openvino  # noqa: PLC0415 -- an engine is loaded only when it is asked for

    del device
    core = openvino.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    try:
        compiled = core.compile_model(str(path), "CPU", settings)
    except RuntimeError as error:
        raise _unreadable(path, "OpenVINO", error) from error
    return _OpenVinoGraph(compiled, openvino.__version__.split("-")[0])


class _OnnxRuntimeGraph:
    """A graph on ONNX Runtime."""

    def __init__(self, session: Any, device: str, version: str) -> None:  # noqa: ANN401 -- ONNX Runtime ships no types
        self.engine = f"ONNX Runtime {version}"
        self.device = device
        self.outputs = tuple(output.name for output in session.get_outputs())
        self._session = session
        self._input = session.get_inputs()[0].name

    def run(self, batch: Floats) -> tuple[Floats, ...]:
        return tuple(self._session.run(None, {self._input: batch}))


def _load_onnxruntime(path: Path, device: Device, threads: int) -> Graph:
    import onnxruntime  # noqa: PLC0415 -- an engine is loaded only when it is asked for

    kind: DeviceKind = "cpu" if device.kind == "auto" else device.kind
    provider = _PROVIDERS[kind]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    placed = [(provider, {"device_id": device.index}) if kind in _INDEXED else provider]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=placed)
    except (RuntimeError, ValueError, onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf) as error:
        raise _unreadable(path, "ONNX Runtime", error) from error
    # ONNX Runtime falls back to the CPU in silence when a driver or library is missing.
    if session.get_providers()[0] != provider:
        raise DeviceUnavailable(
            f"{device} cannot be used",
            why="ONNX Runtime could not start it and would have run on the CPU",
            fix="Check the driver (nvidia-smi), or use --device cpu or --device auto",
        )
    return _OnnxRuntimeGraph(session, str(Device(kind, device.index)), onnxruntime.__version__)


def _load_onnxruntime_auto(path: Path, device: Device, threads: int) -> Graph:
    del device
    try:
        return _load_onnxruntime(path, Device("cuda"), threads)
    except DeviceUnavailable as error:
        log.warning("CUDA is installed but does not work, so the CPU is used: %s", error.why)
        return _cpu_loader()(path, Device("cpu"), threads)


def _unreadable(path: Path, engine: str, error: Exception) -> ModelCorrupt:
    return ModelCorrupt(
        f"{engine} cannot load {path.name}",
        why=str(error).strip().splitlines()[0] if str(error).strip() else "no reason given",
        fix="Fetch it again: facepool models pull, or check the file that you imported",
    )


@dataclass(frozen=True, slots=True)
class EngineReport:
    """An installed engine, for ``facepool doctor``.

    Attributes:
        name: For people.
        version: As the engine states it.
        devices: What it says it can run on.
    """

    name: str
    version: str
    devices: tuple[str, ...]


def installed_engines() -> tuple[EngineReport, ...]:
    """The engines that are installed and what they offer; imports them."""
    reports = []
    if _installed("openvino"):
        import openvino  # noqa: PLC0415 -- an engine is loaded only when it is asked for

        reports.append(EngineReport("OpenVINO", openvino.__version__.split("-")[0], ("cpu",)))
    if _installed("onnxruntime"):
        import onnxruntime  # noqa: PLC0415 -- an engine is loaded only when it is asked for

        available = _available_providers()
        devices = tuple(kind for kind, provider in _PROVIDERS.items() if provider in available)
        reports.append(EngineReport("ONNX Runtime", onnxruntime.__version__, devices))
    return tuple(reports)
