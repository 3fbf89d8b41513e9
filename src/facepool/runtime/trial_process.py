"""The process in which an engine shows that it keeps a promise: it may end at any moment, and nothing else does then.

`facepool.runtime.trial` starts it and reads one line of JSON from its standard output: how far results in bfloat16 lie
from those in float32, and what share of the time they take.
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
_CHANNELS = 64
_SIDE = 28
_NO_ERROR_BOXES = 0x0001 | 0x0002  # SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX


def main() -> None:
    """Compute in both, and print what came of it."""
    _die_quietly()
    openvino = import_openvino()
    model, image = _network(openvino)
    core = openvino.Core()
    exact, rounded = (_request(core, model, precision) for precision in ("f32", "bf16"))
    wanted, given = _results(exact, image), _results(rounded, image)
    error = float(np.abs(given - wanted).max() / np.abs(wanted).max())
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(_RUNS):
        for request, times in zip((exact, rounded), spent, strict=True):
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


def _network(openvino: Any) -> tuple[Any, Floats]:  # noqa: ANN401 -- OpenVINO ships no types
    """A network of the layers that those for faces are made of, for images of any size, and an image."""
    make, random = openvino.opset13, np.random.default_rng(0)

    def weights(*shape: int) -> Any:  # noqa: ANN401 -- as above
        return make.constant(random.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32))

    one, none = [1, 1], [0, 0]
    taken = make.parameter([-1, 3, -1, -1], np.float32)
    first = make.prelu(make.convolution(taken, weights(_CHANNELS, 3, 3, 3), [2, 2], one, one, one), weights(1))
    each = make.relu(make.group_convolution(first, weights(_CHANNELS, 1, 1, 3, 3), one, one, one, one))
    mixed = make.add(make.convolution(each, weights(_CHANNELS, _CHANNELS, 1, 1), one, none, none, one), first)
    last = make.relu(make.convolution(mixed, weights(_CHANNELS, _CHANNELS, 3, 3), one, one, one, one))
    vector = make.matmul(
        make.reduce_mean(last, [2, 3]), weights(_CHANNELS, _CHANNELS), transpose_a=False, transpose_b=True
    )
    image = random.normal(size=(1, 3, 2 * _SIDE, 2 * _SIDE)).astype(np.float32)
    return openvino.Model([make.result(last), make.result(vector)], [taken]), image


def _request(core: Any, model: Any, precision: str) -> Any:  # noqa: ANN401 -- as above
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
    return core.compile_model(model, CPU, settings).create_infer_request()


def _results(request: Any, image: Floats) -> Floats:  # noqa: ANN401 -- as above
    results = request.infer([image])
    return np.concatenate([np.ravel(results[number]) for number in range(2)])
