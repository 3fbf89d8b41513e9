"""Where the time of a frame goes: its two network calls, and everything else, stage by stage.

    python benchmarks/stages.py [--faces 1 --faces 6] [--size 640x480] [--pool 10000] [--threads 2] [--json budget.json]

Three things take turns, so that whatever else the machine does meets all of them: the whole pipeline, from a frame to
its decisions; the network calls that it makes, by themselves, as the model files have them (float32 planes in, what
they put out as it is); and the pipeline once more with a clock around every stage. The first two give the ratio, the
third says where the rest goes. Processor time is that of the whole process for the first two, of the one thread that
stages run in for the third.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any, ParamSpec, TypeVar
from unittest import mock

import numpy as np
from sidebyside import machine
from sidebyside.adapters.of_facepool import strangers
from sidebyside.scenes import Scenes

import facepool.faces.analyze
import facepool.faces.detect
import facepool.faces.embed
import facepool.recognize.pictures
import facepool.search
from facepool import Recognizer, load_analyzer, open_pool
from facepool.models.store import ModelStore, default_root
from facepool.recognize.pictures import RecognizedFaces
from facepool.runtime import Device, Graph, Runtime
from facepool.types import Floats, Image, PixelFeed, Sample, Template

Step = Callable[[], object]
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_STAGES = (
    (facepool.faces.detect.RetinaFace, "_fill_batch", "resize, pad"),
    (facepool.faces.detect.RetinaFace, "_decode", "decode, NMS"),
    (facepool.faces.detect.RetinaFace, "detect", "around the detector"),
    (facepool.faces.analyze.Aligner, "align", "align"),
    (facepool.faces.embed.Embedder, "embed", "around the embedder"),
    (facepool.search.Search, "index", "look whether the pool changed"),
    (facepool.search.Search, "nearest", "search"),
    (facepool.recognize.pictures, "decide", "decide"),
    (Recognizer, "recognize", "everything between"),
)


class Clock:
    """Adds up the time spent in each stage, without that of the stages inside it."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._inner = [[0.0, 0.0]]

    def around(self, call: Callable[Arguments, Result], stage: str) -> Callable[Arguments, Result]:
        def timed(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
            self._inner.append([0.0, 0.0])
            began = time.perf_counter(), time.thread_time()
            try:
                return call(*arguments, **named)
            finally:
                taken = time.perf_counter() - began[0], time.thread_time() - began[1]
                inner = self._inner.pop()
                for i in range(2):
                    self.spent[stage][i] += taken[i] - inner[i]
                    self._inner[-1][i] += taken[i]

        return timed


class Budget:
    """The pipeline of one frame and what it consists of.

    Args:
        recognizer: The pipeline, made with graphs that ``Taps`` watch.
        taps: The two graphs.
        image_bgr: The frame.
    """

    def __init__(self, recognizer: Recognizer, taps: Sequence["Tap"], image_bgr: Image) -> None:
        self._recognizer = recognizer
        self._taps = taps
        self._image_bgr = image_bgr

    def measure(self, repetitions: int) -> dict[str, Any]:
        for tap in self._taps:
            tap.shapes.clear()
        self.faces = len(self.whole())
        self._inputs = [tap.float_inputs() for tap in self._taps]
        for _ in range(3):
            self.whole(), self.networks(), self.staged()
        steps: dict[str, Step] = {"whole": self.whole, "networks": self.networks, "staged": self.staged}
        walls, cpus = defaultdict(list), defaultdict(list)
        stages: dict[str, list[list[float]]] = defaultdict(list)
        for turn in range(repetitions):
            for name in Random(turn).sample(sorted(steps), len(steps)):
                time.sleep(0.005)  # engines' threads spin for a while after their work
                began = time.perf_counter(), time.process_time()
                found = steps[name]()
                walls[name].append(time.perf_counter() - began[0])
                cpus[name].append(time.process_time() - began[1])
                if isinstance(found, Clock):
                    for stage, spent in found.spent.items():
                        stages[stage].append(spent)
        return {
            "faces": self.faces,
            "whole": _both(walls["whole"], cpus["whole"]),
            "networks": _both(walls["networks"], cpus["networks"]),
            "ratio": _both(*([a / b for a, b in zip(x["whole"], x["networks"], strict=True)] for x in (walls, cpus))),
            "stages": {stage: _both(*zip(*spent, strict=True)) for stage, spent in stages.items()},
        }

    def whole(self) -> RecognizedFaces:
        return self._recognizer.recognize(self._image_bgr)

    def networks(self) -> None:
        for tap, inputs in zip(self._taps, self._inputs, strict=True):
            for batch in inputs:
                tap.bare.run(batch)

    def staged(self) -> Clock:
        clock = Clock()
        with ExitStack() as stack:
            for owner, name, stage in _STAGES:
                stack.enter_context(mock.patch.object(owner, name, _method(clock, owner, name, stage)))
            for tap in self._taps:
                stack.enter_context(mock.patch.object(tap, "run", clock.around(tap.run, tap.title)))
            self.whole()
        return clock


class Tap:
    """A graph that remembers what it was last given, and the same network as its file has it."""

    def __init__(self, graph: Graph, bare: Graph, title: str) -> None:
        self.graph = graph
        self.bare = bare
        self.title = title
        self.shapes: list[tuple[int, ...]] = []

    @property
    def engine(self) -> str:
        return self.graph.engine

    @property
    def device(self) -> str:
        return self.graph.device

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.graph.outputs

    def run(self, batch: Floats | Image) -> tuple[Floats, ...]:
        self.shapes.append(batch.shape)
        return self.graph.run(batch)

    def float_inputs(self) -> list[Floats]:
        """Planes of the shapes that the last frame came in. What they show costs a network nothing."""
        planes = [(n, c, h, w) if c == 3 else (n, w, c, h) for n, c, h, w in self.shapes]
        return [np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32) for shape in planes]


def _method(clock: Clock, owner: object, name: str, stage: str) -> Callable[..., Any]:
    return clock.around(getattr(owner, name), stage)


def _both(walls: Sequence[float], cpus: Sequence[float]) -> dict[str, float]:
    return {"wall": statistics.median(walls), "cpu": statistics.median(cpus)}


@contextmanager
def tapped(threads: int) -> Iterator[list[Tap]]:
    """Inside, every graph that is loaded is tapped."""
    taps: list[Tap] = []
    load = Runtime.load
    bare = Runtime(Device("cpu"), threads)

    def loading(
        runtime: Runtime, path: Path, feed: PixelFeed | None = None, *, bfloat16: bool = False, together: int = 1
    ) -> Graph:
        graph = load(runtime, path, feed, bfloat16=bfloat16, together=together)
        title = "embedder network" if len(graph.outputs) == 1 else "detector network"
        tap = Tap(graph, load(bare, path, bfloat16=bfloat16, together=together), title)
        taps.append(tap)
        return tap

    with mock.patch.object(Runtime, "load", loading):
        yield taps


def table(budget: dict[str, Any]) -> str:
    whole, networks = budget["whole"], budget["networks"]
    lines = [f"| {'stage':<32} | wall ms | CPU ms | of the wall time |", f"|{'-' * 34}|--------:|-------:|---:|"]
    for stage, spent in sorted(budget["stages"].items(), key=lambda item: -item[1]["wall"]):
        share = spent["wall"] / sum(other["wall"] for other in budget["stages"].values())
        lines.append(f"| {stage:<32} | {spent['wall'] * 1e3:7.2f} | {spent['cpu'] * 1e3:6.2f} | {share:.1%} |")
    lines.append(
        f"| {'network calls by themselves':<32} | {networks['wall'] * 1e3:7.2f} | {networks['cpu'] * 1e3:6.2f} | |"
    )
    lines.append(f"| {'frame to decision':<32} | {whole['wall'] * 1e3:7.2f} | {whole['cpu'] * 1e3:6.2f} | |")
    lines.append(f"\nratio {budget['ratio']['wall']:.3f} by wall, {budget['ratio']['cpu']:.3f} by processor time")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, action="append", help="faces in the frame; may be given several times")
    parser.add_argument("--size", action="append", help="of the frame, as in 640x480; may be given several times")
    parser.add_argument("--pool", type=int, default=10_000, help="templates")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    budgets: dict[str, Any] = {"machine": machine.describe(), "frames": {}}
    with tempfile.TemporaryDirectory() as temporary, tapped(arguments.threads) as taps:
        scenes = Scenes(Path(temporary), ModelStore(default_root()), Path(temporary))
        analyzer = load_analyzer(device="cpu", threads=arguments.threads)
        with open_pool(f"{temporary}/pool.db", analyzer.space) as pool:
            vectors = strangers(arguments.pool, analyzer.space.dimension)
            pool.add([Template(0, f"person {i}", Sample(v)) for i, v in enumerate(vectors)], analyzer.space)
            for size in arguments.size or ["640x480"]:
                width, height = (int(side) for side in size.split("x"))
                for faces in arguments.faces or [1, 6]:
                    image_bgr = np.load(scenes.crowd(faces, (width, height)))
                    budget = Budget(Recognizer(analyzer, pool), taps, image_bgr).measure(arguments.repetitions)
                    budgets["frames"][f"{faces} in {size}"] = budget
                    print(
                        f"\n{budget['faces']} faces in {size}, {arguments.pool} templates, {arguments.threads} threads"
                    )
                    print(f"(load average {machine.load_average()})\n\n{table(budget)}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(budgets, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
