"""Models that the user brought: their descriptions in the store, as JSON beside nothing but themselves."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from facepool.errors import ConfigError, ModelUnsupported, PathMissing
from facepool.models.catalog import CATALOG
from facepool.models.describe import Description, parse_description, read_description
from facepool.models.entries import ModelEntry
from facepool.models.files import write_whole
from facepool.models.specs import EmbedderSpec

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

_log = logging.getLogger(__name__)


class Imports:
    """Imported models of one store. The caller makes sure that only one process writes.

    Args:
        folder: Where descriptions are kept.
        original: Where the store keeps the file of a digest.
    """

    def __init__(self, folder: Path, original: Callable[[str], Path]) -> None:
        self._folder = folder
        self._original = original

    def entries(self) -> list[ModelEntry]:
        """All imported models by name; a description that cannot be read is left out with a warning."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                record = json.loads(path.read_bytes())
                description = parse_description(record["description"], str(path))
                found.append(_entry(description, str(record["sha256"]), int(record["size_bytes"])))
            except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
                _log.warning("%s is left out: %s", path, error)
        return found

    def add(self, path: Path) -> ModelEntry:
        """Check and take in the model that a TOML file describes; see ``ModelStore.import_model`` for the errors."""
        description, tables = read_description(path)
        if description.name in CATALOG:
            raise ConfigError(f"{path}: `name` is {description.name}, which the catalog has", fix="Choose another name")
        file = path.parent / description.file
        try:
            content = file.read_bytes()
        except OSError as error:
            raise PathMissing(
                f"{file} cannot be read", why=error.strerror or "", fix=f"Correct `file` in {path}"
            ) from error
        _require_fit(content, description)
        entry = _entry(description, hashlib.sha256(content).hexdigest(), len(content))
        record = {"sha256": entry.sha256, "size_bytes": entry.size_bytes, "description": tables}
        write_whole(self._original(entry.sha256), content)
        write_whole(self._path(entry.name), json.dumps(record, indent=1).encode())
        return entry

    def remove(self, name: str) -> None:
        """Forget a description; nothing happens if there is none."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _entry(description: Description, sha256: str, size_bytes: int) -> ModelEntry:
    return ModelEntry(
        name=description.name,
        task=description.task,
        sha256=sha256,
        size_bytes=size_bytes,
        licence=description.licence,
        sources=(),
        preparation="none",
        spec=description.spec,
    )


def _require_fit(content: bytes, description: Description) -> None:
    """Refuse a graph that cannot be what its description says."""
    # onnx takes 0.2 s to import, and only importing a model needs it
    from facepool.models.prepare import parse  # noqa: PLC0415 -- see above

    graph = parse(content)
    images = [value for value in _true_inputs(graph) if len(_shape(value)) == 4 and _shape(value)[1] in (0, 3)]
    if len(_true_inputs(graph)) != 1 or not images:
        _refuse(description, "it does not have one input of shape (N, 3, H, W)")
    spec = description.spec
    if isinstance(spec, EmbedderSpec):
        dimension = _shape(graph.graph.output[0])[-1:]
        if dimension not in ((0,), (spec.dimension,)):
            _refuse(description, f"`embed.dimension` is {spec.dimension}, but its first output is {dimension} wide")
        return
    missing = set(spec.outputs) - {value.name for value in graph.graph.output}
    if missing:
        names = ", ".join(value.name for value in graph.graph.output)
        _refuse(description, f"`detect.outputs` names {', '.join(sorted(missing))}, but it has {names}")


def _refuse(description: Description, why: str) -> None:
    raise ModelUnsupported(f"{description.file} does not fit its description", why=why)


def _true_inputs(graph: "ModelProto") -> list["ValueInfoProto"]:
    weights = {tensor.name for tensor in graph.graph.initializer}
    return [value for value in graph.graph.input if value.name not in weights]


def _shape(value: "ValueInfoProto") -> tuple[int, ...]:
    """Sides, 0 where they are free."""
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
