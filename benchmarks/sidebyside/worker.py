"""One library in its own environment, asked for one repetition at a time.

    python benchmarks/sidebyside/worker.py ADAPTER OPTIONS            serve: a line of JSON in, a line of JSON out
    python benchmarks/sidebyside/worker.py ADAPTER OPTIONS CASE       do the case once and leave

Requests are ``{"op": "about"}``, ``{"op": "prepare", "case": {...}}`` and ``{"op": "run", "warm": true}``. It imports
nothing but the standard library, NumPy and the library that it measures, and speaks to nobody else: what libraries
print goes to standard error.
"""

import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

from sidebyside.adapters.base import Adapter, Case, Step, Unsupported  # noqa: E402 -- found by the line above


def load(adapter: str, options: dict[str, Any]) -> Adapter:
    """The adapter with its networks loaded."""
    made: Adapter = importlib.import_module(f"sidebyside.adapters.{adapter}").ADAPTER(options)
    return made


def prepare(adapter: Adapter, case: Case) -> Step:
    """The case as a step that can be repeated. Raises Unsupported."""
    tasks: dict[str, Callable[[Case], Step]] = {
        "detect": adapter.detect,
        "analyze": adapter.analyze,
        "embed": adapter.embed,
        "recognize": adapter.recognize,
        "video": adapter.video,
        "live": adapter.live,
        "first-decision": adapter.first_decision,
    }
    return tasks[case["task"]](case)


def timed(adapter: Adapter, step: Step) -> dict[str, Any]:
    """One repetition: wall and processor seconds, what it found, and what the library knows beside."""
    gc.collect()
    gc.disable()
    try:
        began_s, worked_s = time.perf_counter(), time.process_time()
        count = step()
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - worked_s
    finally:
        gc.enable()
    return {"wall_s": wall_s, "cpu_s": cpu_s, "count": count, **adapter.extra()}


class Server:
    """Answers requests; an error is an answer, too."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._step: Step | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["op"] == "about":
            return dict(self._adapter.about())
        if request["op"] == "prepare":
            return self._prepare(request["case"])
        if self._step is None:
            return {"error": "nothing is prepared"}
        try:
            if request["warm"]:
                self._step()
            return timed(self._adapter, self._step)
        except Exception as error:  # noqa: BLE001 -- one library's failure is a line of the report
            return {"error": f"{type(error).__name__}: {error}"}

    def _prepare(self, case: Case) -> dict[str, Any]:
        try:
            self._step = prepare(self._adapter, case)
        except Unsupported as reason:
            self._step = None
            return {"unsupported": str(reason)}
        except Exception as error:  # noqa: BLE001 -- as above
            self._step = None
            return {"error": f"{type(error).__name__}: {error}"}
        return {}


def main() -> None:
    """Serve, or do one case."""
    adapter_name, options = sys.argv[1], json.loads(sys.argv[2])
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not get between the replies
    adapter = load(adapter_name, options)
    if len(sys.argv) > 3:
        try:
            count = prepare(adapter, json.loads(sys.argv[3]))()
        except Unsupported as reason:
            sys.exit(str(reason))
        print(json.dumps({"count": count}), file=replies, flush=True)
        return
    server = Server(adapter)
    print(json.dumps({"ready": True}), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(server.answer(json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
