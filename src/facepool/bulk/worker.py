"""What runs on each machine of a Ray cluster: reads picture files, and finds the faces in them.

Everything that goes wrong is handed back as a result. An error that is raised here would stand in Ray's logs, with the
path of a picture, which is somebody's name.
"""

import os
import pickle
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from facepool.bulk.pictures import PictureFaces, look_at
from facepool.errors import ClusterFailed, FacepoolError, PathMissing
from facepool.faces.analyze import Analyzer
from facepool.types import EmbeddingSpace

_Error = TypeVar("_Error", bound=FacepoolError)
Part = dict[str, bytes]
"""A row of what goes to workers, and comes from them: some pictures, in one block of bytes."""
PATHS, RESULTS = "paths", "results"
"""What the block is called on the way there, and back."""


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
        known: Ray's reference of the contents that are not to be looked at again.
    """

    def __init__(self, task: Task, known: Any) -> None:  # noqa: ANN401 -- a type of Ray's, which is not loaded here
        import ray  # noqa: PLC0415 -- it is there: it has made this

        self._task = task
        self._known: frozenset[str] = ray.get(known)
        self._analyzer: Analyzer | FacepoolError
        try:
            self._analyzer = _load(task)
        except FacepoolError as error:
            self._analyzer = _on_this_machine(error)

    def __call__(self, rows: Mapping[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
        """What there is of the pictures of each row, or the error that ends the work."""
        return {RESULTS: [pickle.dumps(self._results(paths), pickle.HIGHEST_PROTOCOL) for paths in rows[PATHS]]}

    def _results(self, part: bytes) -> list[PictureFaces] | FacepoolError:
        if isinstance(self._analyzer, FacepoolError):
            return self._analyzer
        try:
            paths = [Path(os.fsdecode(path)) for path in part.split(b"\0")]
            found = look_at(paths, self._analyzer, self._known, aligned=self._task.aligned)
            return [_named(picture) for picture in found]
        except FacepoolError as error:
            return _on_this_machine(error)


def part_of(paths: Sequence[Path]) -> Part:
    """Some files as they are handed to a worker."""
    return {PATHS: b"\0".join(os.fsencode(path) for path in paths)}


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
