"""Graphs of 8 bits made on this machine from float32 ones, each with the report that it was accepted by.

Layout of the folder, by the digest of the model as its maker publishes it::

    <sha256>.onnx    the graph
    <sha256>.json    its digest, the digest of the float32 graph that it was made from, the report
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facepool.files import digest_of, write_whole
from facepool.models.entries import InstalledModel, ModelEntry
from facepool.models.folder import only_writer_of

_log = logging.getLogger(__name__)

_VERSION = 1
"""Changes whenever graphs would be made or judged in another way."""


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
    """The optimized graphs of one store.

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
        graph, _ = self._paths(model.entry)
        problem = self.problem(model.entry)
        if problem is None and known.made_from != digest_of(model.graph):
            problem = "it was made from another float32 graph"
        if problem is not None:
            _log.warning(
                "The optimized graph of %s is not used: %s. Make it again: facepool models optimize %s",
                *(model.entry.name, problem, model.entry.name),
            )
            return None
        return InstalledModel(model.entry, graph, precision="int8")

    def known(self, entry: ModelEntry) -> OptimizedGraph | None:
        """What was written down of a model's optimized graph, not verified; None if there is none of this version."""
        _, manifest = self._paths(entry)
        try:
            record = json.loads(manifest.read_bytes())
            if record["version"] != _VERSION:
                return None
            return OptimizedGraph(str(record["sha256"]), str(record["made_from"]), dict(record["report"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def problem(self, entry: ModelEntry) -> str | None:
        """What is wrong with a model's optimized graph; None if nothing is, or if there is none."""
        known = self.known(entry)
        if known is None:
            return None
        try:
            found = digest_of(self._paths(entry)[0])
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        return None if found == known.sha256 else f"its sha256 is {found}, not {known.sha256}"

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
            "version": _VERSION,
            "sha256": hashlib.sha256(content).hexdigest(),
            "made_from": digest_of(model.graph),
            "report": dict(report),
        }
        graph, manifest = self._paths(model.entry)
        with only_writer_of(self._root):
            write_whole(graph, content)
            write_whole(manifest, json.dumps(record, indent=1).encode())
        return InstalledModel(model.entry, graph, precision="int8")

    def remove(self, entry: ModelEntry) -> bool:
        """Delete a model's optimized graph; whether there was one.

        Raises:
            NotWritable: No permission.
        """
        there_was = any(path.exists() for path in self._paths(entry))
        if there_was:
            with only_writer_of(self._root):
                for path in self._paths(entry):
                    path.unlink(missing_ok=True)
        return there_was

    def _paths(self, entry: ModelEntry) -> tuple[Path, Path]:
        graph = self._folder / f"{entry.sha256}.onnx"
        return graph, graph.with_suffix(".json")
