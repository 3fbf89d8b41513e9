"""facepool itself, by its public API."""

import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from facepool import (
    LiveRecognizer,
    ModelChoice,
    ModelStore,
    Pool,
    Recognizer,
    __version__,
    load_analyzer,
    open_pool,
    open_source,
    read_image,
)
from facepool.geometry import CROP
from facepool.runtime import Graph, Runtime
from facepool.types import AlignedFaces, Frame, Sample, Template
from sidebyside.adapters.base import Adapter, Array, Case, Step


class Facepool(Adapter):
    """The pack and the options of ``load_analyzer``; the time inside its networks is kept apart."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._network_s = 0.0
        self._time_networks()
        self._pools = options.get("pools", "")  # networks of another embedding space need pools of their own
        store = ModelStore(Path(options["models_dir"]))
        choice = ModelChoice(
            options.get("pack", "open"),
            options.get("detector"),
            options.get("embedder"),
            options.get("precision", "auto"),
        )
        self._analyzer = load_analyzer(choice, device=options["device"], threads=options["threads"], store=store)

    def about(self) -> dict[str, str]:
        space = self._analyzer.space
        return {
            "version": __version__,
            "runs": f"RetinaFace mnet0.25 and {space.model}, {self._analyzer.runs_on}",
        }

    def detect(self, case: Case) -> Step:
        image = np.load(case["image"])
        return lambda: len(self._analyzer.find(image))

    def analyze(self, case: Case) -> Step:
        image = np.load(case["image"])
        return self._timing(lambda: len(self._analyzer.embed_batch([image])[0][0]))

    def embed(self, case: Case) -> Step:
        faces = AlignedFaces(np.load(case["crops"])[: case["batch"]], CROP)
        return lambda: len(self._analyzer.embed(faces))

    def recognize(self, case: Case) -> Step:
        image, recognizer = np.load(case["image"]), Recognizer(self._analyzer, self._pool(case))
        return self._timing(lambda: len(recognizer.recognize(image)))

    def video(self, case: Case) -> Step:
        recognizer = Recognizer(self._analyzer, self._pool(case))
        return lambda: sum(len(recognizer.recognize(frame.image_bgr)) for frame in _frames(case))

    def live(self, case: Case) -> Step:
        pool = self._pool(case)

        def step() -> int:
            live = LiveRecognizer(self._analyzer, pool)
            return sum(len(live.process(frame).decisions) for frame in _frames(case))

        return step

    def first_decision(self, case: Case) -> Step:
        recognizer = Recognizer(self._analyzer, self._pool(case))
        return lambda: len(recognizer.recognize(read_image(case["photo"])))

    def extra(self) -> dict[str, float]:
        return {"network_s": self._network_s}

    def _timing(self, step: Step) -> Step:
        def timed() -> int:
            self._network_s = 0.0
            return step()

        return timed

    def _time_networks(self) -> None:
        """Put a clock around every graph that is loaded from here on."""
        load = Runtime.load

        def add(seconds: float) -> None:
            self._network_s += seconds

        def timed(runtime: Runtime, path: Path, *others: Any, **named: Any) -> Any:  # noqa: ANN401 -- as load
            return _Timed(load(runtime, path, *others, **named), add)

        Runtime.load = timed  # type: ignore[method-assign]

    def _pool(self, case: Case) -> Pool:
        path = Path(case["pool_path"])
        path = path.with_name(f"{self._pools}{path.name}")
        if not path.exists():
            self._fill(path, case)
        return open_pool(path, self._analyzer.space)

    def _fill(self, path: Path, case: Case) -> None:
        """A pool of one template a person: the portraits, then strangers at random."""
        known = [self._analyzer.analyze(np.load(portrait)).embeddings[0] for portrait in case.get("portraits", [])]
        vectors = [*known, *strangers(case["pool"] - len(known), self._analyzer.space.dimension)]
        half = path.with_name(f"{os.getpid()}-{path.name}")
        with open_pool(half, self._analyzer.space) as pool:
            templates = [Template(0, f"person {i}", Sample(vector)) for i, vector in enumerate(vectors)]
            pool.add(templates, self._analyzer.space)
        half.replace(path)


class _Timed:
    """A graph with a clock around its runs."""

    def __init__(self, graph: Graph, add: Callable[[float], None]) -> None:
        self._graph = graph
        self._add = add

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- whatever the graph offers
        return getattr(self._graph, name)

    def run(self, batch: Array) -> Any:  # noqa: ANN401 -- as the graph
        began_s = time.perf_counter()
        try:
            return self._graph.run(batch)
        finally:
            self._add(time.perf_counter() - began_s)


def strangers(count: int, dimension: int) -> Array:
    """(count, dimension) float32 vectors of length 1 in random directions."""
    vectors = np.random.default_rng(0).standard_normal((max(0, count), dimension), np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _frames(case: Case) -> Iterator[Frame]:
    with open_source(case["video"]) as source:
        yield from islice(source, case["frames"])


ADAPTER = Facepool
