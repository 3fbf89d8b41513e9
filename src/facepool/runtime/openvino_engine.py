"""OpenVINO, for x86 CPUs: 1.5 to 3.4 times faster there than ONNX Runtime.

What it made of graphs is kept between runs of the program, because loading that takes a fraction of the compiling.
OpenVINO has a cache of its own, which takes a file that was damaged in the middle for what it was. Here a file's name
holds the digest of its content, and nothing is run whose content is not that. What is read again while the program
runs is read from a copy without a name, which nobody else can change: a mapped file that is cut ends its process.
"""

import importlib.util
import logging
import mmap
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryFile
from threading import Lock
from types import ModuleType
from typing import IO, Any

import numpy as np

from facepool.errors import DeviceUnavailable, StorageError
from facepool.files import PRIVATE, digest_of, sweep, users_folder, write_whole
from facepool.lazy import importing
from facepool.runtime import trial
from facepool.runtime.graph import EngineReport, Graph, GraphRequest, limits_named, unreadable
from facepool.runtime.trial import Outcome, Precision
from facepool.types import Floats, Image, PixelFeed

log = logging.getLogger(__name__)

CPU = "CPU"
_CAPABILITIES = "OPTIMIZATION_CAPABILITIES"
_PROMISES: dict[Precision, str] = {"bfloat16": "BF16", "int8": "INT8"}
KEPT = 12
"""How many compiled graphs stay; the ones used longest ago go first."""

_SUFFIX = ".compiled"
_MIB = 1024 * 1024

_STEADY = 30
"""Batches of one shape, a second of video, after which more of them are expected."""
_SHAPES = 3
"""Shapes that are remembered: those of a video that is looked at twice, and one more."""


def default_cache() -> Path | None:
    """Where compiled graphs are kept: the user's cache folder, which may be emptied at any time; None without one."""
    folder = users_folder("cache") / "compiled"
    return folder if folder.is_absolute() else None


def is_usable() -> bool:
    """Whether OpenVINO is installed on a machine that it is the faster engine of."""
    return importlib.util.find_spec("openvino") is not None and platform.machine().lower() in {"x86_64", "amd64"}


def report() -> EngineReport:
    """What is installed."""
    return EngineReport("OpenVINO", _version(import_openvino()), ("cpu",))


def tried(precision: Precision, cache: Path | None) -> Outcome | None:
    """What smaller numbers do on this processor; None where OpenVINO does not promise them, which it imports for.

    Args:
        precision: Which numbers.
        cache: Folder in which it is remembered what trying showed; None for nowhere.
    """
    with limits_named("OpenVINO cannot start"):
        openvino = import_openvino()
        core = _core()
        if _PROMISES[precision] not in core.get_property(CPU, _CAPABILITIES):
            return None
        return trial.outcome(precision, {"engine": openvino.__version__, **_processor(core)}, cache)


def start() -> None:
    """Import it and load its plugin.

    Raises:
        SystemLimit: Memory is short.
    """
    with limits_named("OpenVINO cannot start"):
        _core().get_property(CPU, _CAPABILITIES)


def load(request: GraphRequest) -> Graph:
    """Load a graph on the CPU, for any kind of device; see ``Loader``."""
    return _OpenVinoGraph(_Maker(request))


def runs_at_once(graph: Graph) -> int:
    """How many runs of a graph go side by side, each on a core; 1: they share what there is, with another engine."""
    return graph.at_once if isinstance(graph, _OpenVinoGraph) else 1


def _processor(core: Any) -> dict[str, object]:  # noqa: ANN401 -- OpenVINO ships no types
    """What decides which instructions are used."""
    properties = [core.get_property(CPU, name) for name in ("FULL_DEVICE_NAME", _CAPABILITIES)]
    return {"processor": properties, "held back by": trial.held_back_by()}


class _Compiled:
    """A compiled model, ready to run.

    Args:
        model: OpenVINO's compiled model.
        streams: Runs, or parts of a batch, that go side by side, each on threads of its own.
        weights: Copy of a file that it reads its weights from without owning the memory.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 -- OpenVINO ships no types
        streams: int,
        weights: mmap.mmap | None = None,
    ) -> None:
        self.model = model
        self._streams = streams
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(streams):
            self._idle.put(model.create_infer_request())
        self._outputs = range(len(model.outputs))
        self._weights = weights
        self._has_run = False

    def run(self, batch: Floats | Image, *, alone: bool) -> tuple[Floats, ...]:
        """Run it on one batch; arrays that belong to the caller. Several threads may do so at a time.

        Args:
            batch: As for ``Graph.run``.
            alone: Nothing else runs: the parts of the batch do, side by side.
        """
        # Inputs are copied (0.1 ms at 640x480): sharing NumPy's memory with the plugin corrupted the heap when the
        # shape changed from call to call (seen with OpenVINO 2026.4).
        requests = self._take(min(self._streams, len(batch)) if alone else 1)
        try:
            parts = len(requests)
            results = self._run_one(requests[0], batch) if parts == 1 else self._run_side_by_side(requests, batch)
        finally:
            for request in requests:
                self._idle.put(request)
        if not self._has_run:
            self._has_run = True
            self._forget_weights()
        return results

    def _take(self, most: int) -> list[Any]:
        """Requests that nobody uses: one, which is waited for, and more if there are."""
        requests = [self._idle.get()]
        with suppress(Empty):
            while len(requests) < most:
                requests.append(self._idle.get_nowait())
        return requests

    def _run_one(self, request: Any, batch: Floats | Image) -> tuple[Floats, ...]:  # noqa: ANN401 -- OpenVINO ships no types
        result = request.infer([batch])
        return tuple(np.asarray(result[i], np.float32) for i in self._outputs)

    def _run_side_by_side(self, requests: Sequence[Any], batch: Floats | Image) -> tuple[Floats, ...]:
        begun = []
        try:
            for request, part in zip(requests, np.array_split(batch, len(requests)), strict=True):
                request.start_async([part])
                begun.append(request)
        finally:
            failed = [error for error in map(_wait, begun) if error is not None]
        if failed:
            raise failed[0]
        tensors = ([request.get_output_tensor(i).data for request in begun] for i in self._outputs)
        return tuple(np.concatenate(of_parts, dtype=np.float32) for of_parts in tensors)

    def _forget_weights(self) -> None:
        """Give back the memory of the weights, 38 MB of SFace's, once the first run has made its own layout of them.

        They are never written to, and should some be read again, the system brings them back from the file.
        """
        if self._weights is not None and sys.platform == "linux":  # elsewhere the same call means something else
            self._weights.madvise(mmap.MADV_DONTNEED)


def _wait(request: Any) -> RuntimeError | None:  # noqa: ANN401 -- OpenVINO ships no types
    """Wait until a request is done; why it failed, so that none is left running."""
    try:
        request.wait()
    except RuntimeError as error:
        return error
    return None


class _Maker:
    """Makes what runs out of an ONNX file."""

    def __init__(self, request: GraphRequest) -> None:
        self.version = _version(import_openvino())
        self._path = request.path
        self._file: tuple[str, int, int] | None = None
        self._own: mmap.mmap | None = None
        self._kept = CompiledGraphs(request.cache) if request.cache else None
        self._feed = request.feed
        self._core = _core()
        self.threads = request.threads
        self.together = max(1, min(request.together, request.threads))
        # How many threads there are, and how they are shared out, is decided at every start.
        self._lasting = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if request.bfloat16 else "f32",
        }
        self._settings = {**self._lasting, "INFERENCE_NUM_THREADS": request.threads}

    def keep_file(self) -> None:
        """Make from now on what the file holds now, whatever becomes of it; without room on the disk, from the file."""
        if self._own is None:
            with suppress(OSError):
                self._own = _own_copy(self._path)

    def make(self, streams: int, shape: tuple[int, ...] | None = None) -> _Compiled:
        """Take what was compiled in an earlier run, or compile now and keep it.

        Args:
            streams: Among which the threads are shared out.
            shape: Of every batch from now on; None for a graph that takes batches and images of any size.

        Raises:
            ModelCorrupt: OpenVINO cannot read or compile the file, or it is gone.
            SystemLimit: There is no memory for it, or too many files are open.
        """
        try:
            return self._make(streams, shape)
        except (RuntimeError, OSError, MemoryError) as error:
            raise unreadable(self._path, "OpenVINO", error) from error

    def _make(self, streams: int, shape: tuple[int, ...] | None) -> _Compiled:
        settings = self._settings if streams == 1 else {**self._settings, "NUM_STREAMS": streams}
        if self._kept is None:
            return _Compiled(self._compile(shape, settings), streams)
        circumstances = {
            "engine": import_openvino().__version__,
            **_processor(self._core),
            "settings": self._lasting,
            "feed": self._feed,
            "shape": shape,
        }
        self._file = self._file or known_file(self._path)
        key = key_of(self._file, circumstances)
        kept = self._import(self._kept.find(key), streams, settings)
        if kept is None:
            compiled = self._compile(shape, settings)
            _keep(self._kept, key, compiled)
            kept = _Compiled(compiled, streams)
        return kept

    def _import(self, found: Path | None, streams: int, settings: Mapping[str, object]) -> _Compiled | None:
        if found is None:
            return None
        try:
            weights = _own_copy(found)
        except OSError as error:
            log.info("What was compiled before cannot be copied, so it is compiled again: %s", error)
            return None
        try:
            tensor = import_openvino().Tensor(np.frombuffer(weights, np.uint8), shared_memory=True)
            return _Compiled(self._core.import_model(tensor, CPU, settings), streams, weights)
        except RuntimeError as error:
            log.info("OpenVINO does not take what it compiled before, so it compiles again: %s", error)
            return None

    def _compile(self, shape: tuple[int, ...] | None, settings: Mapping[str, object]) -> Any:  # noqa: ANN401 -- OpenVINO ships no types
        model = self._read_model()
        if self._feed is not None:
            model = _taking_pixels(model, self._feed)
        if shape is not None:
            model.reshape(shape)
        return self._core.compile_model(model, CPU, settings)

    def _read_model(self) -> Any:  # noqa: ANN401 -- OpenVINO ships no types
        return self._core.read_model(self._path if self._own is None else bytes(self._own))


def _own_copy(path: Path) -> mmap.mmap:
    """A copy of a file that has no name, mapped: on the same disk if it may be written to.

    Raises:
        OSError: There is no such file, or no room.
    """
    with path.open("rb") as file, _nameless_file(path.parent) as copy:
        shutil.copyfileobj(file, copy, _MIB)
        copy.flush()
        # OpenVINO refuses memory that is read-only; if it wrote to this, that would not reach the file.
        return mmap.mmap(copy.fileno(), 0, access=mmap.ACCESS_COPY)


def _nameless_file(folder: Path) -> IO[bytes]:
    try:
        return TemporaryFile(dir=folder)
    except OSError:
        return TemporaryFile()


def _keep(kept: "CompiledGraphs", key: str, compiled: Any) -> None:  # noqa: ANN401 -- OpenVINO ships no types
    try:
        exported = compiled.export_model().getvalue()
    except (MemoryError, SystemError, ValueError) as error:  # what becomes of a buffer that cannot grow
        log.info("A compiled graph is not kept, for memory is short: %s", error)
        return
    kept.keep(key, exported)


def _taking_pixels(model: Any, feed: PixelFeed) -> Any:  # noqa: ANN401 -- OpenVINO ships no types
    """The model with a feed in front of it, from (N, H, W, 3) uint8 BGR on."""
    openvino = import_openvino()
    processor = openvino.preprocess.PrePostProcessor(model)
    taken = processor.input()
    taken.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    taken.model().set_layout(openvino.Layout("NCHW"))
    steps = taken.preprocess().convert_element_type(openvino.Type.f32)
    if feed.channel_order == "rgb":
        steps.reverse_channels()
    if any(feed.mean):
        steps.mean(list(feed.mean))
    if feed.scale != 1.0:
        steps.scale(feed.scale)
    return processor.build()


class _OpenVinoGraph:
    """A graph on the CPU plugin, for batches and images of any size.

    A run that is alone in the process has all cores. Those that meet have one each: sharing them out among the parts of
    one run costs a third of the work, most of it waiting for each other.

    Args:
        maker: Of what runs.
    """

    device = "cpu"

    def __init__(self, maker: _Maker) -> None:
        self.engine = f"OpenVINO {maker.version}"
        self.at_once = maker.threads
        self._maker = maker
        self._alone = _Sizes(maker, maker.together)
        self.outputs = self._alone.outputs
        self._side_by_side = self._alone if maker.together == maker.threads else None
        self._lock = Lock()

    def run(self, batch: Floats | Image) -> tuple[Floats, ...]:
        try:
            with _RUNS.one() as alone, limits_named("The network cannot be run"):
                with self._lock:
                    compiled = self._sizes(alone=alone).suited_to(batch.shape)
                results = compiled.run(batch, alone=alone)
        except RuntimeError as error:
            raise _refused(str(error)) from error
        if any(len(result) != len(batch) for result in results):  # so ends a graph of the cache that it cannot run
            raise _refused("it gave no result")
        return results

    def _sizes(self, *, alone: bool) -> "_Sizes":
        if alone:
            return self._alone
        if self._side_by_side is None:
            self._side_by_side = _Sizes(self._maker, self._maker.threads)
        return self._side_by_side


def _refused(why: str) -> DeviceUnavailable:
    """The error of a processor, or of a part of one, that OpenVINO has no code for; its last line says what for."""
    words = why.strip().splitlines()
    held_back = ", ".join(f"{name}={value}" for name, value in trial.held_back_by().items())
    return DeviceUnavailable(
        "OpenVINO cannot run a network on this processor",
        why="; ".join(part for part in (words[-1] if words else "", held_back and f"with {held_back}") if part),
        fix=f"{'Unset that variable, or r' if held_back else 'R'}un it with ONNX Runtime: pip uninstall openvino; "
        "pip install onnxruntime",
    )


class _Sizes:
    """What runs, by the size of the images.

    Where that is open, one that keeps coming gets a graph of its own, which need not ask at every run what follows from
    it: 5 to 13 % faster at 640 to 320 pixels, and the same results to the last bit.

    Args:
        maker: Of what runs.
        streams: Among which it shares out its threads.
    """

    def __init__(self, maker: _Maker, streams: int) -> None:
        self._maker = maker
        self._streams = streams
        self._any: _Compiled | None = maker.make(streams)
        self.outputs = tuple(port.get_any_name() for port in self._any.model.outputs)
        self._has_sizes = any(side.is_dynamic for side in list(self._any.model.input(0).partial_shape)[1:])
        if self._has_sizes:
            maker.keep_file()
        self._runs: dict[tuple[int, ...], int] = {}
        self._fixed: dict[tuple[int, ...], _Compiled] = {}

    def suited_to(self, shape: tuple[int, ...]) -> _Compiled:
        """What runs a batch of a shape; for one thread at a time."""
        if self._has_sizes:
            self._count(shape)
        if shape in self._fixed:
            return self._fixed[shape]
        if self._any is None:
            self._any = self._maker.make(self._streams)
        return self._any

    def _count(self, shape: tuple[int, ...]) -> None:
        if shape not in self._runs and len(self._runs) == _SHAPES:
            oldest = next(iter(self._runs))
            del self._runs[oldest]
            self._fixed.pop(oldest, None)
        self._runs[shape] = self._runs.pop(shape, 0) + 1
        if self._runs[shape] == _STEADY:
            self._any = None  # both at once would take the memory of two
            self._fixed[shape] = self._maker.make(self._streams, shape)


class _Runs:
    """How many networks run in this process at the moment: they share its cores."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = Lock()

    @contextmanager
    def one(self) -> Iterator[bool]:
        """One more, until the end of the block: whether it is the only one."""
        with self._lock:
            self._count += 1
            alone = self._count == 1
        try:
            yield alone
        finally:
            with self._lock:
                self._count -= 1


_RUNS = _Runs()


def known_file(graph: Path) -> tuple[str, int, int]:
    """What tells a file from another: its path, size and time of change.

    Raises:
        OSError: There is no such file.
    """
    found = graph.stat()
    return str(graph.resolve()), found.st_size, found.st_mtime_ns


def key_of(graph: tuple[str, int, int], circumstances: Mapping[str, object]) -> str:
    """The name of what one graph becomes under some circumstances.

    Args:
        graph: Its file, as it was when the graph was loaded.
        circumstances: All that decides what the engine makes of it: version, processor, settings.
    """
    decisive = sorted((name, repr(value)) for name, value in circumstances.items())
    return sha256(repr((*graph, decisive)).encode()).hexdigest()[:32]


class CompiledGraphs:
    """Compiled graphs in one folder, shared by any number of processes. It can always be done without.

    Args:
        folder: Made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key: str) -> Path | None:
        """The file that was kept under a key, verified; None if there is none that can be used."""
        for path in self._folder.glob(f"{key}-*{_SUFFIX}"):
            with suppress(OSError):
                if digest_of(path) == path.stem.removeprefix(f"{key}-"):
                    path.touch()  # the ones that are used stay
                    return path
            log.warning("%s was damaged on the disk; it is made again", path)
            self._remove(path)
        return None

    def keep(self, key: str, content: bytes) -> None:
        """Keep what a graph became; a disk that does not take it costs time at the next start, and nothing else."""
        path = self._folder / f"{key}-{sha256(content).hexdigest()}{_SUFFIX}"
        try:
            write_whole(path, content, mode=PRIVATE)
        except StorageError as error:
            log.info("A compiled graph is not kept: %s", error)
            return
        sweep(self._folder)
        for old in sorted(self._folder.glob(f"*{_SUFFIX}"), key=_time_of_use, reverse=True)[KEPT:]:
            self._remove(old)

    def _remove(self, path: Path) -> None:
        with suppress(OSError):  # another process was faster, or Windows holds on to a file in use
            path.unlink(missing_ok=True)


def _time_of_use(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return 0


_UNWANTED = ("openvino_telemetry", "openvino.tools.ovc")
"""What ``import openvino`` can do without. The first reports the start to an analytics server from a forked process and
writes an identifier into the user's home: nothing that sees faces may do that. The second converts models, and takes a
third of the time to import; it can still be imported by who asks for it."""


@cache
def import_openvino() -> ModuleType:
    """The engine, imported when it is first asked for; it goes on without what is unwanted of it."""
    kept_out = [name for name in _UNWANTED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(kept_out))  # type: ignore[arg-type]  # None forbids the import
    with importing():
        import openvino  # noqa: PLC0415 -- see above

    if "openvino.tools.ovc" in kept_out:
        del sys.modules["openvino.tools.ovc"]
    module: ModuleType = openvino
    return module


@cache
def _core() -> Any:  # noqa: ANN401 -- OpenVINO ships no types
    """One for all graphs: it loads the plugin once."""
    return import_openvino().Core()


def _version(openvino: ModuleType) -> str:
    return str(openvino.__version__).split("-", maxsplit=1)[0]
