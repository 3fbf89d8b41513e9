"""Runtime: the only package that imports an inference engine.

Comes in: an ONNX file and the device to run it on. Goes out: a ``Graph``, a network that takes batches. Read ``graph``
first. OpenVINO runs graphs on x86 CPUs, ONNX Runtime everywhere else. Engines are imported when the first graph is
loaded, never by importing this package.

Device truth: ``auto`` takes CUDA where it works and the CPU otherwise (TensorRT and CoreML compile for every new
picture size, so they are taken only by name); a device that was named and cannot be used is an error.
"""

import logging
import os
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import cv2

from facepool.errors import DeviceUnavailable, EngineMissing, FacepoolError
from facepool.runtime import onnxruntime_engine, openvino_engine
from facepool.runtime.graph import Device, DeviceKind, EngineReport, Graph, GraphRequest, Loader
from facepool.runtime.openvino_engine import default_cache, runs_at_once
from facepool.runtime.trial import Outcome
from facepool.threads import default_threads, library_threads, set_allowed_threads
from facepool.types import PixelFeed

__all__ = [
    "Device",
    "EngineReport",
    "Graph",
    "GraphRequest",
    "Loader",
    "Outcome",
    "Runtime",
    "default_cache",
    "default_threads",
    "installed_engines",
    "limit_threads",
    "runs_at_once",
    "work_side_by_side",
]

log = logging.getLogger(__name__)

_BLAS_VARIABLES = [f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "GOTO", "MKL", "BLIS")]
"""What may have told BLAS another number of threads than that of the cores."""


def limit_threads(threads: int) -> None:
    """Hold everything else in this process that spreads over cores to the same budget: OpenCV, BLAS and the search.

    The networks get it from their ``Runtime``. Stages run in turn, so one budget for all keeps the promise.
    """
    cv2.setNumThreads(threads)
    if threads != library_threads() or {os.environ.get(name) for name in _BLAS_VARIABLES} - {None, str(threads)}:
        # It begins with all cores; to find it takes as long as to recognize a face.
        from threadpoolctl import threadpool_limits  # noqa: PLC0415 -- see above

        threadpool_limits(limits=threads)
    set_allowed_threads(threads)


def work_side_by_side() -> None:
    """Let OpenCV do what one thread asks of it in that thread.

    For a process whose threads look at pictures of their own: what is to be done on one takes OpenCV less than a
    millisecond, and its other threads then wait for more, which takes as long of a core that somebody else needs.
    """
    cv2.setNumThreads(1)


class Runtime:
    """Loads graphs on one device within one thread budget.

    Args:
        device: What to run on; ``auto`` by default.
        threads: CPU threads that all graphs of this runtime share in turn; the process's cores by default.
        cache: Folder for what engines make of graphs, to start faster the next time; None to keep nothing.

    Raises:
        DeviceUnavailable: The device was named, and the installed engine was built without it.
        EngineMissing: No engine is installed that runs on it.
    """

    def __init__(self, device: Device | None = None, threads: int | None = None, cache: Path | None = None) -> None:
        self.threads = threads or default_threads()
        self.device = device or Device("auto")
        self._cache = cache
        self._load = _choose_loader(self.device)

    @property
    def is_cpu(self) -> bool:
        """Whether graphs run on the CPU because nothing else was named or found."""
        return self._load in (openvino_engine.load, onnxruntime_engine.load) and self.device.kind in ("auto", "cpu")

    @property
    def multiplies_bfloat16(self) -> bool:
        """Whether graphs that may be rounded to bfloat16 run faster for it; imports the engine.

        What the engine promises is tried once, in a process of its own, and remembered in the cache.
        """
        tried = self.bfloat16_tried
        return tried is not None and tried.kept

    @cached_property
    def bfloat16_tried(self) -> Outcome | None:
        """What trying bfloat16 showed on this machine; None where no engine in use promises it."""
        return openvino_engine.tried("bfloat16", self._cache) if self._load is openvino_engine.load else None

    @cached_property
    def int8_tried(self) -> Outcome | None:
        """What trying 8 bits showed on this machine; None where the engine in use gains nothing by them."""
        return openvino_engine.tried("int8", self._cache) if self._load is openvino_engine.load else None

    def start(self) -> None:
        """Import the engine, which may be done beside other work; what is wrong with it, ``load`` says."""
        with suppress(ImportError, FacepoolError):
            if self._load is openvino_engine.load:
                openvino_engine.start()
            else:
                onnxruntime_engine.start()

    def load(self, path: Path, feed: PixelFeed | None = None, *, bfloat16: bool = False, together: int = 1) -> Graph:
        """Load an ONNX file.

        Args:
            path: The file.
            feed: Makes a graph that takes pixels; None for one that takes what the file says.
            bfloat16: Numbers may be rounded to bfloat16 inside the graph; 8 significant bits in place of 24.
            together: So many images come in a batch at least, which may be run side by side.

        Raises:
            ModelCorrupt: The engine cannot read the file.
            DeviceUnavailable: The named device refused the network.
        """
        graph = self._load(GraphRequest(path, self.device, self.threads, self._cache, feed, bfloat16, together))
        log.info("%s: %s on %s, %d threads", path.name, graph.engine, graph.device, self.threads)
        return graph


def _choose_loader(device: Device) -> Loader:
    if device.kind == "cpu":
        return _cpu_loader()
    if device.kind == "auto":
        has_cuda = onnxruntime_engine.may_have_cuda() and onnxruntime_engine.offers("cuda")
        return _load_on_cuda_or_cpu if has_cuda else _cpu_loader()
    if not onnxruntime_engine.is_installed():
        raise EngineMissing(
            f"{device} needs ONNX Runtime, which is not installed",
            fix=f"{_how_to_install(device.kind)}, or use --device cpu",
        )
    if not onnxruntime_engine.offers(device.kind):
        raise DeviceUnavailable(
            f"{device} cannot be used",
            why=f"the installed ONNX Runtime was built without {onnxruntime_engine.PROVIDERS[device.kind]}",
            fix=f"{_how_to_install(device.kind)}, or use --device cpu or --device auto",
        )
    return onnxruntime_engine.load


def _cpu_loader() -> Loader:
    if openvino_engine.is_usable():
        return openvino_engine.load
    if onnxruntime_engine.is_installed():
        return onnxruntime_engine.load
    raise EngineMissing(
        "No inference engine is installed", fix="Run: pip install openvino (x86) or pip install onnxruntime"
    )


def _load_on_cuda_or_cpu(request: GraphRequest) -> Graph:
    try:
        return onnxruntime_engine.load(replace(request, device=Device("cuda")))
    except DeviceUnavailable as error:
        log.warning("CUDA is installed but does not work, so the CPU is used: %s", error.why)
        return _cpu_loader()(replace(request, device=Device("cpu")))


def _how_to_install(kind: DeviceKind) -> str:
    if kind == "coreml":
        return "CoreML needs macOS and: pip install onnxruntime"
    replaced = "pip uninstall onnxruntime; " if onnxruntime_engine.is_installed() else ""
    return f"Install the engine that is built for it: {replaced}pip install onnxruntime-gpu"


def installed_engines() -> tuple[EngineReport, ...]:
    """The engines that are installed and what they offer; imports them."""
    reports = []
    if openvino_engine.is_usable():
        reports.append(openvino_engine.report())
    if onnxruntime_engine.is_installed():
        reports.append(onnxruntime_engine.report())
    return tuple(reports)
