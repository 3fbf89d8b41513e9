"""ONNX Runtime, for every other CPU, and for CUDA, TensorRT and CoreML."""

import importlib.util
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from facepool.errors import DeviceUnavailable
from facepool.runtime.graph import (
    NUMBERED,
    Device,
    DeviceKind,
    EngineReport,
    Graph,
    GraphRequest,
    limits_named,
    unreadable,
)
from facepool.types import Floats, Image, PixelFeed

PROVIDERS: dict[DeviceKind, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}


def is_installed() -> bool:
    """Whether ONNX Runtime is installed, in any build."""
    return importlib.util.find_spec("onnxruntime") is not None


def may_have_cuda() -> bool:
    """Whether the installed build comes with the CUDA part; seen from its files, because importing it takes time."""
    found = importlib.util.find_spec("onnxruntime")
    places = found.submodule_search_locations if found else None
    return any(any(Path(place).glob("capi/*providers_cuda*")) for place in places or ())


def offers(kind: DeviceKind) -> bool:
    """Whether the installed build has been made for a kind of device; whether it works, only loading shows."""
    return PROVIDERS[kind] in _onnxruntime().get_available_providers()


def report() -> EngineReport:
    """What is installed."""
    return EngineReport("ONNX Runtime", _onnxruntime().__version__, tuple(kind for kind in PROVIDERS if offers(kind)))


def start() -> None:
    """Import it."""
    _onnxruntime()


def load(request: GraphRequest) -> Graph:
    """Load a graph on exactly the device that is named; see ``Loader``. It is prepared anew at every start."""
    onnxruntime = _onnxruntime()
    kind: DeviceKind = "cpu" if request.device.kind == "auto" else request.device.kind
    device = Device(kind, request.device.index)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request.threads
    options.log_severity_level = 3
    if kind in NUMBERED:
        _find_libraries(onnxruntime)
    placed = (PROVIDERS[kind], {"device_id": device.index}) if kind in NUMBERED else PROVIDERS[kind]
    try:
        # The fall-back would take the CPU without being asked, and say so on standard output.
        session = onnxruntime.InferenceSession(str(request.path), options, providers=[placed], enable_fallback=False)
    except (
        RuntimeError,
        ValueError,
        MemoryError,
        onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf,
    ) as error:
        if kind != "cpu":
            raise _refused(device, str(error)) from error
        raise unreadable(request.path, "ONNX Runtime", error) from error
    if session.get_providers()[0] != PROVIDERS[kind]:
        raise _refused(device, "ONNX Runtime could not start it and would have run on the CPU")
    return _OnnxRuntimeGraph(session, str(device), onnxruntime.__version__, request.feed)


class _OnnxRuntimeGraph:
    """A graph in a session, which several threads may run at once."""

    def __init__(
        self,
        session: Any,  # noqa: ANN401 -- ONNX Runtime ships no types
        device: str,
        version: str,
        feed: PixelFeed | None,
    ) -> None:
        self.engine = f"ONNX Runtime {version}"
        self.device = device
        self.outputs = tuple(output.name for output in session.get_outputs())
        self._session = session
        self._feed = feed
        self._input = session.get_inputs()[0].name

    def run(self, batch: Floats | Image) -> tuple[Floats, ...]:
        given = batch if self._feed is None else planes(batch, self._feed)
        with limits_named("The network cannot be run"):
            return tuple(self._session.run(None, {self._input: given}))


def planes(images_bgr: Floats | Image, feed: PixelFeed) -> Floats:
    """What a feed makes of pixels: (N, 3, H, W) float32 of (N, H, W, 3) uint8 BGR."""
    ordered = images_bgr if feed.channel_order == "bgr" else images_bgr[..., ::-1]
    shifted = np.subtract(ordered.transpose(0, 3, 1, 2), np.array(feed.mean, np.float32)[:, None, None], order="C")
    return shifted if feed.scale == 1.0 else np.asarray(shifted / np.float32(feed.scale), np.float32)


def _onnxruntime() -> ModuleType:
    """The engine, imported when it is first asked for, and without its telemetry.

    Since 1.29 the official builds report sessions, models and a device identifier to their maker unless the
    environment forbids it before the import. Nothing that sees faces may do that.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime  # noqa: PLC0415 -- see above

    onnxruntime.disable_telemetry_events()
    module: ModuleType = onnxruntime
    return module


def _find_libraries(onnxruntime: ModuleType) -> None:
    """Load CUDA and cuDNN from packages, where they came that way: the system's loader does not look there."""
    if hasattr(onnxruntime, "preload_dlls"):  # since 1.21
        with redirect_stdout(sys.stderr):  # where remarks belong
            onnxruntime.preload_dlls()


def _refused(device: Device, why: str) -> DeviceUnavailable:
    return DeviceUnavailable(
        f"{device} cannot be used",
        why=why.strip().splitlines()[0],
        fix="Check the driver (nvidia-smi), or use --device cpu or --device auto",
    )
