"""Assembly: from names of models to a working analyzer."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from facepool.errors import DeviceUnavailable, ModelUnavailable, ModelUnsupported, PathMissing
from facepool.faces.align import Aligner
from facepool.faces.analyze import Analyzer
from facepool.faces.detect import DetectOptions, RetinaFace
from facepool.faces.embed import Embedder, Part
from facepool.faces.pad import PadNetwork, PassivePad
from facepool.models.catalog import (
    EmbedderEntry,
    InstalledModel,
    PadSpec,
    RetinaFaceSpec,
    embedder_of,
    embedder_spec,
    find_pack,
)
from facepool.models.checkpoints import CHECKPOINT_SUFFIXES
from facepool.models.store import ModelStore, default_root
from facepool.runtime import Device, Runtime, default_cache, limit_threads

PrecisionChoice = Literal["auto", "float32", "int8"]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which networks to use. Each is a name of the catalog, of an imported model, or the path of a checkpoint.

    Attributes:
        pack: Names both.
        detector: In place of the pack's.
        embedder: In place of the pack's.
        precision: ``int8`` for the graphs that ``facepool models optimize`` made, ``float32`` for the ones that they
            were made from; ``auto`` takes int8 on CPUs for each network that was optimized, otherwise bfloat16 for a
            network that supports it, on processors that multiply it.
    """

    pack: str = "open"
    detector: str | None = None
    embedder: str | None = None
    precision: PrecisionChoice = "auto"


@dataclass(frozen=True, slots=True)
class AnalyzerRecipe:
    """What an analyzer is made of, to be made in another process, or on another machine.

    Attributes:
        choice: Which networks.
        device: As for ``load_analyzer``.
        threads: Likewise.
        detect: What counts as a face.
        models_dir: Where models are kept; None: the folder of the user there.
        offline_dir: A folder with model files, for machines without a network.
    """

    choice: ModelChoice
    device: str = "auto"
    threads: int | None = None
    detect: DetectOptions | None = None
    models_dir: Path | None = None
    offline_dir: Path | None = None

    def __call__(self) -> Analyzer:
        """Make it; errors as ``load_analyzer``. Nobody can be asked for licences there."""
        store = ModelStore(self.models_dir or default_root(), offline_dir=self.offline_dir)
        return load_analyzer(self.choice, device=self.device, threads=self.threads, detect=self.detect, store=store)


def load_analyzer(
    choice: ModelChoice | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    detect: DetectOptions | None = None,
    store: ModelStore | None = None,
) -> Analyzer:
    """Load networks, fetching them first if they are not on this machine.

    Args:
        choice: Which networks; the pack ``open`` by default.
        device: ``auto``, ``cpu``, ``cuda:N``, ``tensorrt:N`` or ``coreml``.
        threads: CPU threads for everything in this process that spreads over cores; all cores by default.
        detect: What counts as a face.
        store: Where models are kept; the user's by default.

    Raises:
        ConfigError: There is no such device.
        DeviceError: The device cannot be used.
        ModelError: A network cannot be had or cannot be run.
        PathMissing: A checkpoint does not exist.
    """
    choice = choice or ModelChoice()
    if threads is not None:
        limit_threads(threads)
    runtime = Runtime(Device.parse(device), threads, default_cache())
    store = store or ModelStore(default_root())
    pack = find_pack(choice.pack)
    with ThreadPoolExecutor(2) as loading:
        loading.submit(runtime.start)  # beside reading files and computing their digests
        found = _find(choice.detector or pack.detector, store)
        entry, networks = _find_embedder(choice.embedder or pack.embedder, store)
        detector = _at_precision(found, choice.precision, runtime, store)
        parts = [_at_precision(network, choice.precision, runtime, store) for network in networks]
        finding = loading.submit(load_detector, detector, runtime, detect)
        embedding = loading.submit(load_embedder, entry, parts, runtime)
        passive = load_passive(store, runtime)
    return Analyzer(finding.result(), Aligner(), embedding.result(), _remark(detector, parts), passive)


def load_detector(model: InstalledModel, runtime: Runtime, options: DetectOptions | None = None) -> RetinaFace:
    """Load a detector; errors as ``load_analyzer``."""
    if not isinstance(model.entry.spec, RetinaFaceSpec):
        raise ModelUnsupported(f"{model.entry.name} is not a detector", fix="Name one: facepool models list")
    spec = model.entry.spec
    graph = runtime.load(model.graph, spec.feed, bfloat16=model.precision == "bfloat16")
    return RetinaFace(graph, spec, options)


def load_embedder(entry: EmbedderEntry, networks: Sequence[InstalledModel], runtime: Runtime) -> Embedder:
    """Load an embedder; errors as ``load_analyzer``.

    Args:
        entry: What is asked for.
        networks: Its networks, in its order, each at the precision that it is to run at.
        runtime: Runs them.
    """
    pairs = zip(networks, entry.weights, strict=True)
    return Embedder([_load_part(network, weight, runtime) for network, weight in pairs], entry.space, entry.fmr)


def load_passive(store: ModelStore, runtime: Runtime) -> PassivePad | None:
    """Load the networks that a user imported to tell living faces from pictures of faces; None: there are none.

    Errors as ``load_analyzer``.
    """
    models = [InstalledModel(entry, store.pull(entry)) for entry in store.pad_networks()]
    networks = [
        PadNetwork(runtime.load(model.graph, model.entry.spec.feed), model.entry.spec)
        for model in models
        if isinstance(model.entry.spec, PadSpec)
    ]
    return PassivePad(networks) if networks else None


def load_network(model: InstalledModel, runtime: Runtime) -> Embedder:
    """Load one network as an embedder of its own; errors as ``load_analyzer``."""
    return load_embedder(embedder_of(model.entry.name, {model.entry.name: model.entry}), [model], runtime)


def _load_part(model: InstalledModel, weight: float, runtime: Runtime) -> Part:
    spec = embedder_spec(model.entry)
    # Also what is not of 8 bits in an int8 graph. A detector's landmarks would err by 0.70 px of 112 for it, not 0.43.
    bfloat16 = model.precision != "float32" and _gains_by_bfloat16(model, runtime)
    views = 2 if spec.mirrored else 1
    graph = runtime.load(model.graph, spec.feed, bfloat16=bfloat16, together=views)
    return Part(graph, spec, weight)


def _at_precision(
    model: InstalledModel, wanted: PrecisionChoice, runtime: Runtime, store: ModelStore
) -> InstalledModel:
    if wanted == "float32" or (wanted == "auto" and not runtime.is_cpu):
        return model
    if not runtime.is_cpu:
        raise DeviceUnavailable(
            f"int8 cannot be used on {runtime.device}",
            why="graphs of 8 bits are made and judged for CPUs",
            fix="Use --device cpu or --precision float32",
        )
    optimized = store.optimized.find(model)
    if optimized is None and wanted == "int8":
        raise ModelUnavailable(
            f"There is no int8 graph of {model.entry.name}",
            fix="Make one: facepool models optimize; or use --precision auto",
        )
    return optimized or rounded(model, runtime)


def rounded(model: InstalledModel, runtime: Runtime) -> InstalledModel:
    """The model in bfloat16 where its results stay what they are and the processor gains by it, else as it is."""
    return replace(model, precision="bfloat16") if _gains_by_bfloat16(model, runtime) else model


def _gains_by_bfloat16(model: InstalledModel, runtime: Runtime) -> bool:
    spec = model.entry.spec
    return not isinstance(spec, PadSpec) and spec.supports_bfloat16 and runtime.multiplies_bfloat16


def _remark(detector: InstalledModel, parts: Sequence[InstalledModel]) -> str:
    """The precision in words: nothing where all are float32, else that of each network that is not."""
    if len({model.precision for model in (detector, *parts)}) == 1:
        return "" if detector.precision == "float32" else detector.precision
    named = [("detector", detector.precision)]
    named += [("embedder" if len(parts) == 1 else part.entry.name, part.precision) for part in parts]
    return ", ".join(f"{what} {precision}" for what, precision in named if precision != "float32")


def _find_embedder(name: str, store: ModelStore) -> tuple[EmbedderEntry, list[InstalledModel]]:
    if Path(name).suffix in CHECKPOINT_SUFFIXES:
        model = _find(name, store)
        return embedder_of(name, {name: model.entry}), [model]
    entry = store.embedder(name)
    return entry, [store.load(network.name) for network in entry.networks]


def _find(name: str, store: ModelStore) -> InstalledModel:
    if Path(name).suffix not in CHECKPOINT_SUFFIXES:
        return store.load(name)
    if not Path(name).is_file():
        raise PathMissing(f"There is no model file {name}", fix="Check the path")
    # Building graphs takes onnx, 0.2 s to import, and most runs convert nothing.
    from facepool.models.checkpoints.convert import convert_checkpoint  # noqa: PLC0415 -- see above

    return convert_checkpoint(Path(name), store.root / "converted")
