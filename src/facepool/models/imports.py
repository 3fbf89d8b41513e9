"""Models that the user brought: their descriptions in the store, as JSON beside nothing but themselves."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import cast

from facepool.errors import ConfigError, PathMissing
from facepool.files import write_whole
from facepool.models.catalog import CATALOG, PACKS
from facepool.models.describe import Description, parse_description, read_description
from facepool.models.entries import ModelEntry, Preparation
from facepool.models.torch_file import CHECKPOINT_SUFFIXES

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
                preparation = cast("Preparation", record.get("preparation", "none"))
                found.append(_entry(description, str(record["sha256"]), int(record["size_bytes"]), preparation))
            except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
                _log.warning("%s is left out: %s", path, error)
        return found

    def add(self, path: Path) -> ModelEntry:
        """Check and take in the model that a TOML file describes; see ``ModelStore.import_model`` for the errors."""
        description, tables = read_description(path)
        _require_free_name(description.name, path)
        file = path.parent / description.file
        try:
            content = file.read_bytes()
        except OSError as error:
            raise PathMissing(
                f"{file} cannot be read", why=error.strerror or "", fix=f"Correct `file` in {path}"
            ) from error
        # onnx takes 0.2 s to import, and only importing a model needs it
        from facepool.models.fit import check_fit  # noqa: PLC0415 -- see above

        preparation = check_fit(content, description)
        entry = _entry(description, hashlib.sha256(content).hexdigest(), len(content), preparation)
        record = {
            "sha256": entry.sha256,
            "size_bytes": entry.size_bytes,
            "preparation": preparation,
            "description": tables,
        }
        write_whole(self._original(entry.sha256), content)
        write_whole(self._path(entry.name), json.dumps(record, indent=1).encode())
        return entry

    def remove(self, name: str) -> None:
        """Forget a description; nothing happens if there is none."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _require_free_name(name: str, path: Path) -> None:
    if name in CATALOG or name in PACKS:
        raise ConfigError(f"{path}: `name` is {name}, which the catalog has", fix="Choose another name")
    if name.endswith(CHECKPOINT_SUFFIXES):
        suffix = Path(name).suffix
        raise ConfigError(f"{path}: `name` ends in {suffix}, as checkpoints do", fix=f"Leave {suffix} out of it")


def _entry(description: Description, sha256: str, size_bytes: int, preparation: Preparation) -> ModelEntry:
    return ModelEntry(
        name=description.name,
        task=description.task,
        sha256=sha256,
        size_bytes=size_bytes,
        licence=description.licence,
        sources=(),
        preparation=preparation,
        spec=description.spec,
    )
