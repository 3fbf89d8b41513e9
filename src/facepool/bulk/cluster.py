"""The faces of many picture files, found by all machines of a Ray cluster.

Ray Data hands the files out in small parts to workers, one a core or a GPU, and gives the results in the files' order;
it holds what is ready back where this process is slower than the cluster. What a worker or a machine had in hand when
it died goes to another one. Only paths go out, and only what was found comes back: each worker reads the files itself.

Ray stays quiet: what it has to say is in its own log files, and what people should know becomes an error here.
"""

import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from facepool.bulk.head import watched_head
from facepool.bulk.lost import OneByOne
from facepool.bulk.pictures import PictureFaces
from facepool.bulk.worker import Results, Task, Worker, part_of, results_of
from facepool.errors import ClusterFailed, ClusterUnreachable, ConfigError, FacepoolError
from facepool.extras import require
from facepool.faces.analyze import Analyzer
from facepool.types import EmbeddingSpace, counted

LOCAL = "local"
"""The address for workers on this machine alone, which are started and ended with the job."""
_THIS_MACHINES = "auto"
"""The address for the cluster that this machine is part of."""
_MODE = "RAY_AUTH_MODE"
_PATIENCE_S = 10.0
_MOST_PICTURES = 64
"""Pictures that a worker gets at once: what a dead one had in hand is looked at again."""
_MOST_ENDS = 2
"""How often a part is given to another worker because one has ended; then its pictures are looked at one by one."""
_PARTS_EACH = 8
"""Parts a worker gets at least, where there are few pictures, so that all of them end at about the same time."""
_AT_IMPORT = {
    # Ray prints what happens on other machines into the output of this process, into which results go.
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


@dataclass(frozen=True, slots=True)
class RayJob:
    """What a cluster is to do.

    Attributes:
        address: Where its head listens, for example ``10.0.0.1:6379``; `LOCAL`: this machine alone; ``auto``: the
            cluster that this machine is part of.
        load: Makes the analyzer of each worker; a function or an object that can be sent to another process.
        space: The embedding space that it has to be of.
        cpus: Cores that a worker uses.
        gpus: GPUs that a worker uses.
        aligned: Whether faces keep their pixels, which a pool that keeps pictures wants.
        on_lost: Called in another thread when the cluster's head is gone, with what to say. It has to end the process:
            Ray does so a minute later, and until then nothing that waits for it comes back.
    """

    address: str
    load: Callable[[], Analyzer]
    space: EmbeddingSpace
    cpus: int = 1
    gpus: int = 0
    aligned: bool = False
    on_lost: Callable[[ClusterFailed], None] = lambda _: None


class RayAnalysis:
    """Looks at pictures with the workers of a cluster; made by `open_ray`.

    Args:
        job: What they do.
        workers: How many there may be at a time.

    Attributes:
        kinds: What workers have computed with so far, for people: engines, precision and processor.
    """

    def __init__(self, job: RayJob, workers: int) -> None:
        self._job = job
        self.workers = workers
        self.kinds: set[str] = set()

    @property
    def space(self) -> EmbeddingSpace:
        """Of the vectors."""
        return self._job.space

    @property
    def runs_on(self) -> str:
        """As ``PictureAnalysis.runs_on``."""
        return f"Ray, {counted(self.workers, 'worker')}"

    def analyze(self, paths: Sequence[Path], known: Collection[str] = frozenset()) -> Iterator[PictureFaces]:
        """As ``PictureAnalysis.analyze``.

        Raises:
            ClusterFailed: It cannot go on: all of its workers are gone, or one cannot do what is asked for.
            ModelError: A machine of it has other networks, or none.
            SystemLimit: One of its machines has not enough memory.
        """
        if not paths:
            return
        length = self._part_of(len(paths))
        files = [path.absolute() for path in paths]  # what a worker's folder is, nobody knows
        parts = [files[start : start + length] for start in range(0, len(files), length)]
        left = iter(zip(paths, files, strict=True))
        with _explained(self._job.address):
            for results in self._results(parts, _folder_of(files), known):
                if isinstance(results, FacepoolError):
                    raise results
                for picture in results:
                    path, file = next(left)
                    if picture.path != file:
                        raise ClusterFailed("Ray has mixed up the order of pictures", fix="Report this, please")
                    yield replace(picture, path=path)

    def _part_of(self, pictures: int) -> int:
        return max(1, min(_MOST_PICTURES, pictures // (self.workers * _PARTS_EACH)))

    def _results(self, parts: list[list[Path]], folder: Path, known: Collection[str]) -> Iterator[Results]:
        """What there is of all parts, in their order; those that Ray has given up are looked at here."""
        ray = _import_ray()
        job = self._job
        task = Task(job.load, job.space, folder, version("facepool"), aligned=job.aligned)
        contents = ray.put(frozenset(known))
        rows = [part_of(part, place) for place, part in enumerate(parts)]
        with warnings.catch_warnings():
            # Ray Data wants to name such options itself, and has no name yet for the number of tries.
            warnings.simplefilter("ignore", DeprecationWarning)
            data = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                Worker,
                fn_constructor_kwargs={"task": task, "known": [contents]},
                batch_size=None,  # a part as it is
                batch_format="numpy",
                concurrency=min(self.workers, len(parts)),
                num_cpus=job.cpus,
                num_gpus=job.gpus or None,
                max_restarts=-1,
                max_task_retries=_MOST_ENDS,
            )
        alone = OneByOne(ray, task, contents)
        done = 0
        for row in data.iter_rows():
            results, place, kind = results_of(row)
            for lost in parts[done:place]:
                yield from alone.look(lost)
            self.kinds.add(kind)
            yield results
            done = place + 1
        for lost in parts[done:]:
            yield from alone.look(lost)


@contextmanager
def open_ray(job: RayJob) -> Iterator[RayAnalysis]:
    """Connect with a cluster, or start workers on this machine, for as long as the block takes.

    Raises:
        ExtraMissing: Ray is not installed.
        ConfigError: The address is none.
        ClusterUnreachable: Nobody answers at the address, or this machine is no part of the cluster.
        ClusterFailed: It has no room for a single worker.
    """
    require("ray")
    ray = _import_ray()
    with ExitStack() as stack:
        _connect(ray, job.address, stack)
        resources: Mapping[str, float] = ray.cluster_resources()
        workers = int(resources.get("CPU", 0) // job.cpus)
        if job.gpus:
            workers = min(workers, int(resources.get("GPU", 0) // job.gpus))
        if not workers:
            wanted = f"{job.cpus} CPU cores" + (f" and {job.gpus} GPU" if job.gpus else "")
            raise ClusterFailed(
                "The Ray cluster has no room for a worker",
                why=f"one takes {wanted}, and no machine of it offers that",
                fix="Start its nodes with more (ray start --num-cpus --num-gpus), or use fewer --threads",
            )
        stack.enter_context(watched_head(ray.get_runtime_context().gcs_address, job.on_lost))
        yield RayAnalysis(job, workers)


def _connect(ray: ModuleType, address: str, stack: ExitStack) -> None:
    """Connect, and undo it at the end of the stack, with everything that was started and kept on this machine."""
    options: dict[str, Any] = {}
    if address == LOCAL:
        # Short, since a socket's path has to be; and private, since faces lie in it while there is no room elsewhere.
        folder = tempfile.mkdtemp(prefix="fp-")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(_variables(_own_token(Path(folder))))
        stack.callback(_forget_mode, os.environ.get(_MODE))
        options = {"_temp_dir": folder, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    elif address != _THIS_MACHINES:
        _check_answers(address)
    with _variables(_AT_IMPORT | {"RAY_USAGE_STATS_ENABLED": "0"}), _own_end(), _silent():
        try:
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **options)
        except (ray.exceptions.RayError, ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            raise _unreachable(address, str(error).partition("\n")[0].partition(". ")[0]) from error
    stack.callback(ray.shutdown)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.max_errored_blocks = -1  # parts that have ended too many workers: `RayAnalysis` looks at them
    for name in ("ray", "ray.data", "ray.util"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # an error is told by who gets it


def _own_token(folder: Path) -> Mapping[str, str]:
    """How Ray finds the secret without which nobody else on this machine has our workers run something.

    Ray itself would keep one in the user's home folder, for good.
    """
    file = folder / "token"
    file.touch(0o600)
    file.write_text(_secret())
    return {"RAY_AUTH_TOKEN_PATH": str(file)}


@cache
def _secret() -> str:
    """One a process, as Ray remembers it for as long."""
    return secrets.token_hex(32)


def _forget_mode(before: str | None) -> None:
    """Ray says in a variable of this process that what it has started wants a secret; the next may be another's."""
    if before is None:
        os.environ.pop(_MODE, None)


def _check_answers(address: str) -> None:
    """Refuse at once what Ray would wait for during minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        raise ConfigError(
            f"--ray {address} is no address of a Ray cluster",
            why=f"it is HOST:PORT of its head, {LOCAL!r}, or {_THIS_MACHINES!r}",
            fix="Write it like 10.0.0.1:6379, as `ray start --head` shows it",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error).lower()) from error


def _unreachable(address: str, why: str) -> ClusterUnreachable:
    return ClusterUnreachable(
        f"The Ray cluster {address} cannot be reached",
        why=why,
        fix="Check the address, and that this machine is a node of the cluster: "
        "ray start --address=HOST:6379 --num-cpus=0",
    )


@contextmanager
def _own_end() -> Iterator[None]:
    """Ray wants to hear itself that the program is to end; who runs the program does already."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def _silent() -> Iterator[None]:
    """Ray's libraries say as they start how much they are going to say, past Python's own standard error."""
    before = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _import_ray() -> ModuleType:
    with _variables(_AT_IMPORT):
        import ray  # noqa: PLC0415 -- takes seconds, and the extra may be missing
        import ray.data  # noqa: PLC0415 -- likewise
    return ray


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for as long as the block takes, as far as they are not set."""
    new = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Ray's errors in our words; its own may hold the paths of pictures, which are people's names."""
    ray = _import_ray()
    try:
        yield
    except (ray.exceptions.RayError, ray.data.exceptions.RayDataUserCodeException, ConnectionError) as error:
        raise ClusterFailed(
            f"The Ray cluster {address} has not gone on",
            why=f"Ray says {type(error).__name__}",
            fix="Look into the log files of its machines (ray logs), and run the same again: it does what is left",
        ) from None


def _folder_of(paths: Sequence[Path]) -> Path:
    """The folder that all pictures are in, as every machine has to see it."""
    return Path(os.path.commonpath([path.parent for path in paths]))
