"""The process in which an engine shows what it makes of smaller numbers: when it ends early, nothing else does.

`facepool.runtime.trial` starts it with ``bfloat16`` or ``int8``, and reads one line of JSON from its standard output:
how far results lie from those in float32, and what share of float32's processor time they take.
"""

import json
import sys
import time
from typing import Any

import numpy as np

from facepool.runtime.openvino_engine import CPU, import_openvino
from facepool.types import Floats

if sys.platform == "win32":
    import ctypes
else:
    import resource

_RUNS = 9
_CHANNELS = 128
_SIDE = 28
_RANGE = 6.0
"""Numbers between the layers stay below this."""
_NO_ERROR_BOXES = 0x0001 | 0x0002  # SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX


def main(precision: str) -> None:
    """Compute in both, and print what came of it."""
    _die_quietly()
    openvino = import_openvino()
    core = openvino.Core()
    image = np.random.default_rng(1).normal(size=(1, 3, 2 * _SIDE, 2 * _SIDE)).astype(np.float32)
    exact = _request(core, _network(openvino, quantized=False), "f32")
    smaller = _request(
        core, _network(openvino, quantized=precision == "int8"), "bf16" if precision == "bfloat16" else "f32"
    )
    wanted, given = _results(exact, image), _results(smaller, image)
    error = float(np.abs(given - wanted).max() / np.abs(wanted).max())
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(_RUNS):
        for request, times in zip((exact, smaller), spent, strict=True):
            began_s = time.process_time()
            request.infer([image])
            times.append(time.process_time() - began_s)
    print(json.dumps({"error": error, "time": min(spent[1]) / max(min(spent[0]), 1e-9)}))


def _die_quietly() -> None:
    """No memory dump, and no box on the screen, of a process that may well crash."""
    if sys.platform == "win32":
        ctypes.windll.kernel32.SetErrorMode(_NO_ERROR_BOXES)
    else:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _network(openvino: Any, *, quantized: bool) -> Any:  # noqa: ANN401 -- OpenVINO ships no types
    """A network for images of any size, of the layers that those for faces are made of."""
    make, random = openvino.opset13, np.random.default_rng(0)
    one = [1, 1]

    def constant(*shape: int) -> Any:  # noqa: ANN401 -- as above
        return make.constant(random.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32))

    def stepped(values: Any, low: float, levels: int) -> Any:  # noqa: ANN401 -- as above
        """Values in as many steps as 8 bits have, from low to the other end."""
        ends = [make.constant(np.float32(end)) for end in (low, -low if low else _RANGE)]
        return make.fake_quantize(values, *ends, *ends, levels) if quantized else values

    def mixed(values: Any, outputs: int, side: int) -> Any:  # noqa: ANN401 -- as above
        weights = stepped(constant(outputs, _CHANNELS, side, side), -5 * (_CHANNELS * side**2) ** -0.5, 255)
        return make.relu(
            make.convolution(stepped(values, 0.0, 256), weights, one, [side // 2] * 2, [side // 2] * 2, one)
        )

    def each(values: Any) -> Any:  # noqa: ANN401 -- as above
        return make.relu(make.group_convolution(values, constant(_CHANNELS, 1, 1, 3, 3), one, one, one, one))

    taken = make.parameter([-1, 3, -1, -1], np.float32)
    first = make.relu(make.convolution(taken, constant(_CHANNELS, 3, 3, 3), [2, 2], one, one, one))
    deep = mixed(each(mixed(each(first), _CHANNELS, 1)), _CHANNELS, 1)
    wide = mixed(make.add(deep, first), _CHANNELS // 2, 3)
    mean = make.reduce_mean(wide, make.constant([2, 3]))
    vector = make.matmul(mean, constant(_CHANNELS // 2, _CHANNELS), transpose_a=False, transpose_b=False)
    return openvino.Model([make.result(wide), make.result(vector)], [taken])


def _request(core: Any, model: Any, precision: str) -> Any:  # noqa: ANN401 -- as above
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
    return core.compile_model(model, CPU, settings).create_infer_request()


def _results(request: Any, image: Floats) -> Floats:  # noqa: ANN401 -- as above
    results = request.infer([image])
    return np.concatenate([np.ravel(results[number]) for number in range(2)])
