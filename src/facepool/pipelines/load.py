"""Assembly: from names of models to a working analyzer."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from facepool.align import Aligner
from facepool.detect import DetectOptions, RetinaFace
from facepool.embed import Embedder
from facepool.errors import ModelUnsupported, PathMissing
from facepool.models.entries import InstalledModel, Licence, ModelEntry, space_of
from facepool.models.specs import EmbedderSpec, RetinaFaceSpec
from facepool.models.store import ModelStore, default_root, find_pack
from facepool.models.torch_file import CHECKPOINT_SUFFIXES
from facepool.pipelines.analyze import Analyzer
from facepool.runtime import Device, Runtime, default_cache, limit_threads

_MAKERS_TERMS = Licence(
    name="as its maker states", url="", restricts_use=False, summary="A file of yours; its maker's terms hold."
)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which networks to use. Each is a name of the catalog, of an imported model, or the path of a checkpoint.

    Attributes:
        pack: Names both.
        detector: In place of the pack's.
        embedder: In place of the pack's.
    """

    pack: str = "open"
    detector: str | None = None
    embedder: str | None = None


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
    detector = _find(choice.detector or pack.detector, store)
    embedder = _find(choice.embedder or pack.embedder, store)
    if not isinstance(detector.entry.spec, RetinaFaceSpec):
        raise ModelUnsupported(f"{detector.entry.name} is not a detector", fix="Name one: facepool models list")
    if not isinstance(embedder.entry.spec, EmbedderSpec):
        raise ModelUnsupported(f"{embedder.entry.name} is not an embedder", fix="Name one: facepool models list")
    with ThreadPoolExecutor(2) as loading:
        finding, embedding = loading.map(runtime.load, (detector.graph, embedder.graph))
    return Analyzer(
        RetinaFace(finding, detector.entry.spec, detect),
        Aligner(embedder.entry.spec.template),
        Embedder(embedding, embedder.entry.spec, space_of(embedder.entry)),
    )


def _find(name: str, store: ModelStore) -> InstalledModel:
    if Path(name).suffix not in CHECKPOINT_SUFFIXES:
        return store.load(name)
    if not Path(name).is_file():
        raise PathMissing(f"There is no model file {name}", fix="Check the path")
    return from_checkpoint(Path(name), store)


def from_checkpoint(path: Path, store: ModelStore) -> InstalledModel:
    """A PyTorch checkpoint of the original project's kind as a model, converted once and kept by content."""
    # Building graphs takes onnx, 0.2 s to import, and most runs convert nothing.
    from facepool.models.checkpoints import convert_checkpoint  # noqa: PLC0415 -- see above

    converted = convert_checkpoint(path, store.root / "converted")
    entry = ModelEntry(
        name=path.name,
        task="detect" if isinstance(converted.spec, RetinaFaceSpec) else "embed",
        sha256=converted.sha256,
        size_bytes=path.stat().st_size,
        licence=_MAKERS_TERMS,
        sources=(),
        preparation="none",
        spec=converted.spec,
    )
    return InstalledModel(entry, converted.graph)
