"""Make graphs of 8 bits from some pictures, and keep those that pass on other pictures; see ``acceptance`` for how."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from facepool.errors import NoFace
from facepool.faces.align import Aligner
from facepool.faces.detect import DetectOptions, RetinaFace
from facepool.faces.embed import Embedder, Part
from facepool.faces.load import load_detector, load_network, rounded
from facepool.models.catalog import InstalledModel, RetinaFaceSpec, embedder_spec, space_of
from facepool.models.store import ModelStore
from facepool.optimize.acceptance import (
    AcceptanceReport,
    TimeRatio,
    compare_detectors,
    compare_embedders,
    processor_time_ratio,
)
from facepool.runtime import Graph, Runtime
from facepool.runtime.quantize import quantize
from facepool.types import AlignedFaces, Floats, Image

FEW = 48
"""How many pictures either half is filled up to by variants."""

MANY = 120
"""How many pictures are taken of either half at most: more of them change little and take longer."""

FACES = 300
"""About how many faces are taken of either half at most."""

_SIDE = 1280


def varied(images_bgr: Sequence[Image], seed: int, total: int = FEW) -> Iterator[Image]:
    """The pictures, and where they are few variants of them: mirrored, smaller, shifted, turned, lighter and darker.

    Variants show more sizes, places and lights, not more people: pictures of the faces that are to be recognized, and
    of many people, are better than any of these.

    Args:
        images_bgr: (H, W, 3) uint8 BGR each.
        seed: Of the variants; the same pictures and seed give the same ones.
        total: How many there are to be at least.

    Yields:
        (H, W, 3) uint8 BGR each; nothing for no picture.
    """
    random = np.random.default_rng(seed)
    for number in range(max(total, len(images_bgr)) if images_bgr else 0):
        image = images_bgr[number % len(images_bgr)]
        yield image if number < len(images_bgr) else _variant(image, random)


def shrunk(image_bgr: Image) -> Image:
    """A picture at a size that many can be held of in memory."""
    scale = _SIDE / max(image_bgr.shape[:2])
    if scale >= 1:
        return image_bgr
    return np.asarray(cv2.resize(image_bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _variant(image_bgr: Image, random: np.random.Generator) -> Image:
    height, width = image_bgr.shape[:2]
    scale = random.uniform(0.4, 1.0)
    turn = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), random.uniform(-12, 12), scale), np.float32)
    shift = random.uniform(-0.08, 0.08, 2) - (1 - scale) / 2
    turn[:, 2] += np.asarray(shift * (width, height), np.float32)
    size_wh = max(32, round(width * scale)), max(32, round(height * scale))
    moved = cv2.warpAffine(image_bgr, turn, size_wh, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    if random.random() < 0.5:
        moved = moved[:, ::-1]
    lit = moved.astype(np.float32) * random.uniform(0.6, 1.25) + random.uniform(-20, 20)
    return np.ascontiguousarray(np.clip(lit, 0, 255), np.uint8)


class Optimizer:
    """Makes, compares and keeps optimized graphs.

    Args:
        detector: Finds the faces that an embedder is optimized with; float32.
        embedder: Shows what a detector's landmarks do to vectors, one network of the embedder suffices; float32.
        runtime: For CPUs; without a cache, which graphs that are refused would fill.
        store: Where accepted graphs are kept.
        images_bgr: (H, W, 3) uint8 BGR each, with faces; every second one serves to judge only.
        options: What counts as a face.
        time_ratio: Measures how much time the optimized graph takes, as a share of the one before.

    Raises:
        NoFace: There are less than two pictures.
    """

    def __init__(
        self,
        detector: InstalledModel,
        embedder: InstalledModel,
        runtime: Runtime,
        store: ModelStore,
        images_bgr: Sequence[Image],
        options: DetectOptions | None = None,
        time_ratio: TimeRatio = processor_time_ratio,
    ) -> None:
        if len(images_bgr) < 2:
            raise NoFace(
                "Networks cannot be optimized with less than two pictures",
                why="one half serves to make the graphs and the other to judge them",
                fix="Name a folder with more pictures of faces: --pictures DIR",
            )
        self._runtime = runtime
        self._store = store
        self._options = options
        self._time_ratio = time_ratio
        self._detector = load_detector(detector, runtime, options)
        self._embedder = load_network(embedder, runtime)
        self._shown = list(varied(images_bgr[::2], seed=0))
        self._held_out = list(varied(images_bgr[1::2], seed=1))

    def optimize(self, model: InstalledModel) -> AcceptanceReport:
        """Make a graph of 8 bits of a float32 model, judge it, and keep it if it is accepted.

        Its delicate layers stay as they are, unless it then gains too little or is refused for another reason.

        Raises:
            NoFace: No face was found in one half of the pictures.
            EngineMissing: NNCF is not installed.
            ModelUnsupported: NNCF cannot quantize this graph.
            DiskFull: No room.
            NotWritable: No permission.
        """
        seen = self._seen_by(model)
        with tempfile.TemporaryDirectory() as folder:
            for careful in (True, False):
                draft = Path(folder) / f"int8-{careful}.onnx"
                draft.write_bytes(quantize(model.graph, seen, model.entry.spec.feed, careful=careful))
                report = self._compare(model, InstalledModel(model.entry, draft, precision="int8"))
                if report.accepted:
                    self._store.optimized.keep(model, draft.read_bytes(), self._summary(report, careful=careful))
                    break
        return report

    def _seen_by(self, model: InstalledModel) -> list[Image]:
        """What the network sees of the pictures that it is made with, one at a time."""
        spec = model.entry.spec
        recorder = _Recorder(self._runtime.load(model.graph, spec.feed))
        if isinstance(spec, RetinaFaceSpec):
            RetinaFace(recorder, spec, self._options).detect(self._shown)
        else:
            Embedder([Part(recorder, embedder_spec(model.entry))], space_of(model.entry)).embed(
                self._faces(self._shown)
            )
        return recorder.batches

    def _compare(self, before: InstalledModel, after: InstalledModel) -> AcceptanceReport:
        spec = before.entry.spec
        if isinstance(spec, RetinaFaceSpec):
            return compare_detectors(
                load_detector(before, self._runtime, self._options),
                load_detector(after, self._runtime, self._options),
                load_detector(rounded(before, self._runtime), self._runtime, self._options),
                Aligner(),
                self._embedder,
                self._held_out,
                self._time_ratio,
            )
        # The same weights may serve with and without averaging over the mirror image, which only lessens differences.
        alone = replace(before.entry, spec=replace(embedder_spec(before.entry), mirrored=False))
        return compare_embedders(
            load_network(replace(before, entry=alone), self._runtime),
            load_network(replace(after, entry=alone), self._runtime),
            load_network(rounded(replace(before, entry=alone), self._runtime), self._runtime),
            self._faces(self._held_out),
            len(self._held_out),
            self._time_ratio,
        )

    def _faces(self, images_bgr: Sequence[Image]) -> AlignedFaces:
        aligner = Aligner()
        found = zip(images_bgr, self._detector.detect(images_bgr), strict=True)
        crops = np.concatenate([aligner.align(image, faces.landmarks).images_bgr for image, faces in found])
        crops = crops[:: max(1, len(crops) // FACES)]
        if len(crops) == 0:
            raise NoFace(
                "No face was found in the pictures", fix="Name a folder of pictures with faces: --pictures DIR"
            )
        return AlignedFaces(crops, aligner.template)

    def _summary(self, report: AcceptanceReport, *, careful: bool) -> dict[str, object]:
        return {
            "layers": "all but the first, the last and the depthwise ones" if careful else "all",
            "accepted_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "engine": self._detector.runs_on,
            "pictures": report.pictures,
            "faces": report.faces,
            "figures": {metric.name: [round(metric.value, 5), metric.bound] for metric in report.metrics},
        }


class _Recorder:
    """A graph that keeps what it was run on, picture by picture."""

    def __init__(self, graph: Graph) -> None:
        self.engine, self.device, self.outputs = graph.engine, graph.device, graph.outputs
        self.batches: list[Image] = []
        self._graph = graph

    def run(self, batch: Floats | Image) -> tuple[Floats, ...]:
        self.batches.extend(np.split(np.array(batch, np.uint8), len(batch)))
        return self._graph.run(batch)
