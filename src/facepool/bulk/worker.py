"""What runs on each machine of a Ray cluster: reads picture files, and finds the faces in them.

Everything that goes wrong is handed back as a result. An error that is raised here would stand in Ray's logs, with the
path of a picture, which is somebody's name.
"""

import os
import pickle
import platform
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from facepool.bulk.pictures import PictureFaces, look_at
from facepool.errors import ClusterFailed, FacepoolError, PathMissing
from facepool.faces.analyze import Analyzer
from facepool.types import EmbeddingSpace

_Error = TypeVar("_Error", bound=FacepoolError)
Part = dict[str, bytes | int]
"""A row of what goes to workers, and comes from them: some pictures, in one block of bytes, and which part it is."""
Results = list[PictureFaces] | FacepoolError
"""What there is of the pictures of one part, or the error that ends the work."""
_PROCESSORS = Path("/proc/cpuinfo")
_PATHS, _RESULTS, _PLACE, _KIND = "paths", "results", "place", "kind"


@dataclass(frozen=True, slots=True)
class Task:
    """What all workers do alike.

    Attributes:
        load: Makes the analyzer.
        space: The embedding space that it has to be of.
        folder: What all pictures are in.
        version: Of facepool, where the pictures are handed out.
        aligned: Whether faces keep their pixels.
    """

    load: Callable[[], Analyzer]
    space: EmbeddingSpace
    folder: Path
    version: str
    aligned: bool = False


class Worker:
    """Ray makes one a core or a GPU, and calls it with one part after the other.

    Args:
        task: What to do.
        known: In a list, so that Ray hands it on as it is, its reference of the contents not to be looked at again.
    """

    def __init__(self, task: Task, known: Sequence[Any]) -> None:
        import ray  # noqa: PLC0415 -- it is there: it has made this

        self._task = task
        self._known: frozenset[str] = ray.get(known[0])
        self._analyzer: Analyzer | FacepoolError
        try:
            self._analyzer = _load(task)
        except FacepoolError as error:
            self._analyzer = _on_this_machine(error)

    def __call__(self, rows: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """What there is of the pictures of each row."""
        found = [
            self.look({_PATHS: paths, _PLACE: place}) for paths, place in zip(rows[_PATHS], rows[_PLACE], strict=True)
        ]
        return {name: [row[name] for row in found] for name in (_PLACE, _RESULTS, _KIND)}

    def look(self, part: Mapping[str, Any]) -> dict[str, bytes | int]:
        """What there is of the pictures of one row; read it by `results_of`."""
        results = pickle.dumps(self._results(part[_PATHS]), pickle.HIGHEST_PROTOCOL)
        return {_PLACE: int(part[_PLACE]), _RESULTS: results, _KIND: self._kind.encode()}

    def machine(self) -> str:
        """Where it runs."""
        return socket.gethostname()

    @property
    def _kind(self) -> str:
        """What the last digits of its vectors depend on."""
        if isinstance(self._analyzer, FacepoolError):
            return ""
        return f"{self._analyzer.runs_on}, {processor()}"

    def _results(self, part: bytes) -> Results:
        if isinstance(self._analyzer, FacepoolError):
            return self._analyzer
        try:
            paths = [Path(os.fsdecode(path)) for path in part.split(b"\0")]
            found = look_at(paths, self._analyzer, self._known, aligned=self._task.aligned)
            return [_named(picture) for picture in found]
        except FacepoolError as error:
            return _on_this_machine(error)


def part_of(paths: Sequence[Path], place: int) -> Part:
    """Some files as they are handed to a worker, and which part of all it is."""
    return {_PATHS: b"\0".join(os.fsencode(path) for path in paths), _PLACE: place}


def results_of(row: Mapping[str, Any]) -> tuple[Results, int, str]:
    """What a worker has found in a part, which part that was, and what it has computed it with."""
    results: Results = pickle.loads(row[_RESULTS])  # noqa: S301 -- of our own workers; who can write there runs code anyway
    return results, int(row[_PLACE]), row[_KIND].decode()


def processor() -> str:
    """The model of this machine's processor, for people."""
    with suppress(OSError):
        for line in _PROCESSORS.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _load(task: Task) -> Analyzer:
    """The analyzer, on a machine that can do the same as the others.

    Raises:
        ClusterFailed: It cannot.
    """
    if (here := version("facepool")) != task.version:
        raise ClusterFailed(
            "The machines of the Ray cluster have different versions of facepool",
            why=f"{here} is not {task.version}",
            fix="Install the same version on all of them",
        )
    if not task.folder.is_dir():
        raise ClusterFailed(
            f"A machine of the Ray cluster does not see {task.folder}",
            why="each reads the pictures itself",
            fix="Mount the folder there under the same path",
        )
    analyzer = task.load()
    if analyzer.space.id != task.space.id:
        raise ClusterFailed(
            "The machines of the Ray cluster have different networks",
            why=f"{analyzer.space} is not {task.space}",
            fix="Copy the folder of models to all of them, or name one that they all see with --models-dir",
        )
    return analyzer


def _named(picture: PictureFaces) -> PictureFaces:
    """A picture that was there when it was handed out may be one that this machine does not see: say which it is."""
    if not isinstance(picture.problem, PathMissing):
        return picture
    return replace(picture, problem=_on_this_machine(picture.problem))


def _on_this_machine(error: _Error) -> _Error:
    here = f"on the machine {socket.gethostname()}"
    reason = f"{error.why}, {here}" if error.why else here
    return type(error)(error.what, why=reason, fix=error.fix)
