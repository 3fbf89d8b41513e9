"""Pictures whose workers ended while they had them in hand, looked at one by one, to find the one that ends them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from facepool.bulk.pictures import PictureFaces
from facepool.bulk.worker import Results, Task, Worker, part_of, results_of
from facepool.errors import ClusterFailed, ImageUnreadable

_TRIES = 2
"""Processes that may end with a picture in hand, and nothing else, before it is left out."""


class OneByOne:
    """Has one worker look at one picture after the other, and another one where that has ended.

    Args:
        ray: Ray.
        task: What workers do.
        known: Ray's reference of the contents that are not to be looked at again.
    """

    def __init__(self, ray: ModuleType, task: Task, known: Any) -> None:  # noqa: ANN401 -- a type of Ray's
        self._ray = ray
        # All cores are taken by those who go on with the other pictures meanwhile.
        self._kind = ray.remote(num_cpus=0, max_restarts=0)(Worker)
        self._arguments = {"task": task, "known": [known]}
        self._worker: Any = None
        self._machine = ""

    def look(self, files: Sequence[Path]) -> Iterator[Results]:
        """The results of each picture by itself; one that ends every worker is told as unreadable.

        Raises:
            ClusterFailed: No worker starts.
        """
        for file in files:
            yield self._look(file)
        self._worker = None

    def _look(self, file: Path) -> Results:
        ended: list[str] = []
        while len(ended) < _TRIES:
            worker = self._worker or self._started()
            try:
                row = self._ray.get(worker.look.remote(part_of([file], 0)))
            except self._ray.exceptions.RayActorError:
                ended.append(self._machine)
                self._worker = None
            else:
                return results_of(row)[0]
        problem = ImageUnreadable(
            f"{file} cannot be looked at",
            why=f"each worker that had it in hand ended, the last {len(ended)} with nothing else, "
            f"on {' and '.join(dict.fromkeys(ended))}",
            fix="Leave it out, or save it anew with another program; its machine may have too little memory for it",
        )
        return [PictureFaces(file, problem=problem)]

    def _started(self) -> Any:  # noqa: ANN401 -- Ray's handle of an actor
        for _ in range(_TRIES):
            worker = self._kind.remote(**self._arguments)
            try:
                self._machine = self._ray.get(worker.machine.remote())
            except self._ray.exceptions.RayActorError:
                continue
            self._worker = worker
            return worker
        raise ClusterFailed(
            "No worker starts on the Ray cluster any more",
            why=f"{_TRIES} have ended before they had a picture",
            fix="Look into the log files of its machines (ray logs), and run the same again: it does what is left",
        )
