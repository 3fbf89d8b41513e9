"""What a model is, where its bytes can be had, and under which terms: frozen data, no behaviour."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facepool.errors import ModelUnsupported
from facepool.models.specs import EmbedderSpec, NetworkSpec
from facepool.types import EmbeddingSpace

Task = Literal["detect", "embed"]
Precision = Literal["float32", "bfloat16", "int8"]
Preparation = Literal["none", "dequantize", "free-batch"]
Progress = Callable[[str, int, int | None], None]
"""Called with what is being fetched, the bytes that are there, and the bytes that are to be (None: unknown)."""


@dataclass(frozen=True, slots=True)
class Licence:
    """The terms that a file comes under, as found; the text at ``url`` is what counts.

    Attributes:
        name: Short name, for example ``MIT``; acceptance is remembered under it.
        url: Where the terms are stated.
        restricts_use: Whether using the file needs a look at the terms first; true as well where nobody states them.
        summary: One sentence for people.
    """

    name: str
    url: str
    restricts_use: bool
    summary: str


@dataclass(frozen=True, slots=True)
class PackageMember:
    """A file inside an archive that package indexes serve. The archive is read, never installed.

    Attributes:
        package: Name on the index.
        version: Exact version.
        archive: Which kind of archive of that version.
        archive_sha256: Digest of the archive.
        member: Path inside the archive.
        literal: Name of the bytes literal that holds the file, where the member is Python source; None where the
            member is the file. The source is parsed, never run.
    """

    package: str
    version: str
    archive: Literal["wheel", "sdist"]
    archive_sha256: str
    member: str
    literal: str | None = None

    def __str__(self) -> str:
        """For people: ``package==version (wheel)``."""
        return f"{self.package}=={self.version} ({self.archive})"


@dataclass(frozen=True, slots=True)
class Download:
    """A file at an https address."""

    url: str

    def __str__(self) -> str:
        """For people: the address."""
        return self.url


Source = PackageMember | Download


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One network of the catalog, or one that the user imported.

    Attributes:
        name: What people type.
        task: What it does.
        sha256: Digest of the file as its maker publishes it, before any clean-up: the identity of the weights.
        size_bytes: Size of that file; None where it has not been measured.
        licence: The terms of the weights.
        sources: Where the file can be had, tried in order; empty for an imported model.
        preparation: The clean-up that makes the file fit to run.
        spec: How the network is fed and read.
    """

    name: str
    task: Task
    sha256: str
    size_bytes: int | None
    licence: Licence
    sources: tuple[Source, ...]
    preparation: Preparation
    spec: NetworkSpec


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model whose graph lies on the disk, verified and ready to run.

    Attributes:
        entry: What it is.
        graph: Path of the ONNX file to run, which is the cleaned-up one where the entry asks for a clean-up.
        precision: ``int8`` where the graph was optimized on this machine, ``bfloat16`` where the same graph as for
            float32 is to compute in it.
    """

    entry: ModelEntry
    graph: Path
    precision: Precision = "float32"


@dataclass(frozen=True, slots=True)
class Pack:
    """A detector and an embedder that go together.

    Attributes:
        name: What people type.
        detector: Name of the detector's entry.
        embedder: Name of the embedder's entry.
        description: One sentence for people.
    """

    name: str
    detector: str
    embedder: str
    description: str


@dataclass(frozen=True, slots=True)
class AssetFile:
    """One file of an asset.

    Attributes:
        name: File name in the asset's folder.
        sha256: Digest of the file.
        size_bytes: Size of the file.
        sources: Where it can be had, tried in order.
    """

    name: str
    sha256: str
    size_bytes: int
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Asset:
    """Files that are not models: the demo's photographs and their credits.

    Attributes:
        name: Name of the folder that the files are put in.
        licence: The terms, per file in the credits that come with it.
        files: What is in it.
    """

    name: str
    licence: Licence
    files: tuple[AssetFile, ...]


def space_of(entry: ModelEntry) -> EmbeddingSpace:
    """The embedding space of an embedder.

    Raises:
        ModelUnsupported: The entry is no embedder.
    """
    if not isinstance(entry.spec, EmbedderSpec):
        raise ModelUnsupported(
            f"{entry.name} makes no embeddings", why="it is a detector", fix="Name an embedder: `facepool models list`"
        )
    spec = entry.spec
    return EmbeddingSpace(
        model=entry.name,
        weights_sha256=entry.sha256,
        preprocessing=spec.preprocessing,
        template=spec.template,
        mirrored=spec.mirrored,
        dimension=spec.dimension,
    )
